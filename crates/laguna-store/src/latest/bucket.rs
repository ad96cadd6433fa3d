//! Which bucket a key falls into: the same in every version of Laguna, because files are cut by it.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, UInt32Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type, SchemaRef};
use arrow::error::ArrowError;
use datafusion::common::cast::as_string_array;
use datafusion::logical_expr::{ColumnarValue, ScalarUDF, Volatility, create_udf};
use twox_hash::XxHash3_64;

use super::LatestRule;

/// Rows that a bucket is meant to hold; few in tests, so that they cut tables into many.
pub(super) const ROWS: u64 = if cfg!(test) { 2 } else { 2_000_000 };

/// Buckets for a table of `rows`; a power of two that never shrinks, and grows only when the mean bucket holds more
/// than twice what it is meant to.
pub(super) fn count_for(rows: u64, now: u32) -> u32 {
    let now = now.max(1);
    if rows <= u64::from(now) * ROWS * 2 {
        return now;
    }
    u32::try_from(rows.div_ceil(ROWS).next_power_of_two()).unwrap_or(1 << 31).max(now)
}

/// The bucket of each row: a hash of its key columns modulo `count`.
pub(super) fn buckets(keys: &[ArrayRef], count: u32) -> Result<UInt32Array, ArrowError> {
    let rows = keys.first().map_or(0, |key| key.len());
    let mut hashes = vec![0u64; rows];
    for key in keys {
        add(&mut hashes, key)?;
    }
    let mask = u64::from(count - 1);
    Ok(UInt32Array::from_iter_values(hashes.into_iter().map(|hash| (hash & mask) as u32)))
}

/// Mixes the hashes of `column` into `hashes`. Whole numbers and times by their value, everything else by its text.
fn add(hashes: &mut [u64], column: &ArrayRef) -> Result<(), ArrowError> {
    let number = column.data_type().is_integer()
        || matches!(column.data_type(), DataType::Date32 | DataType::Timestamp(_, _));
    if number {
        let values = match column.data_type() {
            DataType::Date32 => cast(&cast(column, &DataType::Int32)?, &DataType::Int64)?,
            _ => cast(column, &DataType::Int64)?,
        };
        let values = values.as_primitive::<Int64Type>();
        for (row, hash) in hashes.iter_mut().enumerate() {
            mix(hash, values.is_valid(row).then(|| values.value(row).to_le_bytes()).as_ref().map(|b| &b[..]));
        }
    } else {
        let values = cast(column, &DataType::Utf8)?;
        let values = as_string_array(&values)?;
        for (row, hash) in hashes.iter_mut().enumerate() {
            mix(hash, values.is_valid(row).then(|| values.value(row).as_bytes()));
        }
    }
    Ok(())
}

fn mix(hash: &mut u64, value: Option<&[u8]>) {
    *hash = match value {
        Some(bytes) => XxHash3_64::oneshot_with_seed(*hash, bytes),
        None => hash.wrapping_add(0x9e37_79b9_7f4a_7c15).rotate_left(17),
    };
}

/// [`buckets`] as a function of SQL over the key columns of `schema`.
pub(super) fn function(rule: &LatestRule, schema: &SchemaRef, count: u32) -> Arc<ScalarUDF> {
    let types: Vec<DataType> = rule
        .key
        .iter()
        .filter_map(|key| schema.fields().find(key))
        .map(|(_, field)| field.data_type().clone())
        .collect();
    let implementation = move |arguments: &[ColumnarValue]| {
        let keys = ColumnarValue::values_to_arrays(arguments)?;
        let buckets = buckets(&keys, count).map_err(datafusion::error::DataFusionError::from)?;
        Ok(ColumnarValue::Array(Arc::new(buckets)))
    };
    Arc::new(create_udf(
        "key_bucket",
        types,
        DataType::UInt32,
        Volatility::Immutable,
        Arc::new(implementation),
    ))
}
