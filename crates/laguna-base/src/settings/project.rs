//! `laguna.yml`: the settings of a whole project.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::role::RoleSettings;
use super::serve::{ServeSettings, UserSettings};

/// `laguna.yml`: where the lake is and how the project runs.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ProjectSettings {
    /// Name of the project; default the folder's name.
    pub name: Option<String>,
    /// Root of the lake: a folder relative to this file, or a URL: `file:///folder`, `s3://bucket/folder`,
    /// `gs://bucket/folder`, `az://container/folder`. Default `./lake`.
    pub lake: Option<String>,
    /// Options of the object store; secrets only through `{{ env('NAME') }}`.
    #[serde(deserialize_with = "scalars")]
    #[schemars(with = "BTreeMap<String, Scalar>")]
    pub storage: BTreeMap<String, String>,
    /// IANA time zone for day boundaries and for dates without a time. Default UTC.
    pub timezone: Option<String>,
    /// How often a task that failed for a passing reason is tried.
    pub retries: Retries,
    /// Tasks at once. Default the number of cores.
    pub parallel: Option<usize>,
    /// Values of `{{ var('name') }}`; `--var name=value` wins.
    pub vars: BTreeMap<String, Value>,
    /// What a failed or blocked table means for the others of its run.
    pub release: ReleaseRule,
    /// What `laguna maintain` keeps, and how large it makes files.
    pub maintain: Maintenance,
    /// When `laguna serve` runs the project, as a cron expression.
    pub schedule: Option<String>,
    /// Who may read what.
    pub roles: BTreeMap<String, RoleSettings>,
    /// Who may log in.
    pub users: BTreeMap<String, UserSettings>,
    /// Ways to reach people.
    pub channels: Option<Value>,
    /// Which incidents reach whom.
    pub alerts: Option<Value>,
    /// Settings of `laguna serve`.
    pub serve: ServeSettings,
    /// Where copies of tables go.
    pub targets: Option<Value>,
    /// Engines that run heavy models.
    pub engines: Option<Value>,
    /// Where tasks run.
    pub executors: Option<Value>,
    /// Interpreter of Python models.
    pub python: Option<String>,
}

impl ProjectSettings {
    /// Keys that are set but that this version does not act on yet.
    pub fn unused(&self) -> Vec<&'static str> {
        let keys: [(&'static str, bool); 6] = [
            ("channels", self.channels.is_some()),
            ("alerts", self.alerts.is_some()),
            ("targets", self.targets.is_some()),
            ("engines", self.engines.is_some()),
            ("executors", self.executors.is_some()),
            ("python", self.python.is_some()),
        ];
        keys.into_iter().filter(|(_, set)| *set).map(|(key, _)| key).collect()
    }
}

/// A value as YAML writes it; all are kept as text.
#[derive(Deserialize, JsonSchema)]
#[serde(untagged)]
enum Scalar {
    Flag(bool),
    Whole(i64),
    Number(f64),
    Text(String),
}

fn scalars<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, String>, D::Error> {
    let values = BTreeMap::<String, Scalar>::deserialize(deserializer)?;
    let text = |value| match value {
        Scalar::Flag(flag) => flag.to_string(),
        Scalar::Whole(number) => number.to_string(),
        Scalar::Number(number) => number.to_string(),
        Scalar::Text(text) => text,
    };
    Ok(values.into_iter().map(|(key, value)| (key, text(value))).collect())
}

/// How often a task that failed for a passing reason is tried, and how long to wait between.
#[derive(Debug, Clone, Deserialize, JsonSchema, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub struct Retries {
    /// Attempts in all, the first included.
    pub attempts: u32,
    /// Wait before the second attempt, as `10s`; it doubles each time.
    pub backoff: String,
    /// The longest wait.
    pub max_backoff: String,
}

impl Default for Retries {
    fn default() -> Self {
        Retries { attempts: 3, backoff: "1s".to_string(), max_backoff: "1m".to_string() }
    }
}

/// What `laguna maintain` keeps, and how large it makes files.
#[derive(Debug, Clone, Deserialize, JsonSchema, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub struct Maintenance {
    /// How long releases are kept, as `90d`; `all` drops none.
    pub keep: String,
    /// Numbers of releases that are kept for ever.
    pub keep_releases: Vec<u64>,
    /// How long statements that `laguna serve` answered are kept in `system.queries`, as `90d`; `all` drops none.
    pub queries: String,
    /// How large files become at most, as `128MB`.
    pub target_file_size: String,
    /// Whether a run joins the small files of the tables that it has added to, when they have become many.
    pub after_runs: bool,
}

impl Default for Maintenance {
    fn default() -> Self {
        Maintenance {
            keep: "90d".to_string(),
            keep_releases: Vec::new(),
            queries: "90d".to_string(),
            target_file_size: "128MB".to_string(),
            after_runs: true,
        }
    }
}

/// What a failed or blocked table means for the others of its run.
#[derive(Debug, Clone, Copy, Default, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum ReleaseRule {
    /// What passed is released; what failed and what hangs on it keeps its old version.
    #[default]
    Each,
    /// Nothing is released unless everything passed.
    All,
}
