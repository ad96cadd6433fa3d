//! One session: its messages in turn, its transaction, statements, cursors and variables.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, SchemaRef};
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
use super::rewrite::{self, Context, Headers};
use super::statement::{Command, command};
use super::variables::Variables;
use super::wire::Wire;
use super::{NAME, Shared, lost, params, types};
use crate::{Ask, Caller};

/// Statements and cursors that a session may hold.
const HELD: usize = 2000;

pub(super) struct Connection {
    shared: Arc<Shared>,
    wire: Wire,
    caller: Arc<Caller>,
    variables: Variables,
    database: String,
    pid: i32,
    transaction: Transaction,
    /// Variables as they were when the transaction began, once one was set in it.
    before: Option<Variables>,
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
        database: String,
        pid: i32,
    ) -> Connection {
        Connection {
            shared,
            wire,
            caller,
            variables,
            database,
            pid,
            transaction: Transaction::None,
            before: None,
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
        complete(&mut self.wire.out, &format!("SELECT {count}"));
        Ok(())
    }

    fn analyse(&self, sql: &str, mut oids: Vec<u32>) -> Result<Statement> {
        let sql = sql.trim().trim_end_matches(';').to_string();
        let command = command(&sql)?;
        let parsed = if command == Command::Query { rewrite::parse(&sql) } else { None };
        let headers = parsed.as_ref().map(Headers::of).unwrap_or_default();
        if sql.contains('$') {
            for (number, oid) in parsed.as_ref().map(rewrite::casts).unwrap_or_default() {
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
        Arc::new(Surroundings { world: self.shared.world.clone(), search_path: self.variables.path() })
    }

    /// The statement in the engine's words.
    fn translated(&mut self, sql: &str, values: &[ScalarValue]) -> Result<String> {
        let Some(mut parsed) = rewrite::parse(sql) else { return Ok(sql.to_string()) };
        let concerns = rewrite::concerns(sql);
        if !rewrite::tell_apart(&mut parsed) && !concerns {
            return Ok(sql.to_string());
        }
        if !concerns {
            return Ok(parsed.to_string());
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
            database: &self.database,
            pid: self.pid,
        };
        let (sql, set) = rewrite::rewrite(parsed, &context);
        for (name, value) in set {
            self.set(&name, Some(&value), false)?;
        }
        Ok(sql)
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
        let sql = self.translated(&sql, &values)?;
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
        Ok(Rows { schema: answer.schema, stream: answer.rows, cancel, batch: None, at: 0, done: false })
    }

    /// Sends up to `most` rows; how many there were.
    async fn send(&mut self, rows: &mut Rows, most: usize, target: Target<'_>) -> Result<usize> {
        let zone = self.variables.zone();
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
                batch.columns().iter().map(|array| Column::new(array, zone)).collect::<Result<_>>()?;
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
                let oid = types::oid(field.data_type());
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

    /// A message of the extended protocol.
    async fn extended(&mut self, message: Frontend) -> std::result::Result<(), (Error, Option<String>)> {
        let told = |sql: &str| {
            let sql = sql.to_string();
            move |error: Error| (error, Some(sql))
        };
        let plain = |error: Error| (error, None);
        match message {
            Frontend::Parse { name, sql, types } => {
                if !name.is_empty() && self.statements.contains_key(&name) {
                    let error = Error::project(format!("prepared statement \"{name}\" already exists"));
                    return Err(plain(error.sqlstate("42P05")));
                }
                self.room().map_err(plain)?;
                let statement = self.analyse(&sql, types).map_err(told(&sql))?;
                self.allowed(&statement.command).map_err(plain)?;
                self.statements.insert(name, Arc::new(statement));
                write(&mut self.wire.out, b'1', |_| {});
            }
            Frontend::Bind { portal, statement, formats, values, results } => {
                let statement = self.statement(&statement).map_err(plain)?;
                let values = self.bind(&statement, &formats, &values).await.map_err(told(&statement.sql))?;
                self.room().map_err(plain)?;
                let bound =
                    Portal { statement, values, formats: results, rows: None, hold: false, cursor: false };
                self.portals.insert(portal, bound);
                write(&mut self.wire.out, b'2', |_| {});
            }
            Frontend::Describe { portal: false, name } => {
                let statement = self.statement(&name).map_err(plain)?;
                self.describe_statement(&statement).await.map_err(told(&statement.sql))?;
            }
            Frontend::Describe { portal: true, name } => {
                let statement = self.portal(&name).map_err(plain)?.statement.clone();
                self.describe_portal(&name).await.map_err(told(&statement.sql))?;
            }
            Frontend::Execute { portal, rows } => {
                let statement = self.portal(&portal).map_err(plain)?.statement.clone();
                self.execute(&portal, rows).await.map_err(told(&statement.sql))?;
            }
            Frontend::Close { portal, name } => {
                if portal {
                    self.portals.remove(&name);
                } else {
                    self.statements.remove(&name);
                }
                write(&mut self.wire.out, b'3', |_| {});
            }
            Frontend::Sync => {
                self.skipping = false;
                if matches!(self.transaction, Transaction::None) {
                    self.portals.retain(|_, portal| portal.hold);
                }
                self.ready();
                self.wire.flush().await.map_err(lost).map_err(plain)?;
            }
            Frontend::Flush => self.wire.flush().await.map_err(lost).map_err(plain)?,
            Frontend::Copy | Frontend::Query(_) | Frontend::Terminate => {}
        }
        Ok(())
    }

    fn room(&self) -> Result<()> {
        match self.statements.len() + self.portals.len() < HELD {
            true => Ok(()),
            false => Err(Error::exhausted("the session holds too many statements and cursors")
                .sqlstate("53400")
                .hint("DEALLOCATE ALL, or CLOSE ALL")),
        }
    }

    fn statement(&self, name: &str) -> Result<Arc<Statement>> {
        self.statements.get(name).cloned().ok_or_else(|| {
            Error::project(format!("prepared statement \"{name}\" does not exist")).sqlstate("26000")
        })
    }

    fn portal(&mut self, name: &str) -> Result<&mut Portal> {
        self.portals
            .get_mut(name)
            .ok_or_else(|| Error::project(format!("portal \"{name}\" does not exist")).sqlstate("34000"))
    }

    /// What the engine knows of a statement.
    async fn prepared<'a>(&mut self, statement: &'a Statement) -> Result<&'a crate::Prepared> {
        if let Some(prepared) = statement.prepared.get() {
            return Ok(prepared);
        }
        let sql = match &statement.command {
            Command::Prepare { sql, .. } => sql.clone(),
            _ => statement.sql.clone(),
        };
        let sql = self.translated(&sql, &[])?;
        let moment = self.moment().await?;
        let desk = &self.shared.core.desk;
        let prepared = match desk.prepare_in(&self.caller, &sql, &moment, Some(self.around())).await {
            Ok(prepared) => prepared,
            Err(error) => {
                desk.unplanned(&self.caller, NAME, sql, &error);
                return Err(error);
            }
        };
        Ok(statement.prepared.get_or_init(|| async { prepared }).await)
    }

    async fn bind(
        &mut self,
        statement: &Arc<Statement>,
        formats: &[i16],
        values: &[Option<Bytes>],
    ) -> Result<Vec<ScalarValue>> {
        if values.is_empty() {
            return Ok(Vec::new());
        }
        if !matches!(statement.command, Command::Query) {
            return Err(Error::project("this statement takes no parameters").sqlstate("08P01"));
        }
        let known = |index: usize| statement.oids.get(index).copied().unwrap_or(0);
        let open = (0..values.len()).any(|index| known(index) == 0);
        let wanted: Vec<Option<DataType>> = match open {
            true => self.prepared(statement).await?.parameters.clone(),
            false => Vec::new(),
        };
        let value = |(index, bytes): (usize, &Option<Bytes>)| {
            let wanted = wanted.get(index).and_then(Option::as_ref);
            params::value(bytes.as_ref(), format_of(formats, index) == 1, known(index), wanted)
        };
        values.iter().enumerate().map(value).collect()
    }

    async fn describe_statement(&mut self, statement: &Arc<Statement>) -> Result<()> {
        if !matches!(statement.command, Command::Query) {
            write(&mut self.wire.out, b't', |out| out.put_u16(0));
            self.describe_command(&statement.command, &[0]);
            return Ok(());
        }
        if statement.sql.is_empty() {
            write(&mut self.wire.out, b't', |out| out.put_u16(0));
            write(&mut self.wire.out, b'n', |_| {});
            return Ok(());
        }
        let prepared = self.prepared(statement).await?;
        let count = prepared.parameters.len().max(statement.oids.len());
        write(&mut self.wire.out, b't', |out| {
            out.put_u16(count as u16);
            for index in 0..count {
                let said = statement.oids.get(index).copied().filter(|oid| *oid != 0);
                let found = prepared.parameters.get(index).and_then(Option::as_ref).map(types::oid);
                out.put_u32(said.or(found).unwrap_or(types::TEXT));
            }
        });
        let schema = prepared.schema.clone();
        self.describe_rows(&schema, &statement.headers, &[0]);
        Ok(())
    }

    /// The columns of what the connection answers itself.
    fn describe_command(&mut self, command: &Command, formats: &[i16]) {
        let cursor = match command {
            Command::Fetch { name, only_move: false, .. } => self.portals.get(name).and_then(|portal| {
                Some((portal.rows.as_ref()?.schema.clone(), portal.statement.headers.clone()))
            }),
            Command::Show(name) => Some((shown(name.as_deref()), Headers::default())),
            _ => None,
        };
        match cursor {
            Some((schema, headers)) => self.describe_rows(&schema, &headers, formats),
            None => write(&mut self.wire.out, b'n', |_| {}),
        }
    }

    async fn describe_portal(&mut self, name: &str) -> Result<()> {
        let (statement, formats) = {
            let portal = self.portal(name)?;
            (portal.statement.clone(), portal.formats.clone())
        };
        if statement.sql.is_empty() {
            write(&mut self.wire.out, b'n', |_| {});
            return Ok(());
        }
        if !matches!(statement.command, Command::Query) {
            self.describe_command(&statement.command, &formats);
            return Ok(());
        }
        // It runs next in all likelihood: its columns are then known without planning it twice.
        self.begin(name).await?;
        if let Some(schema) = self.portal(name)?.rows.as_ref().map(|rows| rows.schema.clone()) {
            self.describe_rows(&schema, &statement.headers, &formats);
        }
        Ok(())
    }

    /// Starts the statement of a portal, once.
    async fn begin(&mut self, name: &str) -> Result<()> {
        let portal = self.portal(name)?;
        if portal.rows.is_some() {
            return Ok(());
        }
        let (statement, values) = (portal.statement.clone(), std::mem::take(&mut portal.values));
        let moment = self.moment().await?;
        let rows = self.start(&statement, values, moment).await?;
        self.portal(name)?.rows = Some(rows);
        Ok(())
    }

    async fn execute(&mut self, name: &str, most: usize) -> Result<()> {
        let (statement, formats) = {
            let portal = self.portal(name)?;
            (portal.statement.clone(), portal.formats.clone())
        };
        if statement.sql.is_empty() {
            write(&mut self.wire.out, b'I', |_| {});
            return Ok(());
        }
        self.allowed(&statement.command)?;
        if !matches!(statement.command, Command::Query) {
            return self.command(&statement, formats.clone(), &formats).await;
        }
        self.begin(name).await?;
        let most = if most == 0 { usize::MAX } else { most };
        let (count, done) = self.take_rows(name, most, Target::Rows(&formats)).await?;
        match done {
            true => complete(&mut self.wire.out, &format!("SELECT {count}")),
            false => write(&mut self.wire.out, b's', |_| {}),
        }
        Ok(())
    }

    /// Sends rows of a portal that has begun; how many, and whether fewer than `most` were left.
    async fn take_rows(&mut self, name: &str, most: usize, target: Target<'_>) -> Result<(usize, bool)> {
        let Some(mut rows) = self.portal(name)?.rows.take() else {
            return Err(Error::internal("a portal has not begun"));
        };
        let sent = self.send(&mut rows, most, target).await;
        if let Ok(portal) = self.portal(name) {
            portal.rows = Some(rows);
        }
        let count = sent?;
        Ok((count, count < most))
    }

    /// What the connection answers itself. `described`: formats, when the columns were told already.
    async fn command(
        &mut self,
        statement: &Arc<Statement>,
        described: Vec<i16>,
        formats: &[i16],
    ) -> Result<()> {
        // In the simple protocol the columns go before the rows.
        let simple = described.is_empty();
        match &statement.command {
            Command::Query => {}
            Command::Begin => {
                match self.transaction {
                    Transaction::None => self.transaction = Transaction::Open(None),
                    _ => message::notice(
                        &mut self.wire.out,
                        "25001",
                        "there is already a transaction in progress",
                    ),
                }
                complete(&mut self.wire.out, "BEGIN");
            }
            Command::Commit | Command::Rollback => {
                let failed = matches!(self.transaction, Transaction::Failed);
                if matches!(self.transaction, Transaction::None) {
                    message::notice(&mut self.wire.out, "25P01", "there is no transaction in progress");
                }
                let keeps = statement.command == Command::Commit && !failed;
                self.end(keeps);
                complete(&mut self.wire.out, if keeps { "COMMIT" } else { "ROLLBACK" });
            }
            Command::RollbackTo => {
                if matches!(self.transaction, Transaction::Failed) {
                    self.transaction = Transaction::Open(None);
                }
                complete(&mut self.wire.out, "ROLLBACK");
            }
            Command::Nothing(tag) => complete(&mut self.wire.out, tag),
            Command::Set { name, value, local } => {
                self.set(name, value.as_deref(), *local)?;
                complete(&mut self.wire.out, "SET");
            }
            Command::Reset(Some(name)) => {
                self.set(name, None, false)?;
                complete(&mut self.wire.out, "RESET");
            }
            Command::Reset(None) => {
                self.variables.reset_all();
                complete(&mut self.wire.out, "RESET");
            }
            Command::Show(name) => self.show(name.as_deref(), simple, formats)?,
            Command::Declare { name, sql, hold } => self.declare(name, sql, *hold).await?,
            Command::Fetch { name, rows, only_move } => {
                self.fetch(name, *rows, *only_move, simple, formats).await?;
            }
            Command::Close(name) => {
                match name {
                    None => self.portals.clear(),
                    Some(name) => {
                        self.cursor(name)?;
                        self.portals.remove(name);
                    }
                }
                complete(&mut self.wire.out, "CLOSE CURSOR");
            }
            Command::Prepare { name, types: names, sql } => {
                if self.statements.contains_key(name) {
                    let error = Error::project(format!("prepared statement \"{name}\" already exists"));
                    return Err(error.sqlstate("42P05"));
                }
                self.room()?;
                let oids = names.iter().map(|name| super::catalog::type_oid(name).unwrap_or(0)).collect();
                let prepared = self.analyse(sql, oids)?;
                self.statements.insert(name.clone(), Arc::new(prepared));
                complete(&mut self.wire.out, "PREPARE");
            }
            Command::Execute { name, values } => self.run_prepared(name, values, simple, formats).await?,
            Command::Deallocate(name) => {
                match name {
                    None => self.statements.clear(),
                    Some(name) => {
                        self.statement(name)?;
                        self.statements.remove(name);
                    }
                }
                complete(&mut self.wire.out, "DEALLOCATE");
            }
            Command::Discard => {
                self.variables.reset_all();
                self.statements.clear();
                self.portals.clear();
                complete(&mut self.wire.out, "DISCARD ALL");
            }
            Command::Copy { form, .. } => {
                let moment = self.moment().await?;
                let mut rows = self.start(statement, Vec::new(), moment).await?;
                let names: Vec<String> =
                    rows.schema.fields().iter().map(|field| field.name().clone()).collect();
                form.begin(&names, &mut self.wire.out);
                let count = self.send(&mut rows, usize::MAX, Target::Copy(form, names)).await?;
                form.end(count, &mut self.wire.out);
                complete(&mut self.wire.out, &format!("COPY {count}"));
            }
        }
        Ok(())
    }

    /// Ends the transaction.
    fn end(&mut self, keeps: bool) {
        self.transaction = Transaction::None;
        if let Some(before) = self.before.take()
            && !keeps
        {
            self.variables = before;
        }
        self.portals.retain(|_, portal| portal.hold && keeps);
    }

    fn set(&mut self, name: &str, value: Option<&str>, local: bool) -> Result<()> {
        let within = matches!(self.transaction, Transaction::Open(_));
        if local && !within {
            message::notice(&mut self.wire.out, "25P01", "SET LOCAL can only be used in transaction blocks");
            return Ok(());
        }
        if within && self.before.is_none() {
            self.before = Some(self.variables.clone());
        }
        let told = match value {
            Some(value) => self.variables.set(name, value)?,
            None => self.variables.reset(name)?,
        };
        if let Some((name, value)) = told {
            write(&mut self.wire.out, b'S', |out| {
                put_text(out, name);
                put_text(out, &value);
            });
        }
        Ok(())
    }

    fn show(&mut self, name: Option<&str>, simple: bool, formats: &[i16]) -> Result<()> {
        let rows: Vec<Vec<String>> = match name {
            Some(name) => vec![vec![self.variables.get(name)?]],
            None => {
                let all = self.variables.all().into_iter();
                all.map(|(name, value, _)| vec![name.to_string(), value, String::new()]).collect()
            }
        };
        if simple {
            self.describe_rows(&shown(name), &Headers::default(), formats);
        }
        for row in &rows {
            write(&mut self.wire.out, b'D', |out| {
                out.put_u16(row.len() as u16);
                for value in row {
                    out.put_u32(value.len() as u32);
                    out.put_slice(value.as_bytes());
                }
            });
        }
        complete(&mut self.wire.out, "SHOW");
        Ok(())
    }

    async fn declare(&mut self, name: &str, sql: &str, hold: bool) -> Result<()> {
        if matches!(self.transaction, Transaction::None) && !hold {
            return Err(Error::project("DECLARE CURSOR can only be used in transaction blocks")
                .sqlstate("25P01")
                .hint("BEGIN first, or DECLARE … WITH HOLD"));
        }
        if self.portals.contains_key(name) {
            return Err(Error::project(format!("cursor \"{name}\" already exists")).sqlstate("42P03"));
        }
        self.room()?;
        let statement = Arc::new(self.analyse(sql, Vec::new())?);
        if statement.command != Command::Query {
            return Err(Error::project("a cursor is of a SELECT").sqlstate("42601"));
        }
        let moment = self.moment().await?;
        let rows = self.start(&statement, Vec::new(), moment).await?;
        let portal =
            Portal { statement, values: Vec::new(), formats: vec![0], rows: Some(rows), hold, cursor: true };
        self.portals.insert(name.to_string(), portal);
        complete(&mut self.wire.out, "DECLARE CURSOR");
        Ok(())
    }

    fn cursor(&mut self, name: &str) -> Result<&mut Portal> {
        match self.portals.get_mut(name).filter(|portal| portal.cursor || portal.rows.is_some()) {
            Some(portal) => Ok(portal),
            None => Err(Error::project(format!("cursor \"{name}\" does not exist")).sqlstate("34000")),
        }
    }

    async fn fetch(
        &mut self,
        name: &str,
        most: Option<usize>,
        only_move: bool,
        simple: bool,
        formats: &[i16],
    ) -> Result<()> {
        let (schema, headers) = {
            let portal = self.cursor(name)?;
            (portal.rows.as_ref().map(|rows| rows.schema.clone()), portal.statement.headers.clone())
        };
        if let (Some(schema), true, false) = (schema, simple, only_move) {
            self.describe_rows(&schema, &headers, formats);
        }
        let target = if only_move { Target::Nowhere } else { Target::Rows(formats) };
        let (count, _) = self.take_rows(name, most.unwrap_or(usize::MAX), target).await?;
        complete(&mut self.wire.out, &format!("{} {count}", if only_move { "MOVE" } else { "FETCH" }));
        Ok(())
    }

    async fn run_prepared(
        &mut self,
        name: &str,
        values: &[Option<String>],
        simple: bool,
        formats: &[i16],
    ) -> Result<()> {
        let statement = self.statement(name)?;
        if statement.command != Command::Query {
            return Err(Error::project("EXECUTE runs queries only").sqlstate("0A000"));
        }
        let values: Vec<Option<Bytes>> =
            values.iter().map(|value| value.clone().map(|text| Bytes::from(text.into_bytes()))).collect();
        let values = self.bind(&statement, &[0], &values).await?;
        let moment = self.moment().await?;
        let mut rows = self.start(&statement, values, moment).await?;
        if simple {
            self.describe_rows(&rows.schema.clone(), &statement.headers, formats);
        }
        let count = self.send(&mut rows, usize::MAX, Target::Rows(formats)).await?;
        complete(&mut self.wire.out, &format!("SELECT {count}"));
        Ok(())
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

/// The columns of SHOW.
fn shown(name: Option<&str>) -> SchemaRef {
    use arrow::datatypes::{Field, Schema};
    let names: Vec<&str> = match name {
        Some("transaction isolation level") => vec!["transaction_isolation"],
        Some(name) => vec![name],
        None => vec!["name", "setting", "description"],
    };
    Arc::new(Schema::new(
        names.into_iter().map(|name| Field::new(name, DataType::Utf8, false)).collect::<Vec<_>>(),
    ))
}
