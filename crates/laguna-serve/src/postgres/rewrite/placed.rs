//! Subqueries in places where the engine takes none: conditions of joins, what rows are ordered by, and beside DISTINCT ON.

use datafusion::sql::sqlparser::ast::*;

use super::headers::{is_same, output_name};
use super::select::{AGGREGATES, mentions, visits_subquery};
use super::{relations, sql};

/// Puts them where it takes them.
pub(super) fn apply(query: &mut Query) {
    if let SetExpr::Select(select) = query.body.as_mut() {
        joined(select);
    }
    ordered(query);
    limited(query);
}

/// The subqueries in the conditions of inner joins are conditions of the rows.
fn joined(select: &mut Select) {
    for table in &mut select.from {
        let keeps = |join: &Join| {
            !matches!(
                join.join_operator,
                JoinOperator::Right(_) | JoinOperator::RightOuter(_) | JoinOperator::FullOuter(_)
            )
        };
        if !table.joins.iter().all(keeps) {
            continue;
        }
        for join in &mut table.joins {
            let (JoinOperator::Join(JoinConstraint::On(condition))
            | JoinOperator::Inner(JoinConstraint::On(condition))) = &mut join.join_operator
            else {
                continue;
            };
            if !visits_subquery(condition) {
                continue;
            }
            let mut all = Vec::new();
            conjuncts(condition, &mut all);
            let (asking, plain): (Vec<Expr>, Vec<Expr>) = all.into_iter().partition(visits_subquery);
            *condition = conjunction(plain).unwrap_or_else(|| sql("true"));
            select.selection = conjunction(select.selection.take().into_iter().chain(asking).collect());
        }
    }
}

fn conjuncts(condition: &Expr, all: &mut Vec<Expr>) {
    match condition {
        Expr::BinaryOp { left, op: BinaryOperator::And, right } => {
            conjuncts(left, all);
            conjuncts(right, all);
        }
        Expr::Nested(inner) if matches!(inner.as_ref(), Expr::BinaryOp { op: BinaryOperator::And, .. }) => {
            conjuncts(inner, all);
        }
        condition => all.push(condition.clone()),
    }
}

fn conjunction(conditions: Vec<Expr>) -> Option<Expr> {
    let nested = |condition: Expr| match condition {
        Expr::BinaryOp { op: BinaryOperator::Or, .. } => Expr::Nested(Box::new(condition)),
        condition => condition,
    };
    conditions.into_iter().map(nested).reduce(|left, right| Expr::BinaryOp {
        left: Box::new(left),
        op: BinaryOperator::And,
        right: Box::new(right),
    })
}

/// What rows are ordered by, where it asks a subquery, and what stands beside DISTINCT ON is computed one level below.
fn ordered(query: &mut Query) {
    let SetExpr::Select(select) = query.body.as_ref() else { return };
    let mut order = match &query.order_by {
        Some(OrderBy { kind: OrderByKind::Expressions(order), .. }) => order.clone(),
        None => Vec::new(),
        _ => return,
    };
    let of_item = |item: &SelectItem| match item {
        SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => visits_subquery(expr),
        _ => false,
    };
    let on = match &select.distinct {
        None => Vec::new(),
        Some(Distinct::On(on)) => on.clone(),
        _ => return,
    };
    let asks = order.iter().any(|by| visits_subquery(&by.expr));
    if !asks && (on.is_empty() || !select.projection.iter().any(of_item)) {
        return;
    }
    let names: Option<Vec<Ident>> = select.projection.iter().map(output_name).collect();
    let Some(names) = names else { return };
    let twice = |(index, name): (usize, &Ident)| names[..index].iter().any(|other| is_same(other, name));
    if names.iter().enumerate().any(twice) {
        return;
    }
    let mut inner = select.clone();
    inner.distinct = None;
    let mut shown = Vec::new();
    for (index, (item, name)) in inner.projection.iter_mut().zip(&names).enumerate() {
        let own = match item {
            SelectItem::ExprWithAlias { alias, .. } => alias.clone(),
            SelectItem::UnnamedExpr(expr) => {
                let own = Ident::new(format!("pg_c{index}__"));
                *item = SelectItem::ExprWithAlias { expr: expr.clone(), alias: own.clone() };
                own
            }
            _ => return,
        };
        shown.push((own, name.clone()));
    }
    let mut keys: Vec<(String, Ident)> = Vec::new();
    let mut key = |expr: &Expr, inner: &mut Select| {
        let column = match expr {
            Expr::Value(value) => {
                value.to_string().parse::<usize>().ok().and_then(|at| shown.get(at.wrapping_sub(1)))
            }
            Expr::Identifier(name) => shown.iter().find(|(_, shown)| is_same(shown, name)),
            _ => None,
        };
        if let Some((own, _)) = column {
            return Expr::Identifier(own.clone());
        }
        let written = expr.to_string();
        if let Some((_, known)) = keys.iter().find(|(known, _)| *known == written) {
            return Expr::Identifier(known.clone());
        }
        let alias = Ident::new(format!("pg_k{}__", keys.len()));
        inner.projection.push(SelectItem::ExprWithAlias { expr: expr.clone(), alias: alias.clone() });
        keys.push((written, alias.clone()));
        Expr::Identifier(alias)
    };
    let on: Vec<String> = on.iter().map(|expr| key(expr, &mut inner).to_string()).collect();
    for by in &mut order {
        by.expr = key(&by.expr, &mut inner);
    }
    let distinct = if on.is_empty() { String::new() } else { format!("DISTINCT ON ({}) ", on.join(", ")) };
    let columns: Vec<String> = shown.iter().map(|(own, name)| format!("{own} AS {name}")).collect();
    let Some(TableFactor::Derived { mut subquery, .. }) = relations::relation(&format!(
        "(SELECT {distinct}{} FROM ({inner}) AS pg_s__) AS pg_s__",
        columns.join(", ")
    )) else {
        return;
    };
    query.body = std::mem::replace(
        &mut subquery.body,
        Box::new(SetExpr::Values(Values { explicit_row: false, value_keyword: false, rows: Vec::new() })),
    );
    if let Some(OrderBy { kind: OrderByKind::Expressions(known), .. }) = &mut query.order_by {
        *known = order;
    }
}

/// An aggregate of all rows has one row, whatever the limit.
fn limited(query: &mut Query) {
    let SetExpr::Select(select) = query.body.as_ref() else { return };
    let one = matches!(&select.group_by, GroupByExpr::Expressions(by, _) if by.is_empty())
        && select.having.is_none()
        && matches!(select.projection.as_slice(), [SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. }]
            if mentions(expr, &AGGREGATES)
                && !visits_subquery(expr)
                && !mentions(expr, &["unnest", "generate_series"])
                && !expr.to_string().to_uppercase().contains(" OVER "));
    if let Some(LimitClause::LimitOffset { limit: Some(limit), offset: None, limit_by }) = &query.limit_clause
        && one
        && limit_by.is_empty()
        && limit.to_string().parse::<u64>().is_ok_and(|limit| limit > 0)
    {
        query.limit_clause = None;
    }
}
