//! One pass serves all checks, and how rows are split over streams changes nothing.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use laguna_check::{Suite, Verdict};
use proptest::prelude::*;

use crate::support::{run_suite, specs};

type Row = (Option<i64>, Option<String>);

fn batch(rows: &[Row]) -> RecordBatch {
    let schema =
        Schema::new(vec![Field::new("k", DataType::Int64, true), Field::new("s", DataType::Utf8, true)]);
    let keys: Int64Array = rows.iter().map(|row| row.0).collect();
    let texts: StringArray = rows.iter().map(|row| row.1.clone()).collect();
    RecordBatch::try_new(Arc::new(schema), vec![Arc::new(keys), Arc::new(texts)]).unwrap()
}

const CHECKS: &str = r#"checks:
- not_null: k
- {is_null: s, mostly: 0.3}
- unique: k
- unique: [k, s]
- {between: {column: k, min_value: -2, max_value: 3, strict_max: true}}
- {accepted_values: {column: s, values: [a, b]}}
- {accepted_values: {column: k, values: [1, 2.0, 3.5]}}
- {regex: {column: s, regex: '^a'}}
- {length_between: {column: s, max_value: 1}}
- {sql: 'SELECT * FROM this WHERE k > 2 OR s = ''ab'''}
- {sql: 'SELECT * FROM this WHERE k > (SELECT avg(k) FROM this)'}
- {min: {column: k, min_value: 0}}
- {max: {column: k, max_value: 3}}
- {sum: {column: k, min_value: 0}}
- {mean: {column: k, min_value: 0}}
- {stdev: {column: k, max_value: 2}}
- {distinct_count: {column: k, max_value: 3}}
- {distinct_count: {column: s, max_value: 3}}
- {row_count: {min_value: 3}}
"#;

/// Checks that are judged at the end, or need more than one row.
const LATE: &str = r#"checks:
- {median: {column: k, max_value: 1}}
- {quantiles: {column: k, quantile_ranges: {quantiles: [0.1, 0.25, 0.5, 0.75, 1], value_ranges: [[-4, 0], [null, 1], [-1, 2], [0, null], [3, 4]]}, allow_relative_error: linear}}
- {z_score: {column: k, threshold: 1, double_sided: true}}
- {no_outliers: {column: k, multiplier: 0.5}}
- {no_outliers: {column: k, method: std, multiplier: 1}}
- {distinct_in_set: {column: s, value_set: [a, b, ab]}}
- {distinct_contains: {column: k, value_set: [1, 2, 99]}}
- {distinct_equals: {column: k, value_set: [-4, -3, -2, -1, 0, 1, 2, 3, 4]}}
- {most_common: {column: s, value_set: [a, é]}}
- {most_common: {column: k, value_set: [0, 1, 2], ties_okay: true}}
- {increasing: k}
- {decreasing: {column: k, strictly: true}}
- {unique: {column: k, row_condition: 's == "a" or s.isnull()', condition_parser: pandas}}
- {median: {column: k, row_condition: {type: comparison, column: {name: s}, operator: "!=", parameter: a}}}
- {not_null: {column: s, row_condition: {type: comparison, column: {name: k}, operator: NOT_IN, parameter: [1, 2]}}}
- {same_rows: {base_query: "SELECT k FROM this WHERE k > 0", comparison_data_source_name: lake, comparison_query: "SELECT k FROM this WHERE k > 1"}}
- {row_equal: {column_list: [k, k]}}
- {distinct_count: {column: k, max_value: 3, row_condition: k > 0}}
"#;

fn told(verdicts: &[Verdict]) -> Vec<(String, bool, u64, u64, u64, String)> {
    verdicts
        .iter()
        .map(|v| {
            // Sums of floats depend on their order in the last digits.
            let observed =
                v.observed.as_f64().map_or_else(|| v.observed.to_string(), |number| format!("{number:.9}"));
            assert_eq!(v.error, None, "{}", v.label);
            (v.label.clone(), v.success, v.element_count, v.missing_count, v.unexpected_count, observed)
        })
        .collect()
}

/// The same, row by row and without Arrow.
fn plain(rows: &[Row]) -> Vec<u64> {
    let count = |test: &dyn Fn(&Row) -> bool| rows.iter().filter(|row| test(row)).count() as u64;
    let twice_k = |row: &Row| row.0.is_some() && rows.iter().filter(|other| other.0 == row.0).count() > 1;
    let twice = |row: &Row| *row != (None, None) && rows.iter().filter(|other| *other == row).count() > 1;
    vec![
        count(&|row| row.0.is_none()),
        count(&|row| row.1.is_some()),
        count(&twice_k),
        count(&twice),
        count(&|row| row.0.is_some_and(|k| !(-2..3).contains(&k))),
        count(&|row| row.1.as_deref().is_some_and(|s| s != "a" && s != "b")),
        count(&|row| row.0.is_some_and(|k| k != 1 && k != 2)),
        count(&|row| row.1.as_deref().is_some_and(|s| !s.starts_with('a'))),
        count(&|row| row.1.as_deref().is_some_and(|s| s.chars().count() > 1)),
        count(&|row| row.0.is_some_and(|k| k > 2) || row.1.as_deref() == Some("ab")),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn splitting_rows_changes_no_verdict(
        rows in prop::collection::vec((prop::option::of(-4i64..5), prop::option::of("[aé]?b?")), 0..40),
        cut in 1usize..9,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let whole = batch(&rows);
        let schema = whole.schema();
        let specs = specs(CHECKS).unwrap();
        let suite = Suite::compile(&specs, &schema).unwrap();
        let pieces: Vec<RecordBatch> = rows.chunks(cut).map(batch).collect();
        let together = runtime.block_on(run_suite(&suite, &schema, &[whole], &[])).unwrap();
        let apart = runtime.block_on(run_suite(&suite, &schema, &pieces, &[])).unwrap();
        // Without room for hashes the set query decides alone.
        let cramped = Suite::with_hash_room(&specs, &schema, 3).unwrap();
        let alone = runtime.block_on(run_suite(&cramped, &schema, &pieces, &[])).unwrap();
        prop_assert_eq!(told(&together), told(&apart));
        prop_assert_eq!(told(&together), told(&alone));
        let counts: Vec<u64> = together.iter().take(10).map(|v| v.unexpected_count).collect();
        prop_assert_eq!(counts, plain(&rows));
        let texts: HashSet<&str> = rows.iter().filter_map(|row| row.1.as_deref()).collect();
        for verdicts in [&together, &apart, &alone] {
            prop_assert_eq!(&verdicts[17].observed, &serde_json::Value::from(texts.len()));
        }
    }
}

#[tokio::test]
async fn fifty_checks_need_no_second_reading_when_nothing_repeats() {
    let rows: Vec<Row> = (0..5000).map(|i| (Some(i), Some(format!("a{i}")))).collect();
    let rows = batch(&rows);
    let mut yaml = String::from(
        "checks:\n- unique: k\n- unique: [k, s]\n- {distinct_count: {column: s, min_value: 5000}}\n",
    );
    for bound in 0..47 {
        yaml.push_str(&format!("- {{between: {{column: k, min_value: -{bound}, max_value: 6000}}}}\n"));
    }
    let suite = Suite::compile(&specs(&yaml).unwrap(), &rows.schema()).unwrap();
    assert_eq!(suite.checks().len(), 50);
    assert_eq!(suite.columns(), ["k", "s"]);
    let mut collector = suite.collector();
    assert!(collector.update(&rows).unwrap().is_none());
    assert!(suite.set_query(&collector).is_none());
    let verdicts = suite.finish(collector, None).unwrap();
    assert!(verdicts.iter().all(|verdict| verdict.success));
}

#[tokio::test]
async fn what_the_pass_cannot_hold_is_asked_of_the_rows() {
    let text = |text: &str| Some(text.to_string());
    let some: Vec<Row> = (0..23)
        .map(|at| ((at % 5 != 2).then_some(at * at % 9 - 4), text(["a", "b", "é", "ab"][at as usize % 4])))
        .collect();
    let tables: [&[Row]; 4] = [
        &[],
        &[(None, None), (None, text("a"))],
        &[(Some(3), text("b")), (Some(3), None), (None, text("b")), (Some(-1), text("a"))],
        &some,
    ];
    let specs = specs(LATE).unwrap();
    for rows in tables {
        let whole = batch(rows);
        let schema = whole.schema();
        let suite = Suite::compile(&specs, &schema).unwrap();
        let cramped = Suite::with_hash_room(&specs, &schema, 0).unwrap();
        let together = told(&run_suite(&suite, &schema, &[whole], &[]).await.unwrap());
        let pieces: Vec<RecordBatch> = rows.chunks(4).map(batch).collect();
        let apart = told(&run_suite(&suite, &schema, &pieces, &[]).await.unwrap());
        let alone = told(&run_suite(&cramped, &schema, &pieces, &[]).await.unwrap());
        for ((one, two), three) in together.iter().zip(&apart).zip(&alone) {
            assert_eq!(one, two, "split, on {rows:?}");
            assert_eq!(one, three, "without room, on {rows:?}");
        }
    }
}
