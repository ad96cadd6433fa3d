//! Views: only their SQL is released; their checks run as a query.

use std::sync::Arc;

use datafusion::datasource::ViewTable;
use laguna_base::Result;
use laguna_check::Suite;
use laguna_query::Session;
use laguna_store::types;

use super::{BuildContext, Built, Scope, stream};
use crate::project::Model;

/// Plans the view, and reads it once when it has checks.
pub(super) async fn build(model: &Arc<Model>, context: &BuildContext, session: &Session) -> Result<Built> {
    let schema = types::normalize(&session.schema_of(&model.sql).await?)?;
    let suite = Arc::new(Suite::compile(&model.checks, &schema)?);
    let mut built = Built {
        staged: None,
        schema: types::schema_to_json(&schema)?,
        verdicts: Vec::new(),
        failing: Vec::new(),
        gate: laguna_check::Gate::Pass,
        rows_in: 0,
        rows_out: 0,
        bytes_out: 0,
        bytes_in: 0,
        quarantined: Vec::new(),
        scope: Scope::View,
    };
    if model.checks.is_empty() {
        return Ok(built);
    }
    let output = session.partitions(&model.sql, &[]).await?;
    let collector = stream::observe(&suite, &schema, output.streams, &context.progress).await?;
    built.rows_out = collector.rows();
    let scanned = laguna_store::scan::scan_totals(output.physical.as_ref());
    (built.rows_in, built.bytes_in) = (scanned.rows, scanned.bytes);
    let answers = match suite.set_query(&collector) {
        Some(query) => {
            let session = context.engine.session(context.tables.clone(), context.instant);
            let plan = session.plan(&model.sql).await?;
            session.register_this(Arc::new(ViewTable::new(plan, Some(model.sql.clone()))));
            Some(laguna_query::collect(session.execute(&query.sql).await?).await?)
        }
        None => None,
    };
    built.verdicts = suite.finish(collector, answers)?;
    built.gate = laguna_check::gate(&built.verdicts, model.on_fail());
    Ok(built)
}
