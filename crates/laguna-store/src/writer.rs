//! Writing record batches to Parquet files in a table's folder, with statistics and a content hash.

use std::collections::{BTreeMap, HashMap};
use std::io::Write;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::row::OwnedRow;
use laguna_base::{Error, Instant, Result, TableName};
use object_store::path::Path;
use object_store::{ObjectStoreExt, WriteMultipart};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::{WriterProperties, WriterPropertiesBuilder};
use tokio::task::JoinHandle;

use crate::content::ContentHash;
use crate::partition::{Splitter, stored_schema};
use crate::snapshot::data_path;
use crate::stats::Seen;
use crate::{DataFile, Lake};

mod dictionary;

/// Rows and encoded bytes of a row group at most.
const GROUP_ROWS: usize = 1 << 20;
const GROUP_BYTES: usize = 128 << 20;

/// Bytes that are handed to the store at once; a smaller file is one put.
const CHUNK: usize = 8 << 20;

/// Rows of all partitions that wait for their file, in bytes.
const WAITING: usize = 128 << 20;

/// Files of a partitioned table that are open at the same time.
const OPEN_FILES: usize = 8;

/// Files that are being synced while the next ones are written.
const CLOSING: usize = 8;

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
    files: Files,
    splitter: Splitter,
    schema: SchemaRef,
    /// The only file of a table without partitions.
    open: Option<OpenFile>,
    partitions: HashMap<OwnedRow, Partition>,
    waiting: usize,
    /// Counts uses of partitions, so that the one used longest ago is known.
    uses: u64,
    rows: u64,
    content: ContentHash,
    hashed: bool,
}

/// What a writer has written.
#[derive(Debug, Clone, Default)]
pub struct Written {
    /// The files, complete and synced.
    pub files: Vec<DataFile>,
    /// Rows in them.
    pub rows: u64,
    /// Hash of their content; add those of parallel writers. Only models are hashed: for tables of other tiers the
    /// sum is 0.
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
        let splitter = Splitter::new(&schema, &options.partition)?;
        let stored = stored_schema(&schema, &splitter)?;
        let level = ZstdLevel::try_new(1).map_err(|error| Error::internal("zstd").caused_by(error))?;
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(level))
            .set_max_row_group_row_count(Some(GROUP_ROWS))
            .set_max_row_group_bytes(Some(GROUP_BYTES))
            // Text bounds of the log have 32 characters of up to 4 bytes.
            .set_statistics_truncate_length(Some(128))
            .set_created_by(format!("laguna {}", env!("CARGO_PKG_VERSION")))
            .build();
        Ok(TableWriter {
            files: Files {
                lake: lake.clone(),
                table: table.clone(),
                schema: stored,
                properties,
                target: options.target_file_size.max(1),
                closing: Vec::new(),
                done: Vec::new(),
            },
            splitter,
            schema,
            open: None,
            partitions: HashMap::new(),
            waiting: 0,
            uses: 0,
            rows: 0,
            content: ContentHash::default(),
            hashed: table.tier.is_model(),
        })
    }

    /// Writes one batch. Memory stays bounded by one row group for each open file.
    pub async fn write(&mut self, batch: RecordBatch) -> Result<()> {
        self.check(&batch)?;
        if batch.num_rows() == 0 {
            return Ok(());
        }
        self.rows += batch.num_rows() as u64;
        if self.hashed {
            self.content.update(&batch);
        } else {
            self.content.rows += batch.num_rows() as u64;
        }
        if self.splitter.is_partitioned() {
            return self.write_parts(&batch).await;
        }
        let open = match &mut self.open {
            Some(open) => open,
            none => none.insert(self.files.open(String::new(), BTreeMap::new(), &batch)?),
        };
        self.files.write(open, &batch).await?;
        if open.size() >= self.files.target
            && let Some(full) = self.open.take()
        {
            self.files.close(full).await?;
        }
        Ok(())
    }

    /// Closes the files and syncs them. Without rows there are no files.
    pub async fn finish(mut self) -> Result<Written> {
        match self.close_all().await {
            Ok(()) => {
                self.files.done.sort_by(|a, b| a.path.cmp(&b.path));
                Ok(Written { files: self.files.done, rows: self.rows, content: self.content })
            }
            Err(error) => {
                self.abort().await;
                Err(error)
            }
        }
    }

    /// Drops what was written: deletes the files, best effort.
    pub async fn abort(mut self) {
        let parts = std::mem::take(&mut self.partitions).into_values().filter_map(|part| part.open);
        for mut file in parts.chain(self.open.take()) {
            if let Some(upload) = file.upload.take() {
                let _ = upload.abort().await;
            }
        }
        for closing in std::mem::take(&mut self.files.closing) {
            if let Ok(Ok(file)) = closing.await {
                self.files.done.push(file);
            }
        }
        for file in &self.files.done {
            if let Ok(path) = data_path(&self.files.table, &file.path) {
                let _ = self.files.lake.objects().delete(&path).await;
            }
        }
    }

    async fn close_all(&mut self) -> Result<()> {
        if let Some(open) = self.open.take() {
            self.files.close(open).await?;
        }
        let mut keys: Vec<OwnedRow> = self.partitions.keys().cloned().collect();
        keys.sort();
        for key in keys {
            self.write_waiting(&key).await?;
            if let Some(open) = self.partitions.get_mut(&key).and_then(|part| part.open.take()) {
                self.files.close(open).await?;
            }
        }
        self.files.settle(0).await
    }

    fn check(&self, batch: &RecordBatch) -> Result<()> {
        let given = batch.schema_ref().fields();
        let fits = given.len() == self.schema.fields().len()
            && given.iter().zip(self.schema.fields()).all(|(given, wanted)| {
                given.name() == wanted.name() && given.data_type() == wanted.data_type()
            });
        match fits {
            true => Ok(()),
            false => {
                Err(Error::internal(format!("a batch does not have the schema of {}", self.files.table)))
            }
        }
    }

    /// Rows wait by partition, so that input in any order gives one file a partition as long as memory lasts.
    async fn write_parts(&mut self, batch: &RecordBatch) -> Result<()> {
        for part in self.splitter.split(batch)? {
            let bytes = part.rows.get_array_memory_size();
            if !self.partitions.contains_key(&part.key) {
                let (values, folder) = self.splitter.describe(batch, part.sample)?;
                self.partitions.insert(part.key.clone(), Partition::new(values, folder));
            }
            if let Some(partition) = self.partitions.get_mut(&part.key) {
                partition.waiting.push(part.rows);
                partition.bytes += bytes;
                self.waiting += bytes;
            }
        }
        while self.waiting > WAITING {
            let largest = self.partitions.iter().max_by_key(|(_, partition)| partition.bytes);
            let Some(key) = largest.map(|(key, _)| key.clone()) else { break };
            self.make_room(&key).await?;
            self.write_waiting(&key).await?;
        }
        Ok(())
    }

    /// Closes the file used longest ago when one more than allowed would be open.
    async fn make_room(&mut self, key: &OwnedRow) -> Result<()> {
        let Some(oldest) = self.oldest_open(key) else { return Ok(()) };
        match self.partitions.get_mut(&oldest).and_then(|part| part.open.take()) {
            Some(file) => self.files.close(file).await,
            None => Ok(()),
        }
    }

    /// The open partition used longest ago, other than `key`, when as many as allowed are open.
    fn oldest_open(&self, key: &OwnedRow) -> Option<OwnedRow> {
        let open = self.partitions.iter().filter(|(other, part)| part.open.is_some() && *other != key);
        if open.clone().count() < OPEN_FILES {
            return None;
        }
        open.min_by_key(|(_, part)| part.used).map(|(key, _)| key.clone())
    }

    async fn write_waiting(&mut self, key: &OwnedRow) -> Result<()> {
        let Some(partition) = self.partitions.get_mut(key) else { return Ok(()) };
        self.waiting -= std::mem::take(&mut partition.bytes);
        self.uses += 1;
        partition.used = self.uses;
        for batch in std::mem::take(&mut partition.waiting) {
            let open = match &mut partition.open {
                Some(open) => open,
                none => none.insert(self.files.open(
                    partition.folder.clone(),
                    partition.values.clone(),
                    &batch,
                )?),
            };
            self.files.write(open, &batch).await?;
            if open.writer.in_progress_size() > GROUP_BYTES / 4 {
                open.writer.flush().map_err(|error| self.files.failed(error))?;
            }
            if open.size() >= self.files.target
                && let Some(full) = partition.open.take()
            {
                self.files.close(full).await?;
            }
        }
        Ok(())
    }
}

struct Partition {
    values: BTreeMap<String, Option<String>>,
    folder: String,
    waiting: Vec<RecordBatch>,
    bytes: usize,
    open: Option<OpenFile>,
    used: u64,
}

impl Partition {
    fn new(values: BTreeMap<String, Option<String>>, folder: String) -> Partition {
        Partition { values, folder, waiting: Vec::new(), bytes: 0, open: None, used: 0 }
    }
}

/// Opens, fills and closes the files of one table.
struct Files {
    lake: Lake,
    table: TableName,
    /// Columns that stand in the files.
    schema: SchemaRef,
    properties: WriterProperties,
    target: u64,
    closing: Vec<JoinHandle<Result<DataFile>>>,
    done: Vec<DataFile>,
}

/// A Parquet file that is being written.
struct OpenFile {
    path: String,
    location: Path,
    partition_values: BTreeMap<String, Option<String>>,
    writer: ArrowWriter<Encoded>,
    seen: Seen,
    upload: Option<WriteMultipart>,
    rows: u64,
}

impl OpenFile {
    fn size(&self) -> u64 {
        (self.writer.bytes_written() + self.writer.in_progress_size()) as u64
    }
}

/// Encoded bytes that the store has not got yet.
#[derive(Default)]
struct Encoded(Vec<u8>);

impl Write for Encoded {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Files {
    fn failed(&self, error: ParquetError) -> Error {
        Error::internal(format!("rows of {} cannot be encoded as Parquet", self.table)).caused_by(error)
    }

    /// A new file, whose first rows are those of `batch`.
    fn open(
        &self,
        folder: String,
        partition_values: BTreeMap<String, Option<String>>,
        batch: &RecordBatch,
    ) -> Result<OpenFile> {
        let name = format!("part-{}.zstd.parquet", uuid::Uuid::now_v7());
        let path = if folder.is_empty() { name } else { format!("{folder}/{name}") };
        let location = data_path(&self.table, &path)?;
        let properties = dictionary::choose(batch, WriterPropertiesBuilder::from(self.properties.clone()));
        let options =
            ArrowWriterOptions::new().with_properties(properties.build()).with_skip_arrow_metadata(true);
        let writer = ArrowWriter::try_new_with_options(Encoded::default(), self.schema.clone(), options)
            .map_err(|error| self.failed(error))?;
        let seen = Seen::new(self.schema.fields());
        Ok(OpenFile { path, location, partition_values, writer, seen, upload: None, rows: 0 })
    }

    async fn write(&self, file: &mut OpenFile, batch: &RecordBatch) -> Result<()> {
        // The file's own schema: names and types are equal, nullability and metadata may differ.
        let batch = RecordBatch::try_new(
            self.schema.clone(),
            match self.schema.fields().len() {
                n if n == batch.num_columns() => batch.columns().to_vec(),
                _ => {
                    return Err(Error::internal(format!(
                        "a batch does not have the columns of {}",
                        self.table
                    )));
                }
            },
        )
        .map_err(|error| Error::internal(format!("a batch does not fit {}", self.table)).caused_by(error))?;
        file.seen.update(&batch);
        file.rows += batch.num_rows() as u64;
        file.writer.write(&batch).map_err(|error| self.failed(error))?;
        if file.writer.inner().0.len() >= CHUNK {
            let bytes = std::mem::take(&mut file.writer.inner_mut().0);
            let write_error = |error| self.lake.write_error(file.location.as_ref(), error);
            let upload = match &mut file.upload {
                Some(upload) => upload,
                none => {
                    let started = self.lake.objects().put_multipart(&file.location).await;
                    none.insert(WriteMultipart::new_with_chunk_size(started.map_err(write_error)?, CHUNK))
                }
            };
            upload.wait_for_capacity(4).await.map_err(write_error)?;
            upload.put(bytes.into());
        }
        Ok(())
    }

    /// Ends the file; the store's part of it goes on beside the next files.
    async fn close(&mut self, mut file: OpenFile) -> Result<()> {
        let footer = file.writer.finish().map_err(|error| self.failed(error))?;
        let size = file.writer.bytes_written() as u64;
        let rest = std::mem::take(&mut file.writer.inner_mut().0);
        let now = self.lake.clock().now().as_micros();
        let data_file = DataFile {
            path: file.path,
            size,
            // The log keeps milliseconds.
            modified: Instant::from_micros(now - now.rem_euclid(1000)),
            rows: file.rows,
            partition_values: file.partition_values,
            stats: Some(file.seen.to_json(self.schema.fields(), &footer)),
        };
        self.lake.prepare_for_writing().await?;
        let (lake, location, upload) = (self.lake.clone(), file.location, file.upload);
        self.closing.push(tokio::spawn(async move {
            let result = match upload {
                Some(mut upload) => {
                    upload.put(rest.into());
                    upload.finish().await.map(|_| ())
                }
                None => lake.objects().put(&location, rest.into()).await.map(|_| ()),
            };
            result.map(|()| data_file).map_err(|error| lake.write_error(location.as_ref(), error))
        }));
        self.settle(CLOSING).await
    }

    /// Waits until at most `left` files are on their way.
    async fn settle(&mut self, left: usize) -> Result<()> {
        while self.closing.len() > left {
            let file = self.closing.remove(0).await;
            self.done.push(file.map_err(|error| Error::internal("writing a file failed").caused_by(error))??);
        }
        Ok(())
    }
}
