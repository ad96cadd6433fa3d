//! Whether a text is JSON for Python's `json.loads`: RFC 8259, with NaN and the infinities, in bounded depth.

/// Depth at which Python gives up.
const DEPTH: usize = 990;

pub(super) fn is_json(text: &str) -> bool {
    let mut scan = Scan { rest: text.as_bytes(), stack: Vec::new() };
    scan.document().is_some()
}

struct Scan<'a> {
    rest: &'a [u8],
    /// Whether each open bracket is an object.
    stack: Vec<bool>,
}

impl Scan<'_> {
    fn space(&mut self) {
        let count = self.rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r')).count();
        self.rest = &self.rest[count..];
    }

    fn take(&mut self, expected: &[u8]) -> bool {
        match self.rest.strip_prefix(expected) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    /// Without recursion, so that depth costs memory only.
    fn document(&mut self) -> Option<()> {
        loop {
            // A value is due.
            self.space();
            if self.take(b"{") {
                self.space();
                if !self.take(b"}") {
                    if self.stack.len() >= DEPTH {
                        return None;
                    }
                    self.stack.push(true);
                    self.key()?;
                    continue;
                }
            } else if self.take(b"[") {
                self.space();
                if !self.take(b"]") {
                    if self.stack.len() >= DEPTH {
                        return None;
                    }
                    self.stack.push(false);
                    continue;
                }
            } else {
                self.scalar()?;
            }
            // A value has ended: what holds it goes on or ends too.
            loop {
                self.space();
                let Some(object) = self.stack.last().copied() else {
                    return self.rest.is_empty().then_some(());
                };
                if self.take(b",") {
                    if object {
                        self.space();
                        self.key()?;
                    }
                    break;
                }
                if !self.take(if object { b"}" } else { b"]" }) {
                    return None;
                }
                self.stack.pop();
            }
        }
    }

    fn key(&mut self) -> Option<()> {
        self.string()?;
        self.space();
        self.take(b":").then_some(())
    }

    fn scalar(&mut self) -> Option<()> {
        if self.rest.first() == Some(&b'"') {
            return self.string();
        }
        for word in [&b"true"[..], b"false", b"null", b"NaN", b"Infinity", b"-Infinity"] {
            if self.take(word) {
                return Some(());
            }
        }
        self.take(b"-");
        if !self.take(b"0") {
            self.digits()?;
        }
        let before = self.rest;
        if self.take(b".") && self.digits().is_none() {
            self.rest = before;
        }
        let before = self.rest;
        if self.take(b"e") || self.take(b"E") {
            let _ = self.take(b"+") || self.take(b"-");
            if self.digits().is_none() {
                self.rest = before;
            }
        }
        Some(())
    }

    fn digits(&mut self) -> Option<()> {
        let count = self.rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.rest = &self.rest[count..];
        (count > 0).then_some(())
    }

    fn string(&mut self) -> Option<()> {
        if !self.take(b"\"") {
            return None;
        }
        loop {
            let (first, rest) = self.rest.split_first()?;
            self.rest = rest;
            match first {
                b'"' => return Some(()),
                b'\\' => {
                    let (escape, rest) = self.rest.split_first()?;
                    self.rest = rest;
                    match escape {
                        b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => {}
                        b'u' => {
                            let digits = self.rest.get(..4)?;
                            if !digits.iter().all(u8::is_ascii_hexdigit) {
                                return None;
                            }
                            self.rest = &self.rest[4..];
                        }
                        _ => return None,
                    }
                }
                0..=0x1f => return None,
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::is_json;

    #[test]
    fn texts_are_json_where_python_says_so() {
        for good in [
            "{}",
            "[]",
            "1",
            "-0",
            "1.5e-3",
            "NaN",
            "-Infinity",
            "\"a\\u00e9\\ud800\"",
            " [1, {\"a\": [null, true]}] ",
            "\"\u{7f}é\"",
        ] {
            assert!(is_json(good), "{good}");
        }
        for wrong in [
            "",
            "{",
            "[1,]",
            "{\"a\"}",
            "{'a': 1}",
            "01",
            "1.",
            "+1",
            "\"\t\"",
            "\"\\x\"",
            "nul",
            "[1 2]",
            "{} {}",
            ".5",
            "\u{feff}{}",
        ] {
            assert!(!is_json(wrong), "{wrong}");
        }
        assert!(is_json(&format!("{}{}", "[".repeat(900), "]".repeat(900))));
        assert!(!is_json(&"[".repeat(1_000_000)));
    }
}
