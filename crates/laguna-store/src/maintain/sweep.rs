//! Deleting what nobody needs: log entries, data files, deleted keys, stored code, records of dropped releases.

use std::collections::{BTreeSet, HashSet};

use futures::{StreamExt, TryStreamExt};
use laguna_base::{Error, Result, TableName, Tier};
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore};

use super::needed::{Needed, Needs, starts};
use crate::landed::log_entry;
use crate::log::{self, Listing};
use crate::snapshot::data_path;
use crate::{Lake, objects};

/// Objects deleted at the same time.
const DELETES: usize = 16;

/// What was deleted, or what would be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Swept {
    /// Versions that can no longer be read.
    pub versions: usize,
    /// Data files.
    pub files: usize,
    /// Bytes of everything.
    pub bytes: u64,
}

impl Lake {
    /// The tables of a tier, those included whose first commit never came.
    pub async fn table_folders(&self, tier: Tier) -> Result<Vec<TableName>> {
        let folder = Path::from(tier.as_str());
        let found = self.objects().list_with_delimiter(Some(&folder)).await;
        let found = found.map_err(|error| self.read_error(tier.as_str(), error))?;
        let names = found.common_prefixes.iter().filter_map(|prefix| prefix.filename());
        let mut tables: Vec<TableName> = names.filter_map(|name| TableName::new(tier, name).ok()).collect();
        tables.sort();
        Ok(tables)
    }

    /// Deletes the versions and files of `table` that nobody needs; with `dry_run` only counts them.
    ///
    /// A version goes with its log entry. Each unbroken run of versions that stay gets a checkpoint at its start, so
    /// that it is read without what is gone. A file goes when no version that stays names it and it is a day old.
    pub async fn sweep_table(&self, table: &TableName, needs: &Needs, dry_run: bool) -> Result<Swept> {
        let (entries, files) = self.objects_of(table).await?;
        let listing = Listing::of(entries.iter().cloned());
        let needed = needs.of(self, table, &listing).await?;
        let named: HashSet<Path> =
            needed.files.keys().map(|path| data_path(table, path)).collect::<Result<_>>()?;
        let mut old_entries: Vec<(u64, ObjectMeta)> = entries
            .into_iter()
            .filter_map(|entry| Some((log::version_of(entry.location.filename()?)?.0, entry)))
            .filter(|(version, _)| !needed.versions.contains(version))
            .collect();
        let mut old_files: Vec<ObjectMeta> = files
            .into_iter()
            .filter(|file| !named.contains(&file.location) && file.last_modified <= needs.settled)
            .collect();
        let old_states = self.sweep_states(table, &named, true).await?;
        let swept = Swept {
            versions: listing.commits.keys().filter(|version| !needed.versions.contains(version)).count(),
            files: old_files.len(),
            bytes: old_entries
                .iter()
                .map(|(_, entry)| entry)
                .chain(&old_files)
                .map(|object| object.size)
                .sum::<u64>()
                + old_states,
        };
        old_files.extend(self.old_tombstones(table, needs, &needed).await?);
        if dry_run || (old_entries.is_empty() && old_files.is_empty() && old_states == 0) {
            return Ok(swept);
        }
        self.check_fences().await?;
        if !old_entries.is_empty() {
            self.detach(table, &listing, &needed.versions).await?;
        }
        // The newest first: what is left of the old ones can be read until the last moment.
        old_entries.sort_by_key(|(version, _)| std::cmp::Reverse(*version));
        self.delete_all(old_entries.into_iter().map(|(_, entry)| entry)).await?;
        self.delete_all(old_files).await?;
        self.sweep_states(table, &named, false).await?;
        Ok(swept)
    }

    /// Deletes what belongs to no table: records of releases that are gone, and code that no release names. Returns the
    /// bytes of the code.
    pub async fn sweep_lake(&self, needs: &Needs, dry_run: bool) -> Result<u64> {
        let code = self.list_all("_laguna/code").await?;
        let is_old = |object: &ObjectMeta| {
            let hash = object.location.filename().and_then(|name| name.split('.').next());
            object.last_modified <= needs.settled
                && hash.is_none_or(|hash| !needs.released.code.contains(hash))
        };
        let old: Vec<ObjectMeta> = code.into_iter().filter(is_old).collect();
        let bytes = old.iter().map(|object| object.size).sum();
        if !dry_run {
            self.check_fences().await?;
            self.sweep_records(needs.settled).await?;
            self.delete_all(old).await?;
        }
        Ok(bytes)
    }

    /// Makes each run of `versions` readable without the log before it.
    async fn detach(&self, table: &TableName, listing: &Listing, versions: &BTreeSet<u64>) -> Result<()> {
        if table.tier == Tier::Raw {
            // Which files landed stands in the entries that go.
            let landed = self.landed(table).await?;
            if landed.recovered {
                return Err(Error::failed(format!("the last run of {table} did not finish"))
                    .hint("`laguna run` completes it"));
            }
            self.save_landed_base(table, &landed).await?;
        }
        for first in starts(versions) {
            if first > 0 && !listing.checkpoints.contains_key(&first) {
                self.write_old_checkpoint(table, first).await?;
            }
        }
        Ok(())
    }

    /// Objects of the table's log, and its data files.
    async fn objects_of(&self, table: &TableName) -> Result<(Vec<ObjectMeta>, Vec<ObjectMeta>)> {
        let folder = Path::from(table.path());
        let (mut entries, mut files) = (Vec::new(), Vec::new());
        for object in self.list_all(folder.as_ref()).await? {
            let first = object.location.prefix_match(&folder).and_then(|mut parts| parts.next());
            match first.as_ref().map(|part| part.as_ref()) {
                Some("_delta_log") => entries.push(object),
                // Folders that begin so belong to other programs.
                Some(name) if !name.starts_with('_') => files.push(object),
                _ => {}
            }
        }
        Ok((entries, files))
    }

    /// Files of deleted keys that no version of a latest table which stays knows of.
    async fn old_tombstones(
        &self,
        table: &TableName,
        needs: &Needs,
        needed: &Needed,
    ) -> Result<Vec<ObjectMeta>> {
        if table.tier != Tier::Latest {
            return Ok(Vec::new());
        }
        let mut named = HashSet::new();
        for version in &needed.versions {
            let entry = log_entry(self, table, *version).await?;
            named.extend(entry.and_then(|entry| entry.note.tombstones).map(Path::from));
        }
        let mut all = self.list_all(&format!("_laguna/tombstones/{}", table.table)).await?;
        all.retain(|object| !named.contains(&object.location) && object.last_modified <= needs.settled);
        Ok(all)
    }

    async fn list_all(&self, folder: &str) -> Result<Vec<ObjectMeta>> {
        let found = self.objects().list(Some(&Path::from(folder))).try_collect().await;
        found.map_err(|error| self.read_error(folder, error))
    }

    async fn delete_all(&self, old: impl IntoIterator<Item = ObjectMeta>) -> Result<()> {
        let paths: Vec<Path> = old.into_iter().map(|object| object.location).collect();
        futures::stream::iter(paths)
            .map(|path| async move { objects::delete(self, &path).await })
            .buffered(DELETES)
            .try_collect()
            .await
    }
}
