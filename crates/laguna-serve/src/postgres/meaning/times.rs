//! Times and lengths of time, as PostgreSQL counts them, in the zone of the session.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Float64Type, IntervalUnit, TimeUnit, TimestampMicrosecondType};
use chrono::NaiveDate;
use chrono_tz::Tz;
use datafusion::common::{Result, exec_err};
use datafusion::logical_expr::{ColumnarValue, ScalarUDF};

use super::plain::function;

mod extract;
mod spans;
mod trunc;

pub(in crate::postgres) use extract::is_extracted;

const INTERVAL: DataType = DataType::Interval(IntervalUnit::MonthDayNano);
const CLOCK: DataType = DataType::Timestamp(TimeUnit::Microsecond, None);
const DAY: i64 = 86_400_000_000;

pub(super) fn functions() -> Vec<ScalarUDF> {
    let instant = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let mut all = vec![
        extract::extract(),
        trunc::truncate(),
        // An instant as the clocks of its zone show it; what is no instant as a time without zone.
        function("pg_local", 1, CLOCK, |args, rows| Ok(Arc::new(shown(&args[0].to_array(rows)?)?))),
        // Year, month, day, hour, minute, second.
        function("make_timestamp", 6, CLOCK, |args, rows| Ok(Arc::new(made(args, rows, None)?))),
        // The same, and the zone of the clock.
        function("pg_make_timestamptz", 7, instant, |args, rows| {
            let zone = match args.get(6) {
                Some(ColumnarValue::Scalar(zone)) => zone.try_as_str().flatten().and_then(super::zone),
                _ => None,
            };
            Ok(Arc::new(made(args, rows, zone)?.with_timezone("UTC")))
        }),
    ];
    all.extend(spans::functions());
    all
}

/// The zone that a type of instants names.
fn zone_of(data_type: &DataType) -> Option<Tz> {
    match data_type {
        DataType::Timestamp(_, Some(zone)) => Some(super::zone(zone).unwrap_or(Tz::UTC)),
        _ => None,
    }
}

/// Times of any type in microseconds as clocks show them, which is UTC where there is no zone.
pub(super) fn shown(times: &ArrayRef) -> Result<TimestampMicrosecondArray> {
    let zone = zone_of(times.data_type());
    let micros = DataType::Timestamp(TimeUnit::Microsecond, zone.map(|_| "UTC".into()));
    let instants = arrow::compute::cast(times, &micros)?;
    let instants = instants.as_primitive::<TimestampMicrosecondType>();
    Ok(match zone {
        None => instants.clone(),
        Some(Tz::UTC) => instants.clone().with_timezone_opt(None::<Arc<str>>),
        Some(zone) => instants
            .unary::<_, TimestampMicrosecondType>(|micros| {
                micros.saturating_add(super::zones::ahead(zone, micros))
            })
            .with_timezone_opt(None::<Arc<str>>),
    })
}

/// Times of their parts.
fn made(args: &[ColumnarValue], rows: usize, zone: Option<Tz>) -> Result<TimestampMicrosecondArray> {
    let numbers = numbers(&args[..6], rows)?;
    let mut times = Vec::with_capacity(rows);
    for row in 0..rows {
        let Some(parts) = of_row(&numbers, row) else {
            times.push(None);
            continue;
        };
        let micros = (parts[5] * 1e6).round() as i64;
        let clock = NaiveDate::from_ymd_opt(parts[0] as i32, parts[1] as u32, parts[2] as u32)
            .and_then(|day| day.and_hms_opt(parts[3] as u32, parts[4] as u32, 0))
            .filter(|_| (0..=60_000_000).contains(&micros));
        let Some(clock) = clock else { return exec_err!("date/time field value out of range") };
        let clock = clock.and_utc().timestamp_micros() + micros;
        times.push(Some(zone.map_or(clock, |zone| clock - super::zones::behind(zone, clock))));
    }
    Ok(times.into())
}

/// Arguments as numbers.
fn numbers(args: &[ColumnarValue], rows: usize) -> Result<Vec<ArrayRef>> {
    args.iter().map(|arg| Ok(arrow::compute::cast(&arg.to_array(rows)?, &DataType::Float64)?)).collect()
}

/// The numbers of a row; `None` when one of them is null.
fn of_row(numbers: &[ArrayRef], row: usize) -> Option<Vec<f64>> {
    let of = |array: &ArrayRef| (!array.is_null(row)).then(|| array.as_primitive::<Float64Type>().value(row));
    numbers.iter().map(of).collect()
}
