//! Selects from the catalog's empty tables, and subqueries that stand for a value or an array.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::*;

use super::{catalog, last_name, sql};

/// Whether a select reads a table of the catalog that never has rows in such a way that it has none either.
pub(super) fn reads_nothing(select: &Select) -> bool {
    let factor = |factor: &TableFactor| match factor {
        TableFactor::Table { name, args: None, .. } => is_empty(name),
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

/// Whether it names a relation of the system that never has rows.
fn is_empty(name: &ObjectName) -> bool {
    let schema = name.0.len().checked_sub(2).and_then(|at| name.0[at].as_ident());
    catalog::is_empty(schema.map(|schema| schema.value.to_lowercase()).as_deref(), &last_name(name))
}

pub(super) fn mentions(expr: &Expr, names: &[&str]) -> bool {
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

pub(super) const AGGREGATES: [&str; 8] =
    ["count", "sum", "min", "max", "avg", "array_agg", "string_agg", "json_agg"];

/// `ARRAY(SELECT …)`.
pub(super) fn array_of(query: &Query) -> Expr {
    let empty = || sql("CAST(ARRAY[] AS TEXT[])");
    let mut query = query.clone();
    let SetExpr::Select(select) = query.body.as_mut() else { return empty() };
    // What is made of a column's own array is empty where the catalog has no arrays.
    if reads_nothing(select) || select.from.iter().any(|table| is_of_columns(&table.relation)) {
        return empty();
    }
    // A list item by item is the list.
    if select.from.is_empty()
        && let [
            SelectItem::UnnamedExpr(Expr::Function(call))
            | SelectItem::ExprWithAlias { expr: Expr::Function(call), .. },
        ] = select.projection.as_slice()
        && let Some(list) = super::lateral::list_of(call)
    {
        return list;
    }
    let order = query.order_by.take();
    let of_rows = query.limit_clause.is_none()
        && query.fetch.is_none()
        && select.distinct.is_none()
        && select.having.is_none()
        && matches!(&select.group_by, GroupByExpr::Expressions(by, _) if by.is_empty());
    match select.projection.as_mut_slice() {
        [SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. }]
            if of_rows && !mentions(expr, &AGGREGATES) =>
        {
            let order = order.map(|order| format!(" {order}")).unwrap_or_default();
            *expr = sql(&format!("array_agg({expr}{order})"));
            Expr::Subquery(Box::new(query))
        }
        [_] => {
            query.order_by = order;
            sql(&format!("(SELECT array_agg(pg_v__) FROM ({query}) AS pg_a__ (pg_v__))"))
        }
        _ => empty(),
    }
}

/// Whether it is a function of columns of tables around it.
pub(super) fn is_of_columns(factor: &TableFactor) -> bool {
    let mut found = false;
    let of = |expr: &Expr, found: &mut bool| {
        *found |= visit_expressions(expr, |part: &Expr| match part {
            Expr::Identifier(_) | Expr::CompoundIdentifier(_) => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        })
        .is_break();
    };
    match factor {
        TableFactor::Table { args: Some(args), .. } => {
            args.args.iter().filter_map(super::unnamed).for_each(|expr| of(expr, &mut found));
        }
        TableFactor::UNNEST { array_exprs, .. } => array_exprs.iter().for_each(|expr| of(expr, &mut found)),
        _ => {}
    }
    found
}

/// A null of the type of a subquery that is never asked: the oids or names of something, or one oid.
pub(super) fn nothing_like(result: &Expr) -> Expr {
    let Expr::Subquery(query) = result else { return result.clone() };
    let written = query.to_string().to_lowercase();
    sql(match (written.contains("array_agg("), written.contains("::text")) {
        (true, true) => "CAST(NULL AS TEXT[])",
        (true, false) => "CAST(NULL AS OID[])",
        _ => "CAST(NULL AS OID)",
    })
}

/// A subquery that stands for one value: the engine wants to see that it is one.
pub(super) fn subquery(query: &mut Query) -> Option<Expr> {
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
    let reads_catalog = select.from.iter().any(|table| match &table.relation {
        TableFactor::Table { name, .. } => {
            let schema =
                name.0.first().and_then(|part| part.as_ident()).map(|ident| ident.value.to_lowercase());
            last_name(name).starts_with("pg_") || schema.as_deref() == Some("information_schema")
        }
        _ => false,
    });
    if query.limit_clause.is_none()
        && select.selection.is_some()
        && !select.from.is_empty()
        && select.distinct.is_none()
        && matches!(&select.group_by, GroupByExpr::Expressions(by, _) if by.is_empty())
    {
        let one =
            if reads_catalog { format!("max({expr})") } else { format!("pg_single(array_agg({expr}))") };
        select.projection = vec![SelectItem::UnnamedExpr(sql(&one))];
        query.order_by = None;
    }
    None
}

/// `value LIKE ANY (ARRAY[…])` as one comparison a pattern.
pub(super) fn like_any(expr: &Expr) -> Option<Expr> {
    let (word, negated, value, pattern) = match expr {
        Expr::Like { negated, expr, pattern, .. } => ("LIKE", negated, expr, pattern),
        Expr::ILike { negated, expr, pattern, .. } => ("ILIKE", negated, expr, pattern),
        _ => return None,
    };
    let mut pattern = pattern.as_ref();
    while let Expr::Nested(inner) | Expr::Cast { expr: inner, .. } = pattern {
        pattern = inner;
    }
    let items: Vec<String> = match pattern {
        Expr::Array(array) => array.elem.iter().map(ToString::to_string).collect(),
        Expr::Tuple(items) => items.iter().map(ToString::to_string).collect(),
        other => super::list_items(&super::constant(other)?)?,
    };
    let not = if *negated { "NOT " } else { "" };
    let compared: Vec<String> = items.iter().map(|item| format!("{value} {not}{word} {item}")).collect();
    Some(sql(&if compared.is_empty() { "false".to_string() } else { format!("({})", compared.join(" OR ")) }))
}

/// What a table is called in its statement.
pub(super) fn name_of(table: &TableFactor) -> Option<Ident> {
    match table {
        TableFactor::Table { alias: Some(alias), .. }
        | TableFactor::Derived { alias: Some(alias), .. }
        | TableFactor::UNNEST { alias: Some(alias), .. } => Some(alias.name.clone()),
        TableFactor::Table { name, alias: None, .. } => name.0.last()?.as_ident().cloned(),
        _ => None,
    }
}

/// The name of the table, where a select reads no other.
pub(super) fn only_table(select: &Select) -> Option<Ident> {
    match select.from.as_slice() {
        [table] if table.joins.is_empty() => name_of(&table.relation),
        _ => None,
    }
}

/// The values of a list that is written out, where there are few enough to be compared one by one: each is fitted to the type
/// of the other side.
pub(super) fn one_by_one(list: &Expr) -> Option<Vec<Expr>> {
    const MOST: usize = 100;
    let items = match list {
        Expr::Nested(inner) => return one_by_one(inner),
        Expr::Array(array) => array.elem.clone(),
        Expr::Value(_) => super::list_items(&super::constant(list)?)?.iter().map(|item| sql(item)).collect(),
        Expr::Cast { expr, data_type: DataType::Array(ArrayElemTypeDef::SquareBracket(of, _)), .. } => {
            let items = super::list_items(&super::constant(expr)?)?;
            items.iter().map(|item| sql(&format!("CAST({item} AS {of})"))).collect()
        }
        _ => return None,
    };
    let flat = items.iter().all(|item| !matches!(item, Expr::Array(_)));
    (items.len() <= MOST && flat).then_some(items)
}

/// A value compared with all of some.
pub(super) fn compared(value: &Expr, op: &BinaryOperator, items: &[Expr], word: &str, none: &str) -> Expr {
    if items.is_empty() {
        return sql(none);
    }
    let all: Vec<String> = items.iter().map(|item| format!("{value} {op} {item}")).collect();
    sql(&format!("({})", all.join(&format!(" {word} "))))
}

/// `(a, b) op (c, d)`, value by value.
pub(super) fn rows(left: &Expr, op: &BinaryOperator, right: &Expr) -> Option<Expr> {
    let (Expr::Tuple(left), Expr::Tuple(right)) = (left, right) else { return None };
    if left.len() != right.len() || left.is_empty() {
        return None;
    }
    let pairs = || left.iter().zip(right);
    let each = |op: &str, word: &str| {
        let all: Vec<String> = pairs().map(|(one, other)| format!("{one} {op} {other}")).collect();
        sql(&format!("({})", all.join(word)))
    };
    let strict = match op {
        BinaryOperator::Eq => return Some(each("=", " AND ")),
        BinaryOperator::NotEq => return Some(each("<>", " OR ")),
        BinaryOperator::Lt | BinaryOperator::LtEq => "<",
        BinaryOperator::Gt | BinaryOperator::GtEq => ">",
        _ => return None,
    };
    // The first pair that differs decides.
    let (mut pairs, mut written) = (pairs().rev(), String::new());
    let (one, other) = pairs.next()?;
    written += &format!("{one} {op} {other}");
    for (one, other) in pairs {
        written = format!("{one} {strict} {other} OR ({one} = {other} AND ({written}))");
    }
    Some(sql(&format!("({written})")))
}

/// `value op ANY (query)`.
pub(super) fn any_of(value: &Expr, op: &BinaryOperator, query: &Query) -> Option<Expr> {
    let bound = match op {
        BinaryOperator::Eq => return Some(sql(&format!("({value} IN ({query}))"))),
        BinaryOperator::Gt | BinaryOperator::GtEq => "min",
        BinaryOperator::Lt | BinaryOperator::LtEq => "max",
        _ => return None,
    };
    Some(sql(&format!("({value} {op} (SELECT {bound}(pg_v__) FROM ({query}) AS pg_a__ (pg_v__)))")))
}

/// `value op ALL (query)`: true for no rows, and for none that is null.
pub(super) fn all_of(value: &Expr, op: &BinaryOperator, query: &Query) -> Option<Expr> {
    let bound = match op {
        BinaryOperator::NotEq => return Some(sql(&format!("({value} NOT IN ({query}))"))),
        BinaryOperator::Gt | BinaryOperator::GtEq => "max",
        BinaryOperator::Lt | BinaryOperator::LtEq => "min",
        _ => return None,
    };
    let of = |what: &str| format!("(SELECT {what} FROM ({query}) AS pg_a__ (pg_v__))");
    let (bound, rows) = (of(&format!("{bound}(pg_v__)")), of("count(*)"));
    let nulls = of("count(*) - count(pg_v__)");
    Some(sql(&format!("({rows} = 0 OR ({nulls} = 0 AND {value} {op} {bound}))")))
}

/// `(a, b) IN (query)`.
pub(super) fn row_among(items: &[Expr], query: &Query, negated: bool) -> Expr {
    let names: Vec<String> = (0..items.len()).map(|index| format!("pg_c{index}__")).collect();
    let equal: Vec<String> =
        items.iter().zip(&names).map(|(item, name)| format!("pg_r__.{name} = {item}")).collect();
    let not = if negated { "NOT " } else { "" };
    sql(&format!(
        "({not}EXISTS (SELECT 1 FROM ({query}) AS pg_r__ ({}) WHERE {}))",
        names.join(", "),
        equal.join(" AND ")
    ))
}

/// Gives columns that two tables are joined by (`USING`) their table in the condition, where the engine asks for it.
pub(super) fn qualify(select: &mut Select) {
    let ([table], Some(condition)) = (select.from.as_slice(), &mut select.selection) else { return };
    let Some(left) = name_of(&table.relation) else { return };
    let shared: Vec<String> = table
        .joins
        .iter()
        .filter_map(|join| match &join.join_operator {
            JoinOperator::Join(JoinConstraint::Using(columns))
            | JoinOperator::Inner(JoinConstraint::Using(columns))
            | JoinOperator::Left(JoinConstraint::Using(columns))
            | JoinOperator::LeftOuter(JoinConstraint::Using(columns)) => Some(columns),
            _ => None,
        })
        .flatten()
        .map(last_name)
        .collect();
    // Within a subquery a name is one of its own tables first.
    if shared.is_empty() || visits_subquery(condition) {
        return;
    }
    let _: ControlFlow<()> = visit_expressions_mut(condition, |part: &mut Expr| {
        if let Expr::Identifier(ident) = part
            && shared.contains(&ident.value.to_lowercase())
        {
            *part = Expr::CompoundIdentifier(vec![left.clone(), ident.clone()]);
        }
        ControlFlow::Continue(())
    });
}

pub(super) fn visits_subquery(expr: &Expr) -> bool {
    visit_expressions(expr, |part: &Expr| match part {
        Expr::Subquery(_) | Expr::InSubquery { .. } | Expr::Exists { .. } => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    })
    .is_break()
}

/// A pattern of `SIMILAR TO` as a regular expression.
pub(super) fn similar(pattern: &str) -> String {
    let mut regex = String::from("^(?:");
    let mut letters = pattern.chars();
    let mut in_class = false;
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => {
                regex.push('\\');
                regex.extend(letters.next());
            }
            '[' | ']' => {
                in_class = letter == '[';
                regex.push(letter);
            }
            '%' if !in_class => regex.push_str(".*"),
            '_' if !in_class => regex.push('.'),
            '.' | '^' | '$' if !in_class => {
                regex.push('\\');
                regex.push(letter);
            }
            letter => regex.push(letter),
        }
    }
    regex + ")$"
}

#[cfg(test)]
mod tests {
    use super::similar;

    #[test]
    fn patterns_of_similar_to_match_the_whole() {
        assert_eq!(similar("%(b|d)_"), "^(?:.*(b|d).)$");
        assert_eq!(similar("a.[%_]\\%"), "^(?:a\\.[%_]\\%)$");
    }
}
