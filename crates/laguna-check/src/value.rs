//! Single values between Arrow, JSON and the whole numbers that stand for dates, timestamps and decimals.

use std::fmt::Write;

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

/// A float as JSON; those that JSON cannot hold as the text that Python writes.
pub(crate) fn json_of_float(float: f64) -> Value {
    serde_json::Number::from_f64(float).map_or_else(|| Value::String(python_float(float)), Value::Number)
}

/// A whole number in units of `data_type` as JSON of the value that it stands for.
pub(crate) fn json_of_whole(whole: i128, data_type: &DataType) -> Value {
    let unit: i128 = match data_type {
        DataType::Boolean => return Value::Bool(whole != 0),
        DataType::Date32 => {
            let date = i32::try_from(whole).ok().and_then(arrow::temporal_conversions::date32_to_datetime);
            return date.map_or(Value::Null, |at| Value::from(at.date().to_string()));
        }
        DataType::Date64 | DataType::Timestamp(TimeUnit::Millisecond, _) => 1_000,
        DataType::Timestamp(TimeUnit::Second, _) => 1,
        DataType::Timestamp(TimeUnit::Microsecond, _) => 1_000_000,
        DataType::Timestamp(TimeUnit::Nanosecond, _) => 1_000_000_000,
        DataType::Decimal32(_, scale) | DataType::Decimal64(_, scale) | DataType::Decimal128(_, scale)
            if *scale > 0 =>
        {
            let digits = format!("{:0>width$}", whole.unsigned_abs(), width = *scale as usize + 1);
            let (units, fraction) = digits.split_at(digits.len() - *scale as usize);
            return Value::from(format!("{}{units}.{fraction}", if whole < 0 { "-" } else { "" }));
        }
        _ => return i64::try_from(whole).map_or_else(|_| Value::from(whole.to_string()), Value::from),
    };
    let seconds = i64::try_from(whole.div_euclid(unit)).unwrap_or(i64::MAX);
    let nanoseconds = (whole.rem_euclid(unit) * (1_000_000_000 / unit)) as u32;
    let Some(at) = DateTime::from_timestamp(seconds, nanoseconds) else { return Value::Null };
    let zone = if matches!(data_type, DataType::Timestamp(_, Some(_))) { "Z" } else { "" };
    Value::from(format!("{}{zone}", at.naive_utc().format("%Y-%m-%dT%H:%M:%S%.f")))
}

/// A float as Python prints it: `1.0`, `0.1`, `1e+16`, `inf`.
pub(crate) fn python_float(float: f64) -> String {
    let mut text = String::new();
    write_python_float(&mut text, float);
    text
}

/// The same, appended to a text.
pub(crate) fn write_python_float(into: &mut impl Write, float: f64) {
    let written = if float.is_nan() {
        into.write_str("nan")
    } else if float.is_infinite() {
        into.write_str(if float > 0.0 { "inf" } else { "-inf" })
    } else if float == 0.0 || (1e-4..1e16).contains(&float.abs()) {
        write!(into, "{float:?}")
    } else {
        // Rust writes 1e16 and 1e-5 where Python writes 1e+16 and 1e-05.
        let shortest = format!("{float:e}");
        let (digits, exponent) = shortest.split_once('e').unwrap_or((&shortest, "0"));
        match exponent.strip_prefix('-') {
            Some(exponent) => write!(into, "{digits}e-{exponent:0>2}"),
            None => write!(into, "{digits}e+{exponent:0>2}"),
        }
    };
    debug_assert!(written.is_ok(), "a text takes everything");
}

/// A member of a list of values as the whole number that holds it in a column of `data_type`, if any value of the type
/// can equal it. Texts equal no dates and no numbers, as in pandas.
pub(crate) fn member(literal: &Value, data_type: &DataType) -> Option<i128> {
    if is_temporal(data_type) {
        return None;
    }
    whole(literal, data_type).filter(|(_, exact)| *exact).map(|(whole, _)| whole)
}

/// A column as SQL that [`literal_sql`] can be compared with: times as whole numbers.
pub(crate) fn compared_sql(key: &str, data_type: &DataType) -> String {
    match data_type {
        DataType::Date32 => format!("CAST({key} AS INTEGER)"),
        t if is_temporal(t) => format!("CAST({key} AS BIGINT)"),
        DataType::Boolean => format!("CAST({key} AS INTEGER)"),
        _ => key.to_string(),
    }
}

/// A literal as SQL of a column's type; `None` when no value of the type can equal it.
pub(crate) fn literal_sql(literal: &Value, data_type: &DataType) -> Option<String> {
    match data_type {
        DataType::Dictionary(_, values) => literal_sql(literal, values),
        t if t.is_string() => Some(format!("'{}'", literal.as_str()?.replace('\'', "''"))),
        t if t.is_floating() => Some(format!("CAST({:?} AS DOUBLE)", float(literal)?)),
        t if is_temporal(t) || matches!(t, DataType::Boolean) || t.is_integer() => {
            whole(literal, t).filter(|(_, exact)| *exact).map(|(whole, _)| format!("({whole})"))
        }
        _ => literal.as_number().map(|number| format!("({number})")),
    }
}

/// Literals as a table of one column `v` that [`compared_sql`] can be compared with. They travel as one text, because a
/// hundred thousand literals take a planner a minute. Those that no value of the type can equal are left out.
pub(crate) fn members_sql(literals: &[Value], data_type: &DataType) -> String {
    let plain = match data_type {
        DataType::Dictionary(_, values) => values,
        other => other,
    };
    let (texts, read): (Vec<String>, _) = match plain {
        t if t.is_string() => {
            (literals.iter().filter_map(|l| l.as_str().map(str::to_string)).collect(), "{}")
        }
        t if t.is_floating() => {
            let texts = literals.iter().filter_map(|l| Some(format!("{:?}", float(l)?))).collect();
            (texts, "CAST({} AS DOUBLE)")
        }
        t if is_temporal(t) || *t == DataType::Boolean || t.is_integer() => {
            let wholes = literals.iter().filter_map(|l| whole(l, t).filter(|(_, exact)| *exact));
            let wholes: Vec<i128> = wholes.map(|(whole, _)| whole).collect();
            let narrow = wholes.iter().all(|whole| i64::try_from(*whole).is_ok());
            let texts = wholes.iter().map(i128::to_string).collect();
            (texts, if narrow { "CAST({} AS BIGINT)" } else { "CAST({} AS DECIMAL(38, 0))" })
        }
        t => {
            let each = literals.iter().filter_map(|literal| literal_sql(literal, t));
            let each: Vec<String> = each.map(|literal| format!("SELECT {literal} AS v")).collect();
            let none = "SELECT NULL AS v WHERE false".to_string();
            return if each.is_empty() { none } else { each.join(" UNION ALL ") };
        }
    };
    if texts.is_empty() {
        return format!("SELECT {} AS v WHERE false", read.replace("{}", "CAST(NULL AS VARCHAR)"));
    }
    // A character that no text holds parts them; one before each keeps empty texts apart from none.
    let apart = ('\u{1}'..char::MAX)
        .find(|c| !"'=".contains(*c) && texts.iter().all(|text| !text.contains(*c)))
        .unwrap_or('\u{1}');
    let joined = texts.iter().map(|text| format!("={}", text.replace('\'', "''"))).collect::<Vec<_>>();
    let joined = joined.join(&apart.to_string());
    let text = read.replace("{}", "substr(item, 2)");
    format!(
        "SELECT DISTINCT {text} AS v FROM (SELECT unnest(string_to_array('{joined}', '{apart}')) AS item) AS items"
    )
}

fn float(literal: &Value) -> Option<f64> {
    literal.as_f64().or_else(|| literal.as_bool().map(|flag| f64::from(u8::from(flag))))
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

/// Whether values are moments that can be averaged; days cannot, as in pandas.
pub(crate) fn is_instant(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Date64 | DataType::Timestamp(_, _))
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
