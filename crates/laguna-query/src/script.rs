//! Scripts: several statements in one text, cut at their semicolons.

use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};
use laguna_base::{Error, Result};

use crate::errors::LABEL;

/// One statement of a script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// The text without its semicolon.
    pub sql: String,
    /// Line of the script that its first word stands on, from 1.
    pub line: usize,
    /// Column of its first word, from 1.
    pub column: usize,
}

impl Statement {
    /// The place in the script of a place in the statement; zeros stay zeros.
    pub fn place(&self, line: usize, column: usize) -> (usize, usize) {
        match line {
            0 => (0, 0),
            1 => (self.line, if column == 0 { 0 } else { column + self.column - 1 }),
            _ => (line + self.line - 1, column),
        }
    }
}

/// The statements of `text`, without empty ones. Semicolons in strings, names and comments do not count.
pub fn split_statements(text: &str) -> Result<Vec<Statement>> {
    let tokens = Tokenizer::new(&PostgreSqlDialect {}, text).tokenize_with_location().map_err(|error| {
        Error::project(error.message).at(LABEL, error.location.line as usize, error.location.column as usize)
    })?;
    let mut statements = Vec::new();
    let mut current: Option<Statement> = None;
    let mut lines = text.split_inclusive('\n').collect::<Vec<_>>();
    lines.push("");
    let slice = |from: (u64, u64), to: (u64, u64)| -> String {
        let offset = |(line, column): (u64, u64)| -> usize {
            let before: usize = lines.iter().take(line as usize - 1).map(|line| line.len()).sum();
            let line = lines.get(line as usize - 1).copied().unwrap_or_default();
            before + line.char_indices().nth(column as usize - 1).map_or(line.len(), |(at, _)| at)
        };
        text[offset(from)..offset(to)].trim_end().to_string()
    };
    let mut start = (1, 1);
    let mut end = (1, 1);
    for token in &tokens {
        match &token.token {
            Token::SemiColon => {
                if let Some(mut statement) = current.take() {
                    statement.sql = slice(start, (token.span.start.line, token.span.start.column));
                    statements.push(statement);
                }
            }
            Token::Whitespace(_) | Token::EOF => {}
            _ => {
                if current.is_none() {
                    start = (token.span.start.line, token.span.start.column);
                    current = Some(Statement {
                        sql: String::new(),
                        line: token.span.start.line as usize,
                        column: token.span.start.column as usize,
                    });
                }
                end = (token.span.end.line, token.span.end.column);
            }
        }
    }
    if let Some(mut statement) = current {
        statement.sql = slice(start, end);
        statements.push(statement);
    }
    Ok(statements)
}

/// Line and column (from 1) of the first mention of a name outside strings and comments.
pub(crate) fn find_word(sql: &str, name: &str) -> Option<(usize, usize)> {
    let tokens = Tokenizer::new(&PostgreSqlDialect {}, sql).tokenize_with_location().ok()?;
    tokens.iter().find_map(|token| match &token.token {
        Token::Word(word) if word.value.eq_ignore_ascii_case(name) => {
            Some((token.span.start.line as usize, token.span.start.column as usize))
        }
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_are_cut_at_their_semicolons_only() {
        let statements =
            split_statements("-- one\nSELECT ';' ;;\n\n SELECT 2 /* ; */ + é\n;SELECT \"a;b\" -- end")
                .unwrap();
        let found: Vec<_> = statements.iter().map(|s| (s.line, s.sql.as_str())).collect();
        assert_eq!(found, [(2, "SELECT ';'"), (4, "SELECT 2 /* ; */ + é"), (5, "SELECT \"a;b\"")]);
        assert!(split_statements(" -- nothing\n;").unwrap().is_empty());
        assert_eq!(split_statements("SELECT 'x").unwrap_err().location().unwrap().line, 1);
    }
}
