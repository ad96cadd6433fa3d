//! Whether a statement answers the same again as long as the tables that it reads stay what they are.

use std::sync::Arc;

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::{Expr, LogicalPlan, TableScan, Volatility};
use laguna_base::Tier;

use crate::access::logical_below;
use crate::catalog::{LOCAL, Names};

/// See [`crate::Session::is_repeatable`].
pub(crate) fn is_repeatable(plan: &LogicalPlan, names: &Arc<Names>) -> bool {
    let tells_of_itself = matches!(
        plan,
        LogicalPlan::Explain(_)
            | LogicalPlan::Analyze(_)
            | LogicalPlan::DescribeTable(_)
            | LogicalPlan::Statement(_)
    );
    !tells_of_itself && holds(plan, Some(names))
}

/// `names`: those of the statement; `None` within views.
fn holds(plan: &LogicalPlan, names: Option<&Arc<Names>>) -> bool {
    let mut holds = true;
    // The closures never fail, so neither do the walks.
    let _ = plan.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node {
            holds &= scan_holds(scan, names);
        }
        let _ = node.apply_expressions(|expression| {
            expression.apply(|part| {
                holds &= is_immutable(part);
                Ok(TreeNodeRecursion::Continue)
            })
        });
        Ok(if holds { TreeNodeRecursion::Continue } else { TreeNodeRecursion::Stop })
    });
    holds && logical_below(plan).iter().all(|below| self::holds(below, None))
}

/// What views are made of has names of its own; else only the lake's tables count.
fn scan_holds(scan: &TableScan, names: Option<&Arc<Names>>) -> bool {
    let is_tier = |schema: &str| schema.parse::<Tier>().is_ok();
    let of_lake = match (scan.table_name.schema(), names) {
        (Some(schema), _) if is_tier(schema) => true,
        (Some(LOCAL) | None, Some(names)) => names.is_on_path(scan.table_name.table()),
        (schema, _) => schema.is_none(),
    };
    of_lake && scan.source.get_logical_plan().is_none_or(|view| holds(&view, None))
}

fn is_immutable(part: &Expr) -> bool {
    match part {
        Expr::ScalarFunction(function) => function.func.signature().volatility == Volatility::Immutable,
        Expr::AggregateFunction(function) => function.func.signature().volatility == Volatility::Immutable,
        _ => true,
    }
}
