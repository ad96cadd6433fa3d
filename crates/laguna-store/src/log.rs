//! The Delta log of one table: its entries, their replay, and the put of the next one.
//!
//! Follows <https://github.com/delta-io/delta/blob/master/PROTOCOL.md>: reader version 1 (and version 3 with features
//! that change nothing for us), checkpoints in one or several Parquet files. What would make rows come out wrong
//! (deletion vectors, column mapping, an unknown feature) is refused.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::RangeInclusive;

use chrono::{DateTime, Utc};
use futures::{StreamExt, TryStreamExt};
use laguna_base::{Error, Instant, Result, TableName};
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStoreExt, PutMode};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::file::metadata::ParquetMetaDataReader;
use serde::{Deserialize, Serialize};

use crate::{CommitNote, DataFile, Lake};

/// Log entries read at the same time.
const READS: usize = 16;

/// One line of a log entry: one of its fields is there.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Action {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub commit_info: Option<serde_json::Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protocol: Option<Protocol>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub meta_data: Option<Metadata>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub txn: Option<Transaction>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remove: Option<Remove>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub add: Option<Add>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Protocol {
    pub min_reader_version: u32,
    pub min_writer_version: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reader_features: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub writer_features: Option<Vec<String>>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Metadata {
    pub id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    #[serde(default)]
    pub format: Format,
    pub schema_string: String,
    #[serde(default)]
    pub partition_columns: Vec<String>,
    #[serde(default)]
    pub configuration: BTreeMap<String, Option<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_time: Option<i64>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Format {
    pub provider: String,
    #[serde(default)]
    pub options: BTreeMap<String, Option<String>>,
}

impl Default for Format {
    fn default() -> Self {
        Format { provider: "parquet".to_string(), options: BTreeMap::new() }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Transaction {
    pub app_id: String,
    pub version: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_updated: Option<i64>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Add {
    /// URL-encoded, relative to the table's folder.
    pub path: String,
    #[serde(default)]
    pub partition_values: BTreeMap<String, Option<String>>,
    pub size: u64,
    /// Milliseconds since 1970.
    pub modification_time: i64,
    #[serde(default)]
    pub data_change: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stats: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion_vector: Option<serde_json::Value>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Remove {
    pub path: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion_timestamp: Option<i64>,
    #[serde(default)]
    pub data_change: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extended_file_metadata: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partition_values: Option<BTreeMap<String, Option<String>>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
}

impl Add {
    pub(crate) fn of(file: &DataFile, data_change: bool) -> Add {
        Add {
            path: encode(&file.path),
            partition_values: file.partition_values.clone(),
            size: file.size,
            modification_time: file.modified.as_micros().div_euclid(1000),
            data_change,
            stats: file.stats.clone(),
            deletion_vector: None,
        }
    }
}

impl Remove {
    pub(crate) fn of(file: &DataFile, at: Instant, data_change: bool) -> Remove {
        Remove {
            path: encode(&file.path),
            deletion_timestamp: Some(at.as_micros().div_euclid(1000)),
            data_change,
            extended_file_metadata: Some(true),
            partition_values: Some(file.partition_values.clone()),
            size: Some(file.size),
        }
    }
}

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

/// Folder of the log below the root.
pub(crate) fn folder(table: &TableName) -> String {
    format!("{}/_delta_log", table.path())
}

/// Path of one entry below the root.
pub(crate) fn entry(table: &TableName, version: u64) -> String {
    format!("{}/{version:020}.json", folder(table))
}

/// What a log's folder holds.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Listing {
    /// Versions that have an entry, and when it was put, by the store's clock.
    pub commits: BTreeMap<u64, DateTime<Utc>>,
    /// Complete checkpoints: version to the paths of its parts.
    pub checkpoints: BTreeMap<u64, Vec<Path>>,
}

impl Listing {
    /// Sorts out the objects of a log's folder; others are passed over.
    pub(crate) fn of(objects: impl IntoIterator<Item = ObjectMeta>) -> Listing {
        let mut listing = Listing::default();
        let mut parts: BTreeMap<(u64, usize), Vec<Path>> = BTreeMap::new();
        for object in objects {
            let Some((version, rest)) = object.location.filename().and_then(version_of) else { continue };
            if rest == ".json" {
                listing.commits.insert(version, object.last_modified);
            } else if rest == ".checkpoint.parquet" {
                listing.checkpoints.insert(version, vec![object.location]);
            } else if let Some(numbers) =
                rest.strip_prefix(".checkpoint.").and_then(|rest| rest.strip_suffix(".parquet"))
                && let Some((_, count)) = numbers.split_once('.')
                && let Ok(count) = count.parse::<usize>()
            {
                parts.entry((version, count)).or_default().push(object.location);
            }
        }
        for ((version, count), paths) in parts {
            if paths.len() == count {
                listing.checkpoints.entry(version).or_insert(paths);
            }
        }
        listing
    }

    pub(crate) fn newest(&self) -> Option<u64> {
        let commit = self.commits.keys().next_back().copied();
        commit.max(self.checkpoints.keys().next_back().copied())
    }

    fn has(&self, version: u64) -> bool {
        self.commits.contains_key(&version) || self.checkpoints.contains_key(&version)
    }

    /// The newest checkpoint at or before `version`, and the first entry after it.
    fn base(&self, version: u64) -> (Option<(u64, &Vec<Path>)>, u64) {
        let checkpoint = self.checkpoints.range(..=version).next_back().map(|(at, paths)| (*at, paths));
        (checkpoint, checkpoint.map_or(0, |(at, _)| at + 1))
    }

    /// The versions that are there, as people write them: `0 to 3, 7`.
    fn valid(&self) -> String {
        let mut runs: Vec<(u64, u64)> = Vec::new();
        for version in self.commits.keys().chain(self.checkpoints.keys()).collect::<BTreeSet<_>>() {
            match runs.last_mut() {
                Some((_, last)) if *last + 1 == *version => *last = *version,
                _ => runs.push((*version, *version)),
            }
        }
        let text = |(first, last): &(u64, u64)| match first == last {
            true => first.to_string(),
            false => format!("{first} to {last}"),
        };
        runs.iter().map(text).collect::<Vec<_>>().join(", ")
    }
}

/// The version that an object of a log's folder speaks of, and the rest of its name.
pub(crate) fn version_of(name: &str) -> Option<(u64, &str)> {
    let (version, rest) = name.split_at_checked(20)?;
    Some((version.parse().ok()?, rest))
}

pub(crate) async fn list(lake: &Lake, table: &TableName) -> Result<Listing> {
    let path = folder(table);
    let objects = lake.objects().list(Some(&Path::from(path.as_str())));
    let objects: Vec<ObjectMeta> =
        objects.try_collect().await.map_err(|error| lake.read_error(&path, error))?;
    Ok(Listing::of(objects))
}

/// The state at `version`, or at the newest; `None` when the table does not exist.
pub(crate) async fn replay(lake: &Lake, table: &TableName, version: Option<u64>) -> Result<Option<State>> {
    let mut listing = list(lake, table).await?;
    loop {
        let error = match replay_listed(lake, table, version, &listing).await {
            Err(error) => error,
            done => return done,
        };
        // Maintenance may have deleted what was listed: what is there now decides.
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
    if replay.note.is_none() {
        // A checkpoint keeps no notes: look for the newest one before it.
        for version in (0..start).rev() {
            let Some(bytes) = read_entry(lake, table, version).await? else { break };
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
pub(crate) async fn named_paths(lake: &Lake, table: &TableName) -> Result<std::collections::HashSet<String>> {
    let listing = list(lake, table).await?;
    let mut named = std::collections::HashSet::new();
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
        let builder =
            ParquetRecordBatchReaderBuilder::try_new(bytes).map_err(|error| damaged().caused_by(error))?;
        let wanted = ["txn", "add", "metaData", "protocol"];
        let columns = builder.parquet_schema();
        let leaves: Vec<usize> = (0..columns.num_columns())
            .filter(|leaf| {
                let parts = columns.column(*leaf).path().parts().to_vec();
                // Statistics stand in the log as JSON; their struct form is not needed.
                wanted.contains(&parts[0].as_str())
                    && !parts.get(1).is_some_and(|field| field.ends_with("_parsed"))
            })
            .collect();
        let mask = ProjectionMask::leaves(columns, leaves);
        let reader = builder.with_projection(mask).build().map_err(|error| damaged().caused_by(error))?;
        for batch in reader {
            let batch = batch.map_err(|error| damaged().caused_by(error))?;
            let mut lines = arrow::json::LineDelimitedWriter::new(Vec::new());
            lines.write(&batch).and_then(|()| lines.finish()).map_err(|error| damaged().caused_by(error))?;
            for line in lines.into_inner().split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
                self.apply(serde_json::from_slice(line).map_err(|error| damaged().caused_by(error))?);
            }
        }
        Ok(())
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

fn unsupported(table: &TableName, what: &str) -> Error {
    Error::stored(format!(
        "{table} uses {what}, which another program has switched on and Laguna cannot read"
    ))
    .hint("rewrite the table without it, or restore it to a version before that")
}

fn check_readable(table: &TableName, protocol: &Protocol, metadata: &Metadata) -> Result<()> {
    match metadata.configuration.get("delta.columnMapping.mode").and_then(Option::as_deref) {
        None | Some("none") => {}
        Some(_) => return Err(unsupported(table, "column mapping")),
    }
    let harmless = ["timestampNtz", "vacuumProtocolCheck", "columnMapping"];
    match protocol.min_reader_version {
        0..=2 => Ok(()),
        3 => {
            match protocol.reader_features.iter().flatten().find(|name| !harmless.contains(&name.as_str())) {
                // Deletion vectors may be allowed and not used: files say so.
                Some(name) if name != "deletionVectors" => {
                    Err(unsupported(table, &format!("the Delta feature `{name}`")))
                }
                _ => Ok(()),
            }
        }
        version => Err(unsupported(table, &format!("Delta reader version {version}"))),
    }
}

/// Refuses to write where a writer would have to keep rules that Laguna does not know.
pub(crate) fn check_writable(table: &TableName, state: &State) -> Result<()> {
    let refuse = |what: &str| {
        Err(Error::stored(format!("{table} uses {what}, which Laguna cannot keep when it writes"))
            .hint("another program has switched it on: switch it off, or restore the table"))
    };
    let harmless = ["timestampNtz", "vacuumProtocolCheck", "invariants", "appendOnly"];
    match state.protocol.min_writer_version {
        0..=2 => {}
        7 => {
            let features = state.protocol.writer_features.iter().flatten();
            if let Some(name) = features.into_iter().find(|name| !harmless.contains(&name.as_str())) {
                return refuse(&format!("the Delta feature `{name}`"));
            }
        }
        version => return refuse(&format!("Delta writer version {version}")),
    }
    if state.metadata.schema_string.contains("delta.invariants") {
        return refuse("column invariants");
    }
    Ok(())
}

/// Puts `content`, which no other writer puts, as `version` if that version does not exist. `Ok(false)`: another
/// writer has it.
pub(crate) async fn put_entry(
    lake: &Lake,
    table: &TableName,
    version: u64,
    content: bytes::Bytes,
) -> Result<bool> {
    let path = entry(table, version);
    match lake.put(&path, content, PutMode::Create).await {
        Ok(()) => Ok(true),
        Err(object_store::Error::AlreadyExists { .. }) => Ok(false),
        Err(error) => Err(lake.write_error(&path, error)),
    }
}

/// Percent-encodes a relative path as the log wants it (RFC 3986: all but unreserved characters, `/` and `=`).
pub(crate) fn encode(path: &str) -> String {
    let mut text = String::with_capacity(path.len());
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/=".contains(&byte) {
            text.push(byte as char);
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    text
}

/// The inverse of [`encode`]; what is no valid escape stays as it is.
pub(crate) fn decode(path: &str) -> String {
    if !path.contains('%') {
        return path.to_string();
    }
    let bytes = path.as_bytes();
    let mut plain = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let escaped = (bytes[at] == b'%')
            .then(|| path.get(at + 1..at + 3).and_then(|digits| u8::from_str_radix(digits, 16).ok()))
            .flatten();
        plain.push(escaped.unwrap_or(bytes[at]));
        at += if escaped.is_some() { 3 } else { 1 };
    }
    String::from_utf8(plain).unwrap_or_else(|_| path.to_string())
}

/// Deletes one object; one that is gone already is no error.
pub(crate) async fn delete(lake: &Lake, path: &Path) -> Result<()> {
    match lake.objects().delete(path).await {
        Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
        Err(error) => Err(lake.write_error(path.as_ref(), error)),
    }
}
