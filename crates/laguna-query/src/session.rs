//! A session: statements of one reader at one moment, from text to streams of rows.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::SortOptions;
use arrow::datatypes::SchemaRef;
use chrono_tz::Tz;
use datafusion::catalog::TableProvider;
use datafusion::common::TableReference;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::execution::SendableRecordBatchStream;
use datafusion::execution::context::{SQLOptions, SessionState};
use datafusion::logical_expr::{Expr, LogicalPlan, Volatility};
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::{LexOrdering, PhysicalSortExpr};
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::{ExecutionPlan, execute_stream, execute_stream_partitioned};
use futures::TryStreamExt;
use futures::future::join_all;
use laguna_base::{Error, ErrorKind, Instant, Result, TableName, Tier, suggest};
use laguna_store::Lake;

use crate::catalog::{CATALOG, Catalog, LOCAL, Names, STAGED, staged_table};
use crate::errors::{LABEL, translate};
use crate::repeat;
use crate::stop::{Stop, yielding};
use crate::{Access, Resolved, Surroundings, Tables, guard, timetravel};

const INFORMATION_SCHEMA: &str = "information_schema";
const DF_SETTINGS: &str = "df_settings";

/// Statements of one reader at one moment. All of them see the same state of the lake.
#[derive(Clone)]
pub struct Session {
    names: Arc<Names>,
    state: SessionState,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("names", &self.names).finish_non_exhaustive()
    }
}

/// A running statement.
pub struct QueryResult {
    /// Columns of the result.
    pub schema: SchemaRef,
    /// The rows; its errors are made readable by [`crate::translate`].
    pub stream: SendableRecordBatchStream,
    /// The plan that runs, with its metrics.
    pub physical: Arc<dyn ExecutionPlan>,
}

/// A running statement whose partitions are read side by side.
pub struct Partitioned {
    /// Columns of the result.
    pub schema: SchemaRef,
    /// One stream a partition; together they are the rows.
    pub streams: Vec<SendableRecordBatchStream>,
    /// The plan that runs, with its metrics.
    pub physical: Arc<dyn ExecutionPlan>,
}

impl Session {
    pub(crate) fn new(
        lake: Lake,
        base: Arc<SessionState>,
        tables: Arc<dyn Tables>,
        now: Instant,
        zone: Tz,
        access: &Access,
        around: Option<Arc<Surroundings>>,
    ) -> Session {
        let names = Names::new(lake, base, tables, now, zone).limited_to(access.clone()).within(around);
        let names = Arc::new(names);
        let state = state_in(&names, 0);
        Session { names, state }
    }

    /// The logical plan of one statement that only reads. Places in errors carry the file name `sql`, see
    /// [`crate::in_file`].
    pub async fn plan(&self, sql: &str) -> Result<LogicalPlan> {
        plan_with(&self.names, &self.state, sql, 0).await
    }

    /// Runs one statement as one stream.
    pub async fn execute(&self, sql: &str) -> Result<QueryResult> {
        let plan = self.plan(sql).await?;
        self.execute_plan(&plan, &Stop::default()).await
    }

    /// Runs a plan of this session as one stream, until `stop` is set.
    pub async fn execute_plan(&self, plan: &LogicalPlan, stop: &Stop) -> Result<QueryResult> {
        let physical = yielding(self.physical(plan).await?, stop)?;
        let stream = execute_stream(physical.clone(), self.state.task_ctx()).map_err(translate)?;
        Ok(QueryResult { schema: physical.schema(), stream, physical })
    }

    /// Runs one statement with one stream a partition, each in ascending order of the columns `sort` of its result,
    /// nulls last; in no order when `sort` is empty.
    pub async fn partitions(&self, sql: &str, sort: &[String]) -> Result<Partitioned> {
        let plan = self.plan(sql).await?;
        self.partitions_of(&plan, sort).await
    }

    /// Runs a plan of this session as [`Session::partitions`] does.
    pub async fn partitions_of(&self, plan: &LogicalPlan, sort: &[String]) -> Result<Partitioned> {
        let physical = sorted(self.physical(plan).await?, sort)?;
        let streams =
            execute_stream_partitioned(physical.clone(), self.state.task_ctx()).map_err(translate)?;
        Ok(Partitioned { schema: physical.schema(), streams, physical })
    }

    /// Columns of a statement, without running it.
    pub async fn schema_of(&self, sql: &str) -> Result<SchemaRef> {
        let plan = self.plan(sql).await?;
        self.columns_of(plan)
    }

    /// Columns of the rows that a plan of this session gives.
    pub fn columns_of(&self, plan: LogicalPlan) -> Result<SchemaRef> {
        let analyzed = self
            .state
            .analyzer()
            .execute_and_check(plan, self.state.config_options(), |_, _| {})
            .map_err(translate)?;
        Ok(analyzed.schema().inner().clone())
    }

    /// The optimised physical plan of a logical one.
    pub async fn physical(&self, plan: &LogicalPlan) -> Result<Arc<dyn ExecutionPlan>> {
        self.state.create_physical_plan(plan).await.map_err(translate)
    }

    /// Whether `plan`, which this session made, depends on nothing but the content of the lake's tables: not on the time,
    /// on chance, on settings of the session, or on how the engine runs it.
    pub fn is_repeatable(&self, plan: &LogicalPlan) -> bool {
        repeat::is_repeatable(plan, &self.names)
    }

    /// The lake that it reads.
    pub fn lake(&self) -> &Lake {
        &self.names.lake
    }

    /// What a name of the lake means to this session; `None` also for a reader from whom something is kept back, since
    /// what stands behind a name is not.
    pub async fn resolved(&self, name: &TableName) -> Result<Option<Resolved>> {
        if self.names.access.is_limited() {
            return Ok(None);
        }
        self.names.tables.table(name).await
    }

    /// Makes `provider` known as the unqualified table `this`.
    pub fn register_this(&self, provider: Arc<dyn TableProvider>) {
        self.register("this", provider);
    }

    /// Makes `provider` known under an unqualified name.
    pub fn register(&self, name: &str, provider: Arc<dyn TableProvider>) {
        self.names.register(name, provider);
    }

    /// The engine's state behind this session.
    pub fn state(&self) -> &SessionState {
        &self.state
    }
}

/// `plan` with every partition sorted by itself: no merge into one stream stands between the cores and the files.
fn sorted(plan: Arc<dyn ExecutionPlan>, columns: &[String]) -> Result<Arc<dyn ExecutionPlan>> {
    let schema = plan.schema();
    let order = columns.iter().map(|name| {
        let column = Column::new_with_schema(name, &schema)?;
        let options = SortOptions { descending: false, nulls_first: false };
        Ok(PhysicalSortExpr::new(Arc::new(column), options))
    });
    let order: Vec<PhysicalSortExpr> = order.collect::<datafusion::error::Result<_>>().map_err(translate)?;
    Ok(match LexOrdering::new(order) {
        Some(order) => Arc::new(SortExec::new(order, plan).with_preserve_partitioning(true)),
        None => plan,
    })
}

/// All batches of a result: for answers that are known to be small.
pub async fn collect(result: QueryResult) -> Result<Vec<RecordBatch>> {
    result.stream.try_collect().await.map_err(translate)
}

/// Names of the functions in `plan` that may answer differently each time, sorted. `now()` is not among them: it is
/// the session's instant.
pub fn volatile_functions(plan: &LogicalPlan) -> Vec<String> {
    let mut found = BTreeSet::new();
    // The closures never fail, so neither do the walks.
    let _ = plan.apply_with_subqueries(|node| {
        node.apply_expressions(|expression| {
            expression.apply(|part| {
                if let Expr::ScalarFunction(function) = part
                    && function.func.signature().volatility == Volatility::Volatile
                {
                    found.insert(function.func.name().to_string());
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })
    });
    found.into_iter().collect()
}

/// A state whose catalog is `names`, inside `depth` views.
fn state_in(names: &Arc<Names>, depth: usize) -> SessionState {
    let mut state = names.base.as_ref().clone();
    state.register_catalog_list(Arc::new(Catalog { names: names.clone(), depth }));
    if let Some(around) = names.around.as_ref().filter(|_| depth == 0)
        && let Err(error) = around.set_clock(&mut state)
    {
        tracing::warn!(%error, "a function does not follow the session's time zone");
    }
    let options = state.config_options().clone();
    let properties = state.execution_props_mut();
    properties.mark_start_execution(options);
    properties.query_execution_start_time = Some(names.now.to_datetime());
    state
}

/// Plans one statement inside `depth` views.
pub(crate) async fn plan_in(names: &Arc<Names>, sql: &str, depth: usize) -> Result<LogicalPlan> {
    plan_with(names, &state_in(names, depth), sql, depth).await
}

async fn plan_with(names: &Arc<Names>, state: &SessionState, sql: &str, depth: usize) -> Result<LogicalPlan> {
    let sql = timetravel::rewrite_in(sql, names.zone)?;
    let statement = guard::parse(&sql)?;
    let mut references = state.resolve_table_references(&statement).map_err(translate)?;
    let functions = guard::table_functions(&statement);
    if !functions.is_empty() {
        check_table_functions(&functions, state)?;
        references.retain(|reference| {
            reference.schema().is_some() || !functions.contains_key(&reference.table().to_lowercase())
        });
    }
    let lists = |reference: &TableReference| reference.schema() == Some(INFORMATION_SCHEMA);
    if names.around.is_none() && references.iter().any(lists) {
        names.list().await?;
    }
    // Tables are opened side by side; the planner then finds them in the session's memory.
    let checks = join_all(references.iter().map(|reference| check_reference(names, reference, depth))).await;
    let wrong: Vec<(&TableReference, Error)> =
        references.iter().zip(checks).filter_map(|(name, check)| Some((name, check.err()?))).collect();
    if !wrong.is_empty() {
        let places = guard::places(&statement);
        let errors = wrong.into_iter().map(|(reference, error)| match places.get(reference) {
            Some((line, column)) if *line > 0 && error.kind() == ErrorKind::Project => {
                error.at(LABEL, *line, *column)
            }
            _ => error,
        });
        return Err(Error::many(errors.collect())
            .unwrap_or_else(|| Error::internal("a table cannot be opened and does not say why")));
    }
    let plan =
        state.statement_to_plan(statement).await.map_err(|error| explain(translate(error), &sql, state))?;
    SQLOptions::new()
        .with_allow_ddl(false)
        .with_allow_dml(false)
        .with_allow_statements(false)
        .verify_plan(&plan)
        .map_err(|_| crate::errors::read_only())?;
    if names.access.is_limited() && reads_settings(&plan) {
        return Err(Error::project("the engine's settings are not shown here")
            .hint("SHOW TABLES and SHOW COLUMNS say what there is to read"));
    }
    Ok(plan)
}

/// Whether `plan` reads the settings of the engine, as SHOW does: they tell of the machine.
fn reads_settings(plan: &LogicalPlan) -> bool {
    let mut found = false;
    // The closure never fails, so neither does the walk.
    let _ = plan.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node {
            // The engine finds its own tables under any case.
            found |= scan.table_name.schema() == Some(INFORMATION_SCHEMA)
                && scan.table_name.table().eq_ignore_ascii_case(DF_SETTINGS);
        }
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    });
    found
}

/// Functions that stand for tables must be known.
fn check_table_functions(functions: &HashMap<String, (usize, usize)>, state: &SessionState) -> Result<()> {
    let known: Vec<&str> = state.table_functions().keys().map(String::as_str).collect();
    let mut unknown: Vec<_> = functions.iter().filter(|(name, _)| !known.contains(&name.as_str())).collect();
    unknown.sort_by_key(|(_, place)| **place);
    let errors = unknown.into_iter().map(|(name, (line, column))| {
        Error::project(format!("there is no table function `{name}`"))
            .sqlstate("42883")
            .at(LABEL, *line, *column)
            .hint(suggest::hint(name, &known))
    });
    Error::many(errors.collect()).map_or(Ok(()), Err)
}

/// Opens what `reference` names.
async fn check_reference(names: &Arc<Names>, reference: &TableReference, depth: usize) -> Result<()> {
    if let Some(catalog) = reference.catalog()
        && catalog != CATALOG
    {
        return Err(Error::project(format!("there is no catalog `{catalog}`"))
            .sqlstate("3D000")
            .hint(format!("tables are called schema.table; the only catalog is `{CATALOG}`")));
    }
    let table = reference.table();
    let Some(schema) = reference.schema() else {
        return match names.open(LOCAL, table, depth).await? {
            Some(_) => Ok(()),
            None => Err(unqualified(names, table).await?),
        };
    };
    let around = names.around.as_ref().is_some_and(|around| depth == 0 && around.has(schema));
    // SHOW COLUMNS names all tables of the information schema, whether it has them or not.
    if schema == INFORMATION_SCHEMA {
        return Ok(());
    }
    let schemas: Vec<&str> =
        Tier::ALL.iter().map(|tier| tier.as_str()).chain([STAGED, INFORMATION_SCHEMA]).collect();
    if !around && !schemas.contains(&schema) {
        return Err(Error::project(format!("there is no schema `{schema}`"))
            .sqlstate("3F000")
            .hint(suggest::hint(schema, &schemas)));
    }
    match names.open(schema, table, depth).await? {
        Some(_) => Ok(()),
        None => Err(absent(names, schema, table).await?),
    }
}

async fn absent(names: &Arc<Names>, schema: &str, table: &str) -> Result<Error> {
    if let Some((base, pin)) = timetravel::split_pin(table) {
        let when = match pin {
            crate::Pin::Timestamp(at) => format!("at {at}"),
            crate::Pin::Version(version) => format!("in version {version}"),
        };
        return Ok(Error::project(format!("there was no table `{schema}.{base}` {when}"))
            .sqlstate("42P01")
            .hint("`laguna history` lists the releases and their tables"));
    }
    let known: Vec<String> = if schema == STAGED {
        names.tables.staged_names().await?.iter().map(staged_table).collect()
    } else {
        match schema.parse::<Tier>() {
            Ok(tier) => names.tables.names(tier).await?,
            Err(_) => Vec::new(),
        }
    };
    let error = Error::project(format!("there is no table `{schema}.{table}`")).sqlstate("42P01");
    if let Some(near) = suggest::nearest(table, &known) {
        return Ok(error.hint(format!("did you mean `{schema}.{near}`?")));
    }
    // The right name in another schema is nearer than any other name in this one.
    if let Some(elsewhere) = everywhere(names).await?.into_iter().find(|name| name.table == table) {
        return Ok(error.hint(format!("did you mean `{elsewhere}`?")));
    }
    if known.is_empty() {
        return Ok(error.hint(match schema {
            _ if names.access.is_limited() => "SHOW TABLES lists what may be read".to_string(),
            STAGED => "no table is staged; `laguna run` stages what its checks refuse".to_string(),
            _ => format!("the schema `{schema}` is empty; `laguna run` fills it"),
        }));
    }
    Ok(error.hint(suggest::hint(table, &known)))
}

async fn unqualified(names: &Arc<Names>, table: &str) -> Result<Error> {
    let message = match names.around {
        Some(_) => format!("there is no table `{table}`"),
        None => format!("the table `{table}` lacks its schema"),
    };
    let error = Error::project(message).sqlstate("42P01");
    let all = everywhere(names).await?;
    if let Some(name) = all.iter().find(|name| name.table == table) {
        return Ok(error.hint(format!("did you mean `{name}`?")));
    }
    let tables: Vec<&str> = all.iter().map(|name| name.table.as_str()).collect();
    let near = suggest::nearest(table, &tables);
    match near.and_then(|near| all.iter().find(|name| name.table == near)) {
        Some(name) => Ok(error.hint(format!("did you mean `{name}`?"))),
        None => Ok(error.hint("write it as enhanced.table; SHOW TABLES lists all of them")),
    }
}

/// All tables, the most refined first.
async fn everywhere(names: &Arc<Names>) -> Result<Vec<TableName>> {
    let mut all = Vec::new();
    for tier in [Tier::Enhanced, Tier::Sanitized, Tier::Latest, Tier::Raw, Tier::Quarantine, Tier::System] {
        let tables = names.tables.names(tier).await?;
        all.extend(tables.into_iter().filter_map(|table| TableName::new(tier, table).ok()));
    }
    Ok(all)
}

/// Adds what the planner did not say: the place of a wrong column or function, and the nearest function.
fn explain(error: Error, sql: &str, state: &SessionState) -> Error {
    let named = |start: &str| error.message().strip_prefix(start)?.split('`').next().map(str::to_lowercase);
    let function = named("there is no function `");
    let Some(wrong) = function
        .clone()
        .or_else(|| named("there is no column `"))
        .or_else(|| named("the column `"))
        .map(|name| name.rsplit('.').next().unwrap_or(&name).to_string())
    else {
        return error;
    };
    let place = error.location().is_none().then(|| crate::script::find_word(sql, &wrong)).flatten();
    let error = match place {
        Some((line, column)) => error.at(LABEL, line, column),
        None => error,
    };
    let Some(function) = function else { return error };
    let mut known: Vec<&str> = state.scalar_functions().keys().map(String::as_str).collect();
    known.extend(state.aggregate_functions().keys().map(String::as_str));
    known.extend(state.window_functions().keys().map(String::as_str));
    known.sort_unstable();
    match suggest::nearest(&function, &known) {
        Some(near) => error.hint(format!("did you mean `{near}`?")),
        None => error.hint("SHOW FUNCTIONS lists all of them"),
    }
}
