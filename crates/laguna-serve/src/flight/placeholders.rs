//! `?` as JDBC and ODBC write parameters becomes `$1`, `$2`, … as the engine knows them.

use std::borrow::Cow;
use std::collections::HashSet;

use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};

/// The statement with numbered parameters. Strings, names and comments stay as they are, and so does a statement that
/// numbers its parameters already.
pub(super) fn numbered(sql: &str) -> Cow<'_, str> {
    if !sql.contains('?') {
        return Cow::Borrowed(sql);
    }
    // What cannot be cut into tokens is left to the parser, whose message says where it breaks.
    let Ok(tokens) = Tokenizer::new(&PostgreSqlDialect {}, sql).tokenize_with_location() else {
        return Cow::Borrowed(sql);
    };
    if tokens.iter().any(|token| matches!(&token.token, Token::Placeholder(name) if name != "?")) {
        return Cow::Borrowed(sql);
    }
    // Operators such as `?-` begin with a parameter too: no operator of this engine does.
    let begins = |token: &Token| {
        !matches!(token, Token::Whitespace(_) | Token::Word(_)) && token.to_string().starts_with('?')
    };
    let places: HashSet<(u64, u64)> = tokens
        .iter()
        .filter(|token| begins(&token.token))
        .map(|token| (token.span.start.line, token.span.start.column))
        .collect();
    let (mut line, mut column, mut count) = (1, 1, 0);
    let mut numbered = String::with_capacity(sql.len() + 2 * places.len());
    for character in sql.chars() {
        if character == '?' && places.contains(&(line, column)) {
            count += 1;
            numbered.push_str(&format!("${count}"));
        } else {
            numbered.push(character);
        }
        column += 1;
        if character == '\n' {
            (line, column) = (line + 1, 1);
        }
    }
    Cow::Owned(numbered)
}

#[cfg(test)]
mod tests {
    use super::numbered;

    #[test]
    fn question_marks_outside_of_texts_are_numbered() {
        let cases = [
            ("select 1", "select 1"),
            ("select * from t where a = ? and b=?", "select * from t where a = $1 and b=$2"),
            ("select 'é?', \"?\", ? -- ?\n, /* ? */ ?", "select 'é?', \"?\", $1 -- ?\n, /* ? */ $2"),
            ("select 'it''s ?', $$?$$,\n  ?", "select 'it''s ?', $$?$$,\n  $1"),
            ("select $1, '?'", "select $1, '?'"),
            ("select ?-1", "select $1-1"),
            ("select 'open ?", "select 'open ?"),
        ];
        for (sql, expected) in cases {
            assert_eq!(numbered(sql), expected);
        }
    }
}
