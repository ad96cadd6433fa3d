//! Text is like SQL patterns, or is not: `%` stands for any text, `_` for one character.

use std::sync::Arc;

use laguna_base::{Error, Result};

use super::regex::{MATCH_ON, Matches, Wanted, match_on};
use crate::arguments::Arguments;
use crate::kind::{Argument, COLUMN, CheckKind, Form, VALUES, optional, required};
use crate::pattern::Pattern;
use crate::plan::{Binding, Plan, RowPlan};

const PATTERN: Argument = required(
    "like_pattern",
    Form::Text,
    "the pattern for the whole value: % stands for any text, _ for one character, and ASCII letters are the same in both cases",
)
.or(&["pattern"]);
const PATTERNS: Argument =
    required("like_pattern_list", Form::Texts, "the patterns, each for the whole value").or(&["patterns"]);
const ESCAPE: Argument = optional("escape", Form::Text, "a character that makes the % or _ after it plain");

pub(super) const LIKE: CheckKind = CheckKind {
    name: "expect_column_values_to_match_like_pattern",
    short: "like",
    aliases: &["match_like_pattern"],
    main: Some("like_pattern"),
    arguments: &[COLUMN, PATTERN, ESCAPE],
    doc: "The text of each value is like an SQL pattern.",
    example: r#"{"like": {"column": "sku", "like_pattern": "A-%"}}"#,
    validate: |arguments| patterns(arguments).map(drop),
    plan: |arguments, binding| plan(arguments, binding, Wanted::Any),
    ..VALUES
};

pub(super) const NOT_LIKE: CheckKind = CheckKind {
    name: "expect_column_values_to_not_match_like_pattern",
    short: "not_like",
    aliases: &["not_match_like_pattern"],
    main: Some("like_pattern"),
    arguments: &[COLUMN, PATTERN, ESCAPE],
    doc: "The text of no value is like an SQL pattern.",
    example: r#"{"not_like": {"column": "email", "like_pattern": "%@example.com"}}"#,
    validate: |arguments| patterns(arguments).map(drop),
    plan: |arguments, binding| plan(arguments, binding, Wanted::None),
    ..VALUES
};

pub(super) const LIKE_LIST: CheckKind = CheckKind {
    name: "expect_column_values_to_match_like_pattern_list",
    short: "like_list",
    aliases: &["match_like_pattern_list"],
    main: Some("like_pattern_list"),
    arguments: &[COLUMN, PATTERNS, MATCH_ON, ESCAPE],
    doc: "The text of each value is like one of several SQL patterns, or like all.",
    example: r#"{"like_list": {"column": "sku", "like_pattern_list": ["A-%", "B-%"]}}"#,
    validate: |arguments| patterns(arguments).and(match_on(arguments)).map(drop),
    plan: |arguments, binding| plan(arguments, binding, match_on(arguments)?),
    ..VALUES
};

pub(super) const NOT_LIKE_LIST: CheckKind = CheckKind {
    name: "expect_column_values_to_not_match_like_pattern_list",
    short: "not_like_list",
    aliases: &["not_match_like_pattern_list"],
    main: Some("like_pattern_list"),
    arguments: &[COLUMN, PATTERNS, ESCAPE],
    doc: "The text of no value is like any of several SQL patterns.",
    example: r#"{"not_like_list": {"column": "email", "like_pattern_list": ["%@example.com", "test%"]}}"#,
    validate: |arguments| patterns(arguments).map(drop),
    plan: |arguments, binding| plan(arguments, binding, Wanted::None),
    ..VALUES
};

fn patterns(arguments: &Arguments) -> Result<Vec<Arc<Pattern>>> {
    let mut escape = None;
    if let Some(text) = arguments.text("escape") {
        let mut characters = text.chars();
        escape = characters.next();
        if escape.is_none() || characters.next().is_some() {
            return Err(Error::project(format!("`escape` must be one character, not `{text}`")));
        }
    }
    let mut texts = arguments.texts("like_pattern_list");
    texts.extend(arguments.text("like_pattern").map(str::to_string));
    if texts.is_empty() {
        return Err(Error::project("`like_pattern_list` is empty").hint("give at least one pattern"));
    }
    texts
        .iter()
        .map(|text| expression(text, escape).and_then(|found| Pattern::compile(&found)).map(Arc::new))
        .collect()
}

/// The pattern as a regular expression for the whole value. Letters of ASCII match in both cases, as in SQLite, from
/// which Great Expectations' verdicts are taken.
fn expression(like: &str, escape: Option<char>) -> Result<String> {
    let mut found = String::from(r"(?s)\A");
    let mut characters = like.chars();
    while let Some(mut character) = characters.next() {
        if Some(character) == escape {
            let Some(next) = characters.next() else {
                return Err(Error::project(format!("`{like}` ends with its escape character")));
            };
            character = next;
        } else if character == '%' {
            found.push_str(".*");
            continue;
        } else if character == '_' {
            found.push('.');
            continue;
        }
        if character.is_ascii_alphabetic() {
            let (low, high) = (character.to_ascii_lowercase(), character.to_ascii_uppercase());
            found.extend(['[', low, high, ']']);
        } else if character.is_ascii_punctuation() {
            found.extend(['\\', character]);
        } else {
            found.push(character);
        }
    }
    found.push_str(r"\Z");
    Ok(found)
}

fn plan(arguments: &Arguments, binding: &Binding<'_>, wanted: Wanted) -> Result<Plan> {
    let column = binding.column(arguments.required("column")?)?.with_text()?;
    let mut shown = arguments.texts("like_pattern_list");
    shown.extend(arguments.text("like_pattern").map(str::to_string));
    let says = match wanted {
        Wanted::None => format!("are like {}", shown.join(" or ")),
        Wanted::Any => format!("are not like {}", shown.join(" or ")),
        Wanted::All => format!("are not like {}", shown.join(" and ")),
    };
    Ok(RowPlan::of_values(column, Matches { column, patterns: patterns(arguments)?, wanted }, says))
}
