//! What outer joins and totals fill with nulls is not constant, whatever it is below them.
//!
//! The engine knows columns with one value (`WHERE x = 'a'`, a constant, files whose least and greatest value are the same)
//! and leaves them out of orders. It goes on to do so above an outer join whose rows may lack that side, and above
//! `ROLLUP`, `CUBE` and `GROUPING SETS`, whose totals have nulls there: rows then come in a wrong order, and windows and
//! limits see wrong rows. A step that promises nothing keeps what is known below from what is above.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{JoinType, Result as EngineResult};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::aggregates::AggregateExec;
use datafusion::physical_plan::execution_plan::{ChildrenPropertiesMode, ReplaceChildrenOptions};
use datafusion::physical_plan::filter_pushdown::{
    ChildPushdownResult, FilterDescription, FilterPushdownPhase, FilterPushdownPropagation,
};
use datafusion::physical_plan::joins::{HashJoinExec, NestedLoopJoinExec, SortMergeJoinExec};
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, PlanProperties,
};

/// Puts the steps in.
#[derive(Debug)]
pub(crate) struct NothingConstant;

impl PhysicalOptimizerRule for NothingConstant {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        _config: &ConfigOptions,
    ) -> EngineResult<Arc<dyn ExecutionPlan>> {
        let change = |plan: Arc<dyn ExecutionPlan>| match is_nulled(plan.as_ref()) {
            true => Ok(Transformed::yes(Arc::new(NulledExec::new(plan)) as Arc<dyn ExecutionPlan>)),
            false => Ok(Transformed::no(plan)),
        };
        Ok(plan.transform_up(change)?.data)
    }

    fn name(&self) -> &'static str {
        "nothing_constant"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// Whether a step makes nulls of what the engine takes for constant.
fn is_nulled(plan: &dyn ExecutionPlan) -> bool {
    let any = plan as &dyn Any;
    let constant =
        |child: &Arc<dyn ExecutionPlan>| !child.properties().equivalence_properties().constants().is_empty();
    if let Some(aggregate) = any.downcast_ref::<AggregateExec>() {
        return aggregate.group_expr().has_grouping_set() && constant(aggregate.input());
    }
    let join_type = any
        .downcast_ref::<HashJoinExec>()
        .map(|join| *join.join_type())
        .or_else(|| any.downcast_ref::<NestedLoopJoinExec>().map(|join| *join.join_type()))
        .or_else(|| any.downcast_ref::<SortMergeJoinExec>().map(SortMergeJoinExec::join_type));
    let children = plan.children();
    let (Some(join_type), [left, right]) = (join_type, children.as_slice()) else { return false };
    match join_type {
        JoinType::Left => constant(right),
        JoinType::Right => constant(left),
        JoinType::Full => constant(left) || constant(right),
        _ => false,
    }
}

/// The rows of its input, of which nothing is known.
#[derive(Debug)]
struct NulledExec {
    input: Arc<dyn ExecutionPlan>,
    properties: Arc<PlanProperties>,
}

impl NulledExec {
    fn new(input: Arc<dyn ExecutionPlan>) -> NulledExec {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(input.schema()),
            input.output_partitioning().clone(),
            input.pipeline_behavior(),
            input.boundedness(),
        )
        .with_scheduling_type(input.properties().scheduling_type);
        NulledExec { input, properties: Arc::new(properties) }
    }
}

impl DisplayAs for NulledExec {
    fn fmt_as(&self, kind: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match kind {
            DisplayFormatType::TreeRender => Ok(()),
            _ => f.write_str("NulledExec"),
        }
    }
}

impl ExecutionPlan for NulledExec {
    fn name(&self) -> &'static str {
        "NulledExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false]
    }

    fn apply_expressions(
        &self,
        _visit: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> EngineResult<TreeNodeRecursion>,
    ) -> EngineResult<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
        _options: ReplaceChildrenOptions,
    ) -> EngineResult<Arc<dyn ExecutionPlan>> {
        match children.pop() {
            Some(input) => Ok(Arc::new(NulledExec::new(input))),
            None => Ok(self),
        }
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> EngineResult<Arc<dyn ExecutionPlan>> {
        self.replace_children(children, ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute))
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> EngineResult<SendableRecordBatchStream> {
        self.input.execute(partition, context)
    }

    fn supports_limit_pushdown(&self) -> bool {
        true
    }

    fn gather_filters_for_pushdown(
        &self,
        _phase: FilterPushdownPhase,
        parents: Vec<Arc<dyn PhysicalExpr>>,
        _config: &ConfigOptions,
    ) -> EngineResult<FilterDescription> {
        FilterDescription::from_children(parents, &self.children())
    }

    fn handle_child_pushdown_result(
        &self,
        _phase: FilterPushdownPhase,
        result: ChildPushdownResult,
        _config: &ConfigOptions,
    ) -> EngineResult<FilterPushdownPropagation<Arc<dyn ExecutionPlan>>> {
        Ok(FilterPushdownPropagation::if_all(result))
    }
}
