//! The lake as the engine's catalog: schemas are tiers, tables are opened only when a statement names them.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use async_trait::async_trait;
use datafusion::catalog::{CatalogProvider, CatalogProviderList, MemTable, SchemaProvider, TableProvider};
use datafusion::common::Result as EngineResult;
use datafusion::common::runtime::SpawnedTask;
use datafusion::datasource::{ViewTable, provider_as_source};
use datafusion::execution::context::SessionState;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, TableType, cast, ident, lit};
use datafusion::scalar::ScalarValue;
use futures::future::BoxFuture;
use laguna_base::{Error, Instant, Result, TableName, Tier};
use laguna_store::Lake;

use crate::access::tables::ReadableTables;
use crate::access::{self, Access};
use crate::errors::{external, translate};
use crate::session::plan_in;
use crate::tables::arrived_by;
use crate::{Listing, Resolved, Surroundings, Tables, timetravel};

/// The one catalog.
pub(crate) const CATALOG: &str = "laguna";
/// Schema of unqualified names: what a session registers itself, such as `this`.
pub(crate) const LOCAL: &str = "local";
/// Schema of staged versions.
pub(crate) const STAGED: &str = "staged";
/// How every error about a view begins.
pub(crate) const VIEW_FAILS: &str = "the view ";
/// Views may stand on views this deep.
const DEPTH: usize = 32;

/// Providers by schema and table; `None` where there is no such table.
type Opened = HashMap<(String, String), Option<Arc<dyn TableProvider>>>;

/// What the names of one session mean, opened at most once each.
pub(crate) struct Names {
    pub(crate) lake: Lake,
    pub(crate) base: Arc<SessionState>,
    pub(crate) tables: Arc<dyn Tables>,
    pub(crate) now: Instant,
    pub(crate) zone: chrono_tz::Tz,
    pub(crate) access: Access,
    /// The same names with nothing kept back, in which views are planned; `None` where nothing is.
    owner: Option<Arc<Names>>,
    /// What is around the lake; views are planned without it.
    pub(crate) around: Option<Arc<Surroundings>>,
    opened: RwLock<Opened>,
    local: RwLock<HashMap<String, Arc<dyn TableProvider>>>,
    listed: OnceLock<BTreeMap<String, Vec<String>>>,
}

impl fmt::Debug for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Names").field("tables", &self.tables).finish_non_exhaustive()
    }
}

impl Names {
    pub(crate) fn new(
        lake: Lake,
        base: Arc<SessionState>,
        tables: Arc<dyn Tables>,
        now: Instant,
        zone: chrono_tz::Tz,
    ) -> Self {
        Names {
            lake,
            base,
            tables,
            now,
            zone,
            access: Access::everything(),
            owner: None,
            around: None,
            opened: RwLock::default(),
            local: RwLock::default(),
            listed: OnceLock::new(),
        }
    }

    /// The same names for a reader who may see no more than `access` says.
    pub(crate) fn limited_to(self, access: Access) -> Self {
        if !access.is_limited() {
            return self;
        }
        let tables = Arc::new(ReadableTables { all: self.tables.clone(), access: access.clone() });
        let (lake, base) = (self.lake.clone(), self.base.clone());
        let names = Names::new(lake, base, tables, self.now, self.zone);
        Names { access, owner: Some(Arc::new(self)), ..names }
    }

    /// The same names with what is around the lake.
    pub(crate) fn within(self, around: Option<Arc<Surroundings>>) -> Self {
        let base = match &around {
            Some(around) => around.world.base(&self.base),
            None => self.base,
        };
        Names { base, around, ..self }
    }

    pub(crate) fn register(&self, name: &str, provider: Arc<dyn TableProvider>) {
        self.local.write().unwrap_or_else(PoisonError::into_inner).insert(name.to_string(), provider);
    }

    /// The table `schema.table`; `None` when there is none. `depth` counts the views around it.
    pub(crate) async fn open(
        self: &Arc<Self>,
        schema: &str,
        table: &str,
        depth: usize,
    ) -> Result<Option<Arc<dyn TableProvider>>> {
        if schema == LOCAL {
            // What a session registers is not seen inside the lake's views.
            if depth > 0 {
                return Ok(None);
            }
            let local = self.local.read().unwrap_or_else(PoisonError::into_inner).get(table).cloned();
            return match (local, &self.around) {
                (None, Some(around)) => self.on_path(table, around).await,
                (local, _) => Ok(local),
            };
        }
        if let Some(around) = self.around.as_ref().filter(|around| depth == 0 && around.has(schema)) {
            return Ok(around.table(schema, table, &Listing { names: self.clone() }));
        }
        let found = self.open_once(schema, table, depth).await?;
        match self.around.as_ref().filter(|_| depth == 0) {
            Some(around) => found.map(|table| around.zoned(table)).transpose().map_err(translate),
            None => Ok(found),
        }
    }

    /// The table as views see it too.
    async fn open_once(
        self: &Arc<Self>,
        schema: &str,
        table: &str,
        depth: usize,
    ) -> Result<Option<Arc<dyn TableProvider>>> {
        let key = (schema.to_string(), table.to_string());
        if let Some(known) = self.opened.read().unwrap_or_else(PoisonError::into_inner).get(&key) {
            return Ok(known.clone());
        }
        let mut opened = self.open_whole(schema, table, depth).await;
        if self.access.is_limited() {
            opened = access::guarded(&self.access, schema, table, opened, &self.base);
        }
        let provider = opened?;
        self.opened.write().unwrap_or_else(PoisonError::into_inner).insert(key, provider.clone());
        Ok(provider)
    }

    async fn open_whole(
        self: &Arc<Self>,
        schema: &str,
        table: &str,
        depth: usize,
    ) -> Result<Option<Arc<dyn TableProvider>>> {
        match self.resolve(schema, table).await? {
            Some(resolved) => self.provider(&format!("{schema}.{table}"), resolved, depth).await.map(Some),
            None => Ok(None),
        }
    }

    /// The first table of this name along the path of an unqualified name.
    fn on_path<'a>(
        self: &'a Arc<Self>,
        table: &'a str,
        around: &'a Surroundings,
    ) -> BoxFuture<'a, Result<Option<Arc<dyn TableProvider>>>> {
        Box::pin(async move {
            for schema in around.search_path.iter().filter(|schema| *schema != LOCAL) {
                if let Some(found) = self.open(schema, table, 0).await? {
                    return Ok(Some(found));
                }
            }
            Ok(None)
        })
    }

    /// Whether an unqualified name that was opened is a table of the lake, not one of what is around it or of the session.
    pub(crate) fn is_on_path(self: &Arc<Self>, table: &str) -> bool {
        let Some(around) = &self.around else { return false };
        if self.local.read().unwrap_or_else(PoisonError::into_inner).contains_key(table) {
            return false;
        }
        let opened = self.opened.read().unwrap_or_else(PoisonError::into_inner);
        for schema in &around.search_path {
            if around.has(schema) {
                if around.table(schema, table, &Listing { names: self.clone() }).is_some() {
                    return false;
                }
            } else if matches!(opened.get(&(schema.clone(), table.to_string())), Some(Some(_))) {
                return true;
            }
        }
        false
    }

    async fn resolve(&self, schema: &str, table: &str) -> Result<Option<Resolved>> {
        if schema == STAGED {
            return match staged_name(table) {
                Some(name) => self.tables.staged(&name).await,
                None => Ok(None),
            };
        }
        let Ok(tier) = schema.parse::<Tier>() else { return Ok(None) };
        let (base, pin) = match timetravel::split_pin(table) {
            Some((base, pin)) => (base, Some(pin)),
            None => (table, None),
        };
        let Ok(name) = TableName::new(tier, base) else { return Ok(None) };
        match pin {
            None => self.tables.table(&name).await,
            Some(pin) => self.tables.pinned(&name, &pin).await,
        }
    }

    async fn provider(
        self: &Arc<Self>,
        name: &str,
        resolved: Resolved,
        depth: usize,
    ) -> Result<Arc<dyn TableProvider>> {
        match resolved {
            Resolved::Provider(provider) => Ok(provider),
            Resolved::Latest { raw, rule, at } => {
                self.lake.latest_provider(&raw, &rule, at, &self.base).await
            }
            Resolved::View { sql } => {
                // A view reads with its owner's rights.
                let names = self.owner.as_ref().unwrap_or(self);
                view(names.clone(), name, &sql, depth).await
            }
            Resolved::ViewAt { sql, tables } => {
                let then = Names::new(self.lake.clone(), self.base.clone(), tables, self.now, self.zone);
                view(Arc::new(then), name, &sql, depth).await
            }
            Resolved::Snapshot { snapshot, until, schema } => {
                let until = until.and_then(|until| arrived_by(&snapshot, until));
                let schema = schema.filter(|schema| **schema != *snapshot.schema);
                let whole = self.lake.provider(snapshot)?;
                if schema.is_none() && until.is_none() {
                    return Ok(whole);
                }
                narrowed(whole, until, schema).map_err(translate)
            }
        }
    }

    /// Lists every schema, once: only statements about the catalog itself need it.
    pub(crate) async fn list(&self) -> Result<()> {
        if self.listed.get().is_some() {
            return Ok(());
        }
        let mut listed = BTreeMap::new();
        for tier in Tier::ALL {
            listed.insert(tier.to_string(), self.tables.names(tier).await?);
        }
        let staged = self.tables.staged_names().await?;
        listed.insert(STAGED.to_string(), staged.iter().map(staged_table).collect());
        // Whoever was first has listed the same.
        let _ = self.listed.set(listed);
        Ok(())
    }
}

/// `sanitized_flights` in schema `staged`.
pub(crate) fn staged_table(name: &TableName) -> String {
    format!("{}_{}", name.tier, name.table)
}

/// The inverse of [`staged_table`].
pub(crate) fn staged_name(table: &str) -> Option<TableName> {
    let (tier, table) = table.split_once('_')?;
    TableName::new(tier.parse().ok()?, table).ok()
}

/// A view's SQL, planned with the names of `names`. Boxed, because views stand on views.
fn view<'a>(
    names: Arc<Names>,
    name: &'a str,
    sql: &'a str,
    depth: usize,
) -> BoxFuture<'a, Result<Arc<dyn TableProvider>>> {
    Box::pin(async move {
        if depth >= DEPTH {
            return Err(Error::project(format!(
                "the view `{name}` stands on more than {DEPTH} views, or on itself"
            ))
            .hint("materialise one of them as a table"));
        }
        // A task of its own has a stack of its own: views on views must not add up.
        let text = sql.to_string();
        let planned = SpawnedTask::spawn(async move { plan_in(&names, &text, depth + 1).await });
        let planned = planned
            .join()
            .await
            .map_err(|error| Error::internal(format!("planning the view `{name}` died")).caused_by(error))?;
        let plan = planned.map_err(|error| {
            // The innermost view is the one to mend.
            if error.message().starts_with(VIEW_FAILS) {
                return error;
            }
            // Places in a stored view mean nothing to who reads the outer statement.
            let mut explained =
                Error::new(error.kind(), format!("{VIEW_FAILS}`{name}` cannot be read: {}", error.message()));
            if let Some(hint) = error.hint_text() {
                explained = explained.hint(hint);
            }
            explained.caused_by(error)
        })?;
        Ok(Arc::new(ViewTable::new(plan, Some(sql.to_string()))) as Arc<dyn TableProvider>)
    })
}

/// A table with fewer rows (arrival at or before an instant) and other columns (absent ones are null).
fn narrowed(
    whole: Arc<dyn TableProvider>,
    until: Option<(&str, Instant)>,
    schema: Option<arrow::datatypes::SchemaRef>,
) -> EngineResult<Arc<dyn TableProvider>> {
    let present = whole.schema();
    let mut plan = LogicalPlanBuilder::scan("rows", provider_as_source(whole), None)?;
    if let Some((arrival, until)) = until {
        let limit = ScalarValue::TimestampMicrosecond(Some(until.as_micros()), Some("UTC".into()));
        plan = plan.filter(ident(arrival).lt_eq(lit(limit)))?;
    }
    if let Some(schema) = schema {
        let columns: Vec<Expr> = schema
            .fields()
            .iter()
            .map(|field| match present.column_with_name(field.name()) {
                Some((_, now)) if now.data_type() == field.data_type() => ident(field.name()),
                // Types only ever widen, and the engine may read text as views: today's type is the safer one.
                Some(_) => ident(field.name()),
                None => cast(lit(ScalarValue::Null), field.data_type().clone()).alias(field.name()),
            })
            .collect();
        plan = plan.project(columns)?;
    }
    Ok(Arc::new(ViewTable::new(unqualified(plan.build()?)?, None)))
}

/// The same rows, their columns without a table's name.
pub(crate) fn unqualified(plan: LogicalPlan) -> EngineResult<LogicalPlan> {
    let columns: Vec<Expr> = plan
        .schema()
        .columns()
        .into_iter()
        .map(|column| {
            let name = column.name.clone();
            Expr::Column(column).alias(name)
        })
        .collect();
    LogicalPlanBuilder::from(plan).project(columns)?.build()
}

/// An empty table.
pub(crate) fn empty(schema: arrow::datatypes::SchemaRef) -> EngineResult<Arc<dyn TableProvider>> {
    Ok(Arc::new(MemTable::try_new(schema, vec![vec![]])?))
}

/// The catalog at one depth of views.
#[derive(Debug, Clone)]
pub(crate) struct Catalog {
    pub(crate) names: Arc<Names>,
    pub(crate) depth: usize,
}

impl CatalogProviderList for Catalog {
    fn register_catalog(
        &self,
        _name: String,
        _catalog: Arc<dyn CatalogProvider>,
    ) -> Option<Arc<dyn CatalogProvider>> {
        None
    }

    fn catalog_names(&self) -> Vec<String> {
        vec![CATALOG.to_string()]
    }

    fn catalog(&self, name: &str) -> Option<Arc<dyn CatalogProvider>> {
        (name == CATALOG).then(|| Arc::new(self.clone()) as _)
    }
}

impl CatalogProvider for Catalog {
    fn schema_names(&self) -> Vec<String> {
        let all = Tier::ALL.iter().map(|tier| tier.as_str()).chain([STAGED]);
        all.filter(|schema| self.names.access.may_read_some(schema)).map(str::to_string).collect()
    }

    fn schema(&self, name: &str) -> Option<Arc<dyn SchemaProvider>> {
        let around = self.names.around.as_ref().filter(|_| self.depth == 0);
        let known = name == LOCAL
            || around.is_some_and(|around| around.has(name))
            || self.schema_names().iter().any(|schema| schema == name);
        known.then(|| Arc::new(Schema { catalog: self.clone(), schema: name.to_string() }) as _)
    }
}

#[derive(Debug)]
struct Schema {
    catalog: Catalog,
    schema: String,
}

#[async_trait]
impl SchemaProvider for Schema {
    /// Empty until the names were listed, which [`plan_in`] does for statements about the catalog.
    fn table_names(&self) -> Vec<String> {
        let listed = self.catalog.names.listed.get();
        listed.and_then(|listed| listed.get(&self.schema)).cloned().unwrap_or_default()
    }

    /// Tables that a statement names were opened before it was planned, with their errors told. What is asked for
    /// beyond them is the listing of all columns, which one broken table must not spoil.
    async fn table(&self, name: &str) -> EngineResult<Option<Arc<dyn TableProvider>>> {
        match self.catalog.names.open(&self.schema, name, self.catalog.depth).await {
            Ok(table) => Ok(table),
            Err(error) => {
                tracing::warn!(schema = self.schema, table = name, %error, "a table is left out of the catalog");
                Ok(None)
            }
        }
    }

    async fn table_type(&self, name: &str) -> EngineResult<Option<TableType>> {
        let Ok(tier) = self.schema.parse::<Tier>() else { return Ok(Some(TableType::Base)) };
        let Ok(name) = TableName::new(tier, name) else { return Ok(None) };
        let is_view = self.catalog.names.tables.is_view(&name).await.map_err(external)?;
        Ok(Some(if is_view { TableType::View } else { TableType::Base }))
    }

    fn table_exist(&self, name: &str) -> bool {
        self.table_names().iter().any(|table| table == name)
    }
}
