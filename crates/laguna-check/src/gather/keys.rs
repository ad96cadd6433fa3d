//! The keys of a uniqueness check, by hashes of 128 bits (see [`super::tally`]). What memory has no room for goes to
//! disk.

use std::sync::OnceLock;

use arrow::array::ArrayRef;
use arrow::buffer::NullBuffer;
use laguna_base::Result;

use super::aside::Aside;
use super::tally::{Entry, PART, Parts, Tally, part_of, tally};
use super::{Room, canonical, wide_hashes};
use crate::plan::Ignore;
use crate::view::{View, present};

#[derive(Default)]
pub(crate) struct Keys {
    pub missing: u64,
    /// Whether rows are told apart by their numbers.
    numbered: bool,
    held: Chunks,
    aside: Option<Aside>,
    /// Neither memory nor disk had room.
    overflowed: bool,
    /// The answer, once it was asked for.
    tally: OnceLock<Tally>,
}

/// Hashes in memory, batch by batch: nothing is copied while they grow.
#[derive(Default)]
struct Chunks {
    chunks: Vec<Chunk>,
    entries: usize,
}

struct Chunk {
    low: Vec<u64>,
    high: Vec<u64>,
    first: u64,
    /// How far behind the first row each row lies; empty where they follow one another.
    places: Vec<u32>,
}

impl Chunk {
    #[inline]
    fn entry(&self, at: usize) -> Entry {
        let place = if self.places.is_empty() { at as u64 } else { u64::from(self.places[at]) };
        Entry { low: self.low[at], high: self.high[at], row: self.first + place }
    }

    fn words(&self) -> usize {
        self.low.len() * 2 + self.places.len() / 2
    }
}

impl Parts for Chunks {
    fn parts(&self) -> usize {
        self.entries.div_ceil(PART).max(1)
    }

    fn most(&self, _: usize) -> usize {
        // Hashes spread evenly: a part with an eighth more than its share is not met.
        let share = self.entries / self.parts();
        share + share / 8 + 1024
    }

    fn each(&self, part: usize, add: &mut dyn FnMut(&[Entry])) -> Result<()> {
        let parts = self.parts();
        let mut entries = Vec::new();
        for chunk in &self.chunks {
            entries.clear();
            let here = chunk.low.iter().enumerate().filter(|(_, low)| part_of(**low, parts) == part);
            entries.extend(here.map(|(at, _)| chunk.entry(at)));
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
        let first = if self.numbered { view.number(0) - view.place(0) as u64 } else { 0 };
        let place = |at: usize| view.place(at) as u32;
        let mut places = Vec::new();
        match &kept {
            Some(kept) if self.numbered => places.extend(kept.valid_indices().map(place)),
            None if self.numbered && view.is_filtered() => places.extend((0..view.rows()).map(place)),
            _ => {}
        }
        if let Some(kept) = &kept {
            low = kept.valid_indices().map(|at| low[at]).collect();
            high = kept.valid_indices().map(|at| high[at]).collect();
        }
        self.tally = OnceLock::new();
        let chunk = Chunk { low, high, first, places };
        if self.aside.is_none() && room.take(chunk.words()) {
            self.held.entries += chunk.low.len();
            self.held.chunks.push(chunk);
        } else if self.set_aside(room).and_then(|aside| write(aside, &chunk)).is_err() {
            self.overflow(room);
        }
        Ok(())
    }

    /// Writes all hashes that memory holds to disk.
    fn set_aside(&mut self, room: &Room) -> Result<&mut Aside> {
        let aside = self.aside.get_or_insert_default();
        for chunk in std::mem::take(&mut self.held).chunks {
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
        self.held.chunks.iter().map(Chunk::words).sum()
    }

    pub fn merge(&mut self, mut other: Keys, room: &Room) {
        self.tally = OnceLock::new();
        self.missing += other.missing;
        if self.overflowed || other.overflowed {
            room.give(other.words());
            self.overflow(room);
        } else if self.aside.is_none() && other.aside.is_none() {
            self.held.entries += other.held.entries;
            self.held.chunks.append(&mut other.held.chunks);
        } else {
            let joined = other.set_aside(room).map(std::mem::take);
            if self.set_aside(room).and_then(|aside| aside.merge(joined?)).is_err() {
                room.give(other.words());
                self.overflow(room);
            }
        }
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
            None => tally(&self.held, limit, !self.numbered),
            Some(aside) => tally(&aside.with(std::iter::empty()), limit, !self.numbered),
        };
        let made = made.ok()?;
        Some(self.tally.get_or_init(|| made))
    }
}

fn write(aside: &mut Aside, chunk: &Chunk) -> Result<()> {
    (0..chunk.low.len()).try_for_each(|at| aside.push(chunk.entry(at)))
}
