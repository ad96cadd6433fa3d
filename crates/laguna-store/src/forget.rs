//! Forgetting: new versions stand for those that hold forgotten rows, then the old ones go for good.
//!
//! What is to be done is written down as one [`Erasure`] once all new files are there. From then on it is only carried
//! out, by whoever holds the project's lease next: every step can be repeated.

mod carry_out;
mod log;

use futures::TryStreamExt;
use laguna_base::{Error, Instant, Result, TableName};
use object_store::ObjectStore;
use object_store::path::Path;
use serde::{Deserialize, Serialize};

use crate::release::Redaction;
use crate::{CommitNote, DataFile, Lake, objects};

const FOLDER: &str = "_laguna/erasures";

/// What is to be done, and what is told of it afterwards. It holds nothing of the rows themselves.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Erasure {
    /// What is told afterwards.
    pub receipt: Receipt,
    /// Tables whose versions are replaced.
    pub tables: Vec<Superseded>,
    /// Tables, those included, of which staged versions go and every file that their log does not name.
    pub touched: Vec<TableName>,
    /// What stands for the released versions.
    pub redaction: Redaction,
}

/// A table of which no version before `first` stays.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Superseded {
    /// Which.
    pub table: TableName,
    /// Version of the first target; the others follow it.
    pub first: u64,
    /// The new versions, the head last.
    pub targets: Vec<Target>,
}

/// One new version.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Target {
    /// Delta's schema string.
    pub schema: String,
    /// Partition columns.
    pub partition_columns: Vec<String>,
    /// All files, old ones that stay and new ones.
    pub files: Vec<DataFile>,
    /// The commit's note; its run is the erasure.
    pub note: CommitNote,
}

/// What was forgotten: rows of `system.erasures`. The predicate stands in it without its values.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Receipt {
    /// Id, sorts by time.
    pub id: String,
    /// When it was decided.
    pub time: Instant,
    /// The process, as [`crate::ledger::owner`] says.
    pub owner: String,
    /// The raw table.
    pub table: TableName,
    /// The predicate with `?` for each value.
    pub predicate: String,
    /// Why, as the user said.
    pub reason: Option<String>,
    /// The release from which on it holds; `None` when nothing was released before.
    pub release: Option<u64>,
    /// Data files that were deleted.
    pub files_deleted: u64,
    /// What became of each table.
    pub tables: Vec<ErasedTable>,
}

/// What became of one table, or of its version in one release.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ErasedTable {
    /// Which.
    pub table: TableName,
    /// The release; `None` for tables that are read at their head.
    pub release: Option<u64>,
    /// `rows removed`, `rebuilt`, `folded again`, `texts removed`.
    pub how: String,
    /// Version before.
    pub before: Option<u64>,
    /// Version that stands for it.
    pub version: u64,
    /// Rows that are gone.
    pub rows: u64,
}

fn unfinished() -> Path {
    Path::from(format!("{FOLDER}/unfinished.json"))
}

impl Lake {
    /// The erasure that was begun and not finished.
    pub async fn unfinished_erasure(&self) -> Result<Option<Erasure>> {
        objects::get_json(self, &unfinished()).await
    }

    /// Writes down what is to be done. From here on it will be: [`Lake::finish_erasure`].
    pub async fn begin_erasure(&self, erasure: &Erasure) -> Result<()> {
        self.check_fences().await?;
        match objects::put_json_if_absent(self, &unfinished(), erasure).await? {
            true => Ok(()),
            false => {
                Err(Error::conflict("another erasure is not finished")
                    .hint("run again: it is finished first"))
            }
        }
    }

    /// Carries out what [`Lake::begin_erasure`] wrote down, from wherever an earlier attempt has come. To be called
    /// under the project's lease. `None`: there was nothing to finish.
    pub async fn finish_erasure(&self) -> Result<Option<Receipt>> {
        match self.unfinished_erasure().await? {
            Some(erasure) => carry_out::carry_out(self, erasure).await.map(Some),
            None => Ok(None),
        }
    }

    /// All that was forgotten, oldest first.
    pub async fn erasures(&self) -> Result<Vec<Receipt>> {
        let mut paths: Vec<Path> =
            match self.objects().list(Some(&Path::from(FOLDER))).try_collect::<Vec<_>>().await {
                Ok(entries) => entries.into_iter().map(|entry| entry.location).collect(),
                Err(object_store::Error::NotFound { .. }) => Vec::new(),
                Err(error) => return Err(self.read_error(FOLDER, error)),
            };
        paths.retain(|path| *path != unfinished());
        paths.sort_unstable();
        let mut receipts = Vec::with_capacity(paths.len());
        for path in paths {
            receipts.extend(objects::get_json::<Receipt>(self, &path).await?);
        }
        Ok(receipts)
    }

    /// Data files in the folder of `table`, whoever named them, but for those in `kept`.
    pub async fn files_besides(&self, table: &TableName, kept: &[DataFile]) -> Result<Vec<Path>> {
        carry_out::files_besides(self, table, kept).await
    }
}

impl Target {
    /// A version of `files` for the erasure `id`.
    pub fn new(
        id: &str,
        schema: String,
        partition_columns: Vec<String>,
        files: Vec<DataFile>,
        note: CommitNote,
    ) -> Target {
        Target { schema, partition_columns, files, note: CommitNote { run: Some(id.to_string()), ..note } }
    }
}
