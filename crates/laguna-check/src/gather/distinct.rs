//! The different values of a column, by hashes of 128 bits (see [`super::tally`]). What memory has no room for goes to
//! disk.

use std::collections::HashSet;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::OnceLock;

use laguna_base::Result;

use super::aside::Aside;
use super::hashes::wide_hashes;
use super::tally::{Entry, tally};
use super::{Room, canonical};
use crate::kept::codec::{Reader, Writer};
use crate::view::View;

#[derive(Default)]
pub(crate) struct Values {
    hashes: HashSet<u128, BuildHasherDefault<Folded>>,
    aside: Option<Aside>,
    /// Neither memory nor disk had room.
    overflowed: bool,
    /// The answer, once it was asked for.
    count: OnceLock<Option<u64>>,
}

/// What one entry of [`Values`] takes, the table's free slots included.
const ENTRY: usize = 4;
/// Hashes that are held, and told apart, before they go to disk where others have gone already.
const FEW: usize = 1 << 16;

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

fn entry(hash: u128) -> Entry {
    Entry { low: hash as u64, high: (hash >> 64) as u64, row: 0 }
}

impl Values {
    pub fn update(&mut self, column: usize, view: &View<'_>, room: &Room) -> Result<()> {
        if self.overflowed {
            return Ok(());
        }
        self.count = OnceLock::new();
        let kept = view.present(column)?;
        let arrays = [canonical(view.values(column)?)];
        let (low, high) = wide_hashes(&arrays, view.rows())?;
        let held = self.words();
        let whole = |at: usize| u128::from(high[at]) << 64 | u128::from(low[at]);
        match kept {
            None => self.hashes.extend((0..view.rows()).map(whole)),
            Some(kept) => self.hashes.extend(kept.valid_indices().map(whole)),
        }
        if self.aside.is_some() {
            if self.hashes.len() > FEW {
                self.set_aside();
            }
        } else if !room.take(self.words() - held) {
            room.give(held);
            self.set_aside();
        }
        Ok(())
    }

    /// Writes all hashes that memory holds to disk. What they held of the room is given back by the caller.
    fn set_aside(&mut self) {
        let aside = self.aside.get_or_insert_default();
        let hashes = std::mem::take(&mut self.hashes);
        if hashes.into_iter().try_for_each(|hash| aside.push(entry(hash))).is_err() {
            *self = Values { overflowed: true, ..Values::default() };
        }
    }

    /// How many; `None` when there was no room for them.
    pub fn count(&self) -> Option<u64> {
        match &self.aside {
            _ if self.overflowed => None,
            None => Some(self.hashes.len() as u64),
            Some(aside) => *self.count.get_or_init(|| {
                let whole = aside.with(self.hashes.iter().copied().map(entry));
                Some(tally(&whole, 0, false).ok()?.distinct)
            }),
        }
    }

    pub fn words(&self) -> usize {
        // The few that are held beside a file need no room.
        if self.aside.is_some() { 0 } else { self.hashes.len() * ENTRY }
    }

    /// Whether memory holds all values.
    pub fn held(&self) -> bool {
        !self.overflowed && self.aside.is_none()
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
            read.set_aside();
        }
        Some(read)
    }

    pub fn merge(&mut self, mut other: Values, room: &Room) {
        self.count = OnceLock::new();
        let held = self.words() + other.words();
        if self.overflowed || other.overflowed {
            *self = Values { overflowed: true, ..Values::default() };
        } else if self.aside.is_some() || other.aside.is_some() {
            self.set_aside();
            let joined = self.aside.as_mut().is_some_and(|into| {
                other.hashes.into_iter().try_for_each(|hash| into.push(entry(hash))).is_ok()
                    && other.aside.is_none_or(|from| into.merge(from).is_ok())
            });
            if !joined {
                *self = Values { overflowed: true, ..Values::default() };
            }
        } else {
            if self.hashes.len() < other.hashes.len() {
                std::mem::swap(self, &mut other);
            }
            self.hashes.extend(other.hashes);
        }
        room.give(held - self.words());
    }
}
