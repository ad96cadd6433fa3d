//! `laguna check`: suites of Great Expectations on files and on the lake's tables, its reports, and checks that are edited.

use serde_json::{Value, json};

use crate::kit::Project;

mod differences;

const ROWS: &str = "id,v,c\n1,10,a\n2,20,b\n2,,b\n3,70,zz\n4,70,q\n";

/// A folder with a file, and a suite of which some expectations hold.
fn folder() -> Project {
    let project = Project { dir: tempfile::tempdir().unwrap() };
    project.write("data.csv", ROWS).write(
        "suite.json",
        r#"{"name": "small", "expectations": [
 {"type": "expect_column_values_to_be_between", "kwargs": {"column": "v", "min_value": 1, "max_value": 50}, "meta": {"who": "me"}, "notes": "n"},
 {"type": "expect_column_values_to_not_be_null", "kwargs": {"column": "v"}, "severity": "warning"},
 {"type": "expect_column_values_to_be_unique", "kwargs": {"column": "id"}},
 {"type": "expect_column_mean_to_be_between", "kwargs": {"column": "v", "min_value": 1, "max_value": 50}},
 {"type": "expect_table_row_count_to_equal", "kwargs": {"value": 5}}]}"#,
    )
}

/// A project of one model, whose checks stand in `settings`.
fn lake(settings: &str) -> Project {
    Project::empty()
        .write("raw/x.yml", "source: {files: \"data/*.csv\"}\n")
        .write("data/1.csv", ROWS)
        .write("sanitized/x.sql", "SELECT * FROM raw.x\n")
        .write("sanitized/x.yml", settings)
        .write("enhanced/y.sql", "SELECT count(*) AS n FROM sanitized.x\n")
}

#[track_caller]
fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[test]
fn files_are_checked_without_a_project() {
    let folder = folder();
    let output = folder.laguna(&[
        "check",
        "data.csv",
        "--suite",
        "suite.json",
        "-o",
        "ge",
        "--result-format",
        "COMPLETE",
    ]);
    assert_eq!(output.code, 1, "{}", output.stderr);
    let result = parsed(&output.stdout);
    assert_eq!(result["success"], false);
    assert_eq!(result["suite_name"], "small");
    assert_eq!(
        result["statistics"],
        json!({"evaluated_expectations": 5, "successful_expectations": 2, "unsuccessful_expectations": 3, "success_percent": 40.0})
    );
    let between = &result["results"][0];
    assert_eq!(between["expectation_config"]["meta"], json!({"who": "me"}));
    assert_eq!(between["expectation_config"]["notes"], "n");
    assert_eq!(between["exception_info"]["raised_exception"], false);
    let seen = &between["result"];
    assert_eq!(seen["element_count"], 5);
    assert_eq!(seen["unexpected_count"], 2);
    assert_eq!(seen["unexpected_percent"], 50.0);
    assert_eq!(seen["unexpected_percent_total"], 40.0);
    assert_eq!((&seen["missing_count"], &seen["missing_percent"]), (&json!(1), &json!(20.0)));
    assert_eq!(seen["partial_unexpected_counts"], json!([{"value": 70, "count": 2}]));
    assert_eq!(seen["unexpected_index_list"], json!([3, 4]));
    assert_eq!(seen["unexpected_index_query"], "df.filter(items=[3, 4], axis=0)");
    let summary = folder.laguna(&["check", "data.csv", "--suite", "suite.json", "-o", "ge"]);
    let summary = &parsed(&summary.stdout)["results"][0]["result"];
    assert_eq!(
        (&summary["partial_unexpected_index_list"], summary.get("unexpected_list")),
        (&json!([3, 4]), None)
    );
    let nulls = result["results"][1]["result"].as_object().unwrap();
    assert!(!nulls.contains_key("missing_count"), "a check of nulls judges every row: {nulls:?}");
    assert_eq!(result["results"][3]["result"], json!({"observed_value": 42.5}));
    // What passes exits with 0, what is only a warning too unless that is asked for.
    folder.put("warned.json", br#"{"name": "w", "expectations": [{"type": "expect_column_values_to_not_be_null", "kwargs": {"column": "v"}, "severity": "warning"}]}"#);
    folder.ok(&["check", "data.csv", "--suite", "warned.json"]);
    folder.fails(1, &["check", "data.csv", "--suite", "warned.json", "--fail-on", "warning"]);
}

#[test]
fn files_of_every_format_and_several_at_once_are_one_table() {
    let folder = folder();
    folder.put("more/a.ndjson", b"{\"id\": 7, \"v\": 1}\n{\"id\": 8, \"v\": null}\n");
    folder.put("more/b.csv", b"id,v\n9,3\n");
    folder.put("rows.json", br#"{"name": "r", "expectations": [{"type": "expect_table_row_count_to_equal", "kwargs": {"value": 3}},
        {"type": "expect_column_values_to_not_be_null", "kwargs": {"column": "v"}}]}"#);
    let output = folder.laguna(&["check", "more/*", "--suite", "rows.json", "-o", "json"]);
    assert_eq!(output.code, 1, "{}", output.stderr);
    let report = parsed(&output.stdout);
    let table = &report["tables"][0];
    assert_eq!((&table["rows"], &table["passed"], &table["failed"]), (&json!(3), &json!(1), &json!(1)));
    assert_eq!(
        table["checks"][1]["failing_rows"],
        json!([{"file": "more/a.ndjson", "number": 2, "row": {"id": 8, "v": null}}])
    );
}

#[test]
fn a_wrong_suite_or_file_exits_with_2_and_says_where() {
    let folder = folder();
    folder.put(
        "bad.json",
        b"{\"name\": \"s\", \"expectations\": [\n {\"type\": \"expect_nothing\", \"kwargs\": {}}]}",
    );
    let said = folder.fails(2, &["check", "data.csv", "--suite", "bad.json"]);
    assert!(said.contains("bad.json:2:3: there is no check `expect_nothing`"), "{said}");
    folder.fails(2, &["check", "data.csv", "--suite", "absent.json"]);
    let said = folder.fails(2, &["check", "absent.csv", "--suite", "suite.json"]);
    assert!(said.contains("no file matches `absent.csv`"), "{said}");
    let said = folder.fails(2, &["check", "data.csv"]);
    assert!(said.contains("--suite"), "{said}");
    folder.put("torn.csv", b"id,v\n1,2,3\n");
    let said = folder.fails(2, &["check", "torn.csv", "--suite", "suite.json"]);
    assert!(said.contains("row 1 of `torn.csv`"), "{said}");
}

#[test]
fn parameters_are_given_on_the_command_line() {
    let folder = folder();
    folder.put("p.json", br#"{"name": "p", "expectations": [{"type": "expect_table_row_count_to_equal", "kwargs": {"value": {"$PARAMETER": "rows"}}}]}"#);
    folder.ok(&["check", "data.csv", "--suite", "p.json", "--param", "rows=5"]);
    folder.fails(1, &["check", "data.csv", "--suite", "p.json", "--param", "rows=6"]);
    let said = folder.fails(2, &["check", "data.csv", "--suite", "p.json"]);
    assert!(said.contains("p.json:1") && said.contains("rows"), "{said}");
    for (wrong, says) in [("=5", "names no parameter"), ("rows", "has no value")] {
        let said = folder.fails(2, &["check", "data.csv", "--suite", "p.json", "--param", wrong]);
        assert!(said.contains(says), "{said}");
    }
}

#[test]
fn reports_for_build_servers_and_browsers_stand_alone() {
    let folder = folder();
    let output = folder.laguna(&["check", "data.csv", "--suite", "suite.json", "-o", "junit"]);
    assert!(
        output.stdout.starts_with("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites "),
        "{}",
        output.stdout
    );
    assert!(output.stdout.contains("tests=\"5\" failures=\"3\" errors=\"0\""), "{}", output.stdout);
    assert_eq!(output.stdout.matches("<testcase").count(), 5);
    let page = folder.laguna(&["check", "data.csv", "--suite", "suite.json", "-o", "html"]).stdout;
    assert!(page.starts_with("<!doctype html>"), "{page}");
    for part in ["<td>data.csv<td>4", "zz", "are null", "expect_column_values_to_be_between"] {
        assert!(page.contains(part), "{part} in {page}");
    }
    assert!(!page.contains("http://") && !page.contains("https://") && !page.contains("<script"), "{page}");
}

#[test]
fn a_table_names_a_suite_in_its_settings() {
    let project = lake("on_fail: block\nchecks:\n  - suite: checks/x.json\n");
    let said = project.fails(2, &["run"]);
    assert!(said.contains("sanitized/x.yml:3") && said.contains("checks/x.json"), "{said}");
    project.put("checks/x.json", b"{\"name\": \"x\",\n \"expectations\": [{\"type\": \"expect_column_values_to_not_be_null\", \"kwargs\": {\"column\": \"v\"}}]}");
    let output = project.laguna(&["run"]);
    assert_eq!(output.code, 1, "{}", output.stderr);
    assert!(output.stderr.contains("1 of 5 values of v are null"), "{}", output.stderr);
    project.put("checks/x.json", b"{\"name\": \"x\",\n \"expectations\": [{\"type\": \"expect_column_values_to_not_be_null\", \"kwargs\": {\"column\": \"id\"}}]}");
    project.ok(&["run"]);
    // The suite is part of the code that a release keeps: the past can be built again when it is gone.
    let now = project.rows("SELECT max(time) AS t FROM system.releases");
    let now = now[0]["t"].as_str().unwrap().to_string();
    std::fs::remove_dir_all(project.path().join("checks")).unwrap();
    project.put("sanitized/x.yml", b"{}\n");
    project.ok(&["run", "--as-of", &now, "--code", "then"]);
    project.put("sanitized/x.yml", b"columns: {v: {checks: [{suite: checks/x.json}]}}\n");
    let said = project.fails(2, &["validate"]);
    assert!(said.contains("a suite is about a table"), "{said}");
}

#[test]
fn released_tables_are_checked_now_and_as_they_were() {
    let project = lake("checks: [not_null: id]\n");
    let said = project.fails(2, &["check"]);
    assert!(said.contains("not released yet: sanitized.x"), "{said}");
    project.ok(&["run"]);
    let first = project.ok(&["check", "--json", "--explain"]);
    let lines: Vec<Value> = first.lines().map(parsed).collect();
    assert_eq!((&lines[0]["table"], &lines[0]["success"]), (&json!("sanitized.x"), &json!(true)));
    // The log knows that no value is null: nothing is read.
    assert_eq!(lines[0]["answered"], "statistics");
    assert_eq!((&lines[1]["event"], &lines[1]["bytes_read"]), (&json!("done"), &json!(0)));
    project.put("data/2.csv", b"id,v,c\n5,500,e\n");
    project.ok(&["run"]);
    project.put("s.json", br#"{"name": "s", "expectations": [{"type": "expect_column_max_to_be_between", "kwargs": {"column": "v", "max_value": 100}}]}"#);
    project.fails(1, &["check", "sanitized.x", "--suite", "s.json"]);
    project.ok(&["check", "sanitized.x", "--suite", "s.json", "--release", "1"]);
    // A raw table can be named too, and its rows are known by file and number.
    project.put("n.json", br#"{"name": "n", "expectations": [{"type": "expect_column_values_to_not_be_null", "kwargs": {"column": "v"}}]}"#);
    let output = project.laguna(&["check", "raw.x", "--suite", "n.json", "-o", "json"]);
    assert_eq!(output.code, 1, "{}", output.stderr);
    let rows = &parsed(&output.stdout)["tables"][0]["checks"][0]["failing_rows"];
    assert_eq!((&rows[0]["file"], &rows[0]["number"]), (&json!("data/1.csv"), &json!(3)));
    assert_eq!(rows[0]["row"]["c"], "b");
    let before = project.ok(&["history", "-o", "json"]);
    project.laguna(&["check"]);
    assert_eq!(project.ok(&["history", "-o", "json"]), before, "checking writes nothing");
}

#[test]
fn an_edited_check_judges_the_released_rows_again_and_builds_nothing() {
    let project = lake("on_fail: block\nchecks: [not_null: id]\n");
    project.ok(&["run"]);
    let files = || {
        let folder = project.path().join("lake/sanitized/x");
        std::fs::read_dir(folder)
            .unwrap()
            .filter(|entry| entry.as_ref().unwrap().path().extension().is_some_and(|end| end == "parquet"))
            .count()
    };
    let before = files();
    let finished = |code: i32, args: &[&str]| {
        let output = project.laguna(&[&["run", "--json"], args].concat());
        assert_eq!(output.code, code, "{}\n{}", output.stdout, output.stderr);
        let lines = output.json_lines();
        lines.into_iter().filter(|line| line["event"] == "task_finished").collect::<Vec<_>>()
    };
    project.put("sanitized/x.yml", b"on_fail: block\nchecks: [not_null: id, row_count: {min: 1}]\n");
    let planned = project.ok(&["run", "--dry-run", "--json"]);
    assert!(planned.contains(r#""action":"check","reason":"its checks changed""#), "{planned}");
    let tasks = finished(0, &[]);
    assert_eq!(tasks.len(), 1, "what follows reads the same rows: {tasks:?}");
    assert_eq!((&tasks[0]["node"], &tasks[0]["outcome"]), (&json!("sanitized.x"), &json!("checked")));
    assert_eq!(tasks[0]["rows_out"], 5);
    assert_eq!(files(), before);
    assert_eq!(finished(0, &[]).len(), 0, "once is enough");
    // A check that the released rows fail is said, each time, and readers keep what they have.
    project.put("sanitized/x.yml", b"on_fail: block\nchecks: [not_null: v]\n");
    for _ in 0..2 {
        let tasks = finished(1, &[]);
        assert_eq!(tasks[0]["outcome"], "blocked");
    }
    assert_eq!(project.rows("SELECT n FROM enhanced.y"), [json!({"n": 5})]);
    let kept = project.rows("SELECT count(*) AS n FROM system.checks WHERE NOT success");
    assert_eq!(kept, [json!({"n": 2})]);
    // Where failing rows are set aside, checks decide which rows there are: the table is built.
    project.put("sanitized/x.yml", b"on_fail: quarantine\nchecks: [not_null: v]\n");
    let tasks = finished(0, &[]);
    assert_eq!(tasks[0]["outcome"], "built");
    assert_eq!(project.rows("SELECT n FROM enhanced.y"), [json!({"n": 4})]);
}

#[test]
fn a_suggested_suite_passes_on_the_data_it_came_from() {
    let mut text = String::from("id,kind,share,day,empty\n");
    for row in 0..40 {
        let share = if row == 7 { String::new() } else { format!("{:.3}", f64::from(row) / 40.0) };
        text.push_str(&format!(
            "{row},{},{share},2026-01-{:02},\n",
            ["a", "b", "c: d"][row as usize % 3],
            row % 28 + 1
        ));
    }
    let project = Project::empty()
        .write("raw/x.yml", "source: {files: \"data/*.csv\"}\n")
        .write("data/1.csv", &text)
        .write("sanitized/x.sql", "SELECT id, kind, share, day FROM raw.x\n");
    project.ok(&["run"]);
    let yaml = project.ok(&["check", "--suggest", "sanitized.x"]);
    for part in [
        "- unique  # 40 values",
        "accepted_values: [\"a\",\"b\",\"c: d\"]",
        "{\"mostly\":0.96}",
        "2026-01-01",
    ] {
        assert!(yaml.contains(part), "{part} in {yaml}");
    }
    project.put("sanitized/x.yml", format!("on_fail: block\n{yaml}").as_bytes());
    project.ok(&["run"]);
    let suite = project.ok(&["check", "--suggest", "data/1.csv", "-o", "ge"]);
    assert!(suite.contains("\"notes\": \"40 values, each of them once\""), "{suite}");
    project.put("suggested.json", suite.as_bytes());
    project.ok(&["check", "data/1.csv", "--suite", "suggested.json", "--fail-on", "info"]);
}

#[test]
fn a_backtest_says_at_which_releases_a_suite_would_have_failed() {
    let project = lake("{}\n");
    project.ok(&["run"]);
    project.put("data/2.csv", b"id,v,c\n5,500,e\n");
    project.ok(&["run"]);
    project.put("raw/x.yml", b"source: {files: \"data/*.csv\"}\ndescription: same\n");
    project.put("s.json", br#"{"name": "s", "expectations": [{"type": "expect_column_max_to_be_between", "kwargs": {"column": "v", "max_value": 100}}]}"#);
    let output =
        project.laguna(&["check", "sanitized.x", "--suite", "s.json", "--backtest", "90d", "--json"]);
    assert_eq!(output.code, 0, "{}", output.stderr);
    let lines = output.json_lines();
    let seen: Vec<(u64, u64)> = lines[..lines.len() - 1]
        .iter()
        .map(|line| (line["release"].as_u64().unwrap(), line["failed"].as_u64().unwrap()))
        .collect();
    assert_eq!(seen, [(1, 0), (2, 1)]);
    assert_eq!(lines[lines.len() - 1]["would_have_failed"], 1);
    let said = project.fails(2, &["check", "--suite", "s.json", "--backtest", "soon"]);
    assert!(said.contains("`soon` is not a duration"), "{said}");
}

#[test]
fn what_the_log_of_a_table_knows_is_not_read() {
    let project = lake("{}\n");
    project.ok(&["run"]);
    project.put("s.json", br#"{"name": "s", "expectations": [
        {"type": "expect_column_values_to_be_between", "kwargs": {"column": "id", "min_value": 1, "max_value": 4}},
        {"type": "expect_column_max_to_be_between", "kwargs": {"column": "v", "max_value": 60}},
        {"type": "expect_column_values_to_be_between", "kwargs": {"column": "id", "min_value": 2}},
        {"type": "expect_column_values_to_not_be_null", "kwargs": {"column": "v"}},
        {"type": "expect_table_row_count_to_equal", "kwargs": {"value": 5}}]}"#);
    let output = project.laguna(&[
        "check",
        "sanitized.x",
        "--suite",
        "s.json",
        "--explain",
        "--rows",
        "0",
        "-o",
        "json",
    ]);
    assert_eq!(output.code, 1, "{}", output.stderr);
    let report = parsed(&output.stdout);
    let checks = report["tables"][0]["checks"].as_array().unwrap().clone();
    let seen: Vec<(&str, bool, u64)> = checks
        .iter()
        .map(|check| {
            (
                check["answered"].as_str().unwrap(),
                check["success"] == true,
                check["element_count"].as_u64().unwrap(),
            )
        })
        .collect();
    // A bound that is exceeded, and nulls, are counted in the pass.
    let expected = [
        ("statistics", true, 5),
        ("statistics", false, 5),
        ("pass", false, 5),
        ("pass", false, 5),
        ("statistics", true, 5),
    ];
    assert_eq!(seen, expected);
    assert_eq!(checks[1]["observed"], 70);
    assert_eq!((&checks[2]["unexpected_count"], &checks[3]["unexpected_count"]), (&json!(1), &json!(1)));
}

#[test]
fn a_run_keeps_failing_rows_with_the_verdict() {
    let project = lake("checks: [not_null: v]\n");
    project.ok(&["run"]);
    let rows = project.rows("SELECT success, missing_count, examples, failing_rows FROM system.checks");
    assert_eq!(rows.len(), 1);
    let failing = parsed(rows[0]["failing_rows"].as_str().unwrap());
    assert_eq!(failing[0]["row"], json!({"id": 2, "v": null, "c": "b"}));
}

#[test]
fn ten_thousand_expectations_and_a_hundred_thousand_values_are_no_trouble() {
    let folder = folder();
    let mut all: Vec<Value> = (0..10_000)
        .map(|at| json!({"type": "expect_column_values_to_be_between", "kwargs": {"column": "id", "min_value": -at, "max_value": 4 + at}}))
        .collect();
    let values: Vec<i64> = (0..100_000).collect();
    all.push(
        json!({"type": "expect_column_values_to_be_in_set", "kwargs": {"column": "v", "value_set": values}}),
    );
    all.push(json!({"type": "expect_column_values_to_not_be_null", "kwargs": {"column": "héllo"}}));
    let suite = json!({"name": "many", "expectations": all});
    folder.put("many.json", suite.to_string().as_bytes());
    let output =
        folder.laguna(&["check", "data.csv", "--suite", "many.json", "-o", "ge", "--result-format", "BASIC"]);
    assert_eq!(output.code, 1, "{}", output.stderr);
    let result = parsed(&output.stdout);
    assert_eq!(result["statistics"]["successful_expectations"], 10_001);
    // What could not be computed comes first, and says why.
    let first = &result["results"][0];
    assert_eq!((&first["success"], &first["result"]), (&json!(false), &json!({})));
    let raised = first["exception_info"].as_object().unwrap().values().next().unwrap();
    assert!(raised["exception_message"].as_str().unwrap().contains("héllo"), "{raised}");
}
