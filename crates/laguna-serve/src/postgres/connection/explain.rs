//! `EXPLAIN` as PostgreSQL answers it: one column of lines.

use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::error::Result;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::StreamExt;
use serde_json::Value;

use crate::postgres::types;

/// Whether a statement asks for a plan.
pub(super) fn explains(sql: &str) -> bool {
    sql.trim_start().get(..8).is_some_and(|word| word.eq_ignore_ascii_case("explain "))
        || sql.trim_start().get(..8).is_some_and(|word| word.eq_ignore_ascii_case("explain("))
}

/// Whether it asks for the plan as a document.
fn as_document(sql: &str) -> bool {
    let options =
        sql.split_once('(').and_then(|(_, rest)| rest.split_once(')')).map_or("", |(options, _)| options);
    let words: Vec<String> =
        options.split([' ', ',']).map(str::to_lowercase).filter(|word| !word.is_empty()).collect();
    words.windows(2).any(|pair| pair[0] == "format" && pair[1].trim_matches('\'') == "json")
}

/// The one column of the answer to a statement.
pub(super) fn columns(sql: &str) -> SchemaRef {
    let mut field = Field::new("QUERY PLAN", DataType::Utf8, true);
    if as_document(sql) {
        let mark = std::collections::HashMap::from([(types::MARK.to_string(), types::JSON.to_string())]);
        field = field.with_metadata(mark);
    }
    Arc::new(Schema::new(vec![field]))
}

/// The plans of the engine as lines, or one document.
pub(super) fn in_lines(
    sql: &str,
    plans: SendableRecordBatchStream,
) -> (SchemaRef, SendableRecordBatchStream) {
    let (columns, document) = (columns(sql), as_document(sql));
    let schema = columns.clone();
    let lines = plans.map(move |plans| lines(&plans?, &schema, document));
    (columns.clone(), Box::pin(RecordBatchStreamAdapter::new(columns, lines)))
}

/// The lines of the plan that runs, of what the engine tells of all its plans.
fn lines(plans: &RecordBatch, columns: &SchemaRef, document: bool) -> Result<RecordBatch> {
    let texts = match plans.num_columns() {
        0 | 1 => plans.columns().first(),
        _ => plans.columns().get(1),
    };
    let lines: Vec<String> = match texts {
        Some(texts) => {
            let texts = cast(texts, &DataType::Utf8)?;
            let texts = texts.as_string::<i32>();
            let last = (0..texts.len()).rev().find(|row| !texts.is_null(*row)).map(|row| texts.value(row));
            match last {
                // A document stays whole.
                Some(text) if text.starts_with(['[', '{']) => vec![text.to_string()],
                Some(text) if document => vec![nodes(text)],
                text => text.unwrap_or_default().lines().map(str::to_string).collect(),
            }
        }
        None => Vec::new(),
    };
    Ok(RecordBatch::try_new(columns.clone(), vec![Arc::new(StringArray::from(lines))])?)
}

/// A plan in indented lines as PostgreSQL's document.
fn nodes(text: &str) -> String {
    /// The node of the first line with those that are indented deeper.
    fn node(lines: &mut std::iter::Peekable<std::str::Lines>) -> Option<Value> {
        let depth = |line: &str| line.len() - line.trim_start().len();
        let line = lines.next()?;
        let (kind, details) = line.trim().split_once(": ").unwrap_or((line.trim(), ""));
        let (kind, metrics) = match details.split_once("metrics=[") {
            Some((_, metrics)) => (kind, metrics),
            None => (kind.split(", metrics=[").next().unwrap_or(kind), ""),
        };
        let rows = metrics.split_once("output_rows=").map(|(_, rest)| rest);
        let rows: Option<f64> = rows.and_then(|rows| rows.split([',', ' ', ']']).next()?.parse().ok());
        let mut found = serde_json::json!({ "Node Type": kind.trim_end_matches("Exec"), "Details": details });
        if let Some(rows) = rows {
            found["Actual Rows"] = rows.into();
        }
        let mut plans = Vec::new();
        while lines.peek().is_some_and(|next| depth(next) > depth(line)) {
            plans.extend(node(lines));
        }
        if !plans.is_empty() {
            found["Plans"] = plans.into();
        }
        Some(found)
    }
    let plan = node(&mut text.lines().peekable()).unwrap_or_default();
    let document = serde_json::json!([{ "Plan": plan }]);
    serde_json::to_string_pretty(&document).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plans_become_documents() {
        assert!(as_document("EXPLAIN (ANALYZE, FORMAT JSON) select 1"));
        assert!(!as_document("EXPLAIN (ANALYZE) select 'format json'"));
        let text =
            "ProjectionExec: expr=[a], metrics=[output_rows=3, x=1]\n  FilterExec: a > 1\n    Scan\n  Other";
        let found: Value = serde_json::from_str(&nodes(text)).unwrap();
        let plan = &found[0]["Plan"];
        assert_eq!((&plan["Node Type"], &plan["Actual Rows"]), (&"Projection".into(), &3.0.into()));
        assert_eq!(plan["Plans"][0]["Plans"][0]["Node Type"], "Scan");
        assert_eq!(plan["Plans"][1]["Node Type"], "Other");
    }
}
