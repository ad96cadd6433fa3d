//! One batch as the checks see it: dictionaries decoded, NaN missing, text forms; each made once for all checks.

use std::cell::OnceCell;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, StringArray, StringBuilder};
use arrow::buffer::{BooleanBuffer, NullBuffer};
use arrow::compute::{FilterBuilder, FilterPredicate, cast, nullif};
use arrow::datatypes::{DataType, Float16Type, Float32Type, Float64Type};
use laguna_base::{Error, Result};

use crate::{dates, value};

/// A batch, or the rows of it that meet a condition, with the work on its columns that checks share.
pub(crate) struct View<'a> {
    batch: &'a RecordBatch,
    filter: Option<Filter>,
    /// Number of the batch's first row.
    base: u64,
    values: Vec<OnceCell<ArrayRef>>,
    texts: Vec<OnceCell<ArrayRef>>,
    dated: Vec<OnceCell<ArrayRef>>,
}

struct Filter {
    predicate: FilterPredicate,
    places: Vec<u32>,
}

impl<'a> View<'a> {
    pub fn new(batch: &'a RecordBatch, base: u64) -> Self {
        let columns = batch.num_columns();
        View {
            batch,
            filter: None,
            base,
            values: vec![OnceCell::new(); columns],
            texts: vec![OnceCell::new(); columns],
            dated: vec![OnceCell::new(); columns],
        }
    }

    /// The rows where `mask` is true; a column is filtered when it is first looked at.
    pub fn filtered(batch: &'a RecordBatch, base: u64, mask: &BooleanArray) -> Self {
        let places = mask.values().set_indices().map(|at| at as u32).collect();
        let predicate = FilterBuilder::new(mask).optimize().build();
        View { filter: Some(Filter { predicate, places }), ..View::new(batch, base) }
    }

    /// The whole batch, whatever the condition.
    pub fn batch(&self) -> &RecordBatch {
        self.batch
    }

    /// The column as it came.
    pub fn raw(&self, column: usize) -> Result<ArrayRef> {
        let array = self.batch.column(column);
        match &self.filter {
            Some(filter) => filter.predicate.filter(array).map_err(failed),
            None => Ok(array.clone()),
        }
    }

    pub fn rows(&self) -> usize {
        self.filter.as_ref().map_or(self.batch.num_rows(), |filter| filter.places.len())
    }

    /// Place in the batch of a row.
    pub fn place(&self, at: usize) -> usize {
        self.filter.as_ref().map_or(at, |filter| filter.places[at] as usize)
    }

    /// Number of a row among all that came.
    pub fn number(&self, at: usize) -> u64 {
        self.base + self.place(at) as u64
    }

    /// The column with its dictionary decoded and NaN made null: Great Expectations takes both as missing.
    pub fn values(&self, column: usize) -> Result<&ArrayRef> {
        if let Some(known) = self.values[column].get() {
            return Ok(known);
        }
        let made = plain(&self.raw(column)?)?;
        Ok(self.values[column].get_or_init(|| made))
    }

    /// The values as text, as Python's `str` writes them: `1`, `1.0`, `True`, `2024-01-02 03:04:05`.
    pub fn texts(&self, column: usize) -> Result<&ArrayRef> {
        if let Some(known) = self.texts[column].get() {
            return Ok(known);
        }
        let made = python_texts(self.values(column)?)?;
        Ok(self.texts[column].get_or_init(|| made))
    }

    /// The values, with texts that are dates read as such.
    pub fn dated(&self, column: usize) -> Result<&ArrayRef> {
        if let Some(known) = self.dated[column].get() {
            return Ok(known);
        }
        let made = dates::dated(self.values(column)?, self.batch.schema_ref().field(column))?;
        Ok(self.dated[column].get_or_init(|| made))
    }

    /// Which values are missing; `None` when none is. Without NaN and nulls this costs nothing.
    pub fn present(&self, column: usize) -> Result<Option<NullBuffer>> {
        Ok(self.values(column)?.logical_nulls().filter(|nulls| nulls.null_count() > 0))
    }
}

/// Which rows count: those with all of the columns (`every`), or with any. `None` when all rows do.
pub(crate) fn present(columns: &[usize], view: &View<'_>, every: bool) -> Result<Option<NullBuffer>> {
    let mut joined: Option<BooleanBuffer> = None;
    for column in columns {
        let Some(nulls) = view.present(*column)? else {
            if every {
                continue;
            }
            return Ok(None);
        };
        joined = Some(match joined {
            None => nulls.inner().clone(),
            Some(known) if every => &known & nulls.inner(),
            Some(known) => &known | nulls.inner(),
        });
    }
    Ok(joined.map(NullBuffer::new).filter(|nulls| nulls.null_count() > 0))
}

fn python_texts(values: &ArrayRef) -> Result<ArrayRef> {
    let written = |made: StringArray| -> Result<ArrayRef> { Ok(Arc::new(made)) };
    match values.data_type() {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Ok(values.clone()),
        DataType::Boolean => {
            let flags = values.as_boolean();
            written(flags.iter().map(|flag| flag.map(|flag| if flag { "True" } else { "False" })).collect())
        }
        DataType::Float16 | DataType::Float32 => {
            // The shortest text of the narrow value, not of the wide one that holds it.
            let texts = cast(values, &DataType::Utf8).map_err(failed)?;
            let narrow = texts.as_string::<i32>().iter();
            written(
                narrow
                    .map(|text| text.map(|t| t.parse().map_or(t.to_string(), value::python_float)))
                    .collect(),
            )
        }
        DataType::Float64 => {
            let floats = values.as_primitive::<Float64Type>();
            let mut texts = StringBuilder::with_capacity(floats.len(), floats.len() * 8);
            for float in floats {
                match float {
                    Some(float) => {
                        value::write_python_float(&mut texts, float);
                        texts.append_value("");
                    }
                    None => texts.append_null(),
                }
            }
            written(texts.finish())
        }
        DataType::Timestamp(_, zone) => {
            let written_by_arrow = cast(values, &DataType::Utf8).map_err(failed)?;
            // Date and time are parted by a space, as in SQL and in Python, which also writes UTC as an offset.
            let utc = zone.is_some();
            written(
                written_by_arrow
                    .as_string::<i32>()
                    .iter()
                    .map(|text| {
                        let text = text?.replacen('T', " ", 1);
                        Some(match text.strip_suffix('Z') {
                            Some(naive) if utc => format!("{naive}+00:00"),
                            _ => text,
                        })
                    })
                    .collect(),
            )
        }
        _ => cast(values, &DataType::Utf8).map_err(failed),
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

/// The same with a test that may fail; the first error ends it.
pub(crate) fn where_text_or(
    array: &ArrayRef,
    mut test: impl FnMut(&str) -> Result<bool>,
) -> Result<BooleanBuffer> {
    let mut error = None;
    let found = where_text(array, |text| {
        error.is_none()
            && test(text).unwrap_or_else(|why| {
                error = Some(why);
                false
            })
    });
    error.map_or(Ok(found), Err)
}

/// `None` when no bit is set: the fast path of every test.
pub(crate) fn any(bits: BooleanBuffer) -> Option<BooleanBuffer> {
    (bits.count_set_bits() > 0).then_some(bits)
}

pub(crate) fn failed(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::failed("a check could not be computed").caused_by(error)
}
