//! Which files a raw dataset has landed, so that each lands once.
//!
//! The truth is in the notes of the raw table's commits; `_laguna/landed/<dataset>.json` is a cache of them up to one
//! version, so that a run with nothing to do opens no table.

use std::collections::BTreeMap;

use laguna_base::{Instant, Result, TableName};
use serde::{Deserialize, Serialize};

use crate::Lake;

/// One file that landed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LandedFile {
    /// Path as the source names it (relative to the project where possible).
    pub path: String,
    /// Bytes.
    pub size: u64,
    /// Modification time of the source file, µs; or `None` when the source has none.
    pub modified: Option<i64>,
    /// BLAKE3 of the bytes as found (compressed), 32 hexadecimal digits.
    pub hash: String,
    /// Rows that landed from it.
    pub rows: u64,
    /// Rows set aside.
    pub quarantined: u64,
    /// Why it landed no rows although it is remembered: the path of an earlier file with the same content.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub same_as: Option<String>,
}

/// All that has landed in one dataset up to one raw version.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Landed {
    /// Raw version up to which `files` is complete; `None` when the table does not exist.
    pub version: Option<u64>,
    /// `_ingested_at` of the newest batch.
    pub watermark: Option<Instant>,
    /// Number of batches so far (the last application transaction's version).
    pub batches: i64,
    /// Newest landing of each path: file, batch and `_ingested_at`.
    pub files: BTreeMap<String, LandedIn>,
}

/// A file and the batch that landed it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LandedIn {
    /// The file.
    pub file: LandedFile,
    /// `_batch`.
    pub batch: String,
    /// `_ingested_at`.
    pub at: Instant,
}

impl Lake {
    /// What has landed in `raw.<dataset>`: the cache, completed from commits that it lacks. Costs one read and one
    /// probe for the next log entry when the cache is current; rebuilds from the log when it is missing or damaged.
    pub async fn landed(&self, raw: &TableName) -> Result<Landed> {
        let _ = raw;
        unimplemented!()
    }

    /// Overwrites the cache (after a batch was committed). Losing it is harmless.
    pub async fn save_landed(&self, raw: &TableName, landed: &Landed) -> Result<()> {
        let _ = (raw, landed);
        unimplemented!()
    }
}
