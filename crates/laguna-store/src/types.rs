//! The one mapping from Arrow types to what Delta tables at reader version 1 hold (DECISIONS 12).

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use laguna_base::Result;

/// The schema under which rows of `schema` are stored: views and dictionaries become plain, timestamps become UTC
/// microseconds, unsigned 8-32 bits widen, UInt64 becomes decimal(20,0), LargeUtf8 becomes Utf8. Columns of type
/// Null are left out. Decimal256, Time, Interval, Duration: an error that names the column and suggests a cast.
pub fn normalize(schema: &SchemaRef) -> Result<SchemaRef> {
    let _ = schema;
    unimplemented!()
}

/// Casts `batch` to `schema` (as [`normalize`] gave it) by column name; no value is silently changed: what does not
/// fit is an error that names the column.
pub fn normalize_batch(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    let _ = (batch, schema);
    unimplemented!()
}

/// A schema as JSON (Delta's schema string), for releases and manifests.
pub fn schema_to_json(schema: &SchemaRef) -> Result<String> {
    let _ = schema;
    unimplemented!()
}

/// The inverse of [`schema_to_json`].
pub fn schema_from_json(text: &str) -> Result<SchemaRef> {
    let _ = text;
    unimplemented!()
}
