//! One version of one Delta table: its schema and the files that hold its rows.

use std::collections::BTreeMap;

use arrow::datatypes::{Field, SchemaRef};
use datafusion::scalar::ScalarValue;
use futures::{StreamExt, TryStreamExt};
use laguna_base::{Error, Instant, Result, TableName};
use object_store::ObjectStore;
use object_store::path::Path;
use serde::{Deserialize, Serialize};

use crate::log::{self, State};
use crate::types::schema_from_json;
use crate::{CommitNote, Lake, stats};

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
        stats::ranges(self, schema)
    }

    /// The same of one column; without looking at the others.
    pub fn range(&self, field: &Field) -> ColumnRange {
        stats::range(self, field)
    }
}

/// Where a data file of `table` lies below the lake's root: `path` as it stands in [`DataFile::path`].
pub fn data_path(table: &TableName, path: &str) -> Result<Path> {
    let foreign = || {
        Error::stored(format!("{table} names the file {path}, which lies outside its folder"))
            .hint("shallow clones cannot be read: copy the table")
    };
    if path.contains("://") || path.starts_with('/') {
        return Err(foreign());
    }
    Path::parse(format!("{}/{path}", table.path())).map_err(|error| foreign().caused_by(error))
}

impl Snapshot {
    pub(crate) fn of(table: &TableName, state: State) -> Result<Snapshot> {
        Ok(Snapshot {
            table: table.clone(),
            version: state.version,
            schema: schema_from_json(&state.metadata.schema_string)?,
            partition_columns: state.metadata.partition_columns,
            files: state.files,
            transactions: state.transactions,
            note: state.note,
        })
    }
}

impl Lake {
    /// The newest version of `table`; `None` when it does not exist.
    pub async fn head(&self, table: &TableName) -> Result<Option<Snapshot>> {
        match log::replay(self, table, None).await? {
            Some(state) => Snapshot::of(table, state).map(Some),
            None => Ok(None),
        }
    }

    /// Number of the newest version, without reading its content.
    pub async fn head_version(&self, table: &TableName) -> Result<Option<u64>> {
        Ok(log::list_recent(self, table, None).await?.newest())
    }

    /// One version of `table`. An error that names the valid range when it does not exist.
    pub async fn snapshot(&self, table: &TableName, version: u64) -> Result<Snapshot> {
        let state = log::replay(self, table, Some(version)).await?;
        let state = state.ok_or_else(|| Error::project(format!("the table {table} does not exist")))?;
        Snapshot::of(table, state)
    }

    /// Tables that exist in one tier, sorted (one listing of folders that hold a `_delta_log`).
    pub async fn tables(&self, tier: laguna_base::Tier) -> Result<Vec<TableName>> {
        let folder = tier.as_str();
        let found = self
            .objects()
            .list_with_delimiter(Some(&Path::from(folder)))
            .await
            .map_err(|error| self.read_error(folder, error))?;
        // Collected, because a stream that borrows from the listing cannot move between threads.
        let names: Vec<TableName> = found
            .common_prefixes
            .iter()
            .filter_map(|prefix| TableName::new(tier, prefix.filename()?).ok())
            .collect();
        let mut tables: Vec<TableName> = futures::stream::iter(names)
            .map(|table| async move {
                let exists = self.head_version(&table).await?.is_some();
                Ok::<_, Error>(exists.then_some(table))
            })
            .buffered(16)
            .try_filter_map(async |table| Ok(table))
            .try_collect()
            .await?;
        tables.sort();
        Ok(tables)
    }
}
