//! `json` and `jsonb`: documents are texts here; what is looked up in one is a piece of its text, so that a document in
//! the order and spacing of `jsonb` stays one.

use std::fmt::Write;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Int32Array, ListBuilder, StringArray, StringBuilder,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{Result, exec_err, plan_err};
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature,
    Volatility,
};
use laguna_query::output::json_texts;

use document::{Step, checked, contains, find, has, items, normal, plain, pretty, quoted, sorted, type_of};

use crate::postgres::types::{JSON, JSONB, MARK};

mod changes;
mod document;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    /// A text that must be a document.
    Json,
    Jsonb,
    /// `->`, `->>`, `#>` and `#>>`.
    Get,
    GetText,
    Path,
    PathText,
    BuildObject,
    /// An object without spaces, as rows are written.
    BuildRow,
    BuildArray,
    ToJson,
    /// A list as an array; two lists as an object.
    OfList,
    OfLists,
    Length,
    TypeOf,
    Keys,
    Elements,
    ElementsText,
    Values,
    ValuesText,
    /// `||`, `-` and `jsonb_strip_nulls`.
    Concat,
    Without,
    StripNulls,
    /// `jsonb_set(document, path, value)`.
    Set,
    /// What the members of a list of documents are called so, as a list of texts.
    Members,
    Has,
    Contains,
    Pretty,
}

/// A function of documents; `binary`: what it makes is `jsonb`.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Documents {
    name: &'static str,
    kind: Kind,
    binary: bool,
    signature: Signature,
}

pub(super) fn functions() -> Vec<ScalarUDF> {
    let all = [
        ("pg_json", Kind::Json, false),
        ("pg_jsonb", Kind::Jsonb, true),
        ("pg_json_get", Kind::Get, false),
        ("pg_json_get_text", Kind::GetText, false),
        ("pg_json_path", Kind::Path, false),
        ("pg_json_path_text", Kind::PathText, false),
        ("json_build_object", Kind::BuildObject, false),
        ("jsonb_build_object", Kind::BuildObject, true),
        ("pg_json_row", Kind::BuildRow, false),
        ("json_build_array", Kind::BuildArray, false),
        ("jsonb_build_array", Kind::BuildArray, true),
        ("to_json", Kind::ToJson, false),
        ("to_jsonb", Kind::ToJson, true),
        ("pg_json_list", Kind::OfList, false),
        ("pg_jsonb_list", Kind::OfList, true),
        ("pg_json_lists", Kind::OfLists, false),
        ("pg_jsonb_lists", Kind::OfLists, true),
        ("json_array_length", Kind::Length, false),
        ("jsonb_array_length", Kind::Length, true),
        ("json_typeof", Kind::TypeOf, false),
        ("jsonb_typeof", Kind::TypeOf, true),
        ("pg_json_keys", Kind::Keys, false),
        ("pg_json_elements", Kind::Elements, false),
        ("pg_json_elements_text", Kind::ElementsText, false),
        ("pg_json_values", Kind::Values, false),
        ("pg_json_values_text", Kind::ValuesText, false),
        ("pg_json_members", Kind::Members, false),
        ("pg_jsonb_concat", Kind::Concat, true),
        ("pg_jsonb_without", Kind::Without, true),
        ("jsonb_strip_nulls", Kind::StripNulls, true),
        ("json_strip_nulls", Kind::StripNulls, false),
        ("jsonb_set", Kind::Set, true),
        ("pg_json_has", Kind::Has, false),
        ("pg_json_contains", Kind::Contains, false),
        ("jsonb_pretty", Kind::Pretty, false),
    ];
    let function = |(name, kind, binary)| {
        let any = vec![TypeSignature::VariadicAny, TypeSignature::Nullary];
        ScalarUDF::from(Documents {
            name,
            kind,
            binary,
            signature: Signature::one_of(any, Volatility::Immutable),
        })
    };
    all.into_iter().map(function).collect()
}

/// Whether a column holds documents.
fn is_marked(field: &Field) -> bool {
    field.metadata().contains_key(MARK)
}

fn is_binary(field: &Field) -> bool {
    field.metadata().get(MARK).is_some_and(|oid| *oid == JSONB.to_string())
}

fn marked(name: &str, binary: bool) -> FieldRef {
    let oid = if binary { JSONB } else { JSON };
    let mark = std::collections::HashMap::from([(MARK.to_string(), oid.to_string())]);
    Arc::new(Field::new(name, DataType::Utf8, true).with_metadata(mark))
}

impl ScalarUDFImpl for Documents {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        let texts = DataType::List(Arc::new(Field::new_list_field(DataType::Utf8, true)));
        Ok(match self.kind {
            Kind::Length => DataType::Int32,
            Kind::Has | Kind::Contains => DataType::Boolean,
            Kind::Keys
            | Kind::Elements
            | Kind::ElementsText
            | Kind::Values
            | Kind::ValuesText
            | Kind::Members => texts,
            _ => DataType::Utf8,
        })
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let least = match self.kind {
            Kind::BuildObject | Kind::BuildRow | Kind::BuildArray => 0,
            Kind::Get
            | Kind::GetText
            | Kind::Path
            | Kind::PathText
            | Kind::Has
            | Kind::Contains
            | Kind::Concat
            | Kind::Without
            | Kind::OfLists => 2,
            Kind::Set => 3,
            _ => 1,
        };
        if args.arg_fields.len() < least {
            return plan_err!("function {}() does not exist", self.name);
        }
        Ok(match self.kind {
            Kind::Get | Kind::Path => marked(self.name, is_binary(&args.arg_fields[0])),
            Kind::Json
            | Kind::Jsonb
            | Kind::BuildObject
            | Kind::BuildRow
            | Kind::BuildArray
            | Kind::ToJson
            | Kind::Concat
            | Kind::Without
            | Kind::StripNulls
            | Kind::Set
            | Kind::OfList
            | Kind::OfLists => marked(self.name, self.binary),
            _ => Arc::new(Field::new(self.name, self.return_type(&[])?, true)),
        })
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rows = args.number_rows;
        let arrays: Vec<ArrayRef> = args.args.iter().map(|arg| arg.to_array(rows)).collect::<Result<_>>()?;
        match self.kind {
            Kind::BuildObject
            | Kind::BuildRow
            | Kind::BuildArray
            | Kind::ToJson
            | Kind::OfList
            | Kind::OfLists => self.build(&arrays, &args.arg_fields, rows),
            Kind::Members => changes::members(&arrays).map(ColumnarValue::Array),
            Kind::Concat | Kind::Without | Kind::StripNulls | Kind::Set => self.change(&arrays, rows),
            _ => self.read(&arrays, rows),
        }
    }
}

/// The values of a column as documents. `raw`: they are documents already.
struct Written(StringArray);

impl Written {
    fn new(array: &ArrayRef, raw: bool) -> Result<Written> {
        Ok(Written(match array.data_type() {
            _ if raw => cast(array, &DataType::Utf8)?.as_string().clone(),
            DataType::Null => StringArray::new_null(array.len()),
            DataType::Timestamp(..)
            | DataType::Time64(_)
            | DataType::Interval(_)
            | DataType::Float64
            | DataType::Float32
            | DataType::Decimal128(..) => Self::as_shown(array)?,
            DataType::List(_) => {
                let lists = array.as_list::<i32>();
                let items = Written::new(lists.values(), raw)?;
                let of = |row: usize| {
                    let start = lists.value_offsets()[row] as usize;
                    let all = (start..start + lists.value_length(row) as usize).map(|item| items.of(item));
                    format!("[{}]", all.collect::<Vec<_>>().join(","))
                };
                (0..lists.len()).map(|row| (!lists.is_null(row)).then(|| of(row))).collect()
            }
            _ => json_texts(array).map_err(laguna_query::errors::external)?,
        }))
    }

    /// Numbers as a result shows them, times too, but in quotes and with the `T` and the minutes of ISO 8601.
    fn as_shown(array: &ArrayRef) -> Result<StringArray> {
        let zone = match array.data_type() {
            DataType::Timestamp(_, Some(zone)) => super::zone(zone),
            _ => None,
        };
        let shown = super::text::written(array, zone.unwrap_or(chrono_tz::Tz::UTC))?;
        let value = |text: &str| match array.data_type() {
            DataType::Timestamp(_, zone) => {
                let minutes = zone.is_some() && !text[text.len() - 3..].starts_with(':');
                quoted(&format!("{}{}", text.replacen(' ', "T", 1), if minutes { ":00" } else { "" }))
            }
            of if of.is_temporal() => quoted(text),
            _ if text.ends_with(['N', 'y']) => quoted(text),
            _ => text.to_string(),
        };
        Ok(shown.iter().map(|text| text.map(value)).collect())
    }

    fn of(&self, row: usize) -> &str {
        if self.0.is_null(row) { "null" } else { self.0.value(row) }
    }
}

impl Documents {
    fn build(&self, arrays: &[ArrayRef], fields: &[FieldRef], rows: usize) -> Result<ColumnarValue> {
        let mut out = StringBuilder::new();
        let mut finish = |text: Option<String>| {
            out.append_option(match (text, self.binary) {
                (Some(text), true) => Some(normal(&text).unwrap_or(text)),
                (text, _) => text,
            });
        };
        match self.kind {
            Kind::OfList | Kind::OfLists => {
                // Whether the items are documents.
                let raw = match arrays.last().map(|array| array.data_type()) {
                    Some(DataType::Boolean) => arrays[arrays.len() - 1].as_boolean().value(0),
                    _ => false,
                };
                let list = |array: &ArrayRef| -> Result<ArrayRef> {
                    match array.data_type() {
                        DataType::List(_) => Ok(array.clone()),
                        other => plan_err!("{} is of lists, not of {other}", self.name),
                    }
                };
                let first = list(&arrays[0])?;
                let first = first.as_list::<i32>();
                let keys = match self.kind {
                    Kind::OfLists => Some(cast(first.values(), &DataType::Utf8)?),
                    _ => None,
                };
                let items = match self.kind {
                    Kind::OfLists => list(&arrays[1])?,
                    _ => Arc::new(first.clone()) as ArrayRef,
                };
                let items = items.as_list::<i32>();
                let written = Written::new(items.values(), raw)?;
                for row in 0..rows {
                    if first.is_null(row) || items.is_null(row) {
                        finish(None);
                        continue;
                    }
                    let of = |list: &arrow::array::ListArray| list.value_offsets()[row] as usize;
                    let (start, key) = (of(items), of(first));
                    let count = items.value_length(row) as usize;
                    let mut text = String::from(if keys.is_some() { "{ " } else { "[" });
                    for index in 0..count {
                        if index > 0 {
                            text.push_str(", ");
                        }
                        if let Some(keys) = &keys {
                            let keys = keys.as_string::<i32>();
                            if keys.is_null(key + index) {
                                return exec_err!("field name must not be null");
                            }
                            let _ = write!(text, "{} : ", quoted(keys.value(key + index)));
                        }
                        text.push_str(written.of(start + index));
                    }
                    text.push_str(if keys.is_some() { " }" } else { "]" });
                    finish(Some(text));
                }
            }
            _ => {
                let named = matches!(self.kind, Kind::BuildObject | Kind::BuildRow);
                let (comma, colon) = if self.kind == Kind::BuildRow { (",", ":") } else { (", ", " : ") };
                if named && !arrays.len().is_multiple_of(2) {
                    return exec_err!("argument list must have even number of elements");
                }
                let written: Vec<Written> = arrays
                    .iter()
                    .zip(fields)
                    .map(|(array, field)| Written::new(array, is_marked(field)))
                    .collect::<Result<_>>()?;
                let keys: Vec<ArrayRef> = match named {
                    true => {
                        arrays.iter().map(|array| Ok(cast(array, &DataType::Utf8)?)).collect::<Result<_>>()?
                    }
                    false => Vec::new(),
                };
                for row in 0..rows {
                    if self.kind == Kind::ToJson {
                        finish((!arrays[0].is_null(row)).then(|| written[0].of(row).to_string()));
                        continue;
                    }
                    let mut text = String::from(if named { "{" } else { "[" });
                    for (index, value) in written.iter().enumerate() {
                        match (named, index % 2) {
                            (true, 0) => {
                                let key = keys[index].as_string::<i32>();
                                if key.is_null(row) {
                                    return exec_err!("argument {} must not be null", index + 1);
                                }
                                text.push_str(if index > 0 { comma } else { "" });
                                let _ = write!(text, "{}{colon}", quoted(key.value(row)));
                            }
                            (true, _) => text.push_str(value.of(row)),
                            (false, _) => {
                                text.push_str(if index > 0 { ", " } else { "" });
                                text.push_str(value.of(row));
                            }
                        }
                    }
                    text.push(if named { '}' } else { ']' });
                    finish(Some(text));
                }
            }
        }
        Ok(ColumnarValue::Array(Arc::new(out.finish())))
    }

    fn read(&self, arrays: &[ArrayRef], rows: usize) -> Result<ColumnarValue> {
        // What is nested here is a document to PostgreSQL's clients.
        let documents = match arrays[0].data_type() {
            data_type if data_type.is_nested() => {
                json_texts(&arrays[0]).map_err(laguna_query::errors::external)?
            }
            _ => cast(&arrays[0], &DataType::Utf8)?.as_string().clone(),
        };
        let document = |row: usize| -> Result<Option<&str>> {
            if documents.is_null(row) {
                return Ok(None);
            }
            checked(documents.value(row)).map(Some)
        };
        let steps = |row: usize| -> Result<Option<Vec<Step>>> { self.steps(&arrays[1..], row) };
        let array: ArrayRef = match self.kind {
            Kind::Json | Kind::Jsonb => {
                let mut out = StringBuilder::new();
                for row in 0..rows {
                    out.append_option(match (document(row)?, self.kind) {
                        (Some(text), Kind::Jsonb) => normal(text),
                        (text, _) => text.map(str::to_string),
                    });
                }
                Arc::new(out.finish())
            }
            Kind::Get | Kind::Path | Kind::GetText | Kind::PathText => {
                let mut out = StringBuilder::new();
                for row in 0..rows {
                    let found = match (document(row)?, steps(row)?) {
                        (Some(text), Some(steps)) => {
                            steps.iter().try_fold(text, |text, step| find(text, step))
                        }
                        _ => None,
                    };
                    out.append_option(match self.kind {
                        Kind::Get | Kind::Path => found.map(str::to_string),
                        _ => found.and_then(plain),
                    });
                }
                Arc::new(out.finish())
            }
            Kind::Length => {
                let mut out = Vec::with_capacity(rows);
                for row in 0..rows {
                    out.push(match document(row)?.map(|text| (text.starts_with('['), items(text).len())) {
                        None => None,
                        Some((true, count)) => Some(count as i32),
                        Some(_) => return exec_err!("cannot get array length of a non-array"),
                    });
                }
                Arc::new(Int32Array::from(out))
            }
            Kind::TypeOf => {
                let mut out = StringBuilder::new();
                for row in 0..rows {
                    out.append_option(document(row)?.map(type_of));
                }
                Arc::new(out.finish())
            }
            Kind::Pretty => {
                let mut out = StringBuilder::new();
                for row in 0..rows {
                    out.append_option(document(row)?.map(|text| pretty(&sorted(text))));
                }
                Arc::new(out.finish())
            }
            Kind::Has => {
                let keys = cast(&arrays[1], &DataType::Utf8)?;
                let keys = keys.as_string::<i32>();
                let mut out = Vec::with_capacity(rows);
                for row in 0..rows {
                    out.push(
                        document(row)?.filter(|_| !keys.is_null(row)).map(|text| has(text, keys.value(row))),
                    );
                }
                Arc::new(BooleanArray::from(out))
            }
            Kind::Contains => {
                let others = cast(&arrays[1], &DataType::Utf8)?;
                let others = others.as_string::<i32>();
                let mut out = Vec::with_capacity(rows);
                for row in 0..rows {
                    let both = document(row)?.filter(|_| !others.is_null(row));
                    out.push(match both {
                        Some(text) => {
                            Some(contains(&sorted(text), &sorted(checked(others.value(row))?), true))
                        }
                        None => None,
                    });
                }
                Arc::new(BooleanArray::from(out))
            }
            _ => {
                let mut out = ListBuilder::new(StringBuilder::new());
                for row in 0..rows {
                    let Some(text) = document(row)? else {
                        out.append(false);
                        continue;
                    };
                    let of_array = matches!(self.kind, Kind::Elements | Kind::ElementsText);
                    if text.starts_with('[') != of_array || !text.starts_with(['[', '{']) {
                        let wanted =
                            if of_array { "elements from a non-array" } else { "keys of a non-object" };
                        return exec_err!("cannot extract {wanted}");
                    }
                    for (key, value) in items(text) {
                        out.values().append_option(match self.kind {
                            Kind::Keys => key.and_then(plain),
                            Kind::ElementsText | Kind::ValuesText => plain(value),
                            _ => Some(value.to_string()),
                        });
                    }
                    out.append(true);
                }
                Arc::new(out.finish())
            }
        };
        Ok(ColumnarValue::Array(array))
    }

    /// Where to look in a row; `None` when one of it is null.
    fn steps(&self, arguments: &[ArrayRef], row: usize) -> Result<Option<Vec<Step>>> {
        let path = matches!(self.kind, Kind::Path | Kind::PathText | Kind::Set);
        let mut steps = Vec::new();
        for argument in arguments {
            if argument.is_null(row) {
                return Ok(None);
            }
            match argument.data_type() {
                number if number.is_integer() => {
                    let index = cast(&argument.slice(row, 1), &DataType::Int64)?;
                    steps.push(Step::Index(index.as_primitive::<arrow::datatypes::Int64Type>().value(0)));
                }
                DataType::List(_) => {
                    let words = cast(&argument.as_list::<i32>().value(row), &DataType::Utf8)?;
                    steps.extend(words.as_string::<i32>().iter().flatten().map(Step::either));
                }
                _ => {
                    let word = cast(&argument.slice(row, 1), &DataType::Utf8)?;
                    let word = word.as_string::<i32>().value(0);
                    match word.strip_prefix('{').and_then(|word| word.strip_suffix('}')).filter(|_| path) {
                        Some("") => {}
                        Some(words) => steps
                            .extend(words.split(',').map(|word| Step::either(word.trim().trim_matches('"')))),
                        None if path => steps.push(Step::either(word)),
                        None => steps.push(Step::Key(word.to_string())),
                    }
                }
            }
        }
        Ok(Some(steps))
    }
}
