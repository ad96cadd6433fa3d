//! Apache Parquet: row groups side by side, batch by batch.

use std::fs::File;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use laguna_base::settings::dataset::SourceSettings;
use laguna_base::{Error, Result};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder,
};
use parquet::errors::ParquetError;

use super::{Block, Format, Parsing, SendBlock, Stop, columnar};
use crate::InputFile;
use crate::discover::unreadable;
use crate::evidence::Findings;
use crate::input::Tally;
use crate::scalar::Zone;
use crate::target::{Place, Target};

/// Rows in a batch.
const ROWS: usize = 16_384;

struct Parquet {
    zone: Zone,
}

pub fn open(_: &InputFile, _: &SourceSettings, zone: Zone) -> Result<Arc<dyn Format>> {
    Ok(Arc::new(Parquet { zone }))
}

fn damaged(file: &InputFile, error: ParquetError) -> Error {
    Error::failed(format!("the file `{}` is no Parquet file that can be read", file.path))
        .hint("is it complete? nothing of this batch has landed")
        .caused_by(error)
}

fn metadata(file: &InputFile) -> Result<ArrowReaderMetadata> {
    let opened = File::open(&file.absolute).map_err(|error| unreadable(&file.path, error))?;
    ArrowReaderMetadata::load(&opened, ArrowReaderOptions::new()).map_err(|error| damaged(file, error))
}

impl Format for Parquet {
    fn sample(&self, file: &InputFile, _: usize) -> Result<Findings> {
        Ok(columnar::findings(metadata(file)?.schema(), &file.path))
    }

    fn produce(&self, file: &InputFile, tally: Tally, send: &mut SendBlock) -> Result<Option<String>> {
        let metadata = metadata(file)?;
        let mut row = 1;
        for (group, meta) in metadata.metadata().row_groups().iter().enumerate() {
            let size = meta.compressed_size().max(0) as u64;
            let rows = row..row + meta.num_rows().max(0) as u64;
            row = rows.end;
            let block =
                RowGroup { file: file.clone(), metadata: metadata.clone(), group, rows, zone: self.zone };
            if !send(Box::new(block), 0) {
                break;
            }
            tally.progress.fetch_add(size, Ordering::Relaxed);
        }
        Ok(None)
    }
}

/// The columns that go anywhere: the others are not even decompressed.
fn wanted(metadata: &ArrowReaderMetadata, target: &Target) -> ProjectionMask {
    let names = columnar::names(metadata.schema());
    let places = names.iter().enumerate().filter(|(_, name)| target.place(name) != Place::Ignored);
    ProjectionMask::roots(metadata.parquet_schema(), places.map(|(at, _)| at))
}

struct RowGroup {
    file: InputFile,
    metadata: ArrowReaderMetadata,
    group: usize,
    rows: Range<u64>,
    zone: Zone,
}

impl Block for RowGroup {
    fn rows(&self) -> Range<u64> {
        self.rows.clone()
    }

    fn parse(self: Box<Self>, target: Arc<Target>) -> Parsing {
        let opened = File::open(&self.file.absolute).map_err(|error| unreadable(&self.file.path, error));
        let reader = opened.and_then(|opened| {
            let wanted = wanted(&self.metadata, &target);
            ParquetRecordBatchReaderBuilder::new_with_metadata(opened, self.metadata.clone())
                .with_projection(wanted)
                .with_row_groups(vec![self.group])
                .with_batch_size(ROWS)
                .build()
                .map_err(|error| damaged(&self.file, error))
        });
        let reader = match reader {
            Ok(reader) => reader,
            Err(error) => return Box::new(std::iter::once(Err(Stop::Error(error)))),
        };
        let mut row = self.rows.start;
        Box::new(reader.map(move |batch| {
            let batch = batch.map_err(|error| damaged(&self.file, error.into()))?;
            let first = row;
            row += batch.num_rows() as u64;
            columnar::fit(&batch, &target, &self.file.path, self.zone, first)
        }))
    }

    fn infer(self: Box<Self>, findings: &mut Findings) -> Result<()> {
        findings.merge(columnar::findings(self.metadata.schema(), &self.file.path));
        Ok(())
    }
}
