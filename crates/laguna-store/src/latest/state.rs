//! What a version of a latest table says of itself, and which version stands for a moment.

use std::collections::BTreeMap;

use datafusion::scalar::ScalarValue;
use laguna_base::{Instant, Result};
use serde::{Deserialize, Serialize};

use super::LatestRule;
use crate::landed::log_entry;
use crate::{CommitNote, Lake, Snapshot};

/// What a commit's note says of the latest rows that it made.
#[derive(Debug, Clone)]
pub(super) struct State {
    /// Newest `_ingested_at` absorbed.
    pub(super) watermark: Instant,
    /// Raw version absorbed.
    pub(super) absorbed: u64,
    /// Where deleted keys are kept aside.
    pub(super) tombstones: Option<String>,
    /// How files are cut by key.
    pub(super) buckets: Buckets,
}

/// Which bucket each file holds.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Buckets {
    /// Buckets in all: a power of two.
    pub(super) count: u32,
    /// Path of each file to its bucket.
    pub(super) files: BTreeMap<String, u32>,
}

/// Names in [`CommitNote::more`].
const RULE: &str = "rule";
const KEY_TYPES: &str = "key_types";
const BUCKETS: &str = "buckets";

impl State {
    /// Reads a note; `None` when it was made by another rule or over other key types, so that it is of no use.
    pub(super) fn of(note: &CommitNote, rule: &LatestRule, raw: &Snapshot) -> Option<State> {
        let same_rule = serde_json::from_value::<LatestRule>(note.more.get(RULE)?.clone()).ok()? == *rule;
        let same_types = note.more.get(KEY_TYPES)?.as_str()? == key_types(rule, raw);
        if !same_rule || !same_types {
            return None;
        }
        Some(State {
            watermark: note.watermark?,
            absorbed: note.absorbed?,
            tombstones: note.tombstones.clone(),
            buckets: serde_json::from_value(note.more.get(BUCKETS)?.clone()).ok()?,
        })
    }

    /// The note of a commit that makes this state.
    pub(super) fn note(self, rule: &LatestRule, raw: &Snapshot) -> CommitNote {
        let json = |value: serde_json::Result<serde_json::Value>| value.unwrap_or_default();
        CommitNote {
            watermark: Some(self.watermark),
            absorbed: Some(self.absorbed),
            tombstones: self.tombstones,
            more: BTreeMap::from([
                (RULE.to_string(), json(serde_json::to_value(rule))),
                (KEY_TYPES.to_string(), key_types(rule, raw).into()),
                (BUCKETS.to_string(), json(serde_json::to_value(&self.buckets))),
            ]),
            ..CommitNote::default()
        }
    }
}

/// The types of the key columns, by whose values buckets are cut, and which other columns have had no value yet: a
/// state made without them is of no use when they come.
fn key_types(rule: &LatestRule, raw: &Snapshot) -> String {
    let type_of = |column: &String| {
        let found = raw.schema.fields().find(column);
        found.map_or("none".to_string(), |(_, field)| field.data_type().to_string())
    };
    let mut types = rule.key.iter().map(type_of).collect::<Vec<_>>().join(", ");
    for column in rule.order.iter().chain(&rule.op) {
        if raw.schema.fields().find(column).is_none() {
            types.push_str(&format!("; no {column}"));
        }
    }
    types
}

/// The newest version of the latest table that holds nothing that arrived after `at`.
pub(super) async fn newest_until(
    lake: &Lake,
    raw: &Snapshot,
    rule: &LatestRule,
    at: Option<Instant>,
) -> Result<Option<(Snapshot, State)>> {
    let table = raw.table.latest();
    let Some(head) = lake.head(&table).await? else { return Ok(None) };
    let fits = |state: &State| at.is_none_or(|at| state.watermark <= at);
    if let Some(state) = State::of(&head.note, rule, raw)
        && fits(&state)
    {
        return Ok(Some((head, state)));
    }
    if at.is_none() {
        return Ok(None);
    }
    for version in (0..head.version).rev() {
        // Where the log ends, or turns to another rule, the rest is computed from raw.
        let Some(entry) = log_entry(lake, &table, version).await? else { return Ok(None) };
        if entry.note == CommitNote::default() {
            continue;
        }
        let Some(state) = State::of(&entry.note, rule, raw) else { return Ok(None) };
        if fits(&state) {
            return Ok(Some((lake.snapshot(&table, version).await?, state)));
        }
    }
    Ok(None)
}

/// The newest `_ingested_at` of a batch of `raw` at or before `at`; `None` when nothing had arrived by then.
pub(super) async fn watermark_until(
    lake: &Lake,
    raw: &Snapshot,
    at: Option<Instant>,
) -> Result<Option<Instant>> {
    let newest = raw.note.watermark.max(newest_in_files(raw));
    let Some(at) = at else { return Ok(newest) };
    if newest.is_none_or(|newest| newest <= at) {
        return Ok(newest);
    }
    for version in (0..raw.version).rev() {
        match log_entry(lake, &raw.table, version).await? {
            Some(entry) if entry.note.watermark.is_some_and(|watermark| watermark <= at) => {
                return Ok(entry.note.watermark);
            }
            Some(_) => {}
            // The log was cut: rows up to the moment may be there, so the moment itself is the bound.
            None => return Ok(Some(at)),
        }
    }
    Ok(None)
}

fn newest_in_files(raw: &Snapshot) -> Option<Instant> {
    if raw.note.watermark.is_some() {
        return None;
    }
    let (_, field) = raw.schema.fields().find("_ingested_at")?;
    let newest = raw.files.iter().filter_map(|file| match file.range(field).max {
        Some(ScalarValue::TimestampMicrosecond(Some(micros), _)) => Some(micros),
        _ => None,
    });
    newest.max().map(Instant::from_micros)
}
