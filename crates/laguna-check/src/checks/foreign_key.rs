//! Every key is found in another table.

use laguna_base::{Error, Result, TableName};

use crate::arguments::Arguments;
use crate::kind::{Argument, CheckKind, Form, Scope, VALUES, optional, required};
use crate::plan::Plan;

const COLUMNS: Argument =
    required("column_list", Form::Columns, "the columns that make up the key").or(&["columns", "column"]);

pub(super) const FOREIGN_KEY: CheckKind = CheckKind {
    name: "foreign_key",
    short: "foreign_key",
    aliases: &["relationships"],
    scope: Scope::Columns,
    arguments: &[
        COLUMNS,
        required("to", Form::Table, "the table that holds the keys"),
        optional("fields", Form::Columns, "its columns, in the same order; default the same names")
            .or(&["field"]),
    ],
    nulls: "Keys with a missing part refer to nothing and are not looked at.",
    doc: "Every key is found in another table.",
    example: r#"{"foreign_key": {"column": "carrier", "to": "sanitized.airlines", "field": "carrier"}}"#,
    validate: |arguments| {
        let (columns, fields) = (arguments.texts("column_list"), fields(arguments));
        if columns.len() != fields.len() {
            return Err(Error::project(format!(
                "`foreign_key` compares {} columns with {} fields",
                columns.len(),
                fields.len()
            )));
        }
        Ok(())
    },
    plan: |arguments, binding| {
        let to: Result<TableName> = arguments.required("to")?.parse();
        Ok(Plan::ForeignKey {
            columns: binding.columns(&arguments.texts("column_list"))?,
            to: to?,
            fields: fields(arguments),
        })
    },
    ..VALUES
};

fn fields(arguments: &Arguments) -> Vec<String> {
    let given = arguments.texts("fields");
    if given.is_empty() { arguments.texts("column_list") } else { given }
}
