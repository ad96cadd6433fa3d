//! Text matches a regular expression, or does not.

use std::sync::Arc;

use arrow::array::Array;
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::DataType;
use laguna_base::{Error, Result};
use regex::Regex;

use crate::arguments::Arguments;
use crate::kind::{Argument, COLUMN, CheckKind, Form, Scope, required};
use crate::plan::{Binding, Plan, RowPlan, RowTest};
use crate::view::{View, any, where_text};

const PATTERN: Argument = required(
    "regex",
    Form::Text,
    "the expression, searched anywhere in the value: use ^ and $ for the whole; look-around and back-references are not supported",
)
.or(&["pattern"]);

pub(super) const MATCH: CheckKind = CheckKind {
    name: "expect_column_values_to_match_regex",
    short: "regex",
    aliases: &["match_regex"],
    scope: Scope::Column,
    main: Some("regex"),
    arguments: &[COLUMN, PATTERN],
    mostly: true,
    doc: "The text of each value holds a match of a regular expression.",
    example: r#"{"regex": {"column": "country", "regex": "^[A-Z]{2}$"}}"#,
    validate: |arguments| pattern(arguments).map(drop),
    plan: |arguments, binding| plan(arguments, binding, true),
};

pub(super) const NO_MATCH: CheckKind = CheckKind {
    name: "expect_column_values_to_not_match_regex",
    short: "not_regex",
    aliases: &["not_match_regex"],
    scope: Scope::Column,
    main: Some("regex"),
    arguments: &[COLUMN, PATTERN],
    mostly: true,
    doc: "The text of no value holds a match of a regular expression.",
    example: r#"{"not_regex": {"column": "email", "regex": "\\s"}}"#,
    validate: |arguments| pattern(arguments).map(drop),
    plan: |arguments, binding| plan(arguments, binding, false),
};

/// Compiles with Python's meaning of `$`, which also matches before a closing line feed.
fn pattern(arguments: &Arguments) -> Result<Regex> {
    let text = arguments.required("regex")?;
    Regex::new(&python_dollar(text)).map_err(|error| {
        let reason = error.to_string();
        let reason = reason.lines().last().unwrap_or_default().trim_start_matches("error: ").to_string();
        let error = Error::project(format!("`{text}` is not a regular expression that can be used"));
        if reason.contains("look-around") || reason.contains("backreferences") {
            return error
                .hint("look-around and back-references are not supported; write an `sql` check instead");
        }
        error.hint(reason)
    })
}

fn python_dollar(text: &str) -> String {
    let body =
        text.strip_suffix('$').filter(|body| body.bytes().rev().take_while(|b| *b == b'\\').count() % 2 == 0);
    match body {
        Some(body) if !body.contains("(?") && !body.contains('|') && !body.contains('#') => {
            format!("{body}\\n?$")
        }
        _ => text.to_string(),
    }
}

fn plan(arguments: &Arguments, binding: &Binding<'_>, wanted: bool) -> Result<Plan> {
    let column = binding.column(arguments.required("column")?)?;
    if column.data_type.is_nested() || matches!(column.plain_type(), DataType::Binary | DataType::LargeBinary)
    {
        return Err(Error::project(format!("`{}` is {}, not text", column.name, column.data_type)));
    }
    let regex = pattern(arguments)?;
    let says = format!("{} {}", if wanted { "do not match" } else { "match" }, arguments.required("regex")?);
    let test = Arc::new(Match { column: column.index, regex, wanted });
    Ok(Plan::Row(RowPlan { columns: vec![column.index], skip_missing: true, test, says }))
}

struct Match {
    column: usize,
    regex: Regex,
    wanted: bool,
}

impl RowTest for Match {
    fn failing(&self, view: &View<'_>) -> Result<Option<BooleanBuffer>> {
        let texts = view.texts(self.column)?;
        if texts.null_count() == texts.len() {
            return Ok(None);
        }
        Ok(any(where_text(texts, |text| self.regex.is_match(text) != self.wanted)))
    }
}
