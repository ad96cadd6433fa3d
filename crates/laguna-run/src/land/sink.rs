//! Pieces of files on their way into a raw table.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, RecordBatch, StringArray, StructArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, SchemaRef};
use async_trait::async_trait;
use laguna_base::{Error, Instant, Result, TableName};
use laguna_ingest::{Piece, Sink};
use laguna_model::build::{QuarantinedRow, quarantine_batch, quarantine_schema};
use laguna_store::{Lake, TableWriter, WriteOptions};
use tokio::sync::Mutex;

use super::source_fields;

/// What every row of a batch carries.
pub(super) struct Stamp {
    pub(super) at: Instant,
    pub(super) batch: String,
    pub(super) run: String,
    pub(super) files: Vec<String>,
    pub(super) table: TableName,
    pub(super) op: Option<String>,
}

/// Writes pieces to the raw table's files, and rows that could not be parsed to those of its quarantine.
pub(super) struct RawSink {
    pub(super) writer: TableWriter,
    schema: SchemaRef,
    stamp: Arc<Stamp>,
    aside: Arc<Mutex<Option<TableWriter>>>,
    lake: Lake,
    /// Rows refused here (unknown op), by file.
    pub(super) refused: BTreeMap<usize, u64>,
    constants: Option<Constants>,
}

/// Columns with one value for all rows of a file: made once, and cut to the length of each piece.
struct Constants {
    file: usize,
    rows: usize,
    at: ArrayRef,
    batch: ArrayRef,
    path: ArrayRef,
}

#[async_trait]
impl Sink for RawSink {
    async fn write(&mut self, piece: Piece) -> Result<()> {
        let mut rejected: Vec<QuarantinedRow> = piece
            .rejected
            .into_iter()
            .map(|rejected| QuarantinedRow {
                rule: "parse".to_string(),
                reason: rejected.reason,
                source: Some((self.stamp.files[rejected.file].clone(), rejected.row as i64)),
                raw: Some(rejected.raw),
                row: rejected.json,
            })
            .collect();
        let rows = piece.batch.num_rows();
        if rows > 0 {
            let numbers: ArrayRef = Arc::new(piece.rows.to_array(rows));
            let stamped = self.stamped(&piece.batch, piece.file, numbers.clone())?;
            let stamped = self.refuse_unknown_op(stamped, piece.file, &numbers, &mut rejected)?;
            self.writer.write(stamped).await?;
        }
        if !rejected.is_empty() {
            let batch = quarantine_batch(self.stamp.at, &self.stamp.run, &rejected)?;
            let mut aside = self.aside.lock().await;
            let writer = match &mut *aside {
                Some(writer) => writer,
                aside => aside.insert(TableWriter::new(
                    &self.lake,
                    &self.stamp.table.quarantine(),
                    quarantine_schema(),
                    WriteOptions::default(),
                )?),
            };
            writer.write(batch).await?;
        }
        Ok(())
    }

    async fn abort(self) {
        self.writer.abort().await;
        if let Some(aside) = self.aside.lock().await.take() {
            aside.abort().await;
        }
    }
}

impl RawSink {
    pub(super) fn new(
        writer: TableWriter,
        schema: SchemaRef,
        stamp: Arc<Stamp>,
        aside: Arc<Mutex<Option<TableWriter>>>,
        lake: Lake,
    ) -> RawSink {
        RawSink { writer, schema, stamp, aside, lake, refused: BTreeMap::new(), constants: None }
    }

    fn stamped(&mut self, batch: &RecordBatch, file: usize, numbers: ArrayRef) -> Result<RecordBatch> {
        let rows = batch.num_rows();
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(self.schema.fields().len());
        for field in &self.schema.fields()[..self.schema.fields().len() - 3] {
            columns.push(match batch.column_by_name(field.name()) {
                Some(column) => column.clone(),
                None => arrow::array::new_null_array(field.data_type(), rows),
            });
        }
        let constants = self.constants(file, rows);
        columns.push(constants.at.slice(0, rows));
        columns.push(constants.batch.slice(0, rows));
        let source = StructArray::new(source_fields(), vec![constants.path.slice(0, rows), numbers], None);
        columns.push(Arc::new(source));
        RecordBatch::try_new(self.schema.clone(), columns)
            .map_err(|error| Error::internal("a stamped batch does not fit its table").caused_by(error))
    }

    /// The constants of a file, for at least `rows` rows.
    fn constants(&mut self, file: usize, rows: usize) -> &Constants {
        let stamp = &self.stamp;
        let old = self.constants.take().filter(|constants| constants.file == file && constants.rows >= rows);
        self.constants.insert(old.unwrap_or_else(|| {
            let at = TimestampMicrosecondArray::from_value(stamp.at.as_micros(), rows).with_timezone("UTC");
            let (batch, path) = (repeated(&stamp.batch, rows), repeated(&stamp.files[file], rows));
            Constants { file, rows, at: Arc::new(at), batch, path }
        }))
    }

    /// With `mode: changes`, a row whose op is unknown cannot be applied: it is set aside.
    fn refuse_unknown_op(
        &mut self,
        batch: RecordBatch,
        file: usize,
        numbers: &ArrayRef,
        rejected: &mut Vec<QuarantinedRow>,
    ) -> Result<RecordBatch> {
        let Some(op) = self.stamp.op.as_deref().and_then(|op| batch.column_by_name(op)) else {
            return Ok(batch);
        };
        let text = arrow::compute::cast(op, &DataType::Utf8)
            .map_err(|error| Error::failed("the op column is not text").caused_by(error))?;
        let text = text.as_string::<i32>();
        let known: arrow::array::BooleanArray =
            (0..text.len()).map(|row| Some(text.is_valid(row) && is_op(text.value(row)))).collect();
        if known.true_count() == known.len() {
            return Ok(batch);
        }
        let numbers = numbers.as_primitive::<arrow::datatypes::Int64Type>();
        let unknown = arrow::compute::not(&known).map_err(engine)?;
        let refused = arrow::compute::filter_record_batch(&batch, &unknown).map_err(engine)?;
        let json = laguna_model::build::json_rows(&refused)?;
        let rows = (0..known.len()).filter(|row| !known.value(*row));
        for (row, json) in rows.zip(json) {
            let value = if text.is_valid(row) { text.value(row) } else { "null" };
            rejected.push(QuarantinedRow {
                rule: "op".to_string(),
                reason: format!("`{value}` is not an operation: insert, update or delete"),
                source: Some((self.stamp.files[file].clone(), numbers.value(row))),
                raw: None,
                row: Some(json),
            });
            *self.refused.entry(file).or_default() += 1;
        }
        arrow::compute::filter_record_batch(&batch, &known).map_err(engine)
    }
}

/// Whether a change's operation is known.
pub(crate) fn is_op(text: &str) -> bool {
    let words = ["i", "insert", "c", "create", "r", "read", "u", "update", "upsert", "d", "delete"];
    words.contains(&text.to_ascii_lowercase().as_str())
}

fn repeated(text: &str, rows: usize) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(std::iter::repeat_n(text, rows)))
}

fn engine(error: arrow::error::ArrowError) -> Error {
    laguna_query::translate(error.into())
}
