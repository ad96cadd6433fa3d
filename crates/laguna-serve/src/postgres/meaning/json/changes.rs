//! Documents that are made of others: `||`, `-`, `jsonb_set`, `jsonb_strip_nulls`, and members of a list of documents.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListBuilder, StringBuilder};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field};
use datafusion::common::Result;
use datafusion::logical_expr::ColumnarValue;

use super::document::{self, Step, checked, find, normal, plain};
use super::{Documents, Kind};

/// A member of each document of a list, as text.
pub(super) fn members(arrays: &[ArrayRef]) -> Result<ArrayRef> {
    let texts = DataType::List(Arc::new(Field::new_list_field(DataType::Utf8, true)));
    let lists = cast(&arrays[0], &texts)?;
    let lists = lists.as_list::<i32>();
    let keys = cast(&arrays[1], &DataType::Utf8)?;
    let keys = keys.as_string::<i32>();
    let mut out = ListBuilder::new(StringBuilder::new());
    for (row, list) in lists.iter().enumerate() {
        let Some(list) = list.filter(|_| !keys.is_null(row)) else {
            out.append(false);
            continue;
        };
        let step = Step::Key(keys.value(row).to_string());
        for document in list.as_string::<i32>().iter() {
            out.values().append_option(document.and_then(|document| find(document, &step)).and_then(plain));
        }
        out.append(true);
    }
    Ok(Arc::new(out.finish()))
}

impl Documents {
    /// Documents that are made of others.
    pub(super) fn change(&self, arrays: &[ArrayRef], rows: usize) -> Result<ColumnarValue> {
        let texts: Vec<ArrayRef> =
            arrays.iter().map(|array| Ok(cast(array, &DataType::Utf8)?)).collect::<Result<_>>()?;
        let of = |argument: usize, row: usize| {
            let texts = texts[argument].as_string::<i32>();
            (!texts.is_null(row)).then(|| texts.value(row))
        };
        let mut out = StringBuilder::new();
        for row in 0..rows {
            let Some(document) = of(0, row) else {
                out.append_null();
                continue;
            };
            let document = checked(document)?;
            let changed = match self.kind {
                Kind::StripNulls => Some(document::without_nulls(document)),
                Kind::Concat => match of(1, row) {
                    Some(other) => Some(document::joined(document, checked(other)?)),
                    None => None,
                },
                Kind::Set => match (self.steps(&arrays[1..2], row)?, of(2, row)) {
                    (Some(path), Some(value)) => Some(document::with(document, &path, checked(value)?)),
                    _ => None,
                },
                _ if arrays[1].data_type().is_integer() => of(1, row)
                    .and_then(|index| index.parse().ok())
                    .map(|index| document::without_index(document, index)),
                _ => of(1, row).map(|key| document::without(document, key)),
            };
            out.append_option(match self.binary {
                true => changed.and_then(|text| normal(&text)),
                false => changed,
            });
        }
        Ok(ColumnarValue::Array(Arc::new(out.finish())))
    }
}
