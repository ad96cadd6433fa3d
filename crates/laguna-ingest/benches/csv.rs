//! Speed of reading: parses the files given as arguments into a sink that drops the rows, and prints MB/s.
//!
//! `cargo bench -p laguna-ingest --bench csv -- data/lineitem.csv`

use std::collections::BTreeMap;
use std::time::Instant;

use async_trait::async_trait;
use laguna_base::Result;
use laguna_base::settings::OneOrMany;
use laguna_base::settings::dataset::{OnBadRow, OnNewColumn, SourceSettings};
use laguna_ingest::{Piece, ReadOptions, Sink, discover, read};

struct Drop;

#[async_trait]
impl Sink for Drop {
    async fn write(&mut self, _: Piece) -> Result<()> {
        Ok(())
    }
    async fn abort(self) {}
}

#[allow(clippy::print_stdout, reason = "a benchmark tells its result")]
fn main() -> Result<()> {
    let files: Vec<String> =
        std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    let parallel = std::thread::available_parallelism().map_or(1, usize::from);
    let runtime = tokio::runtime::Runtime::new()
        .map_err(|error| laguna_base::Error::internal("no runtime").caused_by(error))?;
    let source = SourceSettings { files: OneOrMany(files), ..Default::default() };
    let found = discover(&std::path::absolute(".").unwrap_or_default(), &source)?;
    let options = ReadOptions {
        source,
        known: None,
        declared: BTreeMap::new(),
        on_new_column: OnNewColumn::Add,
        on_bad_row: OnBadRow::Quarantine,
        parallel,
        only: None,
        hashes: true,
        rows: None,
    };
    for _ in 0..3 {
        let start = Instant::now();
        let open = |_: &_, _: &_| Ok((0..parallel).map(|_| Drop).collect());
        let outcome = runtime.block_on(read(&found.files, &options, open, &|_| {}))?;
        let seconds = start.elapsed().as_secs_f64();
        let bytes: u64 = found.files.iter().map(|file| file.size).sum();
        let rows: u64 = outcome.files.iter().map(|file| file.rows).sum();
        println!(
            "{rows} rows, {} columns, {bytes} bytes in {seconds:.3} s: {:.0} MB/s, {:.1} MB held",
            outcome.schema.fields().len(),
            bytes as f64 / seconds / 1e6,
            outcome.peak_bytes as f64 / 1e6
        );
    }
    Ok(())
}
