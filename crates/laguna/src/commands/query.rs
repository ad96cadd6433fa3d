//! `laguna query`: SQL without a server.

use std::io::{BufWriter, Read, Write};
use std::path::Path;
use std::sync::Arc;

use laguna_base::{Clock, Error, Instant, Result, SystemClock};
use laguna_model::Project;
use laguna_query::output::{self, Format, Layout};
use laguna_query::{Engine, EngineOptions, LakeTables, Moment, Session};
use laguna_store::Lake;
use tokio_util::sync::CancellationToken;

use super::{load_options, project_dir, shown};
use crate::cli::{Global, OutputFormat, QueryArgs};
use crate::printer::{Printer, write_error};
use crate::shell;

/// Answers the query, the file's statements, or opens the shell.
pub async fn execute(
    args: &QueryArgs,
    global: &Global,
    printer: &Printer,
    stop: CancellationToken,
) -> Result<u8> {
    let place = Project::place(&project_dir(global)?, &load_options(global)?)?;
    let lake = Lake::open(&place.lake, &place.storage, Arc::new(SystemClock)).await?;
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
    let engine = Engine::new(lake.clone(), EngineOptions { memory: None, parallel: None })?
        .with_timezone(place.timezone);
    let tables = LakeTables::at(&lake, moment.clone()).await?;
    let now = match moment {
        Moment::AsOf(at) => at,
        _ => SystemClock.now(),
    };
    let session = engine.session(Arc::new(tables), now);
    let sql = match (&args.sql, &args.file) {
        (Some(sql), _) => sql.clone(),
        (None, Some(file)) => read(file)?,
        (None, None) => return shell::run(&engine, &lake, moment, args, printer, stop).await,
    };
    let statements = laguna_query::split_statements(&sql)?;
    if statements.is_empty() {
        return Err(Error::project("there is no statement").hint("laguna query \"SELECT 1\""));
    }
    for statement in &statements {
        let done = answer(&session, &statement.sql, args);
        let done = tokio::select! {
            done = done => done,
            () = stop.cancelled() => Err(Error::interrupted()),
        };
        done.map_err(|error| match &args.file {
            Some(file) => laguna_query::in_file(error, &shown(file)),
            None => error,
        })?;
    }
    Ok(0)
}

/// Runs one statement and writes its result to standard output.
pub async fn answer(session: &Session, sql: &str, args: &QueryArgs) -> Result<()> {
    let result = session.execute(sql).await?;
    let format = match args.output {
        OutputFormat::Table => Format::Table,
        OutputFormat::Csv => Format::Csv,
        OutputFormat::Json => Format::Json,
        OutputFormat::Ndjson => Format::Ndjson,
        OutputFormat::Parquet => Format::Parquet,
        OutputFormat::Arrow => Format::Arrow,
    };
    let mut out = BufWriter::with_capacity(1 << 16, std::io::stdout());
    let layout = Layout { max_rows: (args.max_rows > 0).then_some(args.max_rows), width: width() };
    output::write(result.stream, format, &mut out, &layout).await?;
    out.flush().map_err(write_error)
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
