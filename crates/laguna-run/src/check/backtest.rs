//! A suite against the lake's own past: at which releases would it have failed?

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use laguna_base::{Error, Instant, Result, TableName};
use laguna_check::Keep;
use laguna_model::Project;
use laguna_model::build::{Look, look};
use laguna_query::{Engine, LakeTables, Moment};
use laguna_store::states::FileStates;
use serde::Serialize;

use super::CheckTables;
use super::tables::checks_of;
use crate::node::State;

/// How one table of one release would have fared.
#[derive(Debug, Clone, Serialize)]
pub struct PastCheck {
    /// The table.
    pub table: TableName,
    /// The release that brought its version.
    pub release: u64,
    /// When that was.
    pub time: Instant,
    /// Rows then.
    pub rows: u64,
    /// Checks that hold.
    pub passed: usize,
    /// Checks that don't.
    pub failed: usize,
    /// What those say.
    pub messages: Vec<String>,
    /// Why it could not be checked: a column that was not there yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// Checks every version that was released within `back` from now, oldest first. Nothing is written but what is kept of
/// files.
pub async fn backtest(
    engine: &Engine,
    project: &Project,
    asked: &CheckTables,
    back: Duration,
) -> Result<Vec<PastCheck>> {
    let lake = engine.lake();
    let now = lake.clock().now();
    let first = now.as_micros().saturating_sub(i64::try_from(back.as_micros()).unwrap_or(i64::MAX));
    let mut releases = lake.releases(None).await?;
    releases.sort_by_key(|release| release.number);
    let state = State::new(releases.last());
    let selected = laguna_model::select(project, &asked.select, &[], &state)?;
    // Versions share most of their files: each is read for one of them.
    let mut states: BTreeMap<&TableName, Arc<FileStates>> = BTreeMap::new();
    let mut known: BTreeMap<&TableName, (Option<u64>, String)> = BTreeMap::new();
    let mut past = Vec::new();
    for release in releases.iter().filter(|release| release.time.as_micros() >= first) {
        for name in project.graph.order().iter().filter(|name| selected.contains(*name)) {
            let Some(checks) = checks_of(project, name, asked) else { continue };
            let Some(entry) = release.tables.get(name) else { continue };
            // Rows, not releases, are judged: a version that stays needs no second look.
            let version = (
                entry.version,
                if entry.version.is_none() { entry.fingerprint.clone() } else { String::new() },
            );
            if known.insert(name, version.clone()) == Some(version) {
                continue;
            }
            let tables = Arc::new(LakeTables::at(lake, Moment::Release(release.number)).await?);
            let session = engine.session(tables, release.instant);
            let look_at = Look {
                table: name.clone(),
                checks,
                keep: Keep::default(),
                rows: 0,
                key: Vec::new(),
                explain: false,
                states: Some(states.entry(name).or_insert_with(|| Arc::new(lake.file_states(name))).clone()),
            };
            past.push(judge(name, release.number, release.time, look(&session, &look_at).await)?);
        }
    }
    if past.is_empty() {
        return Err(Error::project("no release of that time has a table to check")
            .hint("laguna history lists the releases; name tables, a suite or a longer time"));
    }
    Ok(past)
}

fn judge(
    table: &TableName,
    release: u64,
    time: Instant,
    looked: Result<laguna_model::build::Looked>,
) -> Result<PastCheck> {
    let mut past = PastCheck {
        table: table.clone(),
        release,
        time,
        rows: 0,
        passed: 0,
        failed: 0,
        messages: Vec::new(),
        error: None,
    };
    match looked {
        Ok(looked) => {
            past.rows = looked.rows;
            for verdict in looked.verdicts {
                if verdict.success {
                    past.passed += 1;
                    continue;
                }
                past.failed += 1;
                let what = verdict.error.unwrap_or(verdict.message);
                past.messages.push(format!("{}: {what}", verdict.label));
            }
        }
        // The table of then may lack what today's checks look at: that says something, too.
        Err(error)
            if matches!(error.kind(), laguna_base::ErrorKind::Project | laguna_base::ErrorKind::Failed) =>
        {
            past.error = Some(error.message().to_string());
        }
        Err(error) => return Err(error),
    }
    Ok(past)
}
