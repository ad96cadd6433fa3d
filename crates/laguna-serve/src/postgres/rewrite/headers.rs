//! What PostgreSQL calls the columns of a statement.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::*;
pub(super) use laguna_sql::is_same;

/// What follows this letter in a column's name tells it from another of the same name, and is not shown.
const TWIN: char = '\u{f8ff}';

/// A name that no other column of a select has.
pub(super) fn twin(name: &str, mark: impl std::fmt::Display) -> Ident {
    Ident::with_quote('"', format!("{name}{TWIN}{mark}"))
}

/// What PostgreSQL calls a column.
pub(super) fn output_name(item: &SelectItem) -> Option<Ident> {
    match item {
        SelectItem::UnnamedExpr(expr) => {
            let name = match name_of(expr) {
                Named::Column => column_of(expr),
                Named::As(name) => Some(name),
                Named::Unknown => Some("?column?".to_string()),
            };
            name.map(|name| Ident::with_quote('"', name))
        }
        SelectItem::ExprWithAlias { alias, .. } => Some(alias.clone()),
        _ => None,
    }
}

/// Gives names to columns that say the same twice, which the engine refuses; whether there were any.
pub(in crate::postgres) fn tell_apart(statement: &mut Statement) -> bool {
    match statement {
        Statement::Query(query) => in_body(&mut query.body),
        _ => false,
    }
}

fn in_body(body: &mut SetExpr) -> bool {
    match body {
        SetExpr::Select(select) => in_select(select),
        SetExpr::SetOperation { left, right, .. } => {
            let found = in_body(left);
            in_body(right) || found
        }
        SetExpr::Query(query) => in_body(&mut query.body),
        _ => false,
    }
}

fn in_select(select: &mut Select) -> bool {
    let mut seen = Vec::new();
    // What columns are called, wherever they are from.
    let mut names: Vec<String> = Vec::new();
    let mut found = false;
    let star =
        |item: &SelectItem| matches!(item, SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..));
    let starred = select.projection.iter().any(star);
    let nameless = select.projection.iter().filter(|item| is_nameless(item)).count();
    for (index, item) in select.projection.iter_mut().enumerate() {
        let (text, expr) = match item {
            SelectItem::UnnamedExpr(expr) => (expr.to_string(), expr.clone()),
            SelectItem::ExprWithAlias { expr, alias } => (alias.value.clone(), expr.clone()),
            _ => continue,
        };
        // A column beside a `*` that has it too, and values whose casts the engine leaves out of their names.
        let unnamed = matches!(item, SelectItem::UnnamedExpr(_));
        let twice = unnamed && (starred || nameless > 1 && is_nameless(item));
        let name = match unnamed {
            true => column_of(&expr),
            false => Some(text.clone()),
        };
        // Of two tables, columns may have one name; a new one may not have that of a column.
        let renamed = name.as_ref().is_some_and(|name| names.contains(name))
            && (!unnamed
                || matches!(expr, Expr::Identifier(_))
                || seen.contains(name.as_ref().unwrap_or(&text)));
        names.extend(name);
        if twice || renamed || seen.contains(&text) {
            *item = SelectItem::ExprWithAlias { expr, alias: twin(&text, index) };
            found = true;
        }
        seen.push(text);
    }
    found
}

/// Whether the engine may call it as it calls others: a cast, a subquery, a literal.
fn is_nameless(item: &SelectItem) -> bool {
    let SelectItem::UnnamedExpr(expr) = item else { return false };
    let mut inner = expr;
    while let Expr::Nested(below) = inner {
        inner = below;
    }
    let own = !matches!(inner, Expr::Identifier(_) | Expr::CompoundIdentifier(_));
    own && visit_expressions(expr, |part: &Expr| {
        let may =
            matches!(part, Expr::Cast { .. } | Expr::Subquery(_) | Expr::Value(_) | Expr::TypedString(_));
        if may { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })
    .is_break()
}

/// How PostgreSQL calls the columns of a statement, from both ends up to a `*`; `None` where the engine does the same.
#[derive(Debug, Clone, Default)]
pub(in crate::postgres) struct Headers {
    before: Vec<Option<String>>,
    after: Option<Vec<Option<String>>>,
}

impl Headers {
    pub(in crate::postgres) fn of(statement: &Statement) -> Headers {
        let Statement::Query(query) = statement else { return Headers::default() };
        let mut body = query.body.as_ref();
        let select = loop {
            match body {
                SetExpr::Select(select) => break select,
                SetExpr::SetOperation { left, .. } => body = left,
                SetExpr::Query(query) => body = &query.body,
                _ => return Headers::default(),
            }
        };
        let named = |item: &SelectItem| match item {
            SelectItem::UnnamedExpr(expr) => Some(match name_of(expr) {
                Named::Column => column_of(expr),
                Named::As(name) => Some(name),
                Named::Unknown => Some("?column?".to_string()),
            }),
            SelectItem::ExprWithAlias { alias, .. } => Some(Some(match alias.quote_style {
                Some(_) => alias.value.clone(),
                None => alias.value.to_lowercase(),
            })),
            _ => None,
        };
        let items: Vec<Option<Option<String>>> = select.projection.iter().map(named).collect();
        let before: Vec<_> = items.iter().map_while(Clone::clone).collect();
        if before.len() == items.len() {
            return Headers { before, after: None };
        }
        let mut after: Vec<_> = items.iter().rev().map_while(Clone::clone).collect();
        after.reverse();
        Headers { before, after: Some(after) }
    }

    /// The name of the column at `index` of `count`.
    pub(in crate::postgres) fn name<'a>(&'a self, index: usize, count: usize, engine: &'a str) -> &'a str {
        let found = match &self.after {
            None if self.before.len() == count => self.before.get(index),
            Some(after) if self.before.len() + after.len() <= count => match index < self.before.len() {
                true => self.before.get(index),
                false => index.checked_sub(count - after.len()).and_then(|index| after.get(index)),
            },
            _ => None,
        };
        found.and_then(Option::as_deref).unwrap_or_else(|| shown(engine))
    }
}

/// What the columns of a query are called; `None` when it has all of a table.
pub(super) fn columns_of(query: &Query) -> Option<Vec<Ident>> {
    let SetExpr::Select(select) = query.body.as_ref() else { return None };
    select.projection.iter().map(output_name).collect()
}

/// Gives all that a select computes the names that PostgreSQL gives them.
pub(super) fn name_columns(select: &mut Select) {
    for item in &mut select.projection {
        if let SelectItem::UnnamedExpr(expr) = &*item
            && let Some(alias) = output_name(item)
        {
            *item = SelectItem::ExprWithAlias { expr: expr.clone(), alias };
        }
    }
}

/// What is shown of the engine's name of a column.
pub(in crate::postgres) fn shown(name: &str) -> &str {
    name.split(TWIN).next().unwrap_or(name)
}

/// Gives columns names that no other has, where the engine would take them for others: beside a `*`, which may have one of
/// the same name, and where what the rows are ordered by is computed of a column of that name. What they are ordered by
/// itself still means them.
pub(super) fn stand_apart(query: &mut Query) {
    let SetExpr::Select(select) = query.body.as_mut() else { return };
    let is_star =
        |item: &SelectItem| matches!(item, SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..));
    let starred = select.projection.iter().any(is_star);
    let mut none = Vec::new();
    let order = match &mut query.order_by {
        Some(OrderBy { kind: OrderByKind::Expressions(order), .. }) => order,
        _ => &mut none,
    };
    let mut renamed = Vec::new();
    for (index, item) in select.projection.iter_mut().enumerate() {
        let SelectItem::ExprWithAlias { expr, alias } = item else { continue };
        let computed = order.iter().any(|by| {
            !matches!(by.expr, Expr::Identifier(_) | Expr::Value(_))
                && by.expr != *expr
                && names(&by.expr, alias)
        });
        if starred || computed {
            let other = twin(&alias.value, index);
            renamed.push((std::mem::replace(alias, other.clone()), other));
        }
    }
    for by in order {
        if let Expr::Identifier(ident) = &by.expr
            && let Some((_, other)) = renamed.iter().find(|(alias, _)| is_same(alias, ident))
        {
            by.expr = Expr::Identifier(other.clone());
        }
    }
}

/// Whether an expression has a name in it.
fn names(expr: &Expr, name: &Ident) -> bool {
    visit_expressions(expr, |part: &Expr| match part {
        Expr::Identifier(ident) if is_same(ident, name) => ControlFlow::Break(()),
        Expr::CompoundIdentifier(parts) if parts.last().is_some_and(|ident| is_same(ident, name)) => {
            ControlFlow::Break(())
        }
        _ => ControlFlow::Continue(()),
    })
    .is_break()
}

/// The same for a query within another, which knows its columns by their names.
pub(super) fn stand_apart_within(query: &mut Query) {
    let Some(names) = columns_of(query) else { return };
    stand_apart(query);
    let Some(apart) = columns_of(query).filter(|apart| *apart != names) else { return };
    let columns: Vec<String> =
        apart.iter().zip(&names).map(|(own, name)| format!("{own} AS {name}")).collect();
    let with = query.with.take();
    let whole = format!("(SELECT {} FROM ({query}) AS pg_s__) AS pg_s__", columns.join(", "));
    if let Some(TableFactor::Derived { subquery, .. }) = super::relations::relation(&whole) {
        *query = *subquery;
    }
    query.with = with;
}

/// Gives names their tables where they mean columns of tables and the engine would take them for columns of the result:
/// in GROUP BY and HAVING.
pub(super) fn own_columns(query: &mut Query) {
    let SetExpr::Select(select) = query.body.as_mut() else { return };
    let table = super::select::only_table(select);
    let mut columns: Vec<(Ident, Expr)> = Vec::new();
    for item in &select.projection {
        let SelectItem::ExprWithAlias { expr, alias } = item else { continue };
        if matches!(expr, Expr::Identifier(_) | Expr::CompoundIdentifier(_)) {
            continue;
        }
        // A column that it is made of is there for sure.
        let _ = visit_expressions(expr, |part: &Expr| {
            let found = match part {
                Expr::Identifier(ident) if is_same(ident, alias) => {
                    table.as_ref().map(|table| Expr::CompoundIdentifier(vec![table.clone(), ident.clone()]))
                }
                Expr::CompoundIdentifier(parts) if parts.last().is_some_and(|last| is_same(last, alias)) => {
                    Some(part.clone())
                }
                _ => None,
            };
            match found {
                Some(column) => {
                    columns.push((alias.clone(), column));
                    ControlFlow::Break(())
                }
                None => ControlFlow::Continue(()),
            }
        });
    }
    if columns.is_empty() {
        return;
    }
    let own = |expr: &mut Expr| {
        let _: ControlFlow<()> = visit_expressions_mut(expr, |part: &mut Expr| {
            if let Expr::Identifier(ident) = part
                && let Some((_, column)) = columns.iter().find(|(alias, _)| is_same(alias, ident))
            {
                *part = column.clone();
            }
            ControlFlow::Continue(())
        });
    };
    if let GroupByExpr::Expressions(by, _) = &mut select.group_by {
        by.iter_mut().for_each(own);
    }
    select.having.iter_mut().for_each(own);
}

/// What a column is called.
fn column_of(expr: &Expr) -> Option<String> {
    let ident = match expr {
        Expr::Identifier(ident) => ident,
        Expr::CompoundIdentifier(parts) => parts.last()?,
        Expr::Nested(inner) | Expr::Collate { expr: inner, .. } => return column_of(inner),
        _ => return None,
    };
    Some(match ident.quote_style {
        Some(_) => ident.value.clone(),
        None => ident.value.to_lowercase(),
    })
}

/// Gives what a subquery computes the names by which statements around it know that.
pub(super) fn name_all(query: &mut Query) {
    let mut body = query.body.as_mut();
    let select = loop {
        match body {
            SetExpr::Select(select) => break select,
            SetExpr::SetOperation { left, .. } => body = left,
            SetExpr::Query(query) => body = query.body.as_mut(),
            _ => return,
        }
    };
    let named = |item: &SelectItem| match item {
        SelectItem::UnnamedExpr(expr) => match name_of(expr) {
            Named::Column => column_of(expr),
            Named::As(name) => Some(name),
            Named::Unknown => Some("?column?".to_string()),
        },
        SelectItem::ExprWithAlias { alias, .. } => Some(alias.value.clone()),
        _ => None,
    };
    let names: Vec<Option<String>> = select.projection.iter().map(named).collect();
    // What is ordered or grouped by a column of this name means that column.
    let clauses = format!(
        "{} {}",
        select.group_by,
        query.order_by.as_ref().map(ToString::to_string).unwrap_or_default()
    );
    let is_meant = |name: &str| {
        let mut words = clauses.split(|letter: char| !letter.is_alphanumeric() && letter != '_');
        words.any(|word| word.eq_ignore_ascii_case(name))
    };
    for (index, (item, name)) in select.projection.iter_mut().zip(&names).enumerate() {
        let Some(name) = name else { continue };
        // Of several columns of one name, the first has it.
        if names[..index].iter().any(|other| other.as_ref() == Some(name)) {
            if let SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } = &*item {
                *item = SelectItem::ExprWithAlias { expr: expr.clone(), alias: twin(name, index) };
            }
            continue;
        }
        let SelectItem::UnnamedExpr(expr) = &*item else { continue };
        let is_column = matches!(name_of(expr), Named::Column);
        let once = names.iter().filter(|other| other.as_ref() == Some(name)).count() == 1;
        if !is_column && once && !is_meant(name) {
            let alias = Ident::with_quote('"', name);
            *item = SelectItem::ExprWithAlias { expr: expr.clone(), alias };
        }
    }
}

enum Named {
    /// As the column is called.
    Column,
    As(String),
    Unknown,
}

/// `FigureColname` of PostgreSQL.
fn name_of(expr: &Expr) -> Named {
    let called = |name: &str| Named::As(name.to_string());
    match expr {
        Expr::Identifier(ident) if ident.quote_style.is_none() && is_function(&ident.value) => {
            Named::As(ident.value.to_lowercase())
        }
        Expr::Identifier(_) | Expr::CompoundIdentifier(_) => Named::Column,
        Expr::Nested(inner) | Expr::Collate { expr: inner, .. } => name_of(inner),
        Expr::CompoundFieldAccess { root, access_chain } => match access_chain.last() {
            Some(AccessExpr::Dot(Expr::Identifier(field))) => Named::As(field.value.clone()),
            _ => match name_of(root) {
                // The engine calls it by the whole expression.
                Named::Column => match root.as_ref() {
                    Expr::Identifier(ident) => Named::As(ident.value.clone()),
                    Expr::CompoundIdentifier(parts) => {
                        parts.last().map_or(Named::Unknown, |part| Named::As(part.value.clone()))
                    }
                    _ => Named::Unknown,
                },
                other => other,
            },
        },
        Expr::Function(function) => match function.name.0.last().and_then(|part| part.as_ident()) {
            Some(name) => Named::As(name.value.to_lowercase()),
            None => Named::Unknown,
        },
        Expr::Cast { expr, data_type, .. } if is_cast(expr) => Named::As(cast_name(data_type)),
        Expr::Cast { expr, data_type, .. } => match name_of(expr) {
            Named::Column => match expr.as_ref() {
                Expr::Identifier(ident) => Named::As(ident.value.clone()),
                Expr::CompoundIdentifier(parts) => {
                    parts.last().map_or(Named::Unknown, |part| Named::As(part.value.clone()))
                }
                _ => Named::Unknown,
            },
            Named::As(name) => Named::As(name),
            Named::Unknown => Named::As(cast_name(data_type)),
        },
        Expr::Case { else_result, .. } => match else_result.as_deref().map(name_of) {
            Some(Named::As(name)) => Named::As(name),
            Some(Named::Column) => match else_result.as_deref() {
                Some(Expr::Identifier(ident)) => Named::As(ident.value.clone()),
                Some(Expr::CompoundIdentifier(parts)) => {
                    parts.last().map_or(called("case"), |part| Named::As(part.value.clone()))
                }
                _ => called("case"),
            },
            _ => called("case"),
        },
        Expr::Subquery(query) => match query.body.as_ref() {
            SetExpr::Select(select) => match select.projection.first() {
                Some(SelectItem::ExprWithAlias { alias, .. }) => Named::As(alias.value.clone()),
                Some(SelectItem::UnnamedExpr(Expr::Identifier(ident))) => Named::As(ident.value.clone()),
                Some(SelectItem::UnnamedExpr(Expr::CompoundIdentifier(parts))) => {
                    parts.last().map_or(Named::Unknown, |part| Named::As(part.value.clone()))
                }
                Some(SelectItem::UnnamedExpr(expr)) => name_of(expr),
                _ => Named::Unknown,
            },
            _ => Named::Unknown,
        },
        Expr::Exists { negated: true, .. } => Named::Unknown,
        Expr::Exists { .. } => called("exists"),
        Expr::Overlay { .. } => called("overlay"),
        Expr::Array(_) => called("array"),
        Expr::Extract { .. } => called("extract"),
        Expr::Ceil { .. } => called("ceil"),
        Expr::Floor { .. } => called("floor"),
        Expr::Position { .. } => called("position"),
        Expr::Substring { shorthand: true, .. } => called("substr"),
        Expr::Substring { .. } => called("substring"),
        Expr::Trim { trim_where: Some(TrimWhereField::Leading), .. } => called("ltrim"),
        Expr::Trim { trim_where: Some(TrimWhereField::Trailing), .. } => called("rtrim"),
        Expr::Trim { .. } => called("btrim"),
        Expr::AtTimeZone { .. } => called("timezone"),
        Expr::Interval(_) => called("interval"),
        Expr::TypedString(typed) => Named::As(cast_name(&typed.data_type)),
        Expr::Value(value) if matches!(value.value, Value::Boolean(_)) => called("bool"),
        _ => Named::Unknown,
    }
}

/// Names that are functions without parentheses.
fn is_function(name: &str) -> bool {
    ["current_schema", "current_catalog", "current_role", "current_user", "session_user", "user"]
        .iter()
        .any(|known| name.eq_ignore_ascii_case(known))
}

/// Whether it is called after its type: the outermost type counts.
fn is_cast(expr: &Expr) -> bool {
    match expr {
        Expr::Nested(inner) => is_cast(inner),
        Expr::Cast { expr, .. } => {
            !matches!(name_of(expr), Named::Column) && !matches!(expr.as_ref(), Expr::Function(_))
        }
        Expr::TypedString(_) => true,
        _ => false,
    }
}

/// What a cast is called: after the items of lists.
fn cast_name(data_type: &DataType) -> String {
    match data_type {
        DataType::Array(ArrayElemTypeDef::SquareBracket(item, _)) => cast_name(item),
        other => type_name(other),
    }
}

pub(super) fn type_name(data_type: &DataType) -> String {
    let text = data_type.to_string().to_lowercase();
    let text = text.rsplit('.').next().unwrap_or_default();
    let plain = text.split('(').next().unwrap_or_default().trim();
    match plain {
        "int" | "integer" => "int4",
        "bigint" => "int8",
        "smallint" => "int2",
        "boolean" => "bool",
        "double precision" | "double" | "float" => "float8",
        "real" => "float4",
        "decimal" => "numeric",
        "char" | "character" => "bpchar",
        "character varying" => "varchar",
        "timestamp with time zone" => "timestamptz",
        "timestamp without time zone" => "timestamp",
        other => other,
    }
    .to_string()
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::*;

    #[test]
    fn columns_are_called_as_in_postgresql() {
        let names = |sql: &str| {
            let headers = Headers::of(&parse(sql).unwrap());
            (0..headers.before.len())
                .map(|i| headers.name(i, headers.before.len(), "=").to_string())
                .collect::<Vec<_>>()
        };
        assert_eq!(
            names("select count(*), a, 1, b::int, 'x'::text, case when a then b end, A as B"),
            ["count", "a", "?column?", "b", "text", "case", "b"]
        );
    }
}
