//! `pg_ordered(list, order)`: the items of a list in an order, for statements whose aggregates want several, of which the
//! engine knows one at a time. Items are values, or structs of a value and its keys.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray, UInt32Array, make_array};
use arrow::compute::{SortColumn, SortOptions, concat, lexsort_to_indices, take};
use arrow::datatypes::{DataType, Field, FieldRef, UInt32Type};
use datafusion::common::{Result, exec_err, plan_err};
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

#[derive(Debug, PartialEq, Eq, Hash)]
struct Ordered(Signature);

pub(super) fn ordered() -> ScalarUDF {
    ScalarUDF::from(Ordered(Signature::any(2, Volatility::Immutable)))
}

/// The field of the items of a result.
fn item_of(data_type: &DataType) -> Result<FieldRef> {
    match data_type {
        DataType::List(item) => Ok(match item.data_type() {
            DataType::Struct(fields) if !fields.is_empty() => {
                Arc::new(Field::new_list_field(fields[0].data_type().clone(), true))
            }
            _ => item.clone(),
        }),
        other => plan_err!("pg_ordered is of lists, not of {other}"),
    }
}

impl ScalarUDFImpl for Ordered {
    fn name(&self) -> &str {
        "pg_ordered"
    }

    fn signature(&self) -> &Signature {
        &self.0
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        item_of(&types[0]).map(DataType::List)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let lists = args.args[0].to_array(args.number_rows)?;
        let item = item_of(lists.data_type())?;
        let lists = lists.as_list::<i32>();
        let ColumnarValue::Scalar(order) = &args.args[1] else { return exec_err!("an order is written out") };
        let options: Vec<SortOptions> =
            order.try_as_str().flatten().unwrap_or_default().split(',').map(options).collect();
        // Values and keys of all lists, side by side.
        let (values, keys): (ArrayRef, Vec<ArrayRef>) = match lists.values().data_type() {
            DataType::Struct(_) => {
                let rows = lists.values().as_struct();
                (rows.column(0).clone(), rows.columns()[1..].to_vec())
            }
            _ => (lists.values().clone(), vec![lists.values().clone()]),
        };
        let mut places: Vec<ArrayRef> = Vec::with_capacity(lists.len());
        for row in 0..lists.len() {
            let (start, length) = (lists.value_offsets()[row] as usize, lists.value_length(row) as usize);
            if length == 0 {
                continue;
            }
            let columns: Vec<SortColumn> = keys
                .iter()
                .zip(&options)
                .map(|(key, options)| SortColumn {
                    values: key.slice(start, length),
                    options: Some(*options),
                })
                .collect();
            let sorted = lexsort_to_indices(&columns, None)?;
            places.push(Arc::new(sorted.unary::<_, UInt32Type>(|place| place + start as u32)));
        }
        let places: ArrayRef = match places.is_empty() {
            true => Arc::new(UInt32Array::from(Vec::<u32>::new())),
            false => concat(&places.iter().map(AsRef::as_ref).collect::<Vec<_>>())?,
        };
        let items = make_array(take(&values, &places, None)?.to_data());
        let offsets = arrow::buffer::OffsetBuffer::from_lengths(
            (0..lists.len()).map(|row| lists.value_length(row) as usize),
        );
        Ok(ColumnarValue::Array(Arc::new(ListArray::new(item, offsets, items, lists.nulls().cloned()))))
    }
}

/// `a` and `d` for the direction, `f` and `l` for where nulls are: `al`.
fn options(written: &str) -> SortOptions {
    SortOptions { descending: written.starts_with('d'), nulls_first: written.ends_with('f') }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_are_read() {
        assert_eq!(options("al"), SortOptions { descending: false, nulls_first: false });
        assert_eq!(options("df"), SortOptions { descending: true, nulls_first: true });
    }
}
