//! The running plan of a guarded table: one step without children, metrics, order or statistics.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::SchemaRef;
use datafusion::common::Result as EngineResult;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::DataFusionError;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{
    ChildrenPropertiesMode, ReplaceChildrenOptions, reset_plan_states,
};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, Partitioning, PlanProperties,
};
use futures::StreamExt;
use laguna_base::{Error, ErrorKind};

use crate::errors::{external, translate};

/// Rows of one guarded table.
#[derive(Debug)]
pub(super) struct GuardExec {
    label: Arc<str>,
    schema: SchemaRef,
    inner: Arc<dyn ExecutionPlan>,
    properties: Arc<PlanProperties>,
}

impl GuardExec {
    /// `inner` as rows of `schema`, whose types are those of `inner`; `label` is the table's name.
    pub(super) fn new(label: Arc<str>, schema: SchemaRef, inner: Arc<dyn ExecutionPlan>) -> GuardExec {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(schema.clone()),
            Partitioning::UnknownPartitioning(inner.output_partitioning().partition_count()),
            inner.pipeline_behavior(),
            inner.boundedness(),
        )
        .with_scheduling_type(inner.properties().scheduling_type);
        GuardExec { label, schema, inner, properties: Arc::new(properties) }
    }
}

impl DisplayAs for GuardExec {
    fn fmt_as(&self, kind: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match kind {
            DisplayFormatType::TreeRender => writeln!(f, "table={}", self.label),
            _ => write!(f, "GuardExec: table={}", self.label),
        }
    }
}

impl ExecutionPlan for GuardExec {
    fn name(&self) -> &'static str {
        "GuardExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn apply_expressions(
        &self,
        _visit: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> EngineResult<TreeNodeRecursion>,
    ) -> EngineResult<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        _children: Vec<Arc<dyn ExecutionPlan>>,
        _options: ReplaceChildrenOptions,
    ) -> EngineResult<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> EngineResult<Arc<dyn ExecutionPlan>> {
        self.replace_children(children, ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute))
    }

    /// A recursive query runs its plan again and again; what is below must forget its last time too.
    fn reset_state(self: Arc<Self>) -> EngineResult<Arc<dyn ExecutionPlan>> {
        let inner = reset_plan_states(self.inner.clone())?;
        Ok(Arc::new(GuardExec::new(self.label.clone(), self.schema.clone(), inner)))
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> EngineResult<SendableRecordBatchStream> {
        let rows = self.inner.execute(partition, context).map_err(|error| hidden(&self.label, error))?;
        let (label, schema) = (self.label.clone(), self.schema.clone());
        let rows = rows.map(move |batch| match batch {
            Ok(batch) => under(&schema, batch),
            Err(error) => Err(hidden(&label, error)),
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema.clone(), rows)))
    }
}

/// The same columns under the names that the table promises; only metadata and nullability can differ.
fn under(schema: &SchemaRef, batch: RecordBatch) -> EngineResult<RecordBatch> {
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    let (_, columns, _) = batch.into_parts();
    Ok(RecordBatch::try_new_with_options(schema.clone(), columns, &options)?)
}

/// An error from below the guard of the table `label`: it may hold values of rows, and names of tables, that the reader
/// may not see. Operators find it in the log.
pub(super) fn hidden(label: &str, error: DataFusionError) -> DataFusionError {
    if matches!(error.find_root(), DataFusionError::ResourcesExhausted(_)) {
        return DataFusionError::ResourcesExhausted(format!("while reading {label}"));
    }
    let error = translate(error);
    tracing::warn!(table = label, %error, causes = ?error.causes(), "a guarded table cannot be read");
    let message = match error.kind() {
        ErrorKind::Storage => "the lake's storage failed".to_string(),
        ErrorKind::Interrupted => return external(Error::interrupted()),
        _ => format!("`{label}` cannot be read to its end"),
    };
    external(
        Error::new(error.kind(), message).hint("whoever looks after the lake finds the cause in the log"),
    )
}

/// The plans that run behind the guarded tables of `plan`: for counting what a statement reads, never for showing it.
pub fn plans_below(plan: &Arc<dyn ExecutionPlan>) -> Vec<Arc<dyn ExecutionPlan>> {
    let guard = (plan.as_ref() as &dyn Any).downcast_ref::<GuardExec>().map(|guard| guard.inner.clone());
    let children = plan.children().into_iter().flat_map(plans_below);
    guard.into_iter().chain(children).collect()
}
