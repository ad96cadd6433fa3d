//! Reading YAML into settings, with errors that name the file, line, column and the nearest valid key.

use serde::de::DeserializeOwned;

use crate::{Error, Result, suggest};

/// Parses `text` of the file `file` (as the user would type its path). An empty file is the default of `T`.
pub fn parse<T: DeserializeOwned + Default>(file: &str, text: &str) -> Result<T> {
    let only_comments = text.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#'));
    if only_comments {
        return Ok(T::default());
    }
    serde_saphyr::from_str(text).map_err(|error| explain(file, &error))
}

fn explain(file: &str, error: &serde_saphyr::Error) -> Error {
    use serde_saphyr::Error as Yaml;
    let inner = error.without_snippet();
    let explained = match inner {
        Yaml::SerdeUnknownField { field, expected, .. } => {
            Error::project(format!("unknown key `{field}`")).hint(suggest::hint(field, expected.iter()))
        }
        Yaml::SerdeUnknownVariant { variant, expected, .. } => {
            Error::project(format!("`{variant}` is not valid here"))
                .hint(suggest::hint(variant, expected.iter()))
        }
        Yaml::SerdeMissingField { field, .. } => Error::project(format!("the key `{field}` is missing")),
        Yaml::DuplicateMappingKey { key, .. } => Error::project(match key {
            Some(key) => format!("the key `{key}` stands twice"),
            None => "a key stands twice".to_string(),
        }),
        Yaml::SerdeInvalidType { unexpected, expected, .. } => {
            Error::project(format!("expected {expected}, found {unexpected}"))
        }
        other => Error::project(first_line(&other.to_string())),
    };
    match inner.location().or_else(|| error.location()) {
        Some(place) => explained.at(file, place.line() as usize, place.column() as usize),
        None => explained.at(file, 0, 0),
    }
}

/// The first line without the place, which is said in front, and without advice for programmers.
fn first_line(text: &str) -> String {
    let line = text.lines().next().unwrap_or("malformed YAML");
    let line = line.rsplit_once(" at line ").map_or(line, |(before, _)| before);
    line.split("; use from_").next().unwrap_or(line).to_string()
}

/// A value together with its place in the file (line and column from 1; 0 when unknown).
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Placed<T> {
    /// The value.
    pub value: T,
    /// Line, from 1.
    pub line: usize,
    /// Column, from 1.
    pub column: usize,
}

impl<'de, T: serde::Deserialize<'de>> serde::Deserialize<'de> for Placed<T> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = serde_saphyr::Spanned::<T>::deserialize(deserializer)?;
        let (line, column) = (spanned.referenced.line() as usize, spanned.referenced.column() as usize);
        Ok(Placed { value: spanned.value, line, column })
    }
}

impl<T: schemars::JsonSchema> schemars::JsonSchema for Placed<T> {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        T::schema_name()
    }
    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        T::json_schema(generator)
    }
    fn inline_schema() -> bool {
        T::inline_schema()
    }
}
