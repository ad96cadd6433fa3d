//! What the clients of a protocol expect around the lake: further schemas, functions and types, and a path along which
//! unqualified names are looked for.

use std::fmt;
use std::sync::{Arc, OnceLock};

use arrow::datatypes::{DataType, SchemaRef};
use chrono_tz::Tz;
use datafusion::catalog::TableProvider;
use datafusion::common::Result as EngineResult;
use datafusion::datasource::{ViewTable, provider_as_source};
use datafusion::execution::FunctionRegistry;
use datafusion::execution::SessionStateBuilder;
use datafusion::execution::context::SessionState;
use datafusion::logical_expr::planner::{ExprPlanner, TypePlanner};
use datafusion::logical_expr::{LogicalPlanBuilder, ScalarUDF, cast, ident};
use laguna_base::{Result, TableName, Tier};

use crate::catalog::{Names, unqualified};
use crate::zones::{DaysBegin, InstantsWin};

/// Schemas beside the lake's, as `pg_catalog`.
pub trait Schemas: Send + Sync + fmt::Debug {
    /// Whether there is a schema of this name. One called `information_schema` takes the place of the engine's.
    fn has(&self, schema: &str) -> bool;

    /// One of their tables; what it shows of the lake it asks `listing`, when it is scanned.
    fn table(&self, schema: &str, table: &str, listing: &Listing) -> Option<Arc<dyn TableProvider>>;
}

/// What is around the lake in every session of one protocol. Built once.
#[derive(Debug)]
pub struct World {
    schemas: Arc<dyn Schemas>,
    functions: Vec<Arc<ScalarUDF>>,
    types: Arc<dyn TypePlanner>,
    operators: Vec<Arc<dyn ExprPlanner>>,
    base: OnceLock<Arc<SessionState>>,
}

impl World {
    /// A world of these schemas, functions, names of types, and what operators mean where that is not what they mean to
    /// the engine.
    pub fn new(
        schemas: Arc<dyn Schemas>,
        functions: Vec<ScalarUDF>,
        types: Arc<dyn TypePlanner>,
        operators: Vec<Arc<dyn ExprPlanner>>,
    ) -> Arc<World> {
        let functions = functions.into_iter().map(Arc::new).collect();
        Arc::new(World { schemas, functions, types, operators, base: OnceLock::new() })
    }

    /// The engine's state with what this world adds: assembled once, so that sessions only clone it.
    pub(crate) fn base(&self, engine: &Arc<SessionState>) -> Arc<SessionState> {
        self.base.get_or_init(|| Arc::new(self.assemble(engine))).clone()
    }

    fn assemble(&self, engine: &Arc<SessionState>) -> SessionState {
        let mut functions: Vec<Arc<ScalarUDF>> = engine.scalar_functions().values().cloned().collect();
        functions.extend(self.functions.iter().cloned());
        let operators = self.operators.iter().chain(engine.expr_planners()).cloned().collect();
        let config = engine.config().clone().with_information_schema(false);
        let mut rules = engine.analyzer().rules.clone();
        rules.insert(0, Arc::new(InstantsWin));
        SessionStateBuilder::new_from_existing(engine.as_ref().clone())
            .with_analyzer_rules(rules)
            .with_config(config)
            .with_scalar_functions(functions)
            .with_type_planner(self.types.clone())
            .with_expr_planners(operators)
            .build()
    }
}

/// The world of one session.
#[derive(Debug, Clone)]
pub struct Surroundings {
    /// What is around.
    pub world: Arc<World>,
    /// Schemas in which unqualified names are looked for, in this order.
    pub search_path: Vec<String>,
    /// Whose clocks and calendar instants follow: where a day begins, which hour it is.
    pub zone: Tz,
    /// Who asks, as the lists show.
    pub user: String,
}

impl Surroundings {
    /// Gives a session's state the zone.
    pub(crate) fn set_clock(&self, state: &mut SessionState) -> EngineResult<()> {
        if self.zone == Tz::UTC {
            return Ok(());
        }
        state.config_mut().options_mut().execution.time_zone = Some(self.zone.name().to_string());
        let options = state.config_options().clone();
        let functions: Vec<_> = state.scalar_functions().values().cloned().collect();
        for function in functions {
            if let Some(zoned) = function.inner().with_updated_config(&options) {
                state.register_udf(Arc::new(zoned))?;
            }
        }
        state.add_analyzer_rule(Arc::new(DaysBegin));
        Ok(())
    }

    /// `table` with its instants in the zone: the same instants, of a type that says so to what cuts and compares them.
    pub(crate) fn zoned(&self, table: Arc<dyn TableProvider>) -> EngineResult<Arc<dyn TableProvider>> {
        let schema = table.schema();
        let is_instant = |data_type: &DataType| matches!(data_type, DataType::Timestamp(_, Some(_)));
        if self.zone == Tz::UTC || !schema.fields().iter().any(|field| is_instant(field.data_type())) {
            return Ok(table);
        }
        let columns = schema.fields().iter().map(|field| match field.data_type() {
            DataType::Timestamp(unit, Some(_)) => {
                let zoned = DataType::Timestamp(*unit, Some(self.zone.name().into()));
                cast(ident(field.name()), zoned).alias(field.name())
            }
            _ => ident(field.name()),
        });
        let columns: Vec<_> = columns.collect();
        let scan = LogicalPlanBuilder::scan("rows", provider_as_source(table), None)?;
        let plan = unqualified(scan.project(columns)?.build()?)?;
        Ok(Arc::new(ViewTable::new(plan, None)))
    }

    pub(crate) fn has(&self, schema: &str) -> bool {
        self.world.schemas.has(schema)
    }

    pub(crate) fn table(
        &self,
        schema: &str,
        table: &str,
        listing: &Listing,
    ) -> Option<Arc<dyn TableProvider>> {
        self.world.schemas.table(schema, table, listing)
    }
}

/// The lake as the reader of a session may list it.
#[derive(Debug, Clone)]
pub struct Listing {
    pub(crate) names: Arc<Names>,
}

impl Listing {
    /// Who asks.
    pub fn user(&self) -> &str {
        self.names.around.as_ref().map_or("", |around| &around.user)
    }

    /// The tables of one tier, and which of them are views.
    pub async fn tables(&self, tier: Tier) -> EngineResult<Vec<(TableName, bool)>> {
        self.of(tier).await.map_err(crate::errors::external)
    }

    async fn of(&self, tier: Tier) -> Result<Vec<(TableName, bool)>> {
        let mut tables = Vec::new();
        for table in self.names.tables.names(tier).await? {
            let Ok(name) = TableName::new(tier, table) else { continue };
            let is_view = self.names.tables.is_view(&name).await?;
            tables.push((name, is_view));
        }
        Ok(tables)
    }

    /// The columns of a table; `None` when it is not there, or cannot be opened: one broken table must not spoil the list.
    pub async fn columns(&self, name: &TableName) -> Option<SchemaRef> {
        match self.names.open(name.tier.as_str(), &name.table, 0).await {
            Ok(table) => table.map(|table| table.schema()),
            Err(error) => {
                tracing::warn!(table = %name, %error, "a table is left out of the catalog");
                None
            }
        }
    }
}
