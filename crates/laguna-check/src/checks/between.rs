//! Values lie between two bounds.

use arrow::buffer::BooleanBuffer;
use arrow::compute::cast;
use arrow::datatypes::DataType;
use laguna_base::Result;
use serde_json::Value;

use crate::arguments::Arguments;
use crate::kind::{COLUMN, CheckKind, MAX, MIN, STRICT_MAX, STRICT_MIN, VALUES};
use crate::plan::{RowPlan, RowTest};
use crate::range::{self, Range};
use crate::view::{View, failed};

pub(super) const BETWEEN: CheckKind = CheckKind {
    name: "expect_column_values_to_be_between",
    short: "between",
    aliases: &["accepted_range"],
    arguments: &[COLUMN, MIN, MAX, STRICT_MIN, STRICT_MAX],
    doc: "Values lie between two bounds: numbers, dates or timestamps (UTC unless they carry an offset).",
    example: r#"{"between": {"column": "delay", "min_value": -60, "max_value": 600}, "mostly": 0.99}"#,
    validate: |arguments| range::validate(arguments, true),
    plan: |arguments, binding| {
        let column = binding.column(arguments.required("column")?)?;
        let range = range::compile(arguments, column.dated_type(), column.name)?;
        let says = format!("are not {}", describe(arguments));
        Ok(RowPlan::of_values(column.index, Between { column: column.index, range }, says))
    },
    ..VALUES
};

/// The bounds in words: `between 0 and 10`, `at least 1`, `below 5`.
pub(super) fn describe(arguments: &Arguments) -> String {
    let bound = |name: &str| {
        arguments.value(name).map(|value| match value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        })
    };
    let low = bound("min_value").map(|low| {
        if arguments.flag("strict_min", false) { format!("above {low}") } else { format!("at least {low}") }
    });
    let high = bound("max_value").map(|high| {
        if arguments.flag("strict_max", false) { format!("below {high}") } else { format!("at most {high}") }
    });
    match (low, high) {
        (Some(low), Some(high)) => format!("{low} and {high}"),
        (Some(one), None) | (None, Some(one)) => one,
        (None, None) => "anything".to_string(),
    }
}

struct Between {
    column: usize,
    range: Range,
}

impl RowTest for Between {
    fn failing(&self, view: &View<'_>) -> Result<Option<BooleanBuffer>> {
        let values = view.dated(self.column)?;
        // A float of 32 bits is the number that it is: the one next to 0.2 lies above it.
        match values.data_type() {
            DataType::Float32 => self.range.outside(&cast(values, &DataType::Float64).map_err(failed)?),
            _ => self.range.outside(values),
        }
    }
}
