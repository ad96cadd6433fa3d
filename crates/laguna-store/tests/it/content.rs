//! The content hash: blind to order, splits and encodings, and to nothing else.

use std::sync::Arc;

use arrow::array::*;
use arrow::buffer::OffsetBuffer;
use arrow::compute::{cast, concat_batches, take_record_batch};
use arrow::datatypes::{DataType, Field, Fields, Int32Type};
use laguna_store::content::ContentHash;
use proptest::prelude::*;

type Row = (Option<i64>, Option<String>, Option<f64>, Option<Vec<Option<i32>>>);

fn hash(batch: &RecordBatch) -> ContentHash {
    let mut hash = ContentHash::default();
    hash.update(batch);
    hash
}

fn table(rows: &[Row]) -> RecordBatch {
    let lists = ListArray::from_iter_primitive::<Int32Type, _, _>(rows.iter().map(|row| row.3.clone()));
    let columns: [ArrayRef; 4] = [
        Arc::new(rows.iter().map(|row| row.0).collect::<Int64Array>()),
        Arc::new(rows.iter().map(|row| row.1.clone()).collect::<StringArray>()),
        Arc::new(rows.iter().map(|row| row.2).collect::<Float64Array>()),
        Arc::new(lists),
    ];
    RecordBatch::try_from_iter(["a", "b", "c", "d"].into_iter().zip(columns)).unwrap()
}

fn one(array: impl Array + 'static) -> ContentHash {
    let array: ArrayRef = Arc::new(array);
    hash(&RecordBatch::try_from_iter([("x", array)]).unwrap())
}

fn rows() -> impl Strategy<Value = Vec<Row>> {
    let row = (
        any::<Option<i64>>(),
        proptest::option::of(".{0,40}"),
        any::<Option<f64>>(),
        proptest::option::of(proptest::collection::vec(any::<Option<i32>>(), 0..4)),
    );
    proptest::collection::vec(row, 1..40)
}

proptest! {
    #[test]
    fn order_and_splits_do_not_matter(rows in rows(), seed in any::<u64>(), cut in 0usize..40) {
        let batch = table(&rows);
        let mut order: Vec<u32> = (0..rows.len() as u32).collect();
        order.sort_by_key(|row| (u64::from(*row) + 1).wrapping_mul(seed | 1));
        let shuffled = take_record_batch(&batch, &UInt32Array::from(order)).unwrap();
        let cut = cut.min(rows.len());
        let mut parts = hash(&shuffled.slice(cut, rows.len() - cut));
        parts.merge(&hash(&shuffled.slice(0, cut)));
        prop_assert_eq!(hash(&batch), parts);
        prop_assert_eq!(hash(&concat_batches(&batch.schema(), [&batch]).unwrap()), parts);
    }

    #[test]
    fn one_changed_value_matters(rows in rows(), at in any::<prop::sample::Index>(), column in 0..4, with in rows()) {
        let mut changed = rows.clone();
        let at = at.index(rows.len());
        match column {
            0 => changed[at].0 = with[0].0,
            1 => changed[at].1 = with[0].1.clone(),
            2 => changed[at].2 = with[0].2,
            _ => changed[at].3 = with[0].3.clone(),
        }
        let same_float = |a: Option<f64>, b: Option<f64>| match (a, b) {
            (Some(a), Some(b)) => a == b || (a.is_nan() && b.is_nan()),
            (a, b) => a.is_none() && b.is_none(),
        };
        let same = rows.iter().zip(&changed).all(|(a, b)| {
            (&a.0, &a.1, &a.3) == (&b.0, &b.1, &b.3) && same_float(a.2, b.2)
        });
        prop_assert_eq!(hash(&table(&rows)) == hash(&table(&changed)), same);
    }
}

#[test]
fn encodings_of_text_hash_alike() {
    let texts =
        StringArray::from(vec![Some("a"), None, Some(""), Some("a longer text, which a view keeps apart")]);
    let plain: ArrayRef = Arc::new(texts);
    let expected = one(plain.clone());
    let dictionary = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
    for other in [DataType::LargeUtf8, DataType::Utf8View, dictionary] {
        assert_eq!(one(cast(&plain, &other).unwrap()), expected, "{other}");
    }
    assert_ne!(one(cast(&plain, &DataType::Binary).unwrap()), expected);
}

#[test]
fn null_is_neither_zero_nor_empty_nor_absent() {
    let hashes = [
        one(Int64Array::from(vec![None])),
        one(Int64Array::from(vec![0])),
        one(BooleanArray::from(vec![false])),
        one(StringArray::from(vec![""])),
        one(StringArray::from(vec!["0"])),
        one(ListArray::from_iter_primitive::<Int32Type, _, _>(vec![Some(Vec::<Option<i32>>::new())])),
        one(ListArray::from_iter_primitive::<Int32Type, _, _>(vec![Some(vec![None])])),
        one(ListArray::from_iter_primitive::<Int32Type, _, _>(vec![Some(vec![None, None])])),
        one(Int64Array::from(vec![None, None])),
        ContentHash::default(),
    ];
    for (at, left) in hashes.iter().enumerate() {
        assert!(hashes[at + 1..].iter().all(|right| right != left), "{at}");
    }
}

#[test]
fn floats_hash_by_value() {
    assert_eq!(one(Float64Array::from(vec![0.0])), one(Float64Array::from(vec![-0.0])));
    let other_nan = f64::from_bits(f64::NAN.to_bits() | 1 << 63 | 5);
    assert_eq!(one(Float64Array::from(vec![f64::NAN])), one(Float64Array::from(vec![other_nan])));
    assert_ne!(
        one(Float64Array::from(vec![1.0])),
        one(Float64Array::from(vec![f64::from_bits(1f64.to_bits() + 1)]))
    );
}

#[test]
fn columns_have_an_order_and_no_names() {
    let (left, right): (ArrayRef, ArrayRef) =
        (Arc::new(Int64Array::from(vec![1])), Arc::new(Int64Array::from(vec![2])));
    let batch = |names: [&str; 2], columns: [&ArrayRef; 2]| {
        hash(&RecordBatch::try_from_iter(names.into_iter().zip(columns.map(Clone::clone))).unwrap())
    };
    assert_eq!(batch(["a", "b"], [&left, &right]), batch(["x", "y"], [&left, &right]));
    assert_ne!(batch(["a", "b"], [&left, &right]), batch(["a", "b"], [&right, &left]));
}

#[test]
fn structs_and_maps_hash_by_their_parts() {
    let map = |entries: &[(&str, i64)]| {
        let fields = Fields::from(vec![
            Field::new("key", DataType::Utf8, false),
            Field::new("value", DataType::Int64, true),
        ]);
        let keys: ArrayRef = Arc::new(entries.iter().map(|e| Some(e.0)).collect::<StringArray>());
        let values: ArrayRef = Arc::new(entries.iter().map(|e| Some(e.1)).collect::<Int64Array>());
        let pairs = StructArray::new(fields.clone(), vec![keys, values], None);
        let field = Arc::new(Field::new("key_value", DataType::Struct(fields), false));
        one(MapArray::new(field, OffsetBuffer::from_lengths([entries.len()]), pairs, None, false))
    };
    assert_eq!(map(&[("a", 1), ("b", 2)]), map(&[("b", 2), ("a", 1)]));
    assert_ne!(map(&[("a", 1), ("b", 2)]), map(&[("a", 2), ("b", 1)]));

    let fields = Fields::from(vec![Field::new("x", DataType::Int64, true)]);
    let child: ArrayRef = Arc::new(Int64Array::from(vec![None, Some(7)]));
    let present = StructArray::new(fields.clone(), vec![child.clone()], None);
    let absent = StructArray::new(fields, vec![child], Some(vec![false, true].into()));
    assert_ne!(one(present), one(absent));
}

/// Releases store hashes: these may never change.
#[test]
fn the_format_is_fixed() {
    let batch = table(&[
        (Some(1), Some("Amsterdam".into()), Some(1.5), Some(vec![Some(1), None])),
        (None, Some("a text of more than sixteen bytes".into()), None, None),
    ]);
    let written = hash(&batch);
    assert_eq!(written.to_string(), "73210d528c557531a266c7875631d696-2");
    let text = serde_json::to_string(&written).unwrap();
    assert_eq!(serde_json::from_str::<ContentHash>(&text).unwrap(), written);
}
