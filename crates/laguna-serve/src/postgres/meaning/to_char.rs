//! `to_char(value, pattern)` of times, lengths of time and numbers with the patterns of PostgreSQL (documentation, table 9.27).

use std::fmt::Write;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StringArray};
use arrow::datatypes::{
    DataType, Float64Type, IntervalMonthDayNano, IntervalMonthDayNanoType, IntervalUnit, TimeUnit,
    TimestampMicrosecondType,
};
use chrono::{DateTime, Datelike, NaiveDateTime, Offset, TimeZone, Timelike};
use chrono_tz::Tz;
use datafusion::common::{Result, exec_err, plan_err};
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

mod number;

use number::Pattern;

/// `pg_to_char(value, pattern, zone)`; the zone is that of the session, in which instants are shown.
#[derive(Debug, PartialEq, Eq, Hash)]
struct ToChar(Signature);

pub(super) fn to_char() -> ScalarUDF {
    ScalarUDF::from(ToChar(Signature::any(3, Volatility::Immutable)))
}

impl ScalarUDFImpl for ToChar {
    fn name(&self) -> &str {
        "pg_to_char"
    }

    fn signature(&self) -> &Signature {
        &self.0
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        match &types[0] {
            DataType::Timestamp(..) | DataType::Date32 | DataType::Date64 | DataType::Null => {
                Ok(DataType::Utf8)
            }
            DataType::Interval(_) | DataType::Duration(_) => Ok(DataType::Utf8),
            number if number.is_numeric() => Ok(DataType::Utf8),
            other => plan_err!("function to_char({other}, text) does not exist"),
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rows = args.number_rows;
        let times = args.args[0].to_array(rows)?;
        let text = |index: usize| -> Result<Arc<dyn Array>> {
            Ok(arrow::compute::cast(&args.args[index].to_array(rows)?, &DataType::Utf8)?)
        };
        let (patterns, zones) = (text(1)?, text(2)?);
        let (patterns, zones) = (patterns.as_string::<i32>(), zones.as_string::<i32>());
        match times.data_type() {
            number if number.is_numeric() => return numbers(&times, patterns),
            DataType::Interval(_) | DataType::Duration(_) => return spans(&times, patterns),
            _ => {}
        }
        let zoned = matches!(times.data_type(), DataType::Timestamp(_, Some(_)));
        let micros = DataType::Timestamp(TimeUnit::Microsecond, zoned.then(|| "UTC".into()));
        let times = arrow::compute::cast(&times, &micros)?;
        let times = times.as_primitive::<TimestampMicrosecondType>();
        let mut known: Option<(String, Vec<Part>)> = None;
        let zone = (rows > 0 && zoned).then(|| super::zones::zone(zones.value(0))).flatten();
        let answers = (0..rows).map(|row| {
            if times.is_null(row) || patterns.is_null(row) {
                return None;
            }
            let pattern = patterns.value(row);
            if known.as_ref().is_none_or(|(of, _)| of != pattern) {
                known = Some((pattern.to_string(), parse(pattern)));
            }
            let parts = &known.as_ref()?.1;
            let time = DateTime::from_timestamp_micros(times.value(row))?.naive_utc();
            Some(write(parts, time, zone))
        });
        Ok(ColumnarValue::Array(Arc::new(answers.collect::<StringArray>())))
    }
}

/// Numbers by their patterns.
fn numbers(numbers: &ArrayRef, patterns: &StringArray) -> Result<ColumnarValue> {
    let wide = numbers.data_type().is_floating().then(|| arrow::compute::cast(numbers, &DataType::Float64));
    let wide = wide.transpose()?;
    let texts = arrow::compute::cast(numbers, &DataType::Utf8)?;
    let texts = texts.as_string::<i32>();
    let mut known: Option<(&str, Pattern)> = None;
    let mut answers = Vec::with_capacity(numbers.len());
    for row in 0..numbers.len() {
        if texts.is_null(row) || patterns.is_null(row) {
            answers.push(None);
            continue;
        }
        let written = patterns.value(row);
        let pattern = match known.take() {
            Some((of, pattern)) if of == written => pattern,
            _ => Pattern::parse(written).or_else(|error| exec_err!("{error}"))?,
        };
        let float = wide.as_ref().map(|wide| wide.as_primitive::<Float64Type>().value(row));
        answers.push(Some(match (pattern.is_scientific(), float) {
            (true, _) => pattern.power(float.or_else(|| texts.value(row).parse().ok()).unwrap_or(f64::NAN)),
            (false, Some(float)) => {
                let moved = float * 10f64.powi(pattern.moved() as i32);
                pattern.write(&format!("{moved:.*}", pattern.digits()))
            }
            (false, None) => pattern.write(&rounded(texts.value(row), pattern.moved(), pattern.digits())),
        }));
        known = Some((written, pattern));
    }
    Ok(ColumnarValue::Array(Arc::new(StringArray::from(answers))))
}

/// A decimal number times a power of ten, rounded to `digits` behind the point.
fn rounded(number: &str, moved: usize, digits: usize) -> String {
    let (sign, number) = number.strip_prefix('-').map_or(("", number), |rest| ("-", rest));
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let mut all: Vec<u8> = whole.bytes().chain(fraction.bytes()).collect();
    let behind = fraction.len();
    // As many digits as are wanted, and whether the first that is left out rounds up.
    let wanted = all.len() - behind + moved + digits;
    let up = all.get(wanted).is_some_and(|digit| *digit >= b'5');
    all.resize(wanted, b'0');
    if up {
        let nines = all.iter().rev().take_while(|digit| **digit == b'9').count();
        let kept = all.len() - nines;
        all[kept..].fill(b'0');
        match kept.checked_sub(1) {
            Some(last) => all[last] += 1,
            None => all.insert(0, b'1'),
        }
    }
    let text: String = all.into_iter().map(char::from).collect();
    let (whole, fraction) = text.split_at(text.len() - digits);
    let whole = whole.trim_start_matches('0');
    let whole = if whole.is_empty() { "0" } else { whole };
    let point = if digits > 0 { "." } else { "" };
    format!("{sign}{whole}{point}{fraction}")
}

/// Lengths of time by their patterns.
fn spans(spans: &ArrayRef, patterns: &StringArray) -> Result<ColumnarValue> {
    let spans = arrow::compute::cast(spans, &DataType::Interval(IntervalUnit::MonthDayNano))?;
    let spans = spans.as_primitive::<IntervalMonthDayNanoType>();
    let answers = (0..spans.len()).map(|row| {
        let both = !spans.is_null(row) && !patterns.is_null(row);
        both.then(|| write_span(&parse(patterns.value(row)), spans.value(row)))
    });
    Ok(ColumnarValue::Array(Arc::new(answers.collect::<StringArray>())))
}

fn write_span(parts: &[Part], span: IntervalMonthDayNano) -> String {
    let micros = span.nanoseconds / 1000;
    let seconds = micros / 1_000_000;
    let mut out = String::new();
    for part in parts {
        let (field, bare) = match part {
            Part::Plain(text) => {
                out.push_str(text);
                continue;
            }
            Part::Field(field, bare, _) => (*field, *bare),
        };
        let (number, width) = match field.to_ascii_uppercase().as_str() {
            "YYYY" => (i64::from(span.months / 12), 4),
            "MM" => (i64::from(span.months % 12), 2),
            "DD" => (i64::from(span.days), 2),
            "DDD" => (i64::from(span.days), 3),
            "HH24" => (seconds / 3600, 2),
            "HH" | "HH12" => (if seconds / 3600 % 12 == 0 { 12 } else { seconds / 3600 % 12 }, 2),
            "MI" => (seconds / 60 % 60, 2),
            "SS" => (seconds % 60, 2),
            "SSSS" | "SSSSS" => (seconds, 1),
            "MS" => (micros / 1000 % 1000, 3),
            "US" => (micros % 1_000_000, 6),
            _ => {
                out.push_str(field);
                continue;
            }
        };
        // The sign is no digit.
        let width = if bare { 0 } else { width + usize::from(number < 0) };
        let _ = write!(out, "{number:0width$}");
    }
    out
}

/// What follows an ordinal number.
fn ordinal(number: u64) -> &'static str {
    match (number % 10, number % 100) {
        (_, 11..=13) => "th",
        (1, _) => "st",
        (2, _) => "nd",
        (3, _) => "rd",
        _ => "th",
    }
}

/// A piece of a pattern.
#[derive(Debug, PartialEq)]
enum Part {
    Plain(String),
    /// A field, whether it is written without padding, and the ordinal's ending that follows it.
    Field(&'static str, bool, Option<bool>),
}

/// Fields, the longer before those that they begin with.
const FIELDS: [&str; 68] = [
    "HH24", "HH12", "HH", "MI", "SSSSS", "SSSS", "SS", "MS", "US", "FF1", "FF2", "FF3", "FF4", "FF5", "FF6",
    "A.M.", "P.M.", "AM", "PM", "a.m.", "p.m.", "am", "pm", "Y,YYY", "YYYY", "YYY", "YY", "Y", "IYYY", "IYY",
    "IY", "B.C.", "A.D.", "BC", "AD", "MONTH", "Month", "month", "MON", "Mon", "mon", "MM", "DAY", "Day",
    "day", "DY", "Dy", "dy", "IDDD", "DDD", "DD", "ID", "IW", "I", "D", "WW", "W", "CC", "J", "Q", "RM",
    "rm", "TZH", "TZM", "TZ", "tz", "OF", "ID",
];

fn parse(pattern: &str) -> Vec<Part> {
    let mut parts: Vec<Part> = Vec::new();
    let plain = |text: &str, parts: &mut Vec<Part>| match parts.last_mut() {
        Some(Part::Plain(before)) => before.push_str(text),
        _ => parts.push(Part::Plain(text.to_string())),
    };
    let mut rest = pattern;
    while let Some(first) = rest.chars().next() {
        if let Some(quoted) = rest.strip_prefix('"') {
            let (inner, after) = quoted.split_once('"').unwrap_or((quoted, ""));
            plain(inner, &mut parts);
            rest = after;
            continue;
        }
        let (bare, after) = match rest.strip_prefix("FM").or_else(|| rest.strip_prefix("fm")) {
            Some(after) => (true, after),
            None => (false, rest),
        };
        // Names are written in the case of the field; the others may be written in any.
        let exact = FIELDS.iter().find(|field| after.starts_with(**field));
        let any = || {
            let begins =
                |field: &str| after.get(..field.len()).is_some_and(|it| it.eq_ignore_ascii_case(field));
            FIELDS.iter().find(|field| begins(field))
        };
        match exact.or_else(any) {
            Some(field) => {
                rest = &after[field.len()..];
                let ending =
                    [("TH", true), ("th", false)].into_iter().find(|(word, _)| rest.starts_with(word));
                if ending.is_some() {
                    rest = &rest[2..];
                }
                parts.push(Part::Field(field, bare, ending.map(|(_, upper)| upper)));
            }
            None => {
                plain(&rest[..first.len_utf8()], &mut parts);
                rest = &rest[first.len_utf8()..];
            }
        }
    }
    parts
}

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
const ROMAN: [&str; 12] = ["I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X", "XI", "XII"];

/// `time` of UTC, or of no zone, by a pattern.
fn write(parts: &[Part], time: NaiveDateTime, zone: Option<Tz>) -> String {
    let (time, ahead, short) = match zone {
        Some(zone) => {
            let there = zone.from_utc_datetime(&time);
            (there.naive_local(), there.offset().fix().local_minus_utc(), there.format("%Z").to_string())
        }
        None => (time, 0, String::new()),
    };
    let mut out = String::new();
    for part in parts {
        let (field, bare, ending) = match part {
            Part::Plain(text) => {
                out.push_str(text);
                continue;
            }
            Part::Field(field, bare, ending) => (*field, *bare, *ending),
        };
        let start = out.len();
        field_of(field, bare, time, ahead, &short, &mut out);
        if let Some(upper) = ending {
            let number: u64 = out[start..].trim().parse().unwrap_or_default();
            let word = ordinal(number);
            out.push_str(&if upper { word.to_uppercase() } else { word.to_string() });
        }
    }
    out
}

fn field_of(field: &str, bare: bool, time: NaiveDateTime, ahead: i32, zone: &str, out: &mut String) {
    let mut number = |value: i64, width: usize| {
        let _ = match bare {
            true => write!(out, "{value}"),
            false => write!(out, "{value:0width$}"),
        };
    };
    let (year, week) = (i64::from(time.year()), time.iso_week());
    let week_year = i64::from(week.year());
    let day_of_year = i64::from(time.ordinal());
    let day_of_week = i64::from(time.weekday().number_from_monday());
    match field {
        "HH24" => number(time.hour().into(), 2),
        "HH12" | "HH" => number(time.hour12().1.into(), 2),
        "MI" => number(time.minute().into(), 2),
        "SS" => number(time.second().into(), 2),
        "SSSSS" | "SSSS" => number(time.num_seconds_from_midnight().into(), 1),
        "MS" | "FF3" => number(i64::from(time.nanosecond() / 1_000_000), 3),
        "US" | "FF6" => number(i64::from(time.nanosecond() / 1_000), 6),
        "FF1" => number(i64::from(time.nanosecond() / 100_000_000), 1),
        "FF2" => number(i64::from(time.nanosecond() / 10_000_000), 2),
        "FF4" => number(i64::from(time.nanosecond() / 100_000), 4),
        "FF5" => number(i64::from(time.nanosecond() / 10_000), 5),
        "YYYY" => number(year, 4),
        "YYY" => number(year.rem_euclid(1000), 3),
        "YY" => number(year.rem_euclid(100), 2),
        "Y" => number(year.rem_euclid(10), 1),
        "IYYY" => number(week_year, 4),
        "IYY" => number(week_year.rem_euclid(1000), 3),
        "IY" => number(week_year.rem_euclid(100), 2),
        "I" => number(week_year.rem_euclid(10), 1),
        "MM" => number(time.month().into(), 2),
        "DD" => number(time.day().into(), 2),
        "DDD" => number(day_of_year, 3),
        "IDDD" => number((i64::from(week.week()) - 1) * 7 + day_of_week, 3),
        "D" => number(day_of_week % 7 + 1, 1),
        "ID" => number(day_of_week, 1),
        "IW" => number(week.week().into(), 2),
        "WW" => number((day_of_year - 1) / 7 + 1, 2),
        "W" => number((i64::from(time.day()) - 1) / 7 + 1, 1),
        "CC" => number((year - 1).div_euclid(100) + 1, 2),
        "Q" => number(i64::from(time.month0()) / 3 + 1, 1),
        // Days since 1 January of the year 1, of which the Julian day is 1,721,426.
        "J" => number(i64::from(time.num_days_from_ce()) + 1_721_425, 7),
        "Y,YYY" => {
            let _ = write!(out, "{},{:03}", year / 1000, year % 1000);
        }
        "TZH" => {
            let _ = write!(out, "{}{:02}", if ahead < 0 { '-' } else { '+' }, ahead.abs() / 3600);
        }
        "TZM" => {
            let _ = write!(out, "{:02}", ahead.abs() / 60 % 60);
        }
        "OF" => {
            let _ = write!(out, "{}{:02}", if ahead < 0 { '-' } else { '+' }, ahead.abs() / 3600);
            if ahead % 3600 != 0 {
                let _ = write!(out, ":{:02}", ahead.abs() / 60 % 60);
            }
        }
        "TZ" => out.push_str(zone),
        "tz" => out.push_str(&zone.to_lowercase()),
        "AM" | "PM" | "A.M." | "P.M." | "am" | "pm" | "a.m." | "p.m." => {
            let word = if time.hour() < 12 { ["AM", "A.M."] } else { ["PM", "P.M."] };
            let word = word[usize::from(field.contains('.'))];
            out.push_str(&if field.starts_with(['a', 'p']) { word.to_lowercase() } else { word.to_string() });
        }
        "BC" | "AD" | "B.C." | "A.D." => {
            let word = if year > 0 { ["AD", "A.D."] } else { ["BC", "B.C."] };
            out.push_str(word[usize::from(field.contains('.'))]);
        }
        "RM" | "rm" => {
            let word = ROMAN[time.month0() as usize];
            let word = if field == "rm" { word.to_lowercase() } else { word.to_string() };
            let _ = if bare { write!(out, "{word}") } else { write!(out, "{word:<4}") };
        }
        _ => {
            let day = DAYS[time.weekday().num_days_from_monday() as usize];
            let month = MONTHS[time.month0() as usize];
            let (word, padded) = match field.to_ascii_lowercase().as_str() {
                "month" => (month, true),
                "mon" => (&month[..3], false),
                "day" => (day, true),
                _ => (&day[..3], false),
            };
            let word = match field.chars().nth(1).is_some_and(char::is_uppercase) {
                true => word.to_uppercase(),
                false if field.starts_with(char::is_lowercase) => word.to_lowercase(),
                false => word.to_string(),
            };
            let _ = if padded && !bare { write!(out, "{word:<9}") } else { write!(out, "{word}") };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As PostgreSQL 15 answers.
    #[test]
    fn numbers_are_rounded_digit_by_digit() {
        assert_eq!(rounded("-0.125", 0, 2), "-0.13");
        assert_eq!(rounded("999.96", 0, 1), "1000.0");
        assert_eq!(rounded("12.45", 1, 0), "125");
        assert_eq!(rounded("5", 0, 2), "5.00");
    }

    #[test]
    fn patterns_write_what_postgresql_writes() {
        let time: NaiveDateTime = "2013-02-05T17:04:09.012345".parse().unwrap();
        for (pattern, wanted) in [
            ("YYYY-MM-DD HH24:MI:SS.US", "2013-02-05 17:04:09.012345"),
            ("YYYY\"W\"IW", "2013W06"),
            ("YYYY-\"Q\"Q", "2013-Q1"),
            ("Day|Month|Dy|MON|mon", "Tuesday  |February |Tue|FEB|feb"),
            ("FMDay, FMDDth FMMonth YYYY", "Tuesday, 5th February 2013"),
            ("D ID WW W DDD J CC", "3 2 06 1 036 2456329 21"),
            ("HH12:MI am", "05:04 pm"),
            ("SSSS MS RM", "61449 012 II  "),
            ("yyyy/mm", "2013/02"),
        ] {
            assert_eq!(write(&parse(pattern), time, None), wanted, "{pattern}");
        }
        let there = write(&parse("HH24:MI TZ OF TZH:TZM"), time, Some(Tz::America__New_York));
        assert_eq!(there, "12:04 EST -05 -05:00");
    }
}
