//! The JSON Schema of an entry under `checks:`, made from the list of checks.

use serde_json::{Map, Value, json};

use crate::condition;
use crate::kind::{Argument, CheckKind, Form, Scope, all};

/// JSON Schema of one entry: a bare name, or a map of one name to its arguments. Whether a name may stand under a
/// column or a table, and which arguments must be there, is left to `laguna validate`.
pub fn json_schema() -> Value {
    let bare: Vec<&str> = all()
        .iter()
        .filter(|kind| kind.scope != Scope::Table)
        .filter(|kind| {
            kind.arguments.iter().all(|a| !a.required || matches!(a.form, Form::Column | Form::Columns))
        })
        .flat_map(|kind| kind.names())
        .collect();
    let mut forms = vec![json!({"type": "string", "enum": unique(bare)})];
    let mut seen = std::collections::BTreeSet::new();
    for kind in all() {
        forms.extend(kind.names().filter(|name| seen.insert(*name)).map(|name| entry(kind, name)));
    }
    forms.push(json!({
        "type": "object",
        "title": "suite",
        "properties": {
            "suite": {"type": "string", "description": "a suite of Great Expectations: a JSON file of the project, as checks/orders.json"},
            "parameters": {"type": "object", "description": "values of the suite's parameters"}
        },
        "required": ["suite"],
        "additionalProperties": false
    }));
    json!({"title": "Check", "description": "What must be true of the table or column.", "oneOf": forms})
}

fn unique(mut names: Vec<&str>) -> Vec<&str> {
    let mut seen = std::collections::BTreeSet::new();
    names.retain(|name| seen.insert(*name));
    names
}

fn entry(kind: &CheckKind, name: &str) -> Value {
    let mut properties = Map::new();
    for argument in kind.arguments {
        for name in std::iter::once(&argument.name).chain(argument.aliases) {
            let mut schema = form(argument);
            schema["description"] = Value::from(argument.doc);
            properties.insert((*name).to_string(), schema);
        }
    }
    let share = json!({"type": "number", "minimum": 0, "maximum": 1, "description": "the share of rows that must pass"});
    if kind.mostly {
        properties.insert("mostly".to_string(), share.clone());
    }
    if kind.condition {
        properties.insert(
            "row_condition".to_string(),
            json!({"type": ["string", "object"], "description": "which rows are looked at"}),
        );
        properties.insert(
            "condition_parser".to_string(),
            json!({"enum": condition::PARSERS, "description": "how a `row_condition` that is a text is read"}),
        );
    }
    let map = json!({"type": "object", "properties": properties, "additionalProperties": false});
    let mut forms = vec![map, json!({"type": "null"})];
    match kind.main.and_then(|main| kind.arguments.iter().find(|argument| argument.name == main)) {
        Some(main) => {
            forms.push(form(main));
            if matches!(main.form, Form::Column) {
                forms.push(json!({"type": "array", "items": {"type": "string"}}));
            }
        }
        None => forms.push(json!({"type": "array", "minItems": 2, "maxItems": 2})),
    }
    let mut outer = Map::new();
    outer.insert(name.to_string(), json!({"description": kind.doc, "anyOf": forms}));
    outer.insert("severity".to_string(), json!({"enum": ["critical", "warning", "info"]}));
    for text in ["name", "description"] {
        outer.insert(text.to_string(), json!({"type": "string"}));
    }
    if kind.mostly {
        outer.insert("mostly".to_string(), share);
    }
    for kept in ["meta", "notes", "id"] {
        outer.insert(kept.to_string(), json!({}));
    }
    json!({"type": "object", "title": name, "properties": outer, "required": [name], "additionalProperties": false})
}

fn form(argument: &Argument) -> Value {
    match argument.form {
        Form::Column | Form::Text => json!({"type": "string"}),
        Form::Columns => {
            json!({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}]})
        }
        Form::Number => json!({"type": ["number", "string"]}),
        Form::Integer => json!({"type": ["integer", "string"]}),
        Form::Bound => json!({"type": ["number", "string", "null"]}),
        Form::Flag => json!({"type": "boolean"}),
        Form::Texts => json!({"type": "array", "items": {"type": "string"}}),
        Form::Values | Form::Pairs => json!({"type": "array"}),
        Form::Object => json!({"type": "object"}),
        Form::Schema => json!({"type": ["object", "boolean", "string"]}),
        Form::Word => json!({"type": ["string", "boolean"]}),
        Form::OtherTable => json!({"type": "string"}),
        Form::Table => json!({"type": "string", "pattern": "^[a-z]+\\.[a-z_][a-z0-9_]*$"}),
    }
}
