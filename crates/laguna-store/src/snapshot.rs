//! One version of one Delta table: its schema and the files that hold its rows.

use std::collections::BTreeMap;

use arrow::datatypes::SchemaRef;
use datafusion::scalar::ScalarValue;
use laguna_base::{Instant, Result, TableName};
use serde::{Deserialize, Serialize};

use crate::{CommitNote, Lake};

/// One version of one table. Immutable.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// Which table.
    pub table: TableName,
    /// Delta version.
    pub version: u64,
    /// Columns as readers see them, partition columns included, in the table's order.
    pub schema: SchemaRef,
    /// Names of the partition columns, in order.
    pub partition_columns: Vec<String>,
    /// The files that make up this version.
    pub files: Vec<DataFile>,
    /// Application transactions: app id to its last version.
    pub transactions: BTreeMap<String, i64>,
    /// What Laguna wrote beside the newest of its commits at or before this version; empty for foreign commits.
    pub note: CommitNote,
}

impl Snapshot {
    /// Rows in all files, from the log.
    pub fn rows(&self) -> u64 {
        self.files.iter().map(|file| file.rows).sum()
    }

    /// Bytes in all files, from the log.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.size).sum()
    }
}

/// One Parquet file of a table. It also stands in staged manifests, so it is versioned with them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DataFile {
    /// Path relative to the table's folder, not URL-encoded: `day=2013-01-01/part-….parquet`.
    pub path: String,
    /// Bytes.
    pub size: u64,
    /// When it was written.
    pub modified: Instant,
    /// Rows.
    pub rows: u64,
    /// Value of each partition column as Delta writes it; `None` is null.
    pub partition_values: BTreeMap<String, Option<String>>,
    /// Delta's statistics JSON as it stands in the log (numRecords, minValues, maxValues, nullCount).
    pub stats: Option<String>,
}

/// What is known of one column of one file without reading it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ColumnRange {
    /// Smallest value that is not null; may be a truncated prefix for text.
    pub min: Option<ScalarValue>,
    /// Largest value that is not null; may be rounded up for text.
    pub max: Option<ScalarValue>,
    /// Number of nulls.
    pub nulls: Option<u64>,
}

impl DataFile {
    /// Statistics of this file's top-level columns by name; columns without statistics are absent.
    pub fn ranges(&self, schema: &SchemaRef) -> BTreeMap<String, ColumnRange> {
        let _ = schema;
        unimplemented!()
    }
}

impl Lake {
    /// The newest version of `table`; `None` when it does not exist.
    pub async fn head(&self, table: &TableName) -> Result<Option<Snapshot>> {
        let _ = table;
        unimplemented!()
    }

    /// Number of the newest version, without reading its content.
    pub async fn head_version(&self, table: &TableName) -> Result<Option<u64>> {
        let _ = table;
        unimplemented!()
    }

    /// One version of `table`. An error that names the valid range when it does not exist.
    pub async fn snapshot(&self, table: &TableName, version: u64) -> Result<Snapshot> {
        let _ = (table, version);
        unimplemented!()
    }

    /// Tables that exist in one tier, sorted (one listing of folders that hold a `_delta_log`).
    pub async fn tables(&self, tier: laguna_base::Tier) -> Result<Vec<TableName>> {
        let _ = tier;
        unimplemented!()
    }
}
