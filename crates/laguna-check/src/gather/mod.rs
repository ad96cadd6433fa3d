//! What the pass keeps about columns: accumulators that merge, each fed once for all checks that need the same.

use std::sync::atomic::{AtomicUsize, Ordering};

use arrow::array::{Array, ArrayData, ArrayRef, AsArray, StringArray, make_array};
use arrow::buffer::Buffer;
use arrow::compute::cast;
use arrow::datatypes::DataType;
use datafusion::functions_aggregate::min_max::{MaxAccumulator, MinAccumulator};
use datafusion::logical_expr::Accumulator;
use datafusion::scalar::ScalarValue;
use laguna_base::Result;

use crate::kept::codec::{Reader, Writer};
use crate::plan::Ignore;
use crate::view::{View, failed};

mod aside;
pub(crate) mod bins;
pub(crate) mod counts;
pub(crate) mod distinct;
pub(crate) mod hashes;
pub(crate) mod keys;
pub(crate) mod moments;
pub(crate) mod series;
pub(crate) mod tally;

use bins::Bins;
use counts::Counts;
use distinct::Values;
use keys::Keys;
use moments::Moments;
use series::Series;

/// What a check needs to know about columns at the end of the pass.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Need {
    Min(usize),
    Max(usize),
    /// Number, sum, mean and spread.
    Moments(usize),
    /// Whether any key repeats.
    Keys(Vec<usize>, Ignore),
    /// How many different values.
    Distinct(usize),
    /// Each different value and how often it stands there.
    Counts(usize),
    /// All values, as numbers, and whether their rows matter.
    Series(usize, bool),
    /// How many values between edges (the bits of each float).
    Bins(usize, Vec<u64>),
}

impl Need {
    /// The columns it looks at.
    pub fn columns(&self) -> Vec<usize> {
        match self {
            Need::Keys(columns, _) => columns.clone(),
            Need::Min(column)
            | Need::Max(column)
            | Need::Moments(column)
            | Need::Distinct(column)
            | Need::Counts(column)
            | Need::Series(column, _)
            | Need::Bins(column, _) => vec![*column],
        }
    }
}

/// The room that all accumulators of a suite share, in words of 8 bytes.
pub(crate) struct Room(AtomicUsize);

impl Room {
    pub fn new(words: usize) -> Room {
        Room(AtomicUsize::new(words))
    }

    /// Takes room if there is enough.
    pub fn take(&self, words: usize) -> bool {
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(words)).is_ok()
    }

    /// Gives room back.
    pub fn give(&self, words: usize) {
        self.0.fetch_add(words, Ordering::Relaxed);
    }
}

/// The state of one need.
pub(crate) enum Slot {
    Extreme(Extreme),
    Moments(Moments),
    Keys(Keys),
    Distinct(Values),
    Counts(Counts),
    Series(Series),
    Bins(Bins),
}

/// The smallest or largest value.
pub(crate) struct Extreme {
    accumulator: Box<dyn Accumulator>,
    /// What it is, once the pass is over.
    pub found: Option<ScalarValue>,
}

impl Extreme {
    fn of(accumulator: impl Accumulator + 'static) -> Slot {
        Slot::Extreme(Extreme { accumulator: Box::new(accumulator), found: None })
    }

    /// Its value in the bytes of its type: numbers and times as Arrow holds them, texts as they are.
    fn write(&mut self, into: &mut Writer) -> Option<()> {
        let value = self.accumulator.evaluate().and_then(|value| value.to_array()).ok()?;
        let data_type = value.data_type().clone();
        if value.is_null(0) {
            into.bytes(&[0]);
        } else if let Some(width) = data_type.primitive_width() {
            into.bytes(&[1]);
            let data = value.to_data();
            into.bytes(data.buffers().first()?.get(data.offset() * width..)?.get(..width)?);
        } else if data_type.is_string() {
            into.bytes(&[2]);
            let text = cast(&value, &DataType::Utf8).ok()?;
            into.bytes(text.as_string::<i32>().value(0).as_bytes());
        } else {
            return None;
        }
        Some(())
    }

    fn read(&mut self, from: &mut Reader<'_>, data_type: &DataType) -> Option<()> {
        let value = match from.bytes()? {
            [0] => return from.is_done().then_some(()),
            [1] => {
                let bytes = from.bytes()?;
                let whole = data_type.primitive_width() == Some(bytes.len());
                let data = ArrayData::builder(data_type.clone()).len(1).add_buffer(Buffer::from(bytes));
                whole.then(|| data.build().ok()).flatten().map(make_array)?
            }
            [2] => {
                let text: ArrayRef = std::sync::Arc::new(StringArray::from(vec![from.text()?]));
                cast(&text, data_type).ok()?
            }
            _ => return None,
        };
        from.is_done().then(|| self.accumulator.merge_batch(&[value]).ok()).flatten()
    }
}

impl Slot {
    pub fn new(need: &Need, types: impl Fn(usize) -> DataType, row_numbers: bool) -> Result<Slot> {
        Ok(match need {
            Need::Min(column) => Extreme::of(MinAccumulator::try_new(&types(*column)).map_err(failed)?),
            Need::Max(column) => Extreme::of(MaxAccumulator::try_new(&types(*column)).map_err(failed)?),
            Need::Moments(column) => Slot::Moments(Moments::new(&types(*column))),
            Need::Keys(..) => Slot::Keys(Keys::new(row_numbers)),
            Need::Distinct(_) => Slot::Distinct(Values::default()),
            Need::Counts(column) => Slot::Counts(Counts::new(&types(*column))),
            Need::Series(column, rows) => Slot::Series(Series::new(&types(*column), *rows && row_numbers)),
            Need::Bins(_, edges) => Slot::Bins(Bins::new(edges)),
        })
    }

    pub fn update(&mut self, need: &Need, view: &View<'_>, room: &Room) -> Result<()> {
        match (self, need) {
            (Slot::Extreme(extreme), Need::Min(column) | Need::Max(column)) => {
                extreme.accumulator.update_batch(std::slice::from_ref(view.values(*column)?)).map_err(failed)
            }
            (Slot::Moments(moments), Need::Moments(column)) => moments.update(view.values(*column)?),
            (Slot::Keys(keys), Need::Keys(columns, ignore)) => keys.update(columns, *ignore, view, room),
            (Slot::Distinct(values), Need::Distinct(column)) => values.update(*column, view, room),
            (Slot::Counts(counts), Need::Counts(column)) => counts.update(view.values(*column)?, room),
            (Slot::Series(series), Need::Series(column, _)) => series.update(*column, view, room),
            (Slot::Bins(bins), Need::Bins(column, _)) => bins.update(view.values(*column)?),
            _ => Ok(()),
        }
    }

    /// Joins what another stream has seen, which comes after this one.
    pub fn merge(&mut self, other: Slot, room: &Room) -> Result<()> {
        match (self, other) {
            (Slot::Extreme(into), Slot::Extreme(mut from)) => {
                let state = from.accumulator.evaluate().and_then(|value| value.to_array()).map_err(failed)?;
                return into.accumulator.merge_batch(&[state]).map_err(failed);
            }
            (Slot::Moments(into), Slot::Moments(from)) => into.merge(&from),
            (Slot::Keys(into), Slot::Keys(from)) => into.merge(from, room),
            (Slot::Distinct(into), Slot::Distinct(from)) => into.merge(from, room),
            (Slot::Counts(into), Slot::Counts(from)) => into.merge(from, room),
            (Slot::Series(into), Slot::Series(from)) => into.merge(from, room),
            (Slot::Bins(into), Slot::Bins(from)) => into.merge(&from),
            _ => {}
        }
        Ok(())
    }

    /// Ends the pass.
    pub fn close(&mut self) -> Result<()> {
        if let Slot::Extreme(extreme) = self {
            let found = extreme.accumulator.evaluate().map_err(failed)?;
            extreme.found = (!found.is_null()).then_some(found);
        }
        Ok(())
    }

    /// Its content as bytes; `None` when memory does not hold all that it has seen, or it needs more than `largest` bytes.
    pub fn write(&mut self, into: &mut Writer, largest: usize) -> Option<()> {
        // A different value takes half of the words that are counted for it.
        if self.words() * size_of::<u64>() / 2 > largest {
            return None;
        }
        match self {
            Slot::Extreme(extreme) => return extreme.write(into),
            Slot::Moments(moments) => moments.write(into),
            Slot::Keys(keys) if keys.held() => keys.write(into),
            Slot::Distinct(values) if values.held() => values.write(into),
            Slot::Counts(counts) if !counts.overflowed() => counts.write(into),
            Slot::Series(series) if !series.overflowed() => series.write(into),
            Slot::Bins(bins) => bins.write(into),
            _ => return None,
        }
        Some(())
    }

    /// Takes what was written in place of what it holds: nothing yet.
    pub fn read(
        &mut self,
        need: &Need,
        types: impl Fn(usize) -> DataType,
        from: &mut Reader<'_>,
        room: &Room,
    ) -> Option<()> {
        *self = match (&mut *self, need) {
            (Slot::Extreme(extreme), Need::Min(column) | Need::Max(column)) => {
                return extreme.read(from, &types(*column));
            }
            (_, Need::Moments(column)) => Slot::Moments(Moments::read(from, &types(*column))?),
            (_, Need::Bins(_, edges)) => Slot::Bins(Bins::read(from, edges)?),
            (_, Need::Keys(..)) => Slot::Keys(Keys::read(from, room)?),
            (_, Need::Distinct(_)) => Slot::Distinct(Values::read(from, room)?),
            (_, Need::Counts(column)) => Slot::Counts(Counts::read(from, &types(*column), room)?),
            (_, Need::Series(column, _)) => Slot::Series(Series::read(from, &types(*column), room)?),
            (_, Need::Min(_) | Need::Max(_)) => return None,
        };
        Some(())
    }

    /// What it holds of the room.
    pub fn words(&self) -> usize {
        match self {
            Slot::Keys(keys) => keys.words(),
            Slot::Distinct(values) => values.words(),
            Slot::Counts(counts) => counts.words(),
            Slot::Series(series) => series.words(),
            Slot::Extreme(_) | Slot::Moments(_) | Slot::Bins(_) => 0,
        }
    }
}

/// Floats with one zero, because -0.0 equals 0.0 as a key.
pub(crate) fn canonical(array: &ArrayRef) -> ArrayRef {
    use arrow::array::AsArray;
    use arrow::datatypes::{Float32Type, Float64Type};
    match array.data_type() {
        DataType::Float64 => {
            std::sync::Arc::new(array.as_primitive::<Float64Type>().unary::<_, Float64Type>(|v| v + 0.0))
        }
        DataType::Float32 => {
            std::sync::Arc::new(array.as_primitive::<Float32Type>().unary::<_, Float32Type>(|v| v + 0.0))
        }
        _ => array.clone(),
    }
}
