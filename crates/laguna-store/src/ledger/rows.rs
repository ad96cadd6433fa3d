//! Runs as rows of `system.runs`, `system.tasks`, `system.checks` and `system.metrics`.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use laguna_base::{Error, Instant, Result, TableName, Tier};
use serde_json::Value;

use super::{RunRecord, TaskRecord};

/// The system tables that runs are folded into, with their columns. Times are UTC with µs, durations seconds.
///
/// * `runs`: one row a run. `tasks` is the number of its tasks.
/// * `tasks`: one row a node of a run; rows and bytes are null where they are not known.
/// * `checks`: one row a verdict, at the time when its task started; `kwargs`, `examples`
///   (failing values) and `failing_rows` (some rows that it refuses: file, number, values) are JSON,
///   `unexpected_percent` 0-100.
/// * `metrics`: one row a number about a table, at the time when its task started.
pub fn schemas() -> Vec<(TableName, SchemaRef)> {
    let text = DataType::Utf8;
    let number = DataType::Int64;
    let time = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let float = DataType::Float64;
    let table = |name: &str, columns: Vec<(&str, &DataType)>| {
        let fields: Vec<Field> =
            columns.into_iter().map(|(name, data_type)| Field::new(name, data_type.clone(), true)).collect();
        let name = TableName { tier: Tier::System, table: name.to_string() };
        (name, Arc::new(Schema::new(fields)) as SchemaRef)
    };
    vec![
        table(
            "runs",
            vec![
                ("run", &text),
                ("command", &text),
                ("selection", &text),
                ("started", &time),
                ("finished", &time),
                ("seconds", &float),
                ("outcome", &text),
                ("owner", &text),
                ("release", &number),
                ("code", &text),
                ("tasks", &number),
                ("error", &text),
            ],
        ),
        table(
            "tasks",
            vec![
                ("run", &text),
                ("node", &text),
                ("outcome", &text),
                ("reason", &text),
                ("started", &time),
                ("seconds", &float),
                ("attempts", &number),
                ("rows_in", &number),
                ("rows_out", &number),
                ("bytes_out", &number),
                ("quarantined", &number),
                ("version", &number),
            ],
        ),
        table(
            "checks",
            vec![
                ("run", &text),
                ("node", &text),
                ("check", &text),
                ("label", &text),
                ("column", &text),
                ("severity", &text),
                ("success", &DataType::Boolean),
                ("unexpected_count", &number),
                ("element_count", &number),
                ("missing_count", &number),
                ("unexpected_percent", &float),
                ("observed", &text),
                ("message", &text),
                ("error", &text),
                ("kwargs", &text),
                ("examples", &text),
                ("failing_rows", &text),
                ("time", &time),
            ],
        ),
        table(
            "metrics",
            vec![("run", &text), ("node", &text), ("metric", &text), ("value", &float), ("time", &time)],
        ),
    ]
}

/// `runs` as rows of the four tables of [`schemas`], in that order; a table without rows has an empty batch.
pub fn record_batches(runs: &[RunRecord]) -> Result<Vec<(TableName, RecordBatch)>> {
    let tasks: Vec<(&RunRecord, &TaskRecord)> =
        runs.iter().flat_map(|run| run.tasks.iter().map(move |task| (run, task))).collect();
    let columns = [run_columns(runs), task_columns(&tasks), check_columns(&tasks), metric_columns(&tasks)];
    schemas()
        .into_iter()
        .zip(columns)
        .map(|((table, schema), columns)| match RecordBatch::try_new(schema, columns) {
            Ok(batch) => Ok((table, batch)),
            Err(error) => {
                Err(Error::internal(format!("the rows of {table} do not fit its columns")).caused_by(error))
            }
        })
        .collect()
}

fn run_columns(runs: &[RunRecord]) -> Vec<ArrayRef> {
    vec![
        texts(runs.iter().map(|run| Some(run.id.as_str()))),
        texts(runs.iter().map(|run| Some(run.command.as_str()))),
        texts(runs.iter().map(|run| Some(run.select.join(" ")))),
        times(runs.iter().map(|run| Some(run.started))),
        times(runs.iter().map(|run| run.finished)),
        floats(runs.iter().map(|run| {
            let micros = run.finished?.as_micros() - run.started.as_micros();
            Some(micros as f64 / 1e6)
        })),
        texts(runs.iter().map(|run| Some(run.outcome.as_str()))),
        texts(runs.iter().map(|run| Some(run.owner.as_str()))),
        counts(runs.iter().map(|run| run.release)),
        texts(runs.iter().map(|run| run.code.as_deref())),
        counts(runs.iter().map(|run| Some(run.tasks.len() as u64))),
        texts(runs.iter().map(|run| run.error.as_deref())),
    ]
}

fn task_columns(tasks: &[(&RunRecord, &TaskRecord)]) -> Vec<ArrayRef> {
    vec![
        texts(tasks.iter().map(|(run, _)| Some(run.id.as_str()))),
        texts(tasks.iter().map(|(_, task)| Some(task.node.as_str()))),
        texts(tasks.iter().map(|(_, task)| Some(task.outcome.as_str()))),
        texts(tasks.iter().map(|(_, task)| Some(task.reason.as_str()))),
        times(tasks.iter().map(|(_, task)| Some(task.started))),
        floats(tasks.iter().map(|(_, task)| Some(task.seconds))),
        counts(tasks.iter().map(|(_, task)| Some(u64::from(task.attempts)))),
        counts(tasks.iter().map(|(_, task)| task.rows_in)),
        counts(tasks.iter().map(|(_, task)| task.rows_out)),
        counts(tasks.iter().map(|(_, task)| task.bytes_out)),
        counts(tasks.iter().map(|(_, task)| Some(task.quarantined))),
        counts(tasks.iter().map(|(_, task)| task.version)),
    ]
}

fn check_columns(tasks: &[(&RunRecord, &TaskRecord)]) -> Vec<ArrayRef> {
    let verdicts: Vec<(&RunRecord, &TaskRecord, &Value)> = tasks
        .iter()
        .flat_map(|(run, task)| task.checks.iter().map(move |verdict| (*run, *task, verdict)))
        .collect();
    let text =
        |name: &'static str| texts(verdicts.iter().map(move |(_, _, verdict)| as_text(&verdict[name])));
    let count = |name: &'static str| {
        let values = verdicts.iter().map(move |(_, _, verdict)| verdict[name].as_i64());
        Arc::new(Int64Array::from_iter(values)) as ArrayRef
    };
    vec![
        texts(verdicts.iter().map(|(run, _, _)| Some(run.id.as_str()))),
        texts(verdicts.iter().map(|(_, task, _)| Some(task.node.as_str()))),
        text("check"),
        text("label"),
        text("column"),
        text("severity"),
        Arc::new(BooleanArray::from_iter(
            verdicts.iter().map(|(_, _, verdict)| verdict["success"].as_bool()),
        )),
        count("unexpected_count"),
        count("element_count"),
        count("missing_count"),
        floats(verdicts.iter().map(|(_, _, verdict)| verdict["unexpected_percent"].as_f64())),
        text("observed"),
        text("message"),
        text("error"),
        text("kwargs"),
        text("examples"),
        text("failing_rows"),
        times(verdicts.iter().map(|(_, task, _)| Some(task.started))),
    ]
}

fn metric_columns(tasks: &[(&RunRecord, &TaskRecord)]) -> Vec<ArrayRef> {
    let metrics: Vec<(&RunRecord, &TaskRecord, &String, f64)> = tasks
        .iter()
        .flat_map(|(run, task)| task.metrics.iter().map(move |(name, value)| (*run, *task, name, *value)))
        .collect();
    vec![
        texts(metrics.iter().map(|(run, ..)| Some(run.id.as_str()))),
        texts(metrics.iter().map(|(_, task, ..)| Some(task.node.as_str()))),
        texts(metrics.iter().map(|(_, _, name, _)| Some(name.as_str()))),
        floats(metrics.iter().map(|(.., value)| Some(*value))),
        times(metrics.iter().map(|(_, task, ..)| Some(task.started))),
    ]
}

/// Text as it is, null as null, everything else as JSON.
fn as_text(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

fn texts<T: AsRef<str>>(values: impl Iterator<Item = Option<T>>) -> ArrayRef {
    Arc::new(StringArray::from_iter(values))
}

fn counts(values: impl Iterator<Item = Option<u64>>) -> ArrayRef {
    Arc::new(Int64Array::from_iter(values.map(|value| value.and_then(|value| i64::try_from(value).ok()))))
}

fn floats(values: impl Iterator<Item = Option<f64>>) -> ArrayRef {
    Arc::new(Float64Array::from_iter(values))
}

fn times(values: impl Iterator<Item = Option<Instant>>) -> ArrayRef {
    let micros = values.map(|value| value.map(Instant::as_micros));
    Arc::new(TimestampMicrosecondArray::from_iter(micros).with_timezone("UTC"))
}
