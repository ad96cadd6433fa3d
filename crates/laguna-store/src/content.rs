//! A hash of a table's rows that does not depend on their order or on how they are split into files.

use std::fmt;

use arrow::array::RecordBatch;
use serde::{Deserialize, Serialize};

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
    /// Adds the rows of `batch`.
    pub fn update(&mut self, batch: &RecordBatch) {
        let _ = batch;
        unimplemented!()
    }

    /// Adds what another part has seen.
    pub fn merge(&mut self, other: &ContentHash) {
        self.sum = self.sum.wrapping_add(other.sum);
        self.rows += other.rows;
    }
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
