//! A small result as columns of plain values. A column that there is not is a column of nulls: an older lake may lack it.

use arrow::array::ArrayRef;
use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::{cast, concat_batches};
use arrow::datatypes::{DataType, Float64Type, Int64Type, Schema, TimeUnit, TimestampMicrosecondType};
use laguna_base::{Error, Instant, Result};

/// All rows of a result.
#[derive(Debug)]
pub(crate) struct Columns(RecordBatch);

impl Columns {
    pub(crate) fn new(batches: &[RecordBatch]) -> Result<Columns> {
        let Some(first) = batches.first() else {
            return Ok(Columns(RecordBatch::new_empty(Schema::empty().into())));
        };
        let all = concat_batches(&first.schema(), batches).map_err(|error| {
            Error::internal("the batches of a result do not fit together").caused_by(error)
        })?;
        Ok(Columns(all))
    }

    /// Number of rows.
    pub(crate) fn len(&self) -> usize {
        self.0.num_rows()
    }

    fn cast(&self, name: &str, to: &DataType) -> Option<ArrayRef> {
        cast(self.0.column_by_name(name)?, to).ok()
    }

    fn values<T>(&self, column: Option<ArrayRef>, value: impl Fn(&ArrayRef, usize) -> T) -> Vec<Option<T>> {
        match column {
            Some(column) => {
                (0..self.len()).map(|row| column.is_valid(row).then(|| value(&column, row))).collect()
            }
            None => (0..self.len()).map(|_| None).collect(),
        }
    }

    pub(crate) fn texts(&self, name: &str) -> Vec<Option<String>> {
        self.values(self.cast(name, &DataType::Utf8), |column, row| {
            column.as_string::<i32>().value(row).to_string()
        })
    }

    pub(crate) fn integers(&self, name: &str) -> Vec<Option<i64>> {
        self.values(self.cast(name, &DataType::Int64), |column, row| {
            column.as_primitive::<Int64Type>().value(row)
        })
    }

    pub(crate) fn floats(&self, name: &str) -> Vec<Option<f64>> {
        self.values(self.cast(name, &DataType::Float64), |column, row| {
            column.as_primitive::<Float64Type>().value(row)
        })
    }

    pub(crate) fn flags(&self, name: &str) -> Vec<Option<bool>> {
        self.values(self.cast(name, &DataType::Boolean), |column, row| column.as_boolean().value(row))
    }

    pub(crate) fn times(&self, name: &str) -> Vec<Option<Instant>> {
        let micros = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
        self.values(self.cast(name, &micros), |column, row| {
            Instant::from_micros(column.as_primitive::<TimestampMicrosecondType>().value(row))
        })
    }
}
