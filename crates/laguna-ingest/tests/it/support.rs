//! Files in a temporary folder, and a sink that keeps everything.

use std::collections::BTreeMap;
use std::path::Path;

use arrow::array::RecordBatch;
use arrow::compute::{concat_batches, take};
use arrow::datatypes::SchemaRef;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use async_trait::async_trait;
use laguna_base::Result;
use laguna_base::settings::OneOrMany;
use laguna_base::settings::dataset::{OnBadRow, OnNewColumn, SourceSettings};
use laguna_ingest::{Outcome, Piece, ReadOptions, Rejected, Sink, discover, read};

pub struct Keep {
    pub pieces: Vec<Piece>,
}

#[async_trait]
impl Sink for Keep {
    async fn write(&mut self, piece: Piece) -> Result<()> {
        self.pieces.push(piece);
        Ok(())
    }
    async fn abort(self) {}
}

/// All rows of an outcome, in the order of files and rows.
pub struct Landed {
    pub schema: SchemaRef,
    pub batch: RecordBatch,
    /// File and row number of each row.
    pub places: Vec<(usize, i64)>,
    pub rejected: Vec<Rejected>,
    pub opened: usize,
    pub outcome: Outcome<Keep>,
}

impl Landed {
    /// Rows as texts joined by `|`, null as `∅`.
    pub fn rows(&self) -> Vec<String> {
        let options = FormatOptions::new().with_null("∅");
        let columns: Vec<ArrayFormatter> = self
            .batch
            .columns()
            .iter()
            .map(|column| ArrayFormatter::try_new(column.as_ref(), &options).unwrap())
            .collect();
        (0..self.batch.num_rows())
            .map(|row| columns.iter().map(|c| c.value(row).to_string()).collect::<Vec<_>>().join("|"))
            .collect()
    }

    /// `name type` of each column.
    pub fn types(&self) -> Vec<String> {
        self.schema.fields().iter().map(|f| format!("{} {}", f.name(), f.data_type())).collect()
    }

    /// `row: reason` of each rejected row.
    pub fn reasons(&self) -> Vec<String> {
        self.rejected.iter().map(|r| format!("{}: {}", r.row, r.reason)).collect()
    }
}

pub fn options() -> ReadOptions {
    ReadOptions {
        source: SourceSettings::default(),
        known: None,
        declared: BTreeMap::new(),
        on_new_column: OnNewColumn::Add,
        on_bad_row: OnBadRow::Quarantine,
        parallel: 2,
        only: None,
        hashes: true,
        rows: None,
    }
}

pub fn with_known(landed: &Landed) -> ReadOptions {
    ReadOptions { known: Some(landed.schema.clone()), ..options() }
}

/// Reads all files of a folder.
pub fn land_folder(dir: &Path, mut options: ReadOptions) -> Result<Landed> {
    options.source.files = OneOrMany(vec!["*".into()]);
    let files = discover(dir, &options.source)?.files;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let mut opened = 0;
    let parallel = options.parallel;
    let open = |_: &SchemaRef, _: &[String]| {
        opened += 1;
        Ok((0..parallel).map(|_| Keep { pieces: Vec::new() }).collect())
    };
    let mut outcome = runtime.block_on(read(&files, &options, open, &|_| {}))?;
    let schema = outcome.schema.clone();
    let pieces: Vec<Piece> = outcome.sinks.iter_mut().flat_map(|s| std::mem::take(&mut s.pieces)).collect();
    let mut places = Vec::new();
    let mut rejected = Vec::new();
    for piece in &pieces {
        assert_eq!(piece.batch.schema(), schema);
        let numbers = piece.rows.to_array(piece.batch.num_rows());
        assert_eq!(numbers.len(), piece.batch.num_rows());
        places.extend(numbers.values().iter().map(|row| (piece.file, *row)));
        rejected.extend(piece.rejected.iter().cloned());
    }
    rejected.sort_by_key(|r| (r.file, r.row));
    let mut order: Vec<u32> = (0..places.len() as u32).collect();
    order.sort_by_key(|at| places[*at as usize]);
    let batch = if schema.fields().is_empty() {
        RecordBatch::new_empty(schema.clone())
    } else {
        let all = concat_batches(&schema, pieces.iter().map(|p| &p.batch)).unwrap();
        let order = arrow::array::UInt32Array::from(order);
        let columns = all.columns().iter().map(|c| take(c, &order, None).unwrap()).collect();
        RecordBatch::try_new(schema.clone(), columns).unwrap()
    };
    places.sort_unstable();
    Ok(Landed { schema, batch, places, rejected, opened, outcome })
}

/// Reads files of these names and contents.
pub fn land(files: &[(&str, &[u8])], options: ReadOptions) -> Result<Landed> {
    let dir = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        std::fs::write(dir.path().join(name), bytes).unwrap();
    }
    land_folder(dir.path(), options)
}

/// Reads one CSV text as a first batch.
pub fn csv(text: &str) -> Landed {
    land(&[("a.csv", text.as_bytes())], options()).unwrap()
}
