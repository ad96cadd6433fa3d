//! Verdicts on files where a differential test against Great Expectations 1.24.1 once found others: its own are expected.

use serde_json::{Value, json};

use super::parsed;
use crate::kit::Project;

/// The results of expectations, given as type and arguments, on one file.
#[track_caller]
fn results(name: &str, text: &str, expectations: &[(&str, Value)]) -> Vec<Value> {
    let folder = Project { dir: tempfile::tempdir().unwrap() };
    folder.put(name, text.as_bytes());
    let all: Vec<Value> =
        expectations.iter().map(|(kind, kwargs)| json!({"type": kind, "kwargs": kwargs})).collect();
    folder.put("s.json", json!({"name": "s", "expectations": all}).to_string().as_bytes());
    let output =
        folder.laguna(&["check", name, "--suite", "s.json", "-o", "ge", "--result-format", "COMPLETE"]);
    assert!(output.code < 2, "{}", output.stderr);
    let mut results = parsed(&output.stdout)["results"].as_array().unwrap().clone();
    // Those that could not be computed come first: back to the order of the suite.
    let place = |result: &Value| {
        let config = &result["expectation_config"];
        let same = |(kind, kwargs): &(&str, Value)| {
            let own = config["kwargs"].as_object().unwrap();
            config["type"] == *kind
                && kwargs.as_object().unwrap().iter().all(|(key, value)| own[key] == *value)
        };
        expectations.iter().position(same).unwrap()
    };
    results.sort_by_key(place);
    results
}

#[track_caller]
fn result(text: &str, kind: &str, kwargs: Value) -> Value {
    results("data.csv", text, &[(kind, kwargs)]).remove(0)
}

/// Whether it holds, and how many values do not.
#[track_caller]
fn seen(text: &str, kind: &str, kwargs: Value) -> (bool, u64) {
    let result = result(text, kind, kwargs.clone());
    assert_eq!(result["exception_info"]["raised_exception"], false, "{kind} {kwargs}: {result}");
    (result["success"] == true, result["result"]["unexpected_count"].as_u64().unwrap_or_default())
}

#[test]
fn combinations_are_told_apart_by_the_places_of_their_values() {
    for text in [
        "t,p,q\nx,p,q\nx,q,p\n",
        "t,p,q\n1,5,\n1,,5\n",
        "t,p,q\n1,1.5,\n1,,1.5\n",
        "t,p,q\n1,2024-01-01,\n1,,2024-01-01\n",
        "t,p,q\nx,true,false\nx,false,true\n",
    ] {
        let kwargs = json!({"column_list": ["t", "p", "q"]});
        assert_eq!(seen(text, "expect_compound_columns_to_be_unique", kwargs), (true, 0), "{text}");
    }
    let kwargs = json!({"column_list": ["t", "p", "q"]});
    let twice = seen("t,p,q\nx,p,\nx,q,p\nx,p,\n", "expect_compound_columns_to_be_unique", kwargs);
    assert_eq!(twice, (false, 2));
}

#[test]
fn numbers_of_a_suite_are_read_to_the_last_bit() {
    let text = "a\n0.013319146013234251\n";
    let a = json!(0.013319146013234251);
    for (kind, kwargs) in [
        ("expect_column_values_to_be_in_set", json!({"column": "a", "value_set": [a]})),
        ("expect_column_max_to_be_between", json!({"column": "a", "min_value": a, "max_value": a})),
        ("expect_column_values_to_be_between", json!({"column": "a", "min_value": a})),
    ] {
        assert_eq!(seen(text, kind, kwargs), (true, 0), "{kind}");
    }
}

#[test]
fn a_column_without_a_value_keeps_its_place() {
    let kind = "expect_table_columns_to_match_ordered_list";
    let wanted = json!({"column_list": ["C 0", "c1", "c2"]});
    let exists = json!({"column": "c1", "column_index": 1});
    for (name, text) in [
        ("d.csv", "C 0,c1,c2\n,1,x\n,2,y\n"),
        (
            "d.ndjson",
            "{\"C 0\": null, \"c1\": 1, \"c2\": \"x\"}\n{\"C 0\": null, \"c1\": 2, \"c2\": \"y\"}\n",
        ),
    ] {
        let seen = results(name, text, &[(kind, wanted.clone()), ("expect_column_to_exist", exists.clone())]);
        assert_eq!(seen[0]["result"]["observed_value"], wanted["column_list"], "{name}");
        assert_eq!((&seen[1]["success"], &seen[1]["result"]), (&json!(true), &json!({})), "{name}");
    }
    // Values stand under their own names.
    let sum = json!({"column": "c1", "min_value": 3, "max_value": 3});
    assert!(seen("c0,c1,c2\n,1,x\n,2,y\n", "expect_column_sum_to_be_between", sum).0);
}

#[test]
fn dates_are_texts_for_each_check_that_looks_at_texts() {
    let text = "d,e,i\n2024-01-01,2024-01-01,1\n2024-01-02,x,2\n2024-01-01,y,3\n";
    let days = json!([null, "2024-01-01", "2024-01-02"]);
    let pairs = json!([["2024-01-01", 1], ["2024-01-02", 2], ["2024-01-01", 3]]);
    let when = |operator: &str, value: u64, other: Value| {
        let condition = match other {
            Value::Null => json!(format!("d {operator} e")),
            other => {
                json!({"type": "comparison", "column": {"name": "d"}, "operator": operator, "parameter": other})
            }
        };
        ("expect_table_row_count_to_equal", json!({"value": value, "row_condition": condition}), (true, 0))
    };
    for (kind, kwargs, expected) in [
        ("expect_column_values_to_be_in_set", json!({"column": "d", "value_set": days}), (true, 0)),
        (
            "expect_column_values_to_be_in_set",
            json!({"column": "d", "value_set": [1, "2024-01-01"]}),
            (false, 1),
        ),
        (
            "expect_column_pair_values_to_be_in_set",
            json!({"column_A": "d", "column_B": "i", "value_pairs_set": pairs}),
            (true, 0),
        ),
        (
            "expect_column_pair_values_to_be_equal",
            json!({"column_A": "d", "column_B": "e", "mostly": 0.3}),
            (true, 2),
        ),
        (
            "expect_multicolumn_values_to_be_equal",
            json!({"column_list": ["d", "e"], "mostly": 0.3}),
            (true, 2),
        ),
        (
            "expect_select_column_values_to_be_unique_within_record",
            json!({"column_list": ["d", "e"]}),
            (false, 1),
        ),
        when("==", 1, Value::Null),
        when("!=", 3, json!("x")),
        when("==", 0, json!("x")),
        when(">", 1, json!("2024-01-01")),
    ] {
        assert_eq!(seen(text, kind, kwargs.clone()), expected, "{kind} {kwargs}");
    }
}

#[test]
fn checks_of_dates_and_of_texts_stand_side_by_side() {
    for days in [["2024-01-01", "2030-06-01"], ["2024-01-01T06:00:00Z", "2030-06-01T00:00:00Z"]] {
        let text = format!("d\n{}\n{}\n", days[0], days[1]);
        let all = [
            ("expect_column_values_to_match_regex", json!({"column": "d", "regex": "^20"})),
            ("expect_column_max_to_be_between", json!({"column": "d", "max_value": "2031-01-01T00:00:00"})),
            ("expect_column_max_to_be_between", json!({"column": "d", "max_value": "2030-05-31"})),
            ("expect_column_values_to_be_between", json!({"column": "d", "min_value": "2025-01-01"})),
            ("expect_column_values_to_be_increasing", json!({"column": "d"})),
            ("expect_column_values_to_be_decreasing", json!({"column": "d"})),
            ("expect_column_values_to_be_in_set", json!({"column": "d", "value_set": days})),
        ];
        let results = results("data.csv", &text, &all);
        let success: Vec<bool> = results.iter().map(|result| result["success"] == true).collect();
        assert_eq!(success, [true, true, false, false, true, false, true], "{results:?}");
        assert_eq!(results[1]["result"]["observed_value"], days[1]);
        assert_eq!(results[3]["result"]["unexpected_list"], json!([days[0]]));
    }
    // Where a text is no date after all, the check of dates says so.
    let mut text = "d\n".to_string() + &"2024-01-01\n".repeat(200_000);
    text.push_str("x\n");
    let all = [
        ("expect_column_values_to_match_regex", json!({"column": "d", "regex": "^20"})),
        ("expect_column_values_to_be_between", json!({"column": "d", "min_value": "2025-01-01"})),
    ];
    let results = results("data.csv", &text, &all);
    assert_eq!(results[0]["result"]["unexpected_list"], json!(["x"]));
    assert!(
        results[1].to_string().contains("`x` in `d` is neither a date nor a timestamp"),
        "{}",
        results[1]
    );
}

#[test]
fn counts_of_failing_values_are_of_all_of_them() {
    let text = "a,b\n".to_string() + &(0..48).map(|row| format!("{},x\n", row % 6 + 1)).collect::<String>();
    let set = result(&text, "expect_column_values_to_be_in_set", json!({"column": "a", "value_set": [1, 2]}));
    let expected: Vec<Value> = (3..7).map(|value| json!({"value": value, "count": 8})).collect();
    assert_eq!(set["result"]["partial_unexpected_counts"], json!(expected));
    let kind = "expect_compound_columns_to_be_unique";
    let pairs = result("a,b\n2,a\n1,b\n1,a\n2,a\n1,a\n1,b\n", kind, json!({"column_list": ["a", "b"]}));
    let two = |a: u64, b: &str| json!({"value": [a, b], "count": 2});
    let expected = json!([two(1, "a"), two(1, "b"), two(2, "a")]);
    assert_eq!(pairs["result"]["partial_unexpected_counts"], expected);
}

#[test]
fn null_in_a_set_is_a_value_that_is_missing() {
    let text = "i\n1\n2\n3\n4\n";
    for (kind, set) in [
        ("expect_column_distinct_values_to_contain_set", json!([1, 2, null])),
        ("expect_column_distinct_values_to_equal_set", json!([1, 2, 3, 4, null, null])),
    ] {
        let result = result(text, kind, json!({"column": "i", "value_set": set}));
        assert_eq!(result["success"], false, "{kind}");
        let seen = &result["result"];
        assert_eq!(
            (&seen["missing_count"], &seen["partial_missing_list"]),
            (&json!(1), &json!([null])),
            "{kind}"
        );
    }
    let inside = json!({"column": "i", "value_set": [1, 2, 3, 4, null]});
    assert!(seen(text, "expect_column_distinct_values_to_be_in_set", inside).0);
}

#[test]
fn files_that_cannot_be_read_are_told_of_in_the_words_of_checks() {
    let folder = Project { dir: tempfile::tempdir().unwrap() };
    folder.put("s.json", br#"{"name": "s", "expectations": [{"type": "expect_table_row_count_to_be_between", "kwargs": {"min_value": 0}}]}"#);
    folder.put("empty.parquet", b"");
    folder.put("torn.parquet", b"PAR1 and no more");
    folder.put("ragged.csv", b"a,b\n1,2\n3\n");
    folder.put("latin.csv", b"a,b\n1,\xe9\n");
    for (name, part) in [
        ("empty.parquet", "is no Parquet file that can be read"),
        ("torn.parquet", "is no Parquet file that can be read"),
        ("ragged.csv", "row 2 of `ragged.csv` cannot be read"),
        ("latin.csv", "reads UTF-8: convert the file"),
    ] {
        let said = folder.fails(2, &["check", name, "--suite", "s.json"]);
        assert!(said.contains(part), "{said}");
        assert!(!said.contains("land") || said.contains("land the files in a project"), "{said}");
        assert!(!said.contains("csv: {encoding"), "{said}");
        assert_eq!(said.matches(name).count(), 1, "nothing is said twice: {said}");
    }
}

#[test]
fn what_great_expectations_refuses_is_refused() {
    let folder = Project { dir: tempfile::tempdir().unwrap() };
    folder.put("d.csv", b"a,b\n1,x\n");
    for (kind, kwargs, part) in [
        (
            "expect_column_values_to_not_match_regex_list",
            json!({"column": "b", "regex_list": []}),
            "is empty",
        ),
        ("expect_column_values_to_not_be_outliers", json!({"column": "a", "multiplier": -1}), "negative"),
        ("expect_compound_columns_to_be_unique", json!({"column_list": ["a"]}), "at least two"),
        ("expect_column_values_to_be_in_set", json!({"column": "b", "value_set": "abc"}), "must be a list"),
        (
            "expect_column_values_to_be_between",
            json!({"column": "a", "min_value": 1, "strict_min": null}),
            "must not be null",
        ),
        (
            "expect_compound_columns_to_be_unique",
            json!({"column_list": ["a", "b"], "ignore_row_if": null}),
            "null",
        ),
    ] {
        let suite = json!({"name": "s", "expectations": [{"type": kind, "kwargs": kwargs}]});
        folder.put("s.json", suite.to_string().as_bytes());
        let said = folder.fails(2, &["check", "d.csv", "--suite", "s.json"]);
        assert!(said.contains(part), "{kind} {kwargs}: {said}");
    }
    let with = |kind: &str, bound: &str| {
        let name = "expect_column_values_to_be_between";
        format!(
            "{{\"name\": \"s\", \"expectations\": [\n{{\"{kind}\": \"{name}\", \"kwargs\": {{\"column\": \"a\", \"min_value\": {bound}}}}}]}}"
        )
    };
    for bound in ["NaN", "Infinity", "-Infinity"] {
        folder.put("s.json", with("type", bound).as_bytes());
        let said = folder.fails(2, &["check", "d.csv", "--suite", "s.json"]);
        assert!(said.contains("JSON has no NaN"), "{bound}: {said}");
    }
    folder.put("s.json", with("expectation_type", "1").as_bytes());
    let said = folder.fails(2, &["check", "d.csv", "--suite", "s.json"]);
    assert!(said.contains("a suite with `name` says `type`"), "{said}");
    let wide: Vec<u8> = with("type", "1").encode_utf16().flat_map(u16::to_le_bytes).collect();
    folder.put("s.json", &[b"\xff\xfe", wide.as_slice()].concat());
    let said = folder.fails(2, &["check", "d.csv", "--suite", "s.json"]);
    assert!(said.contains("JSON in UTF-8"), "{said}");
}
