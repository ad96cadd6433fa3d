//! What makes a model's content: its SQL, the settings that shape it, and what it reads. Unchanged means: skip it.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use laguna_base::hash::Fingerprint as Parts;
use laguna_base::settings::table::OnFail;
use laguna_base::{Error, TableName};

use crate::project::Model;

/// Grows when the same SQL and inputs must be built again because of a change in Laguna itself.
const EDITION: &str = "1";

/// Digits of the first half of the settings' part: what shapes the rows.
const SHAPE: usize = 16;

/// A model's fingerprint in its three parts, written as `<sql>-<settings>-<inputs>` of 32 hexadecimal digits each.
///
/// Two equal fingerprints mean equal content, as far as the model calls no function of time or chance.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint {
    /// The words of the rendered SQL; comments and layout don't count.
    pub sql: String,
    /// Settings: half of it for those that shape the rows, half for the checks and what they do. Descriptions, owners
    /// and tags don't count.
    pub settings: String,
    /// The content of each input.
    pub inputs: String,
}

impl Fingerprint {
    /// The fingerprint of `model` when its inputs have the contents `inputs`: for each table that it or its checks
    /// read, a text that is the same exactly when the content is.
    pub fn of(model: &Model, inputs: &BTreeMap<TableName, String>) -> Fingerprint {
        let mut parts = Parts::new();
        for (name, content) in inputs {
            parts.add(name.to_string());
            parts.add(content);
        }
        Fingerprint { sql: sql_part(model), settings: settings_part(model), inputs: parts.finish() }
    }

    /// Whether SQL and settings are those of `other`, whatever was read.
    pub fn same_code(&self, other: &Fingerprint) -> bool {
        self.sql == other.sql && self.settings == other.settings
    }

    /// Whether SQL and settings would give the rows of `model` as it stands from the same inputs: at most its checks
    /// differ.
    pub fn gives_rows_of(&self, model: &Model) -> bool {
        self.sql == sql_part(model) && self.settings.get(..SHAPE) == settings_part(model).get(..SHAPE)
    }

    /// Whether SQL and settings are those of `model` as it stands.
    pub fn is_code_of(&self, model: &Model) -> bool {
        self.sql == sql_part(model) && self.settings == settings_part(model)
    }
}

fn sql_part(model: &Model) -> String {
    Parts::new().part(EDITION).part(&model.sql_hash).finish()
}

fn settings_part(model: &Model) -> String {
    let settings = &model.settings;
    let mut shape = Parts::new();
    shape.add(text(&settings.materialize));
    shape.add(text(&settings.partition));
    shape.add(text(&settings.sort));
    let mut checks = Parts::new();
    checks.add(text(&model.on_fail()));
    for check in &model.checks {
        checks.add(check.name());
        checks.add(check.severity().as_str());
        checks.add(text(&check.kwargs()));
    }
    let checks = checks.finish();
    // Where rows that fail are set aside, the checks decide which rows there are.
    shape.add(if model.on_fail() == OnFail::Quarantine { checks.as_str() } else { "" });
    format!("{}{}", &shape.finish()[..SHAPE], &checks[..SHAPE])
}

fn text(value: &impl serde::Serialize) -> String {
    // These are plain values out of YAML: writing them cannot fail.
    serde_json::to_string(value).unwrap_or_default()
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{}", self.sql, self.settings, self.inputs)
    }
}

impl FromStr for Fingerprint {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self, Error> {
        let mut parts = text.split('-').map(str::to_string);
        match (parts.next(), parts.next(), parts.next(), parts.next()) {
            (Some(sql), Some(settings), Some(inputs), None) => Ok(Fingerprint { sql, settings, inputs }),
            _ => Err(Error::stored(format!("`{text}` is not a model's fingerprint"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::{LoadOptions, Project};

    fn fingerprint(sql: &str, settings: &str, input: &str) -> Fingerprint {
        let files = [
            ("laguna.yml", ""),
            ("raw/a.yml", "source: {files: a.csv}"),
            ("sanitized/a.sql", sql),
            ("sanitized/a.yml", settings),
        ];
        let files = files.iter().map(|(file, text)| (file.to_string(), text.as_bytes().to_vec())).collect();
        let project = Project::load_files(Path::new("/t"), files, &LoadOptions::default()).unwrap();
        let inputs = BTreeMap::from([("raw.a".parse().unwrap(), input.to_string())]);
        Fingerprint::of(project.models.values().next().unwrap(), &inputs)
    }

    #[test]
    fn what_shapes_the_content_counts_and_nothing_else() {
        let base = fingerprint("SELECT * FROM raw.a", "sort: [x]", "v1");
        assert_eq!(
            base,
            fingerprint("-- note\nSELECT *\r\nFROM raw.a;", "sort: x\nowner: me\ntags: [b]", "v1")
        );
        let sql = fingerprint("SELECT 1 FROM raw.a", "sort: [x]", "v1");
        assert!(sql.sql != base.sql && sql.settings == base.settings && sql.inputs == base.inputs);
        let settings = fingerprint("SELECT * FROM raw.a", "partition: [x]", "v1");
        assert!(settings.sql == base.sql && settings.settings != base.settings && !settings.same_code(&base));
        let checks = fingerprint("SELECT * FROM raw.a", "sort: [x]\nchecks: [row_count: {min: 1}]", "v1");
        assert!(!checks.same_code(&base) && checks.settings[..SHAPE] == base.settings[..SHAPE]);
        let aside = "sort: [x]\non_fail: quarantine\nchecks: [not_null: x]";
        let aside = fingerprint("SELECT * FROM raw.a", aside, "v1");
        assert!(aside.settings[..SHAPE] != base.settings[..SHAPE], "there the checks shape the rows");
        let inputs = fingerprint("SELECT * FROM raw.a", "sort: [x]", "v2");
        assert!(inputs.inputs != base.inputs && inputs.same_code(&base));
        assert_eq!(base.to_string().parse::<Fingerprint>().unwrap(), base);
        assert!("abc".parse::<Fingerprint>().is_err());
    }
}
