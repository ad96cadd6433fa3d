//! What checks have accumulated of single data files, kept below `_laguna/states` so that nobody has to read the files
//! for it again.
//!
//! A state is a cache: it is put without a lease and without a promise, and what is absent, damaged, of another version
//! or of another file is as if it were not there. It may hold values of its file's rows, so it never outlives the file:
//! maintenance and forgetting delete the states of files that they delete, and whoever puts a state looks afterwards
//! whether its file is still there.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures::TryStreamExt;
use laguna_base::{Result, TableName};
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt, PutPayload};
use tokio::sync::OnceCell;

use crate::snapshot::data_path;
use crate::{DataFile, Lake, objects};

const FOLDER: &str = "_laguna/states";
const ENDING: &str = ".state";

/// First bytes of a state: its name and the version of its form.
const MAGIC: &[u8; 8] = b"lgstate1";

/// Bytes of the accumulators of one file: as many as the file has, within these bounds.
const SMALLEST_ROOM: usize = 512 << 10;
const LARGEST_ROOM: usize = 8 << 20;

/// Bytes of states that one [`FileStates`] holds in memory, at most.
const IN_MEMORY: usize = 64 << 20;

/// Name of one accumulator, by what its content hangs on besides the rows.
pub type Key = [u8; 16];

/// Accumulators of one file, by name.
pub type State = BTreeMap<Key, Bytes>;

/// The name of an accumulator that is described by `text`.
pub fn key(text: &str) -> Key {
    let mut key = Key::default();
    key.iter_mut().zip(blake3::hash(text.as_bytes()).as_bytes()).for_each(|(key, hash)| *key = *hash);
    key
}

/// The states of one table's files.
#[derive(Debug)]
pub struct FileStates {
    lake: Lake,
    table: TableName,
    /// Those that were there when the first was asked for, and their bytes.
    there: OnceCell<HashSet<Path>>,
    known: Mutex<Known>,
    /// Whether the store did not take one.
    refused: AtomicBool,
}

#[derive(Debug, Default)]
struct Known {
    states: HashMap<String, Arc<State>>,
    bytes: usize,
}

impl Lake {
    /// The kept states of the files of `table`.
    pub fn file_states(&self, table: &TableName) -> FileStates {
        FileStates {
            lake: self.clone(),
            table: table.clone(),
            there: OnceCell::new(),
            known: Mutex::default(),
            refused: AtomicBool::new(false),
        }
    }

    /// Deletes the states of those files of `table` that are not `named`, and counts their bytes. The files themselves
    /// must be gone by then, or be seen by nobody: else a check that goes on could put a state again.
    pub(crate) async fn sweep_states(
        &self,
        table: &TableName,
        named: &HashSet<Path>,
        dry_run: bool,
    ) -> Result<u64> {
        let folder = folder(table);
        let found: Vec<ObjectMeta> = match self.objects().list(Some(&folder)).try_collect().await {
            Ok(found) => found,
            Err(object_store::Error::NotFound { .. }) => return Ok(0),
            Err(error) => return Err(self.read_error(folder.as_ref(), error)),
        };
        let named: HashSet<Option<Path>> = named.iter().map(|file| state_of(table, file)).collect();
        let mut bytes = 0;
        for state in found.into_iter().filter(|state| !named.contains(&Some(state.location.clone()))) {
            bytes += state.size;
            if !dry_run {
                objects::delete(self, &state.location).await?;
            }
        }
        Ok(bytes)
    }
}

impl FileStates {
    /// What is kept of `file`, and the bytes that were fetched for it; nothing when anything is in doubt.
    pub async fn of(&self, file: &DataFile) -> (Arc<State>, u64) {
        if let Some(known) = self.known().states.get(&file.path) {
            return (known.clone(), 0);
        }
        let Some(path) = self.path(file) else { return Default::default() };
        if !self.there.get_or_init(|| self.list()).await.contains(&path) {
            return Default::default();
        }
        let bytes = match objects::get(&self.lake, &path).await {
            Ok(bytes) => bytes.unwrap_or_default(),
            Err(error) => {
                tracing::debug!(%path, %error, "the state of a file cannot be read");
                return Default::default();
            }
        };
        let Some(state) = decode(&bytes, file) else {
            tracing::debug!(%path, "the state of a file is none that this version reads");
            return (Arc::default(), bytes.len() as u64);
        };
        let state = Arc::new(state);
        self.remember(file, state.clone());
        (state, bytes.len() as u64)
    }

    /// Keeps `new` of `file` beside those of its accumulators that are `used`, and the others as far as there is room.
    /// Gives the names of the new ones for which there is none. Whether the store took the others shows when they are
    /// asked for again.
    pub async fn keep(&self, file: &DataFile, new: State, used: &HashSet<Key>) -> HashSet<Key> {
        if new.is_empty() {
            return HashSet::new();
        }
        let (old, _) = self.of(file).await;
        let room = (file.size as usize).clamp(SMALLEST_ROOM, LARGEST_ROOM);
        let mut state = State::new();
        let mut size = 0;
        let mut put = |key: Key, content: &Bytes| {
            let fits = size + content.len() <= room;
            if fits && state.insert(key, content.clone()).is_none() {
                size += content.len();
            }
            fits
        };
        // What is used goes before what is new: else two that have no room together would take turns.
        let (wanted, others): (Vec<_>, Vec<_>) = old.iter().partition(|(key, _)| used.contains(*key));
        for (key, content) in wanted {
            put(*key, content);
        }
        let mut by_size: Vec<(&Key, &Bytes)> = new.iter().collect();
        by_size.sort_by_key(|(_, content)| content.len());
        let refused: HashSet<Key> =
            by_size.into_iter().filter(|(key, content)| !put(**key, content)).map(|(key, _)| *key).collect();
        for (key, content) in others {
            put(*key, content);
        }
        if refused.len() == new.len() {
            return refused;
        }
        let state = Arc::new(state);
        self.remember(file, state.clone());
        if !self.refused.load(Ordering::Relaxed)
            && let Err(error) = self.put(file, &state).await
        {
            // A lake that may only be read keeps none; that is told once.
            self.refused.store(true, Ordering::Relaxed);
            tracing::debug!(table = %self.table, %error, "states of files are not kept");
        }
        refused
    }

    async fn put(&self, file: &DataFile, state: &State) -> object_store::Result<()> {
        let (Some(path), Ok(data)) = (self.path(file), data_path(&self.table, &file.path)) else {
            return Ok(());
        };
        // Whoever deletes files deletes their states after them: one that is put for a file which is there is either
        // seen by him, or sees afterwards that the file has gone.
        if is_gone(self.lake.objects().head(&data).await)? {
            return Ok(());
        }
        self.lake.objects().put(&path, PutPayload::from(encode(file, state))).await?;
        match is_gone(self.lake.objects().head(&data).await) {
            Ok(false) => Ok(()),
            // Also when nobody can tell.
            Ok(true) | Err(_) => self.lake.objects().delete(&path).await,
        }
    }

    async fn list(&self) -> HashSet<Path> {
        let found = self.lake.objects().list(Some(&folder(&self.table)));
        found.map_ok(|object| object.location).try_collect().await.unwrap_or_default()
    }

    fn path(&self, file: &DataFile) -> Option<Path> {
        state_of(&self.table, &data_path(&self.table, &file.path).ok()?)
    }

    fn remember(&self, file: &DataFile, state: Arc<State>) {
        let mut known = self.known();
        let size = |state: &State| state.values().map(|content| content.len() + 64).sum::<usize>();
        let added = size(&state);
        let replaced = known.states.get(&file.path).map_or(0, |old| size(old));
        if known.bytes - replaced + added <= IN_MEMORY {
            known.bytes = known.bytes - replaced + added;
            known.states.insert(file.path.clone(), state);
        } else if known.states.remove(&file.path).is_some() {
            known.bytes -= replaced;
        }
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_gone(found: object_store::Result<ObjectMeta>) -> object_store::Result<bool> {
    match found {
        Ok(_) => Ok(false),
        Err(object_store::Error::NotFound { .. }) => Ok(true),
        Err(error) => Err(error),
    }
}

fn folder(table: &TableName) -> Path {
    Path::from(format!("{FOLDER}/{table}"))
}

/// Where the state of the data file at `file` lies: the same path below the table's folder of states.
fn state_of(table: &TableName, file: &Path) -> Option<Path> {
    let within = file.as_ref().strip_prefix(&table.path())?.strip_prefix('/')?;
    Path::parse(format!("{}/{within}{ENDING}", folder(table))).ok()
}

/// Name and version, a hash of all that follows, the file, the accumulators.
fn encode(file: &DataFile, state: &State) -> Vec<u8> {
    let mut content = Vec::new();
    let mut put = |bytes: &[u8]| {
        content.extend((bytes.len() as u32).to_le_bytes());
        content.extend(bytes);
    };
    put(file.path.as_bytes());
    put(&file.size.to_le_bytes());
    put(&file.rows.to_le_bytes());
    for (key, accumulator) in state {
        put(key);
        put(accumulator);
    }
    let hash = blake3::hash(&content);
    [MAGIC.as_slice(), hash.as_bytes(), &content].concat()
}

/// The accumulators of `file`; `None` when the bytes are not whole, of another version, or of another file.
fn decode(bytes: &Bytes, file: &DataFile) -> Option<State> {
    let head = MAGIC.len() + blake3::OUT_LEN;
    let content = bytes.get(head..)?;
    if !bytes.starts_with(MAGIC) || blake3::hash(content).as_bytes().as_slice() != &bytes[MAGIC.len()..head] {
        return None;
    }
    let mut at = head;
    let mut next = || {
        let length = u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?) as usize;
        let start = at + 4;
        bytes.get(start..start + length)?;
        at = start + length;
        Some(bytes.slice(start..at))
    };
    let same = next()? == file.path.as_bytes()
        && next()? == file.size.to_le_bytes().as_slice()
        && next()? == file.rows.to_le_bytes().as_slice();
    if !same {
        return None;
    }
    let mut state = State::new();
    while let Some(key) = next() {
        state.insert(key.as_ref().try_into().ok()?, next()?);
    }
    (at == bytes.len()).then_some(state)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use laguna_base::{Instant, SystemClock};
    use object_store::memory::InMemory;

    use super::*;

    fn file(path: &str, size: u64) -> DataFile {
        DataFile {
            path: path.to_string(),
            size,
            modified: Instant::from_micros(0),
            rows: 3,
            partition_values: BTreeMap::new(),
            stats: None,
        }
    }

    fn one(text: &str, bytes: usize) -> State {
        State::from([(key(text), Bytes::from(vec![7; bytes]))])
    }

    async fn lake() -> (Lake, TableName) {
        let url = url::Url::parse("memory:///").unwrap();
        let lake = Lake::with_store(url, Arc::new(InMemory::new()), Arc::new(SystemClock));
        let table: TableName = "raw.t".parse().unwrap();
        for path in ["raw/t/a.parquet", "raw/t/day=1/b.parquet"] {
            lake.objects().put(&Path::from(path), PutPayload::from_static(b"rows")).await.unwrap();
        }
        (lake, table)
    }

    #[tokio::test]
    async fn a_state_applies_to_its_file_alone() {
        let (lake, table) = lake().await;
        let a = file("a.parquet", 4);
        lake.file_states(&table).keep(&a, one("sum", 5), &HashSet::new()).await;
        let states = lake.file_states(&table);
        assert_eq!(*states.of(&a).await.0, one("sum", 5));
        assert!(states.of(&file("day=1/b.parquet", 4)).await.0.is_empty());
        assert!(lake.file_states(&table).of(&file("a.parquet", 5)).await.0.is_empty(), "another size");
        // The bytes of one file's state in the place of another's.
        let state = lake.get("_laguna/states/raw.t/a.parquet.state").await.unwrap().unwrap();
        lake.objects()
            .put(&Path::from("_laguna/states/raw.t/day=1/b.parquet.state"), PutPayload::from(state.clone()))
            .await
            .unwrap();
        assert!(lake.file_states(&table).of(&file("day=1/b.parquet", 4)).await.0.is_empty());
        // Every damaged byte, and every cut, is noticed.
        for at in 0..state.len() {
            let mut damaged = state.to_vec();
            damaged[at] ^= 1;
            assert_eq!(decode(&Bytes::from(damaged), &a), None, "byte {at}");
            assert_eq!(decode(&state.slice(..at), &a), None, "the first {at} bytes");
        }
    }

    #[tokio::test]
    async fn what_is_used_stays_and_the_rest_as_far_as_there_is_room() {
        let (lake, table) = lake().await;
        let a = file("a.parquet", 4);
        let states = lake.file_states(&table);
        let none = HashSet::new();
        assert!(states.keep(&a, one("old", SMALLEST_ROOM / 2), &none).await.is_empty());
        assert!(states.keep(&a, one("used", SMALLEST_ROOM / 2), &none).await.is_empty());
        let mut new = one("new", SMALLEST_ROOM / 4);
        new.append(&mut one("large", SMALLEST_ROOM));
        assert_eq!(states.keep(&a, new, &HashSet::from([key("used")])).await, HashSet::from([key("large")]));
        let kept = lake.file_states(&table).of(&a).await.0;
        let kept: HashSet<Key> = kept.keys().copied().collect();
        assert_eq!(kept, HashSet::from([key("used"), key("new")]));
    }

    #[tokio::test]
    async fn no_state_outlives_its_file() {
        let (lake, table) = lake().await;
        let gone = file("gone.parquet", 4);
        lake.file_states(&table).keep(&gone, one("sum", 5), &HashSet::new()).await;
        assert!(lake.get("_laguna/states/raw.t/gone.parquet.state").await.unwrap().is_none());
        for path in ["a.parquet", "day=1/b.parquet"] {
            lake.file_states(&table).keep(&file(path, 4), one("sum", 5), &HashSet::new()).await;
        }
        let named = HashSet::from([Path::from("raw/t/a.parquet")]);
        assert!(lake.sweep_states(&table, &named, true).await.unwrap() > 0);
        assert!(lake.get("_laguna/states/raw.t/day=1/b.parquet.state").await.unwrap().is_some());
        assert!(lake.sweep_states(&table, &named, false).await.unwrap() > 0);
        assert!(lake.get("_laguna/states/raw.t/day=1/b.parquet.state").await.unwrap().is_none());
        assert!(lake.get("_laguna/states/raw.t/a.parquet.state").await.unwrap().is_some());
    }
}
