//! Where fields end: one pass over a block that finds every delimiter and line break outside quotes.
//!
//! Eight bytes at a time are compared with the three special bytes by arithmetic on a 64-bit word (the exact test for
//! zero bytes of Mycroft and Lamport: `!(((x & 0x7f..) + 0x7f..) | x | 0x7f..)`).

use std::borrow::Cow;

use super::Dialect;

const LOW: u64 = 0x7f7f_7f7f_7f7f_7f7f;
const ONES: u64 = 0x0101_0101_0101_0101;

/// What follows an opening quote.
#[derive(Debug, PartialEq, Eq)]
pub enum Quoted {
    /// The field ends before this byte, which is a delimiter or a line break (or `\r` before one).
    Closed(usize),
    /// The quote does not close, or text follows its closing quote.
    Malformed,
    /// More text is needed to tell.
    Unsure,
}

/// Follows the quoted field that opens at `open`, in a row that starts at `row`.
pub fn quoted(text: &[u8], open: usize, row: usize, dialect: Dialect, ended: bool) -> Quoted {
    let limit = text.len().min(row + dialect.max_row);
    let more = if limit < row + dialect.max_row && !ended { Quoted::Unsure } else { Quoted::Malformed };
    let mut at = open + 1;
    while let Some(found) = text.get(at..limit).and_then(|rest| memchr::memchr(dialect.quote, rest)) {
        let next = at + found + 1;
        if next >= limit {
            return more;
        }
        match text.get(next) {
            None => return more,
            Some(byte) if *byte == dialect.quote => at = next + 1,
            Some(byte) if *byte == dialect.delimiter || *byte == dialect.newline => {
                return Quoted::Closed(next);
            }
            Some(b'\r') => {
                return match text.get(next + 1).filter(|_| next + 1 < limit) {
                    Some(byte) if *byte == dialect.newline => Quoted::Closed(next),
                    None => more,
                    _ => Quoted::Malformed,
                };
            }
            Some(_) => return Quoted::Malformed,
        }
    }
    more
}

/// The rows of a block that have as many fields as the file has columns.
#[derive(Default)]
pub struct Index {
    /// Start of each row.
    pub starts: Vec<u32>,
    /// End of each field, row by row.
    pub ends: Vec<u32>,
    /// Line number of each row within the block, from 0.
    pub lines: Vec<u32>,
    /// Rows that do not have them: line number, start, end, reason.
    pub bad: Vec<(u32, u32, u32, String)>,
}

impl Index {
    /// Indexes a block of whole rows of `width` fields.
    pub fn new(text: &[u8], dialect: Dialect, width: usize) -> Index {
        let mut index = Index::default();
        let guess = text.len() / 8;
        index.ends.reserve(guess);
        let spread = [dialect.delimiter, dialect.newline, dialect.quote].map(|byte| u64::from(byte) * ONES);
        let mut row_start = 0;
        let mut field_start = 0;
        let mut base = 0;
        let mut line = 0u32;
        let mut at = 0;
        'words: while at < text.len() {
            let word = match text[at..].first_chunk::<8>() {
                Some(chunk) => u64::from_le_bytes(*chunk),
                None => {
                    let mut last = [0; 8];
                    last[..text.len() - at].copy_from_slice(&text[at..]);
                    u64::from_le_bytes(last)
                }
            };
            let mut hits = 0;
            for special in spread {
                let x = word ^ special;
                hits |= !(((x & LOW) + LOW) | x | LOW);
            }
            while hits != 0 {
                let hit = at + (hits.trailing_zeros() / 8) as usize;
                hits &= hits - 1;
                let Some(&byte) = text.get(hit) else { break };
                if byte == dialect.delimiter {
                    index.ends.push(hit as u32);
                    field_start = hit + 1;
                } else if byte == dialect.newline {
                    let blank = width > 1 && strip(&text[row_start..hit]).is_empty();
                    index.ends.push(hit as u32);
                    let found = index.ends.len() - base;
                    if found == width && !blank {
                        index.starts.push(row_start as u32);
                        index.lines.push(line);
                        // The line break may be two bytes long.
                        if hit > field_start
                            && text[hit - 1] == b'\r'
                            && let Some(end) = index.ends.last_mut()
                        {
                            *end -= 1;
                        }
                    } else {
                        index.ends.truncate(base);
                        if !blank {
                            let reason =
                                format!("the row has {found} {}, the file has {width}", plural(found));
                            index.bad.push((line, row_start as u32, hit as u32, reason));
                        }
                    }
                    base = index.ends.len();
                    row_start = hit + 1;
                    field_start = row_start;
                    line += 1;
                } else if hit == field_start {
                    match quoted(text, hit, row_start, dialect, true) {
                        Quoted::Closed(end) => at = end,
                        _ => {
                            let end = memchr::memchr(dialect.newline, &text[row_start..])
                                .map_or(text.len(), |line| row_start + line);
                            let reason = "a quoted field does not close, or text follows its closing quote";
                            index.bad.push((line, row_start as u32, end as u32, reason.into()));
                            index.ends.truncate(base);
                            row_start = end + 1;
                            field_start = row_start;
                            line += 1;
                            at = row_start;
                        }
                    }
                    continue 'words;
                }
            }
            at += 8;
        }
        index
    }

    /// Number of well-formed rows.
    pub fn rows(&self) -> usize {
        self.starts.len()
    }

    /// Bytes of a row, without its line break.
    pub fn row(&self, row: usize, width: usize) -> (usize, usize) {
        (self.starts[row] as usize, self.ends[row * width + width - 1] as usize)
    }

    /// Bytes of a field, with its quotes.
    #[inline]
    pub fn field(&self, row: usize, column: usize, width: usize) -> (usize, usize) {
        let at = row * width + column;
        let start = if column == 0 { self.starts[row] } else { self.ends[at - 1] + 1 };
        (start as usize, self.ends[at] as usize)
    }
}

fn plural(fields: usize) -> &'static str {
    if fields == 1 { "field" } else { "fields" }
}

/// A line without the `\r` before its line break.
pub fn strip(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// A field without its quotes.
pub fn plain(field: &[u8], quote: u8) -> Cow<'_, [u8]> {
    let Some(inner) = field.strip_prefix(&[quote]).and_then(|rest| rest.strip_suffix(&[quote])) else {
        return Cow::Borrowed(field);
    };
    if memchr::memchr(quote, inner).is_none() {
        return Cow::Borrowed(inner);
    }
    let mut text = Vec::with_capacity(inner.len());
    let mut rest = inner;
    while let Some(at) = memchr::memchr(quote, rest) {
        text.extend_from_slice(&rest[..=at]);
        rest = rest.get(at + 2..).unwrap_or_default();
    }
    text.extend_from_slice(rest);
    Cow::Owned(text)
}
