//! Verdicts and counts of Great Expectations on its own cases.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BooleanArray, Float64Array, Int64Array, NullArray, RecordBatch, RecordBatchOptions,
    StringArray,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use laguna_check::{CheckSpec, Verdict};
use serde_json::Value;

use crate::support;

/// Where Laguna answers on purpose what pandas cannot, or compares what pandas does not.
const BETTER: [(&str, &str); 0] = [];

#[tokio::test]
async fn great_expectations_cases_give_the_same_verdicts_and_counts() {
    let mut wrong = Vec::new();
    let mut scored = 0;
    for line in include_str!("../data/ge_cases.jsonl").lines() {
        let case: Value = serde_json::from_str(line).unwrap();
        if BETTER.iter().any(|(id, _)| case["id"] == *id) {
            continue;
        }
        scored += 1;
        if let Err(why) = score(&case).await {
            wrong.push(format!("{}: {why} ({})", case["id"], case["kwargs"]));
        }
    }
    assert!(scored > 150, "only {scored} cases");
    assert!(wrong.is_empty(), "{} of {scored} differ:\n{}", wrong.len(), wrong.join("\n"));
}

async fn score(case: &Value) -> Result<(), String> {
    let batch = table(case);
    let expected = &case["expected"];
    let outcome = match CheckSpec::new(case["expectation_type"].as_str().unwrap(), &case["kwargs"]) {
        Ok(spec) => support::run(&[spec], &batch.schema(), std::slice::from_ref(&batch), &[]).await,
        Err(error) => Err(error),
    };
    let raised = expected["raised"].is_string();
    let verdict: Verdict = match outcome {
        Err(_) if raised => return Ok(()),
        Err(error) => return Err(format!("{error:?}")),
        Ok(_) if raised => return Err("should be refused".to_string()),
        Ok(mut verdicts) => verdicts.remove(0),
    };
    if expected["success"] != verdict.success {
        return Err(format!("success {} ({})", verdict.success, verdict.message));
    }
    for (name, ours) in [
        ("unexpected_count", verdict.unexpected_count),
        ("missing_count", verdict.missing_count),
        ("element_count", verdict.element_count),
    ] {
        if let Some(theirs) = expected[name].as_u64()
            && theirs != ours
        {
            return Err(format!("{name} {ours}, not {theirs}"));
        }
    }
    if let Some(theirs) = expected["unexpected_list"].as_array() {
        let sorted = |values: &[Value]| {
            let mut texts: Vec<String> = values.iter().map(normal).collect();
            texts.sort();
            texts
        };
        if theirs.len() <= 20 && sorted(theirs) != sorted(&verdict.examples) {
            return Err(format!("examples {:?}, not {theirs:?}", verdict.examples));
        }
    }
    match (&expected["observed_value"], &verdict.observed) {
        (Value::Number(theirs), Value::Number(ours)) => {
            let (theirs, ours) = (theirs.as_f64().unwrap(), ours.as_f64().unwrap());
            if (theirs - ours).abs() > 1e-9 * theirs.abs().max(1.0) {
                return Err(format!("observed {ours}, not {theirs}"));
            }
        }
        (Value::Number(theirs), ours) => return Err(format!("observed {ours}, not {theirs}")),
        _ => {}
    }
    Ok(())
}

fn normal(value: &Value) -> String {
    match value {
        Value::Number(number) => number.as_f64().unwrap().to_string(),
        Value::Object(map) => {
            let mut parts: Vec<String> = map.iter().map(|(k, v)| format!("{k}={}", normal(v))).collect();
            parts.sort();
            parts.join(",")
        }
        Value::String(text) => text.trim_end_matches("T00:00:00").to_string(),
        other => other.to_string(),
    }
}

fn table(case: &Value) -> RecordBatch {
    let mut fields = Vec::new();
    let mut arrays: Vec<ArrayRef> = Vec::new();
    for (name, values) in case["columns"].as_object().unwrap() {
        let values = values.as_array().unwrap();
        let array: ArrayRef = match case["column_types"][name].as_str().unwrap() {
            "int" => Arc::new(values.iter().map(Value::as_i64).collect::<Int64Array>()),
            "float" => Arc::new(
                values
                    .iter()
                    .map(|v| v.as_f64().or_else(|| v.as_str().and_then(|text| text.parse().ok())))
                    .collect::<Float64Array>(),
            ),
            "bool" => Arc::new(values.iter().map(Value::as_bool).collect::<BooleanArray>()),
            "null" => Arc::new(NullArray::new(values.len())),
            "string" => Arc::new(values.iter().map(Value::as_str).collect::<StringArray>()),
            other => {
                let texts: ArrayRef = Arc::new(values.iter().map(Value::as_str).collect::<StringArray>());
                let data_type = match other {
                    "date" => DataType::Date32,
                    "timestamp" => DataType::Timestamp(TimeUnit::Microsecond, None),
                    "timestamp_tz" => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
                    "decimal" => DataType::Decimal128(38, 10),
                    unknown => panic!("{unknown}"),
                };
                cast(&texts, &data_type).unwrap()
            }
        };
        fields.push(Field::new(name, array.data_type().clone(), true));
        arrays.push(array);
    }
    let rows = case["row_count"].as_u64().unwrap() as usize;
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), arrays, &options).unwrap()
}
