//! The one place that prints: results to standard output, everything else to standard error.

use std::io::{IsTerminal, Write};

use comfy_table::{Cell, CellAlignment, ContentArrangement, Table, presets};
use laguna_base::{Error, Result};
use serde::Serialize;

use crate::cli::{Global, ListFormat};

/// Knows who reads: a person at a terminal, a pipe, or a program (`--json`).
#[derive(Debug, Clone)]
pub struct Printer {
    /// One JSON object a line.
    pub json: bool,
    /// Only results and errors.
    pub quiet: bool,
    /// Standard error is a terminal.
    pub terminal: bool,
    color: bool,
}

impl Printer {
    /// From the options of every command and the process's streams. `NO_COLOR` is respected.
    pub fn new(global: &Global) -> Self {
        let terminal = std::io::stderr().is_terminal();
        let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Printer { json: global.json, quiet: global.quiet, terminal, color: terminal && !plain }
    }

    /// A result, on standard output.
    pub fn result(&self, text: &str) -> Result<()> {
        let mut out = std::io::stdout().lock();
        writeln!(out, "{text}").and_then(|()| out.flush()).map_err(write_error)
    }

    /// One JSON object on standard output.
    pub fn json_line<T: Serialize>(&self, value: &T) -> Result<()> {
        let line = serde_json::to_string(value)
            .map_err(|error| Error::internal("the outcome does not serialise").caused_by(error))?;
        self.result(&line)
    }

    /// A line for people, on standard error.
    pub fn say(&self, text: &str) {
        if !self.quiet && !self.json {
            let _ = writeln!(std::io::stderr().lock(), "{text}");
        }
    }

    /// Something to look at that stops nothing, on standard error.
    pub fn warning(&self, text: &str) {
        if !self.quiet {
            let _ = writeln!(std::io::stderr().lock(), "{} {text}", self.paint("33;1", "warning:"));
        }
    }

    /// An error with its place, hint and causes; as JSON on standard output too where a program listens.
    pub fn error(&self, error: &Error) {
        if self.json {
            let _ = self.json_line(&error_json(error));
        }
        let mut err = std::io::stderr().lock();
        for error in std::iter::once(error).chain(error.others()) {
            let _ = writeln!(err, "{} {error}", self.paint("31;1", "error:"));
            for cause in error.causes() {
                let _ = writeln!(err, "  caused by: {cause}");
            }
            if let Some(hint) = error.hint_text() {
                let _ = writeln!(err, "  {} {hint}", self.paint("36;1", "hint:"));
            }
        }
    }

    /// Colours `text` where that can be seen.
    pub fn paint(&self, code: &str, text: &str) -> String {
        if self.color { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_string() }
    }

    /// A listing in the format asked for. `rows` gives a row's cells for people.
    pub fn list<T: Serialize>(
        &self,
        format: ListFormat,
        header: &[&str],
        items: &[T],
        cells: impl Fn(&T) -> Vec<String>,
    ) -> Result<()> {
        match (format, self.json) {
            (ListFormat::Table, false) => self.result(&table(header, items.iter().map(cells)).to_string()),
            (ListFormat::Json, _) => {
                let text = serde_json::to_string_pretty(items)
                    .map_err(|error| Error::internal("the list does not serialise").caused_by(error))?;
                self.result(&text)
            }
            (ListFormat::Ndjson, _) => items.iter().try_for_each(|item| self.json_line(item)),
            (ListFormat::Table, true) => {
                items.iter().try_for_each(|item| self.json_line(item))?;
                self.json_line(&serde_json::json!({"event": "done", "count": items.len()}))
            }
        }
    }
}

/// A table for people; cells that look like numbers stand to the right.
pub fn table(header: &[&str], rows: impl Iterator<Item = Vec<String>>) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::UTF8_HORIZONTAL_ONLY).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(header);
    for row in rows {
        table.add_row(row.into_iter().map(|text| {
            let numeric = text.starts_with(|c: char| c.is_ascii_digit())
                && text.chars().all(|c| c.is_ascii_digit() || matches!(c, ',' | '.' | ' '));
            let cell = Cell::new(text);
            if numeric { cell.set_alignment(CellAlignment::Right) } else { cell }
        }));
    }
    table
}

/// What was typed is no command: said as the last line of `--json`.
pub fn usage_error(text: &str) {
    let first = text.lines().next().unwrap_or_default().trim_start_matches("error: ");
    let mut error = Error::project(first);
    if let Some(tip) = text.lines().find_map(|line| line.trim().strip_prefix("tip: ")) {
        error = error.hint(tip);
    }
    let _ = writeln!(std::io::stdout().lock(), "{}", error_json(&error));
}

/// An error as the last line of `--json`.
pub fn error_json(error: &Error) -> serde_json::Value {
    let one = |error: &Error| {
        serde_json::json!({
            "kind": error.kind().as_str(),
            "message": error.message(),
            "location": error.location().map(|place| serde_json::json!({
                "file": place.file, "line": place.line, "column": place.column
            })),
            "hint": error.hint_text(),
            "causes": error.causes(),
        })
    };
    let mut value = one(error);
    value["event"] = "error".into();
    value["exit_code"] = error.kind().exit_code().into();
    if !error.others().is_empty() {
        value["others"] = error.others().iter().map(one).collect();
    }
    value
}

/// Writing to standard output failed.
pub fn write_error(error: std::io::Error) -> Error {
    Error::storage("the output cannot be written").caused_by(error)
}

/// Whether the reader of standard output went away: that is no failure.
pub fn is_closed_pipe(error: &Error) -> bool {
    let mut next = std::error::Error::source(error);
    while let Some(cause) = next {
        if let Some(io) = cause.downcast_ref::<std::io::Error>()
            && io.kind() == std::io::ErrorKind::BrokenPipe
        {
            return true;
        }
        next = cause.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closed_pipe_is_recognised_through_causes() {
        let broken = write_error(std::io::ErrorKind::BrokenPipe.into());
        assert!(is_closed_pipe(&broken));
        assert!(!is_closed_pipe(&write_error(std::io::ErrorKind::StorageFull.into())));
    }
}
