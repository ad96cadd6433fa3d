//! `x NOT IN (SELECT y …)`: no row whose `y` is `x`, or may be, because one of them is null.
//!
//! The engine makes it an anti join, which is right for a plain column and a subquery by itself; where the subquery asks the tables
//! around it, within an OR, and for other values it keeps rows whose `x` or `y`s are null, or refuses. There it is written out:
//! nothing is equal, nothing is null, and if `x` is null there is nothing at all.

use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, ExprSchema, Result};
use datafusion::logical_expr::expr::{Exists, InSubquery};
use datafusion::logical_expr::{
    BinaryExpr, Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder, Operator, Subquery,
};
use datafusion::optimizer::AnalyzerRule;

/// Says so.
#[derive(Debug)]
pub(crate) struct Absent;

impl AnalyzerRule for Absent {
    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        let changed = plan.transform_up_with_subqueries(|node| {
            let LogicalPlan::Filter(filter) = &node else { return Ok(Transformed::no(node)) };
            let schema = filter.input.schema().clone();
            node.map_expressions(|condition| in_condition(condition, &schema, true))
        });
        Ok(changed?.data)
    }

    fn name(&self) -> &str {
        "absent"
    }
}

/// Changes the parts of a condition that must be true; `alone` are those that all must be.
fn in_condition(condition: Expr, schema: &DFSchema, alone: bool) -> Result<Transformed<Expr>> {
    match condition {
        Expr::BinaryExpr(BinaryExpr { left, op: op @ (Operator::And | Operator::Or), right }) => {
            let alone = alone && op == Operator::And;
            let left = in_condition(*left, schema, alone)?;
            let right = in_condition(*right, schema, alone)?;
            let transformed = left.transformed || right.transformed;
            let both = BinaryExpr::new(Box::new(left.data), op, Box::new(right.data));
            Ok(Transformed::new_transformed(Expr::BinaryExpr(both), transformed))
        }
        Expr::InSubquery(among) if among.negated => Ok(match absent(&among, schema, alone)? {
            Some(exists) => Transformed::yes(exists),
            None => Transformed::no(Expr::InSubquery(among)),
        }),
        Expr::Not(inner) => match *inner {
            Expr::InSubquery(among) if !among.negated => Ok(match absent(&among, schema, alone)? {
                Some(exists) => Transformed::yes(exists),
                None => Transformed::no(Expr::Not(Box::new(Expr::InSubquery(among)))),
            }),
            inner => Ok(Transformed::no(Expr::Not(Box::new(inner)))),
        },
        condition => Ok(Transformed::no(condition)),
    }
}

/// That there is none, written out; `None` where the engine does it rightly.
fn absent(among: &InSubquery, schema: &DFSchema, alone: bool) -> Result<Option<Expr>> {
    let InSubquery { expr: value, subquery, .. } = among;
    let asks = value.exists(|part| {
        Ok(matches!(
            part,
            Expr::ScalarSubquery(_) | Expr::InSubquery(_) | Expr::Exists(_) | Expr::OuterReferenceColumn(..)
        ))
    })?;
    let plain = alone && matches!(value.as_ref(), Expr::Column(_)) && subquery.outer_ref_columns.is_empty();
    let Some(column) = subquery.subquery.schema().columns().into_iter().next() else { return Ok(None) };
    if plain || asks {
        return Ok(None);
    }
    let outside = value.as_ref().clone().transform(|part| match part {
        Expr::Column(column) => {
            let field = schema.field_from_column(&column)?.clone();
            Ok(Transformed::yes(Expr::OuterReferenceColumn(field, column)))
        }
        part => Ok(Transformed::no(part)),
    });
    let outside = outside?.data;
    let inside = Expr::Column(column);
    let by_itself = subquery.outer_ref_columns.is_empty();
    let none = |condition: Option<Expr>| -> Result<Expr> {
        let mut rows = LogicalPlanBuilder::from(subquery.subquery.as_ref().clone());
        let asks = condition.as_ref().is_some_and(Expr::contains_outer);
        if let Some(condition) = condition {
            rows = rows.filter(condition)?;
        }
        // Of what is the same for all rows, one is enough.
        if by_itself && !asks {
            rows = rows.limit(0, Some(1))?;
        }
        let found = Arc::new(rows.build()?);
        let outer_ref_columns = found.all_out_ref_exprs();
        let subquery = Subquery { subquery: found, outer_ref_columns, spans: subquery.spans.clone() };
        Ok(Expr::Exists(Exists { subquery, negated: true }))
    };
    let mut all = none(Some(inside.clone().eq(outside)))?;
    if inside.nullable(subquery.subquery.schema())? {
        all = all.and(none(Some(inside.is_null()))?);
    }
    if value.nullable(schema)? {
        all = all.and(value.as_ref().clone().is_not_null().or(none(None)?));
    }
    Ok(Some(all))
}
