//! A hash of a table's rows that does not depend on their order or on how they are split into files.
//!
//! Every value becomes 64 bits: numbers by an invertible mixer (so two different numbers of a column never collide),
//! text and bytes by XXH3-64 (<https://github.com/Cyan4973/xxHash/blob/dev/doc/xxhash_spec.md>), lists, structs and
//! maps from the hashes of their parts. A row folds its columns, in order, into two 64-bit lanes with invertible steps;
//! the table is the wrapping 128-bit sum over its rows. All constants are part of the format: releases store the sum.

use std::fmt;

use arrow::array::{Array, ArrayRef, AsArray, OffsetSizeTrait, RecordBatch, make_array};
use arrow::buffer::NullBuffer;
use arrow::compute::cast;
use arrow::datatypes::*;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use serde::{Deserialize, Serialize};
use twox_hash::XxHash3_64;

/// Sum (modulo 2^128) of one 128-bit hash a row, and the number of rows. Hashes of parts are added.
///
/// The hash of a value depends on its logical value only: dictionary, view and plain text hash alike, -0.0 as 0.0,
/// every NaN alike. It is stable across versions of Laguna: releases store it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ContentHash {
    /// Wrapping sum of row hashes.
    pub sum: u128,
    /// Rows.
    pub rows: u64,
}

impl ContentHash {
    /// Adds the rows of `batch`. The order of columns matters, their names do not.
    pub fn update(&mut self, batch: &RecordBatch) {
        let rows = batch.num_rows();
        let mut first = vec![FIRST_LANE; rows];
        let mut second = vec![SECOND_LANE; rows];
        for column in batch.columns() {
            let values = hash_values(column);
            for ((first, second), value) in first.iter_mut().zip(second.iter_mut()).zip(&values) {
                *first = (*first ^ value).wrapping_mul(FIRST_FACTOR);
                *first ^= *first >> 32;
                *second = (second.rotate_left(23) ^ value).wrapping_mul(SECOND_FACTOR);
                *second ^= *second >> 29;
            }
        }
        for (first, second) in first.iter().zip(&second) {
            let row = (u128::from(mix(*first)) << 64) | u128::from(mix(*second));
            self.sum = self.sum.wrapping_add(row);
        }
        self.rows += rows as u64;
    }

    /// Adds what another part has seen.
    pub fn merge(&mut self, other: &ContentHash) {
        self.sum = self.sum.wrapping_add(other.sum);
        self.rows += other.rows;
    }
}

const FIRST_LANE: u64 = 0x243f_6a88_85a3_08d3;
const SECOND_LANE: u64 = 0x1319_8a2e_0370_7344;
const FIRST_FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
const SECOND_FACTOR: u64 = 0xc2b2_ae3d_27d4_eb4f;

/// What a null hashes to, whatever its type.
const NULL: u64 = 0xa409_3822_299f_31d0;

// One tag a kind of value, so that 1, true and '1' differ.
const INTEGER: u64 = 0x082e_fa98_ec4e_6c89;
const LARGE: u64 = 0x4528_21e6_38d0_1377;
const FLOAT: u64 = 0xbe54_66cf_34e9_0c6c;
const BOOLEAN: u64 = 0xc0ac_29b7_c97c_50dd;
const TEXT: u64 = 0x3f84_d5b5_b547_0917;
const BYTES: u64 = 0x9216_d5d9_8979_fb1b;
const DATE: u64 = 0xd131_0ba6_98df_b5ac;
const MOMENT: u64 = 0x2ffd_72db_d01a_dfb7;
const DECIMAL: u64 = 0xb8e1_afed_6a26_7e96;
const LIST: u64 = 0xba7c_9045_f12c_7f99;
const STRUCT: u64 = 0x24a1_9947_b391_6cf7;
const MAP: u64 = 0x0801_f2e2_858e_fc16;
const OTHER: u64 = 0x6369_20d8_7157_4e69;

/// The finaliser of SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014). Invertible.
fn mix(mut value: u64) -> u64 {
    value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

fn combine(state: u64, value: u64) -> u64 {
    mix(state.rotate_left(23) ^ value).wrapping_mul(FIRST_FACTOR)
}

fn integer(value: i64) -> u64 {
    mix(value as u64 ^ INTEGER)
}

fn float(value: f64) -> u64 {
    let bits = if value.is_nan() {
        f64::NAN.to_bits() & !(1 << 63)
    } else if value == 0.0 {
        0
    } else {
        value.to_bits()
    };
    mix(bits ^ FLOAT)
}

fn bytes(tag: u64, value: &[u8]) -> u64 {
    mix(XxHash3_64::oneshot(value) ^ tag)
}

/// A moment in microseconds and the nanoseconds beyond them.
fn moment(micros: i64, nanos: i64) -> u64 {
    let hash = mix(micros as u64 ^ MOMENT);
    if nanos == 0 { hash } else { combine(hash, nanos as u64) }
}

fn decimal(value: i128, scale: i8) -> u64 {
    let low = mix(value as u64 ^ DECIMAL);
    combine(combine(low, (value >> 64) as u64), scale as u64)
}

/// One hash a value of `array`.
fn hash_values(array: &ArrayRef) -> Vec<u64> {
    match array.data_type() {
        DataType::Null => vec![NULL; array.len()],
        DataType::Boolean => {
            let values = array.as_boolean();
            let hashes = values.values().iter().map(|value| mix(u64::from(value) ^ BOOLEAN)).collect();
            with_nulls(hashes, array.nulls())
        }
        DataType::Int8 => primitive::<Int8Type>(array, |value| integer(value.into())),
        DataType::Int16 => primitive::<Int16Type>(array, |value| integer(value.into())),
        DataType::Int32 => primitive::<Int32Type>(array, |value| integer(value.into())),
        DataType::Int64 => primitive::<Int64Type>(array, integer),
        DataType::UInt8 => primitive::<UInt8Type>(array, |value| integer(value.into())),
        DataType::UInt16 => primitive::<UInt16Type>(array, |value| integer(value.into())),
        DataType::UInt32 => primitive::<UInt32Type>(array, |value| integer(value.into())),
        DataType::UInt64 => primitive::<UInt64Type>(array, |value| match i64::try_from(value) {
            Ok(value) => integer(value),
            Err(_) => mix(value ^ LARGE),
        }),
        DataType::Float16 => primitive::<Float16Type>(array, |value| float(value.into())),
        DataType::Float32 => primitive::<Float32Type>(array, |value| float(value.into())),
        DataType::Float64 => primitive::<Float64Type>(array, float),
        DataType::Decimal32(_, scale) => {
            primitive::<Decimal32Type>(array, |value| decimal(value.into(), *scale))
        }
        DataType::Decimal64(_, scale) => {
            primitive::<Decimal64Type>(array, |value| decimal(value.into(), *scale))
        }
        DataType::Decimal128(_, scale) => primitive::<Decimal128Type>(array, |value| decimal(value, *scale)),
        DataType::Date32 => primitive::<Date32Type>(array, |value| mix(value as i64 as u64 ^ DATE)),
        DataType::Date64 => {
            primitive::<Date64Type>(array, |value| mix(value.div_euclid(86_400_000) as u64 ^ DATE))
        }
        DataType::Timestamp(unit, _) => match unit {
            TimeUnit::Second => {
                primitive::<TimestampSecondType>(array, |value| moment(value.wrapping_mul(1_000_000), 0))
            }
            TimeUnit::Millisecond => {
                primitive::<TimestampMillisecondType>(array, |value| moment(value.wrapping_mul(1_000), 0))
            }
            TimeUnit::Microsecond => primitive::<TimestampMicrosecondType>(array, |value| moment(value, 0)),
            TimeUnit::Nanosecond => primitive::<TimestampNanosecondType>(array, |value| {
                moment(value.div_euclid(1_000), value.rem_euclid(1_000))
            }),
        },
        DataType::Utf8 => binary(TEXT, array.as_string::<i32>().iter()),
        DataType::LargeUtf8 => binary(TEXT, array.as_string::<i64>().iter()),
        DataType::Utf8View => binary(TEXT, array.as_string_view().iter()),
        DataType::Binary => binary(BYTES, array.as_binary::<i32>().iter()),
        DataType::LargeBinary => binary(BYTES, array.as_binary::<i64>().iter()),
        DataType::BinaryView => binary(BYTES, array.as_binary_view().iter()),
        DataType::FixedSizeBinary(_) => binary(BYTES, array.as_fixed_size_binary().iter()),
        DataType::Dictionary(_, _) => {
            let dictionary = array.as_any_dictionary();
            let values = hash_values(dictionary.values());
            let keys = dictionary.normalized_keys();
            // Keys of null rows are arbitrary, and an empty dictionary has none that is valid.
            let hashes = keys.into_iter().map(|key| values.get(key).copied().unwrap_or(NULL)).collect();
            with_nulls(hashes, dictionary.keys().nulls())
        }
        DataType::List(_) => list::<i32>(array),
        DataType::LargeList(_) => list::<i64>(array),
        DataType::FixedSizeList(field, size) => {
            let lists = array.as_fixed_size_list();
            let parts = hash_values(lists.values());
            debug_assert_eq!(field.data_type(), lists.values().data_type());
            let size = *size as usize;
            let hashes = (0..lists.len()).map(|row| sequence(&parts[row * size..(row + 1) * size])).collect();
            with_nulls(hashes, array.nulls())
        }
        DataType::Map(_, _) => {
            let maps = array.as_map();
            let (keys, values) = (hash_values(maps.keys()), hash_values(maps.values()));
            let hashes = maps
                .offsets()
                .windows(2)
                .map(|range| {
                    // The entries of a map have no order: they are added.
                    let (start, end) = (range[0] as usize, range[1] as usize);
                    let sum = (start..end)
                        .fold(0u64, |sum, entry| sum.wrapping_add(mix(combine(keys[entry], values[entry]))));
                    combine(mix((end - start) as u64 ^ MAP), sum)
                })
                .collect();
            with_nulls(hashes, array.nulls())
        }
        DataType::Struct(_) => {
            let fields = array.as_struct();
            let mut hashes = vec![mix(STRUCT); fields.len()];
            for column in fields.columns() {
                for (hash, value) in hashes.iter_mut().zip(hash_values(column)) {
                    *hash = combine(*hash, value);
                }
            }
            with_nulls(hashes, array.nulls())
        }
        DataType::RunEndEncoded(_, values) => match cast(array, values.data_type()) {
            Ok(plain) => hash_values(&plain),
            Err(_) => as_text(array),
        },
        _ => as_text(array),
    }
}

fn with_nulls(mut hashes: Vec<u64>, nulls: Option<&NullBuffer>) -> Vec<u64> {
    if let Some(nulls) = nulls.filter(|nulls| nulls.null_count() > 0) {
        for (hash, valid) in hashes.iter_mut().zip(nulls.iter()) {
            if !valid {
                *hash = NULL;
            }
        }
    }
    hashes
}

fn primitive<T: ArrowPrimitiveType>(array: &ArrayRef, hash: impl Fn(T::Native) -> u64) -> Vec<u64> {
    let values = array.as_primitive::<T>();
    with_nulls(values.values().iter().map(|value| hash(*value)).collect(), values.nulls())
}

fn binary<V: AsRef<[u8]>>(tag: u64, values: impl Iterator<Item = Option<V>>) -> Vec<u64> {
    values.map(|value| value.map_or(NULL, |value| bytes(tag, value.as_ref()))).collect()
}

fn sequence(parts: &[u64]) -> u64 {
    parts.iter().fold(mix(parts.len() as u64 ^ LIST), |hash, part| combine(hash, *part))
}

fn list<O: OffsetSizeTrait>(array: &ArrayRef) -> Vec<u64> {
    let lists = array.as_list::<O>();
    // Only the part of the values that these lists use: a slice keeps the whole child.
    let offsets = lists.offsets();
    let (start, end) = (offsets[0].as_usize(), offsets[lists.len()].as_usize());
    let parts = hash_values(&lists.values().slice(start, end - start));
    let hashes = offsets
        .windows(2)
        .map(|range| sequence(&parts[range[0].as_usize() - start..range[1].as_usize() - start]))
        .collect();
    with_nulls(hashes, lists.nulls())
}

/// Types that no table holds: by their text.
fn as_text(array: &ArrayRef) -> Vec<u64> {
    let array = make_array(array.to_data());
    let Ok(formatter) = ArrayFormatter::try_new(&array, &FormatOptions::new()) else {
        return vec![OTHER; array.len()];
    };
    let text = |row| bytes(OTHER, formatter.value(row).to_string().as_bytes());
    (0..array.len()).map(|row| if array.is_null(row) { NULL } else { text(row) }).collect()
}

impl fmt::Display for ContentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}-{}", self.sum, self.rows)
    }
}

impl Serialize for ContentHash {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ContentHash {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.split_once('-')
            .and_then(|(sum, rows)| {
                Some(ContentHash { sum: u128::from_str_radix(sum, 16).ok()?, rows: rows.parse().ok()? })
            })
            .ok_or_else(|| serde::de::Error::custom(format!("`{text}` is not a content hash")))
    }
}
