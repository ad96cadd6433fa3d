//! Columns that rows are grouped by twice are one.

use datafusion::common::Result;
use datafusion::common::tree_node::Transformed;
use datafusion::logical_expr::{Aggregate, Expr, LogicalPlan};
use datafusion::optimizer::optimizer::ApplyOrder;
use datafusion::optimizer::{OptimizerConfig, OptimizerRule};

/// Leaves out the second. The engine's own rule leaves out more: what it takes for different rows within one side of a join
/// it takes for different in the join, and drops from orders what comes behind.
#[derive(Debug)]
pub(crate) struct GroupedOnce;

impl OptimizerRule for GroupedOnce {
    fn name(&self) -> &str {
        "grouped_once"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::TopDown)
    }

    fn rewrite(&self, plan: LogicalPlan, _: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        let LogicalPlan::Aggregate(aggregate) = plan else { return Ok(Transformed::no(plan)) };
        let mut once: Vec<Expr> = Vec::new();
        for expr in &aggregate.group_expr {
            if !once.contains(expr) {
                once.push(expr.clone());
            }
        }
        if once.len() == aggregate.group_expr.len() {
            return Ok(Transformed::no(LogicalPlan::Aggregate(aggregate)));
        }
        let aggregate = Aggregate::try_new(aggregate.input, once, aggregate.aggr_expr)?;
        Ok(Transformed::yes(LogicalPlan::Aggregate(aggregate)))
    }
}
