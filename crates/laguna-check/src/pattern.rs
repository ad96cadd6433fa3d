//! Regular expressions with the meaning of Python's `re`, bounded in time and memory.
//!
//! A pattern is rewritten for Rust's engines. The linear one takes it whenever it can; look-around and back-references
//! go to a backtracking one, which gives up on a value after a number of steps, and on a check after a time.

use std::cell::Cell;
use std::time::{Duration, Instant};

use laguna_base::{Error, Result};

mod python;

/// Bytes that a compiled pattern may take.
const SIZE: usize = 10 << 20;

/// Steps back on one value before the backtracking engine gives up.
const STEPS: usize = 1_000_000;

/// How long the backtracking engine may work on one batch of one check.
const PATIENCE: Duration = Duration::from_secs(20);

/// A compiled pattern.
#[derive(Debug)]
pub(crate) struct Pattern {
    text: String,
    engine: Engine,
}

#[derive(Debug)]
enum Engine {
    Linear(regex::Regex),
    Backtracking(Box<fancy_regex::Regex>),
}

/// Searches many values of one batch; see [`PATIENCE`].
pub(crate) struct Search<'a> {
    pattern: &'a Pattern,
    since: Instant,
    count: Cell<u32>,
}

impl Pattern {
    /// Compiles a pattern as it stands in Python.
    pub fn compile(text: &str) -> Result<Pattern> {
        let refuse = |reason: String| {
            Error::project(format!("`{}` is not a regular expression that can be used", shortened(text)))
                .hint(reason)
        };
        let rewritten = python::rewrite(text).map_err(&refuse)?;
        if let Some(linear) = &rewritten.linear {
            match regex::RegexBuilder::new(linear).size_limit(SIZE).dfa_size_limit(SIZE).build() {
                Ok(regex) => return Ok(Pattern { text: text.to_string(), engine: Engine::Linear(regex) }),
                Err(regex::Error::CompiledTooBig(_)) => {
                    return Err(refuse("it is too large: make its repetitions smaller".to_string()));
                }
                // What the linear engine cannot do the other one may; it also has the last word on mistakes.
                Err(_) => {}
            }
        }
        let regex = fancy_regex::RegexBuilder::new(&rewritten.backtracking)
            .backtrack_limit(STEPS)
            .delegate_size_limit(SIZE)
            .delegate_dfa_size_limit(SIZE)
            .build()
            .map_err(|error| refuse(error.to_string().lines().last().unwrap_or_default().to_string()))?;
        Ok(Pattern { text: text.to_string(), engine: Engine::Backtracking(Box::new(regex)) })
    }

    /// The pattern as it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// A search over the values of one batch.
    pub fn search(&self) -> Search<'_> {
        Search { pattern: self, since: Instant::now(), count: Cell::new(0) }
    }
}

impl Search<'_> {
    /// Whether the pattern is found anywhere in `text`.
    pub fn finds(&self, text: &str) -> Result<bool> {
        let regex = match &self.pattern.engine {
            Engine::Linear(regex) => return Ok(regex.is_match(text)),
            Engine::Backtracking(regex) => regex,
        };
        self.count.set(self.count.get().wrapping_add(1));
        if self.count.get().is_multiple_of(64) && self.since.elapsed() > PATIENCE {
            return Err(Error::failed(format!(
                "the regular expression `{}` takes too long on these values",
                shortened(self.pattern.text())
            ))
            .hint("make its repetitions exclude each other, so that there is one way only to match"));
        }
        regex.is_match(text).map_err(|_| {
            Error::failed(format!(
                "the regular expression `{}` needs more than {STEPS} steps on the value `{}`",
                shortened(self.pattern.text()),
                shortened(text)
            ))
            .hint("make its repetitions exclude each other, so that there is one way only to match")
        })
    }
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(60) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_string(),
    }
}

#[cfg(test)]
mod tests;
