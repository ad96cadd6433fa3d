//! The tables that exist for a reader: all others are answered like tables that are not there.

use std::sync::Arc;

use async_trait::async_trait;
use laguna_base::{Result, TableName, Tier};

use super::Access;
use crate::{Pin, Resolved, Tables};

/// `all` without what `access` does not allow.
#[derive(Debug)]
pub(crate) struct ReadableTables {
    pub(crate) all: Arc<dyn Tables>,
    pub(crate) access: Access,
}

#[async_trait]
impl Tables for ReadableTables {
    async fn table(&self, name: &TableName) -> Result<Option<Resolved>> {
        match self.access.may_read(name) {
            true => self.all.table(name).await,
            false => Ok(None),
        }
    }

    async fn names(&self, tier: Tier) -> Result<Vec<String>> {
        if !self.access.may_read_some(tier.as_str()) {
            return Ok(Vec::new());
        }
        let mut names = self.all.names(tier).await?;
        names.retain(|table| self.access.may_read(&TableName { tier, table: table.clone() }));
        Ok(names)
    }

    async fn pinned(&self, name: &TableName, pin: &Pin) -> Result<Option<Resolved>> {
        if self.access.may_read(name) {
            return self.all.pinned(name, pin).await;
        }
        // A moment can be wrong by itself, as one in the future: then it is so for every name.
        self.all.pinned(&nowhere(name), pin).await.map(|_| None)
    }

    async fn is_view(&self, name: &TableName) -> Result<bool> {
        Ok(self.access.may_read(name) && self.all.is_view(name).await?)
    }

    async fn staged(&self, name: &TableName) -> Result<Option<Resolved>> {
        match self.access.may_read_staged(name) {
            true => self.all.staged(name).await,
            false => Ok(None),
        }
    }

    async fn staged_names(&self) -> Result<Vec<TableName>> {
        let mut names = match self.access.may_read_some(crate::catalog::STAGED) {
            true => self.all.staged_names().await?,
            false => Vec::new(),
        };
        names.retain(|name| self.access.may_read_staged(name));
        Ok(names)
    }
}

/// A name like `name` that no table can have. Those of `system` are told apart by no answer.
fn nowhere(name: &TableName) -> TableName {
    match name.tier {
        Tier::System => name.clone(),
        tier => TableName { tier, table: "_".repeat(201) },
    }
}
