//! The rule of the unknown outcome: an error of a put never proves that nothing was put.
//!
//! A put-if-absent whose answer was lost, or that a client repeated and that then met its own object, is read back
//! here before anything is said: it succeeded when the object holds exactly its bytes. Writers make their bytes unlike
//! any other's (an id in each commit, release and lease), so that no winner is mistaken for oneself.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use backon::{BackoffBuilder, ExponentialBuilder};
use bytes::Bytes;
use futures::stream::BoxStream;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    ObjectStoreExt, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result,
};

use crate::lake::io_kind;

/// See the head of this file. Everything but put-if-absent is passed on.
#[derive(Debug)]
pub(crate) struct SettledStore {
    inner: Arc<dyn ObjectStore>,
    patience: Duration,
}

impl SettledStore {
    /// Asks after the outcome of one put for as long as `patience`.
    pub(crate) fn new(inner: Arc<dyn ObjectStore>, patience: Duration) -> Self {
        SettledStore { inner, patience }
    }

    async fn put_if_absent(
        &self,
        location: &Path,
        payload: PutPayload,
        opts: PutOptions,
    ) -> Result<PutResult> {
        let deadline = Instant::now() + self.patience;
        let mut pauses = ExponentialBuilder::default()
            .with_min_delay(Duration::from_millis(50))
            .with_max_delay(Duration::from_secs(5))
            .without_max_times()
            .with_jitter()
            .build();
        loop {
            let error = match self.inner.put_opts(location, payload.clone(), opts.clone()).await {
                Err(error) => error,
                done => return done,
            };
            let found = match self.inner.get(location).await {
                Ok(found) => {
                    let put =
                        PutResult { e_tag: found.meta.e_tag.clone(), version: found.meta.version.clone() };
                    found.bytes().await.map(|bytes| (put, bytes))
                }
                Err(error) => Err(error),
            };
            match found {
                Ok((put, bytes)) if is_equal(&bytes, &payload) => return Ok(put),
                Ok(_) => {
                    return Err(Error::AlreadyExists { path: location.to_string(), source: error.into() });
                }
                Err(unread) if !is_transient(&error) && !is_transient(&unread) => return Err(error),
                Err(_) => {}
            }
            let pause = pauses.next().unwrap_or_default();
            if Instant::now() + pause > deadline {
                return Err(error);
            }
            tracing::warn!(%location, %error, "a put failed, trying again");
            tokio::time::sleep(pause).await;
        }
    }
}

fn is_equal(bytes: &Bytes, payload: &PutPayload) -> bool {
    let mut rest = bytes.as_ref();
    bytes.len() == payload.content_length()
        && payload.iter().all(|part| {
            let (head, tail) = rest.split_at(part.len());
            rest = tail;
            head == part.as_ref()
        })
}

/// Whether another try may find another outcome.
fn is_transient(error: &Error) -> bool {
    use std::io::ErrorKind;
    match error {
        // Refused although nothing is there: the winner's object is not visible yet.
        Error::AlreadyExists { .. } | Error::Precondition { .. } => true,
        Error::Generic { .. } | Error::JoinError { .. } => !matches!(
            io_kind(error),
            Some(
                ErrorKind::StorageFull
                    | ErrorKind::QuotaExceeded
                    | ErrorKind::ReadOnlyFilesystem
                    | ErrorKind::PermissionDenied
                    | ErrorKind::NotADirectory
                    | ErrorKind::IsADirectory
                    | ErrorKind::Unsupported
            )
        ),
        _ => false,
    }
}

#[async_trait]
impl ObjectStore for SettledStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        match opts.mode {
            PutMode::Create => self.put_if_absent(location, payload, opts).await,
            _ => self.inner.put_opts(location, payload, opts).await,
        }
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(location, opts).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.inner.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.inner.get_ranges(location, ranges).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.inner.rename_opts(from, to, options).await
    }
}

impl fmt::Display for SettledStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}
