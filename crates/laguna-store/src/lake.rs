//! One lake: its root, its object store and its clock.

use std::collections::BTreeMap;
use std::error::Error as StdError;
use std::io;
use std::path::{Path as FsPath, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::TryStreamExt;
use laguna_base::{Clock, Error, Result};
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt, PutMode, PutPayload};
use parquet::errors::ParquetError;
use serde::{Deserialize, Serialize};
use tokio::sync::OnceCell;
use url::Url;

use crate::durable::{TEMPORARY, create_folders};
use crate::lease::epoch::Fence;
use crate::objects;
use crate::place::{self, Place};
use crate::scan::Lookups;
use crate::settled::SettledStore;

/// Version of the layout of a lake's folders that this binary reads and writes.
pub const LAYOUT: u32 = 1;

/// Schemes of the URLs that [`Lake::open`] knows.
pub const SCHEMES: [&str; 9] = ["file", "s3", "s3a", "gs", "gcs", "az", "azure", "abfs", "abfss"];

/// After this long without a sign of life a lease can be taken over, unless `storage: {lease_timeout: …}` says so.
const LEASE_TIMEOUT: Duration = Duration::from_secs(60);

/// Writers in the race of the probe.
const RACERS: usize = 8;

const FORMAT: &str = "_laguna/format.json";

/// A handle on one lake. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Lake {
    /// Root, with a trailing slash: `file:///data/lake/`.
    url: Url,
    /// Paths in it are relative to the root: `raw/flights/_delta_log/…`.
    objects: Arc<dyn ObjectStore>,
    /// The same without the rule of the unknown outcome.
    bare: Arc<dyn ObjectStore>,
    clock: Arc<dyn Clock>,
    /// The folder, when the lake is one.
    root: Option<Arc<PathBuf>>,
    prepared: Arc<OnceCell<()>>,
    /// Leases held through this handle and its clones, on stores that are not a folder.
    pub(crate) fences: Arc<Mutex<Vec<Arc<Fence>>>>,
    /// Where rows are found by their values, shared by the handle's clones.
    pub(crate) lookups: Arc<Lookups>,
    lease_timeout: Duration,
}

/// `_laguna/format.json`.
#[derive(Debug, Serialize, Deserialize)]
struct Format {
    layout: u32,
    created_by: String,
}

impl Lake {
    /// Opens the lake at `root`: an absolute path, or a URL with the scheme `file`, `s3`, `gs` or `az`. `options` are
    /// those of `storage:`. Writes nothing: a lake that does not exist yet reads as empty. Refuses a layout newer than
    /// this binary knows.
    pub async fn open(root: &str, options: &BTreeMap<String, String>, clock: Arc<dyn Clock>) -> Result<Lake> {
        let Place { url, objects, folder } = place::find(root, options)?;
        let mut lake = Lake::with_store(url, objects, clock)
            .with_retry_timeout(place::retry_timeout(options)?)
            .with_lease_timeout(place::lease_timeout(options)?.unwrap_or(LEASE_TIMEOUT));
        lake.root = folder.map(Arc::new);
        lake.check_format().await?;
        Ok(lake)
    }

    /// A lake over a given store (tests: memory, fault injection). `objects` is rooted at the lake's root.
    pub fn with_store(url: Url, objects: Arc<dyn ObjectStore>, clock: Arc<dyn Clock>) -> Lake {
        Lake {
            url,
            objects: Arc::new(SettledStore::new(objects.clone(), place::PATIENCE)),
            bare: objects,
            clock,
            root: None,
            prepared: Arc::new(OnceCell::new()),
            fences: Arc::new(Mutex::new(Vec::new())),
            lookups: Arc::default(),
            lease_timeout: LEASE_TIMEOUT,
        }
    }

    /// The same lake with another time after which a store that does not answer is given up.
    pub fn with_retry_timeout(mut self, timeout: Duration) -> Lake {
        self.objects = Arc::new(SettledStore::new(self.bare.clone(), timeout));
        self
    }

    /// The same lake with another time after which a silent holder's lease can be taken over.
    pub fn with_lease_timeout(mut self, timeout: Duration) -> Lake {
        self.lease_timeout = timeout;
        self
    }

    pub(crate) fn lease_timeout(&self) -> Duration {
        self.lease_timeout
    }

    /// Prepares for the first write of a process: creates the root, writes `_laguna/format.json`, and probes that
    /// put-if-absent really refuses. Idempotent and cached.
    pub async fn prepare_for_writing(&self) -> Result<()> {
        self.prepared.get_or_try_init(|| self.prepare()).await.copied()
    }

    async fn prepare(&self) -> Result<()> {
        if let Some(root) = &self.root {
            create_folders(root)
                .map_err(|error| io_error(&format!("cannot create the lake {}", root.display()), error))?;
        }
        if !self.check_format().await? {
            let format =
                Format { layout: LAYOUT, created_by: format!("laguna {}", env!("CARGO_PKG_VERSION")) };
            let text = serde_json::to_string(&format)
                .map_err(|error| Error::internal("the format cannot be written").caused_by(error))?;
            match self.put(FORMAT, text, PutMode::Create).await {
                Ok(()) => {}
                // Someone else has just made the lake.
                Err(object_store::Error::AlreadyExists { .. }) => {
                    self.check_format().await?;
                }
                Err(error) => return Err(self.write_error(FORMAT, error)),
            }
        }
        self.probe().await?;
        self.sweep_temporary().await;
        Ok(())
    }

    /// Whether the lake has a format that this binary can use; false when it has none yet.
    async fn check_format(&self) -> Result<bool> {
        let Some(bytes) = self.get(FORMAT).await? else { return Ok(false) };
        let damaged = || {
            Error::stored(format!("{} is damaged", self.describe(FORMAT)))
                .hint(format!("restore it: {{\"layout\":{LAYOUT},\"created_by\":\"laguna\"}}"))
        };
        let value: serde_json::Value =
            serde_json::from_slice(&bytes).map_err(|error| damaged().caused_by(error))?;
        match value["layout"].as_u64() {
            Some(layout) if layout > u64::from(LAYOUT) => Err(Error::stored(format!(
                "the lake {} has layout {layout}; this Laguna knows layouts up to {LAYOUT}",
                self.url
            ))
            .hint("use the newer Laguna that wrote it")),
            Some(layout) if layout > 0 => Ok(true),
            _ => Err(damaged()),
        }
    }

    /// Puts the same key if absent, twice in turn and, on a store across a network, from several writers at once: a
    /// store that lets more than the first one have it would lose commits.
    async fn probe(&self) -> Result<()> {
        let key = |round: u32| format!("{TEMPORARY}/probe-{round}-{}", uuid::Uuid::now_v7().simple());
        let one = key(1);
        self.put(&one, "1", PutMode::Create).await.map_err(|error| self.write_error(&one, error))?;
        let mut sound = self.is_refused(&one, "2").await? && self.get(&one).await?.as_deref() == Some(b"1");
        let _ = self.objects.delete(&Path::from(one.as_str())).await;
        if self.root.is_none() && sound {
            let many = key(2);
            let writers = (0..RACERS).map(|writer| {
                let many = many.clone();
                async move { self.is_refused(&many, &writer.to_string()).await }
            });
            let refused = futures::future::try_join_all(writers).await?;
            let winner = refused.iter().position(|refused| !refused).map(|winner| winner.to_string());
            sound = refused.iter().filter(|refused| !**refused).count() == 1
                && self.get(&many).await?.as_deref() == winner.as_deref().map(str::as_bytes);
            let _ = self.objects.delete(&Path::from(many.as_str())).await;
        }
        match sound {
            true => Ok(()),
            false => Err(Error::storage(format!(
                "{} is not safe to write to: it lets a second writer replace what was put if absent",
                self.url
            ))
            .hint("commits would be lost; use a store that honours If-None-Match. Reading goes on")),
        }
    }

    /// Whether a put-if-absent is refused because there is an object.
    async fn is_refused(&self, key: &str, content: &str) -> Result<bool> {
        match self.put(key, content.to_string(), PutMode::Create).await {
            Ok(()) => Ok(false),
            Err(object_store::Error::AlreadyExists { .. }) => Ok(true),
            Err(error) => Err(self.write_error(key, error)),
        }
    }

    /// Deletes temporary files that a crash left more than a day ago.
    async fn sweep_temporary(&self) {
        let before = self.clock.now().plus_micros(-86_400_000_000).to_datetime();
        let Ok(files) = self.temporary().await else { return };
        for file in files.iter().filter(|file| file.last_modified < before) {
            let _ = self.objects.delete(&file.location).await;
        }
    }

    /// The files in the folder of those that are on their way.
    async fn temporary(&self) -> Result<Vec<ObjectMeta>> {
        match self.objects.list(Some(&Path::from(TEMPORARY))).try_collect().await {
            Ok(files) => Ok(files),
            Err(object_store::Error::NotFound { .. }) => Ok(Vec::new()),
            Err(error) => Err(self.read_error(TEMPORARY, error)),
        }
    }

    /// Deletes what a crash left of files that were being put, whatever its age: it may hold rows. The caller holds the
    /// lease under which all is written.
    pub(crate) async fn drop_torn(&self) -> Result<()> {
        // What others put to ask the store its time, or whether it can be trusted, has a word in its name.
        let is_torn = |file: &&ObjectMeta| file.location.filename().is_some_and(|name| !name.contains('-'));
        for file in self.temporary().await?.iter().filter(is_torn) {
            objects::delete(self, &file.location).await?;
        }
        Ok(())
    }

    /// The object store, rooted at the lake's root.
    pub fn objects(&self) -> &Arc<dyn ObjectStore> {
        &self.objects
    }

    /// The root's URL, with a trailing slash.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// The clock that all of this lake's times come from.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// The folder, when the lake is one.
    pub(crate) fn root(&self) -> Option<&FsPath> {
        self.root.as_ref().map(|root| root.as_path())
    }

    /// The whole object at `path`; `None` when there is none.
    pub(crate) async fn get(&self, path: &str) -> Result<Option<bytes::Bytes>> {
        objects::get(self, &Path::from(path)).await
    }

    pub(crate) async fn put(
        &self,
        path: &str,
        content: impl Into<PutPayload>,
        mode: PutMode,
    ) -> object_store::Result<()> {
        self.objects.put_opts(&Path::from(path), content.into(), mode.into()).await.map(|_| ())
    }

    /// What to call `path` in a message: the file's path, or its URL.
    pub(crate) fn describe(&self, path: &str) -> String {
        match self.root() {
            Some(root) => root.join(path).display().to_string(),
            None => format!("{}{path}", self.url),
        }
    }

    pub(crate) fn read_error(&self, path: &str, error: object_store::Error) -> Error {
        self.explain(&format!("cannot read {}", self.describe(path)), error)
    }

    pub(crate) fn write_error(&self, path: &str, error: object_store::Error) -> Error {
        self.explain(&format!("cannot write {}", self.describe(path)), error)
    }

    /// Says what a person can do about an error of the store.
    pub(crate) fn explain(&self, what: &str, error: object_store::Error) -> Error {
        use object_store::Error::{Generic, NotFound, PermissionDenied, Unauthenticated};
        let explained = match &error {
            PermissionDenied { .. } if self.root.is_some() => {
                explain_kind(what, Some(io::ErrorKind::PermissionDenied))
            }
            PermissionDenied { .. } | Unauthenticated { .. } => {
                Error::storage(format!("{what}: the store refuses these credentials"))
                    .hint("look at `storage:` and the environment: are they right, and may they do this?")
            }
            NotFound { .. } if self.root.is_none() => Error::storage(format!("{what}: it is not there"))
                .hint(format!("does the bucket of {} exist?", self.url)),
            Generic { .. } if self.root.is_none() => {
                Error::storage(what).hint(format!("does the store of {} answer?", self.url))
            }
            error => explain_kind(what, io_kind(error)),
        };
        explained.caused_by(error)
    }
}

/// The kind of the first input or output error among the causes.
pub(crate) fn io_kind(error: &object_store::Error) -> Option<io::ErrorKind> {
    let mut next: Option<&(dyn StdError + 'static)> = Some(error);
    while let Some(error) = next {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            return Some(error.kind());
        }
        next = error.source();
    }
    None
}

/// Whether it was storage that failed an engine, as the error or its causes say: trying again may help.
pub fn is_of_storage(error: &(dyn StdError + 'static)) -> bool {
    let is = |error: &(dyn StdError + 'static)| {
        error.is::<object_store::Error>()
            || error.is::<io::Error>()
            || error.downcast_ref::<ParquetError>().is_some_and(is_unanswered)
    };
    is(error) || error.source().is_some_and(is_of_storage)
}

/// The engine tells why it could not fetch a footer in words only. A file that is gone does not come back.
fn is_unanswered(error: &ParquetError) -> bool {
    matches!(error, ParquetError::General(text) if text.contains("Object Store error") && !text.contains("not found"))
}

pub(crate) fn io_error(what: &str, error: io::Error) -> Error {
    explain_kind(what, Some(error.kind())).caused_by(error)
}

fn explain_kind(what: &str, kind: Option<io::ErrorKind>) -> Error {
    match kind {
        Some(io::ErrorKind::PermissionDenied) => Error::storage(format!("{what}: permission denied"))
            .hint("check who owns the folder and its mode"),
        Some(io::ErrorKind::ReadOnlyFilesystem) => {
            Error::storage(format!("{what}: the file system is read-only")).hint("mount it for writing")
        }
        Some(io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) => {
            Error::storage(format!("{what}: the disk is full")).hint("free some space and run again")
        }
        Some(io::ErrorKind::NotADirectory) => {
            Error::storage(format!("{what}: a part of the path is a file")).hint("move that file away")
        }
        _ => Error::storage(what.to_string()),
    }
}
