//! One number about a column lies between two bounds. Nulls are left out.

use laguna_base::{Error, Result};

use crate::arguments::Arguments;
use crate::kind::{Argument, COLUMN, CheckKind, Form, MAX, MIN, STRICT_MAX, STRICT_MIN, Scope, optional};
use crate::plan::{Binding, Metric, Plan};
use crate::range;

const LEAST: Argument = optional("min_value", Form::Number, "the smallest number that passes").or(&["min"]);
const MOST: Argument = optional("max_value", Form::Number, "the largest number that passes").or(&["max"]);
const VALUES: &[Argument] = &[COLUMN, MIN, MAX, STRICT_MIN, STRICT_MAX];
const NUMBERS: &[Argument] = &[COLUMN, LEAST, MOST, STRICT_MIN, STRICT_MAX];

const BLANK: CheckKind = CheckKind {
    name: "",
    short: "",
    aliases: &[],
    scope: Scope::Column,
    main: None,
    arguments: NUMBERS,
    mostly: false,
    doc: "",
    example: "",
    validate: |arguments| range::validate(arguments, false),
    plan: |_, _| Err(Error::internal("an aggregate without a plan")),
};

pub(super) const MIN_VALUE: CheckKind = CheckKind {
    name: "expect_column_min_to_be_between",
    short: "min",
    aliases: &["min_between"],
    arguments: VALUES,
    doc: "The smallest value lies between two bounds.",
    example: r#"{"min": {"column": "delay", "min_value": -120}}"#,
    plan: |arguments, binding| extreme(arguments, binding, Metric::Min),
    ..BLANK
};

pub(super) const MAX_VALUE: CheckKind = CheckKind {
    name: "expect_column_max_to_be_between",
    short: "max",
    aliases: &["max_between"],
    arguments: VALUES,
    doc: "The largest value lies between two bounds.",
    example: r#"{"max": {"column": "delay", "max_value": 1500}}"#,
    plan: |arguments, binding| extreme(arguments, binding, Metric::Max),
    ..BLANK
};

pub(super) const MEAN: CheckKind = CheckKind {
    name: "expect_column_mean_to_be_between",
    short: "mean",
    aliases: &["mean_between"],
    doc: "The mean lies between two bounds; a column without values fails.",
    example: r#"{"mean": {"column": "delay", "min_value": -5, "max_value": 40}}"#,
    plan: |arguments, binding| number(arguments, binding, Metric::Mean),
    ..BLANK
};

pub(super) const SUM: CheckKind = CheckKind {
    name: "expect_column_sum_to_be_between",
    short: "sum",
    aliases: &["sum_between"],
    doc: "The sum lies between two bounds; that of no values is 0.",
    example: r#"{"sum": {"column": "departures", "min_value": 1}}"#,
    plan: |arguments, binding| number(arguments, binding, Metric::Sum),
    ..BLANK
};

pub(super) const STDEV: CheckKind = CheckKind {
    name: "expect_column_stdev_to_be_between",
    short: "stdev",
    aliases: &["stdev_between"],
    doc: "The sample standard deviation lies between two bounds; a column with fewer than two values fails.",
    example: r#"{"stdev": {"column": "delay", "max_value": 60}}"#,
    plan: |arguments, binding| number(arguments, binding, Metric::Stdev),
    ..BLANK
};

pub(super) const NON_NULL_SHARE: CheckKind = CheckKind {
    name: "expect_column_proportion_of_non_null_values_to_be_between",
    short: "non_null_share",
    aliases: &["not_null_proportion", "proportion_of_non_null"],
    doc: "The share of values that are not null, 0 to 1, lies between two bounds.",
    example: r#"{"non_null_share": {"column": "email", "min_value": 0.9}}"#,
    plan: |arguments, binding| {
        let column = binding.column(arguments.required("column")?)?.index;
        Ok(Plan::Aggregate { column, metric: Metric::Present, range: range::numeric(arguments)? })
    },
    ..BLANK
};

fn extreme(arguments: &Arguments, binding: &Binding<'_>, metric: Metric) -> Result<Plan> {
    let column = binding.column(arguments.required("column")?)?;
    let range = range::compile(arguments, column.plain_type(), column.name)?;
    Ok(Plan::Aggregate { column: column.index, metric, range })
}

fn number(arguments: &Arguments, binding: &Binding<'_>, metric: Metric) -> Result<Plan> {
    let column = binding.column(arguments.required("column")?)?;
    let data_type = column.plain_type();
    if !data_type.is_numeric()
        && !matches!(data_type, arrow::datatypes::DataType::Boolean | arrow::datatypes::DataType::Null)
    {
        return Err(Error::project(format!("`{}` is {data_type}, not a number", column.name)));
    }
    Ok(Plan::Aggregate { column: column.index, metric, range: range::numeric(arguments)? })
}
