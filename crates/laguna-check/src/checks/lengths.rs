//! Text has a number of characters within bounds. Characters are Unicode code points.

use arrow::buffer::BooleanBuffer;
use laguna_base::{Error, Result};

use super::between::describe;
use crate::arguments::Arguments;
use crate::kind::{Argument, COLUMN, CheckKind, Form, STRICT_MAX, STRICT_MIN, VALUES, optional, required};
use crate::plan::{Binding, Plan, RowPlan, RowTest};
use crate::view::{View, any, where_text};

const LEAST: Argument = optional("min_value", Form::Integer, "the fewest characters").or(&["min"]);
const MOST: Argument = optional("max_value", Form::Integer, "the most characters").or(&["max"]);

pub(super) const BETWEEN: CheckKind = CheckKind {
    name: "expect_column_value_lengths_to_be_between",
    short: "length_between",
    aliases: &["value_lengths_between"],
    arguments: &[COLUMN, LEAST, MOST, STRICT_MIN, STRICT_MAX],
    doc: "The text of each value has a number of characters between two bounds.",
    example: r#"{"length_between": {"column": "carrier", "min_value": 2, "max_value": 3}}"#,
    // Reversed bounds are taken as they stand: every value fails.
    validate: |arguments| match arguments.value("min_value").or(arguments.value("max_value")) {
        Some(_) => Ok(()),
        None => Err(Error::project("neither `min_value` nor `max_value` is given")),
    },
    plan: |arguments, binding| {
        let low =
            arguments.integer("min_value").unwrap_or(0) + i64::from(arguments.flag("strict_min", false));
        let low = if arguments.value("min_value").is_some() { low } else { 0 };
        let high = match arguments.integer("max_value") {
            Some(high) => high - i64::from(arguments.flag("strict_max", false)),
            None => i64::MAX,
        };
        plan(arguments, binding, low, high, format!("do not have {} characters", describe(arguments)))
    },
    ..VALUES
};

pub(super) const EQUAL: CheckKind = CheckKind {
    name: "expect_column_value_lengths_to_equal",
    short: "length",
    aliases: &["value_lengths_equal"],
    main: Some("value"),
    arguments: &[COLUMN, required("value", Form::Integer, "the number of characters")],
    doc: "The text of each value has exactly this number of characters.",
    example: r#"{"length": {"column": "country", "value": 2}}"#,
    plan: |arguments, binding| {
        let length = arguments.integer("value").unwrap_or_default();
        plan(arguments, binding, length, length, format!("do not have {length} characters"))
    },
    ..VALUES
};

fn plan(arguments: &Arguments, binding: &Binding<'_>, low: i64, high: i64, says: String) -> Result<Plan> {
    let column = binding.column(arguments.required("column")?)?.with_text()?;
    Ok(RowPlan::of_values(column, Length { column, low, high }, says))
}

struct Length {
    column: usize,
    low: i64,
    high: i64,
}

impl RowTest for Length {
    fn failing(&self, view: &View<'_>) -> Result<Option<BooleanBuffer>> {
        Ok(any(where_text(view.texts(self.column)?, |text| {
            let length = text.chars().count() as i64;
            length < self.low || length > self.high
        })))
    }
}
