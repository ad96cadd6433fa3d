//! Mergeable numbers about one column: count, sum, mean and spread.
//!
//! Mean and spread follow Chan, Golub and LeVeque, "Updating formulae and a pairwise algorithm for computing sample
//! variances" (1979): each block of values is summed in two passes and joined to what is known. Blocks are cut from the
//! values as they come, so that where one batch ends and the next begins leaves no trace in the last digit.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type};
use laguna_base::Result;

use super::counts::{Wholes, wholes};
use crate::kept::codec::{Reader, Writer};
use crate::value::is_temporal;
use crate::view::failed;

/// Values of a block.
const BLOCK: usize = 4096;

#[derive(Debug, Clone, Default)]
pub(crate) struct Moments {
    pub present: u64,
    pub missing: u64,
    whole_sum: i128,
    is_whole: bool,
    blocks: Spread,
    /// Values of the block that is not full yet.
    waiting: Vec<f64>,
}

/// Sum and spread of some values.
#[derive(Debug, Clone, Copy, Default)]
struct Spread {
    count: u64,
    sum: f64,
    mean: f64,
    squares: f64,
}

impl Spread {
    fn of(values: &[f64]) -> Spread {
        if values.is_empty() {
            return Spread::default();
        }
        let sum = in_lanes(values, |value| value);
        let mean = sum / values.len() as f64;
        let squares = in_lanes(values, |value| (value - mean) * (value - mean));
        Spread { count: values.len() as u64, sum, mean, squares }
    }

    fn and(self, other: Spread) -> Spread {
        if self.count == 0 || other.count == 0 {
            return if self.count == 0 { other } else { self };
        }
        let (n, m) = (self.count as f64, other.count as f64);
        let delta = other.mean - self.mean;
        Spread {
            count: self.count + other.count,
            sum: self.sum + other.sum,
            mean: self.mean + delta * m / (n + m),
            squares: self.squares + (other.squares + delta * delta * n * m / (n + m)),
        }
    }
}

/// A sum in eight lanes, which the compiler keeps in wide registers.
fn in_lanes(values: &[f64], of: impl Fn(f64) -> f64) -> f64 {
    let mut lanes = [0.0; 8];
    let mut eights = values.chunks_exact(8);
    for eight in &mut eights {
        lanes.iter_mut().zip(eight).for_each(|(lane, value)| *lane += of(*value));
    }
    lanes.iter_mut().zip(eights.remainder()).for_each(|(lane, value)| *lane += of(*value));
    lanes.iter().sum()
}

impl Moments {
    pub fn new(data_type: &DataType) -> Moments {
        Moments { is_whole: data_type.is_integer() || is_temporal(data_type), ..Moments::default() }
    }

    pub fn update(&mut self, values: &ArrayRef) -> Result<()> {
        let missing = values.logical_null_count() as u64;
        let present = values.len() as u64 - missing;
        self.missing += missing;
        self.present += present;
        let temporal = is_temporal(values.data_type());
        let numeric = values.data_type().is_numeric() || matches!(values.data_type(), DataType::Boolean);
        if !(numeric || temporal) || present == 0 {
            return Ok(());
        }
        // Times are numbers in units of their type.
        let floats = match temporal.then(|| wholes(values)).transpose()? {
            Some(Wholes::Narrow(units)) => cast(&units, &DataType::Float64),
            _ => cast(values, &DataType::Float64),
        }
        .map_err(failed)?;
        let floats = floats.as_primitive::<Float64Type>();
        match floats.null_count() {
            0 => self.add(floats.values()),
            _ => self.add(&floats.iter().flatten().collect::<Vec<f64>>()),
        }
        if self.is_whole {
            self.whole_sum += match wholes(values)? {
                Wholes::Narrow(narrow) if narrow.null_count() == 0 => {
                    narrow.values().iter().map(|value| i128::from(*value)).sum()
                }
                Wholes::Narrow(narrow) => narrow.iter().flatten().map(i128::from).sum::<i128>(),
                Wholes::Wide(wide) => wide.iter().flatten().sum(),
            };
        }
        Ok(())
    }

    fn add(&mut self, mut values: &[f64]) {
        if !self.waiting.is_empty() {
            let (first, rest) = values.split_at(values.len().min(BLOCK - self.waiting.len()));
            self.waiting.extend_from_slice(first);
            values = rest;
            if self.waiting.len() < BLOCK {
                return;
            }
            self.settle();
        }
        let mut blocks = values.chunks_exact(BLOCK);
        for block in &mut blocks {
            self.blocks = self.blocks.and(Spread::of(block));
        }
        self.waiting.extend_from_slice(blocks.remainder());
    }

    /// All values, those of the open block among them.
    fn spread(&self) -> Spread {
        self.blocks.and(Spread::of(&self.waiting))
    }

    fn settle(&mut self) {
        self.blocks = self.spread();
        self.waiting.clear();
    }

    /// Joins what follows.
    pub fn merge(&mut self, other: &Moments) {
        self.settle();
        self.missing += other.missing;
        self.present += other.present;
        self.whole_sum += other.whole_sum;
        self.blocks = self.blocks.and(other.spread());
    }

    /// The sum; 0 of nothing.
    pub fn sum(&self) -> f64 {
        if self.is_whole { self.whole_sum as f64 } else { self.spread().sum }
    }

    /// The mean; none of nothing.
    pub fn mean(&self) -> Option<f64> {
        (self.present > 0).then(|| self.sum() / self.present as f64)
    }

    /// The sample standard deviation; none of fewer than two values.
    pub fn stdev(&self) -> Option<f64> {
        (self.present > 1).then(|| (self.spread().squares / (self.present as f64 - 1.0)).sqrt())
    }

    pub fn write(&self, into: &mut Writer) {
        let spread = self.spread();
        into.count(self.present);
        into.count(self.missing);
        into.wide(self.whole_sum);
        into.count(spread.count);
        [spread.sum, spread.mean, spread.squares].into_iter().for_each(|float| into.float(float));
    }

    pub fn read(from: &mut Reader<'_>, data_type: &DataType) -> Option<Moments> {
        let read = Moments {
            present: from.count()?,
            missing: from.count()?,
            whole_sum: from.wide()?,
            blocks: Spread {
                count: from.count()?,
                sum: from.float()?,
                mean: from.float()?,
                squares: from.float()?,
            },
            ..Moments::new(data_type)
        };
        from.is_done().then_some(read)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::Float64Array;

    use super::*;

    #[test]
    fn batches_leave_no_trace() {
        let values: Vec<Option<f64>> =
            (0..20_000).map(|at| (at % 7 != 0).then_some(f64::from(at) * 0.1)).collect();
        let of = |size: usize| {
            let mut moments = Moments::new(&DataType::Float64);
            for batch in values.chunks(size) {
                let batch: ArrayRef = Arc::new(Float64Array::from(batch.to_vec()));
                moments.update(&batch).unwrap();
            }
            let mut writer = Writer::default();
            moments.write(&mut writer);
            (writer.finish(), moments.stdev().map(f64::to_bits), moments.sum().to_bits())
        };
        let whole = of(20_000);
        for size in [1, 100, 4096, 8192, 9999] {
            assert_eq!(of(size), whole, "in batches of {size}");
        }
    }
}
