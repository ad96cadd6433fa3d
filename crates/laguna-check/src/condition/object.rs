//! Conditions as objects: the form of Great Expectations 1.x.

use laguna_base::{Error, Result, suggest};
use serde_json::{Map, Value};

use super::{Condition, Operator, Term, text};

/// How many conditions may stand in one, as in Great Expectations.
const MOST: usize = 100;

const OPERATORS: [&str; 8] = ["==", "!=", "<", "<=", ">", ">=", "IN", "NOT_IN"];

pub(super) fn read(given: &Value) -> Result<Condition> {
    let mut count = 0;
    let condition = one(given, Place::Top, &mut count)?;
    if count > MOST {
        return Err(Error::project(format!(
            "a row condition holds {count} conditions; at most {MOST} may stand in one"
        )));
    }
    Ok(condition)
}

#[derive(Clone, Copy, PartialEq)]
enum Place {
    Top,
    And,
    Or,
}

fn one(given: &Value, place: Place, count: &mut usize) -> Result<Condition> {
    let Some(map) = given.as_object() else {
        return Err(Error::project("a row condition must be an object with `type`"));
    };
    match map.get("type").and_then(Value::as_str) {
        Some("comparison") => {
            *count += 1;
            only(map, &["type", "column", "operator", "parameter"])?;
            comparison(map)
        }
        Some("nullity") => {
            *count += 1;
            only(map, &["type", "column", "is_null"])?;
            let Some(wanted) = map.get("is_null").and_then(Value::as_bool) else {
                return Err(Error::project("`is_null` of a row condition must be true or false"));
            };
            Ok(Condition::Missing { term: column(map)?, wanted })
        }
        Some(kind @ ("and" | "or")) => {
            only(map, &["type", "conditions"])?;
            if kind == "or" && place != Place::Top {
                let outer = if place == Place::And { "and" } else { "or" };
                return Err(Error::project(format!(
                    "an `or` cannot stand inside an `{outer}` of a row condition"
                )));
            }
            let Some(parts) = map.get("conditions").and_then(Value::as_array) else {
                return Err(Error::project(format!(
                    "`{kind}` of a row condition needs the list `conditions`"
                )));
            };
            let place = if kind == "and" { Place::And } else { Place::Or };
            let parts = parts.iter().map(|part| one(part, place, count)).collect::<Result<Vec<_>>>()?;
            // One condition alone is itself, however deep it stands.
            Ok(match <[Condition; 1]>::try_from(parts) {
                Ok([one]) => one,
                Err(parts) if kind == "and" => Condition::All(parts),
                Err(parts) => Condition::Any(parts),
            })
        }
        Some("pass_through") => {
            *count += 1;
            only(map, &["type", "pass_through_filter"])?;
            match map.get("pass_through_filter") {
                Some(Value::String(written)) => text::pandas(written),
                _ => Err(Error::project("`pass_through_filter` of a row condition must be a text")),
            }
        }
        other => {
            const TYPES: [&str; 5] = ["comparison", "nullity", "and", "or", "pass_through"];
            let other = other.unwrap_or_default();
            Err(Error::project(format!("`{other}` is not a `type` of row conditions"))
                .hint(suggest::hint(other, TYPES.iter())))
        }
    }
}

fn comparison(map: &Map<String, Value>) -> Result<Condition> {
    let term = column(map)?;
    let operator = map.get("operator").and_then(Value::as_str).unwrap_or_default();
    let parameter = map.get("parameter").unwrap_or(&Value::Null);
    if let "IN" | "NOT_IN" = operator {
        let Some(list) = parameter.as_array() else {
            return Err(Error::project(format!(
                "`{operator}` of a row condition needs a list as `parameter`"
            )));
        };
        let texts = list.iter().filter(|member| member.is_string()).count();
        let numbers = list.iter().filter(|member| member.is_number() || member.is_boolean()).count();
        if texts != list.len() && numbers != list.len() {
            return Err(Error::project(format!(
                "the list of `{operator}` in a row condition must hold only numbers or only texts"
            )));
        }
        return Ok(Condition::In { term, list: list.clone(), wanted: operator == "IN" });
    }
    let Some(operator) = Operator::parse(operator) else {
        return Err(Error::project(format!("`{operator}` is not an operator of row conditions"))
            .hint(format!("one of {}", OPERATORS.join(", "))));
    };
    match parameter {
        Value::Null => Err(Error::project("a row condition cannot compare with null")
            .hint("use {\"type\": \"nullity\", \"is_null\": true}")),
        Value::Array(_) | Value::Object(_) => {
            Err(Error::project("`parameter` of a row condition must be one value"))
        }
        literal => Ok(Condition::Compare(term, operator, Term::Literal(literal.clone()))),
    }
}

fn column(map: &Map<String, Value>) -> Result<Term> {
    match map.get("column") {
        Some(Value::Object(column)) => match column.get("name") {
            Some(Value::String(name)) if !name.is_empty() => Ok(Term::Column(name.clone())),
            _ => Err(Error::project("`column` of a row condition needs a `name`")),
        },
        Some(Value::String(name)) if !name.is_empty() => Ok(Term::Column(name.clone())),
        _ => Err(Error::project("a row condition needs `column`, as in {\"name\": \"amount\"}")),
    }
}

fn only(map: &Map<String, Value>, known: &[&str]) -> Result<()> {
    match map.keys().find(|key| !known.contains(&key.as_str())) {
        Some(key) => Err(Error::project(format!("unknown key `{key}` in a row condition"))
            .hint(suggest::hint(key, known.iter()))),
        None => Ok(()),
    }
}
