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
    /// At most 20 failing values, unless [`crate::Suite::keeping`] asked for more; of several columns an object each.
    pub examples: Vec<Value>,
    /// Numbers of the failing rows, from 0, in the order in which the batches came; empty unless
    /// [`crate::Suite::keeping`] asked for them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unexpected_index: Vec<u64>,
    /// The number or names that a check on the whole table saw; null for row checks.
    pub observed: Value,
    /// What else there is to tell, as Great Expectations' `details`; null for most checks. Checks of different values
    /// tell `partial_unexpected_list` and `partial_missing_list` here, and count members that are not there as missing.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub details: Value,
    /// Why the check could not be computed. It then counts as failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// What the user keeps with the check: `meta`, as it was given.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub meta: Value,
    /// The user's notes: a text or a list of texts, as they were given.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub notes: Value,
    /// What the user says about the check.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The user's id of the check.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// One line for people: `3 of 120 values of carrier are null`.
    pub message: String,
}

impl Verdict {
    /// Rows that were judged: all but those taken out as missing.
    pub fn judged_count(&self) -> u64 {
        self.element_count.saturating_sub(self.missing_count)
    }

    /// Share of the missing among all rows, in percent; none of an empty table.
    pub fn missing_percent(&self) -> Option<f64> {
        percent(self.missing_count, self.element_count)
    }

    /// Share of the failing among all rows, in percent; none of an empty table.
    pub fn unexpected_percent_total(&self) -> Option<f64> {
        percent(self.unexpected_count, self.element_count)
    }

    /// Share of the failing among the judged rows, in percent; none when no row was judged.
    pub fn unexpected_percent_nonmissing(&self) -> Option<f64> {
        percent(self.unexpected_count, self.judged_count())
    }
}

fn percent(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64 * 100.0)
}

/// What a check that is judged at the end saw.
#[derive(Debug, Default)]
pub(crate) struct Observation {
    pub observed: Value,
    pub success: bool,
    pub message: String,
    pub details: Value,
    /// Rows that it counted one by one, if it did.
    pub counted: Option<Counted>,
}

/// Rows counted at the end.
#[derive(Debug, Default)]
pub(crate) struct Counted {
    pub missing: u64,
    pub unexpected: u64,
    pub examples: Vec<Value>,
    pub rows: Vec<u64>,
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
