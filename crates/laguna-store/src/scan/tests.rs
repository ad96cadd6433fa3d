//! Scans of snapshots: answers, and how little they read for them.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use arrow::util::pretty::pretty_format_batches;
use datafusion::physical_plan::{collect, displayable};
use datafusion::prelude::{SessionConfig, SessionContext};
use laguna_base::clock::FixedClock;
use laguna_base::{Instant, TableName};
use object_store::memory::InMemory;

use super::{ScanTotals, scan_totals};
use crate::commit::Append;
use crate::{CommitNote, Lake, TableWriter, WriteOptions};

struct Fixture {
    lake: Lake,
    context: SessionContext,
}

fn table() -> TableName {
    "enhanced.t".parse().unwrap()
}

fn schema(columns: &[(&str, DataType)]) -> SchemaRef {
    let fields: Vec<Field> =
        columns.iter().map(|(name, data_type)| Field::new(*name, data_type.clone(), true)).collect();
    Arc::new(Schema::new(fields))
}

impl Fixture {
    fn new() -> Fixture {
        let clock = Arc::new(FixedClock::new(Instant::from_micros(1_700_000_000_000_000)));
        let lake = Lake::with_store("memory:///".parse().unwrap(), Arc::new(InMemory::new()), clock);
        let context = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(3));
        let url = super::object_store_url();
        context.register_object_store(url.as_ref(), lake.objects().clone());
        Fixture { lake, context }
    }

    async fn append(&self, schema: &SchemaRef, partition: &[&str], columns: Vec<ArrayRef>) {
        let options = WriteOptions {
            partition: partition.iter().map(|column| column.to_string()).collect(),
            ..WriteOptions::default()
        };
        let mut writer = TableWriter::new(&self.lake, &table(), schema.clone(), options).unwrap();
        let batch = RecordBatch::try_new(schema.clone(), columns).unwrap();
        if batch.num_rows() > 0 {
            writer.write(batch).await.unwrap();
        }
        let append = Append {
            table: table(),
            schema: schema.clone(),
            files: writer.finish().await.unwrap().files,
            transaction: None,
            base: self.lake.head(&table()).await.unwrap(),
            note: CommitNote::default(),
        };
        self.lake.append(append).await.unwrap();
    }

    /// The answer as text, what was read for it, and the plan.
    async fn query(&self, sql: &str) -> (String, ScanTotals, String) {
        let head = self.lake.head(&table()).await.unwrap().unwrap();
        self.context.deregister_table("t").unwrap();
        self.context.register_table("t", self.lake.provider(Arc::new(head)).unwrap()).unwrap();
        let plan = self.context.sql(sql).await.unwrap().create_physical_plan().await.unwrap();
        let batches = collect(plan.clone(), self.context.task_ctx()).await.unwrap();
        let shown = displayable(plan.as_ref()).indent(false).to_string();
        let text = pretty_format_batches(&batches).unwrap().to_string();
        let rows = text.lines().filter(|line| line.starts_with("| ")).skip(1);
        let answer: Vec<String> = rows.map(|row| row.replace(['|', ' '], "")).collect();
        (answer.join(";"), scan_totals(plan.as_ref()), shown)
    }
}

fn numbers(values: impl IntoIterator<Item = Option<i64>>) -> ArrayRef {
    Arc::new(Int64Array::from_iter(values))
}

fn texts<'a>(values: impl IntoIterator<Item = Option<&'a str>>) -> ArrayRef {
    Arc::new(StringArray::from_iter(values))
}

#[tokio::test]
async fn counts_and_bounds_come_from_the_log() {
    let fixture = Fixture::new();
    let schema = schema(&[("n", DataType::Int64), ("s", DataType::Utf8)]);
    for file in 0..4 {
        let values = (0..100).map(|row| (row % 10 > 0).then_some(file * 100 + row));
        fixture.append(&schema, &[], vec![numbers(values), texts([Some("x"); 100])]).await;
    }
    for (sql, expected) in [
        ("SELECT count(*) FROM t", "400"),
        ("SELECT count(n) FROM t", "360"),
        ("SELECT min(n), max(n) FROM t", "1399"),
    ] {
        let (answer, totals, plan) = fixture.query(sql).await;
        assert_eq!((answer.as_str(), totals.scans), (expected, 0), "{sql}\n{plan}");
    }
    // Files that cannot hold the row are not opened.
    let (answer, totals, _) = fixture.query("SELECT n, s FROM t WHERE n = 205").await;
    assert_eq!(answer, "205x");
    assert!(totals.rows <= 100 && totals.bytes > 0, "{totals:?}");
    let (answer, totals, plan) = fixture.query("SELECT n FROM t WHERE n > 5000").await;
    assert_eq!((answer.as_str(), totals.bytes), ("", 0), "{plan}");
    let (answer, _, plan) = fixture.query("SELECT s FROM t LIMIT 3").await;
    assert_eq!(answer, "x;x;x");
    assert_eq!(plan.matches(".parquet").count(), 1, "{plan}");
    let (answer, _, _) = fixture.query("SELECT count(*) FROM t WHERE n IS NULL").await;
    assert_eq!(answer, "40");
}

#[tokio::test]
async fn columns_that_came_later_are_null_before_and_their_order_does_not_matter() {
    let fixture = Fixture::new();
    let first = schema(&[("a", DataType::Int64), ("b", DataType::Utf8)]);
    fixture.append(&first, &[], vec![numbers([Some(1)]), texts([Some("one")])]).await;
    let second = schema(&[("c", DataType::Utf8), ("b", DataType::Utf8), ("a", DataType::Int64)]);
    fixture.append(&second, &[], vec![texts([Some("new")]), texts([Some("two")]), numbers([Some(2)])]).await;
    for (sql, expected) in [
        ("SELECT a, b, coalesce(c, '-') FROM t ORDER BY a", "1one-;2twonew"),
        ("SELECT a FROM t WHERE c IS NULL", "1"),
        ("SELECT a FROM t WHERE c = 'new'", "2"),
        ("SELECT count(c), max(c) FROM t", "1new"),
    ] {
        assert_eq!(fixture.query(sql).await.0, expected, "{sql}");
    }
}

#[tokio::test]
async fn partition_columns_keep_their_place_and_type() {
    let fixture = Fixture::new();
    let schema = schema(&[("day", DataType::Date32), ("n", DataType::Int64), ("p q", DataType::Utf8)]);
    let days: ArrayRef = Arc::new(arrow::array::Date32Array::from(vec![Some(15706), Some(15707), None]));
    let parts = texts([Some("a/b %"), Some("ü=1"), None]);
    fixture.append(&schema, &["p q", "day"], vec![days, numbers([Some(1), Some(2), Some(3)]), parts]).await;
    for (sql, expected) in [
        ("SELECT * FROM t ORDER BY n", "2013-01-011a/b%;2013-01-022ü=1;3"),
        ("SELECT n FROM t WHERE day = DATE '2013-01-02'", "2"),
        ("SELECT n FROM t WHERE \"p q\" = 'a/b %'", "1"),
        ("SELECT n FROM t WHERE \"p q\" IS NULL", "3"),
        ("SELECT n FROM t WHERE day IS NOT NULL ORDER BY n", "1;2"),
        ("SELECT min(day), max(day) FROM t", "2013-01-012013-01-02"),
        ("SELECT \"p q\" FROM t WHERE n = 2", "ü=1"),
    ] {
        assert_eq!(fixture.query(sql).await.0, expected, "{sql}");
    }
    let (_, totals, plan) = fixture.query("SELECT n FROM t WHERE day = DATE '2013-01-02'").await;
    assert_eq!((plan.matches(".parquet").count(), totals.rows), (1, 1), "{plan}");
}

#[tokio::test]
async fn an_empty_table_has_columns_and_no_rows() {
    let fixture = Fixture::new();
    let schema = schema(&[("n", DataType::Int64)]);
    fixture.append(&schema, &[], vec![numbers([])]).await;
    assert_eq!(fixture.query("SELECT n FROM t").await.0, "");
    assert_eq!(fixture.query("SELECT count(*), sum(n) FROM t").await.0, "0");
}

#[tokio::test]
async fn rows_are_found_by_their_values() {
    let fixture = Fixture::new();
    let schema = schema(&[("n", DataType::Int64), ("s", DataType::Utf8), ("v", DataType::Int64)]);
    let part = async |from: i64| {
        let rows = from..from + 20_000;
        let n = rows.clone().map(|row| (row % 11 > 0).then_some(row * 7919 % 10_007));
        let words: Vec<String> = rows.clone().map(|row| format!("key-{}", row * 31 % 5_003)).collect();
        let s = words.iter().map(|word| (word.len() % 5 > 0).then_some(word.as_str()));
        fixture.append(&schema, &[], vec![numbers(n), texts(s), numbers(rows.map(Some))]).await;
    };
    part(0).await;
    part(20_000).await;
    let statements = [
        "SELECT v FROM t WHERE n = 5 ORDER BY v",
        "SELECT v FROM t WHERE 77 = n AND v > 10000 ORDER BY v",
        "SELECT n, s, v FROM t WHERE n IN (5, 6, 3, 100000) ORDER BY v",
        "SELECT v FROM t WHERE s = 'key-17' ORDER BY v",
        "SELECT count(*) FROM t WHERE s IN ('key-17', 'key-4999', 'nothing')",
        "SELECT count(*), min(v) FROM t WHERE n = 9999",
        "SELECT n FROM t WHERE n = 5 LIMIT 1",
        "SELECT v FROM t WHERE n = 10006 AND s = 'key-3' ORDER BY v",
    ];
    // What the engine says of the same rows in memory.
    let expected = async |statement: &str| {
        let head = fixture.lake.head(&table()).await.unwrap().unwrap();
        let whole = fixture.lake.provider(Arc::new(head)).unwrap();
        let rows = fixture.context.read_table(whole).unwrap().collect().await.unwrap();
        let memory = datafusion::datasource::MemTable::try_new(rows[0].schema(), vec![rows]).unwrap();
        fixture.context.deregister_table("m").unwrap();
        fixture.context.register_table("m", Arc::new(memory)).unwrap();
        let batches = fixture
            .context
            .sql(&statement.replace("FROM t", "FROM m"))
            .await
            .unwrap()
            .collect()
            .await
            .unwrap();
        let text = pretty_format_batches(&batches).unwrap().to_string();
        let rows = text.lines().filter(|line| line.starts_with("| ")).skip(1);
        rows.map(|row| row.replace(['|', ' '], "")).collect::<Vec<_>>().join(";")
    };
    for round in 0..3 {
        for statement in statements {
            let wanted = expected(statement).await;
            let mut read = u64::MAX;
            for _ in 0..500 {
                let (answer, totals, plan) = fixture.query(statement).await;
                assert_eq!(answer, wanted, "round {round}: {statement}\n{plan}");
                read = totals.rows;
                // A few rows of tens of thousands.
                if read <= 40 {
                    break;
                }
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
            assert!(read <= 40, "{statement} reads {read} rows");
        }
        // A file that came later is found as well.
        part(40_000 + round * 20_000).await;
    }
}

#[tokio::test]
async fn times_of_day_are_no_bounds_of_times() {
    let fixture = Fixture::new();
    let schema = schema(&[("at", DataType::Timestamp(TimeUnit::Microsecond, None))]);
    for day in 0..3 {
        // From eight in the evening to four in the morning: the last time of the file is an early one of the day.
        let hours = (0..8).map(|hour| ((day * 24) + 20 + hour) * 3_600_000_000);
        fixture
            .append(&schema, &[], vec![Arc::new(TimestampMicrosecondArray::from_iter_values(hours))])
            .await;
    }
    for (statement, expected) in [
        ("SELECT count(*) FROM t WHERE CAST(at AS TIME) >= CAST('20:00:00' AS TIME)", "12"),
        ("SELECT count(*) FROM t WHERE CAST(at AS TIME) < CAST('02:00:00' AS TIME)", "6"),
        ("SELECT count(*) FROM t WHERE TRY_CAST(at AS TIME) = CAST('21:00:00' AS TIME)", "3"),
    ] {
        let (answer, _, plan) = fixture.query(statement).await;
        assert_eq!(answer, expected, "{statement}\n{plan}");
    }
}
