//! What a text of SQL says, where the parser takes it for something else.
//!
//! `a IS DISTINCT FROM b AND c` is `(a IS DISTINCT FROM b) AND c` in SQL (`IS` binds closer than `NOT`, `AND` and `OR`); the
//! parser reads `a IS DISTINCT FROM (b AND c)`. Parentheses that were written are nodes of their own, so that what stands in
//! none can be put right afterwards.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{BinaryOperator, Expr, Ident, UnaryOperator, VisitMut, VisitorMut};

/// Puts right what the parser read: a statement, or an expression.
pub fn put_right(parsed: &mut impl VisitMut) {
    struct Closer;
    impl VisitorMut for Closer {
        type Break = ();
        fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
            close(expr);
            ControlFlow::Continue(())
        }
    }
    let _ = parsed.visit(&mut Closer);
}

/// Lets an operator that binds closer than what its operand was taken for have only the first part of that.
fn close(expr: &mut Expr) {
    let (operand, looser): (&mut Expr, fn(&BinaryOperator) -> bool) = match expr {
        Expr::IsDistinctFrom(_, operand) | Expr::IsNotDistinctFrom(_, operand) => (operand, is_logical),
        Expr::UnaryOp { op: UnaryOperator::Not, expr: operand } => (operand, is_logical),
        Expr::BinaryOp { op: BinaryOperator::And, right, .. } => {
            (right, |op| matches!(op, BinaryOperator::Or | BinaryOperator::Xor))
        }
        _ => return,
    };
    let Expr::BinaryOp { left, op, .. } = operand else { return };
    if !looser(op) {
        return;
    }
    // What is left of the looser operator is the operand; the whole becomes what is left of it.
    let first = std::mem::replace(left.as_mut(), nothing());
    let rest = std::mem::replace(operand, first);
    let own = std::mem::replace(expr, rest);
    if let Expr::BinaryOp { left, .. } = expr {
        **left = own;
        close(left);
    }
}

fn is_logical(op: &BinaryOperator) -> bool {
    matches!(op, BinaryOperator::And | BinaryOperator::Or | BinaryOperator::Xor)
}

fn nothing() -> Expr {
    Expr::Value(datafusion::sql::sqlparser::ast::Value::Null.into())
}

/// Whether two names mean the same: without quotes they are in lower case.
pub fn is_same(one: &Ident, other: &Ident) -> bool {
    let name = |ident: &Ident| match ident.quote_style {
        Some(_) => ident.value.clone(),
        None => ident.value.to_lowercase(),
    };
    name(one) == name(other)
}

#[cfg(test)]
mod tests {
    use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
    use datafusion::sql::sqlparser::parser::Parser;

    use super::*;

    fn parsed(text: &str) -> Expr {
        Parser::new(&PostgreSqlDialect {}).try_with_sql(text).unwrap().parse_expr().unwrap()
    }

    /// An expression with all its parentheses.
    fn written(expr: &Expr) -> String {
        match expr {
            Expr::Nested(inner) => written(inner),
            Expr::BinaryOp { left, op, right } => format!("({} {op} {})", written(left), written(right)),
            Expr::IsDistinctFrom(left, right) => format!("({} D {})", written(left), written(right)),
            Expr::IsNotDistinctFrom(left, right) => format!("({} N {})", written(left), written(right)),
            Expr::UnaryOp { op, expr } => format!("({op} {})", written(expr)),
            expr => expr.to_string(),
        }
    }

    #[test]
    fn distinct_binds_closer_than_and_or_and_not() {
        for (text, meant) in [
            ("a IS DISTINCT FROM b AND c", "((a D b) AND c)"),
            ("a IS NOT DISTINCT FROM b OR c AND d", "((a N b) OR (c AND d))"),
            ("a IS DISTINCT FROM b AND c OR d", "(((a D b) AND c) OR d)"),
            ("x AND a IS DISTINCT FROM b OR c", "((x AND (a D b)) OR c)"),
            ("x AND a IS DISTINCT FROM b AND c OR d", "((x AND ((a D b) AND c)) OR d)"),
            ("NOT a IS DISTINCT FROM b AND c", "((NOT (a D b)) AND c)"),
            ("NOT a IS DISTINCT FROM b", "(NOT (a D b))"),
            ("a IS DISTINCT FROM (b AND c)", "(a D (b AND c))"),
            ("a IS DISTINCT FROM b AND c IS DISTINCT FROM d OR e", "(((a D b) AND (c D d)) OR e)"),
            ("x OR a IS DISTINCT FROM b AND c", "(x OR ((a D b) AND c))"),
            ("a IS DISTINCT FROM b + 1", "(a D (b + 1))"),
            ("x AND (y OR z)", "(x AND (y OR z))"),
        ] {
            let mut expr = parsed(text);
            put_right(&mut expr);
            assert_eq!(written(&expr), meant, "{text}");
        }
    }
}
