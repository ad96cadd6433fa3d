//! A check as resolved from YAML, before it meets a schema.

use laguna_base::error::Location;
use laguna_base::{Result, TableName};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::arguments::Arguments;
use crate::kind::CheckKind;
use crate::sql;

/// How much a failing check matters.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// It acts on the gate.
    #[default]
    Critical,
    /// It is said, and blocks nothing.
    Warning,
    /// It is kept, and blocks nothing.
    Info,
}

impl Severity {
    /// The word in YAML.
    pub fn as_str(self) -> &'static str {
        match self {
            Severity::Critical => "critical",
            Severity::Warning => "warning",
            Severity::Info => "info",
        }
    }
}

/// What is carried from a check to its verdict and changes nothing.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Kept {
    pub meta: Value,
    pub notes: Value,
    pub id: Option<String>,
    /// The arguments as they were typed.
    pub given: Value,
}

/// A check as resolved from YAML: its kind, its arguments, where it stands.
#[derive(Clone)]
pub struct CheckSpec {
    pub(crate) kind: &'static CheckKind,
    pub(crate) arguments: Arguments,
    pub(crate) severity: Severity,
    pub(crate) given_name: Option<String>,
    pub(crate) description: Option<String>,
    pub(crate) kept: Kept,
    pub(crate) location: Location,
}

impl CheckSpec {
    /// A check from its name (any of its names) and its arguments, as they stand in a Great Expectations suite.
    pub fn new(name: &str, arguments: &Value) -> Result<CheckSpec> {
        crate::parse::entry(
            &Value::Object([(name.to_string(), arguments.clone())].into_iter().collect()),
            None,
            &Location { file: String::new(), line: 0, column: 0 },
        )?
        .pop()
        .ok_or_else(|| laguna_base::Error::project(format!("`{name}` names no column")))
    }

    /// Canonical name, Great Expectations' where it has one: `expect_column_values_to_not_be_null`.
    pub fn name(&self) -> &str {
        self.kind.name
    }

    /// Short name: `not_null`.
    pub fn short(&self) -> &str {
        self.kind.short
    }

    /// What people read: the name given in YAML, or `not_null(carrier)`.
    pub fn label(&self) -> String {
        match &self.given_name {
            Some(name) => name.clone(),
            None => format!("{}({})", self.kind.short, self.columns().join(", ")),
        }
    }

    /// How much its failure matters.
    pub fn severity(&self) -> Severity {
        self.severity
    }

    /// What the user says about it.
    pub fn description(&self) -> Option<&str> {
        self.description.as_deref()
    }

    /// The user's `meta`; null when there is none.
    pub fn meta(&self) -> &Value {
        &self.kept.meta
    }

    /// The user's notes, a text or a list of texts; null when there are none.
    pub fn notes(&self) -> &Value {
        &self.kept.notes
    }

    /// The user's id of the check.
    pub fn id(&self) -> Option<&str> {
        self.kept.id.as_deref()
    }

    /// The arguments as they were typed, before names and types were settled; null when none were.
    pub fn given(&self) -> &Value {
        &self.kept.given
    }

    /// Columns that its arguments name.
    pub fn columns(&self) -> Vec<String> {
        let mut columns = self.arguments.texts("column");
        columns.extend(self.arguments.texts("column_A"));
        columns.extend(self.arguments.texts("column_B"));
        columns.extend(self.arguments.texts("column_list"));
        columns
    }

    /// Where it stands.
    pub fn location(&self) -> &Location {
        &self.location
    }

    /// Other tables that it reads: targets of foreign keys, and tables in SQL besides `this`. A model that carries the
    /// check depends on them.
    pub fn references(&self) -> Vec<TableName> {
        if let Some(to) = self.arguments.text("to").or(self.arguments.text("other_table_name")) {
            return to.parse().into_iter().collect();
        }
        let mut found: Vec<TableName> = ["unexpected_rows_query", "base_query", "comparison_query"]
            .into_iter()
            .filter_map(|argument| sql::references(&sql::batch_as_this(self.arguments.text(argument)?)).ok())
            .flatten()
            .collect();
        found.sort();
        found.dedup();
        found
    }

    /// Its arguments under their canonical names.
    pub fn kwargs(&self) -> Value {
        self.arguments.json()
    }
}

impl std::fmt::Debug for CheckSpec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} {:?} at {}", self.kind.name, self.arguments.json(), self.severity, self.location)
    }
}
