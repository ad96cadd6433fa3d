//! `COPY … TO STDOUT`: text, CSV and PostgreSQL's binary format.

use bytes::{BufMut, BytesMut};
use laguna_base::{Error, Result};

use super::encode::Column;
use super::message::write;

/// How rows are written.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Form {
    pub(super) csv: bool,
    pub(super) binary: bool,
    pub(super) header: bool,
    pub(super) delimiter: Option<u8>,
    pub(super) null: Option<String>,
    pub(super) quote: u8,
    pub(super) escape: Option<u8>,
    pub(super) force_quote: Vec<String>,
}

impl Default for Form {
    fn default() -> Self {
        Form {
            csv: false,
            binary: false,
            header: false,
            delimiter: None,
            null: None,
            quote: b'"',
            escape: None,
            force_quote: Vec::new(),
        }
    }
}

impl Form {
    pub(super) fn format(&mut self, name: &str) -> Result<()> {
        match name.to_lowercase().as_str() {
            "text" => {}
            "csv" => self.csv = true,
            "binary" => self.binary = true,
            _ => {
                return Err(
                    Error::project(format!("COPY format \"{name}\" not recognized")).sqlstate("22023")
                );
            }
        }
        Ok(())
    }

    fn delimiter(&self) -> u8 {
        self.delimiter.unwrap_or(if self.csv { b',' } else { b'\t' })
    }

    /// CopyOutResponse, and what stands before the rows.
    pub(super) fn begin(&self, names: &[String], out: &mut BytesMut) {
        write(out, b'H', |out| {
            out.put_u8(self.binary.into());
            out.put_u16(names.len() as u16);
            names.iter().for_each(|_| out.put_u16(self.binary.into()));
        });
        // The head of the binary format goes with the first row, as clients expect it.
        if !self.binary && self.header {
            write(out, b'd', |out| {
                for (index, name) in names.iter().enumerate() {
                    if index > 0 {
                        out.put_u8(self.delimiter());
                    }
                    self.field(name.as_bytes(), name, out);
                }
                out.put_u8(b'\n');
            });
        }
    }

    /// One row as CopyData.
    pub(super) fn row(
        &self,
        columns: &[Column],
        names: &[String],
        row: usize,
        first: bool,
        scratch: &mut BytesMut,
        out: &mut BytesMut,
    ) -> Result<()> {
        let mut outcome = Ok(());
        write(out, b'd', |out| {
            self.head(first, out);
            outcome = self.values(columns, names, row, scratch, out);
        });
        outcome
    }

    fn head(&self, first: bool, out: &mut BytesMut) {
        if self.binary && first {
            out.put_slice(b"PGCOPY\n\xff\r\n\0");
            out.put_u64(0);
        }
    }

    fn values(
        &self,
        columns: &[Column],
        names: &[String],
        row: usize,
        scratch: &mut BytesMut,
        out: &mut BytesMut,
    ) -> Result<()> {
        if self.binary {
            out.put_u16(columns.len() as u16);
            return columns.iter().try_for_each(|column| column.put(row, true, out));
        }
        let null = self.null.as_deref().unwrap_or(if self.csv { "" } else { "\\N" });
        for (index, column) in columns.iter().enumerate() {
            if index > 0 {
                out.put_u8(self.delimiter());
            }
            if column.is_null(row) {
                out.put_slice(null.as_bytes());
                continue;
            }
            scratch.clear();
            column.text(row, scratch)?;
            self.field(scratch, &names[index], out);
        }
        out.put_u8(b'\n');
        Ok(())
    }

    /// One value that is not null.
    fn field(&self, value: &[u8], name: &str, out: &mut BytesMut) {
        let delimiter = self.delimiter();
        if !self.csv {
            for byte in value {
                match byte {
                    b'\\' => out.put_slice(b"\\\\"),
                    b'\n' => out.put_slice(b"\\n"),
                    b'\r' => out.put_slice(b"\\r"),
                    b'\t' => out.put_slice(b"\\t"),
                    8 => out.put_slice(b"\\b"),
                    11 => out.put_slice(b"\\v"),
                    12 => out.put_slice(b"\\f"),
                    byte if *byte == delimiter => out.put_slice(&[b'\\', *byte]),
                    byte => out.put_u8(*byte),
                }
            }
            return;
        }
        let forced = self.force_quote.iter().any(|column| column == name || column == "everything__");
        let special = |byte: &u8| *byte == delimiter || *byte == self.quote || matches!(byte, b'\n' | b'\r');
        let is_null = value == self.null.as_deref().unwrap_or("").as_bytes();
        if !forced && !is_null && value != b"\\." && !value.iter().any(special) {
            return out.put_slice(value);
        }
        let escape = self.escape.unwrap_or(self.quote);
        out.put_u8(self.quote);
        for byte in value {
            if *byte == self.quote || *byte == escape {
                out.put_u8(escape);
            }
            out.put_u8(*byte);
        }
        out.put_u8(self.quote);
    }

    /// What stands after the rows.
    pub(super) fn end(&self, rows: usize, out: &mut BytesMut) {
        if self.binary {
            write(out, b'd', |out| {
                self.head(rows == 0, out);
                out.put_i16(-1);
            });
        }
        write(out, b'c', |_| {});
    }
}
