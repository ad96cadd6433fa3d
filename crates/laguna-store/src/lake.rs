//! One lake: its root, its object store and its clock.

use std::collections::{BTreeMap, HashMap};
use std::error::Error as StdError;
use std::io;
use std::path::{Path as FsPath, PathBuf};
use std::sync::{Arc, Mutex};

use futures::TryStreamExt;
use laguna_base::{Clock, Error, Result};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutPayload};
use serde::{Deserialize, Serialize};
use tokio::sync::OnceCell;
use url::Url;

use crate::durable::{DurableStore, TEMPORARY, create_folders};

/// Version of the layout of a lake's folders that this binary reads and writes.
pub const LAYOUT: u32 = 1;

const FORMAT: &str = "_laguna/format.json";

/// A handle on one lake. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Lake {
    /// Root, with a trailing slash: `file:///data/lake/`.
    url: Url,
    /// Paths in it are relative to the root: `raw/flights/_delta_log/…`.
    objects: Arc<dyn ObjectStore>,
    clock: Arc<dyn Clock>,
    /// The folder, when the lake is one.
    root: Option<Arc<PathBuf>>,
    prepared: Arc<OnceCell<()>>,
    /// Holders of leases by name, for stores that are not a folder.
    pub(crate) leases: Arc<Mutex<HashMap<String, String>>>,
}

/// `_laguna/format.json`.
#[derive(Debug, Serialize, Deserialize)]
struct Format {
    layout: u32,
    created_by: String,
}

impl Lake {
    /// Opens the lake at `root` (an absolute path or a `file://` URL). Writes nothing: a lake that does not exist yet
    /// reads as empty. Refuses a layout newer than this binary knows.
    pub async fn open(root: &str, options: &BTreeMap<String, String>, clock: Arc<dyn Clock>) -> Result<Lake> {
        let path = local_root(root)?;
        if let Some(option) = options.keys().next() {
            tracing::debug!(option, "a lake in a folder has no storage options: ignored");
        }
        let path = resolve(&path);
        if path.exists() && !path.is_dir() {
            return Err(Error::project(format!("the lake {} is a file", path.display()))
                .hint("`lake:` names a folder"));
        }
        let unusable = || Error::project(format!("{} cannot be the root of a lake", path.display()));
        let url = Url::from_directory_path(&path).map_err(|()| unusable().hint("write an absolute path"))?;
        let objects = DurableStore::new(&path).map_err(|error| unusable().caused_by(error))?;
        let mut lake = Lake::with_store(url, Arc::new(objects), clock);
        lake.root = Some(Arc::new(path));
        lake.check_format().await?;
        Ok(lake)
    }

    /// A lake over a given store (tests: memory, fault injection). `objects` is rooted at the lake's root.
    pub fn with_store(url: Url, objects: Arc<dyn ObjectStore>, clock: Arc<dyn Clock>) -> Lake {
        Lake {
            url,
            objects,
            clock,
            root: None,
            prepared: Arc::new(OnceCell::new()),
            leases: Arc::new(Mutex::new(HashMap::new())),
        }
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

    /// Puts the same key twice if absent: a store that accepts both would lose commits.
    async fn probe(&self) -> Result<()> {
        let key = format!("{TEMPORARY}/probe-{}", uuid::Uuid::now_v7().simple());
        self.put(&key, "1", PutMode::Create).await.map_err(|error| self.write_error(&key, error))?;
        let second = self.put(&key, "2", PutMode::Create).await;
        let _ = self.objects.delete(&Path::from(key.as_str())).await;
        match second {
            Err(object_store::Error::AlreadyExists { .. }) => Ok(()),
            Err(error) => Err(self.write_error(&key, error)),
            Ok(()) => Err(Error::storage(format!("{} overwrites what exists", self.url))
                .hint("commits need put-if-absent: use a store that honours If-None-Match")),
        }
    }

    /// Deletes temporary files that a crash left more than a day ago.
    async fn sweep_temporary(&self) {
        let before = self.clock.now().plus_micros(-86_400_000_000).to_datetime();
        let folder = Path::from(TEMPORARY);
        let old: Vec<Path> = match self.objects.list(Some(&folder)).try_collect::<Vec<_>>().await {
            Ok(files) => {
                files.into_iter().filter(|file| file.last_modified < before).map(|f| f.location).collect()
            }
            Err(_) => return,
        };
        for file in old {
            let _ = self.objects.delete(&file).await;
        }
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
        let location = Path::from(path);
        let result = match self.objects.get(&location).await {
            Ok(found) => found.bytes().await,
            Err(error) => Err(error),
        };
        match result {
            Ok(bytes) => Ok(Some(bytes)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(self.read_error(path, error)),
        }
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
        explain(&format!("cannot read {}", self.describe(path)), error)
    }

    pub(crate) fn write_error(&self, path: &str, error: object_store::Error) -> Error {
        explain(&format!("cannot write {}", self.describe(path)), error)
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

fn explain(what: &str, error: object_store::Error) -> Error {
    let kind = match &error {
        object_store::Error::PermissionDenied { .. } => Some(io::ErrorKind::PermissionDenied),
        error => io_kind(error),
    };
    explain_kind(what, kind).caused_by(error)
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

fn local_root(root: &str) -> Result<PathBuf> {
    let later = |scheme: &str| {
        Error::project(format!("lakes on {scheme}:// are not available in this version"))
            .hint("use a folder: an absolute path or file:///…")
    };
    match root.split_once("://") {
        Some(("file", _)) => Url::parse(root).ok().and_then(|url| url.to_file_path().ok()).ok_or_else(|| {
            Error::project(format!("`{root}` is not a file URL")).hint("write file:///data/lake")
        }),
        Some((scheme, _)) => Err(later(scheme)),
        None if FsPath::new(root).is_absolute() => Ok(PathBuf::from(root)),
        None => Err(Error::project(format!("the lake `{root}` is not an absolute path"))),
    }
}

/// `path` without symbolic links and `..`, as far as it exists.
fn resolve(path: &FsPath) -> PathBuf {
    let mut missing = Vec::new();
    let mut existing = path;
    loop {
        if let Ok(real) = existing.canonicalize() {
            return missing.into_iter().rev().fold(real, |path, part| path.join(part));
        }
        match (existing.parent(), existing.file_name()) {
            (Some(parent), Some(name)) => {
                missing.push(name);
                existing = parent;
            }
            _ => return path.to_path_buf(),
        }
    }
}
