//! `sanitized/<table>.yml` and `enhanced/<table>.yml`: what stands beside a model's SQL.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::OneOrMany;
use super::yaml::Placed;

/// The settings of one model.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TableSettings {
    /// What a row of the table is.
    pub description: Option<String>,
    /// Who answers for it.
    pub owner: Option<String>,
    /// Words to find and select it by.
    pub tags: Vec<String>,
    /// How the model is kept.
    pub materialize: Materialize,
    /// Engine that runs it. Default: embedded.
    pub engine: Option<String>,
    /// Where its task runs. Default: in the process.
    pub executor: Option<String>,
    /// Its columns, in any order; not every column need be named.
    pub columns: BTreeMap<String, ColumnSettings>,
    /// What must be true of the table.
    pub checks: Vec<Placed<CheckEntry>>,
    /// What a failed critical check does. Default `block` in enhanced, `warn` in sanitized.
    pub on_fail: Option<OnFail>,
    /// Numbers to keep about each version.
    pub metrics: Vec<Value>,
    /// How its metrics are watched.
    pub watch: Option<Value>,
    /// Where copies of it go.
    pub targets: Vec<String>,
    /// Columns whose values become folders.
    pub partition: OneOrMany,
    /// Columns by which rows are sorted within a file.
    pub sort: OneOrMany,
}

impl TableSettings {
    /// Keys that are set but that this version does not act on yet.
    pub fn unused(&self) -> Vec<&'static str> {
        let keys: [(&'static str, bool); 5] = [
            ("engine", self.engine.as_deref().is_some_and(|engine| engine != "embedded")),
            ("executor", self.executor.is_some()),
            ("metrics", !self.metrics.is_empty()),
            ("watch", self.watch.is_some()),
            ("targets", !self.targets.is_empty()),
        ];
        keys.into_iter().filter(|(_, set)| *set).map(|(key, _)| key).collect()
    }
}

/// One column's documentation and checks.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ColumnSettings {
    /// What the column holds, with its unit.
    pub description: Option<String>,
    /// Words to find it by, as `pii:email`.
    pub tags: Vec<String>,
    /// Checks of this column.
    pub checks: Vec<Placed<CheckEntry>>,
}

/// A check as typed: a bare name (`not_null`), or a map of its name to its arguments beside `severity`, `mostly`, `name`.
///
/// The rooms that know the checks give it meaning.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(transparent)]
pub struct CheckEntry(pub Value);

/// How a model is kept.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Materialize {
    /// Written whole on each build.
    #[default]
    Table,
    /// Only its SQL is kept; computed when read.
    View,
    /// Only new rows are computed; rows of the same key are replaced.
    Incremental(Incremental),
}

/// How an incremental model finds what is new and what it replaces.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Incremental {
    /// Columns that identify a row.
    pub key: OneOrMany,
    /// Column that grows with time: rows at or above its largest kept value less `lookback` are computed again.
    #[serde(default)]
    pub watermark: Option<String>,
    /// How far back late rows are looked for, as `3d`; a plain number for numeric watermarks.
    #[serde(default)]
    pub lookback: Option<Value>,
}

/// What a failed critical check does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnFail {
    /// The new version is not published; readers stay on the last good one.
    Block,
    /// Rows that fail a row check are set aside, the rest is published.
    Quarantine,
    /// It is published and said.
    Warn,
}
