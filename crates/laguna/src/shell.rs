//! The interactive shell of `laguna query`: several lines a statement, history, `\` commands.

use std::io::IsTerminal;
use std::sync::Arc;

use laguna_base::{Clock, Error, Result, SystemClock, Tier};
use laguna_query::{Engine, LakeTables, Moment, Session, Tables};
use laguna_store::Lake;
use rustyline::error::ReadlineError;
use rustyline::history::FileHistory;
use rustyline::{Config, Editor};
use tokio_util::sync::CancellationToken;

use crate::cli::{Cli, Command};
use crate::commands::{self, Answering};
use crate::printer::{self, Printer};

const HELP: &str = "\
a statement ends with ; and may take several lines
  \\d            tables of all schemas
  \\d NAME       columns of a table, as \\d enhanced.carrier_daily
  \\dn           schemas
  \\refresh      see releases that came since the shell opened
  \\timing       show how long each statement takes, or stop showing
  \\?            this help
  \\q            leave (or Ctrl-D); Ctrl-C drops the statement";

/// Whether the command line opens a shell for a person.
pub fn is_interactive(cli: &Cli) -> bool {
    let shell = matches!(&cli.command, Command::Query(args) if args.sql.is_none() && args.file.is_none());
    shell && std::io::stdin().is_terminal()
}

/// Reads statements until the end of input. Failing statements are printed and the shell goes on; what is piped in ends
/// with the exit code of the first failure, and leaves no history.
pub async fn run(
    engine: &Engine,
    lake: &Lake,
    moment: Moment,
    answering: &Answering,
    printer: &Printer,
    stop: CancellationToken,
) -> Result<u8> {
    let config =
        Config::builder().auto_add_history(false).max_history_size(2000).map_err(editor_error)?.build();
    let mut editor: Editor<(), FileHistory> = Editor::with_config(config).map_err(editor_error)?;
    let person = std::io::stdin().is_terminal();
    let home = std::env::var_os("HOME").filter(|_| person);
    let history = home.map(|home| std::path::PathBuf::from(home).join(".laguna_history"));
    if let Some(history) = &history {
        // A first session has no history yet.
        let _ = editor.load_history(history);
    }
    if person {
        printer.say(&format!("laguna {}: \\? for help, \\q to leave", env!("CARGO_PKG_VERSION")));
    }
    let mut shell = Shell {
        engine,
        lake,
        moment,
        answering,
        printer,
        timing: person && printer.terminal,
        session: None,
        tables: None,
        failed: None,
    };
    let mut statement = String::new();
    loop {
        let prompt = match (person, statement.is_empty()) {
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
    Ok(shell.failed.filter(|_| !person).unwrap_or(0))
}

fn editor_error(error: ReadlineError) -> Error {
    Error::storage("the terminal cannot be read").caused_by(error)
}

struct Shell<'a> {
    engine: &'a Engine,
    lake: &'a Lake,
    moment: Moment,
    answering: &'a Answering,
    printer: &'a Printer,
    timing: bool,
    session: Option<Session>,
    tables: Option<Arc<LakeTables>>,
    /// Exit code of the first statement that failed.
    failed: Option<u8>,
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
            Err(error) => return self.error(&error),
        };
        for statement in statements {
            let started = std::time::Instant::now();
            let answering = self.answering;
            let done = async {
                let session = self.session().await?;
                commands::answer(session, &statement.sql, answering).await
            };
            let done = tokio::select! {
                done = done => done,
                () = stop.cancelled() => Err(Error::interrupted()),
                _ = tokio::signal::ctrl_c() => Err(Error::interrupted()),
            };
            let done = done.map_err(|error| {
                if printer::is_closed_pipe(&error) {
                    return error;
                }
                laguna_query::in_file_at(error, "sql", |line, column| statement.place(line, column))
            });
            match done {
                Ok(_) if self.timing => {
                    self.printer.say(&format!("({:.3} s)", started.elapsed().as_secs_f64()))
                }
                Ok(_) => {}
                Err(error) if printer::is_closed_pipe(&error) => return,
                Err(error) => self.error(&error),
            }
        }
    }

    fn error(&mut self, error: &Error) {
        self.failed.get_or_insert(error.kind().exit_code());
        self.printer.error(error);
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
                let names: Vec<String> = Tier::ALL.iter().map(|tier| format!("  {tier}")).collect();
                if let Err(error) = self.printer.result(&names.join("\n")) {
                    self.error(&error);
                }
            }
            ("\\d" | "\\dt", "" | ";") => {
                if let Err(error) = self.list().await {
                    self.error(&error);
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
                self.printer.result(&format!("  {tier}.{name}"))?;
            }
        }
        Ok(())
    }
}
