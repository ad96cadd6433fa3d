//! What a process that reads a lake again and again keeps open: the newest release, and table versions that it has read.
//!
//! Nothing kept is ever believed to be the newest without asking: releases and log entries are numbered without gaps, so one look
//! for the next number tells. Because maintenance and erasures delete entries, what was kept for [`RECHECK`] is read anew.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant as Stopwatch};

use laguna_base::{Result, TableName};
use object_store::ObjectStoreExt;
use object_store::path::Path;

use crate::release::path_of;
use crate::{Lake, Release, Snapshot, log};

/// After this long a look for the next number is not enough: it may have been deleted again.
const RECHECK: Duration = Duration::from_secs(60);

/// Table versions that are kept at most; those that were not used for the longest time go first.
const VERSIONS: usize = 512;

/// Open releases and table versions of one lake, shared by all sessions of a process.
#[derive(Debug)]
pub struct Handles {
    lake: Lake,
    release: Mutex<Option<Known<Arc<Release>>>>,
    heads: Mutex<HashMap<TableName, Known<Arc<Snapshot>>>>,
    versions: Mutex<HashMap<(TableName, u64), Used>>,
}

#[derive(Debug, Clone)]
struct Known<T> {
    value: T,
    read: Stopwatch,
}

#[derive(Debug)]
struct Used {
    snapshot: Arc<Snapshot>,
    last: Stopwatch,
}

impl Handles {
    /// Nothing is open yet.
    pub fn new(lake: Lake) -> Handles {
        Handles { lake, release: Mutex::default(), heads: Mutex::default(), versions: Mutex::default() }
    }

    /// The lake.
    pub fn lake(&self) -> &Lake {
        &self.lake
    }

    /// The newest release; `None` before the first.
    pub async fn release(&self) -> Result<Option<Arc<Release>>> {
        let known = lock(&self.release).clone();
        if let Some(known) = &known
            && known.read.elapsed() < RECHECK
            && !self.exists(&path_of(known.value.number + 1)).await?
        {
            return Ok(Some(known.value.clone()));
        }
        let read = Stopwatch::now();
        let Some(release) = self.lake.release().await? else { return Ok(None) };
        let value = match known {
            Some(known) if *known.value == release => known.value,
            // An erasure rewrites versions and logs, and is told by a release: what that no longer names is not kept.
            _ => {
                lock(&self.heads).clear();
                lock(&self.versions).retain(|(table, version), _| {
                    release.tables.get(table).and_then(|released| released.version) == Some(*version)
                });
                Arc::new(release)
            }
        };
        *lock(&self.release) = Some(Known { value: value.clone(), read });
        Ok(Some(value))
    }

    /// The newest version of `table`; `None` when it does not exist.
    pub async fn head(&self, table: &TableName) -> Result<Option<Arc<Snapshot>>> {
        let known = lock(&self.heads).get(table).cloned();
        if let Some(known) = known
            && known.read.elapsed() < RECHECK
            && !self.exists(&Path::from(log::entry(table, known.value.version + 1))).await?
        {
            return Ok(Some(known.value));
        }
        let read = Stopwatch::now();
        let Some(head) = self.lake.head(table).await? else {
            lock(&self.heads).remove(table);
            return Ok(None);
        };
        let value = Arc::new(head);
        lock(&self.heads).insert(table.clone(), Known { value: value.clone(), read });
        Ok(Some(value))
    }

    /// Number of the newest version of `table`; `None` when it does not exist.
    pub async fn head_version(&self, table: &TableName) -> Result<Option<u64>> {
        let known = lock(&self.heads).get(table).cloned();
        match known {
            Some(_) => Ok(self.head(table).await?.map(|head| head.version)),
            None => self.lake.head_version(table).await,
        }
    }

    /// One version of `table`.
    pub async fn snapshot(&self, table: &TableName, version: u64) -> Result<Arc<Snapshot>> {
        let key = (table.clone(), version);
        if let Some(used) = lock(&self.versions).get_mut(&key) {
            used.last = Stopwatch::now();
            return Ok(used.snapshot.clone());
        }
        let snapshot = Arc::new(self.lake.snapshot(table, version).await?);
        let mut versions = lock(&self.versions);
        if versions.len() >= VERSIONS
            && let Some(oldest) =
                versions.iter().min_by_key(|(_, used)| used.last).map(|(key, _)| key.clone())
        {
            versions.remove(&oldest);
        }
        versions.insert(key, Used { snapshot: snapshot.clone(), last: Stopwatch::now() });
        Ok(snapshot)
    }

    /// Opens the newest release's versions of the tables that were read so far, so that the next statement finds them.
    pub async fn refresh(&self) -> Result<()> {
        let tables: Vec<TableName> = lock(&self.versions).keys().map(|(table, _)| table.clone()).collect();
        let before = lock(&self.release).as_ref().map(|known| known.value.number);
        let Some(release) = self.release().await? else { return Ok(()) };
        if before == Some(release.number) {
            return Ok(());
        }
        for table in tables {
            if let Some(version) = release.tables.get(&table).and_then(|released| released.version) {
                self.snapshot(&table, version).await?;
            }
        }
        Ok(())
    }

    async fn exists(&self, path: &Path) -> Result<bool> {
        match self.lake.objects().head(path).await {
            Ok(_) => Ok(true),
            Err(object_store::Error::NotFound { .. }) => Ok(false),
            Err(error) => Err(self.lake.read_error(path.as_ref(), error)),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
