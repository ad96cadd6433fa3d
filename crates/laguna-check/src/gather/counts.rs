//! Each different value of a column and how often it stands there.

use std::collections::HashMap;

use arrow::array::{Array, ArrayRef, AsArray, PrimitiveArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Decimal128Type, Float64Type, Int64Type};
use datafusion::common::hash_utils::RandomState;
use laguna_base::Result;
use serde_json::Value;

use super::Room;
use crate::kept::codec::{Reader, Writer};
use crate::value::{self, is_temporal, whole_scale};
use crate::view::failed;

/// Values by the form in which they are held. Missing ones are not counted.
pub(crate) enum Held {
    Text(HashMap<Box<str>, u64, RandomState>),
    /// Integers, booleans, dates, timestamps, decimals: in units of the type.
    Whole(HashMap<i128, u64, RandomState>),
    /// Bits of floats, with one zero.
    Float(HashMap<u64, u64, RandomState>),
    Nothing,
}

pub(crate) struct Counts {
    pub held: Held,
    data_type: DataType,
    words: usize,
    overflowed: bool,
}

/// What an entry takes besides its text, in words: key, count and the free slots.
const ENTRY: usize = 6;

impl Counts {
    pub fn new(data_type: &DataType) -> Counts {
        let state = || RandomState::with_seed(0x636f_756e);
        let held = match data_type {
            t if t.is_string() => Held::Text(HashMap::with_hasher(state())),
            t if t.is_floating() => Held::Float(HashMap::with_hasher(state())),
            t if whole_scale(t).is_some() || is_temporal(t) => Held::Whole(HashMap::with_hasher(state())),
            _ => Held::Nothing,
        };
        Counts { held, data_type: data_type.clone(), words: 0, overflowed: false }
    }

    /// Whether values of this type can be counted.
    pub fn can(data_type: &DataType) -> bool {
        data_type == &DataType::Null || !matches!(Counts::new(data_type).held, Held::Nothing)
    }

    pub fn update(&mut self, values: &ArrayRef, room: &Room) -> Result<()> {
        if self.overflowed || values.is_empty() {
            return Ok(());
        }
        let mut added = 0;
        match &mut self.held {
            Held::Nothing => {}
            Held::Text(counts) => {
                let mut add = |text: &str| match counts.get_mut(text) {
                    Some(count) => *count += 1,
                    None => {
                        added += ENTRY + text.len() / 8;
                        counts.insert(text.into(), 1);
                    }
                };
                match values.data_type() {
                    DataType::LargeUtf8 => values.as_string::<i64>().iter().flatten().for_each(&mut add),
                    DataType::Utf8View => values.as_string_view().iter().flatten().for_each(&mut add),
                    _ => values.as_string::<i32>().iter().flatten().for_each(&mut add),
                }
            }
            Held::Float(counts) => {
                let floats = cast(values, &DataType::Float64).map_err(failed)?;
                for float in floats.as_primitive::<Float64Type>().iter().flatten() {
                    *counts.entry((float + 0.0).to_bits()).or_insert_with(|| {
                        added += ENTRY;
                        0
                    }) += 1;
                }
            }
            Held::Whole(counts) => {
                let mut add = |whole: i128| {
                    *counts.entry(whole).or_insert_with(|| {
                        added += ENTRY;
                        0
                    }) += 1;
                };
                match wholes(values)? {
                    Wholes::Narrow(narrow) => {
                        narrow.iter().flatten().for_each(|value| add(i128::from(value)))
                    }
                    Wholes::Wide(wide) => wide.iter().flatten().for_each(add),
                }
            }
        }
        if added > 0 && !room.take(added) {
            self.overflow(room);
        } else {
            self.words += added;
        }
        Ok(())
    }

    fn overflow(&mut self, room: &Room) {
        room.give(self.words);
        *self = Counts { overflowed: true, ..Counts::new(&self.data_type) };
    }

    pub fn words(&self) -> usize {
        self.words
    }

    /// Whether there was no room for all values.
    pub fn overflowed(&self) -> bool {
        self.overflowed
    }

    pub fn merge(&mut self, other: Counts, room: &Room) {
        if self.overflowed || other.overflowed {
            room.give(other.words);
            self.overflow(room);
            return;
        }
        match (&mut self.held, other.held) {
            (Held::Text(into), Held::Text(from)) => {
                from.into_iter().for_each(|(key, count)| *into.entry(key).or_default() += count);
            }
            (Held::Whole(into), Held::Whole(from)) => {
                from.into_iter().for_each(|(key, count)| *into.entry(key).or_default() += count);
            }
            (Held::Float(into), Held::Float(from)) => {
                from.into_iter().for_each(|(key, count)| *into.entry(key).or_default() += count);
            }
            _ => {}
        }
        // Keys that both held are held once; what is left is at least what it was said to be.
        self.words += other.words;
    }

    pub fn write(&self, into: &mut Writer) {
        match &self.held {
            Held::Nothing => into.count(0),
            Held::Text(counts) => {
                into.count(counts.len() as u64);
                for (text, count) in counts {
                    into.bytes(text.as_bytes());
                    into.count(*count);
                }
            }
            Held::Whole(counts) => {
                into.count(counts.len() as u64);
                for (whole, count) in counts {
                    into.wide(*whole);
                    into.count(*count);
                }
            }
            Held::Float(counts) => {
                into.count(counts.len() as u64);
                for (bits, count) in counts {
                    into.bits(*bits);
                    into.count(*count);
                }
            }
        }
    }

    pub fn read(from: &mut Reader<'_>, data_type: &DataType, room: &Room) -> Option<Counts> {
        let mut read = Counts::new(data_type);
        let entries = from.entries(2)?;
        read.words = entries * ENTRY;
        match &mut read.held {
            Held::Nothing => {}
            Held::Text(counts) => {
                for _ in 0..entries {
                    let text = from.text()?;
                    read.words += text.len() / 8;
                    counts.insert(text.into(), from.count()?);
                }
            }
            Held::Whole(counts) => {
                for _ in 0..entries {
                    counts.insert(from.wide()?, from.count()?);
                }
            }
            Held::Float(counts) => {
                for _ in 0..entries {
                    counts.insert(from.bits()?, from.count()?);
                }
            }
        }
        if !from.is_done() {
            return None;
        }
        if !room.take(read.words) {
            read.words = 0;
            read.overflow(room);
        }
        Some(read)
    }

    /// All values in their order, and their counts.
    pub fn sorted(&self) -> Vec<(Value, u64)> {
        match &self.held {
            Held::Nothing => Vec::new(),
            Held::Text(counts) => {
                let mut all: Vec<(&str, u64)> =
                    counts.iter().map(|(key, count)| (key.as_ref(), *count)).collect();
                all.sort_unstable();
                all.into_iter().map(|(key, count)| (Value::from(key), count)).collect()
            }
            Held::Whole(counts) => {
                let mut all: Vec<(i128, u64)> = counts.iter().map(|(key, count)| (*key, *count)).collect();
                all.sort_unstable();
                all.into_iter()
                    .map(|(key, count)| (value::json_of_whole(key, &self.data_type), count))
                    .collect()
            }
            Held::Float(counts) => {
                let mut all: Vec<(f64, u64)> =
                    counts.iter().map(|(key, count)| (f64::from_bits(*key), *count)).collect();
                all.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
                all.into_iter().map(|(key, count)| (value::json_of_float(key), count)).collect()
            }
        }
    }

    /// How often a literal stands in the column; `None` when no value of its type can equal it.
    pub fn count_of(&self, literal: &Value) -> Option<u64> {
        if is_temporal(&self.data_type) {
            return None;
        }
        self.count_of_read(literal)
    }

    /// The same, where a text is read as a date in a column of dates.
    pub fn count_of_read(&self, literal: &Value) -> Option<u64> {
        match &self.held {
            Held::Nothing => None,
            Held::Text(counts) => counts.get(literal.as_str()?).copied(),
            Held::Whole(counts) => counts.get(&self.whole(literal)?).copied(),
            Held::Float(counts) => counts.get(&self.float(literal)?).copied(),
        }
    }

    fn whole(&self, literal: &Value) -> Option<i128> {
        value::whole(literal, &self.data_type).filter(|(_, exact)| *exact).map(|(whole, _)| whole)
    }

    fn float(&self, literal: &Value) -> Option<u64> {
        let float = literal.as_f64().or_else(|| literal.as_bool().map(|b| f64::from(u8::from(b))))?;
        Some((float + 0.0).to_bits())
    }

    /// A text that is the same for equal values: of a literal.
    pub fn key_of(&self, literal: &Value) -> Option<String> {
        match &self.held {
            Held::Nothing => None,
            Held::Text(_) => literal.as_str().map(str::to_string),
            Held::Whole(_) => self.whole(literal).map(|whole| whole.to_string()),
            Held::Float(_) => self.float(literal).map(|bits| bits.to_string()),
        }
    }

    /// All values in their order, with the text that [`Counts::key_of`] gives an equal literal.
    pub fn sorted_keys(&self) -> Vec<(String, Value)> {
        match &self.held {
            Held::Nothing => Vec::new(),
            Held::Text(counts) => {
                let mut all: Vec<String> = counts.keys().map(|key| key.to_string()).collect();
                all.sort_unstable();
                all.into_iter().map(|key| (key.clone(), Value::from(key))).collect()
            }
            Held::Whole(counts) => {
                let mut all: Vec<i128> = counts.keys().copied().collect();
                all.sort_unstable();
                all.into_iter()
                    .map(|key| (key.to_string(), value::json_of_whole(key, &self.data_type)))
                    .collect()
            }
            Held::Float(counts) => {
                let mut all: Vec<u64> = counts.keys().copied().collect();
                all.sort_unstable_by(|a, b| f64::from_bits(*a).total_cmp(&f64::from_bits(*b)));
                all.into_iter()
                    .map(|key| (key.to_string(), value::json_of_float(f64::from_bits(key))))
                    .collect()
            }
        }
    }
}

/// Values of a type that is held as whole numbers.
pub(crate) enum Wholes {
    Narrow(PrimitiveArray<Int64Type>),
    Wide(PrimitiveArray<Decimal128Type>),
}

/// The whole numbers that stand for values: as 64 bits where the type fits.
pub(crate) fn wholes(values: &ArrayRef) -> Result<Wholes> {
    let narrow = match values.data_type() {
        DataType::Decimal128(_, _) => {
            return Ok(Wholes::Wide(values.as_primitive::<Decimal128Type>().clone()));
        }
        DataType::UInt64 | DataType::Decimal32(_, _) | DataType::Decimal64(_, _) => {
            let scale = whole_scale(values.data_type()).unwrap_or_default() as i8;
            let wide = cast(values, &DataType::Decimal128(38, scale)).map_err(failed)?;
            return Ok(Wholes::Wide(wide.as_primitive::<Decimal128Type>().clone()));
        }
        DataType::Date32 => cast(&cast(values, &DataType::Int32).map_err(failed)?, &DataType::Int64),
        _ => cast(values, &DataType::Int64),
    }
    .map_err(failed)?;
    Ok(Wholes::Narrow(narrow.as_primitive::<Int64Type>().clone()))
}
