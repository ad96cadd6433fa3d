//! A store in memory that counts its calls and disturbs a chosen one.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::*;

/// What happens to the chosen call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It fails and has no effect.
    Refused,
    /// It has its effect, but the answer is lost; that of a read or a listing breaks off half way.
    Lost,
    /// It takes its time.
    Slow,
    /// It and the two calls after it are told to slow down.
    Throttled,
    /// From this call on the store does not answer.
    Down,
}

impl Fault {
    pub const ALL: [Fault; 5] = [Fault::Refused, Fault::Lost, Fault::Slow, Fault::Throttled, Fault::Down];
}

/// How many calls in a row are throttled.
const THROTTLED: usize = 3;

/// How long a slow call takes.
const SLOW: Duration = Duration::from_millis(100);

/// See the head of this file. Clones share one count.
#[derive(Debug, Clone)]
pub struct FaultStore {
    inner: Arc<InMemory>,
    fault: Fault,
    /// The call that is disturbed, from 1; 0 for none.
    at: usize,
    calls: Arc<AtomicUsize>,
    hit: Arc<Mutex<Option<String>>>,
}

impl FaultStore {
    pub fn new(inner: Arc<InMemory>, fault: Fault, at: usize) -> FaultStore {
        FaultStore { inner, fault, at, calls: Arc::default(), hit: Arc::default() }
    }

    /// A store that only counts.
    pub fn counting(inner: Arc<InMemory>) -> FaultStore {
        FaultStore::new(inner, Fault::Slow, 0)
    }

    /// How many calls there were.
    pub fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    /// The call that was disturbed: what it does, and to which object.
    pub fn hit(&self) -> Option<String> {
        self.hit.lock().unwrap().clone()
    }

    fn draw(&self, call: &'static str, what: &str) -> Option<Fault> {
        let number = self.calls.fetch_add(1, Ordering::SeqCst) + 1;
        let last = match self.fault {
            Fault::Down => usize::MAX,
            Fault::Throttled => self.at + THROTTLED - 1,
            _ => self.at,
        };
        if self.at == 0 || number < self.at || number > last {
            return None;
        }
        self.hit.lock().unwrap().get_or_insert_with(|| format!("{call} {what}"));
        Some(self.fault)
    }

    async fn disturbed<T>(
        &self,
        fault: Option<Fault>,
        work: impl Future<Output = Result<T>> + Send,
    ) -> Result<T> {
        match fault {
            None => work.await,
            Some(Fault::Slow) => {
                tokio::time::sleep(SLOW).await;
                work.await
            }
            Some(Fault::Lost) => {
                work.await?;
                Err(error(Fault::Lost))
            }
            Some(fault) => Err(error(fault)),
        }
    }
}

fn error(fault: Fault) -> Error {
    let source = match fault {
        Fault::Throttled => "503 Slow Down",
        Fault::Lost => "connection reset by peer",
        _ => "connection refused",
    };
    Error::Generic { store: "faulty", source: source.into() }
}

/// The first half of what there is, then an error.
fn torn<T: Clone + Send + 'static>(all: BoxStream<'static, Result<T>>) -> BoxStream<'static, Result<T>> {
    let halved = async move {
        let all: Vec<T> = all.try_collect().await?;
        let half = all.len() / 2;
        let items = all.into_iter().take(half).map(Ok).chain([Err(error(Fault::Lost))]);
        Ok::<_, Error>(futures::stream::iter(items.collect::<Vec<_>>()))
    };
    futures::stream::once(halved).try_flatten().boxed()
}

/// A listing under a fault.
fn listing<T: Clone + Send + 'static>(
    fault: Option<Fault>,
    all: BoxStream<'static, Result<T>>,
) -> BoxStream<'static, Result<T>> {
    match fault {
        None => all,
        Some(Fault::Lost) => torn(all),
        Some(Fault::Slow) => futures::stream::once(tokio::time::sleep(SLOW))
            .flat_map(move |()| futures::stream::empty())
            .chain(all)
            .boxed(),
        Some(fault) => futures::stream::iter([Err(error(fault))]).boxed(),
    }
}

impl fmt::Display for FaultStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("faulty")
    }
}

#[async_trait]
impl ObjectStore for FaultStore {
    async fn put_opts(&self, at: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        let call = if opts.mode == PutMode::Create { "put if absent" } else { "put" };
        let fault = self.draw(call, at.as_ref());
        self.disturbed(fault, self.inner.put_opts(at, payload, opts)).await
    }

    async fn put_multipart_opts(
        &self,
        at: &Path,
        opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let fault = self.draw("begin upload", at.as_ref());
        let upload = self.disturbed(fault, self.inner.put_multipart_opts(at, opts)).await?;
        Ok(Box::new(FaultUpload { upload, store: self.clone(), at: at.to_string() }))
    }

    async fn get_opts(&self, at: &Path, options: GetOptions) -> Result<GetResult> {
        let call = if options.head { "head" } else { "get" };
        let is_body = !options.head;
        match self.draw(call, at.as_ref()) {
            Some(Fault::Lost) if is_body => {
                let mut result = self.inner.get_opts(at, options).await?;
                let (meta, range) = (result.meta.clone(), result.range.clone());
                let attributes = std::mem::take(&mut result.attributes);
                let bytes = result.bytes().await?;
                let halves = [Ok(bytes.slice(..bytes.len() / 2)), Err(error(Fault::Lost))];
                let payload = GetResultPayload::Stream(futures::stream::iter(halves).boxed());
                Ok(GetResult { payload, meta, range, attributes })
            }
            fault => self.disturbed(fault, self.inner.get_opts(at, options)).await,
        }
    }

    async fn get_ranges(&self, at: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let fault = self.draw("get ranges", at.as_ref());
        self.disturbed(fault, self.inner.get_ranges(at, ranges)).await
    }

    fn delete_stream(&self, at: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let store = self.clone();
        at.then(move |path| {
            let store = store.clone();
            async move {
                let path = path?;
                let fault = store.draw("delete", path.as_ref());
                store.disturbed(fault, store.inner.delete(&path)).await?;
                Ok(path)
            }
        })
        .boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let fault = self.draw("list", prefix.map_or("", |prefix| prefix.as_ref()));
        listing(fault, self.inner.list(prefix))
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        let fault = self.draw("list", prefix.map_or("", |prefix| prefix.as_ref()));
        listing(fault, self.inner.list_with_offset(prefix, offset))
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let fault = self.draw("list", prefix.map_or("", |prefix| prefix.as_ref()));
        self.disturbed(fault, self.inner.list_with_delimiter(prefix)).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        let fault = self.draw("copy", to.as_ref());
        self.disturbed(fault, self.inner.copy_opts(from, to, options)).await
    }
}

/// An upload in parts, each of which is a call.
#[derive(Debug)]
struct FaultUpload {
    upload: Box<dyn MultipartUpload>,
    store: FaultStore,
    at: String,
}

#[async_trait]
impl MultipartUpload for FaultUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let fault = self.store.draw("upload part", &self.at);
        // A part that is refused is not sent.
        let sent =
            matches!(fault, None | Some(Fault::Slow | Fault::Lost)).then(|| self.upload.put_part(data));
        let store = self.store.clone();
        Box::pin(async move {
            let work = async {
                match sent {
                    Some(part) => part.await,
                    None => Ok(()),
                }
            };
            store.disturbed(fault, work).await
        })
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let fault = self.store.draw("end upload", &self.at);
        self.store.clone().disturbed(fault, self.upload.complete()).await
    }

    async fn abort(&mut self) -> Result<()> {
        let fault = self.store.draw("drop upload", &self.at);
        self.store.clone().disturbed(fault, self.upload.abort()).await
    }
}
