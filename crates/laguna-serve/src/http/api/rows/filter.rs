//! Conditions in an address: `carrier=eq.UA`, `dep_delay=not.is.null`, `origin=in.(JFK,LGA)`.
//!
//! A condition becomes SQL in which the column is a quoted name that the table has, and the value is a parameter of the
//! column's type: nothing that a client writes becomes SQL.

use arrow::datatypes::{DataType, Field};
use datafusion::scalar::ScalarValue;
use laguna_base::{Error, Result, suggest};

use crate::http::values;
use crate::pages::text::quoted;

/// The words between column and value, and what they are in SQL.
const OPERATORS: [(&str, &str); 10] = [
    ("eq", "="),
    ("neq", "<>"),
    ("gt", ">"),
    ("gte", ">="),
    ("lt", "<"),
    ("lte", "<="),
    ("like", "LIKE"),
    ("ilike", "ILIKE"),
    ("in", "IN"),
    ("is", "IS"),
];

/// SQL with the values of its `$1`, `$2`, …
#[derive(Debug, Default)]
pub(super) struct Conditions {
    pub(super) sql: Vec<String>,
    pub(super) params: Vec<ScalarValue>,
}

impl Conditions {
    /// The name of a parameter with this value.
    pub(super) fn param(&mut self, value: ScalarValue) -> String {
        self.params.push(value);
        format!("${}", self.params.len())
    }

    /// Adds the condition that `text` (`op.value`, `not.op.value`) says of `field`.
    pub(super) fn add(&mut self, field: &Field, text: &str) -> Result<()> {
        let (negated, rest) = match text.strip_prefix("not.") {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (word, value) = rest.split_once('.').unwrap_or((rest, ""));
        let Some((_, operator)) = OPERATORS.iter().find(|(known, _)| *known == word) else {
            let words = OPERATORS.map(|(word, _)| word);
            return Err(
                Error::project(format!("`{word}` is no comparison")).hint(suggest::hint(word, &words))
            );
        };
        let (column, data_type) = (quoted(field.name()), field.data_type());
        let condition = match word {
            "is" => is(&column, data_type, value)?,
            _ if data_type.is_nested() => {
                return Err(Error::project(format!("`{}` cannot be compared", field.name()))
                    .sqlstate("42883")
                    .hint("it holds lists or structures: only `is.null` can be asked of it"));
            }
            "in" => {
                let items = items(value)?;
                let params: Result<Vec<String>> =
                    items.iter().map(|item| Ok(self.param(values::from_text(item, data_type)?))).collect();
                match params? {
                    none if none.is_empty() => "false".to_string(),
                    params => format!("{column} IN ({})", params.join(", ")),
                }
            }
            "like" | "ilike" => {
                if !is_text(data_type) {
                    let type_name = values::name(data_type);
                    return Err(Error::project(format!("`{}` is {type_name}, not text", field.name()))
                        .sqlstate("42883")
                        .hint("compare it with eq, gt, lt"));
                }
                let param = self.param(ScalarValue::from(value.replace('*', "%")));
                format!("{column} {operator} {param}")
            }
            _ => format!("{column} {operator} {}", self.param(values::from_text(value, data_type)?)),
        };
        self.sql.push(if negated { format!("NOT ({condition})") } else { condition });
        Ok(())
    }
}

fn is(column: &str, data_type: &DataType, value: &str) -> Result<String> {
    Ok(match value {
        "null" => format!("{column} IS NULL"),
        "not_null" => format!("{column} IS NOT NULL"),
        "true" | "false" if *data_type == DataType::Boolean => {
            format!("{column} IS {}", value.to_uppercase())
        }
        _ => {
            return Err(Error::project(format!("`is.{value}` says nothing"))
                .hint("write is.null, is.not_null, and of booleans is.true or is.false"));
        }
    })
}

fn is_text(data_type: &DataType) -> bool {
    match data_type {
        DataType::Dictionary(_, values) => is_text(values),
        other => matches!(other, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View),
    }
}

/// The values of `(a,b,"c,d")`; a quote in quotes is doubled.
fn items(text: &str) -> Result<Vec<String>> {
    let wrong = || {
        Error::project(format!("`in.{text}` is no list"))
            .hint("write in.(a,b), and in.(\"a,b\") for a value with a comma")
    };
    let inner = text.strip_prefix('(').and_then(|text| text.strip_suffix(')')).ok_or_else(wrong)?;
    let mut items = Vec::new();
    let mut rest = inner;
    while !rest.is_empty() {
        let item = match rest.strip_prefix('"') {
            None => {
                let end = rest.find(',').unwrap_or(rest.len());
                let item = rest[..end].to_string();
                rest = &rest[end..];
                item
            }
            Some(mut quoted) => {
                let mut item = String::new();
                loop {
                    let end = quoted.find('"').ok_or_else(wrong)?;
                    item.push_str(&quoted[..end]);
                    quoted = &quoted[end + 1..];
                    match quoted.strip_prefix('"') {
                        Some(after) => {
                            item.push('"');
                            quoted = after;
                        }
                        None => break,
                    }
                }
                rest = quoted;
                item
            }
        };
        items.push(item);
        rest = match rest.strip_prefix(',') {
            // A comma promises another value, which may be empty.
            Some("") => {
                items.push(String::new());
                ""
            }
            Some(more) => more,
            None if rest.is_empty() => "",
            None => return Err(wrong()),
        };
    }
    Ok(items)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sql(data_type: DataType, text: &str) -> Result<(String, Vec<ScalarValue>)> {
        let mut conditions = Conditions::default();
        conditions.add(&Field::new("a\"b", data_type, true), text)?;
        Ok((conditions.sql.remove(0), conditions.params))
    }

    #[test]
    fn names_are_quoted_and_values_are_parameters() {
        let (text, params) = sql(DataType::Utf8, "eq.x' OR 1=1 --").unwrap();
        assert_eq!(text, "\"a\"\"b\" = $1");
        assert_eq!(params, [ScalarValue::from("x' OR 1=1 --")]);
        let (text, params) = sql(DataType::Int64, "not.in.(1,2)").unwrap();
        assert_eq!(text, "NOT (\"a\"\"b\" IN ($1, $2))");
        assert_eq!(params, [ScalarValue::from(1i64), ScalarValue::from(2i64)]);
        assert_eq!(sql(DataType::Utf8, "is.null").unwrap().0, "\"a\"\"b\" IS NULL");
        assert_eq!(sql(DataType::Boolean, "is.true").unwrap().0, "\"a\"\"b\" IS TRUE");
        assert_eq!(sql(DataType::Utf8, "like.A*").unwrap().1, [ScalarValue::from("A%")]);
        for wrong in ["eq.x", "is.true", "like.1*", "equals.1", "in.1,2", ""] {
            assert!(sql(DataType::Int64, wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn lists_may_hold_commas_quotes_and_nothing() {
        for (text, expected) in [
            ("()", vec![]),
            ("(a)", vec!["a"]),
            ("(a,b)", vec!["a", "b"]),
            ("(\"a,b\",c)", vec!["a,b", "c"]),
            ("(\"a\"\"b\")", vec!["a\"b"]),
            ("(a,)", vec!["a", ""]),
            ("(,a)", vec!["", "a"]),
            ("(\"\")", vec![""]),
        ] {
            assert_eq!(items(text).unwrap(), expected, "{text}");
        }
        for wrong in ["a,b", "(a", "(\"a)", "(\"a\"b)"] {
            assert!(items(wrong).is_err(), "{wrong}");
        }
    }
}
