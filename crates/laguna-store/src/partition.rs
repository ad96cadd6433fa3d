//! Splitting rows by the values of partition columns, and the folders in which they lie.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::{DataType, SchemaRef};
use arrow::row::{OwnedRow, RowConverter, SortField};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use laguna_base::{Error, Result, suggest};

/// What Hive and Delta call the folder of null.
const NULL_FOLDER: &str = "__HIVE_DEFAULT_PARTITION__";

/// Longest value that stands in a folder's name; longer ones are cut and told apart by a hash.
const LONGEST: usize = 120;

/// Splits batches of one schema.
#[derive(Debug)]
pub(crate) struct Splitter {
    /// Names and positions of the partition columns, in partition order.
    columns: Vec<(String, usize)>,
    /// Positions of the other columns: what the files hold.
    pub stored: Vec<usize>,
    converter: RowConverter,
}

/// Rows of one partition: its key, and how to describe it when it is new.
pub(crate) struct Part {
    pub key: OwnedRow,
    pub rows: RecordBatch,
    /// A row of the batch that was split, from which the values can be read.
    pub sample: usize,
}

impl Splitter {
    pub(crate) fn new(schema: &SchemaRef, partition: &[String]) -> Result<Splitter> {
        let names: Vec<&String> = schema.fields().iter().map(|field| field.name()).collect();
        let mut columns: Vec<(String, usize)> = Vec::new();
        for name in partition {
            let index = schema.index_of(name).map_err(|_| {
                Error::project(format!("the table has no column `{name}` to partition by"))
                    .hint(suggest::hint(name, names.iter().copied()))
            })?;
            let data_type = schema.field(index).data_type();
            if data_type.is_nested() || data_type.is_floating() || data_type == &DataType::Binary {
                return Err(Error::project(format!(
                    "a table cannot be partitioned by `{name}`: it is {data_type}"
                ))
                .hint("partition by text, whole numbers, dates, timestamps or booleans"));
            }
            if columns.iter().any(|(known, _)| known == name) {
                return Err(Error::project(format!("`{name}` stands twice among the partition columns")));
            }
            columns.push((name.clone(), index));
        }
        let stored: Vec<usize> =
            (0..names.len()).filter(|index| !columns.iter().any(|(_, taken)| taken == index)).collect();
        if stored.is_empty() {
            return Err(match partition.is_empty() {
                true => Error::project("a table needs at least one column that is not always null")
                    .hint("cast a null column to its type: CAST(NULL AS varchar)"),
                false => Error::project("a table cannot be partitioned by all of its columns"),
            });
        }
        let fields = columns
            .iter()
            .map(|(_, index)| SortField::new(schema.field(*index).data_type().clone()))
            .collect();
        let converter = RowConverter::new(fields)
            .map_err(|error| Error::internal("partition columns cannot be compared").caused_by(error))?;
        Ok(Splitter { columns, stored, converter })
    }

    pub(crate) fn is_partitioned(&self) -> bool {
        !self.columns.is_empty()
    }

    /// The parts of `batch`, in the order in which their first rows come. Their rows lack the partition columns.
    pub(crate) fn split(&mut self, batch: &RecordBatch) -> Result<Vec<Part>> {
        let failed = |error| Error::internal("rows cannot be split by partition").caused_by(error);
        let keys: Vec<ArrayRef> =
            self.columns.iter().map(|(_, index)| batch.column(*index).clone()).collect();
        self.refuse_empty_text(&keys)?;
        let rows = self.converter.convert_columns(&keys).map_err(failed)?;
        let mut groups: Vec<Vec<u32>> = Vec::new();
        let mut known = HashMap::new();
        for row in 0..rows.num_rows() {
            let group = *known.entry(rows.row(row)).or_insert_with(|| {
                groups.push(Vec::new());
                groups.len() - 1
            });
            groups[group].push(row as u32);
        }
        let stored = batch.project(&self.stored).map_err(failed)?;
        let single = groups.len() == 1;
        groups
            .into_iter()
            .map(|group| {
                let sample = group[0] as usize;
                let part = match single {
                    true => stored.clone(),
                    false => take_record_batch(&stored, &UInt32Array::from(group)).map_err(failed)?,
                };
                Ok(Part { key: rows.row(sample).owned(), rows: part, sample })
            })
            .collect()
    }

    /// Delta reads an empty partition value as null: the two cannot be told apart.
    fn refuse_empty_text(&self, keys: &[ArrayRef]) -> Result<()> {
        for ((name, _), key) in self.columns.iter().zip(keys) {
            if let Some(texts) = key.as_string_opt::<i32>()
                && texts.iter().flatten().any(str::is_empty)
            {
                return Err(Error::failed(format!("the partition column `{name}` holds an empty text"))
                    .hint(format!("Delta cannot tell it from null: write nullif({name}, '')")));
            }
        }
        Ok(())
    }

    /// Values of the partition of one row as Delta writes them, and the folder's path.
    pub(crate) fn describe(
        &self,
        batch: &RecordBatch,
        row: usize,
    ) -> Result<(BTreeMap<String, Option<String>>, String)> {
        let mut values = BTreeMap::new();
        let mut folders = Vec::new();
        for (name, index) in &self.columns {
            let value = value_text(batch.column(*index), row)?;
            folders.push(format!("{}={}", escape(name), value.as_deref().map_or(NULL_FOLDER.into(), escape)));
            values.insert(name.clone(), value);
        }
        Ok((values, folders.join("/")))
    }
}

/// <https://github.com/delta-io/delta/blob/master/PROTOCOL.md#partition-value-serialization>
fn value_text(array: &ArrayRef, row: usize) -> Result<Option<String>> {
    if array.is_null(row) {
        return Ok(None);
    }
    let options = FormatOptions::new()
        .with_timestamp_format(Some("%Y-%m-%d %H:%M:%S%.6f"))
        .with_timestamp_tz_format(Some("%Y-%m-%dT%H:%M:%S%.6fZ"));
    let formatter = ArrayFormatter::try_new(array, &options)
        .map_err(|error| Error::internal("a partition value cannot be written").caused_by(error))?;
    let text = formatter.value(row).try_to_string();
    text.map(Some).map_err(|error| Error::failed("a partition value cannot be written").caused_by(error))
}

/// Letters, digits and `-._` as they are, every other byte as `%XX`.
fn escape(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._".contains(&byte) {
            text.push(byte as char);
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    if text.len() > LONGEST {
        text.truncate(LONGEST);
        text = format!("{text}-{}", &laguna_base::hash::of(value)[..16]);
    }
    text
}

/// The schema of the files: `schema` without the partition columns.
pub(crate) fn stored_schema(schema: &SchemaRef, splitter: &Splitter) -> Result<SchemaRef> {
    let projected = schema.project(&splitter.stored);
    projected.map(Arc::new).map_err(|error| Error::internal("a schema cannot be projected").caused_by(error))
}
