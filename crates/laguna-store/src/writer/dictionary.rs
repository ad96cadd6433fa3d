//! How columns of many different values are encoded. They are not worth a Parquet dictionary: looking up each of their
//! values costs a tenth of a landing, only for the dictionary to be given up when it is full. Whole numbers are kept as
//! packed differences instead, which takes half the bytes and a fraction of the time to compress.

use std::collections::HashSet;

use arrow::array::{Array, ArrayRef, RecordBatch};
use arrow::datatypes::DataType;
use datafusion::common::hash_utils::{RandomState, create_hashes};
use parquet::basic::Encoding;
use parquet::file::properties::WriterPropertiesBuilder;
use parquet::schema::types::ColumnPath;

use super::GROUP_ROWS;

/// Rows that are looked at.
const SAMPLE: usize = 1 << 15;

/// Fewer rows than this say too little.
const LEAST: usize = 4096;

/// A dictionary that would have this many bytes in a row group is not begun. The encoder gives up at 1 MiB; the
/// estimate is allowed to err fourfold.
const TOO_LARGE: f64 = (4 << 20) as f64;

/// Sets the encoding of those columns of a file that begins with `batch` whose dictionary would be too large.
pub(super) fn choose(
    batch: &RecordBatch,
    mut properties: WriterPropertiesBuilder,
) -> WriterPropertiesBuilder {
    for (column, data_type) in useless(batch) {
        if data_type.is_integer() || data_type.is_temporal() {
            properties = properties.set_column_encoding(column.clone(), Encoding::DELTA_BINARY_PACKED);
        }
        properties = properties.set_column_dictionary_enabled(column, false);
    }
    properties
}

/// Columns whose dictionary would be too large, and their types.
fn useless(batch: &RecordBatch) -> Vec<(ColumnPath, DataType)> {
    let rows = batch.num_rows().min(SAMPLE);
    if rows < LEAST {
        return Vec::new();
    }
    let schema = batch.schema();
    let columns = schema.fields().iter().zip(batch.columns());
    let large = columns.filter(|(_, column)| {
        width(column).is_some_and(|width| distinct_in_group(&column.slice(0, rows)) * width > TOO_LARGE)
    });
    large.map(|(field, _)| (ColumnPath::new(vec![field.name().clone()]), field.data_type().clone())).collect()
}

/// Bytes of a value; `None` for types that are left as they are.
fn width(column: &ArrayRef) -> Option<f64> {
    match column.data_type() {
        DataType::Utf8 | DataType::Binary => {
            Some(4.0 + column.get_buffer_memory_size() as f64 / column.len() as f64)
        }
        DataType::Boolean => None,
        other => other.primitive_width().map(|bytes| bytes as f64),
    }
}

/// How many different values a whole row group may have: their number grows from the first half of the sample to all
/// of it by some power, and is taken to go on growing so.
fn distinct_in_group(sample: &ArrayRef) -> f64 {
    let mut hashes = vec![0u64; sample.len()];
    let columns = std::slice::from_ref(sample);
    if create_hashes(columns, &RandomState::with_seed(0), &mut hashes).is_err() {
        return 0.0;
    }
    let (half, rest) = hashes.split_at(hashes.len() / 2);
    let mut seen: HashSet<u64> = half.iter().copied().collect();
    let before = seen.len() as f64;
    seen.extend(rest);
    let after = seen.len() as f64;
    let power = (after / before).log2();
    after * (GROUP_ROWS as f64 / sample.len() as f64).powf(power)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Float64Array, Int64Array, StringArray};

    use super::*;

    #[test]
    fn only_columns_of_many_values_lose_their_dictionary() {
        let rows = 10_000i64;
        let scattered = |row: i64, values: i64| (row * 7_919 + 13) % values;
        let batch = RecordBatch::try_from_iter([
            ("key", Arc::new(Int64Array::from_iter_values(0..rows)) as ArrayRef),
            ("few", Arc::new(Int64Array::from_iter_values((0..rows).map(|row| scattered(row, 50))))),
            ("some", Arc::new(Int64Array::from_iter_values((0..rows).map(|row| scattered(row, 3_000))))),
            ("price", Arc::new(Float64Array::from_iter_values((0..rows).map(|row| row as f64 * 1.7)))),
            ("text", Arc::new(StringArray::from_iter_values((0..rows).map(|row| format!("comment {row}"))))),
            ("word", Arc::new(StringArray::from_iter_values((0..rows).map(|row| format!("w{}", row % 9))))),
        ])
        .unwrap();
        let names: Vec<String> = useless(&batch).iter().map(|(path, _)| path.string()).collect();
        assert_eq!(names, ["key", "price", "text"]);
        assert!(useless(&batch.slice(0, 100)).is_empty());
    }
}
