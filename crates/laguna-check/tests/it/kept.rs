//! What is kept of some rows takes their place: verdicts are the same to the last bit, whatever was kept and whatever
//! was fed.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use laguna_check::{CheckSpec, Collector, Suite, Verdict};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::support::query;

type Row = (Option<i64>, Option<f64>, Option<String>, Option<i32>, Option<i128>, Option<bool>);

fn row() -> impl Strategy<Value = Row> {
    let float = prop_oneof![
        Just(f64::NAN),
        Just(-0.0),
        Just(0.0),
        Just(f64::INFINITY),
        Just(0.1),
        Just(1e17),
        -50.0..50.0f64
    ];
    (
        proptest::option::of(-5..12i64),
        proptest::option::weighted(0.9, float),
        proptest::option::of(prop_oneof![Just("a".to_string()), Just("zz".to_string()), "[a-d]{0,3}"]),
        proptest::option::of(-3..3i32),
        proptest::option::of(-500..500i128),
        proptest::option::of(any::<bool>()),
    )
}

fn schema() -> SchemaRef {
    let field = |name: &str, data_type| Field::new(name, data_type, true);
    Arc::new(Schema::new(vec![
        field("i", DataType::Int64),
        field("f", DataType::Float64),
        field("t", DataType::Utf8),
        field("d", DataType::Date32),
        field("at", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))),
        field("n", DataType::Decimal128(10, 2)),
        field("b", DataType::Boolean),
    ]))
}

fn batch(rows: &[Row]) -> RecordBatch {
    let decimals: Decimal128Array = rows.iter().map(|row| row.4).collect();
    let times: TimestampMicrosecondArray =
        rows.iter().map(|row| row.3.map(|day| i64::from(day) * 1_000_001)).collect();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(rows.iter().map(|row| row.0).collect::<Int64Array>()),
        Arc::new(rows.iter().map(|row| row.1).collect::<Float64Array>()),
        Arc::new(rows.iter().map(|row| row.2.clone()).collect::<StringArray>()),
        Arc::new(rows.iter().map(|row| row.3).collect::<Date32Array>()),
        Arc::new(times.with_timezone("UTC")),
        Arc::new(decimals.with_precision_and_scale(10, 2).unwrap()),
        Arc::new(rows.iter().map(|row| row.5).collect::<BooleanArray>()),
    ];
    RecordBatch::try_new(schema(), columns).unwrap()
}

/// Checks of every kind of accumulator.
fn checks() -> Vec<(&'static str, Value)> {
    let condition = "col(\"i\") > 2";
    vec![
        ("expect_column_values_to_not_be_null", json!({"column": "i", "mostly": 0.5})),
        ("expect_column_values_to_be_between", json!({"column": "f", "min_value": -1, "max_value": 20})),
        (
            "expect_column_values_to_be_between",
            json!({"column": "n", "max_value": 1.5, "row_condition": condition, "condition_parser": "great_expectations"}),
        ),
        ("expect_column_values_to_be_in_set", json!({"column": "t", "value_set": ["a", "b", "zz"]})),
        ("expect_column_values_to_match_regex", json!({"column": "t", "regex": "^[ab]+$"})),
        ("expect_column_value_lengths_to_be_between", json!({"column": "t", "max_value": 2})),
        ("expect_column_values_to_be_increasing", json!({"column": "i"})),
        ("expect_column_values_to_be_decreasing", json!({"column": "f", "strictly": true})),
        ("expect_column_values_to_be_unique", json!({"column": "i"})),
        ("expect_column_values_to_be_unique", json!({"column": "d"})),
        ("expect_compound_columns_to_be_unique", json!({"column_list": ["i", "t", "d"]})),
        ("expect_column_min_to_be_between", json!({"column": "f", "min_value": 0})),
        ("expect_column_max_to_be_between", json!({"column": "at", "max_value": "1970-01-01T00:00:02"})),
        ("expect_column_max_to_be_between", json!({"column": "n", "max_value": 3})),
        ("expect_column_mean_to_be_between", json!({"column": "f", "max_value": 3})),
        ("expect_column_stdev_to_be_between", json!({"column": "n", "max_value": 3})),
        (
            "expect_column_sum_to_be_between",
            json!({"column": "i", "max_value": 3, "row_condition": condition, "condition_parser": "great_expectations"}),
        ),
        ("expect_column_median_to_be_between", json!({"column": "n", "max_value": 0})),
        (
            "expect_column_quantile_values_to_be_between",
            json!({"column": "i", "quantile_ranges": {"quantiles": [0.1, 0.5], "value_ranges": [[0, 1], [1, 2]]}}),
        ),
        (
            "expect_column_value_z_scores_to_be_less_than",
            json!({"column": "i", "threshold": 1, "double_sided": true}),
        ),
        ("expect_column_unique_value_count_to_be_between", json!({"column": "t", "max_value": 2})),
        ("expect_column_proportion_of_unique_values_to_be_between", json!({"column": "f", "max_value": 0.5})),
        ("expect_column_distinct_values_to_be_in_set", json!({"column": "t", "value_set": ["a"]})),
        ("expect_column_distinct_values_to_equal_set", json!({"column": "b", "value_set": [true]})),
        ("expect_column_most_common_value_to_be_in_set", json!({"column": "d", "value_set": ["1970-01-01"]})),
        ("expect_column_pair_values_a_to_be_greater_than_b", json!({"column_A": "i", "column_B": "f"})),
        ("unexpected_rows_expectation", json!({"unexpected_rows_query": "SELECT * FROM this WHERE i > f"})),
        ("expect_table_row_count_to_be_between", json!({"max_value": 10})),
    ]
}

async fn judged(suite: &Suite, merged: Collector, batches: &[RecordBatch]) -> Vec<Verdict> {
    let answers = match suite.set_query(&merged) {
        Some(question) => Some(query(&schema(), batches, &[], &question.sql).await),
        None => None,
    };
    suite.finish(merged, answers).unwrap()
}

/// What is kept of each part of one batch's accumulators.
fn kept(suite: &Suite, batch: &RecordBatch) -> Vec<Option<Vec<u8>>> {
    let mut collector = suite.collector();
    collector.update(batch).unwrap();
    (0..suite.part_keys().len()).map(|part| collector.keep(suite, part)).collect()
}

/// An accumulator of one batch in which the parts that are `taken` come from `kept`.
fn restored(
    suite: &Suite,
    batch: &RecordBatch,
    kept: &[Option<Vec<u8>>],
    taken: impl Fn(usize) -> bool,
) -> Collector {
    let mut collector = suite.collector();
    let mut open = vec![true; kept.len()];
    for (part, kept) in kept.iter().enumerate() {
        if let Some(kept) = kept.as_ref().filter(|_| taken(part)) {
            assert!(collector.restore(suite, part, kept), "part {part}");
            open[part] = false;
        }
    }
    match open.contains(&true) {
        true => {
            collector.feed_only(suite, &open);
            collector.update(batch).unwrap();
        }
        false => collector.count_rows(batch.num_rows() as u64),
    }
    collector
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn verdicts_are_those_of_a_full_read(
        files in prop::collection::vec(prop::collection::vec(row(), 1..30), 1..5),
        wanted in prop::collection::vec(any::<bool>(), 28),
        taken in any::<u64>(),
    ) {
        let specs: Vec<CheckSpec> = checks()
            .into_iter()
            .zip(wanted)
            .filter(|(_, wanted)| *wanted)
            .map(|((name, arguments), _)| CheckSpec::new(name, &arguments).unwrap())
            .collect();
        let batches: Vec<RecordBatch> = files.iter().map(|rows| batch(rows)).collect();
        let suite = Suite::compile(&specs, &schema()).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let mut whole = suite.collector();
        for batch in &batches {
            let mut one = suite.collector();
            one.update(batch).unwrap();
            whole.merge(one);
        }
        let whole = runtime.block_on(judged(&suite, whole, &batches));
        for all in [true, false] {
            let mut merged = suite.collector();
            for (number, batch) in batches.iter().enumerate() {
                let kept = kept(&suite, batch);
                let taken = |part: usize| all || taken.rotate_left((7 * number + part) as u32) & 1 == 1;
                merged.merge(restored(&suite, batch, &kept, taken));
            }
            prop_assert_eq!(&runtime.block_on(judged(&suite, merged, &batches)), &whole);
        }
    }
}

#[test]
fn keys_say_what_an_accumulator_hangs_on_and_nothing_else() {
    let keys = |name: &str, arguments: Value| -> Vec<Option<String>> {
        let spec = CheckSpec::new(name, &arguments).unwrap();
        let suite = Suite::compile(&[spec], &schema()).unwrap();
        suite.part_keys().into_iter().map(|key| key.map(str::to_string)).collect()
    };
    let between = |arguments| keys("expect_column_values_to_be_between", arguments);
    let one = between(json!({"column": "i", "max_value": 3}));
    assert!(one.len() == 1 && one[0].is_some());
    // How many rows may fail changes nothing about those that do.
    assert_eq!(one, between(json!({"column": "i", "max_value": 3, "mostly": 0.9})));
    assert_ne!(one, between(json!({"column": "i", "max_value": 4})));
    assert_ne!(one, between(json!({"column": "f", "max_value": 3})));
    // The mean and the sum are taken from the same.
    let mean = keys("expect_column_mean_to_be_between", json!({"column": "i", "max_value": 3}));
    assert_eq!(mean, keys("expect_column_sum_to_be_between", json!({"column": "i", "min_value": 0})));
    // What is read against today is not kept.
    assert_eq!(keys("expect_column_values_to_be_dateutil_parseable", json!({"column": "t"})), [None]);
}

#[test]
fn what_does_not_fit_is_not_kept_and_what_is_damaged_is_not_taken() {
    let specs: Vec<CheckSpec> =
        checks().into_iter().map(|(name, arguments)| CheckSpec::new(name, &arguments).unwrap()).collect();
    let suite = Suite::compile(&specs, &schema()).unwrap();
    let rows = vec![(Some(1), Some(0.5), Some("a".to_string()), Some(1), Some(7), Some(true)); 9];
    for (part, kept) in kept(&suite, &batch(&rows)).into_iter().enumerate() {
        let kept = kept.unwrap_or_else(|| panic!("part {part} is kept"));
        for cut in 0..kept.len() {
            assert!(!suite.collector().restore(&suite, part, &kept[..cut]), "{cut} bytes of part {part}");
        }
        let longer = [kept.as_slice(), &[0]].concat();
        assert!(!suite.collector().restore(&suite, part, &longer), "part {part} and a byte");
    }
    // More values than a kept state has room for.
    let many: Vec<Row> =
        (0..200_000).map(|at| (Some(at), None, Some(at.to_string()), None, None, None)).collect();
    let unique = CheckSpec::new("expect_column_values_to_be_unique", &json!({"column": "i"})).unwrap();
    let null = CheckSpec::new("expect_column_values_to_not_be_null", &json!({"column": "i"})).unwrap();
    let suite = Suite::compile(&[null, unique], &schema()).unwrap();
    let kept = kept(&suite, &batch(&many));
    assert_eq!(kept.iter().map(Option::is_some).collect::<Vec<_>>(), [true, false]);
}

#[test]
fn hashes_on_disk_are_not_kept_and_kept_ones_without_room_go_to_disk() {
    let specs: Vec<CheckSpec> = [
        ("expect_column_values_to_be_unique", json!({"column": "i"})),
        ("expect_compound_columns_to_be_unique", json!({"column_list": ["i", "t"]})),
        ("expect_column_unique_value_count_to_be_between", json!({"column": "t", "min_value": 900})),
        ("expect_column_proportion_of_unique_values_to_be_between", json!({"column": "i", "max_value": 0.9})),
    ]
    .into_iter()
    .map(|(name, arguments)| CheckSpec::new(name, &arguments).unwrap())
    .collect();
    let rows = |from: i64| -> Vec<Row> {
        (from..from + 500)
            .map(|at| (Some(at), None, Some((at % 900).to_string()), None, None, None))
            .collect()
    };
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    // The second time one key of the first file stands in the second one too.
    for second in [500, 499] {
        let batches = [batch(&rows(0)), batch(&rows(second))];
        let large = Suite::compile(&specs, &schema()).unwrap();
        let small = Suite::with_hash_room(&specs, &schema(), 100).unwrap();
        // What is left are the numbers of values, two columns' worth.
        assert_eq!(kept(&small, &batches[0]).iter().flatten().count(), 2);
        let all: Vec<_> = batches.iter().map(|batch| kept(&large, batch)).collect();
        assert!(all.iter().flatten().all(Option::is_some));
        let [whole, tight] = [&large, &small].map(|suite| {
            let mut merged = suite.collector();
            for (batch, kept) in batches.iter().zip(&all) {
                merged.merge(restored(suite, batch, kept, |_| true));
            }
            runtime.block_on(judged(suite, merged, &batches))
        });
        assert_eq!(whole, tight);
        assert_eq!(
            whole.iter().map(|verdict| verdict.success).collect::<Vec<_>>(),
            match second {
                500 => [true, true, true, false],
                _ => [false, false, true, false],
            }
        );
    }
}
