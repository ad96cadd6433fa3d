//! Forgetting: what is gone is gone from every object of the lake, and everything else is as it was.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::{Value, json};

use crate::kit::{Output, Project, age, copy, rounds};

/// What stands in the rows of the one who is to be forgotten, and nowhere else.
const TRACES: [&str; 3] = ["marker@x.org", "Zaphod", "5550199"];

const FORGET: [&str; 5] = ["forget", "--table", "raw.people", "--where", "email = 'marker@x.org'"];

/// Two releases of every kind of table that can hold a row: append and upsert, rows set aside on landing and by checks,
/// a table, an incremental table, a view and what reads it, an aggregate, a blocked table.
fn project() -> Project {
    let project = Project::empty()
        .write("raw/people.yml", "source: {files: 'people/*.csv'}\nmode: upsert\nkey: id\norder: seen\n")
        .write("raw/other.yml", "source: {files: 'other/*.csv'}\n")
        .write("other/1.csv", "id,v\n1,10\n2,20\n")
        .write(
            "people/1.csv",
            "id,email,name,phone,seen\n1,marker@x.org,Zaphod,5550199,1\n2,bob@x.org,Bob,222,1\n",
        )
        .write("sanitized/people.sql", "SELECT id, email, name, phone FROM latest.people")
        .write("sanitized/people.yml", "on_fail: quarantine\ncolumns: {name: {checks: [not_null]}}\n")
        .write("sanitized/other.sql", "SELECT id, v FROM raw.other")
        .write("sanitized/log.sql", "SELECT id, email, seen FROM raw.people")
        .write("sanitized/log.yml", "materialize: {incremental: {key: [id, seen], watermark: seen}}\n")
        .write("sanitized/single.sql", "SELECT id, name, phone FROM raw.people")
        .write("sanitized/single.yml", "on_fail: block\nchecks: [{unique: id}]\n")
        .write("enhanced/named.sql", "SELECT name, phone FROM sanitized.people")
        .write("enhanced/named.yml", "materialize: view\n")
        .write("enhanced/loud.sql", "SELECT upper(name) AS loud FROM enhanced.named")
        .write("enhanced/total.sql", "SELECT count(*) AS n, max(phone) AS phone FROM sanitized.people");
    project.ok(&["run"]);
    project.put(
        "people/2.csv",
        b"id,email,name,phone,seen\n1,marker@x.org,,5550199,2\n3,eve@x.org,Eve,333,2\n9,marker@x.org\n",
    );
    // The second row of one id blocks a table.
    assert_eq!(project.laguna(&["run"]).code, 1);
    project
}

/// A copy of a project with its lake.
fn twin(project: &Project) -> Project {
    let twin = Project { dir: tempfile::tempdir().unwrap() };
    copy(project.path(), twin.path());
    copy(&project.path().join("lake"), &twin.path().join("lake"));
    twin
}

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => files(&path, found),
            false => found.push(path),
        }
    }
}

/// Objects of the lake that hold one of the traces: as bytes, and decoded where they are Parquet.
fn traces(project: &Project) -> Vec<String> {
    let mut all = Vec::new();
    files(&project.path().join("lake"), &mut all);
    let mut found = Vec::new();
    for path in all {
        let bytes = std::fs::read(&path).unwrap();
        let mut text = String::from_utf8_lossy(&bytes).into_owned();
        if path.extension().is_some_and(|extension| extension == "parquet") {
            let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(&path).unwrap()).unwrap();
            for batch in reader.build().unwrap() {
                let mut lines = arrow::json::LineDelimitedWriter::new(Vec::new());
                lines.write(&batch.unwrap()).unwrap();
                lines.finish().unwrap();
                text.push_str(&String::from_utf8(lines.into_inner()).unwrap());
            }
        }
        let text = text.to_lowercase();
        if TRACES.iter().any(|trace| text.contains(&trace.to_lowercase())) {
            found.push(path.strip_prefix(project.path()).unwrap().display().to_string());
        }
    }
    found
}

/// The rows of others, in every release.
fn others(project: &Project) -> Vec<Value> {
    let query = |release: &str, sql: &str| -> Value {
        serde_json::from_str(&project.ok(&["query", "--release", release, "-o", "json", sql])).unwrap()
    };
    let mut all = Vec::new();
    for release in ["1", "2"] {
        for (table, column) in [
            ("raw.people", "coalesce(email, '')"),
            ("latest.people", "email"),
            ("sanitized.people", "email"),
            ("sanitized.log", "email"),
            ("sanitized.single", "name"),
            ("enhanced.named", "name"),
            ("enhanced.loud", "loud"),
            ("quarantine.raw_people", "raw"),
            ("quarantine.sanitized_people", "\"row\""),
            ("sanitized.other", "cast(v AS varchar)"),
        ] {
            let sql = format!(
                "SELECT * FROM {table} WHERE lower({column}) NOT LIKE '%marker@x.org%' AND lower({column}) <> 'zaphod' ORDER BY 1, 2"
            );
            let sql = if table == "enhanced.loud" { sql.replace("1, 2", "1") } else { sql };
            all.push(json!([release, table, query(release, &sql)]));
        }
    }
    all
}

/// Everything a reader sees of both releases.
fn content(project: &Project) -> Vec<Value> {
    let mut all = others(project);
    for release in ["1", "2"] {
        all.push(
            serde_json::from_str(&project.ok(&[
                "query",
                "--release",
                release,
                "-o",
                "json",
                "SELECT * FROM enhanced.total",
            ]))
            .unwrap(),
        );
    }
    all
}

#[test]
fn rows_are_gone_from_every_object_and_all_others_stay() {
    let project = project();
    assert!(traces(&project).len() > 10, "{:?}", traces(&project));
    let before = others(&project);
    let then = project.rows("SELECT time FROM system.releases WHERE release = 1")[0]["time"].clone();

    let dry = project.laguna(&[&FORGET[..], &["--dry-run"]].concat());
    assert_eq!(dry.code, 0, "{}", dry.stderr);
    assert!(dry.stderr.contains("nothing was changed"), "{}", dry.stderr);
    assert!(dry.stdout.contains("sanitized.people"), "{}", dry.stdout);
    assert_eq!(project.rows("SELECT count(*) AS n FROM raw.people WHERE email = 'marker@x.org'")[0]["n"], 2);

    project.ok(&[&FORGET[..], &["--reason", "request 12"]].concat());
    assert_eq!(traces(&project), Vec::<String>::new());
    assert_eq!(others(&project), before);
    let total = |release: &str| {
        project.ok(&["query", "--release", release, "-o", "csv", "SELECT * FROM enhanced.total"])
    };
    assert_eq!(total("1"), "n,phone\n1,222\n");
    assert_eq!(total("2"), "n,phone\n2,333\n");

    // The next run has nothing to do, and a rebuild as of then gives the redacted content.
    let output = project.laguna(&["run", "--exclude", "sanitized.single"]);
    assert!(output.stderr.contains("nothing to do"), "{}", output.stderr);
    let rebuilt = project.laguna(&["run", "--json", "--as-of", then.as_str().unwrap()]);
    let verdicts: Vec<Value> =
        rebuilt.json_lines().into_iter().filter(|line| line["verdict"].is_string()).collect();
    assert_eq!(verdicts.len(), 7, "{}", rebuilt.stdout);
    assert!(
        verdicts.iter().all(|line| matches!(line["verdict"].as_str(), Some("equal" | "view"))),
        "{verdicts:#?}"
    );

    // It is told.
    let receipts = project.rows("SELECT DISTINCT subject, predicate, reason, published FROM system.erasures");
    assert_eq!(
        receipts,
        [json!({"subject": "raw.people", "predicate": "email = ?", "reason": "request 12", "published": 3})]
    );
    let by_release = project.rows(
        "SELECT \"table\", release, how, rows_removed FROM system.erasures WHERE \"table\" LIKE 'enhanced.%' OR \"table\" = 'sanitized.people' ORDER BY 1, 2",
    );
    let told = |table: &str, release: u64, rows: u64| json!({"table": table, "release": release, "how": "rebuilt", "rows_removed": rows});
    assert_eq!(
        by_release,
        [told("enhanced.loud", 1, 1), told("enhanced.total", 1, 0), told("sanitized.people", 1, 1),]
    );
    let history: Vec<Value> = serde_json::from_str(&project.ok(&["history", "-o", "json"])).unwrap();
    let redacted = |release: usize| history[history.len() - release]["redacted"].as_array().unwrap().len();
    assert!(redacted(1) >= 4 && redacted(2) >= 1, "{history:#?}");
    assert_eq!(redacted(3), 0, "{history:#?}");
    let told = project.laguna(&["query", "--release", "1", "SELECT 1 AS one"]).stderr;
    assert!(told.contains("note: rows were forgotten: sanitized.people at 20"), "{told}");
    assert!(!project.laguna(&["query", "SELECT 1 AS one"]).stderr.contains("forgotten"));

    // Nothing more to forget; the old version is refused; a redacted release can be published again.
    let again = project.laguna(&FORGET);
    assert_eq!(
        (again.code, again.stderr.contains("no row meets the condition")),
        (0, true),
        "{}",
        again.stderr
    );
    let told = project.fails(2, &["query", "SELECT * FROM raw.people FOR VERSION AS OF 0"]);
    assert!(told.contains("has no version 0 any more: rows of it were forgotten"), "{told}");
    project.ok(&["rollback", "--to", "1"]);
    assert_eq!(project.rows("SELECT id FROM sanitized.people"), [json!({"id": 2})]);
    assert_eq!(traces(&project), Vec::<String>::new());
}

#[test]
fn what_cannot_be_forgotten_is_refused_before_anything_changes() {
    let project = Project::empty()
        .write("raw/people.yml", "source: {files: 'people/*.csv'}\n")
        .write("people/1.csv", "id,email\n1,marker@x.org\n2,bob@x.org\n")
        .write("sanitized/shuffled.sql", "SELECT id, email, random() AS place FROM raw.people")
        .write("sanitized/lots.sql", "SELECT count(*) AS n, random() AS place FROM raw.people");
    project.ok(&["run"]);
    let told = project.fails(1, &FORGET);
    assert!(told.contains("nothing was forgotten"), "{told}");
    assert!(
        told.contains("sanitized.lots of release 1: building it again does not give what was released"),
        "{told}"
    );
    assert_eq!(project.rows("SELECT count(*) AS n FROM raw.people"), [json!({"n": 2})]);
    assert!(!project.path().join("lake/_laguna/erasures").exists());

    let told = project.fails(2, &["forget", "--table", "raw.people", "--where", "emial = 'x'"]);
    assert!(told.contains("--where:1:1: there is no column `emial`"), "{told}");
    assert!(told.contains("email"), "{told}");
    project.fails(2, &["forget", "--table", "raw.people", "--where", "random() < 2"]);
    project.fails(2, &["forget", "--table", "sanitized.lots", "--where", "n = 1"]);
    let told = project.fails(2, &["forget", "--table", "raw.peple", "--where", "id = 1"]);
    assert!(told.contains("raw.people"), "{told}");
}

#[test]
fn a_model_that_cannot_be_built_again_is_filtered_where_it_has_the_columns() {
    let project = Project::empty()
        .write("raw/people.yml", "source: {files: 'people/*.csv'}\n")
        .write("people/1.csv", "id,email\n1,marker@x.org\n2,bob@x.org\n")
        .write("sanitized/shuffled.sql", "SELECT id, email, random() AS place FROM raw.people");
    project.ok(&["run"]);
    let sql = "SELECT * FROM sanitized.shuffled WHERE id = 2";
    let before = project.rows(sql);
    let output = project.laguna(&FORGET);
    assert_eq!(output.code, 0, "{}", output.stderr);
    assert!(
        output.stderr.contains("sanitized.shuffled of release 1 is filtered by the condition"),
        "{}",
        output.stderr
    );
    assert_eq!(project.rows(sql), before);
    assert_eq!(project.rows("SELECT count(*) AS n FROM sanitized.shuffled"), [json!({"n": 1})]);
    assert_eq!(traces(&project), Vec::<String>::new());
}

#[test]
fn dying_at_every_step_leaves_what_the_next_command_finishes() {
    let project = project();
    let undisturbed = twin(&project);
    undisturbed.ok(&FORGET);
    let expected = content(&undisturbed);
    let gap = (160 / rounds(12)).max(1);
    let (mut step, mut died_begun) = (1, 0);
    let ended = loop {
        let project = twin(&project);
        let mut command = project.command(&FORGET);
        let output =
            command.env("LAGUNA_KILL_POINT", step.to_string()).stdout(Stdio::null()).output().unwrap();
        if output.status.success() {
            break step;
        }
        let place = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(place.contains("kill point"), "step {step} ended otherwise: {place}");
        let begun = project.path().join("lake/_laguna/erasures/unfinished.json");
        died_begun += u64::from(begun.exists());
        // A run and maintenance finish what was begun, as the same command does.
        let next: [&[&str]; 3] = [&["run", "sanitized.other"], &["maintain"], &[]];
        let next = next[(step / gap % 3) as usize];
        if !next.is_empty() {
            let Output { code, stderr, .. } = project.laguna(next);
            assert_eq!(code, 0, "after dying at step {step}: {stderr}");
            assert!(!begun.exists(), "{place}");
        }
        project.ok(&FORGET);
        assert_eq!(content(&project), expected, "after dying at step {step}: {place}");
        assert_eq!(traces(&project), Vec::<String>::new(), "after dying at step {step}: {place}");
        step += gap;
    };
    assert!(ended > 60 && died_begun > 3, "an erasure has more steps than {ended}; {died_begun} had begun");
}

#[test]
fn a_reader_sees_whole_releases_meanwhile() {
    let project = project();
    let stop = Arc::new(AtomicBool::new(false));
    let sql = "SELECT (SELECT count(*) FROM sanitized.people) AS a, (SELECT max(n) FROM enhanced.total) AS b, (SELECT count(*) FROM enhanced.loud) AS c";
    let mut query = project.command(&["query", "--release", "1", "-o", "ndjson", sql]);
    let reader = {
        let stop = stop.clone();
        std::thread::spawn(move || {
            let mut seen = Vec::new();
            while !stop.load(Ordering::SeqCst) || seen.last() != Some(&1) {
                let output = query.output().unwrap();
                // A reader that began before may miss a file that has gone; it reads nothing wrong.
                if output.status.success() {
                    let row: Value = serde_json::from_slice(output.stdout.trim_ascii()).unwrap();
                    assert!(row["a"] == row["b"] && row["b"] == row["c"], "half an erasure was seen: {row}");
                    seen.push(row["a"].as_i64().unwrap());
                }
            }
            seen
        })
    };
    while project.laguna(&["query", "--release", "1", "SELECT 1 AS one"]).code != 0 {}
    project.ok(&FORGET);
    stop.store(true, Ordering::SeqCst);
    let mut seen = reader.join().expect("the reader saw only whole releases");
    seen.dedup();
    assert!(seen == [2, 1] || seen == [1], "{seen:?}");
}

#[test]
fn forgetting_and_maintenance_in_any_order_leave_the_same() {
    let project = project();
    let undisturbed = twin(&project);
    undisturbed.ok(&FORGET);
    let expected = content(&undisturbed);
    let lake = |project: &Project| project.path().join("lake");
    // The blocked table keeps the exit code of a run at 1.
    let run = |project: &Project| assert!(project.laguna(&["run"]).code <= 1);

    // Logs are cut, then rows go.
    let first = twin(&project);
    first.ok(&["maintain"]);
    age(&lake(&first));
    run(&first);
    first.ok(&["maintain"]);
    first.ok(&FORGET);
    assert_eq!(content(&first), expected);
    assert_eq!(traces(&first), Vec::<String>::new());

    // Rows go, then logs are cut, twice; then other rows go.
    for project in [&first, &undisturbed] {
        for _ in 0..2 {
            age(&lake(project));
            project.ok(&["maintain"]);
            run(project);
            assert_eq!(content(project), expected);
        }
        assert_eq!(traces(project), Vec::<String>::new());
        project.ok(&["forget", "--table", "raw.people", "--where", "email = 'eve@x.org'"]);
        project.ok(&["maintain"]);
        let gone = project.rows("SELECT count(*) AS n FROM raw.people WHERE email = 'eve@x.org'");
        assert_eq!(gone, [json!({"n": 0})]);
        assert_eq!(project.rows("SELECT email FROM latest.people"), [json!({"email": "bob@x.org"})]);
    }
    assert_eq!(content(&first), content(&undisturbed));
}
