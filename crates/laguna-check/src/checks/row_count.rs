//! The table has a number of rows.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use serde_json::Value;

use super::between::describe;
use crate::kind::{Argument, CheckKind, Form, STRICT_MAX, STRICT_MIN, TABLE, optional, required};
use crate::plan::{Plan, TableTest};
use crate::range::{self, Range};
use crate::verdict::Observation;

const LEAST: Argument = optional("min_value", Form::Integer, "the fewest rows").or(&["min"]);
const MOST: Argument = optional("max_value", Form::Integer, "the most rows").or(&["max"]);

pub(super) const BETWEEN: CheckKind = CheckKind {
    name: "expect_table_row_count_to_be_between",
    short: "row_count",
    aliases: &["row_count_between"],
    arguments: &[LEAST, MOST, STRICT_MIN, STRICT_MAX],
    condition: true,
    doc: "The number of rows lies between two bounds.",
    example: r#"{"row_count": {"min_value": 1}}"#,
    validate: |arguments| range::validate(arguments, false),
    plan: |arguments, _| {
        Ok(Plan::Table(Arc::new(Rows { range: range::numeric(arguments)?, wanted: describe(arguments) })))
    },
    ..TABLE
};

pub(super) const EQUAL: CheckKind = CheckKind {
    name: "expect_table_row_count_to_equal",
    short: "row_count_equal",
    main: Some("value"),
    arguments: &[required("value", Form::Integer, "the number of rows")],
    condition: true,
    doc: "The table has exactly this number of rows.",
    example: r#"{"row_count_equal": 50}"#,
    plan: |arguments, _| {
        let wanted = arguments.number("value");
        let range = Range::Float { low: wanted, high: wanted, strict_low: false, strict_high: false };
        let wanted = arguments.integer("value").unwrap_or_default().to_string();
        Ok(Plan::Table(Arc::new(Rows { range, wanted })))
    },
    ..TABLE
};

struct Rows {
    range: Range,
    wanted: String,
}

impl TableTest for Rows {
    fn judge(&self, _: &SchemaRef, rows: u64) -> Observation {
        Observation {
            observed: Value::from(rows),
            success: self.range.holds(rows as f64),
            message: format!("the table has {rows} rows; expected {}", self.wanted),
            ..Observation::default()
        }
    }
}
