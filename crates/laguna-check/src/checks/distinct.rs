//! The number of different values lies between two bounds, as such or as a share of the values that are not null.

use laguna_base::{Error, Result};

use crate::arguments::Arguments;
use crate::kind::{Argument, COLUMN, CheckKind, Form, STRICT_MAX, STRICT_MIN, Scope, optional};
use crate::plan::{Binding, Plan};
use crate::range;

const LEAST: Argument = optional("min_value", Form::Number, "the smallest number that passes").or(&["min"]);
const MOST: Argument = optional("max_value", Form::Number, "the largest number that passes").or(&["max"]);

pub(super) const COUNT: CheckKind = CheckKind {
    name: "expect_column_unique_value_count_to_be_between",
    short: "distinct_count",
    aliases: &["unique_value_count"],
    scope: Scope::Column,
    main: None,
    arguments: &[COLUMN, LEAST, MOST, STRICT_MIN, STRICT_MAX],
    mostly: false,
    doc: "The number of different values, nulls aside, lies between two bounds.",
    example: r#"{"distinct_count": {"column": "carrier", "min_value": 10, "max_value": 20}}"#,
    validate: |arguments| range::validate(arguments, false),
    plan: |arguments, binding| plan(arguments, binding, false),
};

pub(super) const SHARE: CheckKind = CheckKind {
    name: "expect_column_proportion_of_unique_values_to_be_between",
    short: "distinct_share",
    aliases: &["proportion_of_unique"],
    scope: Scope::Column,
    main: None,
    arguments: &[COLUMN, LEAST, MOST, STRICT_MIN, STRICT_MAX],
    mostly: false,
    doc: "The number of different values divided by the number of values, nulls aside, lies between two bounds.",
    example: r#"{"distinct_share": {"column": "order_id", "min_value": 0.99}}"#,
    validate: |arguments| range::validate(arguments, false),
    plan: |arguments, binding| plan(arguments, binding, true),
};

fn plan(arguments: &Arguments, binding: &Binding<'_>, share: bool) -> Result<Plan> {
    let column = binding.column(arguments.required("column")?)?;
    if matches!(column.data_type, arrow::datatypes::DataType::Map(_, _)) {
        return Err(Error::project(format!(
            "`{}` is {}, which cannot be compared",
            column.name, column.data_type
        )));
    }
    Ok(Plan::Distinct { column: column.index, share, range: range::numeric(arguments)? })
}
