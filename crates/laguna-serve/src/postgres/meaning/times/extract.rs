//! `EXTRACT` of what the engine's `date_part` has not, or without fractions.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Decimal128Array, Int64Array};
use arrow::datatypes::{
    DataType, Field, FieldRef, IntervalMonthDayNano, IntervalMonthDayNanoType, Time64MicrosecondType,
    TimeUnit,
};
use chrono::{DateTime, Datelike};
use chrono_tz::Tz;
use datafusion::common::{Result, exec_err, internal_err, plan_err};
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use datafusion::scalar::ScalarValue;

use super::{DAY, INTERVAL, shown, zone_of};
use crate::postgres::meaning::zones;

pub(super) fn extract() -> ScalarUDF {
    ScalarUDF::from(Extract(Signature::any(2, Volatility::Immutable)))
}

/// A literal text of an argument.
fn literal(args: &ReturnFieldArgs, index: usize) -> Option<String> {
    args.scalar_arguments
        .get(index)
        .copied()
        .flatten()
        .and_then(ScalarValue::try_as_str)
        .flatten()
        .map(str::to_lowercase)
}

/// `pg_extract(field, time)`: what the engine's `date_part` has not, or without fractions.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Extract(Signature);

/// Fields of [`Extract`], with the digits behind the point of what they give.
const FIELDS: [(&str, i8); 14] = [
    ("second", 6),
    ("seconds", 6),
    ("epoch", 6),
    ("millisecond", 3),
    ("milliseconds", 3),
    ("microsecond", 0),
    ("microseconds", 0),
    ("century", 0),
    ("decade", 0),
    ("millennium", 0),
    ("julian", 0),
    ("timezone", 0),
    ("timezone_hour", 0),
    ("timezone_minute", 0),
];

/// Whether a field is counted here.
pub(in crate::postgres) fn is_extracted(field: &str) -> bool {
    FIELDS.iter().any(|(known, _)| field.eq_ignore_ascii_case(known))
}

impl ScalarUDFImpl for Extract {
    fn name(&self) -> &str {
        "pg_extract"
    }

    fn signature(&self) -> &Signature {
        &self.0
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        internal_err!("its type hangs on its arguments")
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let field = literal(&args, 0).unwrap_or_default();
        let Some((_, scale)) = FIELDS.iter().find(|(known, _)| *known == field) else {
            return plan_err!("unit \"{field}\" is not known");
        };
        let of = args.arg_fields[1].data_type();
        let data_type = match (of, *scale) {
            (_, 0) => DataType::Int64,
            (DataType::Date32, _) if field == "epoch" => DataType::Int64,
            (_, scale) => DataType::Decimal128(38, scale),
        };
        Ok(Arc::new(Field::new(self.name(), data_type, true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rows = args.number_rows;
        let ColumnarValue::Scalar(field) = &args.args[0] else {
            return exec_err!("the unit must be a constant");
        };
        let field = field.try_as_str().flatten().unwrap_or_default().to_lowercase();
        let times = args.args[1].to_array(rows)?;
        // Microseconds, or what is counted in whole numbers.
        let numbers: Vec<Option<i128>> = match times.data_type() {
            DataType::Interval(_) | DataType::Duration(_) => {
                let spans = arrow::compute::cast(&times, &INTERVAL)?;
                let days = matches!(times.data_type(), DataType::Duration(_));
                let spans = spans.as_primitive::<IntervalMonthDayNanoType>();
                spans.iter().map(|span| span.and_then(|span| of_span(&field, span, days))).collect()
            }
            DataType::Time32(_) | DataType::Time64(_) => {
                let times = arrow::compute::cast(&times, &DataType::Time64(TimeUnit::Microsecond))?;
                let times = times.as_primitive::<Time64MicrosecondType>();
                times.iter().map(|time| time.and_then(|micros| of_clock(&field, micros))).collect()
            }
            _ => {
                let zone = zone_of(times.data_type());
                let clocks = shown(&times)?;
                clocks.iter().map(|time| time.and_then(|micros| of_time(&field, micros, zone))).collect()
            }
        };
        let answers: ArrayRef = match args.return_field.data_type() {
            DataType::Decimal128(precision, scale) => {
                // Microseconds as seconds with six digits, or milliseconds with three.
                Arc::new(Decimal128Array::from(numbers).with_precision_and_scale(*precision, *scale)?)
            }
            _ => {
                let whole = if field == "epoch" { 1_000_000 } else { 1 };
                Arc::new(
                    numbers
                        .into_iter()
                        .map(|number| number.map(|n| (n / whole) as i64))
                        .collect::<Int64Array>(),
                )
            }
        };
        Ok(ColumnarValue::Array(answers))
    }
}

fn of_clock(field: &str, micros: i64) -> Option<i128> {
    let of_minute = i128::from(micros.rem_euclid(60_000_000));
    match field {
        "second" | "seconds" | "millisecond" | "milliseconds" | "microsecond" | "microseconds" => {
            Some(of_minute)
        }
        "epoch" => Some(i128::from(micros)),
        _ => None,
    }
}

fn of_time(field: &str, micros: i64, zone: Option<Tz>) -> Option<i128> {
    let ahead = |zone: Tz| {
        // The clock is ahead of the instant by what is looked for.
        let guess = zones::ahead(zone, micros);
        zones::ahead(zone, micros - guess)
    };
    let date = || DateTime::from_timestamp_micros(micros).map(|time| time.date_naive());
    let year = || date().map(|date| i128::from(date.year()));
    match field {
        "epoch" => Some(i128::from(micros) - i128::from(zone.map_or(0, ahead))),
        "century" => year().map(|year| if year > 0 { (year + 99) / 100 } else { -((99 - (year - 1)) / 100) }),
        "millennium" => {
            year().map(|year| if year > 0 { (year + 999) / 1000 } else { -((999 - (year - 1)) / 1000) })
        }
        "decade" => year().map(|year| year.div_euclid(10)),
        "julian" => date().map(|date| i128::from(date.num_days_from_ce()) + 1_721_425),
        "timezone" => Some(i128::from(ahead(zone?) / 1_000_000)),
        "timezone_hour" => Some(i128::from(ahead(zone?) / 3_600_000_000)),
        "timezone_minute" => Some(i128::from(ahead(zone?) / 60_000_000 % 60)),
        field => of_clock(field, micros.rem_euclid(DAY)),
    }
}

/// `days`: whole days of its time are days.
fn of_span(field: &str, span: IntervalMonthDayNano, days: bool) -> Option<i128> {
    let micros = span.nanoseconds / 1000;
    let years = i128::from(span.months / 12);
    match field {
        "epoch" => {
            // A year has 365.25 days, a month that is none of a year 30.
            let months = years * 31_557_600_000_000 + i128::from(span.months % 12) * 30 * i128::from(DAY);
            Some(months + i128::from(span.days) * i128::from(DAY) + i128::from(micros))
        }
        "century" => Some(years / 100),
        "millennium" => Some(years / 1000),
        "decade" => Some(years / 10),
        field => {
            let micros = if days { micros % DAY } else { micros };
            of_clock(field, 0).map(|_| i128::from(micros % 60_000_000))
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::NaiveDateTime;

    use super::*;

    #[test]
    fn parts_of_times_keep_their_fractions() {
        let time: NaiveDateTime = "2013-01-31T10:20:30.123456".parse().unwrap();
        let time = time.and_utc().timestamp_micros();
        assert_eq!(of_time("second", time, None), Some(30_123_456));
        assert_eq!(of_time("century", time, None), Some(21));
        assert_eq!(of_time("julian", time, None), Some(2_456_324));
        assert_eq!(of_time("timezone_hour", time, Some(Tz::Asia__Tokyo)), Some(9));
        assert_eq!(of_time("epoch", time, Some(Tz::Asia__Tokyo)), Some(i128::from(time - 9 * 3_600_000_000)));
        assert_eq!(
            of_span("epoch", IntervalMonthDayNano::new(0, 1, 7_200_000_000_000), false),
            Some(93_600_000_000)
        );
    }
}
