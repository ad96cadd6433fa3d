//! Writing record batches to Parquet files in a table's folder, with statistics and a content hash.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use laguna_base::{Result, TableName};

use crate::content::ContentHash;
use crate::{DataFile, Lake};

/// How a table's files are written.
#[derive(Debug, Clone, PartialEq)]
pub struct WriteOptions {
    /// Partition columns, in order; empty for none.
    pub partition: Vec<String>,
    /// A file is closed when it has reached this many bytes. Default 256 MiB.
    pub target_file_size: u64,
}

impl Default for WriteOptions {
    fn default() -> Self {
        WriteOptions { partition: Vec::new(), target_file_size: 256 << 20 }
    }
}

/// Writes one stream of batches; one writer a task, several may write side by side to one table.
/// Files are invisible until a commit names them.
pub struct TableWriter {
    _private: (),
}

/// What a writer has written.
#[derive(Debug, Clone, Default)]
pub struct Written {
    /// The files, complete and synced.
    pub files: Vec<DataFile>,
    /// Rows in them.
    pub rows: u64,
    /// Hash of their content; add those of parallel writers.
    pub content: ContentHash,
}

impl TableWriter {
    /// A writer of `schema` (already normalised by [`crate::types::normalize`]) into the folder of `table`.
    pub fn new(
        lake: &Lake,
        table: &TableName,
        schema: SchemaRef,
        options: WriteOptions,
    ) -> Result<TableWriter> {
        let _ = (lake, table, schema, options);
        unimplemented!()
    }

    /// Writes one batch. Memory stays bounded by one row group for each open file.
    pub async fn write(&mut self, batch: RecordBatch) -> Result<()> {
        let _ = batch;
        unimplemented!()
    }

    /// Closes the files and syncs them. Without rows there are no files.
    pub async fn finish(self) -> Result<Written> {
        unimplemented!()
    }

    /// Drops what was written: deletes the files, best effort.
    pub async fn abort(self) {}
}
