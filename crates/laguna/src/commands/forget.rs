//! `laguna forget`: rows go from every version and table that holds them.

use std::sync::Arc;

use laguna_base::human::{count, thousands};
use laguna_base::{Error, Result, SystemClock};
use laguna_run::forget::{self, ForgetOptions, Forgotten};
use laguna_run::{Context, events};
use laguna_store::forget::Receipt;
use tokio_util::sync::CancellationToken;

use super::{load, load_options};
use crate::cli::{ForgetArgs, Global};
use crate::printer::{Printer, table};

/// Forgets.
pub async fn execute(
    args: &ForgetArgs,
    global: &Global,
    printer: &Printer,
    stop: CancellationToken,
) -> Result<u8> {
    let options = ForgetOptions {
        table: args.table.parse()?,
        predicate: args.condition.clone(),
        reason: args.reason.clone(),
        dry_run: args.dry_run,
        wait: args.wait,
        load: load_options(global)?,
    };
    let project = load(global, printer)?;
    let reporter = Arc::new(events::Silent);
    let context = Context::open(project, Arc::new(SystemClock), reporter, stop.clone()).await?;
    // Every step can be repeated, so it may end between any two.
    let done = tokio::select! {
        done = forget::forget(&context, &options) => done?,
        () = stop.cancelled() => {
            return Err(Error::interrupted().hint("the next forget or run finishes what was begun"));
        }
    };
    if printer.json {
        printer.json_line(&serde_json::json!({
            "event": "done",
            "dry_run": args.dry_run,
            "finished": done.finished,
            "receipt": done.receipt,
            "notes": done.notes,
        }))?;
        return Ok(0);
    }
    print(&done, args.dry_run, printer)?;
    Ok(0)
}

fn print(done: &Forgotten, dry_run: bool, printer: &Printer) -> Result<()> {
    if let Some(finished) = &done.finished {
        printer.say(&format!("an earlier erasure in {} was finished: {}", finished.table, finished.id));
    }
    for note in &done.notes {
        printer.say(&format!("note: {note}"));
    }
    let Some(receipt) = &done.receipt else {
        printer.say("no row meets the condition: nothing was changed");
        return Ok(());
    };
    printer.result(&rows(receipt).to_string())?;
    let files = count(receipt.files_deleted, "data file");
    if dry_run {
        printer.say(&format!("{files} would be deleted; nothing was changed"));
        return Ok(());
    }
    printer.say(&format!("{files} deleted; the receipt is {} in system.erasures", receipt.id));
    printer.say("the source files are yours: a file that still holds the rows lands again when it changes");
    Ok(())
}

fn rows(receipt: &Receipt) -> comfy_table::Table {
    let rows = receipt.tables.iter().map(|erased| {
        vec![
            erased.table.to_string(),
            erased.release.map_or_else(|| "all".to_string(), |release| release.to_string()),
            erased.how.clone(),
            thousands(erased.rows),
        ]
    });
    table(&["table", "release", "how", "rows gone"], rows)
}
