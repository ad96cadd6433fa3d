//! What hurts: patterns without end, thousands of checks, endless lists, nothing at all, wrong columns.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::Schema;
use laguna_check::{CheckSpec, Keep, Suite, Verdict, all};
use serde_json::{Value, json};

use crate::support::run_suite;

fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, array)| (name, array, true)))
        .unwrap()
}

fn texts(values: &[Option<&str>]) -> ArrayRef {
    Arc::new(StringArray::from(values.to_vec()))
}

fn numbers(values: &[Option<i64>]) -> ArrayRef {
    Arc::new(Int64Array::from(values.to_vec()))
}

fn spec(name: &str, kwargs: Value) -> CheckSpec {
    CheckSpec::new(name, &kwargs).unwrap_or_else(|error| panic!("{name} {kwargs}: {error:?}"))
}

async fn each(specs: &[CheckSpec], rows: &RecordBatch) -> Vec<Verdict> {
    let suite = Suite::compile_each(specs, &rows.schema());
    run_suite(&suite, &rows.schema(), std::slice::from_ref(rows), &[]).await.unwrap()
}

#[tokio::test]
async fn a_catastrophic_pattern_is_an_error_of_its_check_alone() {
    let long = format!("{}!", "a".repeat(60));
    let rows = batch(vec![("s", texts(&[Some("aa"), Some(&long), None]))]);
    let started = Instant::now();
    let verdicts = each(
        &[
            spec("regex", json!({"column": "s", "regex": r"^(a+)+\1$"})),
            spec("regex", json!({"column": "s", "regex": "^(a+)+$"})),
            spec("not_null", json!({"column": "s"})),
        ],
        &rows,
    )
    .await;
    assert!(started.elapsed() < Duration::from_secs(30));
    assert!(verdicts[0].error.as_deref().unwrap().contains("steps"), "{:?}", verdicts[0]);
    assert!(!verdicts[0].success);
    assert_eq!((verdicts[1].unexpected_count, verdicts[1].missing_count), (1, 1));
    assert_eq!(verdicts[2].unexpected_count, 1);
}

#[tokio::test]
async fn what_does_not_fit_the_table_is_an_error_of_its_check_alone() {
    let rows = batch(vec![("amount", numbers(&[Some(1), None])), ("name", texts(&[Some("a"), None]))]);
    let specs = [
        spec("not_null", json!({"column": "amuont"})),
        spec("mean", json!({"column": "name", "min_value": 0})),
        spec("not_null", json!({"column": "name", "row_condition": "amuont > 0"})),
        spec("mean", json!({"column": "name", "min_value": 0, "row_condition": "name != name"})),
        spec("not_null", json!({"column": "name", "row_condition": "amount > 0"})),
    ];
    let verdicts = each(&specs, &rows).await;
    assert_eq!(verdicts[0].error.as_deref(), Some("there is no column `amuont`; did you mean `amount`?"));
    assert!(verdicts[1].error.as_deref().unwrap().contains("not a number"));
    assert!(verdicts[2].error.as_deref().unwrap().contains("amuont"));
    assert_eq!((verdicts[4].success, verdicts[4].element_count), (true, 1));
    assert!(Suite::compile(&specs, &rows.schema()).is_err());
}

#[tokio::test]
async fn thousands_of_checks_cost_what_they_are() {
    let keys: Vec<Option<i64>> = (0..1000).map(Some).collect();
    let names: Vec<String> = (0..1000).map(|at| format!("name {}", at % 50)).collect();
    let names: Vec<Option<&str>> = names.iter().map(|name| Some(name.as_str())).collect();
    let rows = batch(vec![("k", numbers(&keys)), ("s", texts(&names))]);
    let mut specs = Vec::new();
    for at in 0..2000 {
        specs.push(spec("between", json!({"column": "k", "min_value": -at, "max_value": 1000})));
        specs.push(spec("regex", json!({"column": "s", "regex": format!("^name \\d+|{}$", at % 10)})));
        specs.push(spec("median", json!({"column": "k", "min_value": at})));
        specs.push(spec("unique", json!({"column": "s"})));
        specs.push(spec("not_null", json!({"column": "s", "row_condition": format!("k > {}", at % 20)})));
    }
    let started = Instant::now();
    let verdicts = each(&specs, &rows).await;
    assert_eq!(verdicts.len(), 10_000);
    assert_eq!(verdicts[3].unexpected_count, 1000);
    assert!(verdicts.iter().step_by(5).all(|verdict| verdict.success));
    assert!(started.elapsed() < Duration::from_secs(60), "{:?}", started.elapsed());
}

#[tokio::test]
async fn a_list_of_a_hundred_thousand_values_is_looked_up() {
    let list: Vec<String> = (0..100_000).map(|at| format!("a value with a number {at}")).collect();
    let rows = batch(vec![("s", texts(&[Some("a value with a number 99999"), Some("none"), None]))]);
    let whole: Vec<i64> = (0..100_000).collect();
    let specs = [
        spec("accepted_values", json!({"column": "s", "value_set": list})),
        spec("distinct_in_set", json!({"column": "s", "value_set": list})),
        spec("distinct_contains", json!({"column": "s", "value_set": whole})),
    ];
    let verdicts = each(&specs, &rows).await;
    assert_eq!(verdicts.iter().map(|v| v.unexpected_count).collect::<Vec<_>>(), [1, 1, 0]);
    assert_eq!(verdicts[2].missing_count, 100_000);
    // Without room the set query gives the same.
    let specs = [
        spec("accepted_values", json!({"column": "s", "value_set": list})),
        spec("distinct_in_set", json!({"column": "s", "value_set": list})),
        spec("distinct_contains", json!({"column": "s", "value_set": list})),
        spec("most_common", json!({"column": "s", "value_set": list})),
    ];
    let suite = Suite::with_hash_room(&specs, &rows.schema(), 0).unwrap();
    let alone = run_suite(&suite, &rows.schema(), &[rows], &[]).await.unwrap();
    assert_eq!(alone.iter().map(|v| v.unexpected_count).collect::<Vec<_>>(), [1, 1, 0, 0]);
    assert_eq!(alone[2].missing_count, 99_999);
}

#[tokio::test]
async fn every_example_gives_a_verdict_on_nothing_and_on_nulls() {
    let columns = ["carrier", "day", "delay", "country", "email", "s", "k"];
    let none: Vec<(&str, ArrayRef)> = columns.iter().map(|name| (*name, texts(&[]))).collect();
    let nulls: Vec<(&str, ArrayRef)> = columns.iter().map(|name| (*name, texts(&[None, None]))).collect();
    for rows in [batch(none), batch(nulls)] {
        for kind in all() {
            let needs_more = ["foreign_key", "row_count_as", "same_rows", "sql"].contains(&kind.short);
            if needs_more {
                continue;
            }
            let example: Value = serde_json::from_str(kind.example).unwrap();
            let (name, arguments) = example.as_object().unwrap().iter().next().unwrap();
            let mut arguments = match arguments {
                Value::Object(map) => Value::Object(map.clone()),
                bare => json!({ kind.main.unwrap_or("column"): bare }),
            };
            for key in ["column", "column_A", "column_B"] {
                if arguments.get(key).is_some() {
                    arguments[key] = json!(if key == "column_B" { "day" } else { "carrier" });
                }
            }
            if arguments.get("column_list").is_some() && kind.short != "columns" {
                arguments["column_list"] = json!(["carrier", "day"]);
            }
            let verdict = &each(&[spec(name, arguments)], &rows).await[0];
            assert_eq!(verdict.error, None, "{}", kind.short);
            if kind.mostly && kind.short != "not_null" {
                assert!(verdict.success, "{}: {}", kind.short, verdict.message);
            }
        }
    }
}

#[tokio::test]
async fn rows_are_numbered_across_batches_and_conditions() {
    let first = batch(vec![
        ("k", numbers(&[Some(1), Some(1), Some(7)])),
        ("s", texts(&[Some("x"), None, Some("y")])),
    ]);
    let second =
        batch(vec![("k", numbers(&[Some(9), Some(7), None])), ("s", texts(&[None, Some("z"), Some("é")]))]);
    let specs = [
        spec("not_null", json!({"column": "s"})),
        spec("unique", json!({"column": "k"})),
        spec("unique", json!({"column": "k", "row_condition": "k > 1"})),
        spec("decreasing", json!({"column": "k"})),
        spec("no_outliers", json!({"column": "k", "multiplier": 0})),
        spec("sql", json!({"unexpected_rows_query": "SELECT * FROM {batch} WHERE k = 9"})),
    ];
    let schema: Arc<Schema> = first.schema();
    let suite = Suite::compile(&specs, &schema).unwrap().keeping(Keep { examples: 100, row_numbers: true });
    assert!(suite.needs_order());
    let verdicts = run_suite(&suite, &schema, &[first, second], &[]).await.unwrap();
    let numbers: Vec<Vec<u64>> = verdicts.iter().map(|v| v.unexpected_index.clone()).collect();
    assert_eq!(numbers, [vec![1, 3], vec![0, 1, 2, 4], vec![2, 4], vec![2, 3], vec![3], vec![3]]);
    assert_eq!(verdicts[2].element_count, 3);
    assert_eq!(verdicts[5].details, json!({"unexpected_rows": [{"k": 9, "s": null}]}));
    assert_eq!(verdicts[5].observed, json!(1));
}

#[tokio::test]
async fn infinities_and_times_with_zones_are_told() {
    let floats: ArrayRef = Arc::new(Float64Array::from(vec![
        Some(f64::INFINITY),
        Some(f64::NAN),
        Some(1.0),
        Some(f64::NEG_INFINITY),
        None,
    ]));
    let times: ArrayRef = Arc::new(
        TimestampMicrosecondArray::from(vec![Some(1_500_000), None, Some(0), Some(86_400_000_000), Some(5)])
            .with_timezone("UTC"),
    );
    let rows = batch(vec![("x", floats), ("t", times)]);
    let specs = [
        spec("max", json!({"column": "x", "max_value": 5})),
        spec("between", json!({"column": "x", "min_value": -1e308, "max_value": 1e308})),
        spec("stdev", json!({"column": "x", "max_value": 5})),
        spec("max", json!({"column": "t", "max_value": "1970-01-02T00:00:00"})),
        spec("regex", json!({"column": "t", "regex": r"^1970-01-0[12] 00:00:0\d(\.\d+)?\+00:00$"})),
        spec("regex", json!({"column": "x", "regex": "^(inf|-inf|1.0)$"})),
        spec("not_null", json!({"column": "x", "row_condition": "t >= \"1970-01-01T00:00:01\""})),
        spec("median", json!({"column": "t", "max_value": "1970-01-01T00:00:01"})),
    ];
    let verdicts = each(&specs, &rows).await;
    let told: Vec<(bool, Value)> = verdicts.iter().map(|v| (v.success, v.observed.clone())).collect();
    assert_eq!(told[0], (false, json!("inf")));
    assert_eq!((verdicts[1].unexpected_count, verdicts[1].missing_count), (2, 2));
    assert_eq!(told[2], (false, Value::Null));
    assert_eq!(told[3], (true, json!("1970-01-02T00:00:00Z")));
    assert!(told[4].0 && told[5].0, "{:?}", verdicts[4].examples);
    assert_eq!((verdicts[6].element_count, verdicts[6].unexpected_count), (2, 0));
    assert!(told[7].0, "{}", verdicts[7].message);
}
