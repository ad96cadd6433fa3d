//! Validation results as Great Expectations writes them, so that tools built on them go on working.

use std::cmp::Ordering;
use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};

use laguna_base::Instant;
use serde_json::{Map, Value, json};

use super::VERSION;
use crate::spec::Severity;
use crate::verdict::Verdict;

/// How much a result tells of each expectation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ResultFormat {
    /// Whether it holds.
    BooleanOnly,
    /// Counts, and the first 20 failing values.
    Basic,
    /// And how often these stand there.
    #[default]
    Summary,
    /// All failing values and their rows.
    Complete,
}

impl ResultFormat {
    /// The word in `result_format`.
    pub fn as_str(self) -> &'static str {
        match self {
            ResultFormat::BooleanOnly => "BOOLEAN_ONLY",
            ResultFormat::Basic => "BASIC",
            ResultFormat::Summary => "SUMMARY",
            ResultFormat::Complete => "COMPLETE",
        }
    }
}

/// One table or set of files that was checked by one suite.
#[derive(Debug, Clone, Default)]
pub struct Checked {
    /// What was checked: `sanitized.flights`, `data/*.csv`.
    pub subject: String,
    /// Name of the suite; that of the table for checks of its settings.
    pub suite: String,
    /// Values that the run gave to parameters.
    pub parameters: BTreeMap<String, Value>,
    /// Each expectation as its suite has it; empty for checks of settings.
    pub expectations: Vec<Value>,
    /// The outcomes, in the order of the suite.
    pub verdicts: Vec<Verdict>,
}

impl Checked {
    /// Whether every check holds.
    pub fn success(&self) -> bool {
        self.verdicts.iter().all(|verdict| verdict.success)
    }

    /// The highest severity among the checks that fail.
    pub fn worst(&self) -> Option<Severity> {
        let failed = self.verdicts.iter().filter(|verdict| !verdict.success).map(|verdict| verdict.severity);
        failed.min_by_key(|severity| match severity {
            Severity::Critical => 0,
            Severity::Warning => 1,
            Severity::Info => 2,
        })
    }
}

/// Failing values that all formats but the whole one show.
const PARTIAL: usize = 20;

/// The validation result of one suite. `run` names the run, `at` is when it began.
pub fn validation_result(checked: &Checked, format: ResultFormat, run: &str, at: Instant) -> Value {
    let evaluated = checked.verdicts.len();
    let successful = checked.verdicts.iter().filter(|verdict| verdict.success).count();
    let percent = (evaluated > 0).then(|| successful as f64 / evaluated as f64 * 100.0);
    let mut numbered: Vec<(usize, &Verdict)> = checked.verdicts.iter().enumerate().collect();
    // Those that could not be computed come first.
    numbered.sort_by_key(|(_, verdict)| verdict.error.is_none());
    let results: Vec<Value> = numbered
        .into_iter()
        .map(|(at, verdict)| one(checked, verdict, checked.expectations.get(at), format))
        .collect();
    json!({
        "success": checked.success(),
        "results": results,
        "suite_name": checked.suite,
        "suite_parameters": checked.parameters,
        "statistics": {
            "evaluated_expectations": evaluated,
            "successful_expectations": successful,
            "unsuccessful_expectations": evaluated - successful,
            "success_percent": percent,
        },
        "meta": {
            "great_expectations_version": VERSION,
            "run_id": {"run_name": run, "run_time": at.to_string()},
            "validation_id": null,
            "validation_time": at.to_string(),
            "checkpoint_id": null,
            "batch_spec": {"subject": checked.subject},
            "batch_markers": {"ge_load_time": at.to_string()},
            "batch_parameters": {},
            "active_batch_definition": {
                "datasource_name": "laguna",
                "data_connector_name": "fluent",
                "data_asset_name": checked.subject,
                "batch_identifiers": {},
            },
        },
        "id": null,
    })
}

fn one(checked: &Checked, verdict: &Verdict, config: Option<&Value>, format: ResultFormat) -> Value {
    let mut config = config.cloned().unwrap_or_else(|| configuration(verdict));
    if let Some(Value::Object(kwargs)) = config.get_mut("kwargs") {
        kwargs.entry("batch_id").or_insert_with(|| Value::from(format!("laguna-{}", checked.subject)));
    }
    let (result, exception) = match &verdict.error {
        Some(message) => {
            let raised = json!({
                "raised_exception": true,
                "exception_message": message,
                "exception_traceback": format!("laguna: {message}"),
            });
            let column = verdict.column.as_deref().unwrap_or("table");
            let metric = format!("('{}', '{column}', ())", verdict.check);
            (json!({}), Value::Object([(metric, raised)].into_iter().collect()))
        }
        None => (
            result(verdict, format),
            json!({"raised_exception": false, "exception_traceback": null, "exception_message": null}),
        ),
    };
    json!({
        "success": verdict.success,
        "expectation_config": config,
        "result": result,
        "meta": {},
        "exception_info": exception,
    })
}

/// An expectation as a suite would have it.
pub(crate) fn configuration(verdict: &Verdict) -> Value {
    let mut config = json!({
        "type": verdict.check,
        "kwargs": verdict.kwargs,
        "meta": if verdict.meta.is_null() { json!({}) } else { verdict.meta.clone() },
        "severity": verdict.severity.as_str(),
    });
    if !verdict.notes.is_null() {
        config["notes"] = verdict.notes.clone();
    }
    if let Some(description) = &verdict.description {
        config["description"] = description.as_str().into();
    }
    if let Some(id) = &verdict.id {
        config["id"] = id.as_str().into();
    }
    config
}

/// Whether the check judges rows, so that its result counts them.
fn counts_rows(check: &str) -> bool {
    let families = [
        "expect_column_values_",
        "expect_column_value_",
        "expect_column_pair_values_",
        "expect_compound_columns_",
        "expect_multicolumn_",
        "expect_select_column_values_",
    ];
    families.iter().any(|family| check.starts_with(family)) || check == "foreign_key"
}

fn result(verdict: &Verdict, format: ResultFormat) -> Value {
    if format == ResultFormat::BooleanOnly {
        return json!({});
    }
    if !counts_rows(&verdict.check) || !verdict.observed.is_null() {
        return of_table(verdict);
    }
    let skips = matches!(
        verdict.check.as_str(),
        "expect_column_values_to_be_null" | "expect_column_values_to_not_be_null"
    );
    let zero = |percent: Option<f64>| percent.map_or(Value::Null, Value::from);
    let partial: Vec<Value> = verdict.examples.iter().take(PARTIAL).cloned().collect();
    let mut result = Map::new();
    let mut set = |key: &str, value: Value| drop(result.insert(key.to_string(), value));
    set("element_count", verdict.element_count.into());
    set("unexpected_count", verdict.unexpected_count.into());
    set("unexpected_percent", zero(verdict.unexpected_percent_nonmissing()));
    set("partial_unexpected_list", partial.clone().into());
    if !skips {
        set("missing_count", verdict.missing_count.into());
        set("missing_percent", zero(verdict.missing_percent()));
        set("unexpected_percent_total", zero(verdict.unexpected_percent_total()));
        set("unexpected_percent_nonmissing", zero(verdict.unexpected_percent_nonmissing()));
    }
    if format == ResultFormat::Basic {
        return Value::Object(result);
    }
    let index = &verdict.unexpected_index;
    let counts = if format == ResultFormat::Complete { &verdict.examples } else { &partial };
    set("partial_unexpected_counts", counted(counts).into());
    set("partial_unexpected_index_list", index.iter().take(PARTIAL).copied().collect::<Vec<u64>>().into());
    if format == ResultFormat::Complete {
        set("unexpected_list", verdict.examples.clone().into());
        set("unexpected_index_list", index.clone().into());
        let rows: Vec<String> = index.iter().map(u64::to_string).collect();
        set("unexpected_index_query", format!("df.filter(items=[{}], axis=0)", rows.join(", ")).into());
    }
    Value::Object(result)
}

/// What a check on a column or table as a whole observed.
fn of_table(verdict: &Verdict) -> Value {
    let mut result = Map::new();
    // Whether a column is there is all that is observed of it.
    if verdict.check != "expect_column_to_exist" {
        result.insert("observed_value".to_string(), verdict.observed.clone());
    }
    let inline = ["partial_unexpected_list", "partial_missing_list"];
    if let Value::Object(details) = &verdict.details {
        if details.contains_key("partial_unexpected_list") {
            result.insert("unexpected_count".to_string(), verdict.unexpected_count.into());
        }
        if details.contains_key("partial_missing_list") {
            result.insert("missing_count".to_string(), verdict.missing_count.into());
        }
        let (lists, rest): (Vec<_>, Vec<_>) =
            details.iter().partition(|(key, _)| inline.contains(&key.as_str()));
        for (key, value) in lists {
            result.insert(key.clone(), value.clone());
        }
        if !rest.is_empty() {
            let rest: Map<String, Value> =
                rest.into_iter().map(|(key, value)| (key.clone(), value.clone())).collect();
            result.insert("details".to_string(), Value::Object(rest));
        }
    }
    Value::Object(result)
}

/// The most frequent values with their numbers, equally frequent ones in their order. A row counts as the list of its
/// values.
fn counted(values: &[Value]) -> Vec<Value> {
    let mut places: HashMap<String, usize> = HashMap::new();
    let mut counts: Vec<(Value, u64)> = Vec::new();
    for value in values {
        let value = match value {
            Value::Object(row) => Value::Array(row.values().cloned().collect()),
            other => other.clone(),
        };
        match places.entry(value.to_string()) {
            Entry::Occupied(known) => counts[*known.get()].1 += 1,
            Entry::Vacant(new) => {
                new.insert(counts.len());
                counts.push((value, 1));
            }
        }
    }
    // Of equally frequent ones those that came first are kept, and then shown in order.
    counts.sort_by(|(_, many), (_, more)| more.cmp(many));
    counts.truncate(PARTIAL);
    counts.sort_by(|(a, many), (b, more)| more.cmp(many).then_with(|| in_order(a, b)));
    counts.into_iter().map(|(value, count)| json!({"value": value, "count": count})).collect()
}

/// The order of Python, where there is one.
fn in_order(a: &Value, b: &Value) -> Ordering {
    match (a, b) {
        (Value::Array(a), Value::Array(b)) => {
            let first = a.iter().zip(b).map(|(a, b)| in_order(a, b)).find(|order| order.is_ne());
            first.unwrap_or_else(|| a.len().cmp(&b.len()))
        }
        (Value::String(a), Value::String(b)) => a.cmp(b),
        (Value::Bool(a), Value::Bool(b)) => a.cmp(b),
        _ => match (a.as_f64(), b.as_f64()) {
            (Some(a), Some(b)) => a.total_cmp(&b),
            _ => Ordering::Equal,
        },
    }
}
