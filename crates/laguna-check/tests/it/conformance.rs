//! Verdicts, errors and details of Great Expectations 1.24.1 on its own cases, counted by kind and by type.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BooleanArray, Float64Array, Int64Array, NullArray, RecordBatch, RecordBatchOptions,
    StringArray,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use laguna_base::Instant;
use laguna_check::{CheckSpec, Keep, Suite, Verdict, with_parameters};
use serde_json::{Map, Value};

use crate::support;

/// Cases that are not scored, each with its reason.
const SKIPPED: &[(&str, &str)] = &[
    ("def/expect_column_values_to_be_between/1/30:test_conditional_expectation_fails", MIXED),
    ("def-0.14.13/expect_column_values_to_be_between/1/34:test_conditional_expectation_fails", MIXED),
    (
        "def/expect_column_pair_values_to_be_equal/1/4:positive_example_with_mostly_compare_number_to_text",
        MIXED,
    ),
    (
        "def/expect_column_pair_values_to_be_equal/1/6:positive_example_with_mismatched_null_values_and_ignore_row_if__either_value_is_missing_compare_number_to_text",
        MIXED,
    ),
];

const MIXED: &str = "the column holds numbers and texts, and the verdict needs the numbers to be numbers: a column of a lake has one type, so that they are texts";

/// Agreements of one kind or type: verdicts, errors, details, each with how many there are.
#[derive(Debug, Clone, Copy, Default)]
struct Tally {
    verdicts: (u32, u32),
    errors: (u32, u32),
    details: (u32, u32),
}

impl Tally {
    fn add(&mut self, outcome: &Outcome) {
        let count = |pair: &mut (u32, u32), agrees: bool| {
            pair.0 += u32::from(agrees);
            pair.1 += 1;
        };
        match outcome.error_expected {
            true => count(&mut self.errors, outcome.agrees),
            false => {
                count(&mut self.verdicts, outcome.agrees);
                count(&mut self.details, outcome.agrees && outcome.details.is_none());
            }
        }
    }
}

struct Outcome {
    error_expected: bool,
    agrees: bool,
    why: String,
    details: Option<String>,
}

#[tokio::test]
#[allow(clippy::print_stdout, reason = "the report is what the runner is for: `--nocapture` shows it")]
async fn great_expectations_cases_give_the_same_verdicts() {
    let mut kinds: BTreeMap<String, Tally> = BTreeMap::new();
    let mut types: BTreeMap<String, Tally> = BTreeMap::new();
    let (mut wrong, mut different, mut skipped) = (Vec::new(), Vec::new(), 0);
    let mut lines = include_str!("../data/ge_cases.jsonl").to_string();
    // Further cases in the same form, such as bench/great_expectations_cases.py makes.
    let further = std::env::var("LAGUNA_GE_CASES").ok();
    if let Some(path) = &further {
        lines = std::fs::read_to_string(path).unwrap();
    }
    for line in lines.lines() {
        let case: Value = serde_json::from_str(line).unwrap();
        if case.get("sensitive_to").is_some() || SKIPPED.iter().any(|(id, _)| case["id"] == *id) {
            skipped += 1;
            continue;
        }
        let outcome = score(&case).await;
        for (tallies, name) in [(&mut kinds, "kind"), (&mut types, "expectation_type")] {
            tallies.entry(case[name].as_str().unwrap().to_string()).or_default().add(&outcome);
        }
        if !outcome.agrees {
            wrong.push(format!("{}: {} ({})", case["id"], outcome.why, case["kwargs"]));
        } else if let Some(details) = outcome.details {
            different.push(format!("{}: {details} ({})", case["id"], case["kwargs"]));
        }
    }
    let mut report = String::new();
    let _ = writeln!(report, "{:72} {:>9} {:>9} {:>9}", "", "verdicts", "errors", "details");
    let mut total = Tally::default();
    for (name, tally) in kinds.iter().chain(&types) {
        let shown =
            |pair: (u32, u32)| if pair.1 == 0 { "-".to_string() } else { format!("{}/{}", pair.0, pair.1) };
        let _ = writeln!(
            report,
            "{name:72} {:>9} {:>9} {:>9}",
            shown(tally.verdicts),
            shown(tally.errors),
            shown(tally.details)
        );
    }
    for tally in kinds.values() {
        for (into, from) in [
            (&mut total.verdicts, tally.verdicts),
            (&mut total.errors, tally.errors),
            (&mut total.details, tally.details),
        ] {
            into.0 += from.0;
            into.1 += from.1;
        }
    }
    println!("{report}in all: {total:?}, {skipped} not scored");
    println!("details that differ:\n{}", different.join("\n"));
    assert!(wrong.is_empty(), "{} cases differ:\n{}", wrong.len(), wrong.join("\n"));
    if further.is_none() {
        assert_eq!(total.verdicts.1 + total.errors.1 + skipped, 501);
    }
    assert!(total.details.0 * 100 >= total.details.1 * 97, "details: {:?}", total.details);
}

async fn score(case: &Value) -> Outcome {
    let batch = table(&case["columns"], &case["column_types"], case["row_count"].as_u64());
    let expected = &case["expected"];
    let none = Map::new();
    let parameters = case["suite_parameters"].as_object().unwrap_or(&none);
    let others: Vec<(String, RecordBatch)> = case["other_tables"]
        .as_object()
        .unwrap_or(&none)
        .iter()
        .map(|(name, other)| (name.clone(), table(&other["columns"], &other["column_types"], None)))
        .collect();
    let others: Vec<(&str, RecordBatch)> =
        others.iter().map(|(name, batch)| (name.as_str(), batch.clone())).collect();
    // Some day after the cases were written.
    let now = Instant::from_micros(1_800_000_000_000_000);
    let spec = with_parameters(&case["kwargs"], parameters, now)
        .and_then(|kwargs| CheckSpec::new(case["expectation_type"].as_str().unwrap(), &kwargs));
    let outcome = match spec {
        Ok(spec) => {
            let suite = Suite::compile_each(&[spec], &batch.schema())
                .keeping(Keep { examples: 10_000, row_numbers: true });
            support::run_suite(&suite, &batch.schema(), std::slice::from_ref(&batch), &others).await
        }
        Err(error) => Err(error),
    };
    let error_expected = expected["raised"].is_string();
    let verdict = match outcome {
        Ok(mut verdicts) => verdicts.remove(0),
        Err(error) => {
            return Outcome {
                error_expected,
                agrees: error_expected,
                why: format!("{error:?}"),
                details: None,
            };
        }
    };
    if let Some(error) = &verdict.error {
        return Outcome {
            error_expected,
            agrees: error_expected,
            why: format!("error {error}"),
            details: None,
        };
    }
    Outcome {
        error_expected,
        agrees: !error_expected && expected["success"] == verdict.success,
        why: match error_expected {
            true => "should be refused".to_string(),
            false => format!("success {} ({})", verdict.success, verdict.message),
        },
        details: compare(expected, &verdict).err(),
    }
}

/// Counts, failing values and rows, and what was observed.
fn compare(expected: &Value, verdict: &Verdict) -> Result<(), String> {
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
    let sorted = |values: &[Value]| {
        let mut texts: Vec<String> = values.iter().map(normal).collect();
        texts.sort();
        texts
    };
    let examples = Value::from(verdict.examples.clone());
    let missing = &verdict.details["partial_missing_list"];
    for (name, ours) in [
        ("unexpected_list", &examples),
        ("partial_unexpected_list", &examples),
        ("partial_missing_list", missing),
    ] {
        if let Some(theirs) = expected[name].as_array()
            && sorted(theirs) != sorted(ours.as_array().map(Vec::as_slice).unwrap_or_default())
        {
            return Err(format!("{name} {ours}, not {theirs:?}"));
        }
    }
    if let Some(theirs) = expected["unexpected_index_list"].as_array() {
        let theirs: Vec<u64> = theirs.iter().filter_map(Value::as_u64).collect();
        if theirs != verdict.unexpected_index {
            return Err(format!("rows {:?}, not {theirs:?}", verdict.unexpected_index));
        }
    }
    if expected.get("observed_value").is_some() {
        same(&expected["observed_value"], &verdict.observed)
            .map_err(|()| format!("observed {}, not {}", verdict.observed, expected["observed_value"]))?;
    }
    if expected.get("details").is_some() {
        same(&expected["details"], &verdict.details)
            .map_err(|()| format!("details {}, not {}", verdict.details, expected["details"]))?;
    }
    Ok(())
}

fn same(theirs: &Value, ours: &Value) -> Result<(), ()> {
    let all = |equal: bool| if equal { Ok(()) } else { Err(()) };
    match (theirs, ours) {
        (Value::Number(theirs), Value::Number(ours)) => {
            let (theirs, ours) = (theirs.as_f64().unwrap(), ours.as_f64().unwrap());
            all((theirs - ours).abs() <= 1e-9 * theirs.abs().max(1.0))
        }
        (Value::Array(theirs), Value::Array(ours)) if theirs.len() == ours.len() => {
            theirs.iter().zip(ours).try_for_each(|(theirs, ours)| same(theirs, ours))
        }
        (Value::Object(theirs), Value::Object(ours)) if theirs.len() == ours.len() => {
            theirs.iter().try_for_each(|(key, theirs)| same(theirs, ours.get(key).ok_or(())?))
        }
        _ => all(normal(theirs) == normal(ours)),
    }
}

fn normal(value: &Value) -> String {
    match value {
        Value::Number(number) => number.as_f64().unwrap().to_string(),
        Value::Object(map) => {
            let mut parts: Vec<String> = map.iter().map(|(k, v)| format!("{k}={}", normal(v))).collect();
            parts.sort();
            parts.join(",")
        }
        Value::Array(items) => items.iter().map(normal).collect::<Vec<_>>().join(";"),
        // Times are written with a space and with a T, with a fraction of three and of six digits, with Z and +00:00.
        Value::String(text) if text == "NaT" => "null".to_string(),
        Value::String(text) => {
            let text = text.replacen(' ', "T", 1);
            let text = text.trim_end_matches("+00:00").trim_end_matches('Z');
            let text = if text.contains('.') && text.contains('T') {
                text.trim_end_matches('0').trim_end_matches('.')
            } else {
                text
            };
            text.trim_end_matches("T00:00:00").to_string()
        }
        other => other.to_string(),
    }
}

fn table(columns: &Value, types: &Value, rows: Option<u64>) -> RecordBatch {
    let mut fields = Vec::new();
    let mut arrays: Vec<ArrayRef> = Vec::new();
    for (name, values) in columns.as_object().unwrap() {
        let values = values.as_array().unwrap();
        let array: ArrayRef = match types[name].as_str().unwrap() {
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
            // A column has one type here: numbers among texts are texts, as when a file is read.
            "mixed" => Arc::new(
                values
                    .iter()
                    .map(|v| match v {
                        Value::Null => None,
                        Value::String(text) => Some(text.clone()),
                        other => Some(other.to_string()),
                    })
                    .collect::<StringArray>(),
            ),
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
    let rows = rows.map_or(arrays.first().map_or(0, |array| array.len()), |rows| rows as usize);
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), arrays, &options).unwrap()
}
