//! The outcome of a check, and what outcomes mean for publication.

use laguna_base::settings::table::OnFail;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::spec::Severity;

/// What a check speaks of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VerdictKind {
    /// Single rows, judged as they pass: each that fails can be set aside.
    Row,
    /// Rows among others (uniqueness, foreign keys): those that fail are found by a query and can be set aside.
    Set,
    /// The table as a whole; also every check with `mostly` below 1, which speaks of a share of the rows.
    Table,
}

/// The outcome of one check; a row of `system.checks`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// Canonical name: `expect_column_values_to_not_be_null`.
    pub check: String,
    /// What people read: `not_null(carrier)`, or the name given in YAML.
    pub label: String,
    /// The column, if the check is about one.
    pub column: Option<String>,
    /// Arguments under their canonical names.
    pub kwargs: Value,
    /// How much a failure matters.
    pub severity: Severity,
    /// Whether what was expected holds.
    pub success: bool,
    /// What it speaks of.
    pub kind: VerdictKind,
    /// Rows of the table.
    pub element_count: u64,
    /// Rows that fail; for duplicates all rows of a repeated value.
    pub unexpected_count: u64,
    /// Rows taken out because the value is null or NaN.
    pub missing_count: u64,
    /// Share of failing rows among those that are not missing, in percent; 0 when there are none.
    pub unexpected_percent: f64,
    /// At most 20 failing values; of several columns an object each.
    pub examples: Vec<Value>,
    /// The number or names that a check on the whole table saw; null for row checks.
    pub observed: Value,
    /// One line for people: `3 of 120 values of carrier are null`.
    pub message: String,
}

/// What a check on the whole table saw.
pub(crate) struct Observation {
    pub observed: Value,
    pub success: bool,
    pub message: String,
}

/// What verdicts mean for publication.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gate {
    /// Everything holds.
    Pass,
    /// Something fails that is only said.
    Warn,
    /// Failing rows are set aside, the rest is published.
    Quarantine,
    /// The new version is not published.
    Block,
}

/// Decides. With [`OnFail::Quarantine`] a critical check on the whole table that fails blocks, because no single row
/// is to blame.
pub fn gate(verdicts: &[Verdict], on_fail: OnFail) -> Gate {
    let failed = |severity: fn(&Verdict) -> bool| verdicts.iter().any(|v| !v.success && severity(v));
    if !failed(|verdict| verdict.severity == Severity::Critical) {
        return if failed(|_| true) { Gate::Warn } else { Gate::Pass };
    }
    match on_fail {
        OnFail::Warn => Gate::Warn,
        OnFail::Block => Gate::Block,
        OnFail::Quarantine => {
            if failed(|v| v.severity == Severity::Critical && v.kind == VerdictKind::Table) {
                Gate::Block
            } else {
                Gate::Quarantine
            }
        }
    }
}
