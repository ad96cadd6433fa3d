//! The accumulators of one stream: fed batch by batch, merged at the end.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, UInt32Array};
use arrow::buffer::BooleanBuffer;
use laguna_base::{Error, Result};
use serde_json::{Map, Value};

use crate::failing::FailingRow;
use crate::gather::Slot;
use crate::gather::keys::Keys;
use crate::gather::tally::Tally;
use crate::kept::codec::{Reader, Writer};
use crate::kept::{Fed, What};
use crate::order::Order;
use crate::plan::{Ignore, Plan, RowPlan, Shows};
use crate::suite::{Compiled, CompiledCheck, Keep, Wanted};
use crate::value;
use crate::view::{View, failed, present};

/// What one stream of batches has shown so far.
pub struct Collector {
    compiled: Arc<Compiled>,
    /// What it is fed, when not all.
    pub(crate) fed: Option<Arc<Fed>>,
    keep: Keep,
    wanted: Arc<Wanted>,
    /// Rows that came, and the number of the next one.
    rows: u64,
    next: u64,
    /// Rows that met each of the conditions.
    met: Vec<u64>,
    /// Why a condition can no longer be computed.
    unmet: Vec<Option<String>>,
    states: Vec<State>,
    slots: Vec<Slot>,
    error: Option<Error>,
}

/// What one check has seen.
#[derive(Default)]
pub(crate) struct State {
    pub missing: u64,
    pub unexpected: u64,
    pub examples: Vec<Value>,
    pub numbers: Vec<u64>,
    pub rows: Vec<FailingRow>,
    pub order: Order,
    /// Why it can no longer be judged.
    pub error: Option<String>,
}

impl Collector {
    pub(crate) fn new(compiled: Arc<Compiled>, keep: Keep, wanted: Arc<Wanted>) -> Collector {
        let mut error = None;
        let mut slots = Vec::with_capacity(compiled.needs.len());
        for (_, need) in &compiled.needs {
            match Slot::new(need, |column| compiled.plain_type(column).clone(), keep.row_numbers) {
                Ok(slot) => slots.push(slot),
                Err(why) => {
                    slots.push(Slot::Moments(Default::default()));
                    error = Some(why);
                }
            }
        }
        let states = compiled.checks.iter().map(|_| State::default()).collect();
        let met = vec![0; compiled.conditions.len()];
        let unmet = vec![None; compiled.conditions.len()];
        Collector { compiled, fed: None, keep, wanted, rows: 0, next: 0, met, unmet, states, slots, error }
    }

    /// Rows fed so far.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Adds rows that are known to be there without being fed.
    pub fn count_rows(&mut self, rows: u64) {
        self.rows += rows;
        self.next += rows;
        // Only checks without a condition can be judged without rows.
        if let Some(all) = self.met.first_mut() {
            *all += rows;
        }
    }

    /// The number of the first row of the next batch, where rows are not counted from 0 on in this stream. Numbers rise
    /// with the order of rows, may leave gaps between batches, and are below 2⁶³.
    pub fn at_row(&mut self, number: u64) {
        self.next = number;
    }

    /// Feeds one batch, whose columns are those of the schema given to [`crate::Suite::compile`].
    ///
    /// Returns for each row the index of the first row check that refuses it, or null when it passes all; `None` when
    /// every row passes. Only critical checks without tolerance (`mostly` 1) refuse single rows.
    pub fn update(&mut self, batch: &RecordBatch) -> Result<Option<UInt32Array>> {
        let (compiled, fed) = (self.compiled.clone(), self.fed.clone());
        let fed = fed.as_deref();
        if batch.num_columns() != compiled.schema.fields().len() {
            return Err(Error::internal(format!(
                "a batch of {} columns met checks for {}",
                batch.num_columns(),
                compiled.schema.fields().len()
            )));
        }
        let base = self.next;
        self.rows += batch.num_rows() as u64;
        self.next += batch.num_rows() as u64;
        if batch.num_rows() == 0 {
            return Ok(None);
        }
        let mut views = Vec::with_capacity(compiled.conditions.len());
        let states = self.met.iter_mut().zip(&mut self.unmet);
        for (index, (condition, (met, unmet))) in compiled.conditions.iter().zip(states).enumerate() {
            let view = match &condition.test {
                Some(test) if fed.is_none_or(|fed| fed.views[index]) => {
                    let mask = match unmet {
                        Some(_) => None,
                        None => match mask(test.as_ref(), batch) {
                            Ok(mask) => Some(mask),
                            Err(error) => {
                                *unmet = Some(of_condition(&error));
                                None
                            }
                        },
                    };
                    // Where the condition cannot be computed its checks cannot be judged, and need no rows.
                    let none = || BooleanArray::new(BooleanBuffer::new_unset(batch.num_rows()), None);
                    View::filtered(batch, base, &mask.unwrap_or_else(none))
                }
                // Nobody looks at the rows of a condition that is not fed.
                _ => View::new(batch, base),
            };
            if index == 0 || fed.is_none_or(|fed| fed.conditions[index]) {
                *met += view.rows() as u64;
            }
            views.push(view);
        }
        for (index, (slot, (condition, need))) in self.slots.iter_mut().zip(&compiled.needs).enumerate() {
            if fed.is_none_or(|fed| fed.needs[index]) {
                slot.update(need, &views[*condition], &compiled.room)?;
            }
        }
        let mut refused: Option<Vec<Option<u32>>> = None;
        for (index, check) in compiled.checks.iter().enumerate() {
            if fed.is_some_and(|fed| !fed.checks[index]) {
                continue;
            }
            let (state, view) = (&mut self.states[index], &views[check.condition]);
            match &check.plan {
                Plan::Row(row) => {
                    let Some(failing) = state.judge(row, view, self.keep) else { continue };
                    if let Some(shown) = self.wanted.shown.get(index) {
                        let room = self.wanted.limit.saturating_sub(state.rows.len());
                        let places = failing.set_indices().take(room).map(|at| view.place(at));
                        state.rows.extend(places.map(|row| FailingRow::of(batch, row, shown)));
                    }
                    if check.sets_rows_aside() {
                        let refused = refused.get_or_insert_with(|| vec![None; batch.num_rows()]);
                        for at in failing.set_indices() {
                            refused[view.place(at)].get_or_insert(index as u32);
                        }
                    }
                }
                Plan::Order(plan) => {
                    if let Err(error) = Order::update(state, plan, view, self.keep) {
                        state.error = Some(error.to_string());
                    }
                }
                Plan::ForeignKey { columns, .. } => {
                    // A key with any missing part refers to nothing.
                    if let Some(whole) = present(columns, view, true)? {
                        state.missing += whole.null_count() as u64;
                    }
                }
                Plan::Misfit(misfit) => {
                    // It counts only where the text that does not fit turns out to be none.
                    misfit.row().and_then(|row| state.judge(row, view, self.keep));
                }
                Plan::Unique { .. } | Plan::Late(_) | Plan::Sql { .. } | Plan::Table(_) | Plan::Broken(_) => {
                }
            }
        }
        Ok(refused.map(UInt32Array::from))
    }

    /// Shows rows of the pass again, for [`crate::Suite::showing_rows`]: a batch whose first row has the number `first`.
    /// Batches come in the order of their rows.
    pub fn show(&mut self, batch: &RecordBatch, first: u64) -> Result<()> {
        let compiled = self.compiled.clone();
        let view = View::new(batch, first);
        let end = first + batch.num_rows() as u64;
        for (index, check) in compiled.checks.iter().enumerate() {
            let Plan::Unique { columns, .. } = &check.plan else { continue };
            let rows = self.repeats(check).map(|repeats| repeats.rows.as_slice()).unwrap_or_default();
            let rows = &rows[rows.partition_point(|row| *row < first)..];
            let rows = rows[..rows.partition_point(|row| *row < end)].to_vec();
            let shows = if columns.len() == 1 { Shows::Value } else { Shows::Row };
            for row in rows {
                let example = example(shows, columns, &view, (row - first) as usize)?;
                self.states[index].examples.push(example);
                self.states[index].numbers.push(row);
            }
        }
        Ok(())
    }

    /// For each check the failing rows that were kept, see [`crate::Suite::keeping_rows`].
    pub fn take_failing_rows(&mut self) -> Vec<Vec<FailingRow>> {
        self.states.iter_mut().map(|state| std::mem::take(&mut state.rows)).collect()
    }

    /// Joins what another stream of the same suite has seen. Checks of the order of rows take its rows as those that
    /// follow.
    pub fn merge(&mut self, mut other: Collector) {
        let compiled = self.compiled.clone();
        self.rows += other.rows;
        self.next = other.next;
        self.error = self.error.take().or(other.error.take());
        self.met.iter_mut().zip(&other.met).for_each(|(into, from)| *into += from);
        for (into, from) in self.unmet.iter_mut().zip(&mut other.unmet) {
            *into = into.take().or(from.take());
        }
        let states = self.states.iter_mut().zip(std::mem::take(&mut other.states));
        for ((into, from), check) in states.zip(&compiled.checks) {
            if let Plan::Order(plan) = &check.plan {
                Order::merge(into, &from, plan, self.keep);
            }
            into.missing += from.missing;
            into.unexpected += from.unexpected;
            into.error = into.error.take().or(from.error);
            into.join(from.examples, from.numbers, self.keep);
            let room = self.wanted.limit.saturating_sub(into.rows.len());
            into.rows.extend(from.rows.into_iter().take(room));
        }
        for (into, from) in self.slots.iter_mut().zip(std::mem::take(&mut other.slots)) {
            if let Err(error) = into.merge(from, &compiled.room) {
                self.error.get_or_insert(error);
            }
        }
    }

    pub(crate) fn state(&self, index: usize) -> &State {
        &self.states[index]
    }

    pub(crate) fn slot(&self, index: usize) -> &Slot {
        &self.slots[index]
    }

    /// The keys that a check of uniqueness looks at.
    pub(crate) fn keys(&self, check: &CompiledCheck) -> Option<&Keys> {
        check.slots.iter().find_map(|slot| match &self.slots[*slot] {
            Slot::Keys(keys) => Some(keys),
            _ => None,
        })
    }

    /// Which of them repeat; `None` when the pass cannot tell.
    pub(crate) fn repeats(&self, check: &CompiledCheck) -> Option<&Tally> {
        self.keys(check)?.repeats(self.keep.examples)
    }

    /// For each check of uniqueness the first rows with a key that repeats.
    pub(crate) fn repeated_rows(&self) -> impl Iterator<Item = &[u64]> {
        let unique = self.compiled.checks.iter().filter(|check| matches!(check.plan, Plan::Unique { .. }));
        unique.filter_map(|check| Some(self.repeats(check)?.rows.as_slice()))
    }

    pub(crate) fn slot_mut(&mut self, index: usize) -> &mut Slot {
        &mut self.slots[index]
    }

    /// How many rows the check at `index` has refused one by one.
    pub fn refused(&self, index: usize) -> u64 {
        self.states.get(index).map_or(0, |state| state.unexpected)
    }

    /// Takes what [`Collector::keep`] wrote of one part; `None` when the bytes are none of it.
    pub(crate) fn restored(&mut self, what: What, from: &mut Reader<'_>, compiled: &Compiled) -> Option<()> {
        match what {
            What::Condition(index) => {
                let met = from.count()?;
                from.is_done().then(|| self.met[index] = met)
            }
            What::Check(index) => {
                let state = State::read(from)?;
                from.is_done().then(|| self.states[index] = state)
            }
            What::Need(index) => {
                let types = |column: usize| compiled.plain_type(column).clone();
                self.slots[index].read(&compiled.needs[index].1, types, from, &compiled.room)
            }
        }
    }

    /// Why a condition could not be computed, if it could not.
    pub(crate) fn unmet(&self, condition: usize) -> Option<&str> {
        self.unmet[condition].as_deref()
    }

    /// Rows that met a condition.
    pub(crate) fn met(&self, condition: usize) -> u64 {
        self.met[condition]
    }

    pub(crate) fn keeping(&self) -> Keep {
        self.keep
    }

    /// Ends the pass.
    pub(crate) fn close(&mut self) -> Result<()> {
        match self.error.take() {
            Some(error) => Err(error),
            None => self.slots.iter_mut().try_for_each(Slot::close),
        }
    }
}

impl Drop for Collector {
    /// Gives the room of its accumulators back to the other collectors of the suite.
    fn drop(&mut self) {
        self.compiled.room.give(self.slots.iter().map(Slot::words).sum());
    }
}

/// What is said where a condition could not be computed.
fn of_condition(error: &Error) -> String {
    match error.causes().first() {
        Some(cause) => format!("the row condition could not be computed: {cause}"),
        None => format!("the row condition could not be computed: {}", error.message()),
    }
}

/// The rows that meet a condition.
fn mask(test: &dyn datafusion::physical_expr::PhysicalExpr, batch: &RecordBatch) -> Result<BooleanArray> {
    let answer = test.evaluate(batch).and_then(|answer| answer.into_array(batch.num_rows()));
    let answer: ArrayRef = answer.map_err(failed)?;
    match answer.as_boolean_opt() {
        Some(answer) => Ok(match answer.nulls() {
            Some(nulls) => BooleanArray::new(answer.values() & nulls.inner(), None),
            None => answer.clone(),
        }),
        None => Err(Error::internal("a row condition is neither true nor false")),
    }
}

impl State {
    /// Its content as bytes; `None` when it could not judge.
    pub fn write(&self, into: &mut Writer) -> Option<()> {
        if self.error.is_some() || !self.numbers.is_empty() {
            return None;
        }
        into.count(self.missing);
        into.count(self.unexpected);
        into.count(self.examples.len() as u64);
        self.examples.iter().for_each(|value| into.value(value));
        self.order.write(into);
        Some(())
    }

    fn read(from: &mut Reader<'_>) -> Option<State> {
        let (missing, unexpected) = (from.count()?, from.count()?);
        let examples = (0..from.entries(1)?).map(|_| from.value()).collect::<Option<_>>()?;
        Some(State { missing, unexpected, examples, order: Order::read(from)?, ..State::default() })
    }

    /// Judges a batch and gives the failing rows, if there are any.
    fn judge(&mut self, row: &RowPlan, view: &View<'_>, keep: Keep) -> Option<BooleanBuffer> {
        if self.error.is_some() {
            return None;
        }
        match self.failing(row, view, keep) {
            Ok(failing) => failing,
            Err(error) => {
                self.error = Some(described(&error));
                None
            }
        }
    }

    fn failing(&mut self, row: &RowPlan, view: &View<'_>, keep: Keep) -> Result<Option<BooleanBuffer>> {
        let nulls = match row.ignore {
            Ignore::Never => None,
            Ignore::AnyMissing => present(&row.columns, view, true)?,
            Ignore::AllMissing => present(&row.columns, view, false)?,
        };
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
        // Of a batch that comes late only the rows before those that are kept already can matter.
        let known = match keep.row_numbers {
            true => self.numbers.partition_point(|number| *number < view.number(0)),
            false => self.examples.len(),
        };
        let (mut examples, mut numbers) = (Vec::new(), Vec::new());
        for at in failing.set_indices().take(keep.examples.saturating_sub(known)) {
            examples.push(example(row.shows, &row.columns, view, at)?);
            if keep.row_numbers {
                numbers.push(view.number(at));
            }
        }
        if !examples.is_empty() {
            self.join(examples, numbers, keep);
        }
        Ok(Some(failing))
    }

    /// Keeps more failing values: the first ones where rows have numbers, else as they come.
    fn join(&mut self, examples: Vec<Value>, numbers: Vec<u64>, keep: Keep) {
        let sorted = match (self.numbers.last(), numbers.first()) {
            (Some(last), Some(first)) => last < first,
            _ => true,
        };
        self.examples.extend(examples);
        self.numbers.extend(numbers);
        if !sorted {
            let mut order: Vec<usize> = (0..self.numbers.len()).collect();
            // Stable sorts join runs that are sorted already in one go.
            order.sort_by_key(|at| self.numbers[*at]);
            self.numbers.sort();
            self.examples = order.iter().map(|at| std::mem::take(&mut self.examples[*at])).collect();
        }
        self.examples.truncate(keep.examples);
        self.numbers.truncate(keep.examples);
    }
}

/// An error as one text, its hint with it.
pub(crate) fn described(error: &Error) -> String {
    match error.hint_text() {
        Some(hint) => format!("{}; {hint}", error.message()),
        None => error.message().to_string(),
    }
}

fn example(shows: Shows, columns: &[usize], view: &View<'_>, at: usize) -> Result<Value> {
    let value = |column: &usize| -> Result<Value> { Ok(value::json(view.values(*column)?, at)) };
    match (shows, columns) {
        (Shows::Value, [column, ..]) => value(column),
        (Shows::Pair, columns) => Ok(Value::Array(columns.iter().map(value).collect::<Result<_>>()?)),
        _ => {
            let schema = view.batch().schema();
            let named = |column: &usize| Ok((schema.field(*column).name().clone(), value(column)?));
            Ok(Value::Object(columns.iter().map(named).collect::<Result<Map<_, _>>>()?))
        }
    }
}
