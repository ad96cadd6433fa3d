//! Which releases are kept: all from the oldest one on, and single older ones for ever.
//!
//! `_laguna/releases/_kept` says so. A release that is dropped can be read no more from then on, but what it names stays
//! for a day, for those who were reading it: the object keeps the steps of the last day.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use laguna_base::{Instant, Result, TableName};
use object_store::path::Path;
use serde::{Deserialize, Serialize};

use super::record;
use crate::{Lake, objects};

/// Which releases are kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Kept {
    /// This one and all later ones.
    pub oldest: u64,
    /// Older ones.
    #[serde(default)]
    pub tagged: BTreeSet<u64>,
}

impl Default for Kept {
    fn default() -> Self {
        Kept { oldest: 1, tagged: BTreeSet::new() }
    }
}

/// One decision of what is kept.
#[derive(Debug, Serialize, Deserialize)]
struct Step {
    /// By the store's clock.
    at: Instant,
    kept: Kept,
}

impl Kept {
    /// What is kept now.
    pub(super) async fn read(lake: &Lake) -> Result<Kept> {
        Ok(steps(lake).await?.pop().map(|step| step.kept).unwrap_or_default())
    }

    pub(super) fn holds(&self, number: u64) -> bool {
        number >= self.oldest || self.tagged.contains(&number)
    }

    /// The numbers that are kept, as people write them; `newest` is the last.
    pub(super) fn text(&self, newest: u64) -> String {
        let tagged = self.tagged.iter().map(|number| format!("{number}, ")).collect::<String>();
        format!("{tagged}{} to {newest}", self.oldest)
    }

    /// Records that are needed to resolve what is kept of the releases up to `newest`.
    fn records(&self, newest: u64) -> BTreeSet<u64> {
        let tagged = self.tagged.iter().flat_map(|number| record::full_before(*number)..=*number);
        tagged.chain(record::full_before(self.oldest)..=newest).collect()
    }
}

fn path() -> Path {
    Path::from("_laguna/releases/_kept")
}

async fn steps(lake: &Lake) -> Result<Vec<Step>> {
    Ok(objects::get_json(lake, &path()).await?.unwrap_or_default())
}

/// What was kept at `moment`, by the store's clock.
async fn kept_at(lake: &Lake, moment: DateTime<Utc>) -> Result<Kept> {
    let steps = steps(lake).await?;
    let then = steps.into_iter().rev().find(|step| step.at.to_datetime() <= moment);
    Ok(then.map(|step| step.kept).unwrap_or_default())
}

impl Lake {
    /// Drops the releases older than `before`, except the newest one and those in `tagged`; returns their numbers.
    /// What was dropped before stays dropped. `now` is the store's time; what was decided before `settled` is no
    /// longer of interest. With `dry_run` nothing is written.
    pub(crate) async fn drop_releases(
        &self,
        before: Instant,
        tagged: &BTreeSet<u64>,
        (settled, now): (DateTime<Utc>, DateTime<Utc>),
        dry_run: bool,
    ) -> Result<Vec<u64>> {
        let Some(newest) = record::newest(self).await? else { return Ok(Vec::new()) };
        let old = Kept::read(self).await?;
        let mut oldest = old.oldest;
        while oldest < newest.release.number && record::read(self, oldest).await?.time < before {
            oldest += 1;
        }
        let tagged = tagged.iter().copied().filter(|number| *number < oldest && old.holds(*number)).collect();
        let kept = Kept { oldest, tagged };
        let dropped = old.tagged.iter().copied().chain(old.oldest..oldest);
        let dropped: Vec<u64> = dropped.filter(|number| !kept.holds(*number)).collect();
        if kept != old && !dry_run {
            let mut steps = steps(self).await?;
            let over = steps.iter().rposition(|step| step.at.to_datetime() <= settled);
            steps.drain(..over.unwrap_or(0));
            steps.push(Step { at: Instant::from_micros(now.timestamp_micros()), kept });
            self.check_fences().await?;
            objects::put_json(self, &path(), &steps).await?;
        }
        Ok(dropped)
    }

    /// The versions that the releases kept since `settled` name, redactions applied, and the hashes of their code.
    pub(crate) async fn released_versions(&self, settled: DateTime<Utc>) -> Result<Released> {
        let mut released = Released::default();
        let Some(newest) = record::newest(self).await? else { return Ok(released) };
        let redactions = super::redaction::redactions(self, newest.redactions).await?;
        let (kept, last) = (kept_at(self, settled).await?, newest.release.number);
        let ranges = kept.tagged.iter().map(|number| (*number, *number)).chain([(kept.oldest, last)]);
        for (first, last) in ranges {
            let see = |release: &super::Release| released.add(redactions.apply(release.clone()));
            record::visit(self, first, last, see).await?;
        }
        Ok(released)
    }

    /// Deletes the records that no release kept since `settled` is resolved from.
    pub(crate) async fn sweep_records(&self, settled: DateTime<Utc>) -> Result<()> {
        let Some(newest) = record::newest(self).await? else { return Ok(()) };
        let needed = kept_at(self, settled).await?.records(newest.release.number);
        for number in record::numbers(self).await?.difference(&needed) {
            objects::delete(self, &record::path(*number)).await?;
        }
        Ok(())
    }
}

/// What releases name.
#[derive(Debug, Default)]
pub(crate) struct Released {
    pub versions: BTreeMap<TableName, BTreeSet<u64>>,
    pub code: BTreeSet<String>,
}

impl Released {
    fn add(&mut self, release: super::Release) {
        self.code.extend(release.code);
        for (name, table) in release.tables {
            self.versions.entry(name).or_default().extend(table.version);
        }
    }
}
