//! The table has columns: which, how many, in which order.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use laguna_base::suggest;
use serde_json::{Map, Value, json};

use super::between::describe;
use crate::kind::{Argument, CheckKind, Form, Scope, TABLE, optional, required};
use crate::plan::{Plan, TableTest};
use crate::range::{self, Range};
use crate::verdict::Observation;

/// A check that needs only the schema.
struct Schema<F>(F);

impl<F: Fn(&[&str]) -> Observation + Send + Sync> TableTest for Schema<F> {
    fn judge(&self, schema: &SchemaRef, _: u64) -> Observation {
        let names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
        (self.0)(&names)
    }
}

pub(super) const EXISTS: CheckKind = CheckKind {
    name: "expect_column_to_exist",
    short: "exists",
    aliases: &["column_exists"],
    scope: Scope::Column,
    main: Some("column"),
    arguments: &[
        required("column", Form::Column, "the column that must be there"),
        optional("column_index", Form::Integer, "its place, from 0"),
    ],
    doc: "The table has a column of this name.",
    example: r#"{"exists": "carrier"}"#,
    plan: |arguments, _| {
        let (column, place) = (arguments.required("column")?.to_string(), arguments.integer("column_index"));
        Ok(Plan::Table(Arc::new(Schema(move |names: &[&str]| {
            let found = names.iter().position(|name| *name == column);
            let message = match found {
                Some(at) => format!("the column {column} stands at place {at}"),
                None => format!("there is no column {column}; {}", suggest::hint(&column, names.iter())),
            };
            let success = found.is_some_and(|at| place.is_none_or(|place| place == at as i64));
            Observation { success, message, ..Observation::default() }
        }))))
    },
    ..TABLE
};

const LEAST: Argument = optional("min_value", Form::Number, "the fewest columns").or(&["min"]);
const MOST: Argument = optional("max_value", Form::Number, "the most columns").or(&["max"]);

pub(super) const COUNT_BETWEEN: CheckKind = CheckKind {
    name: "expect_table_column_count_to_be_between",
    short: "column_count",
    aliases: &["column_count_between"],
    arguments: &[LEAST, MOST],
    doc: "The number of columns lies between two bounds.",
    example: r#"{"column_count": {"min_value": 3}}"#,
    plan: |arguments, _| Ok(count(range::numeric(arguments)?, describe(arguments))),
    ..TABLE
};

pub(super) const COUNT_EQUAL: CheckKind = CheckKind {
    name: "expect_table_column_count_to_equal",
    short: "column_count_equal",
    main: Some("value"),
    arguments: &[required("value", Form::Integer, "the number of columns")],
    doc: "The table has exactly this number of columns.",
    example: r#"{"column_count_equal": 8}"#,
    plan: |arguments, _| {
        let value = arguments.number("value");
        let range = Range::Float { low: value, high: value, strict_low: false, strict_high: false };
        Ok(count(range, arguments.integer("value").unwrap_or_default().to_string()))
    },
    ..TABLE
};

fn count(range: Range, wanted: String) -> Plan {
    Plan::Table(Arc::new(Schema(move |names: &[&str]| Observation {
        observed: Value::from(names.len()),
        success: range.holds(names.len() as f64),
        message: format!("the table has {} columns; expected {wanted}", names.len()),
        ..Observation::default()
    })))
}

pub(super) const ORDERED_LIST: CheckKind = CheckKind {
    name: "expect_table_columns_to_match_ordered_list",
    short: "columns",
    aliases: &["columns_ordered"],
    main: Some("column_list"),
    arguments: &[optional(
        "column_list",
        Form::Values,
        "the names, in order; without them every table passes",
    )],
    doc: "The table has exactly these columns in this order.",
    example: r#"{"columns": ["carrier", "day", "departures"]}"#,
    plan: |arguments, _| {
        let (given, wanted) = (arguments.value("column_list").is_some(), arguments.texts("column_list"));
        Ok(Plan::Table(Arc::new(Schema(move |names: &[&str]| {
            let mismatched: Vec<Value> = (0..names.len().max(wanted.len()))
                .filter(|at| given && names.get(*at).copied() != wanted.get(*at).map(String::as_str))
                .map(|at| {
                    json!({"Expected Column Position": at, "Expected": wanted.get(at), "Found": names.get(at)})
                })
                .collect();
            Observation {
                observed: Value::from(names.to_vec()),
                success: mismatched.is_empty(),
                message: format!("the columns are {}; expected {}", names.join(", "), wanted.join(", ")),
                details: if mismatched.is_empty() { Value::Null } else { json!({"mismatched": mismatched}) },
                ..Observation::default()
            }
        }))))
    },
    ..TABLE
};

pub(super) const SET: CheckKind = CheckKind {
    name: "expect_table_columns_to_match_set",
    short: "column_set",
    main: Some("column_set"),
    arguments: &[
        optional("column_set", Form::Values, "the names, in any order; default none"),
        optional("exact_match", Form::Flag, "whether there may be no others").by_default("true"),
    ],
    doc: "The table has these columns, and no others unless `exact_match` is false.",
    example: r#"{"column_set": {"column_set": ["carrier", "day"], "exact_match": false}}"#,
    plan: |arguments, _| {
        let wanted: BTreeSet<String> = arguments.texts("column_set").into_iter().collect();
        let exact = arguments.flag("exact_match", true);
        Ok(Plan::Table(Arc::new(Schema(move |names: &[&str]| {
            let absent: Vec<&str> =
                wanted.iter().map(String::as_str).filter(|w| !names.contains(w)).collect();
            let mut extra: Vec<&str> = names.iter().copied().filter(|name| !wanted.contains(*name)).collect();
            extra.sort_unstable();
            let message = match (absent.is_empty(), extra.is_empty() || !exact) {
                (true, true) => "the columns are as expected".to_string(),
                (false, true) => format!("missing columns: {}", absent.join(", ")),
                (true, false) => format!("columns that should not be there: {}", extra.join(", ")),
                (false, false) => {
                    format!("missing columns: {}; too many: {}", absent.join(", "), extra.join(", "))
                }
            };
            let success = absent.is_empty() && (!exact || extra.is_empty());
            let mut mismatched = Map::new();
            if !extra.is_empty() {
                mismatched.insert("unexpected".to_string(), Value::from(extra));
            }
            if !absent.is_empty() {
                mismatched.insert("missing".to_string(), Value::from(absent));
            }
            let details = if mismatched.is_empty() { Value::Null } else { json!({"mismatched": mismatched}) };
            let mut sorted = names.to_vec();
            sorted.sort_unstable();
            Observation { observed: Value::from(sorted), success, message, details, ..Observation::default() }
        }))))
    },
    ..TABLE
};
