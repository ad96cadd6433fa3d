//! The report as one page that stands alone: no script, nothing fetched from elsewhere.

use std::collections::BTreeSet;
use std::fmt::Write;

use laguna_base::Instant;
use laguna_base::human::thousands;
use laguna_check::FailingRow;
use laguna_run::check::{CheckLine, Report};
use serde_json::Value;

use super::{escaped, plain};

const STYLE: &str = "body{font:15px/1.45 system-ui,sans-serif;margin:2rem auto;max-width:72rem;padding:0 1rem;color:#1c2430;background:#fff}\
h1{font-size:1.5rem;margin:0}h2{font-size:1.15rem;margin:2rem 0 .5rem}p.when{color:#5c6675;margin:.2rem 0 1.5rem}\
table{border-collapse:collapse;width:100%}th,td{text-align:left;padding:.35rem .6rem;border-bottom:1px solid #e3e7ee;vertical-align:top}\
th{font-weight:600;color:#5c6675}.passed{color:#14733b}.failed{color:#b3261e;font-weight:600}.warned{color:#8a5a00;font-weight:600}\
code,td.value{font:13px/1.4 ui-monospace,monospace}details{margin:.4rem 0}summary{cursor:pointer}td.value{white-space:pre-wrap;overflow-wrap:anywhere}\
.null{color:#98a1b0}ul.tally{list-style:none;padding:0;display:flex;gap:1.5rem;margin:1rem 0}ul.tally b{font-size:1.4rem;display:block}\
@media(prefers-color-scheme:dark){body{color:#dfe4ec;background:#161a20}th,p.when{color:#98a1b0}th,td{border-color:#2b323d}.passed{color:#63c58b}.failed{color:#ff8a80}.warned{color:#e5b454}}";

/// The whole page.
pub fn text(reports: &[Report], at: Instant) -> String {
    let verdicts: Vec<_> = reports.iter().flat_map(|report| &report.checked.verdicts).collect();
    let passed = verdicts.iter().filter(|verdict| verdict.success).count();
    let success = passed == verdicts.len();
    let mut page = String::from("<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n");
    let word = if success { "passed" } else { "failed" };
    let _ = write!(
        page,
        "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>Checks {word}</title>\n\
         <style>{STYLE}</style>\n</head>\n<body>\n<h1 class=\"{word}\">Checks {word}</h1>\n<p class=\"when\">{at}</p>\n"
    );
    let rows: u64 = reports.iter().map(|report| report.rows).sum();
    let _ = writeln!(
        page,
        "<ul class=\"tally\"><li><b>{passed}</b> passed</li><li><b>{}</b> failed</li><li><b>{}</b> rows</li></ul>",
        verdicts.len() - passed,
        thousands(rows)
    );
    for report in reports {
        section(&mut page, report);
    }
    page.push_str("</body>\n</html>");
    page
}

fn section(page: &mut String, report: &Report) {
    let _ = write!(page, "<h2>{}</h2>\n<p class=\"when\">", escaped(&report.checked.subject));
    if report.checked.suite != report.checked.subject {
        let _ = write!(page, "suite {}, ", escaped(&report.checked.suite));
    }
    let _ = write!(
        page,
        "{} rows, {} bytes read, {:.2} s</p>\n<table>\n<tr><th>check<th>severity<th>outcome<th>what was seen</tr>\n",
        thousands(report.rows),
        thousands(report.bytes),
        report.seconds
    );
    // Failures first: they are what people open the page for.
    let mut lines: Vec<CheckLine> = report.lines().collect();
    lines.sort_by_key(|line| line.verdict.success);
    for line in &lines {
        let verdict = line.verdict;
        let (class, word) = match (verdict.success, &verdict.error, verdict.severity) {
            (true, ..) => ("passed", "passed"),
            (_, Some(_), _) => ("failed", "error"),
            (_, _, laguna_check::Severity::Critical) => ("failed", "failed"),
            _ => ("warned", "failed"),
        };
        let seen = verdict.error.as_ref().unwrap_or(&verdict.message);
        let _ = write!(
            page,
            "<tr><td><code>{}</code>{}<td>{}<td class=\"{class}\">{word}<td>{}",
            escaped(&verdict.label),
            verdict.description.as_ref().map(|text| format!("<br>{}", escaped(text))).unwrap_or_default(),
            verdict.severity.as_str(),
            escaped(seen)
        );
        details(page, line);
        page.push_str("</tr>\n");
    }
    page.push_str("</table>\n");
}

fn details(page: &mut String, line: &CheckLine) {
    let verdict = line.verdict;
    if verdict.success {
        return;
    }
    let _ = write!(
        page,
        "<details><summary>expectation</summary><code>{} {}</code></details>",
        escaped(&verdict.check),
        escaped(&verdict.kwargs.to_string())
    );
    if !line.failing_rows.is_empty() {
        let _ = write!(
            page,
            "<details open><summary>{} of {} failing rows</summary>",
            line.failing_rows.len(),
            thousands(verdict.unexpected_count)
        );
        rows(page, line.failing_rows);
        page.push_str("</details>");
    } else if !verdict.examples.is_empty() {
        let values: Vec<String> = verdict.examples.iter().map(|value| escaped(&plain(value))).collect();
        let _ = write!(
            page,
            "<details open><summary>{} failing rows, with values such as</summary><code>{}</code></details>",
            thousands(verdict.unexpected_count),
            values.join(", ")
        );
    }
}

fn rows(page: &mut String, rows: &[FailingRow]) {
    let empty = serde_json::Map::new();
    let values = |row: &FailingRow| row.row.as_object().cloned().unwrap_or_else(|| empty.clone());
    let mut seen = BTreeSet::new();
    let columns: Vec<String> = rows
        .iter()
        .flat_map(|row| values(row).keys().cloned().collect::<Vec<_>>())
        .filter(|name| seen.insert(name.clone()))
        .collect();
    let placed = rows.iter().any(|row| row.number.is_some());
    page.push_str("<table><tr>");
    if placed {
        page.push_str("<th>file<th>row");
    }
    for column in &columns {
        let _ = write!(page, "<th>{}", escaped(column));
    }
    page.push_str("</tr>\n");
    for row in rows {
        page.push_str("<tr>");
        if placed {
            let number = row.number.map(thousands).unwrap_or_default();
            let _ = write!(page, "<td>{}<td>{number}", escaped(row.file.as_deref().unwrap_or_default()));
        }
        let values = values(row);
        for column in &columns {
            match values.get(column) {
                Some(Value::Null) | None => page.push_str("<td class=\"value null\">null"),
                Some(value) => drop(write!(page, "<td class=\"value\">{}", escaped(&plain(value)))),
            }
        }
        page.push_str("</tr>\n");
    }
    page.push_str("</table>");
}
