//! Statements in PostgreSQL's words made statements of the engine: what asks the catalog or the session, and what means
//! something else to the engine. All others are handed on as they were written.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::*;
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::parser::Parser;

use super::catalog;
use super::meaning::written::is_unusual;
use super::variables::Variables;

mod casts;
mod catalogs;
mod correlated;
mod function;
mod headers;
mod json;
mod lateral;
mod ordered;
mod parameters;
mod placed;
mod relations;
mod select;
mod times;
mod words;

use casts::list_items;
pub(super) use headers::{Headers, shown};
use headers::{stand_apart, tell_apart, type_name};
pub(super) use parameters::{fill_lists, lists, types_of};
use select::{mentions, reads_nothing, subquery};
pub(super) use times::zone_of;
pub(super) use words::respelled;
use words::{is_of_no_type, is_procedure, names_oid};

/// What is known of the session.
pub(super) struct Context<'a> {
    pub(super) variables: &'a Variables,
    pub(super) user: &'a str,
    pub(super) pid: i32,
    /// Whether the values of the parameters are known, and with them their types.
    pub(super) bound: bool,
    /// The numbers of the user's sessions.
    pub(super) sessions: &'a dyn Fn() -> Vec<i32>,
}

/// A statement in the engine's words.
pub(super) struct Rewritten {
    pub(super) sql: String,
    /// The variables that it sets: names, values, and whether for the transaction only.
    pub(super) set: Vec<(String, String, bool)>,
    pub(super) ended: Vec<Ending>,
}

/// A session whose statement is to end, or that is to end itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ending {
    pub(super) pid: i32,
    pub(super) session: bool,
}

/// Parses one statement; `None` when the engine must say what is wrong with it.
pub(super) fn parse(sql: &str) -> Option<Statement> {
    let mut statements = match respelled(sql) {
        Some(tokens) => Parser::new(&PostgreSqlDialect {}).with_tokens(tokens).parse_statements().ok()?,
        None => Parser::parse_sql(&PostgreSqlDialect {}, sql).ok()?,
    };
    if statements.len() != 1 {
        return None;
    }
    let mut statement = statements.remove(0);
    laguna_sql::put_right(&mut statement);
    Some(statement)
}

/// `TABLE name`, which the parser knows only within other statements, as a query.
pub(super) fn whole_table(sql: String) -> String {
    match sql.get(..6) {
        Some(word) if word.eq_ignore_ascii_case("table ") => format!("SELECT * FROM {}", &sql[6..]),
        _ => sql,
    }
}

/// A type's name without its length.
fn written_type(data_type: &DataType) -> String {
    if matches!(data_type, DataType::Char(_) | DataType::Character(_)) {
        return "bpchar".to_string();
    }
    let text = data_type.to_string().to_lowercase();
    match text.strip_suffix("[]") {
        Some(item) => format!("{}[]", item.split('(').next().unwrap_or_default().trim()),
        None => text.split('(').next().unwrap_or_default().trim().to_string(),
    }
}

/// Puts texts in the place of parameters, where a text must be known before the statement runs.
pub(super) fn fill(statement: &mut Statement, texts: &[Option<String>]) {
    let _: ControlFlow<()> = visit_expressions_mut(statement, |expr: &mut Expr| {
        if let Expr::Value(value) = expr
            && let Value::Placeholder(name) = &value.value
            && let Ok(number) = name.trim_start_matches('$').parse::<usize>()
            && let Some(Some(known)) = texts.get(number.wrapping_sub(1))
        {
            *expr = text(known);
        }
        ControlFlow::Continue(())
    });
}

/// The statement in the engine's words, and what it does beside reading.
pub(super) fn rewrite(mut statement: Statement, context: &Context) -> Rewritten {
    if let Statement::Query(query) = &mut statement {
        stand_apart(query);
    }
    tell_apart(&mut statement);
    let mut rewriter =
        Rewriter { context, set: Vec::new(), ended: Vec::new(), asked: None, rows: Vec::new() };
    let _ = VisitMut::visit(&mut statement, &mut rewriter);
    // What says the same only now.
    tell_apart(&mut statement);
    let written = match &statement {
        Statement::Explain { statement, analyze, verbose, options, .. } => {
            explained(statement, *analyze, *verbose, options.as_deref().unwrap_or_default())
        }
        statement => statement.to_string(),
    };
    Rewritten { sql: written, set: rewriter.set, ended: rewriter.ended }
}

/// `EXPLAIN` with PostgreSQL's options, as far as they mean something here.
fn explained(statement: &Statement, analyze: bool, verbose: bool, options: &[UtilityOption]) -> String {
    let option = |name: &str| options.iter().find(|option| option.name.value.eq_ignore_ascii_case(name));
    let says = |name: &str, word: &str| {
        let value = |option: &UtilityOption| {
            option.arg.as_ref().map_or("true".into(), |arg| arg.to_string().to_lowercase())
        };
        option(name).map(value).is_some_and(|value| value == word)
    };
    let on = |name: &str| says(name, "true") || says(name, "on") || says(name, "1");
    let analyze = if analyze || on("analyze") { "ANALYZE " } else { "" };
    let verbose = if verbose || on("verbose") { "VERBOSE " } else { "" };
    let format = if says("format", "json") && analyze.is_empty() { "FORMAT PGJSON " } else { "" };
    format!("EXPLAIN {analyze}{verbose}{format}{statement}")
}

struct Rewriter<'a> {
    context: &'a Context<'a>,
    set: Vec<(String, String, bool)>,
    ended: Vec<Ending>,
    /// The session that the condition of a select names.
    asked: Option<i32>,
    /// Derived tables that have a name, with the names of their columns.
    rows: Vec<(Ident, Vec<Ident>)>,
}

fn text(value: &str) -> Expr {
    Expr::Value(Value::SingleQuotedString(value.to_string()).into())
}

fn number(value: impl ToString) -> Expr {
    Expr::Value(Value::Number(value.to_string(), false).into())
}

/// An expression written as SQL; what is written here always parses.
fn sql(written: &str) -> Expr {
    Parser::new(&PostgreSqlDialect {})
        .try_with_sql(written)
        .and_then(|mut parser| parser.parse_expr())
        .unwrap_or_else(|_| Expr::Value(Value::Null.into()))
}

fn last_name(name: &ObjectName) -> String {
    name.0.last().and_then(|part| part.as_ident()).map(|ident| ident.value.to_lowercase()).unwrap_or_default()
}

/// The expression of an argument without a name.
fn unnamed(argument: &FunctionArg) -> Option<&Expr> {
    match argument {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr),
        _ => None,
    }
}

fn is_system(name: &ObjectName) -> bool {
    let schema = name.0.first().and_then(|part| part.as_ident()).map(|ident| ident.value.to_lowercase());
    name.0.len() == 2 && matches!(schema.as_deref(), Some("pg_catalog" | "information_schema"))
}

impl VisitorMut for Rewriter<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        for cte in query.with.iter_mut().flat_map(|with| &mut with.cte_tables) {
            headers::name_all(&mut cte.query);
        }
        catalogs::apply(query);
        placed::apply(query);
        headers::stand_apart_within(query);
        relations::keep_order(query);
        headers::own_columns(query);
        lateral::apply(query);
        correlated::apply(query);
        relations::fetch(query);
        relations::whole_table(query);
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
        self.asked = catalogs::session_of(select);
        ordered::apply(select);
        for item in &mut select.projection {
            if let SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } = item {
                let _: ControlFlow<()> = visit_expressions_mut(expr, |part: &mut Expr| {
                    match part {
                        Expr::Exists { subquery, negated } => *part = relations::exists(subquery, *negated),
                        Expr::AnyOp { left, compare_op: BinaryOperator::Eq, right, .. } => {
                            if let Some(query) = subquery_of(right) {
                                *part = relations::is_among(left, query, false);
                            }
                        }
                        Expr::InSubquery { expr, subquery, negated } => {
                            *part = relations::is_among(expr, subquery, *negated);
                        }
                        Expr::Function(function) if last_name(&function.name) == "pg_table_is_visible" => {
                            if let Some(Expr::InSubquery { expr, subquery, .. }) =
                                self.function(function).map(without_parentheses)
                            {
                                *part = relations::is_surely_among(&expr, &subquery);
                            }
                        }
                        _ => {}
                    }
                    ControlFlow::Continue(())
                });
            }
        }
        let joined = select.from.iter().flat_map(|table| table.joins.iter().map(|join| &join.relation));
        for factor in select.from.iter().map(|table| &table.relation).chain(joined) {
            if let TableFactor::Derived { subquery, alias: Some(alias), .. } = factor
                && let Some(columns) = json::columns_of(subquery)
            {
                self.rows.push((alias.name.clone(), columns));
            }
        }
        select::qualify(select);
        if !reads_nothing(select) {
            return ControlFlow::Continue(());
        }
        for item in &mut select.projection {
            let (SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. }) = item else {
                continue;
            };
            if mentions(expr, &["_pg_expandarray"]) {
                *expr = match expr {
                    Expr::Function(_) => sql("named_struct('x', CAST(NULL AS INT), 'n', CAST(NULL AS INT))"),
                    _ => sql("CAST(NULL AS INT)"),
                };
            } else if mentions(expr, &["unnest", "generate_subscripts"]) {
                *expr = sql("CAST(NULL AS INT)");
            } else if mentions(expr, &["("]) || mentions(expr, &["array"]) {
                *expr = sql("CAST(NULL AS TEXT)");
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<()> {
        if let TableFactor::Derived { subquery, .. } = factor {
            headers::name_all(subquery);
        }
        let of_catalog = matches!(factor, TableFactor::Table { name, args: Some(_), .. }
            if ["pg_show_all_settings", "pg_get_keywords", "pg_available_extensions", "pg_timezone_names"].contains(&last_name(name).as_str()));
        if !of_catalog && let Some(changed) = relations::called(factor) {
            *factor = changed;
            return ControlFlow::Continue(());
        }
        if let Some(sessions) = catalogs::sessions(factor, self.context) {
            *factor = sessions;
            return ControlFlow::Continue(());
        }
        if let TableFactor::Table { name, args, .. } = factor {
            let last = last_name(name);
            match (args.is_some(), last.as_str()) {
                (true, "pg_show_all_settings") => {
                    *args = None;
                    *name = ObjectName::from(vec![Ident::new("pg_catalog"), Ident::new("pg_settings")]);
                }
                (true, "pg_get_keywords" | "pg_available_extensions" | "pg_timezone_names") => {
                    *args = None;
                    *name = ObjectName::from(vec![Ident::new("pg_catalog"), Ident::new(last)]);
                }
                (true, _) if is_system(name) => *name = ObjectName::from(vec![Ident::new(last)]),
                _ => {}
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_value(&mut self, value: &mut ValueWithSpan) -> ControlFlow<()> {
        if let Value::UnicodeStringLiteral(text) = &value.value {
            value.value = Value::SingleQuotedString(text.clone());
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Some(changed) = self.changed(expr) {
            *expr = changed;
        }
        ControlFlow::Continue(())
    }
}

impl Rewriter<'_> {
    fn changed(&mut self, expr: &mut Expr) -> Option<Expr> {
        match expr {
            Expr::Identifier(ident) if ident.quote_style.is_none() => {
                match ident.value.to_lowercase().as_str() {
                    "current_schema" => Some(self.schema()),
                    "current_role" => Some(text(self.context.user)),
                    "current_database" | "current_catalog" => Some(text(catalog::DATABASE)),
                    _ => None,
                }
            }
            Expr::Collate { expr: inner, .. } => {
                let mut inner = inner.as_ref().clone();
                Some(self.changed(&mut inner).unwrap_or(inner))
            }
            Expr::BinaryOp { left, op: BinaryOperator::Eq | BinaryOperator::NotEq, right }
                if (is_procedure(left) || is_procedure(right)) && (names_oid(left) || names_oid(right)) =>
            {
                // Such a column holds the function's name here.
                for side in [left, right] {
                    if names_oid(side) {
                        match side.as_mut() {
                            Expr::CompoundIdentifier(parts) => {
                                parts.pop();
                                parts.push(Ident::new("proname"));
                            }
                            side => *side = Expr::Identifier(Ident::new("proname")),
                        }
                    }
                }
                None
            }
            // Types are compared by their oids.
            Expr::BinaryOp { left, op: BinaryOperator::Eq | BinaryOperator::NotEq, right }
                if casts::of_regtype(left).is_some() && casts::of_regtype(right).is_some() =>
            {
                for side in [left, right] {
                    if let Some(inner) = casts::of_regtype(side).filter(|inner| constant(inner).is_none()) {
                        **side = inner.clone();
                    }
                }
                None
            }
            Expr::BinaryOp { left, op: BinaryOperator::Eq | BinaryOperator::NotEq, right }
                if is_procedure(left) && right.to_string() == "0" =>
            {
                **right = text("-");
                None
            }
            Expr::BinaryOp { left, op: BinaryOperator::Eq | BinaryOperator::NotEq, right }
                if catalog::is_flag(&left.to_string()) && constant(right).is_some() =>
            {
                **right = sql(if constant(right).is_some_and(|word| word.starts_with('t')) {
                    "true"
                } else {
                    "false"
                });
                None
            }
            Expr::CompoundFieldAccess { root, access_chain } => match access_chain.as_slice() {
                [AccessExpr::Dot(Expr::Identifier(field))] if matches!(root.as_ref(), Expr::Nested(_)) => {
                    let Expr::Nested(inner) = root.as_ref() else { return None };
                    Some(sql(&format!("get_field({inner}, '{}')", field.value)))
                }
                _ => None,
            },
            Expr::BinaryOp { left, op, right } if select::rows(left, op, right).is_some() => {
                select::rows(left, op, right)
            }
            Expr::UnaryOp { op, expr: inner } => match op {
                UnaryOperator::PGSquareRoot => Some(sql(&format!("sqrt(CAST({inner} AS DOUBLE PRECISION))"))),
                UnaryOperator::PGCubeRoot => Some(sql(&format!("cbrt(CAST({inner} AS DOUBLE PRECISION))"))),
                UnaryOperator::PGAbs => Some(sql(&format!("abs({inner})"))),
                UnaryOperator::BitwiseNot => Some(sql(&format!("(-1 - ({inner}))"))),
                _ => None,
            },
            Expr::BinaryOp { left, op: BinaryOperator::PGOverlap, right } => {
                Some(sql(&format!("array_has_any({left}, {right})")))
            }
            Expr::BinaryOp { left, op, right } => {
                if let Some(found) = json::operator(left, op, right) {
                    return Some(found);
                }
                if let BinaryOperator::PGCustomBinaryOperator(parts) = op {
                    let plain = match parts.last().map(String::as_str) {
                        Some("~") => BinaryOperator::PGRegexMatch,
                        Some("~*") => BinaryOperator::PGRegexIMatch,
                        Some("!~") => BinaryOperator::PGRegexNotMatch,
                        Some("!~*") => BinaryOperator::PGRegexNotIMatch,
                        Some("=") => BinaryOperator::Eq,
                        Some("<>") => BinaryOperator::NotEq,
                        Some("+") => BinaryOperator::Plus,
                        Some("~~") => BinaryOperator::PGLikeMatch,
                        _ => return None,
                    };
                    *op = plain;
                }
                None
            }
            Expr::Like { any: true, .. } | Expr::ILike { any: true, .. } => select::like_any(expr),
            Expr::Like { pattern, escape_char, .. } | Expr::ILike { pattern, escape_char, .. } => {
                let escape = match escape_char.as_ref().map(|value| value.value.clone()) {
                    Some(Value::SingleQuotedString(escape)) => escape,
                    _ => return None,
                };
                if let Some(written) = constant(pattern) {
                    let fixed = match escape.as_str() {
                        "" | "\\" => written,
                        escape => written.replace('\\', "\\\\").replace(escape, "\\"),
                    };
                    **pattern = text(&fixed);
                    *escape_char = None;
                }
                None
            }
            Expr::AnyOp { left, compare_op, right, .. } if select::one_by_one(right).is_some() => {
                let items = select::one_by_one(right)?;
                Some(select::compared(left, compare_op, &items, "OR", "false"))
            }
            Expr::AllOp { left, compare_op, right } if select::one_by_one(right).is_some() => {
                let items = select::one_by_one(right)?;
                Some(select::compared(left, compare_op, &items, "AND", "true"))
            }
            Expr::AnyOp { right, .. } | Expr::AllOp { right, .. }
                if matches!(right.as_ref(), Expr::Value(_)) =>
            {
                if let Some(items) = constant(right).and_then(|items| casts::array_literal(&items)) {
                    **right = items;
                } else if matches!(right.as_ref(), Expr::Value(value) if matches!(value.value, Value::Placeholder(_)))
                {
                    **right = sql(&format!("CAST({right} AS TEXT[])"));
                }
                self.all(expr)
            }
            Expr::AnyOp { left, compare_op, right, .. } if subquery_of(right).is_some() => {
                select::any_of(left, compare_op, subquery_of(right)?)
            }
            Expr::AllOp { left, compare_op, right } if subquery_of(right).is_some() => {
                select::all_of(left, compare_op, subquery_of(right)?)
            }
            Expr::InSubquery { expr: tuple, subquery, negated }
                if matches!(tuple.as_ref(), Expr::Tuple(_)) =>
            {
                let Expr::Tuple(items) = tuple.as_ref() else { return None };
                Some(select::row_among(items, subquery, *negated))
            }
            Expr::AllOp { .. } => self.all(expr),
            Expr::SimilarTo { negated, expr: value, pattern, escape_char: None } => {
                let regex = select::similar(&constant(pattern)?);
                let not = if *negated { "NOT " } else { "" };
                Some(sql(&format!("({not}({value} ~ {}))", text(&regex))))
            }
            Expr::InList { expr: value, list, negated } if matches!(value.as_ref(), Expr::Tuple(_)) => {
                let equal: Option<Vec<String>> = list
                    .iter()
                    .map(|item| Some(select::rows(value, &BinaryOperator::Eq, item)?.to_string()))
                    .collect();
                let not = if *negated { "NOT " } else { "" };
                Some(sql(&format!("({not}({}))", equal?.join(" OR "))))
            }
            // What is compared one by one is fitted to the type of the other side.
            Expr::InList { expr: value, list, negated } if list.iter().any(is_time) => {
                let (op, word) = if *negated { ("<>", " AND ") } else { ("=", " OR ") };
                let all: Vec<String> = list.iter().map(|item| format!("{value} {op} {item}")).collect();
                Some(sql(&format!("({})", all.join(word))))
            }
            Expr::Between { expr: value, negated, low, high } if is_time(low) || is_time(high) => {
                let not = if *negated { "NOT " } else { "" };
                Some(sql(&format!("({not}({value} >= {low} AND {value} <= {high}))")))
            }
            Expr::Ceil { expr: inner, field: CeilFloorKind::DateTimeField(DateTimeField::NoDateTime) } => {
                Some(sql(&format!("pg_trunc(\"ceil\"({inner}))")))
            }
            Expr::Floor { expr: inner, field: CeilFloorKind::DateTimeField(DateTimeField::NoDateTime) } => {
                Some(sql(&format!("pg_trunc(\"floor\"({inner}))")))
            }
            Expr::Subquery(query) => subquery(query),
            Expr::AtTimeZone { timestamp, time_zone } => Some(self.at_time_zone(timestamp, time_zone)),
            Expr::Extract { field, expr: time, .. } => self.extract(&field.to_string(), time),
            Expr::Substring { expr: text, substring_from: Some(pattern), substring_for: None, .. }
                if constant(pattern).is_some() =>
            {
                Some(sql(&format!("pg_regexp_part({text}, {pattern}, '')")))
            }
            Expr::TypedString(typed) => self.typed(typed),
            Expr::Case { conditions, else_result, .. }
                if conditions
                    .iter()
                    .map(|when| &when.result)
                    .chain(else_result.as_deref())
                    .any(casts::is_exact) =>
            {
                for result in
                    conditions.iter_mut().map(|when| &mut when.result).chain(else_result.as_deref_mut())
                {
                    casts::write_exactly(result);
                }
                None
            }
            Expr::Case { operand: Some(flag), conditions, .. } if catalog::is_flag(&flag.to_string()) => {
                for when in conditions {
                    if let Some(word) = constant(&when.condition) {
                        when.condition = sql(if word.starts_with('t') { "true" } else { "false" });
                    }
                }
                None
            }
            Expr::Case { operand: None, conditions, .. } => {
                for when in conditions.iter_mut().filter(|when| is_of_no_type(&when.condition)) {
                    when.result = select::nothing_like(&when.result);
                }
                None
            }
            Expr::Interval(interval) => casts::span(&constant(&interval.value)?),
            Expr::Cast { expr: inner, data_type, .. } => self.cast(inner, data_type),
            Expr::Function(function) => self.function(function),
            _ => None,
        }
    }

    fn all(&self, expr: &Expr) -> Option<Expr> {
        let Expr::AllOp { left, compare_op: BinaryOperator::NotEq, right } = expr else { return None };
        Some(sql(&format!("NOT array_has({right}, {left})")))
    }

    fn schema(&self) -> Expr {
        match self.context.variables.schema() {
            Some(schema) => text(&schema),
            None => sql("CAST(NULL AS TEXT)"),
        }
    }

    /// The oid of a relation that is named in a text.
    fn relation(&self, name: &str) -> Expr {
        if let Ok(oid) = name.parse::<u32>() {
            return number(oid);
        }
        let (schema, table) = match name.rsplit_once('.') {
            Some((schema, table)) => (Some(schema.rsplit('.').next().unwrap_or_default()), table),
            None => (None, name),
        };
        if let Some(oid) =
            catalog::system_oid(table).filter(|_| schema.is_none_or(|schema| schema == "pg_catalog"))
        {
            return number(oid);
        }
        let among = match schema {
            Some(schema) => format!("'{schema}'"),
            None => {
                let path = self.context.variables.path();
                path.iter().map(|schema| format!("'{schema}'")).collect::<Vec<_>>().join(", ")
            }
        };
        let table = table.replace('\'', "''");
        sql(&format!(
            "(SELECT min(c.oid) FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
             WHERE c.relname = '{table}' AND n.nspname IN ({among}))"
        ))
    }
}

fn without_parentheses(expr: Expr) -> Expr {
    match expr {
        Expr::Nested(inner) => without_parentheses(*inner),
        expr => expr,
    }
}

/// The subquery that an expression is.
fn subquery_of(expr: &Expr) -> Option<&Query> {
    match expr {
        Expr::Subquery(query) => Some(query),
        Expr::Nested(inner) => subquery_of(inner),
        Expr::Function(Function { name, args: FunctionArguments::Subquery(query), .. })
            if last_name(name) == "array" =>
        {
            Some(query)
        }
        _ => None,
    }
}

/// Whether it is a text that may be a time as the engine does not read it.
fn is_time(expr: &Expr) -> bool {
    constant(expr).is_some_and(|written| is_unusual(&written))
}

/// A text that is known before the statement runs.
fn constant(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(text)
            | Value::EscapedStringLiteral(text)
            | Value::UnicodeStringLiteral(text) => Some(text.clone()),
            Value::DollarQuotedString(text) => Some(text.value.clone()),
            _ => None,
        },
        Expr::Nested(inner) => constant(inner),
        Expr::Cast { expr, data_type, .. }
            if ["text", "varchar", "name"].contains(&type_name(data_type).as_str()) =>
        {
            constant(expr)
        }
        Expr::BinaryOp { left, op: BinaryOperator::StringConcat, right } => {
            Some(constant(left)? + &constant(right)?)
        }
        _ => None,
    }
}
