//! The report at a terminal: one line a check, then the rows that fail.

use laguna_base::Result;
use laguna_base::human::{bytes, count, thousands};
use laguna_run::check::Report;

use super::row;
use crate::printer::{Printer, table};

/// Failing values shown beside a message when no rows were found.
const VALUES: usize = 5;

/// Prints the checks to standard output, and what follows for people to standard error.
pub fn print(reports: &[Report], explain: bool, printer: &Printer) -> Result<()> {
    let mut header = vec!["table", "check", "severity", "outcome", "what was seen"];
    if explain {
        header.push("answered");
    }
    let rows = reports.iter().flat_map(Report::lines).map(|line| {
        let verdict = line.verdict;
        let outcome = match (&verdict.error, verdict.success) {
            (Some(_), _) => "error",
            (None, true) => "passed",
            (None, false) => "failed",
        };
        let seen = verdict.error.clone().unwrap_or_else(|| verdict.message.clone());
        let mut cells = vec![
            line.table.to_string(),
            verdict.label.clone(),
            verdict.severity.as_str().to_string(),
            outcome.to_string(),
            seen,
        ];
        if explain {
            cells.push(line.answered.map(|how| how.as_str().to_string()).unwrap_or_default());
        }
        cells
    });
    printer.result(&table(&header, rows).to_string())?;
    for line in reports.iter().flat_map(Report::lines).filter(|line| !line.verdict.success) {
        let verdict = line.verdict;
        if verdict.error.is_some() || (line.failing_rows.is_empty() && verdict.examples.is_empty()) {
            continue;
        }
        let shown = line.failing_rows.len();
        let head = printer.paint("31;1", &format!("{} {}:", line.table, verdict.label));
        if shown == 0 {
            let values: Vec<String> = verdict.examples.iter().take(VALUES).map(super::plain).collect();
            printer.say(&format!(
                "{head} {} rows fail, with values such as {}",
                thousands(verdict.unexpected_count),
                values.join(", ")
            ));
            continue;
        }
        printer.say(&format!("{head} {shown} of {}", count(verdict.unexpected_count, "failing row")));
        for failing in line.failing_rows {
            printer.say(&format!("  {}", row(failing)));
        }
    }
    let all: usize = reports.iter().map(|report| report.checked.verdicts.len()).sum();
    let passed = reports.iter().flat_map(|report| &report.checked.verdicts).filter(|v| v.success).count();
    let seconds: f64 = reports.iter().map(|report| report.seconds).sum();
    let rows: u64 = reports.iter().map(|report| report.rows).sum();
    let mut text =
        format!("{passed} of {} passed; {} ({seconds:.2} s)", count(all as u64, "check"), count(rows, "row"));
    if explain {
        let read: u64 = reports.iter().map(|report| report.bytes).sum();
        text.push_str(&format!(", {} read", bytes(read)));
    }
    printer.say(&text);
    for (report, files) in
        reports.iter().filter(|_| explain).filter_map(|report| Some((report, report.files.as_ref()?)))
    {
        let mut text = format!(
            "{}: {} of {} read, {} from kept states ({})",
            report.checked.subject,
            files.read,
            count(files.files as u64, "file"),
            files.kept,
            bytes(files.state_bytes)
        );
        if !files.unkept.is_empty() {
            text.push_str(&format!("; not kept, and read again each time: {}", files.unkept.join(", ")));
        }
        printer.say(&text);
    }
    Ok(())
}
