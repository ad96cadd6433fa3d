//! Reads a checkpoint: the actions that make up the state of a table, as a Parquet file.
//!
//! <https://github.com/delta-io/delta/blob/master/PROTOCOL.md#checkpoint-schema>. Files are most of it, so they are taken from
//! the columns as they are; the few other actions go through JSON.

use std::collections::BTreeMap;

use arrow::array::{
    Array, AsArray, BooleanArray, Int64Array, MapArray, RecordBatch, StringArray, StructArray,
};
use arrow::compute::filter_record_batch;
use arrow::datatypes::Int64Type;
use arrow::error::ArrowError;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReaderBuilder};

use super::{Action, Add};

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Kinds of action that are read.
const WANTED: [&str; 4] = ["txn", "add", "metaData", "protocol"];

/// Gives each action of the checkpoint to `take`.
pub(super) fn read(bytes: bytes::Bytes, mut take: impl FnMut(Action)) -> Result<(), Failure> {
    // Without the Arrow schema that some writers leave in the footer, texts are read as plain texts.
    let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
    let builder = ParquetRecordBatchReaderBuilder::try_new_with_options(bytes, options)?;
    let columns = builder.parquet_schema();
    let leaves: Vec<usize> = (0..columns.num_columns())
        .filter(|leaf| {
            let parts = columns.column(*leaf).path().parts().to_vec();
            // Statistics stand in the log as JSON; their struct form is not needed.
            WANTED.contains(&parts[0].as_str())
                && !parts.get(1).is_some_and(|field| field.ends_with("_parsed") || field == "tags")
        })
        .collect();
    let mask = ProjectionMask::leaves(columns, leaves);
    for batch in builder.with_projection(mask).with_batch_size(8192).build()? {
        let batch = batch?;
        let adds = batch.column_by_name("add").and_then(|column| column.as_struct_opt());
        if let Some(adds) = adds {
            let adds = Adds::of(adds)?;
            (0..batch.num_rows()).filter_map(|row| adds.get(row)).for_each(|add| {
                take(Action { add: Some(add), ..Action::default() });
            });
        }
        others(&batch, &mut take)?;
    }
    Ok(())
}

/// Gives the actions that are no files.
fn others(batch: &RecordBatch, take: &mut impl FnMut(Action)) -> Result<(), Failure> {
    let places: Vec<usize> =
        (0..batch.num_columns()).filter(|place| batch.schema().field(*place).name() != "add").collect();
    let batch = batch.project(&places)?;
    let is_other = |row: usize| batch.columns().iter().any(|column| column.is_valid(row));
    let wanted: BooleanArray = (0..batch.num_rows()).map(|row| Some(is_other(row))).collect();
    let batch = filter_record_batch(&batch, &wanted)?;
    let mut lines = arrow::json::LineDelimitedWriter::new(Vec::new());
    lines.write(&batch)?;
    lines.finish()?;
    for line in lines.into_inner().split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        take(serde_json::from_slice(line)?);
    }
    Ok(())
}

/// The columns of the files in one batch.
struct Adds<'a> {
    all: &'a StructArray,
    path: &'a StringArray,
    size: &'a Int64Array,
    modified: &'a Int64Array,
    values: &'a MapArray,
    stats: Option<&'a StringArray>,
    deletion_vector: Option<&'a StructArray>,
}

impl<'a> Adds<'a> {
    fn of(all: &'a StructArray) -> Result<Adds<'a>, ArrowError> {
        let column = |name: &str| {
            all.column_by_name(name)
                .ok_or_else(|| ArrowError::SchemaError(format!("`add.{name}` is missing")))
        };
        let wrong =
            |name: &str| ArrowError::SchemaError(format!("`add.{name}` has another type than Delta's"));
        Ok(Adds {
            all,
            path: column("path")?.as_string_opt().ok_or_else(|| wrong("path"))?,
            size: column("size")?.as_primitive_opt::<Int64Type>().ok_or_else(|| wrong("size"))?,
            modified: column("modificationTime")?
                .as_primitive_opt::<Int64Type>()
                .ok_or_else(|| wrong("modificationTime"))?,
            values: column("partitionValues")?.as_map_opt().ok_or_else(|| wrong("partitionValues"))?,
            stats: all.column_by_name("stats").and_then(|column| column.as_string_opt()),
            deletion_vector: all.column_by_name("deletionVector").and_then(|column| column.as_struct_opt()),
        })
    }

    fn get(&self, row: usize) -> Option<Add> {
        if self.all.is_null(row) {
            return None;
        }
        let vector = self.deletion_vector.is_some_and(|vectors| vectors.is_valid(row));
        let stats = self.stats.filter(|stats| stats.is_valid(row));
        Some(Add {
            path: self.path.value(row).to_string(),
            partition_values: self.partition_values(row),
            size: u64::try_from(self.size.value(row)).unwrap_or(0),
            modification_time: self.modified.value(row),
            data_change: false,
            stats: stats.map(|stats| stats.value(row).to_string()),
            deletion_vector: vector.then_some(serde_json::Value::Bool(true)),
        })
    }

    fn partition_values(&self, row: usize) -> BTreeMap<String, Option<String>> {
        let entries = self.values.value(row);
        let (Some(keys), Some(values)) =
            (entries.column(0).as_string_opt::<i32>(), entries.column(1).as_string_opt::<i32>())
        else {
            return BTreeMap::new();
        };
        keys.iter()
            .flatten()
            .zip(values)
            .map(|(key, value)| (key.to_string(), value.map(str::to_string)))
            .collect()
    }
}
