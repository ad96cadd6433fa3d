//! Functions that stand where a table does, and those that make rows of a list.

use datafusion::sql::sqlparser::ast::*;
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::parser::Parser;

use super::{constant, is_system, last_name, sql, unnamed};

/// Table functions of the engine; every other function stands for one row of what it answers.
const ENGINE: [&str; 2] = ["generate_series", "range"];

/// A table factor that is a call, in the engine's words; `None` when it is none, or the engine's.
pub(super) fn called(factor: &mut TableFactor) -> Option<TableFactor> {
    if let Some(records) = super::lateral::records(factor) {
        return Some(records);
    }
    match factor {
        TableFactor::Table { with_ordinality: true, .. }
        | TableFactor::UNNEST { with_ordinality: true, .. } => numbered(factor),
        TableFactor::Table { name, args: Some(args), alias, .. } => {
            let function = last_name(name);
            if name.0.len() > 1 && !is_system(name) {
                return None;
            }
            let series = function == "generate_series";
            if let Some(of_json) = of_json(&function, args, alias.as_ref()) {
                return Some(of_json);
            }
            if series {
                beside_time(&mut args.args);
            }
            if ENGINE.contains(&function.as_str()) && args.args.iter().all(is_plain) {
                if series {
                    interval_step(&mut args.args);
                    let own = || TableAlias {
                        explicit: true,
                        name: Ident::new("generate_series"),
                        columns: Vec::new(),
                        at: None,
                    };
                    alias.get_or_insert_with(own);
                    name_column(alias);
                }
                return None;
            }
            if function == "range" {
                return None;
            }
            let call = match series {
                true => format!(
                    "unnest({})",
                    self::series(&args.args.iter().filter_map(unnamed).collect::<Vec<_>>())
                ),
                false => {
                    let shown: Vec<String> = args.args.iter().map(ToString::to_string).collect();
                    format!("{function}({})", shown.join(", "))
                }
            };
            derived(&call, &function, alias.as_ref())
        }
        TableFactor::Function { name, args, alias, lateral: true, .. } => {
            let function = last_name(name);
            let shown: Vec<String> = args.iter().map(ToString::to_string).collect();
            derived(&format!("{function}({})", shown.join(", ")), &function, alias.as_ref())
        }
        TableFactor::UNNEST { alias, array_exprs, with_ordinality: false, .. } if array_exprs.len() == 1 => {
            name_column(alias);
            None
        }
        _ => None,
    }
}

/// A function that makes one column calls it as the table is called.
fn name_column(alias: &mut Option<TableAlias>) {
    if let Some(alias) = alias
        && alias.columns.is_empty()
    {
        alias.columns = vec![TableAliasColumnDef { name: alias.name.clone(), data_type: None }];
    }
}

/// `(SELECT call AS column) AS table`.
fn derived(call: &str, function: &str, alias: Option<&TableAlias>) -> Option<TableFactor> {
    let table = alias.map_or_else(|| Ident::new(function), |alias| alias.name.clone());
    let column =
        alias.and_then(|alias| alias.columns.first()).map_or_else(|| table.clone(), |it| it.name.clone());
    relation(&format!("(SELECT {call} AS {column}) AS {table}"))
}

/// Whether an argument is written out, as the engine's table functions need it.
fn is_plain(argument: &FunctionArg) -> bool {
    let Some(expr) = unnamed(argument) else { return false };
    match expr {
        Expr::Value(value) => !matches!(value.value, Value::Placeholder(_)),
        Expr::UnaryOp { op: UnaryOperator::Minus | UnaryOperator::Plus, expr } => {
            matches!(expr.as_ref(), Expr::Value(_))
        }
        Expr::TypedString(typed) => super::casts::is_plain(&typed.data_type),
        Expr::Interval(_) => true,
        _ => false,
    }
}

/// `generate_series(…)` as a list.
pub(super) fn series(arguments: &[&Expr]) -> String {
    let mut arguments: Vec<FunctionArg> = arguments
        .iter()
        .map(|argument| FunctionArg::Unnamed(FunctionArgExpr::Expr((*argument).clone())))
        .collect();
    if let Some(numbers) = numbers(&arguments) {
        return numbers;
    }
    interval_step(&mut arguments);
    days_as_instants(&mut arguments);
    beside_time(&mut arguments);
    let shown: Vec<String> = arguments.iter().map(ToString::to_string).collect();
    // In quotes it is left as it is.
    format!("\"generate_series\"({})", shown.join(", "))
}

/// Makes a text beside a time one.
fn beside_time(arguments: &mut [FunctionArg]) {
    let of = arguments.iter().find_map(|argument| match argument {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(
            Expr::Cast { data_type, .. } | Expr::TypedString(TypedString { data_type, .. }),
        )) if !matches!(data_type, DataType::Interval { .. }) => Some(data_type.clone()),
        _ => None,
    });
    for argument in arguments.iter_mut().take(2) {
        if let (Some(of), FunctionArg::Unnamed(FunctionArgExpr::Expr(expr))) = (&of, argument)
            && matches!(expr, Expr::Value(_))
            && let Some(written) = constant(expr)
        {
            *expr = sql(&format!("{of} {}", super::text(&written)));
        }
    }
}

/// A series of numbers with a point, which the engine has none of, as a list.
fn numbers(arguments: &[FunctionArg]) -> Option<String> {
    let written: Option<Vec<String>> =
        arguments.iter().map(|it| unnamed(it).map(ToString::to_string)).collect();
    let written = written?;
    let digits = written.iter().map(|it| it.split_once('.').map_or(0, |(_, digits)| digits.len())).max()?;
    let scale = 10f64.powi(digits.try_into().ok()?);
    let all: Option<Vec<i64>> =
        written.iter().map(|it| it.parse::<f64>().ok().map(|it| (it * scale).round() as i64)).collect();
    let (from, to, step) = match all?.as_slice() {
        [from, to] if digits > 0 => (*from, *to, scale as i64),
        [from, to, step] if digits > 0 && *step != 0 => (*from, *to, *step),
        _ => return None,
    };
    let count = (to - from) / step + 1;
    if !(0..=100_000).contains(&count) {
        return None;
    }
    let one = |index: i64| format!("CAST('{}' AS NUMERIC)", (from + index * step) as f64 / scale);
    Some(format!("make_array({})", (0..count).map(one).collect::<Vec<_>>().join(", ")))
}

/// A step of a series of days that is written as a text is an interval.
pub(super) fn interval_step(args: &mut [FunctionArg]) {
    if let [_, _, FunctionArg::Unnamed(FunctionArgExpr::Expr(step))] = args
        && let Some(text) = constant(step)
    {
        *step = sql(&format!("INTERVAL '{}'", text.replace('\'', "''")));
    }
}

/// A series of days is one of instants.
pub(super) fn days_as_instants(args: &mut [FunctionArg]) {
    let is_day = |expr: &Expr| match expr {
        Expr::Cast { data_type, .. } => *data_type == DataType::Date,
        Expr::TypedString(typed) => typed.data_type == DataType::Date,
        Expr::Identifier(ident) => ident.value.eq_ignore_ascii_case("current_date"),
        _ => false,
    };
    for arg in args {
        if let FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) = arg
            && is_day(expr)
        {
            *expr = sql(&format!("CAST({expr} AS TIMESTAMPTZ)"));
        }
    }
}

/// `… WITH ORDINALITY`: the rows with their numbers.
fn numbered(factor: &TableFactor) -> Option<TableFactor> {
    let mut inner = factor.clone();
    let (name, alias) = match &mut inner {
        TableFactor::Table { name, with_ordinality, alias, .. } => {
            *with_ordinality = false;
            (last_name(name), alias.take())
        }
        TableFactor::UNNEST { with_ordinality, alias, .. } => {
            *with_ordinality = false;
            ("unnest".to_string(), alias.take())
        }
        _ => return None,
    };
    let table = alias.as_ref().map_or_else(|| Ident::new(&name), |alias| alias.name.clone());
    let columns: Vec<Ident> =
        alias.iter().flat_map(|alias| &alias.columns).map(|column| column.name.clone()).collect();
    let column = columns.first().cloned().unwrap_or_else(|| table.clone());
    let number = columns.get(1).cloned().unwrap_or_else(|| Ident::new("ordinality"));
    relation(&format!(
        "(SELECT {column}, row_number() OVER () AS {number} FROM {inner} AS pg_o__({column})) AS {table}"
    ))
}

/// Functions that make rows of the members or items of a document.
fn of_json(function: &str, args: &TableFunctionArgs, alias: Option<&TableAlias>) -> Option<TableFactor> {
    let plain = function.replace("jsonb", "json");
    let document = args.args.first().and_then(unnamed)?.to_string();
    let document = if function.starts_with("jsonb_") { format!("pg_jsonb({document})") } else { document };
    let columns: Vec<String> =
        alias.iter().flat_map(|alias| &alias.columns).map(|column| column.name.to_string()).collect();
    let column = |index: usize, name: &str| columns.get(index).cloned().unwrap_or_else(|| name.to_string());
    let made = match plain.as_str() {
        "json_each" | "json_each_text" => {
            let text = if plain.ends_with("_text") { "_text" } else { "" };
            format!(
                "unnest(pg_json_keys({document})) AS {}, unnest(pg_json_values{text}({document})) AS {}",
                column(0, "key"),
                column(1, "value")
            )
        }
        "json_array_elements" => format!("unnest(pg_json_elements({document})) AS {}", column(0, "value")),
        "json_array_elements_text" => {
            format!("unnest(pg_json_elements_text({document})) AS {}", column(0, "value"))
        }
        _ => return None,
    };
    let table = alias.map_or_else(|| Ident::new(function), |alias| alias.name.clone());
    relation(&format!("(SELECT {made}) AS {table}"))
}

/// A table factor that is written as SQL.
pub(super) fn relation(written: &str) -> Option<TableFactor> {
    let mut statements =
        Parser::parse_sql(&PostgreSqlDialect {}, &format!("SELECT * FROM {written}")).ok()?;
    let Statement::Query(query) = statements.pop()? else { return None };
    let SetExpr::Select(mut select) = *query.body else { return None };
    Some(select.from.pop()?.relation)
}

/// `TABLE t` as a query.
pub(super) fn whole_table(query: &mut Query) {
    let SetExpr::Table(table) = query.body.as_ref() else { return };
    let Some(name) = &table.table_name else { return };
    let name = Ident::with_quote('"', name.replace('"', ""));
    let name = match &table.schema_name {
        Some(schema) => format!("\"{}\".{name}", schema.replace('"', "")),
        None => name.to_string(),
    };
    let statements = Parser::parse_sql(&PostgreSqlDialect {}, &format!("SELECT * FROM {name}"));
    if let Ok([Statement::Query(whole)]) = statements.as_deref() {
        query.body = whole.body.clone();
    }
}

/// `value IN (query)` as a value: whether there is more than nothing to count; null where there may be.
pub(super) fn is_among(value: &Expr, query: &Query, negated: bool) -> Expr {
    let mut query = query.clone();
    super::catalogs::stop_recursion(&mut query);
    let counted = |condition: &dyn Fn(&str) -> String| {
        counted_where(value, &query, condition).unwrap_or_else(|| counted_around(&query, condition))
    };
    let found = counted(&|column| format!("{column} = {value}"));
    let all = counted(&|_| "true".to_string());
    let unknown = counted(&|column| format!("{column} IS NULL"));
    let (yes, no) = if negated { ("false", "true") } else { ("true", "false") };
    sql(&format!(
        "CASE WHEN ({found}) > 0 THEN {yes} WHEN ({value}) IS NULL AND ({all}) > 0 OR ({unknown}) > 0 THEN NULL ELSE {no} END"
    ))
}

/// `value IN (query)` where neither is ever null.
pub(super) fn is_surely_among(value: &Expr, query: &Query) -> Expr {
    let counted = counted_around(query, &|column| format!("{column} = {value}"));
    sql(&format!("({counted}) > 0"))
}

/// How many rows of a query there are of whose value a condition holds.
fn counted_around(query: &Query, condition: &dyn Fn(&str) -> String) -> String {
    let mut query = query.clone();
    // The engine does not see through names for the columns of a query that asks the tables around it.
    let (name, columns) = match query.body.as_mut() {
        SetExpr::Select(select) => match select.projection.as_mut_slice() {
            [SelectItem::ExprWithAlias { alias, .. }] => (alias.to_string(), ""),
            [item @ SelectItem::UnnamedExpr(_)] => {
                if let SelectItem::UnnamedExpr(expr) = &*item {
                    *item = SelectItem::ExprWithAlias { expr: expr.clone(), alias: Ident::new("pg_v__") };
                }
                ("pg_v__".to_string(), "")
            }
            _ => ("pg_v__".to_string(), " (pg_v__)"),
        },
        _ => ("pg_v__".to_string(), " (pg_v__)"),
    };
    let condition = condition(&format!("pg_i__.{name}"));
    format!("SELECT count(*) FROM ({query}) AS pg_i__{columns} WHERE {condition}")
}

/// The same in the query's own condition, so that it may ask the tables around it; `None` where it is not a plain one.
fn counted_where(value: &Expr, query: &Query, condition: &dyn Fn(&str) -> String) -> Option<String> {
    let bare = visit_expressions(value, |part: &Expr| match part {
        Expr::Identifier(_) => std::ops::ControlFlow::Break(()),
        _ => std::ops::ControlFlow::Continue(()),
    })
    .is_break();
    let plain = query.with.is_none() && query.limit_clause.is_none() && query.fetch.is_none();
    let mut query = query.clone();
    query.order_by = None;
    let SetExpr::Select(select) = query.body.as_mut() else { return None };
    let [SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. }] =
        select.projection.as_slice()
    else {
        return None;
    };
    let rows = select.having.is_none()
        && matches!(&select.group_by, GroupByExpr::Expressions(by, _) if by.is_empty())
        && !matches!(select.distinct, Some(Distinct::On(_)))
        && !select.from.is_empty();
    let mut calls = false;
    let _ = visit_expressions(expr, |part: &Expr| {
        calls |= matches!(part, Expr::Function(_));
        std::ops::ControlFlow::<()>::Continue(())
    });
    if bare || !plain || !rows || calls {
        return None;
    }
    let own = sql(&condition(&format!("({expr})")));
    select.distinct = None;
    select.selection = Some(match select.selection.take() {
        Some(condition) => sql(&format!("({condition}) AND {own}")),
        None => own,
    });
    select.projection = vec![SelectItem::UnnamedExpr(sql("count(*)"))];
    Some(query.to_string())
}

/// `EXISTS (…)` as a value: whether there is more than nothing to count.
pub(super) fn exists(query: &Query, negated: bool) -> Expr {
    let mut query = query.clone();
    // One row is enough, whichever it is.
    if let Some(LimitClause::LimitOffset { limit: Some(limit), offset: None, .. }) = &query.limit_clause
        && limit.to_string().parse::<u64>().is_ok_and(|limit| limit > 0)
    {
        (query.limit_clause, query.order_by) = (None, None);
    }
    let simple = query.limit_clause.is_none() && query.fetch.is_none() && query.with.is_none();
    let counted = match query.body.as_mut() {
        SetExpr::Select(select)
            if simple
                && select.distinct.is_none()
                && select.having.is_none()
                && matches!(&select.group_by, GroupByExpr::Expressions(by, _) if by.is_empty()) =>
        {
            select.projection = vec![SelectItem::UnnamedExpr(sql("count(*) > 0"))];
            query.order_by = None;
            query.to_string()
        }
        _ => format!("SELECT count(*) > 0 FROM ({query}) AS pg_e__"),
    };
    sql(&if negated { format!("(NOT ({counted}))") } else { format!("({counted})") })
}

/// A query without an order of its own that reads nothing but an ordered one keeps that order, where its columns tell it:
/// PostgreSQL does, and tools that nest queries show its rows so.
pub(super) fn keep_order(query: &mut Query) {
    if query.order_by.is_some() {
        return;
    }
    let SetExpr::Select(select) = query.body.as_ref() else { return };
    let [
        TableWithJoins {
            relation: TableFactor::Derived { subquery, alias: Some(alias), lateral: false, .. },
            joins,
        },
    ] = select.from.as_slice()
    else {
        return;
    };
    let plain = joins.is_empty()
        && alias.columns.is_empty()
        && select.distinct.is_none()
        && select.having.is_none()
        && matches!(&select.group_by, GroupByExpr::Expressions(by, _) if by.is_empty());
    // A function may be an aggregate, whose rows have no such columns.
    let calls = select.projection.iter().any(|item| match item {
        SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => {
            let call = |part: &Expr| match part {
                Expr::Function(_) | Expr::Subquery(_) => std::ops::ControlFlow::Break(()),
                _ => std::ops::ControlFlow::Continue(()),
            };
            visit_expressions(expr, call).is_break()
        }
        _ => false,
    });
    let (SetExpr::Select(inner), Some(OrderBy { kind: OrderByKind::Expressions(order), .. })) =
        (subquery.body.as_ref(), &subquery.order_by)
    else {
        return;
    };
    if !plain || calls {
        return;
    }
    // The column of the inner query that a key is.
    let column = |expr: &Expr| {
        inner.projection.iter().enumerate().find_map(|(index, item)| {
            let name = super::headers::output_name(item)?;
            let own = match item {
                SelectItem::UnnamedExpr(own) | SelectItem::ExprWithAlias { expr: own, .. } => own,
                _ => return None,
            };
            let named = matches!(expr, Expr::Identifier(ident) if super::headers::is_same(ident, &name));
            let counted = expr.to_string() == (index + 1).to_string();
            (named || counted || own == expr).then_some(name)
        })
    };
    let keys: Option<Vec<OrderByExpr>> = order
        .iter()
        .map(|by| {
            let name = column(&by.expr)?;
            let expr = Expr::CompoundIdentifier(vec![alias.name.clone(), name]);
            Some(OrderByExpr { expr, options: by.options, with_fill: None })
        })
        .collect();
    if let Some(keys) = keys {
        query.order_by = Some(OrderBy { kind: OrderByKind::Expressions(keys), interpolate: None });
    }
}

/// `FETCH FIRST n ROWS ONLY` as `LIMIT n`.
pub(super) fn fetch(query: &mut Query) {
    if let Some(LimitClause::LimitOffset { limit, offset, .. }) = &mut query.limit_clause {
        let offset = offset.as_mut().map(|offset| &mut offset.value);
        for count in limit.iter_mut().chain(offset) {
            if let Some(number) = constant(count).and_then(|text| text.trim().parse::<u64>().ok()) {
                *count = sql(&number.to_string());
            }
        }
    }
    if let SetExpr::Select(select) = query.body.as_mut()
        && let GroupByExpr::Expressions(by, _) = &mut select.group_by
    {
        by.retain(|by| !matches!(by, Expr::Tuple(items) if items.is_empty()));
    }
    let Some(fetch) = &query.fetch else { return };
    if fetch.with_ties || fetch.percent {
        return;
    }
    let limit = fetch.quantity.clone().unwrap_or_else(|| sql("1"));
    match &mut query.limit_clause {
        None => {
            query.limit_clause =
                Some(LimitClause::LimitOffset { limit: Some(limit), offset: None, limit_by: Vec::new() });
        }
        Some(LimitClause::LimitOffset { limit: open @ None, .. }) => *open = Some(limit),
        Some(_) => return,
    }
    query.fetch = None;
}
