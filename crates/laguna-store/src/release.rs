//! Releases: one put-if-absent record publishes the versions of all sanitized and enhanced tables together.

use std::collections::{BTreeMap, BTreeSet};

use laguna_base::{Error, Instant, Result, TableName};
use serde::{Deserialize, Serialize};

use crate::Lake;
use crate::content::ContentHash;
use kept::Kept;

pub(crate) mod kept;
mod publish;
mod record;
mod redaction;
#[cfg(test)]
mod tests;

pub use redaction::{Redacted, Redaction};

/// One release, resolved: every table that it publishes, whichever release brought its version.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Release {
    /// Number, from 1.
    pub number: u64,
    /// When it was published: `max(now, parent + 1 µs)`.
    pub time: Instant,
    /// The run that published it.
    pub run: String,
    /// The instant that `now()` answered in that run.
    pub instant: Instant,
    /// Why it exists: `run`, `rollback to 3`.
    pub reason: String,
    /// Version of the engine.
    pub engine: String,
    /// Hash of the project's files: `_laguna/code/<hash>.tar.zst`.
    pub code: Option<String>,
    /// Commit of the project's git repository, with `-dirty` where it applies.
    pub git_commit: Option<String>,
    /// Models by name.
    pub tables: BTreeMap<TableName, ReleasedTable>,
    /// Raw tables as they were: what as-of reads filter by.
    pub raw: BTreeMap<TableName, RawState>,
    /// Fingerprints that a rollback holds back: a model whose next fingerprint is in it is not built again.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub held_fingerprints: BTreeSet<String>,
    /// Tables of which rows were forgotten after it was published, and when; nothing that is stored with it.
    #[serde(skip)]
    pub redacted: BTreeMap<TableName, Instant>,
}

/// One model in a release.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReleasedTable {
    /// Delta version; `None` for a view.
    pub version: Option<u64>,
    /// The SQL after rendering (for a view this is what is released).
    pub sql: String,
    /// Hash of that SQL.
    pub sql_hash: String,
    /// Fingerprint of SQL, settings and inputs.
    pub fingerprint: String,
    /// Delta's schema string.
    pub schema: String,
    /// Rows; `None` for a view.
    pub rows: Option<u64>,
    /// Content hash; `None` for a view or where it is not known.
    pub content: Option<ContentHash>,
    /// Inputs: for models and raw tables the version, for raw also the watermark.
    pub inputs: BTreeMap<TableName, InputState>,
    /// Checks: passed, warned, failed.
    pub checks: CheckSummary,
    /// Number of the release that brought this version.
    pub since: u64,
    /// Why the table keeps an old version in this release (blocked, failed, rolled back); `None` when it is current.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held: Option<String>,
}

/// What a model read of one input.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InputState {
    /// Delta version; `None` for views.
    pub version: Option<u64>,
    /// Raw and latest: the newest `_ingested_at` read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watermark: Option<Instant>,
    /// What identified its content: equal texts mean equal rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
}

/// A raw table at the time of a release.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RawState {
    /// Delta version.
    pub version: u64,
    /// The newest `_ingested_at`.
    pub watermark: Option<Instant>,
    /// Delta's schema string of then.
    pub schema: String,
}

/// Verdicts of a table's checks, counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckSummary {
    /// Checks that passed.
    pub passed: u32,
    /// Checks with severity warning, or of a table that only warns, that failed.
    pub warned: u32,
    /// Critical checks that failed.
    pub failed: u32,
}

/// Where the record of a release lies.
pub(crate) fn path_of(number: u64) -> object_store::path::Path {
    record::path(number)
}

impl Lake {
    /// The newest release; `None` before the first.
    pub async fn release(&self) -> Result<Option<Release>> {
        let Some(newest) = record::newest(self).await? else { return Ok(None) };
        let redactions = redaction::redactions(self, newest.redactions).await?;
        Ok(Some(redactions.apply(newest.release)))
    }

    /// One release by number; an error that names the valid range when it does not exist.
    pub async fn release_number(&self, number: u64) -> Result<Release> {
        let Some(newest) = record::newest(self).await? else {
            return Err(nothing_released());
        };
        let redactions = redaction::redactions(self, newest.redactions).await?;
        if number == newest.release.number {
            return Ok(redactions.apply(newest.release));
        }
        if number == 0 || number > newest.release.number {
            return Err(Error::project(format!("there is no release {number}"))
                .hint(format!("releases 1 to {} exist", newest.release.number)));
        }
        let kept = Kept::read(self).await?;
        if !kept.holds(number) {
            return Err(Error::project(format!("release {number} is no longer kept"))
                .hint(format!("kept are {}", kept.text(newest.release.number))));
        }
        Ok(redactions.apply(record::resolve(self, number).await?))
    }

    /// The newest release at or before `at`. Before the first release, or the oldest one that is kept: an error that
    /// says when that was.
    pub async fn release_as_of(&self, at: Instant) -> Result<Release> {
        let Some(newest) = record::newest(self).await? else {
            return Err(nothing_released());
        };
        let redactions = redaction::redactions(self, newest.redactions).await?;
        if newest.release.time <= at {
            return Ok(redactions.apply(newest.release));
        }
        // Times grow with numbers: `found` is the largest number known to be in time, `late` one that is not.
        let oldest = Kept::read(self).await?.oldest;
        let (mut found, mut late) = (oldest - 1, newest.release.number);
        while late - found > 1 {
            let middle = found + (late - found) / 2;
            if record::read(self, middle).await?.time <= at {
                found = middle;
            } else {
                late = middle;
            }
        }
        if found < oldest {
            let first = record::read(self, oldest).await?;
            if oldest > 1 {
                return Err(Error::project(format!("what was released at {at} is no longer kept"))
                    .hint(format!("the oldest release that is kept is {oldest}, of {}", first.time)));
            }
            return Err(Error::project(format!("nothing was released at {at} yet"))
                .hint(format!("the first release was at {}", first.time)));
        }
        Ok(redactions.apply(record::resolve(self, found).await?))
    }

    /// All releases that are kept, newest first, at most `limit`.
    pub async fn releases(&self, limit: Option<usize>) -> Result<Vec<Release>> {
        let Some(newest) = record::newest(self).await? else { return Ok(Vec::new()) };
        let redactions = redaction::redactions(self, newest.redactions).await?;
        let (kept, last) = (Kept::read(self).await?, newest.release.number);
        let limit = limit.unwrap_or(usize::MAX);
        let first = last.saturating_sub(limit as u64).max(kept.oldest - 1) + 1;
        let mut releases = match limit {
            0 => Vec::new(),
            _ => record::resolve_range(self, first, last).await?,
        };
        releases.reverse();
        for number in kept.tagged.iter().rev() {
            if releases.len() < limit {
                releases.push(record::resolve(self, *number).await?);
            }
        }
        Ok(releases.into_iter().map(|release| redactions.apply(release)).collect())
    }

    /// Publishes `next` on top of `parent`: sets its number, its time and the `since` of what it changes, and writes
    /// the record with put-if-absent. Who loses the put takes the new parent when its changed tables are disjoint
    /// from ours, else [`laguna_base::ErrorKind::Conflict`]. A release of the same run that is there already is the
    /// answer, whatever the first attempt was told. Returns the release as published.
    pub async fn publish(&self, next: Release, parent: Option<&Release>) -> Result<Release> {
        publish::publish(self, next, parent, 0).await
    }

    /// Writes `redaction` and publishes a release of the same tables from which on it holds. The answer is the release;
    /// a repetition by the same `run` publishes none. `None` when nothing was released yet: nothing has to be replaced.
    pub(crate) async fn redact(
        &self,
        run: &str,
        reason: &str,
        redaction: &Redaction,
    ) -> Result<Option<Release>> {
        let Some(newest) = record::newest(self).await? else { return Ok(None) };
        if newest.release.run == run {
            return self.release().await;
        }
        let number = newest.redactions + 1;
        redaction::save(self, number, redaction).await?;
        let current = redaction::redactions(self, number).await?.apply(newest.release);
        let next = Release {
            run: run.to_string(),
            reason: reason.to_string(),
            engine: format!("laguna {}", env!("CARGO_PKG_VERSION")),
            ..current.clone()
        };
        publish::publish(self, next, Some(&current), number).await.map(Some)
    }
}

fn nothing_released() -> Error {
    Error::project("nothing has been released yet").hint("`laguna run` builds and releases the project")
}
