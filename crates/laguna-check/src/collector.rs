//! The accumulators of one stream: fed batch by batch, merged at the end.

use std::collections::HashSet;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};

use arrow::array::{ArrayRef, RecordBatch, UInt32Array};
use arrow::buffer::{BooleanBuffer, NullBuffer};
use arrow::datatypes::DataType;
use datafusion::common::hash_utils::{RandomState, create_hashes};
use laguna_base::{Error, Result};
use serde_json::{Map, Value};

use crate::moments::{Moments, Numbers};
use crate::plan::{Ignore, Plan, RowPlan};
use crate::set_query::EXAMPLES;
use crate::suite::Compiled;
use crate::value;
use crate::view::{View, failed};

/// What one stream of batches has shown so far.
pub struct Collector {
    compiled: Arc<Compiled>,
    rows: u64,
    states: Vec<State>,
    numbers: Vec<Numbers>,
    error: Option<Error>,
}

/// What one check has seen.
#[derive(Default)]
struct State {
    missing: u64,
    unexpected: u64,
    examples: Vec<Value>,
    keys: Keys,
    values: Values,
}

/// Hashes of the keys of a uniqueness check. Two equal keys have equal hashes, so that no repeated hash means no
/// repeated key; a repeated one is a suspicion that the set query settles.
#[derive(Default)]
struct Keys {
    hashes: Vec<u64>,
    overflowed: bool,
    suspicious: OnceLock<bool>,
}

/// The different values of a column, by hashes of 128 bits: among a billion values the chance that any two share one
/// is below 10⁻²⁰, so that their number is the number of values.
#[derive(Default)]
struct Values {
    hashes: HashSet<u128, BuildHasherDefault<Folded>>,
    overflowed: bool,
}

/// What one entry of [`Values`] takes from the room for hashes of 8 bytes, the table's free slots included.
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

/// What the pass knows of a check at the end.
pub(crate) struct Known {
    pub rows: u64,
    pub missing: u64,
    pub unexpected: u64,
    pub examples: Vec<Value>,
    /// Different values, where the pass counts them.
    pub distinct: u64,
}

impl Collector {
    pub(crate) fn new(compiled: Arc<Compiled>) -> Collector {
        let mut error = None;
        let mut numbers = Vec::with_capacity(compiled.numbers.len());
        for (column, family) in &compiled.numbers {
            match Numbers::new(*family, compiled.plain_type(*column)) {
                Ok(one) => numbers.push(one),
                Err(why) => {
                    numbers.push(Numbers::Moments(Moments::default()));
                    error = Some(why);
                }
            }
        }
        let states = compiled.checks.iter().map(|_| State::default()).collect();
        Collector { compiled, rows: 0, states, numbers, error }
    }

    /// Rows fed so far.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Adds rows that are known to be there without being fed.
    pub fn count_rows(&mut self, rows: u64) {
        self.rows += rows;
    }

    /// Feeds one batch, whose columns are those of the schema given to [`crate::Suite::compile`].
    ///
    /// Returns for each row the index of the first row check that refuses it, or null when it passes all; `None` when
    /// every row passes. Only critical checks without tolerance (`mostly` 1) refuse single rows.
    pub fn update(&mut self, batch: &RecordBatch) -> Result<Option<UInt32Array>> {
        let compiled = self.compiled.clone();
        if batch.num_columns() != compiled.schema.fields().len() {
            return Err(Error::internal(format!(
                "a batch of {} columns met checks for {}",
                batch.num_columns(),
                compiled.schema.fields().len()
            )));
        }
        self.rows += batch.num_rows() as u64;
        if batch.num_rows() == 0 {
            return Ok(None);
        }
        let view = View::new(batch);
        let mut refused: Option<Vec<Option<u32>>> = None;
        for (index, check) in compiled.checks.iter().enumerate() {
            let state = &mut self.states[index];
            match &check.plan {
                Plan::Row(row) => {
                    let Some(failing) = state.judge(row, &view)? else { continue };
                    if check.sets_rows_aside() {
                        let refused = refused.get_or_insert_with(|| vec![None; batch.num_rows()]);
                        for at in failing.set_indices() {
                            refused[at].get_or_insert(index as u32);
                        }
                    }
                }
                Plan::Unique { columns, ignore } => state.add_keys(columns, *ignore, &view, &compiled)?,
                Plan::ForeignKey { columns, .. } => {
                    // A key with any missing part refers to nothing.
                    if let Some(whole) = present(columns, &view, true)? {
                        state.missing += whole.null_count() as u64;
                    }
                }
                Plan::Distinct { column, .. } => state.add_values(*column, &view, &compiled)?,
                Plan::Aggregate { .. } | Plan::Sql { .. } | Plan::Table(_) => {}
            }
        }
        for (numbers, (column, _)) in self.numbers.iter_mut().zip(&compiled.numbers) {
            numbers.update(view.values(*column)?)?;
        }
        Ok(refused.map(UInt32Array::from))
    }

    /// Joins what another stream of the same suite has seen.
    pub fn merge(&mut self, mut other: Collector) {
        self.rows += other.rows;
        self.error = self.error.take().or(other.error.take());
        for (into, from) in self.states.iter_mut().zip(std::mem::take(&mut other.states)) {
            into.missing += from.missing;
            into.unexpected += from.unexpected;
            let room = EXAMPLES.saturating_sub(into.examples.len());
            into.examples.extend(from.examples.into_iter().take(room));
            let kept = into.keys.hashes.len() + from.keys.hashes.len();
            into.keys.merge(from.keys);
            let freed = kept - into.keys.hashes.len();
            let held = into.values.room() + from.values.room();
            into.values.merge(from.values);
            let freed = freed + held - into.values.room();
            self.compiled.hash_room.fetch_add(freed, Ordering::Relaxed);
        }
        for (into, from) in self.numbers.iter_mut().zip(std::mem::take(&mut other.numbers)) {
            if let Err(error) = into.merge(from) {
                self.error.get_or_insert(error);
            }
        }
    }

    /// Whether the pass leaves this check to the set query.
    pub(crate) fn is_open(&self, index: usize) -> bool {
        match &self.compiled.checks[index].plan {
            Plan::Unique { .. } => self.states[index].keys.suspicious(),
            Plan::ForeignKey { .. } => self.states[index].missing < self.rows,
            Plan::Distinct { .. } => self.states[index].values.overflowed,
            Plan::Sql { .. } => true,
            Plan::Row(_) | Plan::Aggregate { .. } | Plan::Table(_) => false,
        }
    }

    pub(crate) fn known(&mut self, index: usize) -> Known {
        let state = &mut self.states[index];
        Known {
            rows: self.rows,
            missing: state.missing,
            unexpected: state.unexpected,
            examples: std::mem::take(&mut state.examples),
            distinct: state.values.hashes.len() as u64,
        }
    }

    pub(crate) fn numbers(&mut self, slot: Option<usize>) -> Option<&mut Numbers> {
        self.numbers.get_mut(slot?)
    }

    pub(crate) fn moments(&mut self, slot: Option<usize>) -> Moments {
        match self.numbers(slot) {
            Some(Numbers::Moments(moments)) => moments.clone(),
            _ => Moments::default(),
        }
    }

    pub(crate) fn take_error(&mut self) -> Option<Error> {
        self.error.take()
    }
}

impl Drop for Collector {
    /// Gives the room of its hashes back to the other collectors of the suite.
    fn drop(&mut self) {
        let held: usize = self.states.iter().map(|state| state.keys.hashes.len() + state.values.room()).sum();
        self.compiled.hash_room.fetch_add(held, Ordering::Relaxed);
    }
}

impl State {
    /// Judges a batch and gives the failing rows, if there are any.
    fn judge(&mut self, row: &RowPlan, view: &View<'_>) -> Result<Option<BooleanBuffer>> {
        let nulls = if row.skip_missing { present(&row.columns[..1], view, true)? } else { None };
        self.missing += nulls.as_ref().map_or(0, |nulls| nulls.null_count() as u64);
        let Some(mut failing) = row.test.failing(view)? else { return Ok(None) };
        if let Some(nulls) = nulls {
            failing = &failing & nulls.inner();
        }
        let count = failing.count_set_bits();
        self.unexpected += count as u64;
        if count == 0 {
            return Ok(None);
        }
        for at in failing.set_indices().take(EXAMPLES.saturating_sub(self.examples.len())) {
            self.examples.push(example(row, view, at));
        }
        Ok(Some(failing))
    }

    fn add_keys(
        &mut self,
        columns: &[usize],
        ignore: Ignore,
        view: &View<'_>,
        compiled: &Compiled,
    ) -> Result<()> {
        let kept = match ignore {
            Ignore::AllMissing => present(columns, view, false)?,
            Ignore::AnyMissing => present(columns, view, true)?,
            Ignore::Never => None,
        };
        let missing = kept.as_ref().map_or(0, NullBuffer::null_count);
        self.missing += missing as u64;
        let rows = view.rows() - missing;
        if self.keys.overflowed || rows == 0 {
            return Ok(());
        }
        let room = &compiled.hash_room;
        if room.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(rows)).is_err() {
            room.fetch_add(self.keys.hashes.len(), Ordering::Relaxed);
            self.keys = Keys { overflowed: true, ..Keys::default() };
            return Ok(());
        }
        let arrays: Vec<ArrayRef> =
            columns.iter().map(|c| Ok(canonical(view.values(*c)?))).collect::<Result<_>>()?;
        self.keys.suspicious = OnceLock::new();
        let hashes = hashes(&arrays, 0x6c61_6775_6e61, view.rows())?;
        match kept {
            None => self.keys.hashes.extend_from_slice(&hashes),
            Some(kept) => self.keys.hashes.extend(kept.valid_indices().map(|at| hashes[at])),
        }
        Ok(())
    }

    fn add_values(&mut self, column: usize, view: &View<'_>, compiled: &Compiled) -> Result<()> {
        if self.values.overflowed {
            return Ok(());
        }
        let kept = present(&[column], view, true)?;
        let arrays = [canonical(view.values(column)?)];
        let low = hashes(&arrays, 0x6c61_6775_6e61, view.rows())?;
        let high = hashes(&arrays, 0x6c61_6b65, view.rows())?;
        let held = self.values.room();
        let whole = |at: usize| u128::from(high[at]) << 64 | u128::from(low[at]);
        match kept {
            None => self.values.hashes.extend((0..view.rows()).map(whole)),
            Some(kept) => self.values.hashes.extend(kept.valid_indices().map(whole)),
        }
        let (more, room) = (self.values.room() - held, &compiled.hash_room);
        if room.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(more)).is_err() {
            room.fetch_add(held, Ordering::Relaxed);
            self.values = Values { overflowed: true, ..Values::default() };
        }
        Ok(())
    }
}

fn hashes(arrays: &[ArrayRef], seed: u64, rows: usize) -> Result<Vec<u64>> {
    let mut hashes = vec![0u64; rows];
    create_hashes(arrays, &RandomState::with_seed(seed), &mut hashes).map_err(failed)?;
    Ok(hashes)
}

impl Values {
    /// What it holds of the room for hashes.
    fn room(&self) -> usize {
        self.hashes.len() * ENTRY
    }

    fn merge(&mut self, mut other: Values) {
        if self.overflowed || other.overflowed {
            *self = Values { overflowed: true, ..Values::default() };
            return;
        }
        if self.hashes.len() < other.hashes.len() {
            std::mem::swap(self, &mut other);
        }
        self.hashes.extend(other.hashes);
    }
}

/// Floats with one zero, because -0.0 equals 0.0 as a key.
fn canonical(array: &ArrayRef) -> ArrayRef {
    use arrow::array::AsArray;
    use arrow::datatypes::{Float32Type, Float64Type};
    match array.data_type() {
        DataType::Float64 => {
            Arc::new(array.as_primitive::<Float64Type>().unary::<_, Float64Type>(|v| v + 0.0))
        }
        DataType::Float32 => {
            Arc::new(array.as_primitive::<Float32Type>().unary::<_, Float32Type>(|v| v + 0.0))
        }
        _ => array.clone(),
    }
}

impl Keys {
    fn merge(&mut self, other: Keys) {
        self.suspicious = OnceLock::new();
        if self.overflowed || other.overflowed {
            *self = Keys { overflowed: true, ..Keys::default() };
        } else if self.hashes.is_empty() {
            self.hashes = other.hashes;
        } else {
            self.hashes.extend_from_slice(&other.hashes);
        }
    }

    /// Whether any key may stand twice.
    fn suspicious(&self) -> bool {
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

/// Which rows count: those with all of the columns (`every`), or with any. `None` when all rows do.
fn present(columns: &[usize], view: &View<'_>, every: bool) -> Result<Option<NullBuffer>> {
    let mut joined: Option<BooleanBuffer> = None;
    for column in columns {
        let Some(nulls) = view.present(*column)? else {
            if every {
                continue;
            }
            return Ok(None);
        };
        joined = Some(match joined {
            None => nulls.inner().clone(),
            Some(known) if every => &known & nulls.inner(),
            Some(known) => &known | nulls.inner(),
        });
    }
    Ok(joined.map(NullBuffer::new).filter(|nulls| nulls.null_count() > 0))
}

fn example(row: &RowPlan, view: &View<'_>, at: usize) -> Value {
    if let [column] = row.columns.as_slice()
        && !row.whole_rows
    {
        return view.values(*column).map_or(Value::Null, |values| value::json(values, at));
    }
    let schema = view.batch().schema();
    let one = |column: &usize| {
        (schema.field(*column).name().clone(), value::json(view.batch().column(*column), at))
    };
    Value::Object(row.columns.iter().map(one).collect::<Map<_, _>>())
}
