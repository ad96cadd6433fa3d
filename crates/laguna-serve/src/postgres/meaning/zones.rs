//! `AT TIME ZONE`: an instant as the clocks of a zone show it, and what they show as an instant.

use std::sync::Arc;

use arrow::array::{Array, AsArray, PrimitiveArray};
use arrow::datatypes::{DataType, Field, FieldRef, TimeUnit, TimestampMicrosecondType};
use chrono::{DateTime, LocalResult, NaiveDateTime, Offset, TimeDelta, TimeZone};
use chrono_tz::Tz;
use datafusion::common::{Result, exec_err, internal_err};
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use datafusion::scalar::ScalarValue;

const SECOND: i64 = 1_000_000;
/// Offsets change on the quarter of an hour.
const QUARTER: i64 = 900;

/// `pg_at_time_zone(time, zone, session's zone)`.
#[derive(Debug, PartialEq, Eq, Hash)]
struct AtTimeZone(Signature);

pub(super) fn at_time_zone() -> ScalarUDF {
    ScalarUDF::from(AtTimeZone(Signature::any(3, Volatility::Immutable)))
}

/// The zone of this name, however it is written.
pub(in crate::postgres) fn zone(name: &str) -> Option<Tz> {
    let name = name.trim();
    name.parse().ok().or_else(|| {
        let mut zones = chrono_tz::TZ_VARIANTS.iter();
        zones.find(|zone| zone.name().eq_ignore_ascii_case(name)).copied()
    })
}

impl ScalarUDFImpl for AtTimeZone {
    fn name(&self) -> &str {
        "pg_at_time_zone"
    }

    fn signature(&self) -> &Signature {
        &self.0
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        internal_err!("its type hangs on its arguments")
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        // A clock's time becomes an instant, which is of the session's zone.
        let instant = matches!(args.arg_fields[0].data_type(), DataType::Timestamp(_, None));
        let zone =
            args.scalar_arguments.get(2).copied().flatten().and_then(ScalarValue::try_as_str).flatten();
        let zone = instant.then(|| zone.unwrap_or("UTC").into());
        Ok(Arc::new(Field::new(self.name(), DataType::Timestamp(TimeUnit::Microsecond, zone), true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rows = args.number_rows;
        let names = arrow::compute::cast(&args.args[1].to_array(rows)?, &DataType::Utf8)?;
        let names = names.as_string::<i32>();
        let mut times = args.args[0].to_array(rows)?;
        if *times.data_type() == DataType::Date32 {
            // The day's midnight where the session is.
            let session = match &args.args[2] {
                ColumnarValue::Scalar(zone) => zone.try_as_str().flatten().unwrap_or("UTC").to_string(),
                ColumnarValue::Array(_) => "UTC".to_string(),
            };
            times = arrow::compute::cast(&times, &DataType::Timestamp(TimeUnit::Microsecond, None))?;
            times = arrow::compute::cast(
                &times,
                &DataType::Timestamp(TimeUnit::Microsecond, Some(session.into())),
            )?;
        }
        let shown = matches!(times.data_type(), DataType::Timestamp(_, None));
        let micros = DataType::Timestamp(TimeUnit::Microsecond, (!shown).then(|| "UTC".into()));
        let times = arrow::compute::cast(&times, &micros)?;
        let times = times.as_primitive::<TimestampMicrosecondType>();
        // Neighbours mostly have the same zone and quarter.
        let (mut known, mut last) = (None, (i64::MIN, 0));
        let mut move_one = |row: usize| -> Result<Option<i64>> {
            if times.is_null(row) || names.is_null(row) {
                return Ok(None);
            }
            let name = names.value(row);
            let zone = match known {
                Some((of, zone)) if of == name => zone,
                _ => {
                    let Some(zone) = zone(name) else {
                        return exec_err!("time zone \"{name}\" not recognized");
                    };
                    (known, last) = (Some((name, zone)), (i64::MIN, 0));
                    zone
                }
            };
            let micros = times.value(row);
            let quarter = micros.div_euclid(QUARTER * SECOND);
            if last.0 != quarter {
                last = (quarter, offset(zone, quarter * QUARTER, shown));
            }
            Ok(Some(if shown { micros.saturating_sub(last.1) } else { micros.saturating_add(last.1) }))
        };
        let moved: PrimitiveArray<TimestampMicrosecondType> =
            (0..rows).map(&mut move_one).collect::<Result<Vec<_>>>()?.into();
        let zone = match args.return_field.data_type() {
            DataType::Timestamp(_, zone) => zone.clone(),
            _ => None,
        };
        Ok(ColumnarValue::Array(Arc::new(moved.with_timezone_opt(zone))))
    }
}

/// Microseconds by which the zone's clocks are ahead of UTC at an instant.
pub(super) fn ahead(zone: Tz, instant: i64) -> i64 {
    offset(zone, instant.div_euclid(SECOND), false)
}

/// Microseconds by which UTC is behind the zone's clocks when they show a time.
pub(super) fn behind(zone: Tz, clock: i64) -> i64 {
    offset(zone, clock.div_euclid(SECOND), true)
}

/// Microseconds by which the zone's clocks are ahead of UTC, at a second of UTC or of their own time.
fn offset(zone: Tz, second: i64, shown: bool) -> i64 {
    let Some(time) = DateTime::from_timestamp(second, 0) else { return 0 };
    let time: NaiveDateTime = time.naive_utc();
    let found = match shown {
        false => zone.offset_from_utc_datetime(&time).fix(),
        true => match zone.offset_from_local_datetime(&time) {
            LocalResult::Single(offset) => offset.fix(),
            // Lived twice: PostgreSQL takes the second time. Skipped: as the clocks were before.
            LocalResult::Ambiguous(_, later) => later.fix(),
            LocalResult::None => zone.offset_from_utc_datetime(&(time - TimeDelta::hours(24))).fix(),
        },
    };
    i64::from(found.local_minus_utc()) * SECOND
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_are_followed_through_the_year() {
        let second = |text: &str| text.parse::<DateTime<chrono::Utc>>().unwrap().timestamp();
        let hours = |text: &str, shown| offset(Tz::America__New_York, second(text), shown) / SECOND / 3600;
        assert_eq!(hours("2013-01-01T12:00:00Z", false), -5);
        assert_eq!(hours("2013-07-01T12:00:00Z", false), -4);
        assert_eq!(hours("2013-11-03T01:30:00Z", true), -5);
        assert_eq!(hours("2013-03-10T02:30:00Z", true), -5);
        assert_eq!(zone("europe/berlin"), Some(Tz::Europe__Berlin));
        assert_eq!(zone("utc"), Some(Tz::UTC));
    }
}
