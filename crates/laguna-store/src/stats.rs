//! Delta's statistics of one file: written from the Parquet footer, read back as ranges.
//!
//! Format: <https://github.com/delta-io/delta/blob/master/PROTOCOL.md#per-file-statistics>. Bounds are never too
//! tight: long text is cut and rounded up, timestamps are milliseconds and long decimals 15 digits rounded outwards, a column that holds NaN (which
//! engines order above every number) has none.

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Field, Fields, Float32Type, Float64Type};
use chrono::{DateTime, Datelike, NaiveDate, SecondsFormat};
use parquet::file::metadata::ParquetMetaData;
use parquet::file::statistics::Statistics;
use serde_json::Value;

mod range;

pub(crate) use range::{range, ranges};

/// Characters of text that are kept as a bound.
const TEXT_LENGTH: usize = 32;

/// What the footer does not tell: nulls of lists and maps, and where a NaN was seen.
#[derive(Debug)]
pub(crate) struct Seen {
    /// One for each top-level column.
    nulls: Vec<u64>,
    /// One for each Parquet leaf.
    nan: Vec<bool>,
}

impl Seen {
    pub(crate) fn new(fields: &Fields) -> Seen {
        let leaves = fields.iter().map(|field| leaves(field.data_type())).sum();
        Seen { nulls: vec![0; fields.len()], nan: vec![false; leaves] }
    }

    pub(crate) fn update(&mut self, batch: &RecordBatch) {
        let mut leaf = 0;
        for (column, nulls) in batch.columns().iter().zip(&mut self.nulls) {
            *nulls += column.logical_null_count() as u64;
            find_nan(column, &mut self.nan[leaf..]);
            leaf += leaves(column.data_type());
        }
    }

    /// The statistics JSON of a file whose columns are `fields`.
    pub(crate) fn to_json(&self, fields: &Fields, footer: &ParquetMetaData) -> String {
        let rows: i64 = footer.row_groups().iter().map(|group| group.num_rows()).sum();
        let mut sides = Sides::default();
        let mut leaf = 0;
        for (field, nulls) in fields.iter().zip(&self.nulls) {
            self.add(&mut sides, field, leaf, *nulls, footer);
            leaf += leaves(field.data_type());
        }
        format!(
            "{{\"numRecords\":{rows},\"minValues\":{},\"maxValues\":{},\"nullCount\":{}}}",
            object(&sides.min),
            object(&sides.max),
            object(&sides.nulls)
        )
    }

    fn add(&self, sides: &mut Sides, field: &Field, leaf: usize, nulls: u64, footer: &ParquetMetaData) {
        let name = field.name().as_str();
        match field.data_type() {
            DataType::Struct(children) => {
                let mut inner = Sides::default();
                let mut leaf = leaf;
                for child in children {
                    let nulls = footer
                        .row_groups()
                        .iter()
                        .map(|group| group.column(leaf).statistics().and_then(Statistics::null_count_opt))
                        .sum::<Option<u64>>();
                    // What a list in a struct holds cannot be told from its leaf.
                    if !matches!(child.data_type(), DataType::List(_) | DataType::Map(_, _))
                        && let Some(nulls) = nulls
                    {
                        self.add(&mut inner, child, leaf, nulls, footer);
                    }
                    leaf += leaves(child.data_type());
                }
                for (side, inner) in [
                    (&mut sides.min, inner.min),
                    (&mut sides.max, inner.max),
                    (&mut sides.nulls, inner.nulls),
                ] {
                    if !inner.is_empty() {
                        side.push((name.to_string(), object(&inner)));
                    }
                }
            }
            data_type => {
                sides.nulls.push((name.to_string(), nulls.to_string()));
                if self.nan[leaf] || matches!(data_type, DataType::List(_) | DataType::Map(_, _)) {
                    return;
                }
                if let Some((min, max)) = bounds(footer, leaf) {
                    let side =
                        |bound: Bound, up| bound.text(data_type, up).map(|text| (name.to_string(), text));
                    sides.min.extend(side(min, false));
                    sides.max.extend(side(max, true));
                }
            }
        }
    }
}

/// Marks in `nan`, which starts with the first leaf of `array`, the leaves that hold a NaN.
fn find_nan(array: &ArrayRef, nan: &mut [bool]) {
    match array.data_type() {
        DataType::Float32 if !nan[0] => {
            nan[0] = array.as_primitive::<Float32Type>().values().iter().any(|value| value.is_nan());
        }
        DataType::Float64 if !nan[0] => {
            nan[0] = array.as_primitive::<Float64Type>().values().iter().any(|value| value.is_nan());
        }
        DataType::Struct(_) => {
            let mut leaf = 0;
            for child in array.as_struct().columns() {
                find_nan(child, &mut nan[leaf..]);
                leaf += leaves(child.data_type());
            }
        }
        _ => {}
    }
}

#[derive(Default)]
struct Sides {
    min: Vec<(String, String)>,
    max: Vec<(String, String)>,
    nulls: Vec<(String, String)>,
}

fn object(members: &[(String, String)]) -> String {
    let members: Vec<String> =
        members.iter().map(|(name, value)| format!("{}:{value}", Value::from(name.as_str()))).collect();
    format!("{{{}}}", members.join(","))
}

fn leaves(data_type: &DataType) -> usize {
    match data_type {
        DataType::Struct(fields) => fields.iter().map(|field| leaves(field.data_type())).sum(),
        DataType::List(item) => leaves(item.data_type()),
        DataType::Map(entries, _) => leaves(entries.data_type()),
        _ => 1,
    }
}

/// A bound as Parquet stores it.
#[derive(Debug, Clone, PartialEq, PartialOrd)]
enum Bound {
    Integer(i128),
    Single(f32),
    Double(f64),
    Bytes(Vec<u8>),
}

/// The bounds of one leaf over all row groups; `None` when they are not known.
fn bounds(footer: &ParquetMetaData, leaf: usize) -> Option<(Bound, Bound)> {
    let mut both: Option<(Bound, Bound)> = None;
    for group in footer.row_groups() {
        let column = group.column(leaf);
        let statistics = column.statistics()?;
        let Some((min, max)) = pair(statistics) else {
            // A row group of nulls only has no bounds and widens none.
            if statistics.null_count_opt() == Some(column.num_values() as u64) {
                continue;
            }
            return None;
        };
        both = Some(match both {
            None => (min, max),
            Some((low, high)) => (if min < low { min } else { low }, if max > high { max } else { high }),
        });
    }
    both
}

fn pair(statistics: &Statistics) -> Option<(Bound, Bound)> {
    fn integer(bytes: &[u8]) -> Option<Bound> {
        // Decimals of more than 18 digits: big-endian two's complement.
        let negative = bytes.first()? & 0x80 != 0;
        let mut wide = [if negative { 0xff } else { 0 }; 16];
        wide.get_mut(16usize.checked_sub(bytes.len())?..)?.copy_from_slice(bytes);
        Some(Bound::Integer(i128::from_be_bytes(wide)))
    }
    Some(match statistics {
        Statistics::Int32(s) => {
            (Bound::Integer((*s.min_opt()?).into()), Bound::Integer((*s.max_opt()?).into()))
        }
        Statistics::Int64(s) => {
            (Bound::Integer((*s.min_opt()?).into()), Bound::Integer((*s.max_opt()?).into()))
        }
        Statistics::Float(s) => (Bound::Single(*s.min_opt()?), Bound::Single(*s.max_opt()?)),
        Statistics::Double(s) => (Bound::Double(*s.min_opt()?), Bound::Double(*s.max_opt()?)),
        Statistics::ByteArray(s) => {
            (Bound::Bytes(s.min_opt()?.data().to_vec()), Bound::Bytes(s.max_opt()?.data().to_vec()))
        }
        Statistics::FixedLenByteArray(s) => (integer(s.min_opt()?.data())?, integer(s.max_opt()?.data())?),
        Statistics::Boolean(s) => {
            (Bound::Integer((*s.min_opt()?).into()), Bound::Integer((*s.max_opt()?).into()))
        }
        Statistics::Int96(_) => return None,
    })
}

impl Bound {
    /// As JSON; `None` when the type has no bounds in Delta or this value cannot be written.
    fn text(&self, data_type: &DataType, up: bool) -> Option<String> {
        match (self, data_type) {
            (Bound::Integer(v), DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64) => {
                Some(v.to_string())
            }
            // Readers that know bounds of one file expect them of all: delta-rs prunes a file whose boolean has none.
            (Bound::Integer(v), DataType::Boolean) => Some((*v != 0).to_string()),
            (Bound::Integer(days), DataType::Date32) => {
                let date = NaiveDate::from_epoch_days(i32::try_from(*days).ok()?)?;
                (0..=9999).contains(&date.year()).then(|| format!("\"{}\"", date.format("%Y-%m-%d")))
            }
            (Bound::Integer(micros), DataType::Timestamp(_, zone)) => {
                let micros = i64::try_from(*micros).ok()?;
                let millis = micros.div_euclid(1000) + i64::from(up && micros.rem_euclid(1000) != 0);
                let moment = DateTime::from_timestamp_millis(millis)?;
                let text = moment.to_rfc3339_opts(SecondsFormat::Millis, true);
                let text = if zone.is_some() { text.as_str() } else { text.trim_end_matches('Z') };
                (0..=9999).contains(&moment.year()).then(|| format!("\"{text}\""))
            }
            (Bound::Integer(value), DataType::Decimal128(precision, scale)) => {
                Some(decimal_text(outwards(*value, *precision, up), *scale))
            }
            (Bound::Single(value), DataType::Float32) => value.is_finite().then(|| format!("{value:?}")),
            (Bound::Double(value), DataType::Float64) => value.is_finite().then(|| format!("{value:?}")),
            (Bound::Bytes(value), DataType::Utf8) => {
                let value = std::str::from_utf8(value).ok()?;
                let text = if up { cut_up(value)? } else { value.chars().take(TEXT_LENGTH).collect() };
                Some(Value::from(text).to_string())
            }
            _ => None,
        }
    }
}

/// A bound of at most 15 digits: readers (Trino, and whoever parses JSON so) take numbers for doubles, which hold no more
/// without rounding, be it to the wrong side.
fn outwards(value: i128, precision: u8, up: bool) -> i128 {
    let digits = value.unsigned_abs().checked_ilog10().map_or(1, |power| power + 1);
    let Some(cut) = digits.checked_sub(15).filter(|cut| *cut > 0) else { return value };
    let unit = 10i128.pow(cut);
    let rounded = match up {
        true => -(-value).div_euclid(unit),
        false => value.div_euclid(unit),
    };
    let limit = 10i128.checked_pow(precision.into()).unwrap_or(i128::MAX);
    rounded.checked_mul(unit).filter(|rounded| rounded.abs() < limit).unwrap_or(value)
}

fn decimal_text(value: i128, scale: i8) -> String {
    let scale = scale.max(0) as usize;
    let digits = format!("{:0width$}", value.unsigned_abs(), width = scale + 1);
    let (whole, fraction) = digits.split_at(digits.len() - scale);
    let sign = if value < 0 { "-" } else { "" };
    if scale == 0 { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") }
}

/// The shortest-known text of at most [`TEXT_LENGTH`] characters that is not below `value`.
fn cut_up(value: &str) -> Option<String> {
    let Some((cut, _)) = value.char_indices().nth(TEXT_LENGTH) else { return Some(value.to_string()) };
    let mut prefix: Vec<char> = value[..cut].chars().collect();
    while let Some(last) = prefix.pop() {
        // The code points of surrogates are no characters.
        let next = if last as u32 == 0xd7ff { Some('\u{e000}') } else { char::from_u32(last as u32 + 1) };
        if let Some(next) = next {
            prefix.push(next);
            return Some(prefix.into_iter().collect());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::outwards;

    #[test]
    fn long_decimals_are_rounded_outwards_and_stay_within_their_type() {
        assert_eq!(outwards(-9_222_759_399_358_718_241, 20, false), -9_222_759_399_358_720_000);
        assert_eq!(outwards(-9_222_759_399_358_718_241, 20, true), -9_222_759_399_358_710_000);
        assert_eq!(outwards(1_234_567_890_123_456, 16, true), 1_234_567_890_123_460);
        assert_eq!(outwards(123_456_789_012_345, 16, true), 123_456_789_012_345);
        assert_eq!(outwards(0, 5, false), 0);
        let largest = 10i128.pow(38) - 1;
        assert_eq!(outwards(largest, 38, true), largest);
    }
}
