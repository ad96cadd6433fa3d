//! What a statement says about the types of its parameters.

use std::collections::HashMap;

use arrow::datatypes::DataType;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, Result as EngineResult};
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan};
use laguna_base::Result;

/// Types of `$1`, `$2`, … as far as the statement tells them.
pub(super) fn types(plan: &LogicalPlan) -> Result<Vec<Option<DataType>>> {
    let types = plan.get_parameter_types().map_err(laguna_query::translate)?;
    let mut others = HashMap::new();
    // The closure never fails, so neither does the walk.
    let _ = plan.apply_with_subqueries(|node| {
        beside(node, &mut others)?;
        Ok(TreeNodeRecursion::Continue)
    });
    // `$1` is the first, whatever the order in which they stand.
    let number = |name: &String| name.trim_start_matches('$').parse::<usize>().ok();
    let count = types.keys().filter_map(number).max().unwrap_or(0);
    let mut parameters = vec![None; count];
    for (name, data_type) in types {
        if let Some(place) = number(&name).and_then(|number| parameters.get_mut(number.wrapping_sub(1))) {
            *place = data_type.or_else(|| others.remove(&name));
        }
    }
    Ok(parameters)
}

/// Functions whose arguments are of one type.
const ALIKE: [&str; 6] = ["coalesce", "greatest", "least", "nullif", "make_array", "nvl"];

/// Parameters beside values that must be of the same type.
fn beside(node: &LogicalPlan, found: &mut HashMap<String, DataType>) -> EngineResult<()> {
    if let LogicalPlan::Union(union) = node {
        let columns: Vec<&[Expr]> = union
            .inputs
            .iter()
            .filter_map(|input| match input.as_ref() {
                LogicalPlan::Projection(projection) => Some(projection.expr.as_slice()),
                _ => None,
            })
            .collect();
        for (column, field) in node.schema().fields().iter().enumerate() {
            let all = columns.iter().filter_map(|columns| columns.get(column));
            let open: Vec<&String> = all.filter_map(open).collect();
            let known = union.inputs.iter().map(|input| input.schema().field(column).data_type());
            let known =
                known.filter(|of| !of.is_null()).find(|_| !open.is_empty()).unwrap_or(field.data_type());
            for name in open {
                found.entry(name.clone()).or_insert_with(|| known.clone());
            }
        }
    }
    let schema = merge_schema(&node.inputs());
    node.apply_expressions(|expr| {
        expr.apply(|part| {
            match part {
                Expr::ScalarFunction(call) if ALIKE.contains(&call.func.name()) => {
                    of_one_type(&call.args.iter().collect::<Vec<_>>(), &schema, found);
                }
                Expr::Case(case) => {
                    let results = case.when_then_expr.iter().map(|(_, then)| then.as_ref());
                    let results = results.chain(case.else_expr.as_deref());
                    of_one_type(&results.collect::<Vec<_>>(), &schema, found);
                    if let Some(value) = &case.expr {
                        let whens = case.when_then_expr.iter().map(|(when, _)| when.as_ref());
                        of_one_type(&whens.chain([value.as_ref()]).collect::<Vec<_>>(), &schema, found);
                    }
                }
                _ => {}
            }
            Ok(TreeNodeRecursion::Continue)
        })
    })?;
    Ok(())
}

/// The name of a parameter of which nothing is known.
fn open(expr: &Expr) -> Option<&String> {
    match expr {
        Expr::Placeholder(placeholder) if placeholder.field.is_none() => Some(&placeholder.id),
        Expr::Alias(alias) => open(&alias.expr),
        _ => None,
    }
}

fn of_one_type(values: &[&Expr], schema: &DFSchema, found: &mut HashMap<String, DataType>) {
    let known =
        values.iter().filter(|value| open(value).is_none()).filter_map(|value| value.get_type(schema).ok());
    let Some(known) = known.into_iter().find(|of| !of.is_null()) else { return };
    for name in values.iter().filter_map(|value| open(value)) {
        found.entry(name.clone()).or_insert_with(|| known.clone());
    }
}
