//! Files, their statistics and their partitions.

use std::sync::Arc;

use arrow::array::*;
use arrow::datatypes::{DataType, Field, Fields, Schema, TimeUnit};
use datafusion::scalar::ScalarValue;
use laguna_base::ErrorKind;
use laguna_store::{TableWriter, WriteOptions};
use object_store::ObjectStore;
use proptest::prelude::*;

use crate::support::*;

fn column(name: &str, array: impl Array + 'static) -> (Field, ArrayRef) {
    (Field::new(name, array.data_type().clone(), true), Arc::new(array))
}

fn batch_of(columns: Vec<(Field, ArrayRef)>) -> RecordBatch {
    let (fields, arrays): (Vec<_>, Vec<_>) = columns.into_iter().unzip();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).unwrap()
}

#[tokio::test]
async fn statistics_are_bounds_in_deltas_words() {
    let long = "\u{10ffff}".repeat(33);
    let cut = format!("{}z", "a".repeat(40));
    let inner = Fields::from(vec![Field::new("x", DataType::Int32, true)]);
    let inner_values: ArrayRef = Arc::new(Int32Array::from(vec![Some(7), None, Some(3)]));
    let batch = batch_of(vec![
        column("i", Int32Array::from(vec![Some(3), None, Some(-5)])),
        column("text", StringArray::from(vec![cut.as_str(), "b", "aa"])),
        column("top", StringArray::from(vec![long.as_str(), "b", "c"])),
        column("nan", Float64Array::from(vec![1.0, f64::NAN, 2.0])),
        column("inf", Float64Array::from(vec![1.0, f64::INFINITY, 2.0])),
        column("float", Float32Array::from(vec![0.1, 2.5, -0.5])),
        column("day", Date32Array::from(vec![0, 19_000, -1])),
        column("at", TimestampMicrosecondArray::from(vec![1_001, 1_000_001, -1]).with_timezone("UTC")),
        column(
            "wide",
            Decimal128Array::from(vec![-12_345_678_901_234_567_890_123, 5, 7])
                .with_precision_and_scale(38, 2)
                .unwrap(),
        ),
        column("small", Decimal128Array::from(vec![5, -7, 100]).with_precision_and_scale(5, 3).unwrap()),
        column("empty", Int64Array::from(vec![None, None, None])),
        column("yes", BooleanArray::from(vec![Some(true), None, None])),
        column(
            "list",
            ListArray::from_iter_primitive::<arrow::datatypes::Int32Type, _, _>(vec![
                None,
                Some(vec![None]),
                Some(vec![Some(1)]),
            ]),
        ),
        column("s", StructArray::new(inner, vec![inner_values], None)),
    ]);
    let written = write(&memory(), &name("raw.t"), std::slice::from_ref(&batch), &[]).await;
    let file = &written.files[0];
    let stats: serde_json::Value = serde_json::from_str(file.stats.as_ref().unwrap()).unwrap();
    assert_eq!(stats["numRecords"], 3);
    let (min, max, nulls) = (&stats["minValues"], &stats["maxValues"], &stats["nullCount"]);
    assert_eq!((min["i"].as_i64(), max["i"].as_i64(), nulls["i"].as_u64()), (Some(-5), Some(3), Some(1)));
    assert_eq!((min["text"].as_str(), max["text"].as_str()), (Some("aa"), Some("b")));
    // No text of 32 characters is above the largest ones.
    assert!(max["top"].is_null() && min["top"] == "b");
    assert!(min["nan"].is_null() && max["nan"].is_null());
    assert_eq!((min["inf"].as_f64(), max["inf"].is_null()), (Some(1.0), true));
    assert_eq!((min["float"].as_f64(), max["float"].as_f64()), (Some(-0.5), Some(2.5)));
    assert_eq!((min["day"].as_str(), max["day"].as_str()), (Some("1969-12-31"), Some("2022-01-08")));
    assert_eq!(min["at"], "1969-12-31T23:59:59.999Z");
    assert_eq!(max["at"], "1970-01-01T00:00:01.001Z");
    assert!(file.stats.as_ref().unwrap().contains("\"wide\":-123456789012346000000.00,"));
    assert!(file.stats.as_ref().unwrap().contains("\"small\":-0.007,"));
    assert!(min["empty"].is_null() && nulls["empty"] == 3);
    assert_eq!((min["yes"].as_bool(), max["yes"].as_bool()), (Some(true), Some(true)));
    assert_eq!(nulls["yes"], 2);
    assert!(min["list"].is_null() && nulls["list"] == 1);
    assert_eq!((min["s"]["x"].as_i64(), max["s"]["x"].as_i64()), (Some(3), Some(7)));
    assert_eq!(nulls["s"]["x"], 1);

    let ranges = file.ranges(&batch.schema());
    assert_eq!(ranges["i"].max, Some(ScalarValue::Int32(Some(3))));
    let at = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    for (column, row) in [("at", 1), ("wide", 0), ("wide", 2), ("small", 1), ("text", 0), ("float", 2)] {
        let value = ScalarValue::try_from_array(batch.column_by_name(column).unwrap(), row).unwrap();
        let range = &ranges[column];
        assert!(range.min.as_ref().unwrap() <= &value, "{column}: {range:?}");
        assert!(range.max.as_ref().unwrap() >= &value, "{column}: {range:?}");
        assert!(column != "at" || value.data_type() == at);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn text_lies_within_its_bounds(texts in proptest::collection::vec("[a\u{d7ff}\u{10ffff}é]{0,70}", 1..5)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let batch = batch_of(vec![column("t", StringArray::from_iter_values(&texts))]);
        let written = runtime.block_on(write(&memory(), &name("raw.t"), std::slice::from_ref(&batch), &[]));
        let ranges = written.files[0].ranges(&batch.schema());
        for text in &texts {
            let value = ScalarValue::Utf8(Some(text.clone()));
            prop_assert!(ranges["t"].min.as_ref().unwrap() <= &value);
            prop_assert!(ranges["t"].max.as_ref().is_none_or(|max| max >= &value));
        }
    }
}

#[tokio::test]
async fn odd_partition_values_come_back() {
    let folder = tempfile::tempdir().unwrap();
    let lake = local(folder.path()).await;
    let table = name("sanitized.cities");
    let long = "x".repeat(300);
    let cities = [
        Some("a/b"),
        Some("a%2Fb"),
        Some("New York"),
        Some("Zürich #1"),
        None,
        Some(".."),
        Some(long.as_str()),
    ];
    let rows: Vec<(i64, Option<&str>)> =
        (0..70).map(|row| (row, cities[row as usize % cities.len()])).collect();
    let batches: Vec<_> = rows.chunks(9).map(batch).collect();
    let written = write(&lake, &table, &batches, &["city"]).await;
    assert_eq!((written.files.len(), written.rows), (cities.len(), 70));
    lake.commit(&staged(&table, "r1", &schema(), written.files)).await.unwrap();
    let head = lake.head(&table).await.unwrap().unwrap();
    assert_eq!(head.partition_columns, ["city"]);
    for city in cities {
        let file = head.files.iter().find(|file| file.partition_values["city"].as_deref() == city).unwrap();
        assert_eq!(file.rows, 10, "{city:?}");
        let range = &file.ranges(&head.schema)["city"];
        assert_eq!(
            (range.nulls, range.min.is_none()),
            (Some(if city.is_none() { 10 } else { 0 }), city.is_none())
        );
    }
    assert_eq!(ids(&lake, &head).await, (0..70).collect::<Vec<_>>());
}

#[tokio::test]
async fn impossible_partitions_are_refused() {
    let lake = memory();
    let options = |names: &[&str]| WriteOptions {
        partition: names.iter().map(|name| name.to_string()).collect(),
        ..WriteOptions::default()
    };
    for wrong in [&["cty"][..], &["id", "city"], &["city", "city"]] {
        let error = TableWriter::new(&lake, &name("raw.t"), schema(), options(wrong)).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Project, "{wrong:?}");
    }
    let mut writer = TableWriter::new(&lake, &name("raw.t"), schema(), options(&["city"])).unwrap();
    let error = writer.write(batch(&[(1, Some(""))])).await.unwrap_err();
    assert!(error.hint_text().unwrap().contains("nullif"), "{error:?}");
}

#[tokio::test]
async fn files_are_cut_at_their_size_and_abort_leaves_none() {
    use futures::TryStreamExt;
    let lake = memory();
    let options = WriteOptions { target_file_size: 20_000, ..WriteOptions::default() };
    let mut writers = Vec::new();
    for _ in 0..2 {
        let mut writer = TableWriter::new(&lake, &name("raw.t"), schema(), options.clone()).unwrap();
        for start in 0..10 {
            let rows: Vec<_> = (0..5_000).map(|row| (row * 7_919 % 104_729 + start, None)).collect();
            writer.write(batch(&rows)).await.unwrap();
        }
        writers.push(writer);
    }
    let kept = writers.pop().unwrap().finish().await.unwrap();
    assert!(kept.files.len() > 1);
    assert_eq!(kept.files.iter().map(|file| file.rows).sum::<u64>(), 50_000);
    writers.pop().unwrap().abort().await;
    let prefix = object_store::path::Path::from("raw");
    let left: Vec<_> = lake.objects().list(Some(&prefix)).try_collect().await.unwrap();
    assert_eq!(left.len(), kept.files.len());
    let empty = TableWriter::new(&lake, &name("raw.t"), schema(), options).unwrap().finish().await.unwrap();
    assert!(empty.files.is_empty() && empty.rows == 0);
}

#[tokio::test]
async fn large_files_go_up_in_parts() {
    let folder = tempfile::tempdir().unwrap();
    let lake = local(folder.path()).await;
    let table = name("raw.big");
    // Random bytes do not compress: about 24 MB in one file.
    let mut state = 1u64;
    let mut random = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 1) as i64
    };
    let batches: Vec<_> =
        (0..30).map(|_| batch(&(0..100_000).map(|_| (random(), None)).collect::<Vec<_>>())).collect();
    let written = write(&lake, &table, &batches, &[]).await;
    assert_eq!(written.files.len(), 1);
    assert!(written.files[0].size > 20 << 20);
    let snapshot = laguna_store::Snapshot {
        table,
        version: 0,
        schema: schema(),
        partition_columns: Vec::new(),
        files: written.files,
        transactions: Default::default(),
        note: Default::default(),
    };
    let mut expected: Vec<i64> = batches
        .iter()
        .flat_map(|batch| batch.column(0).as_any().downcast_ref::<Int64Array>().unwrap().values().to_vec())
        .collect();
    expected.sort_unstable();
    assert_eq!(ids(&lake, &snapshot).await, expected);
}
