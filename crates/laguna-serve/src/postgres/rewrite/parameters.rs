//! What the places of parameters say about their types, and lists that must be known before the statement runs.

use std::ops::ControlFlow;

use datafusion::scalar::ScalarValue;
use datafusion::sql::sqlparser::ast::*;

use super::{catalog, last_name, sql, text, unnamed};
use crate::postgres::types;

const FLOAT8: u32 = 701;

/// The number of a placeholder, from 1.
pub(super) fn placeholder(expr: &Expr) -> Option<usize> {
    match expr {
        Expr::Value(value) => match &value.value {
            Value::Placeholder(name) => name.trim_start_matches('$').parse().ok(),
            _ => None,
        },
        Expr::Nested(inner) => placeholder(inner),
        _ => None,
    }
}

/// The types of parameters by their numbers, as far as casts, clauses and functions say them.
pub(in crate::postgres) fn types_of(statement: &Statement) -> Vec<(usize, u32)> {
    let mut found = Places(Vec::new());
    let _ = statement.visit(&mut found);
    found.0
}

/// The parameters that stand for the list of an `= ANY` or `<> ALL`.
pub(in crate::postgres) fn lists(statement: &Statement) -> Vec<usize> {
    let mut lists = Vec::new();
    let _: ControlFlow<()> = visit_expressions(statement, |expr: &Expr| {
        if let Some((_, number, _)) = among(expr) {
            lists.push(number);
        }
        ControlFlow::Continue(())
    });
    lists
}

/// The number of a placeholder, which may be cast.
pub(super) fn cast_placeholder(expr: &Expr) -> Option<usize> {
    match expr {
        Expr::Cast { expr, .. } => placeholder(expr),
        Expr::Nested(inner) => cast_placeholder(inner),
        expr => placeholder(expr),
    }
}

/// What is looked for in a parameter, its number, and whether it is to be found there.
fn among(expr: &Expr) -> Option<(&Expr, usize, bool)> {
    match expr {
        Expr::AnyOp { left, compare_op: BinaryOperator::Eq, right, .. } => {
            Some((left, cast_placeholder(right)?, true))
        }
        Expr::AllOp { left, compare_op: BinaryOperator::NotEq, right } => {
            Some((left, cast_placeholder(right)?, false))
        }
        _ => None,
    }
}

/// Puts the lists of `= ANY` and `<> ALL` in their place; before they are known, one value stands for each, so that the
/// engine tells its type.
pub(in crate::postgres) fn fill_lists(statement: &mut Statement, values: &[ScalarValue]) {
    let _: ControlFlow<()> = visit_expressions_mut(statement, |expr: &mut Expr| {
        let Some((item, number, wanted)) = among(expr) else { return ControlFlow::Continue(()) };
        let operator = if wanted { "=" } else { "<>" };
        let changed = match values.get(number.wrapping_sub(1)) {
            None => sql(&format!("{item} {operator} ${number}")),
            Some(list) => match items(list) {
                Items::Null => sql("CAST(NULL AS BOOLEAN)"),
                Items::Some(items) if items.is_empty() => sql(if wanted { "false" } else { "true" }),
                Items::Some(items) => {
                    let not = if wanted { "" } else { "NOT " };
                    sql(&format!("{item} {not}IN ({})", items.join(", ")))
                }
                Items::None => return ControlFlow::Continue(()),
            },
        };
        *expr = changed;
        ControlFlow::Continue(())
    });
}

enum Items {
    Null,
    Some(Vec<String>),
    /// The parameter is no list.
    None,
}

/// The items of a list as SQL.
fn items(list: &ScalarValue) -> Items {
    let array = match list {
        ScalarValue::List(list) => list,
        ScalarValue::Null => return Items::Null,
        // As a client writes it that knows no types: `{a,b}`.
        ScalarValue::Utf8(written) | ScalarValue::Utf8View(written) => {
            let Some(written) = written else { return Items::Null };
            return match super::list_items(written) {
                Some(items) => Items::Some(items),
                None => Items::None,
            };
        }
        _ => return Items::None,
    };
    use datafusion::arrow::array::Array;
    if array.is_null(0) {
        return Items::Null;
    }
    let values = array.value(0);
    let item = |index: usize| -> Option<String> {
        let value = ScalarValue::try_from_array(&values, index).ok()?;
        if value.is_null() {
            return Some("NULL".to_string());
        }
        Some(match &value {
            ScalarValue::Utf8(Some(it))
            | ScalarValue::Utf8View(Some(it))
            | ScalarValue::LargeUtf8(Some(it)) => text(it).to_string(),
            ScalarValue::Boolean(Some(flag)) => flag.to_string(),
            value if value.data_type().is_numeric() => format!("({value})"),
            value => {
                let shown = datafusion::arrow::util::display::array_value_to_string(&values, index).ok()?;
                let name = catalog::type_name(types::oid(&value.data_type()))?;
                format!("CAST({} AS {name})", text(&shown))
            }
        })
    };
    match (0..values.len()).map(item).collect() {
        Some(items) => Items::Some(items),
        None => Items::None,
    }
}

/// The type that a cast says.
fn oid_of(data_type: &DataType) -> Option<u32> {
    match data_type {
        DataType::Uuid => Some(2950),
        // The name of something in the catalog, which is looked up before the statement runs.
        DataType::Regclass => Some(types::TEXT),
        DataType::Custom(name, _) if last_name(name).starts_with("reg") => Some(types::TEXT),
        DataType::JSON => Some(types::JSON),
        DataType::JSONB => Some(types::JSONB),
        DataType::Array(ArrayElemTypeDef::SquareBracket(item, _) | ArrayElemTypeDef::AngleBracket(item)) => {
            oid_of(item).map(types::array_of)
        }
        other => catalog::type_oid(&super::written_type(other))
            .or_else(|| catalog::type_oid(&super::type_name(other))),
    }
}

struct Places(Vec<(usize, u32)>);

impl Places {
    fn is(&mut self, expr: &Expr, oid: u32) {
        if let Some(number) = placeholder(expr) {
            self.0.push((number, oid));
        }
    }

    fn arguments(&mut self, name: &str, arguments: &[&Expr]) {
        let places: &[(usize, u32)] = match name {
            "left" | "right" | "repeat" | "round" | "trunc" | "lag" | "lead" | "nth_value" | "lpad"
            | "rpad" => &[(1, types::INT4)],
            "substr" | "substring" => &[(1, types::INT4), (2, types::INT4)],
            "split_part" => &[(2, types::INT4)],
            "ntile" | "chr" => &[(0, types::INT4)],
            "percentile_cont" | "sqrt" | "exp" | "ln" | "setseed" => &[(0, FLOAT8)],
            "power" | "pow" => &[(0, FLOAT8), (1, FLOAT8)],
            "generate_series" => &[(0, types::INT8), (1, types::INT8), (2, types::INT8)],
            "make_date" => &[(0, types::INT4), (1, types::INT4), (2, types::INT4)],
            "to_timestamp" if arguments.len() == 1 => &[(0, FLOAT8)],
            "coalesce" | "greatest" | "least" | "nullif" => {
                let number = arguments.iter().find_map(|argument| match argument {
                    Expr::Value(value) => match &value.value {
                        Value::Number(written, _) if written.contains(['.', 'e', 'E']) => Some(FLOAT8),
                        Value::Number(..) => Some(types::INT4),
                        Value::Boolean(_) => Some(types::BOOL),
                        _ => None,
                    },
                    _ => None,
                });
                if let Some(oid) = number {
                    arguments.iter().for_each(|argument| self.is(argument, oid));
                }
                return;
            }
            _ => return,
        };
        for (index, oid) in places {
            if let Some(argument) = arguments.get(*index) {
                self.is(argument, *oid);
            }
        }
    }
}

impl Visitor for Places {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        if let Some(LimitClause::LimitOffset { limit, offset, .. }) = &query.limit_clause {
            limit.iter().for_each(|limit| self.is(limit, types::INT8));
            offset.iter().for_each(|offset| self.is(&offset.value, types::INT8));
        }
        if let Some(quantity) = query.fetch.as_ref().and_then(|fetch| fetch.quantity.as_ref()) {
            self.is(quantity, types::INT8);
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<()> {
        for condition in [&select.selection, &select.having].into_iter().flatten() {
            self.is(condition, types::BOOL);
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        match expr {
            Expr::Cast { expr, data_type, .. } => {
                if let Some(oid) = oid_of(data_type) {
                    self.is(expr, oid);
                }
            }
            Expr::UnaryOp { op: UnaryOperator::Not, expr } => self.is(expr, types::BOOL),
            Expr::BinaryOp { left, op: BinaryOperator::And | BinaryOperator::Or, right } => {
                self.is(left, types::BOOL);
                self.is(right, types::BOOL);
            }
            Expr::BinaryOp { left, op: BinaryOperator::Multiply, right } => {
                match (left.as_ref(), right.as_ref()) {
                    (number, Expr::Interval(_)) | (Expr::Interval(_), number) => self.is(number, FLOAT8),
                    _ => {}
                }
            }
            Expr::Case { operand: None, conditions, .. } => {
                conditions.iter().for_each(|when| self.is(&when.condition, types::BOOL));
            }
            Expr::Substring { substring_from, substring_for, .. } => {
                for place in [substring_from, substring_for].into_iter().flatten() {
                    self.is(place, types::INT4);
                }
            }
            Expr::Function(function) => {
                if let FunctionArguments::List(list) = &function.args {
                    let arguments: Option<Vec<&Expr>> = list.args.iter().map(unnamed).collect();
                    self.arguments(&last_name(&function.name), &arguments.unwrap_or_default());
                }
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
        if let TableFactor::Table { name, args: Some(args), .. } = factor
            && last_name(name) == "generate_series"
        {
            args.args.iter().filter_map(unnamed).for_each(|expr| self.is(expr, types::INT8));
        }
        ControlFlow::Continue(())
    }
}
