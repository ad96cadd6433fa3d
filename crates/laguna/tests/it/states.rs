//! What is kept of files that were checked: after an append only the new ones are read, and nothing kept outlives the
//! rows that it was taken from.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::kit::{Project, age};

const SUITE: &str = r#"{"name": "s", "expectations": [
 {"type": "expect_column_values_to_be_in_set", "kwargs": {"column": "c", "value_set": ["a", "b", "c"], "mostly": 0.5}},
 {"type": "expect_column_mean_to_be_between", "kwargs": {"column": "v", "min_value": 0, "max_value": 500}},
 {"type": "expect_column_values_to_be_unique", "kwargs": {"column": "id"}},
 {"type": "expect_column_unique_value_count_to_be_between", "kwargs": {"column": "c", "max_value": 9}}]}"#;

fn rows(from: usize, count: usize) -> String {
    let row = |id: usize| format!("{id},{}.5,{}\n", id % 97, ["a", "b", "c", "odd"][id % 4]);
    std::iter::once("id,v,c\n".to_string()).chain((from..from + count).map(row)).collect()
}

fn project() -> Project {
    Project::empty()
        .write("raw/x.yml", "source: {files: 'data/*.csv'}\n")
        .write("data/1.csv", &rows(0, 20_000))
        .write("suite.json", SUITE)
}

/// The report on one table.
#[track_caller]
fn report(project: &Project, args: &[&str]) -> Value {
    let output = project.laguna(&[&["check", "-o", "json", "--explain"], args].concat());
    assert!(output.code < 2, "{}", output.stderr);
    serde_json::from_str::<Value>(&output.stdout).unwrap()["tables"][0].clone()
}

/// Files that were read, and that were answered by what was kept.
fn read_and_kept(report: &Value) -> (u64, u64) {
    let number = |name: &str| report["files"][name].as_u64().unwrap_or_else(|| panic!("{name} in {report}"));
    (number("read"), number("kept"))
}

/// What a report says of the rows, whatever it read for it.
fn said(report: &Value) -> Value {
    let mut checks = report["checks"].clone();
    for check in checks.as_array_mut().unwrap() {
        check.as_object_mut().unwrap().remove("answered");
    }
    json!([report["rows"], checks])
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let all = entries.map(|entry| entry.unwrap().path());
    all.flat_map(|path| if path.is_dir() { files_below(&path) } else { vec![path] }).collect()
}

fn states(project: &Project) -> PathBuf {
    project.path().join("lake/_laguna/states")
}

#[test]
fn after_an_append_only_the_new_files_are_read() {
    let project = project();
    project.ok(&["run"]);
    let raw = ["raw.x", "--suite", "suite.json"];
    let first = report(&project, &raw);
    let files = first["files"]["files"].as_u64().unwrap();
    assert_eq!(read_and_kept(&first), (files, 0));
    let again = report(&project, &raw);
    assert_eq!((read_and_kept(&again), &again["bytes_read"]), ((0, files), &json!(0)));
    assert!(again["checks"].as_array().unwrap().iter().all(|check| check["answered"] == "kept"), "{again}");
    assert_eq!(said(&again), said(&first));

    let before: Vec<PathBuf> = files_below(&project.path().join("lake/raw/x"));
    project.put("data/2.csv", rows(20_000, 10).as_bytes());
    project.ok(&["run"]);
    let new = files_below(&project.path().join("lake/raw/x"));
    let new = new
        .iter()
        .filter(|path| path.extension().is_some_and(|end| end == "parquet") && !before.contains(path));
    let new: u64 = new.map(|path| path.metadata().unwrap().len()).sum();
    let appended = report(&project, &raw);
    assert_eq!(read_and_kept(&appended), (1, files));
    let bytes = appended["bytes_read"].as_u64().unwrap();
    assert!(bytes > 0 && bytes <= new, "{bytes} of {new} bytes");
    let told = project.laguna(&["check", "raw.x", "--suite", "suite.json", "--explain"]);
    assert!(told.stderr.contains(&format!("raw.x: 0 of {} files read", files + 1)), "{}", told.stderr);
    assert!(told.stdout.contains("kept states"), "{}", told.stdout);

    // Another threshold asks nothing new; another check only for its own column.
    project.put("suite.json", SUITE.replace("0.5", "0.9").as_bytes());
    let edited = report(&project, &raw);
    assert_eq!(read_and_kept(&edited).0, 0);
    assert_eq!(edited["checks"][0]["success"], false);
    // What it refuses is looked for where it is.
    assert_eq!(edited["checks"][0]["failing_rows"].as_array().unwrap().len(), 5);

    std::fs::remove_dir_all(states(&project)).unwrap();
    assert_eq!(said(&report(&project, &raw)), said(&edited));
}

#[test]
fn an_incremental_model_is_judged_without_reading_what_is_kept_of_it() {
    let settings = "materialize: {incremental: {key: id, watermark: id}}\non_fail: warn\nchecks:\n\
                    - {accepted_values: {column: c, value_set: [a, b, c]}}\n- {unique: id}\n\
                    - {mean: {column: v, max_value: 500}}\n";
    let bytes = |forgetful: bool| {
        let project = project()
            .write("sanitized/x.sql", "SELECT id, v, c FROM raw.x\n")
            .write("sanitized/x.yml", settings);
        project.ok(&["run"]);
        // The file with the newest row is written again, and read for that; the others are only judged.
        project.put("data/2.csv", rows(20_000, 10).as_bytes());
        project.ok(&["run"]);
        project.put("data/3.csv", rows(20_010, 10).as_bytes());
        if forgetful {
            std::fs::remove_dir_all(states(&project)).unwrap();
        }
        project.ok(&["run"]);
        let read = project.rows(
            "SELECT value FROM system.metrics WHERE node = 'sanitized.x' AND metric = 'bytes_read' ORDER BY time DESC LIMIT 1",
        );
        let verdicts = project.rows(
            "SELECT check, success, message FROM system.checks WHERE node = 'sanitized.x' ORDER BY time DESC, check LIMIT 3",
        );
        (read[0]["value"].as_f64().unwrap(), verdicts, project)
    };
    let (with, told, project) = bytes(false);
    let (without, told_without, _) = bytes(true);
    assert!(with < without, "{with} against {without} bytes");
    assert_eq!(told, told_without);
    // What the run has kept is what a check finds.
    assert_eq!(read_and_kept(&report(&project, &["sanitized.x"])).0, 0);
}

#[test]
fn a_state_that_is_damaged_or_cannot_be_kept_costs_a_read_and_nothing_else() {
    let project = project();
    project.ok(&["run"]);
    let raw = ["raw.x", "--suite", "suite.json"];
    let first = report(&project, &raw);
    for state in files_below(&states(&project)) {
        let mut bytes = std::fs::read(&state).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(&state, bytes).unwrap();
    }
    let damaged = report(&project, &raw);
    assert_eq!(read_and_kept(&damaged).1, 0);
    assert_eq!(said(&damaged), said(&first));
    assert_eq!(read_and_kept(&report(&project, &raw)).0, 0);
    // No folder can be made where a file stands.
    std::fs::remove_dir_all(states(&project)).unwrap();
    std::fs::write(states(&project), "in the way").unwrap();
    for _ in 0..2 {
        let unkept = report(&project, &raw);
        assert_eq!(read_and_kept(&unkept).1, 0);
        assert_eq!(said(&unkept), said(&first));
    }
}

#[test]
fn the_past_is_judged_by_the_rows_that_had_arrived() {
    let project = project();
    project.ok(&["run"]);
    project.put("data/2.csv", rows(20_000, 10).as_bytes());
    project.ok(&["run"]);
    let past = ["raw.x", "--suite", "suite.json", "--release", "1"];
    let then = report(&project, &past);
    assert_eq!(then["rows"], 20_000);
    let now = report(&project, &["raw.x", "--suite", "suite.json"]);
    assert_eq!((&now["rows"], read_and_kept(&now).0), (&json!(20_010), 1));
    // Joined, rows of both runs lie in one file: what is kept of it is not what was there then.
    project.ok(&["maintain"]);
    report(&project, &["raw.x", "--suite", "suite.json"]);
    assert_eq!(said(&report(&project, &past)), said(&then));
}

#[test]
fn what_is_kept_goes_with_its_file() {
    let suite = r#"{"name": "s", "expectations": [
 {"type": "expect_column_values_to_be_in_set", "kwargs": {"column": "name", "value_set": ["Bob"]}},
 {"type": "expect_column_values_to_be_in_set", "kwargs": {"column": "email", "value_set": ["a@x.org"]}},
 {"type": "expect_column_distinct_values_to_be_in_set", "kwargs": {"column": "email", "value_set": ["a@x.org"]}}]}"#;
    let settings = "materialize: {incremental: {key: id, watermark: id}}\non_fail: warn\n\
                    checks: [{accepted_values: {column: name, value_set: [Bob]}}]\n";
    let project = Project::empty()
        .write("raw/people.yml", "source: {files: 'people/*.csv'}\n")
        .write("people/1.csv", "id,email,name\n1,marker@x.org,Zaphod\n2,bob@x.org,Bob\n")
        .write("sanitized/people.sql", "SELECT id, name FROM raw.people\n")
        .write("sanitized/people.yml", settings)
        .write("suite.json", suite);
    project.ok(&["run"]);
    project.put("people/2.csv", b"id,email,name\n3,eve@x.org,Eve\n");
    project.ok(&["run"]);
    report(&project, &["raw.people", "--suite", "suite.json"]);
    let traces = |project: &Project| {
        let holds = |path: &PathBuf| {
            let bytes = std::fs::read(path).unwrap();
            let text = String::from_utf8_lossy(&bytes);
            text.contains("marker@x.org") || text.contains("Zaphod")
        };
        files_below(&states(project)).into_iter().filter(holds).count()
    };
    // In raw, in the model's file and in the one that was there before.
    assert_eq!(traces(&project), 3, "{:?}", files_below(&states(&project)));
    project.ok(&["forget", "--table", "raw.people", "--where", "email = 'marker@x.org'"]);
    assert_eq!(traces(&project), 0, "{:?}", files_below(&states(&project)));
    let after = report(&project, &["raw.people", "--suite", "suite.json"]);
    assert_eq!(after["rows"], 2);
    assert!(!after.to_string().contains("marker"), "{after}");

    // Maintenance leaves the states of files that are there, and takes that of one which no table names with it.
    project.ok(&["run", "--full"]);
    let stray = project.path().join("lake/raw/people/stray.parquet");
    let of_stray = states(&project).join("raw.people/stray.parquet.state");
    std::fs::write(&stray, "rows").unwrap();
    std::fs::write(&of_stray, "state").unwrap();
    age(&project.path().join("lake"));
    project.ok(&["maintain"]);
    assert!(!stray.exists() && !of_stray.exists());
    let left = files_below(&states(&project));
    assert!(!left.is_empty());
    for state in left {
        let within = state.strip_prefix(states(&project)).unwrap().to_string_lossy().into_owned();
        let file = within.trim_end_matches(".state").replacen('.', "/", 1);
        assert!(project.path().join("lake").join(&file).exists(), "{file}");
    }
}
