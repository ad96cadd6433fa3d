//! `run --as-of T`: builds every model again from the raw rows up to T, and says whether the content equals what was
//! released. It ingests nothing, publishes nothing and moves no head.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant as Stopwatch;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Float64Type};
use futures::TryStreamExt;
use laguna_base::{Error, Instant, Result, TableName};
use laguna_check::Gate;
use laguna_model::build::{self, BuildContext};
use laguna_model::{Fingerprint, Model};
use laguna_query::{LakeTables, Moment, Resolved, Session};
use laguna_store::{ReleasedTable, Snapshot};
use serde::Serialize;

use crate::node::State;
use crate::run::progress;
use crate::tables::{RunTables, SharedTables};
use crate::{Context, Event};

/// How a rebuilt table compares with what was released.
#[derive(Debug, Clone, Serialize)]
pub struct Rebuilt {
    /// Which.
    pub node: TableName,
    /// `equal`, `equal within rounding`, `different`, `new`, `view`, `failed`, `blocked`.
    pub verdict: String,
    /// Rows rebuilt.
    pub rows: u64,
    /// Rows released.
    pub rows_released: Option<u64>,
    /// Rows that differ, counted on the side that has more of them.
    pub rows_different: u64,
    /// Wall-clock seconds.
    pub seconds: f64,
    /// Why, where it is not equal.
    pub reason: Option<String>,
}

/// What was rebuilt.
#[derive(Debug, Clone, Serialize)]
pub struct AsOfReport {
    /// Id of the run: `laguna query --run ID` reads what it staged.
    pub run: String,
    /// The resolved instant.
    pub as_of: Instant,
    /// The release that it is compared with.
    pub release: u64,
    /// Each table.
    pub tables: Vec<Rebuilt>,
}

impl AsOfReport {
    /// Whether every table was rebuilt as it was released.
    pub fn equal(&self) -> bool {
        self.tables
            .iter()
            .all(|table| matches!(table.verdict.as_str(), "equal" | "equal within rounding" | "view"))
    }
}

/// Rebuilds the selected models as of `at` and compares them with the release of then.
pub async fn rebuild(
    context: &Context,
    at: Instant,
    select: &[String],
    exclude: &[String],
) -> Result<AsOfReport> {
    let lake = context.lake();
    let release = lake.release_as_of(at).await?;
    let selected = laguna_model::select(&context.project, select, exclude, &State::new(Some(&release)))?;
    let run = lake.clock().new_id();
    lake.prepare_for_writing().await?;
    let tables: SharedTables = Arc::new(RunTables::new(LakeTables::at(lake, Moment::AsOf(at)).await?));
    context.reporter.event(&Event::Started {
        run: run.clone(),
        instant: release.instant,
        nodes: selected.len(),
    });
    let mut report = AsOfReport { run: run.clone(), as_of: at, release: release.number, tables: Vec::new() };
    let mut broken: BTreeMap<TableName, &'static str> = BTreeMap::new();
    for name in context.project.graph.order() {
        let Some(model) = context.project.models.get(name).filter(|_| selected.contains(name)) else {
            continue;
        };
        if context.stop.is_cancelled() {
            return Err(Error::interrupted());
        }
        let stopwatch = Stopwatch::now();
        let bad = model.inputs.iter().find(|input| broken.contains_key(*input));
        let outcome = match bad {
            Some(input) => Err(Error::failed(format!("{input} could not be rebuilt"))),
            None => one(context, model, &tables, &run, release.instant, release.tables.get(name)).await,
        };
        let mut rebuilt = outcome.unwrap_or_else(|error| {
            broken.insert(name.clone(), "failed");
            Rebuilt {
                node: name.clone(),
                verdict: "failed".to_string(),
                rows: 0,
                rows_released: release.tables.get(name).and_then(|table| table.rows),
                rows_different: 0,
                seconds: 0.0,
                reason: Some(error.to_string()),
            }
        });
        rebuilt.seconds = stopwatch.elapsed().as_secs_f64();
        report.tables.push(rebuilt);
    }
    Ok(report)
}

async fn one(
    context: &Context,
    model: &Model,
    tables: &SharedTables,
    run: &str,
    instant: Instant,
    released: Option<&ReleasedTable>,
) -> Result<Rebuilt> {
    let lake = context.lake();
    let name = &model.name;
    context.reporter.event(&Event::TaskStarted {
        node: name.clone(),
        total: None,
        unit: "rows",
        reason: "rebuilt as of then".to_string(),
    });
    let build_context = BuildContext {
        engine: context.engine.clone(),
        tables: tables.clone(),
        run: run.into(),
        instant,
        fingerprint: "as of".into(),
        released: None,
        progress: progress(context, name),
    };
    let built = build::build(&Arc::new(model.clone()), &build_context).await?;
    let mut rebuilt = Rebuilt {
        node: name.clone(),
        verdict: "new".to_string(),
        rows: built.rows_out,
        rows_released: released.and_then(|released| released.rows),
        rows_different: 0,
        seconds: 0.0,
        reason: None,
    };
    let Some(staged) = built.staged else {
        tables.set(name, Resolved::View { sql: model.sql.clone() }).await;
        rebuilt.verdict = match released {
            Some(released) if released.sql == model.sql => "view",
            Some(_) => "different",
            None => "new",
        }
        .to_string();
        if rebuilt.verdict == "different" {
            rebuilt.reason = Some("the view's SQL differs from the released one".to_string());
        }
        return Ok(rebuilt);
    };
    lake.save_staged(&staged).await?;
    let snapshot = Arc::new(lake.staged_snapshot(&staged).await?);
    tables.set(name, Resolved::Snapshot { snapshot: snapshot.clone(), until: None, schema: None }).await;
    if built.gate == Gate::Block {
        rebuilt.reason = Some("its checks would block it".to_string());
    }
    let Some((released, version)) = released.and_then(|released| Some((released, released.version?))) else {
        return Ok(rebuilt);
    };
    if staged.content.is_some() && staged.content == released.content {
        rebuilt.verdict = "equal".to_string();
        return Ok(rebuilt);
    }
    let before = Arc::new(lake.snapshot(name, version).await?);
    let comparison = compare(context, tables, before, snapshot).await?;
    rebuilt.rows_different = comparison.different;
    rebuilt.verdict = match (comparison.different, comparison.rounded) {
        (0, false) => "equal",
        (0, true) => "equal within rounding",
        _ => "different",
    }
    .to_string();
    rebuilt.reason = comparison.reason.or(rebuilt.reason);
    if rebuilt.verdict == "different" && !code_of_then(released, model) {
        rebuilt.reason.get_or_insert_with(|| "its SQL or settings are not those of then".to_string());
    }
    Ok(rebuilt)
}

/// Whether SQL and settings are those that were released.
fn code_of_then(released: &ReleasedTable, model: &Model) -> bool {
    released.fingerprint.parse::<Fingerprint>().is_ok_and(|print| print.is_code_of(model))
}

pub(crate) struct Comparison {
    /// Rows that differ beyond rounding.
    pub different: u64,
    /// Whether some floats differ within rounding.
    rounded: bool,
    reason: Option<String>,
}

/// Compares two versions row by row, both in the order of all columns, floats last so that rounding cannot change the
/// order of what is otherwise equal.
pub(crate) async fn compare(
    context: &Context,
    tables: &SharedTables,
    before: Arc<Snapshot>,
    after: Arc<Snapshot>,
) -> Result<Comparison> {
    let names = |snapshot: &Snapshot| -> Vec<(String, DataType)> {
        snapshot
            .schema
            .fields()
            .iter()
            .map(|field| (field.name().clone(), field.data_type().clone()))
            .collect()
    };
    if names(&before) != names(&after) {
        let rows = before.rows().max(after.rows());
        return Ok(Comparison {
            different: rows,
            rounded: false,
            reason: Some("the schemas differ".to_string()),
        });
    }
    let mut columns = names(&before);
    columns.sort_by_key(|(_, kind)| kind.is_floating());
    let exact = columns.iter().filter(|(_, kind)| !kind.is_floating()).count();
    let list: Vec<String> =
        columns.iter().map(|(name, _)| format!("\"{}\"", name.replace('"', "\"\""))).collect();
    let sql = format!("SELECT {0} FROM this ORDER BY {0}", list.join(", "));
    let session = |snapshot: Arc<Snapshot>| -> Result<Session> {
        let session = context.engine.session(tables.clone(), context.lake().clock().now());
        session.register_this(context.lake().provider(snapshot)?);
        Ok(session)
    };
    let (old, new) = (session(before)?, session(after)?);
    let mut old = Rows::new(old.execute(&sql).await?.stream);
    let mut new = Rows::new(new.execute(&sql).await?.stream);
    let (mut different, mut only_old, mut only_new, mut rounded) = (0u64, 0u64, 0u64, false);
    loop {
        let (left, right) = (old.peek().await?, new.peek().await?);
        match (left, right) {
            (None, None) => break,
            (Some(_), None) => {
                only_old += 1;
                old.advance();
            }
            (None, Some(_)) => {
                only_new += 1;
                new.advance();
            }
            (Some(left), Some(right)) => match order(&left, &right, exact)? {
                std::cmp::Ordering::Less => {
                    only_old += 1;
                    old.advance();
                }
                std::cmp::Ordering::Greater => {
                    only_new += 1;
                    new.advance();
                }
                std::cmp::Ordering::Equal => {
                    match floats(&left, &right, exact) {
                        Closeness::Same => {}
                        Closeness::Rounded => rounded = true,
                        Closeness::Different => different += 1,
                    }
                    old.advance();
                    new.advance();
                }
            },
        }
    }
    different += only_old.max(only_new);
    Ok(Comparison { different, rounded, reason: None })
}

type Row = (RecordBatch, usize);

/// A stream read row by row.
struct Rows {
    stream: datafusion::execution::SendableRecordBatchStream,
    batch: Option<RecordBatch>,
    row: usize,
}

impl Rows {
    fn new(stream: datafusion::execution::SendableRecordBatchStream) -> Self {
        Rows { stream, batch: None, row: 0 }
    }

    async fn peek(&mut self) -> Result<Option<Row>> {
        while self.batch.as_ref().is_none_or(|batch| self.row >= batch.num_rows()) {
            self.batch = self.stream.try_next().await.map_err(laguna_query::translate)?;
            self.row = 0;
            if self.batch.is_none() {
                return Ok(None);
            }
        }
        Ok(self.batch.clone().map(|batch| (batch, self.row)))
    }

    fn advance(&mut self) {
        self.row += 1;
    }
}

/// Order of two rows by their exact columns, nulls last as SQL sorts them.
fn order(left: &Row, right: &Row, exact: usize) -> Result<std::cmp::Ordering> {
    let options = arrow::compute::SortOptions { descending: false, nulls_first: false };
    for column in 0..exact {
        let compare = arrow::array::make_comparator(left.0.column(column), right.0.column(column), options)
            .map_err(|error| laguna_query::translate(error.into()))?;
        let ordering = compare(left.1, right.1);
        if ordering.is_ne() {
            return Ok(ordering);
        }
    }
    Ok(std::cmp::Ordering::Equal)
}

enum Closeness {
    Same,
    Rounded,
    Different,
}

/// How close the float columns of two rows are: relative difference at most 1e-9.
fn floats(left: &Row, right: &Row, exact: usize) -> Closeness {
    let value = |column: &ArrayRef, row: usize| -> Option<f64> {
        let column = arrow::compute::cast(&column.slice(row, 1), &DataType::Float64).ok()?;
        column.is_valid(0).then(|| column.as_primitive::<Float64Type>().value(0))
    };
    let mut rounded = false;
    for column in exact..left.0.num_columns() {
        match (value(left.0.column(column), left.1), value(right.0.column(column), right.1)) {
            (None, None) => {}
            (Some(a), Some(b)) if a == b || (a.is_nan() && b.is_nan()) => {}
            (Some(a), Some(b)) if (a - b).abs() <= 1e-9 * a.abs().max(b.abs()).max(1.0) => rounded = true,
            _ => return Closeness::Different,
        }
    }
    if rounded { Closeness::Rounded } else { Closeness::Same }
}
