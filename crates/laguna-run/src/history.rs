//! What was released, newest first.

use laguna_base::{Instant, Result, TableName};
use laguna_store::{Lake, Release};
use serde::Serialize;

/// One line of `laguna history`.
#[derive(Debug, Clone, Serialize)]
pub struct HistoryEntry {
    /// Number of the release.
    pub release: u64,
    /// When it was published.
    pub time: Instant,
    /// The run that published it.
    pub run: String,
    /// `run`, or what was rolled back.
    pub reason: String,
    /// Tables whose version is new in it.
    pub changed: Vec<TableName>,
    /// Tables that it publishes.
    pub tables: usize,
    /// Rows of the tables whose version is new in it.
    pub rows: u64,
    /// Checks that passed, warned and failed, over all its tables.
    pub checks: String,
    /// Tables that keep an old version, with the reason.
    pub held: Vec<String>,
    /// Tables of which rows were forgotten later, with the time.
    pub redacted: Vec<String>,
    /// Commit of the project's git repository.
    pub git_commit: Option<String>,
}

/// The newest `limit` releases; with `table`, only those that brought a new version of it.
pub async fn history(lake: &Lake, table: Option<&TableName>, limit: usize) -> Result<Vec<HistoryEntry>> {
    let releases = lake.releases(if table.is_some() { None } else { Some(limit) }).await?;
    Ok(releases
        .iter()
        .map(entry)
        .filter(|entry| table.is_none_or(|table| entry.changed.contains(table)))
        .take(limit)
        .collect())
}

/// Which tables of a release rows were forgotten of, and when.
pub fn redacted(release: &Release) -> Vec<String> {
    release.redacted.iter().map(|(name, time)| format!("{name} at {time}")).collect()
}

fn entry(release: &Release) -> HistoryEntry {
    let new = || release.tables.iter().filter(|(_, table)| table.since == release.number);
    let sum = |get: fn(&laguna_store::release::CheckSummary) -> u32| -> u32 {
        release.tables.values().map(|table| get(&table.checks)).sum()
    };
    HistoryEntry {
        release: release.number,
        time: release.time,
        run: release.run.clone(),
        reason: release.reason.clone(),
        changed: new().map(|(name, _)| name.clone()).collect(),
        tables: release.tables.len(),
        rows: new().filter_map(|(_, table)| table.rows).sum(),
        checks: format!(
            "{} passed, {} warned, {} failed",
            sum(|c| c.passed),
            sum(|c| c.warned),
            sum(|c| c.failed)
        ),
        held: release
            .tables
            .iter()
            .filter_map(|(name, table)| table.held.as_ref().map(|why| format!("{name}: {why}")))
            .collect(),
        redacted: redacted(release),
        git_commit: release.git_commit.clone(),
    }
}
