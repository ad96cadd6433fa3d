//! Fingerprints: BLAKE3 over length-prefixed parts, so that no two lists of parts collide by concatenation.

/// Collects parts and gives their fingerprint.
#[derive(Default, Clone)]
pub struct Fingerprint(blake3::Hasher);

impl Fingerprint {
    /// An empty fingerprint.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one part.
    pub fn part(mut self, part: impl AsRef<[u8]>) -> Self {
        self.add(part);
        self
    }

    /// Adds one part in place.
    pub fn add(&mut self, part: impl AsRef<[u8]>) {
        let part = part.as_ref();
        self.0.update(&(part.len() as u64).to_le_bytes());
        self.0.update(part);
    }

    /// 32 lower-case hexadecimal digits (128 bits).
    pub fn finish(&self) -> String {
        self.0.finalize().to_hex()[..32].to_string()
    }
}

/// The fingerprint of one byte string: 32 lower-case hexadecimal digits.
pub fn of(bytes: impl AsRef<[u8]>) -> String {
    blake3::hash(bytes.as_ref()).to_hex()[..32].to_string()
}
