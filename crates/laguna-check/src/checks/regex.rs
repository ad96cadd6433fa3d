//! Text matches regular expressions, or does not.

use arrow::array::Array;
use arrow::buffer::BooleanBuffer;
use laguna_base::{Error, Result};
use std::sync::Arc;

use crate::arguments::Arguments;
use crate::kind::{Argument, COLUMN, CheckKind, Form, VALUES, optional, required};
use crate::pattern::Pattern;
use crate::plan::{Binding, Plan, RowPlan, RowTest};
use crate::view::{View, any, where_text_or};

const PATTERN_DOC: &str = "the expression, as in Python: searched anywhere in the value, so use ^ and $ for the whole; \
     look-around and back-references are understood";
const PATTERN: Argument = required("regex", Form::Text, PATTERN_DOC).or(&["pattern"]);
const OR_ANYTHING: Argument =
    optional("regex", Form::Text, PATTERN_DOC).or(&["pattern"]).by_default("\"(?s).*\"");
const PATTERNS: Argument =
    required("regex_list", Form::Texts, "the expressions, as in Python").or(&["patterns"]);
pub(super) const MATCH_ON: Argument =
    optional("match_on", Form::Text, "whether `any` or `all` of them must match").by_default("\"any\"");

pub(super) const MATCH: CheckKind = CheckKind {
    name: "expect_column_values_to_match_regex",
    short: "regex",
    aliases: &["match_regex"],
    main: Some("regex"),
    arguments: &[COLUMN, OR_ANYTHING],
    doc: "The text of each value holds a match of a regular expression.",
    example: r#"{"regex": {"column": "country", "regex": "^[A-Z]{2}$"}}"#,
    validate: |arguments| patterns(arguments, None).map(drop),
    plan: |arguments, binding| plan(arguments, binding, "match", Wanted::Any),
    ..VALUES
};

pub(super) const NO_MATCH: CheckKind = CheckKind {
    name: "expect_column_values_to_not_match_regex",
    short: "not_regex",
    aliases: &["not_match_regex"],
    main: Some("regex"),
    arguments: &[COLUMN, PATTERN],
    doc: "The text of no value holds a match of a regular expression.",
    example: r#"{"not_regex": {"column": "email", "regex": "\\s"}}"#,
    validate: |arguments| patterns(arguments, None).map(drop),
    plan: |arguments, binding| plan(arguments, binding, "match", Wanted::None),
    ..VALUES
};

pub(super) const MATCH_LIST: CheckKind = CheckKind {
    name: "expect_column_values_to_match_regex_list",
    short: "regex_list",
    aliases: &["match_regex_list"],
    main: Some("regex_list"),
    arguments: &[COLUMN, PATTERNS, MATCH_ON],
    doc: "The text of each value holds a match of one of several regular expressions, or of all.",
    example: r#"{"regex_list": {"column": "phone", "regex_list": ["^\\+\\d+$", "^00\\d+$"]}}"#,
    validate: |arguments| patterns(arguments, None).and(match_on(arguments)).map(drop),
    plan: |arguments, binding| plan(arguments, binding, "match", match_on(arguments)?),
    ..VALUES
};

pub(super) const NO_MATCH_LIST: CheckKind = CheckKind {
    name: "expect_column_values_to_not_match_regex_list",
    short: "not_regex_list",
    aliases: &["not_match_regex_list"],
    main: Some("regex_list"),
    arguments: &[COLUMN, PATTERNS],
    doc: "The text of no value holds a match of any of several regular expressions.",
    example: r#"{"not_regex_list": {"column": "comment", "regex_list": ["(?i)password", "\\d{16}"]}}"#,
    validate: |arguments| match patterns(arguments, None)?.is_empty() {
        true => Err(Error::project("`regex_list` is empty").hint("give at least one expression")),
        false => Ok(()),
    },
    plan: |arguments, binding| plan(arguments, binding, "match", Wanted::None),
    ..VALUES
};

/// How many of the patterns must be found in a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    Any,
    All,
    None,
}

pub(super) fn match_on(arguments: &Arguments) -> Result<Wanted> {
    match arguments.text("match_on") {
        None | Some("any") => Ok(Wanted::Any),
        Some("all") => Ok(Wanted::All),
        Some(other) => {
            Err(Error::project(format!("`{other}` is not valid for `match_on`")).hint("one of any, all"))
        }
    }
}

fn patterns(arguments: &Arguments, binding: Option<&Binding<'_>>) -> Result<Vec<Arc<Pattern>>> {
    let texts = match (arguments.text("regex"), arguments.value("regex_list")) {
        (Some(one), _) => vec![one.to_string()],
        (None, Some(_)) => arguments.texts("regex_list"),
        (None, None) => vec!["(?s).*".to_string()],
    };
    texts
        .iter()
        .map(|text| match binding {
            Some(binding) => binding.pattern(text),
            None => Pattern::compile(text).map(Arc::new),
        })
        .collect()
}

fn plan(arguments: &Arguments, binding: &Binding<'_>, verb: &str, wanted: Wanted) -> Result<Plan> {
    let column = binding.column(arguments.required("column")?)?.with_text()?;
    let patterns = patterns(arguments, Some(binding))?;
    let shown: Vec<&str> = patterns.iter().map(|pattern| pattern.text()).collect();
    let says = match wanted {
        Wanted::None => format!("{verb} {}", shown.join(" or ")),
        Wanted::Any => format!("do not {verb} {}", shown.join(" or ")),
        Wanted::All => format!("do not {verb} {}", shown.join(" and ")),
    };
    Ok(RowPlan::of_values(column, Matches { column, patterns, wanted }, says))
}

/// A test of patterns; LIKE patterns become such ones too.
pub(super) struct Matches {
    pub column: usize,
    pub patterns: Vec<Arc<Pattern>>,
    pub wanted: Wanted,
}

impl RowTest for Matches {
    fn failing(&self, view: &View<'_>) -> Result<Option<BooleanBuffer>> {
        let texts = view.texts(self.column)?;
        if texts.logical_null_count() == texts.len() {
            return Ok(None);
        }
        let searches: Vec<_> = self.patterns.iter().map(|pattern| pattern.search()).collect();
        let failing = where_text_or(texts, |text| {
            let all = self.wanted == Wanted::All;
            let mut found = all;
            for search in &searches {
                found = search.finds(text)?;
                if found != all {
                    break;
                }
            }
            Ok(found == (self.wanted == Wanted::None))
        })?;
        Ok(any(failing))
    }
}
