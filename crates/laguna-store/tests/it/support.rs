//! Lakes, batches and a store that fails on command.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use futures::stream::BoxStream;
use laguna_base::TableName;
use laguna_base::clock::{FixedClock, SystemClock};
use laguna_store::commit::Append;
use laguna_store::types::schema_to_json;
use laguna_store::writer::Written;
use laguna_store::{CommitNote, DataFile, Lake, Snapshot, Staged, TableWriter, WriteOptions};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::*;

pub fn memory() -> Lake {
    over(Arc::new(InMemory::new()))
}

pub fn over(store: Arc<dyn ObjectStore>) -> Lake {
    let clock = Arc::new(FixedClock::new("2026-11-22T06:00:00Z".parse().unwrap()));
    Lake::with_store("memory:///".parse().unwrap(), store, clock)
}

pub async fn local(folder: &std::path::Path) -> Lake {
    Lake::open(folder.to_str().unwrap(), &BTreeMap::new(), Arc::new(SystemClock)).await.unwrap()
}

pub fn name(text: &str) -> TableName {
    text.parse().unwrap()
}

pub fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("id", DataType::Int64, true),
        Field::new("city", DataType::Utf8, true),
    ]))
}

/// Rows `(id, city)`.
pub fn batch(rows: &[(i64, Option<&str>)]) -> RecordBatch {
    let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.0)));
    let cities: ArrayRef = Arc::new(rows.iter().map(|row| row.1).collect::<StringArray>());
    RecordBatch::try_new(schema(), vec![ids, cities]).unwrap()
}

pub async fn write(lake: &Lake, table: &TableName, batches: &[RecordBatch], partition: &[&str]) -> Written {
    let options = WriteOptions {
        partition: partition.iter().map(|name| name.to_string()).collect(),
        ..WriteOptions::default()
    };
    let mut writer = TableWriter::new(lake, table, batches[0].schema(), options).unwrap();
    for batch in batches {
        writer.write(batch.clone()).await.unwrap();
    }
    writer.finish().await.unwrap()
}

/// A staged version that replaces everything.
pub fn staged(table: &TableName, run: &str, schema: &SchemaRef, files: Vec<DataFile>) -> Staged {
    Staged {
        table: table.clone(),
        run: run.to_string(),
        at: "2026-11-22T06:00:00Z".parse().unwrap(),
        schema: schema_to_json(schema).unwrap(),
        partition_columns: files
            .first()
            .map(|file| file.partition_values.keys().cloned().collect())
            .unwrap_or_default(),
        base: None,
        rows: files.iter().map(|file| file.rows).sum(),
        adds: files,
        removes: Vec::new(),
        content: None,
        note: CommitNote { fingerprint: Some(format!("fingerprint-{run}")), ..CommitNote::default() },
        verdicts: serde_json::Value::Null,
    }
}

pub fn append(table: &TableName, files: Vec<DataFile>, base: Option<Snapshot>, txn: i64) -> Append {
    Append {
        table: table.clone(),
        schema: schema(),
        files,
        transaction: Some(("landing".to_string(), txn)),
        base,
        note: CommitNote { batch: Some(format!("batch-{txn}")), ..CommitNote::default() },
    }
}

/// The ids in the files of a snapshot, sorted, read with nothing but the Parquet reader.
pub async fn ids(lake: &Lake, snapshot: &Snapshot) -> Vec<i64> {
    let mut ids = Vec::new();
    for batch in read(lake, snapshot).await {
        let column = batch.column_by_name("id").unwrap().as_any().downcast_ref::<Int64Array>().unwrap();
        ids.extend(column.iter().flatten());
    }
    ids.sort_unstable();
    ids
}

pub async fn read(lake: &Lake, snapshot: &Snapshot) -> Vec<RecordBatch> {
    let mut batches = Vec::new();
    for file in &snapshot.files {
        let path = laguna_store::snapshot::data_path(&snapshot.table, &file.path).unwrap();
        let bytes = lake.objects().get(&path).await.unwrap().bytes().await.unwrap();
        assert_eq!(bytes.len() as u64, file.size, "{}", file.path);
        let reader = parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(bytes).unwrap();
        batches.extend(reader.build().unwrap().map(Result::unwrap));
    }
    batches
}

/// What a failing put does.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Fault {
    /// Carried out, but the answer is an error.
    AnswerLost,
    /// Not carried out.
    NotDone,
    /// Carried out, and reported as somebody else's.
    MetItself,
}

/// How a store breaks the promise of put-if-absent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Lie {
    /// Overwrites, and says that all is well.
    IgnoresCondition,
    /// Refuses the second one, and overwrites all the same.
    RefusesAndOverwrites,
    /// Looks first and writes later.
    ChecksThenWrites,
}

/// A memory store whose next puts of log entries fail as told, or that lies about every put-if-absent.
#[derive(Debug, Default)]
pub struct Faulty {
    inner: Arc<InMemory>,
    pub lie: Option<Lie>,
    faults: Mutex<Vec<Fault>>,
    pub puts: AtomicUsize,
}

impl Faulty {
    pub fn lying(lie: Lie) -> Faulty {
        Faulty { lie: Some(lie), ..Faulty::default() }
    }

    async fn lie(&self, lie: Lie, at: &Path, payload: PutPayload) -> Result<PutResult> {
        let present = self.inner.head(at).await.is_ok();
        tokio::task::yield_now().await;
        let refused = || Error::AlreadyExists { path: at.to_string(), source: "412".into() };
        match lie {
            Lie::ChecksThenWrites if present => Err(refused()),
            Lie::RefusesAndOverwrites if present => {
                self.inner.put(at, payload).await?;
                Err(refused())
            }
            _ => self.inner.put(at, payload).await,
        }
    }

    pub fn fail_next(&self, fault: Fault) {
        self.faults.lock().unwrap().push(fault);
    }
}

impl fmt::Display for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("faulty")
    }
}

#[async_trait]
impl ObjectStore for Faulty {
    async fn put_opts(&self, at: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        if let (Some(lie), PutMode::Create) = (self.lie, &opts.mode) {
            return self.lie(lie, at, payload).await;
        }
        let is_entry = at.as_ref().contains("_delta_log/") && at.as_ref().ends_with(".json");
        let fault = if is_entry { self.faults.lock().unwrap().pop() } else { None };
        if is_entry {
            self.puts.fetch_add(1, Ordering::SeqCst);
        }
        let broken = || Error::Generic { store: "faulty", source: "connection reset".into() };
        match fault {
            None => self.inner.put_opts(at, payload, opts).await,
            Some(Fault::NotDone) => Err(broken()),
            Some(fault) => {
                self.inner.put_opts(at, payload, opts).await?;
                Err(match fault {
                    Fault::MetItself => Error::AlreadyExists { path: at.to_string(), source: "412".into() },
                    _ => broken(),
                })
            }
        }
    }

    async fn put_multipart_opts(
        &self,
        at: &Path,
        opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(at, opts).await
    }

    async fn get_opts(&self, at: &Path, options: GetOptions) -> Result<GetResult> {
        self.inner.get_opts(at, options).await
    }

    fn delete_stream(&self, at: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(at)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}
