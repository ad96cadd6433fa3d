//! Aggregates that list their values in an order: the engine takes one order a select, PostgreSQL one an aggregate.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::*;

use super::{last_name, sql, unnamed};

/// Lets the lists of a select whose aggregates want different orders be ordered after they are made.
pub(super) fn apply(select: &mut Select) {
    let mut orders: Vec<String> = Vec::new();
    for item in &select.projection {
        let (SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. }) = item else { continue };
        let _: ControlFlow<()> = visit_expressions(expr, |part: &Expr| {
            if let Expr::Function(function) = part
                && let Some(order) = order_of(function)
                && !orders.contains(&order)
            {
                orders.push(order);
            }
            ControlFlow::Continue(())
        });
    }
    if orders.len() < 2 {
        return;
    }
    for item in &mut select.projection {
        let (SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. }) = item else { continue };
        let _: ControlFlow<()> = visit_expressions_mut(expr, |part: &mut Expr| {
            if let Expr::Function(function) = &*part
                && let Some(changed) = listed(function)
            {
                *part = changed;
            }
            ControlFlow::Continue(())
        });
    }
}

/// The order that an aggregate wants; lists of different values are in the order of these.
fn order_of(function: &Function) -> Option<String> {
    let FunctionArguments::List(list) = &function.args else { return None };
    let name = last_name(&function.name);
    let order = list.clauses.iter().find_map(|clause| match clause {
        FunctionArgumentClause::OrderBy(order) => {
            Some(order.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))
        }
        _ => None,
    });
    let distinct = list.duplicate_treatment == Some(DuplicateTreatment::Distinct);
    let lists = ["array_agg", "string_agg"].contains(&name.as_str());
    match order {
        Some(order) => Some(order),
        None if distinct && lists => Some(list.args.first().and_then(unnamed)?.to_string()),
        None => None,
    }
}

/// `string_agg(x, ',' ORDER BY k)` and `array_agg(x ORDER BY k)` as functions of a list without an order.
fn listed(function: &Function) -> Option<Expr> {
    let name = last_name(&function.name);
    if !["array_agg", "string_agg"].contains(&name.as_str()) || function.over.is_some() {
        return None;
    }
    let FunctionArguments::List(list) = &function.args else { return None };
    let distinct = list.duplicate_treatment == Some(DuplicateTreatment::Distinct);
    let order = list.clauses.iter().find_map(|clause| match clause {
        FunctionArgumentClause::OrderBy(order) => Some(order.clone()),
        _ => None,
    });
    let value = list.args.first().and_then(unnamed)?;
    let spelled = |by: &OrderByExpr| {
        let descending = by.options.asc == Some(false);
        let first = by.options.nulls_first.unwrap_or(descending);
        format!("{}{}", if descending { 'd' } else { 'a' }, if first { 'f' } else { 'l' })
    };
    let (item, orders) = match (&order, distinct) {
        // Different values can only be ordered by themselves.
        (order, true) => {
            let spelled = order.as_ref().and_then(|order| order.first()).map_or("al".to_string(), spelled);
            (format!("DISTINCT {value}"), spelled)
        }
        (Some(order), false) => {
            let keys: Vec<String> =
                order.iter().enumerate().map(|(index, by)| format!(", 'k{index}', {}", by.expr)).collect();
            let orders: Vec<String> = order.iter().map(spelled).collect();
            (format!("named_struct('v', {value}{})", keys.concat()), orders.join(","))
        }
        (None, false) => return None,
    };
    let texts = name == "string_agg";
    let filter = match (&function.filter, texts) {
        (Some(filter), true) => format!(" FILTER (WHERE ({filter}) AND {value} IS NOT NULL)"),
        (Some(filter), false) => format!(" FILTER (WHERE {filter})"),
        (None, true) => format!(" FILTER (WHERE {value} IS NOT NULL)"),
        (None, false) => String::new(),
    };
    // In quotes it is left as it is.
    let ordered = format!("pg_ordered(\"array_agg\"({item}){filter}, '{orders}')");
    Some(match texts {
        true => sql(&format!("\"array_to_string\"({ordered}, {})", list.args.get(1).and_then(unnamed)?)),
        false => sql(&ordered),
    })
}
