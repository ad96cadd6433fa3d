//! Selects from the catalog's empty tables, and subqueries that stand for a value or an array.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::*;

use super::{catalog, last_name, sql};

/// Whether a select reads a table of the catalog that never has rows in such a way that it has none either.
pub(super) fn reads_nothing(select: &Select) -> bool {
    let factor = |factor: &TableFactor| match factor {
        TableFactor::Table { name, args: None, .. } => catalog::is_empty(&last_name(name)),
        TableFactor::Derived { subquery, .. } => match subquery.body.as_ref() {
            SetExpr::Select(select) => reads_nothing(select),
            _ => false,
        },
        _ => false,
    };
    select.from.iter().any(|table| {
        let inner = |join: &Join| {
            matches!(
                join.join_operator,
                JoinOperator::Join(_) | JoinOperator::Inner(_) | JoinOperator::CrossJoin(_)
            ) && factor(&join.relation)
        };
        factor(&table.relation) || table.joins.iter().any(inner)
    })
}

pub(super) fn mentions(expr: &Expr, names: &[&str]) -> bool {
    visit_expressions(expr, |part: &Expr| {
        let found = match part {
            Expr::Function(function) => names.contains(&last_name(&function.name).as_str()),
            Expr::Subquery(_) => names.contains(&"("),
            _ => false,
        };
        if found { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })
    .is_break()
}

const AGGREGATES: [&str; 8] = ["count", "sum", "min", "max", "avg", "array_agg", "string_agg", "json_agg"];

/// `ARRAY(SELECT …)`.
pub(super) fn array_of(query: &Query) -> Expr {
    let empty = || sql("CAST(ARRAY[] AS TEXT[])");
    let mut query = query.clone();
    let SetExpr::Select(select) = query.body.as_mut() else { return empty() };
    // What is made of a column's own array is empty where the catalog has no arrays.
    let is_table = |table: &TableWithJoins| {
        matches!(table.relation, TableFactor::Table { args: None, .. } | TableFactor::Derived { .. })
    };
    if reads_nothing(select) || !select.from.iter().all(is_table) {
        return empty();
    }
    query.order_by = None;
    match select.projection.as_mut_slice() {
        [SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. }] => {
            *expr = sql(&format!("array_agg({expr})"));
            Expr::Subquery(Box::new(query))
        }
        _ => empty(),
    }
}

/// A null of the type of a subquery that is never asked: the oids or names of something, or one oid.
pub(super) fn nothing_like(result: &Expr) -> Expr {
    let Expr::Subquery(query) = result else { return result.clone() };
    let written = query.to_string().to_lowercase();
    sql(match (written.contains("array_agg("), written.contains("::text")) {
        (true, true) => "CAST(NULL AS TEXT[])",
        (true, false) => "CAST(NULL AS OID[])",
        _ => "CAST(NULL AS OID)",
    })
}

/// A subquery that stands for one value: the engine wants to see that it is one.
pub(super) fn subquery(query: &mut Query) -> Option<Expr> {
    let SetExpr::Select(select) = query.body.as_mut() else { return None };
    let [SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. }] =
        select.projection.as_mut_slice()
    else {
        return None;
    };
    if mentions(expr, &AGGREGATES) {
        return None;
    }
    let expr = expr.clone();
    if reads_nothing(select) {
        return Some(match mentions(&expr, &["json_build_object"]) {
            // What is nested is told as json.
            true => sql("CASE WHEN false THEN named_struct('x', 1) END"),
            false => sql("CAST(NULL AS TEXT)"),
        });
    }
    if query.limit_clause.is_none() && select.selection.is_some() && !select.from.is_empty() {
        select.projection = vec![SelectItem::UnnamedExpr(sql(&format!("max({expr})")))];
    }
    None
}
