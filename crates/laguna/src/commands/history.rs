//! `laguna history`: releases, newest first.

use laguna_base::Result;
use laguna_base::human::thousands;
use laguna_run::history;

use super::open_lake;
use crate::cli::{Global, HistoryArgs};
use crate::printer::Printer;

/// Lists releases.
pub async fn execute(args: &HistoryArgs, global: &Global, printer: &Printer) -> Result<u8> {
    let (_, engine) = open_lake(global).await?;
    let table = args.table.as_deref().map(str::parse).transpose()?;
    let entries = history::history(engine.lake(), table.as_ref(), args.limit).await?;
    if entries.is_empty() {
        printer.say("nothing was released yet: laguna run releases the project");
    }
    let header = ["release", "time", "why", "new tables", "rows", "checks", "held", "redacted", "git commit"];
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
            entry.redacted.join("; "),
            entry.git_commit.as_deref().map(|commit| commit.chars().take(10).collect()).unwrap_or_default(),
        ]
    })?;
    Ok(0)
}
