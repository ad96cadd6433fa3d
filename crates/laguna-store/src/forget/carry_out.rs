//! The steps of an erasure. Each can be repeated, and readers find whole states between any two of them.
//!
//! New versions are committed, then one release makes them stand for the old ones. Only then the old ones go: log
//! entries and checkpoints after a checkpoint of the first new version, then files.

use std::collections::HashSet;

use futures::TryStreamExt;
use laguna_base::{Result, TableName, Tier};
use object_store::ObjectStore;
use object_store::path::Path;

use super::{Erasure, FOLDER, Receipt, Superseded, log, unfinished};
use crate::snapshot::data_path;
use crate::{DataFile, Lake, objects};

pub(super) async fn carry_out(lake: &Lake, erasure: Erasure) -> Result<Receipt> {
    let Erasure { mut receipt, tables, redaction } = erasure;
    lake.prepare_for_writing().await?;
    for superseded in &tables {
        for (version, target) in (superseded.first..).zip(&superseded.targets) {
            lake.supersede(&superseded.table, version, target).await?;
        }
    }
    let released = lake.redact(&receipt.id, &format!("forget rows of {}", receipt.table), &redaction).await?;
    receipt.release = released.map(|release| release.number);
    let raw = tables.iter().map(|superseded| &superseded.table).find(|table| table.tier == Tier::Raw);
    // Read before its log is cut: the cache knows more than the notes that stay.
    let landed = match raw {
        Some(raw) => Some((raw, lake.landed(raw).await?)),
        None => None,
    };
    for superseded in &tables {
        log::cut(lake, superseded).await?;
    }
    drop_staged(lake, &tables).await?;
    for superseded in &tables {
        sweep(lake, superseded).await?;
    }
    if let Some((raw, landed)) = landed {
        // Else the next run would take the new version for a batch that was left half done.
        lake.save_landed(raw, &landed).await?;
    }
    objects::put_json(lake, &Path::from(format!("{FOLDER}/{}.json", receipt.id)), &receipt).await?;
    objects::delete(lake, &unfinished()).await?;
    Ok(receipt)
}

/// Staged versions of the tables, with all that they hold.
async fn drop_staged(lake: &Lake, tables: &[Superseded]) -> Result<()> {
    for (run, table) in lake.staged_tables().await? {
        if tables.iter().any(|superseded| superseded.table == table)
            && let Some(staged) = lake.staged(&table, Some(&run)).await?
        {
            lake.drop_manifest(&staged).await?;
        }
    }
    Ok(())
}

/// Deletes every file of a table that no new version names.
async fn sweep(lake: &Lake, superseded: &Superseded) -> Result<()> {
    let table = &superseded.table;
    let kept: Vec<DataFile> = superseded.targets.iter().flat_map(|target| target.files.clone()).collect();
    for path in files_besides(lake, table, &kept).await? {
        objects::delete(lake, &path).await?;
    }
    if table.tier != Tier::Latest {
        return Ok(());
    }
    // Keys of deleted rows lie aside.
    let tombstones: HashSet<&str> =
        superseded.targets.iter().filter_map(|target| target.note.tombstones.as_deref()).collect();
    for path in list(lake, &format!("_laguna/tombstones/{}", table.table)).await? {
        if !tombstones.contains(path.as_ref()) {
            objects::delete(lake, &path).await?;
        }
    }
    Ok(())
}

pub(super) async fn files_besides(lake: &Lake, table: &TableName, kept: &[DataFile]) -> Result<Vec<Path>> {
    let kept: HashSet<Path> =
        kept.iter().map(|file| data_path(table, &file.path)).collect::<Result<_>>()?;
    let log = Path::from(crate::log::folder(table));
    let mut paths = list(lake, &table.path()).await?;
    paths.retain(|path| !kept.contains(path) && !path.prefix_matches(&log));
    Ok(paths)
}

/// Every object below `folder`.
pub(super) async fn list(lake: &Lake, folder: &str) -> Result<Vec<Path>> {
    match lake.objects().list(Some(&Path::from(folder))).try_collect::<Vec<_>>().await {
        Ok(entries) => Ok(entries.into_iter().map(|entry| entry.location).collect()),
        Err(object_store::Error::NotFound { .. }) => Ok(Vec::new()),
        Err(error) => Err(lake.read_error(folder, error)),
    }
}
