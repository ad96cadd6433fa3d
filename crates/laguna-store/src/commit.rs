//! Committing to a Delta log: put-if-absent of the next entry, read back on any doubt.

use std::collections::BTreeMap;

use laguna_base::{Instant, Result, TableName};
use serde::{Deserialize, Serialize};

use crate::{DataFile, Lake, Snapshot, Staged};

/// What Laguna keeps in `commitInfo.laguna` of each of its commits.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct CommitNote {
    /// The run that committed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// Models: the fingerprint of SQL, inputs and settings.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<String>,
    /// Models: hash of the version's content.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content: Option<crate::content::ContentHash>,
    /// Raw: the batch, which is the application transaction too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batch: Option<String>,
    /// Raw: `_ingested_at` of the batch. Latest: the newest `_ingested_at` absorbed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub watermark: Option<Instant>,
    /// Raw: the files that the batch landed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<crate::landed::LandedFile>,
    /// Latest: the raw version absorbed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub absorbed: Option<u64>,
    /// Latest: path below the lake's root of the Parquet file that keeps deleted keys aside.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tombstones: Option<String>,
    /// Anything else, by name.
    #[serde(flatten)]
    pub more: BTreeMap<String, serde_json::Value>,
}

impl Lake {
    /// Commits a staged version and returns the Delta version.
    ///
    /// The result is the staged content whatever the head was: when the head is not `staged.base` (a crash or a
    /// rollback came between), adds and removes are computed from the head. A commit whose note's fingerprint (with
    /// the same run) is at the head already is not repeated. On any error of the put the log is read back: the
    /// answer is true, not hopeful. A lost race is [`laguna_base::ErrorKind::Conflict`].
    pub async fn commit(&self, staged: &Staged) -> Result<u64> {
        let _ = staged;
        unimplemented!()
    }

    /// Appends `files` to a table (created with `schema` when it does not exist; new columns of `schema` are added)
    /// in one commit that carries the application transaction `(app, version)`. When the table has that transaction
    /// already nothing is written and its head is returned: `Appended::repeated`.
    pub async fn append(&self, append: Append) -> Result<Appended> {
        let _ = append;
        unimplemented!()
    }

    /// Makes the head of `table` equal to its version `to` by a new commit (rollback). Returns the new version, or
    /// the head's when it is equal already.
    pub async fn restore(&self, table: &TableName, to: u64, note: CommitNote) -> Result<u64> {
        let _ = (table, to, note);
        unimplemented!()
    }
}

/// One append.
#[derive(Debug, Clone)]
pub struct Append {
    /// Which table.
    pub table: TableName,
    /// The schema of the rows; columns that the table lacks are added as nullable.
    pub schema: arrow::datatypes::SchemaRef,
    /// Files to add.
    pub files: Vec<DataFile>,
    /// Application transaction: id and version.
    pub transaction: Option<(String, i64)>,
    /// The state the batch was prepared against; another head is a conflict, which the caller resolves by
    /// preparing again. `None`: the table must not exist yet.
    pub base: Option<Snapshot>,
    /// What goes into the commit.
    pub note: CommitNote,
}

/// What an append did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appended {
    /// Version that holds the rows.
    pub version: u64,
    /// The transaction had been committed before; nothing was written.
    pub repeated: bool,
}
