//! Hashes of the keys of a uniqueness check. Two equal keys have equal hashes, so that no repeated hash means no
//! repeated key; a repeated one is a suspicion that the set query settles.

use std::collections::HashSet;
use std::sync::OnceLock;

use arrow::array::ArrayRef;
use arrow::buffer::NullBuffer;
use laguna_base::Result;

use super::{Room, canonical, hashes};
use crate::kept::codec::{Reader, Writer};
use crate::plan::Ignore;
use crate::view::{View, present};

#[derive(Default)]
pub(crate) struct Keys {
    pub missing: u64,
    hashes: Vec<u64>,
    /// The row of each hash, where row numbers are kept.
    rows: Option<Vec<u64>>,
    overflowed: bool,
    suspicious: OnceLock<bool>,
}

impl Keys {
    pub fn new(row_numbers: bool) -> Keys {
        Keys { rows: row_numbers.then(Vec::new), ..Keys::default() }
    }

    pub fn update(&mut self, columns: &[usize], ignore: Ignore, view: &View<'_>, room: &Room) -> Result<()> {
        let kept = match ignore {
            Ignore::AllMissing => present(columns, view, false)?,
            Ignore::AnyMissing => present(columns, view, true)?,
            Ignore::Never => None,
        };
        let missing = kept.as_ref().map_or(0, NullBuffer::null_count);
        self.missing += missing as u64;
        let rows = view.rows() - missing;
        if self.overflowed || rows == 0 {
            return Ok(());
        }
        if !room.take(rows * if self.rows.is_some() { 2 } else { 1 }) {
            self.overflow(room);
            return Ok(());
        }
        let arrays: Vec<ArrayRef> =
            columns.iter().map(|c| Ok(canonical(view.values(*c)?))).collect::<Result<_>>()?;
        self.suspicious = OnceLock::new();
        let hashes = hashes(&arrays, 0x6c61_6775_6e61, view.rows())?;
        match &kept {
            None => self.hashes.extend_from_slice(&hashes),
            Some(kept) => self.hashes.extend(kept.valid_indices().map(|at| hashes[at])),
        }
        if let Some(numbers) = &mut self.rows {
            match &kept {
                None => numbers.extend((0..view.rows()).map(|at| view.number(at))),
                Some(kept) => numbers.extend(kept.valid_indices().map(|at| view.number(at))),
            }
        }
        Ok(())
    }

    fn overflow(&mut self, room: &Room) {
        room.give(self.words());
        *self = Keys { missing: self.missing, overflowed: true, ..Keys::default() };
    }

    pub fn words(&self) -> usize {
        self.hashes.len() * if self.rows.is_some() { 2 } else { 1 }
    }

    pub fn merge(&mut self, other: Keys, room: &Room) {
        self.suspicious = OnceLock::new();
        self.missing += other.missing;
        if self.overflowed || other.overflowed {
            room.give(other.words());
            self.overflow(room);
            return;
        }
        if self.hashes.is_empty() {
            self.hashes = other.hashes;
        } else {
            self.hashes.extend_from_slice(&other.hashes);
        }
        match (&mut self.rows, other.rows) {
            (Some(into), Some(from)) => into.extend(from),
            (rows, _) => *rows = None,
        }
    }

    /// Whether there was no room for all keys.
    pub fn overflowed(&self) -> bool {
        self.overflowed
    }

    pub fn write(&self, into: &mut Writer) {
        into.count(self.missing);
        into.count(self.hashes.len() as u64);
        self.hashes.iter().for_each(|hash| into.bits(*hash));
    }

    pub fn read(from: &mut Reader<'_>, room: &Room) -> Option<Keys> {
        let missing = from.count()?;
        let entries = from.entries(8)?;
        let hashes = (0..entries).map(|_| from.bits()).collect::<Option<Vec<u64>>>()?;
        if !from.is_done() {
            return None;
        }
        Some(match room.take(hashes.len()) {
            true => Keys { missing, hashes, ..Keys::default() },
            false => Keys { missing, overflowed: true, ..Keys::default() },
        })
    }

    /// Whether any key may stand twice.
    pub fn suspicious(&self) -> bool {
        *self.suspicious.get_or_init(|| {
            if self.overflowed {
                return true;
            }
            // In parts whose table fits the cache, so that the copy stays small too.
            let parts = 1 + self.hashes.len() as u64 / (1 << 18);
            let part_of = |hash: u64| ((u128::from(hash) * u128::from(parts)) >> 64) as u64;
            let mut part: Vec<u64> = Vec::new();
            (0..parts).any(|number| {
                part.clear();
                if parts == 1 {
                    return repeats(&self.hashes);
                }
                part.extend(self.hashes.iter().copied().filter(|hash| part_of(*hash) == number));
                repeats(&part)
            })
        })
    }

    /// Rows whose hash stands more than once, if they are known and as many as `total`, which the set query counted:
    /// then no two keys share a hash by chance, and these are the rows.
    pub fn repeated_rows(&self, total: u64) -> Vec<u64> {
        let Some(rows) = self.rows.as_ref().filter(|_| !self.overflowed) else { return Vec::new() };
        let mut seen = HashSet::with_capacity(self.hashes.len());
        let twice: HashSet<u64> = self.hashes.iter().copied().filter(|hash| !seen.insert(*hash)).collect();
        let found: Vec<u64> = self
            .hashes
            .iter()
            .zip(rows)
            .filter(|(hash, _)| twice.contains(hash))
            .map(|(_, row)| *row)
            .collect();
        if found.len() as u64 == total { found } else { Vec::new() }
    }
}

/// Whether a hash stands twice: an open-addressing table, at most half full, in which 0 marks a free slot.
fn repeats(hashes: &[u64]) -> bool {
    let slots = (2 * hashes.len() + 1).next_power_of_two();
    let mut table = vec![0u64; slots];
    for hash in hashes {
        // The hash 0 counts as 1: at worst a suspicion too many.
        let hash = (*hash).max(1);
        let mut slot = hash as usize & (slots - 1);
        while table[slot] != 0 {
            if table[slot] == hash {
                return true;
            }
            slot = (slot + 1) & (slots - 1);
        }
        table[slot] = hash;
    }
    false
}
