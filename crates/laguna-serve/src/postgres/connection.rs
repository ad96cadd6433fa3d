//! One session: its messages in turn, its transaction, statements, cursors and variables.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use bytes::{BufMut, Bytes, BytesMut};
use datafusion::execution::SendableRecordBatchStream;
use datafusion::scalar::ScalarValue;
use futures::StreamExt;
use laguna_base::{Error, Result};
use laguna_query::{Moment, Surroundings, split_statements, translate};
use tokio_util::sync::CancellationToken;

use super::copy::Form;
use super::encode::Column;
use super::message::{self, Frontend, complete, put_text, write};
use super::rewrite::{self, Context, Ending, Headers, Rewritten};
use super::statement::{Command, command};
use super::variables::{Look, Variables};
use super::wire::Wire;
use super::{NAME, Shared, lost, types};
use crate::{Ask, Caller};

mod command;
mod explain;
mod extended;

use explain::explains;

/// Statements and cursors that a session may hold.
const HELD: usize = 2000;

pub(super) struct Connection {
    shared: Arc<Shared>,
    wire: Wire,
    caller: Arc<Caller>,
    variables: Variables,
    pid: i32,
    /// Told when another session ends this one.
    ended: CancellationToken,
    transaction: Transaction,
    /// Variables as they were when the transaction began, once one was set in it.
    before: Option<Variables>,
    /// What was set for the transaction only, with the values that hold after it.
    local: HashMap<String, Option<String>>,
    statements: HashMap<String, Arc<Statement>>,
    portals: HashMap<String, Portal>,
    /// After an error, what the client sends is skipped until it synchronises.
    skipping: bool,
}

/// Where a transaction stands.
enum Transaction {
    None,
    /// All its statements read this state; `None` until the first one.
    Open(Option<Moment>),
    Failed,
}

/// A prepared statement.
struct Statement {
    sql: String,
    command: Command,
    headers: Headers,
    /// What the client says of the parameters; 0 where it says nothing.
    oids: Vec<u32>,
    /// What the engine says, once it was asked.
    prepared: tokio::sync::OnceCell<crate::Prepared>,
}

impl Statement {
    /// What is said when all its rows are sent.
    fn tag(&self, count: usize) -> String {
        if explains(&self.sql) { "EXPLAIN".to_string() } else { format!("SELECT {count}") }
    }
}

/// A statement with its parameters, on its way.
struct Portal {
    statement: Arc<Statement>,
    values: Vec<ScalarValue>,
    formats: Vec<i16>,
    rows: Option<Rows>,
    hold: bool,
    cursor: bool,
}

/// Rows that are coming.
struct Rows {
    schema: SchemaRef,
    stream: SendableRecordBatchStream,
    cancel: CancellationToken,
    batch: Option<RecordBatch>,
    at: usize,
    done: bool,
}

/// Where rows go.
enum Target<'a> {
    Rows(&'a [i16]),
    Copy(&'a Form, Vec<String>),
    Nowhere,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.shared.leave(self.pid);
    }
}

impl Connection {
    pub(super) fn new(
        shared: Arc<Shared>,
        wire: Wire,
        caller: Arc<Caller>,
        variables: Variables,
        pid: i32,
        ended: CancellationToken,
    ) -> Connection {
        Connection {
            shared,
            wire,
            caller,
            variables,
            pid,
            ended,
            transaction: Transaction::None,
            before: None,
            local: HashMap::new(),
            statements: HashMap::new(),
            portals: HashMap::new(),
            skipping: false,
        }
    }

    /// Answers messages until the client or the server ends.
    pub(super) async fn serve(mut self) -> Result<()> {
        self.ready();
        loop {
            if !self.wire.is_ahead() {
                self.wire.flush().await.map_err(lost)?;
            }
            let stop = self.shared.stop.clone();
            let next = tokio::select! {
                biased;
                () = self.ended.cancelled() => {
                    let error = Error::interrupted().sqlstate("57P01").hint("another session ended this one");
                    message::error(&mut self.wire.out, "FATAL", &error, None);
                    return self.wire.flush().await.map_err(lost);
                }
                next = self.wire.next() => next,
                () = stop.cancelled() => {
                    let error = Error::interrupted().sqlstate("57P01").hint("the server stops");
                    message::error(&mut self.wire.out, "FATAL", &error, None);
                    return self.wire.flush().await.map_err(lost);
                }
            };
            let (kind, body) = match next {
                Ok(Some(next)) => next,
                Ok(None) => return Ok(()),
                Err(error) if error.kind() == std::io::ErrorKind::InvalidData => {
                    let error = message::broken(&error.to_string());
                    message::error(&mut self.wire.out, "FATAL", &error, None);
                    return self.wire.flush().await.map_err(lost);
                }
                Err(error) => return Err(lost(error)),
            };
            if self.skipping && !matches!(kind, b'S' | b'X') {
                continue;
            }
            let outcome = match Frontend::parse(kind, body) {
                Ok(Frontend::Terminate) => return Ok(()),
                Ok(Frontend::Query(sql)) => self.simple(&sql).await,
                Ok(message) => self.extended(message).await,
                Err(error) => Err((error, None)),
            };
            if let Err((error, sql)) = outcome {
                if error.code() == "08006" {
                    return Err(error);
                }
                self.fail(&error, sql.as_deref());
                match Frontend::is_extended(kind) {
                    true => self.skipping = true,
                    false => self.ready(),
                }
            }
        }
    }

    fn ready(&mut self) {
        let status = match self.transaction {
            Transaction::None => b'I',
            Transaction::Open(_) => b'T',
            Transaction::Failed => b'E',
        };
        write(&mut self.wire.out, b'Z', |out| out.put_u8(status));
    }

    fn fail(&mut self, error: &Error, sql: Option<&str>) {
        message::error(&mut self.wire.out, "ERROR", error, sql);
        if matches!(self.transaction, Transaction::Open(_)) {
            self.transaction = Transaction::Failed;
            self.portals.clear();
        }
    }

    /// All statements of a simple query.
    async fn simple(&mut self, text: &str) -> std::result::Result<(), (Error, Option<String>)> {
        self.portals.remove("");
        let told = |error: Error| (error.sqlstate("42601"), Some(text.to_string()));
        let statements = split_statements(text).map_err(told)?;
        if statements.is_empty() {
            write(&mut self.wire.out, b'I', |_| {});
        }
        // Several statements are one transaction, and read one state.
        let implicit = statements.len() > 1 && matches!(self.transaction, Transaction::None);
        let mut moment = None;
        for statement in &statements {
            let outcome = self.one(&statement.sql, implicit.then_some(&mut moment)).await;
            outcome.map_err(|error| {
                let moved = laguna_query::in_file_at(error, "statement", |line, column| {
                    statement.place(line, column)
                });
                (moved, Some(text.to_string()))
            })?;
        }
        self.ready();
        Ok(())
    }

    /// One statement of a simple query.
    async fn one(&mut self, sql: &str, implicit: Option<&mut Option<Moment>>) -> Result<()> {
        let statement = Arc::new(self.analyse(sql, Vec::new())?);
        self.allowed(&statement.command)?;
        if statement.command != Command::Query {
            return self.command(&statement, Vec::new(), &[0]).await;
        }
        let moment = match implicit {
            Some(shared) if matches!(self.transaction, Transaction::None) => match shared {
                Some(moment) => moment.clone(),
                None => shared.insert(self.now().await?).clone(),
            },
            _ => self.moment().await?,
        };
        let mut rows = self.start(&statement, Vec::new(), moment).await?;
        self.describe_rows(&rows.schema.clone(), &statement.headers, &[0]);
        let count = self.send(&mut rows, usize::MAX, Target::Rows(&[0])).await?;
        complete(&mut self.wire.out, &statement.tag(count));
        Ok(())
    }

    fn analyse(&self, sql: &str, mut oids: Vec<u32>) -> Result<Statement> {
        let sql = rewrite::whole_table(sql.trim().trim_end_matches(';').to_string());
        let command = command(&sql)?;
        let parsed = match &command {
            Command::Query => rewrite::parse(&sql),
            Command::Declare { sql, .. } => rewrite::parse(sql),
            _ => None,
        };
        let headers = parsed.as_ref().map(Headers::of).unwrap_or_default();
        if sql.contains('$') {
            for (number, oid) in parsed.as_ref().map(rewrite::types_of).unwrap_or_default() {
                if number > 0 && number <= usize::from(u16::MAX) {
                    oids.resize(oids.len().max(number), 0);
                    if oids[number - 1] == 0 {
                        oids[number - 1] = oid;
                    }
                }
            }
        }
        Ok(Statement { sql, command, headers, oids, prepared: tokio::sync::OnceCell::new() })
    }

    /// In a failed transaction nothing but its end is.
    fn allowed(&self, command: &Command) -> Result<()> {
        let ends = matches!(command, Command::Commit | Command::Rollback | Command::RollbackTo);
        match self.transaction {
            Transaction::Failed if !ends => Err(Error::project(
                "current transaction is aborted, commands ignored until end of transaction block",
            )
            .sqlstate("25P02")
            .hint("ROLLBACK ends it")),
            _ => Ok(()),
        }
    }

    /// The state that a statement of the transaction reads.
    async fn moment(&mut self) -> Result<Moment> {
        match &self.transaction {
            Transaction::Open(Some(moment)) => Ok(moment.clone()),
            Transaction::Open(None) => {
                let moment = self.now().await?;
                self.transaction = Transaction::Open(Some(moment.clone()));
                Ok(moment)
            }
            _ => Ok(Moment::Now),
        }
    }

    /// The newest release, to stay with.
    async fn now(&mut self) -> Result<Moment> {
        let release = self.shared.core.desk.engine().lake().release().await?;
        Ok(release.map_or(Moment::Now, |release| Moment::Release(release.number)))
    }

    fn around(&self) -> Arc<Surroundings> {
        Arc::new(Surroundings {
            world: self.shared.world.clone(),
            search_path: self.variables.path(),
            zone: self.variables.zone(),
            user: self.caller.user.clone(),
        })
    }

    /// The statement in the engine's words.
    fn translated(&mut self, sql: &str, values: &[ScalarValue]) -> Result<(String, Vec<Ending>)> {
        let Some(mut parsed) = rewrite::parse(sql) else { return Ok((sql.to_string(), Vec::new())) };
        let before = parsed.to_string();
        if sql.contains('$') {
            rewrite::fill_lists(&mut parsed, values);
        }
        let texts: Vec<Option<String>> = values
            .iter()
            .map(|value| match value {
                ScalarValue::Utf8(text) | ScalarValue::Utf8View(text) => text.clone(),
                _ => None,
            })
            .collect();
        rewrite::fill(&mut parsed, &texts);
        let context = Context {
            variables: &self.variables,
            user: &self.caller.user,
            pid: self.pid,
            bound: !values.is_empty(),
            sessions: &|| self.shared.sessions(&self.caller.user),
        };
        let Rewritten { sql: rewritten, set, ended } = rewrite::rewrite(parsed, &context);
        for (name, value, local) in set {
            self.set(&name, Some(&value), local)?;
        }
        // Places in errors are those of what was written.
        let same = rewritten == before && rewrite::respelled(sql).is_none();
        Ok((if same { sql.to_string() } else { rewritten }, ended))
    }

    /// Starts a statement.
    async fn start(
        &mut self,
        statement: &Statement,
        values: Vec<ScalarValue>,
        moment: Moment,
    ) -> Result<Rows> {
        let sql = match &statement.command {
            Command::Copy { sql, .. } | Command::Declare { sql, .. } | Command::Prepare { sql, .. } => {
                sql.clone()
            }
            _ => statement.sql.clone(),
        };
        let written = sql;
        let (sql, ended) = self.translated(&written, &values)?;
        for Ending { pid, session } in ended {
            self.shared.end(pid, &self.caller.user, session);
        }
        let cancel = self.shared.token(self.pid);
        let mut ask = Ask::new(self.caller.clone(), NAME, sql);
        ask.params = values;
        ask.moment = moment;
        ask.timeout = self.variables.timeout();
        ask.cancel = cancel.clone();
        ask.around = Some(self.around());
        let desk = self.shared.core.desk.clone();
        let answer = tokio::select! {
            answer = desk.answer(ask) => answer?,
            () = self.wire.gone() => {
                cancel.cancel();
                return Err(lost(std::io::ErrorKind::UnexpectedEof.into()));
            }
        };
        let (schema, stream) = match explains(&written) {
            true => explain::in_lines(&written, answer.rows),
            false => (answer.schema, answer.rows),
        };
        Ok(Rows { schema, stream, cancel, batch: None, at: 0, done: false })
    }

    /// Sends up to `most` rows; how many there were.
    async fn send(&mut self, rows: &mut Rows, most: usize, target: Target<'_>) -> Result<usize> {
        let look = self.variables.look();
        let mut scratch = BytesMut::new();
        let mut count = 0;
        while count < most {
            let Some(batch) = rows.batch.take() else {
                if rows.done {
                    break;
                }
                let next = tokio::select! {
                    next = rows.stream.next() => next,
                    () = self.wire.gone() => {
                        rows.cancel.cancel();
                        return Err(lost(std::io::ErrorKind::UnexpectedEof.into()));
                    }
                };
                match next {
                    Some(batch) => rows.batch = Some(batch.map_err(translate)?),
                    None => rows.done = true,
                }
                rows.at = 0;
                continue;
            };
            let columns: Vec<Column> =
                batch.columns().iter().map(|array| Column::new(array, look)).collect::<Result<_>>()?;
            let end = batch.num_rows().min(rows.at.saturating_add(most - count));
            for row in rows.at..end {
                match &target {
                    Target::Rows(formats) => data_row(&columns, formats, row, &mut self.wire.out)?,
                    Target::Copy(form, names) => {
                        let first = count == 0 && row == rows.at;
                        form.row(&columns, names, row, first, &mut scratch, &mut self.wire.out)?;
                    }
                    Target::Nowhere => {}
                }
                self.wire.relieve().await.map_err(lost)?;
            }
            count += end - rows.at;
            rows.at = end;
            if end < batch.num_rows() {
                rows.batch = Some(batch);
            }
        }
        Ok(count)
    }

    fn describe_rows(&mut self, schema: &SchemaRef, headers: &Headers, formats: &[i16]) {
        let count = schema.fields().len();
        write(&mut self.wire.out, b'T', |out| {
            out.put_u16(count as u16);
            for (index, field) in schema.fields().iter().enumerate() {
                let oid = types::oid_of(field);
                put_text(out, headers.name(index, count, field.name()));
                out.put_u32(0);
                out.put_u16(0);
                out.put_u32(oid);
                out.put_i16(types::size(oid));
                out.put_i32(types::modifier(field));
                out.put_i16(format_of(formats, index));
            }
        });
    }
}

fn format_of(formats: &[i16], index: usize) -> i16 {
    match formats {
        [] => 0,
        [one] => *one,
        many => many.get(index).copied().unwrap_or(0),
    }
}

fn data_row(columns: &[Column], formats: &[i16], row: usize, out: &mut BytesMut) -> Result<()> {
    let mut outcome = Ok(());
    write(out, b'D', |out| {
        out.put_u16(columns.len() as u16);
        outcome = columns
            .iter()
            .enumerate()
            .try_for_each(|(index, column)| column.put(row, format_of(formats, index) == 1, out));
    });
    outcome
}

/// The text of the first value of rows.
async fn first(mut rows: Rows, look: Look) -> Result<Option<Bytes>> {
    while let Some(batch) = rows.stream.next().await {
        let batch = batch.map_err(translate)?;
        if batch.num_rows() == 0 || batch.num_columns() == 0 {
            continue;
        }
        let column = Column::new(batch.column(0), look)?;
        if column.is_null(0) {
            return Ok(None);
        }
        let mut text = BytesMut::new();
        column.text(0, &mut text)?;
        return Ok(Some(text.freeze()));
    }
    Ok(None)
}
