//! Publishing: one put-if-absent, taken again on top of other releases as long as they concern other tables.

use std::collections::{BTreeMap, BTreeSet};

use laguna_base::{Error, Result, TableName};

use super::record::{self, Newest, Record};
use super::{Release, ReleasedTable, redaction};
use crate::Lake;
use crate::objects;

/// Each attempt after the first means that someone else has published; a livelock this long is a defect.
const ATTEMPTS: usize = 100;

/// Publishes; at least the first `redactions` hold from this release on.
pub(super) async fn publish(
    lake: &Lake,
    next: Release,
    parent: Option<&Release>,
    redactions: u64,
) -> Result<Release> {
    let base = parent.map_or(0, |parent| parent.number);
    for _ in 0..ATTEMPTS {
        let newest = record::newest(lake).await?;
        let redactions = newest.as_ref().map_or(0, |newest| newest.redactions).max(redactions);
        let current = match newest {
            Some(newest) => Some(redaction::redactions(lake, redactions).await?.apply(newest.release)),
            None => None,
        };
        let current = current.as_ref();
        let head = current.map_or(0, |current| current.number);
        if head < base {
            return Err(Error::stored(format!(
                "the lake is at release {head}, but this run started from release {base}"
            ))
            .hint("were records deleted, or an old copy of the lake put back?"));
        }
        if head > base {
            for release in record::resolve_range(lake, base + 1, head).await? {
                if release.run == next.run {
                    return Ok(release);
                }
            }
        }
        let release = rebase(lake, &next, parent, current)?;
        let record = Record::of(&release, current, redactions);
        let path = record::path(release.number);
        lake.check_fences().await?;
        if !objects::put_json_if_absent(lake, &path, &record).await? {
            continue;
        }
        record::leave_hint(lake, &Newest { release: release.clone(), redactions }).await;
        return Ok(release);
    }
    Err(Error::conflict("other runs keep publishing; this release found no place between them"))
}

/// `next`, which was made from `parent`, as the release after `current`.
fn rebase(
    lake: &Lake,
    next: &Release,
    parent: Option<&Release>,
    current: Option<&Release>,
) -> Result<Release> {
    let mut release = next.clone();
    let number = current.map_or(0, |current| current.number);
    if number > parent.map_or(0, |parent| parent.number) {
        let none = BTreeMap::new();
        let before = parent.map_or(&none, |parent| &parent.tables);
        let theirs = current.map_or(&none, |current| &current.tables);
        let ours = differing(before, &next.tables);
        if let Some(table) = differing(before, theirs).intersection(&ours).next() {
            return Err(Error::conflict(format!("release {number} has published {table} meanwhile"))
                .hint("run again: it starts from that release"));
        }
        release.tables = theirs.clone();
        for table in ours {
            match next.tables.get(&table) {
                Some(state) => release.tables.insert(table, state.clone()),
                None => release.tables.remove(&table),
            };
        }
        if let Some(current) = current {
            for (table, state) in &current.raw {
                let newer = release.raw.get(table).is_none_or(|ours| ours.version < state.version);
                if newer {
                    release.raw.insert(table.clone(), state.clone());
                }
            }
            let let_go: BTreeSet<String> = parent.map_or_else(BTreeSet::new, |parent| {
                parent.held_fingerprints.difference(&next.held_fingerprints).cloned().collect()
            });
            release.held_fingerprints.extend(current.held_fingerprints.difference(&let_go).cloned());
        }
    }
    release.number = number + 1;
    release.time = lake.clock().now();
    if let Some(current) = current {
        release.time = release.time.max(current.time.plus_micros(1));
    }
    for (name, table) in &mut release.tables {
        let before = current.and_then(|current| current.tables.get(name));
        table.since = match before {
            Some(before) if is_same_version(before, table) || is_rearranged(before, table) => before.since,
            _ => release.number,
        };
    }
    Ok(release)
}

fn differing(
    one: &BTreeMap<TableName, ReleasedTable>,
    other: &BTreeMap<TableName, ReleasedTable>,
) -> BTreeSet<TableName> {
    let names = one.keys().chain(other.keys());
    names.filter(|name| one.get(name) != other.get(name)).cloned().collect()
}

/// Whether maintenance wrote the rows of `before` to other files: the release that brought them stays the same.
fn is_rearranged(before: &ReleasedTable, now: &ReleasedTable) -> bool {
    now.since == before.since
        && now.fingerprint == before.fingerprint
        && now.content.is_some()
        && now.content == before.content
}

fn is_same_version(one: &ReleasedTable, other: &ReleasedTable) -> bool {
    one.version == other.version && one.sql_hash == other.sql_hash
}
