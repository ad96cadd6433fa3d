//! Where rows end: the sequential scan that cuts a file into blocks of whole rows.

use super::Dialect;
use super::index::{Quoted, quoted, strip};

/// How much of a buffer is whole rows.
#[derive(Debug, PartialEq, Eq)]
pub struct Cut {
    /// Bytes of whole rows.
    pub end: usize,
    /// Lines that take a row number among them.
    pub rows: u64,
}

/// The byte that ends rows: `\r` only where the text has no `\n`.
pub fn newline(text: &[u8]) -> u8 {
    match memchr::memchr2(b'\n', b'\r', text) {
        Some(at) if text[at] == b'\r' && memchr::memchr(b'\n', text).is_none() => {
            // A buffer that ends between `\r` and `\n` says nothing yet.
            if at + 1 == text.len() { b'\n' } else { b'\r' }
        }
        _ => b'\n',
    }
}

/// Bytes of blank lines at the start.
pub fn blank_lines(text: &[u8], dialect: Dialect) -> usize {
    let mut at = 0;
    while let Some(line) = memchr::memchr(dialect.newline, &text[at..]) {
        if !strip(&text[at..at + line]).is_empty() {
            break;
        }
        at += line + 1;
    }
    at
}

/// End of the first row, behind its line break; `None` when it is not all there. `text` starts with a row.
pub fn record(text: &[u8], dialect: Dialect, ended: bool) -> Option<usize> {
    let mut end = 0;
    walk(text, dialect, ended, |at| {
        end = at;
        false
    });
    (end > 0).then_some(end)
}

/// The whole rows at the start of `text`, which starts with a row. With `ended`, nothing follows `text`.
pub fn cut(text: &[u8], dialect: Dialect, ended: bool) -> Cut {
    if memchr::memchr(dialect.quote, text).is_none() {
        let end = memchr::memrchr(dialect.newline, text).map_or(0, |at| at + 1);
        let rows = memchr::memchr_iter(dialect.newline, &text[..end]).count() as u64;
        return Cut { end, rows };
    }
    let mut cut = Cut { end: 0, rows: 0 };
    walk(text, dialect, ended, |at| {
        cut.end = at;
        cut.rows += 1;
        true
    });
    cut
}

/// Calls `row` with the end of each whole row until it says no.
fn walk(text: &[u8], dialect: Dialect, ended: bool, mut row: impl FnMut(usize) -> bool) {
    let mut start = 0;
    let mut at = 0;
    while at < text.len() {
        let Some(found) = memchr::memchr2(dialect.quote, dialect.newline, &text[at..]) else { return };
        let found = at + found;
        at = found + 1;
        if text[found] == dialect.newline {
            start = at;
        } else if found == start || text[found - 1] == dialect.delimiter {
            match quoted(text, found, start, dialect, ended) {
                Quoted::Closed(end) => {
                    at = end;
                    continue;
                }
                Quoted::Unsure => return,
                Quoted::Malformed => {
                    let Some(line) = memchr::memchr(dialect.newline, &text[start..]) else { return };
                    start += line + 1;
                    at = start;
                }
            }
        } else {
            continue;
        }
        if !row(start) {
            return;
        }
    }
}

/// The fields of one row; `None` when it is malformed.
pub fn fields(record: &[u8], dialect: Dialect) -> Option<Vec<String>> {
    let mut fields = Vec::new();
    let mut start = 0;
    let mut at = 0;
    while at < record.len() {
        let byte = record[at];
        if byte == dialect.delimiter || byte == dialect.newline {
            let end = if byte == dialect.newline { start + strip(&record[start..at]).len() } else { at };
            fields.push(
                String::from_utf8_lossy(&super::index::plain(&record[start..end], dialect.quote))
                    .into_owned(),
            );
            start = at + 1;
            at += 1;
        } else if byte == dialect.quote && at == start {
            match quoted(record, at, 0, dialect, true) {
                Quoted::Closed(end) => at = end,
                _ => return None,
            }
        } else {
            at += 1;
        }
    }
    Some(fields)
}
