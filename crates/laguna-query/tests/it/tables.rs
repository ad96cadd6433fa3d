//! A small lake in memory: what names mean, without storage.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use async_trait::async_trait;
use datafusion::catalog::MemTable;
use laguna_base::clock::SystemClock;
use laguna_base::{Error, Result, TableName, Tier};
use laguna_query::{Engine, EngineOptions, Pin, Resolved, Tables};
use laguna_store::Lake;
use object_store::memory::InMemory;

#[derive(Debug)]
pub struct Memory {
    tables: BTreeMap<TableName, Resolved>,
}

/// `raw.flights` with four rows, `sanitized.flights` and views upon it. Version 1 of `raw.flights` has one row.
pub fn memory() -> Memory {
    let flights = flights(&[1, 2, 3, 4], &["AA", "B6", "AA", "UA"]);
    let view = |sql: &str| Resolved::View { sql: sql.to_string() };
    let tables = [
        ("raw.flights", Resolved::Provider(flights.clone())),
        ("sanitized.flights", view("SELECT id, carrier FROM raw.flights WHERE carrier <> 'UA'")),
        (
            "enhanced.carriers",
            view(
                "WITH f AS (SELECT * FROM sanitized.flights) SELECT carrier, count(*) AS n FROM f GROUP BY 1",
            ),
        ),
        ("enhanced.circle", view("SELECT * FROM enhanced.circle_back")),
        ("enhanced.circle_back", view("SELECT * FROM enhanced.circle")),
        ("enhanced.reads_this", view("SELECT * FROM this")),
    ];
    Memory { tables: tables.into_iter().map(|(name, table)| (name.parse().unwrap(), table)).collect() }
}

fn flights(ids: &[i64], carriers: &[&str]) -> Arc<MemTable> {
    let batch = RecordBatch::try_from_iter(vec![
        ("id", Arc::new(Int64Array::from(ids.to_vec())) as ArrayRef),
        ("carrier", Arc::new(StringArray::from(carriers.to_vec())) as ArrayRef),
        ("TailNum", Arc::new(StringArray::from(vec!["N1"; ids.len()])) as ArrayRef),
    ])
    .unwrap();
    let half = ids.len() / 2;
    let parts = vec![vec![batch.slice(0, half)], vec![batch.slice(half, ids.len() - half)]];
    Arc::new(MemTable::try_new(batch.schema(), parts).unwrap())
}

#[async_trait]
impl Tables for Memory {
    async fn table(&self, name: &TableName) -> Result<Option<Resolved>> {
        Ok(self.tables.get(name).cloned())
    }

    async fn names(&self, tier: Tier) -> Result<Vec<String>> {
        Ok(self.tables.keys().filter(|name| name.tier == tier).map(|name| name.table.clone()).collect())
    }

    async fn pinned(&self, name: &TableName, pin: &Pin) -> Result<Option<Resolved>> {
        match pin {
            Pin::Version(1) if name.tier == Tier::Raw => Ok(Some(Resolved::Provider(flights(&[1], &["AA"])))),
            Pin::Version(_) => Err(Error::project("versions are 1 to 1")),
            Pin::Timestamp(_) => Ok(None),
        }
    }

    async fn is_view(&self, name: &TableName) -> Result<bool> {
        Ok(matches!(self.tables.get(name), Some(Resolved::View { .. })))
    }

    async fn staged_names(&self) -> Result<Vec<TableName>> {
        Ok(vec!["enhanced.carriers".parse()?])
    }

    async fn staged(&self, name: &TableName) -> Result<Option<Resolved>> {
        let staged = name.to_string() == "enhanced.carriers";
        Ok(staged.then(|| Resolved::View { sql: "SELECT 'DL' AS carrier, 9 AS n".to_string() }))
    }
}

/// An engine over an empty lake in memory.
pub fn engine() -> Engine {
    let url = "file:///nowhere/".parse().unwrap();
    let lake = Lake::with_store(url, Arc::new(InMemory::new()), Arc::new(SystemClock));
    Engine::new(lake, EngineOptions { memory: Some(64 << 20), parallel: Some(2) }).unwrap()
}
