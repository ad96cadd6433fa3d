//! One batch as the checks see it: dictionaries decoded, NaN missing, text forms; each made once for all checks.

use std::cell::OnceCell;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, StringArray};
use arrow::buffer::{BooleanBuffer, NullBuffer};
use arrow::compute::{cast, nullif};
use arrow::datatypes::{DataType, Float16Type, Float32Type, Float64Type};
use laguna_base::{Error, Result};

/// A batch with the work on its columns that checks share.
pub(crate) struct View<'a> {
    batch: &'a RecordBatch,
    values: Vec<OnceCell<ArrayRef>>,
    texts: Vec<OnceCell<ArrayRef>>,
}

impl<'a> View<'a> {
    pub fn new(batch: &'a RecordBatch) -> Self {
        let columns = batch.num_columns();
        View { batch, values: vec![OnceCell::new(); columns], texts: vec![OnceCell::new(); columns] }
    }

    pub fn batch(&self) -> &RecordBatch {
        self.batch
    }

    pub fn rows(&self) -> usize {
        self.batch.num_rows()
    }

    /// The column with its dictionary decoded and NaN made null: Great Expectations takes both as missing.
    pub fn values(&self, column: usize) -> Result<&ArrayRef> {
        if let Some(known) = self.values[column].get() {
            return Ok(known);
        }
        let made = plain(self.batch.column(column))?;
        Ok(self.values[column].get_or_init(|| made))
    }

    /// The values as Utf8 or Utf8View text; numbers and times in their usual form.
    pub fn texts(&self, column: usize) -> Result<&ArrayRef> {
        if let Some(known) = self.texts[column].get() {
            return Ok(known);
        }
        let values = self.values(column)?;
        let made = match values.data_type() {
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => values.clone(),
            DataType::Timestamp(_, _) => {
                let written = cast(values, &DataType::Utf8).map_err(failed)?;
                // Date and time are parted by a space, as in SQL and in Python.
                let spaced: StringArray = written
                    .as_string::<i32>()
                    .iter()
                    .map(|text| text.map(|text| text.replacen('T', " ", 1)))
                    .collect();
                std::sync::Arc::new(spaced)
            }
            _ => cast(values, &DataType::Utf8).map_err(failed)?,
        };
        Ok(self.texts[column].get_or_init(|| made))
    }

    /// Which values are missing; `None` when none is. Without NaN and nulls this costs nothing.
    pub fn present(&self, column: usize) -> Result<Option<NullBuffer>> {
        Ok(self.values(column)?.logical_nulls().filter(|nulls| nulls.null_count() > 0))
    }
}

fn plain(array: &ArrayRef) -> Result<ArrayRef> {
    match array.data_type() {
        DataType::Dictionary(_, values) => plain(&cast(array, values).map_err(failed)?),
        DataType::RunEndEncoded(_, values) => plain(&cast(array, values.data_type()).map_err(failed)?),
        DataType::Float64 => {
            let floats = array.as_primitive::<Float64Type>();
            without_nan(array, floats.values().iter().any(|v| v.is_nan()), |i| floats.value(i).is_nan())
        }
        DataType::Float32 => {
            let floats = array.as_primitive::<Float32Type>();
            without_nan(array, floats.values().iter().any(|v| v.is_nan()), |i| floats.value(i).is_nan())
        }
        DataType::Float16 => {
            let floats = array.as_primitive::<Float16Type>();
            without_nan(array, floats.values().iter().any(|v| v.is_nan()), |i| floats.value(i).is_nan())
        }
        _ => Ok(array.clone()),
    }
}

fn without_nan(array: &ArrayRef, any: bool, is_nan: impl FnMut(usize) -> bool) -> Result<ArrayRef> {
    if !any {
        return Ok(array.clone());
    }
    let nan = BooleanArray::new(BooleanBuffer::collect_bool(array.len(), is_nan), None);
    nullif(array, &nan).map_err(failed)
}

/// Runs `test` on each text of a Utf8, LargeUtf8 or Utf8View array; set bits are where it says true.
pub(crate) fn where_text(array: &ArrayRef, mut test: impl FnMut(&str) -> bool) -> BooleanBuffer {
    let nulls = array.nulls().cloned();
    let valid = move |row| nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row));
    match array.data_type() {
        DataType::LargeUtf8 => {
            let texts = array.as_string::<i64>();
            BooleanBuffer::collect_bool(texts.len(), |row| valid(row) && test(texts.value(row)))
        }
        DataType::Utf8View => {
            let texts = array.as_string_view();
            BooleanBuffer::collect_bool(texts.len(), |row| valid(row) && test(texts.value(row)))
        }
        _ => {
            let texts = array.as_string::<i32>();
            BooleanBuffer::collect_bool(texts.len(), |row| valid(row) && test(texts.value(row)))
        }
    }
}

/// `None` when no bit is set: the fast path of every test.
pub(crate) fn any(bits: BooleanBuffer) -> Option<BooleanBuffer> {
    (bits.count_set_bits() > 0).then_some(bits)
}

pub(crate) fn failed(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::failed("a check could not be computed").caused_by(error)
}
