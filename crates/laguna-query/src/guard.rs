//! What a statement may be: one, parsed, and unable to write or to reach outside the lake.

use std::collections::HashMap;
use std::ops::ControlFlow;

use datafusion::common::TableReference;
use datafusion::sql::parser::{DFParserBuilder, Statement};
use datafusion::sql::planner::object_name_to_table_reference;
use datafusion::sql::sqlparser::ast::{
    ObjectName, Query, SetExpr, Statement as Ast, TableFactor, Visit, Visitor,
};
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use laguna_base::{Error, Result};

use crate::errors::{LABEL, read_only, translate};
use crate::{sets, using};

/// Nesting that a statement may have.
const DEPTH: usize = 128;

/// Parses exactly one statement and refuses all that is not reading.
pub(crate) fn parse(sql: &str) -> Result<Statement> {
    let mut statements = DFParserBuilder::new(sql)
        .with_dialect(&PostgreSqlDialect {})
        .with_recursion_limit(DEPTH)
        .build()
        .and_then(|mut parser| parser.parse_statements())
        .map_err(|error| at_end(translate(error), sql))?;
    let mut statement = statements.pop_front().ok_or_else(|| {
        Error::project("there is no statement in the text").sqlstate("42601").hint("write a SELECT")
    })?;
    if !statements.is_empty() {
        return Err(Error::project("only one statement can run at a time")
            .sqlstate("42601")
            .hint("put several into a file and use `laguna query -f FILE`"));
    }
    check(&statement)?;
    if let Some(ast) = innermost_mut(&mut statement) {
        laguna_sql::put_right(ast);
        sets::count(ast)?;
        using::merge(ast)?;
    }
    Ok(statement)
}

/// Syntax errors without a place are about the end of the text.
fn at_end(error: Error, sql: &str) -> Error {
    let text = sql.trim_end();
    let line = text.matches('\n').count() + 1;
    let column = text.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    error.at(LABEL, line, column)
}

fn check(statement: &Statement) -> Result<()> {
    match statement {
        Statement::Statement(ast) => check_ast(ast),
        Statement::Explain(explain) => check(&explain.statement),
        Statement::CopyTo(_) | Statement::CreateExternalTable(_) | Statement::Reset(_) => Err(read_only()),
    }
}

fn check_ast(ast: &Ast) -> Result<()> {
    match ast {
        Ast::Query(_)
        | Ast::ExplainTable { .. }
        | Ast::ShowTables { .. }
        | Ast::ShowColumns { .. }
        | Ast::ShowFunctions { .. }
        | Ast::ShowVariable { .. }
        | Ast::ShowVariables { .. } => {}
        Ast::Explain { statement, .. } => check_ast(statement)?,
        Ast::Set(_)
        | Ast::Use(_)
        | Ast::StartTransaction { .. }
        | Ast::Commit { .. }
        | Ast::Rollback { .. }
        | Ast::Prepare { .. }
        | Ast::Execute { .. }
        | Ast::Deallocate { .. }
        | Ast::ShowSchemas { .. }
        | Ast::ShowDatabases { .. }
        | Ast::ShowViews { .. }
        | Ast::ShowCreate { .. } => return Err(no_such_statement(ast)),
        _ => return Err(read_only()),
    }
    match ast.visit(&mut Guard) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error),
    }
}

/// The refusal of what writes nothing and means nothing here either.
fn no_such_statement(ast: &Ast) -> Error {
    let text = ast.to_string().to_uppercase();
    let words: Vec<&str> =
        text.split_whitespace().take(if text.starts_with("SHOW") { 2 } else { 1 }).collect();
    Error::project(format!("{} is not available here", words.join(" ")))
        .sqlstate("0A000")
        .hint("a query may SELECT, EXPLAIN, DESCRIBE and SHOW TABLES, COLUMNS or FUNCTIONS")
}

/// Finds what hides inside a query.
struct Guard;

impl Visitor for Guard {
    type Break = Error;

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<Error> {
        match query.body.as_ref() {
            SetExpr::Insert(_) | SetExpr::Update(_) | SetExpr::Delete(_) | SetExpr::Merge(_) => {
                ControlFlow::Break(read_only())
            }
            SetExpr::Select(select) if select.into.is_some() => ControlFlow::Break(read_only()),
            _ => ControlFlow::Continue(()),
        }
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<Error> {
        let TableFactor::Table { name, version: Some(_), .. } = factor else {
            return ControlFlow::Continue(());
        };
        // The planner would silently read the head.
        let error =
            Error::project(format!("the version of `{name}` is written in a way that is not known here"))
                .hint("write FOR TIMESTAMP AS OF '2026-11-22T06:00:00Z' or FOR VERSION AS OF 3");
        ControlFlow::Break(located(error, name))
    }

    fn pre_visit_statement(&mut self, statement: &Ast) -> ControlFlow<Error> {
        match statement {
            Ast::Insert(_) | Ast::Update(_) | Ast::Delete(_) | Ast::Merge(_) => {
                ControlFlow::Break(read_only())
            }
            _ => ControlFlow::Continue(()),
        }
    }
}

fn located(error: Error, name: &ObjectName) -> Error {
    match name.0.first().and_then(|part| part.as_ident()) {
        Some(ident) if ident.span.start.line > 0 => {
            error.at(LABEL, ident.span.start.line as usize, ident.span.start.column as usize)
        }
        _ => error,
    }
}

/// The functions that stand where tables do, as in `FROM generate_series(1, 9)`, with their places.
pub(crate) fn table_functions(statement: &Statement) -> HashMap<String, (usize, usize)> {
    struct Functions(HashMap<String, (usize, usize)>);
    impl Visitor for Functions {
        type Break = ();
        fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
            if let TableFactor::Table { name, args: Some(_), .. } = factor
                && let [part] = name.0.as_slice()
                && let Some(ident) = part.as_ident()
            {
                let start = ident.span.start;
                let place = (start.line as usize, start.column as usize);
                self.0.entry(ident.value.to_lowercase()).or_insert(place);
            }
            ControlFlow::Continue(())
        }
    }
    let mut functions = Functions(HashMap::new());
    if let Some(ast) = innermost(statement) {
        let _ = ast.visit(&mut functions);
    }
    functions.0
}

/// The statement that EXPLAIN explains, or the statement itself.
fn innermost(statement: &Statement) -> Option<&Ast> {
    let mut inner = statement;
    while let Statement::Explain(explain) = inner {
        inner = &explain.statement;
    }
    match inner {
        Statement::Statement(ast) => Some(ast),
        _ => None,
    }
}

fn innermost_mut(statement: &mut Statement) -> Option<&mut Ast> {
    match statement {
        Statement::Explain(explain) => innermost_mut(&mut explain.statement),
        Statement::Statement(ast) => Some(ast),
        _ => None,
    }
}

/// Line and column (from 1) of the first mention of each table.
pub(crate) fn places(statement: &Statement) -> HashMap<TableReference, (usize, usize)> {
    struct Places(HashMap<TableReference, (usize, usize)>);
    impl Visitor for Places {
        type Break = ();
        fn pre_visit_relation(&mut self, name: &ObjectName) -> ControlFlow<()> {
            if let (Some(ident), Ok(reference)) = (
                name.0.first().and_then(|part| part.as_ident()),
                object_name_to_table_reference(name.clone(), true),
            ) {
                let start = ident.span.start;
                self.0.entry(reference).or_insert((start.line as usize, start.column as usize));
            }
            ControlFlow::Continue(())
        }
    }
    let mut places = Places(HashMap::new());
    if let Some(ast) = innermost(statement) {
        let _ = ast.visit(&mut places);
    }
    places.0
}
