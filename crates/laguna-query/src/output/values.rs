//! Values as text: one closure a column, made once a batch, so that writing a row looks nothing up.

use std::io::Write;

use arrow::array::{Array, AsArray, GenericListArray, OffsetSizeTrait};
use arrow::datatypes::{
    DataType, Date32Type, Date64Type, Decimal32Type, Decimal64Type, Decimal128Type, Decimal256Type,
    Float16Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, TimeUnit,
    TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType,
    UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow::error::ArrowError;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use chrono::{DateTime, SecondsFormat};

/// Where a value stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    /// In JSON: text is quoted, NaN and infinities are null.
    Json,
    /// Alone: text as it is; nested values as JSON.
    Text,
}

type Write1<'a> = Box<dyn Fn(usize, &mut Vec<u8>) + Send + 'a>;

/// Writes the values of one array.
pub(super) struct Encoder<'a> {
    nulls: Option<arrow::buffer::NullBuffer>,
    write: Write1<'a>,
}

impl Encoder<'_> {
    pub(super) fn is_null(&self, row: usize) -> bool {
        self.nulls.as_ref().is_some_and(|nulls| nulls.is_null(row))
    }

    /// Writes a value that is not null.
    pub(super) fn write(&self, row: usize, out: &mut Vec<u8>) {
        (self.write)(row, out);
    }

    pub(super) fn write_or_null(&self, row: usize, out: &mut Vec<u8>) {
        match self.is_null(row) {
            true => out.extend_from_slice(b"null"),
            false => self.write(row, out),
        }
    }
}

/// A JSON string.
pub(super) fn quote_json(text: &str, out: &mut Vec<u8>) {
    // Writing to memory cannot fail, and neither can text be wrong JSON.
    let _ = serde_json::to_writer(out, text);
}

/// The encoder of one array.
pub(super) fn encoder<'a>(array: &'a dyn Array, style: Style) -> Result<Encoder<'a>, ArrowError> {
    macro_rules! number {
        ($type:ty) => {{
            let values = array.as_primitive::<$type>();
            Box::new(move |row, out: &mut Vec<u8>| {
                let _ = write!(out, "{}", values.value(row));
            }) as Write1<'a>
        }};
    }
    macro_rules! decimal {
        ($type:ty) => {{
            let values = array.as_primitive::<$type>();
            Box::new(move |row, out: &mut Vec<u8>| {
                out.extend_from_slice(values.value_as_string(row).as_bytes())
            }) as Write1<'a>
        }};
    }
    macro_rules! float {
        ($type:ty, $wide:ty) => {{
            let values = array.as_primitive::<$type>();
            Box::new(move |row, out: &mut Vec<u8>| float(<$wide>::from(values.value(row)), style, out))
                as Write1<'a>
        }};
    }
    macro_rules! time {
        ($type:ty, $from:expr) => {{
            let values = array.as_primitive::<$type>();
            let from: fn(i64) -> Option<DateTime<chrono::Utc>> = $from;
            Box::new(move |row, out: &mut Vec<u8>| {
                let value = values.value(row);
                match from(value) {
                    Some(time) => {
                        text(&time.to_rfc3339_opts(SecondsFormat::AutoSi, true), style, out);
                    }
                    // Beyond the calendar's years: the number is all that can be said.
                    None => text(&value.to_string(), style, out),
                }
            }) as Write1<'a>
        }};
    }
    macro_rules! date {
        ($type:ty) => {{
            let values = array.as_primitive::<$type>();
            Box::new(move |row, out: &mut Vec<u8>| match values.value_as_date(row) {
                Some(date) => text(&date.to_string(), style, out),
                None => text(&values.value(row).to_string(), style, out),
            }) as Write1<'a>
        }};
    }
    let write: Write1<'a> = match array.data_type() {
        DataType::Null => Box::new(|_, out| out.extend_from_slice(b"null")),
        DataType::Boolean => {
            let values = array.as_boolean();
            Box::new(move |row, out| {
                out.extend_from_slice(if values.value(row) { b"true" } else { b"false" });
            })
        }
        DataType::Int8 => number!(Int8Type),
        DataType::Int16 => number!(Int16Type),
        DataType::Int32 => number!(Int32Type),
        DataType::Int64 => number!(Int64Type),
        DataType::UInt8 => number!(UInt8Type),
        DataType::UInt16 => number!(UInt16Type),
        DataType::UInt32 => number!(UInt32Type),
        DataType::UInt64 => number!(UInt64Type),
        DataType::Decimal32(..) => decimal!(Decimal32Type),
        DataType::Decimal64(..) => decimal!(Decimal64Type),
        DataType::Decimal128(..) => decimal!(Decimal128Type),
        DataType::Decimal256(..) => decimal!(Decimal256Type),
        DataType::Float16 => float!(Float16Type, f32),
        DataType::Float32 => float!(Float32Type, f32),
        DataType::Float64 => float!(Float64Type, f64),
        DataType::Utf8 => {
            let values = array.as_string::<i32>();
            Box::new(move |row, out| text(values.value(row), style, out))
        }
        DataType::LargeUtf8 => {
            let values = array.as_string::<i64>();
            Box::new(move |row, out| text(values.value(row), style, out))
        }
        DataType::Utf8View => {
            let values = array.as_string_view();
            Box::new(move |row, out| text(values.value(row), style, out))
        }
        DataType::Binary => {
            let values = array.as_binary::<i32>();
            Box::new(move |row, out| bytes(values.value(row), style, out))
        }
        DataType::LargeBinary => {
            let values = array.as_binary::<i64>();
            Box::new(move |row, out| bytes(values.value(row), style, out))
        }
        DataType::BinaryView => {
            let values = array.as_binary_view();
            Box::new(move |row, out| bytes(values.value(row), style, out))
        }
        DataType::FixedSizeBinary(_) => {
            let values = array.as_fixed_size_binary();
            Box::new(move |row, out| bytes(values.value(row), style, out))
        }
        DataType::Date32 => date!(Date32Type),
        DataType::Date64 => date!(Date64Type),
        DataType::Timestamp(TimeUnit::Second, _) => {
            time!(TimestampSecondType, |value| DateTime::from_timestamp(value, 0))
        }
        DataType::Timestamp(TimeUnit::Millisecond, _) => {
            time!(TimestampMillisecondType, DateTime::from_timestamp_millis)
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            time!(TimestampMicrosecondType, DateTime::from_timestamp_micros)
        }
        DataType::Timestamp(TimeUnit::Nanosecond, _) => {
            time!(TimestampNanosecondType, |value| Some(DateTime::from_timestamp_nanos(value)))
        }
        DataType::List(_) => list(array.as_list::<i32>())?,
        DataType::LargeList(_) => list(array.as_list::<i64>())?,
        DataType::FixedSizeList(_, size) => {
            let values = array.as_fixed_size_list();
            let size = *size as usize;
            let items = encoder(values.values().as_ref(), Style::Json)?;
            Box::new(move |row, out| {
                let start = values.value_offset(row) as usize;
                sequence(&items, start, start + size, out);
            })
        }
        DataType::Struct(fields) => {
            let values = array.as_struct();
            let mut columns = Vec::with_capacity(fields.len());
            for (field, column) in fields.iter().zip(values.columns()) {
                let mut key = Vec::new();
                quote_json(field.name(), &mut key);
                columns.push((key, encoder(column.as_ref(), Style::Json)?));
            }
            Box::new(move |row, out| {
                out.push(b'{');
                for (index, (key, column)) in columns.iter().enumerate() {
                    if index > 0 {
                        out.push(b',');
                    }
                    out.extend_from_slice(key);
                    out.push(b':');
                    column.write_or_null(row, out);
                }
                out.push(b'}');
            })
        }
        DataType::Map(..) => {
            let values = array.as_map();
            let keys = encoder(values.keys().as_ref(), Style::Text)?;
            let items = encoder(values.values().as_ref(), Style::Json)?;
            Box::new(move |row, out| {
                let offsets = values.value_offsets();
                let mut key = Vec::new();
                out.push(b'{');
                for (index, entry) in (offsets[row] as usize..offsets[row + 1] as usize).enumerate() {
                    if index > 0 {
                        out.push(b',');
                    }
                    key.clear();
                    keys.write(entry, &mut key);
                    quote_json(&String::from_utf8_lossy(&key), out);
                    out.push(b':');
                    items.write_or_null(entry, out);
                }
                out.push(b'}');
            })
        }
        DataType::Dictionary(..) => {
            let dictionary = array.as_any_dictionary();
            let keys = dictionary.normalized_keys();
            let items = encoder(dictionary.values().as_ref(), style)?;
            // A key may point at a value that is null.
            let nulls = array.logical_nulls();
            return Ok(Encoder { nulls, write: Box::new(move |row, out| items.write(keys[row], out)) });
        }
        _ => {
            // Times of day, durations, intervals, unions and what is yet to come.
            let options = FormatOptions::new();
            ArrayFormatter::try_new(array, &options)?;
            Box::new(move |row, out| {
                let options = FormatOptions::new();
                match ArrayFormatter::try_new(array, &options) {
                    Ok(formatter) => text(&formatter.value(row).to_string(), style, out),
                    Err(_) => out.extend_from_slice(b"null"),
                }
            })
        }
    };
    Ok(Encoder { nulls: array.logical_nulls(), write })
}

fn list<'a, O: OffsetSizeTrait>(values: &'a GenericListArray<O>) -> Result<Write1<'a>, ArrowError> {
    let items = encoder(values.values().as_ref(), Style::Json)?;
    Ok(Box::new(move |row, out| {
        let offsets = values.value_offsets();
        sequence(&items, offsets[row].as_usize(), offsets[row + 1].as_usize(), out);
    }))
}

fn sequence(items: &Encoder<'_>, start: usize, end: usize, out: &mut Vec<u8>) {
    out.push(b'[');
    for item in start..end {
        if item > start {
            out.push(b',');
        }
        items.write_or_null(item, out);
    }
    out.push(b']');
}

fn text(value: &str, style: Style, out: &mut Vec<u8>) {
    match style {
        Style::Json => quote_json(value, out),
        Style::Text => out.extend_from_slice(value.as_bytes()),
    }
}

/// The shortest digits that read back as the same number.
fn float<F: serde::Serialize + Copy + Into<f64>>(value: F, style: Style, out: &mut Vec<u8>) {
    let wide: f64 = value.into();
    if wide.is_finite() {
        let _ = serde_json::to_writer(out, &value);
        return;
    }
    match style {
        Style::Json => out.extend_from_slice(b"null"),
        Style::Text if wide.is_nan() => out.extend_from_slice(b"NaN"),
        Style::Text => out.extend_from_slice(if wide > 0.0 { b"Infinity" } else { b"-Infinity" }),
    }
}

/// Base64 with padding (RFC 4648, section 4).
fn bytes(value: &[u8], style: Style, out: &mut Vec<u8>) {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    if style == Style::Json {
        out.push(b'"');
    }
    for group in value.chunks(3) {
        let bits =
            group.iter().fold(0u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - group.len()));
        for index in 0..4 {
            match index <= group.len() {
                true => out.push(ALPHABET[(bits >> (18 - 6 * index)) as usize & 63]),
                false => out.push(b'='),
            }
        }
    }
    if style == Style::Json {
        out.push(b'"');
    }
}
