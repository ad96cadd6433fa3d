//! Which files a raw dataset has landed, so that each lands once.
//!
//! The truth is in the notes of the raw table's commits; `_laguna/landed/<dataset>.json` is a cache of them up to one
//! version, so that a run with nothing to do opens no table. What maintenance deletes from the log is kept in
//! `_laguna/landed/base/<dataset>.json`.

use std::collections::BTreeMap;

use futures::StreamExt;
use laguna_base::{Error, Instant, Result, TableName};
use object_store::ObjectStoreExt;
use object_store::path::Path;
use serde::{Deserialize, Serialize};

use crate::{CommitNote, Lake, log, objects};

#[cfg(test)]
mod tests;

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
    /// The rule by which `latest` was last brought up to date, as JSON; `None` when it has none or nobody knows.
    #[serde(default)]
    pub rule: Option<String>,
    /// The cache lacked commits: the run that made them did not live to its last step.
    #[serde(skip)]
    pub recovered: bool,
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
    /// probe for the next log entry when the cache is current; rebuilds from the log when it is missing or damaged,
    /// or when it speaks of another table than the one that is there.
    pub async fn landed(&self, raw: &TableName) -> Result<Landed> {
        if let Some(cached) = cached(self, raw).await? {
            return complete(self, raw, cached).await;
        }
        let versions: Vec<u64> = log::list(self, raw).await?.commits.into_keys().collect();
        let (Some(first), Some(last)) = (versions.first(), versions.last()) else {
            return Ok(Landed::default());
        };
        let mut landed = match first {
            0 => Landed::default(),
            first => objects::get_json::<Landed>(self, &base_path(raw))
                .await?
                .filter(|base| base.version.is_some_and(|version| version + 1 >= *first))
                .ok_or_else(|| {
                    Error::stored(format!(
                        "the log of {raw} starts at version {first}: which files landed before it is not known"
                    ))
                    .hint(format!("put {} back from a backup", base_path(raw)))
                })?,
        };
        landed.recovered = true;
        let start = landed.version.map_or(0, |version| version + 1);
        let mut entries = futures::stream::iter(start..=*last)
            .map(|version| async move { (version, log_entry(self, raw, version).await) })
            .buffered(16);
        while let Some((version, entry)) = entries.next().await {
            let entry = entry?
                .ok_or_else(|| Error::stored(format!("version {version} is missing in the log of {raw}")))?;
            landed.absorb(version, &entry);
        }
        drop(entries);
        complete(self, raw, landed).await
    }

    /// Overwrites the cache (after a batch was committed). Losing it is harmless.
    pub async fn save_landed(&self, raw: &TableName, landed: &Landed) -> Result<()> {
        let Some(version) = landed.version else {
            return objects::delete(self, &cache_path(raw)).await;
        };
        let entry = log_mark(self, raw, version).await?;
        objects::put_json(self, &cache_path(raw), &Cache { entry, landed: landed.clone() }).await
    }
}

impl Lake {
    /// Keeps what has landed up to the head aside, so that older log entries are not needed to know it.
    pub(crate) async fn save_landed_base(&self, raw: &TableName, landed: &Landed) -> Result<()> {
        objects::put_json(self, &base_path(raw), landed).await?;
        self.save_landed(raw, landed).await
    }
}

impl Landed {
    /// Adds what one log entry says.
    fn absorb(&mut self, version: u64, entry: &LogEntry) {
        self.version = Some(version);
        let note = &entry.note;
        self.watermark = self.watermark.max(note.watermark);
        let Some(batch) = &note.batch else { return };
        self.batches = entry.transaction.unwrap_or(self.batches + 1).max(self.batches);
        let at = note.watermark.or(self.watermark).unwrap_or(Instant::from_micros(0));
        for file in &note.files {
            let landing = LandedIn { file: file.clone(), batch: batch.clone(), at };
            self.files.insert(file.path.clone(), landing);
        }
    }
}

/// The cache as stored: what landed, and by which log entry it is known to speak of the table that is there.
#[derive(Debug, Serialize, Deserialize)]
struct Cache {
    /// Mark of the log entry of `landed.version`; `None` when it could not be told.
    entry: Option<String>,
    landed: Landed,
}

/// What the log entry of one version says.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct LogEntry {
    /// `commitInfo.laguna`; empty for commits of others.
    pub(crate) note: CommitNote,
    /// Version of its application transaction.
    pub(crate) transaction: Option<i64>,
}

/// The cache, if it is whole and speaks of the table that is there.
async fn cached(lake: &Lake, raw: &TableName) -> Result<Option<Landed>> {
    let Ok(Some(cache)) = objects::get_json::<Cache>(lake, &cache_path(raw)).await else {
        return Ok(None);
    };
    let (Some(version), Some(entry)) = (cache.landed.version, cache.entry) else { return Ok(None) };
    let found = log_mark(lake, raw, version).await?;
    Ok((found == Some(entry)).then_some(cache.landed))
}

/// Adds the versions after those that `landed` knows.
async fn complete(lake: &Lake, raw: &TableName, mut landed: Landed) -> Result<Landed> {
    let mut next = landed.version.map_or(0, |version| version + 1);
    while let Some(entry) = log_entry(lake, raw, next).await? {
        landed.recovered |= !entry.note.is_rewrite();
        landed.absorb(next, &entry);
        next += 1;
    }
    Ok(landed)
}

fn cache_path(raw: &TableName) -> Path {
    Path::from(format!("_laguna/landed/{}.json", raw.table))
}

/// What had landed before the log of `raw` begins: written before entries are deleted.
fn base_path(raw: &TableName) -> Path {
    Path::from(format!("_laguna/landed/base/{}.json", raw.table))
}

/// The entry of one version in the log of `table`; `None` when there is none.
pub(crate) async fn log_entry(lake: &Lake, table: &TableName, version: u64) -> Result<Option<LogEntry>> {
    let path = Path::from(log::entry(table, version));
    let Some(bytes) = objects::get(lake, &path).await? else { return Ok(None) };
    let mut found = LogEntry::default();
    for line in bytes.split(|byte| *byte == b'\n') {
        // The two kinds of action that matter are rare: the others are not parsed.
        let head = &line[..line.len().min(16)];
        let is = |word: &str| head.windows(word.len()).any(|window| window == word.as_bytes());
        if !is("\"commitInfo\"") && !is("\"txn\"") {
            continue;
        }
        let action: Action = serde_json::from_slice(line)
            .map_err(|error| Error::stored(format!("{path} cannot be understood")).caused_by(error))?;
        if let Some(note) = action.commit_info.and_then(|info| info.laguna) {
            found.note = serde_json::from_value(note).map_err(|error| {
                Error::stored(format!("the note in {path} cannot be understood")).caused_by(error)
            })?;
        }
        found.transaction = action.txn.map(|transaction| transaction.version).or(found.transaction);
    }
    Ok(Some(found))
}

#[derive(Deserialize)]
struct Action {
    #[serde(rename = "commitInfo")]
    commit_info: Option<CommitInfo>,
    txn: Option<Transaction>,
}

#[derive(Deserialize)]
struct CommitInfo {
    laguna: Option<serde_json::Value>,
}

#[derive(Deserialize)]
struct Transaction {
    version: i64,
}

/// What tells a log entry from another one at the same version: its entity tag, else its size and time.
async fn log_mark(lake: &Lake, table: &TableName, version: u64) -> Result<Option<String>> {
    let path = Path::from(log::entry(table, version));
    match lake.objects().head(&path).await {
        Ok(meta) => Ok(Some(
            meta.e_tag.unwrap_or_else(|| format!("{}-{}", meta.size, meta.last_modified.timestamp_micros())),
        )),
        Err(object_store::Error::NotFound { .. }) => Ok(None),
        Err(error) => Err(lake.read_error(path.as_ref(), error)),
    }
}
