//! Where JSON values end: an incremental scan that knows brackets and strings, no more.

use super::value;

/// How a file's values are laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// One value a line.
    Lines,
    /// One array of values.
    Array,
    /// Values one after another.
    Values,
}

/// The layout, judged by the first value; `None` when it is not all in `text` and more can be had.
pub fn layout(text: &[u8], ended: bool) -> Option<Layout> {
    let Some(first) = text.iter().find(|byte| !byte.is_ascii_whitespace()) else {
        return ended.then_some(Layout::Lines);
    };
    if *first == b'[' {
        return Some(Layout::Array);
    }
    let Some((start, end)) = Scanner::new(false).scan(text).first().copied() else {
        return ended.then_some(Layout::Lines);
    };
    let valid = std::str::from_utf8(&text[start..end]).is_ok_and(|text| value::parse(text).is_ok());
    let line_end = memchr::memchr(b'\n', &text[end..]).map_or(text.len(), |at| end + at);
    let alone =
        text[end..line_end].trim_ascii().is_empty() && memchr::memchr(b'\n', &text[start..end]).is_none();
    Some(if valid && !alone { Layout::Values } else { Layout::Lines })
}

/// Follows brackets and strings through text that comes in parts.
pub struct Scanner {
    /// The values are items of one array.
    array: bool,
    opened: bool,
    closed: bool,
    depth: usize,
    string: bool,
    escaped: bool,
    /// Start of the value that is being read.
    start: Option<usize>,
    at: usize,
}

impl Scanner {
    pub fn new(array: bool) -> Self {
        Scanner {
            array,
            opened: false,
            closed: false,
            depth: 0,
            string: false,
            escaped: false,
            start: None,
            at: 0,
        }
    }

    /// The values that end in `text`, which starts where [`Scanner::forget`] said.
    pub fn scan(&mut self, text: &[u8]) -> Vec<(usize, usize)> {
        let mut spans = Vec::new();
        while let Some(end) = self.next(text) {
            spans.push(end);
        }
        spans
    }

    /// Scans only to the end of the value that is being read.
    pub fn scan_to_end(&mut self, text: &[u8]) {
        self.next(text);
    }

    fn next(&mut self, text: &[u8]) -> Option<(usize, usize)> {
        while self.at < text.len() {
            let byte = text[self.at];
            if self.string {
                if self.escaped {
                    self.escaped = false;
                } else if byte == b'\\' {
                    self.escaped = true;
                } else if byte == b'"' {
                    self.string = false;
                }
                self.at += 1;
                continue;
            }
            let is_end = matches!(byte, b',' | b']' | b' ' | b'\t' | b'\r' | b'\n');
            if let Some(start) = self.start {
                match byte {
                    // A bare word ends before what follows it.
                    _ if self.depth == 0 && is_end => {
                        self.start = None;
                        return Some((start, self.at));
                    }
                    b'"' => self.string = true,
                    b'{' | b'[' => self.depth += 1,
                    b'}' | b']' => {
                        self.depth = self.depth.saturating_sub(1);
                        if self.depth == 0 {
                            self.start = None;
                            self.at += 1;
                            return Some((start, self.at));
                        }
                    }
                    _ => {}
                }
                self.at += 1;
                continue;
            }
            match byte {
                b'[' if self.array && !self.opened => self.opened = true,
                b']' if self.array => self.closed = true,
                _ if is_end => {}
                _ => {
                    self.start = Some(self.at);
                    continue;
                }
            }
            self.at += 1;
        }
        None
    }

    /// What is left when the file ends; else why it is incomplete.
    pub fn finish(&mut self, text: &[u8]) -> Result<Option<(usize, usize)>, &'static str> {
        if self.array && !self.closed {
            return Err("its array does not end");
        }
        Ok(self.start.take().map(|start| (start, text.len())))
    }

    /// Whether a value is being read.
    pub fn is_inside(&self) -> bool {
        self.start.is_some()
    }

    /// First byte that is still needed.
    pub fn keep_from(&self) -> usize {
        self.start.unwrap_or(self.at)
    }

    /// The first `bytes` are gone.
    pub fn forget(&mut self, bytes: usize) {
        self.at -= bytes;
        self.start = self.start.map(|start| start - bytes);
    }

    /// All bytes so far are gone, though a value is being read.
    pub fn skip(&mut self) {
        self.at = 0;
        self.start = self.start.map(|_| 0);
    }
}
