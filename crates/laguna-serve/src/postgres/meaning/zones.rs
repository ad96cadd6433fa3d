//! `AT TIME ZONE`: an instant as the clocks of a zone show it, and what they show as an instant.

use std::cell::Cell;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, PrimitiveArray};
use arrow::datatypes::{DataType, TimeUnit, TimestampMicrosecondType};
use chrono::{DateTime, LocalResult, NaiveDateTime, Offset, TimeDelta, TimeZone};
use chrono_tz::Tz;
use datafusion::common::{Result, exec_err};
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

const SECOND: i64 = 1_000_000;
/// Offsets change on the quarter of an hour.
const QUARTER: i64 = 900;

/// `pg_at_time_zone(time, zone)`.
#[derive(Debug, PartialEq, Eq, Hash)]
struct AtTimeZone(Signature);

pub(super) fn at_time_zone() -> ScalarUDF {
    ScalarUDF::from(AtTimeZone(Signature::any(2, Volatility::Immutable)))
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

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        let zone = matches!(types[0], DataType::Timestamp(_, None)).then(|| "UTC".into());
        Ok(DataType::Timestamp(TimeUnit::Microsecond, zone))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let names = args.args[1].to_array(1)?;
        let names = arrow::compute::cast(&names, &DataType::Utf8)?;
        let name = names.as_string::<i32>();
        if name.is_empty() || name.is_null(0) {
            return exec_err!("a time zone must be a text");
        }
        let Some(zone) = zone(name.value(0)) else {
            return exec_err!("time zone \"{}\" not recognized", name.value(0));
        };
        let times = args.args[0].to_array(args.number_rows)?;
        let shown = matches!(times.data_type(), DataType::Timestamp(_, None));
        let micros = DataType::Timestamp(TimeUnit::Microsecond, (!shown).then(|| "UTC".into()));
        let times = arrow::compute::cast(&times, &micros)?;
        let last = Cell::new((i64::MIN, 0));
        let moved: PrimitiveArray<TimestampMicrosecondType> =
            times.as_primitive::<TimestampMicrosecondType>().unary(|micros| {
                let quarter = micros.div_euclid(QUARTER * SECOND);
                if last.get().0 != quarter {
                    last.set((quarter, offset(zone, quarter * QUARTER, shown)));
                }
                let (_, ahead) = last.get();
                if shown { micros - ahead } else { micros + ahead }
            });
        let moved: ArrayRef = match shown {
            true => Arc::new(moved.with_timezone("UTC")),
            false => Arc::new(moved),
        };
        Ok(ColumnarValue::Array(moved))
    }
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
