//! Bytes of a kept accumulator: whole numbers in as few bytes as they need (LEB128), floats bit by bit, JSON values
//! with their type. What cannot be read is `None`, never a wrong value.

use serde_json::{Map, Number, Value};

/// Values nested deeper than this are not read back.
const DEPTH: usize = 64;

/// Puts values one after the other.
#[derive(Default)]
pub(crate) struct Writer(Vec<u8>);

impl Writer {
    pub fn finish(self) -> Vec<u8> {
        self.0
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn count(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.0.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.0.push(number as u8);
    }

    pub fn wide(&mut self, number: i128) {
        self.0.extend(number.to_le_bytes());
    }

    pub fn bits(&mut self, bits: u64) {
        self.0.extend(bits.to_le_bytes());
    }

    pub fn float(&mut self, float: f64) {
        self.bits(float.to_bits());
    }

    pub fn bytes(&mut self, bytes: &[u8]) {
        self.count(bytes.len() as u64);
        self.0.extend(bytes);
    }

    pub fn value(&mut self, value: &Value) {
        match value {
            Value::Null => self.count(0),
            Value::Bool(flag) => self.count(1 + u64::from(*flag)),
            Value::Number(number) => self.number(number),
            Value::String(text) => {
                self.count(6);
                self.bytes(text.as_bytes());
            }
            Value::Array(values) => {
                self.count(7);
                self.count(values.len() as u64);
                values.iter().for_each(|value| self.value(value));
            }
            Value::Object(fields) => {
                self.count(8);
                self.count(fields.len() as u64);
                for (name, value) in fields {
                    self.bytes(name.as_bytes());
                    self.value(value);
                }
            }
        }
    }

    fn number(&mut self, number: &Number) {
        if let Some(whole) = number.as_u64() {
            self.count(3);
            self.bits(whole);
        } else if let Some(whole) = number.as_i64() {
            self.count(4);
            self.bits(whole as u64);
        } else {
            self.count(5);
            self.float(number.as_f64().unwrap_or(f64::NAN));
        }
    }
}

/// Takes them out in the same order.
pub(crate) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader(bytes)
    }

    /// Whether all was read.
    pub fn is_done(&self) -> bool {
        self.0.is_empty()
    }

    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    pub fn count(&mut self) -> Option<u64> {
        let mut number = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.take(1)?[0];
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(number);
            }
        }
        None
    }

    /// A number of entries that follow, each of at least `size` bytes.
    pub fn entries(&mut self, size: usize) -> Option<usize> {
        let count = usize::try_from(self.count()?).ok()?;
        (count <= self.0.len() / size.max(1)).then_some(count)
    }

    pub fn wide(&mut self) -> Option<i128> {
        Some(i128::from_le_bytes(self.take(16)?.try_into().ok()?))
    }

    pub fn bits(&mut self) -> Option<u64> {
        Some(u64::from_le_bytes(self.take(8)?.try_into().ok()?))
    }

    pub fn float(&mut self) -> Option<f64> {
        self.bits().map(f64::from_bits)
    }

    pub fn bytes(&mut self) -> Option<&'a [u8]> {
        let count = self.entries(1)?;
        self.take(count)
    }

    pub fn text(&mut self) -> Option<&'a str> {
        std::str::from_utf8(self.bytes()?).ok()
    }

    pub fn value(&mut self) -> Option<Value> {
        self.value_within(DEPTH)
    }

    fn value_within(&mut self, depth: usize) -> Option<Value> {
        let depth = depth.checked_sub(1)?;
        Some(match self.count()? {
            0 => Value::Null,
            1 => Value::Bool(false),
            2 => Value::Bool(true),
            3 => Value::from(self.bits()?),
            4 => Value::from(self.bits()? as i64),
            5 => Value::Number(Number::from_f64(self.float()?)?),
            6 => Value::from(self.text()?),
            7 => {
                let count = self.entries(1)?;
                Value::Array((0..count).map(|_| self.value_within(depth)).collect::<Option<_>>()?)
            }
            8 => {
                let count = self.entries(2)?;
                let mut fields = Map::new();
                for _ in 0..count {
                    let name = self.text()?.to_string();
                    fields.insert(name, self.value_within(depth)?);
                }
                Value::Object(fields)
            }
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_come_back_as_they_were() {
        let value = json!([null, true, -3, u64::MAX, 0.1, 1e300, "ä", {"b": [1.5], "a": {}}]);
        let mut writer = Writer::default();
        writer.value(&value);
        writer.count(u64::MAX);
        writer.wide(i128::MIN);
        writer.float(-0.0);
        let bytes = writer.finish();
        let mut reader = Reader::new(&bytes);
        assert_eq!(reader.value(), Some(value));
        assert_eq!(reader.count(), Some(u64::MAX));
        assert_eq!(reader.wide(), Some(i128::MIN));
        assert_eq!(reader.float().map(f64::to_bits), Some((-0.0f64).to_bits()));
        assert!(reader.is_done());
        for cut in 0..bytes.len() {
            let mut reader = Reader::new(&bytes[..cut]);
            let read = reader.value().and(reader.count()).and(reader.wide()).and(reader.float());
            assert_eq!(read, None, "{cut} bytes are not the whole");
        }
    }

    #[test]
    fn a_count_that_cannot_be_is_refused_before_room_is_made() {
        let mut writer = Writer::default();
        writer.count(7);
        writer.count(1 << 60);
        let bytes = writer.finish();
        assert_eq!(Reader::new(&bytes).value(), None);
    }
}
