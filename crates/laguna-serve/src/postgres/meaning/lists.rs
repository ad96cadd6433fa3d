//! Ordered-set aggregates, over the list of what they order: `mode`, `percentile_disc` and `percentile_cont` of several shares.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, ListArray, UInt64Array, new_null_array};
use arrow::buffer::OffsetBuffer;
use arrow::compute::{SortOptions, cast, concat, partition, sort_to_indices, take};
use arrow::datatypes::{DataType, Field, Float64Type};
use datafusion::common::{Result, exec_err, plan_err};
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    Mode,
    Discrete,
    Continuous,
}

/// `pg_mode(list, descending)`, `pg_percentile_disc(list, descending, shares)` and `pg_percentile_cont(…)`.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Ordered {
    kind: Kind,
    signature: Signature,
}

pub(super) fn functions() -> Vec<ScalarUDF> {
    let all = [(Kind::Mode, 2), (Kind::Discrete, 3), (Kind::Continuous, 3)];
    let function = |(kind, count)| {
        ScalarUDF::from(Ordered { kind, signature: Signature::any(count, Volatility::Immutable) })
    };
    let single = ScalarUDF::from(Single(Signature::any(1, Volatility::Immutable)));
    all.into_iter().map(function).chain([single]).collect()
}

/// `pg_single(list)`: the one item of what a subquery that stands for a value has found.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Single(Signature);

impl ScalarUDFImpl for Single {
    fn name(&self) -> &str {
        "pg_single"
    }

    fn signature(&self) -> &Signature {
        &self.0
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        match item_of(&types[0]) {
            Some(item) => Ok(item.data_type().clone()),
            None => plan_err!("pg_single is of a list"),
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let lists = args.args[0].to_array(args.number_rows)?;
        let Some(item) = item_of(lists.data_type()) else { return exec_err!("pg_single is of a list") };
        let lists = cast(&lists, &DataType::List(item.clone()))?;
        let lists = lists.as_list::<i32>();
        let mut places = Vec::with_capacity(lists.len());
        for row in 0..lists.len() {
            let count = if lists.is_null(row) { 0 } else { lists.value_length(row) };
            places.push(match count {
                0 => None,
                1 => Some(lists.value_offsets()[row] as u64),
                _ => return exec_err!("more than one row returned by a subquery used as an expression"),
            });
        }
        Ok(ColumnarValue::Array(take(lists.values(), &UInt64Array::from(places), None)?))
    }
}

fn item_of(data_type: &DataType) -> Option<&Arc<Field>> {
    match data_type {
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => Some(item),
        _ => None,
    }
}

impl ScalarUDFImpl for Ordered {
    fn name(&self) -> &str {
        match self.kind {
            Kind::Mode => "pg_mode",
            Kind::Discrete => "pg_percentile_disc",
            Kind::Continuous => "pg_percentile_cont",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        let Some(item) = item_of(&types[0]) else { return plan_err!("{} is of a list", self.name()) };
        let one = if self.kind == Kind::Continuous { &DataType::Float64 } else { item.data_type() };
        Ok(match types.get(2).and_then(item_of) {
            Some(_) => DataType::List(Arc::new(Field::new_list_field(one.clone(), true))),
            None => one.clone(),
        })
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rows = args.number_rows;
        let lists = args.args[0].to_array(rows)?;
        let Some(item) = item_of(lists.data_type()) else { return exec_err!("{} is of a list", self.name()) };
        let lists = cast(&lists, &DataType::List(item.clone()))?;
        let lists = lists.as_list::<i32>();
        let descending = cast(&args.args[1].to_array(rows)?, &DataType::Boolean)?;
        let descending = descending.as_boolean();
        let shares = args.args.get(2).map(|shares| shares.to_array(rows)).transpose()?;
        let many = shares.as_ref().is_some_and(|shares| item_of(shares.data_type()).is_some());
        let one = match args.return_field.data_type() {
            DataType::List(item) if many => item.data_type().clone(),
            other => other.clone(),
        };
        let (mut parts, mut lengths, mut present) = (Vec::new(), Vec::new(), Vec::new());
        for row in 0..rows {
            let wanted = match &shares {
                None => vec![Some(0.0)],
                Some(shares) => of_row(shares, row)?,
            };
            let found = match lists.is_null(row) {
                true => new_null_array(&one, wanted.len()),
                false => self.of(&lists.value(row), descending.value(row), &wanted, &one)?,
            };
            present.push(!lists.is_null(row));
            lengths.push(found.len());
            parts.push(found);
        }
        let parts: Vec<&dyn Array> = parts.iter().map(AsRef::as_ref).collect();
        let values = if parts.is_empty() { new_null_array(&one, 0) } else { concat(&parts)? };
        Ok(ColumnarValue::Array(match many {
            true => {
                let item = Arc::new(Field::new_list_field(one, true));
                Arc::new(ListArray::try_new(
                    item,
                    OffsetBuffer::from_lengths(lengths),
                    values,
                    Some(present.into()),
                )?)
            }
            false => values,
        }))
    }
}

/// The shares that are asked for in a row.
fn of_row(shares: &ArrayRef, row: usize) -> Result<Vec<Option<f64>>> {
    let numbers = match item_of(shares.data_type()) {
        Some(item) => cast(
            &cast(shares, &DataType::List(item.clone()))?.as_list::<i32>().value(row),
            &DataType::Float64,
        )?,
        None => cast(&shares.slice(row, 1), &DataType::Float64)?,
    };
    let numbers: Vec<Option<f64>> = numbers.as_primitive::<Float64Type>().iter().collect();
    match numbers.iter().flatten().find(|share| !(0.0..=1.0).contains(*share)) {
        Some(share) => exec_err!("percentile value {share} is not between 0 and 1"),
        None => Ok(numbers),
    }
}

impl Ordered {
    fn of(
        &self,
        values: &ArrayRef,
        descending: bool,
        shares: &[Option<f64>],
        one: &DataType,
    ) -> Result<ArrayRef> {
        let count = values.len() - values.logical_null_count();
        if count == 0 {
            return Ok(new_null_array(one, shares.len()));
        }
        let order = SortOptions { descending, nulls_first: false };
        let sorted = take(values, &sort_to_indices(values, Some(order), None)?, None)?.slice(0, count);
        match self.kind {
            Kind::Mode => {
                let runs = partition(std::slice::from_ref(&sorted))?.ranges();
                // The first of the longest.
                let longest = runs.iter().map(|run| run.len()).max().unwrap_or(0);
                let start = runs.iter().find(|run| run.len() == longest).map_or(0, |run| run.start);
                Ok(sorted.slice(start, 1))
            }
            Kind::Discrete => {
                let places = shares
                    .iter()
                    .map(|share| share.map(|share| ((share * count as f64).ceil() as u64).max(1) - 1));
                Ok(take(&sorted, &places.collect::<UInt64Array>(), None)?)
            }
            Kind::Continuous => {
                let numbers = cast(&sorted, &DataType::Float64)?;
                let numbers = numbers.as_primitive::<Float64Type>();
                let between = |share: f64| {
                    let place = share * (count - 1) as f64;
                    let (below, above) =
                        (numbers.value(place.floor() as usize), numbers.value(place.ceil() as usize));
                    below + (above - below) * place.fract()
                };
                Ok(Arc::new(shares.iter().map(|share| share.map(between)).collect::<Float64Array>()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::Int64Array;

    use super::*;

    #[test]
    fn places_are_found_among_what_is_not_null() {
        let values: ArrayRef = Arc::new(Int64Array::from(vec![Some(3), None, Some(1), Some(3), Some(2)]));
        let of = |kind, shares: &[Option<f64>], one: DataType| {
            Ordered { kind, signature: Signature::any(3, Volatility::Immutable) }
                .of(&values, false, shares, &one)
                .unwrap()
        };
        let found = of(Kind::Discrete, &[Some(0.5), Some(0.0), None, Some(1.0)], DataType::Int64);
        assert_eq!(found.as_ref(), &Int64Array::from(vec![Some(2), Some(1), None, Some(3)]) as &dyn Array);
        let found = of(Kind::Continuous, &[Some(0.5)], DataType::Float64);
        assert_eq!(found.as_ref(), &Float64Array::from(vec![2.5]) as &dyn Array);
        let found = of(Kind::Mode, &[Some(0.0)], DataType::Int64);
        assert_eq!(found.as_ref(), &Int64Array::from(vec![3]) as &dyn Array);
    }
}
