//! Values rise, or fall, from row to row.

use laguna_base::{Error, Result};

use crate::arguments::Arguments;
use crate::gather::series::Series;
use crate::kind::{Argument, COLUMN, CheckKind, Form, VALUES, optional};
use crate::plan::{Binding, OrderPlan, Plan};
use crate::words::word;

const STRICTLY: Argument =
    optional("strictly", Form::Flag, "whether a value that equals the one before fails").by_default("false");
const NULLS: &str = "Missing values are taken out: each value is compared with the one before that is there.";

pub(super) const INCREASING: CheckKind = CheckKind {
    name: "expect_column_values_to_be_increasing",
    short: "increasing",
    main: Some("column"),
    arguments: &[COLUMN, STRICTLY],
    nulls: NULLS,
    doc: "Each value is at least as large as the one before it, in the order of the rows.",
    example: r#"{"increasing": {"column": "day", "strictly": true}}"#,
    plan: |arguments, binding| plan(arguments, binding, false),
    ..VALUES
};

pub(super) const DECREASING: CheckKind = CheckKind {
    name: "expect_column_values_to_be_decreasing",
    short: "decreasing",
    main: Some("column"),
    arguments: &[COLUMN, STRICTLY],
    nulls: NULLS,
    doc: "Each value is at most as large as the one before it, in the order of the rows.",
    example: r#"{"decreasing": "rank"}"#,
    plan: |arguments, binding| plan(arguments, binding, true),
    ..VALUES
};

fn plan(arguments: &Arguments, binding: &Binding<'_>, descending: bool) -> Result<Plan> {
    let column = binding.column(arguments.required("column")?)?;
    if !Series::can(column.dated_type()) {
        return Err(Error::project(format!(
            "`{}` is {}: only numbers and times rise and fall",
            column.name,
            word(column.data_type)
        )));
    }
    let strictly = arguments.flag("strictly", false);
    Ok(Plan::Order(OrderPlan { column: column.index, descending, strictly }))
}
