//! From entries and checkpoints to the state at one version.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::ops::RangeInclusive;

use futures::{StreamExt, TryStreamExt};
use laguna_base::{Error, Instant, Result, TableName};
use object_store::ObjectStoreExt;
use object_store::path::Path;
use parquet::file::metadata::ParquetMetaDataReader;
use serde::Deserialize;

use super::action::decode;
use super::guard::{check_readable, unsupported};
use super::{Action, Add, Listing, Metadata, Protocol, checkpoint, entry, list, list_recent};
use crate::{CommitNote, DataFile, Lake};

/// Log entries read at the same time.
const READS: usize = 16;

/// What a log says at one version.
#[derive(Debug, Clone)]
pub(crate) struct State {
    pub version: u64,
    pub protocol: Protocol,
    pub metadata: Metadata,
    /// Sorted by the time of writing, then by path.
    pub files: Vec<DataFile>,
    pub transactions: BTreeMap<String, i64>,
    pub note: CommitNote,
}

/// The state at `version`, or at the newest; `None` when the table does not exist.
pub(crate) async fn replay(lake: &Lake, table: &TableName, version: Option<u64>) -> Result<Option<State>> {
    let mut listing = list_recent(lake, table, version).await?;
    loop {
        let error = match replay_listed(lake, table, version, &listing).await {
            Err(error) => error,
            done => return done,
        };
        // Maintenance may have deleted what was listed: what is there now decides, from the log's beginning.
        let now = list(lake, table).await?;
        if now == listing {
            return Err(error);
        }
        listing = now;
    }
}

async fn replay_listed(
    lake: &Lake,
    table: &TableName,
    version: Option<u64>,
    listing: &Listing,
) -> Result<Option<State>> {
    let Some(newest) = listing.newest() else {
        return match version {
            None => Ok(None),
            Some(_) => Err(Error::project(format!("the table {table} does not exist"))),
        };
    };
    let target = version.unwrap_or(newest);
    let (checkpoint, start) = listing.base(target);
    if target > newest || !listing.has(target) || (checkpoint.is_none() && !listing.has(0)) {
        let hint = match target < newest {
            true => format!("valid are {}; `laguna maintain` deletes old versions", listing.valid()),
            false => format!("valid are {}", listing.valid()),
        };
        return Err(Error::project(format!("{table} has no version {target}")).hint(hint));
    }
    let mut replay = Replay::default();
    if let Some((_, paths)) = checkpoint {
        replay.read_checkpoints(lake, table, paths).await?;
    }
    replay.read_entries(lake, table, start..=target).await?;
    if replay.note.is_none() && replay.is_ours() {
        // A checkpoint keeps no notes: look for the newest one before it.
        let mut notes = futures::stream::iter((0..start).rev())
            .map(|version| async move { (version, read_entry(lake, table, version).await) })
            .buffered(READS);
        while let Some((version, entry)) = notes.next().await {
            let Some(bytes) = entry? else { break };
            replay.note = note_of(table, version, &bytes)?;
            if replay.note.is_some() {
                break;
            }
        }
    }
    // Entries before the first checkpoint may be left as notes only, once their rows were forgotten.
    if replay.protocol.is_none()
        && let Some(first) = listing.checkpoints.keys().next().filter(|first| **first > target)
    {
        return Err(Error::project(format!(
            "{table} has no version {target} any more: rows of it were forgotten"
        ))
        .hint(format!("valid are {first} to {newest}")));
    }
    replay.finish(lake, table, target).await.map(Some)
}

/// The first version that can be read: entries before the first checkpoint may be left as notes only, once their rows
/// were forgotten.
pub(crate) async fn first_readable(lake: &Lake, table: &TableName, listing: &Listing) -> Result<u64> {
    if let Some(bytes) = read_entry(lake, table, 0).await?
        && parse(table, 0, &bytes)?.iter().any(|action| action.protocol.is_some())
    {
        return Ok(0);
    }
    Ok(listing.checkpoints.keys().next().copied().unwrap_or(0))
}

/// The files that any of `versions` names, and the bytes of each. Reads each entry once.
pub(crate) async fn files_of(
    lake: &Lake,
    table: &TableName,
    listing: &Listing,
    versions: &BTreeSet<u64>,
) -> Result<HashMap<String, u64>> {
    let mut found = HashMap::new();
    let mut replay = Replay::default();
    let mut next = 0;
    for version in versions {
        let (checkpoint, start) = listing.base(*version);
        if start > next
            && let Some((_, paths)) = checkpoint
        {
            replay = Replay::default();
            replay.read_checkpoints(lake, table, paths).await?;
            next = start;
        }
        replay.read_entries(lake, table, next..=*version).await?;
        next = version + 1;
        found.extend(replay.files.iter().map(|(path, add)| (path.clone(), add.size)));
    }
    Ok(found)
}

/// Whether the entry of `version` holds a note of Laguna.
pub(crate) async fn has_note(lake: &Lake, table: &TableName, version: u64) -> Result<bool> {
    let Some(bytes) = read_entry(lake, table, version).await? else { return Ok(false) };
    Ok(note_of(table, version, &bytes)?.is_some())
}

pub(crate) async fn read_entry(lake: &Lake, table: &TableName, version: u64) -> Result<Option<bytes::Bytes>> {
    lake.get(&entry(table, version)).await
}

fn parse(table: &TableName, version: u64, bytes: &[u8]) -> Result<Vec<Action>> {
    bytes
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.trim_ascii().is_empty())
        .map(|line| {
            serde_json::from_slice(line).map_err(|error| {
                Error::stored(format!("version {version} in the log of {table} is damaged")).caused_by(error)
            })
        })
        .collect()
}

/// The note of one entry, when Laguna wrote it.
fn note_of(table: &TableName, version: u64, bytes: &[u8]) -> Result<Option<CommitNote>> {
    Ok(parse(table, version, bytes)?.into_iter().find_map(|action| note_in(action.commit_info?)))
}

fn note_in(mut commit_info: serde_json::Value) -> Option<CommitNote> {
    let note = commit_info.get_mut("laguna")?.take();
    serde_json::from_value(note).ok()
}

/// Every path that an entry or checkpoint of the table's log names, decoded.
pub(crate) async fn named_paths(lake: &Lake, table: &TableName) -> Result<HashSet<String>> {
    let listing = list(lake, table).await?;
    let mut named = HashSet::new();
    let mut replay = Replay::default();
    for path in listing.checkpoints.values().flatten() {
        replay.read_checkpoint(lake, table, path).await?;
        named.extend(replay.files.drain().map(|(path, _)| path));
    }
    for version in listing.commits.into_keys() {
        let Some(bytes) = read_entry(lake, table, version).await? else { continue };
        for action in parse(table, version, &bytes)? {
            named.extend(action.add.map(|add| decode(&add.path)));
            named.extend(action.remove.map(|remove| decode(&remove.path)));
        }
    }
    Ok(named)
}

#[derive(Default)]
struct Replay {
    protocol: Option<Protocol>,
    metadata: Option<Metadata>,
    files: HashMap<String, Add>,
    transactions: BTreeMap<String, i64>,
    note: Option<CommitNote>,
}

impl Replay {
    /// Whether Laguna has ever written the table, so that there is a note to look for.
    fn is_ours(&self) -> bool {
        let created = self
            .metadata
            .as_ref()
            .is_some_and(|metadata| metadata.configuration.contains_key(crate::commit::KEEPS_LOG));
        created || self.transactions.keys().any(|app| app.starts_with("laguna/"))
    }

    fn apply_entry(&mut self, table: &TableName, version: u64, bytes: &[u8]) -> Result<()> {
        let actions = parse(table, version, bytes)?;
        // One entry may remove and add the same path: what it adds is there afterwards.
        for remove in actions.iter().filter_map(|action| action.remove.as_ref()) {
            self.files.remove(&decode(&remove.path));
        }
        for action in actions {
            self.apply(action);
        }
        Ok(())
    }

    fn apply(&mut self, action: Action) {
        if let Some(add) = action.add {
            self.files.insert(decode(&add.path), add);
        }
        if let Some(txn) = action.txn {
            self.transactions.insert(txn.app_id, txn.version);
        }
        if let Some(note) = action.commit_info.and_then(note_in) {
            self.note = Some(note);
        }
        self.metadata = action.meta_data.or(self.metadata.take());
        self.protocol = action.protocol.or(self.protocol.take());
    }

    async fn read_checkpoints(&mut self, lake: &Lake, table: &TableName, paths: &[Path]) -> Result<()> {
        for path in paths {
            self.read_checkpoint(lake, table, path).await?;
        }
        Ok(())
    }

    async fn read_entries(
        &mut self,
        lake: &Lake,
        table: &TableName,
        versions: RangeInclusive<u64>,
    ) -> Result<()> {
        let mut entries = futures::stream::iter(versions)
            .map(|version| async move { Ok::<_, Error>((version, read_entry(lake, table, version).await?)) })
            .buffered(READS);
        while let Some((version, bytes)) = entries.try_next().await? {
            let bytes = bytes.ok_or_else(|| {
                Error::stored(format!("version {version} is missing from the log of {table}"))
                    .hint("a log entry was deleted by hand: restore it from a backup")
            })?;
            self.apply_entry(table, version, &bytes)?;
        }
        Ok(())
    }

    async fn read_checkpoint(&mut self, lake: &Lake, table: &TableName, path: &Path) -> Result<()> {
        let damaged = || Error::stored(format!("the checkpoint {path} of {table} cannot be read"));
        let bytes = lake
            .get(path.as_ref())
            .await?
            .ok_or_else(|| damaged().hint("it was deleted while it was read: try again"))?;
        checkpoint::read(bytes, |action| self.apply(action)).map_err(|error| damaged().caused_by(error))
    }

    async fn finish(self, lake: &Lake, table: &TableName, version: u64) -> Result<State> {
        let lacking = |what: &str| Error::stored(format!("the log of {table} has no {what}"));
        let protocol = self.protocol.ok_or_else(|| lacking("protocol"))?;
        let metadata = self.metadata.ok_or_else(|| lacking("metadata"))?;
        check_readable(table, &protocol, &metadata)?;
        let mut files = Vec::with_capacity(self.files.len());
        for (path, add) in self.files {
            if add.deletion_vector.is_some_and(|vector| !vector.is_null()) {
                return Err(unsupported(table, "deletion vectors"));
            }
            let mut partition_values = add.partition_values;
            for column in &metadata.partition_columns {
                // Delta writes null as an empty text, too.
                let value = partition_values.entry(column.clone()).or_default();
                *value = value.take().filter(|value| !value.is_empty());
            }
            files.push(DataFile {
                rows: add.stats.as_deref().and_then(rows_in).unwrap_or(UNKNOWN),
                path,
                size: add.size,
                modified: Instant::from_micros(add.modification_time.saturating_mul(1000)),
                partition_values,
                stats: add.stats,
            });
        }
        files.sort_unstable_by(|a, b| (a.modified, &a.path).cmp(&(b.modified, &b.path)));
        for file in files.iter_mut().filter(|file| file.rows == UNKNOWN) {
            file.rows = count_rows(lake, table, file).await?;
        }
        Ok(State {
            version,
            protocol,
            metadata,
            files,
            transactions: self.transactions,
            note: self.note.unwrap_or_default(),
        })
    }
}

/// Stands for a number of rows that the log does not tell.
const UNKNOWN: u64 = u64::MAX;

fn rows_in(stats: &str) -> Option<u64> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Counted {
        num_records: Option<u64>,
    }
    serde_json::from_str::<Counted>(stats).ok()?.num_records
}

/// Rows of a file that another writer added without statistics: from its footer.
async fn count_rows(lake: &Lake, table: &TableName, file: &DataFile) -> Result<u64> {
    let path = crate::snapshot::data_path(table, &file.path)?;
    let damaged = || Error::stored(format!("{path} is not a Parquet file"));
    let tail_start = file.size.checked_sub(8).ok_or_else(damaged)?;
    let read = async |from: u64, to: u64| {
        let bytes = lake.objects().get_range(&path, from..to).await;
        bytes.map_err(|error| lake.read_error(path.as_ref(), error))
    };
    let tail = read(tail_start, file.size).await?;
    let (length, magic) = tail.split_first_chunk::<4>().ok_or_else(damaged)?;
    let start = tail_start.checked_sub(u32::from_le_bytes(*length).into()).ok_or_else(damaged)?;
    if magic != b"PAR1" {
        return Err(damaged());
    }
    let footer = ParquetMetaDataReader::decode_metadata(&read(start, tail_start).await?)
        .map_err(|error| damaged().caused_by(error))?;
    u64::try_from(footer.file_metadata().num_rows()).map_err(|error| damaged().caused_by(error))
}
