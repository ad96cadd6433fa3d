//! The interactive shell of `laguna query`: several lines a statement, history, `\` commands.

use std::sync::Arc;

use laguna_base::{Clock, Error, Result, SystemClock, Tier};
use laguna_query::{Engine, LakeTables, Moment, Session, Tables};
use laguna_store::Lake;
use rustyline::error::ReadlineError;
use rustyline::history::FileHistory;
use rustyline::{Config, Editor};
use tokio_util::sync::CancellationToken;

use crate::cli::QueryArgs;
use crate::commands;
use crate::printer::Printer;

const HELP: &str = "\
a statement ends with ; and may take several lines
  \\d            tables of all schemas
  \\d NAME       columns of a table, as \\d enhanced.carrier_daily
  \\dn           schemas
  \\refresh      see releases that came since the shell opened
  \\timing       show how long each statement takes, or stop showing
  \\?            this help
  \\q            leave (or Ctrl-D); Ctrl-C drops the statement";

/// Reads statements until the end of input. Failing statements are printed and the shell goes on.
pub async fn run(
    engine: &Engine,
    lake: &Lake,
    moment: Moment,
    args: &QueryArgs,
    printer: &Printer,
    stop: CancellationToken,
) -> Result<u8> {
    let config =
        Config::builder().auto_add_history(false).max_history_size(2000).map_err(editor_error)?.build();
    let mut editor: Editor<(), FileHistory> = Editor::with_config(config).map_err(editor_error)?;
    let history = std::env::var_os("HOME").map(|home| std::path::PathBuf::from(home).join(".laguna_history"));
    if let Some(history) = &history {
        // A first session has no history yet.
        let _ = editor.load_history(history);
    }
    if printer.terminal {
        printer.say(&format!("laguna {}: \\? for help, \\q to leave", env!("CARGO_PKG_VERSION")));
    }
    let mut shell =
        Shell { engine, lake, moment, args, printer, timing: printer.terminal, session: None, tables: None };
    let mut statement = String::new();
    loop {
        let prompt = match (printer.terminal, statement.is_empty()) {
            (false, _) => "",
            (true, true) => "laguna> ",
            (true, false) => "     -> ",
        };
        let (back, line) = tokio::task::spawn_blocking(move || {
            let line = editor.readline(prompt);
            (editor, line)
        })
        .await
        .map_err(|died| Error::internal("the shell died").caused_by(died))?;
        editor = back;
        match line {
            Ok(line) => {
                if statement.is_empty() && line.trim_start().starts_with('\\') {
                    let _ = editor.add_history_entry(line.trim());
                    if !shell.command(line.trim()).await {
                        break;
                    }
                    continue;
                }
                statement.push_str(&line);
                statement.push('\n');
                if statement.trim_end().ends_with(';') {
                    let whole = std::mem::take(&mut statement);
                    let _ = editor.add_history_entry(whole.trim());
                    shell.statements(&whole, &stop).await;
                }
            }
            Err(ReadlineError::Interrupted) => statement.clear(),
            Err(ReadlineError::Eof) => {
                if !statement.trim().is_empty() {
                    shell.statements(&statement, &stop).await;
                }
                break;
            }
            Err(error) => return Err(editor_error(error)),
        }
    }
    if let Some(history) = &history {
        // A read-only home loses the history, nothing else.
        let _ = editor.save_history(history);
    }
    Ok(0)
}

fn editor_error(error: ReadlineError) -> Error {
    Error::storage("the terminal cannot be read").caused_by(error)
}

struct Shell<'a> {
    engine: &'a Engine,
    lake: &'a Lake,
    moment: Moment,
    args: &'a QueryArgs,
    printer: &'a Printer,
    timing: bool,
    session: Option<Session>,
    tables: Option<Arc<LakeTables>>,
}

impl Shell<'_> {
    async fn tables(&mut self) -> Result<Arc<LakeTables>> {
        if let Some(tables) = &self.tables {
            return Ok(tables.clone());
        }
        let tables = Arc::new(LakeTables::at(self.lake, self.moment.clone()).await?);
        self.tables = Some(tables.clone());
        Ok(tables)
    }

    async fn session(&mut self) -> Result<&Session> {
        if self.session.is_none() {
            let tables = self.tables().await?;
            self.session = Some(self.engine.session(tables, SystemClock.now()));
        }
        self.session.as_ref().ok_or_else(|| Error::internal("no session"))
    }

    /// Runs statements; an interrupt drops the one that runs.
    async fn statements(&mut self, text: &str, stop: &CancellationToken) {
        let statements = match laguna_query::split_statements(text) {
            Ok(statements) => statements,
            Err(error) => return self.printer.error(&error),
        };
        for statement in statements {
            let started = std::time::Instant::now();
            let args = self.args;
            let done = async {
                let session = self.session().await?;
                commands::answer(session, &statement.sql, args).await
            };
            let done = tokio::select! {
                done = done => done,
                () = stop.cancelled() => Err(Error::interrupted()),
            };
            match done {
                Ok(()) if self.timing => {
                    self.printer.say(&format!("({:.3} s)", started.elapsed().as_secs_f64()))
                }
                Ok(()) => {}
                Err(error) => self.printer.error(&error),
            }
        }
    }

    /// Runs a `\` command; false to leave.
    async fn command(&mut self, line: &str) -> bool {
        let (word, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        match (word, rest.trim()) {
            ("\\q" | "\\quit" | "\\exit", _) => return false,
            ("\\?" | "\\h" | "\\help", _) => self.printer.say(HELP),
            ("\\timing", _) => self.timing = !self.timing,
            ("\\refresh", _) => (self.session, self.tables) = (None, None),
            ("\\dn", _) => {
                for tier in Tier::ALL {
                    self.printer.say(&format!("  {tier}"));
                }
            }
            ("\\d" | "\\dt", "") => {
                if let Err(error) = self.list().await {
                    self.printer.error(&error);
                }
            }
            ("\\d", table) => {
                let statement = format!("DESCRIBE {table}");
                self.statements(&statement, &CancellationToken::new()).await;
            }
            _ => self.printer.say(&format!("unknown command {word}; \\? lists them")),
        }
        true
    }

    async fn list(&mut self) -> Result<()> {
        let tables = self.tables().await?;
        for tier in Tier::ALL {
            for name in tables.names(tier).await? {
                self.printer.say(&format!("  {tier}.{name}"));
            }
        }
        Ok(())
    }
}
