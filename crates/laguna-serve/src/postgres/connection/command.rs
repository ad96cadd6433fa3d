//! Statements that the session answers itself: transactions, variables, cursors, prepared statements, COPY.

use std::sync::Arc;

use arrow::datatypes::{DataType, SchemaRef};
use bytes::{BufMut, Bytes};
use datafusion::scalar::ScalarValue;
use laguna_base::{Error, Result};

use super::{Connection, Portal, Statement, Target, Transaction, first};
use crate::postgres::catalog;
use crate::postgres::message::{self, complete, put_text, write};
use crate::postgres::rewrite::{self, Headers};
use crate::postgres::statement::{Argument, Command};
use crate::postgres::variables;

impl Connection {
    /// What the connection answers itself. `described`: formats, when the columns were told already.
    pub(super) async fn command(
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
            Command::Declare { name, sql, hold } => self.declare(name, sql, *hold, Vec::new()).await?,
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
                let oids = names.iter().map(|name| catalog::type_oid(name).unwrap_or(0)).collect();
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
                let tag = if name.is_none() { "DEALLOCATE ALL" } else { "DEALLOCATE" };
                complete(&mut self.wire.out, tag);
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
                let names: Vec<String> = rows
                    .schema
                    .fields()
                    .iter()
                    .map(|field| rewrite::shown(field.name()).to_string())
                    .collect();
                form.begin(&names, &mut self.wire.out);
                let count = self.send(&mut rows, usize::MAX, Target::Copy(form, names)).await?;
                form.end(count, &mut self.wire.out);
                complete(&mut self.wire.out, &format!("COPY {count}"));
            }
        }
        Ok(())
    }

    /// Ends the transaction.
    pub(super) fn end(&mut self, keeps: bool) {
        self.transaction = Transaction::None;
        let shown = self.variables.all();
        let local = std::mem::take(&mut self.local);
        match self.before.take() {
            Some(before) if !keeps => self.variables = before,
            _ => local.into_iter().for_each(|(name, value)| self.variables.put_back(&name, value)),
        }
        for (now, before) in self.variables.all().into_iter().zip(shown) {
            if now.2 && now.1 != before.1 {
                self.tell(now.0, &now.1);
            }
        }
        self.portals.retain(|_, portal| portal.hold && keeps);
    }

    /// Tells the client what a variable is now.
    fn tell(&mut self, name: &str, value: &str) {
        write(&mut self.wire.out, b'S', |out| {
            put_text(out, name);
            put_text(out, value);
        });
    }

    pub(super) fn set(&mut self, name: &str, value: Option<&str>, local: bool) -> Result<()> {
        let within = matches!(self.transaction, Transaction::Open(_));
        if local && !within {
            message::notice(&mut self.wire.out, "25P01", "SET LOCAL can only be used in transaction blocks");
            return Ok(());
        }
        if within && self.before.is_none() {
            self.before = Some(self.variables.clone());
        }
        let (plain, former) = self.variables.stored(name);
        let told = match value {
            Some(value) => self.variables.set(name, value)?,
            None => self.variables.reset(name)?,
        };
        match local {
            true => drop(self.local.entry(plain).or_insert(former)),
            false => drop(self.local.remove(&plain)),
        }
        if let Some((name, value)) = told {
            self.tell(name, &value);
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

    pub(super) async fn declare(
        &mut self,
        name: &str,
        sql: &str,
        hold: bool,
        values: Vec<ScalarValue>,
    ) -> Result<()> {
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
        let rows = self.start(&statement, values, moment).await?;
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

    /// The texts of the arguments of EXECUTE.
    async fn arguments(&mut self, arguments: &[Argument]) -> Result<Vec<Option<Bytes>>> {
        let mut texts = Vec::with_capacity(arguments.len());
        for argument in arguments {
            texts.push(match argument {
                Argument::Known(text) => text.clone().map(|text| Bytes::from(text.into_bytes())),
                Argument::Computed(expression) => {
                    let statement = self.analyse(&format!("SELECT {expression}"), Vec::new())?;
                    let moment = self.moment().await?;
                    let rows = self.start(&statement, Vec::new(), moment).await?;
                    first(rows, self.variables.look()).await?
                }
            });
        }
        Ok(texts)
    }

    async fn run_prepared(
        &mut self,
        name: &str,
        values: &[Argument],
        simple: bool,
        formats: &[i16],
    ) -> Result<()> {
        let statement = self.statement(name)?;
        if statement.command != Command::Query {
            return Err(Error::project("EXECUTE runs queries only").sqlstate("0A000"));
        }
        let values = self.arguments(values).await?;
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

/// The columns of SHOW.
pub(super) fn shown(name: Option<&str>) -> SchemaRef {
    use arrow::datatypes::{Field, Schema};
    let names: Vec<&str> = match name {
        Some(name) => vec![variables::shown(name)],
        None => vec!["name", "setting", "description"],
    };
    Arc::new(Schema::new(
        names.into_iter().map(|name| Field::new(name, DataType::Utf8, false)).collect::<Vec<_>>(),
    ))
}
