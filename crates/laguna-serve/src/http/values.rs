//! Values that clients write, as JSON or as text, as values of a type.

use arrow::datatypes::DataType;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use datafusion::scalar::ScalarValue;
use laguna_base::{Error, Result};
use serde_json::Value;

/// What stands for `$1`, `$2`, …: `values` in the types that the statement expects. What it does not tell is taken from the
/// value.
pub(super) fn parameters(values: &[Value], types: &[Option<DataType>]) -> Result<Vec<ScalarValue>> {
    if values.len() != types.len() {
        let counted = |count: usize| match count {
            1 => "1 parameter".to_string(),
            count => format!("{count} parameters"),
        };
        return Err(Error::project(format!(
            "the statement has {}, and {} given",
            counted(types.len()),
            match values.len() {
                1 => "1 is".to_string(),
                count => format!("{count} are"),
            }
        ))
        .sqlstate("08P01")
        .hint("`params` holds one value for each of $1, $2, …"));
    }
    let one = |(index, (value, data_type)): (usize, (&Value, &Option<DataType>))| {
        from_json(value, data_type.as_ref()).map_err(|error| {
            let error = Error::project(format!("${}: {}", index + 1, error.message())).sqlstate(error.code());
            error.hint("dates and times are written as in RFC 3339, bytes as base64, long numbers as text")
        })
    };
    values.iter().zip(types).enumerate().map(one).collect()
}

fn from_json(value: &Value, data_type: Option<&DataType>) -> Result<ScalarValue> {
    let Some(data_type) = data_type else {
        return Ok(match value {
            Value::Null => ScalarValue::Null,
            Value::Bool(value) => ScalarValue::from(*value),
            Value::Number(number) => match number.as_i64() {
                Some(whole) => ScalarValue::from(whole),
                None => ScalarValue::from(number.as_f64().unwrap_or(f64::NAN)),
            },
            Value::String(text) => ScalarValue::from(text.as_str()),
            Value::Array(_) | Value::Object(_) => return Err(wrong(value, None)),
        });
    };
    match (value, data_type) {
        (Value::Null, _) => ScalarValue::try_from(data_type).map_err(laguna_query::translate),
        (Value::String(text), _) => from_text(text, data_type),
        (Value::Bool(flag), DataType::Boolean) => Ok(ScalarValue::from(*flag)),
        (Value::Number(number), data_type) if data_type.is_integer() => {
            // 2.0 is a whole number, 2.5 is not.
            let whole = number.as_f64().filter(|value| value.fract() == 0.0 && value.abs() < 2f64.powi(53));
            match (number.as_i64().is_some() || number.as_u64().is_some(), whole) {
                (false, Some(whole)) => from_text(&(whole as i64).to_string(), data_type),
                _ => from_text(&number.to_string(), data_type),
            }
        }
        (Value::Number(number), data_type) if data_type.is_numeric() || is_text(data_type) => {
            from_text(&number.to_string(), data_type)
        }
        (Value::Array(items), DataType::List(field)) => {
            let items: Result<Vec<ScalarValue>> =
                items.iter().map(|item| from_json(item, Some(field.data_type()))).collect();
            Ok(ScalarValue::List(ScalarValue::new_list(&items?, field.data_type(), true)))
        }
        _ => Err(wrong(value, Some(data_type))),
    }
}

/// The value that `text` writes, in `data_type`.
pub(super) fn from_text(text: &str, data_type: &DataType) -> Result<ScalarValue> {
    let unreadable = || {
        Error::project(format!("`{text}` is not a value of type {}", name(data_type)))
            .sqlstate("22P02")
            .hint("dates and times are written as in RFC 3339, bytes as base64")
    };
    let as_text = ScalarValue::from(text);
    match data_type {
        DataType::Dictionary(_, values) => return from_text(text, values),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
            let bytes = STANDARD.decode(text).map_err(|_| unreadable())?;
            return ScalarValue::Binary(Some(bytes)).cast_to(data_type).map_err(|_| unreadable());
        }
        _ => {}
    }
    match as_text.cast_to(data_type) {
        Ok(value) if !value.is_null() => Ok(value),
        _ => Err(unreadable()),
    }
}

/// `value` as text from which [`from_text`] makes it again; `None` is null.
pub(super) fn to_text(value: &ScalarValue) -> Result<Option<String>> {
    if value.is_null() {
        return Ok(None);
    }
    let bytes = match value {
        ScalarValue::Binary(bytes)
        | ScalarValue::LargeBinary(bytes)
        | ScalarValue::BinaryView(bytes)
        | ScalarValue::FixedSizeBinary(_, bytes) => bytes.as_deref(),
        _ => None,
    };
    if let Some(bytes) = bytes {
        return Ok(Some(STANDARD.encode(bytes)));
    }
    match value.cast_to(&DataType::Utf8).map_err(laguna_query::translate)? {
        ScalarValue::Utf8(text) => Ok(text),
        other => Err(Error::internal(format!("{other} is no text"))),
    }
}

fn is_text(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}

fn wrong(value: &Value, data_type: Option<&DataType>) -> Error {
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    };
    let expected = data_type.map_or_else(|| "a plain value".to_string(), name);
    Error::project(format!("{kind} cannot stand for {expected}")).sqlstate("22P02")
}

/// The name of a type as SQL writes it.
pub(super) fn name(data_type: &DataType) -> String {
    crate::pages::text::type_name(data_type)
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::datatypes::TimeUnit;
    use serde_json::json;

    #[test]
    fn json_values_take_the_type_that_is_expected() {
        let zoned = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
        for (value, data_type, expected) in [
            (json!(1), DataType::Int32, ScalarValue::Int32(Some(1))),
            (json!(2.0), DataType::Int64, ScalarValue::Int64(Some(2))),
            (json!("9223372036854775807"), DataType::Int64, ScalarValue::Int64(Some(i64::MAX))),
            (json!(u64::MAX), DataType::UInt64, ScalarValue::UInt64(Some(u64::MAX))),
            (json!(0.1), DataType::Decimal128(10, 2), ScalarValue::Decimal128(Some(10), 10, 2)),
            (json!("0.10"), DataType::Decimal128(10, 2), ScalarValue::Decimal128(Some(10), 10, 2)),
            (json!(1), DataType::Float64, ScalarValue::Float64(Some(1.0))),
            (json!(5), DataType::Utf8, ScalarValue::Utf8(Some("5".to_string()))),
            (json!("2013-01-01"), DataType::Date32, ScalarValue::Date32(Some(15706))),
            (
                json!("1970-01-01T01:00:01+01:00"),
                zoned.clone(),
                ScalarValue::TimestampMicrosecond(Some(1_000_000), Some("UTC".into())),
            ),
            (json!("/wA="), DataType::Binary, ScalarValue::Binary(Some(vec![255, 0]))),
            (json!(null), DataType::Int32, ScalarValue::Int32(None)),
        ] {
            assert_eq!(from_json(&value, Some(&data_type)).unwrap(), expected, "{value}");
        }
        for (value, data_type) in [
            (json!(2.5), DataType::Int64),
            (json!(300), DataType::Int8),
            (json!("x"), DataType::Int64),
            (json!(true), DataType::Int64),
            (json!({}), DataType::Utf8),
            (json!([1]), DataType::Int64),
            (json!("yesterday"), DataType::Date32),
        ] {
            assert_eq!(from_json(&value, Some(&data_type)).unwrap_err().code(), "22P02", "{value}");
        }
    }

    #[test]
    fn what_is_written_as_text_reads_back() {
        for value in [
            ScalarValue::Float64(Some(0.1 + 0.2)),
            ScalarValue::Float64(Some(f64::INFINITY)),
            ScalarValue::Float32(Some(1e-40)),
            ScalarValue::Int64(Some(i64::MIN)),
            ScalarValue::Decimal128(Some(-12345), 10, 2),
            ScalarValue::TimestampMicrosecond(Some(1), Some("UTC".into())),
            ScalarValue::TimestampMicrosecond(Some(-1), None),
            ScalarValue::Date32(Some(-800_000)),
            ScalarValue::Time64Microsecond(Some(1)),
            ScalarValue::Boolean(Some(true)),
            ScalarValue::Utf8View(Some("é'\"".to_string())),
            ScalarValue::Binary(Some(vec![0, 255])),
        ] {
            let text = to_text(&value).unwrap().unwrap();
            assert_eq!(from_text(&text, &value.data_type()).unwrap(), value, "{text}");
        }
    }
}
