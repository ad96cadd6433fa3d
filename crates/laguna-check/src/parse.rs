//! From table settings to checks: short and long names, shorthands, and every error of a file at once.

use laguna_base::error::Location;
use laguna_base::settings::TableSettings;
use laguna_base::settings::table::CheckEntry;
use laguna_base::settings::yaml::Placed;
use laguna_base::{Clock, Error, Result, SystemClock, suggest};
use serde_json::{Map, Value};

use crate::arguments::Arguments;
use crate::kind::{CheckKind, Scope, all};
use crate::parameters;
use crate::spec::{CheckSpec, Kept, Severity};

/// Keys that may stand beside the name of a check.
const SIBLINGS: [&str; 7] = ["severity", "mostly", "name", "description", "meta", "notes", "id"];

/// All checks of one table's settings, those of its columns first. Every wrong one is reported, with its place.
pub fn parse(settings: &TableSettings, file: &str) -> Result<Vec<CheckSpec>> {
    let mut specs = Vec::new();
    let mut errors = Vec::new();
    let mut read = |placed: &Placed<CheckEntry>, column: Option<&str>| {
        let location = Location { file: file.to_string(), line: placed.line, column: placed.column };
        match entry(&placed.value.0, column, &location) {
            Ok(found) => specs.extend(found),
            Err(error) => errors.push(error.at_location(location)),
        }
    };
    for (name, column) in &settings.columns {
        column.checks.iter().for_each(|placed| read(placed, Some(name)));
    }
    settings.checks.iter().for_each(|placed| read(placed, None));
    match Error::many(errors) {
        Some(error) => Err(error),
        None => Ok(specs),
    }
}

/// The checks of one entry: one, or one for each column of `{not_null: [a, b]}`.
pub(crate) fn entry(value: &Value, column: Option<&str>, location: &Location) -> Result<Vec<CheckSpec>> {
    let (name, given, siblings) = split(value)?;
    let typed = given.clone();
    // Arguments that wait for a run's parameters are filled in before; only moments can be known here.
    let given = match parameters::any(&given) {
        true => parameters::with_parameters(&given, &Map::new(), SystemClock.now())?,
        false => given,
    };
    let mut kind = find(&name)?;
    let mut arguments = spread(kind, given)?;
    if let Some(mostly) = siblings.get("mostly") {
        if !kind.mostly {
            return Err(Error::project(format!(
                "`{name}` has no `mostly`: it looks at the table as a whole"
            )));
        }
        if arguments.insert("mostly".to_string(), mostly.clone()).is_some() {
            return Err(Error::project(format!("`mostly` of `{name}` is given twice")));
        }
    }
    if let Some(column) = column {
        imply_column(kind, &name, &mut arguments, column)?;
    }
    kind = unique_form(kind, &mut arguments);
    let severity = severity(siblings.get("severity"))?;
    let text = |key: &str| match siblings.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(Error::project(format!("`{key}` must be a text"))),
    };
    let (given_name, description) = (text("name")?, text("description")?);
    let kept = Kept {
        meta: siblings.get("meta").cloned().unwrap_or_default(),
        notes: siblings.get("notes").cloned().unwrap_or_default(),
        id: text("id")?,
        given: typed,
    };
    one_each(kind, arguments)
        .into_iter()
        .map(|arguments| {
            let arguments = Arguments::resolve(kind, arguments)?;
            (kind.validate)(&arguments)?;
            Ok(CheckSpec {
                kind,
                arguments,
                severity,
                given_name: given_name.clone(),
                description: description.clone(),
                kept: kept.clone(),
                location: location.clone(),
            })
        })
        .collect()
}

/// Name, arguments as typed, and what stands beside them.
fn split(value: &Value) -> Result<(String, Value, Map<String, Value>)> {
    let map = match value {
        Value::String(name) => return Ok((name.clone(), Value::Null, Map::new())),
        Value::Object(map) => map,
        _ => {
            return Err(Error::project("a check is a name, or a map of its name to its arguments")
                .hint("write `not_null` or `{between: {min_value: 0}}`"));
        }
    };
    if let (Some(Value::String(name)), Some(kwargs)) = (map.get("type"), map.get("kwargs")) {
        let siblings = map
            .iter()
            .filter(|(key, _)| !matches!(key.as_str(), "type" | "kwargs"))
            .map(|(k, v)| (k.clone(), v.clone()));
        return Ok((name.clone(), kwargs.clone(), siblings.collect()));
    }
    let (siblings, names): (Vec<_>, Vec<_>) =
        map.iter().partition(|(key, _)| SIBLINGS.contains(&key.as_str()));
    let siblings = siblings.into_iter().map(|(key, value)| (key.clone(), value.clone())).collect();
    match names.as_slice() {
        [(name, arguments)] => Ok(((*name).clone(), (*arguments).clone(), siblings)),
        [] => Err(Error::project("the name of the check is missing")
            .hint("write `{between: {min_value: 0}, severity: warning}`")),
        several => {
            // A sibling with a typing error looks like a second check: say so.
            let typo = several.iter().find_map(|(key, _)| {
                CheckKind::find(key)
                    .is_none()
                    .then(|| suggest::nearest(key, &SIBLINGS).map(|near| (key, near)))?
            });
            Err(match typo {
                Some((key, near)) => {
                    Error::project(format!("unknown key `{key}`")).hint(format!("did you mean `{near}`?"))
                }
                None => Error::project(format!(
                    "one entry holds several checks: {}",
                    several.iter().map(|(key, _)| format!("`{key}`")).collect::<Vec<_>>().join(", ")
                ))
                .hint("give each its own list item; arguments stand below the name: `{between: {min_value: 0}}`"),
            })
        }
    }
}

fn find(name: &str) -> Result<&'static CheckKind> {
    if let Some(kind) = CheckKind::find(name) {
        return Ok(kind);
    }
    if name == "suite" {
        return Err(Error::project("suite files are not supported yet")
            .hint("write the suite's expectations as entries: their names and arguments are the same here"));
    }
    let names: Vec<&str> = all().iter().flat_map(|kind| kind.names()).collect();
    let near = suggest::nearest(name, names.iter());
    let error = Error::project(format!("there is no check `{name}`"));
    Err(match near {
        Some(near) => error.hint(format!("did you mean `{near}`?")),
        None => error.hint(format!(
            "valid are {}",
            all().iter().map(|kind| kind.short).collect::<Vec<_>>().join(", ")
        )),
    })
}

/// Shorthands: a value or list is the main argument; `between: [0, 1]` is its two bounds.
fn spread(kind: &CheckKind, given: Value) -> Result<Map<String, Value>> {
    let takes_bounds =
        |count| count == 2 && kind.arguments.iter().any(|argument| argument.name == "max_value");
    match given {
        Value::Null => Ok(Map::new()),
        Value::Object(map) => Ok(map),
        Value::Array(bounds) if kind.main.is_none() && takes_bounds(bounds.len()) => {
            Ok(["min_value", "max_value"].map(str::to_string).into_iter().zip(bounds).collect())
        }
        Value::Bool(true) if kind.main.is_none_or(|main| main == "column") => Ok(Map::new()),
        other => match kind.main {
            Some(main) => Ok([(main.to_string(), other)].into_iter().collect()),
            None => Err(Error::project(format!("`{}` needs named arguments", kind.short))
                .hint(format!("as in {}", kind.example))),
        },
    }
}

fn imply_column(
    kind: &CheckKind,
    name: &str,
    arguments: &mut Map<String, Value>,
    column: &str,
) -> Result<()> {
    let key = match kind.scope {
        Scope::Column => "column",
        Scope::Columns => "column_list",
        Scope::Table => {
            return Err(Error::project(format!("`{name}` looks at the whole table, not at one column"))
                .hint("put it under `checks:` of the table"));
        }
    };
    let names_columns = ["column", "columns", "column_list"].iter().find(|key| arguments.contains_key(**key));
    match names_columns {
        Some(given) if arguments[*given] != column => {
            Err(Error::project(format!("`{name}` stands under the column `{column}` and names another"))
                .hint("leave it out, or put the check under `checks:` of the table"))
        }
        Some(_) => Ok(()),
        None => {
            arguments.insert(key.to_string(), Value::from(column));
            Ok(())
        }
    }
}

/// `unique` with several columns is the compound check, with one the plain one.
fn unique_form(kind: &'static CheckKind, arguments: &mut Map<String, Value>) -> &'static CheckKind {
    if kind.short != "unique" {
        return kind;
    }
    for alias in ["column_list", "columns", "combination_of_columns"] {
        if let Some(columns) = arguments.shift_remove(alias) {
            arguments.insert("column".to_string(), columns);
        }
    }
    let Some(Value::Array(columns)) = arguments.get("column") else { return kind };
    if columns.len() == 1 {
        let only = columns[0].clone();
        arguments.insert("column".to_string(), only);
        return kind;
    }
    let columns = arguments.shift_remove("column").unwrap_or_default();
    arguments.insert("column_list".to_string(), columns);
    CheckKind::find("expect_compound_columns_to_be_unique").unwrap_or(kind)
}

/// `{not_null: [a, b]}` is one check for each column.
fn one_each(kind: &CheckKind, arguments: Map<String, Value>) -> Vec<Map<String, Value>> {
    match arguments.get("column") {
        Some(Value::Array(columns)) if kind.scope == Scope::Column && !columns.is_empty() => columns
            .iter()
            .map(|column| {
                let mut one = arguments.clone();
                one.insert("column".to_string(), column.clone());
                one
            })
            .collect(),
        _ => vec![arguments],
    }
}

fn severity(value: Option<&Value>) -> Result<Severity> {
    match value {
        None | Some(Value::Null) => Ok(Severity::Critical),
        Some(Value::String(word)) => [Severity::Critical, Severity::Warning, Severity::Info]
            .into_iter()
            .find(|severity| {
                severity.as_str() == word
                    || (word == "error" && *severity == Severity::Critical)
                    || (word == "warn" && *severity == Severity::Warning)
            })
            .ok_or_else(|| {
                Error::project(format!("`{word}` is not a severity"))
                    .hint(suggest::hint(word, ["critical", "warning", "info"].iter()))
            }),
        Some(_) => Err(Error::project("`severity` must be critical, warning or info")),
    }
}
