//! `latest.<dataset>`: the newest row of each key, kept batch by batch and completed on read.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::catalog::TableProvider;
use datafusion::datasource::ViewTable;
use datafusion::execution::context::SessionState;
use laguna_base::name::RESERVED_COLUMNS;
use laguna_base::settings::dataset::Mode;
use laguna_base::{Error, Instant, Result, TableName, suggest};
use serde::{Deserialize, Serialize};

use crate::{Lake, Snapshot, Staged};
use resolve::{Previous, Span};

mod bucket;
mod fold;
mod resolve;
mod state;
#[cfg(test)]
mod tests;
mod tombstone;

/// What makes a row the newest of its key. Resolved from the dataset's settings; kept in the latest table's notes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LatestRule {
    /// What rows mean.
    pub mode: Mode,
    /// Columns that identify a row; may be empty for `snapshot` only. A null in a key equals another null.
    pub key: Vec<String>,
    /// Column whose larger value is newer (null is oldest); `None` is the order of arrival.
    pub order: Option<String>,
    /// `changes`: the column that says insert, update or delete.
    pub op: Option<String>,
}

impl LatestRule {
    /// Refuses a rule that `raw` cannot carry out: no key, or columns that no file has.
    fn check(&self, snapshot: &Snapshot) -> Result<()> {
        let (raw, schema) = (&snapshot.table, &snapshot.schema);
        if self.key.is_empty() && self.mode != Mode::Snapshot {
            return Err(Error::project(format!("{raw} has no key, so it has no newest rows"))
                .hint(format!("add `key: [...]` to raw/{}.yml", raw.table)));
        }
        let named = self.key.iter().chain(&self.order).chain(self.op_column());
        for column in named {
            if schema.fields().find(column).is_none() && !awaited(snapshot, column) {
                let columns: Vec<&String> = schema.fields().iter().map(|field| field.name()).collect();
                return Err(Error::project(format!("{raw} has no column `{column}`"))
                    .hint(suggest::hint(column, columns)));
            }
        }
        Ok(())
    }

    /// The rule without the columns that `schema` lacks because no row has had a value in them: they are null in every
    /// row, so they tell no rows apart.
    fn within(&self, schema: &SchemaRef) -> LatestRule {
        let has = |column: &String| schema.fields().find(column).is_some();
        LatestRule {
            mode: self.mode,
            key: self.key.iter().filter(|key| has(key)).cloned().collect(),
            order: self.order.clone().filter(has),
            op: self.op.clone().filter(has),
        }
    }

    /// The column that says what happened to a row, if rows can be deletions.
    fn op_column(&self) -> Option<&String> {
        self.op.as_ref().filter(|_| self.mode == Mode::Changes)
    }

    /// The explicit order; the time of arrival needs none.
    fn order_column(&self) -> Option<&String> {
        self.order.as_ref().filter(|order| *order != "_ingested_at")
    }
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
        self.let_session_read(session);
        let Some(raw) = self.head(raw).await? else { return Ok(()) };
        rule.check(&raw)?;
        let head = self.head(&raw.table.latest()).await?;
        fold::fold(self, Arc::new(raw), rule, head, session).await
    }

    /// The latest table made of the rows of `raw` alone, whatever is kept of it: files that no commit names yet. `None`
    /// when nothing has arrived.
    pub async fn stage_latest(
        &self,
        raw: Arc<Snapshot>,
        rule: &LatestRule,
        session: &SessionState,
    ) -> Result<Option<Staged>> {
        self.let_session_read(session);
        rule.check(&raw)?;
        fold::stage(self, raw, rule, None, session).await
    }

    /// The newest row of each key among the rows of `raw` up to `at`, computed from them alone.
    pub async fn latest_of(
        &self,
        raw: Arc<Snapshot>,
        rule: &LatestRule,
        at: Option<Instant>,
        session: &SessionState,
    ) -> Result<Arc<dyn TableProvider>> {
        self.let_session_read(session);
        rule.check(&raw)?;
        match state::watermark_until(self, &raw, at).await? {
            Some(until) => self.resolved(&raw, &rule.within(&raw.schema), None, until).await,
            None => self.provider(Arc::new(Snapshot { files: Vec::new(), ..(*raw).clone() })),
        }
    }

    /// `latest.<dataset>` with raw rows up to `at` (`None`: all of the head): the newest latest-version at or before
    /// it, united with the raw tail that it lacks.
    pub async fn latest_provider(
        &self,
        raw: &TableName,
        rule: &LatestRule,
        at: Option<Instant>,
        session: &SessionState,
    ) -> Result<Arc<dyn TableProvider>> {
        self.let_session_read(session);
        let Some(head) = self.head(raw).await? else {
            return Err(Error::project(format!("{raw} does not exist yet"))
                .hint("`laguna run` lands the first batch"));
        };
        let raw = Arc::new(head);
        rule.check(&raw)?;
        let found = state::newest_until(self, &raw, rule, at).await?;
        let rule = &rule.within(&raw.schema);
        let Some(until) = state::watermark_until(self, &raw, at).await? else {
            // Nothing had arrived yet.
            return self.provider(Arc::new(Snapshot { files: Vec::new(), ..(*raw).clone() }));
        };
        if let Some((latest, state)) = &found
            && state.watermark >= until
        {
            return self.provider(Arc::new(as_raw(latest, &raw)));
        }
        self.resolved(&raw, rule, found, until).await
    }

    /// The newest rows of `raw` up to `until`, upon what was kept in `found`.
    async fn resolved(
        &self,
        raw: &Arc<Snapshot>,
        rule: &LatestRule,
        found: Option<(Snapshot, state::State)>,
        until: Instant,
    ) -> Result<Arc<dyn TableProvider>> {
        let plan = if rule.mode == Mode::Snapshot {
            resolve::snapshot(self, raw, rule, until)?
        } else {
            let previous = match &found {
                Some((latest, state)) => Some(Previous {
                    rows: Arc::new(as_raw(latest, raw)),
                    deleted: tombstone::read(self, state.tombstones.as_deref(), &raw.schema).await?,
                }),
                None => None,
            };
            let after = found.as_ref().map(|(_, state)| state.watermark);
            let winners = resolve::winners(self, raw, rule, previous, Span { after, until }, None)?;
            resolve::living(winners, &raw.schema)?
        };
        Ok(Arc::new(ViewTable::new(plan, None)))
    }

    /// Lets `session` find the lake's files.
    fn let_session_read(&self, session: &SessionState) {
        let url = crate::scan::object_store_url();
        session.runtime_env().register_object_store(url.as_ref(), self.objects().clone());
    }
}

/// Name in [`CommitNote::more`](crate::CommitNote::more) of the columns that the files of a raw table have and that have
/// had no value so far: they are not in its schema.
pub const UNTYPED: &str = "untyped";

/// Whether `column` is only waiting for its first value.
fn awaited(raw: &Snapshot, column: &str) -> bool {
    let untyped = raw.note.more.get(UNTYPED).and_then(serde_json::Value::as_array);
    untyped.is_some_and(|names| names.iter().any(|name| name == column))
        || raw.schema.fields().iter().all(|field| RESERVED_COLUMNS.contains(&field.name().as_str()))
}

/// `latest` with the columns that its raw table has by now: those that it lacks are null.
fn as_raw(latest: &Snapshot, raw: &Snapshot) -> Snapshot {
    Snapshot { schema: raw.schema.clone(), ..latest.clone() }
}
