//! Maintenance: small files are joined, old releases dropped, and what nobody needs is deleted. Readers see no change.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant as Stopwatch;

use laguna_base::{Error, ErrorKind, Instant, Result, TableName, Tier};
use laguna_store::ledger::{RunRecord, TaskRecord};
use laguna_store::maintain::{Needs, bins};
use laguna_store::{DataFile, Lake, Release, ReleasedTable, Snapshot};
use serde::Serialize;

use crate::Context;
use crate::exclusive::exclusively;
use crate::failure::{in_one_line, worse};
use crate::land;
use crate::node::State;
use crate::run::{STAGED_FOR, heartbeat};

/// A run looks at a table at every so many of its commits, which is when its checkpoint is written.
const LOOK_EVERY: u64 = 20;

/// Small files that make it worth joining them after a run, and bytes that are then written at most.
const MANY: usize = 16;
const AFTER_RUN_BYTES: u64 = 1 << 30;

/// What maintenance is asked to do.
#[derive(Debug, Clone, Default)]
pub struct MaintainOptions {
    /// Nodes, in dbt's words; empty for the whole lake.
    pub select: Vec<String>,
    /// Says what would be done, and does nothing.
    pub dry_run: bool,
    /// Waits for a run of the lake to end, instead of refusing.
    pub wait: bool,
}

/// What was done to one table, or would be.
#[derive(Debug, Clone, Serialize)]
pub struct Maintained {
    /// Which.
    pub table: TableName,
    /// Files of its newest version before and after.
    pub files_before: usize,
    /// See `files_before`.
    pub files_after: usize,
    /// Versions that were deleted.
    pub versions_deleted: usize,
    /// Data files that were deleted.
    pub files_deleted: usize,
    /// Bytes of all that was deleted.
    pub bytes_won: u64,
    /// Why it was left as it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl Maintained {
    fn new(table: TableName) -> Maintained {
        Maintained {
            table,
            files_before: 0,
            files_after: 0,
            versions_deleted: 0,
            files_deleted: 0,
            bytes_won: 0,
            error: None,
        }
    }

    /// Whether there is anything to say of it.
    pub fn is_changed(&self) -> bool {
        self.files_before != self.files_after || self.bytes_won > 0 || self.error.is_some()
    }
}

/// What maintenance did, or would do.
#[derive(Debug, Clone, Default, Serialize)]
pub struct MaintainReport {
    /// Its id in `system.runs`; empty for a dry run.
    pub run: String,
    /// The release that names the joined files of models.
    pub release: Option<u64>,
    /// Releases that can no longer be read.
    pub releases_dropped: Vec<u64>,
    /// Every table that was looked at.
    pub tables: Vec<Maintained>,
    /// Bytes of all that was deleted.
    pub bytes_won: u64,
    /// Wall-clock seconds.
    pub seconds: f64,
    /// Kind of the worst failure; decides the exit code.
    #[serde(skip)]
    pub worst: Option<ErrorKind>,
}

/// Maintains the selected tables. Releases are dropped, and what belongs to no table is deleted, only when nothing is
/// selected.
///
/// A failure of one table does not end it: it is in the report.
pub async fn maintain(context: &Context, options: &MaintainOptions) -> Result<MaintainReport> {
    let lake = context.lake();
    if options.dry_run {
        return Work::new(context, options, String::new()).work().await;
    }
    let id = lake.clock().new_id();
    exclusively(lake, &id.clone(), options.wait, |_| recorded(context, options, id)).await
}

/// Joins the small files of the tables that a run has just added to, when they have become many. The caller holds the
/// lease. A failure is only logged: the run's own work is done.
pub(crate) async fn after_run(context: &Context, run: &str, tasks: &[TaskRecord]) {
    let is_due = |version: u64| version > 0 && version.is_multiple_of(LOOK_EVERY);
    let landed = tasks.iter().filter(|task| task.version.is_some_and(is_due));
    let mut due: BTreeSet<TableName> = landed.filter_map(|task| task.node.parse().ok()).collect();
    let ledger = laguna_store::ledger::schemas().into_iter().map(|(table, _)| table);
    for table in ledger.chain([laguna_store::statements::table()]) {
        match context.lake().head_version(&table).await {
            Ok(Some(version)) if is_due(version) => drop(due.insert(table)),
            _ => {}
        }
    }
    if due.is_empty() {
        return;
    }
    let options = MaintainOptions::default();
    let mut work = Work::new(context, &options, run.to_string());
    work.bounded = true;
    let joined = async {
        work.parent = context.lake().release().await?;
        for table in due {
            work.join(Maintained::new(table)).await;
        }
        work.publish().await
    };
    match joined.await {
        Ok(()) => {}
        Err(error) => tracing::warn!(%error, "small files could not be joined after the run"),
    }
    for table in work.report.tables.iter().filter(|table| table.error.is_some()) {
        tracing::warn!(table = %table.table, error = ?table.error, "small files could not be joined after the run");
    }
}

/// The work, with its record in the ledger.
async fn recorded(context: &Context, options: &MaintainOptions, id: String) -> Result<MaintainReport> {
    let lake = context.lake();
    lake.prepare_for_writing().await?;
    lake.fold_runs().await?;
    lake.fold_statements().await?;
    let started = lake.clock().now();
    if let Some(keep) = context.project.maintain.queries.filter(|_| options.select.is_empty()) {
        let keep = i64::try_from(keep.as_micros()).unwrap_or(i64::MAX);
        lake.drop_statements(Instant::from_micros(started.as_micros().saturating_sub(keep))).await?;
    }
    lake.sweep_staged(started.plus_micros(-STAGED_FOR)).await?;
    let mut record = RunRecord::new(&id, "maintain", &options.select, started);
    lake.save_run(&record).await?;
    let beating = tokio::spawn(heartbeat(context.clone(), record.clone()));
    let done = Work::new(context, options, id).work().await;
    beating.abort();
    record.finished = Some(lake.clock().now());
    match &done {
        Ok(report) => {
            record.outcome = if report.worst.is_some() { "failed" } else { "done" }.to_string();
            record.release = report.release;
            record.tasks = report
                .tables
                .iter()
                .filter(|table| table.is_changed())
                .map(|table| task(table, started))
                .collect();
        }
        Err(error) => {
            record.outcome = "failed".to_string();
            record.error = Some(error.to_string());
        }
    }
    lake.save_run(&record).await?;
    done
}

fn task(table: &Maintained, started: Instant) -> TaskRecord {
    let outcome = if table.error.is_some() { "failed" } else { "maintained" };
    let mut task = TaskRecord::new(&table.table, outcome, table.error.clone().unwrap_or_default(), started);
    task.attempts = 1;
    task.metrics = [
        ("files_before", table.files_before as f64),
        ("files_after", table.files_after as f64),
        ("files_deleted", table.files_deleted as f64),
        ("versions_deleted", table.versions_deleted as f64),
        ("bytes_won", table.bytes_won as f64),
    ]
    .map(|(name, value)| (name.to_string(), value))
    .into();
    task
}

struct Work<'a> {
    context: &'a Context,
    options: &'a MaintainOptions,
    parent: Option<Release>,
    /// Models whose released rows now lie in another version.
    moved: BTreeMap<TableName, u64>,
    /// Only what is worth it after a run.
    bounded: bool,
    report: MaintainReport,
}

impl<'a> Work<'a> {
    fn new(context: &'a Context, options: &'a MaintainOptions, run: String) -> Work<'a> {
        let report = MaintainReport { run, ..MaintainReport::default() };
        Work { context, options, parent: None, moved: BTreeMap::new(), bounded: false, report }
    }

    async fn work(mut self) -> Result<MaintainReport> {
        let stopwatch = Stopwatch::now();
        let (lake, dry_run) = (self.context.lake().clone(), self.options.dry_run);
        self.parent = lake.release().await?;
        let tables = self.selected().await?;
        if tables.is_empty() {
            return Ok(self.report);
        }
        for table in tables {
            self.join(Maintained::new(table)).await;
            if self.context.stop.is_cancelled() {
                break;
            }
        }
        self.publish().await?;
        if self.context.stop.is_cancelled() {
            return Err(Error::interrupted().hint("what was joined stays so; nothing was deleted"));
        }
        let whole = self.options.select.is_empty();
        let needs = Needs::gather(&lake).await?;
        if whole {
            let rules = &self.context.project.maintain;
            let dropped = needs.drop_releases(&lake, rules.keep, &rules.keep_releases, dry_run).await?;
            self.report.releases_dropped = dropped;
        }
        for index in 0..self.report.tables.len() {
            if self.context.stop.is_cancelled() {
                return Err(Error::interrupted().hint("start it again: it goes on where it was"));
            }
            self.sweep(index, &needs).await;
        }
        if whole {
            self.report.bytes_won += lake.sweep_lake(&needs, dry_run).await?;
        }
        self.report.bytes_won += self.report.tables.iter().map(|table| table.bytes_won).sum::<u64>();
        self.report.seconds = stopwatch.elapsed().as_secs_f64();
        Ok(self.report)
    }

    /// The tables to maintain: of a node its own, its latest and its quarantine; without a selection all.
    async fn selected(&self) -> Result<Vec<TableName>> {
        let mut all = Vec::new();
        for tier in Tier::ALL {
            all.extend(self.context.lake().table_folders(tier).await?);
        }
        if !self.options.select.is_empty() {
            let state = State::new(self.parent.as_ref());
            let nodes = laguna_model::select(&self.context.project, &self.options.select, &[], &state)?;
            let wanted: BTreeSet<TableName> =
                nodes.into_iter().flat_map(|node| [node.latest(), node.quarantine(), node]).collect();
            all.retain(|table| wanted.contains(table));
        }
        Ok(all)
    }

    /// Joins the small files of one table, and takes it into the report.
    async fn join(&mut self, mut table: Maintained) {
        if let Err(error) = self.try_join(&mut table).await {
            self.failed(&mut table, &error);
        }
        self.report.tables.push(table);
    }

    async fn try_join(&mut self, report: &mut Maintained) -> Result<()> {
        let (lake, name) = (self.context.lake(), report.table.clone());
        let Some(head) = lake.head(&name).await? else { return Ok(()) };
        (report.files_before, report.files_after) = (head.files.len(), head.files.len());
        let entry = self.parent.as_ref().and_then(|parent| parent.tables.get(&name));
        match name.tier {
            // Each fold leaves one file a bucket.
            Tier::Latest => return Ok(()),
            Tier::Raw => self.complete_landing(&head).await?,
            Tier::Sanitized | Tier::Enhanced if !entry.is_some_and(|entry| is_released(&head, entry)) => {
                return Ok(());
            }
            _ => {}
        }
        let target = self.context.project.maintain.target_file_size;
        let bins = self.worthwhile(bins(&head, target));
        report.files_after = head.files.len() + bins.len() - bins.iter().map(Vec::len).sum::<usize>();
        if self.options.dry_run {
            return Ok(());
        }
        let mut version = head.version;
        if !bins.is_empty() {
            let model = self.context.project.models.get(&name);
            let sort = model.map(|model| model.settings.sort.to_vec()).unwrap_or_default();
            let session = self.context.engine.state();
            version = lake.compact(&head, bins, &sort, target, &session).await?;
            report.files_after = lake.snapshot(&name, version).await?.files.len();
        }
        if name.tier == Tier::Raw && version != head.version {
            lake.save_landed(&name, &lake.landed(&name).await?).await?;
        }
        if entry.is_some_and(|entry| entry.version != Some(version)) {
            self.moved.insert(name, version);
        }
        Ok(())
    }

    /// What a run has left undone that was killed after it had landed a batch; else log entries that tell of it would
    /// have to stay.
    async fn complete_landing(&self, raw: &Snapshot) -> Result<()> {
        let lake = self.context.lake();
        let mut landed = lake.landed(&raw.table).await?;
        if !landed.recovered || self.options.dry_run {
            return Ok(());
        }
        land::complete(lake, &raw.table, raw).await?;
        // The next run brings `latest` up to date.
        landed.rule = None;
        lake.save_landed(&raw.table, &landed).await
    }

    /// All bins; after a run those that are many, and as many as fit its bounds.
    fn worthwhile(&self, mut bins: Vec<Vec<DataFile>>) -> Vec<Vec<DataFile>> {
        if !self.bounded {
            return bins;
        }
        if bins.iter().map(Vec::len).sum::<usize>() < MANY {
            return Vec::new();
        }
        let mut bytes = 0;
        bins.retain(|bin| {
            bytes += bin.iter().map(|file| file.size).sum::<u64>();
            bytes <= AFTER_RUN_BYTES
        });
        bins
    }

    /// One release that names the joined files of models: the same rows, so nothing is built because of it.
    async fn publish(&mut self) -> Result<()> {
        let Some(parent) = self.parent.as_ref().filter(|_| !self.moved.is_empty()) else { return Ok(()) };
        let mut next =
            Release { run: self.report.run.clone(), reason: "maintenance".to_string(), ..parent.clone() };
        if self.bounded {
            // The run has published a release under its own id.
            next.run = self.context.lake().clock().new_id();
        }
        for (name, version) in &self.moved {
            if let Some(entry) = next.tables.get_mut(name) {
                entry.version = Some(*version);
            }
        }
        self.report.release = Some(self.context.lake().publish(next, Some(parent)).await?.number);
        Ok(())
    }

    async fn sweep(&mut self, index: usize, needs: &Needs) {
        let mut table = self.report.tables[index].clone();
        let lake: &Lake = self.context.lake();
        match lake.sweep_table(&table.table, needs, self.options.dry_run).await {
            Ok(swept) => {
                table.versions_deleted = swept.versions;
                table.files_deleted = swept.files;
                table.bytes_won = swept.bytes;
            }
            Err(error) => self.failed(&mut table, &error),
        }
        self.report.tables[index] = table;
    }

    fn failed(&mut self, table: &mut Maintained, error: &Error) {
        table.error = Some(in_one_line(error));
        self.report.worst = worse(self.report.worst, error.kind());
    }
}

/// Whether `head` is what the release has, or its rows joined by maintenance that did not live to publish it.
fn is_released(head: &Snapshot, entry: &ReleasedTable) -> bool {
    // Without a hash of its rows a model is known by its version, which has to stay.
    let Some(content) = entry.content else { return false };
    let is_joined = head.note.is_rewrite()
        && head.note.content == Some(content)
        && head.note.fingerprint.as_ref() == Some(&entry.fingerprint);
    entry.version == Some(head.version) || is_joined
}
