//! The pass over a table that is there, file by file: what is kept of a file takes the place of reading it, and what is
//! read is kept.
//!
//! Files are merged in the order of the snapshot, kept ones and those that are read alike, so that the verdicts are to
//! the last bit those of a pass that reads all.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{AsArray, BooleanArray, RecordBatch};
use arrow::compute::{cast, filter_record_batch};
use arrow::datatypes::{DataType, SchemaRef, TimeUnit, TimestampMicrosecondType};
use datafusion::common::runtime::SpawnedTask;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::execution::context::SessionState;
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use datafusion::scalar::ScalarValue;
use futures::StreamExt;
use laguna_base::{Error, Instant, Result, TableName};
use laguna_check::{Collector, Suite};
use laguna_query::{Resolved, Session, arrived_by};
use laguna_store::scan::{FileScans, bytes_scanned};
use laguna_store::states::{self, FileStates, Key, State};
use laguna_store::writer::Written;
use laguna_store::{DataFile, Lake, Snapshot};
use serde::Serialize;
use tokio::sync::Semaphore;

use super::stream;

/// Files that are worked on at the same time, for each core: most only wait for what is kept of them.
const AHEAD: usize = 4;

/// How much of a table's files was read to check it.
#[derive(Debug, Clone, Default, Serialize)]
pub struct FilesRead {
    /// Files that hold rows of the table.
    pub files: usize,
    /// Those of which a column was read.
    pub read: usize,
    /// Those that were answered by kept states alone.
    pub kept: usize,
    /// Bytes of the states, which are not among those of the table.
    pub state_bytes: u64,
    /// Checks for which nothing is kept of some file, because it is too large or changes with time: they read it again.
    pub unkept: Vec<String>,
}

/// The files of one table as one moment sees them.
pub(super) struct ByFile {
    state: SessionState,
    scans: FileScans,
    until: Option<(&'static str, Instant)>,
    states: Arc<FileStates>,
}

/// What a pass has seen.
pub(super) struct Passed {
    pub collector: Collector,
    /// Bytes of the table that were read.
    pub bytes: u64,
    pub told: FilesRead,
    /// For each check whether rows were read for it.
    pub fed: Vec<bool>,
    /// For each check the numbers of the files that hold rows which it refuses by themselves.
    pub failing: Vec<Vec<usize>>,
}

/// What all files of one pass are asked.
struct Question {
    suite: Suite,
    schema: SchemaRef,
    keys: Vec<Option<Key>>,
    used: HashSet<Key>,
    /// One permit for each stream that may be read at the same time.
    readers: Semaphore,
    cores: usize,
}

/// The answer of one file.
struct One {
    collector: Collector,
    bytes: u64,
    state_bytes: u64,
    /// Parts for which rows were read, and those of them that are not kept.
    open: Vec<bool>,
    unkept: Vec<bool>,
}

/// How many rows of a file count.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Extent {
    All,
    Some,
    None,
}

impl ByFile {
    /// The files of `table` as `session` sees it; `None` for what has no files of its own, such as a view.
    pub async fn of(
        session: &Session,
        table: &TableName,
        states: Option<Arc<FileStates>>,
    ) -> Result<Option<ByFile>> {
        let Some(Resolved::Snapshot { snapshot, until, .. }) = session.resolved(table).await? else {
            return Ok(None);
        };
        let until = until.and_then(|until| arrived_by(&snapshot, until));
        let states = states.unwrap_or_else(|| Arc::new(session.lake().file_states(table)));
        Ok(Some(ByFile { until, ..ByFile::new(session, snapshot, states)? }))
    }

    /// All rows of `snapshot`.
    pub fn new(session: &Session, snapshot: Arc<Snapshot>, states: Arc<FileStates>) -> Result<ByFile> {
        Ok(ByFile { state: session.state().clone(), scans: FileScans::new(snapshot)?, until: None, states })
    }

    /// The files, in order.
    pub fn files(&self) -> &[DataFile] {
        &self.scans.snapshot().files
    }

    /// Everything that `suite`, compiled against `schema`, accumulates of the rows. `progress` is told how many have been
    /// dealt with.
    pub async fn pass(
        self: &Arc<Self>,
        suite: &Suite,
        schema: &SchemaRef,
        progress: &(dyn Fn(u64) + Send + Sync),
    ) -> Result<Passed> {
        let keys: Vec<Option<Key>> = suite.part_keys().into_iter().map(|key| key.map(states::key)).collect();
        let cores = self.state.config().target_partitions().max(1);
        let question = Arc::new(Question {
            suite: suite.clone(),
            schema: schema.clone(),
            used: keys.iter().flatten().copied().collect(),
            keys,
            readers: Semaphore::new(cores),
            cores,
        });
        let extents = (0..self.files().len()).map(|file| (file, self.extent(file)));
        let files: Vec<(usize, Extent)> = extents.filter(|(_, extent)| *extent != Extent::None).collect();
        let parts = question.keys.len();
        let (mut open, mut unkept) = (vec![false; parts], vec![false; parts]);
        let mut passed = Passed {
            collector: suite.collector(),
            bytes: 0,
            told: FilesRead { files: files.len(), ..FilesRead::default() },
            fed: Vec::new(),
            failing: vec![Vec::new(); suite.checks().len()],
        };
        let work = files.into_iter().map(|(file, extent)| {
            let work = self.clone().one(question.clone(), file, extent == Extent::All);
            async move { (file, SpawnedTask::spawn(work).join().await) }
        });
        let mut answers = futures::stream::iter(work).buffered(cores * AHEAD);
        while let Some((file, answer)) = answers.next().await {
            let one =
                answer.map_err(|error| Error::internal("a task of the pass died").caused_by(error))??;
            passed.bytes += one.bytes;
            passed.told.state_bytes += one.state_bytes;
            match one.open.contains(&true) {
                true => passed.told.read += 1,
                false => passed.told.kept += 1,
            }
            open.iter_mut().zip(&one.open).for_each(|(all, one)| *all |= one);
            unkept.iter_mut().zip(&one.unkept).for_each(|(all, one)| *all |= one);
            for (check, files) in passed.failing.iter_mut().enumerate() {
                if one.collector.refused(check) > 0 {
                    files.push(file);
                }
            }
            passed.collector.merge(one.collector);
            progress(passed.collector.rows());
        }
        passed.fed = suite.checks_of(&open);
        let unkept = suite.checks().zip(suite.checks_of(&unkept));
        passed.told.unkept = unkept.filter(|(_, unkept)| *unkept).map(|(check, _)| check.label()).collect();
        Ok(passed)
    }

    async fn one(self: Arc<Self>, question: Arc<Question>, file: usize, whole: bool) -> Result<One> {
        let suite = &question.suite;
        let data_file = &self.files()[file];
        let mut collector = suite.collector();
        let mut open = vec![true; question.keys.len()];
        let (state, state_bytes) = match whole && question.keys.iter().any(Option::is_some) {
            true => self.states.of(data_file).await,
            false => Default::default(),
        };
        for (part, key) in question.keys.iter().enumerate() {
            if let Some(kept) = key.and_then(|key| state.get(&key)) {
                open[part] = !collector.restore(suite, part, kept);
            }
        }
        let mut unkept = vec![false; open.len()];
        if whole && !open.contains(&true) {
            collector.count_rows(data_file.rows);
            return Ok(One { collector, bytes: 0, state_bytes, open, unkept });
        }
        collector.feed_only(suite, &open);
        let (collector, bytes) = self.clone().read(question.clone(), file, whole, &open, collector).await?;
        let mut one = One { collector, bytes, state_bytes, open, unkept: Vec::new() };
        if whole && one.collector.rows() == data_file.rows {
            let mut new = State::new();
            for part in (0..one.open.len()).filter(|part| one.open[*part]) {
                let kept = question.keys[part].zip(one.collector.keep(suite, part));
                unkept[part] = kept.is_none();
                new.extend(kept.map(|(key, content)| (key, content.into())));
            }
            let refused = self.states.keep(data_file, new, &question.used).await;
            for (unkept, key) in unkept.iter_mut().zip(&question.keys) {
                *unkept |= key.is_some_and(|key| refused.contains(&key));
            }
        }
        one.unkept = unkept;
        Ok(one)
    }

    /// Feeds the rows of one file to `collector`, the parts of a large one side by side; and the bytes that were read.
    async fn read(
        self: Arc<Self>,
        question: Arc<Question>,
        file: usize,
        whole: bool,
        open: &[bool],
        mut collector: Collector,
    ) -> Result<(Collector, u64)> {
        let columns = question.suite.columns_of(open);
        let parts = FileScans::parts(&self.files()[file]);
        if parts == 1 {
            let bytes = self.part(&question, (file, 0), whole, &columns, &mut collector).await?;
            return Ok((collector, bytes));
        }
        let work = (0..parts).map(|part| {
            let (this, question, columns) = (self.clone(), question.clone(), columns.clone());
            let mut collector = question.suite.collector_of(open);
            let work = async move {
                let bytes = this.part(&question, (file, part), whole, &columns, &mut collector).await?;
                Ok::<_, Error>((collector, bytes))
            };
            SpawnedTask::spawn(work).join()
        });
        let mut bytes = 0;
        let mut done = futures::stream::iter(work).buffered(question.cores);
        while let Some(part) = done.next().await {
            let (part, read) =
                part.map_err(|error| Error::internal("a task of the pass died").caused_by(error))??;
            collector.merge(part);
            bytes += read;
        }
        Ok((collector, bytes))
    }

    async fn part(
        &self,
        question: &Question,
        place: (usize, usize),
        whole: bool,
        columns: &[String],
        collector: &mut Collector,
    ) -> Result<u64> {
        let _permit = question.readers.acquire().await;
        let (mut rows, plan) = self.stream(place, whole, columns)?;
        while let Some(batch) = rows.next().await {
            let batch = self.arrived(batch.map_err(laguna_query::translate)?, whole)?;
            collector.update(&stream::widen(&batch, &question.schema)?)?;
        }
        Ok(bytes_scanned(plan.as_ref()))
    }

    /// The rows of a part of a file, those that do not count among them.
    fn stream(
        &self,
        place: (usize, usize),
        whole: bool,
        columns: &[String],
    ) -> Result<(SendableRecordBatchStream, Arc<dyn ExecutionPlan>)> {
        let there = |name: &&String| self.scans.snapshot().schema.index_of(name).is_ok();
        let mut columns: Vec<String> = columns.iter().filter(there).cloned().collect();
        if let (false, Some((arrival, _))) = (whole, self.until)
            && !columns.iter().any(|column| column == arrival)
        {
            columns.push(arrival.to_string());
        }
        let plan = self.scans.plan(&self.state, place, &columns)?;
        let rows = execute_stream(plan.clone(), self.state.task_ctx()).map_err(laguna_query::translate)?;
        Ok((rows, plan))
    }

    /// The rows of a batch that had arrived.
    fn arrived(&self, batch: RecordBatch, whole: bool) -> Result<RecordBatch> {
        let (false, Some((arrival, until))) = (whole, self.until) else { return Ok(batch) };
        let engine = |error: arrow::error::ArrowError| laguna_query::translate(error.into());
        let Some(column) = batch.column_by_name(arrival) else {
            return Err(Error::internal("rows do not say when they arrived"));
        };
        let micros =
            cast(column, &DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))).map_err(engine)?;
        let micros = micros.as_primitive::<TimestampMicrosecondType>();
        let arrived: BooleanArray =
            micros.iter().map(|at| Some(at.is_some_and(|at| at <= until.as_micros()))).collect();
        filter_record_batch(&batch, &arrived).map_err(engine)
    }

    /// Feeds the rows of one file, with all columns of `schema`, to `see` until it has seen enough; gives the bytes that
    /// were read.
    pub async fn look_through(
        &self,
        file: usize,
        schema: &SchemaRef,
        mut see: impl FnMut(&RecordBatch) -> Result<bool>,
    ) -> Result<u64> {
        let columns: Vec<String> = schema.fields().iter().map(|field| field.name().clone()).collect();
        let whole = self.extent(file) == Extent::All;
        let mut bytes = 0;
        for part in 0..FileScans::parts(&self.files()[file]) {
            let (mut rows, plan) = self.stream((file, part), whole, &columns)?;
            let mut enough = false;
            while let (false, Some(batch)) = (enough, rows.next().await) {
                let batch = self.arrived(batch.map_err(laguna_query::translate)?, whole)?;
                enough = see(&stream::widen(&batch, schema)?)?;
            }
            bytes += bytes_scanned(plan.as_ref());
            if enough {
                break;
            }
        }
        Ok(bytes)
    }

    /// How many rows of a file had arrived, as the log's range tells.
    fn extent(&self, file: usize) -> Extent {
        let file = &self.files()[file];
        if file.rows == 0 {
            return Extent::None;
        }
        let Some((arrival, until)) = self.until else { return Extent::All };
        let Ok(field) = self.scans.snapshot().schema.field_with_name(arrival) else { return Extent::Some };
        let range = file.range(field);
        let micros = |bound: Option<ScalarValue>| match bound {
            Some(ScalarValue::TimestampMicrosecond(at, _)) => at,
            _ => None,
        };
        let (first, last) = (micros(range.min), micros(range.max));
        if first.is_some_and(|first| first > until.as_micros()) {
            return Extent::None;
        }
        // Some writers cut times in the log to milliseconds.
        let latest = last.map(|last| if last % 1000 == 0 { last.saturating_add(999) } else { last });
        match range.nulls == Some(0) && latest.is_some_and(|latest| latest <= until.as_micros()) {
            true => Extent::All,
            false => Extent::Some,
        }
    }
}

/// What a stream's checks have accumulated of the one file that it was written to, if that is all that they have seen.
pub(super) fn of_written(
    suite: &Suite,
    written: &Written,
    collector: &mut Collector,
) -> Option<(DataFile, State)> {
    let [file] = written.files.as_slice() else { return None };
    if file.rows != collector.rows() || FileScans::parts(file) > 1 {
        return None;
    }
    let keys: Vec<Option<Key>> = suite.part_keys().into_iter().map(|key| key.map(states::key)).collect();
    let parts = keys.into_iter().enumerate();
    let state = parts.filter_map(|(part, key)| Some((key?, collector.keep(suite, part)?.into()))).collect();
    Some((file.clone(), state))
}

/// Keeps what is known of files that a build has written and that are still part of it.
pub(super) async fn keep_written(
    lake: &Lake,
    table: &TableName,
    fresh: Vec<(DataFile, State)>,
    adds: &[DataFile],
) {
    let states = lake.file_states(table);
    let (states, none) = (&states, &HashSet::new());
    let wanted = fresh.into_iter().filter(|(file, _)| adds.iter().any(|add| add.path == file.path));
    let kept = wanted.map(|(file, state)| async move { drop(states.keep(&file, state, none).await) });
    futures::stream::iter(kept).buffer_unordered(AHEAD).collect::<()>().await;
}
