//! The text of a document: what is where in it, and how `jsonb` writes it.

use std::cmp::Ordering;
use std::fmt::Write;

use datafusion::common::{Result, exec_err};
use serde_json::Value;

/// One step into a document.
pub(super) enum Step {
    Key(String),
    Index(i64),
    /// A word of a path: a key in an object, a number in an array.
    Either(String),
}

impl Step {
    pub(super) fn either(word: &str) -> Step {
        Step::Either(word.to_string())
    }
}

/// The text without what is around it, when it is a document.
pub(super) fn checked(text: &str) -> Result<&str> {
    match serde_json::from_str::<serde::de::IgnoredAny>(text) {
        Ok(_) => Ok(text.trim_ascii()),
        Err(_) => exec_err!("invalid input syntax for type json"),
    }
}

/// A string as a document.
pub(super) fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

/// What a value is as text: strings without quotes, null as nothing.
pub(super) fn plain(value: &str) -> Option<String> {
    match value {
        "null" => None,
        value if value.starts_with('"') => serde_json::from_str(value).ok(),
        value => Some(value.to_string()),
    }
}

pub(super) fn type_of(text: &str) -> &'static str {
    match text.as_bytes().first() {
        Some(b'{') => "object",
        Some(b'[') => "array",
        Some(b'"') => "string",
        Some(b't' | b'f') => "boolean",
        Some(b'n') => "null",
        _ => "number",
    }
}

/// The members of an object, with their keys as they are written, or the items of an array. `text` is a document.
pub(super) fn items(text: &str) -> Vec<(Option<&str>, &str)> {
    let bytes = text.as_bytes();
    let object = bytes.first() == Some(&b'{');
    let mut found = Vec::new();
    if !object && bytes.first() != Some(&b'[') {
        return found;
    }
    let (mut at, mut depth, mut start, mut key) = (1, 0, 1, None);
    while at < bytes.len() {
        match bytes[at] {
            b'"' => {
                at += 1;
                while bytes[at] != b'"' {
                    at += if bytes[at] == b'\\' { 2 } else { 1 };
                }
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' if depth > 0 => depth -= 1,
            b':' if depth == 0 && object => {
                key = Some(text[start..at].trim_ascii());
                start = at + 1;
            }
            b',' | b'}' | b']' if depth == 0 => {
                let value = text[start..at].trim_ascii();
                if !value.is_empty() {
                    found.push((key.take(), value));
                }
                start = at + 1;
            }
            _ => {}
        }
        at += 1;
    }
    found
}

/// What a step leads to.
pub(super) fn find<'a>(text: &'a str, step: &Step) -> Option<&'a str> {
    let is_array = text.starts_with('[');
    let at = |index: i64| {
        let all = items(text);
        let index = if index < 0 { index + all.len() as i64 } else { index };
        all.get(usize::try_from(index).ok()?).map(|(_, value)| *value)
    };
    let named = |name: &str| {
        let is_it = |key: Option<&str>| key.and_then(plain).is_some_and(|key| key == name);
        // The last of a name that is there twice counts.
        items(text).into_iter().rev().find(|(key, _)| is_it(*key)).map(|(_, value)| value)
    };
    match step {
        Step::Index(index) if is_array => at(*index),
        Step::Either(word) if is_array => at(word.parse().ok()?),
        Step::Key(name) | Step::Either(name) if text.starts_with('{') => named(name),
        _ => None,
    }
}

/// Whether an object has a key, or an array an item that is this string.
pub(super) fn has(text: &str, name: &str) -> bool {
    items(text).into_iter().any(|(key, value)| {
        key.or(Some(value)).filter(|it| it.starts_with('"')).and_then(plain).is_some_and(|it| it == name)
    })
}

/// A document, its keys in the order of `jsonb`.
pub(super) fn sorted(text: &str) -> Value {
    let mut value: Value = serde_json::from_str(text).unwrap_or(Value::Null);
    sort(&mut value);
    value
}

pub(super) fn sort(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(sort),
        Value::Object(members) => {
            let mut all: Vec<(String, Value)> = std::mem::take(members).into_iter().collect();
            // Shorter keys first.
            all.sort_by(|(a, _), (b, _)| match a.len().cmp(&b.len()) {
                Ordering::Equal => a.cmp(b),
                other => other,
            });
            all.iter_mut().for_each(|(_, value)| sort(value));
            members.extend(all);
        }
        _ => {}
    }
}

/// A document as `jsonb` is written; `None` when it is none.
pub(super) fn normal(text: &str) -> Option<String> {
    fn write(text: &str, out: &mut String) {
        match text.as_bytes().first() {
            Some(b'{') => {
                let mut members: Vec<(String, &str)> =
                    items(text).into_iter().filter_map(|(key, value)| Some((plain(key?)?, value))).collect();
                // The last of a name that is there twice counts.
                members.reverse();
                members.sort_by(|(a, _), (b, _)| a.len().cmp(&b.len()).then_with(|| a.cmp(b)));
                members.dedup_by(|(later, _), (first, _)| later == first);
                out.push('{');
                for (index, (key, value)) in members.into_iter().enumerate() {
                    let _ = write!(out, "{}{}: ", if index > 0 { ", " } else { "" }, quoted(&key));
                    write(value, out);
                }
                out.push('}');
            }
            Some(b'[') => {
                out.push('[');
                for (index, (_, value)) in items(text).into_iter().enumerate() {
                    out.push_str(if index > 0 { ", " } else { "" });
                    write(value, out);
                }
                out.push(']');
            }
            Some(b'"') => out.push_str(&plain(text).map_or_else(|| text.to_string(), |text| quoted(&text))),
            _ => out.push_str(text),
        }
    }
    checked(text).ok().map(|text| {
        let mut out = String::with_capacity(text.len());
        write(text, &mut out);
        out
    })
}

/// `@>`: whether one document has all of another. `top`: an array has a value that stands alone.
pub(super) fn contains(all: &Value, part: &Value, top: bool) -> bool {
    match (all, part) {
        (Value::Object(all), Value::Object(part)) => {
            part.iter().all(|(key, wanted)| all.get(key).is_some_and(|value| contains(value, wanted, false)))
        }
        (Value::Array(all), Value::Array(part)) => {
            part.iter().all(|wanted| all.iter().any(|value| contains(value, wanted, false)))
        }
        (Value::Array(all), wanted) if top && !wanted.is_object() => all.contains(wanted),
        (all, part) => all == part,
    }
}

/// Members or items, put together again.
fn made<'a>(parts: impl Iterator<Item = (Option<&'a str>, String)>, object: bool) -> String {
    let parts: Vec<String> = parts
        .map(|(key, value)| match key {
            Some(key) => format!("{key}: {value}"),
            None => value,
        })
        .collect();
    let parts = parts.join(", ");
    if object { format!("{{{parts}}}") } else { format!("[{parts}]") }
}

/// `||`: objects have the members of both, everything else becomes one array.
pub(super) fn joined(one: &str, other: &str) -> String {
    let both_objects = one.starts_with('{') && other.starts_with('{');
    let parts = |text: &'_ str| -> Vec<(Option<String>, String)> {
        match text.starts_with('[') || both_objects {
            true => items(text)
                .into_iter()
                .map(|(key, value)| (key.map(str::to_string), value.to_string()))
                .collect(),
            false => vec![(None, text.to_string())],
        }
    };
    let all: Vec<_> = parts(one).into_iter().chain(parts(other)).collect();
    made(all.iter().map(|(key, value)| (key.as_deref(), value.clone())), both_objects)
}

/// An object without a member, an array without items that are this string.
pub(super) fn without(text: &str, name: &str) -> String {
    let is_it = |part: &str| part.starts_with('"') && plain(part).is_some_and(|part| part == name);
    match text.as_bytes().first() {
        Some(b'{' | b'[') => {
            let kept = items(text).into_iter().filter(|(key, value)| !is_it(key.unwrap_or(value)));
            made(kept.map(|(key, value)| (key, value.to_string())), text.starts_with('{'))
        }
        _ => text.to_string(),
    }
}

/// An array without an item; negative counts from the end.
pub(super) fn without_index(text: &str, index: i64) -> String {
    if !text.starts_with('[') {
        return text.to_string();
    }
    let all = items(text);
    let index = if index < 0 { index + all.len() as i64 } else { index };
    let kept = all.into_iter().enumerate().filter(|(at, _)| *at as i64 != index);
    made(kept.map(|(_, (key, value))| (key, value.to_string())), false)
}

/// A document whose objects have no members that are null.
pub(super) fn without_nulls(text: &str) -> String {
    match text.as_bytes().first() {
        Some(b'{' | b'[') => {
            let object = text.starts_with('{');
            let kept = items(text).into_iter().filter(|(_, value)| !object || *value != "null");
            made(kept.map(|(key, value)| (key, without_nulls(value))), object)
        }
        _ => text.to_string(),
    }
}

/// A document with another value where a path leads; the last step may be a new one.
pub(super) fn with(text: &str, path: &[Step], value: &str) -> String {
    let Some((step, rest)) = path.split_first() else { return value.to_string() };
    let object = text.starts_with('{');
    if !object && !text.starts_with('[') {
        return text.to_string();
    }
    let all = items(text);
    let name = match step {
        Step::Key(name) | Step::Either(name) => name.clone(),
        Step::Index(index) => index.to_string(),
    };
    let at = match object {
        true => all.iter().rposition(|(key, _)| key.and_then(plain).is_some_and(|key| key == name)),
        false => name.parse::<i64>().ok().and_then(|index| {
            let index = if index < 0 { index + all.len() as i64 } else { index };
            usize::try_from(index).ok().filter(|index| *index < all.len())
        }),
    };
    let key = quoted(&name);
    let mut parts: Vec<(Option<&str>, String)> = all
        .into_iter()
        .enumerate()
        .map(|(index, (key, old))| {
            (key, if Some(index) == at { with(old, rest, value) } else { old.to_string() })
        })
        .collect();
    if at.is_none() && rest.is_empty() {
        parts.push((object.then_some(key.as_str()), value.to_string()));
    }
    made(parts.into_iter(), object)
}

/// A document in lines, indented by four.
pub(super) fn pretty(value: &Value) -> String {
    let mut out = Vec::new();
    let formatter = serde_json::ser::PrettyFormatter::with_indent(b"    ");
    let mut writer = serde_json::Serializer::with_formatter(&mut out, formatter);
    match serde::Serialize::serialize(value, &mut writer) {
        Ok(()) => String::from_utf8_lossy(&out).into_owned(),
        Err(_) => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"{ "b" : [1, {"c": "x, }"}], "a":null, "é\"": 2.50 }"#;

    #[test]
    fn pieces_of_a_document_are_found_as_they_are_written() {
        let at = |steps: &[&str]| steps.iter().try_fold(TEXT, |text, step| find(text, &Step::either(step)));
        assert_eq!(at(&["b"]), Some(r#"[1, {"c": "x, }"}]"#));
        assert_eq!(at(&["b", "1", "c"]).and_then(plain).as_deref(), Some("x, }"));
        assert_eq!(at(&["b", "-2"]), Some("1"));
        assert_eq!(at(&["é\""]), Some("2.50"));
        assert_eq!(at(&["b", "c"]), None);
        assert_eq!(at(&["a"]).and_then(plain), None);
        assert_eq!(items("[]").len() + items("{}").len() + items("3").len(), 0);
    }

    #[test]
    fn documents_of_jsonb_are_in_its_order() {
        assert_eq!(
            normal(r#"{"bb":1,"a" : [1,2 ],"bb":{"y":"\u0041"}}"#).unwrap(),
            r#"{"a": [1, 2], "bb": {"y": "A"}}"#
        );
        assert_eq!(normal(" 2.50 ").unwrap(), "2.50");
        assert!(normal("{").is_none());
    }

    #[test]
    fn documents_are_changed() {
        let path = |words: &[&str]| words.iter().map(|word| Step::either(word)).collect::<Vec<_>>();
        assert_eq!(joined(r#"{"a": 1}"#, r#"{"b": 2.50}"#), r#"{"a": 1, "b": 2.50}"#);
        assert_eq!(joined("[1]", r#"{"b": 2}"#), r#"[1, {"b": 2}]"#);
        assert_eq!(without(r#"{"a": 1, "b": 2}"#, "a"), r#"{"b": 2}"#);
        assert_eq!(without(r#"["a", "b"]"#, "a"), r#"["b"]"#);
        assert_eq!(without_index("[1, 2, 3]", -1), "[1, 2]");
        assert_eq!(without_nulls(r#"{"a": null, "b": [null, {"c": null}]}"#), r#"{"b": [null, {}]}"#);
        assert_eq!(with(r#"{"a": {"b": [1, 2]}}"#, &path(&["a", "b", "1"]), "9"), r#"{"a": {"b": [1, 9]}}"#);
        assert_eq!(with(r#"{"a": 1}"#, &path(&["c"]), "2"), r#"{"a": 1, "c": 2}"#);
        assert_eq!(with(r#"{"a": 1}"#, &path(&["x", "y"]), "2"), r#"{"a": 1}"#);
    }

    #[test]
    fn a_document_contains_its_parts() {
        let of = |all: &str, part: &str| contains(&sorted(all), &sorted(part), true);
        assert!(of(r#"{"a": 1, "b": [1, 2]}"#, r#"{"b": [2]}"#));
        assert!(!of(r#"{"a": 1}"#, r#"{"a": 2}"#));
        assert!(of("[1, [2]]", "1"));
        assert!(has(r#"{"a": 1}"#, "a") && has(r#"["a"]"#, "a") && !has("[1]", "1"));
    }
}
