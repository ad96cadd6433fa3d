//! Mergeable numbers about one column: count, sum, mean and spread.
//!
//! Mean and spread follow Chan, Golub and LeVeque, "Updating formulae and a pairwise algorithm for computing sample
//! variances" (1979): each batch is summed in two passes and joined to what is known.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type};
use laguna_base::Result;

use super::counts::{Wholes, wholes};
use crate::view::failed;

#[derive(Debug, Clone, Default)]
pub(crate) struct Moments {
    pub present: u64,
    pub missing: u64,
    mean: f64,
    squares: f64,
    whole_sum: i128,
    float_sum: f64,
    is_whole: bool,
}

impl Moments {
    pub fn new(data_type: &DataType) -> Moments {
        Moments { is_whole: data_type.is_integer(), ..Moments::default() }
    }

    pub fn update(&mut self, values: &ArrayRef) -> Result<()> {
        let missing = values.logical_null_count() as u64;
        let mut batch = Moments { present: values.len() as u64 - missing, missing, ..self.fresh() };
        let numeric = values.data_type().is_numeric() || matches!(values.data_type(), DataType::Boolean);
        if numeric && batch.present > 0 {
            let floats = cast(values, &DataType::Float64).map_err(failed)?;
            let floats = floats.as_primitive::<Float64Type>();
            batch.float_sum = arrow::compute::sum(floats).unwrap_or(0.0);
            batch.mean = batch.float_sum / batch.present as f64;
            let mean = batch.mean;
            batch.squares = match floats.null_count() {
                0 => floats.values().iter().map(|value| (value - mean) * (value - mean)).sum(),
                _ => floats.iter().flatten().map(|value| (value - mean) * (value - mean)).sum(),
            };
            if batch.is_whole {
                batch.whole_sum = match wholes(values)? {
                    Wholes::Narrow(narrow) if narrow.null_count() == 0 => {
                        narrow.values().iter().map(|value| i128::from(*value)).sum()
                    }
                    Wholes::Narrow(narrow) => narrow.iter().flatten().map(i128::from).sum(),
                    Wholes::Wide(wide) => wide.iter().flatten().sum(),
                };
            }
        }
        self.merge(&batch);
        Ok(())
    }

    fn fresh(&self) -> Moments {
        Moments { is_whole: self.is_whole, ..Moments::default() }
    }

    pub fn merge(&mut self, other: &Moments) {
        self.missing += other.missing;
        if other.present == 0 {
            return;
        }
        if self.present == 0 {
            let missing = self.missing;
            *self = other.clone();
            self.missing = missing;
            return;
        }
        let (n, m) = (self.present as f64, other.present as f64);
        let delta = other.mean - self.mean;
        self.mean += delta * m / (n + m);
        self.squares += other.squares + delta * delta * n * m / (n + m);
        self.present += other.present;
        self.whole_sum += other.whole_sum;
        self.float_sum += other.float_sum;
    }

    /// The sum; 0 of nothing.
    pub fn sum(&self) -> f64 {
        if self.is_whole { self.whole_sum as f64 } else { self.float_sum }
    }

    /// The mean; none of nothing.
    pub fn mean(&self) -> Option<f64> {
        (self.present > 0).then(|| self.sum() / self.present as f64)
    }

    /// The sample standard deviation; none of fewer than two values.
    pub fn stdev(&self) -> Option<f64> {
        (self.present > 1).then(|| (self.squares / (self.present as f64 - 1.0)).sqrt())
    }
}
