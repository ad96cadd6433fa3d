//! Building, gates, rollback and as-of, as a user meets them.

use serde_json::{Value, json};

use crate::kit::Project;

/// Three rows of which one has no value, and a model that copies them.
fn project(settings: &str) -> Project {
    Project::empty()
        .write("raw/x.yml", "source: {files: \"data/*.csv\"}\n")
        .write("data/1.csv", "id,v,c\n1,10,a\n2,20,b\n3,,c\n")
        .write("sanitized/x.sql", "SELECT id, v, c FROM raw.x\n")
        .write("sanitized/x.yml", settings)
        .write("enhanced/y.sql", "SELECT count(*) AS n, sum(v) AS s FROM sanitized.x\n")
}

/// What a run did with each node.
#[track_caller]
fn outcomes(project: &Project, code: i32, args: &[&str]) -> Vec<(String, String)> {
    let output = project.laguna(&[&["run", "--json"], args].concat());
    assert_eq!(output.code, code, "{}\n{}", output.stdout, output.stderr);
    let text = |line: &Value, key: &str| line[key].as_str().unwrap_or_default().to_string();
    let finished = output.json_lines().into_iter().filter(|line| line["event"] == "task_finished");
    let mut all: Vec<_> = finished.map(|line| (text(&line, "node"), text(&line, "outcome"))).collect();
    all.sort();
    all
}

#[track_caller]
fn ids(project: &Project, table: &str) -> Vec<Value> {
    let rows = project.rows(&format!("SELECT id FROM {table} ORDER BY id"));
    rows.into_iter().map(|row| row["id"].clone()).collect()
}

/// Rule and row of all that is aside.
#[track_caller]
fn aside(project: &Project) -> Vec<(String, String)> {
    let rows = project.rows("SELECT _rule, \"row\" FROM quarantine.sanitized_x ORDER BY 1, 2");
    rows.iter()
        .map(|row| (row["_rule"].as_str().unwrap().into(), row["row"].as_str().unwrap().into()))
        .collect()
}

#[test]
fn rows_that_fail_a_set_check_are_set_aside_with_those_that_fail_a_row_check() {
    let settings = "on_fail: quarantine\ncolumns: {v: {checks: [not_null]}}\nchecks: [{unique: id}]\n";
    let project = project(settings).write("data/2.csv", "id,v,c\n2,21,b\n4,40,d\n");
    project.ok(&["run"]);
    assert_eq!(ids(&project, "sanitized.x"), [json!(1), json!(4)]);
    assert_eq!(project.rows("SELECT n, s FROM enhanced.y"), [json!({"n": 2, "s": 50})]);
    let expected = [
        ("not_null(v)", r#"{"id":3,"v":null,"c":"c"}"#),
        ("unique(id)", r#"{"id":2,"v":20,"c":"b"}"#),
        ("unique(id)", r#"{"id":2,"v":21,"c":"b"}"#),
    ];
    let expected = expected.map(|(rule, row)| (rule.to_string(), row.to_string()));
    assert_eq!(aside(&project), expected);
    // Built again, the same rows are aside: once.
    project.put("data/3.csv", b"id,v,c\n5,50,e\n");
    project.ok(&["run"]);
    assert_eq!(aside(&project), expected);
    // A rule that is gone holds nothing back.
    project.put("sanitized/x.yml", b"on_fail: quarantine\nchecks: [{unique: id}]\n");
    project.ok(&["run"]);
    assert_eq!(aside(&project), expected[1..]);
    assert_eq!(ids(&project, "sanitized.x"), [1, 3, 4, 5].map(|id| json!(id)));
}

#[test]
fn an_incremental_model_says_what_its_new_rows_failed_and_sets_them_aside_once() {
    let settings = "materialize: {incremental: {key: id, watermark: id}}\non_fail: quarantine\n\
                    columns: {v: {checks: [not_null]}}\n";
    let project = project(settings);
    project.ok(&["run"]);
    assert_eq!(aside(&project).len(), 1);
    // Row 3 lies above the largest id that was kept, so it is computed and refused again.
    project.put("data/2.csv", b"id,v,c\n4,40,d\n5,,e\n");
    let output = project.laguna(&["run"]);
    assert_eq!(output.code, 0, "{}", output.stderr);
    assert!(output.stderr.contains("2 of 5 values of v are null"), "{}", output.stderr);
    assert_eq!(ids(&project, "sanitized.x"), [1, 2, 4].map(|id| json!(id)));
    let rows: Vec<String> = aside(&project).into_iter().map(|(_, row)| row).collect();
    assert_eq!(rows, [r#"{"id":3,"v":null,"c":"c"}"#, r#"{"id":5,"v":null,"c":"e"}"#]);
}

#[test]
fn an_incremental_model_replaces_rows_of_a_compound_key_with_nulls() {
    let settings = "materialize: {incremental: {key: [id, c], watermark: v}}\npartition: id\n";
    let project = project(settings).write("data/1.csv", "id,v,c\n1,10,\n1,11,a\n2,12,b\n");
    project.ok(&["run"]);
    project.put("data/2.csv", b"id,v,c\n1,20,\n3,5,late\n");
    project.ok(&["run"]);
    let expected = [
        json!({"id": 1, "v": 11, "c": "a"}),
        json!({"id": 2, "v": 12, "c": "b"}),
        json!({"id": 1, "v": 20, "c": null}),
    ];
    assert_eq!(project.rows("SELECT * FROM sanitized.x ORDER BY v"), expected);
    // Another SQL needs every row again.
    project.put("sanitized/x.sql", b"SELECT id, v, c, 1 AS one FROM raw.x WHERE v >= 5\n");
    project.ok(&["run"]);
    assert_eq!(project.rows("SELECT count(*) AS n FROM sanitized.x"), [json!({"n": 5})]);
}

#[test]
fn a_blocked_table_stays_as_released_until_its_data_is_mended() {
    let project = project("on_fail: block\nchecks: [{unique: id}]\n");
    project.ok(&["run"]);
    project.put("data/2.csv", b"id,v,c\n3,30,d\n");
    let pair = |node: &str, outcome: &str| (node.to_string(), outcome.to_string());
    let expected = [pair("enhanced.y", "held"), pair("raw.x", "landed"), pair("sanitized.x", "blocked")];
    assert_eq!(outcomes(&project, 1, &[]), expected);
    assert_eq!(project.rows("SELECT n FROM enhanced.y"), [json!({"n": 3})]);
    assert_eq!(project.rows("SELECT count(*) AS n FROM staged.sanitized_x"), [json!({"n": 4})]);
    assert_eq!(outcomes(&project, 1, &[]), [pair("enhanced.y", "held"), pair("sanitized.x", "blocked")]);
    project.put("sanitized/x.sql", b"SELECT id, max(v) AS v, max(c) AS c FROM raw.x GROUP BY id\n");
    assert_eq!(outcomes(&project, 0, &[]), [pair("enhanced.y", "built"), pair("sanitized.x", "built")]);
    assert_eq!(project.rows("SELECT n, s FROM enhanced.y"), [json!({"n": 3, "s": 60})]);
}

#[test]
fn equal_rows_and_words_about_a_table_build_nothing_below_it() {
    let project = project("").write("sanitized/x.sql", "SELECT id, v FROM raw.x WHERE id < 10\n");
    project.ok(&["run"]);
    project.put("data/2.csv", b"id,v,c\n11,1,z\n");
    let pair = |node: &str, outcome: &str| (node.to_string(), outcome.to_string());
    assert_eq!(outcomes(&project, 0, &[]), [pair("raw.x", "landed"), pair("sanitized.x", "built")]);
    project.put("sanitized/x.sql", b"-- a remark\nSELECT id,\n  v FROM raw.x WHERE id < 10;\n");
    project.put("sanitized/x.yml", b"description: Of x.\nowner: me@example.org\ntags: [daily]\n");
    assert_eq!(outcomes(&project, 0, &[]), []);
    project.put("sanitized/x.yml", b"checks: [{unique: id}]\n");
    assert_eq!(outcomes(&project, 0, &[]), [pair("sanitized.x", "checked")]);
}

#[test]
fn a_failure_names_the_file_and_leaves_the_others_alone() {
    let project = project("").write("sanitized/z.sql", "SELECT 1 / (v - 10) AS z FROM raw.x\n");
    let output = project.laguna(&["run"]);
    assert_eq!(output.code, 1, "{}", output.stderr);
    assert!(output.stderr.contains("sanitized/z.sql: division by zero"), "{}", output.stderr);
    assert_eq!(project.rows("SELECT n FROM enhanced.y"), [json!({"n": 3})]);
    project.put("sanitized/z.sql", b"SELECT count(*) FROM raw.x\n");
    let output = project.laguna(&["run"]);
    assert_eq!(output.code, 2, "{}", output.stderr);
    assert!(
        output.stderr.contains("write AS count\n") || output.stderr.contains("write AS count"),
        "{}",
        output.stderr
    );
    assert!(!output.stderr.contains("count_*"), "{}", output.stderr);
}

#[test]
fn what_is_wrong_with_a_sorted_model_has_its_own_place() {
    let project = project("sort: nope\n");
    let told = project.fails(2, &["run"]);
    assert!(told.contains("sanitized/x.yml: sort column `nope` is not in the result"), "{told}");
    let project = project
        .write("sanitized/x.yml", "sort: id\n")
        .write("sanitized/x.sql", "SELECT id,\n  w\nFROM raw.x\n");
    let told = project.fails(2, &["run"]);
    assert!(told.contains("sanitized/x.sql:2:3: there is no column `w`"), "{told}");
}

#[test]
fn a_model_of_a_dataset_that_never_landed_says_so() {
    let project = project("");
    let told = project.fails(2, &["run", "sanitized.x"]);
    assert!(
        told.contains("sanitized/x.sql: sanitized.x reads raw.x, where nothing has landed yet"),
        "{told}"
    );
    assert!(told.contains("laguna run +sanitized.x"), "{told}");
    let runs = project.rows("SELECT outcome, error FROM system.runs");
    assert_eq!(runs.len(), 1);
    assert_eq!(runs[0]["outcome"], "failed");
}

#[test]
fn a_rollback_goes_forth_and_back_and_its_repetition_changes_nothing() {
    let project = project("");
    project.ok(&["run"]);
    project.put("data/2.csv", b"id,v,c\n4,40,d\n");
    project.ok(&["run"]);
    let releases = || project.rows("SELECT max(release) AS n FROM system.releases")[0]["n"].clone();
    project.ok(&["rollback", "--to", "1"]);
    assert_eq!(ids(&project, "sanitized.x"), [1, 2, 3].map(|id| json!(id)));
    assert_eq!(releases(), 3);
    project.ok(&["rollback", "--to", "1"]);
    assert_eq!(releases(), 3);
    // The next run keeps what was rolled back.
    assert_eq!(outcomes(&project, 0, &[]), []);
    assert_eq!(project.rows("SELECT n FROM enhanced.y"), [json!({"n": 3})]);
    project.ok(&["rollback", "--to", "2"]);
    assert_eq!(project.rows("SELECT n FROM enhanced.y"), [json!({"n": 4})]);
    project.ok(&["rollback", "--to", "1", "enhanced.y"]);
    assert_eq!(ids(&project, "sanitized.x").len(), 4);
    assert_eq!(project.rows("SELECT n FROM enhanced.y"), [json!({"n": 3})]);
    project.put("data/3.csv", b"id,v,c\n5,50,e\n");
    project.ok(&["run"]);
    assert_eq!(project.rows("SELECT n FROM enhanced.y"), [json!({"n": 5})]);
}

#[test]
fn a_rebuild_as_of_then_is_equal_until_the_code_changes() {
    let project = project("").write("sanitized/w.sql", "SELECT avg(v) AS mean FROM sanitized.x\n");
    project.ok(&["run"]);
    let then =
        project.rows("SELECT max(time) AS at FROM system.releases")[0]["at"].as_str().unwrap().to_string();
    project.put("data/2.csv", b"id,v,c\n4,40,d\n");
    project.ok(&["run"]);
    let verdicts = |args: &[&str]| -> Vec<(String, String)> {
        let output = project.laguna(&[&["run", "--json", "--as-of", &then], args].concat());
        assert_eq!(output.code, 0, "{}", output.stderr);
        let lines = output.json_lines().into_iter().filter(|line| line["verdict"].is_string());
        let text = |line: &Value, key: &str| line[key].as_str().unwrap_or_default().to_string();
        lines.map(|line| (text(&line, "verdict"), text(&line, "reason"))).collect()
    };
    assert!(verdicts(&[]).iter().all(|(verdict, _)| verdict == "equal"));
    project.put("sanitized/x.sql", b"SELECT id, v + 1 AS v, c FROM raw.x\n");
    let changed = verdicts(&["sanitized.x"]);
    assert_eq!(changed, [("different".to_string(), "its SQL or settings are not those of then".to_string())]);
    assert!(verdicts(&["--code", "then"]).iter().all(|(verdict, _)| verdict == "equal"));
    assert_eq!(ids(&project, "sanitized.x").len(), 4);
}
