//! Landing files as users meet it: dirty files, changed files, and the latest rows that follow.

use serde_json::json;

use crate::kit::Project;

/// A project with one dataset `t` over `d/*`.
fn dataset(settings: &str) -> Project {
    Project::empty().write("raw/t.yml", &format!("source: {{files: \"d/*\"}}\n{settings}"))
}

/// Values of a query, row by row, as text.
#[track_caller]
fn table(project: &Project, sql: &str) -> Vec<String> {
    let values = |row: &serde_json::Value| {
        row.as_object().unwrap().values().map(|value| value.to_string()).collect::<Vec<_>>().join(" ")
    };
    project.rows(sql).iter().map(values).collect()
}

#[test]
fn rows_say_where_they_came_from() {
    let project = dataset("").write("d/a.csv", "id,note\r\n1,\"two\r\nlines\"\r\n\r\n2,x,y\n3,plain\r\n");
    project.ok(&["run"]);
    assert_eq!(
        table(&project, "SELECT id, _source['file'] f, _source['row'] n FROM raw.t ORDER BY id"),
        ["1 \"d/a.csv\" 1", "3 \"d/a.csv\" 4"]
    );
    let aside = project.rows("SELECT _rule, _reason, _source, raw FROM quarantine.raw_t");
    assert_eq!(
        aside,
        [json!({
            "_rule": "parse",
            "_reason": "the row has 3 fields, the file has 2",
            "_source": {"file": "d/a.csv", "row": 3},
            "raw": "2,x,y",
        })]
    );
}

#[test]
fn a_file_lands_once_whatever_happens_to_its_name_and_time() {
    let project = dataset("").write("d/a.csv", "a\n1\n");
    let path = |name: &str| project.path().join("d").join(name);
    let count = || table(&project, "SELECT count(*) FROM raw.t");
    project.ok(&["run"]);
    let touched = std::fs::File::options().write(true).open(path("a.csv")).unwrap();
    touched.set_modified(std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000)).unwrap();
    drop(touched);
    project.ok(&["run"]);
    assert_eq!(table(&project, "SELECT path, rows FROM system.files"), ["\"d/a.csv\" 1"]);
    std::fs::rename(path("a.csv"), path("b.csv")).unwrap();
    let renamed = project.laguna(&["run"]);
    assert!(renamed.stderr.contains("d/b.csv holds the same bytes as d/a.csv: skipped"), "{renamed:?}");
    project.put("d/c.csv", b"a\n1\n");
    project.ok(&["run"]);
    assert_eq!(count(), ["1"]);
    project.put("d/c.csv", b"a\n1\n2\n");
    project.ok(&["run"]);
    assert_eq!(count(), ["3"]);
    assert_eq!(table(&project, "SELECT count(DISTINCT _batch) FROM raw.t"), ["2"]);
}

#[test]
fn a_first_batch_without_values_does_not_stop_a_keyed_dataset() {
    for first in ["", "id,u,v\n", "id,u,v\n,,x\n", "id,u,v\n1,,x\n"] {
        let project = dataset("mode: upsert\nkey: id\norder: u\n").write("d/a.csv", first);
        project.ok(&["run"]);
        let rows = usize::from(first.ends_with("x\n"));
        assert_eq!(project.rows("SELECT * FROM latest.t").len(), rows, "{first:?}");
        project.put("d/b.csv", b"id,u,v\n1,2024-01-02,new\n2,2024-01-02,two\n");
        project.ok(&["run"]);
        project.put("d/c.csv", b"id,u,v\n1,2024-01-01,late\n");
        project.ok(&["run"]);
        let mut expected = vec!["1 \"new\"", "2 \"two\""];
        if first.contains("\n,,x") {
            expected.push("null \"x\"");
        }
        let sql = "SELECT id, v FROM latest.t ORDER BY id NULLS LAST";
        assert_eq!(table(&project, sql), expected, "{first:?}");
    }
    let typo = dataset("mode: upsert\nkey: idd\n").write("d/a.csv", "id,v\n");
    let error = typo.fails(2, &["run"]);
    assert!(error.contains("the key column `idd` is not in the data"), "{error}");
}

#[test]
fn another_key_builds_latest_again() {
    let project = dataset("mode: upsert\nkey: id\n")
        .write("d/a.csv", "id,k,v\n1,a,1\n1,b,2\n2,a,3\n")
        .write("sanitized/kept.sql", "SELECT count(*) AS n FROM latest.t");
    project.ok(&["run"]);
    assert_eq!(table(&project, "SELECT n FROM sanitized.kept"), ["2"]);
    let project = project.write("raw/t.yml", "source: {files: \"d/*\"}\nmode: upsert\nkey: [id, k]\n");
    let plan = project.laguna(&["run", "--dry-run"]);
    assert!(format!("{}{}", plan.stdout, plan.stderr).contains("latest is built again"), "{plan:?}");
    project.ok(&["run"]);
    assert_eq!(
        table(&project, "SELECT id, k, v FROM latest.t ORDER BY v"),
        ["1 \"a\" 1", "1 \"b\" 2", "2 \"a\" 3"]
    );
    assert_eq!(table(&project, "SELECT n FROM sanitized.kept"), ["3"]);
    assert!(project.laguna(&["run"]).stderr.contains("nothing to do"));
    let project = project.write("raw/t.yml", "source: {files: \"d/*\"}\nmode: upsert\nkey: idd\n");
    assert!(project.fails(2, &["run"]).contains("no column `idd`"));
}

#[test]
fn changes_with_unknown_operations_are_set_aside() {
    let project = dataset("mode: changes\nkey: id\norder: n\n")
        .write("d/1.csv", "id,v,_op,n\n1,a,i,1\n2,b,insert,1\n3,c,C,1\n");
    project.ok(&["run"]);
    project.put("d/2.csv", b"id,v,_op,n\n1,a2,u,3\n2,,D,5\n5,x,zap,1\n6,y,,1\n");
    project.ok(&["run"]);
    project.put("d/3.csv", b"id,v,_op,n\n2,late,u,2\n1,late,u,2\n3,same,u,1\n");
    project.ok(&["run"]);
    let latest = "SELECT id, v FROM latest.t ORDER BY id";
    assert_eq!(table(&project, latest), ["1 \"a2\"", "3 \"same\""]);
    let aside = table(&project, "SELECT _rule, _source['row'] r FROM quarantine.raw_t ORDER BY r");
    assert_eq!(aside, ["\"op\" 3", "\"op\" 4"]);
    let at = project.rows("SELECT min(_ingested_at) AS at FROM raw.t WHERE _batch = 't-000002'");
    let at = at[0]["at"].as_str().unwrap();
    let then = format!("SELECT id, v FROM latest.t FOR TIMESTAMP AS OF '{at}' ORDER BY id");
    assert_eq!(table(&project, &then), ["1 \"a2\"", "3 \"c\""]);
}

#[test]
fn time_of_arrival_grows_with_every_batch() {
    let project = dataset("");
    for batch in 0..4 {
        project.put(&format!("d/{batch}.csv"), format!("a\n{batch}\n").as_bytes());
        project.ok(&["run"]);
    }
    let arrived = table(&project, "SELECT a FROM raw.t ORDER BY _ingested_at");
    assert_eq!(arrived, ["0", "1", "2", "3"]);
    assert_eq!(table(&project, "SELECT count(DISTINCT _ingested_at) FROM raw.t"), ["4"]);
}

#[test]
fn many_small_files_are_one_batch() {
    let project = dataset("");
    for file in 0..300 {
        project.put(&format!("d/{file}.csv"), format!("a,b\n{file},x\n{file},y\n").as_bytes());
    }
    project.ok(&["run"]);
    let sql = "SELECT count(*) n, count(DISTINCT _source['file']) f, count(DISTINCT _batch) b, \
               bool_and(_source['file'] = concat('d/', a, '.csv')) AS right_file FROM raw.t";
    assert_eq!(table(&project, sql), ["600 300 1 true"]);
}
