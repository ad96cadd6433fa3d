//! No value, or no combination of values, stands twice.

use arrow::datatypes::DataType;
use laguna_base::{Error, Result};

use crate::kind::{COLUMN, CheckKind, Form, Scope, anything, required};
use crate::plan::{Binding, Plan};

pub(super) const UNIQUE: CheckKind = CheckKind {
    name: "expect_column_values_to_be_unique",
    short: "unique",
    aliases: &[],
    scope: Scope::Column,
    main: Some("column"),
    arguments: &[COLUMN],
    mostly: true,
    doc: "No value stands twice, nulls aside. With a list of columns: no combination stands twice.",
    example: r#"{"unique": ["carrier", "day"]}"#,
    validate: anything,
    plan: |arguments, binding| plan(&[arguments.required("column")?.to_string()], binding),
};

pub(super) const COMPOUND: CheckKind = CheckKind {
    name: "expect_compound_columns_to_be_unique",
    short: "unique_combination",
    aliases: &["compound_unique", "unique_combination_of_columns"],
    scope: Scope::Columns,
    main: Some("column_list"),
    arguments: &[required("column_list", Form::Columns, "the columns that are unique together")
        .or(&["columns", "combination_of_columns"])],
    mostly: true,
    doc: "No combination of values stands twice; two nulls are the same, and rows where all are null are not looked at.",
    example: r#"{"unique_combination": {"column_list": ["carrier", "day"]}}"#,
    validate: anything,
    plan: |arguments, binding| plan(&arguments.texts("column_list"), binding),
};

fn plan(names: &[String], binding: &Binding<'_>) -> Result<Plan> {
    for name in names {
        let column = binding.column(name)?;
        if matches!(column.data_type, DataType::Map(_, _) | DataType::Union(_, _)) {
            return Err(Error::project(format!(
                "`{name}` is {}, which cannot be compared",
                column.data_type
            )));
        }
    }
    Ok(Plan::Unique { columns: binding.columns(names)? })
}
