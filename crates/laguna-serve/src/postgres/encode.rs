//! Values of Arrow arrays in PostgreSQL's text and binary forms, written straight into the connection's buffer.

use std::fmt::Write;

use arrow::array::*;
use arrow::datatypes::*;
use bytes::{BufMut, BytesMut};
use chrono::{DateTime, Datelike, NaiveDateTime, Offset, TimeZone, Timelike};
use chrono_tz::Tz;
use datafusion::common::Result as EngineResult;
use laguna_base::{Error, Result};
use laguna_query::{errors, output, translate};

use numbers::{decimal, float, numeric, shortest};

use super::types;
use super::variables::Look;

mod numbers;

/// Days and microseconds from 1970 to 2000, where PostgreSQL's binary times begin.
const EPOCH_DAYS: i32 = 10_957;
const DAY_NANOS: i64 = 86_400_000_000_000;
const EPOCH_MICROS: i64 = 946_684_800_000_000;
/// What PostgreSQL takes for the ends of time.
const INFINITE: [i64; 2] = [i64::MAX, i64::MIN];

/// A column of one batch, ready to be written value by value.
pub(super) enum Column {
    Null,
    Bool(BooleanArray),
    Int(Int64Array, u32),
    Big(UInt64Array),
    Single(Float32Array),
    Double(Float64Array),
    Decimal(Decimal128Array, i8),
    /// Decimals with ten digits behind the point, written with as many as they have.
    Number(Decimal128Array),
    Long(Decimal256Array, i8),
    Text(StringArray),
    View(StringViewArray),
    Bytes(BinaryArray),
    Date(Date32Array),
    Time(Time64MicrosecondArray),
    Timestamp(TimestampMicrosecondArray, Option<Tz>),
    /// Whether they are written as ISO 8601 has them.
    Interval(IntervalMonthDayNanoArray, bool),
    List(ListArray, Box<Column>, u32),
}

impl Column {
    /// Prepares a column.
    pub(super) fn new(array: &ArrayRef, look: Look) -> Result<Column> {
        Self::of(array, look).map_err(translate)
    }

    fn of(array: &ArrayRef, look: Look) -> EngineResult<Column> {
        let cast = |to: &DataType| arrow::compute::cast(array, to);
        let oid = types::oid(array.data_type());
        let micros = |zone: Option<&str>| DataType::Timestamp(TimeUnit::Microsecond, zone.map(Into::into));
        Ok(match array.data_type() {
            DataType::Null => Column::Null,
            DataType::Boolean => Column::Bool(array.as_boolean().clone()),
            DataType::Int8
            | DataType::Int16
            | DataType::Int32
            | DataType::Int64
            | DataType::UInt8
            | DataType::UInt16
            | DataType::UInt32 => Column::Int(cast(&DataType::Int64)?.as_primitive().clone(), oid),
            DataType::UInt64 => Column::Big(array.as_primitive().clone()),
            DataType::Float16 | DataType::Float32 => {
                Column::Single(cast(&DataType::Float32)?.as_primitive().clone())
            }
            DataType::Float64 => Column::Double(array.as_primitive().clone()),
            // What a number is cast to without saying how many digits: as many as it has.
            DataType::Decimal128(38, 10) => Column::Number(array.as_primitive().clone()),
            DataType::Decimal32(precision, scale)
            | DataType::Decimal64(precision, scale)
            | DataType::Decimal128(precision, scale) => Column::Decimal(
                cast(&DataType::Decimal128(*precision, *scale))?.as_primitive().clone(),
                *scale,
            ),
            DataType::Decimal256(_, scale) => Column::Long(array.as_primitive().clone(), *scale),
            DataType::Utf8View => Column::View(array.as_string_view().clone()),
            DataType::Utf8 | DataType::LargeUtf8 => Column::Text(cast(&DataType::Utf8)?.as_string().clone()),
            DataType::Binary
            | DataType::LargeBinary
            | DataType::BinaryView
            | DataType::FixedSizeBinary(_) => Column::Bytes(cast(&DataType::Binary)?.as_binary().clone()),
            DataType::Date32 => Column::Date(array.as_primitive().clone()),
            DataType::Time32(_) | DataType::Time64(_) => {
                Column::Time(cast(&DataType::Time64(TimeUnit::Microsecond))?.as_primitive().clone())
            }
            DataType::Date64 | DataType::Timestamp(_, None) => {
                Column::Timestamp(cast(&micros(None))?.as_primitive().clone(), None)
            }
            DataType::Timestamp(_, Some(_)) => {
                Column::Timestamp(cast(&micros(Some("UTC")))?.as_primitive().clone(), Some(look.zone))
            }
            DataType::Interval(IntervalUnit::MonthDayNano) => {
                Column::Interval(array.as_primitive().clone(), look.iso_intervals)
            }
            DataType::Interval(_) | DataType::Duration(_) => {
                let spans = cast(&DataType::Interval(IntervalUnit::MonthDayNano))?;
                let spans = spans.as_primitive::<IntervalMonthDayNanoType>();
                let spans = match array.data_type() {
                    // Between two times are days and the rest of a day.
                    DataType::Duration(_) => spans.unary(|span| {
                        let days = (span.nanoseconds / DAY_NANOS) as i32;
                        IntervalMonthDayNano::new(0, days, span.nanoseconds % DAY_NANOS)
                    }),
                    _ => spans.clone(),
                };
                Column::Interval(spans, look.iso_intervals)
            }
            DataType::Dictionary(_, values) => Self::of(&cast(values)?, look)?,
            DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _)
                if oid != types::JSON =>
            {
                let list = cast(&DataType::List(item.clone()))?.as_list::<i32>().clone();
                let values = Self::of(list.values(), look)?;
                Column::List(list, Box::new(values), types::element_of(oid).unwrap_or(types::TEXT))
            }
            nested if nested.is_nested() => {
                Column::Text(output::json_texts(array).map_err(errors::external)?)
            }
            _ => Column::Text(cast(&DataType::Utf8)?.as_string().clone()),
        })
    }

    /// Whether the value of a row is null.
    pub(super) fn is_null(&self, row: usize) -> bool {
        match self {
            Column::Null => true,
            Column::Bool(array) => array.is_null(row),
            Column::Int(array, _) => array.is_null(row),
            Column::Big(array) => array.is_null(row),
            Column::Single(array) => array.is_null(row),
            Column::Double(array) => array.is_null(row),
            Column::Decimal(array, _) | Column::Number(array) => array.is_null(row),
            Column::Long(array, _) => array.is_null(row),
            Column::Text(array) => array.is_null(row),
            Column::View(array) => array.is_null(row),
            Column::Bytes(array) => array.is_null(row),
            Column::Date(array) => array.is_null(row),
            Column::Time(array) => array.is_null(row),
            Column::Timestamp(array, _) => array.is_null(row),
            Column::Interval(array, _) => array.is_null(row),
            Column::List(array, ..) => array.is_null(row),
        }
    }

    /// Length and value, as DataRow and binary COPY have them.
    pub(super) fn put(&self, row: usize, binary: bool, out: &mut BytesMut) -> Result<()> {
        if self.is_null(row) {
            out.put_i32(-1);
            return Ok(());
        }
        let start = out.len();
        out.put_u32(0);
        if binary {
            self.binary(row, out)?
        } else {
            self.text(row, out)?
        }
        let length = (out.len() - start - 4) as u32;
        out[start..start + 4].copy_from_slice(&length.to_be_bytes());
        Ok(())
    }

    /// The text form of a value that is not null.
    pub(super) fn text(&self, row: usize, out: &mut BytesMut) -> Result<()> {
        // Writing into memory never fails.
        match self {
            Column::Null => {}
            Column::Bool(array) => out.put_u8(if array.value(row) { b't' } else { b'f' }),
            Column::Int(array, _) => drop(write!(out, "{}", array.value(row))),
            Column::Big(array) => drop(write!(out, "{}", array.value(row))),
            Column::Single(array) => {
                float(array.value(row).into(), format!("{:e}", array.value(row)), 6, out)
            }
            Column::Double(array) => float(array.value(row), format!("{:e}", array.value(row)), 15, out),
            Column::Decimal(array, scale) => decimal(&array.value(row).to_string(), *scale, out),
            Column::Number(array) => {
                let (unscaled, scale) = shortest(array.value(row));
                decimal(&unscaled.to_string(), scale, out);
            }
            Column::Long(array, scale) => decimal(&array.value(row).to_string(), *scale, out),
            Column::Text(array) => put_str(array.value(row), out),
            Column::View(array) => put_str(array.value(row), out),
            Column::Bytes(array) => {
                out.put_slice(b"\\x");
                for byte in array.value(row) {
                    let _ = write!(out, "{byte:02x}");
                }
            }
            Column::Date(array) => match array.value_as_date(row) {
                Some(date) => put_date(date, out),
                None => return Err(out_of_range("date")),
            },
            Column::Time(array) => {
                let micros = array.value(row);
                put_time(micros, out);
            }
            Column::Timestamp(array, zone) => timestamp(array.value(row), *zone, out)?,
            Column::Interval(array, false) => interval(array.value(row), out),
            Column::Interval(array, true) => iso_interval(array.value(row), out),
            Column::List(array, values, _) => {
                let (start, end) =
                    (array.value_offsets()[row] as usize, array.value_offsets()[row + 1] as usize);
                out.put_u8(b'{');
                let mut item = BytesMut::new();
                for index in start..end {
                    if index > start {
                        out.put_u8(b',');
                    }
                    if values.is_null(index) {
                        out.put_slice(b"NULL");
                        continue;
                    }
                    item.clear();
                    values.text(index, &mut item)?;
                    put_item(&item, out);
                }
                out.put_u8(b'}');
            }
        }
        Ok(())
    }

    fn binary(&self, row: usize, out: &mut BytesMut) -> Result<()> {
        match self {
            Column::Bool(array) => out.put_u8(array.value(row).into()),
            Column::Int(array, oid) => match types::size(*oid) {
                2 => out.put_i16(array.value(row) as i16),
                4 => out.put_u32(array.value(row) as u32),
                _ => out.put_i64(array.value(row)),
            },
            Column::Big(array) => {
                out.put_i64(i64::try_from(array.value(row)).map_err(|_| out_of_range("bigint"))?);
            }
            Column::Single(array) => out.put_f32(array.value(row)),
            Column::Double(array) => out.put_f64(array.value(row)),
            Column::Decimal(array, scale) => numeric(&array.value(row).to_string(), *scale, out),
            Column::Number(array) => {
                let (unscaled, scale) = shortest(array.value(row));
                numeric(&unscaled.to_string(), scale, out);
            }
            Column::Long(array, scale) => numeric(&array.value(row).to_string(), *scale, out),
            Column::Bytes(array) => out.put_slice(array.value(row)),
            Column::Date(array) => out.put_i32(array.value(row).saturating_sub(EPOCH_DAYS)),
            Column::Time(array) => out.put_i64(array.value(row)),
            Column::Timestamp(array, _) => {
                let micros = array.value(row);
                out.put_i64(match INFINITE.contains(&micros) {
                    true => micros,
                    false => micros.saturating_sub(EPOCH_MICROS),
                });
            }
            Column::Interval(array, _) => {
                let value = array.value(row);
                out.put_i64(value.nanoseconds / 1000);
                out.put_i32(value.days);
                out.put_i32(value.months);
            }
            Column::List(array, values, element) => {
                let (start, end) =
                    (array.value_offsets()[row] as usize, array.value_offsets()[row + 1] as usize);
                out.put_i32(i32::from(end > start));
                out.put_i32((start..end).any(|index| values.is_null(index)).into());
                out.put_u32(*element);
                if end > start {
                    out.put_i32((end - start) as i32);
                    out.put_i32(1);
                }
                for index in start..end {
                    values.put(index, true, out)?;
                }
            }
            Column::Null | Column::Text(_) | Column::View(_) => self.text(row, out)?,
        }
        Ok(())
    }
}

/// Zero bytes have no place in PostgreSQL's text.
fn put_str(text: &str, out: &mut BytesMut) {
    match text.contains('\0') {
        true => out.put_slice(text.replace('\0', "").as_bytes()),
        false => out.put_slice(text.as_bytes()),
    }
}

/// One item of an array, quoted where it could be misread.
fn put_item(item: &[u8], out: &mut BytesMut) {
    let special = |byte: &u8| matches!(byte, b'{' | b'}' | b',' | b'"' | b'\\') || byte.is_ascii_whitespace();
    if !item.is_empty() && !item.iter().any(special) && !item.eq_ignore_ascii_case(b"null") {
        out.put_slice(item);
        return;
    }
    out.put_u8(b'"');
    for byte in item {
        if matches!(byte, b'"' | b'\\') {
            out.put_u8(b'\\');
        }
        out.put_u8(*byte);
    }
    out.put_u8(b'"');
}

fn put_date(date: chrono::NaiveDate, out: &mut BytesMut) {
    let year = date.year();
    let shown = if year > 0 { year } else { 1 - year };
    let _ = write!(out, "{shown:04}-{:02}-{:02}", date.month(), date.day());
    if year <= 0 {
        out.put_slice(b" BC");
    }
}

fn put_time(micros: i64, out: &mut BytesMut) {
    let seconds = micros.div_euclid(1_000_000);
    let _ = write!(out, "{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
    fraction(micros.rem_euclid(1_000_000), out);
}

/// Microseconds after the point, without zeros at the end.
fn fraction(micros: i64, out: &mut BytesMut) {
    if micros == 0 {
        return;
    }
    let (mut shown, mut width) = (micros, 6);
    while shown % 10 == 0 {
        shown /= 10;
        width -= 1;
    }
    let _ = write!(out, ".{shown:0width$}");
}

fn timestamp(micros: i64, zone: Option<Tz>, out: &mut BytesMut) -> Result<()> {
    if INFINITE.contains(&micros) {
        out.put_slice(if micros > 0 { b"infinity" } else { b"-infinity" });
        return Ok(());
    }
    let utc = DateTime::from_timestamp_micros(micros).ok_or_else(|| out_of_range("timestamp"))?;
    let (local, offset): (NaiveDateTime, i32) = match zone {
        None => (utc.naive_utc(), 0),
        Some(zone) => {
            let there = zone.from_utc_datetime(&utc.naive_utc());
            (there.naive_local(), there.offset().fix().local_minus_utc())
        }
    };
    let year = local.year();
    let shown = if year > 0 { year } else { 1 - year };
    let _ = write!(
        out,
        "{shown:04}-{:02}-{:02} {:02}:{:02}:{:02}",
        local.month(),
        local.day(),
        local.hour(),
        local.minute(),
        local.second()
    );
    fraction(micros.rem_euclid(1_000_000), out);
    if zone.is_some() {
        let (sign, offset) = if offset < 0 { ('-', -offset) } else { ('+', offset) };
        let _ = write!(out, "{sign}{:02}", offset / 3600);
        if offset % 3600 != 0 {
            let _ = write!(out, ":{:02}", offset / 60 % 60);
        }
    }
    if year <= 0 {
        out.put_slice(b" BC");
    }
    Ok(())
}

fn interval(value: IntervalMonthDayNano, out: &mut BytesMut) {
    let start = out.len();
    let mut part = |count: i32, unit: &str| {
        if count != 0 {
            let gap = if out.len() > start { " " } else { "" };
            let plural = if count == 1 { "" } else { "s" };
            let _ = write!(out, "{gap}{count} {unit}{plural}");
        }
    };
    part(value.months / 12, "year");
    part(value.months % 12, "mon");
    part(value.days, "day");
    let micros = value.nanoseconds / 1000;
    if micros != 0 || out.len() == start {
        if out.len() > start {
            out.put_u8(b' ');
        }
        if micros < 0 {
            out.put_u8(b'-');
        }
        put_time(micros.abs(), out);
    }
}

/// `P1Y2M3DT4H5M6.789S`, each part with its own sign.
fn iso_interval(value: IntervalMonthDayNano, out: &mut BytesMut) {
    let micros = value.nanoseconds / 1000;
    let (hours, minutes) = (micros / 3_600_000_000, micros / 60_000_000 % 60);
    let rest = micros % 60_000_000;
    let part = |out: &mut BytesMut, count: i64, unit: &str| {
        if count != 0 {
            let _ = write!(out, "{count}{unit}");
        }
    };
    if (value.months, value.days, micros) == (0, 0, 0) {
        return out.put_slice(b"PT0S");
    }
    out.put_u8(b'P');
    part(out, i64::from(value.months / 12), "Y");
    part(out, i64::from(value.months % 12), "M");
    part(out, i64::from(value.days), "D");
    if micros != 0 {
        out.put_u8(b'T');
    }
    part(out, hours, "H");
    part(out, minutes, "M");
    if rest % 1_000_000 == 0 {
        part(out, rest / 1_000_000, "S");
    } else {
        let sign = if rest < 0 { "-" } else { "" };
        let digits = format!("{:06}", rest.abs() % 1_000_000);
        let _ = write!(out, "{sign}{}.{}S", rest.abs() / 1_000_000, digits.trim_end_matches('0'));
    }
}

fn out_of_range(what: &str) -> Error {
    Error::failed(format!("a {what} is out of range")).sqlstate("22008")
}
