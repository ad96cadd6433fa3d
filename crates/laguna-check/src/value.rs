//! Single values between Arrow, JSON and the whole numbers that stand for dates, timestamps and decimals.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, TimeUnit};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use chrono::{DateTime, NaiveDate, NaiveDateTime};
use serde_json::Value;

/// One value as JSON: numbers, booleans and text as they are, all else in its usual text form.
pub(crate) fn json(array: &ArrayRef, row: usize) -> Value {
    if array.logical_nulls().is_some_and(|nulls| nulls.is_null(row)) {
        return Value::Null;
    }
    let text = || {
        let options = FormatOptions::default();
        ArrayFormatter::try_new(array.as_ref(), &options)
            .map(|formatter| formatter.value(row).to_string())
            .unwrap_or_default()
    };
    match array.data_type() {
        DataType::Boolean => Value::Bool(array.as_boolean().value(row)),
        DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64 => {
            text().parse::<i64>().map_or(Value::Null, Value::from)
        }
        DataType::UInt8 | DataType::UInt16 | DataType::UInt32 | DataType::UInt64 => {
            text().parse::<u64>().map_or(Value::Null, Value::from)
        }
        DataType::Float16 | DataType::Float32 | DataType::Float64 => {
            let text = text();
            text.parse::<f64>()
                .ok()
                .and_then(serde_json::Number::from_f64)
                .map_or(Value::String(text), Value::Number)
        }
        _ => Value::String(text()),
    }
}

/// A text from the set query as the JSON that its column's type suggests.
pub(crate) fn json_of_text(text: &str, data_type: &DataType) -> Value {
    let typed = match data_type {
        DataType::Boolean => text.parse::<bool>().ok().map(Value::Bool),
        t if t.is_integer() => text.parse::<i64>().ok().map(Value::from),
        t if t.is_floating() => {
            text.parse::<f64>().ok().and_then(serde_json::Number::from_f64).map(Value::Number)
        }
        _ => None,
    };
    typed.unwrap_or_else(|| Value::String(text.to_string()))
}

/// Scale of the whole numbers that hold values of this type; `None` for types that are not held as whole numbers.
pub(crate) fn whole_scale(data_type: &DataType) -> Option<i32> {
    match data_type {
        t if t.is_integer() => Some(0),
        DataType::Boolean => Some(0),
        DataType::Decimal32(_, scale) | DataType::Decimal64(_, scale) | DataType::Decimal128(_, scale) => {
            Some(i32::from(*scale))
        }
        _ => None,
    }
}

pub(crate) fn is_temporal(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Date32 | DataType::Date64 | DataType::Timestamp(_, _))
}

/// A literal as the whole number that holds it in a column of `data_type`: rounded down, and whether that is exact.
/// `None` when the literal does not fit the type at all (a text for a number).
pub(crate) fn whole(literal: &Value, data_type: &DataType) -> Option<(i128, bool)> {
    if let Some(scale) = whole_scale(data_type) {
        return match literal {
            Value::Bool(flag) => Some((i128::from(*flag) * 10i128.checked_pow(scale.max(0) as u32)?, true)),
            Value::Number(number) => decimal(&number.to_string(), scale),
            _ => None,
        };
    }
    let nanoseconds = instant(literal.as_str()?)?;
    let unit: i128 = match data_type {
        DataType::Date32 => 86_400_000_000_000,
        DataType::Date64 | DataType::Timestamp(TimeUnit::Millisecond, _) => 1_000_000,
        DataType::Timestamp(TimeUnit::Second, _) => 1_000_000_000,
        DataType::Timestamp(TimeUnit::Microsecond, _) => 1_000,
        DataType::Timestamp(TimeUnit::Nanosecond, _) => 1,
        _ => return None,
    };
    Some((nanoseconds.div_euclid(unit), nanoseconds.rem_euclid(unit) == 0))
}

/// Nanoseconds since 1970 of a date, a timestamp, or a timestamp with its offset. Without an offset it is UTC.
pub(crate) fn instant(text: &str) -> Option<i128> {
    let text = text.trim();
    let nanoseconds = |at: NaiveDateTime| {
        i128::from(at.and_utc().timestamp()) * 1_000_000_000
            + i128::from(at.and_utc().timestamp_subsec_nanos())
    };
    if let Ok(date) = NaiveDate::parse_from_str(text, "%Y-%m-%d") {
        return date.and_hms_opt(0, 0, 0).map(nanoseconds);
    }
    if let Ok(at) = DateTime::parse_from_rfc3339(&text.replacen(' ', "T", 1)) {
        return Some(nanoseconds(at.naive_utc()));
    }
    ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M"]
        .into_iter()
        .find_map(|form| NaiveDateTime::parse_from_str(text, form).ok())
        .map(nanoseconds)
}

/// A decimal text times ten to the `scale`, rounded down, and whether nothing was cut. Values beyond an i128 are held
/// at its ends.
pub(crate) fn decimal(text: &str, scale: i32) -> Option<(i128, bool)> {
    let (number, exponent) = match text.split_once(['e', 'E']) {
        Some((number, exponent)) => (number, exponent.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (negative, number) = match number.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, number.strip_prefix('+').unwrap_or(number)),
    };
    let (units, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits = format!("{units}{fraction}");
    if digits.is_empty() || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let digits = digits.trim_start_matches('0');
    let shift = exponent + scale - fraction.len() as i32;
    if digits.is_empty() {
        return Some((0, true));
    }
    let length = digits.len() as i64 + i64::from(shift);
    if length > 38 {
        return Some((if negative { i128::MIN } else { i128::MAX }, false));
    }
    let (kept, cut) = if shift >= 0 {
        (format!("{digits}{}", "0".repeat(shift as usize)), "")
    } else if length <= 0 {
        ("0".to_string(), digits)
    } else {
        (digits[..length as usize].to_string(), &digits[length as usize..])
    };
    let exact = cut.bytes().all(|digit| digit == b'0');
    let kept: i128 = kept.parse().ok()?;
    Some((if negative { -kept - i128::from(!exact) } else { kept }, exact))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_scaled_and_rounded_down() {
        assert_eq!(decimal("1.5", 0), Some((1, false)));
        assert_eq!(decimal("-1.5", 0), Some((-2, false)));
        assert_eq!(decimal("1.50", 2), Some((150, true)));
        assert_eq!(decimal("1e3", 0), Some((1000, true)));
        assert_eq!(decimal("-0.001", 2), Some((-1, false)));
        assert_eq!(decimal("0.0", 2), Some((0, true)));
        assert_eq!(decimal("1e300", 0), Some((i128::MAX, false)));
        assert_eq!(decimal("1e-300", 0), Some((0, false)));
        assert_eq!(decimal("quack", 0), None);
    }

    #[test]
    fn instants_are_read_with_and_without_offset() {
        assert_eq!(instant("1970-01-02"), Some(86_400_000_000_000));
        assert_eq!(instant("1970-01-01 00:00:01.5"), Some(1_500_000_000));
        assert_eq!(instant("1970-01-01T01:00:00+01:00"), Some(0));
        assert_eq!(instant("AA"), None);
    }
}
