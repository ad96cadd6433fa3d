//! `laguna replay`: rows that were set aside land again, once.

use std::sync::Arc;

use laguna_base::human::{count, thousands};
use laguna_base::{Result, SystemClock};
use laguna_run::Context;
use laguna_run::replay::{ReplayOptions, replay};
use tokio_util::sync::CancellationToken;

use super::load;
use crate::cli::{Global, ReplayArgs};
use crate::printer::{Printer, table};
use crate::progress::Progress;

/// Replays what was named, and says what became of it.
pub async fn execute(
    args: &ReplayArgs,
    global: &Global,
    printer: &Printer,
    stop: CancellationToken,
) -> Result<u8> {
    let project = load(global, printer)?;
    // A program listens for what became of each table, not for the events of a run.
    let mut progress = printer.clone();
    progress.quiet |= std::mem::take(&mut progress.json);
    let reporter = Arc::new(Progress::new(&progress));
    let context = Context::open(project, Arc::new(SystemClock), reporter, stop).await?;
    let options = ReplayOptions {
        tables: args.tables.iter().map(|name| name.parse()).collect::<Result<_>>()?,
        with: args.with.clone(),
        dry_run: args.dry_run,
        wait: args.wait,
    };
    let replayed = replay(&context, &options).await?;
    let (landed, left) =
        replayed.iter().fold((0, 0), |(landed, left), one| (landed + one.landed, left + one.left));
    if printer.json {
        for one in &replayed {
            let mut value = serde_json::to_value(one).unwrap_or_default();
            value["event"] = "replayed".into();
            printer.json_line(&value)?;
        }
        printer.json_line(&serde_json::json!({
            "event": "done", "landed": landed, "left": left, "dry_run": args.dry_run,
        }))?;
        return Ok(0);
    }
    if replayed.is_empty() {
        printer.say("nothing is set aside");
        return Ok(0);
    }
    let rows = replayed.iter().map(|one| {
        vec![
            one.table.to_string(),
            thousands(one.aside),
            thousands(one.landed),
            thousands(one.left),
            one.reason.clone().unwrap_or_default(),
        ]
    });
    let verb = if args.dry_run { "would land" } else { "landed" };
    printer.result(&table(&["table", "rows aside", verb, "still aside", "why"], rows).to_string())?;
    match (args.dry_run, landed) {
        (true, _) => printer.say("nothing was changed"),
        (false, 0) => printer.say("no row fits by the settings of today"),
        (false, _) => printer.say(&format!("{} landed; laguna run builds on them", count(landed, "row"))),
    }
    Ok(0)
}
