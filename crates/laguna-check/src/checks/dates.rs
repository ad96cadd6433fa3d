//! Texts are dates: in one format of `strftime`, or in any that dateutil reads.

use std::sync::Arc;

use arrow::buffer::BooleanBuffer;
use laguna_base::Result;

use crate::kind::{COLUMN, CheckKind, Form, VALUES, required};
use crate::plan::{Bound, Plan, RowPlan, RowTest};
use crate::view::{View, any, where_text};

mod dateutil;
mod strptime;

pub(super) const STRFTIME: CheckKind = CheckKind {
    name: "expect_column_values_to_match_strftime_format",
    short: "date_format",
    aliases: &["match_strftime_format"],
    main: Some("strftime_format"),
    arguments: &[
        COLUMN,
        required("strftime_format", Form::Text, "the format, as Python's strptime reads it: %Y-%m-%d")
            .or(&["format"]),
    ],
    doc: "Each text is a date or time in one format.",
    example: r#"{"date_format": {"column": "day", "strftime_format": "%Y-%m-%d"}}"#,
    validate: |arguments| strptime::Format::compile(arguments.required("strftime_format")?).map(drop),
    plan: |arguments, binding| {
        let column = binding.column(arguments.required("column")?)?;
        let format = arguments.required("strftime_format")?;
        let test = strptime::Format::compile(format)?;
        let says = format!("are not in the format {format}");
        dates(column, Arc::new(move |text: &str| test.reads(text)), says, true)
    },
    ..VALUES
};

pub(super) const PARSEABLE: CheckKind = CheckKind {
    name: "expect_column_values_to_be_dateutil_parseable",
    short: "date_text",
    aliases: &["dateutil_parseable"],
    main: Some("column"),
    arguments: &[COLUMN],
    doc: "Each text is a date or time in any of the usual forms, as Python's dateutil reads them.",
    example: r#"{"date_text": "ordered_on"}"#,
    plan: |arguments, binding| {
        let column = binding.column(arguments.required("column")?)?;
        // What a text leaves out is that of today.
        dates(column, Arc::new(dateutil::reads), "are no dates".to_string(), false)
    },
    ..VALUES
};

type Reads = Arc<dyn Fn(&str) -> bool + Send + Sync>;

fn dates(column: Bound<'_>, reads: Reads, says: String, lasts: bool) -> Result<Plan> {
    let column = column.only_text()?;
    Ok(RowPlan::of_values(column, Dates { column, reads, lasts }, says))
}

struct Dates {
    column: usize,
    reads: Reads,
    lasts: bool,
}

impl RowTest for Dates {
    fn failing(&self, view: &View<'_>) -> Result<Option<BooleanBuffer>> {
        let texts = view.values(self.column)?;
        if !texts.data_type().is_string() {
            return Ok(None);
        }
        Ok(any(where_text(texts, |text| !(self.reads)(text))))
    }

    fn lasts(&self) -> bool {
        self.lasts
    }
}
