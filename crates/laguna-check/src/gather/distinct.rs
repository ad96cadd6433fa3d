//! The different values of a column, by hashes of 128 bits: among a billion values the chance that any two share one is
//! below 10⁻²⁰, so that their number is the number of values.

use std::collections::HashSet;
use std::hash::{BuildHasherDefault, Hasher};

use laguna_base::Result;

use super::{Room, canonical, hashes};
use crate::kept::codec::{Reader, Writer};
use crate::view::View;

#[derive(Default)]
pub(crate) struct Values {
    hashes: HashSet<u128, BuildHasherDefault<Folded>>,
    overflowed: bool,
}

/// What one entry of [`Values`] takes, the table's free slots included.
const ENTRY: usize = 4;

/// Hashes are random already: their low half is their place.
#[derive(Default)]
struct Folded(u64);

impl Hasher for Folded {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u128(&mut self, hash: u128) {
        self.0 = hash as u64;
    }
}

impl Values {
    pub fn update(&mut self, column: usize, view: &View<'_>, room: &Room) -> Result<()> {
        if self.overflowed {
            return Ok(());
        }
        let kept = view.present(column)?;
        let arrays = [canonical(view.values(column)?)];
        let low = hashes(&arrays, 0x6c61_6775_6e61, view.rows())?;
        let high = hashes(&arrays, 0x6c61_6b65, view.rows())?;
        let held = self.words();
        let whole = |at: usize| u128::from(high[at]) << 64 | u128::from(low[at]);
        match kept {
            None => self.hashes.extend((0..view.rows()).map(whole)),
            Some(kept) => self.hashes.extend(kept.valid_indices().map(whole)),
        }
        if !room.take(self.words() - held) {
            room.give(held);
            *self = Values { overflowed: true, ..Values::default() };
        }
        Ok(())
    }

    /// How many; `None` when there was no room for them.
    pub fn count(&self) -> Option<u64> {
        (!self.overflowed).then_some(self.hashes.len() as u64)
    }

    pub fn words(&self) -> usize {
        self.hashes.len() * ENTRY
    }

    pub fn write(&self, into: &mut Writer) {
        into.count(self.hashes.len() as u64);
        self.hashes.iter().for_each(|hash| into.wide(*hash as i128));
    }

    pub fn read(from: &mut Reader<'_>, room: &Room) -> Option<Values> {
        let entries = from.entries(16)?;
        let mut read = Values::default();
        for _ in 0..entries {
            read.hashes.insert(from.wide()? as u128);
        }
        if !from.is_done() {
            return None;
        }
        if !room.take(read.words()) {
            read = Values { overflowed: true, ..Values::default() };
        }
        Some(read)
    }

    pub fn merge(&mut self, mut other: Values, room: &Room) {
        let held = self.words() + other.words();
        if self.overflowed || other.overflowed {
            *self = Values { overflowed: true, ..Values::default() };
        } else {
            if self.hashes.len() < other.hashes.len() {
                std::mem::swap(self, &mut other);
            }
            self.hashes.extend(other.hashes);
        }
        room.give(held - self.words());
    }
}
