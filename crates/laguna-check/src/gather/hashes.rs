//! Hashes of 128 bits over several columns, in two halves.
//!
//! DataFusion hashes one column well; of several it adds the hashes up, so that values may change places among them, and
//! it passes by nulls. Here each column is hashed alone, and folded into those before it by a product of 128 bits: what
//! comes out hangs on the order of the columns, and a missing value is a value of its own.

use arrow::array::{Array, ArrayRef, AsArray, GenericListArray, OffsetSizeTrait};
use arrow::datatypes::DataType;
use datafusion::common::hash_utils::{RandomState, create_hashes};
use laguna_base::Result;

use crate::view::failed;

/// One half of the hashes: how values are hashed, and how they are joined.
struct Half {
    state: RandomState,
    /// Odd numbers without a pattern: digits of the golden ratio, of e, of pi and of the root of two.
    step: u64,
    fold: u64,
    /// Stands for a missing value.
    missing: u64,
}

/// One hash of 128 bits a row over all `arrays`, in two halves.
pub(crate) fn wide_hashes(arrays: &[ArrayRef], rows: usize) -> Result<(Vec<u64>, Vec<u64>)> {
    let low = Half {
        state: RandomState::with_seed(0x6c61_6775_6e61),
        step: 0x9e37_79b9_7f4a_7c15,
        fold: 0xb7e1_5162_8aed_2a6b,
        missing: 0x243f_6a88_85a3_08d3,
    };
    let high = Half {
        state: RandomState::with_seed(0x6c61_6b65),
        step: 0x1319_8a2e_0370_7345,
        fold: 0xa409_3822_299f_31d1,
        missing: 0x6a09_e667_f3bc_c909,
    };
    Ok((low.of_all(arrays, rows)?, high.of_all(arrays, rows)?))
}

impl Half {
    fn of_all(&self, arrays: &[ArrayRef], rows: usize) -> Result<Vec<u64>> {
        let Some((first, others)) = arrays.split_first() else { return Ok(vec![0; rows]) };
        let mut joined = self.of_one(first)?;
        for array in others {
            let next = self.of_one(array)?;
            joined.iter_mut().zip(next).for_each(|(joined, next)| *joined = self.join(*joined, next));
        }
        Ok(joined)
    }

    /// The hash of what came before, and of what follows it.
    #[inline]
    fn join(&self, before: u64, next: u64) -> u64 {
        let wide = u128::from(before.wrapping_mul(self.step).wrapping_add(next)) * u128::from(self.fold);
        wide as u64 ^ (wide >> 64) as u64
    }

    fn of_one(&self, array: &ArrayRef) -> Result<Vec<u64>> {
        let mut hashes = match array.data_type() {
            DataType::Struct(_) => self.of_all(array.as_struct().columns(), array.len())?,
            DataType::List(_) => self.of_lists(array.as_list::<i32>())?,
            DataType::LargeList(_) => self.of_lists(array.as_list::<i64>())?,
            _ => {
                let mut hashes = vec![0; array.len()];
                create_hashes([array], &self.state, &mut hashes).map_err(failed)?;
                hashes
            }
        };
        if let Some(nulls) = array.logical_nulls().filter(|nulls| nulls.null_count() > 0) {
            hashes.iter_mut().zip(nulls.iter()).filter(|(_, valid)| !valid).for_each(|(hash, _)| {
                *hash = self.missing;
            });
        }
        Ok(hashes)
    }

    /// A list is its length and its elements, in order.
    fn of_lists<O: OffsetSizeTrait>(&self, lists: &GenericListArray<O>) -> Result<Vec<u64>> {
        let elements = self.of_one(lists.values())?;
        let ends = lists.offsets().windows(2);
        Ok(ends
            .map(|ends| {
                let elements = &elements[ends[0].as_usize()..ends[1].as_usize()];
                elements.iter().fold(elements.len() as u64, |joined, next| self.join(joined, *next))
            })
            .collect())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::sync::Arc;

    use arrow::array::{
        BooleanArray, Date32Array, Float64Array, Int64Array, ListArray, StringArray, StructArray,
    };
    use arrow::datatypes::{Field, Int64Type};

    use super::*;

    fn of(columns: Vec<ArrayRef>) -> Vec<(u64, u64)> {
        let rows = columns[0].len();
        let (low, high) = wide_hashes(&columns, rows).unwrap();
        low.into_iter().zip(high).collect()
    }

    /// Each row's hash differs from all others', in each of its halves.
    #[track_caller]
    fn all_differ(columns: Vec<ArrayRef>) {
        let hashes = of(columns);
        let halves = |half: fn(&(u64, u64)) -> u64| hashes.iter().map(half).collect::<HashSet<u64>>().len();
        assert_eq!((halves(|hash| hash.0), halves(|hash| hash.1)), (hashes.len(), hashes.len()));
    }

    #[test]
    fn values_that_change_places_are_other_keys() {
        // Every triple over three values and null: none is another one.
        let each = |at: usize| (0..64usize).map(move |row| row >> (2 * at) & 3);
        let texts =
            |at| Arc::new(StringArray::from_iter(each(at).map(|v| ["p", "q", "t"].get(v)))) as ArrayRef;
        all_differ(vec![texts(0), texts(1), texts(2)]);
        let wholes =
            |at| Arc::new(Int64Array::from_iter(each(at).map(|v| (v < 3).then_some(v as i64)))) as ArrayRef;
        all_differ(vec![wholes(0), wholes(1), wholes(2)]);
        let floats = |at| {
            Arc::new(Float64Array::from_iter(each(at).map(|v| (v < 3).then_some(v as f64 / 2.0)))) as ArrayRef
        };
        all_differ(vec![floats(0), floats(1), floats(2)]);
        let dates = |at| {
            Arc::new(Date32Array::from_iter(each(at).map(|v| (v < 3).then_some(19_000 + v as i32))))
                as ArrayRef
        };
        all_differ(vec![dates(0), dates(1), dates(2)]);
        let three = |at: usize| (0..27usize).map(move |row| row / 3usize.pow(at as u32) % 3);
        let flags = |at| {
            Arc::new(BooleanArray::from_iter(three(at).map(|v| [None, Some(true), Some(false)][v])))
                as ArrayRef
        };
        all_differ(vec![flags(0), flags(1), flags(2)]);
    }

    #[test]
    fn fields_and_elements_keep_their_places() {
        let texts = |values: [&str; 2]| Arc::new(StringArray::from(values.to_vec())) as ArrayRef;
        let fields = ["a", "b", "c"].map(|name| Arc::new(Field::new(name, DataType::Utf8, true)));
        let columns = [texts(["x", "x"]), texts(["p", "q"]), texts(["q", "p"])];
        all_differ(vec![Arc::new(StructArray::from(fields.into_iter().zip(columns).collect::<Vec<_>>()))]);
        let lists =
            [vec![Some(1), Some(2)], vec![Some(2), Some(1)], vec![Some(1), None], vec![None, Some(1)]];
        let lists = lists.into_iter().map(Some).chain([Some(vec![Some(1)]), Some(vec![]), None]);
        all_differ(vec![Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>(lists))]);
    }

    #[test]
    fn equal_rows_have_equal_hashes_wherever_they_stand() {
        let a: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), None, Some(1), None]));
        let b: ArrayRef = Arc::new(StringArray::from(vec![None, Some("x"), None, Some("x")]));
        let whole = of(vec![a.clone(), b.clone()]);
        assert_eq!((whole[0], whole[1]), (whole[2], whole[3]));
        assert_eq!(of(vec![a.slice(2, 2), b.slice(2, 2)]), whole[2..]);
    }
}
