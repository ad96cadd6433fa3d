//! Events of a run for people: bars on a terminal, plain lines in a pipe, JSON lines for programs.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use laguna_base::TableName;
use laguna_base::human::thousands;
use laguna_run::{Event, Reporter};

use crate::printer::Printer;

/// Shows events as they come.
pub struct Progress {
    printer: Printer,
    bars: MultiProgress,
    open: Mutex<BTreeMap<TableName, ProgressBar>>,
}

impl Progress {
    /// Shows on what `printer` knows of the streams.
    pub fn new(printer: &Printer) -> Self {
        Progress { printer: printer.clone(), bars: MultiProgress::new(), open: Mutex::new(BTreeMap::new()) }
    }

    fn shows_bars(&self) -> bool {
        self.printer.terminal && !self.printer.quiet && !self.printer.json
    }

    fn line(&self, text: &str) {
        if self.shows_bars() {
            let _ = self.bars.println(text);
        } else {
            self.printer.say(text);
        }
    }

    fn open(&self) -> std::sync::MutexGuard<'_, BTreeMap<TableName, ProgressBar>> {
        self.open.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn start(&self, node: &TableName, total: Option<u64>, unit: &str) {
        let template = match (total, unit) {
            (Some(_), "bytes") => "  {spinner} {msg:32} {bar:28} {bytes:>10}/{total_bytes:10} {elapsed}",
            (Some(_), _) => "  {spinner} {msg:32} {bar:28} {human_pos:>10}/{human_len:10} {elapsed}",
            (None, "bytes") => "  {spinner} {msg:32} {bytes:>10} {elapsed}",
            (None, _) => "  {spinner} {msg:32} {human_pos:>10} rows {elapsed}",
        };
        let bar = match total {
            Some(total) => ProgressBar::new(total),
            None => ProgressBar::new_spinner(),
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("━╸ "));
        }
        let bar = self.bars.add(bar);
        bar.set_message(node.to_string());
        bar.enable_steady_tick(Duration::from_millis(120));
        self.open().insert(node.clone(), bar);
    }
}

impl Reporter for Progress {
    fn event(&self, event: &Event) {
        if self.printer.json {
            if !matches!(event, Event::Progress { .. }) {
                let _ = self.printer.json_line(event);
            }
            return;
        }
        match event {
            Event::TaskStarted { node, total, unit, .. } if self.shows_bars() => {
                self.start(node, *total, unit)
            }
            Event::Progress { node, done } => {
                if let Some(bar) = self.open().get(node) {
                    bar.set_position(*done);
                }
            }
            Event::TaskFinished(task) => {
                if let Ok(node) = task.node.parse::<TableName>()
                    && let Some(bar) = self.open().remove(&node)
                {
                    bar.finish_and_clear();
                    self.bars.remove(&bar);
                }
                let rows = task.rows_out.map(|rows| format!("{} rows", thousands(rows))).unwrap_or_default();
                let mark = match task.outcome.as_str() {
                    "failed" | "blocked" => self.printer.paint("31;1", &task.outcome),
                    "held" => self.printer.paint("33;1", &task.outcome),
                    _ => self.printer.paint("32", &task.outcome),
                };
                self.line(&format!(
                    "  {mark:8} {:32} {rows:>16} {:>7.2} s  {}",
                    task.node, task.seconds, task.reason
                ));
            }
            Event::Note { message } => {
                self.line(&format!("  {} {message}", self.printer.paint("36", "note:")))
            }
            Event::Started { .. } | Event::TaskStarted { .. } | Event::Done { .. } => {}
        }
    }
}
