//! Which versions and files must stay, whatever their age.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use chrono::{DateTime, Utc};
use laguna_base::{Error, Instant, Result, TableName, Tier};

use super::READERS;
use crate::lease::epoch::store_time;
use crate::log::{self, Listing};
use crate::release::kept::Released;
use crate::{CommitNote, DataFile, Lake, Staged};

/// What the lake as a whole needs: gathered once, then asked for each table.
#[derive(Debug)]
pub struct Needs {
    /// What was replaced before this moment, by the store's clock, has no reader left.
    pub(super) settled: DateTime<Utc>,
    pub(super) now: DateTime<Utc>,
    pub(super) released: Released,
    staged: BTreeMap<TableName, Vec<Staged>>,
}

/// What must stay of one table.
#[derive(Debug, Default)]
pub(crate) struct Needed {
    /// Versions that must be readable.
    pub versions: BTreeSet<u64>,
    /// Data files, as the log names them, and their bytes.
    pub files: HashMap<String, u64>,
}

impl Needs {
    /// Asks the releases, the manifests of staged versions, and the store's clock.
    ///
    /// The caller holds the lease `run`, so that no version is being committed meanwhile.
    pub async fn gather(lake: &Lake) -> Result<Needs> {
        let now = store_time(lake).await?;
        let settled = now - READERS;
        let mut staged: BTreeMap<TableName, Vec<Staged>> = BTreeMap::new();
        for (run, table) in lake.staged_tables().await? {
            if let Some(found) = lake.staged(&table, Some(&run)).await? {
                staged.entry(table).or_default().push(found);
            }
        }
        Ok(Needs { settled, now, released: lake.released_versions(settled).await?, staged })
    }

    /// Drops the releases that are older than `keep` (none: all are kept), except the newest and those in `tagged`;
    /// gives their numbers. For a day they can no longer be read by name, but what they name stays.
    pub async fn drop_releases(
        &self,
        lake: &Lake,
        keep: Option<std::time::Duration>,
        tagged: &BTreeSet<u64>,
        dry_run: bool,
    ) -> Result<Vec<u64>> {
        let Some(keep) = keep else { return Ok(Vec::new()) };
        let micros = i64::try_from(keep.as_micros()).unwrap_or(i64::MAX);
        let before = Instant::from_micros(lake.clock().now().as_micros().saturating_sub(micros));
        lake.drop_releases(before, tagged, (self.settled, self.now), dry_run).await
    }

    /// What must stay of `table`, whose log is `listing`:
    ///
    /// - each version that was the head at some time of the last day, the head among them;
    /// - each version that a release names which was kept at some time of the last day, redactions applied;
    /// - what staged versions build on, and their files;
    /// - of a quarantine table also the files that wait in the note of the table whose rows they are.
    pub(crate) async fn of(&self, lake: &Lake, table: &TableName, listing: &Listing) -> Result<Needed> {
        let mut needed = Needed::default();
        let staged = self.staged.get(table).map(Vec::as_slice).unwrap_or_default();
        if let Some(newest) = listing.newest() {
            let settled = listing.commits.iter().rev().find(|(_, time)| **time <= self.settled);
            let first = settled.map_or(0, |(version, _)| *version);
            needed.versions.extend(listing.commits.range(first..).map(|(version, _)| *version));
            needed.versions.insert(newest);
        }
        needed.versions.extend(self.released.versions.get(table).into_iter().flatten());
        needed.versions.extend(staged.iter().filter_map(|staged| staged.base));
        let readable = log::first_readable(lake, table, listing).await?;
        needed.versions.retain(|version| *version >= readable);
        self.extend_to_notes(lake, table, listing, &mut needed.versions).await?;
        needed.files = log::files_of(lake, table, listing, &needed.versions).await?;
        let waiting = waiting(lake, table).await?;
        let unnamed = staged.iter().flat_map(|staged| &staged.adds).chain(&waiting);
        needed.files.extend(unnamed.map(|file| (file.path.clone(), file.size)));
        Ok(needed)
    }

    /// The first version of each run of versions that stays must say what Laguna noted at it: where another program
    /// committed it, the ones before it stay too.
    async fn extend_to_notes(
        &self,
        lake: &Lake,
        table: &TableName,
        listing: &Listing,
        versions: &mut BTreeSet<u64>,
    ) -> Result<()> {
        for mut first in starts(versions) {
            while first > 0
                && listing.commits.contains_key(&(first - 1))
                && !versions.contains(&(first - 1))
                && !log::has_note(lake, table, first).await?
            {
                first -= 1;
                versions.insert(first);
            }
        }
        Ok(())
    }
}

/// The first version of each unbroken run.
pub(super) fn starts(versions: &BTreeSet<u64>) -> Vec<u64> {
    let is_start = |version: &&u64| version.checked_sub(1).is_none_or(|before| !versions.contains(&before));
    versions.iter().filter(is_start).copied().collect()
}

/// Files of a quarantine table that travel in the newest commit of the table whose rows they hold: a crash between the
/// two commits leaves them there for the next run.
async fn waiting(lake: &Lake, table: &TableName) -> Result<Vec<DataFile>> {
    let origin = match (table.tier, table.table.split_once('_')) {
        (Tier::Quarantine, Some((tier, name))) => {
            tier.parse().and_then(|tier| TableName::new(tier, name)).ok()
        }
        _ => None,
    };
    let Some(origin) = origin else { return Ok(Vec::new()) };
    let Some(head) = lake.head(&origin).await? else { return Ok(Vec::new()) };
    let mut waiting = Vec::new();
    for note in CommitNote::WAITING.iter().filter_map(|name| head.note.more.get(*name)) {
        let files = note.get("files").unwrap_or(note).clone();
        let files: Vec<DataFile> = serde_json::from_value(files).map_err(|error| {
            Error::stored(format!("the rows that {origin} set aside cannot be found")).caused_by(error)
        })?;
        waiting.extend(files);
    }
    Ok(waiting)
}
