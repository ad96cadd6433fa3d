//! Subqueries that compare with rows around them by anything but equality, or take only some of their rows. The engine has
//! none of them; they are asked once for all different values of the columns around them, and found again by those:
//! `(SELECT count(*) FROM u WHERE u.x < t.x)` becomes a column of
//! `SELECT d.x, count(*) FROM (SELECT DISTINCT x FROM t) d, u WHERE u.x < d.x GROUP BY d.x`.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::*;

use super::headers::is_same;
use super::relations::relation;
use super::select::{AGGREGATES, mentions, name_of, reads_nothing};
use super::{last_name, sql};

/// Changes all such subqueries of a query.
pub(super) fn apply(query: &mut Query) {
    let SetExpr::Select(select) = query.body.as_mut() else { return };
    if reads_nothing(select) || select.from.is_empty() {
        return;
    }
    laterals(select);
    let tables = tables(&select.from);
    let change = |part: &mut Expr| {
        match part {
            Expr::Subquery(inner) => {
                name_bare(inner, &tables);
                if let Some(changed) = value(inner, &tables) {
                    *part = changed;
                }
            }
            Expr::Exists { subquery, negated } if reads_functions(subquery) => {
                name_bare(subquery, &tables);
                if let Some(changed) = counted(subquery).and_then(|inner| value(&inner, &tables)) {
                    *part = sql(&format!("({changed} {} 0)", if *negated { "=" } else { ">" }));
                }
            }
            _ => {}
        }
        ControlFlow::<()>::Continue(())
    };
    for item in &mut select.projection {
        if let SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } = item {
            let _ = visit_expressions_mut(expr, change);
        }
    }
    if let Some(condition) = &mut select.selection {
        let _ = visit_expressions_mut(condition, change);
    }
}

/// Tables of a FROM by their names.
fn tables(from: &[TableWithJoins]) -> Vec<(Ident, TableFactor)> {
    let joined = from.iter().flat_map(|table| table.joins.iter().map(|join| &join.relation));
    let all = from.iter().map(|table| &table.relation).chain(joined);
    all.filter_map(|table| Some((name_of(table)?, table.clone()))).collect()
}

/// Whether a query reads nothing but functions.
fn reads_functions(query: &Query) -> bool {
    let is_function = |factor: &TableFactor| {
        matches!(
            factor,
            TableFactor::Table { args: Some(_), .. }
                | TableFactor::UNNEST { .. }
                | TableFactor::Function { .. }
        )
    };
    match query.body.as_ref() {
        SetExpr::Select(select) => {
            let joined = |table: &TableWithJoins| table.joins.iter().all(|join| is_function(&join.relation));
            !select.from.is_empty()
                && select.from.iter().all(|table| is_function(&table.relation) && joined(table))
        }
        _ => false,
    }
}

/// Gives names in the arguments of functions the only table around them, since functions have no columns yet.
fn name_bare(query: &mut Query, around: &[(Ident, TableFactor)]) {
    let [(table, _)] = around else { return };
    if !reads_functions(query) {
        return;
    }
    let SetExpr::Select(select) = query.body.as_mut() else { return };
    let name = |part: &mut Expr| {
        if let Expr::Identifier(column) = part {
            *part = Expr::CompoundIdentifier(vec![table.clone(), column.clone()]);
        }
        ControlFlow::<()>::Continue(())
    };
    let Some(first) = select.from.first_mut() else { return };
    match &mut first.relation {
        TableFactor::Table { args: Some(args), .. } => {
            let _ = visit_expressions_mut(&mut args.args, name);
        }
        TableFactor::UNNEST { array_exprs, .. } => {
            let _ = visit_expressions_mut(array_exprs, name);
        }
        TableFactor::Function { args, .. } => {
            let _ = visit_expressions_mut(args, name);
        }
        _ => {}
    }
}

/// A query that counts the rows of another.
fn counted(query: &Query) -> Option<Query> {
    let mut query = query.clone();
    (query.order_by, query.limit_clause, query.fetch) = (None, None, None);
    let SetExpr::Select(select) = query.body.as_mut() else { return None };
    select.projection = vec![SelectItem::UnnamedExpr(sql("count(*)"))];
    Some(query)
}

/// What a subquery asks of one table around it.
struct Asked {
    table: Ident,
    factor: TableFactor,
    columns: Vec<Ident>,
}

/// The columns of a table around a select that it names; `None` where there are none, or of several tables.
fn asked(query: &Query, around: &[(Ident, TableFactor)]) -> Option<Asked> {
    let SetExpr::Select(select) = query.body.as_ref() else { return None };
    let own = tables(&select.from);
    let mut found: Vec<(Ident, Ident)> = Vec::new();
    let _: ControlFlow<()> = visit_expressions(query, |part: &Expr| {
        if let Expr::CompoundIdentifier(parts) = part
            && let [table, column] = parts.as_slice()
            && !own.iter().any(|(name, _)| is_same(name, table))
            && around.iter().any(|(name, _)| is_same(name, table))
            && !found.iter().any(|(of, known)| is_same(of, table) && is_same(known, column))
        {
            found.push((table.clone(), column.clone()));
        }
        ControlFlow::Continue(())
    });
    let (table, _) = found.first()?.clone();
    let one = found.iter().all(|(of, _)| is_same(of, &table));
    let (name, factor) = around.iter().find(|(name, _)| is_same(name, &table))?;
    let columns = found.into_iter().map(|(_, column)| column).collect();
    one.then(|| Asked { table: name.clone(), factor: factor.clone(), columns })
}

impl Asked {
    fn is_column(&self, expr: &Expr) -> bool {
        matches!(expr, Expr::CompoundIdentifier(parts) if matches!(parts.as_slice(), [table, _] if is_same(table, &self.table)))
    }

    fn is_named_in(&self, expr: &Expr) -> bool {
        visit_expressions(expr, |part: &Expr| match self.is_column(part) {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        })
        .is_break()
    }

    fn is_named_in_table(&self, table: &TableWithJoins) -> bool {
        visit_expressions(table, |part: &Expr| match self.is_column(part) {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        })
        .is_break()
    }

    /// Whether the engine can do it: the columns stand in equalities of the condition and nowhere else.
    fn is_plain(&self, select: &Select) -> bool {
        let elsewhere = select.projection.iter().any(|item| match item {
            SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => self.is_named_in(expr),
            _ => false,
        });
        fn all<'a>(expr: &'a Expr, into: &mut Vec<&'a Expr>) {
            match expr {
                Expr::BinaryOp { left, op: BinaryOperator::And, right } => {
                    all(left, into);
                    all(right, into);
                }
                Expr::Nested(inner) => all(inner, into),
                expr => into.push(expr),
            }
        }
        // What a function makes of them is none of the engine's tables.
        let made = select.from.iter().any(|table| self.is_named_in_table(table));
        let mut parts = Vec::new();
        select.selection.iter().for_each(|condition| all(condition, &mut parts));
        !elsewhere
            && !made
            && parts.into_iter().filter(|part| self.is_named_in(part)).all(|part| match part {
                Expr::BinaryOp { left, op: BinaryOperator::Eq, right } => {
                    // With a column of its own on the other side.
                    match (self.is_named_in(left), self.is_named_in(right)) {
                        (true, false) => names_any(right),
                        (false, true) => names_any(left),
                        _ => false,
                    }
                }
                _ => false,
            })
    }

    /// Lets a query name the different values instead of the table's columns, and read them too.
    fn within(&self, query: &mut Query) -> Option<()> {
        let _: ControlFlow<()> = visit_expressions_mut(query, |part: &mut Expr| {
            if self.is_column(part)
                && let Expr::CompoundIdentifier(parts) = part
            {
                parts[0] = Ident::new(DIFFERENT);
            }
            ControlFlow::Continue(())
        });
        let columns: Vec<String> =
            self.columns.iter().map(|column| format!("{}.{column}", self.table)).collect();
        let values = format!("(SELECT DISTINCT {} FROM {}) AS {DIFFERENT}", columns.join(", "), self.factor);
        let SetExpr::Select(select) = query.body.as_mut() else { return None };
        select.from.insert(0, TableWithJoins { relation: relation(&values)?, joins: Vec::new() });
        Some(())
    }

    /// The values as columns of their own.
    fn keys(&self) -> Vec<String> {
        (self.columns.iter().enumerate())
            .map(|(index, column)| format!("{} AS pg_k{index}__", key(DIFFERENT, column)))
            .collect()
    }

    /// Where a row is found again.
    fn found(&self, of: &str) -> String {
        let one = |(index, column): (usize, &Ident)| {
            format!("{of}.pg_k{index}__ = {}", key(&self.table.to_string(), column))
        };
        self.columns.iter().enumerate().map(one).collect::<Vec<_>>().join(" AND ")
    }

    fn grouped(&self) -> String {
        let columns: Vec<String> =
            self.columns.iter().map(|column| format!("{DIFFERENT}.{column}")).collect();
        columns.join(", ")
    }
}

const DIFFERENT: &str = "pg_d__";

/// Whether a column is named.
fn names_any(expr: &Expr) -> bool {
    visit_expressions(expr, |part: &Expr| match part {
        Expr::Identifier(_) | Expr::CompoundIdentifier(_) => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    })
    .is_break()
}

/// A value by which rows are found again, that of none too.
fn key(table: &str, column: &Ident) -> String {
    format!("coalesce('=' || CAST({table}.{column} AS TEXT), '')")
}

fn is_one(limit: Option<&LimitClause>) -> bool {
    matches!(limit, Some(LimitClause::LimitOffset { limit: Some(limit), offset: None, .. }) if limit.to_string() == "1")
}

/// A subquery that stands for a value.
fn value(query: &Query, around: &[(Ident, TableFactor)]) -> Option<Expr> {
    let asked = asked(query, around)?;
    let SetExpr::Select(select) = query.body.as_ref() else { return None };
    let [SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. }] =
        select.projection.as_slice()
    else {
        return None;
    };
    let grouped = !matches!(&select.group_by, GroupByExpr::Expressions(by, _) if by.is_empty());
    let limited = query.limit_clause.is_some() || query.fetch.is_some();
    if query.with.is_some() || grouped || select.having.is_some() || select.from.is_empty() {
        return None;
    }
    let aggregates = is_aggregate(expr);
    if asked.is_plain(select) && (!limited || aggregates)
        || limited && !aggregates && !is_one(query.limit_clause.as_ref())
    {
        return None;
    }
    let order = query.order_by.as_ref().map(|order| format!(" {order}")).unwrap_or_default();
    let one = match (aggregates, limited) {
        (true, _) => expr.to_string(),
        (false, true) => format!("first_value({expr}{order})"),
        (false, false) => format!("pg_single(array_agg({expr}))"),
    };
    let counts = matches!(expr, Expr::Function(function) if last_name(&function.name) == "count");
    let mut inner = query.clone();
    (inner.order_by, inner.limit_clause, inner.fetch) = (None, None, None);
    if let SetExpr::Select(select) = inner.body.as_mut() {
        select.distinct = None;
        select.projection = vec![SelectItem::ExprWithAlias { expr: sql(&one), alias: Ident::new("pg_v__") }];
    }
    asked.within(&mut inner)?;
    let written = inner.to_string();
    let written = written.strip_prefix("SELECT ")?;
    let (keys, found) = (asked.keys().join(", "), asked.found("pg_s__"));
    let whole = format!(
        "(SELECT pg_single(array_agg(pg_s__.pg_v__)) FROM (SELECT {keys}, {written} GROUP BY {}) AS pg_s__ WHERE {found})",
        asked.grouped()
    );
    Some(sql(&if counts { format!("coalesce({whole}, 0)") } else { whole }))
}

fn is_aggregate(expr: &Expr) -> bool {
    mentions(expr, &AGGREGATES)
        || mentions(
            expr,
            &["bool_and", "bool_or", "stddev", "variance", "median", "first_value", "last_value"],
        )
}

/// `LATERAL (SELECT …)` tables that the engine cannot join: they become tables of all different values, joined by those.
fn laterals(select: &mut Select) {
    let places: Vec<(usize, usize)> = (0..select.from.len())
        .flat_map(|item| (0..=select.from[item].joins.len()).map(move |join| (item, join)))
        .collect();
    let around = tables(&select.from);
    // What has no name cannot be told by it.
    let nameless = around.len() < select.from.iter().map(|table| table.joins.len() + 1).sum::<usize>();
    for (item, join) in places {
        let factor = match join {
            0 => &mut select.from[item].relation,
            join => &mut select.from[item].joins[join - 1].relation,
        };
        let TableFactor::Derived { lateral: lateral @ true, subquery, alias: Some(alias), .. } = factor
        else {
            continue;
        };
        let Some((changed, found)) = rows(subquery, &around, &alias.name) else { continue };
        // A star is that of the columns which were asked for.
        let starred = select.projection.iter().any(|item| is_star(item, &alias.name));
        let columns = super::headers::columns_of(subquery);
        if starred && (columns.is_none() || nameless) {
            continue;
        }
        (**subquery, *lateral) = (changed, false);
        let (found, name) = (sql(&found), alias.name.clone());
        if starred {
            spread(&mut select.projection, &around, &name, &columns.unwrap_or_default());
        }
        let joined = (join > 0).then(|| &mut select.from[item].joins[join - 1].join_operator);
        match joined {
            Some(
                JoinOperator::Left(JoinConstraint::On(on)) | JoinOperator::LeftOuter(JoinConstraint::On(on)),
            ) => {
                *on = sql(&format!("({on}) AND ({found})"));
            }
            _ => {
                select.selection = Some(match select.selection.take() {
                    Some(other) => sql(&format!("({other}) AND ({found})")),
                    None => found,
                });
            }
        }
    }
}

/// Whether an item of a projection has all columns of a table.
fn is_star(item: &SelectItem, table: &Ident) -> bool {
    match item {
        SelectItem::Wildcard(_) => true,
        SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), _) => {
            name.0.len() == 1 && name.0[0].as_ident().is_some_and(|name| is_same(name, table))
        }
        _ => false,
    }
}

fn star_of(table: &Ident) -> SelectItem {
    SelectItem::QualifiedWildcard(
        SelectItemQualifiedWildcardKind::ObjectName(ObjectName::from(vec![table.clone()])),
        WildcardAdditionalOptions::default(),
    )
}

/// Puts the columns of a table in the place of its stars.
fn spread(
    projection: &mut Vec<SelectItem>,
    around: &[(Ident, TableFactor)],
    table: &Ident,
    columns: &[Ident],
) {
    let own = |column: &Ident| {
        SelectItem::UnnamedExpr(Expr::CompoundIdentifier(vec![table.clone(), column.clone()]))
    };
    *projection = std::mem::take(projection)
        .into_iter()
        .flat_map(|item| match item {
            SelectItem::Wildcard(_) => around
                .iter()
                .flat_map(|(name, _)| match is_same(name, table) {
                    true => columns.iter().map(own).collect(),
                    false => vec![star_of(name)],
                })
                .collect(),
            item if is_star(&item, table) => columns.iter().map(own).collect(),
            item => vec![item],
        })
        .collect();
}

/// The rows of all different values, and how those of one are found.
fn rows(query: &Query, around: &[(Ident, TableFactor)], alias: &Ident) -> Option<(Query, String)> {
    let asked = asked(query, around)?;
    let SetExpr::Select(select) = query.body.as_ref() else { return None };
    let grouped = !matches!(&select.group_by, GroupByExpr::Expressions(by, _) if by.is_empty());
    let aggregates = select.projection.iter().any(|item| match item {
        SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => is_aggregate(expr),
        _ => false,
    });
    let limited = query.limit_clause.is_some();
    if grouped || aggregates || select.distinct.is_some() || select.from.is_empty() || query.with.is_some() {
        return None;
    }
    if asked.is_plain(select) && !limited {
        return None;
    }
    let order = query.order_by.as_ref().map(|order| format!(" {order}")).unwrap_or_default();
    let (most, skipped) = match &query.limit_clause {
        None => (None, "0".to_string()),
        Some(LimitClause::LimitOffset { limit, offset, .. }) => (
            limit.as_ref().map(ToString::to_string),
            offset.as_ref().map_or("0".to_string(), |offset| offset.value.to_string()),
        ),
        Some(_) => return None,
    };
    let mut inner = query.clone();
    (inner.order_by, inner.limit_clause) = (None, None);
    if let SetExpr::Select(select) = inner.body.as_mut() {
        // A star is that of its own tables.
        let own: Vec<Ident> = tables(&select.from).into_iter().map(|(name, _)| name).collect();
        let star = |item: &SelectItem| matches!(item, SelectItem::Wildcard(_));
        if select.projection.iter().any(star) {
            let stars: Vec<SelectItem> = own.iter().map(star_of).collect();
            select.projection = std::mem::take(&mut select.projection)
                .into_iter()
                .flat_map(|item| if star(&item) { stars.clone() } else { vec![item] })
                .collect();
        }
        super::headers::name_columns(select);
        if limited {
            let number = format!("row_number() OVER (PARTITION BY {}{order})", asked.grouped());
            select
                .projection
                .push(SelectItem::ExprWithAlias { expr: sql(&number), alias: Ident::new("pg_n__") });
        }
    }
    asked.within(&mut inner)?;
    let keys = asked.keys();
    if let SetExpr::Select(select) = inner.body.as_mut() {
        for key in keys {
            let (expr, alias) = key.rsplit_once(" AS ")?;
            select.projection.push(SelectItem::ExprWithAlias { expr: sql(expr), alias: Ident::new(alias) });
        }
    }
    let mut found = asked.found(&alias.to_string());
    if limited {
        found += &format!(" AND {alias}.pg_n__ > {skipped}");
        if let Some(most) = most {
            found += &format!(" AND {alias}.pg_n__ <= {skipped} + {most}");
        }
    }
    Some((inner, found))
}
