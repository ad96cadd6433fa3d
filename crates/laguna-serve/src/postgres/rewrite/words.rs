//! Words that the parser takes for others, and names of the catalog that stand for something else here.

use datafusion::sql::sqlparser::ast::*;
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer, Whitespace};

use super::constant;

/// Words behind which a value begins.
const CLAUSES: [Keyword; 18] = [
    Keyword::SELECT,
    Keyword::DISTINCT,
    Keyword::WHERE,
    Keyword::AND,
    Keyword::OR,
    Keyword::NOT,
    Keyword::ON,
    Keyword::WHEN,
    Keyword::THEN,
    Keyword::ELSE,
    Keyword::CASE,
    Keyword::AS,
    Keyword::BY,
    Keyword::HAVING,
    Keyword::IN,
    Keyword::LIKE,
    Keyword::BETWEEN,
    Keyword::FROM,
];

/// A statement with `ISNULL` and `NOTNULL` behind a value, which the parser takes for its name, as `IS NULL` and `IS NOT NULL`;
/// `None` where there is none.
pub(in crate::postgres) fn respelled(sql: &str) -> Option<Vec<Token>> {
    let lower = sql.to_ascii_lowercase();
    if !lower.contains("isnull") && !lower.contains("notnull") {
        return None;
    }
    let tokens = Tokenizer::new(&PostgreSqlDialect {}, sql).tokenize().ok()?;
    let is_space = |token: &&Token| matches!(token, Token::Whitespace(_));
    let mut all = Vec::with_capacity(tokens.len());
    let mut changed = false;
    for (index, token) in tokens.iter().enumerate() {
        let before = tokens[..index].iter().rev().find(|token| !is_space(token));
        let behind = tokens[index + 1..].iter().find(|token| !is_space(token));
        let of_value = match before {
            Some(Token::Word(word)) => word.quote_style.is_some() || !CLAUSES.contains(&word.keyword),
            Some(token) => matches!(token, Token::RParen | Token::SingleQuotedString(_) | Token::Number(..)),
            None => false,
        };
        let word = match token {
            Token::Word(word) if word.quote_style.is_none() => word.value.to_ascii_lowercase(),
            _ => String::new(),
        };
        if !of_value
            || matches!(behind, Some(Token::LParen))
            || !matches!(word.as_str(), "isnull" | "notnull")
        {
            all.push(token.clone());
            continue;
        }
        changed = true;
        let words: &[&str] = if word == "isnull" { &["IS", "NULL"] } else { &["IS", "NOT", "NULL"] };
        for word in words {
            all.extend([Token::make_keyword(word), Token::Whitespace(Whitespace::Space)]);
        }
    }
    changed.then_some(all)
}

pub(super) fn names_oid(expr: &Expr) -> bool {
    match expr {
        Expr::CompoundIdentifier(parts) => parts.last(),
        Expr::Identifier(ident) => Some(ident),
        _ => None,
    }
    .is_some_and(|part| part.value.eq_ignore_ascii_case("oid"))
}

/// Whether a condition asks for kinds of types that the catalog has none of: composites, domains, enums, ranges.
pub(super) fn is_of_no_type(condition: &Expr) -> bool {
    let Expr::BinaryOp { left, op: BinaryOperator::Eq, right } = condition else { return false };
    let column = match left.as_ref() {
        Expr::Identifier(ident) => ident,
        Expr::CompoundIdentifier(parts) => match parts.last() {
            Some(ident) => ident,
            None => return false,
        },
        _ => return false,
    };
    column.value.eq_ignore_ascii_case("typtype")
        && constant(right).is_some_and(|kind| ["c", "d", "e", "m", "r"].contains(&kind.as_str()))
}

/// Columns that name a function of the catalog; 0 is none.
pub(super) fn is_procedure(expr: &Expr) -> bool {
    let name = expr.to_string().to_lowercase();
    let name = name.rsplit('.').next().unwrap_or_default();
    let columns = [
        "typinput",
        "typoutput",
        "typreceive",
        "typsend",
        "typmodin",
        "typmodout",
        "typanalyze",
        "amhandler",
    ];
    columns.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::super::parse;

    #[test]
    fn nulls_are_asked_for_in_one_word() {
        let spelled = |sql: &str| parse(sql).unwrap().to_string();
        assert_eq!(
            spelled("select id isnull, (a) notnull from t"),
            "SELECT id IS NULL, (a) IS NOT NULL FROM t"
        );
        assert_eq!(spelled("select isnull from t"), "SELECT isnull FROM t");
        assert_eq!(spelled("select a as isnull from t"), "SELECT a AS isnull FROM t");
    }
}
