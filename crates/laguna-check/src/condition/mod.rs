//! Which rows a check looks at: conditions in each of Great Expectations' forms, with the nulls of pandas, as SQL.
//!
//! The SQL serves twice: compiled, it filters each batch of the pass once for all checks that share it; as text, it
//! stands in the set query.

use std::fmt::Write;

use arrow::datatypes::{DataType, SchemaRef};
use laguna_base::{Error, Result, suggest};
use serde_json::{Number, Value};

use crate::value::{self, instant};

mod object;
mod text;

/// Arguments that every check with conditions takes.
pub(crate) const ARGUMENTS: [&str; 2] = ["row_condition", "condition_parser"];

/// What `condition_parser` may be.
pub(crate) const PARSERS: [&str; 4] =
    ["great_expectations", "great_expectations__experimental__", "pandas", "spark"];

/// A condition on one row, before it meets a schema.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Condition {
    Compare(Term, Operator, Term),
    In {
        term: Term,
        list: Vec<Value>,
        wanted: bool,
    },
    Missing {
        term: Term,
        wanted: bool,
    },
    /// A column of true and false.
    Truth(Term),
    All(Vec<Condition>),
    Any(Vec<Condition>),
    Not(Box<Condition>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operator {
    Equal,
    Unequal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// A value in a condition.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Term {
    Column(String),
    Literal(Value),
    Arithmetic(Box<Term>, char, Box<Term>),
}

/// Reads `row_condition` and `condition_parser`.
pub(crate) fn parse(condition: Option<&Value>, parser: Option<&Value>) -> Result<Option<Condition>> {
    let parser = match parser {
        None | Some(Value::Null) => None,
        Some(Value::String(name)) if PARSERS.contains(&name.as_str()) => Some(name.as_str()),
        Some(other) => {
            let shown = other.as_str().map_or_else(|| other.to_string(), str::to_string);
            return Err(Error::project(format!("`{shown}` is not valid for `condition_parser`"))
                .hint(suggest::hint(&shown, PARSERS.iter())));
        }
    };
    match condition {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(written)) => match parser {
            Some("spark") => Err(Error::project("conditions in Spark's SQL are not supported")
                .hint("write it as an object, or for the pandas parser: amount > 0 and country == \"PT\"")),
            Some("great_expectations" | "great_expectations__experimental__") => {
                text::great_expectations(written).map(Some)
            }
            _ => text::pandas(written).map(Some),
        },
        Some(given @ Value::Object(_)) => object::read(given).map(Some),
        Some(_) => Err(Error::project("`row_condition` must be a text or an object")),
    }
}

impl Operator {
    pub fn parse(text: &str) -> Option<Operator> {
        Some(match text {
            "==" => Operator::Equal,
            "!=" => Operator::Unequal,
            "<" => Operator::Less,
            "<=" => Operator::LessOrEqual,
            ">" => Operator::Greater,
            ">=" => Operator::GreaterOrEqual,
            _ => return None,
        })
    }

    /// The same with its sides exchanged.
    fn turned(self) -> Operator {
        match self {
            Operator::Less => Operator::Greater,
            Operator::LessOrEqual => Operator::GreaterOrEqual,
            Operator::Greater => Operator::Less,
            Operator::GreaterOrEqual => Operator::LessOrEqual,
            same => same,
        }
    }

    fn sql(self) -> &'static str {
        match self {
            Operator::Equal => "=",
            Operator::Unequal => "<>",
            Operator::Less => "<",
            Operator::LessOrEqual => "<=",
            Operator::Greater => ">",
            Operator::GreaterOrEqual => ">=",
        }
    }

    /// What it says of two values that can never be equal; `None` when they cannot be ordered either.
    fn of_strangers(self) -> Option<bool> {
        match self {
            Operator::Equal => Some(false),
            Operator::Unequal => Some(true),
            _ => None,
        }
    }
}

/// What kinds of values can be compared with each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    Number,
    Text,
    Time,
    /// A column without a type, which holds nothing.
    Nothing,
    Other,
}

impl Class {
    fn of(data_type: &DataType) -> Class {
        match data_type {
            DataType::Dictionary(_, values) => Class::of(values),
            DataType::Null => Class::Nothing,
            DataType::Boolean => Class::Number,
            t if t.is_numeric() => Class::Number,
            t if t.is_string() => Class::Text,
            DataType::Date32 | DataType::Date64 | DataType::Timestamp(_, _) => Class::Time,
            _ => Class::Other,
        }
    }
}

/// SQL of a term, and what it can be compared with.
struct Written {
    sql: String,
    class: Class,
    /// The column's type, to which literals are fitted.
    data_type: Option<DataType>,
    /// Whether it is a column, of exactly that type.
    column: bool,
}

/// How the engine holds a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Decimal,
    Float,
    Other,
}

/// Precision and scale of a decimal.
fn decimal(data_type: &DataType) -> Option<(u8, i8)> {
    match data_type {
        DataType::Decimal32(precision, scale)
        | DataType::Decimal64(precision, scale)
        | DataType::Decimal128(precision, scale)
            if *scale >= 0 =>
        {
            Some((*precision, *scale))
        }
        DataType::UInt64 => Some((20, 0)),
        _ => None,
    }
}

/// A number in units of a decimal type as SQL; `None` when the type has no such value.
fn decimal_sql(whole: i128, (precision, scale): (u8, i8)) -> Option<String> {
    let digits = format!("{:0>width$}", whole.unsigned_abs(), width = scale as usize + 1);
    if digits.trim_start_matches('0').len() > usize::from(precision) {
        return None;
    }
    let (units, fraction) = digits.split_at(digits.len() - scale as usize);
    let point = if fraction.is_empty() { "" } else { "." };
    let sign = if whole < 0 { "-" } else { "" };
    Some(format!("CAST('{sign}{units}{point}{fraction}' AS DECIMAL({precision}, {scale}))"))
}

impl Written {
    fn form(&self) -> Form {
        match &self.data_type {
            Some(data_type) if decimal(data_type).is_some() => Form::Decimal,
            Some(data_type) if data_type.is_floating() => Form::Float,
            _ => Form::Other,
        }
    }

    fn double(&self) -> String {
        format!("CAST({} AS DOUBLE)", self.sql)
    }

    /// The comparison of a column of decimals with a number, exactly; `None` when it is no such column.
    fn against_number(&self, operator: Operator, number: &Number) -> Option<String> {
        let data_type = self.data_type.as_ref().filter(|_| self.column)?;
        let typed = decimal(data_type)?;
        let (floor, exact) = value::decimal(&number.to_string(), i32::from(typed.1))?;
        let missing = format!("({} IS NOT NULL)", self.sql);
        let Some(literal) = decimal_sql(floor, typed) else {
            // It lies beyond all values of the type.
            let holds = match operator {
                Operator::Equal => return Some("false".to_string()),
                Operator::Unequal => return Some("true".to_string()),
                Operator::Less | Operator::LessOrEqual => floor > 0,
                Operator::Greater | Operator::GreaterOrEqual => floor < 0,
            };
            return Some(if holds { missing } else { "false".to_string() });
        };
        // Between two values of the type it is as good as the lower one, which lies below it.
        let operator = match operator {
            Operator::Equal if !exact => return Some("false".to_string()),
            Operator::Unequal if !exact => return Some("true".to_string()),
            Operator::Less if !exact => Operator::LessOrEqual,
            Operator::GreaterOrEqual if !exact => Operator::Greater,
            operator => operator,
        };
        let of_missing = if operator == Operator::Unequal { "IS NOT FALSE" } else { "IS TRUE" };
        Some(format!("(({} {} {literal}) {of_missing})", self.sql, operator.sql()))
    }
}

impl Condition {
    /// The condition as SQL over unqualified columns of `schema`; it is never null.
    pub fn sql(&self, schema: &SchemaRef) -> Result<String> {
        match self {
            Condition::All(parts) => joined(parts, " AND ", "true", schema),
            Condition::Any(parts) => joined(parts, " OR ", "false", schema),
            Condition::Not(inner) => Ok(format!("(NOT {})", inner.sql(schema)?)),
            Condition::Truth(term) => {
                let term = term.written(schema)?;
                match (term.class, &term.data_type) {
                    (Class::Nothing, _) => Ok("false".to_string()),
                    (_, Some(DataType::Boolean)) => Ok(format!("(({} = 1) IS TRUE)", term.sql)),
                    _ => Err(Error::project("a row condition must be true or false")
                        .hint("compare the column with a value, as in amount > 0")),
                }
            }
            Condition::Missing { term, wanted } => {
                let term = term.written(schema)?;
                Ok(format!("({} IS {}NULL)", term.sql, if *wanted { "" } else { "NOT " }))
            }
            Condition::Compare(left, operator, right) => compare(left, *operator, right, schema),
            Condition::In { term, list, wanted } => is_in(term, list, *wanted, schema),
        }
    }
}

fn joined(parts: &[Condition], by: &str, of_none: &str, schema: &SchemaRef) -> Result<String> {
    let mut parts = parts.iter().map(|part| part.sql(schema)).collect::<Result<Vec<_>>>()?;
    // In pairs: the engine's work grows with the square of a condition's depth.
    while parts.len() > 1 {
        parts = parts.chunks(2).map(|pair| format!("({})", pair.join(by))).collect();
    }
    Ok(parts.pop().unwrap_or_else(|| of_none.to_string()))
}

fn compare(left: &Term, operator: Operator, right: &Term, schema: &SchemaRef) -> Result<String> {
    let (a, b) = match (left, right) {
        (Term::Literal(literal), Term::Column(_)) => {
            let column = right.written(schema)?;
            (fitted(literal, &column)?, Some(column))
        }
        (_, Term::Literal(literal)) => {
            let column = left.written(schema)?;
            let literal = fitted(literal, &column)?;
            (Some(column), literal)
        }
        _ => (Some(left.written(schema)?), Some(right.written(schema)?)),
    };
    let strangers = |a: &str, b: &str| match operator.of_strangers() {
        Some(answer) => Ok(answer.to_string()),
        None => Err(Error::project(format!("a row condition cannot order {a} and {b}"))
            .hint("compare values of the same kind: numbers, texts, or times")),
    };
    // A decimal against a number is settled in units of its type: the engine would make both decimals of a type that large
    // and small numbers do not fit.
    match (left, right) {
        (_, Term::Literal(Value::Number(number))) => {
            if let Some(sql) = a.as_ref().and_then(|a| a.against_number(operator, number)) {
                return Ok(sql);
            }
        }
        (Term::Literal(Value::Number(number)), Term::Column(_)) => {
            if let Some(sql) = b.as_ref().and_then(|b| b.against_number(operator.turned(), number)) {
                return Ok(sql);
            }
        }
        _ => {}
    }
    let (Some(a), Some(b)) = (a, b) else { return strangers(&left.shown(), &right.shown()) };
    if a.class == Class::Nothing || b.class == Class::Nothing {
        // A missing value differs from everything and is ordered with nothing.
        return Ok((operator == Operator::Unequal).to_string());
    }
    if a.class != b.class || a.class == Class::Other {
        return strangers(&left.shown(), &right.shown());
    }
    // Of the operators only `!=` holds of a missing value.
    let of_missing = if operator == Operator::Unequal { "IS NOT FALSE" } else { "IS TRUE" };
    // A decimal meets a float as a float.
    let (one, other) = match (a.form(), b.form()) {
        (Form::Decimal, Form::Float) => (a.double(), b.sql),
        (Form::Float, Form::Decimal) => (a.sql, b.double()),
        _ => (a.sql, b.sql),
    };
    Ok(format!("(({one} {} {other}) {of_missing})", operator.sql()))
}

fn is_in(term: &Term, list: &[Value], wanted: bool, schema: &SchemaRef) -> Result<String> {
    let column = term.written(schema)?;
    let mut members = String::new();
    for literal in list {
        if let Some(member) = fitted(literal, &column)?
            && member.class == column.class
        {
            let _ = write!(members, "{}{}", if members.is_empty() { "" } else { ", " }, member.sql);
        }
    }
    if members.is_empty() || matches!(column.class, Class::Nothing | Class::Other) {
        return Ok((!wanted).to_string());
    }
    Ok(match wanted {
        true => format!("(({} IN ({members})) IS TRUE)", column.sql),
        false => format!("(({} NOT IN ({members})) IS NOT FALSE)", column.sql),
    })
}

/// A literal as SQL of the column's type; `None` when no value of that type can equal it.
fn fitted(literal: &Value, column: &Written) -> Result<Option<Written>> {
    let written = |sql: String, class| Ok(Some(Written { sql, class, data_type: None, column: false }));
    match (literal, column.class) {
        (Value::Null, _) => written("NULL".to_string(), Class::Nothing),
        (_, Class::Nothing) => written("NULL".to_string(), Class::Nothing),
        (Value::Bool(flag), Class::Number) => written(u8::from(*flag).to_string(), Class::Number),
        (Value::Number(number), Class::Number) => {
            if let Some(typed) = column.data_type.as_ref().filter(|_| column.column).and_then(decimal) {
                let found =
                    value::decimal(&number.to_string(), i32::from(typed.1)).filter(|(_, exact)| *exact);
                return match found.and_then(|(whole, _)| decimal_sql(whole, typed)) {
                    Some(sql) => written(sql, Class::Number),
                    None => Ok(None),
                };
            }
            if column.form() == Form::Decimal {
                // What is computed of decimals meets numbers that no decimal of the engine holds as a float.
                let float = Some(DataType::Float64).filter(|_| !fits_decimal(number));
                let sql = number_sql(number);
                return Ok(Some(Written { sql, class: Class::Number, data_type: float, column: false }));
            }
            let single = column.column && column.data_type == Some(DataType::Float32);
            let sql = number_sql(number);
            written(if single { format!("CAST({sql} AS REAL)") } else { sql }, Class::Number)
        }
        (Value::String(text), Class::Text) => written(format!("'{}'", text.replace('\'', "''")), Class::Text),
        (Value::String(text), Class::Time) => match (instant(text), &column.data_type) {
            (Some(_), Some(data_type)) => match value::whole(literal, data_type) {
                Some((whole, true)) => written(whole.to_string(), Class::Time),
                // Between two values of the type: the later half of the step below.
                Some((whole, false)) => written(format!("{whole}.5"), Class::Time),
                None => Ok(None),
            },
            _ => Err(Error::project(format!(
                "`{text}` in the row condition is neither a date nor a timestamp"
            ))
            .hint("write dates as 2024-01-31 and timestamps as 2024-01-31T12:00:00")),
        },
        _ => Ok(None),
    }
}

/// Whether the engine's decimal for floats, of 15 digits before and after the point, holds a number.
fn fits_decimal(number: &Number) -> bool {
    let float = number.as_f64().unwrap_or(f64::INFINITY).abs();
    float < 1e15 && value::decimal(&number.to_string(), 15).is_some_and(|(_, exact)| exact)
}

fn number_sql(number: &Number) -> String {
    let text = number.to_string();
    if text.starts_with('-') { format!("({text})") } else { text }
}

impl Term {
    fn written(&self, schema: &SchemaRef) -> Result<Written> {
        match self {
            Term::Column(name) => {
                let Ok(index) = schema.index_of(name) else {
                    let names: Vec<&str> = schema.fields().iter().map(|f| f.name().as_str()).collect();
                    return Err(Error::project(format!("there is no column `{name}` for the row condition"))
                        .hint(suggest::hint(name, names.iter())));
                };
                let mut data_type = schema.field(index).data_type();
                if let DataType::Dictionary(_, values) = data_type {
                    data_type = values;
                }
                let class = Class::of(data_type);
                let quoted = format!("\"{}\"", name.replace('"', "\"\""));
                let sql = match data_type {
                    // NaN is missing.
                    t if t.is_floating() => {
                        format!("(CASE WHEN isnan({quoted}) THEN NULL ELSE {quoted} END)")
                    }
                    DataType::Date32 | DataType::Boolean => format!("CAST({quoted} AS INTEGER)"),
                    _ if class == Class::Time => format!("CAST({quoted} AS BIGINT)"),
                    _ => quoted,
                };
                Ok(Written { sql, class, data_type: Some(data_type.clone()), column: true })
            }
            Term::Literal(Value::Number(number)) => {
                let data_type = Some(DataType::Float64).filter(|_| !fits_decimal(number));
                Ok(Written { sql: number_sql(number), class: Class::Number, data_type, column: false })
            }
            Term::Literal(Value::String(text)) => {
                let sql = format!("'{}'", text.replace('\'', "''"));
                Ok(Written { sql, class: Class::Text, data_type: None, column: false })
            }
            Term::Literal(Value::Bool(flag)) => Ok(Written {
                sql: u8::from(*flag).to_string(),
                class: Class::Number,
                data_type: Some(DataType::Boolean),
                column: false,
            }),
            Term::Literal(_) => {
                Ok(Written { sql: "NULL".to_string(), class: Class::Nothing, data_type: None, column: false })
            }
            Term::Arithmetic(left, operator, right) => {
                let (a, b) = (left.written(schema)?, right.written(schema)?);
                if a.class != Class::Number || b.class != Class::Number {
                    return Err(Error::project(format!(
                        "a row condition cannot compute {} {operator} {}",
                        left.shown(),
                        right.shown()
                    )));
                }
                // Division is of real numbers, as in Python.
                let forms = [a.form(), b.form()];
                let float = *operator == '/' || forms.contains(&Form::Float);
                let sql = match float && (*operator == '/' || forms.contains(&Form::Decimal)) {
                    true => format!("({} {operator} {})", a.double(), b.double()),
                    false => format!("({} {operator} {})", a.sql, b.sql),
                };
                let data_type = match forms.contains(&Form::Decimal) {
                    _ if float => Some(DataType::Float64),
                    true => Some(DataType::Decimal128(38, 10)),
                    false => None,
                };
                Ok(Written { sql, class: Class::Number, data_type, column: false })
            }
        }
    }

    fn shown(&self) -> String {
        match self {
            Term::Column(name) => format!("the column `{name}`"),
            Term::Literal(value) => value.to_string(),
            Term::Arithmetic(left, operator, right) => {
                format!("{} {operator} {}", left.shown(), right.shown())
            }
        }
    }
}
