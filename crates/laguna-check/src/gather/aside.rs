//! Hashes that memory has no room for: in a file that nobody else sees, cut into parts of equal hashes.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::PathBuf;
use std::sync::Mutex;

use laguna_base::{Error, Result};

use super::tally::{Entry, Parts, part_of};

/// Parts of each file: a billion hashes are a million in each.
const PARTS: usize = 1024;
/// Entries that are sorted into parts and written at one time.
const RUN: usize = 1 << 16;
/// Files that are open at one time; what comes in more of them is copied.
const SHELVES: usize = 16;
/// Bytes of an entry: its hash and its row.
const BYTES: usize = 24;

/// Hashes on disk.
#[derive(Default)]
pub(crate) struct Aside {
    files: Vec<Shelf>,
    /// Entries that are not written yet.
    pending: Vec<Entry>,
}

/// One file and what lies in it.
struct Shelf {
    file: Mutex<File>,
    path: PathBuf,
    runs: Vec<Run>,
    end: u64,
}

/// Entries that were sorted together.
struct Run {
    start: u64,
    /// Where each part begins behind the start, and where the last one ends.
    places: Box<[u32]>,
}

impl Run {
    /// The first entry of a part, and how many there are.
    fn part(&self, part: usize) -> (u64, usize) {
        let (start, end) = (self.places[part], self.places[part + 1]);
        (self.start + u64::from(start), (end - start) as usize)
    }
}

impl Aside {
    pub fn push(&mut self, entry: Entry) -> Result<()> {
        self.pending.push(entry);
        if self.pending.len() >= RUN { self.flush() } else { Ok(()) }
    }

    /// Joins what another stream has set aside.
    pub fn merge(&mut self, other: Aside) -> Result<()> {
        for shelf in other.files {
            if self.files.len() < SHELVES { self.files.push(shelf) } else { self.files[0].copy(&shelf)? }
        }
        other.pending.into_iter().try_for_each(|entry| self.push(entry))
    }

    /// What there is, in parts; `more` has come besides.
    pub fn with(&self, more: impl Iterator<Item = Entry>) -> Whole<'_> {
        let mut rest: Vec<Entry> = self.pending.iter().copied().chain(more).collect();
        rest.sort_unstable_by_key(|entry| entry.low);
        Whole { files: &self.files, rest }
    }

    fn flush(&mut self) -> Result<()> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let mut places = vec![0u32; PARTS + 1];
        for entry in &self.pending {
            places[part_of(entry.low, PARTS) + 1] += 1;
        }
        for part in 0..PARTS {
            places[part + 1] += places[part];
        }
        let mut next = places.clone();
        let mut bytes = vec![0; self.pending.len() * BYTES];
        for entry in &self.pending {
            let place = &mut next[part_of(entry.low, PARTS)];
            let at = *place as usize * BYTES;
            *place += 1;
            bytes[at..at + 8].copy_from_slice(&entry.low.to_le_bytes());
            bytes[at + 8..at + 16].copy_from_slice(&entry.high.to_le_bytes());
            bytes[at + 16..at + 24].copy_from_slice(&entry.row.to_le_bytes());
        }
        self.pending.clear();
        if self.files.is_empty() {
            self.files.push(Shelf::new()?);
        }
        self.files[0].append(places.into(), &bytes)
    }
}

/// Hashes on disk, and the rest in order.
pub(crate) struct Whole<'a> {
    files: &'a [Shelf],
    rest: Vec<Entry>,
}

impl Whole<'_> {
    fn rest(&self, part: usize) -> &[Entry] {
        let start = self.rest.partition_point(|entry| part_of(entry.low, PARTS) < part);
        let length = self.rest[start..].partition_point(|entry| part_of(entry.low, PARTS) == part);
        &self.rest[start..start + length]
    }
}

impl Parts for Whole<'_> {
    fn parts(&self) -> usize {
        PARTS
    }

    fn most(&self, part: usize) -> usize {
        let runs = self.files.iter().flat_map(|shelf| &shelf.runs);
        runs.map(|run| run.part(part).1).sum::<usize>() + self.rest(part).len()
    }

    fn each(&self, part: usize, add: &mut dyn FnMut(&[Entry])) -> Result<()> {
        let (mut bytes, mut entries) = (Vec::new(), Vec::new());
        add(self.rest(part));
        for shelf in self.files {
            for run in &shelf.runs {
                let (place, length) = run.part(part);
                bytes.resize(length * BYTES, 0);
                shelf.read(place, &mut bytes)?;
                entries.clear();
                entries.extend(bytes.chunks_exact(BYTES).map(|chunk| {
                    let word =
                        |at: usize| chunk[at..].first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
                    Entry { low: word(0), high: word(8), row: word(16) }
                }));
                add(&entries);
            }
        }
        Ok(())
    }
}

impl Shelf {
    fn new() -> Result<Shelf> {
        let folder = std::env::temp_dir();
        for number in 0.. {
            let path = folder.join(format!("laguna-hashes-{}-{number}", std::process::id()));
            match OpenOptions::new().read(true).write(true).create_new(true).open(&path) {
                Ok(file) => {
                    // Where a file that is open can lose its name, nothing is left of it when the process dies.
                    let _ = std::fs::remove_file(&path);
                    return Ok(Shelf { file: Mutex::new(file), path, runs: Vec::new(), end: 0 });
                }
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(broken(error)),
            }
        }
        Err(Error::internal("every name of a temporary file is taken"))
    }

    fn append(&mut self, places: Box<[u32]>, bytes: &[u8]) -> Result<()> {
        let file = self.file.get_mut().map_err(|_| poisoned())?;
        file.seek(SeekFrom::Start(self.end * BYTES as u64)).map_err(broken)?;
        file.write_all(bytes).map_err(broken)?;
        self.runs.push(Run { start: self.end, places });
        self.end += (bytes.len() / BYTES) as u64;
        Ok(())
    }

    /// Takes over what lies in another file.
    fn copy(&mut self, other: &Shelf) -> Result<()> {
        let mut bytes = Vec::new();
        for run in &other.runs {
            bytes.resize(run.places[PARTS] as usize * BYTES, 0);
            other.read(run.start, &mut bytes)?;
            self.append(run.places.clone(), &bytes)?;
        }
        Ok(())
    }

    fn read(&self, place: u64, bytes: &mut [u8]) -> Result<()> {
        let mut file = self.file.lock().map_err(|_| poisoned())?;
        file.seek(SeekFrom::Start(place * BYTES as u64)).map_err(broken)?;
        file.read_exact(bytes).map_err(broken)
    }
}

impl Drop for Shelf {
    fn drop(&mut self) {
        // Its name is still there only where an open file keeps it.
        if cfg!(not(unix)) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

fn broken(error: std::io::Error) -> Error {
    Error::storage("what does not fit into memory cannot be written to the folder for temporary files")
        .hint("free some space there, or name another folder with TMPDIR")
        .caused_by(error)
}

fn poisoned() -> Error {
    Error::internal("a count of hashes panicked")
}

#[cfg(test)]
mod tests {
    use super::super::tally::tally;
    use super::*;

    /// Entries of which the last `twice` repeat the first ones.
    fn entries(count: u64, twice: u64) -> impl Iterator<Item = Entry> {
        (0..count + twice).map(move |row| {
            let low = (row % count + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            Entry { low, high: low.rotate_left(29), row }
        })
    }

    #[test]
    fn what_was_written_is_counted_as_if_it_had_stayed() {
        let (count, twice) = (3 * RUN as u64, RUN as u64 / 2);
        let mut asides: Vec<Aside> = (0..SHELVES + 2).map(|_| Aside::default()).collect();
        let mut rest = Vec::new();
        for (at, entry) in entries(count, twice).enumerate() {
            match at % 5 {
                0 => rest.push(entry),
                _ => asides[at / 7 % (SHELVES + 2)].push(entry).unwrap(),
            }
        }
        // All but the last one have a file of their own.
        let (_, filed) = asides.split_last_mut().unwrap();
        filed.iter_mut().for_each(|aside| aside.flush().unwrap());
        let whole = asides.into_iter().reduce(|mut whole, other| {
            whole.merge(other).unwrap();
            whole
        });
        let whole = whole.unwrap();
        assert_eq!(whole.files.len(), SHELVES);
        let found = tally(&whole.with(rest.into_iter()), 10, false).unwrap();
        assert_eq!((found.distinct, found.repeated), (count, 2 * twice));
        assert_eq!(found.rows, (0..10).collect::<Vec<_>>());
        assert_eq!(tally(&whole.with(std::iter::empty()), 0, true).unwrap().rows, [0; 0]);
    }
}
