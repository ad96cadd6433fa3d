//! Checks of released tables, now or as they were.

use std::sync::Arc;
use std::time::Instant as Stopwatch;

use laguna_base::{Error, Instant, Result, TableName};
use laguna_check::CheckSpec;
use laguna_check::great_expectations::SuiteFile;
use laguna_model::Project;
use laguna_model::build::{Look, look};
use laguna_query::{Engine, LakeTables, Moment};

use super::{Report, Telling};
use crate::node::State;

/// Which tables are checked, by what, and how much is told.
#[derive(Debug, Clone)]
pub struct CheckTables {
    /// Nodes in dbt's words; empty for every table that has checks, or with a suite for every model.
    pub select: Vec<String>,
    /// The suite, in place of the checks of the tables' settings.
    pub suite: Option<SuiteFile>,
    /// Which state of the lake.
    pub moment: Moment,
    /// How much is told.
    pub telling: Telling,
}

/// Checks the tables. Nothing is written but what is kept of files, see [`laguna_store::states`].
pub async fn check_tables(engine: &Engine, project: &Project, asked: &CheckTables) -> Result<Vec<Report>> {
    let lake = engine.lake();
    let tables = Arc::new(LakeTables::at(lake, asked.moment.clone()).await?);
    let now = match asked.moment {
        Moment::AsOf(at) => at,
        _ => lake.clock().now(),
    };
    let state = State::new(tables.release());
    let selected = laguna_model::select(project, &asked.select, &[], &state)?;
    let mut reports = Vec::new();
    let mut absent = Vec::new();
    for name in project.graph.order().iter().filter(|name| selected.contains(*name)) {
        let Some(checks) = checks_of(project, name, asked) else { continue };
        let released = tables
            .release()
            .is_some_and(|release| release.tables.contains_key(name) || release.raw.contains_key(name));
        if !released {
            absent.push(name.to_string());
            continue;
        }
        let key = key_of(project, name);
        reports.push(one(engine, tables.clone(), now, name, checks, key, asked).await?);
    }
    if reports.is_empty() {
        return Err(nothing(&absent, asked));
    }
    Ok(reports)
}

fn nothing(absent: &[String], asked: &CheckTables) -> Error {
    if !absent.is_empty() {
        return Error::project(format!("not released yet: {}", absent.join(", ")))
            .hint("laguna run builds and releases them");
    }
    match asked.suite {
        Some(_) => {
            Error::project("the selection holds no table").hint("name one: laguna check sanitized.flights")
        }
        None => Error::project("no table of the selection has checks")
            .hint("write them into the YAML beside the table, or give a suite: --suite FILE"),
    }
}

/// What is asked of a table: the suite, or the checks of its settings; `None` when there is nothing to check.
pub(super) fn checks_of(project: &Project, name: &TableName, asked: &CheckTables) -> Option<Vec<CheckSpec>> {
    let model = project.models.get(name);
    match &asked.suite {
        // Without a selection a suite is for the tables that are made, not for every source.
        Some(suite) => (model.is_some() || !asked.select.is_empty()).then(|| suite.checks.clone()),
        None => model.map(|model| model.checks.clone()).filter(|checks| !checks.is_empty()),
    }
}

/// Columns by which people know the rows of a table.
pub(crate) fn key_of(project: &Project, name: &TableName) -> Vec<String> {
    if let Some(dataset) = project.datasets.get(name) {
        return dataset.settings.key.to_vec();
    }
    project.models.get(name).map(|model| model.key().to_vec()).unwrap_or_default()
}

async fn one(
    engine: &Engine,
    tables: Arc<LakeTables>,
    now: Instant,
    name: &TableName,
    checks: Vec<CheckSpec>,
    key: Vec<String>,
    asked: &CheckTables,
) -> Result<Report> {
    let stopwatch = Stopwatch::now();
    let session = engine.session(tables, now);
    let Telling { keep, rows, explain, .. } = asked.telling;
    let asked_of = Look { table: name.clone(), checks, keep, rows, key, explain, states: None };
    let looked = look(&session, &asked_of).await?;
    Ok(Report::new(name.to_string(), asked.suite.as_ref(), looked, stopwatch))
}
