//! Checking what is there, without changing it: released tables, files of any pipeline, releases of the past.

mod backtest;
mod files;
mod numbering;
mod query;
mod suggest;
mod tables;

use std::collections::BTreeMap;
use std::time::Instant as Stopwatch;

use laguna_base::{Clock, Result, SystemClock};
use laguna_check::great_expectations::{Checked, SuiteFile, read_suite};
use laguna_check::{Answered, FailingRow, Keep, Severity};
use laguna_model::build::{FilesRead, Looked};
use serde::Serialize;
use serde_json::{Value, json};

pub use backtest::{PastCheck, backtest};
pub use files::check_files;
pub use suggest::{profile_files, profile_table};
pub use tables::{CheckTables, check_tables};

/// How much is told.
#[derive(Debug, Clone, Copy)]
pub struct Telling {
    /// What verdicts tell of failing values.
    pub keep: Keep,
    /// Whether failing values of files are told with their rows' numbers.
    pub in_order: bool,
    /// Failing rows of each check that are looked for, at most.
    pub rows: usize,
    /// Whether it matters how each check is answered.
    pub explain: bool,
}

impl Default for Telling {
    fn default() -> Telling {
        Telling { keep: Keep::default(), in_order: false, rows: 5, explain: false }
    }
}

/// One table, or one set of files, and what was seen of it.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// The verdicts, and of what.
    pub checked: Checked,
    /// How each check was answered; empty when nobody asked.
    pub answered: Vec<Answered>,
    /// For each check rows that it refuses.
    pub failing: Vec<Vec<FailingRow>>,
    /// Rows looked at.
    pub rows: u64,
    /// Bytes read.
    pub bytes: u64,
    /// How much of a table's files was read; `None` for what has none.
    pub files: Option<FilesRead>,
    /// Seconds it took.
    pub seconds: f64,
}

/// One check of a report, as programs read it.
#[derive(Debug, Clone, Serialize)]
pub struct CheckLine<'a> {
    /// The table or files.
    pub table: &'a str,
    /// What was seen.
    #[serde(flatten)]
    pub verdict: &'a laguna_check::Verdict,
    /// How it was answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answered: Option<Answered>,
    /// Rows that it refuses.
    #[serde(skip_serializing_if = "<[FailingRow]>::is_empty")]
    pub failing_rows: &'a [FailingRow],
}

impl Report {
    /// What was `looked` at of `subject`, by `suite` or by the checks of the table's settings.
    fn new(subject: String, suite: Option<&SuiteFile>, looked: Looked, stopwatch: Stopwatch) -> Report {
        let checked = Checked {
            suite: suite.map_or_else(|| subject.clone(), |suite| suite.name.clone()),
            parameters: suite.map(|suite| suite.parameters.clone()).unwrap_or_default(),
            expectations: suite.map(|suite| suite.expectations.clone()).unwrap_or_default(),
            verdicts: looked.verdicts,
            subject,
        };
        Report {
            checked,
            answered: looked.answered,
            failing: looked.failing,
            rows: looked.rows,
            bytes: looked.bytes,
            files: looked.files,
            seconds: stopwatch.elapsed().as_secs_f64(),
        }
    }

    /// Its checks, one by one.
    pub fn lines(&self) -> impl Iterator<Item = CheckLine<'_>> {
        self.checked.verdicts.iter().enumerate().map(|(at, verdict)| CheckLine {
            table: &self.checked.subject,
            verdict,
            answered: self.answered.get(at).copied(),
            failing_rows: self.failing.get(at).map(Vec::as_slice).unwrap_or_default(),
        })
    }

    /// The whole report for programs.
    pub fn json(&self) -> Value {
        let passed = self.checked.verdicts.iter().filter(|verdict| verdict.success).count();
        json!({
            "table": self.checked.subject,
            "suite": self.checked.suite,
            "success": self.checked.success(),
            "passed": passed,
            "failed": self.checked.verdicts.len() - passed,
            "rows": self.rows,
            "bytes_read": self.bytes,
            "files": self.files,
            "seconds": self.seconds,
            "checks": self.lines().filter_map(|line| serde_json::to_value(line).ok()).collect::<Vec<_>>(),
        })
    }

    /// Whether a check fails that matters at least as much as `severity`.
    pub fn fails_on(&self, severity: Severity) -> bool {
        let rank = |severity: Severity| match severity {
            Severity::Critical => 2,
            Severity::Warning => 1,
            Severity::Info => 0,
        };
        let mut failed = self.checked.verdicts.iter().filter(|verdict| !verdict.success);
        failed.any(|verdict| rank(verdict.severity) >= rank(severity))
    }
}

/// Reads the suite in the file `path`; errors name it as `shown`.
pub fn load_suite(
    path: &std::path::Path,
    shown: &str,
    parameters: &BTreeMap<String, Value>,
) -> Result<SuiteFile> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        let hint = match error.kind() {
            std::io::ErrorKind::InvalidData => "a suite is JSON in UTF-8: convert the file, as with iconv",
            _ => "name a file with --suite: Great Expectations keeps them in gx/expectations",
        };
        laguna_base::Error::project("the suite cannot be read").at(shown, 0, 0).hint(hint).caused_by(error)
    })?;
    read_suite(&text, shown, parameters, SystemClock.now())
}
