//! The stored form of releases: what each changed, a full one every so often, and a hint at the newest.

use std::collections::{BTreeMap, BTreeSet};

use futures::{StreamExt, TryStreamExt};
use laguna_base::{Error, Instant, Result, TableName};
use object_store::path::Path;
use serde::{Deserialize, Serialize};

use super::{RawState, Release, ReleasedTable};
use crate::{Lake, objects};

/// Every so many releases a record names all tables, so that resolving one reads at most this many.
pub(super) const FULL_EVERY: u64 = 20;

/// `_laguna/releases/<number>.json`: a release as it differs from its parent, which is the release before it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Record {
    pub number: u64,
    pub time: Instant,
    pub run: String,
    pub instant: Instant,
    pub reason: String,
    pub engine: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub git_commit: Option<String>,
    /// The release that this one changes; `None` when it names everything.
    pub parent: Option<u64>,
    pub tables: BTreeMap<TableName, ReleasedTable>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub removed: Vec<TableName>,
    pub raw: BTreeMap<TableName, RawState>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub removed_raw: Vec<TableName>,
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub held_fingerprints: BTreeSet<String>,
    /// How many of `_laguna/redactions/<k>.json` hold. It stands in each record so that reading a lake without
    /// redactions needs no listing; never decreases.
    #[serde(default)]
    pub redactions: u64,
}

/// The newest release with what only its record says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Newest {
    /// Resolved, before redactions.
    pub release: Release,
    /// How many redactions hold.
    pub redactions: u64,
}

impl Record {
    /// `release` as it differs from `parent`, or whole when its number asks for that.
    pub(super) fn of(release: &Release, parent: Option<&Release>, redactions: u64) -> Record {
        let parent = parent.filter(|_| !is_full(release.number));
        let (tables, removed) = changes(&release.tables, parent.map(|parent| &parent.tables));
        let (raw, removed_raw) = changes(&release.raw, parent.map(|parent| &parent.raw));
        Record {
            number: release.number,
            time: release.time,
            run: release.run.clone(),
            instant: release.instant,
            reason: release.reason.clone(),
            engine: release.engine.clone(),
            code: release.code.clone(),
            git_commit: release.git_commit.clone(),
            parent: parent.map(|parent| parent.number),
            tables,
            removed,
            raw,
            removed_raw,
            held_fingerprints: release.held_fingerprints.clone(),
            redactions,
        }
    }

    /// The release that this record makes of its parent.
    pub(super) fn on(self, parent: Option<Release>) -> Result<Release> {
        let (mut tables, mut raw) = match (self.parent, parent) {
            (None, _) => Default::default(),
            (Some(number), Some(parent)) if parent.number == number => (parent.tables, parent.raw),
            (Some(number), _) => {
                return Err(Error::stored(format!(
                    "release {} builds on release {number}, which cannot be read",
                    self.number
                )));
            }
        };
        tables.retain(|name, _| !self.removed.contains(name));
        tables.extend(self.tables);
        raw.retain(|name, _| !self.removed_raw.contains(name));
        raw.extend(self.raw);
        Ok(Release {
            number: self.number,
            time: self.time,
            run: self.run,
            instant: self.instant,
            reason: self.reason,
            engine: self.engine,
            code: self.code,
            git_commit: self.git_commit,
            tables,
            raw,
            held_fingerprints: self.held_fingerprints,
            redacted: BTreeMap::new(),
        })
    }
}

/// Entries of `now` that `before` lacks or has otherwise, and names that only `before` has.
fn changes<T: Clone + PartialEq>(
    now: &BTreeMap<TableName, T>,
    before: Option<&BTreeMap<TableName, T>>,
) -> (BTreeMap<TableName, T>, Vec<TableName>) {
    let Some(before) = before else { return (now.clone(), Vec::new()) };
    let changed = now
        .iter()
        .filter(|(name, state)| before.get(name) != Some(state))
        .map(|(name, state)| (name.clone(), state.clone()))
        .collect();
    (changed, before.keys().filter(|name| !now.contains_key(name)).cloned().collect())
}

fn is_full(number: u64) -> bool {
    number % FULL_EVERY == 1
}

/// The last full record at or before `number`.
pub(super) fn full_before(number: u64) -> u64 {
    (number.max(1) - 1) / FULL_EVERY * FULL_EVERY + 1
}

pub(super) fn path(number: u64) -> Path {
    Path::from(format!("_laguna/releases/{number:08}.json"))
}

fn hint_path() -> Path {
    Path::from("_laguna/releases/_latest")
}

/// One record, which must exist.
pub(super) async fn read(lake: &Lake, number: u64) -> Result<Record> {
    match objects::get_json(lake, &path(number)).await? {
        Some(record) => Ok(record),
        None => Err(Error::stored(format!("the record of release {number} is missing"))),
    }
}

/// One release, resolved from the last full record before it.
pub(super) async fn resolve(lake: &Lake, number: u64) -> Result<Release> {
    let mut releases = resolve_range(lake, number, number).await?;
    releases.pop().ok_or_else(|| Error::internal("a release was resolved to nothing"))
}

/// Releases `first` to `last`, oldest first.
pub(super) async fn resolve_range(lake: &Lake, first: u64, last: u64) -> Result<Vec<Release>> {
    let mut releases = Vec::new();
    visit(lake, first, last, |release| releases.push(release.clone())).await?;
    Ok(releases)
}

/// Shows releases `first` to `last`, oldest first; only one at a time is in memory.
pub(super) async fn visit(lake: &Lake, first: u64, last: u64, mut show: impl FnMut(&Release)) -> Result<()> {
    let mut records = futures::stream::iter(full_before(first)..=last)
        .map(|number| read(lake, number))
        .buffered(FULL_EVERY as usize);
    let mut parent: Option<Release> = None;
    while let Some(record) = records.try_next().await? {
        let release = record.on(parent.take())?;
        if release.number >= first {
            show(&release);
        }
        parent = Some(release);
    }
    Ok(())
}

/// The newest release. The hint saves reading its ancestors; it is only believed as far as the records agree: the
/// record that it was made from must be there, and those after it are looked for.
pub(super) async fn newest(lake: &Lake) -> Result<Option<Newest>> {
    let mut newest = match from_hint(lake).await? {
        Some((newest, None)) => return Ok(Some(newest)),
        Some((newest, Some(next))) => step(newest, next)?,
        None => match from_listing(lake).await? {
            Some(newest) => newest,
            None => return Ok(None),
        },
    };
    while let Some(next) = objects::get_json::<Record>(lake, &path(newest.release.number + 1)).await? {
        newest = step(newest, next)?;
    }
    Ok(Some(newest))
}

fn step(newest: Newest, next: Record) -> Result<Newest> {
    let redactions = next.redactions.max(newest.redactions);
    Ok(Newest { release: next.on(Some(newest.release))?, redactions })
}

/// What the hint says, if its record confirms it, and the record after that one.
async fn from_hint(lake: &Lake) -> Result<Option<(Newest, Option<Record>)>> {
    // A damaged hint is as good as none.
    let Ok(Some(hint)) = objects::get_json::<Newest>(lake, &hint_path()).await else { return Ok(None) };
    let number = hint.release.number;
    let (own, next) = (path(number), path(number + 1));
    let (own, next) =
        tokio::join!(objects::get_json::<Record>(lake, &own), objects::get_json::<Record>(lake, &next));
    let confirmed = own?.is_some_and(|record| {
        record.number == number && record.run == hint.release.run && record.time == hint.release.time
    });
    Ok(if confirmed { Some((hint, next?)) } else { None })
}

async fn from_listing(lake: &Lake) -> Result<Option<Newest>> {
    let Some(last) = numbers(lake).await?.last().copied() else { return Ok(None) };
    let release = resolve(lake, last).await?;
    let redactions = read(lake, last).await?.redactions;
    Ok(Some(Newest { release, redactions }))
}

/// Numbers of the records that are there.
pub(super) async fn numbers(lake: &Lake) -> Result<BTreeSet<u64>> {
    let folder = Path::from("_laguna/releases");
    let mut found = BTreeSet::new();
    let mut entries = lake.objects().list(Some(&folder));
    loop {
        match entries.try_next().await {
            Ok(Some(entry)) => {
                let name = entry.location.filename().and_then(|name| name.strip_suffix(".json"));
                found.extend(name.and_then(|name| name.parse::<u64>().ok()));
            }
            Ok(None) | Err(object_store::Error::NotFound { .. }) => return Ok(found),
            Err(error) => return Err(lake.read_error(folder.as_ref(), error)),
        }
    }
}

/// Leaves the hint for the next reader. Losing it costs that reader a listing, so a failure is only logged.
pub(super) async fn leave_hint(lake: &Lake, newest: &Newest) {
    if let Err(error) = objects::put_json(lake, &hint_path(), newest).await {
        tracing::warn!(%error, "the hint at the newest release was not written");
    }
}
