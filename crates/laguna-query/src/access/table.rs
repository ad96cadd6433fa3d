//! A table of which something is kept back: masks and row rules below everything that a statement asks for.
//!
//! The rules are a plan over the whole table: rows first, then masks. A statement's own conditions stand above it, and only
//! those that can neither fail nor be watched go below. What runs is one step without children, so that no optimizer,
//! statistic, metric or EXPLAIN reaches what lies beneath.

use std::any::Any;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, Result as EngineResult, TableReference, project_schema};
use datafusion::datasource::{provider_as_source, source_as_provider};
use datafusion::execution::context::SessionState;
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{
    Expr, LogicalPlan, LogicalPlanBuilder, Operator, TableProviderFilterPushDown, TableType, lit,
};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::scalar::ScalarValue;
use laguna_base::{Error, ErrorKind, Result, TableName, Tier, suggest};

use super::exec::{GuardExec, hidden};
use super::{Access, Limits, TableRules, rows, system};
use crate::catalog::{STAGED, VIEW_FAILS, staged_name};
use crate::{timetravel, translate};

/// What `schema.table` is to a reader with `access`, who may read it: `opened` itself, or behind its rules.
pub(crate) fn guarded(
    access: &Access,
    schema: &str,
    table: &str,
    opened: Result<Option<Arc<dyn TableProvider>>>,
    state: &SessionState,
) -> Result<Option<Arc<dyn TableProvider>>> {
    let Some(limits) = &access.0 else { return opened };
    let base = timetravel::base_name(table);
    let label = format!("{schema}.{base}");
    let provider = match opened {
        Ok(Some(provider)) => provider,
        Ok(None) => return Ok(None),
        Err(error) => return Err(without_names(&label, error)),
    };
    let name = match schema {
        STAGED => staged_name(table),
        _ => schema.parse().ok().and_then(|tier| TableName::new(tier, base).ok()),
    };
    let Some(name) = name else { return Ok(None) };
    let mut rules = limits.rules.get(&name).cloned().unwrap_or_default();
    let system = match name.tier {
        Tier::System if !limits.is_whole() => match system::rule(&name.table) {
            Some(rule) => {
                rules.masks.extend(rule.masks.iter().map(|column| column.to_string()));
                rule.conditions(limits)
            }
            None => return Ok(None),
        },
        _ => Vec::new(),
    };
    let is_open = rules.masks.is_empty() && rules.rows.is_empty() && system.is_empty();
    // A plan of its own, as that of a view, may read what the reader may not even know of.
    if is_open && provider.get_logical_plan().is_none() {
        return Ok(Some(provider));
    }
    let table_type = provider.table_type();
    let plan = plan(limits, &label, base, provider, &rules, system, state)?;
    let schema = plan.schema().inner().clone();
    Ok(Some(Arc::new(GuardedTable { label: label.into(), plan, schema, table_type })))
}

/// An error of opening a table that may be about other tables, without what it says of them.
fn without_names(label: &str, error: Error) -> Error {
    if error.kind() == ErrorKind::Project && !error.message().starts_with(VIEW_FAILS) {
        return error;
    }
    tracing::warn!(table = label, %error, causes = ?error.causes(), "a table cannot be opened for a role");
    Error::new(error.kind(), format!("`{label}` cannot be read"))
        .hint("whoever looks after the lake sees why on the command line")
}

/// The whole table behind its rules: rows first, then masks.
fn plan(
    limits: &Limits,
    label: &str,
    table: &str,
    provider: Arc<dyn TableProvider>,
    rules: &TableRules,
    system: Vec<Expr>,
    state: &SessionState,
) -> Result<LogicalPlan> {
    // Types of a view's columns are settled only by the analyzer.
    let settled =
        |plan| state.analyzer().execute_and_check(plan, state.config_options(), |_, _| {}).map_err(translate);
    let whole = LogicalPlanBuilder::scan(TableReference::bare(table), provider_as_source(provider), None)
        .and_then(LogicalPlanBuilder::build)
        .map_err(translate)
        .and_then(settled)
        .map_err(|error| without_names(label, error))?;
    let names: Vec<&str> = whole.schema().fields().iter().map(|field| field.name().as_str()).collect();
    for mask in &rules.masks {
        if !names.iter().any(|name| name.to_lowercase() == *mask) {
            return Err(Error::project(format!(
                "`{label}` cannot be read: it has no column `{mask}`, which is hidden from the role `{}`",
                limits.role
            ))
            .hint(match suggest::nearest(mask, &names) {
                Some(near) => {
                    format!("`mask` of the role says which columns are hidden; did it mean `{near}`?")
                }
                None => "`mask` of the role must say which of today's columns are hidden".to_string(),
            }));
        }
    }
    let wrong_rule = |error: Error| {
        let refused = Error::project(format!(
            "`{label}` cannot be read: the rule for its rows does not fit it: {}",
            error.message()
        ));
        match error.hint_text() {
            Some(hint) => refused.hint(hint),
            None => refused.hint("`rows` of the role is a condition over the table's own columns"),
        }
    };
    let mut conditions = system;
    for text in &rules.rows {
        conditions.push(rows::planned(text, whole.schema(), state).map_err(wrong_rule)?);
    }
    let columns: Vec<Expr> = whole
        .schema()
        .iter()
        .map(|(qualifier, field)| {
            let value = match rules.masks.contains(&field.name().to_lowercase()) {
                true => lit(ScalarValue::try_new_null(field.data_type())?),
                false => Expr::Column(Column::from((qualifier, field))),
            };
            Ok(value.alias(field.name()))
        })
        .collect::<EngineResult<_>>()
        .map_err(translate)?;
    let mut plan = LogicalPlanBuilder::from(whole);
    if let Some(condition) = conjunction(conditions) {
        plan = plan.filter(condition).map_err(translate)?;
    }
    let plan = plan.project(columns).and_then(LogicalPlanBuilder::build).map_err(translate)?;
    settled(plan).map_err(wrong_rule)
}

/// See the top of this file.
struct GuardedTable {
    label: Arc<str>,
    plan: LogicalPlan,
    schema: SchemaRef,
    table_type: TableType,
}

impl std::fmt::Debug for GuardedTable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GuardedTable").field("table", &self.label).finish_non_exhaustive()
    }
}

#[async_trait]
impl TableProvider for GuardedTable {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        self.table_type
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> EngineResult<Vec<TableProviderFilterPushDown>> {
        let can = |filter: &&Expr| match is_harmless(filter, &self.schema) {
            true => TableProviderFilterPushDown::Inexact,
            false => TableProviderFilterPushDown::Unsupported,
        };
        Ok(filters.iter().map(can).collect())
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> EngineResult<Arc<dyn ExecutionPlan>> {
        let mut plan = LogicalPlanBuilder::from(self.plan.clone());
        let below = filters.iter().filter(|filter| is_harmless(filter, &self.schema));
        if let Some(filter) = conjunction(below.map(unqualified).collect::<EngineResult<Vec<_>>>()?) {
            plan = plan.filter(filter)?;
        }
        if let Some(columns) = projection {
            plan = plan.select(columns.iter().copied())?;
        }
        if limit.is_some() {
            plan = plan.limit(0, limit)?;
        }
        let inner =
            state.create_physical_plan(&plan.build()?).await.map_err(|error| hidden(&self.label, error))?;
        Ok(Arc::new(GuardExec::new(self.label.clone(), project_schema(&self.schema, projection)?, inner)))
    }
}

/// Whether a condition can be asked of rows that the reader may not see, because it neither fails on any value nor does
/// anything that could be watched: comparisons of columns with values of their own type, and what joins them.
fn is_harmless(condition: &Expr, schema: &SchemaRef) -> bool {
    let column = |part: &Expr| match part {
        Expr::Column(column) => {
            schema.field_with_name(&column.name).ok().map(|field| field.data_type().clone())
        }
        _ => None,
    };
    let value_like = |part: &Expr, of: &Expr| match (part, column(of)) {
        (Expr::Literal(value, _), Some(data_type)) => value.data_type() == data_type,
        _ => false,
    };
    match condition {
        Expr::IsNull(of) | Expr::IsNotNull(of) => column(of).is_some(),
        Expr::Not(of) => is_harmless(of, schema),
        Expr::Between(between) => {
            value_like(&between.low, &between.expr) && value_like(&between.high, &between.expr)
        }
        Expr::InList(list) => list.list.iter().all(|value| value_like(value, &list.expr)),
        Expr::BinaryExpr(binary) => match binary.op {
            Operator::And | Operator::Or => {
                is_harmless(&binary.left, schema) && is_harmless(&binary.right, schema)
            }
            Operator::Eq
            | Operator::NotEq
            | Operator::Lt
            | Operator::LtEq
            | Operator::Gt
            | Operator::GtEq => {
                value_like(&binary.right, &binary.left) || value_like(&binary.left, &binary.right)
            }
            _ => false,
        },
        _ => false,
    }
}

/// The condition with the columns of the guarded plan, which belong to no table.
fn unqualified(condition: &Expr) -> EngineResult<Expr> {
    let bare = condition.clone().transform(|part| {
        Ok(match part {
            Expr::Column(column) => Transformed::yes(Expr::Column(Column::new_unqualified(column.name))),
            other => Transformed::no(other),
        })
    })?;
    Ok(bare.data)
}

/// The plans that lie behind the guarded tables of `plan`: what a statement reads beyond what its own plan shows, for
/// programs that must know all of it, such as a cache of results. Nothing of them may be shown to the reader.
pub fn plans_below(plan: &LogicalPlan) -> Vec<LogicalPlan> {
    let mut found = Vec::new();
    // The closure never fails, so neither does the walk.
    let _ = plan.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node
            && let Ok(provider) = source_as_provider(&scan.source)
            && let Some(table) = (provider.as_ref() as &dyn Any).downcast_ref::<GuardedTable>()
        {
            found.push(table.plan.clone());
        }
        Ok(TreeNodeRecursion::Continue)
    });
    found
}
