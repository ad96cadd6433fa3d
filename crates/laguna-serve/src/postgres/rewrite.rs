//! Statements in PostgreSQL's words made statements of the engine: what asks the catalog, the session or for PostgreSQL's
//! formats of times. All others are handed on as they were written.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::*;
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::parser::Parser;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};

use super::catalog::{self, is_empty};
use super::variables::{VERSION, Variables};

/// Words that make a statement one that is rewritten, beside all that begin with `pg_`.
const WORDS: [&str; 47] = [
    "information_schema",
    "regclass",
    "regtype",
    "regproc",
    "regprocedure",
    "regnamespace",
    "regrole",
    "regoper",
    "current_schema",
    "current_schemas",
    "current_setting",
    "set_config",
    "current_user",
    "session_user",
    "user",
    "current_database",
    "current_catalog",
    "current_role",
    "version",
    "to_timestamp",
    "to_char",
    "to_date",
    "format_type",
    "obj_description",
    "col_description",
    "shobj_description",
    "has_table_privilege",
    "has_schema_privilege",
    "has_database_privilege",
    "has_column_privilege",
    "has_any_column_privilege",
    "operator",
    "collate",
    "quote_ident",
    "quote_literal",
    "to_regclass",
    "to_regtype",
    "to_regnamespace",
    "generate_subscripts",
    "array_upper",
    "array_lower",
    "inet_server_addr",
    "inet_client_addr",
    "txid_current",
    "json_build_object",
    "escape",
    "parse_ident",
];

/// What is known of the session.
pub(super) struct Context<'a> {
    pub(super) variables: &'a Variables,
    pub(super) user: &'a str,
    pub(super) database: &'a str,
    pub(super) pid: i32,
}

/// Parses one statement; `None` when the engine must say what is wrong with it.
pub(super) fn parse(sql: &str) -> Option<Statement> {
    let mut statements = Parser::parse_sql(&PostgreSqlDialect {}, sql).ok()?;
    (statements.len() == 1).then(|| statements.remove(0))
}

/// The types that a statement casts its parameters to, by their numbers from 1.
pub(super) fn casts(statement: &Statement) -> Vec<(usize, u32)> {
    let mut casts = Vec::new();
    let _: ControlFlow<()> = visit_expressions(statement, |expr: &Expr| {
        if let Expr::Cast { expr, data_type, .. } = expr
            && let Expr::Value(value) = expr.as_ref()
            && let Value::Placeholder(name) = &value.value
            && let Ok(number) = name.trim_start_matches('$').parse()
            && let Some(oid) = catalog::type_oid(&written_type(data_type))
        {
            casts.push((number, oid));
        }
        ControlFlow::Continue(())
    });
    casts
}

/// A type's name without its length.
fn written_type(data_type: &DataType) -> String {
    let text = data_type.to_string().to_lowercase();
    match text.strip_suffix("[]") {
        Some(item) => format!("{item}[]"),
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

/// Whether a statement says something that the engine does not understand as PostgreSQL does.
pub(super) fn concerns(sql: &str) -> bool {
    let Ok(tokens) = Tokenizer::new(&PostgreSqlDialect {}, sql).tokenize() else { return false };
    tokens.iter().any(|token| match token {
        Token::Word(word) => {
            let word = word.value.to_lowercase();
            word.starts_with("pg_") || WORDS.contains(&word.as_str())
        }
        _ => false,
    })
}

/// The statement in the engine's words, and the variables that it sets.
pub(super) fn rewrite(mut statement: Statement, context: &Context) -> (String, Vec<(String, String)>) {
    let mut rewriter = Rewriter { context, set: Vec::new() };
    let _ = VisitMut::visit(&mut statement, &mut rewriter);
    (statement.to_string(), rewriter.set)
}

/// Gives names to columns that say the same twice, which the engine refuses; whether there were any.
pub(super) fn tell_apart(statement: &mut Statement) -> bool {
    fn body(body: &mut SetExpr) -> bool {
        match body {
            SetExpr::Select(select) => {
                let mut seen = Vec::new();
                let mut found = false;
                for (index, item) in select.projection.iter_mut().enumerate() {
                    let (text, expr) = match item {
                        SelectItem::UnnamedExpr(expr) => (expr.to_string(), expr.clone()),
                        SelectItem::ExprWithAlias { expr, alias } => (alias.value.clone(), expr.clone()),
                        _ => continue,
                    };
                    if seen.contains(&text) {
                        let alias = Ident::with_quote('"', format!("{text} {index}"));
                        *item = SelectItem::ExprWithAlias { expr, alias };
                        found = true;
                    }
                    seen.push(text);
                }
                found
            }
            SetExpr::SetOperation { left, right, .. } => {
                let left = self::tell_apart_body(left);
                self::tell_apart_body(right) || left
            }
            SetExpr::Query(query) => self::tell_apart_body(&mut query.body),
            _ => false,
        }
    }
    match statement {
        Statement::Query(query) => body(&mut query.body),
        _ => false,
    }
}

fn tell_apart_body(body: &mut SetExpr) -> bool {
    let query = Query {
        with: None,
        body: Box::new(std::mem::replace(
            body,
            SetExpr::Values(Values { explicit_row: false, value_keyword: false, rows: Vec::new() }),
        )),
        order_by: None,
        limit_clause: None,
        fetch: None,
        locks: Vec::new(),
        for_clause: None,
        settings: None,
        format_clause: None,
        pipe_operators: Vec::new(),
    };
    let mut statement = Statement::Query(Box::new(query));
    let found = tell_apart(&mut statement);
    if let Statement::Query(query) = statement {
        *body = *query.body;
    }
    found
}

/// How PostgreSQL calls the columns of a statement, from both ends up to a `*`; `None` where the engine does the same.
#[derive(Debug, Clone, Default)]
pub(super) struct Headers {
    before: Vec<Option<String>>,
    after: Option<Vec<Option<String>>>,
}

impl Headers {
    pub(super) fn of(statement: &Statement) -> Headers {
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
                Named::Column => None,
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
    pub(super) fn name<'a>(&'a self, index: usize, count: usize, engine: &'a str) -> &'a str {
        let found = match &self.after {
            None if self.before.len() == count => self.before.get(index),
            Some(after) if self.before.len() + after.len() <= count => match index < self.before.len() {
                true => self.before.get(index),
                false => index.checked_sub(count - after.len()).and_then(|index| after.get(index)),
            },
            _ => None,
        };
        found.and_then(Option::as_deref).unwrap_or(engine)
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
        Expr::Cast { expr, data_type, .. } => match name_of(expr) {
            Named::Column => match expr.as_ref() {
                Expr::Identifier(ident) => Named::As(ident.value.clone()),
                Expr::CompoundIdentifier(parts) => {
                    parts.last().map_or(Named::Unknown, |part| Named::As(part.value.clone()))
                }
                _ => Named::Unknown,
            },
            Named::As(name) => Named::As(name),
            Named::Unknown => Named::As(type_name(data_type)),
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
        Expr::Exists { .. } => called("exists"),
        Expr::Array(_) => called("array"),
        Expr::Extract { .. } => called("extract"),
        Expr::Ceil { .. } => called("ceil"),
        Expr::Floor { .. } => called("floor"),
        Expr::Position { .. } => called("position"),
        Expr::Substring { .. } => called("substring"),
        Expr::Trim { .. } => called("btrim"),
        Expr::AtTimeZone { .. } => called("timezone"),
        Expr::Interval(_) => called("interval"),
        Expr::TypedString(typed) => Named::As(type_name(&typed.data_type)),
        Expr::Value(value) if matches!(value.value, Value::Boolean(_)) => called("bool"),
        _ => Named::Unknown,
    }
}

fn type_name(data_type: &DataType) -> String {
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
        "character varying" => "varchar",
        "timestamp with time zone" => "timestamptz",
        "timestamp without time zone" => "timestamp",
        other => other,
    }
    .to_string()
}

struct Rewriter<'a> {
    context: &'a Context<'a>,
    set: Vec<(String, String)>,
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

fn is_system(name: &ObjectName) -> bool {
    let schema = name.0.first().and_then(|part| part.as_ident()).map(|ident| ident.value.to_lowercase());
    name.0.len() == 2 && matches!(schema.as_deref(), Some("pg_catalog" | "information_schema"))
}

/// Whether a select reads a table of the catalog that never has rows in such a way that it has none either.
fn reads_nothing(select: &Select) -> bool {
    let factor = |factor: &TableFactor| match factor {
        TableFactor::Table { name, args: None, .. } => is_empty(&last_name(name)),
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

fn mentions(expr: &Expr, names: &[&str]) -> bool {
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

impl VisitorMut for Rewriter<'_> {
    type Break = ();

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
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
        if let TableFactor::Table { name, args, .. } = factor {
            let last = last_name(name);
            match (args.is_some(), last.as_str()) {
                (true, "pg_show_all_settings") => {
                    *args = None;
                    *name = ObjectName::from(vec![Ident::new("pg_catalog"), Ident::new("pg_settings")]);
                }
                (true, "pg_get_keywords") => {
                    *args = None;
                    *name = ObjectName::from(vec![Ident::new("pg_catalog"), Ident::new("pg_get_keywords")]);
                }
                (true, _) if is_system(name) => *name = ObjectName::from(vec![Ident::new(last)]),
                _ => {}
            }
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
                    "current_database" | "current_catalog" => Some(text(self.context.database)),
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
                    if names_oid(side)
                        && let Expr::CompoundIdentifier(parts) = side.as_mut()
                        && let Some(part) = parts.last_mut()
                    {
                        *part = Ident::new("proname");
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
            Expr::BinaryOp { op, .. } => {
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
            Expr::AnyOp { right, .. } | Expr::AllOp { right, .. }
                if matches!(right.as_ref(), Expr::Value(_)) =>
            {
                if let Some(items) = constant(right).and_then(|items| array_literal(&items)) {
                    **right = items;
                } else if matches!(right.as_ref(), Expr::Value(value) if matches!(value.value, Value::Placeholder(_)))
                {
                    **right = sql(&format!("CAST({right} AS TEXT[])"));
                }
                self.all(expr)
            }
            Expr::AllOp { .. } => self.all(expr),
            Expr::Subquery(query) => subquery(query),
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

    /// Casts to the types that stand for names of the catalog.
    fn cast(&self, inner: &Expr, data_type: &DataType) -> Option<Expr> {
        let name = data_type.to_string().to_lowercase();
        let name = name.rsplit('.').next().unwrap_or_default().trim_matches('"');
        let plain = || constant(inner).map(|value| value.replace('"', ""));
        match name {
            "regclass" => Some(match plain() {
                Some(value) => self.relation(&value),
                None => sql(&format!(
                    "(SELECT max(pg_c__.relname) FROM pg_catalog.pg_class pg_c__ WHERE pg_c__.oid = {inner})"
                )),
            }),
            "regtype" => Some(match plain() {
                Some(value) => number(catalog::type_oid(&value).unwrap_or(0)),
                None => sql(&format!("format_type({inner}, NULL)")),
            }),
            "regproc" | "regprocedure" | "regoper" => Some(match plain() {
                Some(value) => text(value.rsplit('.').next().unwrap_or_default()),
                None => sql(&format!("CAST({inner} AS TEXT)")),
            }),
            "regnamespace" => Some(match plain() {
                Some(value) => number(catalog::schema_oid(&value)),
                None => sql(&format!("pg_regnamespace({inner})")),
            }),
            "regrole" => Some(match plain() {
                Some(_) => number(catalog::OWNER_OID),
                None => text(catalog::OWNER),
            }),
            "text[]" | "varchar[]" | "name[]" => {
                array_literal(&plain()?).map(|items| sql(&format!("CAST({items} AS TEXT[])")))
            }
            _ => None,
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

    fn function(&mut self, function: &mut Function) -> Option<Expr> {
        let name = last_name(&function.name);
        if is_system(&function.name) {
            function.name = ObjectName::from(vec![Ident::new(name.clone())]);
        }
        let arguments: Vec<Expr> = match &function.args {
            FunctionArguments::List(list) => list
                .args
                .iter()
                .filter_map(|argument| match argument {
                    FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr.clone()),
                    _ => None,
                })
                .collect(),
            FunctionArguments::Subquery(query) if name == "array" => return Some(array_of(query)),
            _ => Vec::new(),
        };
        let argument = |index: usize| arguments.get(index).and_then(constant);
        let context = self.context;
        Some(match name.as_str() {
            "version" => text(&format!(
                "PostgreSQL {VERSION} (Laguna {}) on {}-{}, 64-bit",
                env!("CARGO_PKG_VERSION"),
                std::env::consts::ARCH,
                std::env::consts::OS
            )),
            "current_user" | "session_user" | "user" | "current_role" => text(context.user),
            "current_database" | "current_catalog" => text(context.database),
            "current_schema" => self.schema(),
            "current_schemas" => {
                let implicit =
                    arguments.first().is_some_and(|all| all.to_string().eq_ignore_ascii_case("true"));
                let path = context.variables.path();
                let shown = path.iter().filter(|schema| implicit || *schema != "pg_catalog");
                let items: Vec<String> = shown.map(|schema| format!("'{schema}'")).collect();
                sql(&format!("CAST(ARRAY[{}] AS TEXT[])", items.join(", ")))
            }
            "pg_backend_pid" => number(context.pid),
            "current_setting" => match argument(0).map(|name| context.variables.get(&name)) {
                Some(Ok(value)) => text(&value),
                _ => sql("CAST(NULL AS TEXT)"),
            },
            "set_config" => {
                let (name, value) = (argument(0)?, argument(1)?);
                self.set.push((name, value.clone()));
                text(&value)
            }
            "pg_is_in_recovery" => sql("false"),
            "pg_my_temp_schema" | "pg_is_other_temp_schema" => number(0),
            "txid_current" => number(1),
            "inet_server_addr" | "inet_client_addr" | "pg_get_serial_sequence" => sql("CAST(NULL AS TEXT)"),
            "pg_table_is_visible" => {
                let path: Vec<String> = context
                    .variables
                    .path()
                    .iter()
                    .map(|schema| format!("'{}'", schema.replace('\'', "''")))
                    .collect();
                sql(&format!(
                    "({} IN (SELECT pg_c__.oid FROM pg_catalog.pg_class pg_c__ JOIN pg_catalog.pg_namespace pg_n__ \
                     ON pg_n__.oid = pg_c__.relnamespace WHERE pg_n__.nspname IN ({})))",
                    arguments.first()?,
                    path.join(", ")
                ))
            }
            "to_regclass" => match argument(0) {
                Some(name) => self.relation(&name),
                None => return None,
            },
            "to_regtype" => match argument(0) {
                Some(name) => match catalog::type_oid(&name) {
                    Some(oid) => number(oid),
                    None => sql("CAST(NULL AS INT)"),
                },
                None => sql(&format!("pg_type_named({})", arguments.first()?)),
            },
            "to_regnamespace" => number(catalog::schema_oid(&argument(0)?)),
            "col_description" => sql(&format!(
                "(SELECT max(pg_d__.description) FROM pg_catalog.pg_description pg_d__ \
                 WHERE pg_d__.objoid = {} AND pg_d__.objsubid = {})",
                arguments.first()?,
                arguments.get(1)?
            )),
            "obj_description" => sql(&format!(
                "(SELECT max(pg_d__.description) FROM pg_catalog.pg_description pg_d__ \
                 WHERE pg_d__.objoid = {} AND pg_d__.objsubid = 0)",
                arguments.first()?
            )),
            "parse_ident" => {
                let written = argument(0)?;
                let parts = written.split('.').map(|part| match part.strip_prefix('"') {
                    Some(quoted) => quoted.trim_end_matches('"').to_string(),
                    None => part.to_lowercase(),
                });
                let parts: Vec<String> = parts.map(|part| text(&part).to_string()).collect();
                sql(&format!("ARRAY[{}]", parts.join(", ")))
            }
            "array_upper" | "array_lower" => {
                let array = arguments.first()?;
                match name.as_str() {
                    "array_upper" => sql(&format!("CAST(array_length({array}) AS BIGINT)")),
                    _ => number(1),
                }
            }
            "to_timestamp" | "to_date" | "to_char" if arguments.len() == 2 => {
                let format = chrono_format(&argument(1)?)?;
                let value = arguments.first()?;
                match name.as_str() {
                    "to_char" => sql(&format!("to_char({value}, '{format}')")),
                    _ => sql(&format!("{name}({value}, '{format}')")),
                }
            }
            _ => return None,
        })
    }
}

fn names_oid(expr: &Expr) -> bool {
    matches!(expr, Expr::CompoundIdentifier(parts) if parts.last().is_some_and(|part| part.value.eq_ignore_ascii_case("oid")))
}

/// Columns that name a function of the catalog; 0 is none.
fn is_procedure(expr: &Expr) -> bool {
    let name = expr.to_string().to_lowercase();
    let name = name.rsplit('.').next().unwrap_or_default();
    ["typinput", "typoutput", "typreceive", "typsend", "typmodin", "typmodout", "typanalyze"].contains(&name)
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

/// `{a,b}` as an array of texts.
fn array_literal(written: &str) -> Option<Expr> {
    let inner = written.trim().strip_prefix('{')?.strip_suffix('}')?;
    let items = inner.split(',').filter(|item| !item.is_empty());
    let items: Vec<String> =
        items.map(|item| format!("'{}'", item.trim().trim_matches('"').replace('\'', "''"))).collect();
    Some(sql(&format!("ARRAY[{}]", items.join(", "))))
}

/// `ARRAY(SELECT …)`.
fn array_of(query: &Query) -> Expr {
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

/// A subquery that stands for one value: the engine wants to see that it is one.
fn subquery(query: &mut Query) -> Option<Expr> {
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

/// PostgreSQL's patterns of times in chrono's words; `None` when they are chrono's already, or unknown.
fn chrono_format(pattern: &str) -> Option<String> {
    const PATTERNS: [(&str, &str); 33] = [
        ("HH24", "%H"),
        ("HH12", "%I"),
        ("HH", "%I"),
        ("MI", "%M"),
        ("SS.US", "%S%.6f"),
        ("SS.MS", "%S%.3f"),
        ("SS", "%S"),
        ("MS", "%3f"),
        ("US", "%6f"),
        ("YYYY", "%Y"),
        ("YY", "%y"),
        ("IYYY", "%G"),
        ("IW", "%V"),
        ("FMMONTH", "%B"),
        ("FMMonth", "%B"),
        ("Month", "%B"),
        ("MONTH", "%B"),
        ("Mon", "%b"),
        ("MON", "%b"),
        ("FMMM", "%-m"),
        ("MM", "%m"),
        ("FMDD", "%-d"),
        ("DDD", "%j"),
        ("DD", "%d"),
        ("FMDay", "%A"),
        ("Day", "%A"),
        ("Dy", "%a"),
        ("DY", "%a"),
        ("D", "%w"),
        ("AM", "%p"),
        ("PM", "%p"),
        ("TZH:TZM", "%:z"),
        ("TZ", "%Z"),
    ];
    if pattern.contains('%') {
        return None;
    }
    let mut rest = pattern;
    let mut format = String::new();
    while let Some(first) = rest.chars().next() {
        if let Some(quoted) = rest.strip_prefix('"').and_then(|rest| rest.split_once('"')) {
            format.push_str(quoted.0);
            rest = quoted.1;
            continue;
        }
        let found = PATTERNS.iter().find(|(pattern, _)| {
            rest.get(..pattern.len()).is_some_and(|start| start.eq_ignore_ascii_case(pattern))
        });
        match found {
            Some((pattern, chrono)) => {
                format.push_str(chrono);
                rest = &rest[pattern.len()..];
            }
            None => {
                format.push(first);
                rest = &rest[first.len_utf8()..];
            }
        }
    }
    Some(format.replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_of_times_become_chronos() {
        assert_eq!(chrono_format("YYYY-MM-DD HH24:MI:SS.US").unwrap(), "%Y-%m-%d %H:%M:%S%.6f");
        assert_eq!(chrono_format("YYYY\"W\"IW").unwrap(), "%YW%V");
    }

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
            ["count", "=", "?column?", "b", "text", "case", "b"]
        );
    }
}
