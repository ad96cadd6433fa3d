//! What names mean inside a run: inputs pinned when they are first read, models as this run has left them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use async_trait::async_trait;
use laguna_base::{Result, TableName, Tier};
use laguna_query::{LakeTables, Pin, Resolved, Tables};
use tokio::sync::RwLock;

/// The lake as it was at the start, with what this run has built laid over it.
#[derive(Debug)]
pub(crate) struct RunTables {
    lake: LakeTables,
    over: RwLock<BTreeMap<TableName, Resolved>>,
}

impl RunTables {
    pub fn new(lake: LakeTables) -> Self {
        RunTables { lake, over: RwLock::new(BTreeMap::new()) }
    }

    /// From now on `name` means `resolved`.
    pub async fn set(&self, name: &TableName, resolved: Resolved) {
        self.over.write().await.insert(name.clone(), resolved);
    }

    /// From now on `name` is looked up again (its raw table has grown).
    pub async fn forget(&self, name: &TableName) {
        self.over.write().await.remove(name);
    }
}

#[async_trait]
impl Tables for RunTables {
    async fn table(&self, name: &TableName) -> Result<Option<Resolved>> {
        if let Some(resolved) = self.over.read().await.get(name) {
            return Ok(Some(resolved.clone()));
        }
        let Some(resolved) = self.lake.table(name).await? else { return Ok(None) };
        // Pinned: two models of one run read the same version of an input.
        if name.tier != Tier::System {
            self.over.write().await.insert(name.clone(), resolved.clone());
        }
        Ok(Some(resolved))
    }

    async fn names(&self, tier: Tier) -> Result<Vec<String>> {
        let mut names: BTreeSet<String> = self.lake.names(tier).await?.into_iter().collect();
        let over = self.over.read().await;
        names.extend(over.keys().filter(|name| name.tier == tier).map(|name| name.table.clone()));
        Ok(names.into_iter().collect())
    }

    async fn pinned(&self, name: &TableName, pin: &Pin) -> Result<Option<Resolved>> {
        self.lake.pinned(name, pin).await
    }
}

/// Shared with sessions.
pub(crate) type SharedTables = Arc<RunTables>;
