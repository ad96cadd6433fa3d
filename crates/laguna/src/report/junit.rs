//! JUnit XML, as build servers read it: a table is a suite, a check is a case.

use std::fmt::Write;

use laguna_run::check::Report;

use super::{escaped, row};

/// The whole document.
pub fn text(reports: &[Report]) -> String {
    let all = |report: &Report| report.checked.verdicts.len();
    let failures = |report: &Report| {
        report.checked.verdicts.iter().filter(|verdict| !verdict.success && verdict.error.is_none()).count()
    };
    let errors =
        |report: &Report| report.checked.verdicts.iter().filter(|verdict| verdict.error.is_some()).count();
    let mut text = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let _ = writeln!(
        text,
        "<testsuites name=\"laguna check\" tests=\"{}\" failures=\"{}\" errors=\"{}\" time=\"{:.3}\">",
        reports.iter().map(all).sum::<usize>(),
        reports.iter().map(failures).sum::<usize>(),
        reports.iter().map(errors).sum::<usize>(),
        reports.iter().map(|report| report.seconds).sum::<f64>()
    );
    for report in reports {
        let subject = escaped(&report.checked.subject);
        let _ = writeln!(
            text,
            "  <testsuite name=\"{subject}\" tests=\"{}\" failures=\"{}\" errors=\"{}\" skipped=\"0\" time=\"{:.3}\">",
            all(report),
            failures(report),
            errors(report),
            report.seconds
        );
        for line in report.lines() {
            let verdict = line.verdict;
            let name = escaped(&verdict.label);
            let _ = write!(text, "    <testcase classname=\"{subject}\" name=\"{name}\" time=\"0\"");
            if verdict.success {
                text.push_str("/>\n");
                continue;
            }
            text.push_str(">\n");
            match &verdict.error {
                Some(error) => {
                    let _ = writeln!(
                        text,
                        "      <error message=\"{}\" type=\"{}\"/>",
                        escaped(error),
                        verdict.check
                    );
                }
                None => {
                    let rows: Vec<String> = line.failing_rows.iter().map(row).collect();
                    let _ = writeln!(
                        text,
                        "      <failure message=\"{}\" type=\"{}\">{}: {}\n{}</failure>",
                        escaped(&verdict.message),
                        verdict.severity.as_str(),
                        escaped(&verdict.check),
                        escaped(&verdict.kwargs.to_string()),
                        escaped(&rows.join("\n"))
                    );
                }
            }
            text.push_str("    </testcase>\n");
        }
        text.push_str("  </testsuite>\n");
    }
    text.push_str("</testsuites>");
    text
}
