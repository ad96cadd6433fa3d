//! The arguments of one check: brought to their canonical names and types, with errors that say what was expected.

use laguna_base::{Error, Result, TableName, suggest};
use serde_json::{Map, Value};

use crate::condition::{self, Condition};
use crate::kind::{Argument, CheckKind, Form};

/// Arguments by canonical name. A null is the same as an argument that is not given.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Arguments(Map<String, Value>);

/// Arguments that Great Expectations allows everywhere and that change no verdict.
const WITHOUT_EFFECT: [&str; 4] = ["result_format", "catch_exceptions", "batch_id", "windows"];

impl Arguments {
    /// Checks names and types of `given` against what `kind` takes.
    pub fn resolve(kind: &CheckKind, given: Map<String, Value>) -> Result<Arguments> {
        let mut resolved = Map::new();
        for (name, value) in given {
            if WITHOUT_EFFECT.contains(&name.as_str()) {
                continue;
            }
            if name == "mostly" && kind.mostly {
                resolved.insert(name, mostly(&value)?);
                continue;
            }
            if kind.condition && condition::ARGUMENTS.contains(&name.as_str()) {
                if !value.is_null() {
                    resolved.insert(name, value);
                }
                continue;
            }
            let Some(argument) =
                kind.arguments.iter().find(|a| a.name == name || a.aliases.contains(&name.as_str()))
            else {
                return Err(unknown(kind, &name));
            };
            if resolved.contains_key(argument.name) {
                return Err(Error::project(format!(
                    "`{}` of `{}` is given twice",
                    argument.name, kind.short
                )));
            }
            if value.is_null() {
                continue;
            }
            let value = coerce(argument, value)
                .map_err(|error| Error::project(format!("`{name}` of `{}` {error}", kind.short)))?;
            resolved.insert(argument.name.to_string(), value);
        }
        for argument in kind.arguments.iter().filter(|argument| argument.required) {
            if !resolved.contains_key(argument.name) {
                return Err(Error::project(format!("`{}` lacks `{}`", kind.short, argument.name))
                    .hint(format!("{}, as in {}", argument.doc, kind.example)));
            }
        }
        let resolved = Arguments(resolved);
        resolved.condition()?;
        Ok(resolved)
    }

    /// Which rows are looked at; none when all are.
    pub fn condition(&self) -> Result<Option<Condition>> {
        condition::parse(self.value("row_condition"), self.value("condition_parser"))
    }

    pub fn value(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    pub fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.as_str()
    }

    /// A required text; its absence was refused when the arguments were resolved.
    pub fn required(&self, name: &str) -> Result<&str> {
        self.text(name).ok_or_else(|| Error::internal(format!("the argument `{name}` went missing")))
    }

    pub fn number(&self, name: &str) -> Option<f64> {
        self.0.get(name)?.as_f64()
    }

    pub fn integer(&self, name: &str) -> Option<i64> {
        self.0.get(name)?.as_i64()
    }

    pub fn flag(&self, name: &str, default: bool) -> bool {
        self.0.get(name).and_then(Value::as_bool).unwrap_or(default)
    }

    pub fn texts(&self, name: &str) -> Vec<String> {
        match self.0.get(name) {
            Some(Value::Array(items)) => {
                items.iter().filter_map(|item| item.as_str().map(str::to_string)).collect()
            }
            Some(Value::String(one)) => vec![one.clone()],
            _ => Vec::new(),
        }
    }

    pub fn values(&self, name: &str) -> &[Value] {
        self.0.get(name).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
    }

    /// Share of rows that must pass, 1 by default.
    pub fn mostly(&self) -> f64 {
        self.number("mostly").unwrap_or(1.0)
    }

    pub fn json(&self) -> Value {
        Value::Object(self.0.clone())
    }
}

fn unknown(kind: &CheckKind, name: &str) -> Error {
    let error = Error::project(format!("`{}` has no argument `{name}`", kind.short));
    let mut known: Vec<&str> = kind.arguments.iter().map(|argument| argument.name).collect();
    if kind.mostly {
        known.push("mostly");
    }
    if kind.condition {
        known.extend(condition::ARGUMENTS);
    }
    error.hint(suggest::hint(name, known.iter()))
}

fn mostly(value: &Value) -> Result<Value> {
    let share = match value {
        Value::Bool(all) => Some(f64::from(u8::from(*all))),
        other => number(other),
    };
    match share {
        Some(share) if (0.0..=1.0).contains(&share) => Ok(Value::from(share)),
        _ => Err(Error::project(format!("`mostly` must be a number from 0 to 1, not {value}"))
            .hint("it is the share of rows that must pass: 0.95 lets one in twenty fail")),
    }
}

fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok(),
        Value::Bool(flag) => Some(f64::from(u8::from(*flag))),
        _ => None,
    }
    .filter(|number: &f64| number.is_finite())
}

/// True or false as Great Expectations reads them: also 0 and 1, and the usual words.
fn flag(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(flag) => Some(*flag),
        Value::Number(number) => match number.as_f64() {
            Some(0.0) => Some(false),
            Some(1.0) => Some(true),
            _ => None,
        },
        Value::String(text) => match text.to_ascii_lowercase().as_str() {
            "true" | "t" | "yes" | "y" | "on" | "1" => Some(true),
            "false" | "f" | "no" | "n" | "off" | "0" => Some(false),
            _ => None,
        },
        _ => None,
    }
}

/// A number as text, where a text is wanted.
fn text(value: &Value) -> Option<Value> {
    match value {
        Value::String(_) => Some(value.clone()),
        Value::Number(number) => Some(Value::String(number.to_string())),
        _ => None,
    }
}

fn coerce(argument: &Argument, value: Value) -> std::result::Result<Value, String> {
    let refuse = |expected: &str| Err(format!("must be {expected}, not {}", describe(&value)));
    match argument.form {
        Form::Column => match &value {
            Value::String(text) if !text.is_empty() => Ok(value),
            _ => refuse("the name of a column"),
        },
        Form::Columns => match &value {
            Value::String(text) if !text.is_empty() => Ok(Value::Array(vec![value])),
            Value::Array(items)
                if !items.is_empty()
                    && items.iter().all(|item| item.as_str().is_some_and(|name| !name.is_empty())) =>
            {
                Ok(value)
            }
            _ => refuse("a list of column names"),
        },
        Form::Number => match number(&value) {
            Some(_) if value.is_number() => Ok(value),
            Some(parsed) => Ok(Value::from(parsed)),
            None => refuse("a number"),
        },
        Form::Integer => match number(&value) {
            Some(parsed) if parsed.abs() < 9e18 && (parsed.fract() == 0.0 || value.is_number()) => {
                Ok(Value::from(parsed as i64))
            }
            _ => refuse("a whole number"),
        },
        Form::Bound => match &value {
            Value::Number(_) => Ok(value),
            Value::Bool(flag) => Ok(Value::from(u8::from(*flag))),
            Value::String(text) => match text.trim().parse::<f64>() {
                Ok(parsed) if parsed.is_finite() => match serde_json::from_str(text.trim()) {
                    Ok(exact @ Value::Number(_)) => Ok(exact),
                    _ => Ok(Value::from(parsed)),
                },
                _ if crate::value::instant(text).is_some() => Ok(value),
                _ => refuse("a number or an ISO date such as 2024-01-31T12:00:00"),
            },
            _ => refuse("a number or an ISO date"),
        },
        Form::Flag => flag(&value).map_or_else(|| refuse("true or false"), |flag| Ok(Value::Bool(flag))),
        Form::Text => text(&value).map_or_else(|| refuse("a text"), Ok),
        Form::Texts => match &value {
            Value::Array(items) => match items.iter().map(text).collect::<Option<Vec<Value>>>() {
                Some(texts) => Ok(Value::Array(texts)),
                None => refuse("a list of texts"),
            },
            Value::String(_) => Ok(Value::Array(vec![value])),
            _ => refuse("a list of texts"),
        },
        Form::Values => match &value {
            Value::Array(_) => Ok(value),
            Value::Object(_) => refuse("a list"),
            _ => Ok(Value::Array(vec![value])),
        },
        Form::Pairs => match &value {
            Value::Array(pairs)
                if pairs.iter().all(|pair| pair.as_array().is_some_and(|pair| pair.len() == 2)) =>
            {
                Ok(value)
            }
            _ => refuse("a list of pairs of values"),
        },
        Form::Object => match &value {
            Value::Object(_) => Ok(value),
            _ => refuse("a map"),
        },
        Form::Schema => match &value {
            Value::Object(_) | Value::Bool(_) => Ok(value),
            Value::String(text) => match serde_json::from_str::<Value>(text) {
                Ok(schema) if schema.is_object() || schema.is_boolean() => Ok(schema),
                _ => refuse("a JSON Schema"),
            },
            _ => refuse("a JSON Schema"),
        },
        Form::Word => match &value {
            Value::String(_) | Value::Bool(_) => Ok(value),
            _ => refuse("true, false or a word"),
        },
        Form::OtherTable => match &value {
            Value::String(text) if !text.trim().is_empty() => Ok(value),
            _ => refuse("the name of a table"),
        },
        Form::Table => match &value {
            Value::String(text) => match text.parse::<TableName>() {
                Ok(_) => Ok(value),
                Err(error) => Err(format!("must be a table such as sanitized.airlines: {}", error.message())),
            },
            _ => refuse("a table such as sanitized.airlines"),
        },
    }
}

fn describe(value: &Value) -> String {
    match value {
        Value::Null => "nothing".to_string(),
        Value::Array(_) => "a list".to_string(),
        Value::Object(_) => "a map".to_string(),
        Value::String(text) => format!("the text `{text}`"),
        other => format!("`{other}`"),
    }
}
