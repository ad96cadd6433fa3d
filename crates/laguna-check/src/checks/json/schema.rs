//! JSON Schema, drafts 4 to 2020-12 (json-schema.org), as Python's jsonschema judges: formats are not asserted, a
//! pattern is searched for, and references stay within the schema.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use laguna_base::{Error, Result, suggest};
use serde_json::{Map, Value};

use crate::pattern::Pattern;

/// How deep schemas may refer to each other for one value.
const DEPTH: usize = 200;

const TYPES: [&str; 7] = ["null", "boolean", "object", "array", "number", "string", "integer"];

/// Keywords whose value is a schema.
const ONE: [&str; 10] = [
    "not",
    "if",
    "then",
    "else",
    "contains",
    "propertyNames",
    "additionalProperties",
    "additionalItems",
    "items",
    "unevaluatedItems",
];
/// Keywords whose value is a list of schemas.
const SEVERAL: [&str; 4] = ["allOf", "anyOf", "oneOf", "prefixItems"];
/// Keywords whose value maps names to schemas.
const NAMED: [&str; 5] = ["properties", "patternProperties", "dependentSchemas", "$defs", "definitions"];

/// A schema whose form is right.
pub(super) struct Schema {
    root: Value,
    patterns: Mutex<HashMap<String, Arc<Pattern>>>,
}

fn wrong(why: String) -> Error {
    Error::project(format!("the JSON Schema is not valid: {why}"))
}

impl Schema {
    pub fn compile(root: &Value) -> Result<Schema> {
        let schema = Schema { root: root.clone(), patterns: Mutex::default() };
        schema.check(root, 0)?;
        Ok(schema)
    }

    /// Whether a value follows the schema.
    pub fn holds(&self, value: &Value) -> Result<bool> {
        Judge { schema: self, depth: RefCell::new(0) }.follows(&self.root, value)
    }

    fn pattern(&self, text: &str) -> Result<Arc<Pattern>> {
        let mut patterns = self.patterns.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(known) = patterns.get(text) {
            return Ok(known.clone());
        }
        let made = Arc::new(Pattern::compile(text)?);
        patterns.insert(text.to_string(), made.clone());
        Ok(made)
    }

    /// Refuses what is no schema, and what is not understood here.
    fn check(&self, schema: &Value, depth: usize) -> Result<()> {
        if depth > DEPTH {
            return Err(wrong("it is nested too deeply".to_string()));
        }
        let map = match schema {
            Value::Bool(_) => return Ok(()),
            Value::Object(map) => map,
            other => return Err(wrong(format!("{other} is neither an object nor true or false"))),
        };
        if let Some(types) = map.get("type") {
            let names: Vec<&Value> =
                types.as_array().map_or_else(|| vec![types], |list| list.iter().collect());
            for name in names {
                let text = name.as_str().unwrap_or_default();
                if !TYPES.contains(&text) {
                    return Err(wrong(format!("{name} is no type")).hint(suggest::hint(text, TYPES.iter())));
                }
            }
        }
        for key in ["unevaluatedProperties", "$dynamicRef", "$recursiveRef"] {
            if map.contains_key(key) {
                return Err(Error::project(format!("`{key}` of JSON Schema is not supported")));
            }
        }
        for key in ["maximum", "minimum", "multipleOf"] {
            if map.get(key).is_some_and(|value| !value.is_number()) {
                return Err(wrong(format!("`{key}` must be a number")));
            }
        }
        for key in ["exclusiveMaximum", "exclusiveMinimum"] {
            if map.get(key).is_some_and(|value| !value.is_number() && !value.is_boolean()) {
                return Err(wrong(format!("`{key}` must be a number")));
            }
        }
        for key in ["maxLength", "minLength", "maxItems", "minItems", "maxProperties", "minProperties"] {
            if map.get(key).is_some_and(|value| !value.as_f64().is_some_and(|n| n >= 0.0 && n.fract() == 0.0))
            {
                return Err(wrong(format!("`{key}` must be a whole number")));
            }
        }
        if map.get("required").is_some_and(|value| {
            !value.is_boolean() && !value.as_array().is_some_and(|names| names.iter().all(Value::is_string))
        }) {
            return Err(wrong("`required` must be a list of names".to_string()));
        }
        if map.get("enum").is_some_and(|value| !value.is_array()) {
            return Err(wrong("`enum` must be a list".to_string()));
        }
        if let Some(pattern) = map.get("pattern") {
            self.pattern(pattern.as_str().ok_or_else(|| wrong("`pattern` must be a text".to_string()))?)?;
        }
        if let Some(reference) = map.get("$ref") {
            let reference = reference.as_str().ok_or_else(|| wrong("`$ref` must be a text".to_string()))?;
            self.resolve(reference)?;
        }
        for key in ONE {
            match map.get(key) {
                Some(Value::Array(list)) if key == "items" => {
                    list.iter().try_for_each(|one| self.check(one, depth + 1))?;
                }
                Some(one) => self.check(one, depth + 1)?,
                None => {}
            }
        }
        for key in SEVERAL {
            if let Some(list) = map.get(key) {
                let list = list.as_array().ok_or_else(|| wrong(format!("`{key}` must be a list")))?;
                list.iter().try_for_each(|one| self.check(one, depth + 1))?;
            }
        }
        for key in NAMED {
            if let Some(named) = map.get(key) {
                let named = named.as_object().ok_or_else(|| wrong(format!("`{key}` must be an object")))?;
                for (name, one) in named {
                    if key == "patternProperties" {
                        self.pattern(name)?;
                    }
                    self.check(one, depth + 1)?;
                }
            }
        }
        Ok(())
    }

    /// The part that a reference names.
    fn resolve(&self, reference: &str) -> Result<&Value> {
        let unknown =
            || Error::project(format!("the reference `{reference}` of the JSON Schema leads nowhere here"));
        if let Some(pointer) = reference.strip_prefix('#') {
            if pointer.is_empty() || pointer.starts_with('/') {
                return self.root.pointer(pointer).ok_or_else(unknown);
            }
            return anchored(&self.root, pointer, 0).ok_or_else(unknown);
        }
        if self.root.get("$id").and_then(Value::as_str) == Some(reference) {
            return Ok(&self.root);
        }
        identified(&self.root, reference, 0).ok_or_else(|| unknown().hint("other documents are not fetched"))
    }
}

fn anchored<'a>(schema: &'a Value, name: &str, depth: usize) -> Option<&'a Value> {
    within(schema, depth, &|map| map.get("$anchor").and_then(Value::as_str) == Some(name))
}

fn identified<'a>(schema: &'a Value, name: &str, depth: usize) -> Option<&'a Value> {
    within(schema, depth, &|map| map.get("$id").or(map.get("id")).and_then(Value::as_str) == Some(name))
}

fn within<'a>(
    schema: &'a Value,
    depth: usize,
    is: &dyn Fn(&Map<String, Value>) -> bool,
) -> Option<&'a Value> {
    match schema {
        _ if depth > DEPTH => None,
        Value::Object(map) if is(map) => Some(schema),
        Value::Object(map) => map.values().find_map(|one| within(one, depth + 1, is)),
        Value::Array(list) => list.iter().find_map(|one| within(one, depth + 1, is)),
        _ => None,
    }
}

struct Judge<'a> {
    schema: &'a Schema,
    depth: RefCell<usize>,
}

impl Judge<'_> {
    fn follows(&self, schema: &Value, value: &Value) -> Result<bool> {
        let map = match schema {
            Value::Bool(all) => return Ok(*all),
            Value::Object(map) => map,
            _ => return Ok(true),
        };
        *self.depth.borrow_mut() += 1;
        if *self.depth.borrow() > DEPTH {
            return Err(Error::failed("the JSON Schema refers to itself without end"));
        }
        let found = self.all(map, value);
        *self.depth.borrow_mut() -= 1;
        found
    }

    fn all(&self, map: &Map<String, Value>, value: &Value) -> Result<bool> {
        if let Some(reference) = map.get("$ref").and_then(Value::as_str)
            && !self.follows(self.schema.resolve(reference)?, value)?
        {
            return Ok(false);
        }
        Ok(is_of_type(map, value)
            && map.get("const").is_none_or(|only| same(only, value))
            && map
                .get("enum")
                .and_then(Value::as_array)
                .is_none_or(|list| list.iter().any(|one| same(one, value)))
            && self.combined(map, value)?
            && match value {
                Value::Number(_) => of_number(map, value),
                Value::String(text) => self.of_text(map, text)?,
                Value::Array(items) => self.of_array(map, items)?,
                Value::Object(members) => self.of_object(map, members)?,
                _ => true,
            })
    }

    fn combined(&self, map: &Map<String, Value>, value: &Value) -> Result<bool> {
        let list = |key: &str| map.get(key).and_then(Value::as_array);
        for one in list("allOf").into_iter().flatten() {
            if !self.follows(one, value)? {
                return Ok(false);
            }
        }
        for (key, most) in [("anyOf", usize::MAX), ("oneOf", 1)] {
            if let Some(list) = list(key) {
                let mut count = 0;
                for one in list {
                    count += usize::from(self.follows(one, value)?);
                    if count > most || (key == "anyOf" && count > 0) {
                        break;
                    }
                }
                if count == 0 || count > most {
                    return Ok(false);
                }
            }
        }
        if let Some(not) = map.get("not")
            && self.follows(not, value)?
        {
            return Ok(false);
        }
        if let Some(condition) = map.get("if") {
            let branch = if self.follows(condition, value)? { "then" } else { "else" };
            if let Some(branch) = map.get(branch)
                && !self.follows(branch, value)?
            {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn of_text(&self, map: &Map<String, Value>, text: &str) -> Result<bool> {
        if map.contains_key("minLength") || map.contains_key("maxLength") {
            let length = text.chars().count();
            if !within_counts(map, "minLength", "maxLength", length) {
                return Ok(false);
            }
        }
        match map.get("pattern").and_then(Value::as_str) {
            Some(pattern) => self.schema.pattern(pattern)?.search().finds(text),
            None => Ok(true),
        }
    }

    fn of_array(&self, map: &Map<String, Value>, items: &[Value]) -> Result<bool> {
        if !within_counts(map, "minItems", "maxItems", items.len()) {
            return Ok(false);
        }
        if map.get("uniqueItems") == Some(&Value::Bool(true))
            && items.iter().enumerate().any(|(at, one)| items[..at].iter().any(|other| same(one, other)))
        {
            return Ok(false);
        }
        // A list of schemas under `items` is the older form of `prefixItems`.
        let (first, rest) = match (map.get("prefixItems"), map.get("items")) {
            (Some(Value::Array(first)), rest) => (first.as_slice(), rest),
            (_, Some(Value::Array(first))) => (first.as_slice(), map.get("additionalItems")),
            (_, rest) => (&[][..], rest),
        };
        for (at, item) in items.iter().enumerate() {
            if let Some(schema) = first.get(at).or(rest)
                && !self.follows(schema, item)?
            {
                return Ok(false);
            }
        }
        if let Some(contains) = map.get("contains") {
            let mut count = 0;
            for item in items {
                count += usize::from(self.follows(contains, item)?);
            }
            let least = if map.contains_key("minContains") { 0 } else { 1 };
            return Ok(count >= least && within_counts(map, "minContains", "maxContains", count));
        }
        Ok(true)
    }

    fn of_object(&self, map: &Map<String, Value>, members: &Map<String, Value>) -> Result<bool> {
        if !within_counts(map, "minProperties", "maxProperties", members.len()) {
            return Ok(false);
        }
        let names = |value: &Value| -> Vec<String> {
            value
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(|name| name.as_str().map(str::to_string))
                .collect()
        };
        if map
            .get("required")
            .is_some_and(|required| names(required).iter().any(|name| !members.contains_key(name)))
        {
            return Ok(false);
        }
        for key in ["dependentRequired", "dependentSchemas", "dependencies"] {
            for (name, needs) in map.get(key).and_then(Value::as_object).into_iter().flatten() {
                if !members.contains_key(name) {
                    continue;
                }
                let met = match needs {
                    Value::Array(_) => names(needs).iter().all(|name| members.contains_key(name)),
                    schema => self.follows(schema, &Value::Object(members.clone()))?,
                };
                if !met {
                    return Ok(false);
                }
            }
        }
        let properties = map.get("properties").and_then(Value::as_object);
        let patterns = map.get("patternProperties").and_then(Value::as_object);
        for (name, member) in members {
            if let Some(schema) = map.get("propertyNames")
                && !self.follows(schema, &Value::String(name.clone()))?
            {
                return Ok(false);
            }
            let mut known = false;
            if let Some(schema) = properties.and_then(|properties| properties.get(name)) {
                known = true;
                if !self.follows(schema, member)? {
                    return Ok(false);
                }
            }
            for (pattern, schema) in patterns.into_iter().flatten() {
                if self.schema.pattern(pattern)?.search().finds(name)? {
                    known = true;
                    if !self.follows(schema, member)? {
                        return Ok(false);
                    }
                }
            }
            if !known
                && let Some(schema) = map.get("additionalProperties")
                && !self.follows(schema, member)?
            {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

fn within_counts(map: &Map<String, Value>, least: &str, most: &str, count: usize) -> bool {
    let bound = |key: &str| map.get(key).and_then(Value::as_f64);
    bound(least).is_none_or(|least| count as f64 >= least)
        && bound(most).is_none_or(|most| count as f64 <= most)
}

fn is_of_type(map: &Map<String, Value>, value: &Value) -> bool {
    let is = |name: &str| match name {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "number" => value.is_number(),
        "integer" => value.as_f64().is_some_and(|number| number.fract() == 0.0),
        _ => false,
    };
    match map.get("type") {
        None => true,
        Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).any(is),
        Some(name) => name.as_str().is_none_or(is),
    }
}

fn of_number(map: &Map<String, Value>, value: &Value) -> bool {
    let Some(number) = value.as_f64() else { return true };
    let bound = |key: &str| map.get(key).and_then(Value::as_f64);
    let exclusive = |key: &str| map.get(key) == Some(&Value::Bool(true));
    let above = |least: f64| if exclusive("exclusiveMinimum") { number > least } else { number >= least };
    let below = |most: f64| if exclusive("exclusiveMaximum") { number < most } else { number <= most };
    bound("minimum").is_none_or(above)
        && bound("maximum").is_none_or(below)
        && bound("exclusiveMinimum").is_none_or(|least| number > least)
        && bound("exclusiveMaximum").is_none_or(|most| number < most)
        && bound("multipleOf").is_none_or(|step| {
            let times = number / step;
            match (value.as_i64(), map.get("multipleOf").and_then(Value::as_i64)) {
                (Some(number), Some(step)) => step != 0 && number % step == 0,
                _ => times.fract() == 0.0,
            }
        })
}

/// Equal as JSON: 1 and 1.0 are, 1 and true are not.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(x), Value::Number(y)) => x == y || x.as_f64() == y.as_f64(),
        (Value::Array(x), Value::Array(y)) => x.len() == y.len() && x.iter().zip(y).all(|(x, y)| same(x, y)),
        (Value::Object(x), Value::Object(y)) => {
            x.len() == y.len() && x.iter().all(|(key, x)| y.get(key).is_some_and(|y| same(x, y)))
        }
        _ => a == b,
    }
}

#[cfg(test)]
mod tests {
    use super::Schema;
    use serde_json::{Value, json};

    #[test]
    fn values_are_judged_as_the_drafts_say() {
        let cases = [
            (json!({"type": "integer"}), json!(1.0), true),
            (json!({"type": "number"}), json!(true), false),
            (json!({"enum": [1, "a"]}), json!(1.0), true),
            (json!({"const": true}), json!(1), false),
            (json!({"minimum": 1, "exclusiveMaximum": 3}), json!(3), false),
            (json!({"multipleOf": 0.5}), json!(1.5), true),
            (json!({"maxLength": 1}), json!("é"), true),
            (json!({"pattern": "b"}), json!("abc"), true),
            (json!({"required": ["a"], "properties": {"a": {"type": "string"}}}), json!({"a": 1}), false),
            (json!({"properties": {"a": {}}, "additionalProperties": false}), json!({"b": 1}), false),
            (json!({"prefixItems": [{"type": "string"}], "items": false}), json!(["a", 1]), false),
            (
                json!({"items": [{"type": "string"}], "additionalItems": {"type": "null"}}),
                json!(["a", null]),
                true,
            ),
            (json!({"contains": {"const": 2}, "maxContains": 1}), json!([2, 2]), false),
            (json!({"uniqueItems": true}), json!([1, 1.0]), false),
            (json!({"oneOf": [{"type": "number"}, {"const": 1}]}), json!(1), false),
            (
                json!({"if": {"type": "string"}, "then": {"minLength": 2}, "else": {"minimum": 5}}),
                json!(4),
                false,
            ),
            (json!({"$defs": {"n": {"type": "null"}}, "$ref": "#/$defs/n"}), json!(0), false),
            (
                json!({"properties": {"next": {"$ref": "#"}}, "required": ["v"]}),
                json!({"v": 1, "next": {}}),
                false,
            ),
            (json!({"dependentRequired": {"a": ["b"]}}), json!({"a": 1}), false),
            (json!(false), json!(1), false),
        ];
        for (schema, value, expected) in cases {
            assert_eq!(
                Schema::compile(&schema).unwrap().holds(&value).unwrap(),
                expected,
                "{schema} on {value}"
            );
        }
        for wrong in
            [json!({"type": "text"}), json!([]), json!({"$ref": "http://x/y"}), json!({"minLength": "a"})]
        {
            assert!(Schema::compile(&wrong).is_err(), "{wrong}");
        }
        assert!(Schema::compile(&json!({"$ref": "#"})).unwrap().holds(&Value::Null).is_err());
    }
}
