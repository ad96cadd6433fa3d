//! What happened: one JSON object a run at its start and at its end, folded into `system.*` tables.

use std::collections::BTreeSet;

use futures::{StreamExt, TryStreamExt};
use laguna_base::{Instant, Result, TableName};
use object_store::ObjectMeta;
use object_store::path::Path;
use serde::{Deserialize, Serialize};

use crate::commit::Append;
use crate::{CommitNote, Lake, Snapshot, TableWriter, WriteOptions, objects, process};

pub use crate::process::owner;
pub use rows::{record_batches, schemas};

mod rows;
#[cfg(test)]
mod tests;

/// Application transaction of the folds in each system table.
const LEDGER: &str = "laguna/ledger";

/// A run without a sign of life for this long is taken for dead when its process cannot be asked: 60 s.
const SILENCE_MICROS: i64 = 60_000_000;

/// `_laguna/runs/<id>.json`: one run, put at its start and overwritten at its end.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunRecord {
    /// Id, sorts by time.
    pub id: String,
    /// `run`, `run --as-of`, `rollback`.
    pub command: String,
    /// What was selected, as typed.
    pub select: Vec<String>,
    /// Start.
    pub started: Instant,
    /// Last sign of life; refreshed every few seconds while it runs.
    pub heartbeat: Instant,
    /// End; `None` while it runs or when it was killed.
    pub finished: Option<Instant>,
    /// `running`, `done`, `failed`, `interrupted`; readers show `killed` for a running one without a living owner.
    pub outcome: String,
    /// The process that runs it, as [`owner()`] says.
    pub owner: String,
    /// The release it published.
    pub release: Option<u64>,
    /// Hash of the project's code.
    pub code: Option<String>,
    /// Its tasks.
    pub tasks: Vec<TaskRecord>,
    /// The first error, in one line.
    pub error: Option<String>,
}

/// One node of one run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskRecord {
    /// Table name.
    pub node: String,
    /// `built`, `landed`, `skipped`, `blocked`, `failed`, `held`.
    pub outcome: String,
    /// Why, in one line.
    pub reason: String,
    /// Start.
    pub started: Instant,
    /// Wall-clock seconds.
    pub seconds: f64,
    /// Attempts.
    pub attempts: u32,
    /// Rows read, where known.
    pub rows_in: Option<u64>,
    /// Rows written.
    pub rows_out: Option<u64>,
    /// Bytes written.
    pub bytes_out: Option<u64>,
    /// Rows set aside.
    pub quarantined: u64,
    /// Delta version committed.
    pub version: Option<u64>,
    /// Verdicts of its checks, as the check room serialises them (`laguna_check::Verdict`).
    pub checks: Vec<serde_json::Value>,
    /// Numbers about the table: name to value (`row_count`, `bytes`, `null_fraction(c)` …).
    pub metrics: std::collections::BTreeMap<String, f64>,
}

impl RunRecord {
    /// The record of a run that starts now, in this process.
    pub fn new(id: &str, command: &str, select: &[String], started: Instant) -> RunRecord {
        RunRecord {
            id: id.to_string(),
            command: command.to_string(),
            select: select.to_vec(),
            started,
            heartbeat: started,
            finished: None,
            outcome: "running".to_string(),
            owner: owner(),
            release: None,
            code: None,
            tasks: Vec::new(),
            error: None,
        }
    }
}

impl TaskRecord {
    /// The record of a task of which nothing more is known than how it ended, why, and when it began.
    pub fn new(node: &TableName, outcome: &str, reason: impl Into<String>, started: Instant) -> TaskRecord {
        TaskRecord {
            node: node.to_string(),
            outcome: outcome.to_string(),
            reason: reason.into(),
            started,
            seconds: 0.0,
            attempts: 0,
            rows_in: None,
            rows_out: None,
            bytes_out: None,
            quarantined: 0,
            version: None,
            checks: Vec::new(),
            metrics: std::collections::BTreeMap::new(),
        }
    }
}

impl Lake {
    /// Writes or overwrites the record of a run.
    pub async fn save_run(&self, run: &RunRecord) -> Result<()> {
        let is_number = |task: &TaskRecord| task.metrics.values().all(|value| value.is_finite());
        if run.tasks.iter().all(is_number) {
            return objects::put_json(self, &run_path(&run.id), run).await;
        }
        // JSON has no NaN and no infinity: such a metric says nothing and is left out.
        let mut run = run.clone();
        for task in &mut run.tasks {
            task.metrics.retain(|_, value| value.is_finite());
        }
        objects::put_json(self, &run_path(&run.id), &run).await
    }

    /// Records of runs that are not folded into the system tables yet, oldest first. `outcome` is `killed` where a
    /// running record's owner no longer lives (same host and no such process, or no heartbeat for a minute).
    ///
    /// While a fold is under way, or after one that was killed, a run can be here and in a system table as well:
    /// who unites both takes from here only runs that the table lacks.
    pub async fn open_runs(&self) -> Result<Vec<RunRecord>> {
        let names = list(self).await?;
        let ids = names.iter().filter(|name| fold_number(name).is_none()).cloned();
        read_runs(self, ids.collect()).await
    }

    /// Folds finished and killed runs into `system.runs`, `system.tasks`, `system.checks` and `system.metrics` (one
    /// append each, exactly once by application transaction), then deletes their records. One batch of commits.
    ///
    /// What one fold takes is written down before its first append (`_laguna/runs/fold-<number>.json`), so that a
    /// fold that was killed is finished by the next one with the same runs under the same transaction.
    pub async fn fold_runs(&self) -> Result<()> {
        let names = list(self).await?;
        let mut folded = BTreeSet::new();
        for number in names.iter().filter_map(|name| fold_number(name)) {
            let Some(plan) = objects::get_json::<Fold>(self, &fold_path(number)).await? else { continue };
            self.fold(number, &plan).await?;
            folded.extend(plan.runs);
        }
        let ids = names.into_iter().filter(|name| fold_number(name).is_none() && !folded.contains(name));
        let ended = read_runs(self, ids.collect()).await?.into_iter().filter(|run| run.outcome != "running");
        let runs: Vec<String> = ended.map(|run| run.id).collect();
        if runs.is_empty() {
            return Ok(());
        }
        let mut number = 0;
        for (table, _) in rows::schemas() {
            number = number.max(self.head(&table).await?.map_or(0, |head| folds_in(&head)));
        }
        number += 1;
        let plan = Fold { runs };
        match objects::put_json_if_absent(self, &fold_path(number), &plan).await? {
            true => self.fold(number, &plan).await,
            // Someone else folds: these runs are theirs, or the next fold's.
            false => Ok(()),
        }
    }

    /// Carries out one fold; what an earlier attempt has done is not done again.
    async fn fold(&self, number: i64, plan: &Fold) -> Result<()> {
        let runs = read_runs(self, plan.runs.clone()).await?;
        // Without records all four appends are done: records are only deleted after them.
        if !runs.is_empty() {
            let batches = rows::record_batches(&runs)?;
            let folds = batches.into_iter().map(|(table, batch)| self.fold_into(number, table, batch));
            futures::future::try_join_all(folds).await?;
        }
        for id in &plan.runs {
            objects::delete(self, &run_path(id)).await?;
        }
        objects::delete(self, &fold_path(number)).await
    }

    async fn fold_into(&self, number: i64, table: TableName, batch: arrow::array::RecordBatch) -> Result<()> {
        let base = self.head(&table).await?;
        if base.as_ref().is_some_and(|base| folds_in(base) >= number) {
            return Ok(());
        }
        let schema = batch.schema();
        let mut writer = TableWriter::new(self, &table, schema.clone(), WriteOptions::default())?;
        if batch.num_rows() > 0 {
            writer.write(batch).await?;
        }
        let written = writer.finish().await?;
        let append = Append {
            table,
            schema,
            files: written.files,
            transaction: Some((LEDGER.to_string(), number)),
            base,
            note: CommitNote::default(),
        };
        self.append(append).await.map(|_| ())
    }
}

/// What one fold takes.
#[derive(Debug, Serialize, Deserialize)]
struct Fold {
    runs: Vec<String>,
}

fn folds_in(table: &Snapshot) -> i64 {
    table.transactions.get(LEDGER).copied().unwrap_or(0)
}

fn run_path(id: &str) -> Path {
    Path::from(format!("_laguna/runs/{id}.json"))
}

fn fold_path(number: i64) -> Path {
    run_path(&format!("fold-{number:08}"))
}

fn fold_number(name: &str) -> Option<i64> {
    name.strip_prefix("fold-")?.parse().ok()
}

/// Names of the objects in the folder of runs, without their extension, sorted.
async fn list(lake: &Lake) -> Result<Vec<String>> {
    let folder = Path::from("_laguna/runs");
    let entries: Vec<ObjectMeta> = match lake.objects().list(Some(&folder)).try_collect().await {
        Ok(entries) => entries,
        Err(object_store::Error::NotFound { .. }) => return Ok(Vec::new()),
        Err(error) => return Err(lake.read_error(folder.as_ref(), error)),
    };
    let mut names: Vec<String> = entries
        .iter()
        .filter_map(|entry| entry.location.filename()?.strip_suffix(".json"))
        .map(str::to_string)
        .collect();
    names.sort_unstable();
    Ok(names)
}

/// The records of `ids` that are there and whole, in their order, with the outcome of the dead.
async fn read_runs(lake: &Lake, ids: Vec<String>) -> Result<Vec<RunRecord>> {
    let mut reads = futures::stream::iter(ids)
        .map(|id| async move {
            let read = objects::get_json::<RunRecord>(lake, &run_path(&id)).await;
            (id, read)
        })
        .buffered(16);
    let now = lake.clock().now();
    let mut runs = Vec::new();
    while let Some((id, read)) = reads.next().await {
        match read {
            Ok(Some(mut run)) => {
                if run.outcome == "running" && !is_alive(&run, now) {
                    run.outcome = "killed".to_string();
                }
                runs.push(run);
            }
            Ok(None) => {}
            Err(error) if error.kind() == laguna_base::ErrorKind::Stored => {
                tracing::warn!(run = id, %error, "the record of a run is damaged");
            }
            Err(error) => return Err(error),
        }
    }
    Ok(runs)
}

fn is_alive(run: &RunRecord, now: Instant) -> bool {
    process::is_alive(&run.owner)
        .unwrap_or_else(|| now.as_micros() - run.heartbeat.as_micros() < SILENCE_MICROS)
}
