//! What one column has shown: how many values are missing, its range, its different values while they are few.

use std::collections::{BTreeSet, HashSet};

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute;
use arrow::datatypes::{DataType, Float64Type};
use datafusion::common::hash_utils::{RandomState, create_hashes};
use laguna_base::Result;
use serde_json::Value;

use crate::value;
use crate::view::failed;

/// Different values that are kept.
const VALUES: usize = 64;
/// Hashes that are kept to see whether values repeat: 32 MiB a column at most.
const HASHES: usize = 4 << 20;

/// One column so far.
#[derive(Debug, Clone)]
pub(super) struct Column {
    pub missing: u64,
    /// No value has stood twice.
    pub unique: bool,
    hashes: HashSet<u64>,
    pub seen: Seen,
}

/// What its values were like.
#[derive(Debug, Clone)]
pub(super) enum Seen {
    Number {
        least: f64,
        most: f64,
        whole: bool,
    },
    /// `least` as JSON, beside the array that it came from.
    Time {
        least: Option<Value>,
        first: Option<ArrayRef>,
    },
    /// `values` until they are too many.
    Text {
        values: Option<BTreeSet<String>>,
        shortest: u64,
        longest: u64,
    },
    Other,
}

impl Column {
    pub fn new(data_type: &DataType) -> Column {
        let plain = match data_type {
            DataType::Dictionary(_, values) => values.as_ref(),
            other => other,
        };
        let seen = match plain {
            DataType::Date32 | DataType::Timestamp(..) => Seen::Time { least: None, first: None },
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => {
                Seen::Text { values: Some(BTreeSet::new()), shortest: u64::MAX, longest: 0 }
            }
            number if number.is_numeric() => {
                Seen::Number { least: f64::INFINITY, most: f64::NEG_INFINITY, whole: number.is_integer() }
            }
            _ => Seen::Other,
        };
        // A measure may differ in every row without being a key.
        let unique = matches!(&seen, Seen::Text { .. } | Seen::Number { whole: true, .. });
        Column { missing: 0, unique, hashes: HashSet::new(), seen }
    }

    pub fn update(&mut self, array: &ArrayRef) -> Result<()> {
        let nulls = array.logical_nulls();
        self.missing += nulls.as_ref().map_or(0, |nulls| nulls.null_count() as u64);
        let valid = |row: usize| nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row));
        if self.unique {
            let mut hashes = vec![0; array.len()];
            create_hashes([array], &RandomState::with_seed(0x6c61), &mut hashes).map_err(failed)?;
            let repeated =
                hashes.iter().enumerate().any(|(row, hash)| valid(row) && !self.hashes.insert(*hash));
            if repeated || self.hashes.len() > HASHES {
                self.unique = false;
                self.hashes = HashSet::new();
            }
        }
        match &mut self.seen {
            Seen::Number { least, most, .. } => {
                let numbers = compute::cast(array, &DataType::Float64).map_err(failed)?;
                let numbers = numbers.as_primitive::<Float64Type>();
                for number in numbers.iter().flatten() {
                    if number.is_nan() {
                        self.missing += 1;
                    } else {
                        (*least, *most) = (least.min(number), most.max(number));
                    }
                }
            }
            Seen::Time { least, first } => {
                let mut parts: Vec<ArrayRef> = vec![array.clone()];
                parts.extend(first.take());
                let parts: Vec<&dyn Array> = parts.iter().map(AsRef::as_ref).collect();
                let all = compute::concat(&parts).map_err(failed)?;
                let order = arrow::compute::SortOptions { descending: false, nulls_first: false };
                let at = compute::sort_to_indices(&all, Some(order), Some(1)).map_err(failed)?;
                if at.len() == 1 && all.is_valid(at.value(0) as usize) {
                    let one = all.slice(at.value(0) as usize, 1);
                    *least = Some(value::json(&one, 0));
                    *first = Some(one);
                }
            }
            Seen::Text { values, shortest, longest } => {
                let texts = compute::cast(array, &DataType::Utf8).map_err(failed)?;
                for text in texts.as_string::<i32>().iter().flatten() {
                    let length = text.chars().count() as u64;
                    (*shortest, *longest) = ((*shortest).min(length), (*longest).max(length));
                    if let Some(known) = values
                        && !known.contains(text)
                    {
                        known.insert(text.to_string());
                        if known.len() > VALUES {
                            *values = None;
                        }
                    }
                }
            }
            Seen::Other => {}
        }
        Ok(())
    }

    pub fn merge(&mut self, other: Column) {
        self.missing += other.missing;
        self.unique &= other.unique;
        if self.unique {
            let more = other.hashes.len();
            let before = self.hashes.len();
            self.hashes.extend(other.hashes);
            self.unique = self.hashes.len() == before + more && self.hashes.len() <= HASHES;
        }
        if !self.unique {
            self.hashes = HashSet::new();
        }
        match (&mut self.seen, other.seen) {
            (Seen::Number { least, most, .. }, Seen::Number { least: low, most: high, .. }) => {
                (*least, *most) = (least.min(low), most.max(high));
            }
            (Seen::Time { .. }, Seen::Time { first: Some(one), .. }) => {
                // A single value can be looked at like a batch.
                if let Err(error) = self.update(&one) {
                    debug_assert!(false, "{error}");
                }
            }
            (
                Seen::Text { values, shortest, longest },
                Seen::Text { values: more, shortest: low, longest: high },
            ) => {
                (*shortest, *longest) = ((*shortest).min(low), (*longest).max(high));
                *values = match (values.take(), more) {
                    (Some(mut all), Some(more)) => {
                        all.extend(more);
                        (all.len() <= VALUES).then_some(all)
                    }
                    _ => None,
                };
            }
            _ => {}
        }
    }
}
