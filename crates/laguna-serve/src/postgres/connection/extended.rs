//! The extended protocol: statements that are parsed, bound, described and executed in steps.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field};
use bytes::{BufMut, Bytes};
use datafusion::scalar::ScalarValue;
use laguna_base::{Error, Result};

use super::command::shown;
use super::explain::{self, explains};
use super::{Connection, HELD, Portal, Statement, Target, Transaction, format_of};
use crate::postgres::message::{Frontend, complete, write};
use crate::postgres::rewrite::{self, Headers};
use crate::postgres::statement::Command;
use crate::postgres::{NAME, lost, params, types};

impl Connection {
    /// A message of the extended protocol.
    pub(super) async fn extended(
        &mut self,
        message: Frontend,
    ) -> std::result::Result<(), (Error, Option<String>)> {
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

    pub(super) fn room(&self) -> Result<()> {
        match self.statements.len() + self.portals.len() < HELD {
            true => Ok(()),
            false => Err(Error::exhausted("the session holds too many statements and cursors")
                .sqlstate("53400")
                .hint("DEALLOCATE ALL, or CLOSE ALL")),
        }
    }

    pub(super) fn statement(&self, name: &str) -> Result<Arc<Statement>> {
        self.statements.get(name).cloned().ok_or_else(|| {
            Error::project(format!("prepared statement \"{name}\" does not exist")).sqlstate("26000")
        })
    }

    pub(super) fn portal(&mut self, name: &str) -> Result<&mut Portal> {
        self.portals
            .get_mut(name)
            .ok_or_else(|| Error::project(format!("portal \"{name}\" does not exist")).sqlstate("34000"))
    }

    /// What the engine knows of a statement.
    pub(super) async fn prepared<'a>(&mut self, statement: &'a Statement) -> Result<&'a crate::Prepared> {
        if let Some(prepared) = statement.prepared.get() {
            return Ok(prepared);
        }
        let written = match &statement.command {
            Command::Prepare { sql, .. } | Command::Declare { sql, .. } => sql.clone(),
            _ => statement.sql.clone(),
        };
        let (sql, _) = self.translated(&written, &[])?;
        let moment = self.moment().await?;
        let desk = &self.shared.core.desk;
        let mut prepared = match desk.prepare_in(&self.caller, &sql, &moment, Some(self.around())).await {
            Ok(prepared) if explains(&written) => {
                crate::Prepared { schema: explain::columns(&written), ..prepared }
            }
            Ok(prepared) => prepared,
            Err(error) => {
                desk.unplanned(&self.caller, NAME, sql, &error);
                return Err(error);
            }
        };
        // Each was asked for as one value.
        for number in rewrite::parse(&written).as_ref().map(rewrite::lists).unwrap_or_default() {
            if let Some(parameter) = prepared.parameters.get_mut(number.wrapping_sub(1)) {
                let item = parameter.take().unwrap_or(DataType::Utf8);
                *parameter = Some(DataType::List(Arc::new(Field::new("item", item, true))));
            }
        }
        Ok(statement.prepared.get_or_init(|| async { prepared }).await)
    }

    pub(super) async fn bind(
        &mut self,
        statement: &Arc<Statement>,
        formats: &[i16],
        values: &[Option<Bytes>],
    ) -> Result<Vec<ScalarValue>> {
        if values.is_empty() {
            return Ok(Vec::new());
        }
        if !matches!(statement.command, Command::Query | Command::Declare { .. }) {
            return Err(Error::project("this statement takes no parameters").sqlstate("08P01"));
        }
        let known = |index: usize| statement.oids.get(index).copied().unwrap_or(0);
        let open = (0..values.len()).any(|index| known(index) == 0);
        let wanted: Vec<Option<DataType>> = match open {
            true => self.prepared(statement).await?.parameters.clone(),
            false => Vec::new(),
        };
        let zone = self.variables.zone();
        let value = |(index, bytes): (usize, &Option<Bytes>)| {
            let wanted = wanted.get(index).and_then(Option::as_ref);
            params::value(bytes.as_ref(), format_of(formats, index) == 1, known(index), wanted, zone)
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
        if let Command::Declare { name: cursor, sql, hold } = &statement.command {
            let values = std::mem::take(&mut self.portal(name)?.values);
            return self.declare(cursor, sql, *hold, values).await;
        }
        if !matches!(statement.command, Command::Query) {
            return self.command(&statement, formats.clone(), &formats).await;
        }
        self.begin(name).await?;
        let most = if most == 0 { usize::MAX } else { most };
        let (count, done) = self.take_rows(name, most, Target::Rows(&formats)).await?;
        match done {
            true => complete(&mut self.wire.out, &statement.tag(count)),
            false => write(&mut self.wire.out, b's', |_| {}),
        }
        Ok(())
    }

    /// Sends rows of a portal that has begun; how many, and whether fewer than `most` were left.
    pub(super) async fn take_rows(
        &mut self,
        name: &str,
        most: usize,
        target: Target<'_>,
    ) -> Result<(usize, bool)> {
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
}
