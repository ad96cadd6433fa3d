//! `laguna query`: SQL without a server.

use std::io::{BufWriter, Read, Write};
use std::path::Path;
use std::sync::Arc;

use laguna_base::{Clock, Error, Instant, Result, SystemClock};
use laguna_query::output::{self, Format, Layout};
use laguna_query::{LakeTables, Moment, Session};
use tokio_util::sync::CancellationToken;

use super::{open_lake, shown};
use crate::cli::{Global, OutputFormat, QueryArgs};
use crate::printer::{Printer, is_closed_pipe, write_error};
use crate::shell;

/// Answers the query, the file's statements, or opens the shell.
pub async fn execute(
    args: &QueryArgs,
    global: &Global,
    printer: &Printer,
    stop: CancellationToken,
) -> Result<u8> {
    let (place, engine) = open_lake(global).await?;
    let lake = engine.lake().clone();
    let moment = match (&args.as_of, args.release, &args.run) {
        (Some(text), _, _) => {
            let at = Instant::parse(text, place.timezone)?;
            printer.say(&format!("as of {at}"));
            Moment::AsOf(at)
        }
        (_, Some(number), _) => Moment::Release(number),
        (_, _, Some(run)) => Moment::Run(run.clone()),
        _ => Moment::Now,
    };
    let tables = LakeTables::at(&lake, moment.clone()).await?;
    if moment != Moment::Now
        && let Some(release) = tables.release()
    {
        for table in laguna_run::history::redacted(release) {
            printer.say(&format!("note: rows were forgotten: {table}"));
        }
    }
    let now = match moment {
        Moment::AsOf(at) => at,
        _ => SystemClock.now(),
    };
    let session = engine.session(Arc::new(tables), now);
    let answering = Answering::new(args, printer);
    let sql = match (&args.sql, &args.file) {
        (Some(sql), _) => sql.clone(),
        (None, Some(file)) => read(file)?,
        (None, None) => return shell::run(&engine, &lake, moment, &answering, printer, stop).await,
    };
    let statements = laguna_query::split_statements(&sql)?;
    if statements.is_empty() {
        return Err(Error::project("there is no statement").hint("laguna query \"SELECT 1\""));
    }
    let mut rows = 0;
    for statement in &statements {
        let done = answer(&session, &statement.sql, &answering);
        let done = tokio::select! {
            done = done => done,
            () = stop.cancelled() => Err(Error::interrupted()),
        };
        rows += done.map_err(|error| {
            if is_closed_pipe(&error) {
                return error;
            }
            let file = args.file.as_deref().map_or_else(|| "sql".to_string(), shown);
            laguna_query::in_file_at(error, &file, |line, column| statement.place(line, column))
        })?;
    }
    if answering.outcome {
        printer.json_line(&serde_json::json!({"event": "done", "rows": rows}))?;
    }
    Ok(0)
}

/// How results are written.
pub struct Answering {
    format: Format,
    max_rows: Option<usize>,
    /// A program reads lines of JSON: the last one is the outcome.
    pub outcome: bool,
}

impl Answering {
    fn new(args: &QueryArgs, printer: &Printer) -> Answering {
        let format = match args.output {
            None if printer.json => Format::Ndjson,
            None | Some(OutputFormat::Table) => Format::Table,
            Some(OutputFormat::Csv) => Format::Csv,
            Some(OutputFormat::Json) => Format::Json,
            Some(OutputFormat::Ndjson) => Format::Ndjson,
            Some(OutputFormat::Parquet) => Format::Parquet,
            Some(OutputFormat::Arrow) => Format::Arrow,
        };
        let outcome = printer.json && format == Format::Ndjson;
        Answering { format, max_rows: (args.max_rows > 0).then_some(args.max_rows), outcome }
    }
}

/// Runs one statement and writes its result to standard output; says how many rows it had.
pub async fn answer(session: &Session, sql: &str, answering: &Answering) -> Result<u64> {
    let result = session.execute(sql).await?;
    let mut out = BufWriter::with_capacity(1 << 16, std::io::stdout());
    let layout = Layout { max_rows: answering.max_rows, width: width() };
    let rows = output::write(result.stream, answering.format, &mut out, &layout).await?;
    out.flush().map_err(write_error)?;
    Ok(rows)
}

/// Columns of the terminal on standard output; `None` in a pipe.
fn width() -> Option<u16> {
    use std::io::IsTerminal;
    std::io::stdout().is_terminal().then(|| comfy_table::Table::new().width()).flatten()
}

fn read(file: &Path) -> Result<String> {
    let mut bytes = Vec::new();
    let read = if file == Path::new("-") {
        std::io::stdin().read_to_end(&mut bytes).map(|_| ())
    } else {
        std::fs::read(file).map(|all| bytes = all)
    };
    read.map_err(|error| Error::project(format!("{} cannot be read", shown(file))).caused_by(error))?;
    String::from_utf8(bytes)
        .map_err(|error| Error::project(format!("{} is not UTF-8", shown(file))).caused_by(error))
}
