//! What names mean in one session: the trait behind the catalog, and what a name can turn out to be.

use std::fmt::Debug;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::TableProvider;
use laguna_base::{Error, Instant, Result, TableName, Tier};
use laguna_store::Snapshot;
use laguna_store::latest::LatestRule;

/// What a name means.
#[derive(Debug, Clone)]
pub enum Resolved {
    /// Rows of one table version.
    Snapshot {
        /// The version.
        snapshot: Arc<Snapshot>,
        /// Only rows that had arrived by then: `_ingested_at` (quarantine: `_quarantined_at`) at or before it.
        until: Option<Instant>,
        /// Only these columns, in this order; those that the snapshot lacks are null. `None`: all as they are.
        schema: Option<SchemaRef>,
    },
    /// A view: its SQL is planned in the same session.
    View {
        /// A SELECT with the lake's table names.
        sql: String,
    },
    /// A view that is read at another moment than the session's.
    ViewAt {
        /// A SELECT with the lake's table names.
        sql: String,
        /// What the names in it mean.
        tables: Arc<dyn Tables>,
    },
    /// The newest row of each key of a raw table.
    Latest {
        /// The raw table.
        raw: TableName,
        /// What makes a row the newest.
        rule: LatestRule,
        /// Only rows that had arrived by then.
        at: Option<Instant>,
    },
    /// Anything else that can be scanned.
    Provider(Arc<dyn TableProvider>),
}

/// The filter for rows of `snapshot` that had arrived by `until`: the column that says when a row arrived, and the
/// instant at or before which that must be. `None` when all rows had, or when none says so.
pub fn arrived_by(snapshot: &Snapshot, until: Instant) -> Option<(&'static str, Instant)> {
    let arrival = match snapshot.table.tier {
        Tier::Quarantine => "_quarantined_at",
        _ => "_ingested_at",
    };
    // A raw version whose newest row had arrived by then needs no filter.
    let newest = snapshot.note.watermark.filter(|_| snapshot.table.tier == Tier::Raw);
    let all = newest.is_some_and(|newest| newest <= until);
    (!all && snapshot.schema.column_with_name(arrival).is_some()).then_some((arrival, until))
}

/// The point that one table of a statement is pinned to, see [`crate::timetravel`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Pin {
    /// `FOR TIMESTAMP AS OF`.
    Timestamp(Instant),
    /// `FOR VERSION AS OF`: the Delta version.
    Version(u64),
}

/// What names mean in one session. Answers must not change while it lives: a statement sees one state.
#[async_trait]
pub trait Tables: Send + Sync + Debug {
    /// The table called `name`; `None` when there is none.
    async fn table(&self, name: &TableName) -> Result<Option<Resolved>>;

    /// Names of the tables of one tier, sorted.
    async fn names(&self, tier: Tier) -> Result<Vec<String>>;

    /// The table called `name` at another moment.
    async fn pinned(&self, name: &TableName, pin: &Pin) -> Result<Option<Resolved>> {
        let _ = pin;
        Err(Error::project(format!("time travel on `{name}` is not possible here")))
    }

    /// Whether `name` is a view, answered without opening it.
    async fn is_view(&self, name: &TableName) -> Result<bool> {
        let _ = name;
        Ok(false)
    }

    /// The newest staged version of `name`: `staged.<tier>_<table>`.
    async fn staged(&self, name: &TableName) -> Result<Option<Resolved>> {
        let _ = name;
        Ok(None)
    }

    /// Tables that have a staged version.
    async fn staged_names(&self) -> Result<Vec<TableName>> {
        Ok(Vec::new())
    }
}
