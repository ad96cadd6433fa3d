//! The beginning and the end of a run: its record, its release, its report.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant as Stopwatch;

use laguna_base::settings::project::ReleaseRule;
use laguna_base::{Error, Result};
use laguna_store::Release;
use laguna_store::ledger::RunRecord;

use super::{Driver, RunReport};
use crate::{Context, Event, code};

/// How long a staged version can be looked at, in microseconds: 7 days.
pub(crate) const STAGED_FOR: i64 = 7 * 86_400_000_000;

impl Driver<'_> {
    /// The first piece of work: from here on the run is recorded.
    pub(super) async fn begin(&mut self) -> Result<()> {
        if self.record.is_some() {
            return Ok(());
        }
        let lake = self.context.lake();
        lake.prepare_for_writing().await?;
        if let Err(error) = lake.fold_runs().await {
            // The ledger never stands in the way of the data.
            tracing::warn!(%error, "earlier runs could not be folded into the system tables");
        }
        if let Err(error) = lake.fold_statements().await {
            tracing::warn!(%error, "answered statements could not be folded into the system tables");
        }
        if let Err(error) = lake.sweep_staged(self.instant.plus_micros(-STAGED_FOR)).await {
            tracing::warn!(%error, "old staged tables could not be swept");
        }
        let record = RunRecord {
            code: Some(self.context.project.code.hash().to_string()),
            ..RunRecord::new(&self.id, "run", &self.options.select, self.instant)
        };
        lake.save_run(&record).await?;
        self.heartbeat = Some(tokio::spawn(heartbeat(self.context.clone(), record.clone())));
        self.record = Some(record);
        self.context.reporter.event(&Event::Started {
            run: self.id.clone(),
            instant: self.instant,
            nodes: self.selected.len(),
        });
        Ok(())
    }

    /// Publishes, records, reports.
    pub(super) async fn finish(mut self, stopwatch: Stopwatch) -> Result<RunReport> {
        let interrupted = self.context.stop.is_cancelled();
        let failed = self
            .tasks
            .iter()
            .filter(|task| matches!(task.outcome.as_str(), "failed" | "blocked" | "held"))
            .count();
        let released = if interrupted { Ok(None) } else { self.publish(failed).await };
        if let Some(heartbeat) = self.heartbeat.take() {
            heartbeat.abort();
        }
        let release = released.as_ref().ok().cloned().flatten().map(|release| release.number);
        if let Some(mut record) = self.record.take() {
            record.finished = Some(self.context.lake().clock().now());
            record.heartbeat = record.started.max(self.context.lake().clock().now());
            record.outcome = match (interrupted, failed, &released) {
                (true, _, _) => "interrupted",
                (_, 0, Ok(_)) => "done",
                _ => "failed",
            }
            .to_string();
            record.release = release;
            record.tasks = self.tasks.clone();
            record.error = match &released {
                Err(error) => Some(error.to_string()),
                Ok(_) => {
                    self.tasks.iter().find(|task| task.outcome == "failed").map(|task| task.reason.clone())
                }
            };
            if let Err(error) = self.context.lake().save_run(&record).await {
                tracing::warn!(%error, "the run could not be recorded");
            }
        }
        released?;
        if interrupted {
            return Err(Error::interrupted().hint("finished tables are kept: the next run goes on from them"));
        }
        let report = RunReport {
            run: self.id.clone(),
            release,
            skipped: self.skipped,
            built: self
                .tasks
                .iter()
                .filter(|task| matches!(task.outcome.as_str(), "landed" | "built"))
                .count(),
            failed,
            quarantined: self.tasks.iter().map(|task| task.quarantined).sum(),
            seconds: stopwatch.elapsed().as_secs_f64(),
            worst: self.worst,
            tasks: std::mem::take(&mut self.tasks),
        };
        self.context.reporter.event(&Event::Done {
            run: report.run.clone(),
            release: report.release,
            skipped: report.skipped,
            built: report.built,
            failed: report.failed,
            quarantined: report.quarantined,
            seconds: report.seconds,
        });
        Ok(report)
    }

    /// One release of what changed; none when nothing did.
    async fn publish(&mut self, failed: usize) -> Result<Option<Release>> {
        let models = &self.context.project.models;
        self.state.entries.retain(|name, _| models.contains_key(name));
        let changed = match &self.parent {
            None => !self.state.entries.is_empty() || !self.raw.is_empty(),
            Some(parent) => parent.tables != self.state.entries || parent.raw != self.raw,
        };
        if !changed {
            return Ok(None);
        }
        if self.context.project.release == ReleaseRule::All && failed > 0 {
            self.note(format!(
                "nothing is released: {failed} of the tables did not pass, and `release: all` is set"
            ));
            return Ok(None);
        }
        let lake = self.context.lake();
        lake.prepare_for_writing().await?;
        let code = code::save(lake, &self.context.project).await?;
        let number = self.parent.as_ref().map_or(1, |parent| parent.number + 1);
        for (name, entry) in &mut self.state.entries {
            let before = self.parent.as_ref().and_then(|parent| parent.tables.get(name));
            if before.is_none_or(|before| {
                before.version != entry.version || before.fingerprint != entry.fingerprint
            }) {
                entry.since = number;
            }
        }
        let current: BTreeSet<&str> =
            self.state.entries.values().map(|entry| entry.fingerprint.as_str()).collect();
        let held = self.parent.as_ref().map(|parent| parent.held_fingerprints.clone()).unwrap_or_default();
        let next = Release {
            number,
            time: lake.clock().now(),
            run: self.id.clone(),
            instant: self.instant,
            reason: "run".to_string(),
            engine: format!("laguna {}", env!("CARGO_PKG_VERSION")),
            code: Some(code),
            git_commit: code::git_commit(&self.context.project.dir),
            tables: self.state.entries.clone(),
            raw: self.raw.clone(),
            held_fingerprints: held.into_iter().filter(|print| !current.contains(print.as_str())).collect(),
            redacted: BTreeMap::new(),
        };
        Ok(Some(lake.publish(next, self.parent.as_ref()).await?))
    }
}

/// Signs of life of `record`, until the task is ended.
pub(crate) async fn heartbeat(context: Context, mut record: RunRecord) {
    loop {
        tokio::time::sleep(std::time::Duration::from_secs(5)).await;
        record.heartbeat = context.lake().clock().now();
        if let Err(error) = context.lake().save_run(&record).await {
            tracing::warn!(%error, "the heartbeat of the run could not be written");
        }
    }
}
