//! Mergeable numbers about one column: count, sum, mean and spread, smallest and largest.
//!
//! Mean and spread follow Chan, Golub and LeVeque, "Updating formulae and a pairwise algorithm for computing sample
//! variances" (1979): each batch is summed in two passes and joined to what is known.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type};
use datafusion::functions_aggregate::min_max::{MaxAccumulator, MinAccumulator};
use datafusion::logical_expr::Accumulator;
use datafusion::scalar::ScalarValue;
use laguna_base::Result;

use crate::plan::Metric;
use crate::view::failed;

/// Which accumulator answers a metric: checks of one column share it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Family {
    Min,
    Max,
    Moments,
}

impl Metric {
    pub fn family(self) -> Family {
        match self {
            Metric::Min => Family::Min,
            Metric::Max => Family::Max,
            Metric::Mean | Metric::Sum | Metric::Stdev | Metric::Present => Family::Moments,
        }
    }
}

/// The state of one family for one column.
pub(crate) enum Numbers {
    Extreme(Box<dyn Accumulator>),
    Moments(Moments),
}

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

impl Numbers {
    pub fn new(family: Family, data_type: &DataType) -> Result<Numbers> {
        Ok(match family {
            Family::Min => Numbers::Extreme(Box::new(MinAccumulator::try_new(data_type).map_err(failed)?)),
            Family::Max => Numbers::Extreme(Box::new(MaxAccumulator::try_new(data_type).map_err(failed)?)),
            Family::Moments => {
                Numbers::Moments(Moments { is_whole: data_type.is_integer(), ..Moments::default() })
            }
        })
    }

    pub fn update(&mut self, values: &ArrayRef) -> Result<()> {
        match self {
            Numbers::Extreme(extreme) => extreme.update_batch(std::slice::from_ref(values)).map_err(failed),
            Numbers::Moments(moments) => moments.update(values),
        }
    }

    pub fn merge(&mut self, other: Numbers) -> Result<()> {
        match (self, other) {
            (Numbers::Extreme(into), Numbers::Extreme(mut from)) => {
                let state = from.evaluate().and_then(|value| value.to_array()).map_err(failed)?;
                into.merge_batch(&[state]).map_err(failed)
            }
            (Numbers::Moments(into), Numbers::Moments(from)) => {
                into.merge(&from);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    pub fn extreme(&mut self) -> Result<Option<ScalarValue>> {
        match self {
            Numbers::Extreme(extreme) => {
                let value = extreme.evaluate().map_err(failed)?;
                Ok((!value.is_null()).then_some(value))
            }
            Numbers::Moments(_) => Ok(None),
        }
    }
}

impl Moments {
    fn update(&mut self, values: &ArrayRef) -> Result<()> {
        let missing = values.logical_null_count() as u64;
        let mut batch = Moments { present: values.len() as u64 - missing, missing, ..self.fresh() };
        let numeric = values.data_type().is_numeric() || matches!(values.data_type(), DataType::Boolean);
        if numeric && batch.present > 0 {
            let floats = cast(values, &DataType::Float64).map_err(failed)?;
            let floats = floats.as_primitive::<Float64Type>();
            batch.float_sum = arrow::compute::sum(floats).unwrap_or(0.0);
            batch.mean = batch.float_sum / batch.present as f64;
            batch.squares = floats.iter().flatten().map(|value| (value - batch.mean).powi(2)).sum();
            if batch.is_whole {
                let wide = cast(values, &DataType::Decimal128(38, 0)).map_err(failed)?;
                let wide = wide.as_primitive::<arrow::datatypes::Decimal128Type>();
                batch.whole_sum = arrow::compute::sum(wide).unwrap_or(0);
            }
        }
        self.merge(&batch);
        Ok(())
    }

    fn fresh(&self) -> Moments {
        Moments { is_whole: self.is_whole, ..Moments::default() }
    }

    fn merge(&mut self, other: &Moments) {
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
