//! Columns of types that text files do not have: decimals beside floats, text that is not there, narrow floats, times.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Decimal128Array, Float32Array, Float64Array, Int64Array, RecordBatch,
    StringArray, TimestampMicrosecondArray,
};
use laguna_check::{CheckSpec, Suite, Verdict};
use serde_json::{Value, json};

use crate::support::run_suite;

fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    let columns = columns.into_iter().map(|(name, column)| (name, column, true));
    RecordBatch::try_from_iter_with_nullable(columns).unwrap()
}

async fn verdicts(rows: &RecordBatch, checks: &[(&str, Value)]) -> Vec<Verdict> {
    let specs: Vec<CheckSpec> =
        checks.iter().map(|(kind, kwargs)| CheckSpec::new(kind, kwargs).unwrap()).collect();
    let suite = Suite::compile_each(&specs, &rows.schema());
    run_suite(&suite, &rows.schema(), std::slice::from_ref(rows), &[]).await.unwrap()
}

async fn verdict(rows: &RecordBatch, kind: &str, kwargs: Value) -> Verdict {
    verdicts(rows, &[(kind, kwargs)]).await.remove(0)
}

fn decimals() -> RecordBatch {
    let decimal = |values: Vec<Option<i128>>| {
        Arc::new(Decimal128Array::from(values).with_precision_and_scale(10, 2).unwrap()) as ArrayRef
    };
    batch(vec![
        ("d", decimal(vec![Some(110), Some(0), None])),
        ("e", decimal(vec![Some(110), Some(5), Some(1)])),
        ("f", Arc::new(Float64Array::from(vec![1e16, -1.0, 0.0]))),
        ("i", Arc::new(Int64Array::from(vec![1, 0, 7]))),
    ])
}

#[tokio::test]
async fn decimals_are_compared_with_numbers_of_any_size() {
    let rows = decimals();
    let object = |operator: &str, parameter: Value| json!({"type": "comparison", "column": {"name": "d"}, "operator": operator, "parameter": parameter});
    for (condition, expected) in [
        (object("<", json!(1e16)), 2),
        (object(">", json!(1e16)), 0),
        (object("!=", json!(1e16)), 3),
        (object("==", json!(1e300)), 0),
        (object(">", json!(-1e300)), 2),
        (object("<", json!(1e-16)), 1),
        (object("<=", json!(1e-16)), 1),
        (object(">=", json!(1e-16)), 1),
        (object("==", json!(1e-16)), 0),
        (object("!=", json!(1e-16)), 3),
        (object(">", json!(-1e-16)), 2),
        (object("<", json!(1000000000000000.5)), 2),
        (object("==", json!(1.1)), 1),
        (object(">=", json!(1.1)), 1),
        (object(">", json!(1.1)), 0),
        (object("IN", json!([1e16, 1.1])), 1),
        (object("NOT_IN", json!([1e16, 1.1])), 2),
        (json!("1e16 > d"), 2),
        (json!("1e-16 > d"), 1),
        (json!("d < f"), 1),
        (json!("f > d"), 1),
        (json!("d < i"), 0),
        (json!("d == e"), 1),
        (json!("d * 2 < 1e16"), 2),
        (json!("d + f > 1e15"), 1),
        (json!("d in [0, 7]"), 1),
        (json!("d - 0.1 == 1"), 1),
    ] {
        let seen = verdict(
            &rows,
            "expect_table_row_count_to_equal",
            json!({"value": expected, "row_condition": condition}),
        )
        .await;
        assert!(seen.success && seen.error.is_none(), "{condition}: {}", seen.message);
    }
}

#[tokio::test]
async fn a_condition_that_cannot_be_computed_is_the_exception_of_its_checks_alone() {
    let wide = Decimal128Array::from(vec![10i128.pow(37)]).with_precision_and_scale(38, 0).unwrap();
    let rows = batch(vec![("d", Arc::new(wide)), ("i", Arc::new(Int64Array::from(vec![1])))]);
    let condition = json!("d * 1000 * 1000 > 5");
    let seen = verdicts(
        &rows,
        &[
            ("expect_table_row_count_to_equal", json!({"value": 1, "row_condition": condition})),
            ("expect_column_values_to_be_unique", json!({"column": "i", "row_condition": condition})),
            ("expect_column_values_to_not_be_null", json!({"column": "i"})),
        ],
    )
    .await;
    for broken in &seen[..2] {
        let error = broken.error.as_deref().unwrap_or_default();
        assert!(
            !broken.success && error.contains("row condition could not be computed"),
            "{}",
            broken.message
        );
    }
    assert!(seen[2].success);
}

#[tokio::test]
async fn text_without_a_value_is_judged_as_missing() {
    let none = || Arc::new(StringArray::from(vec![None::<&str>; 3])) as ArrayRef;
    let rows = batch(vec![
        ("i", Arc::new(Int64Array::from(vec![Some(1), None, Some(3)]))),
        ("s", none()),
        ("t", Arc::new(StringArray::from(vec!["a", "b", "c"]))),
    ]);
    let sum = |columns: [&str; 2]| json!({"column_list": columns, "sum_total": 1});
    let seen = verdict(&rows, "expect_multicolumn_sum_to_equal", sum(["i", "s"])).await;
    assert_eq!((seen.success, seen.unexpected_count, seen.missing_count), (false, 2, 1), "{}", seen.message);
    assert_eq!(seen.unexpected_percent, 100.0);
    assert!(verdict(&rows, "expect_multicolumn_sum_to_equal", sum(["i", "t"])).await.error.is_some());
    let pair = |ignore: &str| json!({"column_A": "i", "column_B": "s", "ignore_row_if": ignore});
    let greater = "expect_column_pair_values_a_to_be_greater_than_b";
    let seen = verdict(&rows, greater, pair("both_values_are_missing")).await;
    assert_eq!((seen.success, seen.unexpected_count), (false, 2), "{}", seen.message);
    assert!(verdict(&rows, greater, pair("either_value_is_missing")).await.success);
    let bins = json!({"column": "s", "partition_object": {"bins": [0, 1, 2], "weights": [0.5, 0.5]}});
    let seen = verdict(&rows, "expect_column_kl_divergence_to_be_less_than", bins).await;
    assert!(seen.success, "{}", seen.message);
}

#[tokio::test]
async fn narrow_floats_are_the_numbers_that_they_are() {
    let rows = batch(vec![("f", Arc::new(Float32Array::from(vec![0.1, 0.2, 0.5])))]);
    let set = json!({"column": "f", "value_set": [0.1, 0.2, 0.5]});
    let seen = verdict(&rows, "expect_column_values_to_be_in_set", set.clone()).await;
    assert_eq!(seen.unexpected_count, 2, "{}", seen.message);
    let seen = verdict(&rows, "expect_column_distinct_values_to_be_in_set", set).await;
    assert_eq!(seen.unexpected_count, 2, "{}", seen.message);
    let between = json!({"column": "f", "min_value": 0.1, "max_value": 0.2});
    let seen = verdict(&rows, "expect_column_values_to_be_between", between).await;
    assert_eq!(seen.unexpected_count, 2, "{}", seen.message);
}

#[tokio::test]
async fn times_and_flags_have_means_scores_and_quantiles() {
    let at = TimestampMicrosecondArray::from(vec![0, 86_400_000_000, 172_800_000_000]);
    let rows =
        batch(vec![("at", Arc::new(at)), ("b", Arc::new(BooleanArray::from(vec![true, false, true])))]);
    let mean = |low: &str, high: &str| json!({"column": "at", "min_value": low, "max_value": high});
    let kind = "expect_column_mean_to_be_between";
    let seen = verdict(&rows, kind, mean("1970-01-01", "1970-01-02")).await;
    assert_eq!((seen.success, seen.observed), (true, json!("1970-01-02T00:00:00")));
    assert!(!verdict(&rows, kind, mean("1970-01-01", "1970-01-01T23:59:59")).await.success);
    let score = |threshold: f64| json!({"column": "at", "threshold": threshold, "double_sided": true});
    let kind = "expect_column_value_z_scores_to_be_less_than";
    assert!(verdict(&rows, kind, score(1.1)).await.success);
    assert_eq!(verdict(&rows, kind, score(0.9)).await.unexpected_count, 2);
    let ranges = json!({"column": "b", "quantile_ranges": {"quantiles": [0.5], "value_ranges": [[1, 1]]}});
    let seen = verdict(&rows, "expect_column_quantile_values_to_be_between", ranges).await;
    assert!(seen.success, "{}", seen.message);
}
