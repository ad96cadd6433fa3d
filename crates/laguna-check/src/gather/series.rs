//! All values of a column as numbers: what medians, quantiles and outliers are taken from.

use arrow::array::{Array, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type};
use laguna_base::Result;
use serde_json::Value;

use super::Room;
use super::counts::{Wholes, wholes};
use crate::kept::codec::{Reader, Writer};
use crate::value::{self, is_temporal, whole_scale};
use crate::view::{View, failed};

/// The numbers in the order in which they came, missing ones left out.
pub(crate) enum Numbers {
    /// Integers, dates, timestamps: in units of the type.
    Whole(Vec<i64>),
    Float(Vec<f64>),
}

pub(crate) struct Series {
    pub numbers: Numbers,
    /// The row of each, where row numbers are kept.
    pub rows: Option<Vec<u64>>,
    data_type: DataType,
    overflowed: bool,
}

impl Series {
    pub fn new(data_type: &DataType, row_numbers: bool) -> Series {
        // What 64 bits cannot hold exactly is held as a float, as pandas does.
        let narrow = is_temporal(data_type)
            || matches!(data_type, DataType::Boolean)
            || (data_type.is_integer() && data_type != &DataType::UInt64);
        let numbers = if narrow { Numbers::Whole(Vec::new()) } else { Numbers::Float(Vec::new()) };
        Series { numbers, rows: row_numbers.then(Vec::new), data_type: data_type.clone(), overflowed: false }
    }

    /// Whether values of this type are numbers, or times that can be put in order.
    pub fn can(data_type: &DataType) -> bool {
        data_type == &DataType::Null
            || data_type.is_floating()
            || is_temporal(data_type)
            || whole_scale(data_type).is_some()
    }

    pub fn update(&mut self, column: usize, view: &View<'_>, room: &Room) -> Result<()> {
        let values = view.values(column)?;
        if self.overflowed || values.data_type() == &DataType::Null {
            return Ok(());
        }
        let kept = view.present(column)?;
        let rows = view.rows() - kept.as_ref().map_or(0, |kept| kept.null_count());
        if !room.take(rows * if self.rows.is_some() { 2 } else { 1 }) {
            self.overflow(room);
            return Ok(());
        }
        match &mut self.numbers {
            Numbers::Whole(numbers) => match wholes(values)? {
                Wholes::Narrow(narrow) if narrow.null_count() == 0 => {
                    numbers.extend_from_slice(narrow.values())
                }
                Wholes::Narrow(narrow) => numbers.extend(narrow.iter().flatten()),
                Wholes::Wide(wide) => numbers.extend(wide.iter().flatten().map(|value| value as i64)),
            },
            Numbers::Float(numbers) => {
                let floats = cast(values, &DataType::Float64).map_err(failed)?;
                let floats = floats.as_primitive::<Float64Type>();
                if floats.null_count() == 0 {
                    numbers.extend_from_slice(floats.values());
                } else {
                    numbers.extend(floats.iter().flatten());
                }
            }
        }
        if let Some(numbers) = &mut self.rows {
            match kept {
                None => numbers.extend((0..view.rows()).map(|at| view.number(at))),
                Some(kept) => numbers.extend(kept.valid_indices().map(|at| view.number(at))),
            }
        }
        Ok(())
    }

    fn overflow(&mut self, room: &Room) {
        room.give(self.words());
        *self = Series { overflowed: true, ..Series::new(&self.data_type, false) };
    }

    pub fn overflowed(&self) -> bool {
        self.overflowed
    }

    pub fn words(&self) -> usize {
        self.len() * if self.rows.is_some() { 2 } else { 1 }
    }

    pub fn len(&self) -> usize {
        match &self.numbers {
            Numbers::Whole(numbers) => numbers.len(),
            Numbers::Float(numbers) => numbers.len(),
        }
    }

    pub fn merge(&mut self, other: Series, room: &Room) {
        if self.overflowed || other.overflowed {
            room.give(other.words());
            self.overflow(room);
            return;
        }
        match (&mut self.numbers, other.numbers) {
            (Numbers::Whole(into), Numbers::Whole(from)) => into.extend(from),
            (Numbers::Float(into), Numbers::Float(from)) => into.extend(from),
            _ => {}
        }
        match (&mut self.rows, other.rows) {
            (Some(into), Some(from)) => into.extend(from),
            (rows, _) => *rows = None,
        }
    }

    pub fn write(&self, into: &mut Writer) {
        into.count(self.len() as u64);
        match &self.numbers {
            Numbers::Whole(numbers) => numbers.iter().for_each(|number| into.bits(*number as u64)),
            Numbers::Float(numbers) => numbers.iter().for_each(|number| into.float(*number)),
        }
    }

    pub fn read(from: &mut Reader<'_>, data_type: &DataType, room: &Room) -> Option<Series> {
        let mut read = Series::new(data_type, false);
        let entries = from.entries(8)?;
        match &mut read.numbers {
            Numbers::Whole(numbers) => {
                for _ in 0..entries {
                    numbers.push(from.bits()? as i64);
                }
            }
            Numbers::Float(numbers) => {
                for _ in 0..entries {
                    numbers.push(from.float()?);
                }
            }
        }
        if !from.is_done() {
            return None;
        }
        if !room.take(entries) {
            read = Series { overflowed: true, ..Series::new(data_type, false) };
        }
        Some(read)
    }

    /// One number as a float.
    pub fn float(&self, at: usize) -> f64 {
        match &self.numbers {
            Numbers::Whole(numbers) => numbers[at] as f64,
            Numbers::Float(numbers) => numbers[at],
        }
    }

    /// One number as JSON of the column's type.
    pub fn json(&self, at: usize) -> Value {
        match &self.numbers {
            Numbers::Whole(numbers) => value::json_of_whole(i128::from(numbers[at]), &self.data_type),
            Numbers::Float(numbers) => value::json_of_float(numbers[at]),
        }
    }

    /// The numbers at places of the sorted series, as floats; a place beyond the end is none.
    pub fn at_ranks(&self, ranks: &[usize]) -> Vec<Option<f64>> {
        match &self.numbers {
            Numbers::Whole(numbers) => {
                let mut numbers = numbers.clone();
                pick(&mut numbers, ranks, Ord::cmp).into_iter().map(|found| found.map(|v| v as f64)).collect()
            }
            Numbers::Float(numbers) => {
                let mut numbers = numbers.clone();
                pick(&mut numbers, ranks, f64::total_cmp)
            }
        }
    }
}

/// Few ranks are selected, many are looked up in the sorted numbers.
fn pick<T: Copy>(
    numbers: &mut [T],
    ranks: &[usize],
    compare: impl Fn(&T, &T) -> std::cmp::Ordering + Copy,
) -> Vec<Option<T>> {
    if ranks.len() > 4 {
        numbers.sort_unstable_by(compare);
        return ranks.iter().map(|rank| numbers.get(*rank).copied()).collect();
    }
    ranks
        .iter()
        .map(|rank| (*rank < numbers.len()).then(|| *numbers.select_nth_unstable_by(*rank, compare).1))
        .collect()
}
