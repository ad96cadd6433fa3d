//! Texts are JSON, and follow a JSON Schema.

use std::sync::Arc;

use arrow::buffer::BooleanBuffer;
use laguna_base::{Error, Result};
use serde_json::Value;

use crate::kind::{COLUMN, CheckKind, Form, VALUES, required};
use crate::plan::{RowPlan, RowTest};
use crate::view::{View, any, where_text, where_text_or};

mod scan;
mod schema;

use schema::Schema;

pub(super) const PARSEABLE: CheckKind = CheckKind {
    name: "expect_column_values_to_be_json_parseable",
    short: "json",
    aliases: &["json_parseable"],
    main: Some("column"),
    arguments: &[COLUMN],
    doc: "Each text is JSON, as Python reads it: NaN and Infinity are numbers.",
    example: r#"{"json": "payload"}"#,
    plan: |arguments, binding| {
        let column = binding.column(arguments.required("column")?)?.index;
        Ok(RowPlan::of_values(column, Parseable { column }, "are not JSON"))
    },
    ..VALUES
};

pub(super) const SCHEMA: CheckKind = CheckKind {
    name: "expect_column_values_to_match_json_schema",
    short: "json_schema",
    aliases: &["match_json_schema"],
    main: Some("json_schema"),
    arguments: &[
        COLUMN,
        required(
            "json_schema",
            Form::Schema,
            "the JSON Schema; `format` is not looked at, references stay within it",
        )
        .or(&["schema"]),
    ],
    doc: "Each text is JSON that follows a JSON Schema; a text that is no JSON at all is an error of the check.",
    example: r#"{"json_schema": {"column": "payload", "json_schema": {"type": "object", "required": ["id"]}}}"#,
    validate: |arguments| Schema::compile(arguments.value("json_schema").unwrap_or(&Value::Null)).map(drop),
    plan: |arguments, binding| {
        let column = binding.column(arguments.required("column")?)?.only_text()?;
        let schema = Schema::compile(arguments.value("json_schema").unwrap_or(&Value::Null))?;
        Ok(RowPlan::of_values(
            column,
            Follows { column, schema: Arc::new(schema) },
            "do not follow the schema",
        ))
    },
    ..VALUES
};

struct Parseable {
    column: usize,
}

impl RowTest for Parseable {
    fn failing(&self, view: &View<'_>) -> Result<Option<BooleanBuffer>> {
        let texts = view.values(self.column)?;
        if !texts.data_type().is_string() {
            // Python's reader takes texts only.
            return Ok(any(BooleanBuffer::new_set(texts.len())));
        }
        Ok(any(where_text(texts, |text| !scan::is_json(text))))
    }
}

struct Follows {
    column: usize,
    schema: Arc<Schema>,
}

impl RowTest for Follows {
    fn failing(&self, view: &View<'_>) -> Result<Option<BooleanBuffer>> {
        let texts = view.values(self.column)?;
        if !texts.data_type().is_string() {
            return Ok(None);
        }
        let failing = where_text_or(texts, |text| {
            let value: Value = serde_json::from_str(text).map_err(|error| {
                let shown: String = text.chars().take(60).collect();
                Error::failed(format!("the value `{shown}` is not JSON: {error}"))
                    .hint("a `json` check finds the values that are not")
            })?;
            Ok(!self.schema.holds(&value)?)
        })?;
        Ok(any(failing))
    }
}
