//! Whether a statement answers the same again as long as the tables that it reads stay what they are.

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::{Expr, LogicalPlan, TableScan, Volatility};
use laguna_base::Tier;

use crate::access::logical_below;

/// Whether `plan` depends on nothing but the content of the lake's tables: not on the time, on chance, on settings of the session, or
/// on how the engine runs it.
pub fn is_repeatable(plan: &LogicalPlan) -> bool {
    let tells_of_itself = matches!(
        plan,
        LogicalPlan::Explain(_)
            | LogicalPlan::Analyze(_)
            | LogicalPlan::DescribeTable(_)
            | LogicalPlan::Statement(_)
    );
    !tells_of_itself && holds(plan, false)
}

fn holds(plan: &LogicalPlan, in_view: bool) -> bool {
    let mut holds = true;
    // The closures never fail, so neither do the walks.
    let _ = plan.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node {
            holds &= scan_holds(scan, in_view);
        }
        let _ = node.apply_expressions(|expression| {
            expression.apply(|part| {
                holds &= is_immutable(part);
                Ok(TreeNodeRecursion::Continue)
            })
        });
        Ok(if holds { TreeNodeRecursion::Continue } else { TreeNodeRecursion::Stop })
    });
    holds && logical_below(plan).iter().all(|below| self::holds(below, true))
}

/// What views are made of has names of its own; else only the lake's tables count.
fn scan_holds(scan: &TableScan, in_view: bool) -> bool {
    let of_lake = scan.table_name.schema().map_or(in_view, |schema| schema.parse::<Tier>().is_ok());
    of_lake && scan.source.get_logical_plan().is_none_or(|view| holds(&view, true))
}

fn is_immutable(part: &Expr) -> bool {
    match part {
        Expr::ScalarFunction(function) => function.func.signature().volatility == Volatility::Immutable,
        Expr::AggregateFunction(function) => function.func.signature().volatility == Volatility::Immutable,
        _ => true,
    }
}
