//! `system.*`: what Laguna knows about itself, as tables that are made only when they are named.
//!
//! `runs`, `tasks`, `checks` and `metrics` are the folded Delta tables united with the records of runs that are not
//! folded yet, and so is `queries` with the statements that are not. The others are read from the releases and from what the raw tables remember. Numbers are bigint, times
//! UTC with microseconds, durations and ages seconds.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use datafusion::catalog::{MemTable, TableProvider};
use datafusion::common::Result as EngineResult;
use datafusion::datasource::{ViewTable, provider_as_source};
use datafusion::logical_expr::{Expr, LogicalPlanBuilder, cast, ident, lit};
use datafusion::scalar::ScalarValue;
use laguna_base::{Error, Instant, Result, TableName, Tier};
use laguna_store::{Lake, Release};

use crate::catalog::unqualified;
use crate::{Resolved, translate};

/// The tables of schema `system`, sorted.
pub(crate) const NAMES: [&str; 10] = [
    "checks",
    "erasures",
    "files",
    "freshness",
    "metrics",
    "queries",
    "release_tables",
    "releases",
    "runs",
    "tasks",
];

/// One table of schema `system`; `None` when there is none of that name.
pub(crate) async fn table(lake: &Lake, name: &TableName) -> Result<Option<Resolved>> {
    let batch = match name.table.as_str() {
        "runs" | "tasks" | "checks" | "metrics" => return ledger(lake, name).await.map(Some),
        "queries" => return queries(lake).await.map(Some),
        "releases" => releases(lake).await?,
        "release_tables" => release_tables(lake).await?,
        "freshness" => freshness(lake).await?,
        "files" => files(lake).await?,
        "erasures" => erasures(lake).await?,
        _ => return Ok(None),
    };
    Ok(Some(Resolved::Provider(in_memory(batch).map_err(translate)?)))
}

fn in_memory(batch: RecordBatch) -> EngineResult<Arc<dyn TableProvider>> {
    Ok(Arc::new(MemTable::try_new(batch.schema(), vec![vec![batch]])?))
}

/// A folded table and what is not folded yet.
async fn ledger(lake: &Lake, name: &TableName) -> Result<Resolved> {
    // Records first: a run that is folded between the two reads is then seen twice, and its folded rows are left out.
    // The other way round it could be seen in neither.
    let open = lake.open_runs().await?;
    let batch = laguna_store::ledger::record_batches(&open)?
        .into_iter()
        .find_map(|(table, batch)| (table == *name).then_some(batch))
        .ok_or_else(|| Error::internal(format!("the ledger has no rows for `{name}`")))?;
    let Some(head) = lake.head(name).await? else {
        return Ok(Resolved::Provider(in_memory(batch).map_err(translate)?));
    };
    let folded = lake.provider(Arc::new(head))?;
    let runs: Vec<&str> = open.iter().map(|run| run.id.as_str()).collect();
    Ok(Resolved::Provider(united(folded, batch, &runs).map_err(translate)?))
}

/// Statements that were answered: folded, and not folded yet.
async fn queries(lake: &Lake) -> Result<Resolved> {
    let (head, fresh) = lake.statements().await?;
    let Some(head) = head else {
        return Ok(Resolved::Provider(in_memory(fresh).map_err(translate)?));
    };
    let folded = lake.provider(Arc::new(head))?;
    Ok(Resolved::Provider(united(folded, fresh, &[]).map_err(translate)?))
}

fn united(
    folded: Arc<dyn TableProvider>,
    open: RecordBatch,
    runs: &[&str],
) -> EngineResult<Arc<dyn TableProvider>> {
    let columns = folded.schema();
    let mut plan = LogicalPlanBuilder::scan("folded", provider_as_source(folded), None)?;
    if !runs.is_empty() && columns.column_with_name("run").is_some() {
        plan = plan.filter(ident("run").in_list(runs.iter().map(|run| lit(*run)).collect(), true))?;
    }
    // The columns of this binary; an older lake may lack some.
    let expressions: Vec<Expr> = open
        .schema()
        .fields()
        .iter()
        .map(|field| match columns.column_with_name(field.name()) {
            Some((_, stored)) if stored.data_type() == field.data_type() => ident(field.name()),
            Some(_) => cast(ident(field.name()), field.data_type().clone()).alias(field.name()),
            None => cast(lit(ScalarValue::Null), field.data_type().clone()).alias(field.name()),
        })
        .collect();
    let folded = unqualified(plan.project(expressions)?.build()?)?;
    let fresh = LogicalPlanBuilder::scan("fresh", provider_as_source(in_memory(open)?), None)?.build()?;
    let plan = LogicalPlanBuilder::from(folded).union(unqualified(fresh)?)?.build()?;
    Ok(Arc::new(ViewTable::new(plan, None)))
}

/// One row a release, newest first. `changed` names the tables whose version it brought.
async fn releases(lake: &Lake) -> Result<RecordBatch> {
    let releases = lake.releases(None).await?;
    let changed = |release: &Release| {
        let brought = release.tables.iter().filter(|(_, table)| table.since == release.number);
        brought.map(|(name, _)| name.to_string()).collect::<Vec<_>>()
    };
    let held = |release: &Release| release.tables.values().filter(|table| table.held.is_some()).count();
    rows(vec![
        ("release", numbers(releases.iter().map(|release| Some(release.number)))),
        ("time", times(releases.iter().map(|release| Some(release.time)))),
        ("run", texts(releases.iter().map(|release| Some(release.run.clone())))),
        ("instant", times(releases.iter().map(|release| Some(release.instant)))),
        ("reason", texts(releases.iter().map(|release| Some(release.reason.clone())))),
        ("engine", texts(releases.iter().map(|release| Some(release.engine.clone())))),
        ("code", texts(releases.iter().map(|release| release.code.clone()))),
        ("git_commit", texts(releases.iter().map(|release| release.git_commit.clone()))),
        ("tables", numbers(releases.iter().map(|release| Some(release.tables.len() as u64)))),
        ("changed_tables", numbers(releases.iter().map(|release| Some(changed(release).len() as u64)))),
        ("held_tables", numbers(releases.iter().map(|release| Some(held(release) as u64)))),
        ("changed", texts(releases.iter().map(|release| Some(changed(release).join(", "))))),
    ])
}

/// One row a table of a release, newest release first. `version` is null for a view.
async fn release_tables(lake: &Lake) -> Result<RecordBatch> {
    let releases = lake.releases(None).await?;
    let all: Vec<_> = releases
        .iter()
        .flat_map(|release| release.tables.iter().map(move |(name, table)| (release, name, table)))
        .collect();
    rows(vec![
        ("release", numbers(all.iter().map(|(release, ..)| Some(release.number)))),
        ("time", times(all.iter().map(|(release, ..)| Some(release.time)))),
        ("table", texts(all.iter().map(|(_, name, _)| Some(name.to_string())))),
        ("version", numbers(all.iter().map(|(.., table)| table.version))),
        ("rows", numbers(all.iter().map(|(.., table)| table.rows))),
        ("since", numbers(all.iter().map(|(.., table)| Some(table.since)))),
        (
            "changed",
            Arc::new(BooleanArray::from_iter(
                all.iter().map(|(release, _, table)| Some(table.since == release.number)),
            )),
        ),
        ("held", texts(all.iter().map(|(.., table)| table.held.clone()))),
        ("sql_hash", texts(all.iter().map(|(.., table)| Some(table.sql_hash.clone())))),
        ("content", texts(all.iter().map(|(.., table)| table.content.map(|hash| hash.to_string())))),
        ("checks_passed", numbers(all.iter().map(|(.., table)| Some(table.checks.passed.into())))),
        ("checks_warned", numbers(all.iter().map(|(.., table)| Some(table.checks.warned.into())))),
        ("checks_failed", numbers(all.iter().map(|(.., table)| Some(table.checks.failed.into())))),
    ])
}

/// One row a raw table and released model: when it last changed, how long ago that is, and its rows.
async fn freshness(lake: &Lake) -> Result<RecordBatch> {
    let now = lake.clock().now();
    let mut all: Vec<(TableName, Option<Instant>, Option<u64>)> = Vec::new();
    for name in lake.tables(Tier::Raw).await? {
        if let Some(head) = lake.head(&name).await? {
            all.push((name, head.note.watermark, Some(head.rows())));
        }
    }
    if let Some(current) = lake.release().await? {
        let published: BTreeMap<u64, Instant> =
            lake.releases(None).await?.iter().map(|release| (release.number, release.time)).collect();
        for (name, table) in current.tables {
            all.push((name, published.get(&table.since).copied(), table.rows));
        }
    }
    let age = |changed: &Option<Instant>| changed.map(|at| (now.as_micros() - at.as_micros()).max(0) as u64);
    rows(vec![
        ("table", texts(all.iter().map(|(name, ..)| Some(name.to_string())))),
        ("tier", texts(all.iter().map(|(name, ..)| Some(name.tier.to_string())))),
        ("changed_at", times(all.iter().map(|(_, changed, _)| *changed))),
        ("age_seconds", numbers(all.iter().map(|(_, changed, _)| age(changed).map(|age| age / 1_000_000)))),
        ("rows", numbers(all.iter().map(|(.., rows)| *rows))),
    ])
}

/// One row a file that landed, by dataset and path.
async fn files(lake: &Lake) -> Result<RecordBatch> {
    let mut all = Vec::new();
    for name in lake.tables(Tier::Raw).await? {
        let landed = lake.landed(&name).await?;
        all.extend(landed.files.into_values().map(|landed| (name.table.clone(), landed)));
    }
    rows(vec![
        ("dataset", texts(all.iter().map(|(dataset, _)| Some(dataset.clone())))),
        ("path", texts(all.iter().map(|(_, landed)| Some(landed.file.path.clone())))),
        ("size", numbers(all.iter().map(|(_, landed)| Some(landed.file.size)))),
        ("modified", times(all.iter().map(|(_, landed)| landed.file.modified.map(Instant::from_micros)))),
        ("hash", texts(all.iter().map(|(_, landed)| Some(landed.file.hash.clone())))),
        ("rows", numbers(all.iter().map(|(_, landed)| Some(landed.file.rows)))),
        ("quarantined", numbers(all.iter().map(|(_, landed)| Some(landed.file.quarantined)))),
        ("same_as", texts(all.iter().map(|(_, landed)| landed.file.same_as.clone()))),
        ("batch", texts(all.iter().map(|(_, landed)| Some(landed.batch.clone())))),
        ("landed_at", times(all.iter().map(|(_, landed)| Some(landed.at)))),
    ])
}

/// One row a table of an erasure, or a release of it, oldest first. `release` is null for tables that are read at their
/// head.
async fn erasures(lake: &Lake) -> Result<RecordBatch> {
    let erasures = lake.erasures().await?;
    let all: Vec<_> = erasures
        .iter()
        .flat_map(|receipt| receipt.tables.iter().map(move |table| (receipt, table)))
        .collect();
    rows(vec![
        ("erasure", texts(all.iter().map(|(receipt, _)| Some(receipt.id.clone())))),
        ("time", times(all.iter().map(|(receipt, _)| Some(receipt.time)))),
        ("owner", texts(all.iter().map(|(receipt, _)| Some(receipt.owner.clone())))),
        ("subject", texts(all.iter().map(|(receipt, _)| Some(receipt.table.to_string())))),
        ("predicate", texts(all.iter().map(|(receipt, _)| Some(receipt.predicate.clone())))),
        ("reason", texts(all.iter().map(|(receipt, _)| receipt.reason.clone()))),
        ("published", numbers(all.iter().map(|(receipt, _)| receipt.release))),
        ("files_deleted", numbers(all.iter().map(|(receipt, _)| Some(receipt.files_deleted)))),
        ("table", texts(all.iter().map(|(_, table)| Some(table.table.to_string())))),
        ("release", numbers(all.iter().map(|(_, table)| table.release))),
        ("how", texts(all.iter().map(|(_, table)| Some(table.how.clone())))),
        ("version_before", numbers(all.iter().map(|(_, table)| table.before))),
        ("version", numbers(all.iter().map(|(_, table)| Some(table.version)))),
        ("rows_removed", numbers(all.iter().map(|(_, table)| Some(table.rows)))),
    ])
}

fn rows(columns: Vec<(&str, ArrayRef)>) -> Result<RecordBatch> {
    let nullable = columns.into_iter().map(|(name, column)| (name, column, true));
    RecordBatch::try_from_iter_with_nullable(nullable)
        .map_err(|error| Error::internal("a system table cannot be made").caused_by(error))
}

fn numbers(values: impl Iterator<Item = Option<u64>>) -> ArrayRef {
    Arc::new(values.map(|value| value.map(|value| value as i64)).collect::<Int64Array>())
}

fn texts(values: impl Iterator<Item = Option<String>>) -> ArrayRef {
    Arc::new(values.collect::<StringArray>())
}

fn times(values: impl Iterator<Item = Option<Instant>>) -> ArrayRef {
    let values = values.map(|value| value.map(Instant::as_micros));
    Arc::new(values.collect::<TimestampMicrosecondArray>().with_timezone("UTC"))
}
