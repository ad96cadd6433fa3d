//! JSON Schemas of the files that users write, for editors and for the reference.

use std::collections::BTreeMap;

use laguna_base::settings::{DatasetSettings, ProjectSettings, TableSettings};
use schemars::schema_for;
use serde_json::Value;

/// The schemas by name of their file: `laguna.schema.json` (laguna.yml), `dataset.schema.json` (raw/*.yml),
/// `table.schema.json` (sanitized/*.yml and enhanced/*.yml).
pub fn json_schemas() -> BTreeMap<&'static str, Value> {
    let mut table = schema_for!(TableSettings).to_value();
    if let Some(entry) = table.pointer_mut("/$defs/CheckEntry") {
        *entry = laguna_check::json_schema();
    }
    BTreeMap::from([
        ("laguna.schema.json", schema_for!(ProjectSettings).to_value()),
        ("dataset.schema.json", schema_for!(DatasetSettings).to_value()),
        ("table.schema.json", table),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_file_has_a_schema_that_refuses_unknown_keys() {
        let schemas = json_schemas();
        assert_eq!(schemas.len(), 3);
        for (file, schema) in &schemas {
            assert_eq!(schema["additionalProperties"], Value::Bool(false), "{file}");
            assert!(schema["properties"].as_object().is_some_and(|keys| !keys.is_empty()), "{file}");
        }
        assert!(schemas["table.schema.json"].pointer("/$defs/CheckEntry/oneOf").is_some());
    }
}
