//! What each format writes of the same rows.

use std::sync::Arc;

use arrow::array::*;
use arrow::datatypes::*;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;

use super::*;

fn sample() -> RecordBatch {
    let decimal = Decimal128Array::from(vec![Some(12345678901234567890), None, Some(-5)])
        .with_precision_and_scale(38, 2)
        .unwrap();
    let mut lists = ListBuilder::new(Int32Builder::new());
    lists.append_value([Some(1), None]);
    lists.append_null();
    lists.append_value([]);
    let text: DictionaryArray<Int8Type> = vec![Some("a,\"b\""), None, Some("")].into_iter().collect();
    let nested = StructArray::from(vec![(
        Arc::new(Field::new("x", DataType::Utf8View, true)),
        Arc::new(StringViewArray::from(vec![Some("é\n"), None, Some("z")])) as ArrayRef,
    )]);
    RecordBatch::try_from_iter_with_nullable(vec![
        ("n", Arc::new(Int64Array::from(vec![Some(i64::MAX), None, Some(0)])) as ArrayRef, true),
        ("d", Arc::new(decimal) as ArrayRef, true),
        ("f", Arc::new(Float64Array::from(vec![Some(0.1), Some(f64::NAN), Some(1.0)])) as ArrayRef, true),
        ("t", Arc::new(text) as ArrayRef, true),
        (
            "at",
            Arc::new(
                TimestampMicrosecondArray::from(vec![Some(1_000_000), Some(1), None]).with_timezone("UTC"),
            ) as ArrayRef,
            true,
        ),
        (
            "b",
            Arc::new(BinaryArray::from_opt_vec(vec![Some(b"\xff\x00"), None, Some(b"")])) as ArrayRef,
            true,
        ),
        ("l", Arc::new(lists.finish()) as ArrayRef, true),
        ("s", Arc::new(nested) as ArrayRef, true),
        ("day", Arc::new(Date32Array::from(vec![0, 1, 2])) as ArrayRef, true),
    ])
    .unwrap()
}

async fn written(batches: Vec<RecordBatch>, format: Format, layout: &Layout) -> Vec<u8> {
    let schema = batches[0].schema();
    let stream = futures::stream::iter(batches.into_iter().map(Ok));
    let mut out = Vec::new();
    write(Box::pin(RecordBatchStreamAdapter::new(schema, stream)), format, &mut out, layout).await.unwrap();
    out
}

async fn text(batches: Vec<RecordBatch>, format: Format) -> String {
    String::from_utf8(written(batches, format, &Layout::default()).await).unwrap()
}

#[tokio::test]
async fn ndjson_keeps_digits_and_escapes() {
    assert_eq!(
        text(vec![sample()], Format::Ndjson).await,
        concat!(
            r#"{"n":9223372036854775807,"d":123456789012345678.90,"f":0.1,"t":"a,\"b\"","at":"1970-01-01T00:00:01Z","b":"/wA=","l":[1,null],"s":{"x":"é\n"},"day":"1970-01-01"}"#,
            "\n",
            r#"{"n":null,"d":null,"f":null,"t":null,"at":"1970-01-01T00:00:00.000001Z","b":null,"l":null,"s":{"x":null},"day":"1970-01-02"}"#,
            "\n",
            r#"{"n":0,"d":-0.05,"f":1.0,"t":"","at":null,"b":"","l":[],"s":{"x":"z"},"day":"1970-01-03"}"#,
            "\n",
        )
    );
}

#[tokio::test]
async fn csv_tells_null_from_empty_text() {
    assert_eq!(
        text(vec![sample()], Format::Csv).await,
        concat!(
            "n,d,f,t,at,b,l,s,day\n",
            r#"9223372036854775807,123456789012345678.90,0.1,"a,""b""",1970-01-01T00:00:01Z,/wA=,"[1,null]","{""x"":""é\n""}",1970-01-01"#,
            "\n",
            r#",,NaN,,1970-01-01T00:00:00.000001Z,,,"{""x"":null}",1970-01-02"#,
            "\n",
            r#"0,-0.05,1.0,"",,"",[],"{""x"":""z""}",1970-01-03"#,
            "\n",
        )
    );
}

#[tokio::test]
async fn json_is_one_array_whatever_the_batches() {
    let batch = sample();
    let all = text(vec![batch.slice(0, 2), batch.slice(2, 0), batch.slice(2, 1)], Format::Json).await;
    let values: Vec<serde_json::Value> = serde_json::from_str(&all).unwrap();
    assert_eq!(values.len(), 3);
    assert_eq!(values[2]["s"]["x"], "z");
    assert_eq!(text(vec![batch.slice(0, 0)], Format::Json).await, "[]\n");
    assert_eq!(text(vec![batch.slice(0, 0)], Format::Ndjson).await, "");
}

#[tokio::test]
async fn columns_of_one_name_are_told_apart() {
    let column: ArrayRef = Arc::new(Int32Array::from(vec![1]));
    let schema = Arc::new(Schema::new(vec![
        Field::new("x", DataType::Int32, true),
        Field::new("x", DataType::Int32, true),
    ]));
    let batch = RecordBatch::try_new(schema, vec![column.clone(), column]).unwrap();
    assert_eq!(text(vec![batch.clone()], Format::Ndjson).await, "{\"x\":1,\"x_2\":1}\n");
    assert_eq!(text(vec![batch], Format::Csv).await, "x,x\n1,1\n");
}

#[tokio::test]
async fn binary_formats_read_back_equal() {
    let batch = sample();
    let arrow = written(vec![batch.clone()], Format::Arrow, &Layout::default()).await;
    let mut reader = arrow::ipc::reader::StreamReader::try_new(arrow.as_slice(), None).unwrap();
    assert_eq!(reader.next().unwrap().unwrap(), batch);
    let parquet = written(vec![batch.clone()], Format::Parquet, &Layout::default()).await;
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&parquet).unwrap();
    let mut reader =
        datafusion::parquet::arrow::arrow_reader::ParquetRecordBatchReader::try_new(file, 1024).unwrap();
    assert_eq!(reader.next().unwrap().unwrap(), batch);
}

#[tokio::test]
async fn a_table_shows_the_first_rows_and_counts_all() {
    let column: ArrayRef = Arc::new(Int64Array::from_iter_values(0..1234));
    let name: ArrayRef = Arc::new(StringArray::from(vec![Some("\u{1b}[31mred\n"); 1234]));
    let batch = RecordBatch::try_from_iter(vec![("number", column), ("name", name)]).unwrap();
    let layout = Layout { max_rows: Some(2), width: None };
    let shown = String::from_utf8(
        written(vec![batch.slice(0, 1), batch.slice(1, 1233)], Format::Table, &layout).await,
    )
    .unwrap();
    assert!(shown.ends_with("1,234 rows, the first 2 shown\n"), "{shown}");
    assert!(shown.contains("│      1 ┆ \\u{1b}[31mred\\n │"), "{shown}");
    assert!(!shown.contains('\u{1b}'));
    assert!(!shown.contains("│      2 "));
}

#[tokio::test]
async fn a_closed_pipe_is_success() {
    struct Closed;
    impl std::io::Write for Closed {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    for format in Format::ALL {
        let batch = sample();
        let schema = batch.schema();
        let stream = Box::pin(RecordBatchStreamAdapter::new(schema, futures::stream::iter([Ok(batch)])));
        write(stream, format, &mut Closed, &Layout::default()).await.unwrap();
    }
}
