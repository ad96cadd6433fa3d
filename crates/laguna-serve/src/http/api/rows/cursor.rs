//! Where a page ended, so that the next begins there: the state of the lake, the last row's place in the order, and how many
//! rows had that place. Clients see a text that means nothing to them.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use laguna_base::{Error, Instant, Result};
use laguna_query::Moment;
use serde::{Deserialize, Serialize};

/// The state of a table that all pages show.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum State {
    /// As it is when the page is asked for: tables that are made when they are read.
    Now,
    /// A release.
    Release(u64),
    /// The microsecond since 1970.
    AsOf(i64),
    /// A Delta version.
    Version(u64),
}

impl State {
    /// The moment of the session that shows it.
    pub(super) fn moment(&self) -> Moment {
        match self {
            State::Release(number) => Moment::Release(*number),
            State::AsOf(micros) => Moment::AsOf(Instant::from_micros(*micros)),
            State::Now | State::Version(_) => Moment::Now,
        }
    }
}

/// Where a page ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Cursor {
    /// What all pages show.
    #[serde(rename = "s")]
    pub(super) state: State,
    /// The last row's values of the columns that order, as text; `None` is null.
    #[serde(rename = "k")]
    pub(super) keys: Vec<Option<String>>,
    /// Rows with these values that have been shown.
    #[serde(rename = "n")]
    pub(super) shown: u64,
    /// What was asked: the cursor is for the same question only.
    #[serde(rename = "q")]
    pub(super) question: String,
}

impl Cursor {
    /// As clients see it.
    pub(super) fn to_text(&self) -> Result<String> {
        let json = serde_json::to_vec(self)
            .map_err(|error| Error::internal("a cursor cannot be written").caused_by(error))?;
        Ok(URL_SAFE_NO_PAD.encode(json))
    }

    /// The cursor that a client has kept, for the same question.
    pub(super) fn from_text(text: &str, question: &str) -> Result<Cursor> {
        let json = URL_SAFE_NO_PAD.decode(text).ok();
        let cursor: Option<Cursor> = json.and_then(|json| serde_json::from_slice(&json).ok());
        cursor.filter(|cursor| cursor.question == question).ok_or_else(stranger)
    }

    /// The cursor, where it speaks of as many columns as the question is ordered by.
    pub(super) fn of_keys(self, keys: usize) -> Result<Cursor> {
        if self.keys.len() == keys { Ok(self) } else { Err(stranger()) }
    }
}

fn stranger() -> Error {
    Error::project("`after` does not belong to this question")
        .hint("take `next` of the page before, and leave all other parameters but `limit` as they were")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_good_for_its_own_question_only() {
        let cursor = Cursor {
            state: State::Release(3),
            keys: vec![Some("é".to_string()), None],
            shown: 2,
            question: "abc".to_string(),
        };
        let text = cursor.to_text().unwrap();
        assert_eq!(Cursor::from_text(&text, "abc").unwrap(), cursor);
        assert!(Cursor::from_text(&text, "abd").is_err());
        assert!(cursor.of_keys(3).is_err());
        assert!(Cursor::from_text("x", "abc").is_err());
        assert!(Cursor::from_text("", "abc").is_err());
    }
}
