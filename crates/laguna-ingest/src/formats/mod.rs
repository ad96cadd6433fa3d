//! The formats of files: one file each, enrolled in one list.

mod avro;
mod columnar;
mod csv;
mod json;
mod parquet;

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;
use std::sync::Arc;

use arrow::array::RecordBatch;
use laguna_base::settings::dataset::{Format as Word, SourceSettings};
use laguna_base::{Error, Result, suggest};

use crate::evidence::Findings;
use crate::input::Tally;
use crate::read::RowNumbers;
use crate::scalar::Zone;
use crate::target::{Target, raw_text};
use crate::{InputFile, input};

/// Text that a block of a text format holds, bytes.
pub const BLOCK: usize = 2 << 20;
/// A row longer than this is set aside, bytes.
pub const MAX_ROW: usize = 16 << 20;
const ENTRIES: [Entry; 4] = [
    Entry { word: Word::Csv, extensions: &["csv", "tsv", "tab", "psv"], open: csv::open },
    Entry { word: Word::Json, extensions: &["json", "ndjson", "jsonl"], open: json::open },
    Entry { word: Word::Parquet, extensions: &["parquet", "pq"], open: parquet::open },
    Entry { word: Word::Avro, extensions: &["avro"], open: avro::open },
];

/// Why such a row is set aside.
pub const LONG: &str = "the row is longer than 16 MiB";

struct Entry {
    word: Word,
    extensions: &'static [&'static str],
    open: fn(&InputFile, &SourceSettings, Zone) -> Result<Arc<dyn Format>>,
}

/// How one file is read.
pub trait Format: Send + Sync {
    /// The columns of the file and what its first `length` bytes say of them.
    fn sample(&self, file: &InputFile, length: usize) -> Result<Findings>;

    /// Cuts the file into blocks, always at the same places; `send` says whether more are wanted. Gives the hash of the
    /// file's bytes, where it is wanted and all of them pass by.
    fn produce(&self, file: &InputFile, tally: Tally, send: &mut SendBlock) -> Result<Option<String>>;
}

/// Takes a block with the bytes of memory that it holds; false when no more are wanted.
pub type SendBlock<'a> = dyn FnMut(Box<dyn Block>, usize) -> bool + 'a;

/// A run of rows of one file.
pub trait Block: Send {
    /// The numbers of its rows: its first one, and the one behind its last.
    fn rows(&self) -> Range<u64>;

    /// The rows as batches of the target's schema.
    fn parse(self: Box<Self>, target: Arc<Target>) -> Parsing;

    /// What the rows say of the columns' types.
    fn infer(self: Box<Self>, findings: &mut Findings) -> Result<()>;
}

/// The pieces of one block.
pub type Parsing = Box<dyn Iterator<Item = Result<Parsed, Stop>> + Send>;

/// Rows of one block, ready.
pub struct Parsed {
    pub batch: RecordBatch,
    pub rows: RowNumbers,
    pub bad: Vec<BadRow>,
}

/// A row to set aside.
pub struct BadRow {
    pub row: u64,
    pub raw: String,
    pub json: Option<String>,
    pub reason: String,
}

/// Why a block was not parsed.
pub enum Stop {
    /// A value proves a type wrong that was inferred from a sample.
    Contradiction,
    /// Nothing can help.
    Error(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Stop::Error(error)
    }
}

/// The reader of a file: by what the source says, else its extension, else its first bytes.
pub fn open(file: &InputFile, source: &SourceSettings, zone: Zone) -> Result<Arc<dyn Format>> {
    let word = match source.format {
        Some(word) => word,
        None => recognise(file)?,
    };
    let entry = ENTRIES.iter().find(|entry| entry.word == word).unwrap_or(&ENTRIES[0]);
    (entry.open)(file, source, zone)
}

fn recognise(file: &InputFile) -> Result<Word> {
    let extension = extension(&file.path);
    if let Some(entry) = ENTRIES.iter().find(|entry| entry.extensions.contains(&extension.as_str())) {
        let is_text = matches!(entry.word, Word::Csv | Word::Json);
        return Ok(if is_text { disguised(file).unwrap_or(entry.word) } else { entry.word });
    }
    let head = input::head(file, 4)?;
    match head.as_slice() {
        b"PAR1" => Ok(Word::Parquet),
        b"Obj\x01" => Ok(Word::Avro),
        [b'{' | b'[', ..] => Ok(Word::Json),
        _ if matches!(extension.as_str(), "" | "txt" | "dat" | "tbl" | "data") => Ok(Word::Csv),
        _ => {
            let known: Vec<&str> = ENTRIES.iter().flat_map(|entry| entry.extensions).copied().collect();
            Err(Error::project(format!("the format of `{}` is unknown", file.path))
                .hint(format!("{}; or say `format:` in the source", suggest::hint(&extension, &known))))
        }
    }
}

/// The binary format of a file that is named like a text file.
fn disguised(file: &InputFile) -> Option<Word> {
    let mut opened = File::open(&file.absolute).ok()?;
    let mut magic = [0; 4];
    opened.read_exact(&mut magic).ok()?;
    match &magic {
        b"Obj\x01" => Some(Word::Avro),
        b"PAR1" => {
            // A column may be called like this; a file that ends like this too is no text.
            opened.seek(SeekFrom::End(-4)).ok()?;
            opened.read_exact(&mut magic).ok()?;
            (file.size > 8 && &magic == b"PAR1").then_some(Word::Parquet)
        }
        _ => None,
    }
}

/// The extension below a compression's, in lower case.
pub fn extension(path: &str) -> String {
    let lower = path.to_lowercase();
    let name = lower.rsplit('/').next().unwrap_or_default();
    let plain =
        [".gz", ".gzip", ".zst", ".zstd"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
    plain.rsplit_once('.').map(|(_, extension)| extension.to_string()).unwrap_or_default()
}

/// A row that is too long to be held.
pub struct LongRow {
    /// Its first bytes.
    pub start: Vec<u8>,
    /// Its number.
    pub row: u64,
}

impl Block for LongRow {
    fn rows(&self) -> Range<u64> {
        self.row..self.row + 1
    }

    fn parse(self: Box<Self>, target: Arc<Target>) -> Parsing {
        let parsed = target.batch(Vec::new(), 0, None).map_err(Stop::from).map(|batch| Parsed {
            batch,
            rows: RowNumbers::From(self.row),
            bad: vec![BadRow { row: self.row, raw: raw_text(&self.start), json: None, reason: LONG.into() }],
        });
        Box::new(std::iter::once(parsed))
    }

    fn infer(self: Box<Self>, _: &mut Findings) -> Result<()> {
        Ok(())
    }
}
