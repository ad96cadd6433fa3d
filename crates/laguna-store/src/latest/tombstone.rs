//! Deleted keys, kept aside so that a row that comes late does not bring them back.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions, new_null_array};
use arrow::compute::{cast, filter_record_batch};
use arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::datasource::MemTable;
use laguna_base::{Error, Result};
use object_store::path::Path;
use object_store::{ObjectStoreExt, PutPayload};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::LatestRule;
use crate::scan::read_schema;
use crate::{Lake, Snapshot, objects};

/// Deleted keys with the columns of their raw table: key, order, `_ingested_at` and `_source`, the others null.
#[derive(Debug, Clone)]
pub(super) struct Tombstones {
    schema: SchemaRef,
    pub(super) batches: Vec<RecordBatch>,
}

impl Tombstones {
    /// None yet, for a raw table of `schema`.
    pub(super) fn new(schema: &SchemaRef) -> Tombstones {
        let read = read_schema(schema);
        let fields: Vec<Field> =
            read.fields().iter().map(|field| field.as_ref().clone().with_nullable(true)).collect();
        Tombstones { schema: Arc::new(Schema::new(fields)), batches: Vec::new() }
    }

    /// Adds rows that have at least the columns of a tombstone.
    pub(super) fn add(&mut self, rows: &RecordBatch) -> Result<()> {
        let columns = self
            .schema
            .fields()
            .iter()
            .map(|field| match rows.column_by_name(field.name()) {
                Some(column) => cast(column, field.data_type()),
                None => Ok(new_null_array(field.data_type(), rows.num_rows())),
            })
            .collect::<Result<Vec<ArrayRef>, _>>();
        let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
        let batch = columns
            .and_then(|columns| RecordBatch::try_new_with_options(self.schema.clone(), columns, &options));
        self.batches.push(batch.map_err(damaged)?);
        Ok(())
    }

    /// Keeps the rows for which `keep` is true.
    pub(super) fn retain(
        &mut self,
        mut keep: impl FnMut(&RecordBatch) -> Result<BooleanArray>,
    ) -> Result<()> {
        for batch in &mut self.batches {
            *batch = filter_record_batch(batch, &keep(batch)?).map_err(damaged)?;
        }
        Ok(())
    }

    pub(super) fn rows(&self) -> usize {
        self.batches.iter().map(RecordBatch::num_rows).sum()
    }

    /// As a table.
    pub(super) fn provider(self) -> datafusion::error::Result<Arc<MemTable>> {
        MemTable::try_new(self.schema, vec![self.batches]).map(Arc::new)
    }

    /// Writes them below the lake's root; the path, or `None` when there are none.
    pub(super) async fn write(
        &self,
        lake: &Lake,
        raw: &Snapshot,
        rule: &LatestRule,
    ) -> Result<Option<String>> {
        if self.rows() == 0 {
            return Ok(None);
        }
        let wanted = |name: &String| {
            rule.key.contains(name)
                || rule.order.as_ref() == Some(name)
                || name == "_ingested_at"
                || name == "_source"
        };
        let places: Vec<usize> = (0..self.schema.fields().len())
            .filter(|place| wanted(self.schema.field(*place).name()))
            .collect();
        let encode = || -> Result<Vec<u8>, Box<dyn std::error::Error + Send + Sync>> {
            let mut writer = ArrowWriter::try_new(Vec::new(), Arc::new(self.schema.project(&places)?), None)?;
            for batch in &self.batches {
                writer.write(&batch.project(&places)?)?;
            }
            Ok(writer.into_inner()?)
        };
        let bytes =
            encode().map_err(|error| Error::internal("deleted keys cannot be encoded").caused_by(error))?;
        let path = format!("_laguna/tombstones/{}/{}.parquet", raw.table.table, lake.clock().new_id());
        let put = lake.objects().put(&Path::from(path.as_str()), PutPayload::from(bytes)).await;
        put.map_err(|error| Error::storage(format!("cannot write {path}")).caused_by(error))?;
        Ok(Some(path))
    }
}

/// The tombstones at `path`, with the columns of `schema`.
pub(super) async fn read(lake: &Lake, path: Option<&str>, schema: &SchemaRef) -> Result<Option<Tombstones>> {
    let Some(path) = path else { return Ok(None) };
    let bytes = objects::get(lake, &Path::from(path)).await?;
    let bytes =
        bytes.ok_or_else(|| Error::stored(format!("{path} is missing: deleted keys are not known")))?;
    let reader = ParquetRecordBatchReaderBuilder::try_new(bytes).and_then(|reader| reader.build());
    let mut tombstones = Tombstones::new(schema);
    for batch in reader.map_err(damaged)? {
        tombstones.add(&batch.map_err(damaged)?)?;
    }
    Ok(Some(tombstones))
}

fn damaged(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::stored("deleted keys cannot be understood").caused_by(error)
}
