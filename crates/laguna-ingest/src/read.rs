//! Reading all files of a batch into sinks, side by side, with one schema for all rows.
//!
//! A first look at the start of every file gives a schema; then everything is parsed under it. When a value proves an
//! inferred type wrong, the sinks are aborted, all values are looked at, and reading starts once more with types that
//! are right for sure: the outcome is as if they had been inferred over everything from the start.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arrow::array::{Int64Array, RecordBatch};
use arrow::datatypes::{DataType, SchemaRef};
use async_trait::async_trait;
use chrono_tz::Tz;
use laguna_base::settings::dataset::{OnBadRow, OnNewColumn, SourceSettings};
use laguna_base::{Error, Result, suggest};
use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinSet};

use crate::InputFile;
use crate::discover::hash_file;
use crate::evidence::Findings;
use crate::formats::{self, Block, Format, Parsed, Stop};
use crate::input::Tally;
use crate::scalar::Zone;
use crate::target::{Laid, Target};

/// Bytes that are looked at for types before reading, over all files.
const SAMPLE: usize = 8 << 20;
/// Bytes that are looked at in one file, at least and at most.
const SAMPLE_FILE: (usize, usize) = (64 << 10, 1 << 20);

/// How files are read.
#[derive(Debug, Clone)]
pub struct ReadOptions {
    /// What the source says of its files.
    pub source: SourceSettings,
    /// Data columns of the table so far; `None` for the first batch.
    pub known: Option<SchemaRef>,
    /// Types that are declared, by column name.
    pub declared: BTreeMap<String, DataType>,
    /// What a column that the table lacks does.
    pub on_new_column: OnNewColumn,
    /// What a row that does not fit does.
    pub on_bad_row: OnBadRow,
    /// Number of sinks that are fed side by side, and of files that are read side by side; at least 1. With 1 the rows
    /// come in the order of the files.
    pub parallel: usize,
    /// Names of the columns whose values are wanted; `None` for all. The others stay in the schema, and hold nulls.
    pub only: Option<BTreeSet<String>>,
    /// Whether the files' hashes are wanted: a format that reads parts of a file must read it whole for that.
    pub hashes: bool,
    /// Index of the file and number in it of the rows that are wanted; `None` for all. Blocks of a file that hold none
    /// of them are passed over unparsed; those that do come whole, cut as they always are.
    pub rows: Option<Arc<BTreeSet<(usize, u64)>>>,
}

/// A run of rows of one file.
#[derive(Debug, Clone)]
pub struct Piece {
    /// Data columns, in the schema that `open` was given. Has a row count even without columns.
    pub batch: RecordBatch,
    /// Index into the files.
    pub file: usize,
    /// Number of each row in its file, from 1, headers not counted.
    pub rows: RowNumbers,
    /// Rows set aside.
    pub rejected: Vec<Rejected>,
}

/// Row numbers of a piece.
#[derive(Debug, Clone, PartialEq)]
pub enum RowNumbers {
    /// Consecutive, from this one.
    From(u64),
    /// One for each row.
    Each(Int64Array),
}

impl RowNumbers {
    /// One number for each of `rows` rows.
    pub fn to_array(&self, rows: usize) -> Int64Array {
        match self {
            RowNumbers::From(first) => Int64Array::from_iter_values((*first as i64..).take(rows)),
            RowNumbers::Each(numbers) => numbers.clone(),
        }
    }
}

/// A row set aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected {
    /// Index into the files.
    pub file: usize,
    /// Row number, from 1.
    pub row: u64,
    /// Text as found; what is not UTF-8 is replaced; at most 64 KiB.
    pub raw: String,
    /// The fields as a JSON object, where they could be told apart.
    pub json: Option<String>,
    /// What is wrong with it.
    pub reason: String,
}

/// Takes pieces. Several sinks are written side by side.
#[async_trait]
pub trait Sink: Send + 'static {
    /// Takes one piece.
    async fn write(&mut self, piece: Piece) -> Result<()>;

    /// Drops everything it was given; best effort.
    async fn abort(self);
}

/// What [`read`] did.
#[derive(Debug)]
pub struct Outcome<S> {
    /// Data columns: those known, then new ones.
    pub schema: SchemaRef,
    /// Columns that the files have and that held no value: they are not in the schema yet.
    pub untyped: Vec<String>,
    /// The sinks, fed and not yet finished.
    pub sinks: Vec<S>,
    /// One for each file, in order.
    pub files: Vec<FileOutcome>,
    /// For people: columns that were renamed, added or ignored.
    pub notes: Vec<String>,
    /// Most bytes of text that were held at one time between reading and parsing.
    pub peak_bytes: usize,
}

/// What one file held.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FileOutcome {
    /// BLAKE3 of its bytes as found, 32 hexadecimal digits; empty when it was not wanted.
    pub hash: String,
    /// Rows that went to sinks.
    pub rows: u64,
    /// Rows set aside.
    pub rejected: u64,
}

/// The columns that a reading settled on.
#[derive(Debug, Clone)]
pub struct Layout {
    /// Data columns.
    pub schema: SchemaRef,
    /// Columns that the files have and that held no value, by the name that they will have.
    pub untyped: Vec<String>,
    /// All of them in the order of the files.
    pub columns: Vec<Laid>,
}

/// Like [`read_laid_out`], for those to whom the place of columns without a type does not matter.
pub async fn read<S: Sink>(
    files: &[InputFile],
    options: &ReadOptions,
    mut open: impl FnMut(&SchemaRef, &[String]) -> Result<Vec<S>>,
    progress: &(dyn Fn(u64) + Send + Sync),
) -> Result<Outcome<S>> {
    read_laid_out(files, options, |layout| open(&layout.schema, &layout.untyped), progress).await
}

/// Reads all files into the sinks (at least one) that `open` gives for a schema and for the names of columns that hold
/// no value, so that they have no type yet. `open` is called a second time when the first schema proved wrong; the first sinks are aborted before. On any error all sinks are aborted.
///
/// `progress` is told the bytes taken from storage so far; it starts again when reading does. Wants a runtime with more
/// than one thread to be fast; blocking work runs on the runtime's blocking threads.
pub async fn read_laid_out<S: Sink>(
    files: &[InputFile],
    options: &ReadOptions,
    mut open: impl FnMut(&Layout) -> Result<Vec<S>>,
    progress: &(dyn Fn(u64) + Send + Sync),
) -> Result<Outcome<S>> {
    let zone = zone(options)?;
    let parallel = options.parallel.max(1);
    let source = Arc::new(Source {
        files: files.to_vec(),
        formats: files
            .iter()
            .map(|file| formats::open(file, &options.source, zone))
            .collect::<Result<_>>()?,
    });
    let samples = sample(&source, parallel).await?;
    let mut findings = Findings::default();
    let mut columns = Vec::with_capacity(files.len());
    for (file, sample) in files.iter().zip(samples) {
        columns.push((file.path.clone(), sample.names().to_vec()));
        findings.merge(sample);
    }
    let mut settled = false;
    loop {
        let mut notes = Vec::new();
        let target = Arc::new(Target::plan(options, zone, &columns, &findings, settled, &mut notes)?);
        let (schema, untyped) = (target.schema.clone(), target.untyped.clone());
        let pass = Arc::new(Pass::new(source.clone(), options));
        let layout =
            Layout { schema: schema.clone(), untyped: untyped.clone(), columns: target.laid.clone() };
        let sinks = open(&layout)?;
        if sinks.is_empty() {
            return Err(Error::internal("no sink takes the rows"));
        }
        let (sinks, ended) = feed(&pass, target, sinks, parallel, progress).await;
        match ended {
            Ok(hashes) => {
                let files = hashes.into_iter().enumerate().map(|(at, hash)| FileOutcome {
                    hash,
                    rows: pass.rows[at].load(Ordering::Relaxed),
                    rejected: pass.rejected[at].load(Ordering::Relaxed),
                });
                let peak_bytes = pass.peak.load(Ordering::Relaxed);
                return Ok(Outcome { schema, untyped, sinks, files: files.collect(), notes, peak_bytes });
            }
            Err(stop) => {
                for sink in sinks {
                    sink.abort().await;
                }
                match stop {
                    Stop::Error(error) => return Err(error),
                    Stop::Contradiction if settled => {
                        return Err(Error::failed("the files changed while they were read")
                            .hint("run again when nobody writes to them"));
                    }
                    Stop::Contradiction => {}
                }
            }
        }
        tracing::debug!("a value contradicts a type seen so far: looking at all values");
        let pass = Arc::new(Pass::new(source.clone(), options));
        let seen = findings.names().len();
        let all = look(&pass, parallel, progress).await?;
        findings.merge(all);
        findings.sort_after(seen);
        settled = true;
    }
}

fn zone(options: &ReadOptions) -> Result<Zone> {
    let Some(name) = &options.source.timezone else { return Ok(Zone::new(Tz::UTC)) };
    let zone = name.parse::<Tz>().map_err(|_| {
        let known: Vec<&str> = chrono_tz::TZ_VARIANTS.iter().map(|zone| zone.name()).collect();
        let near = suggest::nearest(name, &known);
        let hint = near.map_or("write an IANA name such as Europe/Amsterdam".to_string(), |near| {
            format!("did you mean `{near}`?")
        });
        Error::project(format!("`{name}` is not a time zone")).hint(hint)
    })?;
    Ok(Zone::new(zone))
}

struct Source {
    files: Vec<InputFile>,
    formats: Vec<Arc<dyn Format>>,
}

/// Looks at the start of every file.
async fn sample(source: &Arc<Source>, parallel: usize) -> Result<Vec<Findings>> {
    let length = (SAMPLE / source.files.len().max(1)).clamp(SAMPLE_FILE.0, SAMPLE_FILE.1);
    let next = Arc::new(AtomicUsize::new(0));
    let mut tasks = JoinSet::new();
    for _ in 0..parallel.min(source.files.len()) {
        let (source, next) = (source.clone(), next.clone());
        tasks.spawn_blocking(move || -> Result<Vec<(usize, Findings)>> {
            let mut samples = Vec::new();
            loop {
                let at = next.fetch_add(1, Ordering::Relaxed);
                let Some(file) = source.files.get(at) else { return Ok(samples) };
                samples.push((at, source.formats[at].sample(file, length)?));
            }
        });
    }
    let mut samples = vec![Findings::default(); source.files.len()];
    while let Some(done) = tasks.join_next().await {
        for (at, findings) in done.map_err(panicked)?? {
            samples[at] = findings;
        }
    }
    Ok(samples)
}

/// One way through all files.
struct Pass {
    source: Arc<Source>,
    on_bad_row: OnBadRow,
    hashes_wanted: bool,
    wanted: Option<Arc<BTreeSet<(usize, u64)>>>,
    next: AtomicUsize,
    stopped: AtomicBool,
    read: Arc<AtomicU64>,
    rows: Vec<AtomicU64>,
    rejected: Vec<AtomicU64>,
    held: AtomicUsize,
    peak: AtomicUsize,
    hashes: Mutex<Vec<String>>,
}

struct Numbered {
    file: usize,
    memory: usize,
    block: Box<dyn Block>,
}

type Blocks = Arc<tokio::sync::Mutex<mpsc::Receiver<Numbered>>>;

impl Pass {
    fn new(source: Arc<Source>, options: &ReadOptions) -> Self {
        let files = source.files.len();
        let counters = || (0..files).map(|_| AtomicU64::new(0)).collect();
        Pass {
            on_bad_row: options.on_bad_row,
            hashes_wanted: options.hashes,
            wanted: options.rows.clone(),
            next: AtomicUsize::new(0),
            stopped: AtomicBool::new(false),
            read: Arc::default(),
            rows: counters(),
            rejected: counters(),
            held: AtomicUsize::new(0),
            peak: AtomicUsize::new(0),
            hashes: Mutex::new(vec![String::new(); files]),
            source,
        }
    }

    fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    /// Starts threads that read files, and gives the blocks.
    fn start(self: &Arc<Self>, parallel: usize, tasks: &mut JoinSet<Result<(), Stop>>) -> Blocks {
        let (sender, receiver) = mpsc::channel(parallel);
        for _ in 0..parallel.min(self.source.files.len()) {
            let (pass, sender) = (self.clone(), sender.clone());
            tasks.spawn_blocking(move || {
                let done = pass.produce(&sender);
                if done.is_err() {
                    pass.stop();
                }
                done.map_err(Stop::Error)
            });
        }
        Arc::new(tokio::sync::Mutex::new(receiver))
    }

    fn produce(&self, sender: &mpsc::Sender<Numbered>) -> Result<()> {
        loop {
            let file = self.next.fetch_add(1, Ordering::Relaxed);
            let Some(input) = self.source.files.get(file) else { return Ok(()) };
            if !self.wants(file, 0..u64::MAX) {
                continue;
            }
            let mut send = |block: Box<dyn Block>, memory: usize| {
                if self.stopped.load(Ordering::Relaxed) {
                    return false;
                }
                let rows = block.rows();
                if !self.wants(file, rows.clone()) {
                    return self.wants(file, rows.end..u64::MAX);
                }
                let held = self.held.fetch_add(memory, Ordering::Relaxed) + memory;
                self.peak.fetch_max(held, Ordering::Relaxed);
                sender.blocking_send(Numbered { file, memory, block }).is_ok()
            };
            let tally = Tally { progress: self.read.clone(), hashed: self.hashes_wanted };
            let hash = self.source.formats[file].produce(input, tally, &mut send)?;
            if self.stopped.load(Ordering::Relaxed) {
                return Ok(());
            }
            let hash = match hash {
                Some(hash) => hash,
                None if self.hashes_wanted => hash_file(input)?,
                None => String::new(),
            };
            if let Ok(mut hashes) = self.hashes.lock() {
                hashes[file] = hash;
            }
        }
    }

    /// Whether any of these rows of a file is wanted.
    fn wants(&self, file: usize, rows: Range<u64>) -> bool {
        let Some(wanted) = &self.wanted else { return true };
        !rows.is_empty() && wanted.range((file, rows.start)..(file, rows.end)).next().is_some()
    }

    async fn take(&self, blocks: &Blocks) -> Option<Numbered> {
        if self.stopped.load(Ordering::Relaxed) {
            return None;
        }
        let block = blocks.lock().await.recv().await;
        // The worker that waited behind the lock was woken into this thread's slot for the next task, from which no other
        // thread takes it: without giving way here it would wait until this block is parsed.
        tokio::task::yield_now().await;
        block
    }

    /// A parsed run of rows as a piece, counted.
    fn piece(&self, file: usize, parsed: Parsed) -> Result<Piece, Stop> {
        let Parsed { batch, rows, bad } = parsed;
        if self.on_bad_row == OnBadRow::Fail
            && let Some(bad) = bad.first()
        {
            let path = &self.source.files[file].path;
            return Err(Stop::Error(
                Error::failed(format!("row {} of `{path}` cannot be read: {}", bad.row, bad.reason))
                    .hint("set `on_bad_row: quarantine` to set such rows aside and land the rest"),
            ));
        }
        self.rows[file].fetch_add(batch.num_rows() as u64, Ordering::Relaxed);
        self.rejected[file].fetch_add(bad.len() as u64, Ordering::Relaxed);
        let rejected = bad
            .into_iter()
            .map(|bad| Rejected { file, row: bad.row, raw: bad.raw, json: bad.json, reason: bad.reason })
            .collect();
        Ok(Piece { batch, file, rows, rejected })
    }
}

/// Feeds all files to the sinks. Gives the sinks back whatever happens, unless one panics.
async fn feed<S: Sink>(
    pass: &Arc<Pass>,
    target: Arc<Target>,
    sinks: Vec<S>,
    parallel: usize,
    progress: &(dyn Fn(u64) + Send + Sync),
) -> (Vec<S>, Result<Vec<String>, Stop>) {
    let mut readers = JoinSet::new();
    let blocks = pass.start(parallel, &mut readers);
    let mut workers: JoinSet<(usize, S, Result<(), Stop>)> = JoinSet::new();
    for (at, mut sink) in sinks.into_iter().enumerate() {
        let (pass, blocks, target) = (pass.clone(), blocks.clone(), target.clone());
        workers.spawn(async move {
            let done = work(&pass, &blocks, &target, &mut sink).await;
            if done.is_err() {
                pass.stop();
            }
            (at, sink, done)
        });
    }
    drop(blocks);
    let mut sinks = Vec::new();
    let mut ended = Ok(());
    let mut tick = tokio::time::interval(Duration::from_millis(50));
    loop {
        tokio::select! {
            done = workers.join_next() => match done {
                None => break,
                Some(Ok((at, sink, done))) => {
                    sinks.push((at, sink));
                    worst(&mut ended, done);
                }
                Some(Err(error)) => {
                    pass.stop();
                    worst(&mut ended, Err(Stop::Error(panicked(error))));
                }
            },
            _ = tick.tick() => progress(pass.read.load(Ordering::Relaxed)),
        }
    }
    while let Some(done) = readers.join_next().await {
        worst(&mut ended, done.unwrap_or_else(|error| Err(Stop::Error(panicked(error)))));
    }
    progress(pass.read.load(Ordering::Relaxed));
    sinks.sort_by_key(|(at, _)| *at);
    let hashes = pass.hashes.lock().map(|hashes| hashes.clone()).unwrap_or_default();
    (sinks.into_iter().map(|(_, sink)| sink).collect(), ended.map(|()| hashes))
}

/// An error says more than a contradiction, and the first error counts.
fn worst(ended: &mut Result<(), Stop>, done: Result<(), Stop>) {
    match (&ended, &done) {
        (Ok(()), Err(_)) | (Err(Stop::Contradiction), Err(Stop::Error(_))) => *ended = done,
        _ => {}
    }
}

async fn work<S: Sink>(pass: &Pass, blocks: &Blocks, target: &Arc<Target>, sink: &mut S) -> Result<(), Stop> {
    while let Some(Numbered { file, memory, block }) = pass.take(blocks).await {
        for parsed in block.parse(target.clone()) {
            let piece = pass.piece(file, parsed?)?;
            if piece.batch.num_rows() > 0 || !piece.rejected.is_empty() {
                sink.write(piece).await?;
            }
            if pass.stopped.load(Ordering::Relaxed) {
                return Ok(());
            }
        }
        pass.held.fetch_sub(memory, Ordering::Relaxed);
    }
    Ok(())
}

/// Looks at all values of all files.
async fn look(pass: &Arc<Pass>, parallel: usize, progress: &(dyn Fn(u64) + Send + Sync)) -> Result<Findings> {
    let mut readers = JoinSet::new();
    let blocks = pass.start(parallel, &mut readers);
    let mut workers: JoinSet<Result<Findings>> = JoinSet::new();
    for _ in 0..parallel {
        let (pass, blocks) = (pass.clone(), blocks.clone());
        workers.spawn(async move {
            let mut findings = Findings::default();
            while let Some(Numbered { block, .. }) = pass.take(&blocks).await {
                if let Err(error) = block.infer(&mut findings) {
                    pass.stop();
                    return Err(error);
                }
            }
            Ok(findings)
        });
    }
    drop(blocks);
    let mut findings = Findings::default();
    while let Some(done) = workers.join_next().await {
        findings.merge(done.map_err(panicked)??);
        progress(0);
    }
    while let Some(done) = readers.join_next().await {
        if let Err(Stop::Error(error)) = done.map_err(panicked)? {
            return Err(error);
        }
    }
    Ok(findings)
}

fn panicked(error: JoinError) -> Error {
    Error::internal("a task that reads files ended unexpectedly").caused_by(error)
}
