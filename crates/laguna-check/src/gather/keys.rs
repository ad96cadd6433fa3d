//! The keys of a uniqueness check, by hashes of 128 bits (see [`super::tally`]). What memory has no room for goes to
//! disk.

use std::sync::OnceLock;

use arrow::array::ArrayRef;
use arrow::buffer::NullBuffer;
use laguna_base::Result;

use super::aside::Aside;
use super::hashes::wide_hashes;
use super::tally::{Entry, Parts, Tally, part_of, tally};
use super::{Room, canonical};
use crate::kept::codec::{Reader, Writer};
use crate::plan::Ignore;
use crate::view::{View, present};

#[derive(Default)]
pub(crate) struct Keys {
    pub missing: u64,
    /// Whether rows are told apart by their numbers.
    numbered: bool,
    chunks: Chunks,
    aside: Option<Aside>,
    /// Neither memory nor disk had room.
    overflowed: bool,
    /// The answer, once it was asked for.
    tally: OnceLock<Tally>,
}

/// Hashes in memory, batch by batch: nothing is copied while they grow.
#[derive(Default)]
struct Chunks(Vec<Chunk>);

/// Parts of the hashes in memory: as many as there is room for are some hundred thousand in each.
const PARTS: usize = 32;
/// How far the rows of a chunk lie apart, at most.
const REACH: usize = 1 << 16;

/// Some hashes, part by part.
struct Chunk {
    low: Vec<u64>,
    high: Vec<u64>,
    /// Number of the first row, and how far behind it each row lies; without numbers empty.
    first: u64,
    places: Vec<u16>,
    /// Where each part begins, and where the last one ends.
    parts: [u32; PARTS + 1],
}

impl Chunk {
    /// Sorts hashes into parts. `places` are rising, and as many as hashes or none.
    fn new(low: &[u64], high: &[u64], first: u64, places: &[u16]) -> Chunk {
        let mut parts = [0; PARTS + 1];
        for low in low {
            parts[part_of(*low, PARTS) + 1] += 1;
        }
        for part in 0..PARTS {
            parts[part + 1] += parts[part];
        }
        let mut next = parts;
        let mut sorted = (vec![0; low.len()], vec![0; low.len()], vec![0; places.len()]);
        for (at, (low, high)) in low.iter().zip(high).enumerate() {
            let place = &mut next[part_of(*low, PARTS)];
            let to = *place as usize;
            *place += 1;
            sorted.0[to] = *low;
            sorted.1[to] = *high;
            if let Some(place) = places.get(at) {
                sorted.2[to] = *place;
            }
        }
        Chunk { low: sorted.0, high: sorted.1, first, places: sorted.2, parts }
    }

    #[inline]
    fn entry(&self, at: usize) -> Entry {
        let row = self.first + self.places.get(at).map_or(0, |place| u64::from(*place));
        Entry { low: self.low[at], high: self.high[at], row }
    }

    fn words(&self) -> usize {
        self.low.len() * 2 + self.places.len().div_ceil(4)
    }
}

impl Parts for Chunks {
    fn parts(&self) -> usize {
        PARTS
    }

    fn most(&self, part: usize) -> usize {
        self.0.iter().map(|chunk| (chunk.parts[part + 1] - chunk.parts[part]) as usize).sum()
    }

    fn each(&self, part: usize, add: &mut dyn FnMut(&[Entry])) -> Result<()> {
        let mut entries = Vec::new();
        for chunk in &self.0 {
            entries.clear();
            let places = chunk.parts[part] as usize..chunk.parts[part + 1] as usize;
            entries.extend(places.map(|at| chunk.entry(at)));
            add(&entries);
        }
        Ok(())
    }
}

impl Keys {
    pub fn new(numbered: bool) -> Keys {
        Keys { numbered, ..Keys::default() }
    }

    pub fn update(&mut self, columns: &[usize], ignore: Ignore, view: &View<'_>, room: &Room) -> Result<()> {
        let kept = match ignore {
            Ignore::AllMissing => present(columns, view, false)?,
            Ignore::AnyMissing => present(columns, view, true)?,
            Ignore::Never => None,
        };
        let missing = kept.as_ref().map_or(0, NullBuffer::null_count);
        self.missing += missing as u64;
        if self.overflowed || view.rows() == missing {
            return Ok(());
        }
        let arrays: Vec<ArrayRef> =
            columns.iter().map(|c| Ok(canonical(view.values(*c)?))).collect::<Result<_>>()?;
        let (mut low, mut high) = wide_hashes(&arrays, view.rows())?;
        let place = |at: usize| view.place(at);
        let places: Vec<usize> = match &kept {
            _ if !self.numbered => Vec::new(),
            Some(kept) => kept.valid_indices().map(place).collect(),
            None => (0..view.rows()).map(place).collect(),
        };
        if let Some(kept) = &kept {
            low = kept.valid_indices().map(|at| low[at]).collect();
            high = kept.valid_indices().map(|at| high[at]).collect();
        }
        self.tally = OnceLock::new();
        let base = view.number(0) - view.place(0) as u64;
        let mut start = 0;
        while start < low.len() {
            let (first, end) = match places.get(start) {
                Some(first) => (*first, places.partition_point(|place| *place < first + REACH)),
                None => (0, low.len()),
            };
            let near: Vec<u16> = places
                .get(start..end)
                .unwrap_or_default()
                .iter()
                .map(|place| (place - first) as u16)
                .collect();
            self.add(Chunk::new(&low[start..end], &high[start..end], base + first as u64, &near), room);
            start = end;
        }
        Ok(())
    }

    fn add(&mut self, chunk: Chunk, room: &Room) {
        if self.overflowed {
            return;
        }
        if self.aside.is_none() && room.take(chunk.words()) {
            self.chunks.0.push(chunk);
        } else if self.set_aside(room).and_then(|aside| write(aside, &chunk)).is_err() {
            self.overflow(room);
        }
    }

    /// Writes all hashes that memory holds to disk.
    fn set_aside(&mut self, room: &Room) -> Result<&mut Aside> {
        let aside = self.aside.get_or_insert_default();
        for chunk in std::mem::take(&mut self.chunks).0 {
            room.give(chunk.words());
            write(aside, &chunk)?;
        }
        Ok(aside)
    }

    fn overflow(&mut self, room: &Room) {
        room.give(self.words());
        *self = Keys { missing: self.missing, overflowed: true, ..Keys::new(self.numbered) };
    }

    pub fn words(&self) -> usize {
        self.chunks.0.iter().map(Chunk::words).sum()
    }

    pub fn merge(&mut self, mut other: Keys, room: &Room) {
        self.tally = OnceLock::new();
        self.missing += other.missing;
        if self.overflowed || other.overflowed {
            room.give(other.words());
            self.overflow(room);
        } else if self.aside.is_none() && other.aside.is_none() {
            self.chunks.0.append(&mut other.chunks.0);
        } else {
            room.give(other.words());
            if self.join_aside(other, room).is_err() {
                self.overflow(room);
            }
        }
    }

    fn join_aside(&mut self, other: Keys, room: &Room) -> Result<()> {
        let aside = self.set_aside(room)?;
        other.chunks.0.iter().try_for_each(|chunk| write(aside, chunk))?;
        other.aside.map_or(Ok(()), |from| aside.merge(from))
    }

    /// Whether memory holds all keys, and nothing of their rows.
    pub fn held(&self) -> bool {
        !self.overflowed && self.aside.is_none() && !self.numbered
    }

    pub fn write(&self, into: &mut Writer) {
        into.count(self.missing);
        into.count(self.chunks.0.iter().map(|chunk| chunk.low.len() as u64).sum());
        for chunk in &self.chunks.0 {
            for (low, high) in chunk.low.iter().zip(&chunk.high) {
                into.bits(*low);
                into.bits(*high);
            }
        }
    }

    pub fn read(from: &mut Reader<'_>, room: &Room) -> Option<Keys> {
        let mut read = Keys { missing: from.count()?, ..Keys::new(false) };
        let entries = from.entries(16)?;
        let (mut low, mut high) = (Vec::with_capacity(entries), Vec::with_capacity(entries));
        for _ in 0..entries {
            low.push(from.bits()?);
            high.push(from.bits()?);
        }
        if !from.is_done() {
            return None;
        }
        if entries > 0 {
            read.add(Chunk::new(&low, &high, 0, &[]), room);
        }
        Some(read)
    }

    /// What repeats; `None` when there was no room for the keys. Of the rows that do the first `limit` are told, where
    /// they are numbered; else all that counts is whether there are any.
    pub fn repeats(&self, limit: usize) -> Option<&Tally> {
        if self.overflowed {
            return None;
        }
        if let Some(known) = self.tally.get() {
            return Some(known);
        }
        let limit = if self.numbered { limit } else { 0 };
        let made = match &self.aside {
            None => tally(&self.chunks, limit, !self.numbered),
            Some(aside) => tally(&aside.with(std::iter::empty()), limit, !self.numbered),
        };
        let made = made.ok()?;
        Some(self.tally.get_or_init(|| made))
    }
}

fn write(aside: &mut Aside, chunk: &Chunk) -> Result<()> {
    (0..chunk.low.len()).try_for_each(|at| aside.push(chunk.entry(at)))
}
