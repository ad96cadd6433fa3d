//! `table FOR TIMESTAMP AS OF '…'` and `FOR VERSION AS OF n`: one rewrite of tokens into pinned table names.
//!
//! The parser of this dialect knows neither phrase, and the planner drops a version that it does not know. So
//! `raw.flights FOR VERSION AS OF 3` becomes `raw."flights@v=3" AS flights` before anything is parsed, and
//! `FOR TIMESTAMP AS OF '2026-11-22'` becomes `"flights@t=<microseconds since 1970>"`. `FOR SYSTEM_TIME AS OF` is the
//! same as `FOR TIMESTAMP`; `FOR` may be left out. Comments, strings and all other text stay as they are, and
//! where it fits the phrase is replaced by blanks, so that errors still point at the right column.

use std::borrow::Cow;

use chrono_tz::Tz;
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::keywords::{Keyword, RESERVED_FOR_TABLE_ALIAS};
use datafusion::sql::sqlparser::tokenizer::{Location, Token, TokenWithSpan, Tokenizer, Word};
use laguna_base::{Error, Instant, Result};

use crate::Pin;
use crate::errors::LABEL;

/// Rewrites time travel; dates and times without an offset are UTC.
pub fn rewrite(sql: &str) -> Result<String> {
    rewrite_in(sql, Tz::UTC).map(Cow::into_owned)
}

/// Rewrites time travel; dates and times without an offset are read in `zone`.
pub fn rewrite_in(sql: &str, zone: Tz) -> Result<Cow<'_, str>> {
    if !mentions_time_travel(sql) {
        return Ok(Cow::Borrowed(sql));
    }
    // What cannot be cut into tokens is left to the parser, whose message says where it breaks.
    let Ok(tokens) = Tokenizer::new(&PostgreSqlDialect {}, sql).tokenize_with_location() else {
        return Ok(Cow::Borrowed(sql));
    };
    let tokens: Vec<_> =
        tokens.iter().filter(|token| !matches!(token.token, Token::Whitespace(_) | Token::EOF)).collect();
    let offsets = Offsets::new(sql);
    let mut edits: Vec<(usize, usize, String)> = Vec::new();
    let mut index = 0;
    while index < tokens.len() {
        let Some(phrase) = Phrase::at(&tokens, index, zone)? else {
            index += 1;
            continue;
        };
        let target = Target::before(&tokens, index)?;
        let name = &tokens[target.name];
        let Token::Word(word) = &name.token else { return Err(not_a_table(tokens[index])) };
        let base = normalized(word);
        let mut pinned = quoted(&pinned_name(&base, phrase.pin));
        if !target.has_alias && !alias_follows(&tokens, phrase.next) {
            pinned.push_str(" AS ");
            pinned.push_str(&quoted(&base));
        }
        let (name_start, name_end) = (offsets.byte(name.span.start), offsets.byte(name.span.end));
        let start = offsets.byte(tokens[index].span.start);
        let end = offsets.byte(tokens[phrase.next - 1].span.end);
        let grown = pinned.chars().count().saturating_sub(sql[name_start..name_end].chars().count());
        edits.push((name_start, name_end, pinned));
        edits.push((start, end, blank(&sql[start..end], grown)));
        index = phrase.next;
    }
    if edits.is_empty() {
        return Ok(Cow::Borrowed(sql));
    }
    let mut rewritten = String::with_capacity(sql.len() + 16 * edits.len());
    let mut done = 0;
    for (start, end, text) in edits {
        rewritten.push_str(&sql[done..start]);
        rewritten.push_str(&text);
        done = end;
    }
    rewritten.push_str(&sql[done..]);
    Ok(Cow::Owned(rewritten))
}

/// A table name without its pin: `flights` of `flights@v=3`.
pub fn base_name(table: &str) -> &str {
    split_pin(table).map_or(table, |(base, _)| base)
}

/// The table name that stands for `base` at `pin`.
pub fn pinned_name(base: &str, pin: Pin) -> String {
    match pin {
        Pin::Timestamp(at) => format!("{base}@t={}", at.as_micros()),
        Pin::Version(version) => format!("{base}@v={version}"),
    }
}

/// The inverse of [`pinned_name`]; `None` for a name without a pin.
pub fn split_pin(table: &str) -> Option<(&str, Pin)> {
    let (base, pin) = table.rsplit_once('@')?;
    let pin = match pin.split_once('=')? {
        ("t", micros) => Pin::Timestamp(Instant::from_micros(micros.parse().ok()?)),
        ("v", version) => Pin::Version(version.parse().ok()?),
        _ => return None,
    };
    Some((base, pin))
}

/// A cheap test that spares almost every statement the tokenizer.
fn mentions_time_travel(sql: &str) -> bool {
    let lower = sql.to_ascii_lowercase();
    ["version", "timestamp", "system_time"].iter().any(|word| lower.contains(word)) && lower.contains("of")
}

/// A phrase that was found: what it pins to, and the index of the token after it.
struct Phrase {
    pin: Pin,
    next: usize,
}

impl Phrase {
    fn at(tokens: &[&TokenWithSpan], index: usize, zone: Tz) -> Result<Option<Phrase>> {
        let with_for = is_word(tokens, index, "FOR");
        let kind = index + usize::from(with_for);
        let by_version = is_word(tokens, kind, "VERSION") || is_word(tokens, kind, "SYSTEM_VERSION");
        let by_time = is_word(tokens, kind, "TIMESTAMP") || is_word(tokens, kind, "SYSTEM_TIME");
        if !(by_version || by_time) || !is_word(tokens, kind + 1, "AS") || !is_word(tokens, kind + 2, "OF") {
            return Ok(None);
        }
        let mut value = kind + 3;
        if by_time && ["TIMESTAMP", "TIMESTAMPTZ", "DATE"].iter().any(|word| is_word(tokens, value, word)) {
            value += 1;
        }
        let found = match tokens.get(value).map(|token| &token.token) {
            Some(Token::SingleQuotedString(text)) if by_time => Some(Pin::Timestamp(
                Instant::parse(text, zone).map_err(|error| placed(error, tokens[value].span.start))?,
            )),
            Some(Token::Number(text, _) | Token::SingleQuotedString(text)) if by_version => {
                text.parse().ok().map(Pin::Version)
            }
            _ => None,
        };
        match found {
            Some(pin) => Ok(Some(Phrase { pin, next: value + 1 })),
            // Without FOR it may be a column that is called `version`.
            None if !with_for => Ok(None),
            None => {
                let (what, example) = if by_version {
                    ("a version number", "FOR VERSION AS OF 3")
                } else {
                    ("a time in quotes", "FOR TIMESTAMP AS OF '2026-11-22T06:00:00Z'")
                };
                let place = tokens.get(value).unwrap_or(&tokens[kind + 2]).span.start;
                let error = Error::project(format!("time travel needs {what} after AS OF"))
                    .hint(format!("write it as {example}"));
                Err(placed(error, place))
            }
        }
    }
}

/// The table before a phrase.
struct Target {
    /// Index of the last part of its name.
    name: usize,
    has_alias: bool,
}

impl Target {
    fn before(tokens: &[&TokenWithSpan], phrase: usize) -> Result<Target> {
        let refuse = || not_a_table(tokens[phrase]);
        let last = phrase.checked_sub(1).ok_or_else(refuse)?;
        if !is_name(tokens, last) {
            return Err(refuse());
        }
        if is_qualified(tokens, last) {
            return Ok(Target { name: last, has_alias: false });
        }
        let before = last.checked_sub(1).ok_or_else(refuse)?;
        let name =
            if is_word(tokens, before, "AS") { before.checked_sub(1).ok_or_else(refuse)? } else { before };
        if is_name(tokens, name) && is_qualified(tokens, name) {
            return Ok(Target { name, has_alias: true });
        }
        Err(refuse())
    }
}

fn not_a_table(token: &TokenWithSpan) -> Error {
    let error = Error::project("time travel needs a table with its schema before it")
        .hint("write it as `FROM sanitized.flights FOR VERSION AS OF 3`");
    placed(error, token.span.start)
}

fn placed(error: Error, at: Location) -> Error {
    error.at(LABEL, at.line as usize, at.column as usize)
}

fn is_word(tokens: &[&TokenWithSpan], index: usize, expected: &str) -> bool {
    matches!(tokens.get(index).map(|token| &token.token),
        Some(Token::Word(word)) if word.quote_style.is_none() && word.value.eq_ignore_ascii_case(expected))
}

/// Whether the token can be (part of) the name of a table or an alias.
fn is_name(tokens: &[&TokenWithSpan], index: usize) -> bool {
    matches!(tokens.get(index).map(|token| &token.token), Some(Token::Word(word)) if !is_reserved(word))
}

fn is_qualified(tokens: &[&TokenWithSpan], index: usize) -> bool {
    index >= 2
        && tokens[index - 1].token == Token::Period
        && matches!(tokens[index - 2].token, Token::Word(_))
}

fn is_reserved(word: &Word) -> bool {
    word.quote_style.is_none()
        && (RESERVED_FOR_TABLE_ALIAS.contains(&word.keyword)
            || matches!(
                word.keyword,
                Keyword::FROM
                    | Keyword::JOIN
                    | Keyword::INTO
                    | Keyword::ONLY
                    | Keyword::LATERAL
                    | Keyword::AS
            ))
}

fn alias_follows(tokens: &[&TokenWithSpan], index: usize) -> bool {
    is_word(tokens, index, "AS") || is_name(tokens, index) && !is_word(tokens, index, "TABLESAMPLE")
}

fn normalized(word: &Word) -> String {
    match word.quote_style {
        Some(_) => word.value.clone(),
        None => word.value.to_lowercase(),
    }
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// What stands where the phrase was: its line breaks, else as many blanks as keep the columns after it in place.
fn blank(phrase: &str, grown: usize) -> String {
    let breaks = phrase.matches('\n').count();
    if breaks > 0 {
        return "\n".repeat(breaks);
    }
    " ".repeat(phrase.chars().count().saturating_sub(grown).max(1))
}

/// Byte offsets of the tokenizer's lines and columns (both from 1, columns in characters).
struct Offsets<'a> {
    sql: &'a str,
    lines: Vec<usize>,
}

impl<'a> Offsets<'a> {
    fn new(sql: &'a str) -> Self {
        let breaks = sql.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1);
        Offsets { sql, lines: std::iter::once(0).chain(breaks).collect() }
    }

    fn byte(&self, at: Location) -> usize {
        let start = self.lines.get((at.line as usize).saturating_sub(1)).copied().unwrap_or(self.sql.len());
        self.sql[start..]
            .char_indices()
            .nth((at.column as usize).saturating_sub(1))
            .map_or(self.sql.len(), |(offset, _)| start + offset)
    }
}

#[cfg(test)]
mod tests;
