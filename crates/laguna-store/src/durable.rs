//! A local folder as an object store whose puts survive a power cut.
//!
//! `object_store`'s local store never syncs, and it links a file before its bytes are on the disk. Here a put writes
//! a temporary file, syncs it, gives it its name (atomically, and for put-if-absent only when the name is free), and
//! syncs the folder; only then it counts. Temporary files lie in `_laguna/tmp`, where a crash may leave them.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::ops::Range;
use std::path::{Path as FsPath, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt, TryFutureExt, TryStreamExt};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMode,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result, UploadPart,
};

use crate::kill_point::KillPoint;

/// Folder of temporary files below the root.
pub(crate) const TEMPORARY: &str = "_laguna/tmp";

/// See the head of this file.
#[derive(Debug)]
pub(crate) struct DurableStore {
    inner: PrefixStore<LocalFileSystem>,
    root: PathBuf,
    kill: Arc<KillPoint>,
}

impl DurableStore {
    /// A store of the folder `root`, which need not exist.
    pub(crate) fn new(root: &FsPath) -> Result<Self> {
        let prefix = Path::from_absolute_path(root)?;
        Ok(DurableStore {
            inner: PrefixStore::new(LocalFileSystem::new(), prefix),
            root: root.to_path_buf(),
            kill: Arc::new(KillPoint::from_environment()),
        })
    }

    fn file(&self, location: &Path) -> PathBuf {
        location.parts().fold(self.root.clone(), |path, part| path.join(part.as_ref()))
    }

    /// Makes the name of `location` durable.
    async fn sync_name(&self, location: &Path, content_too: bool) -> Result<()> {
        let file = self.file(location);
        blocking(location, move || {
            if content_too {
                File::open(&file)?.sync_data()?;
            }
            sync_folder_of(&file)
        })
        .await
    }
}

async fn blocking<T: Send + 'static>(
    location: &Path,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T> {
    let path = location.to_string();
    match tokio::task::spawn_blocking(work).await? {
        Ok(value) => Ok(value),
        Err(error) => Err(match error.kind() {
            io::ErrorKind::AlreadyExists => Error::AlreadyExists { path, source: error.into() },
            io::ErrorKind::PermissionDenied => Error::PermissionDenied { path, source: error.into() },
            io::ErrorKind::NotFound => Error::NotFound { path, source: error.into() },
            _ => Error::Generic { store: "local folder", source: error.into() },
        }),
    }
}

fn sync_folder_of(file: &FsPath) -> io::Result<()> {
    match file.parent() {
        Some(folder) if cfg!(unix) => File::open(folder)?.sync_all(),
        _ => Ok(()),
    }
}

/// Creates `folder` and those above it; each new name is synced.
pub(crate) fn create_folders(folder: &FsPath) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    if let Some(parent) = folder.parent() {
        create_folders(parent)?;
    }
    match std::fs::create_dir(folder) {
        Ok(()) => sync_folder_of(folder),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && folder.is_dir() => Ok(()),
        Err(error) => Err(error),
    }
}

/// Runs `work`, once more with the folder of `file` created when that was missing.
fn with_folder<T>(file: &FsPath, work: impl Fn() -> io::Result<T>) -> io::Result<T> {
    match (work(), file.parent()) {
        (Err(error), Some(folder)) if error.kind() == io::ErrorKind::NotFound => {
            create_folders(folder)?;
            work()
        }
        (result, _) => result,
    }
}

fn put_file(temporary: &FsPath, target: &FsPath, payload: &PutPayload, create: bool) -> io::Result<()> {
    let mut file =
        with_folder(temporary, || OpenOptions::new().write(true).create_new(true).open(temporary))?;
    payload.iter().try_for_each(|part| file.write_all(part))?;
    file.sync_data()?;
    drop(file);
    with_folder(target, || match create {
        true => std::fs::hard_link(temporary, target),
        false => std::fs::rename(temporary, target),
    })?;
    sync_folder_of(target)
}

/// Listings in the order of names, as object stores give them: readers of Delta logs count on it.
fn sorted(listing: BoxStream<'static, Result<ObjectMeta>>) -> BoxStream<'static, Result<ObjectMeta>> {
    let all = async move {
        let mut objects: Vec<ObjectMeta> = listing.try_collect().await?;
        objects.sort_unstable_by(|a, b| a.location.cmp(&b.location));
        Ok::<_, Error>(futures::stream::iter(objects.into_iter().map(Ok)))
    };
    all.try_flatten_stream().boxed()
}

#[async_trait]
impl ObjectStore for DurableStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        let create = match opts.mode {
            PutMode::Create => true,
            PutMode::Overwrite => false,
            PutMode::Update(_) => {
                return Err(Error::NotImplemented {
                    operation: "conditional update".into(),
                    implementer: self.to_string(),
                });
            }
        };
        let target = self.file(location);
        let temporary = self.root.join(TEMPORARY).join(uuid::Uuid::now_v7().simple().to_string());
        self.kill.step("before put", location);
        blocking(location, move || {
            let result = put_file(&temporary, &target, &payload, create);
            if create || result.is_err() {
                // The link keeps the content; what is left behind here is swept later.
                let _ = std::fs::remove_file(&temporary);
            }
            result
        })
        .await?;
        self.kill.step("after put", location);
        Ok(PutResult { e_tag: None, version: None })
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let file = self.file(location);
        blocking(location, move || file.parent().map_or(Ok(()), create_folders)).await?;
        let inner = self.inner.put_multipart_opts(location, opts).await?;
        Ok(Box::new(DurableUpload {
            inner,
            file: Arc::new(self.file(location)),
            location: location.clone(),
            kill: self.kill.clone(),
        }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.inner.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.inner.get_ranges(location, ranges).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let kill = self.kill.clone();
        let steps = locations.inspect_ok(move |location| kill.step("before delete", location));
        self.inner.delete_stream(steps.boxed())
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        sorted(self.inner.list(prefix))
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        sorted(self.inner.list_with_offset(prefix, offset))
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await?;
        self.sync_name(to, true).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.inner.rename_opts(from, to, options).await?;
        self.sync_name(to, true).await
    }
}

impl fmt::Display for DurableStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.root.display())
    }
}

/// An upload in parts that is synced when it completes.
#[derive(Debug)]
struct DurableUpload {
    inner: Box<dyn MultipartUpload>,
    file: Arc<PathBuf>,
    location: Path,
    kill: Arc<KillPoint>,
}

#[async_trait]
impl MultipartUpload for DurableUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        self.inner.put_part(data)
    }

    async fn complete(&mut self) -> Result<PutResult> {
        self.kill.step("before the end of an upload", &self.location);
        let result = self.inner.complete().await?;
        let file = self.file.clone();
        blocking(&self.location, move || {
            File::open(file.as_path())?.sync_data()?;
            sync_folder_of(&file)
        })
        .await?;
        self.kill.step("after the end of an upload", &self.location);
        Ok(result)
    }

    async fn abort(&mut self) -> Result<()> {
        self.inner.abort().await
    }
}
