//! What a column is made of: the columns of tables that reach it through a statement's plan.
//!
//! The plan is walked as it was planned, before any optimisation moves or drops expressions. Views and other tables
//! that the planner has put in whole count as tables: whose own columns they are made of is a question about them.

use std::collections::{BTreeSet, HashMap};

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, TableReference};
use datafusion::logical_expr::utils::grouping_set_to_exprlist;
use datafusion::logical_expr::{Distinct, Expr, JoinType, LogicalPlan, Subquery};
use laguna_base::{TableName, Tier};

use crate::base_name;

/// One column of one table of the lake.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Origin {
    /// The table.
    pub table: TableName,
    /// The column's name.
    pub column: String,
}

/// Origins of the columns of one statement.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lineage {
    /// Each column of the result, in order, with the columns that its values are computed from.
    pub columns: Vec<(String, BTreeSet<Origin>)>,
    /// Columns that decide which rows there are: conditions of joins and filters, grouping of rows that are left out.
    pub conditions: BTreeSet<Origin>,
}

/// The origins of every column of `plan`, a plan of [`crate::Session::plan`].
pub fn lineage(plan: &LogicalPlan) -> Lineage {
    let mut walk = Walk::default();
    let origins = walk.plan(plan);
    let names = plan.schema().fields().iter().map(|field| field.name().clone());
    Lineage { columns: names.zip(origins).collect(), conditions: walk.conditions }
}

type Origins = BTreeSet<Origin>;

/// Rows around a subquery: their columns with origins.
type Scope = (DFSchema, Vec<Origins>);

/// Working tables of recursive queries settle within as many rounds as they have columns; this many are looked at.
const ROUNDS: usize = 32;

#[derive(Default)]
struct Walk {
    conditions: Origins,
    /// Rows around the subquery that is looked at, the nearest last.
    outer: Vec<Scope>,
    /// Working tables of the recursive queries around, by name.
    working: HashMap<String, Vec<Origins>>,
}

impl Walk {
    /// The origins of each column of `plan`.
    fn plan(&mut self, plan: &LogicalPlan) -> Vec<Origins> {
        match plan {
            LogicalPlan::TableScan(scan) => {
                let names = scan.projected_schema.fields().iter().map(|field| field.name());
                if let Some(table) = table_of(&scan.table_name) {
                    return names.map(|name| one(&table, name)).collect();
                }
                let width = scan.projected_schema.fields().len();
                match self.working.get(scan.table_name.table()) {
                    Some(columns) if columns.len() == width => columns.clone(),
                    _ => vec![Origins::new(); width],
                }
            }
            LogicalPlan::SubqueryAlias(alias) => match table_of(&alias.alias) {
                Some(table) => alias.schema.fields().iter().map(|field| one(&table, field.name())).collect(),
                None => self.plan(&alias.input),
            },
            LogicalPlan::Projection(projection) => {
                let scope = self.scope(&projection.input);
                projection.expr.iter().map(|expression| self.expression(expression, &scope)).collect()
            }
            LogicalPlan::Aggregate(aggregate) => {
                let scope = self.scope(&aggregate.input);
                let groups = match grouping_set_to_exprlist(&aggregate.group_expr) {
                    Ok(groups) => groups.into_iter().cloned().collect(),
                    Err(_) => aggregate.group_expr.clone(),
                };
                let mut columns: Vec<Origins> =
                    groups.iter().map(|group| self.expression(group, &scope)).collect();
                // Grouping sets have a column of their own that tells them apart.
                let width = aggregate.schema.fields().len();
                columns.resize(width.saturating_sub(aggregate.aggr_expr.len()), Origins::new());
                columns.extend(aggregate.aggr_expr.iter().map(|number| self.expression(number, &scope)));
                columns
            }
            LogicalPlan::Window(window) => {
                let scope = self.scope(&window.input);
                let own: Vec<Origins> =
                    window.window_expr.iter().map(|expression| self.expression(expression, &scope)).collect();
                scope.1.into_iter().chain(own).collect()
            }
            LogicalPlan::Filter(filter) => {
                let scope = self.scope(&filter.input);
                let deciding = self.expression(&filter.predicate, &scope);
                self.conditions.extend(deciding);
                scope.1
            }
            LogicalPlan::Join(join) => {
                let (left, right) = (self.scope(&join.left), self.scope(&join.right));
                for (a, b) in &join.on {
                    let deciding = [self.expression(a, &left), self.expression(b, &right)];
                    self.conditions.extend(deciding.into_iter().flatten());
                }
                let both = (
                    left.0.join(&right.0).unwrap_or_else(|_| left.0.clone()),
                    left.1.iter().chain(&right.1).cloned().collect::<Vec<_>>(),
                );
                if let Some(filter) = &join.filter {
                    let deciding = self.expression(filter, &both);
                    self.conditions.extend(deciding);
                }
                match join.join_type {
                    JoinType::LeftSemi | JoinType::LeftAnti => left.1,
                    JoinType::RightSemi | JoinType::RightAnti => right.1,
                    JoinType::LeftMark => left.1.into_iter().chain([Origins::new()]).collect(),
                    JoinType::RightMark => right.1.into_iter().chain([Origins::new()]).collect(),
                    _ => both.1,
                }
            }
            LogicalPlan::Union(union) => {
                let mut columns = vec![Origins::new(); union.schema.fields().len()];
                for input in &union.inputs {
                    for (column, more) in columns.iter_mut().zip(self.plan(input)) {
                        column.extend(more);
                    }
                }
                columns
            }
            LogicalPlan::Distinct(Distinct::On(distinct)) => {
                let scope = self.scope(&distinct.input);
                let on: Vec<Origins> =
                    distinct.on_expr.iter().map(|expression| self.expression(expression, &scope)).collect();
                self.conditions.extend(on.into_iter().flatten());
                distinct.select_expr.iter().map(|expression| self.expression(expression, &scope)).collect()
            }
            LogicalPlan::Unnest(unnest) => {
                let input = self.plan(&unnest.input);
                let origin = |index: &usize| input.get(*index).cloned().unwrap_or_default();
                unnest.dependency_indices.iter().map(origin).collect()
            }
            LogicalPlan::RecursiveQuery(query) => {
                let mut columns = self.plan(&query.static_term);
                let hidden = self.working.insert(query.name.clone(), columns.clone());
                for _ in 0..ROUNDS {
                    let before = columns.clone();
                    for (column, more) in columns.iter_mut().zip(self.plan(&query.recursive_term)) {
                        column.extend(more);
                    }
                    if columns == before {
                        break;
                    }
                    self.working.insert(query.name.clone(), columns.clone());
                }
                match hidden {
                    Some(hidden) => drop(self.working.insert(query.name.clone(), hidden)),
                    None => drop(self.working.remove(&query.name)),
                }
                columns
            }
            LogicalPlan::Subquery(subquery) => self.plan(&subquery.subquery),
            other => self.any(other),
        }
    }

    /// Nodes that hand on what comes in: sorting, limits, distinct rows. What is not known takes all from everywhere.
    fn any(&mut self, plan: &LogicalPlan) -> Vec<Origins> {
        let width = plan.schema().fields().len();
        let inputs: Vec<Vec<Origins>> = plan.inputs().into_iter().map(|input| self.plan(input)).collect();
        match inputs.as_slice() {
            [only] if only.len() == width => only.clone(),
            _ => vec![inputs.into_iter().flatten().flatten().collect(); width],
        }
    }

    fn scope(&mut self, plan: &LogicalPlan) -> Scope {
        (plan.schema().as_ref().clone(), self.plan(plan))
    }

    /// The columns that the value of `expression` over rows of `scope` is computed from.
    fn expression(&mut self, expression: &Expr, scope: &Scope) -> Origins {
        let mut origins = Origins::new();
        // The closure never fails, so neither does the walk.
        let _ = expression.apply(|part| {
            match part {
                Expr::Column(column) => origins.extend(find(column, scope)),
                Expr::OuterReferenceColumn(_, column) => {
                    origins.extend(
                        self.outer.iter().rev().find_map(|scope| found(column, scope)).unwrap_or_default(),
                    );
                }
                Expr::ScalarSubquery(subquery) => origins.extend(self.subquery(subquery, scope)),
                Expr::InSubquery(inside) => origins.extend(self.subquery(&inside.subquery, scope)),
                Expr::Exists(exists) => {
                    let deciding = self.subquery(&exists.subquery, scope);
                    self.conditions.extend(deciding);
                }
                _ => {}
            }
            Ok(TreeNodeRecursion::Continue)
        });
        origins
    }

    /// The columns that a subquery of an expression over `scope` answers with.
    fn subquery(&mut self, subquery: &Subquery, scope: &Scope) -> Origins {
        self.outer.push(scope.clone());
        let columns = self.plan(&subquery.subquery);
        self.outer.pop();
        columns.into_iter().flatten().collect()
    }
}

fn one(table: &TableName, column: &str) -> Origins {
    BTreeSet::from([Origin { table: table.clone(), column: column.to_string() }])
}

fn find(column: &Column, scope: &Scope) -> Origins {
    found(column, scope).unwrap_or_default()
}

fn found(column: &Column, (schema, origins): &Scope) -> Option<Origins> {
    origins.get(schema.maybe_index_of_column(column)?).cloned()
}

/// The table of the lake that a plan calls `name`; what a statement names itself has no schema.
fn table_of(name: &TableReference) -> Option<TableName> {
    let tier: Tier = name.schema()?.parse().ok()?;
    TableName::new(tier, base_name(name.table())).ok()
}

#[cfg(test)]
mod tests;
