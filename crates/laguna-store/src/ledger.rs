//! What happened: one JSON object a run at its start and at its end, folded into `system.*` tables.

use laguna_base::{Instant, Result};
use serde::{Deserialize, Serialize};

use crate::Lake;

/// `_laguna/runs/<id>.json`: one run, put at its start and overwritten at its end.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunRecord {
    /// Id, sorts by time.
    pub id: String,
    /// `run`, `run --as-of`, `rollback`.
    pub command: String,
    /// What was selected, as typed.
    pub select: Vec<String>,
    /// Start.
    pub started: Instant,
    /// Last sign of life; refreshed every few seconds while it runs.
    pub heartbeat: Instant,
    /// End; `None` while it runs or when it was killed.
    pub finished: Option<Instant>,
    /// `running`, `done`, `failed`, `interrupted`; readers show `killed` for a running one without a living owner.
    pub outcome: String,
    /// Process id and host of the owner.
    pub owner: String,
    /// The release it published.
    pub release: Option<u64>,
    /// Hash of the project's code.
    pub code: Option<String>,
    /// Its tasks.
    pub tasks: Vec<TaskRecord>,
    /// The first error, in one line.
    pub error: Option<String>,
}

/// One node of one run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskRecord {
    /// Table name.
    pub node: String,
    /// `built`, `landed`, `skipped`, `blocked`, `failed`, `held`.
    pub outcome: String,
    /// Why, in one line.
    pub reason: String,
    /// Start.
    pub started: Instant,
    /// Wall-clock seconds.
    pub seconds: f64,
    /// Attempts.
    pub attempts: u32,
    /// Rows read, where known.
    pub rows_in: Option<u64>,
    /// Rows written.
    pub rows_out: Option<u64>,
    /// Bytes written.
    pub bytes_out: Option<u64>,
    /// Rows set aside.
    pub quarantined: u64,
    /// Delta version committed.
    pub version: Option<u64>,
    /// Verdicts of its checks, as the check room serialises them (`laguna_check::Verdict`).
    pub checks: Vec<serde_json::Value>,
    /// Numbers about the table: name to value (`row_count`, `bytes`, `null_fraction(c)` …).
    pub metrics: std::collections::BTreeMap<String, f64>,
}

impl Lake {
    /// Writes or overwrites the record of a run.
    pub async fn save_run(&self, run: &RunRecord) -> Result<()> {
        let _ = run;
        unimplemented!()
    }

    /// Records of runs that are not folded into the system tables yet, oldest first. `outcome` is `killed` where a
    /// running record's owner no longer lives (same host and no such process, or no heartbeat for a minute).
    pub async fn open_runs(&self) -> Result<Vec<RunRecord>> {
        unimplemented!()
    }

    /// Folds finished and killed runs into `system.runs`, `system.tasks`, `system.checks` and `system.metrics` (one
    /// append each, exactly once by application transaction), then deletes their records. One batch of commits.
    pub async fn fold_runs(&self) -> Result<()> {
        unimplemented!()
    }
}
