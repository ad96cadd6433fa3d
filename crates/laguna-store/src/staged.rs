//! Staged table versions: files that are written but that no commit names yet, described by a manifest.

use std::collections::{HashMap, HashSet};

use futures::TryStreamExt;
use laguna_base::{Error, Instant, Result, TableName};
use object_store::path::Path;
use object_store::{ObjectStore, PutMode};
use serde::{Deserialize, Serialize};

use crate::content::ContentHash;
use crate::snapshot::data_path;
use crate::types::schema_from_json;
use crate::{CommitNote, DataFile, Lake, Snapshot, log, objects};

const FOLDER: &str = "_laguna/staged";

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

fn manifest(run: &str, table: &TableName) -> String {
    format!("{FOLDER}/{run}/{table}.json")
}

impl Lake {
    /// Keeps the manifest, so that the staged version can be queried and later swept.
    pub async fn save_staged(&self, staged: &Staged) -> Result<()> {
        if staged.run.is_empty() || staged.run.contains('/') {
            return Err(Error::internal(format!("`{}` cannot be the id of a run", staged.run)));
        }
        self.prepare_for_writing().await?;
        let path = manifest(&staged.run, &staged.table);
        let text = serde_json::to_string(staged)
            .map_err(|error| Error::internal("a manifest cannot be written").caused_by(error))?;
        self.put(&path, text, PutMode::Overwrite).await.map_err(|error| self.write_error(&path, error))
    }

    /// The newest staged version of `table`, or the one of `run`.
    pub async fn staged(&self, table: &TableName, run: Option<&str>) -> Result<Option<Staged>> {
        if let Some(run) = run {
            return self.read_manifest(run, table).await;
        }
        for (run, staged) in self.staged_tables().await? {
            // A manifest may go between the listing and the read: take the next one.
            if staged == *table
                && let Some(found) = self.read_manifest(&run, table).await?
            {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// All manifests: (run, table), newest run first.
    pub async fn staged_tables(&self) -> Result<Vec<(String, TableName)>> {
        let folder = Path::from(FOLDER);
        let files: Vec<_> = self
            .objects()
            .list(Some(&folder))
            .try_collect()
            .await
            .map_err(|error| self.read_error(FOLDER, error))?;
        let mut found: Vec<(String, TableName)> = files
            .iter()
            .filter_map(|file| {
                let mut parts = file.location.prefix_match(&folder)?;
                let (run, name) = (parts.next()?, parts.next()?);
                let table = name.as_ref().strip_suffix(".json")?.parse().ok()?;
                Some((run.as_ref().to_string(), table))
            })
            .collect();
        found.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
        Ok(found)
    }

    /// The staged version as a snapshot that can be scanned (its version number is `u64::MAX`).
    pub async fn staged_snapshot(&self, staged: &Staged) -> Result<Snapshot> {
        Ok(Snapshot {
            table: staged.table.clone(),
            version: u64::MAX,
            schema: schema_from_json(&staged.schema)?,
            partition_columns: staged.partition_columns.clone(),
            files: self.staged_files(staged).await?,
            transactions: Default::default(),
            note: staged.note.clone(),
        })
    }

    /// The files of the whole resulting version.
    pub(crate) async fn staged_files(&self, staged: &Staged) -> Result<Vec<DataFile>> {
        let mut files = match staged.base {
            Some(base) => self.snapshot(&staged.table, base).await?.files,
            None => Vec::new(),
        };
        if staged.base.is_some() {
            let removed: HashSet<&str> = staged.removes.iter().map(|file| file.path.as_str()).collect();
            let before = files.len();
            files.retain(|file| !removed.contains(file.path.as_str()));
            if before - files.len() != removed.len() {
                return Err(Error::internal(format!(
                    "the staged version of {} removes files that its base does not have",
                    staged.table
                )));
            }
        }
        files.extend(staged.adds.iter().cloned());
        Ok(files)
    }

    /// Forgets the manifest of a staged version that was committed.
    pub async fn drop_manifest(&self, staged: &Staged) -> Result<()> {
        objects::delete(self, &Path::from(manifest(&staged.run, &staged.table))).await
    }

    /// Deletes staged versions older than `before`: those of their files that no manifest younger than it and no
    /// commit of their table names, then the manifest. Returns the bytes won.
    pub async fn sweep_staged(&self, before: Instant) -> Result<u64> {
        let (mut old, mut kept) = (Vec::new(), HashSet::new());
        for (run, table) in self.staged_tables().await? {
            match self.read_manifest(&run, &table).await? {
                Some(staged) if staged.at < before => old.push(staged),
                Some(staged) => {
                    kept.extend(staged.adds.into_iter().map(|file| (table.clone(), file.path)));
                }
                None => {}
            }
        }
        let mut named: HashMap<TableName, HashSet<String>> = HashMap::new();
        let mut bytes = 0;
        for staged in old {
            if !named.contains_key(&staged.table) {
                named.insert(staged.table.clone(), log::named_paths(self, &staged.table).await?);
            }
            let committed = named.get(&staged.table);
            for file in &staged.adds {
                let wanted = committed.is_some_and(|paths| paths.contains(&file.path))
                    || kept.contains(&(staged.table.clone(), file.path.clone()));
                if !wanted {
                    objects::delete(self, &data_path(&staged.table, &file.path)?).await?;
                    bytes += file.size;
                }
            }
            self.drop_manifest(&staged).await?;
        }
        Ok(bytes)
    }

    async fn read_manifest(&self, run: &str, table: &TableName) -> Result<Option<Staged>> {
        let path = manifest(run, table);
        let Some(bytes) = self.get(&path).await? else { return Ok(None) };
        serde_json::from_slice(&bytes).map(Some).map_err(|error| {
            Error::stored(format!("the manifest {} is damaged", self.describe(&path)))
                .hint("delete it: the run that wrote it can be repeated")
                .caused_by(error)
        })
    }
}
