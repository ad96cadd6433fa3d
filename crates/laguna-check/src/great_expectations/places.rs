//! Where things stand in a JSON text: its parser tells no places of values.

/// Offsets of the values in the list under the top-level key `key`.
pub(super) fn of_items(text: &str, key: &str) -> Vec<usize> {
    let mut scan = Scan { bytes: text.as_bytes(), at: 0 };
    let mut items = Vec::new();
    if scan.next_is(b'{') {
        while let Some(name) = scan.key() {
            if name == key.as_bytes() && scan.next_is(b'[') {
                while let Some(at) = scan.item(b']') {
                    items.push(at);
                    scan.skip();
                }
            } else {
                scan.skip();
            }
        }
    }
    items
}

/// Offset of the key `key` of the object that begins at `from`; of the object when it has no such key.
pub(super) fn of_key(text: &str, from: usize, key: &str) -> usize {
    let mut scan = Scan { bytes: text.as_bytes(), at: from };
    if scan.next_is(b'{') {
        loop {
            scan.separators();
            let at = scan.at;
            match scan.key() {
                Some(name) if name == key.as_bytes() => return at,
                Some(_) => scan.skip(),
                None => break,
            }
        }
    }
    from
}

/// Line and column, from 1, of an offset.
pub(super) fn line_and_column(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    (line, column)
}

/// Lines and columns of offsets that are asked for in ascending order: each character is counted once.
pub(super) struct Walk<'a> {
    text: &'a str,
    at: usize,
    line: usize,
    column: usize,
}

impl<'a> Walk<'a> {
    pub(super) fn new(text: &'a str) -> Walk<'a> {
        Walk { text, at: 0, line: 1, column: 1 }
    }

    pub(super) fn to(&mut self, offset: usize) -> (usize, usize) {
        for character in self.text.get(self.at..offset).unwrap_or_default().chars() {
            (self.line, self.column) = match character {
                '\n' => (self.line + 1, 1),
                _ => (self.line, self.column + 1),
            };
        }
        self.at = self.at.max(offset);
        (self.line, self.column)
    }
}

/// Walks over a text that is known to be JSON.
struct Scan<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Scan<'a> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn separators(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\n' | b'\r' | b'\t' | b',' | b':')) {
            self.at += 1;
        }
    }

    fn next_is(&mut self, byte: u8) -> bool {
        self.separators();
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    /// The next key of the object that was entered; its end is stepped over.
    fn key(&mut self) -> Option<&'a [u8]> {
        self.separators();
        let start = self.at + 1;
        if self.peek() != Some(b'"') {
            self.at += 1;
            return None;
        }
        self.skip();
        self.bytes.get(start..self.at - 1)
    }

    /// Where the next value of the list that was entered begins; its end is stepped over.
    fn item(&mut self, end: u8) -> Option<usize> {
        if self.next_is(end) || self.peek().is_none() { None } else { Some(self.at) }
    }

    /// Steps over one value.
    fn skip(&mut self) {
        self.separators();
        let mut depth = 0usize;
        while let Some(byte) = self.peek() {
            match byte {
                b'"' => {
                    self.at += 1;
                    while let Some(byte) = self.peek() {
                        self.at += 1 + usize::from(byte == b'\\');
                        if byte == b'"' {
                            break;
                        }
                    }
                }
                b'{' | b'[' => {
                    depth += 1;
                    self.at += 1;
                }
                b'}' | b']' => {
                    if depth == 0 {
                        return;
                    }
                    depth -= 1;
                    self.at += 1;
                }
                b',' if depth == 0 => return,
                _ => {
                    self.at += 1;
                    continue;
                }
            }
            if depth == 0 && byte != b',' {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_and_keys_are_found_where_they_stand() {
        let text = "{\n \"meta\": {\"expectations\": [1, \"]\"]},\n \"expectations\": [\n  {\"type\": \"a\\\"}\"},\n  {\"kwargs\": {\"type\": 1},\n   \"type\": \"b\"}\n ]\n}";
        let items = of_items(text, "expectations");
        assert_eq!(items.iter().map(|at| line_and_column(text, *at)).collect::<Vec<_>>(), [(4, 3), (5, 3)]);
        assert_eq!(line_and_column(text, of_key(text, items[1], "type")), (6, 4));
        assert_eq!(line_and_column(text, of_key(text, 0, "expectations")), (3, 2));
        assert_eq!(of_key(text, items[0], "absent"), items[0]);
        let mut walk = Walk::new(text);
        assert_eq!(items.iter().map(|at| walk.to(*at)).collect::<Vec<_>>(), [(4, 3), (5, 3)]);
        assert!(of_items("[1]", "expectations").is_empty());
        assert_eq!(of_items("{\"expectations\": [1, 22, null]}", "expectations"), [18, 21, 25]);
    }
}
