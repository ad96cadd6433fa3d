//! `EXPLAIN` as PostgreSQL answers it: one column of lines.

use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::error::Result;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::StreamExt;

/// Whether a statement asks for a plan.
pub(super) fn explains(sql: &str) -> bool {
    sql.trim_start().get(..8).is_some_and(|word| word.eq_ignore_ascii_case("explain "))
        || sql.trim_start().get(..8).is_some_and(|word| word.eq_ignore_ascii_case("explain("))
}

/// The one column.
pub(super) fn columns() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("QUERY PLAN", DataType::Utf8, true)]))
}

/// The plans of the engine as lines.
pub(super) fn in_lines(plans: SendableRecordBatchStream) -> (SchemaRef, SendableRecordBatchStream) {
    let lines = plans.map(|plans| lines(&plans?));
    (columns(), Box::pin(RecordBatchStreamAdapter::new(columns(), lines)))
}

/// The lines of the plan that runs, of what the engine tells of all its plans.
fn lines(plans: &RecordBatch) -> Result<RecordBatch> {
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
                text => text.unwrap_or_default().lines().map(str::to_string).collect(),
            }
        }
        None => Vec::new(),
    };
    Ok(RecordBatch::try_new(columns(), vec![Arc::new(StringArray::from(lines))])?)
}
