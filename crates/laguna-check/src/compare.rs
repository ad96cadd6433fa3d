//! Columns against columns: which values of two columns are equal, or larger, as pandas sees it.

use std::collections::HashMap;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray};
use arrow::buffer::BooleanBuffer;
use arrow::compute::cast;
use arrow::compute::kernels::cmp;
use arrow::datatypes::{DataType, Float64Type};
use laguna_base::Result;
use serde_json::Value;

use crate::gather::canonical;
use crate::gather::counts::{Wholes, wholes};
use crate::value::{is_temporal, member, whole_scale};
use crate::view::failed;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Comparison {
    Equal,
    Greater,
    GreaterOrEqual,
}

/// The type behind a dictionary.
pub(crate) fn plain(data_type: &DataType) -> &DataType {
    match data_type {
        DataType::Dictionary(_, values) => values,
        other => other,
    }
}

/// The type in which values of both can be compared; `None` when no two of them are equal or in order.
fn common(a: &DataType, b: &DataType) -> Option<DataType> {
    let (a, b) = (plain(a), plain(b));
    let number = |t: &DataType| t.is_numeric() || matches!(t, DataType::Boolean);
    let text = |t: &DataType| t.is_string();
    if a == b {
        return (number(a) || text(a) || is_temporal(a) || a == &DataType::Null).then(|| a.clone());
    }
    if a == &DataType::Null || b == &DataType::Null {
        return Some(if a == &DataType::Null { b.clone() } else { a.clone() });
    }
    if number(a) && number(b) {
        let whole = |t: &DataType| t.is_integer() || matches!(t, DataType::Boolean);
        return Some(match (whole(a), whole(b)) {
            (true, true) if a == &DataType::UInt64 || b == &DataType::UInt64 => DataType::Decimal128(38, 0),
            (true, true) => DataType::Int64,
            _ => DataType::Float64,
        });
    }
    if text(a) && text(b) {
        return Some(DataType::LargeUtf8);
    }
    let wide = |t: &DataType| match t {
        DataType::Timestamp(unit, _) => DataType::Timestamp(*unit, None),
        _ => DataType::Timestamp(arrow::datatypes::TimeUnit::Microsecond, None),
    };
    (is_temporal(a) && is_temporal(b))
        .then(|| wide(if matches!(a, DataType::Timestamp(_, _)) { a } else { b }))
}

/// Whether values of the two types can be put in order.
pub(crate) fn comparable(a: &DataType, b: &DataType) -> bool {
    common(a, b).is_some()
}

/// Where the comparison holds; it never holds of a missing value.
pub(crate) fn holds(a: &ArrayRef, b: &ArrayRef, comparison: Comparison) -> Result<BooleanBuffer> {
    let Some(data_type) = common(a.data_type(), b.data_type()).filter(|found| found != &DataType::Null)
    else {
        return Ok(BooleanBuffer::new_unset(a.len()));
    };
    let fitted = |array: &ArrayRef| -> Result<ArrayRef> {
        Ok(if array.data_type() == &data_type {
            canonical(array)
        } else {
            canonical(&cast(array, &data_type).map_err(failed)?)
        })
    };
    let (a, b) = (fitted(a)?, fitted(b)?);
    let found: BooleanArray = match comparison {
        Comparison::Equal => cmp::eq(&a, &b),
        Comparison::Greater => cmp::gt(&a, &b),
        Comparison::GreaterOrEqual => cmp::gt_eq(&a, &b),
    }
    .map_err(failed)?;
    Ok(match found.nulls() {
        Some(nulls) => found.values() & nulls.inner(),
        None => found.values().clone(),
    })
}

/// Numbers for the values that somebody asks for: 0 for all others, 1 for a missing one.
pub(crate) struct Ids {
    form: Form,
    data_type: DataType,
    next: u32,
}

enum Form {
    Text(HashMap<String, u32>),
    Whole(HashMap<i128, u32>),
    Float(HashMap<u64, u32>),
    Nothing,
}

impl Ids {
    pub fn new(data_type: &DataType) -> Ids {
        let form = match data_type {
            t if t.is_string() => Form::Text(HashMap::new()),
            t if t.is_floating() => Form::Float(HashMap::new()),
            t if whole_scale(t).is_some() || is_temporal(t) => Form::Whole(HashMap::new()),
            _ => Form::Nothing,
        };
        Ids { form, data_type: data_type.clone(), next: 2 }
    }

    /// The number of a literal; `None` when no value of the type can equal it.
    pub fn learn(&mut self, literal: &Value) -> Option<u32> {
        if literal.is_null() {
            return Some(1);
        }
        let next = self.next;
        let known = match &mut self.form {
            Form::Nothing => return None,
            Form::Text(ids) => *ids.entry(literal.as_str()?.to_string()).or_insert(next),
            Form::Whole(ids) => *ids.entry(member(literal, &self.data_type)?).or_insert(next),
            Form::Float(ids) => {
                let float = literal.as_f64().or_else(|| literal.as_bool().map(|b| f64::from(u8::from(b))))?;
                *ids.entry((float + 0.0).to_bits()).or_insert(next)
            }
        };
        self.next += u32::from(known == next);
        Some(known)
    }

    /// The number of each value.
    pub fn of(&self, values: &ArrayRef) -> Result<Vec<u32>> {
        Ok(match &self.form {
            Form::Nothing => match values.logical_nulls() {
                Some(nulls) => nulls.iter().map(|valid| u32::from(!valid)).collect(),
                None => vec![0; values.len()],
            },
            Form::Text(ids) => {
                let id = |text: Option<&str>| text.map_or(1, |text| ids.get(text).copied().unwrap_or(0));
                match values.data_type() {
                    DataType::LargeUtf8 => values.as_string::<i64>().iter().map(id).collect(),
                    DataType::Utf8View => values.as_string_view().iter().map(id).collect(),
                    _ => values.as_string::<i32>().iter().map(id).collect(),
                }
            }
            Form::Float(ids) => {
                let floats = cast(values, &DataType::Float64).map_err(failed)?;
                let id = |float: Option<f64>| {
                    float.map_or(1, |float| ids.get(&(float + 0.0).to_bits()).copied().unwrap_or(0))
                };
                floats.as_primitive::<Float64Type>().iter().map(id).collect()
            }
            Form::Whole(ids) => {
                let id = |whole: Option<i128>| whole.map_or(1, |whole| ids.get(&whole).copied().unwrap_or(0));
                match wholes(values)? {
                    Wholes::Narrow(narrow) => narrow.iter().map(|value| id(value.map(i128::from))).collect(),
                    Wholes::Wide(wide) => wide.iter().map(id).collect(),
                }
            }
        })
    }
}
