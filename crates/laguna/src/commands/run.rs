//! `laguna run`: land, build, check, release; `--dry-run` plans, `--as-of` rebuilds and compares.

use std::sync::Arc;

use laguna_base::human::{count, thousands};
use laguna_base::{Instant, Result, SystemClock};
use laguna_model::Project;
use laguna_run::Context;
use laguna_run::as_of::{self, AsOfReport};
use laguna_run::plan;
use laguna_run::run::{self, RunOptions, RunReport};
use laguna_store::Lake;
use laguna_store::ledger::TaskRecord;
use tokio_util::sync::CancellationToken;

use super::{load, load_options};
use crate::cli::{CodeOf, Global, RunArgs};
use crate::printer::{Printer, table};
use crate::progress::Progress;

/// Runs the project as asked.
pub async fn execute(
    args: &RunArgs,
    global: &Global,
    printer: &Printer,
    stop: CancellationToken,
) -> Result<u8> {
    let project = load(global, printer)?;
    let reporter = Arc::new(Progress::new(printer));
    if let Some(text) = &args.as_of {
        let at = Instant::parse(text, project.timezone)?;
        let project = match args.code {
            CodeOf::Now => project,
            CodeOf::Then => stored(&project, at, global).await?,
        };
        let context = Context::open(project, Arc::new(SystemClock), reporter, stop).await?;
        let report = as_of::rebuild(&context, at, &args.select, &args.exclude).await?;
        print_as_of(&report, printer)?;
        return Ok(if report.tables.iter().any(|table| table.verdict == "failed") { 1 } else { 0 });
    }
    let options = RunOptions {
        select: args.select.clone(),
        exclude: args.exclude.clone(),
        full: args.full,
        wait: args.wait,
    };
    let context = Context::open(project, Arc::new(SystemClock), reporter, stop).await?;
    if args.dry_run {
        let planned = plan::plan(&context, &options).await?;
        if printer.json {
            for node in &planned {
                printer.json_line(&serde_json::json!({
                    "event": "plan", "node": node.name, "action": node.action.as_str(), "reason": node.reason
                }))?;
            }
            let changing = planned.iter().filter(|node| node.action.changes()).count();
            printer.json_line(
                &serde_json::json!({"event": "done", "nodes": planned.len(), "changing": changing}),
            )?;
            return Ok(0);
        }
        let rows = planned
            .iter()
            .map(|node| vec![node.name.to_string(), node.action.as_str().to_string(), node.reason.clone()]);
        printer.result(&table(&["node", "action", "why"], rows).to_string())?;
        return Ok(0);
    }
    let report = run::run(&context, &options).await?;
    print_report(&report, args, printer)?;
    Ok(report.worst.map_or(0, |kind| kind.exit_code()))
}

/// The project as it was stored with the release at `at`.
async fn stored(project: &Project, at: Instant, global: &Global) -> Result<Project> {
    let lake = Lake::open(&project.lake, &project.storage, Arc::new(SystemClock)).await?;
    let release = lake.release_as_of(at).await?;
    let Some(code) = &release.code else {
        return Err(laguna_base::Error::project(format!("release {} has no stored code", release.number))
            .hint("leave --code then away to build with the project as it is"));
    };
    let files = laguna_run::code::load(&lake, code).await?;
    let mut then = Project::load_files(&project.dir, files, &load_options(global)?)?;
    // Where the lake is and how to reach it is a matter of today.
    then.lake = project.lake.clone();
    then.storage = project.storage.clone();
    Ok(then)
}

fn print_report(report: &RunReport, args: &RunArgs, printer: &Printer) -> Result<()> {
    if printer.json || printer.quiet {
        return Ok(());
    }
    if report.tasks.is_empty() {
        printer.say(&format!(
            "nothing to do: {} up to date ({:.2} s)",
            count(report.skipped as u64, "node"),
            report.seconds
        ));
        return Ok(());
    }
    let number = |value: Option<u64>| value.map(thousands).unwrap_or_default();
    let mut header = vec!["node", "tier", "outcome", "rows in", "rows out", "checks", "seconds"];
    if args.explain {
        header.extend(["bytes read", "bytes written"]);
    }
    let rows = report.tasks.iter().map(|task| {
        let (tier, node) = task.node.split_once('.').unwrap_or(("", &task.node));
        let mut row = vec![
            node.to_string(),
            tier.to_string(),
            task.outcome.clone(),
            number(task.rows_in),
            number(task.rows_out),
            checks(task),
            format!("{:.2}", task.seconds),
        ];
        if args.explain {
            row.push(
                task.metrics.get("bytes_read").map(|bytes| thousands(*bytes as u64)).unwrap_or_default(),
            );
            row.push(number(task.bytes_out));
        }
        row
    });
    printer.result(&table(&header, rows).to_string())?;
    for task in &report.tasks {
        for check in task.checks.iter().filter(|check| check["success"] == false) {
            let text = format!("{}: {}", task.node, check["message"].as_str().unwrap_or("a check failed"));
            if check["severity"] == "critical" && task.outcome == "blocked" {
                printer.say(&format!("{} {text}", printer.paint("31;1", "check failed:")));
            } else {
                printer.warning(&text);
            }
        }
        if matches!(task.outcome.as_str(), "failed" | "held") {
            printer.say(&format!(
                "{} {}: {}",
                printer.paint("31;1", &format!("{}:", task.outcome)),
                task.node,
                task.reason
            ));
        }
        // A view stages nothing that could be looked at.
        if task.outcome == "blocked" && task.rows_out.is_some() {
            let (tier, name) = task.node.split_once('.').unwrap_or(("", &task.node));
            printer.say(&format!("  readers stay on the last good version; look at the refused one: laguna query \"SELECT * FROM staged.{tier}_{name}\""));
        }
    }
    if report.quarantined > 0 {
        printer.say(&format!("{} set aside: see the schema `quarantine`", count(report.quarantined, "row")));
    }
    let release = match report.release {
        Some(number) => format!("released as number {number}"),
        None => "nothing was released".to_string(),
    };
    printer.say(&format!(
        "{} built, {} up to date, {} not published; {release} ({:.2} s)",
        report.built, report.skipped, report.failed, report.seconds
    ));
    Ok(())
}

fn checks(task: &TaskRecord) -> String {
    if task.checks.is_empty() {
        return String::new();
    }
    let passed = task.checks.iter().filter(|check| check["success"] == true).count();
    format!("{passed}/{}", task.checks.len())
}

fn print_as_of(report: &AsOfReport, printer: &Printer) -> Result<()> {
    if printer.json {
        for table in &report.tables {
            printer.json_line(table)?;
        }
        return printer.json_line(&serde_json::json!({
            "event": "done", "run": report.run, "as_of": report.as_of, "release": report.release, "equal": report.equal(),
        }));
    }
    printer.say(&format!("as of {}: compared with release {}", report.as_of, report.release));
    let rows = report.tables.iter().map(|table| {
        vec![
            table.node.to_string(),
            table.verdict.clone(),
            thousands(table.rows),
            table.rows_released.map(thousands).unwrap_or_default(),
            thousands(table.rows_different),
            format!("{:.2}", table.seconds),
            table.reason.clone().unwrap_or_default(),
        ]
    });
    let header = ["node", "verdict", "rows", "rows released", "rows different", "seconds", "why"];
    printer.result(&table(&header, rows).to_string())?;
    printer.say(&format!("read what was rebuilt with: laguna query --run {} \"SELECT …\"", report.run));
    Ok(())
}
