//! What a run tells while it works.

use laguna_base::{Instant, TableName};
use laguna_store::ledger::TaskRecord;
use serde::Serialize;

/// One thing that happened. Serialises to one line of `--json`.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// A run begins.
    Started {
        /// Id of the run.
        run: String,
        /// What `now()` answers.
        instant: Instant,
        /// Nodes selected.
        nodes: usize,
    },
    /// A node begins.
    TaskStarted {
        /// Which.
        node: TableName,
        /// Bytes or rows that are expected, where known.
        #[serde(skip_serializing_if = "Option::is_none")]
        total: Option<u64>,
        /// `bytes` or `rows`.
        unit: &'static str,
        /// Why it runs.
        reason: String,
    },
    /// How far a node has come. Not part of `--json`.
    #[serde(skip)]
    Progress {
        /// Which.
        node: TableName,
        /// Bytes or rows done.
        done: u64,
    },
    /// A node ended.
    TaskFinished(TaskRecord),
    /// Something worth knowing that is no error.
    Note {
        /// One sentence.
        message: String,
    },
    /// The outcome of a run; always the last.
    Done {
        /// Id of the run.
        run: String,
        /// The release that it published.
        release: Option<u64>,
        /// Nodes that had nothing to do.
        skipped: usize,
        /// Nodes that landed or were built.
        built: usize,
        /// Nodes that failed, were blocked, or could not be built because of those.
        failed: usize,
        /// Rows set aside.
        quarantined: u64,
        /// Wall-clock seconds.
        seconds: f64,
    },
}

/// Who is told.
pub trait Reporter: Send + Sync {
    /// Called from any task; must not block.
    fn event(&self, event: &Event);
}

/// Tells nobody.
#[derive(Debug, Default, Clone, Copy)]
pub struct Silent;

impl Reporter for Silent {
    fn event(&self, _: &Event) {}
}
