//! Checking a table that is there: its rows are judged, those of files that no check has seen are read, and what was
//! accumulated of those is kept. Nothing else is written.

use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Int64Type, SchemaRef};
use datafusion::datasource::ViewTable;
use datafusion::logical_expr::LogicalPlan;
use futures::StreamExt;
use laguna_base::{Result, TableName};
use laguna_check::{Answered, CheckSpec, FailingRow, Keep, RowFinder, SetQuery, Suite, Verdict, explain};
use laguna_query::Session;
use laguna_store::states::FileStates;
use laguna_store::{scan, types};

use super::by_file::{ByFile, FilesRead, Passed};
use super::{quoted, statistics, stream};

/// What is asked of a table.
#[derive(Debug, Clone)]
pub struct Look {
    /// Which.
    pub table: TableName,
    /// What must be true of it.
    pub checks: Vec<CheckSpec>,
    /// What verdicts tell of failing values.
    pub keep: Keep,
    /// Failing rows of each check that are looked for, at most.
    pub rows: usize,
    /// Columns by which people know its rows.
    pub key: Vec<String>,
    /// Whether it matters how each check is answered.
    pub explain: bool,
    /// What is kept of the table's files, where several looks share it.
    pub states: Option<Arc<FileStates>>,
}

/// What was seen.
#[derive(Debug, Clone, Default)]
pub struct Looked {
    /// One for each check, in order.
    pub verdicts: Vec<Verdict>,
    /// How each check was answered; empty when nobody asked.
    pub answered: Vec<Answered>,
    /// For each check rows that it refuses; fewer than it counts.
    pub failing: Vec<Vec<FailingRow>>,
    /// Rows of the table.
    pub rows: u64,
    /// Bytes of the table that were read.
    pub bytes: u64,
    /// How much of its files was read; `None` for what has no files, and where no row was looked at.
    pub files: Option<FilesRead>,
}

/// Checks one table as `session` sees it. The session must be one that no other table is looked at with: its `this`
/// becomes the table.
pub async fn look(session: &Session, look: &Look) -> Result<Looked> {
    let name = format!("{}.{}", look.table.tier.as_str(), quoted(&look.table.table));
    let whole = format!("SELECT * FROM {name}");
    let plan = session.plan(&whole).await?;
    let schema = types::normalize(&session.schema_of(&whole).await?)?;
    let scan = session.physical(&plan).await?;
    let known = statistics::answered(&look.checks, &schema, scan.as_ref())?;
    let open: Vec<usize> = (0..known.len()).filter(|at| known[*at].is_none()).collect();
    let checks: Vec<CheckSpec> = open.iter().map(|at| look.checks[*at].clone()).collect();
    let mut looked = read(session, look, &checks, &name, &schema, plan).await?;
    // What was read goes to the places between what was known.
    let rows = looked.rows;
    let Looked { verdicts, answered, failing, .. } = &mut looked;
    let mut read = std::mem::take(verdicts).into_iter();
    *verdicts = known.iter().cloned().filter_map(|verdict| verdict.or_else(|| read.next())).collect();
    let mut how = std::mem::take(answered).into_iter();
    if look.explain {
        let of =
            |known: &Option<Verdict>| if known.is_some() { Some(Answered::Statistics) } else { how.next() };
        *answered = known.iter().filter_map(of).collect();
    }
    let mut rows_of = std::mem::take(failing).into_iter();
    *failing = known
        .iter()
        .map(|known| if known.is_some() { Vec::new() } else { rows_of.next().unwrap_or_default() })
        .collect();
    if let (0, Some(verdict)) = (rows, verdicts.first()) {
        looked.rows = verdict.element_count;
    }
    Ok(looked)
}

/// Reads what `checks` look at, and judges it.
async fn read(
    session: &Session,
    look: &Look,
    checks: &[CheckSpec],
    name: &str,
    schema: &SchemaRef,
    plan: LogicalPlan,
) -> Result<Looked> {
    let mut looked = Looked::default();
    if checks.is_empty() && !look.checks.is_empty() {
        return Ok(looked);
    }
    let suite = Suite::compile_each(checks, schema).keeping(look.keep);
    let mut collector = suite.collector();
    let (mut fed, mut within) = (None, None);
    if suite.needs_no_rows() {
        let (count, bytes) = ask(session, &format!("SELECT count(*) FROM {name}")).await?;
        let rows = count.first().map_or(0, |batch| batch.column(0).as_primitive::<Int64Type>().value(0));
        collector.count_rows(rows.unsigned_abs());
        looked.bytes += bytes;
    } else if let Some(files) = ByFile::of(session, &look.table, look.states.clone()).await? {
        let files = Arc::new(files);
        let Passed { collector: seen, bytes, told, fed: read, failing } =
            files.pass(&suite, schema, &|_| {}).await?;
        collector = seen;
        looked.bytes += bytes;
        looked.files = Some(told);
        fed = Some(read);
        within = Some(Within { files, failing });
    } else {
        let columns: Vec<String> = suite.columns().iter().map(|column| quoted(column)).collect();
        let list = if columns.is_empty() { "1 AS one".to_string() } else { columns.join(", ") };
        let output = session.partitions(&format!("SELECT {list} FROM {name}"), &[]).await?;
        collector.merge(stream::observe(&suite, schema, output.streams, &(Arc::new(|_| {}) as _)).await?);
        looked.bytes += scan::bytes_scanned(output.physical.as_ref());
    }
    looked.rows = collector.rows();
    let query = suite.set_query(&collector);
    let answers = match &query {
        Some(query) => {
            let whole = format!("SELECT * FROM {name}");
            session.register_this(Arc::new(ViewTable::new(plan, Some(whole))));
            let (answers, bytes) = ask(session, &query.sql).await.map_err(|error| blame(error, query))?;
            looked.bytes += bytes;
            Some(answers)
        }
        None => None,
    };
    looked.verdicts = suite.finish(collector, answers)?;
    if look.explain {
        looked.answered = explain(checks, schema, query.as_ref());
        let fed = fed.filter(|_| looked.rows > 0);
        for (how, fed) in looked.answered.iter_mut().zip(fed.into_iter().flatten()) {
            if *how == Answered::Pass && !fed {
                *how = Answered::Kept;
            }
        }
    }
    let search = Search { session, from: name, checks, key: &look.key, rows: look.rows, within };
    let (failing, bytes) = search.failing(&suite, schema, &looked.verdicts).await?;
    looked.failing = failing;
    looked.bytes += bytes;
    Ok(looked)
}

/// The search for rows that checks refuse, when their verdicts are known.
pub(super) struct Search<'a> {
    /// Where `this` is the table.
    pub session: &'a Session,
    /// The table as SQL names it.
    pub from: &'a str,
    pub checks: &'a [CheckSpec],
    /// Columns by which people know its rows.
    pub key: &'a [String],
    /// Rows of each check, at most.
    pub rows: usize,
    /// Where rows that fail by themselves are, if that is known.
    pub within: Option<Within>,
}

/// Files of a table, and for each check the numbers of those that hold rows which it refuses by themselves.
pub(super) struct Within {
    pub files: Arc<ByFile>,
    pub failing: Vec<Vec<usize>>,
}

/// An error of the query over several checks names them.
fn blame(error: laguna_base::Error, query: &SetQuery) -> laguna_base::Error {
    match query.parts.as_slice() {
        [one] => error.at_location(one.location.clone()),
        _ => error,
    }
}

/// All batches of a small answer, and the bytes that it read.
async fn ask(session: &Session, sql: &str) -> Result<(Vec<RecordBatch>, u64)> {
    let result = session.execute(sql).await?;
    let physical = result.physical.clone();
    let batches = laguna_query::collect(result).await?;
    Ok((batches, scan::bytes_scanned(physical.as_ref())))
}

impl Search<'_> {
    /// For each check some rows that it refuses, and the bytes that the search read: none when all checks hold.
    pub(super) async fn failing(
        &self,
        suite: &Suite,
        schema: &SchemaRef,
        verdicts: &[Verdict],
    ) -> Result<(Vec<Vec<FailingRow>>, u64)> {
        let mut found = vec![Vec::new(); self.checks.len()];
        let mut bytes = 0;
        if self.rows > 0 && verdicts.iter().any(|verdict| !verdict.success) {
            bytes += self.single_rows(schema, verdicts, &mut found).await?;
            bytes += self.rows_among_others(suite, verdicts, &mut found).await?;
        }
        Ok((found, bytes))
    }

    /// Rows that fail by themselves: the files that hold some are read again, else the table, until enough are found.
    async fn single_rows(
        &self,
        schema: &SchemaRef,
        verdicts: &[Verdict],
        found: &mut [Vec<FailingRow>],
    ) -> Result<u64> {
        let Some(mut finder) = RowFinder::new(self.checks, verdicts, schema, self.rows)? else {
            return Ok(0);
        };
        if let Some(Within { files, failing }) = &self.within {
            let mut bytes = 0;
            for file in 0..files.files().len() {
                let wanted = failing
                    .iter()
                    .enumerate()
                    .any(|(check, failing)| failing.binary_search(&file).is_ok() && finder.wants(check));
                if !wanted {
                    continue;
                }
                let see = |batch: &RecordBatch| {
                    for (check, row) in finder.update(batch)? {
                        found[check].push(self.row(batch, row, check, schema));
                    }
                    Ok(finder.is_done())
                };
                bytes += files.look_through(file, schema, see).await?;
            }
            return Ok(bytes);
        }
        let result = self.session.execute(&format!("SELECT * FROM {}", self.from)).await?;
        let mut stream = result.stream;
        while let Some(batch) = stream.next().await {
            let batch = stream::widen(&batch.map_err(laguna_query::translate)?, schema)?;
            for (check, row) in finder.update(&batch)? {
                found[check].push(self.row(&batch, row, check, schema));
            }
            if finder.is_done() {
                break;
            }
        }
        Ok(scan::bytes_scanned(result.physical.as_ref()))
    }

    /// Rows that fail among others: repeated keys, keys without a target.
    pub(super) async fn rows_among_others(
        &self,
        suite: &Suite,
        verdicts: &[Verdict],
        found: &mut [Vec<FailingRow>],
    ) -> Result<u64> {
        let Some(sql) = suite.failing_rows_sql(verdicts) else { return Ok(0) };
        let failed = verdicts.iter().filter(|verdict| !verdict.success).count();
        let limited =
            format!("SELECT * FROM (\n{sql}\n) AS failing LIMIT {}", self.rows.saturating_mul(failed));
        let (batches, bytes) = ask(self.session, &limited).await?;
        for batch in batches {
            let Some(checks) = batch.column_by_name("_check") else { continue };
            let Ok(checks) = arrow::compute::cast(checks, &DataType::Int64) else { continue };
            let checks = checks.as_primitive::<Int64Type>();
            let schema = batch.schema();
            let kept: Vec<usize> =
                (0..batch.num_columns()).filter(|at| schema.field(*at).name() != "_check").collect();
            let Ok(plain) = batch.project(&kept) else { continue };
            for row in (0..plain.num_rows()).filter(|row| checks.is_valid(*row)) {
                let check = checks.value(row) as usize;
                if let Some(rows) = found.get_mut(check).filter(|rows| rows.len() < self.rows) {
                    rows.push(self.row(&plain, row, check, &plain.schema()));
                }
            }
        }
        Ok(bytes)
    }

    fn row(&self, batch: &RecordBatch, row: usize, check: usize, schema: &SchemaRef) -> FailingRow {
        let shown = RowFinder::shown(self.checks, check, schema, self.key);
        FailingRow::of(batch, row, &shown)
    }
}
