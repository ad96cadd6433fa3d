//! Avro object container files, read batch by batch.

use std::io::{BufReader, Read};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use arrow::array::RecordBatch;
use arrow::error::ArrowError;
use arrow_avro::reader::{Reader, ReaderBuilder};
use encoding_rs::UTF_8;
use laguna_base::settings::dataset::SourceSettings;
use laguna_base::{Error, Result};

use super::{Block, Format, Parsing, SendBlock, columnar};
use crate::InputFile;
use crate::evidence::Findings;
use crate::input::{Input, Shared};
use crate::scalar::Zone;
use crate::target::Target;

/// Rows in a batch.
const ROWS: usize = 16_384;

struct Avro {
    zone: Zone,
}

pub fn open(_: &InputFile, _: &SourceSettings, zone: Zone) -> Result<Arc<dyn Format>> {
    Ok(Arc::new(Avro { zone }))
}

fn damaged(file: &InputFile, error: ArrowError) -> Error {
    Error::failed(format!("the file `{}` is no Avro container that can be read", file.path))
        .hint("is it complete? nothing of this batch has landed")
        .caused_by(error)
}

fn reader(file: &InputFile, input: Shared) -> Result<Reader<BufReader<Box<dyn Read + Send>>>> {
    let input: Box<dyn Read + Send> = Box::new(input);
    ReaderBuilder::new()
        .with_batch_size(ROWS)
        .build(BufReader::with_capacity(1 << 18, input))
        .map_err(|error| damaged(file, error))
}

impl Format for Avro {
    fn sample(&self, file: &InputFile, _: usize) -> Result<Findings> {
        if file.size == 0 {
            return Ok(Findings::default());
        }
        let input = Input::open(file, UTF_8, Arc::default())?.share();
        columnar::findings(&reader(file, input)?.schema(), &file.path)
    }

    fn produce(&self, file: &InputFile, progress: Arc<AtomicU64>, send: &mut SendBlock) -> Result<String> {
        let input = Input::open(file, UTF_8, progress)?.share();
        if file.size > 0 {
            let mut row = 1;
            for batch in reader(file, input.clone())? {
                let batch = batch.map_err(|error| damaged(file, error))?;
                let (rows, memory) = (batch.num_rows() as u64, batch.get_array_memory_size());
                let block = Rows { batch, first_row: row, path: file.path.clone(), zone: self.zone };
                row += rows;
                if !send(Box::new(block), memory) {
                    break;
                }
            }
        }
        input.hash()
    }
}

struct Rows {
    batch: RecordBatch,
    first_row: u64,
    path: String,
    zone: Zone,
}

impl Block for Rows {
    fn parse(self: Box<Self>, target: Arc<Target>) -> Parsing {
        let parsed = columnar::fit(&self.batch, &target, &self.path, self.zone, self.first_row);
        Box::new(std::iter::once(parsed))
    }

    fn infer(self: Box<Self>, findings: &mut Findings) -> Result<()> {
        findings.merge(columnar::findings(&self.batch.schema(), &self.path)?);
        Ok(())
    }
}
