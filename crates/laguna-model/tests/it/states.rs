//! Looking at a table with what is kept of its files gives what looking at all of its rows gives, whatever happened to
//! the files between two looks.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use async_trait::async_trait;
use futures::TryStreamExt;
use laguna_base::{Instant, Result, SystemClock, TableName, Tier};
use laguna_check::{CheckSpec, FailingRow, Keep, VerdictKind};
use laguna_model::build::{Look, Looked, look};
use laguna_query::{Engine, EngineOptions, Pin, Resolved, Tables};
use laguna_store::object_store::memory::InMemory;
use laguna_store::object_store::path::Path;
use laguna_store::object_store::{ObjectStore, ObjectStoreExt};
use laguna_store::{CommitNote, DataFile, Lake, Snapshot, TableWriter, WriteOptions};
use proptest::prelude::*;
use serde_json::{Value, json};

/// One version of one table, whatever is asked for.
#[derive(Debug)]
struct One(Resolved);

#[async_trait]
impl Tables for One {
    async fn table(&self, name: &TableName) -> Result<Option<Resolved>> {
        Ok((name.to_string() == "raw.t").then(|| self.0.clone()))
    }

    async fn names(&self, _: Tier) -> Result<Vec<String>> {
        Ok(vec!["t".to_string()])
    }

    async fn pinned(&self, _: &TableName, _: &Pin) -> Result<Option<Resolved>> {
        Ok(None)
    }

    async fn is_view(&self, _: &TableName) -> Result<bool> {
        Ok(false)
    }

    async fn staged(&self, _: &TableName) -> Result<Option<Resolved>> {
        Ok(None)
    }

    async fn staged_names(&self) -> Result<Vec<TableName>> {
        Ok(Vec::new())
    }
}

/// A table of which only the list of files changes.
struct Table {
    store: Arc<InMemory>,
    files: Vec<DataFile>,
    /// Whether it has its last column yet, and is cut by one.
    widened: bool,
    partitioned: bool,
}

const NAME: &str = "raw.t";

fn schema(widened: bool) -> SchemaRef {
    let field = |name: &str, data_type| Field::new(name, data_type, true);
    let mut fields = vec![
        field("i", DataType::Int64),
        field("f", DataType::Float64),
        field("t", DataType::Utf8),
        field("_ingested_at", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))),
    ];
    if widened {
        fields.push(field("late", DataType::Utf8));
    }
    Arc::new(Schema::new(fields))
}

type Row = (Option<i64>, Option<f64>, Option<String>, i64);

fn batch(rows: &[Row], widened: bool) -> RecordBatch {
    let arrivals: TimestampMicrosecondArray = rows.iter().map(|row| Some(row.3 * 1_000_000)).collect();
    let texts: ArrayRef = Arc::new(rows.iter().map(|row| row.2.clone()).collect::<StringArray>());
    let mut columns: Vec<ArrayRef> = vec![
        Arc::new(rows.iter().map(|row| row.0).collect::<Int64Array>()),
        Arc::new(rows.iter().map(|row| row.1).collect::<Float64Array>()),
        texts.clone(),
        Arc::new(arrivals.with_timezone("UTC")),
    ];
    if widened {
        columns.push(texts);
    }
    RecordBatch::try_new(schema(widened), columns).unwrap()
}

impl Table {
    fn lake(&self, store: Arc<InMemory>) -> Lake {
        Lake::with_store("memory:///".parse().unwrap(), store, Arc::new(SystemClock))
    }

    async fn write(&mut self, rows: &[Row]) {
        let partition = if self.partitioned { vec!["t".to_string()] } else { Vec::new() };
        let options = WriteOptions { partition, ..WriteOptions::default() };
        let lake = self.lake(self.store.clone());
        let name: TableName = NAME.parse().unwrap();
        let mut writer = TableWriter::new(&lake, &name, schema(self.widened), options).unwrap();
        writer.write(batch(rows, self.widened)).await.unwrap();
        self.files.extend(writer.finish().await.unwrap().files);
    }

    async fn look_at(&self, store: Arc<InMemory>, checks: &[CheckSpec], until: Option<i64>) -> Looked {
        let lake = self.lake(store);
        let snapshot = Snapshot {
            table: NAME.parse().unwrap(),
            version: 1,
            schema: schema(self.widened),
            partition_columns: if self.partitioned { vec!["t".to_string()] } else { Vec::new() },
            files: self.files.clone(),
            transactions: BTreeMap::new(),
            note: CommitNote::default(),
        };
        let until = until.map(|second| Instant::from_micros(second * 1_000_000));
        let tables = One(Resolved::Snapshot { snapshot: Arc::new(snapshot), until, schema: None });
        let options = EngineOptions { memory: Some(64 << 20), parallel: Some(2) };
        let engine = Engine::new(lake, options).unwrap();
        let session = engine.session(Arc::new(tables), Instant::from_micros(0));
        let asked = Look {
            table: NAME.parse().unwrap(),
            checks: checks.to_vec(),
            keep: Keep::default(),
            rows: 5,
            key: Vec::new(),
            explain: true,
            states: None,
        };
        look(&session, &asked).await.unwrap()
    }

    /// The store as it would be if nobody had kept anything.
    async fn forgetful(&self) -> Arc<InMemory> {
        let store = self.store.fork();
        let states: Vec<_> = store.list(Some(&Path::from("_laguna/states"))).try_collect().await.unwrap();
        for state in states {
            store.delete(&state.location).await.unwrap();
        }
        Arc::new(store)
    }
}

fn checks() -> Vec<(&'static str, Value)> {
    vec![
        ("expect_column_values_to_not_be_null", json!({"column": "i"})),
        ("expect_column_values_to_be_between", json!({"column": "f", "min_value": -10, "max_value": 10})),
        ("expect_column_values_to_be_in_set", json!({"column": "t", "value_set": ["a", "b"]})),
        ("expect_column_values_to_be_increasing", json!({"column": "i"})),
        ("expect_column_values_to_be_unique", json!({"column": "i"})),
        ("expect_column_mean_to_be_between", json!({"column": "f", "max_value": 3})),
        ("expect_column_stdev_to_be_between", json!({"column": "f", "max_value": 3})),
        ("expect_column_median_to_be_between", json!({"column": "i", "max_value": 3})),
        ("expect_column_unique_value_count_to_be_between", json!({"column": "t", "max_value": 2})),
        (
            "expect_column_max_to_be_between",
            json!({"column": "_ingested_at", "max_value": "1970-01-01T00:00:02"}),
        ),
        (
            "expect_column_sum_to_be_between",
            json!({"column": "i", "max_value": 3, "row_condition": "col(\"f\") > 0", "condition_parser": "great_expectations"}),
        ),
        ("unexpected_rows_expectation", json!({"unexpected_rows_query": "SELECT * FROM this WHERE i > f"})),
        ("expect_table_row_count_to_be_between", json!({"max_value": 10})),
    ]
}

fn rows() -> impl Strategy<Value = Vec<Row>> {
    let float = prop_oneof![Just(f64::NAN), Just(-0.0), Just(0.1), -50.0..50.0f64];
    let text = prop_oneof![Just("a"), Just("b"), Just("c d/e")].prop_map(str::to_string);
    let row =
        (proptest::option::of(0..40i64), proptest::option::of(float), proptest::option::of(text), 0..4i64);
    prop::collection::vec(row, 1..20)
}

/// What happens before a look: rows come, a file goes, a column is added.
#[derive(Debug, Clone)]
enum Step {
    Append(Vec<Row>),
    Rewrite(usize, Vec<Row>),
    Widen,
}

fn steps() -> impl Strategy<Value = Vec<(Step, Vec<bool>, Option<i64>)>> {
    let step = prop_oneof![
        4 => rows().prop_map(Step::Append),
        2 => (0..5usize, rows()).prop_map(|(file, rows)| Step::Rewrite(file, rows)),
        1 => Just(Step::Widen),
    ];
    let suite = prop::collection::vec(any::<bool>(), 13);
    prop::collection::vec((step, suite, proptest::option::weighted(0.3, 0..4i64)), 1..6)
}

/// The failing rows of each check; of repeated keys, which come in any order, only how many.
fn shown(looked: &Looked) -> Vec<(usize, &[FailingRow])> {
    let checks = looked.failing.iter().zip(&looked.verdicts);
    checks
        .map(|(rows, verdict)| {
            (rows.len(), if verdict.kind == VerdictKind::Set { &[] } else { rows.as_slice() })
        })
        .collect()
}

async fn walk(steps: Vec<(Step, Vec<bool>, Option<i64>)>, partitioned: bool) {
    let mut table = Table { store: Arc::default(), files: Vec::new(), widened: false, partitioned };
    for (step, suite, until) in steps {
        match step {
            Step::Append(rows) => table.write(&rows).await,
            Step::Rewrite(file, rows) => {
                if file < table.files.len() {
                    table.files.remove(file);
                }
                table.write(&rows).await;
            }
            Step::Widen => table.widened = true,
        }
        let mut checks: Vec<CheckSpec> = checks()
            .into_iter()
            .zip(suite)
            .filter(|(_, wanted)| *wanted)
            .map(|((name, arguments), _)| CheckSpec::new(name, &arguments).unwrap())
            .collect();
        if table.widened {
            let arguments = json!({"column": "late", "mostly": 0.5});
            checks.push(CheckSpec::new("expect_column_values_to_not_be_null", &arguments).unwrap());
        }
        if table.files.is_empty() || checks.is_empty() {
            continue;
        }
        let without = table.look_at(table.forgetful().await, &checks, until).await;
        let with = table.look_at(table.store.clone(), &checks, until).await;
        assert_eq!(with.verdicts, without.verdicts);
        assert_eq!((with.rows, shown(&with)), (without.rows, shown(&without)));
        // Once more: what could be kept is not read again.
        let again = table.look_at(table.store.clone(), &checks, until).await;
        assert_eq!(again.verdicts, without.verdicts);
        if let (Some(files), None) = (&again.files, until) {
            assert_eq!((files.read, files.kept), (0, files.files), "{files:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn verdicts_and_rows_are_those_of_a_full_read(steps in steps(), partitioned in any::<bool>()) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(walk(steps, partitioned));
    }
}
