//! The Delta log of one table: its entries, their replay, and the put of the next one.
//!
//! Follows <https://github.com/delta-io/delta/blob/master/PROTOCOL.md>: reader version 1 (and version 3 with features
//! that change nothing for us), checkpoints in one or several Parquet files. What would make rows come out wrong
//! (deletion vectors, column mapping, an unknown feature) is refused.

mod action;
mod checkpoint;
mod guard;
mod listing;
mod replay;

use laguna_base::{Result, TableName};
use object_store::PutMode;

use crate::Lake;

pub(crate) use action::{Action, Add, Metadata, Protocol, Remove, Transaction};
pub(crate) use guard::check_writable;
pub(crate) use listing::{Listing, list, list_recent, version_of};
pub(crate) use replay::{State, files_of, first_readable, has_note, named_paths, replay};

/// Folder of the log below the root.
pub(crate) fn folder(table: &TableName) -> String {
    format!("{}/_delta_log", table.path())
}

/// Path of one entry below the root.
pub(crate) fn entry(table: &TableName, version: u64) -> String {
    format!("{}/{version:020}.json", folder(table))
}

/// Puts `content`, which no other writer puts, as `version` if that version does not exist. `Ok(false)`: another
/// writer has it.
pub(crate) async fn put_entry(
    lake: &Lake,
    table: &TableName,
    version: u64,
    content: bytes::Bytes,
) -> Result<bool> {
    let path = entry(table, version);
    match lake.put(&path, content, PutMode::Create).await {
        Ok(()) => Ok(true),
        Err(object_store::Error::AlreadyExists { .. }) => Ok(false),
        Err(error) => Err(lake.write_error(&path, error)),
    }
}
