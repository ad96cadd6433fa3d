//! What clients send, taken apart with every length checked: bytes of a stranger must not end anything but their connection.
//! (The library's own decoders trust the lengths inside a message.) Answers are written here too.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use laguna_base::{Error, Result};

/// A message of the client after its login (PostgreSQL's documentation, 55.7).
#[derive(Debug)]
pub(super) enum Frontend {
    Query(String),
    Parse {
        name: String,
        sql: String,
        types: Vec<u32>,
    },
    Bind {
        portal: String,
        statement: String,
        formats: Vec<i16>,
        values: Vec<Option<Bytes>>,
        results: Vec<i16>,
    },
    Describe {
        portal: bool,
        name: String,
    },
    Execute {
        portal: String,
        rows: usize,
    },
    Close {
        portal: bool,
        name: String,
    },
    Sync,
    Flush,
    Terminate,
    /// Part of a COPY that was refused, or that has ended.
    Copy,
}

pub(super) fn broken(what: &str) -> Error {
    Error::project(format!("the message is broken: {what}")).sqlstate("08P01")
}

impl Frontend {
    /// The message of type `kind` with this body.
    pub(super) fn parse(kind: u8, body: Bytes) -> Result<Frontend> {
        let mut body = Body(body);
        Ok(match kind {
            b'Q' => Frontend::Query(body.text()?),
            b'P' => {
                let (name, sql) = (body.text()?, body.text()?);
                let types = (0..body.u16()?).map(|_| body.u32()).collect::<Result<_>>()?;
                Frontend::Parse { name, sql, types }
            }
            b'B' => {
                let (portal, statement) = (body.text()?, body.text()?);
                let formats = (0..body.u16()?).map(|_| body.i16()).collect::<Result<_>>()?;
                let values = (0..body.u16()?).map(|_| body.value()).collect::<Result<_>>()?;
                let results = (0..body.u16()?).map(|_| body.i16()).collect::<Result<_>>()?;
                Frontend::Bind { portal, statement, formats, values, results }
            }
            b'D' => Frontend::Describe { portal: body.target()?, name: body.text()? },
            b'C' => Frontend::Close { portal: body.target()?, name: body.text()? },
            b'E' => {
                let (portal, rows) = (body.text()?, body.u32()? as i32);
                Frontend::Execute { portal, rows: usize::try_from(rows).unwrap_or(0) }
            }
            b'S' => Frontend::Sync,
            b'H' => Frontend::Flush,
            b'X' => Frontend::Terminate,
            b'd' | b'c' | b'f' => Frontend::Copy,
            b'F' => {
                return Err(Error::project("function calls of the protocol are not supported")
                    .sqlstate("0A000")
                    .hint("call the function in a SELECT"));
            }
            _ => return Err(broken("its type is unknown")),
        })
    }

    /// Whether an error is followed by silence until the client synchronises.
    pub(super) fn is_extended(kind: u8) -> bool {
        matches!(kind, b'P' | b'B' | b'D' | b'E' | b'C' | b'H')
    }
}

/// What is left of a message.
pub(super) struct Body(pub(super) Bytes);

impl Body {
    fn need(&self, bytes: usize) -> Result<()> {
        if self.0.len() < bytes { Err(broken("it is too short")) } else { Ok(()) }
    }

    pub(super) fn u16(&mut self) -> Result<u16> {
        self.need(2)?;
        Ok(self.0.get_u16())
    }

    pub(super) fn i16(&mut self) -> Result<i16> {
        Ok(self.u16()? as i16)
    }

    pub(super) fn u32(&mut self) -> Result<u32> {
        self.need(4)?;
        Ok(self.0.get_u32())
    }

    /// Text up to a zero byte.
    pub(super) fn text(&mut self) -> Result<String> {
        let end = self.0.iter().position(|byte| *byte == 0).ok_or_else(|| broken("a text has no end"))?;
        let text = self.0.split_to(end);
        self.0.advance(1);
        let text = std::str::from_utf8(&text)
            .map_err(|_| Error::project("a text is not valid UTF-8").sqlstate("22021"))?;
        Ok(text.to_string())
    }

    /// A length and as many bytes; -1 is null.
    pub(super) fn value(&mut self) -> Result<Option<Bytes>> {
        let length = self.u32()? as i32;
        if length == -1 {
            return Ok(None);
        }
        let length = usize::try_from(length).map_err(|_| broken("a length is negative"))?;
        self.need(length)?;
        Ok(Some(self.0.split_to(length)))
    }

    /// `P` for a portal, `S` for a statement.
    fn target(&mut self) -> Result<bool> {
        self.need(1)?;
        match self.0.get_u8() {
            b'P' => Ok(true),
            b'S' => Ok(false),
            _ => Err(broken("it names neither statement nor portal")),
        }
    }
}

/// Writes one message; `body` fills it.
pub(super) fn write(out: &mut BytesMut, kind: u8, body: impl FnOnce(&mut BytesMut)) {
    out.put_u8(kind);
    let start = out.len();
    out.put_u32(0);
    body(out);
    let length = (out.len() - start) as u32;
    out[start..start + 4].copy_from_slice(&length.to_be_bytes());
}

/// Writes text and a zero byte; zero bytes inside would end it early.
pub(super) fn put_text(out: &mut BytesMut, text: &str) {
    for part in text.split('\0') {
        out.put_slice(part.as_bytes());
    }
    out.put_u8(0);
}

pub(super) fn complete(out: &mut BytesMut, tag: &str) {
    write(out, b'C', |out| put_text(out, tag));
}

/// ErrorResponse; `sql` is what the place in the error is about.
pub(super) fn error(out: &mut BytesMut, severity: &str, error: &Error, sql: Option<&str>) {
    write(out, b'E', |out| {
        let mut field = |kind: u8, text: &str| {
            out.put_u8(kind);
            put_text(out, text);
        };
        field(b'S', severity);
        field(b'V', severity);
        field(b'C', error.code());
        field(b'M', error.message());
        let others = error.others().iter().map(|other| other.message().to_string());
        let detail: Vec<String> = others.collect();
        if !detail.is_empty() {
            field(b'D', &detail.join("\n"));
        }
        if let Some(hint) = error.hint_text() {
            field(b'H', hint);
        }
        if let (Some(place), Some(sql)) = (error.location(), sql)
            && let Some(position) = position(sql, place.line, place.column)
        {
            field(b'P', &position.to_string());
        }
        out.put_u8(0);
    });
}

pub(super) fn notice(out: &mut BytesMut, code: &str, message: &str) {
    write(out, b'N', |out| {
        for (kind, text) in [(b'S', "WARNING"), (b'V', "WARNING"), (b'C', code), (b'M', message)] {
            out.put_u8(kind);
            put_text(out, text);
        }
        out.put_u8(0);
    });
}

/// The character, from 1, at a line and column of a text; `None` when the place is unknown.
fn position(sql: &str, line: usize, column: usize) -> Option<usize> {
    let before = line.checked_sub(1)?;
    let lines = sql.split_inclusive('\n').take(before);
    Some(lines.map(|line| line.chars().count()).sum::<usize>() + column.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_becomes_a_position_in_characters() {
        assert_eq!(position("sélect\n  x", 2, 3), Some(10));
        assert_eq!(position("select", 1, 1), Some(1));
        assert_eq!(position("select", 0, 0), None);
    }

    #[test]
    fn lengths_are_not_trusted() {
        for kind in 0..=255u8 {
            for length in 0..40usize {
                for fill in [0u8, 1, 127, 255] {
                    let _ = Frontend::parse(kind, Bytes::from(vec![fill; length]));
                }
            }
        }
        assert!(Frontend::parse(b'B', Bytes::from_static(b"\0\0\xff\xff")).is_err());
    }
}
