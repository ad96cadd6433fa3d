//! Lengths of time: between two days of the calendar, of their parts, and with their parts in bounds.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, IntervalMonthDayNanoArray};
use arrow::datatypes::{IntervalMonthDayNano, IntervalMonthDayNanoType};
use chrono::{DateTime, Datelike, Months, NaiveDateTime, TimeDelta};
use datafusion::common::Result;
use datafusion::logical_expr::{ColumnarValue, ScalarUDF};

use super::{DAY, INTERVAL, numbers, of_row, shown};
use crate::postgres::meaning::plain::function;

pub(super) fn functions() -> Vec<ScalarUDF> {
    vec![
        // `age(later, earlier)`: years, months, days and time.
        function("age", 2, INTERVAL, |args, rows| {
            let (later, earlier) = (shown(&args[0].to_array(rows)?)?, shown(&args[1].to_array(rows)?)?);
            let ages = later.iter().zip(&earlier).map(|pair| match pair {
                (Some(later), Some(earlier)) => age(later, earlier),
                _ => None,
            });
            Ok(Arc::new(ages.collect::<IntervalMonthDayNanoArray>()))
        }),
        function("justify_days", 1, INTERVAL, |args, rows| justified(Justify::Days, args, rows)),
        function("justify_hours", 1, INTERVAL, |args, rows| justified(Justify::Hours, args, rows)),
        function("justify_interval", 1, INTERVAL, |args, rows| justified(Justify::Both, args, rows)),
        // Years, months, weeks, days, hours, minutes, seconds.
        function("pg_make_interval", 7, INTERVAL, |args, rows| {
            let numbers = numbers(args, rows)?;
            let spans = (0..rows).map(|row| {
                let parts = of_row(&numbers, row)?;
                let seconds = parts[4] * 3600.0 + parts[5] * 60.0 + parts[6];
                Some(IntervalMonthDayNano::new(
                    (parts[0] * 12.0 + parts[1]) as i32,
                    (parts[2] * 7.0 + parts[3]) as i32,
                    (seconds * 1e6).round() as i64 * 1000,
                ))
            });
            Ok(Arc::new(spans.collect::<IntervalMonthDayNanoArray>()))
        }),
    ]
}

fn age(later: i64, earlier: i64) -> Option<IntervalMonthDayNano> {
    if later < earlier {
        let span = age(earlier, later)?;
        return Some(IntervalMonthDayNano::new(-span.months, -span.days, -span.nanoseconds));
    }
    let time = |micros: i64| DateTime::from_timestamp_micros(micros).map(|time| time.naive_utc());
    let (later, earlier): (NaiveDateTime, NaiveDateTime) = (time(later)?, time(earlier)?);
    let mut months = (later.year() - earlier.year()) * 12 + later.month() as i32 - earlier.month() as i32;
    let mut days = later.day() as i32 - earlier.day() as i32;
    let mut rest = later.time() - earlier.time();
    if rest < TimeDelta::zero() {
        rest += TimeDelta::days(1);
        days -= 1;
    }
    if days < 0 {
        // The month in which the earlier one lies lends its days.
        let first = earlier.date().with_day(1)?;
        days += (first.checked_add_months(Months::new(1))? - first).num_days() as i32;
        months -= 1;
    }
    Some(IntervalMonthDayNano::new(months, days, rest.num_nanoseconds()?))
}

/// Which parts are brought in bounds: days within a month, hours within a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Justify {
    Days,
    Hours,
    Both,
}

fn justified(how: Justify, args: &[ColumnarValue], rows: usize) -> Result<ArrayRef> {
    let spans = arrow::compute::cast(&args[0].to_array(rows)?, &INTERVAL)?;
    let spans = spans.as_primitive::<IntervalMonthDayNanoType>();
    let justified: IntervalMonthDayNanoArray = spans.unary(|span| how.of(span));
    Ok(Arc::new(justified))
}

impl Justify {
    fn of(self, span: IntervalMonthDayNano) -> IntervalMonthDayNano {
        let day = DAY * 1000;
        let (mut months, mut days, mut nanos) = (span.months, span.days, span.nanoseconds);
        if self != Justify::Days {
            days += (nanos / day) as i32;
            nanos %= day;
        }
        if self != Justify::Hours {
            months += days / 30;
            days %= 30;
        }
        // All of one sign, from the largest down.
        if self != Justify::Hours {
            if months > 0 && (days < 0 || self == Justify::Both && days == 0 && nanos < 0) {
                (months, days) = (months - 1, days + 30);
            } else if months < 0 && (days > 0 || self == Justify::Both && days == 0 && nanos > 0) {
                (months, days) = (months + 1, days - 30);
            }
        }
        if self != Justify::Days {
            if days > 0 && nanos < 0 {
                (days, nanos) = (days - 1, nanos + day);
            } else if days < 0 && nanos > 0 {
                (days, nanos) = (days + 1, nanos - day);
            }
        }
        IntervalMonthDayNano::new(months, days, nanos)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn micros(text: &str) -> i64 {
        text.parse::<NaiveDateTime>().unwrap().and_utc().timestamp_micros()
    }

    #[test]
    fn ages_are_counted_by_the_calendar() {
        let of = |later: &str, earlier: &str| age(micros(later), micros(earlier)).unwrap();
        let span =
            |months, days, hours: i64| IntervalMonthDayNano::new(months, days, hours * 3_600_000_000_000);
        assert_eq!(of("2013-03-01T00:00:00", "2012-01-15T00:00:00"), span(13, 17, 0));
        assert_eq!(of("2013-03-31T00:00:00", "2013-02-28T00:00:00"), span(1, 3, 0));
        assert_eq!(of("2013-01-01T10:00:00", "2013-01-02T12:00:00"), span(0, -1, -2));
        assert_eq!(of("2001-04-10T00:00:00", "1957-06-13T00:00:00"), span(43 * 12 + 9, 27, 0));
    }

    #[test]
    fn lengths_of_time_are_justified() {
        let span =
            |months, days, hours: i64| IntervalMonthDayNano::new(months, days, hours * 3_600_000_000_000);
        assert_eq!(Justify::Days.of(span(0, 35, 0)), span(1, 5, 0));
        assert_eq!(Justify::Hours.of(span(0, 0, 27)), span(0, 1, 3));
        assert_eq!(Justify::Both.of(span(1, 0, -1)), span(0, 29, 23));
    }
}
