//! What Great Expectations refuses in a suite, and Laguna takes in the settings of a table: one value in place of a list,
//! one column where several are compared, nothing where a word stands.

use laguna_base::{Error, Result};
use serde_json::{Map, Value};

use crate::kind::{CheckKind, Form};

/// Arguments that may be left out but not be null.
const THERE: [&str; 4] = ["strict_min", "strict_max", "ignore_row_if", "match_on"];

/// Types that compare columns: at least two.
const OF_COLUMNS: [&str; 3] =
    ["expect_compound_columns_", "expect_multicolumn_", "expect_select_column_values_"];

/// Refuses such arguments.
pub(super) fn arguments(kind: &str, given: &Map<String, Value>) -> Result<()> {
    let Some(known) = CheckKind::find(kind) else { return Ok(()) };
    for argument in known.arguments {
        let Some(value) = given.get(argument.name) else { continue };
        let name = argument.name;
        if value.is_null() {
            if THERE.contains(&name) {
                return Err(
                    Error::project(format!("`{name}` of `{kind}` must not be null")).hint("leave it out")
                );
            }
            continue;
        }
        if !matches!(argument.form, Form::Values | Form::Texts | Form::Columns) {
            continue;
        }
        let Some(list) = value.as_array() else {
            return Err(Error::project(format!("`{name}` of `{kind}` must be a list"))
                .hint(format!("as in {}", Value::Array(vec![value.clone()]))));
        };
        let compares = OF_COLUMNS.iter().any(|family| kind.starts_with(family));
        if matches!(argument.form, Form::Columns) && compares && list.len() < 2 {
            return Err(Error::project(format!("`{name}` of `{kind}` must hold at least two columns")));
        }
    }
    Ok(())
}
