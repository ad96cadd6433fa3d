//! SQL checks: what they read, and whether their predicate can be judged row by row in the pass.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Arc;

use arrow::array::{Array, AsArray};
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::DataType;
use datafusion::common::tree_node::TreeNode;
use datafusion::common::{DFSchema, DataFusionError, SchemaError};
use datafusion::config::Dialect;
use datafusion::execution::{SessionState, SessionStateBuilder};
use datafusion::logical_expr::{Expr, ExprSchemable, Volatility};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::prelude::SessionConfig;
use datafusion::sql::sqlparser::ast::{
    self, ExprWithAlias, GroupByExpr, ObjectName, Query, SelectItem, SetExpr, Statement, TableFactor,
    visit_expressions, visit_relations,
};
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::parser::Parser;
use laguna_base::{Error, Result, TableName, suggest};

use crate::plan::{Binding, RowTest};
use crate::view::{View, any, failed};

/// One query; statements that write, and several statements, are refused.
pub(crate) fn parse(text: &str) -> Result<Box<Query>> {
    let statements = Parser::parse_sql(&PostgreSqlDialect {}, text).map_err(|error| {
        let why = error.to_string();
        let why = why.trim_start_matches("sql parser error: ");
        Error::project(format!("the SQL of the check cannot be parsed: {why}"))
            .hint("it is a condition, as in amount >= 0, or a SELECT that returns the failing rows")
    })?;
    match <[Statement; 1]>::try_from(statements) {
        Ok([Statement::Query(mut query)]) => {
            laguna_sql::put_right(query.as_mut());
            Ok(query)
        }
        Ok(_) => Err(Error::project("the SQL of a check must be a SELECT")
            .hint("the rows it returns are the failures")),
        Err(all) => {
            Err(Error::project(format!("the SQL of a check must be one statement, not {}", all.len())))
        }
    }
}

/// Great Expectations writes `{batch}` where the table stands.
pub(crate) fn batch_as_this(text: &str) -> String {
    text.replace("{batch}", "this")
}

/// The query as text that can stand in parentheses: without its closing semicolon.
pub(crate) fn embeddable(text: &str) -> String {
    text.trim().trim_end_matches(';').trim_end().to_string()
}

/// The lake's tables that the query reads besides `this`.
pub(crate) fn references(text: &str) -> Result<Vec<TableName>> {
    let query = parse(text)?;
    let mut found = BTreeSet::new();
    let wrong = visit_relations(&query, |name| match parts(name).as_slice() {
        [tier, table] => match format!("{tier}.{table}").parse::<TableName>() {
            Ok(table) => {
                found.insert(table);
                ControlFlow::Continue(())
            }
            Err(error) => ControlFlow::Break(error),
        },
        _ => ControlFlow::Continue(()),
    });
    match wrong {
        ControlFlow::Break(error) => Err(error),
        ControlFlow::Continue(()) => Ok(found.into_iter().collect()),
    }
}

/// Whether the query reads `this` and nothing else, once.
pub(crate) fn reads_only_this(query: &Query) -> bool {
    let mut count = 0;
    let others = visit_relations(query, |name| {
        count += 1;
        if parts(name) == ["this"] { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    });
    others.is_continue() && count == 1
}

fn parts(name: &ObjectName) -> Vec<String> {
    name.0
        .iter()
        .filter_map(|part| part.as_ident())
        .map(
            |ident| {
                if ident.quote_style.is_some() { ident.value.clone() } else { ident.value.to_lowercase() }
            },
        )
        .collect()
}

/// The predicate of `SELECT * FROM this WHERE predicate`, if the query is no more than that.
fn row_predicate(query: &Query) -> Option<&ast::Expr> {
    let SetExpr::Select(select) = query.body.as_ref() else { return None };
    let [from] = select.from.as_slice() else { return None };
    let TableFactor::Table { name, alias, args: None, version: None, sample: None, .. } = &from.relation
    else {
        return None;
    };
    let plain_query = query.with.is_none()
        && query.limit_clause.is_none()
        && query.fetch.is_none()
        && query.pipe_operators.is_empty();
    let plain_select = select.distinct.is_none()
        && select.top.is_none()
        && select.into.is_none()
        && select.having.is_none()
        && select.qualify.is_none()
        && select.prewhere.is_none()
        && select.connect_by.is_empty()
        && select.lateral_views.is_empty()
        && matches!(&select.group_by, GroupByExpr::Expressions(by, with) if by.is_empty() && with.is_empty());
    let star = matches!(select.projection.as_slice(), [SelectItem::Wildcard(options)]
        if options.opt_replace.is_none() && options.opt_exclude.is_none() && options.opt_except.is_none());
    let this = parts(name) == ["this"] && alias.is_none() && from.joins.is_empty();
    let predicate = select.selection.as_ref()?;
    let nested = visit_expressions(predicate, |expression| match expression {
        ast::Expr::Subquery(_) | ast::Expr::Exists { .. } | ast::Expr::InSubquery { .. } => {
            ControlFlow::Break(())
        }
        _ => ControlFlow::Continue(()),
    });
    (plain_query && plain_select && star && this && nested.is_continue()).then_some(predicate)
}

/// A session with the functions of SQL and nothing to read.
pub(crate) fn session() -> SessionState {
    let mut config = SessionConfig::new();
    config.options_mut().sql_parser.dialect = Dialect::PostgreSQL;
    SessionStateBuilder::new_with_default_features().with_config(config).build()
}

/// A condition over the unqualified columns of the schema, ready to be judged, and whether it says the same of the same
/// row tomorrow.
pub(crate) fn condition(text: &str, binding: &Binding<'_>) -> Result<(Arc<dyn PhysicalExpr>, bool)> {
    let schema = DFSchema::try_from(binding.schema.as_ref().clone()).map_err(failed)?;
    let unfit = |error: DataFusionError| {
        Error::project("the row condition does not fit the table")
            .hint(error.strip_backtrace())
            .caused_by(error)
    };
    let session = binding.session();
    let mut written = session.sql_to_expr_with_alias(text, &Dialect::PostgreSQL).map_err(unfit)?;
    laguna_sql::put_right(&mut written.expr);
    let expression = session.create_logical_expr_from_sql_expr(written, &schema).map_err(unfit)?;
    let changes = expression.exists(|node| Ok(changes(node))).map_err(failed)?;
    Ok((session.create_physical_expr(expression, &schema).map_err(unfit)?, !changes))
}

/// Whether a function answers differently at another time.
fn changes(node: &Expr) -> bool {
    matches!(node, Expr::ScalarFunction(call) if call.func.signature().volatility != Volatility::Immutable)
}

/// The test, if the query judges each row by itself; `None` if it must run as a query. A
/// column that is not there is an error at once.
pub(crate) fn row_test(text: &str, binding: &Binding<'_>) -> Result<Option<Arc<dyn RowTest>>> {
    let query = parse(text)?;
    let Some(predicate) = row_predicate(&query) else { return Ok(None) };
    let schema = DFSchema::try_from_qualified_schema("this", binding.schema).map_err(failed)?;
    let session = binding.session();
    let typed = ExprWithAlias { expr: predicate.clone(), alias: None };
    let expression = match session.create_logical_expr_from_sql_expr(typed, &schema) {
        Ok(expression) => expression,
        Err(error) => return missing_column(&error, binding).map_or(Ok(None), Err),
    };
    let needs_more = expression
        .exists(|node| {
            Ok(match node {
                Expr::AggregateFunction(_) | Expr::WindowFunction(_) => true,
                _ => changes(node),
            })
        })
        .map_err(failed)?;
    if needs_more {
        return Ok(None);
    }
    if let Ok(other) = expression.get_type(&schema)
        && !matches!(other, DataType::Boolean | DataType::Null)
    {
        return Err(Error::project(format!("the condition of the check is {other}, not true or false")));
    }
    let compiled = session.create_physical_expr(expression, &schema).map_err(|error| {
        Error::project("the condition of the check does not fit the table")
            .hint(error.strip_backtrace())
            .caused_by(error)
    })?;
    Ok(Some(Arc::new(Predicate(compiled))))
}

fn missing_column(error: &DataFusionError, binding: &Binding<'_>) -> Option<Error> {
    match error.find_root() {
        DataFusionError::SchemaError(schema, _) => match schema.as_ref() {
            SchemaError::FieldNotFound { field, .. } => {
                let names: Vec<&str> = binding.schema.fields().iter().map(|f| f.name().as_str()).collect();
                let error = Error::project(format!("there is no column `{}`", field.name));
                Some(match names.iter().find(|name| name.eq_ignore_ascii_case(&field.name)) {
                    Some(quoted) => {
                        error.hint(format!("write \"{quoted}\" in double quotes to keep its case"))
                    }
                    None => error.hint(suggest::hint(&field.name, names.iter())),
                })
            }
            _ => None,
        },
        DataFusionError::Diagnostic(_, inner) => missing_column(inner, binding),
        _ => None,
    }
}

/// A compiled condition: rows for which it is true fail.
struct Predicate(Arc<dyn PhysicalExpr>);

impl RowTest for Predicate {
    fn failing(&self, view: &View<'_>) -> Result<Option<BooleanBuffer>> {
        let answer = self.0.evaluate(view.batch()).and_then(|answer| answer.into_array(view.rows()));
        let answer = answer.map_err(failed)?;
        if answer.data_type() == &DataType::Null {
            return Ok(None);
        }
        let answer = answer.as_boolean();
        Ok(any(match answer.nulls() {
            Some(nulls) => answer.values() & nulls.inner(),
            None => answer.values().clone(),
        }))
    }
}
