//! Results as people and programs take them: table, CSV, JSON, NDJSON, Parquet, Arrow.
//!
//! Every format but the table is written batch by batch. Integers and decimals keep their digits, timestamps are
//! RFC 3339 in UTC, bytes are base64. A reader that closes its end of a pipe has had enough: that is success.

mod table;
mod values;

use std::io::{self, Write};
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{Array, ArrayRef, RecordBatch, StringArray, StringBuilder};
use arrow::datatypes::{Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::ipc::writer::StreamWriter;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::parquet::basic::{Compression, ZstdLevel};
use datafusion::parquet::errors::ParquetError;
use datafusion::parquet::file::properties::WriterProperties;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use laguna_base::{Error, Result, suggest};

use crate::translate;
use values::{Style, encoder};

/// How a result is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// A table for people; the only format that is collected before it is written.
    Table,
    /// RFC 4180 with a header and lines that end in `\n`. Null is empty, an empty text is `""`.
    Csv,
    /// One JSON array of objects.
    Json,
    /// One JSON object a line.
    Ndjson,
    /// A Parquet file.
    Parquet,
    /// An Arrow IPC stream.
    Arrow,
}

impl Format {
    /// Every format.
    pub const ALL: [Format; 6] =
        [Format::Table, Format::Csv, Format::Json, Format::Ndjson, Format::Parquet, Format::Arrow];

    /// The word that chooses it.
    pub fn as_str(self) -> &'static str {
        match self {
            Format::Table => "table",
            Format::Csv => "csv",
            Format::Json => "json",
            Format::Ndjson => "ndjson",
            Format::Parquet => "parquet",
            Format::Arrow => "arrow",
        }
    }

    /// Whether the bytes are not for a terminal.
    pub fn is_binary(self) -> bool {
        matches!(self, Format::Parquet | Format::Arrow)
    }
}

impl FromStr for Format {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        Format::ALL.into_iter().find(|format| format.as_str() == text).ok_or_else(|| {
            let words = Format::ALL.map(Format::as_str);
            Error::project(format!("`{text}` is not an output format")).hint(suggest::hint(text, &words))
        })
    }
}

/// How a [`Format::Table`] is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Layout {
    /// Rows that are shown of a longer result; the rest is counted. `None`: all.
    pub max_rows: Option<usize>,
    /// Columns of the terminal; `None`: as wide as the values.
    pub width: Option<u16>,
}

/// The values of a batch as the text of [`Format::Csv`], column by column; `None` is null.
pub fn texts(batch: &RecordBatch) -> Result<Vec<Vec<Option<String>>>> {
    let mut columns = Vec::with_capacity(batch.num_columns());
    for array in batch.columns() {
        let encoder = encoder(array.as_ref(), Style::Text).map_err(|error| match Trouble::from(error) {
            Trouble::Error(error) => error,
            Trouble::Closed => Error::internal("memory was closed"),
        })?;
        let mut bytes = Vec::new();
        let value = |row| {
            if encoder.is_null(row) {
                return None;
            }
            bytes.clear();
            encoder.write(row, &mut bytes);
            Some(String::from_utf8_lossy(&bytes).into_owned())
        };
        columns.push((0..batch.num_rows()).map(value).collect());
    }
    Ok(columns)
}

/// Writes the rows of `stream` to `out` and returns how many there were.
pub async fn write(
    mut stream: SendableRecordBatchStream,
    format: Format,
    out: &mut (dyn Write + Send),
    layout: &Layout,
) -> Result<u64> {
    let mut rows = 0;
    let written = async {
        let mut writer = Writer::new(format, &stream.schema(), out, layout)?;
        while let Some(batch) = stream.next().await {
            let batch = batch.map_err(|error| Trouble::Error(translate(error)))?;
            rows += batch.num_rows() as u64;
            writer.write(&batch)?;
        }
        writer.finish()
    };
    match written.await {
        Ok(()) | Err(Trouble::Closed) => Ok(rows),
        Err(Trouble::Error(error)) => Err(error),
    }
}

/// The values of an array as JSON texts; null stays null.
pub fn json_texts(array: &ArrayRef) -> Result<StringArray> {
    let encoder =
        values::encoder(array, values::Style::Json).map_err(|error| crate::translate(error.into()))?;
    let mut text = Vec::new();
    let mut texts = StringBuilder::with_capacity(array.len(), array.len() * 16);
    for row in 0..array.len() {
        if encoder.is_null(row) {
            texts.append_null();
            continue;
        }
        text.clear();
        encoder.write(row, &mut text);
        texts.append_value(String::from_utf8_lossy(&text));
    }
    Ok(texts.finish())
}

/// The rows of `stream` as the bytes of a document, as they come: a few of the batches' bytes are in memory at any time, and
/// nobody computes rows that nobody takes. An error is the last item; a document that ends without one is whole.
pub fn encode(stream: SendableRecordBatchStream, format: Format) -> BoxStream<'static, Result<Vec<u8>>> {
    let buffer = Buffer::default();
    let writer = Writer::new(format, &stream.schema(), buffer.clone(), &Layout::default());
    let start = writer.map(|writer| Encoding { stream, writer: Some(writer), buffer });
    let start = futures::stream::once(async { start.map_err(Error::from) });
    Box::pin(start.map_ok(|encoding| futures::stream::try_unfold(encoding, Encoding::next)).try_flatten())
}

/// A document on its way.
struct Encoding {
    stream: SendableRecordBatchStream,
    /// `None` when the document is whole.
    writer: Option<Writer<Buffer>>,
    buffer: Buffer,
}

impl Encoding {
    async fn next(mut self) -> Result<Option<(Vec<u8>, Encoding)>> {
        let Some(mut writer) = self.writer.take() else { return Ok(None) };
        while let Some(batch) = self.stream.next().await {
            writer.write(&batch.map_err(translate)?)?;
            let bytes = self.buffer.take();
            if !bytes.is_empty() {
                self.writer = Some(writer);
                return Ok(Some((bytes, self)));
            }
        }
        writer.finish()?;
        Ok(Some((self.buffer.take(), self)))
    }
}

/// Bytes that a writer has written and nobody has taken.
#[derive(Clone, Default)]
struct Buffer(Arc<Mutex<Vec<u8>>>);

impl Buffer {
    fn take(&self) -> Vec<u8> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Why writing ended early.
enum Trouble {
    /// The reader went away.
    Closed,
    Error(Error),
}

impl From<Trouble> for Error {
    fn from(trouble: Trouble) -> Error {
        match trouble {
            Trouble::Closed => Error::interrupted(),
            Trouble::Error(error) => error,
        }
    }
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Trouble::Closed,
            _ => Trouble::Error(Error::storage("the result cannot be written").caused_by(error)),
        }
    }
}

impl From<ArrowError> for Trouble {
    fn from(error: ArrowError) -> Self {
        match error {
            ArrowError::IoError(_, error) => error.into(),
            other => Trouble::Error(
                Error::failed("the result has a column that this format cannot hold")
                    .hint("cast it, as column::text")
                    .caused_by(other),
            ),
        }
    }
}

impl From<ParquetError> for Trouble {
    fn from(error: ParquetError) -> Self {
        match error {
            ParquetError::External(inner) => match inner.downcast::<io::Error>() {
                Ok(error) => (*error).into(),
                Err(other) => Trouble::Error(Error::storage("the result cannot be written").caused_by(other)),
            },
            other => Trouble::Error(
                Error::failed("the result has a column that a Parquet file cannot hold")
                    .hint("cast it, as column::text")
                    .caused_by(other),
            ),
        }
    }
}

/// One result on its way out.
enum Writer<W: Write + Send> {
    Table { table: table::Table, out: W },
    Csv { out: W, line: Vec<u8> },
    Json { out: W, keys: Vec<Vec<u8>>, text: Vec<u8>, lines: bool, any: bool },
    Parquet(Box<ArrowWriter<W>>, SchemaRef),
    Arrow(Box<StreamWriter<W>>, SchemaRef),
}

impl<W: Write + Send> Writer<W> {
    fn new(format: Format, schema: &SchemaRef, mut out: W, layout: &Layout) -> Result<Self, Trouble> {
        Ok(match format {
            Format::Table => Writer::Table { table: table::Table::new(schema, layout), out },
            Format::Csv => {
                let mut line = Vec::new();
                for (index, field) in schema.fields().iter().enumerate() {
                    if index > 0 {
                        line.push(b',');
                    }
                    quote_csv(field.name().as_bytes(), &mut line);
                }
                line.push(b'\n');
                out.write_all(&line)?;
                Writer::Csv { out, line }
            }
            Format::Json | Format::Ndjson => {
                let keys = distinct(schema)
                    .fields()
                    .iter()
                    .map(|field| {
                        let mut key = Vec::new();
                        values::quote_json(field.name(), &mut key);
                        key.push(b':');
                        key
                    })
                    .collect();
                let lines = format == Format::Ndjson;
                if !lines {
                    out.write_all(b"[")?;
                }
                Writer::Json { out, keys, text: Vec::new(), lines, any: false }
            }
            Format::Parquet => {
                let schema = distinct(schema);
                let properties = WriterProperties::builder()
                    .set_compression(Compression::ZSTD(ZstdLevel::default()))
                    .set_created_by(format!("laguna {}", env!("CARGO_PKG_VERSION")))
                    .build();
                let writer = ArrowWriter::try_new(out, schema.clone(), Some(properties))?;
                Writer::Parquet(Box::new(writer), schema)
            }
            Format::Arrow => {
                let schema = distinct(schema);
                Writer::Arrow(Box::new(StreamWriter::try_new(out, &schema)?), schema)
            }
        })
    }

    fn write(&mut self, batch: &RecordBatch) -> Result<(), Trouble> {
        match self {
            Writer::Table { table, .. } => Ok(table.add(batch)?),
            Writer::Csv { out, line } => {
                let columns = batch
                    .columns()
                    .iter()
                    .map(|column| encoder(column.as_ref(), Style::Text))
                    .collect::<Result<Vec<_>, _>>()?;
                let mut value = Vec::new();
                line.clear();
                for row in 0..batch.num_rows() {
                    for (index, column) in columns.iter().enumerate() {
                        if index > 0 {
                            line.push(b',');
                        }
                        if !column.is_null(row) {
                            value.clear();
                            column.write(row, &mut value);
                            quote_csv(&value, line);
                        }
                    }
                    line.push(b'\n');
                    if line.len() > FLUSH {
                        out.write_all(line)?;
                        line.clear();
                    }
                }
                Ok(out.write_all(line)?)
            }
            Writer::Json { out, keys, text, lines, any } => {
                let columns = batch
                    .columns()
                    .iter()
                    .map(|column| encoder(column.as_ref(), Style::Json))
                    .collect::<Result<Vec<_>, _>>()?;
                text.clear();
                for row in 0..batch.num_rows() {
                    if !*lines {
                        text.extend_from_slice(if *any { b",\n" } else { b"\n" });
                    }
                    *any = true;
                    text.push(b'{');
                    for (index, (key, column)) in keys.iter().zip(&columns).enumerate() {
                        if index > 0 {
                            text.push(b',');
                        }
                        text.extend_from_slice(key);
                        column.write_or_null(row, text);
                    }
                    text.push(b'}');
                    if *lines {
                        text.push(b'\n');
                    }
                    if text.len() > FLUSH {
                        out.write_all(text)?;
                        text.clear();
                    }
                }
                Ok(out.write_all(text)?)
            }
            Writer::Parquet(writer, schema) => {
                writer.write(&renamed(batch, schema)?)?;
                // A row group waits in memory until it is whole.
                match writer.in_progress_size() > ROW_GROUP {
                    true => Ok(writer.flush()?),
                    false => Ok(()),
                }
            }
            Writer::Arrow(writer, schema) => Ok(writer.write(&renamed(batch, schema)?)?),
        }
    }

    fn finish(self) -> Result<(), Trouble> {
        match self {
            Writer::Table { table, mut out } => {
                out.write_all(table.finish().as_bytes())?;
                Ok(out.flush()?)
            }
            Writer::Csv { mut out, .. } => Ok(out.flush()?),
            Writer::Json { mut out, lines, any, .. } => {
                if !lines {
                    out.write_all(if any { b"\n]\n" } else { b"]\n" })?;
                }
                Ok(out.flush()?)
            }
            Writer::Parquet(mut writer, _) => {
                writer.finish()?;
                Ok(writer.inner_mut().flush()?)
            }
            Writer::Arrow(mut writer, _) => {
                writer.finish()?;
                Ok(writer.get_mut().flush()?)
            }
        }
    }
}

/// Bytes of a Parquet row group that are held before they are written.
const ROW_GROUP: usize = 32 << 20;

/// Bytes of text that are gathered before they are written.
const FLUSH: usize = 1 << 16;

/// A CSV field: quoted where it must be, and where it would otherwise read as null.
fn quote_csv(value: &[u8], line: &mut Vec<u8>) {
    let plain = !value.is_empty()
        && !value.iter().any(|byte| matches!(byte, b',' | b'"' | b'\n' | b'\r'))
        && value[0] != b' '
        && value[value.len() - 1] != b' ';
    if plain {
        line.extend_from_slice(value);
        return;
    }
    line.push(b'"');
    for byte in value {
        if *byte == b'"' {
            line.push(b'"');
        }
        line.push(*byte);
    }
    line.push(b'"');
}

/// The same columns with names that occur once: formats that are read by name would lose the others.
fn distinct(schema: &SchemaRef) -> SchemaRef {
    let mut taken = std::collections::HashSet::new();
    let fields: Vec<Field> = schema
        .fields()
        .iter()
        .map(|field| {
            let mut name = field.name().clone();
            let mut suffix = 2;
            while !taken.insert(name.clone()) {
                name = format!("{}_{suffix}", field.name());
                suffix += 1;
            }
            field.as_ref().clone().with_name(name)
        })
        .collect();
    Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone()))
}

fn renamed(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, ArrowError> {
    RecordBatch::try_new_with_options(
        schema.clone(),
        batch.columns().to_vec(),
        &arrow::array::RecordBatchOptions::new().with_row_count(Some(batch.num_rows())),
    )
}

#[cfg(test)]
mod tests;
