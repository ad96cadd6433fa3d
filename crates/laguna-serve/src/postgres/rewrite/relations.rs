//! Functions that stand where a table does, and those that make rows of a list.

use datafusion::sql::sqlparser::ast::*;
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::parser::Parser;

use super::{constant, is_system, last_name, sql, unnamed};

/// Table functions of the engine; every other function stands for one row of what it answers.
const ENGINE: [&str; 2] = ["generate_series", "range"];

/// A table factor that is a call, in the engine's words; `None` when it is none, or the engine's.
pub(super) fn called(factor: &mut TableFactor) -> Option<TableFactor> {
    match factor {
        TableFactor::Table { name, args: Some(args), alias, with_ordinality: false, .. } => {
            let function = last_name(name);
            if name.0.len() > 1 && !is_system(name) {
                return None;
            }
            let series = function == "generate_series";
            if ENGINE.contains(&function.as_str()) && args.args.iter().all(is_plain) {
                if series {
                    interval_step(&mut args.args);
                    name_column(alias);
                }
                return None;
            }
            if function == "range" {
                return None;
            }
            let shown: Vec<String> = args.args.iter().map(ToString::to_string).collect();
            // In quotes it is left as it is.
            let call = match series {
                true => format!("unnest(\"generate_series\"({}))", shown.join(", ")),
                false => format!("{function}({})", shown.join(", ")),
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
    let written = format!("SELECT * FROM (SELECT {call} AS {column}) AS {table}");
    let mut statements = Parser::parse_sql(&PostgreSqlDialect {}, &written).ok()?;
    let Statement::Query(query) = statements.pop()? else { return None };
    let SetExpr::Select(mut select) = *query.body else { return None };
    Some(select.from.pop()?.relation)
}

/// Whether an argument is written out, as the engine's table functions need it.
fn is_plain(argument: &FunctionArg) -> bool {
    let Some(expr) = unnamed(argument) else { return false };
    match expr {
        Expr::Value(value) => !matches!(value.value, Value::Placeholder(_)),
        Expr::UnaryOp { op: UnaryOperator::Minus | UnaryOperator::Plus, expr } => {
            matches!(expr.as_ref(), Expr::Value(_))
        }
        Expr::TypedString(_) | Expr::Interval(_) => true,
        _ => false,
    }
}

/// A step of a series of days that is written as a text is an interval.
pub(super) fn interval_step(args: &mut [FunctionArg]) {
    if let [_, _, FunctionArg::Unnamed(FunctionArgExpr::Expr(step))] = args
        && let Some(text) = constant(step)
    {
        *step = sql(&format!("INTERVAL '{}'", text.replace('\'', "''")));
    }
}

/// `EXISTS (…)` as a value: whether there is more than nothing to count.
pub(super) fn exists(query: &Query, negated: bool) -> Expr {
    let mut query = query.clone();
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

/// `FETCH FIRST n ROWS ONLY` as `LIMIT n`.
pub(super) fn fetch(query: &mut Query) {
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
