//! Row rules: one condition over the columns of one table, which a role's rows must meet.

use std::ops::ControlFlow;

use arrow::datatypes::DataType;
use datafusion::common::DFSchema;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::error::DataFusionError;
use datafusion::execution::context::SessionState;
use datafusion::logical_expr::{Expr, ExprSchemable, Volatility};
use datafusion::sql::sqlparser::ast::{Expr as Ast, ExprWithAlias, Query, Visit, Visitor};
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::Token;
use laguna_base::{Error, Result};

use crate::translate;

/// Nesting that a rule may have.
const DEPTH: usize = 64;

/// Checks what can be known of a rule without its table: it is one expression, and reads no other table.
pub(crate) fn check_text(text: &str) -> Result<()> {
    if text.trim().is_empty() {
        return Err(Error::project("the condition is empty").hint(EXAMPLE));
    }
    match parsed(text)?.visit(&mut OneTable) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => Err(not_scalar("a subquery or a window")),
    }
}

const EXAMPLE: &str = "write a condition over the table's own columns, such as \"country = 'NL'\"";

/// Finds what reaches beyond one row.
struct OneTable;

impl Visitor for OneTable {
    type Break = ();

    fn pre_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
        ControlFlow::Break(())
    }

    fn pre_visit_expr(&mut self, expression: &Ast) -> ControlFlow<()> {
        match expression {
            Ast::Function(function) if function.over.is_some() => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        }
    }
}

fn not_scalar(what: &str) -> Error {
    Error::project(format!("{what} cannot stand in it")).hint(EXAMPLE)
}

fn parsed(text: &str) -> Result<Ast> {
    let mut expression = Parser::new(&PostgreSqlDialect {})
        .with_recursion_limit(DEPTH)
        .try_with_sql(text)
        .and_then(|mut parser| {
            let expression = parser.parse_expr()?;
            match parser.peek_token().token {
                Token::EOF => Ok(expression),
                more => Err(ParserError::ParserError(format!("`{more}` stands after its end"))),
            }
        })
        .map_err(|error| {
            let error = translate(DataFusionError::SQL(Box::new(error), None));
            Error::project(format!("the condition cannot be read: {}", error.message())).hint(EXAMPLE)
        })?;
    laguna_sql::put_right(&mut expression);
    Ok(expression)
}

/// The rule `text` as a condition over the columns of `schema`.
pub(crate) fn planned(text: &str, schema: &DFSchema, state: &SessionState) -> Result<Expr> {
    let written = ExprWithAlias { expr: parsed(text)?, alias: None };
    let expression = state.create_logical_expr_from_sql_expr(written, schema).map_err(translate)?;
    let mut wrong = None;
    expression
        .apply(|part| {
            wrong = match part {
                Expr::Alias(_)
                | Expr::Column(_)
                | Expr::Literal(..)
                | Expr::BinaryExpr(_)
                | Expr::Like(_)
                | Expr::SimilarTo(_)
                | Expr::Not(_)
                | Expr::IsNotNull(_)
                | Expr::IsNull(_)
                | Expr::IsTrue(_)
                | Expr::IsFalse(_)
                | Expr::IsUnknown(_)
                | Expr::IsNotTrue(_)
                | Expr::IsNotFalse(_)
                | Expr::IsNotUnknown(_)
                | Expr::Negative(_)
                | Expr::Between(_)
                | Expr::Case(_)
                | Expr::Cast(_)
                | Expr::TryCast(_)
                | Expr::InList(_) => None,
                Expr::ScalarFunction(function) => {
                    // Asked often enough, a rule of chance shows every row.
                    let volatile = function.func.signature().volatility == Volatility::Volatile;
                    volatile.then(|| {
                        format!(
                            "the function `{}`, which answers differently each time,",
                            function.func.name()
                        )
                    })
                }
                Expr::AggregateFunction(_) => Some("an aggregate".to_string()),
                Expr::Placeholder(_) => Some("a parameter".to_string()),
                _ => Some("something that is no value of one row".to_string()),
            };
            Ok(if wrong.is_some() { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
        })
        .map_err(translate)?;
    if let Some(what) = wrong {
        return Err(not_scalar(&what));
    }
    match expression.get_type(schema).map_err(translate)? {
        DataType::Boolean | DataType::Null => Ok(expression),
        other => Err(Error::project(format!("it is of type {other}, not true or false")).hint(EXAMPLE)),
    }
}
