//! The executing half: one model from its SQL to a staged version with verdicts, through store, query and check.

mod by_file;
mod incremental;
mod look;
mod statistics;
mod stream;
mod view;

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use laguna_base::settings::table::{Materialize, OnFail};
use laguna_base::{Instant, Result};
use laguna_check::{FailingRow, Gate, Suite, Verdict};
use laguna_query::{Engine, Session, Tables};
use laguna_store::content::ContentHash;
use laguna_store::release::CheckSummary;
use laguna_store::writer::Written;
use laguna_store::{CommitNote, ReleasedTable, Snapshot, Staged, WriteOptions, types};

use crate::project::Model;

pub use by_file::FilesRead;
pub use incremental::Scope;
pub use look::{Look, Looked, look};
pub use stream::{QuarantinedRow, json_rows, quarantine_batch, quarantine_schema};

/// What a build needs to know. Cheap to clone: parts of one pass run as tasks of their own.
#[derive(Clone)]
pub struct BuildContext {
    /// Engine and lake.
    pub engine: Arc<Engine>,
    /// What names mean: inputs pinned for this run.
    pub tables: Arc<dyn Tables>,
    /// Id of the run.
    pub run: Arc<str>,
    /// What `now()` answers.
    pub instant: Instant,
    /// Fingerprint of SQL, settings and inputs.
    pub fingerprint: Arc<str>,
    /// The released version, to build upon; `None` builds whole.
    pub released: Option<ReleasedTable>,
    /// Called with the number of rows that have passed so far.
    pub progress: Arc<dyn Fn(u64) + Send + Sync>,
}

/// What a build gave.
#[derive(Debug, Clone)]
pub struct Built {
    /// The staged version; `None` for a view.
    pub staged: Option<Staged>,
    /// Schema, as Delta's schema string.
    pub schema: String,
    /// Verdicts of its checks, in the order of the settings.
    pub verdicts: Vec<Verdict>,
    /// For each check some rows that it refuses, where they are not set aside anyway; empty when all hold.
    pub failing: Vec<Vec<FailingRow>>,
    /// What the verdicts mean.
    pub gate: Gate,
    /// Rows that the scans of the inputs gave.
    pub rows_in: u64,
    /// Rows of the resulting version.
    pub rows_out: u64,
    /// Bytes written.
    pub bytes_out: u64,
    /// Bytes read from storage, checks included.
    pub bytes_in: u64,
    /// Rows set aside (`on_fail: quarantine`).
    pub quarantined: Vec<laguna_store::DataFile>,
    /// How much was computed.
    pub scope: Scope,
}

impl Built {
    /// Rows set aside.
    pub fn rows_quarantined(&self) -> u64 {
        self.quarantined.iter().map(|file| file.rows).sum()
    }
}

/// Verdicts, counted.
pub fn summary(verdicts: &[Verdict], on_fail: OnFail) -> CheckSummary {
    let mut summary = CheckSummary::default();
    for verdict in verdicts {
        if verdict.success {
            summary.passed += 1;
        } else if verdict.severity == laguna_check::Severity::Critical && on_fail != OnFail::Warn {
            summary.failed += 1;
        } else {
            summary.warned += 1;
        }
    }
    summary
}

/// Builds one model. Nothing is committed: the caller commits `staged` when the gate lets it pass.
pub async fn build(model: &Arc<Model>, context: &BuildContext) -> Result<Built> {
    let session = context.engine.session(context.tables.clone(), context.instant);
    match &model.settings.materialize {
        Materialize::View => view::build(model, context, &session).await,
        Materialize::Table => whole(model, context, &session).await,
        Materialize::Incremental(rule) => match incremental::base(model, context).await? {
            Some(base) => incremental::build(model, rule, base, context, &session).await,
            None => whole(model, context, &session).await,
        },
    }
    .map_err(|error| locate(model, error))
}

/// An error in a statement is an error at the model's file.
fn locate(model: &Model, error: laguna_base::Error) -> laguna_base::Error {
    match error.kind() {
        laguna_base::ErrorKind::Project | laguna_base::ErrorKind::Failed => {
            let error =
                laguna_query::in_file_at(error, &model.file, |line, column| model.place(line, column));
            laguna_query::with_text(error, |text| model.without_secrets(text))
        }
        _ => error,
    }
}

async fn whole(model: &Arc<Model>, context: &BuildContext, session: &Session) -> Result<Built> {
    let plan = session.plan(&model.sql).await?;
    require_columns(model, plan.schema().inner())?;
    let output = session.partitions_of(&plan, &model.settings.sort).await?;
    let schema = types::normalize(&output.schema)?;
    let suite = Arc::new(Suite::compile(&model.checks, &schema)?.keeping_rows(FAILING_ROWS, model.key()));
    let mut pass = stream::write(model, context, &suite, schema.clone(), output.streams).await?;
    let scanned = laguna_store::scan::scan_totals(output.physical.as_ref());
    let (rows_in, mut bytes_in) = (scanned.rows, scanned.bytes);
    let mut staged = start(model, context, &schema, std::mem::take(&mut pass.written))?;
    let judged = judge(model, context, &suite, pass.collector, None, &mut staged, &mut bytes_in).await?;
    finish(model, context, &mut staged, &judged.verdicts)?;
    if judged.gate != Gate::Block {
        by_file::keep_written(context.engine.lake(), &model.name, pass.fresh, &staged.adds).await;
    }
    let mut quarantined = pass.quarantined;
    quarantined.extend(judged.quarantined);
    Ok(Built {
        schema: staged.schema.clone(),
        gate: judged.gate,
        verdicts: judged.verdicts,
        failing: judged.failing,
        rows_in,
        rows_out: staged.rows,
        bytes_out: staged.adds.iter().map(|file| file.size).sum(),
        bytes_in,
        quarantined,
        scope: Scope::Whole,
        staged: Some(staged),
    })
}

/// The staged version of what a pass wrote, as if that were the whole table.
fn start(model: &Model, context: &BuildContext, schema: &SchemaRef, written: Written) -> Result<Staged> {
    Ok(Staged {
        table: model.name.clone(),
        run: context.run.to_string(),
        at: context.engine.lake().clock().now(),
        schema: types::schema_to_json(schema)?,
        partition_columns: model.settings.partition.to_vec(),
        base: None,
        adds: written.files,
        removes: Vec::new(),
        rows: written.rows,
        content: Some(written.content),
        note: CommitNote::default(),
        verdicts: serde_json::Value::Null,
    })
}

/// A column or table name as SQL writes it.
pub(crate) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Partition, sort and key columns must exist.
fn require_columns(model: &Model, schema: &SchemaRef) -> Result<()> {
    let names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
    let settings = &model.settings;
    let key = match &settings.materialize {
        Materialize::Incremental(rule) => {
            rule.key.iter().chain(rule.watermark.iter()).cloned().collect::<Vec<_>>()
        }
        _ => Vec::new(),
    };
    let file = model.settings_file.as_deref().unwrap_or(&model.file);
    for (what, columns) in
        [("partition", settings.partition.to_vec()), ("sort", settings.sort.to_vec()), ("key", key)]
    {
        for column in columns {
            if !names.contains(&column.as_str()) {
                return Err(laguna_base::Error::project(format!(
                    "{what} column `{column}` is not in the result of {}",
                    model.name
                ))
                .at(file, 0, 0)
                .hint(laguna_base::suggest::hint(&column, names.iter().copied())));
            }
        }
    }
    if !settings.partition.is_empty() && settings.partition.len() >= names.len() {
        return Err(laguna_base::Error::project(format!(
            "every column of {} is a partition column",
            model.name
        ))
        .at(file, 0, 0)
        .hint("leave at least one column out of `partition`"));
    }
    Ok(())
}

/// Verdicts of a staged version, after the checks that need a grouping have looked at its files.
struct Judged {
    verdicts: Vec<Verdict>,
    failing: Vec<Vec<FailingRow>>,
    gate: Gate,
    quarantined: Vec<laguna_store::DataFile>,
}

/// Failing rows of each check that are kept with its verdict.
const FAILING_ROWS: usize = 5;

async fn judge(
    model: &Arc<Model>,
    context: &BuildContext,
    suite: &Arc<Suite>,
    mut collector: laguna_check::Collector,
    within: Option<look::Within>,
    staged: &mut Staged,
    bytes_in: &mut u64,
) -> Result<Judged> {
    let mut failing = collector.take_failing_rows();
    let verdicts = verdicts(context, suite, collector, staged, bytes_in).await?;
    let rule = model.on_fail();
    let mut gate = laguna_check::gate(&verdicts, rule);
    let mut quarantined = Vec::new();
    if gate == Gate::Quarantine
        && let Some(failing) = suite.failing_rows_sql(&verdicts)
    {
        quarantined = stream::set_aside(model, context, suite, staged, &failing).await?;
    }
    if rule == OnFail::Warn && gate == Gate::Block {
        gate = Gate::Warn;
    }
    let told = matches!(gate, Gate::Warn | Gate::Block);
    for (rows, verdict) in failing.iter_mut().zip(&verdicts) {
        if !told || verdict.success {
            rows.clear();
        }
    }
    // What the pass has not kept is looked for, where there may be something.
    if told && (!suite.keeps_rows() || suite.failing_rows_sql(&verdicts).is_some()) {
        let session = context.engine.session(context.tables.clone(), context.instant);
        let snapshot = Arc::new(context.engine.lake().staged_snapshot(staged).await?);
        let schema = snapshot.schema.clone();
        session.register_this(context.engine.lake().provider(snapshot)?);
        let search = look::Search {
            session: &session,
            from: "this",
            checks: &model.checks,
            key: model.key(),
            rows: FAILING_ROWS,
            within,
        };
        *bytes_in += match suite.keeps_rows() {
            true => search.rows_among_others(suite, &verdicts, &mut failing).await?,
            false => {
                let (found, bytes) = search.failing(suite, &schema, &verdicts).await?;
                failing = found;
                bytes
            }
        };
    }
    Ok(Judged { verdicts, failing, gate, quarantined })
}

async fn verdicts(
    context: &BuildContext,
    suite: &Arc<Suite>,
    collector: laguna_check::Collector,
    staged: &Staged,
    bytes_in: &mut u64,
) -> Result<Vec<Verdict>> {
    let Some(query) = suite.set_query(&collector) else {
        return suite.finish(collector, None);
    };
    let session = context.engine.session(context.tables.clone(), context.instant);
    let snapshot = context.engine.lake().staged_snapshot(staged).await?;
    session.register_this(context.engine.lake().provider(Arc::new(snapshot))?);
    let result = session.execute(&query.sql).await?;
    let physical = result.physical.clone();
    let answers = laguna_query::collect(result).await?;
    *bytes_in += laguna_store::scan::bytes_scanned(physical.as_ref());
    suite.finish(collector, Some(answers))
}

/// Fills what goes into the commit.
fn finish(model: &Model, context: &BuildContext, staged: &mut Staged, verdicts: &[Verdict]) -> Result<()> {
    let json =
        |error: serde_json::Error| laguna_base::Error::internal("verdicts don't serialise").caused_by(error);
    staged.verdicts = serde_json::to_value(verdicts).map_err(json)?;
    staged.note = CommitNote {
        run: Some(context.run.to_string()),
        fingerprint: Some(context.fingerprint.to_string()),
        content: staged.content,
        ..CommitNote::default()
    };
    let counts = serde_json::to_value(summary(verdicts, model.on_fail())).map_err(json)?;
    staged.note.more.insert("checks".to_string(), counts);
    Ok(())
}

/// Write options of a model's table.
fn write_options(model: &Model) -> WriteOptions {
    WriteOptions { partition: model.settings.partition.to_vec(), ..WriteOptions::default() }
}

/// A version that was committed by a run that did not live to release it, when it is what would be built now.
pub fn adopt(head: &Snapshot, fingerprint: &str) -> Option<(ContentHash, CheckSummary)> {
    if head.note.fingerprint.as_deref() != Some(fingerprint) {
        return None;
    }
    let checks = head.note.more.get("checks").cloned().unwrap_or_default();
    Some((head.note.content?, serde_json::from_value(checks).unwrap_or_default()))
}
