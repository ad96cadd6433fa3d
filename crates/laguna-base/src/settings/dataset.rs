//! `raw/<dataset>.yml`: where a raw dataset comes from and how its rows are kept.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::OneOrMany;

/// `raw/<dataset>.yml`: one raw dataset.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DatasetSettings {
    /// What the dataset holds.
    #[serde(default)]
    pub description: Option<String>,
    /// Who answers for it.
    #[serde(default)]
    pub owner: Option<String>,
    /// Words to find and select it by.
    #[serde(default)]
    pub tags: Vec<String>,
    /// Where its rows come from.
    pub source: SourceSettings,
    /// What a row means to earlier rows.
    #[serde(default)]
    pub mode: Mode,
    /// Columns that identify a row; needed by `upsert` and `changes`; gives `latest.<dataset>`.
    #[serde(default)]
    pub key: OneOrMany,
    /// Column that says which row of a key is newest. Default: the order of arrival.
    #[serde(default)]
    pub order: Option<String>,
    /// With `mode: changes`, the column that says insert, update or delete. Default `_op`.
    #[serde(default)]
    pub op: Option<String>,
    /// Types of columns where the inferred one is wrong.
    #[serde(default)]
    pub columns: BTreeMap<String, String>,
    /// What a column that appears later does.
    #[serde(default)]
    pub on_new_column: OnNewColumn,
    /// What a row that cannot be parsed does.
    #[serde(default)]
    pub on_bad_row: OnBadRow,
    /// Overrides the project's schedule.
    #[serde(default)]
    pub schedule: Option<String>,
}

/// Where rows come from.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SourceSettings {
    /// Paths or globs relative to the project folder, as `data/flights/*.csv.gz`. `**` crosses folders.
    pub files: OneOrMany,
    /// Format of the files. Default: by extension.
    #[serde(default)]
    pub format: Option<Format>,
    /// How CSV is written.
    #[serde(default)]
    pub csv: CsvSettings,
    /// IANA time zone of timestamps that carry none. Default UTC.
    #[serde(default)]
    pub timezone: Option<String>,
}

/// Format of a file, before compression (`.gz`, `.zst`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// Comma-separated values, RFC 4180, with the settings of `csv:`. Extensions `.csv`, `.tsv`.
    Csv,
    /// JSON: one object a line, or one array of objects. Extensions `.ndjson`, `.jsonl`, `.json`.
    Json,
    /// Apache Parquet. Extension `.parquet`.
    Parquet,
    /// Avro object container file. Extension `.avro`.
    Avro,
}

/// How CSV is written.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CsvSettings {
    /// One character between fields. Default `,` (tab for `.tsv`).
    pub delimiter: Option<String>,
    /// Whether the first row names the columns. Default true.
    pub header: Option<bool>,
    /// One character around fields that hold a delimiter or a line break. Default `"`.
    pub quote: Option<String>,
    /// Texts that mean null, besides the empty field. Default `NA`, `NULL`, `null`.
    pub nulls: Option<Vec<String>>,
    /// Character encoding. Default `utf-8`; also `latin1`, `windows-1252`, `utf-16`.
    pub encoding: Option<String>,
}

/// What a row means to earlier rows of the same dataset.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Every row counts.
    #[default]
    Append,
    /// The newest row of a key counts.
    Upsert,
    /// Each batch is the whole.
    Snapshot,
    /// Rows carry insert, update or delete.
    Changes,
}

/// What a column that appears after the first batch does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnNewColumn {
    /// It is added to the table.
    #[default]
    Add,
    /// The run fails for this dataset.
    Reject,
    /// It is left out.
    Ignore,
}

/// What a row that cannot be parsed does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnBadRow {
    /// It is set aside with its reason; the rest lands.
    #[default]
    Quarantine,
    /// The batch fails.
    Fail,
}
