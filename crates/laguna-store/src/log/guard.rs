//! Refuses tables with features that Laguna cannot read, or cannot keep when it writes.

use laguna_base::{Error, Result, TableName};

use super::{Metadata, Protocol, State};

pub(super) fn unsupported(table: &TableName, what: &str) -> Error {
    Error::stored(format!(
        "{table} uses {what}, which another program has switched on and Laguna cannot read"
    ))
    .hint("rewrite the table without it, or restore it to a version before that")
}

pub(super) fn check_readable(table: &TableName, protocol: &Protocol, metadata: &Metadata) -> Result<()> {
    match metadata.configuration.get("delta.columnMapping.mode").and_then(Option::as_deref) {
        None | Some("none") => {}
        Some(_) => return Err(unsupported(table, "column mapping")),
    }
    let harmless = ["timestampNtz", "vacuumProtocolCheck", "columnMapping"];
    match protocol.min_reader_version {
        0..=2 => Ok(()),
        3 => {
            match protocol.reader_features.iter().flatten().find(|name| !harmless.contains(&name.as_str())) {
                // Deletion vectors may be allowed and not used: files say so.
                Some(name) if name != "deletionVectors" => {
                    Err(unsupported(table, &format!("the Delta feature `{name}`")))
                }
                _ => Ok(()),
            }
        }
        version => Err(unsupported(table, &format!("Delta reader version {version}"))),
    }
}

/// Refuses to write where a writer would have to keep rules that Laguna does not know.
pub(crate) fn check_writable(table: &TableName, state: &State) -> Result<()> {
    let refuse = |what: &str| {
        Err(Error::stored(format!("{table} uses {what}, which Laguna cannot keep when it writes"))
            .hint("another program has switched it on: switch it off, or restore the table"))
    };
    let harmless = ["timestampNtz", "vacuumProtocolCheck", "invariants", "appendOnly"];
    match state.protocol.min_writer_version {
        0..=2 => {}
        7 => {
            let features = state.protocol.writer_features.iter().flatten();
            if let Some(name) = features.into_iter().find(|name| !harmless.contains(&name.as_str())) {
                return refuse(&format!("the Delta feature `{name}`"));
            }
        }
        version => return refuse(&format!("Delta writer version {version}")),
    }
    if state.metadata.schema_string.contains("delta.invariants") {
        return refuse("column invariants");
    }
    Ok(())
}
