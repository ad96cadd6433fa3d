//! Values as PostgreSQL writes them in a text, the names of their types, and what is found in texts.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray, ListBuilder, StringArray, StringBuilder};
use arrow::datatypes::{DataType, Field};
use bytes::BytesMut;
use chrono_tz::Tz;
use datafusion::common::{Result, exec_err};
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility, cast, lit,
};
use datafusion::scalar::ScalarValue;
use regex::{Regex, RegexBuilder};

use crate::postgres::catalog::sql_name;
use crate::postgres::encode::Column;
use crate::postgres::types;
use crate::postgres::variables::Look;

/// `pg_text(value, zone)`.
pub(super) fn text() -> ScalarUDF {
    ScalarUDF::from(Text { shown: false, signature: Signature::any(2, Volatility::Immutable) })
}

pub(super) fn functions() -> Vec<ScalarUDF> {
    let mut all = vec![
        text(),
        ScalarUDF::from(Text { shown: true, signature: Signature::any(2, Volatility::Immutable) }),
        ScalarUDF::from(TypeOf(Signature::any(1, Volatility::Immutable))),
    ];
    let found = [Found::Matches, Found::Split, Found::Part].map(|found| {
        ScalarUDF::from(Searched { found, signature: Signature::any(3, Volatility::Immutable) })
    });
    all.extend(found);
    all
}

fn is_text(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}

/// `pg_text(value, zone)`: a value cast to text; instants as the clocks of the session's zone show them. `pg_shown(value,
/// zone)` the same as a result shows it: flags as letters, a list item by item.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Text {
    shown: bool,
    signature: Signature,
}

impl ScalarUDFImpl for Text {
    fn name(&self) -> &str {
        if self.shown { "pg_shown" } else { "pg_text" }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        Ok(match &types[0] {
            DataType::List(_) | DataType::LargeList(_) | DataType::FixedSizeList(..) if self.shown => texts(),
            _ => DataType::Utf8,
        })
    }

    /// Most are written as the engine does.
    fn simplify(&self, mut args: Vec<Expr>, context: &SimplifyContext) -> Result<ExprSimplifyResult> {
        let data_type = context.get_data_type(&args[0])?;
        let plain = is_text(&data_type)
            || data_type.is_integer()
            || matches!(data_type, DataType::Date32 | DataType::Null)
            || data_type == DataType::Boolean && !self.shown;
        match plain {
            true => Ok(ExprSimplifyResult::Simplified(cast(args.swap_remove(0), DataType::Utf8))),
            false => Ok(ExprSimplifyResult::Original(args)),
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let array = args.args[0].to_array(args.number_rows)?;
        let zone = match &args.args[1] {
            ColumnarValue::Scalar(zone) => zone.try_as_str().flatten().and_then(super::zone),
            ColumnarValue::Array(_) => None,
        };
        let zone = zone.unwrap_or(Tz::UTC);
        if *args.return_field.data_type() != DataType::Utf8 {
            let list = arrow::compute::cast(&array, &as_list(array.data_type()))?;
            let list = list.as_list::<i32>();
            let items = Arc::new(written(list.values(), zone)?);
            let field = Arc::new(Field::new_list_field(DataType::Utf8, true));
            let shown = ListArray::new(field, list.offsets().clone(), items, list.nulls().cloned());
            return Ok(ColumnarValue::Array(Arc::new(shown)));
        }
        if is_text(array.data_type()) || *array.data_type() == DataType::Boolean && !self.shown {
            return Ok(ColumnarValue::Array(arrow::compute::cast(&array, &DataType::Utf8)?));
        }
        Ok(ColumnarValue::Array(Arc::new(written(&array, zone)?)))
    }
}

/// The type of lists with as many items as there are.
fn as_list(data_type: &DataType) -> DataType {
    match data_type {
        DataType::LargeList(item) | DataType::FixedSizeList(item, _) => DataType::List(item.clone()),
        other => other.clone(),
    }
}

/// Values as a result shows them.
pub(super) fn written(array: &ArrayRef, zone: Tz) -> Result<StringArray> {
    let look = Look { zone, iso_intervals: false };
    let column = Column::new(array, look).map_err(laguna_query::errors::external)?;
    let mut written = BytesMut::new();
    let mut texts = StringBuilder::with_capacity(array.len(), array.len() * 16);
    for row in 0..array.len() {
        if column.is_null(row) {
            texts.append_null();
            continue;
        }
        written.clear();
        column.text(row, &mut written).map_err(laguna_query::errors::external)?;
        texts.append_value(String::from_utf8_lossy(&written));
    }
    Ok(texts.finish())
}

/// `pg_typeof(value)`.
#[derive(Debug, PartialEq, Eq, Hash)]
struct TypeOf(Signature);

impl ScalarUDFImpl for TypeOf {
    fn name(&self) -> &str {
        "pg_typeof"
    }

    fn signature(&self) -> &Signature {
        &self.0
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn simplify(&self, args: Vec<Expr>, context: &SimplifyContext) -> Result<ExprSimplifyResult> {
        Ok(ExprSimplifyResult::Simplified(lit(name_of(&context.get_data_type(&args[0])?))))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        Ok(ColumnarValue::Scalar(ScalarValue::from(name_of(&args.args[0].data_type()))))
    }
}

/// A type's name in SQL.
fn name_of(data_type: &DataType) -> String {
    let oid = types::oid(data_type);
    match types::element_of(oid) {
        _ if *data_type == DataType::Null => "unknown".to_string(),
        Some(element) => format!("{}[]", sql_name(element)),
        None => sql_name(oid),
    }
}

/// `pg_regexp_matches(text, pattern, flags)`, `pg_regexp_split(…)` and `pg_regexp_part(…)`.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Searched {
    found: Found,
    signature: Signature,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Found {
    /// The groups of each match, or of the first.
    Matches,
    /// What is between the matches.
    Split,
    /// The first group of the first match, or all of it.
    Part,
}

fn texts() -> DataType {
    DataType::List(Arc::new(Field::new_list_field(DataType::Utf8, true)))
}

/// A pattern with PostgreSQL's flags.
fn pattern(written: &str, flags: &str) -> Result<Regex> {
    let mut builder = RegexBuilder::new(written);
    // Patterns are the reader's: what they may cost is bounded.
    builder.size_limit(1 << 20);
    for flag in flags.chars() {
        match flag {
            'i' => builder.case_insensitive(true),
            'x' => builder.ignore_whitespace(true),
            'n' | 'm' => builder.multi_line(true).dot_matches_new_line(false),
            's' => builder.dot_matches_new_line(true),
            'g' | 'c' | 'e' | 'p' | 'w' | 't' => &mut builder,
            other => return exec_err!("invalid regular expression option: \"{other}\""),
        };
    }
    // A dot stands for every letter, the end of a line too.
    if !flags.contains(['n', 'm', 'p']) {
        builder.dot_matches_new_line(true);
    }
    builder.build().or_else(|error| exec_err!("invalid regular expression: {error}"))
}

impl ScalarUDFImpl for Searched {
    fn name(&self) -> &str {
        match self.found {
            Found::Matches => "pg_regexp_matches",
            Found::Split => "pg_regexp_split",
            Found::Part => "pg_regexp_part",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(match self.found {
            Found::Matches => DataType::List(Arc::new(Field::new_list_field(texts(), true))),
            Found::Split => texts(),
            Found::Part => DataType::Utf8,
        })
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rows = args.number_rows;
        let text = |index: usize| -> Result<ArrayRef> {
            Ok(arrow::compute::cast(&args.args[index].to_array(rows)?, &DataType::Utf8)?)
        };
        let (values, patterns, flags) = (text(0)?, text(1)?, text(2)?);
        let (values, patterns, flags) =
            (values.as_string::<i32>(), patterns.as_string::<i32>(), flags.as_string::<i32>());
        let mut known: Option<((&str, &str), Regex)> = None;
        let mut regex = |row: usize| -> Result<Option<(&str, Regex)>> {
            if values.is_null(row) || patterns.is_null(row) || flags.is_null(row) {
                return Ok(None);
            }
            let key = (patterns.value(row), flags.value(row));
            let found = match &known {
                Some((of, regex)) if *of == key => regex.clone(),
                _ => pattern(key.0, key.1)?,
            };
            known = Some((key, found.clone()));
            Ok(Some((values.value(row), found)))
        };
        let array: ArrayRef = match self.found {
            Found::Part => {
                let mut parts = StringBuilder::new();
                for row in 0..rows {
                    let part = regex(row)?.and_then(|(text, regex)| {
                        let found = regex.captures(text)?;
                        let wanted = usize::from(found.len() > 1);
                        found.get(wanted).map(|part| part.as_str().to_string())
                    });
                    parts.append_option(part);
                }
                Arc::new(parts.finish())
            }
            Found::Split => {
                let mut parts = ListBuilder::new(StringBuilder::new());
                for row in 0..rows {
                    if let Some((text, regex)) = regex(row)? {
                        regex.split(text).for_each(|part| parts.values().append_value(part));
                        parts.append(true);
                    } else {
                        parts.append(false);
                    }
                }
                Arc::new(parts.finish())
            }
            Found::Matches => {
                let mut all = ListBuilder::new(ListBuilder::new(StringBuilder::new()));
                for row in 0..rows {
                    if let Some((text, regex)) = regex(row)? {
                        let most = if flags.value(row).contains('g') { usize::MAX } else { 1 };
                        for found in regex.captures_iter(text).take(most) {
                            let groups = found.iter().skip(usize::from(found.len() > 1));
                            let groups = groups.map(|group| group.map(|group| group.as_str()));
                            groups.for_each(|group| all.values().values().append_option(group));
                            all.values().append(true);
                        }
                        all.append(true);
                    } else {
                        all.append(false);
                    }
                }
                Arc::new(all.finish())
            }
        };
        Ok(ColumnarValue::Array(array))
    }
}

#[cfg(test)]
mod tests {
    use super::pattern;

    #[test]
    fn flags_of_patterns_are_postgresqls() {
        assert!(pattern("^A.c$", "i").unwrap().is_match("a\nC"));
        assert!(!pattern("a.c", "n").unwrap().is_match("a\nc"));
        assert!(pattern("a", "q!").is_err());
        assert!(pattern("(", "").is_err());
    }
}
