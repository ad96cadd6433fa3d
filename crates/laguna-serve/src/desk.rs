//! Where every statement of every door is answered: one place for limits, access rules, the state of the lake, and the
//! record of who asked what.
//!
//! Statements run on threads of their own, so that a heavy one keeps no door from answering.

mod kept;
mod parameters;
mod run;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arrow::datatypes::{DataType, SchemaRef};
use datafusion::common::ParamValues;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::logical_expr::LogicalPlan;
use datafusion::scalar::ScalarValue;
use laguna_base::{Error, Instant, Result};
use laguna_query::{Engine, LakeTables, Moment, Session, Surroundings};
use laguna_store::Handles;
use tokio::runtime::Runtime;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio_util::sync::CancellationToken;

use kept::{Kept, Question, Rows, Store};

use crate::metrics::Metrics;
use crate::{Caller, Settings};

/// Bytes of what is kept about statements before they run.
const PREPARED: u64 = 8 << 20;

/// One statement, and who asks it.
#[derive(Debug, Clone)]
pub struct Ask {
    /// Who asks.
    pub caller: Arc<Caller>,
    /// Name of the door.
    pub door: &'static str,
    /// The statement.
    pub sql: String,
    /// What stands for `$1`, `$2`, …
    pub params: Vec<ScalarValue>,
    /// Which state of the lake it reads.
    pub moment: Moment,
    /// How long it may run, where that is less than the caller may.
    pub timeout: Option<Duration>,
    /// Rows that it may answer with, where that is less than the caller may.
    pub max_rows: Option<u64>,
    /// Rows after which nobody wants more: what follows them is not computed.
    pub enough: Option<u64>,
    /// Ends it.
    pub cancel: CancellationToken,
    /// What the protocol's clients expect around the lake.
    pub around: Option<Arc<Surroundings>>,
    /// The statement as it was planned before, with the state of the lake that it saw then: it reads that one.
    pub held: Option<Held>,
}

impl Ask {
    /// A statement about the lake as it is now, without parameters and without limits of its own.
    pub fn new(caller: Arc<Caller>, door: &'static str, sql: impl Into<String>) -> Ask {
        Ask {
            caller,
            door,
            sql: sql.into(),
            params: Vec::new(),
            moment: Moment::Now,
            timeout: None,
            max_rows: None,
            enough: None,
            cancel: CancellationToken::new(),
            around: None,
            held: None,
        }
    }
}

/// What a statement answers with, as its rows come.
pub struct Answer {
    /// Columns.
    pub schema: SchemaRef,
    /// The release that is read; `None` before the first.
    pub release: Option<u64>,
    /// The rows. Dropping the stream ends the statement.
    pub rows: SendableRecordBatchStream,
}

/// What is known of a statement before it runs.
#[derive(Debug, Clone)]
pub struct Prepared {
    /// Columns of the answer.
    pub schema: SchemaRef,
    /// Types of `$1`, `$2`, … as far as the statement tells them.
    pub parameters: Vec<Option<DataType>>,
}

/// A statement that was planned, and the state of the lake that it reads whenever it runs. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Held {
    session: Session,
    tables: Arc<LakeTables>,
    moment: Moment,
    /// The newest release when it was planned.
    newest: Option<u64>,
    plan: Arc<LogicalPlan>,
    /// The release that it reads; `None` before the first.
    pub release: Option<u64>,
    /// Columns of the answer.
    pub schema: SchemaRef,
    /// Types of `$1`, `$2`, … as far as the statement tells them.
    pub parameters: Vec<Option<DataType>>,
}

/// One statement that has ended, for the record.
#[derive(Debug, Clone)]
pub struct QueryRecord {
    /// When it arrived.
    pub started: Instant,
    /// Who asked.
    pub user: String,
    /// In which role.
    pub role: String,
    /// Through which door.
    pub door: &'static str,
    /// The statement.
    pub sql: String,
    /// The release that it read.
    pub release: Option<u64>,
    /// Rows given out.
    pub rows: u64,
    /// Bytes of the rows in memory.
    pub bytes: u64,
    /// From its arrival to its last row.
    pub seconds: f64,
    /// `ok`, or the word of the error's kind.
    pub outcome: &'static str,
    /// The error's sentence.
    pub message: Option<String>,
    /// Whether the rows were kept from an earlier answer.
    pub cached: bool,
}

/// Where statements are answered. Cheap to clone.
#[derive(Clone)]
pub struct Desk {
    inner: Arc<Inner>,
}

struct Inner {
    engine: Engine,
    /// What of the lake is kept open.
    handles: Arc<Handles>,
    /// Answers that are kept; `None` where none are.
    answers: Option<Store<Rows>>,
    /// What is known of statements before they run.
    prepared: Store<Prepared>,
    timeout: Duration,
    max_rows: Option<u64>,
    slots: Arc<Semaphore>,
    roles: Mutex<HashMap<String, Arc<Semaphore>>>,
    metrics: Metrics,
    record: Option<mpsc::UnboundedSender<QueryRecord>>,
    /// Statements that have not ended.
    active: watch::Sender<usize>,
    /// Ends all of them.
    end: CancellationToken,
    work: Work,
}

/// The threads on which statements run.
struct Work(Option<Runtime>);

impl Drop for Work {
    fn drop(&mut self) {
        // Waiting for threads inside another runtime is not allowed, and letting go of them while they end is a fault in glibc
        // (see `laguna::main`): a thread of its own waits.
        if let Some(runtime) = self.0.take() {
            std::thread::spawn(move || drop(runtime));
        }
    }
}

impl Desk {
    /// A desk over `engine`. What ends is told to `record`.
    pub fn new(
        engine: Engine,
        settings: &Settings,
        metrics: Metrics,
        record: Option<mpsc::UnboundedSender<QueryRecord>>,
    ) -> Result<Desk> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .thread_name("statement")
            .thread_stack_size(16 << 20)
            .enable_all()
            .build()
            .map_err(|error| Error::storage("the system gives no threads").caused_by(error))?;
        Ok(Desk {
            inner: Arc::new(Inner {
                handles: Arc::new(Handles::new(engine.lake().clone())),
                answers: (settings.cache > 0).then(|| Store::new(settings.cache)),
                prepared: Store::new(PREPARED),
                engine,
                timeout: settings.timeout,
                max_rows: settings.max_rows,
                slots: Arc::new(Semaphore::new(settings.concurrency)),
                roles: Mutex::default(),
                metrics,
                record,
                active: watch::channel(0).0,
                end: CancellationToken::new(),
                work: Work(Some(runtime)),
            }),
        })
    }

    /// The engine behind it.
    pub fn engine(&self) -> &Engine {
        &self.inner.engine
    }

    /// Starts a statement; answers when its columns are known and its first rows are on their way.
    pub async fn answer(&self, ask: Ask) -> Result<Answer> {
        run::answer(&self.inner, ask).await
    }

    /// Plans a statement without running it.
    pub async fn prepare(&self, caller: &Arc<Caller>, sql: &str, moment: &Moment) -> Result<Prepared> {
        self.prepare_in(caller, sql, moment, None).await
    }

    /// Plans a statement as [`Desk::prepare`] does, with what is around the lake.
    pub async fn prepare_in(
        &self,
        caller: &Arc<Caller>,
        sql: &str,
        moment: &Moment,
        around: Option<Arc<Surroundings>>,
    ) -> Result<Prepared> {
        let mut ask = Ask::new(caller.clone(), "", sql);
        (ask.moment, ask.around) = (moment.clone(), around);
        let question = Question::of(&ask);
        if let Ok(Some(kept)) = self.inner.prepared.find(&question, moment, &self.inner.handles).await {
            return Ok(kept.value.clone());
        }
        let inner = self.inner.clone();
        run::on(&self.inner, async move {
            let newest = inner.newest().await?;
            let (session, tables) = inner.session_in(&ask.caller, &ask.moment, ask.around).await?;
            let plan = session.plan(&ask.sql).await?;
            let schema = Arc::new(plan.schema().as_arrow().clone());
            let parameters = parameters::types(&plan)?;
            let prepared = Prepared { schema, parameters };
            inner.prepared.keep(question, Kept::of(prepared.clone(), newest, &tables));
            Ok(prepared)
        })
        .await
    }

    /// Records a statement of a reader that could not be planned, and so is never answered: who looks for what is hidden
    /// may look in this way only.
    pub fn unplanned(&self, caller: &Caller, door: &'static str, sql: String, error: &Error) {
        let Some(record) = &self.inner.record else { return };
        // Who listens may have gone while the server stops.
        let _ = record.send(QueryRecord {
            started: self.engine().lake().clock().now(),
            user: caller.user.clone(),
            role: caller.role.clone(),
            door,
            sql,
            release: None,
            rows: 0,
            bytes: 0,
            seconds: 0.0,
            outcome: error.kind().as_str(),
            message: Some(error.to_string()),
            cached: false,
        });
    }

    /// Plans a statement and holds what it reads. With `params` its columns are those of a statement with these values.
    pub async fn hold(
        &self,
        caller: &Arc<Caller>,
        sql: &str,
        params: &[ScalarValue],
        moment: &Moment,
    ) -> Result<Held> {
        let (inner, caller, sql) = (self.inner.clone(), caller.clone(), sql.to_string());
        let (params, moment) = (params.to_vec(), moment.clone());
        run::on(&self.inner, async move {
            let newest = inner.newest().await?;
            let (session, tables) = inner.session(&caller, &moment).await?;
            let release = tables.release().map(|release| release.number);
            let plan = session.plan(&sql).await?;
            let parameters = parameters::types(&plan)?;
            let schema = match parameters.len() {
                0 => session.columns_of(plan.clone())?,
                // Without values not every type is known.
                count if params.len() < count => Arc::new(plan.schema().as_arrow().clone()),
                _ => {
                    let bound = plan.clone().with_param_values(ParamValues::from(params));
                    session.columns_of(bound.map_err(laguna_query::translate)?)?
                }
            };
            Ok(Held { session, tables, moment, newest, plan: Arc::new(plan), release, schema, parameters })
        })
        .await
    }

    /// A session of `caller` at `moment`, for what is no statement of the caller's: pages and catalogs.
    pub async fn session(&self, caller: &Caller, moment: &Moment) -> Result<Session> {
        self.inner.session(caller, moment).await.map(|(session, _)| session)
    }

    /// Opens what a new release has changed, before anybody asks for it.
    pub async fn refresh(&self) -> Result<()> {
        let handles = self.inner.handles.clone();
        run::on(&self.inner, async move { handles.refresh().await }).await
    }

    /// Waits until no statement runs.
    pub async fn idle(&self) {
        let mut active = self.inner.active.subscribe();
        // The sender lives as long as `self`.
        let _ = active.wait_for(|active| *active == 0).await;
    }

    /// Ends all statements that run.
    pub fn end(&self) {
        self.inner.end.cancel();
    }
}

impl Inner {
    async fn newest(&self) -> Result<Option<u64>> {
        Ok(self.handles.release().await?.map(|release| release.number))
    }

    async fn session(&self, caller: &Caller, moment: &Moment) -> Result<(Session, Arc<LakeTables>)> {
        self.session_in(caller, moment, None).await
    }

    async fn session_in(
        &self,
        caller: &Caller,
        moment: &Moment,
        around: Option<Arc<Surroundings>>,
    ) -> Result<(Session, Arc<LakeTables>)> {
        let lake = self.engine.lake();
        let tables = Arc::new(LakeTables::of(self.handles.clone(), moment.clone()).await?);
        let now = match moment {
            Moment::AsOf(at) => *at,
            _ => lake.clock().now(),
        };
        let session = match around {
            Some(around) => self.engine.session_in(tables.clone(), now, &caller.access, around),
            None => self.engine.session_for(tables.clone(), now, &caller.access),
        };
        Ok((session, tables))
    }

    /// Where statements of this role wait for each other; `None` without a limit.
    fn role_slots(&self, caller: &Caller) -> Option<Arc<Semaphore>> {
        let limit = caller.limits.concurrency?;
        let mut roles = self.roles.lock().unwrap_or_else(PoisonError::into_inner);
        let slots =
            roles.entry(caller.role.clone()).or_insert_with(|| Arc::new(Semaphore::new(limit.max(1))));
        Some(slots.clone())
    }
}
