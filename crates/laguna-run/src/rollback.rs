//! Rollback: a new release of old states. Each table's head is restored first, then the release publishes.

use std::collections::BTreeSet;

use laguna_base::{Error, Result, TableName, suggest};
use laguna_store::{CommitNote, Lake, Release, ReleasedTable};

use crate::exclusive::exclusively;
use crate::run::ROLLED_BACK;

/// What a rollback did.
#[derive(Debug, Clone, serde::Serialize)]
pub struct RolledBack {
    /// The release that it published; `None` when everything was so already.
    pub release: Option<u64>,
    /// Tables that changed.
    pub tables: Vec<TableName>,
}

/// Publishes the states that `only` (all tables when empty) had in release `to`.
///
/// The fingerprints that are rolled back are held: the next run keeps the old state until the model or its inputs
/// change, or `--full` is given. `git_commit` is the project's, for the record.
pub async fn rollback(
    lake: &Lake,
    git_commit: Option<String>,
    to: u64,
    only: &[TableName],
    wait: bool,
) -> Result<RolledBack> {
    let id = lake.clock().new_id();
    exclusively(lake, &id.clone(), wait, |_| rollback_alone(lake, id, git_commit, to, only)).await
}

/// The rollback, while it holds the project's lease.
async fn rollback_alone(
    lake: &Lake,
    id: String,
    git_commit: Option<String>,
    to: u64,
    only: &[TableName],
) -> Result<RolledBack> {
    let Some(parent) = lake.release().await? else {
        return Err(Error::project("nothing was released yet").hint("laguna run releases the project"));
    };
    let target = lake.release_number(to).await?;
    let known: BTreeSet<&TableName> = target.tables.keys().chain(parent.tables.keys()).collect();
    for name in only {
        if !known.contains(name) {
            let names: Vec<String> = known.iter().map(|name| name.to_string()).collect();
            return Err(Error::project(format!(
                "{name} is in neither release {to} nor release {}",
                parent.number
            ))
            .hint(suggest::hint(&name.to_string(), names.iter())));
        }
    }
    lake.prepare_for_writing().await?;
    let mut next = Release {
        number: parent.number + 1,
        time: lake.clock().now(),
        run: id.clone(),
        instant: lake.clock().now(),
        reason: format!("rollback to {to}"),
        git_commit,
        ..parent.clone()
    };
    let mut changed = Vec::new();
    for name in known {
        if !only.is_empty() && !only.contains(name) {
            continue;
        }
        let (now, then) = (parent.tables.get(name), target.tables.get(name));
        if let Some(now) = now
            && then.is_none_or(|then| then.fingerprint != now.fingerprint)
        {
            next.held_fingerprints.insert(now.fingerprint.clone());
        }
        match then {
            None => {
                next.tables.remove(name);
                changed.push(name.clone());
            }
            Some(then) if now.is_some_and(|now| same_state(now, then)) => {}
            Some(then) => {
                let mut entry = then.clone();
                if let Some(version) = then.version {
                    let note = CommitNote {
                        run: Some(id.clone()),
                        fingerprint: Some(then.fingerprint.clone()),
                        content: then.content,
                        ..CommitNote::default()
                    };
                    entry.version = Some(lake.restore(name, version, note).await?);
                }
                entry.since = next.number;
                entry.held = Some(format!("{ROLLED_BACK} to release {to}"));
                next.held_fingerprints.remove(&then.fingerprint);
                next.tables.insert(name.clone(), entry);
                changed.push(name.clone());
            }
        }
    }
    if changed.is_empty() {
        return Ok(RolledBack { release: None, tables: changed });
    }
    let published = lake.publish(next, Some(&parent)).await?;
    Ok(RolledBack { release: Some(published.number), tables: changed })
}

/// Whether two entries are the same state: built alike, with the same rows. The versions may differ, because a
/// rollback commits the old state as a new version.
fn same_state(now: &ReleasedTable, then: &ReleasedTable) -> bool {
    now.fingerprint == then.fingerprint
        && now.schema == then.schema
        && (now.version == then.version || (now.content.is_some() && now.content == then.content))
}
