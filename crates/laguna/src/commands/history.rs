//! `laguna history`: releases, newest first.

use std::sync::Arc;

use laguna_base::Result;
use laguna_run::events::Silent;
use laguna_run::history;
use tokio_util::sync::CancellationToken;

use super::open;
use crate::cli::{Global, HistoryArgs};
use crate::printer::{Printer, thousands};

/// Lists releases.
pub async fn execute(
    args: &HistoryArgs,
    global: &Global,
    printer: &Printer,
    stop: CancellationToken,
) -> Result<u8> {
    let context = open(global, printer, Arc::new(Silent), stop).await?;
    let table = args.table.as_deref().map(str::parse).transpose()?;
    let entries = history::history(context.lake(), table.as_ref(), args.limit).await?;
    if entries.is_empty() {
        printer.say("nothing was released yet: laguna run releases the project");
    }
    let header = ["release", "time", "why", "new tables", "rows", "checks", "held", "git commit"];
    printer.list(args.output, &header, &entries, |entry| {
        let names: Vec<String> = entry.changed.iter().take(4).map(|name| name.to_string()).collect();
        let more = entry.changed.len().saturating_sub(4);
        let names = names.join(", ") + &if more > 0 { format!(" and {more} more") } else { String::new() };
        vec![
            entry.release.to_string(),
            entry.time.to_string(),
            entry.reason.clone(),
            names,
            thousands(entry.rows),
            entry.checks.clone(),
            entry.held.join("; "),
            entry.git_commit.as_deref().map(|commit| commit.chars().take(10).collect()).unwrap_or_default(),
        ]
    })?;
    Ok(0)
}
