//! Intervals times numbers.

use std::sync::Arc;

use arrow::array::{Array, AsArray, IntervalMonthDayNanoArray};
use arrow::datatypes::{DataType, Float64Type, IntervalMonthDayNano, IntervalMonthDayNanoType, IntervalUnit};
use datafusion::common::Result;
use datafusion::logical_expr::{ColumnarValue, ScalarUDF, Volatility, create_udf};

const INTERVAL: DataType = DataType::Interval(IntervalUnit::MonthDayNano);

/// `pg_interval_times(interval, number)`: what is left of months becomes days of 30 a month, what is left of days time.
pub(super) fn times() -> ScalarUDF {
    let implementation = |arguments: &[ColumnarValue]| -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(arguments)?;
        let intervals = arrays[0].as_primitive::<IntervalMonthDayNanoType>();
        let numbers = arrays[1].as_primitive::<Float64Type>();
        let all = (0..intervals.len()).map(|row| {
            let both = !intervals.is_null(row) && !numbers.is_null(row);
            both.then(|| scaled(intervals.value(row), numbers.value(row)))
        });
        Ok(ColumnarValue::Array(Arc::new(all.collect::<IntervalMonthDayNanoArray>())))
    };
    let arguments = vec![INTERVAL, DataType::Float64];
    create_udf("pg_interval_times", arguments, INTERVAL, Volatility::Immutable, Arc::new(implementation))
}

fn scaled(interval: IntervalMonthDayNano, by: f64) -> IntervalMonthDayNano {
    let months = f64::from(interval.months) * by;
    let days = f64::from(interval.days) * by + (months - months.trunc()) * 30.0;
    // Thirds of a month are not exact in binary.
    let days = if (days - days.round()).abs() < 1e-9 { days.round() } else { days };
    let nanoseconds = interval.nanoseconds as f64 * by + (days - days.trunc()) * 86_400e9;
    IntervalMonthDayNano::new(months.trunc() as i32, days.trunc() as i32, nanoseconds.round() as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fractions_go_to_the_smaller_unit() {
        let of = |months, days, nanoseconds| IntervalMonthDayNano::new(months, days, nanoseconds);
        assert_eq!(scaled(of(0, 1, 0), 3.0), of(0, 3, 0));
        assert_eq!(scaled(of(0, 1, 0), -0.5), of(0, 0, -43_200_000_000_000));
        assert_eq!(scaled(of(1, 0, 0), 1.0 / 3.0), of(0, 10, 0));
        assert_eq!(scaled(of(0, 0, 1_000_000_000), 1.5), of(0, 0, 1_500_000_000));
    }
}
