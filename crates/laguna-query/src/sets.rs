//! `INTERSECT ALL` and `EXCEPT ALL`: the first with the first, the second with the second (ISO/IEC 9075-2, 7.17 <query
//! expression>). The engine keeps or drops all rows that are equal to one of the other side.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::*;
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::parser::Parser;
use laguna_base::{Error, Result};

/// Numbers equal rows on both sides, so that the sets that remain say how often there is one.
pub(crate) fn count(ast: &mut Statement) -> Result<()> {
    struct Counter;
    impl VisitorMut for Counter {
        type Break = Error;
        fn post_visit_query(&mut self, query: &mut Query) -> ControlFlow<Error> {
            match in_body(&mut query.body) {
                Ok(()) => ControlFlow::Continue(()),
                Err(error) => ControlFlow::Break(error),
            }
        }
    }
    match VisitMut::visit(ast, &mut Counter) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error),
    }
}

fn in_body(body: &mut SetExpr) -> Result<()> {
    let SetExpr::SetOperation { op, set_quantifier, left, right } = body else { return Ok(()) };
    in_body(left)?;
    in_body(right)?;
    if *set_quantifier != SetQuantifier::All || !matches!(op, SetOperator::Intersect | SetOperator::Except) {
        return Ok(());
    }
    let refusal = || {
        Error::project(format!("{op} ALL of a `*` is not supported"))
            .sqlstate("0A000")
            .hint(format!("name the columns, or write {op}"))
    };
    let names = names(left).ok_or_else(refusal)?;
    let columns: Vec<String> = (0..names.len()).map(|index| format!("c{index}__")).collect();
    let columns = columns.join(", ");
    let side = |side: &SetExpr, name: &str| {
        format!(
            "SELECT {columns}, row_number() OVER (PARTITION BY {columns}) AS n__ FROM ({side}) AS {name} ({columns})"
        )
    };
    let shown: Vec<String> =
        names.iter().enumerate().map(|(index, name)| format!("c{index}__ AS {name}")).collect();
    let counted = format!(
        "SELECT {} FROM ({} {op} {}) AS m__",
        shown.join(", "),
        side(left, "l__"),
        side(right, "r__")
    );
    let parsed = Parser::parse_sql(&PostgreSqlDialect {}, &counted);
    if let Ok([Statement::Query(query)]) = parsed.as_deref() {
        *body = query.body.as_ref().clone();
    }
    Ok(())
}

/// What the columns of a query are called; `None` where it has all of a table.
fn names(body: &SetExpr) -> Option<Vec<Ident>> {
    match body {
        SetExpr::Select(select) => select.projection.iter().map(name_of).collect(),
        SetExpr::SetOperation { left, .. } => names(left),
        SetExpr::Query(query) => names(&query.body),
        SetExpr::Values(values) => {
            let row = values.rows.first()?;
            Some((1..=row.content.len()).map(|index| Ident::new(format!("column{index}"))).collect())
        }
        _ => None,
    }
}

fn name_of(item: &SelectItem) -> Option<Ident> {
    match item {
        SelectItem::ExprWithAlias { alias, .. } => Some(alias.clone()),
        SelectItem::UnnamedExpr(Expr::Identifier(name)) => Some(name.clone()),
        SelectItem::UnnamedExpr(Expr::CompoundIdentifier(parts)) => parts.last().cloned(),
        SelectItem::UnnamedExpr(expr) => Some(Ident::with_quote('"', expr.to_string().replace('"', ""))),
        _ => None,
    }
}
