//! Type words of `columns:` in YAML, and how types are named to people.

use arrow::datatypes::{DataType, TimeUnit};
use laguna_base::{Error, Result, suggest};

const WORDS: [&str; 22] = [
    "text",
    "string",
    "varchar",
    "bigint",
    "integer",
    "int",
    "smallint",
    "tinyint",
    "double",
    "float",
    "real",
    "boolean",
    "bool",
    "date",
    "timestamp",
    "timestamptz",
    "decimal",
    "numeric",
    "binary",
    "bytea",
    "json",
    "long",
];

/// The Arrow type of a type word: text, bigint, integer, smallint, double, real, boolean, date, timestamp (an instant),
/// decimal(p,s), binary, json (kept as text), and their usual synonyms. Case and spaces do not matter.
pub fn parse_type(word: &str) -> Result<DataType> {
    let lower = word.trim().to_lowercase();
    let (name, arguments) = match lower.split_once('(') {
        Some((name, rest)) => {
            let rest = rest.trim_end();
            let Some(inside) = rest.strip_suffix(')') else { return Err(unknown(word, &lower)) };
            (name.trim().to_string(), Some(inside.to_string()))
        }
        None => (lower.split_whitespace().collect::<Vec<_>>().join(" "), None),
    };
    Ok(match (name.as_str(), arguments) {
        ("text" | "string" | "json" | "jsonb" | "uuid", None)
        | ("varchar" | "char" | "character varying", _) => DataType::Utf8,
        ("bigint" | "long" | "int8", None) => DataType::Int64,
        ("integer" | "int" | "int4", None) => DataType::Int32,
        ("smallint" | "short" | "int2", None) => DataType::Int16,
        ("tinyint" | "byte", None) => DataType::Int8,
        ("double" | "float" | "double precision" | "float8", None) => DataType::Float64,
        ("real" | "float4", None) => DataType::Float32,
        ("boolean" | "bool", None) => DataType::Boolean,
        ("date", None) => DataType::Date32,
        ("timestamp" | "timestamptz" | "datetime" | "timestamp with time zone", None) => instant(),
        ("binary" | "bytea" | "bytes" | "blob", None) => DataType::Binary,
        ("decimal" | "numeric", None) => DataType::Decimal128(38, 9),
        ("decimal" | "numeric", Some(arguments)) => decimal(word, &arguments)?,
        _ => return Err(unknown(word, &name)),
    })
}

/// Microseconds since 1970 UTC: the one type of timestamps in the lake.
pub(crate) fn instant() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

/// The word that people use for a type.
pub(crate) fn word(data_type: &DataType) -> String {
    match data_type {
        DataType::Utf8 => "text".into(),
        DataType::Int64 => "bigint".into(),
        DataType::Int32 => "integer".into(),
        DataType::Int16 => "smallint".into(),
        DataType::Int8 => "tinyint".into(),
        DataType::Float64 => "double".into(),
        DataType::Float32 => "real".into(),
        DataType::Boolean => "boolean".into(),
        DataType::Date32 => "date".into(),
        DataType::Timestamp(..) => "timestamp".into(),
        DataType::Decimal128(p, s) => format!("decimal({p},{s})"),
        DataType::Binary => "binary".into(),
        DataType::List(item) => format!("list of {}", word(item.data_type())),
        DataType::Struct(_) => "struct".into(),
        other => other.to_string(),
    }
}

fn decimal(word: &str, arguments: &str) -> Result<DataType> {
    let mut parts = arguments.split(',').map(|part| part.trim().parse::<u8>());
    let (precision, scale) = match (parts.next(), parts.next(), parts.next()) {
        (Some(Ok(precision)), None, None) => (precision, 0),
        (Some(Ok(precision)), Some(Ok(scale)), None) => (precision, scale),
        _ => (0, 0),
    };
    if precision == 0 || precision > 38 || scale > precision {
        return Err(Error::project(format!("`{word}` is not a decimal type"))
            .hint("write decimal(p,s) with 1 to 38 digits, s of them after the point"));
    }
    Ok(DataType::Decimal128(precision, scale as i8))
}

fn unknown(word: &str, name: &str) -> Error {
    Error::project(format!("`{word}` is not a type")).hint(suggest::hint(name, &WORDS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_become_types() {
        assert_eq!(parse_type(" TEXT ").unwrap(), DataType::Utf8);
        assert_eq!(parse_type("decimal(12, 2)").unwrap(), DataType::Decimal128(12, 2));
        assert_eq!(parse_type("varchar(20)").unwrap(), DataType::Utf8);
        assert_eq!(parse_type("double  precision").unwrap(), DataType::Float64);
        assert_eq!(parse_type("bigintt").unwrap_err().hint_text(), Some("did you mean `bigint`?"));
        for wrong in ["decimal(40,2)", "decimal(3,4)", "decimal(", "date(3)", ""] {
            assert!(parse_type(wrong).is_err(), "{wrong}");
        }
        for word in WORDS {
            assert!(parse_type(word).is_ok(), "{word}");
        }
    }
}
