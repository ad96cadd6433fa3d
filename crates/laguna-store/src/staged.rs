//! Staged table versions: files that are written but that no commit names yet, described by a manifest.

use laguna_base::{Instant, Result, TableName};
use serde::{Deserialize, Serialize};

use crate::content::ContentHash;
use crate::{CommitNote, DataFile, Lake, Snapshot};

/// A version of a table that could be committed. Its manifest is `_laguna/staged/<run>/<table>.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Staged {
    /// Which table.
    pub table: TableName,
    /// The run that made it.
    pub run: String,
    /// When it was staged; manifests older than 7 days are swept.
    pub at: Instant,
    /// Schema as Delta's schema string ([`crate::types::schema_to_json`]).
    pub schema: String,
    /// Partition columns.
    pub partition_columns: Vec<String>,
    /// Version that the change is relative to; `None` when it replaces everything there may be.
    pub base: Option<u64>,
    /// New files.
    pub adds: Vec<DataFile>,
    /// Files of the base version that go. With `base: None` all files of the head go.
    pub removes: Vec<DataFile>,
    /// Rows of the whole resulting version.
    pub rows: u64,
    /// Hash of the whole resulting version, where known (always when `base` is `None`).
    pub content: Option<ContentHash>,
    /// Fingerprint and other facts that go into the commit.
    pub note: CommitNote,
    /// Verdicts of the checks, as the check room serialises them.
    pub verdicts: serde_json::Value,
}

impl Lake {
    /// Keeps the manifest, so that the staged version can be queried and later swept.
    pub async fn save_staged(&self, staged: &Staged) -> Result<()> {
        let _ = staged;
        unimplemented!()
    }

    /// The newest staged version of `table`, or the one of `run`.
    pub async fn staged(&self, table: &TableName, run: Option<&str>) -> Result<Option<Staged>> {
        let _ = (table, run);
        unimplemented!()
    }

    /// All manifests: (run, table), newest run first.
    pub async fn staged_tables(&self) -> Result<Vec<(String, TableName)>> {
        unimplemented!()
    }

    /// The staged version as a snapshot that can be scanned (its version number is `u64::MAX`).
    pub async fn staged_snapshot(&self, staged: &Staged) -> Result<Snapshot> {
        let _ = staged;
        unimplemented!()
    }

    /// Forgets the manifest of a staged version that was committed.
    pub async fn drop_manifest(&self, staged: &Staged) -> Result<()> {
        let _ = staged;
        unimplemented!()
    }

    /// Deletes staged versions older than `before`: those of their files that no manifest younger than it and no
    /// commit of their table names, then the manifest. Returns the bytes won.
    pub async fn sweep_staged(&self, before: Instant) -> Result<u64> {
        let _ = before;
        unimplemented!()
    }
}
