//! One run: land, build, check, commit, and publish one release.

mod model_task;
mod record;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Instant as Stopwatch;

use laguna_base::settings::parse_duration;
use laguna_base::{Error, ErrorKind, Instant, Result, TableName, Tier};
use laguna_model::build::Built;
use laguna_model::plan::decide;
use laguna_model::project::node_of;
use laguna_model::{Action, Fingerprint};
use laguna_query::{LakeTables, Moment, Resolved};
use laguna_store::ledger::{RunRecord, TaskRecord};
use laguna_store::release::RawState;
use laguna_store::{Release, ReleasedTable};
use serde::Serialize;
use tokio::task::JoinSet;

use crate::exclusive::exclusively;
use crate::failure::{in_one_line, worse};
use crate::land;
use crate::maintain;
use crate::node::{self, State};
use crate::tables::{RunTables, SharedTables};
use crate::{Context, Event};
use model_task::ModelTask;
pub(crate) use record::{STAGED_FOR, heartbeat};

/// What a run is asked to do.
#[derive(Debug, Clone, Default)]
pub struct RunOptions {
    /// Nodes, in dbt's words; empty for all.
    pub select: Vec<String>,
    /// Nodes to leave out.
    pub exclude: Vec<String>,
    /// Builds even what has not changed, and incremental models whole.
    pub full: bool,
    /// Waits for another run of the project to end, instead of refusing.
    pub wait: bool,
}

/// How a run ended.
#[derive(Debug, Clone, Serialize)]
pub struct RunReport {
    /// Id of the run; empty when there was nothing to do.
    pub run: String,
    /// The release that it published.
    pub release: Option<u64>,
    /// Nodes that landed or were built, that failed or were held, in the order in which they ended.
    pub tasks: Vec<TaskRecord>,
    /// Nodes that had nothing to do.
    pub skipped: usize,
    /// Nodes that landed or were built.
    pub built: usize,
    /// Nodes that failed, were blocked, or could not be built because of those.
    pub failed: usize,
    /// Rows set aside.
    pub quarantined: u64,
    /// Wall-clock seconds.
    pub seconds: f64,
    /// Kind of the worst failure; decides the exit code.
    #[serde(skip)]
    pub worst: Option<ErrorKind>,
}

/// How the reason of a rolled-back table begins; such a table stays marked until it is built again.
pub(crate) const ROLLED_BACK: &str = "rolled back";

/// Runs the project.
///
/// Failures of single nodes don't end it: they are in the report. An error is returned only when nothing could be
/// released or recorded at all.
pub async fn run(context: &Context, options: &RunOptions) -> Result<RunReport> {
    let stopwatch = Stopwatch::now();
    let id = context.lake().clock().new_id();
    let lake = context.lake();
    exclusively(lake, &id.clone(), options.wait, |finished| {
        if let Some(finished) = finished {
            let message = format!("finished forgetting rows of {}", finished.table);
            context.reporter.event(&Event::Note { message });
        }
        run_alone(context, options, id, stopwatch)
    })
    .await
}

/// The run, while it holds the project's lease.
async fn run_alone(
    context: &Context,
    options: &RunOptions,
    id: String,
    stopwatch: Stopwatch,
) -> Result<RunReport> {
    let parent = context.lake().release().await?;
    let state = State::new(parent.as_ref());
    let selected = laguna_model::select(&context.project, &options.select, &options.exclude, &state)?;
    let instant = context.lake().clock().now();
    let mut driver = Driver::new(context, options, id, instant, parent, state, selected);
    driver.work().await?;
    let report = driver.finish(stopwatch).await?;
    if context.project.maintain.after_runs && !report.tasks.is_empty() {
        maintain::after_run(context, &report.run, &report.tasks).await;
    }
    Ok(report)
}

/// Where a node stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// Current: skipped, landed or built.
    Good,
    /// Failed, blocked or held because of another.
    Bad,
}

/// What a task sends back.
enum Outcome {
    Landed(land::LandOutcome),
    Built { entry: Box<ReleasedTable>, resolved: Resolved, built: Box<Built> },
    Adopted { entry: Box<ReleasedTable>, resolved: Resolved },
    Checked { entry: Box<ReleasedTable>, built: Box<Built> },
    Blocked(Box<Built>),
}

struct Finished {
    name: TableName,
    result: Result<Outcome>,
    attempts: u32,
    started: Instant,
    seconds: f64,
    reason: String,
}

struct Driver<'a> {
    context: &'a Context,
    options: &'a RunOptions,
    id: String,
    instant: Instant,
    parent: Option<Release>,
    selected: BTreeSet<TableName>,
    state: State,
    tables: Option<SharedTables>,
    /// Selected nodes that wait for this many others.
    waiting: BTreeMap<TableName, usize>,
    followers: BTreeMap<TableName, Vec<TableName>>,
    ready: VecDeque<TableName>,
    standing: BTreeMap<TableName, Standing>,
    raw: BTreeMap<TableName, RawState>,
    record: Option<RunRecord>,
    tasks: Vec<TaskRecord>,
    skipped: usize,
    worst: Option<ErrorKind>,
    heartbeat: Option<tokio::task::JoinHandle<()>>,
}

impl Drop for Driver<'_> {
    fn drop(&mut self) {
        if let Some(heartbeat) = &self.heartbeat {
            heartbeat.abort();
        }
    }
}

impl<'a> Driver<'a> {
    fn new(
        context: &'a Context,
        options: &'a RunOptions,
        id: String,
        instant: Instant,
        parent: Option<Release>,
        state: State,
        selected: BTreeSet<TableName>,
    ) -> Driver<'a> {
        let mut waiting = BTreeMap::new();
        let mut followers: BTreeMap<TableName, Vec<TableName>> = BTreeMap::new();
        let mut ready = VecDeque::new();
        for name in context.project.graph.order() {
            if !selected.contains(name) {
                continue;
            }
            let upstream: BTreeSet<&TableName> = context
                .project
                .graph
                .waits_for(name)
                .iter()
                .filter(|input| selected.contains(*input))
                .collect();
            if upstream.is_empty() {
                ready.push_back(name.clone());
            }
            waiting.insert(name.clone(), upstream.len());
            for input in upstream {
                followers.entry(input.clone()).or_default().push(name.clone());
            }
        }
        let raw = parent.as_ref().map(|parent| parent.raw.clone()).unwrap_or_default();
        Driver {
            state,
            context,
            options,
            id,
            instant,
            parent,
            selected,
            tables: None,
            waiting,
            followers,
            ready,
            standing: BTreeMap::new(),
            raw,
            record: None,
            tasks: Vec::new(),
            skipped: 0,
            worst: None,
            heartbeat: None,
        }
    }

    async fn work(&mut self) -> Result<()> {
        let parallel = self.context.project.parallel.max(1);
        let mut running: JoinSet<Finished> = JoinSet::new();
        loop {
            while running.len() < parallel && !self.context.stop.is_cancelled() {
                let Some(name) = self.ready.pop_front() else { break };
                match self.start(&name, &mut running).await {
                    Ok(()) => {}
                    Err(error) => {
                        if let Err(unrecorded) = self.begin().await {
                            tracing::warn!(%unrecorded, "the run could not be recorded");
                        }
                        self.failed(&name, &error, 1, self.context.lake().clock().now(), 0.0)
                    }
                }
            }
            if running.is_empty() {
                break;
            }
            let finished = tokio::select! {
                finished = running.join_next() => finished,
                () = self.context.stop.cancelled() => {
                    running.shutdown().await;
                    break;
                }
            };
            match finished {
                Some(Ok(finished)) => self.settle(finished).await,
                Some(Err(died)) => {
                    running.shutdown().await;
                    return Err(Error::internal("a task of the run died").caused_by(died));
                }
                None => break,
            }
        }
        Ok(())
    }

    /// Decides what a node does; starts it when it has work.
    async fn start(&mut self, name: &TableName, running: &mut JoinSet<Finished>) -> Result<()> {
        if let Some(dataset) = self.context.project.datasets.get(name) {
            let pending = land::pending(self.context, dataset).await?;
            for pattern in &pending.unmatched {
                self.note(format!("{name}: no file matches {pattern}"));
            }
            if pending.is_empty() {
                self.state.landed.insert(name.clone(), pending.landed);
                return self.skip(name);
            }
            let reason = pending.describe().unwrap_or_default();
            self.begin().await?;
            let (context, run, dataset) = (self.context.clone(), self.id.clone(), dataset.clone());
            let bytes = pending.bytes();
            let found = Arc::new(Mutex::new(Some(pending)));
            self.spawn(running, name.clone(), Some(bytes), "bytes", reason, move || {
                let (context, run, dataset) = (context.clone(), run.clone(), dataset.clone());
                let progress = progress(&context, &dataset.name);
                // A second attempt looks again: the first may have landed something.
                let found = found.lock().ok().and_then(|mut found| found.take());
                async move {
                    let pending = match found {
                        Some(pending) => pending,
                        None => land::pending(&context, &dataset).await?,
                    };
                    Ok(Outcome::Landed(land::land(&context, &dataset, pending, &run, progress).await?))
                }
            });
            return Ok(());
        }
        let Some(model) = self.context.project.models.get(name).cloned() else {
            return Err(Error::internal(format!("{name} is neither a dataset nor a model")));
        };
        let bad: Vec<String> = node::inputs(&model)
            .filter(|input| {
                node_of(input).is_some_and(|node| self.standing.get(&node) == Some(&Standing::Bad))
            })
            .map(|input| input.to_string())
            .collect();
        if !bad.is_empty() {
            self.held(name, format!("{} did not pass", bad.join(", "))).await?;
            return Ok(());
        }
        if let Some(absent) = node::inputs(&model)
            .find(|input| input.tier.is_model() && !self.state.entries.contains_key(input))
        {
            return Err(Error::project(format!("{name} reads {absent}, which was never built"))
                .at(&model.file, 0, 0)
                .hint(format!("select it too: laguna run +{name}")));
        }
        let contents = self.state.contents(self.context.lake(), &self.context.project, &model).await?;
        if let Some(absent) = node::inputs(&model)
            .find(|input| matches!(input.tier, Tier::Raw | Tier::Latest) && !contents.contains_key(input))
        {
            let hint = match node_of(&absent).is_some_and(|node| self.selected.contains(&node)) {
                true => "there was no file to land: look at the `source` of its dataset".to_string(),
                false => format!("select it too: laguna run +{name}"),
            };
            return Err(Error::project(format!("{name} reads {absent}, where nothing has landed yet"))
                .at(&model.file, 0, 0)
                .hint(hint));
        }
        let released = self.state.released(name);
        let held = self.parent.as_ref().map(|parent| &parent.held_fingerprints);
        let is_held = |print: &str| held.is_some_and(|held| held.contains(print));
        let (action, reason) = decide(&model, released.as_ref(), &contents, &is_held, self.options.full);
        match action {
            Action::Skip => {
                // What an earlier run could not publish may be as it should be by now.
                if let Some(entry) = self.state.entries.get_mut(name)
                    && !entry.held.as_ref().is_some_and(|held| held.starts_with(ROLLED_BACK))
                {
                    entry.held = None;
                }
                return self.skip(name);
            }
            Action::Held => {
                self.note(format!("{name}: {reason}"));
                return self.skip(name);
            }
            Action::Land | Action::Build | Action::View | Action::Check => {}
        }
        let entry = self.state.entries.get(name).cloned();
        self.begin().await?;
        let tables = self.tables().await?;
        // Another SQL or another shape needs every row again: what was released is no base then.
        let base = entry.clone().filter(|entry| {
            !self.options.full
                && entry.fingerprint.parse::<Fingerprint>().is_ok_and(|print| print.gives_rows_of(&model))
        });
        let task = ModelTask {
            context: self.context.clone(),
            model: Arc::new(model.clone()),
            tables,
            run: self.id.as_str().into(),
            instant: self.instant,
            fingerprint: Fingerprint::of(&model, &contents).to_string().into(),
            base,
            previous: entry,
            adopt: !self.options.full,
            inputs: self.state.input_states(&contents),
        };
        if action == Action::Check {
            self.spawn(running, name.clone(), None, "rows", reason, move || task.clone().check());
        } else {
            self.spawn(running, name.clone(), None, "rows", reason, move || task.clone().run());
        }
        Ok(())
    }

    /// Runs a node as a task, with the project's retries.
    fn spawn<F, Fut>(
        &mut self,
        running: &mut JoinSet<Finished>,
        name: TableName,
        total: Option<u64>,
        unit: &'static str,
        reason: String,
        work: F,
    ) where
        F: Fn() -> Fut + Send + 'static,
        Fut: Future<Output = Result<Outcome>> + Send + 'static,
    {
        self.context.reporter.event(&Event::TaskStarted {
            node: name.clone(),
            total,
            unit,
            reason: reason.clone(),
        });
        let retries = self.context.project.retries.clone();
        let clock = self.context.lake().clock().clone();
        running.spawn(async move {
            let (started, stopwatch) = (clock.now(), Stopwatch::now());
            let longest = parse_duration(&retries.max_backoff).unwrap_or_default();
            let mut wait = parse_duration(&retries.backoff).unwrap_or_default();
            let mut attempts = 1;
            let result = loop {
                match work().await {
                    Err(error) if error.kind().is_retryable() && attempts < retries.attempts => {
                        tracing::warn!(node = %name, attempt = attempts, %error, "will be tried again");
                        tokio::time::sleep(wait.min(longest)).await;
                        wait = wait.saturating_mul(2);
                        attempts += 1;
                    }
                    result => break result,
                }
            };
            Finished { name, result, attempts, started, seconds: stopwatch.elapsed().as_secs_f64(), reason }
        });
    }

    /// Takes a task's result into the state.
    async fn settle(&mut self, finished: Finished) {
        let Finished { name, result, attempts, started, seconds, reason } = finished;
        let outcome = match result {
            Ok(outcome) => outcome,
            Err(error) => return self.failed(&name, &error, attempts, started, seconds),
        };
        let mut task = TaskRecord { seconds, attempts, ..TaskRecord::new(&name, "built", reason, started) };
        let mut standing = Standing::Good;
        match outcome {
            Outcome::Landed(landed) => {
                task.outcome = "landed".to_string();
                task.rows_in = Some(landed.rows + landed.quarantined);
                task.rows_out = Some(landed.rows);
                task.bytes_out = Some(landed.bytes);
                task.quarantined = landed.quarantined;
                task.version = landed.version;
                for note in landed.notes {
                    self.note(note);
                }
                if let Err(error) = self.raw_moved(&name).await {
                    return self.failed(&name, &error, attempts, started, seconds);
                }
            }
            Outcome::Built { entry, resolved, built } => {
                describe(&mut task, &built);
                task.version = entry.version;
                self.overlay(&name, resolved).await;
                self.state.entries.insert(name.clone(), *entry);
            }
            Outcome::Checked { entry, built } => {
                describe(&mut task, &built);
                task.outcome = "checked".to_string();
                task.rows_out = entry.rows;
                task.version = entry.version;
                self.state.entries.insert(name.clone(), *entry);
            }
            Outcome::Adopted { entry, resolved } => {
                task.reason = "an earlier run had committed it without releasing it".to_string();
                task.rows_out = entry.rows;
                task.version = entry.version;
                self.overlay(&name, resolved).await;
                self.state.entries.insert(name.clone(), *entry);
            }
            Outcome::Blocked(built) => {
                describe(&mut task, &built);
                task.outcome = "blocked".to_string();
                standing = Standing::Bad;
                self.worst(ErrorKind::Failed);
                if let Some(entry) = self.state.entries.get_mut(&name) {
                    entry.held = Some("its checks failed".to_string());
                }
            }
        }
        task.metrics.insert("seconds".to_string(), seconds);
        for (metric, value) in [("row_count", task.rows_out), ("bytes", task.bytes_out)] {
            if let Some(value) = value {
                task.metrics.insert(metric.to_string(), value as f64);
            }
        }
        self.end(task, &name, standing);
    }

    /// A raw table has grown: the session sees its new head, and the release will name it.
    async fn raw_moved(&mut self, name: &TableName) -> Result<()> {
        if let Some(tables) = &self.tables {
            tables.forget(name).await;
            tables.forget(&name.latest()).await;
        }
        let landed = self.context.lake().landed(name).await?;
        if let Some(state) = land::raw_state(self.context.lake(), &landed, name).await? {
            self.raw.insert(name.clone(), state);
        }
        self.state.landed.insert(name.clone(), landed);
        Ok(())
    }

    async fn overlay(&mut self, name: &TableName, resolved: Resolved) {
        if let Some(tables) = &self.tables {
            tables.set(name, resolved).await;
        }
    }

    fn end(&mut self, task: TaskRecord, name: &TableName, standing: Standing) {
        self.context.reporter.event(&Event::TaskFinished(task.clone()));
        self.tasks.push(task);
        self.standing.insert(name.clone(), standing);
        self.release_followers(name);
    }

    fn failed(&mut self, name: &TableName, error: &Error, attempts: u32, started: Instant, seconds: f64) {
        self.worst(error.kind());
        if let Some(entry) = self.state.entries.get_mut(name) {
            entry.held = Some("its build failed".to_string());
        }
        let task = TaskRecord::new(name, "failed", in_one_line(error), started);
        self.end(TaskRecord { seconds, attempts, ..task }, name, Standing::Bad);
    }

    async fn held(&mut self, name: &TableName, reason: String) -> Result<()> {
        self.begin().await?;
        if let Some(entry) = self.state.entries.get_mut(name) {
            entry.held = Some(reason.clone());
        }
        let task = TaskRecord::new(name, "held", reason, self.context.lake().clock().now());
        self.end(task, name, Standing::Bad);
        Ok(())
    }

    fn skip(&mut self, name: &TableName) -> Result<()> {
        self.skipped += 1;
        self.standing.insert(name.clone(), Standing::Good);
        self.release_followers(name);
        Ok(())
    }

    fn release_followers(&mut self, name: &TableName) {
        for follower in self.followers.remove(name).unwrap_or_default() {
            if let Some(count) = self.waiting.get_mut(&follower) {
                *count -= 1;
                if *count == 0 {
                    self.ready.push_back(follower);
                }
            }
        }
    }

    fn worst(&mut self, kind: ErrorKind) {
        self.worst = worse(self.worst, kind);
    }

    fn note(&self, message: String) {
        self.context.reporter.event(&Event::Note { message });
    }

    async fn tables(&mut self) -> Result<SharedTables> {
        if let Some(tables) = &self.tables {
            return Ok(tables.clone());
        }
        let tables = Arc::new(RunTables::new(LakeTables::at(self.context.lake(), Moment::Now).await?));
        self.tables = Some(tables.clone());
        Ok(tables)
    }
}

fn describe(task: &mut TaskRecord, built: &Built) {
    task.rows_in = Some(built.rows_in);
    task.rows_out = built.staged.as_ref().map(|staged| staged.rows);
    task.bytes_out = built.staged.as_ref().map(|_| built.bytes_out);
    task.quarantined = built.rows_quarantined();
    let with_rows = |(at, verdict): (usize, &laguna_check::Verdict)| {
        let mut value = serde_json::to_value(verdict).ok()?;
        if let Some(rows) = built.failing.get(at).filter(|rows| !rows.is_empty()) {
            value["failing_rows"] = serde_json::to_value(rows).ok()?;
        }
        Some(value)
    };
    task.checks = built.verdicts.iter().enumerate().filter_map(with_rows).collect();
    task.metrics.insert("bytes_read".to_string(), built.bytes_in as f64);
}

pub(crate) fn progress(context: &Context, name: &TableName) -> Arc<dyn Fn(u64) + Send + Sync> {
    let (reporter, node) = (context.reporter.clone(), name.clone());
    Arc::new(move |done| reporter.event(&Event::Progress { node: node.clone(), done }))
}
