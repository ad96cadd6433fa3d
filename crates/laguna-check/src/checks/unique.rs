//! No value, or no combination of values, stands twice.

use arrow::datatypes::DataType;
use laguna_base::{Error, Result};

use crate::arguments::Arguments;
use crate::kind::{Argument, CheckKind, Form, Scope, VALUES, optional, required};
use crate::plan::{Binding, Ignore, Plan};
use crate::words::word;

pub(super) const UNIQUE: CheckKind = CheckKind {
    name: "expect_column_values_to_be_unique",
    short: "unique",
    main: Some("column"),
    doc: "No value stands twice, nulls aside. With a list of columns: no combination stands twice.",
    example: r#"{"unique": ["carrier", "day"]}"#,
    plan: |arguments, binding| {
        plan(&[arguments.required("column")?.to_string()], Ignore::AllMissing, binding)
    },
    ..VALUES
};

pub(super) const COMPOUND: CheckKind = CheckKind {
    name: "expect_compound_columns_to_be_unique",
    short: "unique_combination",
    aliases: &["compound_unique", "unique_combination_of_columns"],
    scope: Scope::Columns,
    main: Some("column_list"),
    arguments: &[
        required("column_list", Form::Columns, "the columns that are unique together")
            .or(&["columns", "combination_of_columns"]),
        IGNORE,
    ],
    nulls: "Rows where all values are missing are not looked at; else two missing values are the same.",
    doc: "No combination of values stands twice.",
    example: r#"{"unique_combination": {"column_list": ["carrier", "day"]}}"#,
    validate: |arguments| ignore(arguments).map(drop),
    plan: |arguments, binding| plan(&arguments.texts("column_list"), ignore(arguments)?, binding),
    ..VALUES
};

pub(super) const IGNORE: Argument = optional(
    "ignore_row_if",
    Form::Text,
    "which rows are not looked at: all_values_are_missing, any_value_is_missing, never",
)
.by_default("\"all_values_are_missing\"");

pub(super) fn ignore(arguments: &Arguments) -> Result<Ignore> {
    match arguments.text("ignore_row_if") {
        None | Some("all_values_are_missing") => Ok(Ignore::AllMissing),
        Some("any_value_is_missing") => Ok(Ignore::AnyMissing),
        Some("never") => Ok(Ignore::Never),
        Some(other) => Err(Error::project(format!("`{other}` is not valid for `ignore_row_if`"))
            .hint("one of all_values_are_missing, any_value_is_missing, never")),
    }
}

fn plan(names: &[String], ignore: Ignore, binding: &Binding<'_>) -> Result<Plan> {
    for name in names {
        let column = binding.column(name)?;
        if matches!(column.data_type, DataType::Map(_, _) | DataType::Union(_, _)) {
            return Err(Error::project(format!(
                "`{name}` is {}, which cannot be compared",
                word(column.data_type)
            )));
        }
    }
    Ok(Plan::Unique { columns: binding.columns(names)?, ignore })
}
