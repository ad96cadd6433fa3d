//! The bytes of a file as text formats see them: hashed, decompressed, decoded to UTF-8, without a byte order mark.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use encoding_rs::{Decoder, Encoding, UTF_8, UTF_16BE, UTF_16LE};
use laguna_base::{Error, Result, suggest};

use crate::InputFile;
use crate::discover::{hex, unreadable};

const GZIP: [u8; 2] = [0x1f, 0x8b];
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// What is noted of a file's bytes as they are taken from storage.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    /// Grows by the bytes taken.
    pub progress: Arc<AtomicU64>,
    /// Whether their hash is wanted.
    pub hashed: bool,
}

/// Text of one file.
pub struct Input {
    reader: Box<dyn Read + Send>,
    raw: Raw,
    path: String,
}

/// The encoding that `csv.encoding` names.
pub fn encoding(label: Option<&str>) -> Result<&'static Encoding> {
    let Some(label) = label else { return Ok(UTF_8) };
    let plain = label.trim().to_lowercase();
    Encoding::for_label(plain.as_bytes()).ok_or_else(|| {
        let known =
            ["utf-8", "latin1", "windows-1252", "utf-16", "utf-16le", "utf-16be", "iso-8859-15", "shift_jis"];
        Error::project(format!("`{label}` is not an encoding")).hint(suggest::hint(&plain, &known))
    })
}

/// The first bytes of a file after decompression, to recognise its format.
pub fn head(file: &InputFile, length: usize) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let input = Input::open(file, UTF_8, Tally::default())?;
    input.reader.take(length as u64).read_to_end(&mut bytes).map_err(|error| broken(&file.path, error))?;
    Ok(bytes)
}

impl Input {
    /// Opens `file`.
    pub fn open(file: &InputFile, encoding: &'static Encoding, tally: Tally) -> Result<Input> {
        let opened = File::open(&file.absolute).map_err(|error| unreadable(&file.path, error))?;
        let hasher = tally.hashed.then(blake3::Hasher::new);
        let raw = Raw(Arc::new(Mutex::new(Tap { file: opened, hasher, progress: tally.progress })));
        let mut magic = Vec::new();
        raw.clone().take(4).read_to_end(&mut magic).map_err(|error| unreadable(&file.path, error))?;
        let chained = io::Cursor::new(magic.clone()).chain(raw.clone());
        // What the bytes say wins over the extension: browsers unpack `.gz` files silently.
        let reader: Box<dyn Read + Send> = if magic.starts_with(&GZIP) {
            Box::new(flate2::bufread::MultiGzDecoder::new(BufReader::with_capacity(1 << 17, chained)))
        } else if magic.starts_with(&ZSTD) {
            let decoder =
                zstd::stream::read::Decoder::with_buffer(BufReader::with_capacity(1 << 17, chained));
            Box::new(decoder.map_err(|error| broken(&file.path, error))?)
        } else {
            Box::new(chained)
        };
        let mut input = Input { reader, raw, path: file.path.clone() };
        input.decode(encoding)?;
        Ok(input)
    }

    fn decode(&mut self, encoding: &'static Encoding) -> Result<()> {
        let mut start = Vec::new();
        (&mut self.reader).take(3).read_to_end(&mut start).map_err(|error| broken(&self.path, error))?;
        let mut encoding = encoding;
        if let Some((marked, length)) = Encoding::for_bom(&start) {
            // A mark is sure; it is only trusted where it does not contradict a single-byte encoding that was asked for.
            if encoding == UTF_8 || encoding == UTF_16LE || encoding == UTF_16BE || marked == UTF_8 {
                encoding = marked;
                start.drain(..length);
            }
        }
        let rest = std::mem::replace(&mut self.reader, Box::new(io::empty()));
        let chained = io::Cursor::new(start).chain(rest);
        self.reader = if encoding == UTF_8 {
            Box::new(chained)
        } else {
            Box::new(Decoded {
                inner: Box::new(chained),
                decoder: encoding.new_decoder_without_bom_handling(),
                bytes: Vec::new(),
                text: Vec::new(),
                at: 0,
                done: false,
            })
        };
        Ok(())
    }

    /// Appends up to `length` bytes to `buffer`; fewer only at the end of the file.
    pub fn fill(&mut self, buffer: &mut Vec<u8>, length: usize) -> Result<usize> {
        buffer.reserve(length);
        (&mut self.reader).take(length as u64).read_to_end(buffer).map_err(|error| broken(&self.path, error))
    }

    /// The hash of all bytes of the file, as found; `None` when it is not wanted. Reads what is left of it.
    pub fn hash(mut self) -> Result<Option<String>> {
        if !self.raw.hashed()? {
            return Ok(None);
        }
        io::copy(&mut self.raw, &mut io::sink()).map_err(|error| unreadable(&self.path, error))?;
        let tap = self.raw.0.lock().map_err(|_| Error::internal("a reader of files panicked"))?;
        Ok(tap.hasher.as_ref().map(hex))
    }

    /// The same for readers that want to own what they read from.
    pub fn share(self) -> Shared {
        let (raw, path) = (self.raw, self.path);
        Shared { reader: Arc::new(Mutex::new(self.reader)), raw, path }
    }
}

/// An [`Input`] with two owners: a reader, and whoever asks for the hash.
#[derive(Clone)]
pub struct Shared {
    reader: Arc<Mutex<Box<dyn Read + Send>>>,
    raw: Raw,
    path: String,
}

impl Shared {
    /// See [`Input::hash`].
    pub fn hash(self) -> Result<Option<String>> {
        Input { reader: Box::new(io::empty()), raw: self.raw, path: self.path }.hash()
    }
}

impl Read for Shared {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.reader.lock().map_err(|_| io::Error::other("a reader of files panicked"))?.read(buffer)
    }
}

fn broken(path: &str, error: io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => {
            Error::failed(format!("the file `{path}` is incomplete: its compressed data ends early"))
                .hint("fetch the file again; nothing of this batch has landed")
        }
        io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData | io::ErrorKind::Other => {
            Error::failed(format!("the file `{path}` is damaged: its compressed data makes no sense"))
                .hint("fetch the file again; nothing of this batch has landed")
        }
        _ => return unreadable(path, error),
    }
    .caused_by(error)
}

/// The file itself; shared, so that the hash can be taken when the decompressor is done with it.
#[derive(Clone)]
struct Raw(Arc<Mutex<Tap>>);

impl Raw {
    fn hashed(&self) -> Result<bool> {
        let tap = self.0.lock().map_err(|_| Error::internal("a reader of files panicked"))?;
        Ok(tap.hasher.is_some())
    }
}

struct Tap {
    file: File,
    hasher: Option<blake3::Hasher>,
    progress: Arc<AtomicU64>,
}

impl Read for Raw {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut tap = self.0.lock().map_err(|_| io::Error::other("a reader of files panicked"))?;
        let read = tap.file.read(buffer)?;
        if let Some(hasher) = &mut tap.hasher {
            hasher.update(&buffer[..read]);
        }
        tap.progress.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

/// Text of another encoding, as UTF-8. What the encoding does not know becomes U+FFFD.
struct Decoded {
    inner: Box<dyn Read + Send>,
    decoder: Decoder,
    bytes: Vec<u8>,
    text: Vec<u8>,
    at: usize,
    done: bool,
}

impl Read for Decoded {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.at == self.text.len() && !self.done {
            self.bytes.resize(1 << 16, 0);
            let read = self.inner.read(&mut self.bytes)?;
            self.done = read == 0;
            self.text.resize(self.decoder.max_utf8_buffer_length(read).unwrap_or(read * 3 + 16), 0);
            let (_, _, written, _) =
                self.decoder.decode_to_utf8(&self.bytes[..read], &mut self.text, self.done);
            self.text.truncate(written);
            self.at = 0;
        }
        let length = buffer.len().min(self.text.len() - self.at);
        buffer[..length].copy_from_slice(&self.text[self.at..self.at + length]);
        self.at += length;
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn text_of(bytes: &[u8], label: Option<&str>) -> Result<(String, String)> {
        let dir = tempfile::tempdir().unwrap();
        let absolute = dir.path().join("f");
        std::fs::write(&absolute, bytes).unwrap();
        let file = InputFile { path: "f".into(), absolute, size: bytes.len() as u64, modified: None };
        let tally = Tally { hashed: true, ..Tally::default() };
        let mut input = Input::open(&file, encoding(label)?, tally)?;
        let mut text = Vec::new();
        while input.fill(&mut text, 7)? > 0 {}
        Ok((String::from_utf8(text).unwrap(), input.hash()?.unwrap()))
    }

    fn gzip(text: &str) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn bytes_become_text_and_the_hash_is_of_the_bytes() {
        let two = [gzip("hello "), gzip("world")].concat();
        assert_eq!(text_of(&two, None).unwrap(), ("hello world".into(), laguna_base::hash::of(&two)));
        let frames =
            [zstd::encode_all(&b"a"[..], 1).unwrap(), zstd::encode_all(&b"b"[..], 1).unwrap()].concat();
        assert_eq!(text_of(&frames, None).unwrap().0, "ab");
        assert_eq!(text_of(b"\xef\xbb\xbfx", None).unwrap().0, "x");
        assert_eq!(text_of(b"caf\xe9 \x80", Some("latin1")).unwrap().0, "café €");
        let utf16: Vec<u8> = "\u{feff}né😀".encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert_eq!(text_of(&utf16, None).unwrap().0, "né😀");
        assert_eq!(text_of(&utf16, Some("utf-16")).unwrap().0, "né😀");
        assert_eq!(text_of(b"", None).unwrap().0, "");
    }

    #[test]
    fn damage_is_told() {
        let whole = gzip(&"hello world ".repeat(1000));
        let error = text_of(&whole[..whole.len() - 9], None).unwrap_err();
        assert!(error.message().contains("`f` is incomplete"), "{error:?}");
        let frame = zstd::encode_all(&vec![7u8; 100_000][..], 1).unwrap();
        assert!(text_of(&frame[..frame.len() - 2], None).is_err());
        assert!(encoding(Some("utf8!")).unwrap_err().hint_text().unwrap().contains("utf-8"));
    }
}
