//! What verdicts mean for publication, and which rows are set aside.

use std::sync::Arc;

use arrow::array::{Array, AsArray, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Int64Type, Schema};
use laguna_base::settings::table::OnFail;
use laguna_check::{Gate, Suite, VerdictKind, gate};

use crate::support::{query, run, run_suite, specs};

fn batch(keys: &[Option<i64>], names: &[Option<&str>]) -> RecordBatch {
    let schema =
        Schema::new(vec![Field::new("k", DataType::Int64, true), Field::new("name", DataType::Utf8, true)]);
    RecordBatch::try_new(
        Arc::new(schema),
        vec![Arc::new(Int64Array::from(keys.to_vec())), Arc::new(StringArray::from(names.to_vec()))],
    )
    .unwrap()
}

#[tokio::test]
async fn a_failing_table_check_blocks_even_with_quarantine() {
    let rows = batch(&[Some(1), None], &[Some("a"), Some("b")]);
    let gates = async |yaml: &str| {
        let verdicts =
            run(&specs(yaml).unwrap(), &rows.schema(), std::slice::from_ref(&rows), &[]).await.unwrap();
        [OnFail::Warn, OnFail::Block, OnFail::Quarantine].map(|on_fail| gate(&verdicts, on_fail))
    };
    assert_eq!(gates("checks: [{not_null: name}]").await, [Gate::Pass; 3]);
    assert_eq!(gates("checks: [{not_null: k, severity: warning}]").await, [Gate::Warn; 3]);
    assert_eq!(gates("checks: [{not_null: k}]").await, [Gate::Warn, Gate::Block, Gate::Quarantine]);
    assert_eq!(gates("checks: [{row_count: {min_value: 3}}]").await, [Gate::Warn, Gate::Block, Gate::Block]);
    // A share of rows is a statement about the table.
    assert_eq!(gates("checks: [{not_null: k, mostly: 0.9}]").await, [Gate::Warn, Gate::Block, Gate::Block]);
    assert_eq!(gates("checks: [{not_null: k, mostly: 0.5}]").await, [Gate::Pass; 3]);
}

#[test]
fn each_row_is_refused_by_its_first_failing_check() {
    let rows = batch(&[Some(1), None, Some(-5), Some(2)], &[Some("a"), Some("b"), Some("zz"), None]);
    let specs = specs(
        "checks:\n- {row_count: {min_value: 1}}\n- not_null: k\n- {between: {column: k, min_value: 0}}\n\
         - {length: {column: name, value: 1}}\n- {not_null: name, severity: warning}\n- {regex: {column: name, regex: x}, mostly: 0.1}\n",
    )
    .unwrap();
    let suite = Suite::compile(&specs, &rows.schema()).unwrap();
    let mut collector = suite.collector();
    let refused = collector.update(&rows).unwrap().unwrap();
    assert_eq!(refused.iter().collect::<Vec<_>>(), [None, Some(1), Some(2), None]);
    assert!(collector.update(&rows.slice(0, 1)).unwrap().is_none());
    assert_eq!(collector.rows(), 5);
}

#[tokio::test]
async fn set_checks_name_their_rows() {
    let schema = batch(&[], &[]).schema();
    let batches = [
        batch(&[Some(1), Some(2), None], &[Some("a"), Some("b"), Some("c")]),
        batch(&[Some(2), None, Some(9)], &[Some("b"), Some("d"), None]),
    ];
    let airlines = batch(&[Some(1), Some(2), Some(2)], &[Some("x"), Some("y"), Some("z")]);
    let others = [("sanitized.airlines", airlines)];
    let specs = specs(
        "checks:\n- unique: k\n- unique: [k, name]\n- {foreign_key: {column: k, to: sanitized.airlines, field: k}}\n\
         - {sql: 'SELECT name FROM this GROUP BY name HAVING count(*) > 1', severity: warning}\n",
    )
    .unwrap();
    let suite = Suite::compile(&specs, &schema).unwrap();
    let verdicts = run_suite(&suite, &schema, &batches, &others).await.unwrap();
    let told: Vec<(u64, u64, String)> =
        verdicts.iter().map(|v| (v.unexpected_count, v.missing_count, v.message.clone())).collect();
    assert_eq!(told[0], (2, 2, "2 of 4 values of k are repeated".to_string()));
    assert_eq!(told[1], (2, 0, "2 of 6 combinations of k, name are repeated".to_string()));
    assert_eq!(told[2], (1, 2, "1 of 4 values of k are not found in sanitized.airlines (k)".to_string()));
    assert_eq!(told[3].2, "the query returned 1 rows");
    assert_eq!(verdicts[1].examples[0], serde_json::json!({"k": 2, "name": "b"}));
    assert_eq!(verdicts[2].examples, [serde_json::json!(9)]);
    assert_eq!(
        verdicts.iter().map(|v| v.kind).collect::<Vec<_>>(),
        [VerdictKind::Set, VerdictKind::Set, VerdictKind::Set, VerdictKind::Table]
    );
    let sql = suite.failing_rows_sql(&verdicts).unwrap();
    let mut rows = Vec::new();
    for found in query(&schema, &batches, &others, &sql).await {
        let (keys, checks) =
            (found.column(0).as_primitive::<Int64Type>(), found.column(2).as_primitive::<Int64Type>());
        rows.extend(
            (0..found.num_rows()).map(|row| (keys.is_valid(row).then(|| keys.value(row)), checks.value(row))),
        );
    }
    rows.sort();
    assert_eq!(rows, [(Some(2), 0), (Some(2), 0), (Some(9), 2)]);
}

#[tokio::test]
async fn nan_is_missing_and_one_zero_is_like_the_other() {
    let schema = Arc::new(Schema::new(vec![Field::new("x", DataType::Float64, true)]));
    let values = Float64Array::from(vec![Some(f64::NAN), None, Some(0.0), Some(-0.0), Some(f64::NAN)]);
    let rows = RecordBatch::try_new(schema.clone(), vec![Arc::new(values)]).unwrap();
    let specs = specs("checks: [{not_null: x}, {unique: x}, {max: {column: x, max_value: 0}}]").unwrap();
    let verdicts = run(&specs, &schema, &[rows], &[]).await.unwrap();
    assert_eq!(verdicts[0].unexpected_count, 3);
    assert_eq!((verdicts[1].missing_count, verdicts[1].unexpected_count), (3, 2));
    assert!(verdicts[2].success);
}

#[tokio::test]
async fn every_form_of_text_is_looked_up_alike() {
    let long = "longer than twelve bytes";
    let texts: arrow::array::ArrayRef = Arc::new(StringArray::from(vec![
        Some("AA"),
        Some(long),
        None,
        Some("B6"),
        Some("longer than twelve bites"),
    ]));
    let forms = [
        DataType::Utf8,
        DataType::LargeUtf8,
        DataType::Utf8View,
        DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8)),
    ];
    for form in forms {
        let schema = Arc::new(Schema::new(vec![Field::new("s", form.clone(), true)]));
        let column = arrow::compute::cast(&texts, &form).unwrap();
        let rows = RecordBatch::try_new(schema.clone(), vec![column]).unwrap();
        let yaml = format!(
            "checks: [{{accepted_values: {{column: s, values: [AA, {long}]}}}}, {{rejected_values: {{column: s, values: [AA, {long}]}}}}, {{regex: {{column: s, regex: '^[A-Z]'}}}}, {{unique: s}}]"
        );
        let verdicts = run(&specs(&yaml).unwrap(), &schema, &[rows], &[]).await.unwrap();
        let counts: Vec<u64> = verdicts.iter().map(|v| v.unexpected_count).collect();
        assert_eq!(counts, [2, 2, 2, 0], "{form}");
        assert!(verdicts.iter().all(|v| v.missing_count == 1), "{form}");
    }
}
