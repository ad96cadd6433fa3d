//! What Delta can hold, and what happens to the rest.

use std::sync::Arc;

use arrow::array::*;
use arrow::datatypes::*;
use laguna_base::ErrorKind;
use laguna_store::types::{normalize, normalize_batch, schema_from_json, schema_to_json};

fn schema_of(fields: Vec<Field>) -> SchemaRef {
    Arc::new(Schema::new(fields))
}

fn normal(data_type: DataType) -> laguna_base::Result<DataType> {
    normalize(&schema_of(vec![Field::new("x", data_type, false)]))
        .map(|schema| schema.field(0).data_type().clone())
}

#[test]
fn types_become_what_delta_holds() {
    let utc = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let dictionary = DataType::Dictionary(Box::new(DataType::Int8), Box::new(DataType::Utf8View));
    for (given, stored) in [
        (DataType::UInt8, DataType::Int16),
        (DataType::UInt32, DataType::Int64),
        (DataType::UInt64, DataType::Decimal128(20, 0)),
        (DataType::Timestamp(TimeUnit::Nanosecond, None), utc.clone()),
        (DataType::Timestamp(TimeUnit::Second, Some("Europe/Amsterdam".into())), utc),
        (DataType::LargeUtf8, DataType::Utf8),
        (dictionary, DataType::Utf8),
        (DataType::FixedSizeBinary(4), DataType::Binary),
        (DataType::Date64, DataType::Date32),
    ] {
        assert_eq!(normal(given.clone()).unwrap(), stored, "{given}");
    }
    for refused in [
        DataType::Time64(TimeUnit::Microsecond),
        DataType::Decimal256(50, 2),
        DataType::Interval(IntervalUnit::MonthDayNano),
        DataType::Duration(TimeUnit::Second),
        DataType::new_list(DataType::Time32(TimeUnit::Second), true),
    ] {
        let error = normal(refused.clone()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Project, "{refused}");
        assert!(error.message().contains('x') && error.hint_text().unwrap().contains("CAST"), "{error}");
    }
}

#[test]
fn names_that_delta_refuses_are_explained() {
    let error = normalize(&schema_of(vec![Field::new("count(*)", DataType::Int64, true)])).unwrap_err();
    assert!(error.hint_text().unwrap().contains("AS count"), "{error:?}");
    let twice = vec![Field::new("a", DataType::Int64, true), Field::new("A", DataType::Int64, true)];
    assert!(normalize(&schema_of(twice)).unwrap_err().message().contains("two columns"));
}

#[test]
fn schemas_survive_as_json() {
    let inner = Fields::from(vec![Field::new("a", DataType::Decimal128(38, 10), true)]);
    let schema = normalize(&schema_of(vec![
        Field::new("t", DataType::Timestamp(TimeUnit::Millisecond, None), true),
        Field::new("l", DataType::new_large_list(DataType::Struct(inner), true), true),
        Field::new_map(
            "m",
            "entries",
            Field::new("keys", DataType::LargeUtf8, false),
            Field::new("values", DataType::Binary, true),
            false,
            true,
        ),
        Field::new("d", DataType::Date32, true).with_metadata([("name".into(), "Dé \"x\"".into())].into()),
    ]))
    .unwrap();
    assert_eq!(schema_from_json(&schema_to_json(&schema).unwrap()).unwrap(), schema);
    assert_eq!(schema_from_json("{\"type\":\"struct\"").unwrap_err().kind(), ErrorKind::Stored);
    let unknown =
        r#"{"type":"struct","fields":[{"name":"a","type":"variant","nullable":true,"metadata":{}}]}"#;
    assert!(schema_from_json(unknown).unwrap_err().message().contains("variant"));
}

#[test]
fn values_are_kept_or_refused() {
    let cast = |array: ArrayRef, to: DataType| {
        let batch = RecordBatch::try_from_iter([("x", array)]).unwrap();
        normalize_batch(&batch, &schema_of(vec![Field::new("x", to, true)]))
            .map(|batch| batch.column(0).clone())
    };
    let big: ArrayRef = Arc::new(UInt64Array::from(vec![u64::MAX]));
    let stored = cast(big, DataType::Decimal128(20, 0)).unwrap();
    assert_eq!(stored.as_primitive::<Decimal128Type>().value(0), i128::from(u64::MAX));

    let whole: ArrayRef = Arc::new(Float64Array::from(vec![Some(2.0), None]));
    assert_eq!(cast(whole, DataType::Int64).unwrap().as_primitive::<Int64Type>().value(0), 2);
    let refused: [(ArrayRef, DataType); 5] = [
        (Arc::new(Float64Array::from(vec![1.5])), DataType::Int64),
        (Arc::new(Int64Array::from(vec![1 << 40])), DataType::Int32),
        (Arc::new(Int64Array::from(vec![(1 << 53) + 1])), DataType::Float64),
        (Arc::new(StringArray::from(vec!["1"])), DataType::Int64),
        (Arc::new(Int64Array::from(vec![1])), DataType::Utf8),
    ];
    for (array, to) in refused {
        let error = cast(array, to.clone()).unwrap_err();
        assert!(error.message().contains("`x`"), "{to}: {error}");
    }
}

#[test]
fn columns_go_by_name_and_absent_ones_are_null() {
    let wanted =
        schema_of(vec![Field::new("a", DataType::Int64, true), Field::new("b", DataType::Utf8, true)]);
    let column = |values: Vec<i32>| Arc::new(Int32Array::from(values)) as ArrayRef;
    let given = RecordBatch::try_from_iter([("a", column(vec![1, 2]))]).unwrap();
    let stored = normalize_batch(&given, &wanted).unwrap();
    assert_eq!((stored.num_rows(), stored.column(1).null_count()), (2, 2));
    let foreign = RecordBatch::try_from_iter([("bb", column(vec![1]))]).unwrap();
    let error = normalize_batch(&foreign, &wanted).unwrap_err();
    assert!(error.message().contains("`bb`"), "{error}");
}
