//! JSON values that keep their text: numbers keep their digits, and any value can be landed as it was written.
//!
//! The grammar is RFC 8259; of repeated keys the last counts.

use std::borrow::Cow;
use std::collections::HashMap;

/// Deepest nesting that is read.
const MAX_DEPTH: usize = 128;

/// A value and its text.
#[derive(Debug, Clone, PartialEq)]
pub struct Node<'a> {
    pub raw: &'a str,
    pub value: Value<'a>,
}

/// What a value is.
#[derive(Debug, Clone, PartialEq)]
pub enum Value<'a> {
    Null,
    Boolean(bool),
    /// The number is its text.
    Number,
    Text(Cow<'a, str>),
    List(Vec<Node<'a>>),
    Object(Vec<(Cow<'a, str>, Node<'a>)>),
}

/// The one value that `text` holds; else what is wrong, with the byte where.
pub fn parse(text: &str) -> Result<Node<'_>, String> {
    let mut parser = Parser { text, bytes: text.as_bytes(), at: 0 };
    parser.space();
    let node = parser.node(0)?;
    parser.space();
    if parser.at < text.len() {
        return Err(parser.wrong("text follows the value"));
    }
    Ok(node)
}

struct Parser<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Parser<'a> {
    fn wrong(&self, what: &str) -> String {
        format!("not valid JSON: {what} at byte {}", self.at + 1)
    }

    fn space(&mut self) {
        while matches!(self.bytes.get(self.at), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn node(&mut self, depth: usize) -> Result<Node<'a>, String> {
        if depth > MAX_DEPTH {
            return Err(self.wrong("values are nested too deeply"));
        }
        let start = self.at;
        let value = match self.bytes.get(self.at) {
            Some(b'{') => self.object(depth)?,
            Some(b'[') => self.list(depth)?,
            Some(b'"') => Value::Text(self.string()?),
            Some(b't') => self.word("true", Value::Boolean(true))?,
            Some(b'f') => self.word("false", Value::Boolean(false))?,
            Some(b'n') => self.word("null", Value::Null)?,
            Some(b'-' | b'0'..=b'9') => self.number()?,
            Some(_) => return Err(self.wrong("no value starts like this")),
            None => return Err(self.wrong("the text ends")),
        };
        Ok(Node { raw: &self.text[start..self.at], value })
    }

    fn word(&mut self, word: &str, value: Value<'a>) -> Result<Value<'a>, String> {
        if !self.bytes[self.at..].starts_with(word.as_bytes()) {
            return Err(self.wrong("no value starts like this"));
        }
        self.at += word.len();
        Ok(value)
    }

    fn digits(&mut self) -> Result<(), String> {
        let start = self.at;
        while self.bytes.get(self.at).is_some_and(u8::is_ascii_digit) {
            self.at += 1;
        }
        if start == self.at { Err(self.wrong("a digit is missing")) } else { Ok(()) }
    }

    fn number(&mut self) -> Result<Value<'a>, String> {
        if self.bytes[self.at] == b'-' {
            self.at += 1;
        }
        if self.bytes.get(self.at) == Some(&b'0') {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.bytes.get(self.at) == Some(&b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.bytes.get(self.at), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.bytes.get(self.at), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(Value::Number)
    }

    fn string(&mut self) -> Result<Cow<'a, str>, String> {
        self.at += 1;
        let mut start = self.at;
        let mut built = String::new();
        loop {
            match self.bytes.get(self.at) {
                Some(b'"') => {
                    let rest = &self.text[start..self.at];
                    self.at += 1;
                    if built.is_empty() {
                        return Ok(Cow::Borrowed(rest));
                    }
                    built.push_str(rest);
                    return Ok(Cow::Owned(built));
                }
                Some(b'\\') => {
                    built.push_str(&self.text[start..self.at]);
                    self.at += 1;
                    self.escape(&mut built)?;
                    start = self.at;
                }
                Some(byte) if *byte < 0x20 => {
                    return Err(self.wrong("a control character stands in a string"));
                }
                Some(_) => self.at += 1,
                None => return Err(self.wrong("a string does not end")),
            }
        }
    }

    fn escape(&mut self, built: &mut String) -> Result<(), String> {
        let Some(byte) = self.bytes.get(self.at) else { return Err(self.wrong("a string does not end")) };
        self.at += 1;
        built.push(match byte {
            b'"' | b'\\' | b'/' => *byte as char,
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let mut code = self.hex()?;
                if (0xd800..0xdc00).contains(&code) && self.bytes[self.at..].starts_with(b"\\u") {
                    self.at += 2;
                    let low = self.hex()?;
                    if !(0xdc00..0xe000).contains(&low) {
                        return Err(self.wrong("half a surrogate pair stands alone"));
                    }
                    code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
                }
                char::from_u32(code).ok_or_else(|| self.wrong("half a surrogate pair stands alone"))?
            }
            _ => return Err(self.wrong("an unknown escape stands in a string")),
        });
        Ok(())
    }

    fn hex(&mut self) -> Result<u32, String> {
        let mut code = 0;
        for _ in 0..4 {
            let digit = self.bytes.get(self.at).and_then(|byte| (*byte as char).to_digit(16));
            code = code * 16 + digit.ok_or_else(|| self.wrong("an escape lacks digits"))?;
            self.at += 1;
        }
        Ok(code)
    }

    fn list(&mut self, depth: usize) -> Result<Value<'a>, String> {
        let mut items = Vec::new();
        self.at += 1;
        self.space();
        if self.bytes.get(self.at) == Some(&b']') {
            self.at += 1;
            return Ok(Value::List(items));
        }
        loop {
            self.space();
            items.push(self.node(depth + 1)?);
            self.space();
            match self.bytes.get(self.at) {
                Some(b',') => self.at += 1,
                Some(b']') => {
                    self.at += 1;
                    return Ok(Value::List(items));
                }
                _ => return Err(self.wrong("`,` or `]` is missing")),
            }
        }
    }

    fn object(&mut self, depth: usize) -> Result<Value<'a>, String> {
        let mut fields: Vec<(Cow<str>, Node)> = Vec::new();
        let mut many: Option<HashMap<Cow<str>, usize>> = None;
        self.at += 1;
        self.space();
        if self.bytes.get(self.at) == Some(&b'}') {
            self.at += 1;
            return Ok(Value::Object(fields));
        }
        loop {
            self.space();
            if self.bytes.get(self.at) != Some(&b'"') {
                return Err(self.wrong("a key is missing"));
            }
            let key = self.string()?;
            self.space();
            if self.bytes.get(self.at) != Some(&b':') {
                return Err(self.wrong("`:` is missing"));
            }
            self.at += 1;
            self.space();
            let node = self.node(depth + 1)?;
            if fields.len() == 32 && many.is_none() {
                many = Some(fields.iter().enumerate().map(|(at, (key, _))| (key.clone(), at)).collect());
            }
            let same = match &mut many {
                Some(index) => {
                    let at = *index.entry(key.clone()).or_insert(fields.len());
                    (at < fields.len()).then_some(at)
                }
                None => fields.iter().position(|(known, _)| *known == key),
            };
            match same {
                Some(at) => fields[at].1 = node,
                None => fields.push((key, node)),
            }
            self.space();
            match self.bytes.get(self.at) {
                Some(b',') => self.at += 1,
                Some(b'}') => {
                    self.at += 1;
                    return Ok(Value::Object(fields));
                }
                _ => return Err(self.wrong("`,` or `}` is missing")),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn values_keep_their_text_and_the_last_key_counts() {
        let node =
            parse(r#" {"a": 12345678901234567890, "b": [1, null], "a": "x\u00e9\ud83d\ude00\n"} "#).unwrap();
        let Value::Object(fields) = node.value else { panic!() };
        assert_eq!(fields.len(), 2);
        assert_eq!(fields[0].1.value, Value::Text("xé😀\n".into()));
        assert_eq!(fields[1].1.raw, "[1, null]");
    }

    proptest! {
        #[test]
        fn what_serde_json_reads_is_read_and_nothing_else(text in "[\\[\\]{},:\"a0-9.eE\\-+ \\\\untrl]{0,24}") {
            let theirs = serde_json::from_str::<serde_json::Value>(&text);
            let out_of_range = theirs.as_ref().is_err_and(|e| e.to_string().contains("out of range"));
            prop_assert_eq!(parse(&text).is_ok(), theirs.is_ok() || out_of_range, "{}", text);
        }
    }
}
