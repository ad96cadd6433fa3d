//! Plans that can be stopped while they compute: the engine asks whether it still should only where it reads or hands on
//! rows, and a join may compare for minutes before it finds one to hand on.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arrow::array::RecordBatch;
use arrow::datatypes::{FieldRef, Schema};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Result as EngineResult, exec_err};
use datafusion::logical_expr::ColumnarValue;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::coop::CooperativeExec;
use datafusion::physical_plan::joins::utils::JoinFilter;
use datafusion::physical_plan::joins::{
    HashJoinExec, HashJoinExecBuilder, NestedLoopJoinExec, NestedLoopJoinExecBuilder,
};
use laguna_base::Result;

use crate::errors::translate;

/// Tells a running statement that nobody wants its rows any more.
#[derive(Debug, Clone, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// From now on the statement ends with an error as soon as it asks.
    pub fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether it is to end.
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// `plan` in which nodes that can make many rows of few give way to others now and then, and what joins ask of their
/// rows asks first whether to go on.
pub(crate) fn yielding(plan: Arc<dyn ExecutionPlan>, stop: &Stop) -> Result<Arc<dyn ExecutionPlan>> {
    let multiplies =
        |name: &str| name.contains("Join") || matches!(name, "UnnestExec" | "RecursiveQueryExec");
    let wrapped = plan.transform_up(|node| {
        if !multiplies(node.name()) {
            return Ok(Transformed::no(node));
        }
        let node = match stoppable(&node, stop)? {
            Some(join) => join,
            None => node,
        };
        Ok(Transformed::yes(Arc::new(CooperativeExec::new(node)) as Arc<dyn ExecutionPlan>))
    });
    wrapped.map(|wrapped| wrapped.data).map_err(translate)
}

/// A join with a condition that can be stopped; `None` when it has none.
fn stoppable(node: &Arc<dyn ExecutionPlan>, stop: &Stop) -> EngineResult<Option<Arc<dyn ExecutionPlan>>> {
    let asking = |filter: &JoinFilter| {
        let inner = filter.expression().clone();
        let expression = Arc::new(Asking { inner, stop: stop.clone() });
        JoinFilter::new(expression, filter.column_indices().to_vec(), filter.schema().clone())
    };
    if let Some(join) = node.downcast_ref::<NestedLoopJoinExec>()
        && let Some(filter) = join.filter()
    {
        let built = NestedLoopJoinExecBuilder::from(join).with_filter(Some(asking(filter))).build()?;
        return Ok(Some(Arc::new(built)));
    }
    if let Some(join) = node.downcast_ref::<HashJoinExec>()
        && let Some(filter) = join.filter()
    {
        return HashJoinExecBuilder::from(join).with_filter(Some(asking(filter))).build_exec().map(Some);
    }
    Ok(None)
}

/// A condition that fails once its statement is stopped.
#[derive(Debug)]
struct Asking {
    inner: Arc<dyn PhysicalExpr>,
    stop: Stop,
}

impl PhysicalExpr for Asking {
    fn evaluate(&self, batch: &RecordBatch) -> EngineResult<ColumnarValue> {
        match self.stop.is_set() {
            true => exec_err!("the statement was stopped"),
            false => self.inner.evaluate(batch),
        }
    }

    fn return_field(&self, schema: &Schema) -> EngineResult<FieldRef> {
        self.inner.return_field(schema)
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        vec![&self.inner]
    }

    fn with_new_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn PhysicalExpr>>,
    ) -> EngineResult<Arc<dyn PhysicalExpr>> {
        let inner = children.pop().unwrap_or_else(|| self.inner.clone());
        Ok(Arc::new(Asking { inner, stop: self.stop.clone() }))
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt_sql(f)
    }
}

impl fmt::Display for Asking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

impl PartialEq for Asking {
    fn eq(&self, other: &Asking) -> bool {
        self.inner.eq(&other.inner)
    }
}

impl Eq for Asking {}

impl Hash for Asking {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.inner.hash(state);
    }
}
