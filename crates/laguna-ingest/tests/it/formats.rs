//! JSON, Parquet and Avro, compressed and not, whole and damaged.

use std::io::Write;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, Int32Array, Int64Array, RecordBatch, StringArray, Time64MicrosecondArray,
    TimestampMillisecondArray, UInt64Array,
};
use laguna_base::settings::dataset::{OnNewColumn, SourceSettings};
use laguna_ingest::ReadOptions;

use crate::support::{Landed, land, options, with_known};

fn json(text: &str) -> Landed {
    land(&[("a.json", text.as_bytes())], options()).unwrap()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn json_in_every_layout_is_the_same() {
    let texts = [
        "{\"a\": 1, \"b\": \"x\"}\n{\"b\": \"y\", \"a\": 2.5}\n",
        "[{\"a\":1,\"b\":\"x\"},{\"a\":2.5,\"b\":\"y\"}]",
        "[\n  {\n    \"a\": 1,\n    \"b\": \"x\"\n  },\n  {\"a\": 2.5, \"b\": \"y\"}\n]\n",
        "{\n \"a\": 1, \"b\": \"x\"}\n{\"a\": 2.5,\n\"b\": \"y\"}",
        "{\"a\":1,\"b\":\"x\"}{\"a\":2.5,\"b\":\"y\"}",
    ];
    for text in texts {
        let landed = json(text);
        assert_eq!(landed.types(), ["a Float64", "b Utf8"], "{text}");
        assert_eq!(landed.rows(), ["1.0|x", "2.5|y"], "{text}");
        assert_eq!(landed.places, [(0, 1), (0, 2)], "{text}");
    }
    for empty in ["", "[]", " \n", "[ ]\n"] {
        assert_eq!(json(empty).places.len(), 0);
    }
}

#[test]
fn nested_values_keep_their_shape_and_mixed_ones_their_text() {
    let landed = json(
        "{\"o\": {\"x y\": 1, \"l\": [1, 2]}, \"m\": {\"k\": [1,  2]}, \"big\": 12345678901234567890, \"at\": \"2026-01-01T00:00:00Z\"}\n\
         {\"o\": {\"l\": [], \"z\": null}, \"m\": 7, \"big\": 1, \"at\": null}\n\
         {\"o\": null, \"m\": \"text\", \"e\": []}\n",
    );
    assert_eq!(landed.types()[1..], ["m Utf8", "big Utf8", "at Timestamp(µs, \"UTC\")"]);
    assert_eq!(
        landed.rows(),
        [
            "{x_y: 1, l: [1, 2]}|{\"k\": [1,  2]}|12345678901234567890|2026-01-01T00:00:00Z",
            "{x_y: ∅, l: []}|7|1|∅",
            "∅|text|∅|∅"
        ]
    );
}

#[test]
fn json_rows_that_make_no_sense_are_set_aside() {
    let landed = json("{\"a\": 1}\n{\"a\": \n\n[1]\n{\"a\": 2} x\n{\"a\": 3, \"a\": 4}\n");
    assert_eq!(landed.rows(), ["1", "4"]);
    assert_eq!(landed.places, [(0, 1), (0, 6)]);
    let rows: Vec<_> = landed.rejected.iter().map(|r| (r.row, r.raw.as_str())).collect();
    assert_eq!(rows, [(2, "{\"a\":"), (4, "[1]"), (5, "{\"a\": 2} x")]);
    let landed = json("[{\"a\": 1}, {\"a\" 2}, 5, {\"a\": 3}]");
    assert_eq!((landed.rows(), landed.rejected.len()), (vec!["1".to_string(), "3".into()], 2));
    let error = land(&[("a.json", b"[{\"a\": 1}, {\"a\": 2}")], options()).err().unwrap();
    assert!(error.message().contains("`a.json` is incomplete"), "{error:?}");
}

#[test]
fn later_json_must_fit() {
    let first = json("{\"a\": 1, \"o\": {\"x\": 1}}\n");
    let text = b"{\"a\": \"1\"}\n{\"a\": 2, \"o\": {\"x\": 2, \"y\": true}}\n{\"a\": 3, \"n\": \"new\"}\n";
    let landed = land(&[("b.ndjson", text)], with_known(&first)).unwrap();
    assert_eq!(landed.rows(), ["2|{x: 2, y: true}|∅", "3|∅|new"]);
    assert_eq!(landed.reasons(), ["1: column `a`: `\"1\"` is not a bigint"]);
    let ignore = ReadOptions { on_new_column: OnNewColumn::Ignore, ..with_known(&first) };
    assert_eq!(land(&[("b.ndjson", text)], ignore).unwrap().rows(), ["2|{x: 2}", "3|∅"]);
}

#[test]
fn keys_that_appear_late_are_columns_of_all_rows() {
    let mut text = String::new();
    for id in 0..200_000 {
        text += &format!("{{\"id\": {id}}}\n");
    }
    text += "{\"id\": 200000, \"z\": 1, \"b\": [1]}\n";
    let landed = json(&text);
    assert_eq!(landed.opened, 2);
    assert_eq!(landed.rows()[200_000], "200000|[1]|1");
    assert_eq!(landed.batch.num_rows(), 200_001);
}

fn parquet(columns: Vec<(&str, ArrayRef)>) -> Vec<u8> {
    let batch =
        RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, c)| (n, c, true))).unwrap();
    let mut bytes = Vec::new();
    let properties =
        parquet::file::properties::WriterProperties::builder().set_max_row_group_row_count(Some(2)).build();
    let mut writer =
        parquet::arrow::ArrowWriter::try_new(&mut bytes, batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    bytes
}

#[test]
fn parquet_comes_with_its_types() {
    let bytes = parquet(vec![
        ("My Id", Arc::new(UInt64Array::from(vec![1, 2, u64::MAX]))),
        ("at", Arc::new(TimestampMillisecondArray::from(vec![0, 1000, 3_600_000]))),
        ("s", Arc::new(StringArray::from(vec![Some("x"), None, Some("")]))),
    ]);
    let local = SourceSettings { timezone: Some("Europe/Amsterdam".into()), ..Default::default() };
    let landed = land(&[("a.parquet", &bytes)], ReadOptions { source: local, ..options() }).unwrap();
    assert_eq!(landed.types(), ["My_Id Decimal128(20, 0)", "at Timestamp(µs, \"UTC\")", "s Utf8"]);
    assert_eq!(landed.rows()[2], "18446744073709551615|1970-01-01T00:00:00Z|");
    assert_eq!(landed.places, [(0, 1), (0, 2), (0, 3)]);
    assert_eq!(landed.outcome.files[0].hash, laguna_base::hash::of(&bytes));
    for damaged in [&bytes[..bytes.len() - 3], &bytes[..10], b"hello"] {
        let error = land(&[("a.parquet", damaged)], options()).err().unwrap();
        assert!(error.message().contains("`a.parquet`"), "{error:?}");
    }
    assert!(land(&[("a.parquet", b"")], options()).err().unwrap().message().contains("no Parquet file"));
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("t", Arc::new(Time64MicrosecondArray::from(vec![1]))),
        ("n", Arc::new(Int64Array::from(vec![7]))),
    ];
    let time = parquet(columns);
    assert!(land(&[("a.parquet", &time)], options()).err().unwrap().message().contains("column `t`"));
    // It matters to those who want the column, and to nobody else.
    let only = |name: &str| ReadOptions { only: Some([name.to_string()].into()), ..options() };
    assert_eq!(land(&[("a.parquet", &time)], only("n")).unwrap().rows(), ["7"]);
    assert!(land(&[("a.parquet", &time)], only("t")).err().unwrap().message().contains("column `t`"));
}

#[test]
fn parquet_of_other_widths_fits_or_is_set_aside() {
    let narrow = parquet(vec![("n", Arc::new(Int32Array::from(vec![1, 2])))]);
    let wide = parquet(vec![("n", Arc::new(Int64Array::from(vec![3, 1 << 40])))]);
    let both = land(&[("1.parquet", &narrow), ("2.parquet", &wide)], options()).unwrap();
    assert_eq!((both.types(), both.places.len()), (vec!["n Int64".to_string()], 4));
    let first = land(&[("1.parquet", &narrow)], options()).unwrap();
    let later = land(&[("2.parquet", &wide)], with_known(&first)).unwrap();
    assert_eq!(
        (later.rows(), later.reasons()),
        (vec!["3".to_string()], vec!["2: column `n`: a value is not a integer".to_string()])
    );
    let text = parquet(vec![("n", Arc::new(StringArray::from(vec!["1"])))]);
    let error = land(&[("3.parquet", &text)], with_known(&first)).err().unwrap();
    assert!(
        error.message().contains("column `n` of `3.parquet` is text, the table has integer"),
        "{error:?}"
    );
}

#[test]
fn avro_comes_with_its_types() {
    let batch = RecordBatch::try_from_iter([
        ("id", Arc::new(Int64Array::from(vec![1, 2])) as ArrayRef),
        ("s", Arc::new(StringArray::from(vec!["x", "y"])) as ArrayRef),
    ])
    .unwrap();
    let mut writer =
        arrow_avro::writer::AvroWriter::new(Vec::new(), batch.schema().as_ref().clone()).unwrap();
    writer.write(&batch).unwrap();
    writer.finish().unwrap();
    let bytes = writer.into_inner();
    let landed = land(&[("a.avro", &bytes), ("b.avro.gz", &gzip(&bytes))], options()).unwrap();
    assert_eq!(landed.types(), ["id Int64", "s Utf8"]);
    assert_eq!(landed.rows(), ["1|x", "2|y", "1|x", "2|y"]);
    assert_eq!(landed.outcome.files[0].hash, laguna_base::hash::of(&bytes));
    for lost in [5, 17, 20] {
        assert!(land(&[("a.avro", &bytes[..bytes.len() - lost])], options()).is_err(), "{lost}");
    }
}

#[test]
fn compressed_files_are_recognised_by_their_bytes() {
    let plain = b"a,b\n1,x\n";
    let files: &[(&str, &[u8])] = &[
        ("1.csv.gz", &gzip(plain)),
        ("2.csv.zst", &zstd::encode_all(&plain[..], 1).unwrap()),
        ("3.csv.gz", plain),
        ("4.csv", &gzip(plain)),
    ];
    assert_eq!(land(files, options()).unwrap().rows(), ["1|x"; 4]);
    let whole = gzip(&b"1,2\n".repeat(200_000));
    let error = land(&[("a.csv.gz", &whole[..whole.len() / 2])], options()).err().unwrap();
    assert!(error.message().contains("`a.csv.gz` is incomplete"), "{error:?}");
    let error = land(&[("a.xlsx", b"PK")], options()).err().unwrap();
    assert!(error.message().contains("format of `a.xlsx` is unknown"));
}

#[test]
fn binary_files_are_known_by_their_bytes_whatever_their_name() {
    let bytes = parquet(vec![("n", Arc::new(Int64Array::from(vec![1, 2])))]);
    for name in ["a.csv", "a.json", "a.parquet", "a"] {
        assert_eq!(land(&[(name, &bytes)], options()).unwrap().batch.num_rows(), 2, "{name}");
    }
    let text = land(&[("a.csv", b"PAR1,b\n1,2\n")], options()).unwrap();
    assert_eq!(text.schema.field(0).name(), "PAR1");
}

#[test]
fn columns_without_a_value_are_named_apart() {
    let landed = land(&[("a.csv", b"a,B c,d\n1,,\n"), ("b.csv", b"e\n")], options()).unwrap();
    assert_eq!(landed.outcome.schema.fields().len(), 1);
    assert_eq!(landed.outcome.untyped, ["B_c", "d", "e"]);
}
