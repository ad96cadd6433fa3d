//! One statement from its arrival to its last row: waits for its turn, runs on the statements' threads, and ends by
//! itself, by its limits, or because nobody wants its rows any more.

use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant as Stopwatch};

use arrow::array::RecordBatch;
use datafusion::common::ParamValues;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::{StreamExt, stream};
use laguna_base::{Error, Instant, Result};
use laguna_query::{QueryResult, Stop, errors, translate};
use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use super::kept::{Kept, Question, Rows};
use super::{Answer, Ask, Inner, QueryRecord};
use crate::metrics::{ByDoor, Statement};

/// Batches that are computed before somebody takes them.
const AHEAD: usize = 2;

/// How long a statement keeps its turn while nobody takes its rows.
const IDLE: Duration = Duration::from_millis(100);

/// How long a statement that is to end may take to say so itself.
const GRACE: Duration = Duration::from_millis(200);

/// What is told when the columns are known.
type Header = (arrow::datatypes::SchemaRef, Option<u64>);

/// Rows on their way; `None` is the end of all rows.
type Batches = mpsc::Sender<Result<Option<RecordBatch>>>;

/// Runs `work` on the statements' threads.
pub(super) async fn on<T: Send + 'static>(
    inner: &Arc<Inner>,
    work: impl Future<Output = Result<T>> + Send + 'static,
) -> Result<T> {
    let Some(runtime) = &inner.work.0 else { return Err(died()) };
    match runtime.spawn(work).await {
        Ok(outcome) => outcome,
        Err(error) => Err(died().caused_by(error)),
    }
}

fn died() -> Error {
    Error::internal("the statement died").hint("this is a defect of Laguna; the others go on")
}

/// See [`super::Desk::answer`].
pub(super) async fn answer(inner: &Arc<Inner>, ask: Ask) -> Result<Answer> {
    let (header, columns) = oneshot::channel::<Result<Header>>();
    let (batches, mut received) = mpsc::channel::<Result<Option<RecordBatch>>>(AHEAD);
    let Some(runtime) = &inner.work.0 else { return Err(died()) };
    let mut task = Task::new(inner.clone(), ask);
    if let Some(answer) = task.kept().await {
        return Ok(answer);
    }
    let stop = Unwanted(Stop::default());
    let (overdue, when_overdue) = (task.overdue(), stop.0.clone());
    // What computes may not see soon that it is to end: whoever waits is told all the same.
    let mut overdue = Box::pin(async move {
        let error = overdue.await;
        when_overdue.set();
        tokio::time::sleep(GRACE).await;
        error
    });
    let running = runtime.spawn(task.run(header, batches, stop.0.clone()));
    let told = tokio::select! {
        biased;
        told = columns => told,
        error = &mut overdue => return Err(error),
    };
    let (schema, release) = match told {
        Ok(header) => header?,
        // The task has ended without a word: it panicked.
        Err(_) => return Err(running.await.err().map_or_else(died, |error| died().caused_by(error))),
    };
    let mut done = false;
    let rows = stream::poll_fn(move |context| {
        let _wanted = &stop;
        if done {
            return Poll::Ready(None);
        }
        let Poll::Ready(next) = received.poll_recv(context) else {
            let error = std::task::ready!(overdue.as_mut().poll(context));
            done = true;
            return Poll::Ready(Some(Err(errors::external(error))));
        };
        Poll::Ready(match next {
            Some(Ok(Some(batch))) => Some(Ok(batch)),
            Some(Ok(None)) => {
                done = true;
                None
            }
            Some(Err(error)) => {
                done = true;
                Some(Err(errors::external(error)))
            }
            // Rows that end without saying so are not all of them.
            None => {
                done = true;
                Some(Err(errors::external(died())))
            }
        })
    });
    Ok(Answer {
        schema: schema.clone(),
        release,
        rows: Box::pin(RecordBatchStreamAdapter::new(schema, rows)),
    })
}

/// A statement on its way, and what is told of it at the end, however it ends.
struct Task {
    inner: Arc<Inner>,
    ask: Ask,
    started: Instant,
    stopwatch: Stopwatch,
    release: Option<u64>,
    rows: u64,
    bytes: u64,
    error: Option<(&'static str, String)>,
    /// Set when the end is one that was meant.
    ended: bool,
    /// Set when the rows are those of an earlier answer.
    cached: bool,
    /// What an answer is kept under; `None` where none are kept.
    question: Option<Question>,
}

impl Task {
    fn new(inner: Arc<Inner>, mut ask: Ask) -> Task {
        if let Some(held) = &ask.held {
            ask.moment = held.moment.clone();
        }
        inner.active.send_modify(|active| *active += 1);
        let started = inner.engine.lake().clock().now();
        let stopwatch = Stopwatch::now();
        let question = inner.answers.as_ref().map(|_| Question::of(&ask));
        Task {
            inner,
            ask,
            started,
            stopwatch,
            release: None,
            rows: 0,
            bytes: 0,
            error: None,
            ended: false,
            cached: false,
            question,
        }
    }

    /// The answer that was given before, where it still holds.
    async fn kept(&mut self) -> Option<Answer> {
        let (answers, question) = (self.inner.answers.as_ref()?, self.question.as_ref()?);
        // What is wrong with the lake the statement itself will say.
        let found = answers.find(question, &self.ask.moment, &self.inner.handles).await.unwrap_or_default();
        let fits = |kept: &Arc<Kept<Rows>>| {
            self.most().is_none_or(|most| kept.value.rows <= most)
                && self.ask.held.as_ref().is_none_or(|held| kept.is_of(&held.tables))
        };
        let Some(kept) = found.filter(fits) else {
            self.inner.metrics.cache_misses.inc();
            return None;
        };
        self.inner.metrics.cache_hits.inc();
        let kept = &kept.value;
        (self.rows, self.bytes, self.release) = (kept.rows, kept.bytes, kept.release);
        (self.ended, self.cached) = (true, true);
        let rows = stream::iter(kept.batches.clone().into_iter().map(Ok));
        Some(Answer {
            schema: kept.schema.clone(),
            release: kept.release,
            rows: Box::pin(RecordBatchStreamAdapter::new(kept.schema.clone(), rows)),
        })
    }

    /// Rows that the statement may answer with.
    fn most(&self) -> Option<u64> {
        let limits = [self.ask.caller.limits.max_rows, self.inner.max_rows, self.ask.max_rows];
        limits.into_iter().flatten().min()
    }

    /// Ends when the statement is to end before it has answered, with the reason.
    fn overdue(&self) -> impl Future<Output = Error> + Send + 'static {
        let (cancel, end) = (self.ask.cancel.clone(), self.inner.end.clone());
        let limit = self.ask.caller.limits.timeout.unwrap_or(self.inner.timeout);
        let timeout = self.ask.timeout.map_or(limit, |asked| asked.min(limit));
        async move {
            tokio::select! {
                () = cancel.cancelled() => cancelled(),
                () = end.cancelled() => Error::interrupted().sqlstate("57P01").hint("the server stops"),
                () = tokio::time::sleep(timeout) => Error::exhausted(format!(
                    "the statement ran longer than {} s", timeout.as_secs_f64()
                ))
                .sqlstate("57014")
                .hint("select less, or raise `timeout` of the role or of `serve:`"),
            }
        }
    }

    async fn run(mut self, header: oneshot::Sender<Result<Header>>, batches: Batches, stop: Stop) {
        let mut header = Some(header);
        let mut overdue = Box::pin(self.overdue());
        let outcome = tokio::select! {
            biased;
            error = &mut overdue => Some(Err(error)),
            () = batches.closed() => Some(Err(cancelled())),
            outcome = self.work(&mut header, &batches, &stop) => match outcome {
                Err(_) if stop.is_set() => None,
                outcome => Some(outcome),
            },
        };
        let outcome = match outcome {
            Some(outcome) => outcome,
            // What was stopped fails for the reason why it was.
            None => tokio::select! {
                error = overdue => Err(error),
                () = batches.closed() => Err(cancelled()),
            },
        };
        self.ended = true;
        if let Err(error) = outcome {
            self.error = Some((error.kind().as_str(), error.to_string()));
            match header.take() {
                Some(header) => drop(header.send(Err(error))),
                None => drop(batches.send(Err(error)).await),
            }
        }
    }

    async fn work(
        &mut self,
        header: &mut Option<oneshot::Sender<Result<Header>>>,
        batches: &Batches,
        stop: &Stop,
    ) -> Result<()> {
        let mut turn = Some(self.turn().await?);
        self.inner.metrics.running.inc();
        let _running = Running(self.inner.clone());
        let (session, tables, newest, mut plan) = match self.ask.held.take() {
            Some(held) => {
                self.release = held.release;
                (held.session, held.tables, held.newest, Arc::unwrap_or_clone(held.plan))
            }
            None => {
                let newest = self.inner.newest().await?;
                let around = self.ask.around.clone();
                let (session, tables) =
                    self.inner.session_in(&self.ask.caller, &self.ask.moment, around).await?;
                self.release = tables.release().map(|release| release.number);
                let plan = session.plan(&self.ask.sql).await?;
                (session, tables, newest, plan)
            }
        };
        let release = self.release;
        if !self.ask.params.is_empty() {
            let params = ParamValues::from(self.ask.params.clone());
            plan = plan.with_param_values(params).map_err(translate)?;
        }
        let question = self.question.take().filter(|_| session.is_repeatable(&plan));
        let mut keep = question.is_some().then(Vec::new);
        let QueryResult { schema, mut stream, .. } = session.execute_plan(&plan, stop).await?;
        if let Some(header) = header.take() {
            let _ = header.send(Ok((schema.clone(), release)));
        }
        let most = self.most();
        let enough = self.ask.enough.unwrap_or(u64::MAX);
        while let Some(batch) = stream.next().await {
            let mut batch = batch.map_err(translate)?;
            let wanted = enough - self.rows;
            if batch.num_rows() as u64 > wanted {
                batch = batch.slice(0, wanted as usize);
            }
            self.rows += batch.num_rows() as u64;
            self.bytes += batch.get_array_memory_size() as u64;
            if most.is_some_and(|most| self.rows > most) {
                let most = most.unwrap_or_default();
                return Err(Error::exhausted(format!("the statement answers with more than {most} rows"))
                    .sqlstate("54000")
                    .hint("add LIMIT, or aggregate"));
            }
            if let (Some(kept), Some(answers)) = (&mut keep, &self.inner.answers) {
                kept.push(batch.clone());
                if self.bytes > answers.largest() {
                    keep = None;
                }
            }
            if batch.num_rows() > 0 {
                let room = match tokio::time::timeout(IDLE, batches.reserve()).await {
                    Ok(room) => room,
                    // Whoever reads is at rest: until he goes on, another may have the turn.
                    Err(_) => {
                        drop(turn.take());
                        let room = batches.reserve().await;
                        turn = Some(self.turn().await?);
                        room
                    }
                };
                room.map_err(|_| cancelled())?.send(Ok(Some(batch)));
            }
            if self.rows == enough {
                // There may be more: not an answer to others.
                keep = None;
                break;
            }
        }
        if let (Some(kept), Some(question), Some(answers)) = (keep, question, &self.inner.answers) {
            let rows = Rows { schema, batches: kept, rows: self.rows, bytes: self.bytes, release };
            answers.keep(question, Kept::of(rows, newest, &tables));
            self.inner.metrics.cache_bytes.set(answers.bytes() as i64);
        }
        drop(turn);
        batches.send(Ok(None)).await.map_err(|_| cancelled())
    }

    /// Waits until the statement may run.
    async fn turn(&self) -> Result<(OwnedSemaphorePermit, Option<OwnedSemaphorePermit>)> {
        let _waiting = Waiting::new(&self.inner.metrics.waiting);
        let role = match self.inner.role_slots(&self.ask.caller) {
            Some(slots) => Some(acquire(slots).await),
            None => None,
        };
        let all = acquire(self.inner.slots.clone()).await;
        Ok((all?, role.transpose()?))
    }
}

async fn acquire(slots: Arc<Semaphore>) -> Result<OwnedSemaphorePermit> {
    slots.acquire_owned().await.map_err(|error| Error::internal("no statement may run").caused_by(error))
}

fn cancelled() -> Error {
    Error::new(laguna_base::ErrorKind::Interrupted, "the statement was cancelled").sqlstate("57014")
}

/// Counts what waits, however its waiting ends.
struct Waiting<'a>(&'a Gauge);

impl<'a> Waiting<'a> {
    fn new(gauge: &'a Gauge) -> Self {
        gauge.inc();
        Waiting(gauge)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// Stops a statement when nobody waits for its rows any more.
struct Unwanted(Stop);

impl Drop for Unwanted {
    fn drop(&mut self) {
        self.0.set();
    }
}

struct Running(Arc<Inner>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.metrics.running.dec();
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        if !self.ended {
            self.error = Some(("internal", "the statement died".to_string()));
        }
        let door = self.ask.door;
        let outcome = self.error.as_ref().map_or("ok", |(word, _)| word);
        let seconds = self.stopwatch.elapsed().as_secs_f64();
        let metrics = &self.inner.metrics;
        metrics.statements.get_or_create(&Statement { door, outcome }).inc();
        metrics.seconds.get_or_create(&ByDoor { door }).observe(seconds);
        metrics.rows.get_or_create(&ByDoor { door }).inc_by(self.rows);
        if let Some(record) = &self.inner.record {
            // Who listens may have gone while the server stops.
            let _ = record.send(QueryRecord {
                started: self.started,
                user: self.ask.caller.user.clone(),
                role: self.ask.caller.role.clone(),
                door,
                sql: std::mem::take(&mut self.ask.sql),
                release: self.release,
                rows: self.rows,
                bytes: self.bytes,
                seconds,
                outcome,
                message: self.error.take().map(|(_, message)| message),
                cached: self.cached,
            });
        }
        self.inner.active.send_modify(|active| *active -= 1);
    }
}
