//! Counting hashes of 128 bits: how many different ones there are, how many stand for a row whose hash is repeated, and
//! which rows those are. Among a billion values the chance that any two share a hash is below 10⁻²⁰: equal hashes are
//! taken as equal values.

use std::collections::BinaryHeap;
use std::sync::atomic::{AtomicUsize, Ordering};

use laguna_base::{Error, Result};

/// The hash of a row, and the row's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry {
    pub low: u64,
    pub high: u64,
    /// Below 2⁶³.
    pub row: u64,
}

/// A row number that no row has: the slot is free.
const FREE: u64 = u64::MAX;
/// Set in the number of a first row that is counted as repeated.
const TOLD: u64 = 1 << 63;

/// What is known of hashes.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// How many different ones there are.
    pub distinct: u64,
    /// Rows whose hash another row has too.
    pub repeated: u64,
    /// The first of those rows, in order.
    pub rows: Vec<u64>,
}

/// A tally that grows.
#[derive(Default)]
struct Growing {
    distinct: u64,
    repeated: u64,
    /// The last one is on top.
    rows: BinaryHeap<u64>,
    limit: usize,
}

impl Growing {
    fn repeat(&mut self, row: u64) {
        self.repeated += 1;
        if self.rows.len() < self.limit {
            self.rows.push(row);
        } else if let Some(mut last) = self.rows.peek_mut()
            && row < *last
        {
            *last = row;
        }
    }
}

/// An open-addressing table, at most half full.
struct Table {
    slots: Vec<Entry>,
    mask: usize,
}

impl Table {
    fn clear(&mut self, entries: usize) {
        let slots = (2 * entries + 1).next_power_of_two();
        self.slots.clear();
        self.slots.resize(slots, Entry { low: 0, high: 0, row: FREE });
        self.mask = slots - 1;
    }

    #[inline]
    fn add(&mut self, entry: Entry, tally: &mut Growing) {
        // The low half chose the part, the high one chooses the place.
        let mut at = entry.high as usize & self.mask;
        loop {
            let held = &mut self.slots[at];
            if held.row == FREE {
                *held = entry;
                tally.distinct += 1;
                return;
            }
            if (held.low, held.high) == (entry.low, entry.high) {
                if held.row & TOLD == 0 {
                    tally.repeat(held.row);
                    held.row |= TOLD;
                }
                tally.repeat(entry.row);
                return;
            }
            at = (at + 1) & self.mask;
        }
    }
}

/// Hashes in parts, such that equal ones are in one part.
pub(crate) trait Parts: Sync {
    /// How many parts there are.
    fn parts(&self) -> usize;

    /// At least as many entries as a part has.
    fn most(&self, part: usize) -> usize;

    /// Each entry of a part.
    fn each(&self, part: usize, add: &mut dyn FnMut(&[Entry])) -> Result<()>;
}

/// The part of a hash, of so many.
#[inline]
pub(crate) fn part_of(low: u64, parts: usize) -> usize {
    ((u128::from(low) * parts as u128) >> 64) as usize
}

/// Counts all parts, side by side; keeps the first `limit` rows that are repeated. With `any` it may end at the first.
pub(crate) fn tally(hashes: &dyn Parts, limit: usize, any: bool) -> Result<Tally> {
    let next = AtomicUsize::new(0);
    let count = || -> Result<Growing> {
        let mut tally = Growing { limit, ..Growing::default() };
        let mut table = Table { slots: Vec::new(), mask: 0 };
        loop {
            let part = next.fetch_add(1, Ordering::Relaxed);
            if part >= hashes.parts() {
                return Ok(tally);
            }
            table.clear(hashes.most(part));
            hashes.each(part, &mut |entries| {
                for entry in entries {
                    table.add(*entry, &mut tally);
                }
            })?;
            if any && tally.repeated > 0 {
                next.store(hashes.parts(), Ordering::Relaxed);
            }
        }
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let helpers = cores.min(hashes.parts()).saturating_sub(1);
    std::thread::scope(|scope| {
        let helpers: Vec<_> = (0..helpers).map(|_| scope.spawn(count)).collect();
        let mut whole = count()?;
        for helper in helpers {
            let other = helper.join().map_err(|_| Error::internal("a count of hashes panicked"))??;
            whole.distinct += other.distinct;
            whole.repeated += other.repeated;
            whole.rows.extend(other.rows);
        }
        let mut rows = whole.rows.into_sorted_vec();
        rows.truncate(limit);
        Ok(Tally { distinct: whole.distinct, repeated: whole.repeated, rows })
    })
}
