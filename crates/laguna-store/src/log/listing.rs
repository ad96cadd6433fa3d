//! What lies in the folder of a log: entries and checkpoints.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use futures::TryStreamExt;
use laguna_base::{Result, TableName};
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore};
use serde::Deserialize;

use super::folder;
use crate::Lake;

/// What a log's folder holds.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Listing {
    /// Versions that have an entry, and when it was put, by the store's clock.
    pub commits: BTreeMap<u64, DateTime<Utc>>,
    /// Complete checkpoints: version to the paths of its parts.
    pub checkpoints: BTreeMap<u64, Vec<Path>>,
}

impl Listing {
    /// Sorts out the objects of a log's folder; others are passed over.
    pub(crate) fn of(objects: impl IntoIterator<Item = ObjectMeta>) -> Listing {
        let mut listing = Listing::default();
        let mut parts: BTreeMap<(u64, usize), Vec<Path>> = BTreeMap::new();
        for object in objects {
            let Some((version, rest)) = object.location.filename().and_then(version_of) else { continue };
            if rest == ".json" {
                listing.commits.insert(version, object.last_modified);
            } else if rest == ".checkpoint.parquet" {
                listing.checkpoints.insert(version, vec![object.location]);
            } else if let Some(numbers) =
                rest.strip_prefix(".checkpoint.").and_then(|rest| rest.strip_suffix(".parquet"))
                && let Some((_, count)) = numbers.split_once('.')
                && let Ok(count) = count.parse::<usize>()
            {
                parts.entry((version, count)).or_default().push(object.location);
            }
        }
        for ((version, count), paths) in parts {
            if paths.len() == count {
                listing.checkpoints.entry(version).or_insert(paths);
            }
        }
        listing
    }

    pub(crate) fn newest(&self) -> Option<u64> {
        let commit = self.commits.keys().next_back().copied();
        commit.max(self.checkpoints.keys().next_back().copied())
    }

    pub(super) fn has(&self, version: u64) -> bool {
        self.commits.contains_key(&version) || self.checkpoints.contains_key(&version)
    }

    /// The newest checkpoint at or before `version`, and the first entry after it.
    pub(super) fn base(&self, version: u64) -> (Option<(u64, &Vec<Path>)>, u64) {
        let checkpoint = self.checkpoints.range(..=version).next_back().map(|(at, paths)| (*at, paths));
        (checkpoint, checkpoint.map_or(0, |(at, _)| at + 1))
    }

    /// The versions that are there, as people write them: `0 to 3, 7`.
    pub(super) fn valid(&self) -> String {
        let mut runs: Vec<(u64, u64)> = Vec::new();
        for version in self.commits.keys().chain(self.checkpoints.keys()).collect::<BTreeSet<_>>() {
            match runs.last_mut() {
                Some((_, last)) if *last + 1 == *version => *last = *version,
                _ => runs.push((*version, *version)),
            }
        }
        let text = |(first, last): &(u64, u64)| match first == last {
            true => first.to_string(),
            false => format!("{first} to {last}"),
        };
        runs.iter().map(text).collect::<Vec<_>>().join(", ")
    }
}

/// The version that an object of a log's folder speaks of, and the rest of its name.
pub(crate) fn version_of(name: &str) -> Option<(u64, &str)> {
    let (version, rest) = name.split_at_checked(20)?;
    Some((version.parse().ok()?, rest))
}

/// All that lies in the folder of a table's log.
pub(crate) async fn list(lake: &Lake, table: &TableName) -> Result<Listing> {
    listed(lake, table, None).await
}

/// What lies there from the newest checkpoint on, as far as `_last_checkpoint` tells where that is; all, when it tells
/// nothing or a checkpoint after `version`. So that a log of many entries is not listed whole to read its end.
pub(crate) async fn list_recent(lake: &Lake, table: &TableName, version: Option<u64>) -> Result<Listing> {
    #[derive(Deserialize)]
    struct Hint {
        version: u64,
    }
    let hint = lake.get(&format!("{}/_last_checkpoint", folder(table))).await?;
    let hint = hint.and_then(|bytes| serde_json::from_slice::<Hint>(&bytes).ok());
    if let Some(Hint { version: start }) = hint
        && version.is_none_or(|version| version >= start)
    {
        let recent = listed(lake, table, Some(start)).await?;
        if recent.checkpoints.contains_key(&start) {
            return Ok(recent);
        }
    }
    list(lake, table).await
}

/// What speaks of version `start` and those after it; of all without one.
async fn listed(lake: &Lake, table: &TableName, start: Option<u64>) -> Result<Listing> {
    let path = folder(table);
    let prefix = Path::from(path.as_str());
    let objects = match start {
        None => lake.objects().list(Some(&prefix)),
        // Sorts before every name that begins with the version.
        Some(start) => {
            lake.objects().list_with_offset(Some(&prefix), &Path::from(format!("{path}/{start:020}")))
        }
    };
    let objects: Vec<ObjectMeta> =
        objects.try_collect().await.map_err(|error| lake.read_error(&path, error))?;
    Ok(Listing::of(objects))
}
