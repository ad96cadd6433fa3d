//! Values are there, or are not.

use std::sync::Arc;

use arrow::array::Array;
use arrow::buffer::BooleanBuffer;
use laguna_base::Result;

use crate::arguments::Arguments;
use crate::kind::{CheckKind, VALUES};
use crate::plan::{Binding, Ignore, Plan, RowPlan, RowTest, Shows};
use crate::view::{View, any};

pub(super) const NOT_NULL: CheckKind = CheckKind {
    name: "expect_column_values_to_not_be_null",
    short: "not_null",
    main: Some("column"),
    nulls: "Every row is judged.",
    doc: "No value is null (or NaN).",
    example: r#"{"not_null": "carrier"}"#,
    plan: |arguments, binding| plan(arguments, binding, false),
    ..VALUES
};

pub(super) const NULL: CheckKind = CheckKind {
    name: "expect_column_values_to_be_null",
    // A bare `null` is no text in YAML.
    short: "is_null",
    main: Some("column"),
    nulls: "Every row is judged.",
    doc: "Every value is null (or NaN).",
    example: r#"{"is_null": "deleted_at"}"#,
    plan: |arguments, binding| plan(arguments, binding, true),
    ..VALUES
};

fn plan(arguments: &Arguments, binding: &Binding<'_>, wanted: bool) -> Result<Plan> {
    let column = binding.column(arguments.required("column")?)?.index;
    let says = if wanted { "are not null" } else { "are null" };
    let test = Arc::new(Null { column, wanted });
    Ok(Plan::Row(RowPlan {
        columns: vec![column],
        ignore: Ignore::Never,
        shows: Shows::Value,
        test,
        says: says.to_string(),
    }))
}

struct Null {
    column: usize,
    wanted: bool,
}

impl RowTest for Null {
    fn failing(&self, view: &View<'_>) -> Result<Option<BooleanBuffer>> {
        let present = view.present(self.column)?;
        if self.wanted {
            let rows = view.values(self.column)?.len();
            return Ok(any(present.map_or_else(|| BooleanBuffer::new_set(rows), |nulls| nulls.into_inner())));
        }
        Ok(present.map(|nulls| !nulls.inner()))
    }
}
