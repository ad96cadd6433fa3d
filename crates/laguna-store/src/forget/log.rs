//! Cutting a log: entries and checkpoints before a version go, because their statistics and paths name old values.
//!
//! Of entries that only tell what happened (raw tables: which files landed in which batch) their notes stay.

use laguna_base::{Error, Result, TableName, Tier};
use object_store::path::Path;
use serde_json::Value;

use super::{Superseded, carry_out};
use crate::{CommitNote, Lake, log, objects};

/// What stays of a `commitInfo`.
const KEPT: [&str; 5] = ["timestamp", "operation", "engineInfo", "txnId", "laguna"];

/// Leaves of the log only what is needed from the first new version on.
pub(super) async fn cut(lake: &Lake, superseded: &Superseded) -> Result<()> {
    let Superseded { table, first, .. } = superseded;
    if !log::list(lake, table).await?.checkpoints.contains_key(first) {
        lake.write_checkpoint(table, *first).await?;
    }
    let folder = Path::from(log::folder(table));
    for path in carry_out::list(lake, folder.as_ref()).await? {
        let Some((version, rest)) = path.filename().and_then(|name| name.split_at_checked(20)) else {
            continue;
        };
        let Ok(version) = version.parse::<u64>() else { continue };
        let is_entry = rest == ".json";
        if is_entry && (version == *first || (version < *first && table.tier == Tier::Raw)) {
            keep_notes(lake, table, version, &path).await?;
        } else if version < *first {
            objects::delete(lake, &path).await?;
        }
    }
    Ok(())
}

/// Leaves of one entry what says who committed it and which transactions; a checkpoint tells the rest.
async fn keep_notes(lake: &Lake, table: &TableName, version: u64, path: &Path) -> Result<()> {
    let Some(bytes) = objects::get(lake, path).await? else { return Ok(()) };
    let damaged =
        |error| Error::stored(format!("version {version} in the log of {table} is damaged")).caused_by(error);
    let mut kept = Vec::with_capacity(bytes.len().min(4096));
    for line in bytes.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty()) {
        let mut action: Value = serde_json::from_slice(line).map_err(damaged)?;
        if let Some(info) = action.get_mut("commitInfo").and_then(Value::as_object_mut) {
            info.retain(|key, _| KEPT.contains(&key.as_str()));
            if let Some(note) = info.get_mut("laguna").and_then(Value::as_object_mut) {
                // Files of rows set aside go, with their statistics.
                CommitNote::WAITING.iter().for_each(|files| drop(note.remove(*files)));
            }
        } else if action.get("txn").is_none() {
            continue;
        }
        serde_json::to_writer(&mut kept, &action).map_err(damaged)?;
        kept.push(b'\n');
    }
    if kept.as_slice() == bytes.as_ref() {
        return Ok(());
    }
    let put = lake.put(path.as_ref(), kept, object_store::PutMode::Overwrite).await;
    put.map_err(|error| lake.write_error(path.as_ref(), error))
}
