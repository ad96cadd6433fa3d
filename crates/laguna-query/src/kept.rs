//! Steps that keep what the engine takes for granted from what is above them.
//!
//! What outer joins and totals fill with nulls is not constant, whatever it is below them. The engine knows columns with one
//! value (`WHERE x = 'a'`, a constant, files whose least and greatest value are the same) and leaves them out of orders. It
//! goes on to do so above an outer join whose rows may lack that side, and above `ROLLUP`, `CUBE` and `GROUPING SETS`, whose
//! totals have nulls there: rows then come in a wrong order, and windows and limits see wrong rows.
//!
//! Filters that move down find the columns of a step by their names. Where two columns have one name, as after a join of two
//! tables, they would ask the first of them.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{JoinType, Result as EngineResult, Statistics};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::aggregates::AggregateExec;
use datafusion::physical_plan::execution_plan::{ChildrenPropertiesMode, ReplaceChildrenOptions};
use datafusion::physical_plan::filter_pushdown::{
    ChildPushdownResult, FilterDescription, FilterPushdownPhase, FilterPushdownPropagation,
};
use datafusion::physical_plan::joins::{HashJoinExec, NestedLoopJoinExec, SortMergeJoinExec};
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::statistics::{ChildStats, StatisticsArgs};
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, PlanProperties,
};

/// Puts the steps in above which nothing is constant.
#[derive(Debug)]
pub(crate) struct NothingConstant;

impl PhysicalOptimizerRule for NothingConstant {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        _config: &ConfigOptions,
    ) -> EngineResult<Arc<dyn ExecutionPlan>> {
        let change = |plan: Arc<dyn ExecutionPlan>| match is_nulled(plan.as_ref()) {
            true => Ok(Transformed::yes(Arc::new(KeptExec::forgetful(plan)) as Arc<dyn ExecutionPlan>)),
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
        return aggregate.group_expr().has_grouping_set();
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

/// Puts steps in above columns of one name, through which no filter goes. Goes before each rule that moves filters.
#[derive(Debug)]
pub(crate) struct NamesApart;

impl PhysicalOptimizerRule for NamesApart {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        _config: &ConfigOptions,
    ) -> EngineResult<Arc<dyn ExecutionPlan>> {
        let change = |plan: Arc<dyn ExecutionPlan>| {
            let any = plan.as_ref() as &dyn Any;
            if any.is::<KeptExec>() {
                return Ok(Transformed::no(plan));
            }
            // A projection knows the places of its columns, and so does a join below it.
            let knows = any.is::<ProjectionExec>();
            let mut changed = false;
            let children = plan.children().into_iter().map(|child| {
                let below = child.as_ref() as &dyn Any;
                let apart = below.is::<KeptExec>()
                    || !has_twins(child.as_ref())
                    || knows && (below.is::<HashJoinExec>() || below.is::<NestedLoopJoinExec>());
                if apart {
                    return child.clone();
                }
                changed = true;
                Arc::new(KeptExec::closed(child.clone()))
            });
            let children: Vec<Arc<dyn ExecutionPlan>> = children.collect();
            Ok(match changed {
                true => {
                    let anew = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute);
                    Transformed::yes(plan.replace_children(children, anew)?)
                }
                false => Transformed::no(plan),
            })
        };
        Ok(plan.transform_up(change)?.data)
    }

    fn name(&self) -> &'static str {
        "names_apart"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// Whether two columns have one name.
fn has_twins(plan: &dyn ExecutionPlan) -> bool {
    let schema = plan.schema();
    let mut names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
    names.sort_unstable();
    names.windows(2).any(|pair| pair[0] == pair[1])
}

/// The rows of its input. What is known of them is forgotten, or no filter goes through.
#[derive(Debug)]
struct KeptExec {
    input: Arc<dyn ExecutionPlan>,
    properties: Arc<PlanProperties>,
    closed: bool,
}

impl KeptExec {
    fn forgetful(input: Arc<dyn ExecutionPlan>) -> KeptExec {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(input.schema()),
            input.output_partitioning().clone(),
            input.pipeline_behavior(),
            input.boundedness(),
        )
        .with_scheduling_type(input.properties().scheduling_type);
        // Nor can it say which column a filter means where two have one name.
        let closed = has_twins(input.as_ref());
        KeptExec { input, properties: Arc::new(properties), closed }
    }

    fn closed(input: Arc<dyn ExecutionPlan>) -> KeptExec {
        let properties = input.properties().clone();
        KeptExec { input, properties, closed: true }
    }

    /// Whether what is known of the input is known of the rows.
    fn remembers(&self) -> bool {
        Arc::ptr_eq(&self.properties, self.input.properties())
    }
}

impl DisplayAs for KeptExec {
    fn fmt_as(&self, kind: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match kind {
            DisplayFormatType::TreeRender => Ok(()),
            _ => f.write_str("KeptExec"),
        }
    }
}

impl ExecutionPlan for KeptExec {
    fn name(&self) -> &'static str {
        "KeptExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![self.remembers()]
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
        Ok(match (children.pop(), self.remembers()) {
            (Some(input), true) => Arc::new(KeptExec::closed(input)),
            (Some(input), false) => Arc::new(KeptExec::forgetful(input)),
            (None, _) => self,
        })
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

    fn child_stats_requests(&self, partition: Option<usize>) -> Vec<ChildStats> {
        vec![ChildStats::At(partition)]
    }

    fn statistics_from_inputs(
        &self,
        inputs: &[Arc<Statistics>],
        _args: &StatisticsArgs,
    ) -> EngineResult<Arc<Statistics>> {
        Ok(inputs[0].clone())
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
        match self.closed {
            true => Ok(FilterDescription::all_unsupported(&parents, &self.children())),
            false => FilterDescription::from_children(parents, &self.children()),
        }
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
