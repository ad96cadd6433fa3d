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
    let Erasure { mut receipt, tables, touched, redaction } = erasure;
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
    drop_staged(lake, &touched).await?;
    for table in &touched {
        sweep(lake, table).await?;
    }
    for superseded in tables.iter().filter(|superseded| superseded.table.tier == Tier::Latest) {
        sweep_tombstones(lake, superseded).await?;
    }
    lake.drop_torn().await?;
    if let Some((raw, landed)) = landed {
        // Else the next run would take the new version for a batch that was left half done.
        lake.save_landed(raw, &landed).await?;
    }
    objects::put_json(lake, &Path::from(format!("{FOLDER}/{}.json", receipt.id)), &receipt).await?;
    objects::delete(lake, &unfinished()).await?;
    Ok(receipt)
}

/// Forgets the manifests of staged versions: what no log names is swept.
async fn drop_staged(lake: &Lake, touched: &[TableName]) -> Result<()> {
    for (run, table) in lake.staged_tables().await? {
        if touched.contains(&table)
            && let Some(staged) = lake.staged(&table, Some(&run)).await?
        {
            lake.drop_manifest(&staged).await?;
        }
    }
    Ok(())
}

/// Deletes every file in the folder of a table that its log does not name, then what checks have kept of them: in this
/// order, so that no state is put again by a check that goes on meanwhile.
async fn sweep(lake: &Lake, table: &TableName) -> Result<()> {
    let named = crate::log::named_paths(lake, table).await?;
    let named = named.iter().map(|path| data_path(table, path)).collect::<Result<HashSet<_>>>()?;
    for path in files_of(lake, table).await? {
        if !named.contains(&path) {
            objects::delete(lake, &path).await?;
        }
    }
    lake.sweep_states(table, &named, false).await.map(drop)
}

/// Deletes the keys of deleted rows that earlier versions kept aside.
async fn sweep_tombstones(lake: &Lake, superseded: &Superseded) -> Result<()> {
    let kept: HashSet<&str> =
        superseded.targets.iter().filter_map(|target| target.note.tombstones.as_deref()).collect();
    for path in list(lake, &format!("_laguna/tombstones/{}", superseded.table.table)).await? {
        if !kept.contains(path.as_ref()) {
            objects::delete(lake, &path).await?;
        }
    }
    Ok(())
}

pub(super) async fn files_besides(lake: &Lake, table: &TableName, kept: &[DataFile]) -> Result<Vec<Path>> {
    let kept: HashSet<Path> = kept.iter().map(|file| data_path(table, &file.path)).collect::<Result<_>>()?;
    let mut paths = files_of(lake, table).await?;
    paths.retain(|path| !kept.contains(path));
    Ok(paths)
}

/// Every object in the folder of a table that is not of its log.
async fn files_of(lake: &Lake, table: &TableName) -> Result<Vec<Path>> {
    let log = Path::from(crate::log::folder(table));
    let mut paths = list(lake, &table.path()).await?;
    paths.retain(|path| !path.prefix_matches(&log));
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
