//! Parameters of prepared statements: text or binary of the client's types as values of the engine.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, IntervalMonthDayNano, TimeUnit};
use bytes::{Buf, Bytes};
use chrono_tz::Tz;
use datafusion::scalar::ScalarValue;
use laguna_base::{Error, Result};

use super::meaning::written::{Fault, Order, read, time_of_day};
use super::meaning::{self, interval_in_words};
use super::message::Body;
use super::types;

/// The value of one parameter. `oid` is the type that the client says, 0 when it leaves that to the statement, which
/// takes `wanted`. Instants are of the session's `zone`.
pub(super) fn value(
    bytes: Option<&Bytes>,
    binary: bool,
    oid: u32,
    wanted: Option<&DataType>,
    zone: Tz,
) -> Result<ScalarValue> {
    let declared = match oid {
        0 | 705 => None,
        oid => types::arrow(oid).map(|data_type| in_zone(data_type, zone)),
    };
    let data_type = declared.or_else(|| wanted.cloned()).unwrap_or(DataType::Utf8);
    let Some(bytes) = bytes else {
        return ScalarValue::try_from(&data_type).map_err(laguna_query::translate);
    };
    if !binary {
        let text =
            std::str::from_utf8(bytes).map_err(|_| invalid("a parameter is not valid UTF-8", "22021"))?;
        return from_text(text, &data_type);
    }
    let oid = if oid == 0 || oid == 705 { types::oid(&data_type) } else { oid };
    Ok(match from_binary(bytes.clone(), oid)? {
        ScalarValue::TimestampMicrosecond(micros, Some(_)) => {
            ScalarValue::TimestampMicrosecond(micros, Some(zone.name().into()))
        }
        value => value,
    })
}

/// The type with its instants in a zone.
fn in_zone(data_type: DataType, zone: Tz) -> DataType {
    match data_type {
        DataType::Timestamp(unit, Some(_)) => DataType::Timestamp(unit, Some(zone.name().into())),
        DataType::List(item) => {
            let within = in_zone(item.data_type().clone(), zone);
            DataType::List(Arc::new(Field::new(item.name(), within, true)))
        }
        other => other,
    }
}

fn invalid(message: impl Into<String>, code: &'static str) -> Error {
    Error::failed(message).sqlstate(code)
}

/// A value from its text form.
pub(super) fn from_text(text: &str, data_type: &DataType) -> Result<ScalarValue> {
    let wrong = || {
        let code = if data_type.is_temporal() { "22007" } else { "22P02" };
        invalid(format!("invalid input for type {}: \"{text}\"", name(data_type)), code)
    };
    // What the engine reads otherwise, or not at all.
    let meant = match data_type {
        DataType::Interval(_) => interval_in_words(text),
        _ => None,
    };
    let text = meant.as_deref().unwrap_or(text);
    let of_time = |micros: std::result::Result<i64, Fault>| match micros {
        Ok(micros) => Ok(Some(micros)),
        Err(Fault::Form) => Err(wrong()),
        Err(Fault::Range) => Err(invalid(format!("date/time field value out of range: \"{text}\""), "22008")),
    };
    let written = || read(text, Order::default());
    match data_type {
        DataType::Date32 => {
            let days = of_time(written().and_then(|written| written.day()).map(i64::from))?;
            Ok(ScalarValue::Date32(days.map(|days| days as i32)))
        }
        DataType::Timestamp(TimeUnit::Microsecond, None) => {
            let micros = of_time(written().and_then(|written| written.clock()))?;
            Ok(ScalarValue::TimestampMicrosecond(micros, None))
        }
        DataType::Timestamp(TimeUnit::Microsecond, Some(name)) => {
            let zone = meaning::zone(name).unwrap_or(Tz::UTC);
            let micros = of_time(written().and_then(|written| written.instant(zone)))?;
            Ok(ScalarValue::TimestampMicrosecond(micros, Some(name.clone())))
        }
        DataType::Timestamp(_, zone) => {
            let micros = from_text(text, &DataType::Timestamp(TimeUnit::Microsecond, zone.clone()))?;
            micros.cast_to(data_type).map_err(laguna_query::translate)
        }
        DataType::Time64(TimeUnit::Nanosecond) => {
            let micros = of_time(time_of_day(text))?;
            Ok(ScalarValue::Time64Nanosecond(micros.map(|micros| micros * 1000)))
        }
        DataType::Time64(_) | DataType::Time32(_) => {
            let nanos = from_text(text, &DataType::Time64(TimeUnit::Nanosecond))?;
            nanos.cast_to(data_type).map_err(laguna_query::translate)
        }
        DataType::Boolean => match text.trim().to_lowercase().as_str() {
            "t" | "true" | "y" | "yes" | "on" | "1" => Ok(ScalarValue::Boolean(Some(true))),
            "f" | "false" | "n" | "no" | "off" | "0" => Ok(ScalarValue::Boolean(Some(false))),
            _ => Err(wrong()),
        },
        DataType::Utf8 | DataType::Null => Ok(ScalarValue::Utf8(Some(text.to_string()))),
        DataType::Utf8View => Ok(ScalarValue::Utf8View(Some(text.to_string()))),
        DataType::Binary | DataType::BinaryView | DataType::LargeBinary => {
            let hex = text.strip_prefix("\\x").ok_or_else(wrong)?;
            let pairs = hex.as_bytes().chunks(2);
            let bytes: Option<Vec<u8>> =
                pairs.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect();
            Ok(ScalarValue::Binary(Some(bytes.ok_or_else(wrong)?)))
        }
        DataType::List(item) => {
            let inner =
                text.trim().strip_prefix('{').and_then(|text| text.strip_suffix('}')).ok_or_else(wrong)?;
            let items = split(inner)
                .into_iter()
                .map(|item_text| match item_text {
                    Some(text) => from_text(&text, item.data_type()),
                    None => ScalarValue::try_from(item.data_type()).map_err(|_| wrong()),
                })
                .collect::<Result<Vec<_>>>()?;
            Ok(ScalarValue::List(ScalarValue::new_list_nullable(&items, item.data_type())))
        }
        _ => {
            let scalar =
                ScalarValue::try_from_string(text.trim().to_string(), data_type).map_err(|_| wrong())?;
            if scalar.is_null() { Err(wrong()) } else { Ok(scalar) }
        }
    }
}

fn name(data_type: &DataType) -> String {
    let oid = types::oid(data_type);
    let known = super::catalog::types().iter().find(|known| known.oid == oid);
    known.map_or_else(|| "text".to_string(), |known| known.name.to_string())
}

/// The items of an array's text form; `None` is null.
fn split(inner: &str) -> Vec<Option<String>> {
    let mut items = Vec::new();
    if inner.trim().is_empty() {
        return items;
    }
    let (mut item, mut quoted, mut was_quoted) = (String::new(), false, false);
    let mut characters = inner.chars();
    let mut push = |item: &mut String, was_quoted: &mut bool| {
        let text = std::mem::take(item);
        let is_null = !std::mem::take(was_quoted) && text.trim().eq_ignore_ascii_case("null");
        items.push((!is_null).then_some(text));
    };
    while let Some(character) = characters.next() {
        match character {
            '\\' => item.extend(characters.next()),
            '"' => (quoted, was_quoted) = (!quoted, true),
            ',' if !quoted => push(&mut item, &mut was_quoted),
            other => item.push(other),
        }
    }
    push(&mut item, &mut was_quoted);
    items
}

fn from_binary(bytes: Bytes, oid: u32) -> Result<ScalarValue> {
    let short = || invalid("incorrect binary data format in a parameter", "22P03");
    let length = bytes.len();
    let mut value = bytes.clone();
    let need = |wanted: usize| if length == wanted { Ok(()) } else { Err(short()) };
    const MICROS: i64 = 946_684_800_000_000;
    Ok(match oid {
        types::BOOL => {
            need(1)?;
            ScalarValue::Boolean(Some(value.get_u8() != 0))
        }
        types::INT2 => {
            need(2)?;
            ScalarValue::Int16(Some(value.get_i16()))
        }
        types::INT4 => {
            need(4)?;
            ScalarValue::Int32(Some(value.get_i32()))
        }
        types::OID => {
            need(4)?;
            ScalarValue::UInt32(Some(value.get_u32()))
        }
        types::INT8 => {
            need(8)?;
            ScalarValue::Int64(Some(value.get_i64()))
        }
        types::FLOAT4 => {
            need(4)?;
            ScalarValue::Float32(Some(value.get_f32()))
        }
        types::FLOAT8 => {
            need(8)?;
            ScalarValue::Float64(Some(value.get_f64()))
        }
        types::DATE => {
            need(4)?;
            ScalarValue::Date32(Some(value.get_i32().saturating_add(10_957)))
        }
        types::TIME => {
            need(8)?;
            ScalarValue::Time64Nanosecond(Some(value.get_i64().saturating_mul(1000)))
        }
        types::TIMESTAMP => {
            need(8)?;
            ScalarValue::TimestampMicrosecond(Some(value.get_i64().saturating_add(MICROS)), None)
        }
        types::TIMESTAMPTZ => {
            need(8)?;
            ScalarValue::TimestampMicrosecond(
                Some(value.get_i64().saturating_add(MICROS)),
                Some("UTC".into()),
            )
        }
        types::INTERVAL => {
            need(16)?;
            let nanoseconds = value.get_i64().saturating_mul(1000);
            let (days, months) = (value.get_i32(), value.get_i32());
            ScalarValue::IntervalMonthDayNano(Some(IntervalMonthDayNano { months, days, nanoseconds }))
        }
        types::NUMERIC => numeric(Body(value))?,
        types::BYTEA => ScalarValue::Binary(Some(bytes.to_vec())),
        2950 if length == 16 => {
            let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            let parts = [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]];
            ScalarValue::Utf8(Some(parts.join("-")))
        }
        _ if types::element_of(oid).is_some() || oid == 1015 => array(Body(value), oid)?,
        _ => {
            let bytes = if oid == 3802 && bytes.first() == Some(&1) { bytes.slice(1..) } else { bytes };
            let text = std::str::from_utf8(&bytes)
                .map_err(|_| invalid("a parameter is not valid UTF-8", "22021"))?;
            ScalarValue::Utf8(Some(text.to_string()))
        }
    })
}

fn array(mut body: Body, oid: u32) -> Result<ScalarValue> {
    let element = match types::arrow(oid) {
        Some(DataType::List(item)) => item,
        _ => Arc::new(Field::new("item", DataType::Utf8, true)),
    };
    let dimensions = body.u32()?;
    let (_flags, item) = (body.u32()?, body.u32()?);
    let mut items = Vec::new();
    match dimensions {
        0 => {}
        1 => {
            let (count, _lower) = (body.u32()?, body.u32()?);
            for _ in 0..count {
                items.push(match body.value()? {
                    Some(bytes) => from_binary(bytes, item)?,
                    None => ScalarValue::try_from(element.data_type()).map_err(laguna_query::translate)?,
                });
            }
        }
        _ => return Err(invalid("arrays of arrays are not supported as parameters", "0A000")),
    }
    let data_type = items.first().map_or_else(|| element.data_type().clone(), ScalarValue::data_type);
    Ok(ScalarValue::List(ScalarValue::new_list_nullable(&items, &data_type)))
}

/// PostgreSQL's numeric as a decimal of its own scale; digits for which there is no room behind the point are rounded away.
fn numeric(mut body: Body) -> Result<ScalarValue> {
    const DIGITS: u16 = 38;
    let (groups, weight, sign, scale) = (body.u16()?, body.i16()?, body.u16()?, body.u16()?);
    let beyond = || invalid("a numeric parameter is out of range", "22003");
    if !matches!(sign, 0 | 0x4000) {
        return Err(beyond());
    }
    let before = u16::try_from((i32::from(weight) + 1) * 4).unwrap_or(0);
    let scale = scale.min(DIGITS.checked_sub(before).ok_or_else(beyond)?);
    // Groups of four digits that are still read, and what follows the last of them.
    let wanted = i32::from(weight) + 1 + i32::from(scale.div_ceil(4));
    let groups = i32::from(groups).min(wanted.max(0)) as u16;
    let mut value: i128 = 0;
    for _ in 0..groups {
        value = value
            .checked_mul(10_000)
            .and_then(|value| value.checked_add(body.u16().ok()?.into()))
            .ok_or_else(beyond)?;
    }
    // The digits end this many places after the point.
    let places = (i32::from(groups) - 1 - i32::from(weight)) * 4;
    let shift = i32::from(scale) - places;
    let power = 10i128.checked_pow(shift.unsigned_abs()).ok_or_else(beyond)?;
    let value = match shift >= 0 {
        true => value.checked_mul(power).ok_or_else(beyond)?,
        false => (value + power / 2) / power,
    };
    Ok(ScalarValue::Decimal128(Some(if sign == 0 { value } else { -value }), 38, scale as i8))
}
