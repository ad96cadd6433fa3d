//! CSV as in RFC 4180, with any delimiter, quote and encoding, and rows that end in `\n`, `\r\n` or `\r`.
//!
//! A quote opens only at the start of a field; elsewhere it is text. A row whose quoted field does not close, or goes on
//! behind its closing quote, is set aside up to its first line break, and reading goes on behind that. Blank lines take
//! a row number but are no rows, except in files of one column, where they are null.

mod columns;
mod index;
mod split;

use std::ops::Range;
use std::sync::Arc;

use encoding_rs::Encoding;
use laguna_base::settings::dataset::SourceSettings;
use laguna_base::{Error, Result};

use super::{Block, Format, LongRow, MAX_ROW, Parsing, SendBlock};
use crate::InputFile;
use crate::evidence::Findings;
use crate::input::{self, Input, Tally};
use crate::names::distinct;
use crate::scalar::Zone;
use crate::target::{NullWords, Target};

/// Blocks of a file that is too small for whole ones.
const BLOCKS: usize = 64;
/// Bytes of a block, at least and at most. Columns are read one after another, each by a walk through the block and its
/// index: both stay in a core's cache.
const SMALLEST: usize = 256 << 10;
const LARGEST: usize = 512 << 10;

/// How a file is written, as far as bytes matter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dialect {
    pub delimiter: u8,
    /// The quote; a byte that no text holds when there is none.
    pub quote: u8,
    pub newline: u8,
    /// Longest row, bytes.
    pub max_row: usize,
}

struct Csv {
    dialect: Dialect,
    header: bool,
    encoding: &'static Encoding,
    zone: Zone,
    nulls: Arc<NullWords>,
    size: usize,
}

pub fn open(file: &InputFile, source: &SourceSettings, zone: Zone) -> Result<Arc<dyn Format>> {
    let fallback = match super::extension(&file.path).as_str() {
        "tsv" | "tab" => b'\t',
        "psv" | "tbl" => b'|',
        _ => b',',
    };
    let delimiter = byte(source.csv.delimiter.as_deref(), "delimiter")?.unwrap_or(fallback);
    let quote = match source.csv.quote.as_deref() {
        Some("") => 0xff,
        quote => byte(quote, "quote")?.unwrap_or(b'"'),
    };
    if delimiter == quote || [delimiter, quote].iter().any(|b| matches!(b, b'\n' | b'\r')) {
        return Err(Error::project(
            "`csv.delimiter` and `csv.quote` must differ from each other and from line breaks",
        ));
    }
    Ok(Arc::new(Csv {
        dialect: Dialect { delimiter, quote, newline: b'\n', max_row: MAX_ROW },
        header: source.csv.header.unwrap_or(true),
        encoding: input::encoding(source.csv.encoding.as_deref())?,
        zone,
        nulls: Arc::new(NullWords::new(source.csv.nulls.as_deref())),
        // A small file is cut into as many blocks as keep all cores busy, and holds less memory on its way.
        size: (file.size as usize / BLOCKS).clamp(SMALLEST, LARGEST),
    }))
}

fn byte(text: Option<&str>, key: &str) -> Result<Option<u8>> {
    match text.map(|text| if text == "\\t" { "\t" } else { text }).map(str::as_bytes) {
        None => Ok(None),
        Some([one]) if one.is_ascii() => Ok(Some(*one)),
        Some(_) => Err(Error::project(format!("`csv.{key}` must be one ASCII character"))),
    }
}

/// A file behind its header.
struct Opened {
    input: Input,
    dialect: Dialect,
    columns: Arc<Vec<String>>,
    /// Bytes read behind the header.
    buffer: Vec<u8>,
    ended: bool,
}

impl Csv {
    fn block(
        &self,
        bytes: Vec<u8>,
        rows: Range<u64>,
        dialect: Dialect,
        columns: Arc<Vec<String>>,
    ) -> CsvBlock {
        CsvBlock { bytes, rows, dialect, columns, zone: self.zone, nulls: self.nulls.clone() }
    }

    /// Reads at least `length` bytes (if there are as many) and the header. `None` for a file without any text.
    fn start(
        &self,
        file: &InputFile,
        length: usize,
        tally: Tally,
    ) -> Result<std::result::Result<Opened, Input>> {
        let mut input = Input::open(file, self.encoding, tally)?;
        let mut buffer = Vec::new();
        let mut wanted = length.max(64);
        loop {
            let ended = input.fill(&mut buffer, wanted)? < wanted;
            let mut dialect = self.dialect;
            dialect.newline = split::newline(&buffer);
            if ended && buffer.last().is_some_and(|last| *last != dialect.newline) {
                buffer.push(dialect.newline);
            }
            let blank = split::blank_lines(&buffer, dialect);
            let Some(end) = split::record(&buffer[blank..], dialect, ended).map(|end| blank + end) else {
                if ended {
                    return Ok(Err(input));
                }
                if buffer.len() > self.dialect.max_row {
                    return Err(Error::failed(format!(
                        "the first line of `{}` is longer than 16 MiB",
                        file.path
                    ))
                    .hint("is it CSV? say `format:` or `csv: {delimiter: …}` in the source"));
                }
                wanted = buffer.len();
                continue;
            };
            let fields = split::fields(&buffer[blank..end], dialect).ok_or_else(|| {
                Error::failed(format!("the header of `{}` has a quote that does not close", file.path))
            })?;
            let columns = if self.header {
                buffer.drain(..end);
                distinct(fields)
            } else {
                buffer.drain(..blank);
                (1..=fields.len()).map(|n| format!("column_{n}")).collect()
            };
            return Ok(Ok(Opened { input, dialect, columns: Arc::new(columns), buffer, ended }));
        }
    }
}

impl Format for Csv {
    fn sample(&self, file: &InputFile, length: usize) -> Result<Findings> {
        let mut findings = Findings::default();
        let Ok(opened) = self.start(file, length, Tally::default())? else { return Ok(findings) };
        for column in opened.columns.iter() {
            findings.column(column);
        }
        let cut = split::cut(&opened.buffer, opened.dialect, opened.ended);
        let mut bytes = opened.buffer;
        bytes.truncate(cut.end);
        columns::infer(&self.block(bytes, 1..1 + cut.rows, opened.dialect, opened.columns), &mut findings);
        Ok(findings)
    }

    fn produce(&self, file: &InputFile, tally: Tally, send: &mut SendBlock) -> Result<Option<String>> {
        let Opened { mut input, dialect, columns, mut buffer, mut ended } =
            match self.start(file, self.size, tally)? {
                Ok(opened) => opened,
                Err(input) => return input.hash(),
            };
        let mut row = 1;
        loop {
            let cut = split::cut(&buffer, dialect, ended);
            if cut.end > 0 {
                let mut rest = Vec::with_capacity(self.size + (buffer.len() - cut.end) + 1);
                rest.extend_from_slice(&buffer[cut.end..]);
                buffer.truncate(cut.end);
                let memory = buffer.capacity();
                let rows = row..row + cut.rows;
                row = rows.end;
                let block = self.block(std::mem::replace(&mut buffer, rest), rows, dialect, columns.clone());
                if !send(Box::new(block), memory) {
                    break;
                }
            } else if buffer.len() > dialect.max_row {
                // A row without an end in sight: its start is kept, the rest is read over.
                let mut start = buffer[..buffer.len().min(crate::target::MAX_RAW)].to_vec();
                loop {
                    if let Some(at) = memchr::memchr(dialect.newline, &buffer) {
                        buffer.drain(..=at);
                        break;
                    }
                    buffer.clear();
                    if ended {
                        break;
                    }
                    ended = input.fill(&mut buffer, self.size)? < self.size;
                }
                if ended && buffer.last().is_some_and(|last| *last != dialect.newline) {
                    buffer.push(dialect.newline);
                }
                start.push(dialect.newline);
                let memory = start.len();
                let long = LongRow { start, row };
                row += 1;
                if !send(Box::new(long), memory) {
                    break;
                }
                continue;
            }
            if ended {
                break;
            }
            let read = input.fill(&mut buffer, self.size)?;
            ended = read < self.size;
            if ended && buffer.last().is_some_and(|last| *last != dialect.newline) {
                buffer.push(dialect.newline);
            }
        }
        input.hash()
    }
}

/// Whole rows of a file.
struct CsvBlock {
    bytes: Vec<u8>,
    /// Numbers of its lines, blank ones too.
    rows: Range<u64>,
    dialect: Dialect,
    columns: Arc<Vec<String>>,
    zone: Zone,
    nulls: Arc<NullWords>,
}

impl Block for CsvBlock {
    fn rows(&self) -> Range<u64> {
        self.rows.clone()
    }

    fn parse(self: Box<Self>, target: Arc<Target>) -> Parsing {
        let parsed = columns::parse(&self, &target);
        Box::new(std::iter::once(parsed))
    }

    fn infer(self: Box<Self>, findings: &mut Findings) -> Result<()> {
        columns::infer(&self, findings);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
