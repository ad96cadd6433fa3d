//! Avro object container files, read batch by batch.

use std::io::{BufRead, BufReader, Read};
use std::ops::Range;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::error::ArrowError;
use arrow_avro::reader::{Reader, ReaderBuilder};
use encoding_rs::UTF_8;
use laguna_base::settings::dataset::SourceSettings;
use laguna_base::{Error, Result};

use super::{Block, Format, Parsing, SendBlock, columnar};
use crate::InputFile;
use crate::evidence::Findings;
use crate::input::{Input, Shared, Tally};
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
        let input = Input::open(file, UTF_8, Tally::default())?.share();
        Ok(columnar::findings(&reader(file, input)?.schema(), &file.path))
    }

    fn produce(&self, file: &InputFile, tally: Tally, send: &mut SendBlock) -> Result<Option<String>> {
        if file.size == 0 {
            return Input::open(file, UTF_8, tally)?.hash();
        }
        // The reader ends quietly where a file was cut off: the frame is checked first.
        let expected = count(file)?;
        let input = Input::open(file, UTF_8, tally)?.share();
        let mut row = 1;
        {
            for batch in reader(file, input.clone())? {
                let batch = batch.map_err(|error| damaged(file, error))?;
                let (rows, memory) = (batch.num_rows() as u64, batch.get_array_memory_size());
                let block = Rows { batch, first_row: row, path: file.path.clone(), zone: self.zone };
                row += rows;
                if !send(Box::new(block), memory) {
                    return input.hash();
                }
            }
        }
        if row - 1 != expected {
            return Err(cut_off(file));
        }
        input.hash()
    }
}

fn cut_off(file: &InputFile) -> Error {
    Error::failed(format!("the file `{}` is incomplete or damaged: its blocks do not add up", file.path))
        .hint("fetch the file again; nothing of this batch has landed")
}

/// Rows that the blocks of a container announce, all of which must be there (Avro 1.12, Object Container Files).
fn count(file: &InputFile) -> Result<u64> {
    let mut bytes = BufReader::with_capacity(1 << 17, Input::open(file, UTF_8, Tally::default())?.share());
    frame(&mut bytes).map_err(|error| cut_off(file).caused_by(error))
}

fn frame(bytes: &mut impl BufRead) -> std::io::Result<u64> {
    let mut magic = [0; 4];
    bytes.read_exact(&mut magic)?;
    loop {
        let pairs = long(bytes)?;
        if pairs == 0 {
            break;
        }
        if pairs < 0 {
            long(bytes)?;
        }
        for _ in 0..pairs.unsigned_abs() * 2 {
            let length = long(bytes)?;
            skip(bytes, length)?;
        }
    }
    let mut sync = [0; 16];
    bytes.read_exact(&mut sync)?;
    let mut rows = 0;
    while !bytes.fill_buf()?.is_empty() {
        rows += u64::try_from(long(bytes)?).map_err(std::io::Error::other)?;
        let length = long(bytes)?;
        skip(bytes, length)?;
        let mut end = [0; 16];
        bytes.read_exact(&mut end)?;
        if end != sync {
            return Err(std::io::Error::other("a block does not end with the file's mark"));
        }
    }
    Ok(rows)
}

fn skip(bytes: &mut impl BufRead, length: i64) -> std::io::Result<()> {
    let length = u64::try_from(length).map_err(std::io::Error::other)?;
    let skipped = std::io::copy(&mut bytes.take(length), &mut std::io::sink())?;
    if skipped == length { Ok(()) } else { Err(std::io::ErrorKind::UnexpectedEof.into()) }
}

/// A zigzag-encoded integer of variable length.
fn long(bytes: &mut impl BufRead) -> std::io::Result<i64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let mut byte = [0];
        bytes.read_exact(&mut byte)?;
        value |= u64::from(byte[0] & 0x7f) << shift;
        if byte[0] & 0x80 == 0 {
            return Ok((value >> 1) as i64 ^ -((value & 1) as i64));
        }
    }
    Err(std::io::Error::other("a number is too long"))
}

struct Rows {
    batch: RecordBatch,
    first_row: u64,
    path: String,
    zone: Zone,
}

impl Block for Rows {
    fn rows(&self) -> Range<u64> {
        self.first_row..self.first_row + self.batch.num_rows() as u64
    }

    fn parse(self: Box<Self>, target: Arc<Target>) -> Parsing {
        let parsed = columnar::fit(&self.batch, &target, &self.path, self.zone, self.first_row);
        Box::new(std::iter::once(parsed))
    }

    fn infer(self: Box<Self>, findings: &mut Findings) -> Result<()> {
        findings.merge(columnar::findings(&self.batch.schema(), &self.path));
        Ok(())
    }
}
