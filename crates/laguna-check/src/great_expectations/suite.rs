//! Suites of Great Expectations: the JSON of 1.x, and that of 0.x for those who come from there.
//!
//! Where Great Expectations passes by what it does not know (a type, a severity, a broken condition), this is an error
//! that names the file and the place: a check that silently checks nothing is worse than none.

use std::collections::BTreeMap;

use laguna_base::error::Location;
use laguna_base::{Error, Instant, Result, suggest};
use serde_json::{Map, Value, json};

use super::{VERSION, places, strict};
use crate::parameters::with_parameters;
use crate::spec::CheckSpec;

/// A suite as read from its file.
#[derive(Debug, Clone, Default)]
pub struct SuiteFile {
    /// Its name.
    pub name: String,
    /// Its checks, in order.
    pub checks: Vec<CheckSpec>,
    /// Each expectation as it stands in the file, in the words of 1.x: results repeat it.
    pub expectations: Vec<Value>,
    /// Values of parameters that the suite brings itself.
    pub parameters: BTreeMap<String, Value>,
}

const SUITE_KEYS: [&str; 6] = ["name", "id", "notes", "meta", "expectations", "suite_parameters"];
const OLD_SUITE_KEYS: [&str; 8] = [
    "expectation_suite_name",
    "ge_cloud_id",
    "expectations",
    "evaluation_parameters",
    "data_asset_type",
    "meta",
    "notes",
    "id",
];
const KEYS: [&str; 9] = [
    "type",
    "kwargs",
    "meta",
    "severity",
    "id",
    "description",
    "notes",
    "rendered_content",
    "expectation_context",
];
const OLD_KEYS: [&str; 10] = [
    "expectation_type",
    "kwargs",
    "meta",
    "ge_cloud_id",
    "id",
    "severity",
    "notes",
    "expectation_context",
    "rendered_content",
    "success_on_last_run",
];

/// Arguments that every type may carry and that change no verdict.
const EVERYWHERE: [&str; 4] = ["result_format", "catch_exceptions", "batch_id", "windows"];

/// Reads a suite. `file` is the path that errors name; `parameters` win over those of the suite. All that is wrong is
/// reported at once, each with its place. `now` is the moment that `now()` in an expression stands for.
pub fn read_suite(
    text: &str,
    file: &str,
    parameters: &BTreeMap<String, Value>,
    now: Instant,
) -> Result<SuiteFile> {
    let text = text.trim_start_matches('\u{feff}');
    let value: Value = serde_json::from_str(text).map_err(|error| {
        let line = text.lines().nth(error.line().saturating_sub(1)).unwrap_or_default();
        // The column counts bytes, and points at or behind the word's first letter.
        let from = line.get(error.column().saturating_sub(2)..).unwrap_or_default();
        let python = ["NaN", "Infinity", "-Infinity"].iter().any(|word| {
            from.starts_with(word) || from.get(1..).is_some_and(|from| from.starts_with(word))
        });
        let hint = match python {
            true => "JSON has no NaN and no Infinity, though Python's json writes them: leave the bound out, or write a number",
            false => "a suite is a JSON file such as {\"name\": \"x\", \"expectations\": []}",
        };
        Error::project("the suite is no JSON")
            .at(file, error.line(), error.column())
            .hint(hint)
            .caused_by(error)
    })?;
    let reader = Reader { text, file, parameters, now };
    reader.suite(value)
}

struct Reader<'a> {
    text: &'a str,
    file: &'a str,
    parameters: &'a BTreeMap<String, Value>,
    now: Instant,
}

impl Reader<'_> {
    fn place(&self, offset: usize) -> Location {
        let (line, column) = places::line_and_column(self.text, offset);
        Location { file: self.file.to_string(), line, column }
    }

    fn suite(&self, value: Value) -> Result<SuiteFile> {
        let start = self.text.len() - self.text.trim_start().len();
        let Value::Object(map) = value else {
            return Err(Error::project("a suite is an object with `name` and `expectations`")
                .at_location(self.place(start)));
        };
        let old = map.contains_key("expectation_suite_name");
        let mut errors = Vec::new();
        let known: &[&str] = if old { &OLD_SUITE_KEYS } else { &SUITE_KEYS };
        self.unknown_keys(&map, known, start, "a suite", &mut errors);
        let name_key = if old { "expectation_suite_name" } else { "name" };
        let name = match map.get(name_key) {
            Some(Value::String(name)) if !name.is_empty() => name.clone(),
            _ => {
                let error =
                    Error::project(format!("`{name_key}` of the suite must be a text that is not empty"));
                errors.push(error.at_location(self.place(places::of_key(self.text, start, name_key))));
                String::new()
            }
        };
        let given = map.get(if old { "evaluation_parameters" } else { "suite_parameters" });
        let mut parameters: BTreeMap<String, Value> = match given {
            Some(Value::Object(map)) => {
                map.iter().map(|(name, value)| (name.clone(), value.clone())).collect()
            }
            _ => BTreeMap::new(),
        };
        parameters.extend(self.parameters.iter().map(|(name, value)| (name.clone(), value.clone())));
        let mut suite = SuiteFile { name, parameters, ..SuiteFile::default() };
        match map.get("expectations") {
            None | Some(Value::Null) => {}
            Some(Value::Array(items)) => {
                let offsets = places::of_items(self.text, "expectations");
                let mut walk = places::Walk::new(self.text);
                for (at, item) in items.iter().enumerate() {
                    let offset = offsets.get(at).copied().unwrap_or(start);
                    let (line, column) = walk.to(offset);
                    let here = Location { file: self.file.to_string(), line, column };
                    match self.expectation(item, offset, &here, old, &suite.parameters, &mut errors) {
                        Ok((check, config)) => {
                            suite.checks.extend(check);
                            suite.expectations.push(config);
                        }
                        Err(error) => errors.push(error.at_location(here)),
                    }
                }
            }
            Some(_) => errors.push(
                Error::project("`expectations` must be a list").at_location(self.place(places::of_key(
                    self.text,
                    start,
                    "expectations",
                ))),
            ),
        }
        Error::many(errors).map_or(Ok(suite), Err)
    }

    fn unknown_keys(
        &self,
        map: &Map<String, Value>,
        known: &[&str],
        offset: usize,
        what: &str,
        errors: &mut Vec<Error>,
    ) {
        for key in map.keys().filter(|key| !known.contains(&key.as_str())) {
            let hint = match key.as_str() {
                "expectation_type" => {
                    "a suite with `name` says `type`; one of 0.x has `expectation_suite_name`".to_string()
                }
                other => suggest::hint(other, known.iter()),
            };
            errors.push(
                Error::project(format!("{what} has no key `{key}`"))
                    .at_location(self.place(places::of_key(self.text, offset, key)))
                    .hint(hint),
            );
        }
    }

    /// One expectation, and how results repeat it.
    fn expectation(
        &self,
        item: &Value,
        offset: usize,
        here: &Location,
        old: bool,
        parameters: &BTreeMap<String, Value>,
        errors: &mut Vec<Error>,
    ) -> Result<(Option<CheckSpec>, Value)> {
        let Value::Object(map) = item else {
            return Err(Error::project("an expectation is an object with `type` and `kwargs`"));
        };
        let type_key = if map.contains_key("expectation_type") && old { "expectation_type" } else { "type" };
        let known: &[&str] = if type_key == "type" { &KEYS } else { &OLD_KEYS };
        let before = errors.len();
        self.unknown_keys(map, known, offset, "an expectation", errors);
        let Some(Value::String(kind)) = map.get(type_key) else {
            return Err(Error::project(format!("the expectation lacks its `{type_key}`"))
                .hint("such as expect_column_values_to_not_be_null"));
        };
        let kwargs = match map.get("kwargs") {
            Some(Value::Object(kwargs)) => kwargs.clone(),
            None if old => Map::new(),
            None => {
                return Err(
                    Error::project(format!("`{kind}` lacks its `kwargs`")).hint("write \"kwargs\": {}")
                );
            }
            Some(_) => return Err(Error::project(format!("`kwargs` of `{kind}` must be an object"))),
        };
        let at = |key: &str| self.place(places::of_key(self.text, offset, key));
        if let Some(Value::Array(_)) = kwargs.get("column") {
            return Err(
                Error::project(format!("`column` of `{kind}` must be a text")).at_location(at("kwargs"))
            );
        }
        if let Some(severity) = map.get("severity").filter(|severity| !severity.is_null()) {
            let words = ["critical", "warning", "info"];
            if !severity.as_str().is_some_and(|word| words.contains(&word)) {
                let error = Error::project(format!("`{severity}` is not a severity"));
                return Err(error.at_location(at("severity")).hint("critical, warning or info"));
            }
        }
        if errors.len() > before {
            return Ok((None, Value::Null));
        }
        let mut entry = Map::new();
        let plain: Map<String, Value> = kwargs
            .iter()
            .filter(|(name, _)| !EVERYWHERE.contains(&name.as_str()))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        let values: Map<String, Value> =
            parameters.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
        let plain = with_parameters(&Value::Object(plain), &values, self.now)
            .map_err(|error| error.at_location(at("kwargs")))?;
        if let Value::Object(plain) = &plain {
            strict::arguments(kind, plain).map_err(|error| error.at_location(at("kwargs")))?;
        }
        entry.insert("type".to_string(), Value::from(kind.as_str()));
        entry.insert("kwargs".to_string(), plain);
        let id = map.get("id").or_else(|| map.get("ge_cloud_id"));
        let beside = [("id", id)]
            .into_iter()
            .chain(["severity", "meta", "notes", "description"].into_iter().map(|key| (key, map.get(key))));
        for (key, value) in beside {
            if let Some(value) = value.filter(|value| !value.is_null()) {
                entry.insert(key.to_string(), value.clone());
            }
        }
        let mut config = Map::new();
        config.insert("type".to_string(), Value::from(kind.as_str()));
        config.insert("kwargs".to_string(), Value::Object(kwargs.clone()));
        config.insert("meta".to_string(), map.get("meta").cloned().unwrap_or_else(|| json!({})));
        config.insert(
            "severity".to_string(),
            map.get("severity").cloned().unwrap_or_else(|| json!("critical")),
        );
        for key in ["id", "description", "notes"] {
            if let Some(value) = entry.get(key) {
                config.insert(key.to_string(), value.clone());
            }
        }
        let mut found = crate::parse::entry(&Value::Object(entry), None, here).map_err(|error| {
            let unknown = error.message().starts_with("there is no check");
            error.at_location(at(if unknown { type_key } else { "kwargs" }))
        })?;
        Ok((found.pop(), Value::Object(config)))
    }
}

/// A suite as Great Expectations 1.x writes it: keys sorted, two spaces.
pub fn write_suite(name: &str, expectations: &[Value], notes: Option<&str>) -> String {
    let mut suite = json!({
        "expectations": expectations,
        "meta": {"great_expectations_version": VERSION},
        "name": name,
    });
    if let Some(notes) = notes {
        suite["notes"] = notes.into();
    }
    serde_json::to_string_pretty(&sorted(suite)).unwrap_or_default() + "\n"
}

/// Objects with their keys in order.
pub(super) fn sorted(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let ordered: BTreeMap<String, Value> =
                map.into_iter().map(|(key, value)| (key, sorted(value))).collect();
            Value::Object(ordered.into_iter().collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(sorted).collect()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<SuiteFile> {
        read_suite(text, "checks/s.json", &BTreeMap::new(), Instant::from_micros(0))
    }

    #[test]
    fn both_forms_are_read() {
        let new = r#"{"name": "s", "expectations": [{"type": "expect_column_values_to_not_be_null",
            "kwargs": {"column": "a", "mostly": 0.9, "result_format": "BASIC"}, "severity": "warning", "meta": {"x": 1}}]}"#;
        let new = read(new).unwrap();
        assert_eq!((new.name.as_str(), new.checks.len()), ("s", 1));
        assert_eq!(new.checks[0].severity(), crate::Severity::Warning);
        assert_eq!(new.expectations[0]["kwargs"]["result_format"], "BASIC");
        let old = r#"{"expectation_suite_name": "s", "data_asset_type": null, "ge_cloud_id": null,
            "expectations": [{"expectation_type": "expect_column_values_to_not_be_null", "kwargs": {"column": "a"}, "meta": {}}]}"#;
        let old = read(old).unwrap();
        assert_eq!(old.expectations[0]["type"], "expect_column_values_to_not_be_null");
        assert_eq!(read(r#"{"name": "empty"}"#).unwrap().checks.len(), 0);
    }

    #[test]
    fn what_great_expectations_passes_by_is_an_error_with_its_place() {
        let refused = |text: &str, place: &str, part: &str| {
            let error = read(text).unwrap_err();
            let all: Vec<String> =
                std::iter::once(&error).chain(error.others()).map(|e| e.to_string()).collect();
            let found = all.iter().any(|text| text.contains(place) && text.contains(part));
            assert!(found, "{all:?}");
        };
        refused(
            "{\"name\": \"s\",\n \"expectations\": [{\"type\": \"expect_nothing\", \"kwargs\": {}}]}",
            "checks/s.json:2:20",
            "expect_nothing",
        );
        refused("{\"name\": \"s\", \"expectation\": []}", "checks/s.json:1:15", "expectation");
        refused("{\"name\": \"\"}", "checks/s.json:1:2", "name");
        refused(
            "{\"name\": \"s\", \"expectations\": [\n{\"type\": \"expect_column_to_exist\", \"kwargs\": {\"column\": \"a\"},\n\"severity\": \"high\"}]}",
            "checks/s.json:3:1",
            "severity",
        );
        refused(
            "{\"name\": \"s\", \"expectations\": [\n{\"type\": \"expect_column_to_exist\", \"kwargs\": {\"column\": \"a\"}, \"sevrity\": 1}]}",
            "checks/s.json:2:63",
            "sevrity",
        );
        refused("{\"name\": \"s\", \"expectations\": [{\"kwargs\": {}}]}", "checks/s.json:1:32", "type");
        refused("{\"name\": \"s\"", "checks/s.json:1", "no JSON");
    }
}
