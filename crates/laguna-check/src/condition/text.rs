//! Conditions as text: pandas' `DataFrame.query`, and Great Expectations' `col("n") > 1`.
//!
//! Of pandas: comparisons (also chained), `and`, `or`, `not` and their signs, `in`, lists, parentheses, arithmetic,
//! backticks, `.isnull()` and `.notnull()`. What is not understood is an error, never left out.

use laguna_base::{Error, Result};
use serde_json::{Number, Value};

use super::{Condition, Operator, Term};

/// How deep parentheses may be nested.
const DEPTH: usize = 100;

pub(super) fn pandas(text: &str) -> Result<Condition> {
    let mut reader = Reader { tokens: tokens(text)?, at: 0, text, depth: 0 };
    let found = reader.any()?;
    reader.end()?;
    reader.condition(found)
}

pub(super) fn great_expectations(text: &str) -> Result<Condition> {
    let mut reader = Reader { tokens: tokens(text)?, at: 0, text, depth: 0 };
    reader.expect_name("col")?;
    reader.expect("(")?;
    let Some(Token::Text(name)) = reader.next() else { return Err(reader.wrong("a column in quotes")) };
    reader.expect(")")?;
    let term = Term::Column(name);
    let found = if reader.take(".") {
        let wanted = match reader.next() {
            Some(Token::Name(name)) if name.eq_ignore_ascii_case("notNull") => false,
            Some(Token::Name(name)) if name.eq_ignore_ascii_case("isNull") => true,
            _ => return Err(reader.wrong("notNull()")),
        };
        reader.expect("(")?;
        reader.expect(")")?;
        Condition::Missing { term, wanted }
    } else {
        let Some(operator) = reader.operator() else { return Err(reader.wrong("an operator such as ==")) };
        let literal = match reader.next() {
            Some(Token::Text(text)) => Value::String(text),
            Some(Token::Number(number)) => Value::Number(number),
            Some(Token::Sign("-")) => match reader.next() {
                Some(Token::Number(number)) => negative(&number),
                _ => return Err(reader.wrong("a number")),
            },
            Some(Token::Name(name)) if name == "date" => {
                reader.expect("(")?;
                let Some(Token::Text(date)) = reader.next() else {
                    return Err(reader.wrong("a date in quotes"));
                };
                reader.expect(")")?;
                Value::String(date)
            }
            _ => return Err(reader.wrong("a number or a text in quotes")),
        };
        Condition::Compare(term, operator, Term::Literal(literal))
    };
    // Great Expectations ignores what follows the first condition; a part that is left out is a wrong verdict.
    reader.end()?;
    Ok(found)
}

#[derive(Debug, Clone, PartialEq)]
enum Token {
    Name(String),
    /// A name in backticks.
    Quoted(String),
    Text(String),
    Number(Number),
    Sign(&'static str),
}

const SIGNS: [&str; 21] = [
    "==", "!=", "<=", ">=", "**", "//", "<", ">", "(", ")", "[", "]", ",", ".", "&", "|", "~", "+", "-", "*",
    "/",
];

fn tokens(text: &str) -> Result<Vec<Token>> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '\'' | '"' => {
                let (value, length) = quoted(rest, first, text)?;
                tokens.push(Token::Text(value));
                length
            }
            '`' => {
                let Some(end) = rest[1..].find('`') else { return Err(wrong(text, "a closing backtick")) };
                tokens.push(Token::Quoted(rest[1..=end].to_string()));
                end + 2
            }
            _ if first.is_alphabetic() || first == '_' => {
                let length = rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len());
                tokens.push(Token::Name(rest[..length].to_string()));
                length
            }
            _ if first.is_ascii_digit()
                || (first == '.' && rest[1..].starts_with(|c: char| c.is_ascii_digit())) =>
            {
                let (number, length) = number(rest, text)?;
                tokens.push(Token::Number(number));
                length
            }
            _ => match SIGNS.iter().find(|sign| rest.starts_with(**sign)) {
                Some(sign) => {
                    tokens.push(Token::Sign(sign));
                    sign.len()
                }
                None if first == '@' => {
                    return Err(Error::project(format!("`{text}` uses a Python variable (@)"))
                        .hint("write its value, or a parameter of the suite"));
                }
                None => return Err(wrong(text, &format!("something else than `{first}`"))),
            },
        };
        rest = rest[length..].trim_start();
    }
    Ok(tokens)
}

fn quoted(rest: &str, quote: char, text: &str) -> Result<(String, usize)> {
    let mut value = String::new();
    let mut characters = rest.char_indices().skip(1);
    while let Some((at, character)) = characters.next() {
        match character {
            _ if character == quote => return Ok((value, at + 1)),
            '\\' => match characters.next() {
                Some((_, 'n')) => value.push('\n'),
                Some((_, 't')) => value.push('\t'),
                Some((_, other @ ('\\' | '\'' | '"'))) => value.push(other),
                Some((_, other)) => value.extend(['\\', other]),
                None => break,
            },
            other => value.push(other),
        }
    }
    Err(wrong(text, "a closing quote"))
}

fn number(rest: &str, text: &str) -> Result<(Number, usize)> {
    let digits = |text: &str| text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let mut length = digits(rest);
    if rest[length..].starts_with('.') {
        length += 1 + digits(&rest[length + 1..]);
    }
    if let Some(exponent) = rest[length..].strip_prefix(['e', 'E']) {
        let signed = usize::from(exponent.starts_with(['+', '-']));
        let count = digits(&exponent[signed..]);
        length += if count > 0 { 1 + signed + count } else { 0 };
    }
    let written = &rest[..length];
    let whole = written.parse::<i64>().ok().map(Number::from);
    whole
        .or_else(|| written.parse().ok().and_then(Number::from_f64))
        .map(|number| (number, length))
        .ok_or_else(|| wrong(text, "a number"))
}

fn negative(number: &Number) -> Value {
    match number.as_i64() {
        Some(whole) => Value::from(-whole),
        None => Value::from(-number.as_f64().unwrap_or_default()),
    }
}

fn wrong(text: &str, expected: &str) -> Error {
    Error::project(format!("the row condition `{text}` is not understood: expected {expected}")).hint(
        "comparisons, and, or, not, in, parentheses, `.isnull()` and `.notnull()` are: amount > 0 and country in [\"PT\", \"ES\"]",
    )
}

/// What a part of the text is.
enum Part {
    Term(Term),
    List(Vec<Value>),
    Condition(Condition),
}

struct Reader<'a> {
    tokens: Vec<Token>,
    at: usize,
    text: &'a str,
    depth: usize,
}

impl Reader<'_> {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at)
    }

    fn next(&mut self) -> Option<Token> {
        let token = self.tokens.get(self.at).cloned();
        self.at += 1;
        token
    }

    fn take(&mut self, sign: &str) -> bool {
        let found = matches!(self.peek(), Some(Token::Sign(next)) if *next == sign);
        self.at += usize::from(found);
        found
    }

    fn take_name(&mut self, name: &str) -> bool {
        let found = matches!(self.peek(), Some(Token::Name(next)) if next == name);
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, sign: &str) -> Result<()> {
        if self.take(sign) { Ok(()) } else { Err(self.wrong(&format!("`{sign}`"))) }
    }

    fn expect_name(&mut self, name: &str) -> Result<()> {
        if self.take_name(name) { Ok(()) } else { Err(self.wrong(&format!("`{name}`"))) }
    }

    fn end(&self) -> Result<()> {
        if self.at >= self.tokens.len() { Ok(()) } else { Err(self.wrong("its end")) }
    }

    fn wrong(&self, expected: &str) -> Error {
        wrong(self.text, expected)
    }

    fn condition(&self, part: Part) -> Result<Condition> {
        match part {
            Part::Condition(condition) => Ok(condition),
            Part::Term(term @ Term::Column(_)) => Ok(Condition::Truth(term)),
            Part::Term(Term::Literal(Value::Bool(true))) => Ok(Condition::All(Vec::new())),
            Part::Term(Term::Literal(Value::Bool(false))) => Ok(Condition::Any(Vec::new())),
            Part::Term(_) | Part::List(_) => Err(self.wrong("a comparison")),
        }
    }

    fn any(&mut self) -> Result<Part> {
        self.depth += 1;
        if self.depth > DEPTH {
            return Err(self.wrong("fewer parentheses"));
        }
        let first = self.all()?;
        let mut parts = Vec::new();
        while self.take("|") || self.take_name("or") {
            let next = self.all()?;
            parts.push(self.condition(next)?);
        }
        self.depth -= 1;
        if parts.is_empty() {
            return Ok(first);
        }
        parts.insert(0, self.condition(first)?);
        Ok(Part::Condition(Condition::Any(parts)))
    }

    fn all(&mut self) -> Result<Part> {
        let first = self.not()?;
        let mut parts = Vec::new();
        while self.take("&") || self.take_name("and") {
            let next = self.not()?;
            parts.push(self.condition(next)?);
        }
        if parts.is_empty() {
            return Ok(first);
        }
        parts.insert(0, self.condition(first)?);
        Ok(Part::Condition(Condition::All(parts)))
    }

    fn not(&mut self) -> Result<Part> {
        let mut turned = false;
        let mut any = false;
        while self.take_name("not") {
            (turned, any) = (!turned, true);
        }
        let found = self.comparison()?;
        if !any {
            return Ok(found);
        }
        let inner = self.condition(found)?;
        Ok(Part::Condition(if turned { Condition::Not(Box::new(inner)) } else { inner }))
    }

    fn operator(&mut self) -> Option<Operator> {
        let operator = match self.peek() {
            Some(Token::Sign(sign)) => Operator::parse(sign),
            _ => None,
        };
        self.at += usize::from(operator.is_some());
        operator
    }

    /// `a < b`, `a < b <= c`, `a in [1, 2]`, `a == [1, 2]`.
    fn comparison(&mut self) -> Result<Part> {
        let mut left = self.sum()?;
        let mut parts = Vec::new();
        loop {
            let (found, right) = if let Some(operator) = self.operator() {
                let right = self.sum()?;
                (self.compared(&left, operator, &right)?, right)
            } else if self.take_name("in") {
                let right = self.sum()?;
                (self.is_in(&left, &right, true)?, right)
            } else if self.take_name("not") {
                self.expect_name("in")?;
                let right = self.sum()?;
                (self.is_in(&left, &right, false)?, right)
            } else {
                break;
            };
            parts.push(found);
            left = right;
        }
        Ok(match parts.len() {
            0 => left,
            1 => Part::Condition(parts.remove(0)),
            _ => Part::Condition(Condition::All(parts)),
        })
    }

    fn compared(&self, left: &Part, operator: Operator, right: &Part) -> Result<Condition> {
        match (left, right) {
            (Part::Term(left), Part::Term(right)) => {
                Ok(Condition::Compare(left.clone(), operator, right.clone()))
            }
            (Part::Term(_), Part::List(_)) => match operator {
                Operator::Equal => self.is_in(left, right, true),
                Operator::Unequal => self.is_in(left, right, false),
                _ => Err(self.wrong("one value, not a list")),
            },
            // `(flag) == True`
            (Part::Condition(inner), Part::Term(Term::Literal(Value::Bool(wanted)))) => match operator {
                Operator::Equal | Operator::Unequal => {
                    let same = *wanted == (operator == Operator::Equal);
                    let inner = inner.clone();
                    Ok(if same { inner } else { Condition::Not(Box::new(inner)) })
                }
                _ => Err(self.wrong("a value to compare")),
            },
            _ => Err(self.wrong("two values to compare")),
        }
    }

    fn is_in(&self, left: &Part, right: &Part, wanted: bool) -> Result<Condition> {
        match (left, right) {
            (Part::Term(term), Part::List(list)) => {
                Ok(Condition::In { term: term.clone(), list: list.clone(), wanted })
            }
            _ => Err(self.wrong("a list after `in`")),
        }
    }

    fn sum(&mut self) -> Result<Part> {
        let mut left = self.product()?;
        loop {
            let sign = if self.take("+") {
                '+'
            } else if self.take("-") {
                '-'
            } else {
                return Ok(left);
            };
            let right = self.product()?;
            left = self.arithmetic(left, sign, right)?;
        }
    }

    fn product(&mut self) -> Result<Part> {
        let mut left = self.unary()?;
        loop {
            let sign = if self.take("*") {
                '*'
            } else if self.take("/") {
                '/'
            } else {
                return Ok(left);
            };
            let right = self.unary()?;
            left = self.arithmetic(left, sign, right)?;
        }
    }

    fn arithmetic(&self, left: Part, sign: char, right: Part) -> Result<Part> {
        match (left, right) {
            (Part::Term(left), Part::Term(right)) => {
                Ok(Part::Term(Term::Arithmetic(Box::new(left), sign, Box::new(right))))
            }
            _ => Err(self.wrong("numbers to compute with")),
        }
    }

    fn unary(&mut self) -> Result<Part> {
        self.depth += 1;
        if self.depth > 4 * DEPTH {
            return Err(self.wrong("fewer signs"));
        }
        let found = if self.take("-") {
            match self.unary()? {
                Part::Term(Term::Literal(Value::Number(number))) => {
                    Part::Term(Term::Literal(negative(&number)))
                }
                Part::Term(term) => {
                    let zero = Term::Literal(Value::from(0));
                    Part::Term(Term::Arithmetic(Box::new(zero), '-', Box::new(term)))
                }
                _ => return Err(self.wrong("a number after `-`")),
            }
        } else if self.take("~") {
            let inner = self.unary()?;
            Part::Condition(Condition::Not(Box::new(self.condition(inner)?)))
        } else {
            self.atom()?
        };
        self.depth -= 1;
        Ok(found)
    }

    fn atom(&mut self) -> Result<Part> {
        let found = match self.next() {
            Some(Token::Sign("(")) => {
                let inner = self.any()?;
                if self.take(",") {
                    return self.rest_of_list(inner, ")");
                }
                self.expect(")")?;
                inner
            }
            Some(Token::Sign("[")) => {
                if self.take("]") {
                    return Ok(Part::List(Vec::new()));
                }
                let first = self.sum()?;
                if !self.take(",") {
                    self.expect("]")?;
                    return Ok(Part::List(vec![self.literal(first)?]));
                }
                return self.rest_of_list(first, "]");
            }
            Some(Token::Text(text)) => Part::Term(Term::Literal(Value::String(text))),
            Some(Token::Number(number)) => Part::Term(Term::Literal(Value::Number(number))),
            Some(Token::Quoted(name)) => Part::Term(Term::Column(name)),
            Some(Token::Name(name)) => match name.as_str() {
                "True" | "true" => Part::Term(Term::Literal(Value::Bool(true))),
                "False" | "false" => Part::Term(Term::Literal(Value::Bool(false))),
                "None" | "null" => Part::Term(Term::Literal(Value::Null)),
                "and" | "or" | "in" | "not" => return Err(self.wrong(&format!("a value before `{name}`"))),
                _ => Part::Term(Term::Column(name)),
            },
            _ => return Err(self.wrong("a value")),
        };
        self.method(found)
    }

    fn literal(&self, part: Part) -> Result<Value> {
        match part {
            Part::Term(Term::Literal(value)) => Ok(value),
            _ => Err(self.wrong("only values in a list")),
        }
    }

    fn rest_of_list(&mut self, first: Part, closing: &str) -> Result<Part> {
        let mut list = vec![self.literal(first)?];
        while !self.take(closing) {
            let next = self.sum()?;
            list.push(self.literal(next)?);
            if !self.take(",") {
                self.expect(closing)?;
                break;
            }
        }
        Ok(Part::List(list))
    }

    /// `.isnull()`, `.notna()` after a column.
    fn method(&mut self, on: Part) -> Result<Part> {
        if !self.take(".") {
            return Ok(on);
        }
        let wanted = match self.next() {
            Some(Token::Name(name)) if matches!(name.as_str(), "isnull" | "isna") => true,
            Some(Token::Name(name)) if matches!(name.as_str(), "notnull" | "notna") => false,
            _ => return Err(self.wrong("isnull() or notnull() after the point")),
        };
        self.expect("(")?;
        self.expect(")")?;
        match on {
            Part::Term(term) => Ok(Part::Condition(Condition::Missing { term, wanted })),
            _ => Err(self.wrong("a column before the point")),
        }
    }
}
