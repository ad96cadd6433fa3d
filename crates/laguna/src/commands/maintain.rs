//! `laguna maintain`: small files joined, old releases dropped, what nobody needs deleted.

use std::sync::Arc;

use laguna_base::human::{bytes, count, thousands};
use laguna_base::{Result, SystemClock};
use laguna_run::Context;
use laguna_run::events::Silent;
use laguna_run::maintain::{self, MaintainOptions, MaintainReport};
use tokio_util::sync::CancellationToken;

use super::load;
use crate::cli::{Global, MaintainArgs};
use crate::printer::{Printer, table};

/// Maintains the lake.
pub async fn execute(
    args: &MaintainArgs,
    global: &Global,
    printer: &Printer,
    stop: CancellationToken,
) -> Result<u8> {
    let context =
        Context::open(load(global, printer)?, Arc::new(SystemClock), Arc::new(Silent), stop).await?;
    let options = MaintainOptions { select: args.select.clone(), dry_run: args.dry_run, wait: args.wait };
    let report = maintain::maintain(&context, &options).await?;
    print(&report, args.dry_run, printer)?;
    Ok(report.worst.map_or(0, |kind| kind.exit_code()))
}

fn print(report: &MaintainReport, dry_run: bool, printer: &Printer) -> Result<()> {
    if printer.json {
        for table in &report.tables {
            printer.json_line(table)?;
        }
        return printer.json_line(&serde_json::json!({
            "event": "done", "run": report.run, "release": report.release, "dry_run": dry_run,
            "releases_dropped": report.releases_dropped, "bytes_won": report.bytes_won, "seconds": report.seconds,
        }));
    }
    let changed: Vec<_> = report.tables.iter().filter(|table| table.is_changed()).collect();
    if changed.is_empty() && report.releases_dropped.is_empty() {
        printer.say(&format!("nothing to do: {} looked at", count(report.tables.len() as u64, "table")));
        return Ok(());
    }
    let rows = changed.iter().map(|table| {
        vec![
            table.table.to_string(),
            thousands(table.files_before as u64),
            thousands(table.files_after as u64),
            thousands(table.versions_deleted as u64),
            thousands(table.files_deleted as u64),
            bytes(table.bytes_won),
        ]
    });
    let header = ["table", "files", "files after", "versions deleted", "files deleted", "bytes won"];
    printer.result(&self::table(&header, rows).to_string())?;
    for table in &changed {
        if let Some(error) = &table.error {
            printer.say(&format!("{} {}: {error}", printer.paint("31;1", "failed:"), table.table));
        }
    }
    let would = if dry_run { "would be " } else { "" };
    if let (Some(first), Some(last)) = (report.releases_dropped.first(), report.releases_dropped.last()) {
        let number = count(report.releases_dropped.len() as u64, "release");
        printer.say(&format!(
            "{number} {would}dropped, from {first} to {last}; what only they name goes a day later"
        ));
    }
    if let Some(release) = report.release {
        printer.say(&format!("release {release} names the joined files: the same rows as before"));
    }
    printer.say(&format!("{} {would}won ({:.2} s)", bytes(report.bytes_won), report.seconds));
    Ok(())
}
