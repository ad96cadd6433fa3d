//! `laguna check`: tables of the lake or files of any pipeline against their expectations; nothing is written.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use laguna_base::human::{count, thousands};
use laguna_base::settings::parse_duration;
use laguna_base::{Clock, Error, Instant, Result, SystemClock, TableName};
use laguna_check::great_expectations::{ResultFormat, SuiteFile, validation_result};
use laguna_check::{Keep, suite_of, yaml_of};
use laguna_model::Place;
use laguna_query::{LakeTables, Moment};
use laguna_run::check::{
    CheckTables, Report, Telling, check_files, check_tables, load_suite, profile_files, profile_table,
};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::{load, open_lake, project_dir, shown};
use crate::cli::{CheckArgs, Global, ReportFormat, Severity, Told};
use crate::printer::{Printer, table};
use crate::report;

/// Checks what was named.
pub async fn execute(
    args: &CheckArgs,
    global: &Global,
    printer: &Printer,
    stop: CancellationToken,
) -> Result<u8> {
    if args.suggest || args.backtest.is_some() {
        let work = async {
            match args.suggest {
                true => suggest(args, global, printer).await,
                false => backtest(args, global, printer).await,
            }
        };
        return tokio::select! {
            done = work => done,
            () = stop.cancelled() => Err(Error::interrupted()),
        };
    }
    let at = SystemClock.now();
    let work = async {
        match args.what.iter().any(|word| names_files(word)) {
            true => Ok(vec![files(args).await?]),
            false => tables(args, global, printer).await,
        }
    };
    let reports = tokio::select! {
        reports = work => reports?,
        () = stop.cancelled() => return Err(Error::interrupted()),
    };
    let least = match args.fail_on {
        Severity::Critical => laguna_check::Severity::Critical,
        Severity::Warning => laguna_check::Severity::Warning,
        Severity::Info => laguna_check::Severity::Info,
    };
    let failed = reports.iter().any(|report| report.fails_on(least));
    print(args, printer, &reports, at, failed)?;
    Ok(u8::from(failed))
}

/// Whether a word names files rather than tables: a file that is there, or a pattern or name with an extension of one.
fn names_files(word: &str) -> bool {
    const ENDS: [&str; 12] =
        ["csv", "tsv", "tab", "psv", "json", "ndjson", "jsonl", "parquet", "pq", "avro", "gz", "zst"];
    let extension = word.rsplit_once('.').map(|(_, end)| end.to_ascii_lowercase());
    let listed = extension.is_some_and(|end| ENDS.contains(&end.as_str()));
    !word.starts_with("path:")
        && !word.starts_with("tag:")
        && (Path::new(word).is_file() || listed || word.contains('/'))
}

async fn files(args: &CheckArgs) -> Result<Report> {
    if let Some(table) = args.what.iter().find(|word| !names_files(word)) {
        return Err(Error::project(format!("`{table}` is no file, and files are named beside it"))
            .hint("check files and tables one after the other"));
    }
    if args.as_of.is_some() || args.release.is_some() {
        return Err(Error::project("files have no past").hint("leave --as-of and --release out"));
    }
    let Some(suite) = suite(args)? else {
        return Err(
            Error::project("files need a suite").hint("name one: laguna check data.csv --suite suite.json")
        );
    };
    let dir = std::env::current_dir()
        .map_err(|error| Error::storage("the working folder cannot be read").caused_by(error))?;
    check_files(&dir, &args.what, &suite, telling(args, true)).await
}

async fn tables(args: &CheckArgs, global: &Global, printer: &Printer) -> Result<Vec<Report>> {
    if let (Err(_), Some(_)) = (project_dir(global), &args.suite)
        && args.what.is_empty()
    {
        return Err(Error::project("there is nothing to check: no file is named, and this is no project")
            .hint("name files: laguna check data.parquet --suite suite.json"));
    }
    let project = load(global, printer)?;
    let (place, engine) = open_lake(global).await?;
    let moment = moment(args, &place)?;
    let asked =
        CheckTables { select: args.what.clone(), suite: suite(args)?, moment, telling: telling(args, false) };
    check_tables(&engine, &project, &asked).await
}

fn moment(args: &CheckArgs, place: &Place) -> Result<Moment> {
    Ok(match (&args.as_of, args.release) {
        (Some(text), _) => Moment::AsOf(Instant::parse(text, place.timezone)?),
        (_, Some(number)) => Moment::Release(number),
        _ => Moment::Now,
    })
}

/// Prints a suite that the table or file passes.
async fn suggest(args: &CheckArgs, global: &Global, printer: &Printer) -> Result<u8> {
    let as_suite = match args.output {
        ReportFormat::Ge => true,
        ReportFormat::Table => false,
        _ => {
            return Err(Error::project("a suggested suite is YAML, or with -o ge one of Great Expectations")
                .hint("leave -o out, or write -o ge"));
        }
    };
    let (name, profile, made) = if args.what.iter().any(|word| names_files(word)) {
        let dir = std::env::current_dir()
            .map_err(|error| Error::storage("the working folder cannot be read").caused_by(error))?;
        (args.what.join(" "), profile_files(&dir, &args.what).await?, false)
    } else {
        let [table] = args.what.as_slice() else {
            return Err(Error::project("name the one table or file that checks are wanted for")
                .hint("laguna check --suggest sanitized.flights"));
        };
        let table: TableName = table.parse()?;
        let (place, engine) = open_lake(global).await?;
        let tables = Arc::new(LakeTables::at(engine.lake(), moment(args, &place)?).await?);
        (table.to_string(), profile_table(&engine, tables, &table).await?, table.tier.is_model())
    };
    // pandas, which Great Expectations reads files with, takes dates in text files for texts.
    let suggestions = profile.suggest(made, !as_suite || made);
    printer.say(&format!(
        "{} suggested from {}",
        count(suggestions.len() as u64, "check"),
        count(profile.rows(), "row")
    ));
    let head = format!(
        "Suggested by laguna check --suggest {name}: all of its {} pass.",
        count(profile.rows(), "row")
    );
    match as_suite {
        true => printer.result(suite_of(&name, &suggestions).trim_end())?,
        false => printer.result(yaml_of(&head, &suggestions).trim_end())?,
    }
    Ok(0)
}

/// Says at which releases of the past the checks would have failed.
async fn backtest(args: &CheckArgs, global: &Global, printer: &Printer) -> Result<u8> {
    let text = args.backtest.as_deref().unwrap_or_default();
    let back = parse_duration(text).ok_or_else(|| {
        Error::project(format!("`{text}` is not a duration")).hint("write it as 90d, 12h or 2w")
    })?;
    let project = load(global, printer)?;
    let (_, engine) = open_lake(global).await?;
    let asked = CheckTables {
        select: args.what.clone(),
        suite: suite(args)?,
        moment: Moment::Now,
        telling: telling(args, false),
    };
    let past = laguna_run::check::backtest(&engine, &project, &asked, back).await?;
    let bad = past.iter().filter(|one| one.failed > 0 || one.error.is_some()).count();
    if printer.json {
        for one in &past {
            let mut value = serde_json::to_value(one).unwrap_or_default();
            value["event"] = "past".into();
            printer.json_line(&value)?;
        }
        printer.json_line(&json!({"event": "done", "versions": past.len(), "would_have_failed": bad}))?;
        return Ok(0);
    }
    match args.output {
        ReportFormat::Table => {
            let rows = past.iter().map(|one| {
                let outcome = match (&one.error, one.failed) {
                    (Some(_), _) => "not checkable",
                    (None, 0) => "passed",
                    (None, _) => "failed",
                };
                vec![
                    one.release.to_string(),
                    one.time.to_string(),
                    one.table.to_string(),
                    thousands(one.rows),
                    outcome.to_string(),
                    format!("{}/{}", one.passed, one.passed + one.failed),
                    one.error.clone().unwrap_or_else(|| one.messages.join("; ")),
                ]
            });
            let header =
                ["release", "time", "table", "rows", "outcome", "passed", "what would have been said"];
            printer.result(&table(&header, rows).to_string())?;
        }
        ReportFormat::Json => pretty(printer, &past)?,
        _ => {
            return Err(
                Error::project("a backtest is a table or JSON").hint("leave -o out, or write -o json")
            );
        }
    }
    printer.say(&format!("{bad} of {} would have failed", count(past.len() as u64, "version")));
    Ok(0)
}

fn suite(args: &CheckArgs) -> Result<Option<SuiteFile>> {
    let parameters = parameters(&args.params)?;
    match &args.suite {
        Some(path) => load_suite(path, &shown(path), &parameters).map(Some),
        None if !parameters.is_empty() => {
            Err(Error::project("--param gives values to a suite").hint("name it with --suite FILE"))
        }
        None => Ok(None),
    }
}

fn parameters(pairs: &[String]) -> Result<BTreeMap<String, Value>> {
    let mut values = BTreeMap::new();
    for pair in pairs {
        let hint = "write it as --param max_delay=600";
        let (name, text) = pair
            .split_once('=')
            .ok_or_else(|| Error::project(format!("`--param {pair}` has no value")).hint(hint))?;
        if name.trim().is_empty() {
            return Err(Error::project(format!("`--param {pair}` names no parameter")).hint(hint));
        }
        let value = serde_json::from_str(text).unwrap_or_else(|_| Value::from(text));
        values.insert(name.trim().to_string(), value);
    }
    Ok(values)
}

fn telling(args: &CheckArgs, ordered: bool) -> Telling {
    let complete = args.output == ReportFormat::Ge && args.result_format == Told::Complete;
    let keep = match complete {
        // All that anybody could list; a limit of SQL holds no larger one.
        true => Keep { examples: 1 << 40, row_numbers: ordered },
        false => Keep::default(),
    };
    // Great Expectations' results have no place for rows.
    let rows = if args.output == ReportFormat::Ge { 0 } else { args.rows };
    let in_order = args.output == ReportFormat::Ge && args.result_format != Told::BooleanOnly;
    Telling { keep, in_order, rows, explain: args.explain }
}

fn print(args: &CheckArgs, printer: &Printer, reports: &[Report], at: Instant, failed: bool) -> Result<()> {
    if printer.json && args.output == ReportFormat::Table {
        let mut passed = 0;
        let mut all = 0;
        for line in reports.iter().flat_map(Report::lines) {
            passed += usize::from(line.verdict.success);
            all += 1;
            let mut value = serde_json::to_value(&line).unwrap_or_default();
            value["event"] = "check".into();
            printer.json_line(&value)?;
        }
        let bytes: u64 = reports.iter().map(|report| report.bytes).sum();
        return printer.json_line(&json!({
            "event": "done", "passed": passed, "failed": all - passed, "success": !failed, "bytes_read": bytes,
        }));
    }
    match args.output {
        ReportFormat::Table => report::table::print(reports, args.explain, printer),
        ReportFormat::Json => {
            let tables: Vec<Value> = reports.iter().map(Report::json).collect();
            let success = reports.iter().all(|report| report.checked.success());
            pretty(
                printer,
                &json!({"success": success, "failed": failed, "checked_at": at, "tables": tables}),
            )
        }
        ReportFormat::Ge => {
            let format = match args.result_format {
                Told::BooleanOnly => ResultFormat::BooleanOnly,
                Told::Basic => ResultFormat::Basic,
                Told::Summary => ResultFormat::Summary,
                Told::Complete => ResultFormat::Complete,
            };
            let results: Vec<Value> = reports
                .iter()
                .map(|report| validation_result(&report.checked, format, "laguna", at))
                .collect();
            match results.as_slice() {
                [one] => pretty(printer, one),
                several => pretty(printer, &several),
            }
        }
        ReportFormat::Junit => printer.result(&report::junit::text(reports)),
        ReportFormat::Html => printer.result(&report::html::text(reports, at)),
    }
}

fn pretty(printer: &Printer, value: &impl serde::Serialize) -> Result<()> {
    let text = serde_json::to_string_pretty(value)
        .map_err(|error| Error::internal("the report does not serialise").caused_by(error))?;
    printer.result(&text)
}
