//! `_laguna/redactions/<k>.json`: versions that stand for others because something had to be forgotten.

use std::collections::{BTreeMap, BTreeSet};

use futures::{StreamExt, TryStreamExt};
use laguna_base::{Error, Instant, Result, TableName};
use object_store::path::Path;
use serde::{Deserialize, Serialize};

use super::Release;
use crate::content::ContentHash;
use crate::{Lake, objects};

/// What one erasure has replaced. It is applied to every release that is read.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Redaction {
    /// When.
    pub time: Option<Instant>,
    /// For each table: old version to what stands for it now.
    pub tables: BTreeMap<TableName, BTreeMap<u64, Redacted>>,
    /// For each input: what identified its old content, to what identifies its new one.
    pub contents: BTreeMap<TableName, BTreeMap<String, String>>,
    /// Fingerprints over old contents, to those over the new ones.
    pub fingerprints: BTreeMap<String, String>,
}

/// What stands for a version.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Redacted {
    /// The version to read.
    pub version: u64,
    /// Its rows.
    pub rows: Option<u64>,
    /// Hash of its content.
    pub content: Option<ContentHash>,
    /// Whether its rows are other ones than those of the old version.
    pub changed: bool,
}

/// All redactions that hold, oldest first.
#[derive(Debug, Default)]
pub(super) struct Redactions(Vec<Redaction>);

fn path(number: u64) -> Path {
    Path::from(format!("_laguna/redactions/{number}.json"))
}

/// Reads the first `count` redactions; none cost nothing.
pub(super) async fn redactions(lake: &Lake, count: u64) -> Result<Redactions> {
    let read = |number: u64| async move {
        let redaction = objects::get_json::<Redaction>(lake, &path(number)).await?;
        redaction.ok_or_else(|| Error::stored(format!("{} is missing", path(number))))
    };
    let all = futures::stream::iter(1..=count).map(read).buffered(16).try_collect().await?;
    Ok(Redactions(all))
}

/// Writes redaction `number`, which holds as soon as a release says so.
pub(super) async fn save(lake: &Lake, number: u64, redaction: &Redaction) -> Result<()> {
    objects::put_json(lake, &path(number), redaction).await
}

impl Redactions {
    /// `release` with the versions that stand today for those that it published.
    pub(super) fn apply(&self, mut release: Release) -> Release {
        for redaction in &self.0 {
            redaction.apply(&mut release);
        }
        release
    }
}

impl Redaction {
    fn apply(&self, release: &mut Release) {
        let mut changed = BTreeSet::new();
        for (name, table) in &mut release.tables {
            if let Some(now) = table.version.and_then(|version| self.get(name, version)) {
                table.version = Some(now.version);
                table.rows = now.rows.or(table.rows);
                table.content = now.content;
                changed.extend(now.changed.then(|| name.clone()));
            }
            if let Some(now) = self.fingerprints.get(&table.fingerprint) {
                table.fingerprint = now.clone();
            }
            for (input, state) in &mut table.inputs {
                if let Some(now) = state.version.and_then(|version| self.get(input, version)) {
                    state.version = Some(now.version);
                }
                let contents = self.contents.get(input);
                if let Some(now) = contents.and_then(|contents| contents.get(state.content.as_deref()?)) {
                    state.content = Some(now.clone());
                }
            }
        }
        for (name, raw) in &mut release.raw {
            if let Some(now) = self.get(name, raw.version) {
                raw.version = now.version;
                changed.extend(now.changed.then(|| name.clone()));
            }
        }
        let held = std::mem::take(&mut release.held_fingerprints);
        release.held_fingerprints =
            held.into_iter().map(|held| self.fingerprints.get(&held).cloned().unwrap_or(held)).collect();
        // A later release never had those rows: its entries only name old versions that its ancestors wrote down.
        if let Some(time) = self.time.filter(|time| release.time < *time) {
            release.redacted.extend(changed.into_iter().map(|name| (name, time)));
        }
    }

    fn get(&self, table: &TableName, version: u64) -> Option<&Redacted> {
        self.tables.get(table)?.get(&version)
    }
}
