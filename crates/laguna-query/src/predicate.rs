//! A condition over the columns of one table, as someone typed it: `email = 'a@b.c'`.

use std::collections::BTreeSet;

use arrow::datatypes::SchemaRef;
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};
use laguna_base::{Error, Result};

/// A condition, cut into tokens. Whether its columns exist is only known when it is planned.
#[derive(Debug, Clone)]
pub struct Predicate {
    text: String,
    masked: String,
    values: Vec<String>,
    words: BTreeSet<String>,
}

impl Predicate {
    /// Takes a condition apart. Refuses what is empty, holds several statements, or closes more than it opens.
    pub fn parse(text: &str) -> Result<Predicate> {
        let wrong = |message: String| Error::project(message).hint("write a condition such as \"id = 7\"");
        let tokens = Tokenizer::new(&PostgreSqlDialect {}, text)
            .tokenize()
            .map_err(|error| wrong(format!("the condition cannot be read: {error}")))?;
        let mut masked = String::new();
        let (mut values, mut words, mut depth) = (Vec::new(), BTreeSet::new(), 0i32);
        for token in &tokens {
            match token {
                Token::Whitespace(_) => masked.push(' '),
                Token::Word(word) => {
                    words.insert(match word.quote_style {
                        Some(_) => word.value.clone(),
                        None => word.value.to_lowercase(),
                    });
                    masked.push_str(&token.to_string());
                }
                Token::SingleQuotedString(value)
                | Token::EscapedStringLiteral(value)
                | Token::NationalStringLiteral(value)
                | Token::UnicodeStringLiteral(value)
                | Token::HexStringLiteral(value)
                | Token::Number(value, _) => {
                    values.push(value.trim_matches('%').to_string());
                    masked.push('?');
                }
                Token::DollarQuotedString(quoted) => {
                    values.push(quoted.value.clone());
                    masked.push('?');
                }
                Token::SemiColon => return Err(wrong("one condition, without `;`".to_string())),
                other => {
                    depth += i32::from(*other == Token::LParen) - i32::from(*other == Token::RParen);
                    masked.push_str(&other.to_string());
                }
            }
            if depth < 0 {
                break;
            }
        }
        if depth != 0 {
            return Err(wrong("the parentheses of the condition do not match".to_string()));
        }
        let masked = masked.split_whitespace().collect::<Vec<_>>().join(" ");
        if masked.is_empty() {
            return Err(wrong("the condition is empty".to_string()));
        }
        Ok(Predicate { text: text.to_string(), masked, values, words })
    }

    /// A query for what `columns` says of the rows of `this` that meet the condition. The condition stands on lines of
    /// its own, see [`Predicate::place`].
    pub fn select(&self, columns: &str) -> String {
        format!("SELECT {columns} FROM this WHERE (\n{}\n) IS TRUE", self.text)
    }

    /// The condition as an expression that is true or false.
    pub fn expression(&self) -> String {
        format!("((\n{}\n) IS TRUE)", self.text)
    }

    /// The place in the condition of a place in [`Predicate::select`].
    pub fn place(line: usize, column: usize) -> (usize, usize) {
        (line.saturating_sub(1), column)
    }

    /// The condition with `?` for each value: it names nobody.
    pub fn masked(&self) -> &str {
        &self.masked
    }

    /// The values in it, as text.
    pub fn values(&self) -> &[String] {
        &self.values
    }

    /// The columns of `schema` that it names.
    pub fn columns(&self, schema: &SchemaRef) -> Vec<String> {
        let names = schema.fields().iter().map(|field| field.name());
        names.filter(|name| self.words.contains(*name)).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_found_and_masked() {
        let predicate =
            Predicate::parse("email = 'a@b.c' -- him\n AND id IN (7, 8.5) OR \"Name\" LIKE '%Ann%'").unwrap();
        assert_eq!(predicate.masked(), "email = ? AND id IN (?, ?) OR \"Name\" LIKE ?");
        assert_eq!(predicate.values(), ["a@b.c", "7", "8.5", "Ann"]);
        for wrong in ["", "  ", "a = 1; b", "true) OR (true", "(a = 1", "a = 'x"] {
            assert!(Predicate::parse(wrong).is_err(), "{wrong}");
        }
    }
}
