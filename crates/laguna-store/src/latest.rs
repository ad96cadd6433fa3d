//! `latest.<dataset>`: the newest row of each key, kept batch by batch and completed on read.

use std::sync::Arc;

use datafusion::catalog::TableProvider;
use datafusion::execution::context::SessionState;
use laguna_base::settings::dataset::Mode;
use laguna_base::{Instant, Result, TableName};
use serde::{Deserialize, Serialize};

use crate::Lake;

/// What makes a row the newest of its key. Resolved from the dataset's settings; kept in the latest table's notes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LatestRule {
    /// What rows mean.
    pub mode: Mode,
    /// Columns that identify a row; may be empty for `snapshot`.
    pub key: Vec<String>,
    /// Column whose larger value is newer (null is oldest); `None` is the order of arrival.
    pub order: Option<String>,
    /// `changes`: the column that says insert, update or delete.
    pub op: Option<String>,
}

impl Lake {
    /// Absorbs what `raw` holds beyond what `latest` has absorbed. Idempotent; one commit at most. Runs in `session`
    /// (memory limits, spill).
    pub async fn fold_latest(
        &self,
        raw: &TableName,
        rule: &LatestRule,
        session: &SessionState,
    ) -> Result<()> {
        let _ = (raw, rule, session);
        unimplemented!()
    }

    /// `latest.<dataset>` with raw rows up to `at` (`None`: all of raw version `raw_version`, or of the head): the
    /// newest latest-version at or before it, united with the raw tail that it lacks.
    pub async fn latest_provider(
        &self,
        raw: &TableName,
        rule: &LatestRule,
        at: Option<Instant>,
        session: &SessionState,
    ) -> Result<Arc<dyn TableProvider>> {
        let _ = (raw, rule, at, session);
        unimplemented!()
    }
}
