//! Operators and functions of documents.

use datafusion::sql::sqlparser::ast::*;

use super::{Rewriter, constant, last_name, sql, text};

/// Whether an expression is a document for sure.
pub(super) fn is_document(expr: &Expr) -> bool {
    match expr {
        Expr::Cast { data_type, .. } => matches!(data_type, DataType::JSON | DataType::JSONB),
        Expr::Nested(inner) => is_document(inner),
        Expr::BinaryOp { op: BinaryOperator::Arrow | BinaryOperator::HashArrow, .. } => true,
        Expr::Function(function) => {
            let name = last_name(&function.name);
            let made = [
                "to_json",
                "row_to_json",
                "json_build_object",
                "json_build_array",
                "json_agg",
                "json_object_agg",
            ];
            name.starts_with("pg_json")
                || name.ends_with("_strip_nulls")
                || name == "jsonb_set"
                || made.contains(&name.replace("jsonb", "json").as_str())
        }
        _ => false,
    }
}

/// An operator between a document and what is looked for in it.
pub(super) fn operator(left: &Expr, op: &BinaryOperator, right: &Expr) -> Option<Expr> {
    let looks_like = |expr: &Expr| {
        constant(expr).is_some_and(|text| text.trim_start().starts_with(['{', '[']) && text.contains('"'))
    };
    let function = match op {
        BinaryOperator::Arrow => "pg_json_get",
        BinaryOperator::LongArrow => "pg_json_get_text",
        BinaryOperator::HashArrow => "pg_json_path",
        BinaryOperator::HashLongArrow => "pg_json_path_text",
        BinaryOperator::Question => "pg_json_has",
        BinaryOperator::StringConcat
            if is_document(left) && (is_document(right) || looks_like(right))
                || is_document(right) && looks_like(left) =>
        {
            "pg_jsonb_concat"
        }
        BinaryOperator::Minus if is_document(left) && !is_document(right) => "pg_jsonb_without",
        BinaryOperator::QuestionPipe | BinaryOperator::QuestionAnd => {
            let Expr::Array(array) = right else { return None };
            let word = if *op == BinaryOperator::QuestionPipe { " OR " } else { " AND " };
            let all: Vec<String> =
                array.elem.iter().map(|item| format!("pg_json_has({left}, {item})")).collect();
            return (!all.is_empty()).then(|| sql(&format!("({})", all.join(word))));
        }
        BinaryOperator::AtArrow if is_document(left) || is_document(right) || looks_like(right) => {
            "pg_json_contains"
        }
        BinaryOperator::ArrowAt if is_document(left) || is_document(right) || looks_like(left) => {
            return Some(sql(&format!("pg_json_contains({right}, {left})")));
        }
        _ => return None,
    };
    Some(sql(&format!("{function}({left}, {right})")))
}

impl Rewriter<'_> {
    pub(super) fn json_function(&self, name: &str, function: &Function, arguments: &[Expr]) -> Option<Expr> {
        let plain = name.replace("jsonb", "json");
        let kind = if name.starts_with("jsonb") { "jsonb" } else { "json" };
        Some(match (plain.as_str(), arguments) {
            ("json_agg", [value]) => {
                let (list, raw) = match self.row(value) {
                    Some(row) => (listed(function, &row)?, true),
                    None => (listed(function, value)?, is_document(value)),
                };
                sql(&format!("pg_{kind}_list({list}, {raw})"))
            }
            ("json_object_agg", [key, value]) => {
                let (keys, values) = (listed(function, key)?, listed(function, value)?);
                sql(&format!("pg_{kind}_lists({keys}, {values}, {})", is_document(value)))
            }
            ("row_to_json" | "to_json", [value, ..]) => self.row(value)?,
            ("json_array_elements", [value]) => sql(&format!("unnest(pg_json_elements({value}))")),
            ("json_array_elements_text", [value]) => sql(&format!("unnest(pg_json_elements_text({value}))")),
            ("json_object_keys", [value]) => sql(&format!("unnest(pg_json_keys({value}))")),
            ("json_extract_path", [value, path @ ..]) => {
                sql(&format!("pg_json_path({value}, {})", array(path)))
            }
            ("json_extract_path_text", [value, path @ ..]) => {
                sql(&format!("pg_json_path_text({value}, {})", array(path)))
            }
            _ => return None,
        })
    }

    /// A row of a derived table, named by its alias, as a document.
    fn row(&self, value: &Expr) -> Option<Expr> {
        let Expr::Identifier(alias) = value else { return None };
        let (_, columns) = self.rows.iter().rev().find(|(known, _)| known.value == alias.value)?;
        let members = columns.iter().map(|column| format!("{}, {alias}.{column}", text(&column.value)));
        Some(sql(&format!("pg_json_row({})", members.collect::<Vec<_>>().join(", "))))
    }
}

fn array(items: &[Expr]) -> String {
    let items: Vec<String> = items.iter().map(ToString::to_string).collect();
    format!("ARRAY[{}]", items.join(", "))
}

/// `array_agg` of one argument with the clauses of an aggregate's call.
pub(super) fn listed(function: &Function, value: &Expr) -> Option<Function> {
    let mut listed = function.clone();
    listed.name = ObjectName::from(vec![Ident::new("array_agg")]);
    let FunctionArguments::List(list) = &mut listed.args else { return None };
    list.args = vec![FunctionArg::Unnamed(FunctionArgExpr::Expr(value.clone()))];
    Some(listed)
}

/// The names of a query's columns, where each has one.
pub(super) fn columns_of(query: &Query) -> Option<Vec<Ident>> {
    let SetExpr::Select(select) = query.body.as_ref() else { return None };
    let name = |item: &SelectItem| match item {
        SelectItem::ExprWithAlias { alias, .. } => Some(alias.clone()),
        SelectItem::UnnamedExpr(Expr::Identifier(ident)) => Some(ident.clone()),
        SelectItem::UnnamedExpr(Expr::CompoundIdentifier(parts)) => parts.last().cloned(),
        _ => None,
    };
    select.projection.iter().map(name).collect()
}
