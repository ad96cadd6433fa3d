//! `roles:` of `laguna.yml`: what someone may read, which columns are hidden, which rows are seen.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::OneOrMany;

/// What the users of one role may read, and how much of the machine their statements may take.
#[derive(Debug, Clone, Default, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub struct RoleSettings {
    /// Tiers and tables that exist for the role, as `enhanced` or `sanitized.flights`; also `staged`. Nothing else does.
    pub read: OneOrMany,
    /// Columns that are always null, by table, as `{sanitized.passengers: [email, phone]}`. A table that lacks one of
    /// them cannot be read.
    pub mask: BTreeMap<String, OneOrMany>,
    /// The condition that a row must meet to be seen, by table, as `{sanitized.bookings: "country = 'NL'"}`.
    pub rows: BTreeMap<String, String>,
    /// How long a statement may run, as `60s`; default that of `serve`.
    pub timeout: Option<String>,
    /// Rows that a statement may answer with; default that of `serve`.
    pub max_rows: Option<u64>,
    /// Statements of the role at once; the others wait.
    pub concurrency: Option<usize>,
}
