//! The newest rows against a simple model: late, repeated, deleted rows, null keys and null orders.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::TimestampMicrosecondArray;
use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch, StringArray, StructArray};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef, TimeUnit};
use datafusion::prelude::{SessionConfig, SessionContext};
use laguna_base::clock::FixedClock;
use laguna_base::settings::dataset::Mode;
use laguna_base::{ErrorKind, Instant, TableName};
use object_store::memory::InMemory;
use proptest::prelude::*;

use super::{LatestRule, bucket};
use crate::commit::Append;
use crate::{CommitNote, Lake, TableWriter, WriteOptions};

/// One row: key, order, operation; its value is its place among all rows.
type Row = (Option<i64>, Option<i64>, &'static str);

struct Fixture {
    lake: Lake,
    session: SessionContext,
    rule: LatestRule,
    landed: Vec<Vec<Row>>,
}

fn raw() -> TableName {
    "raw.orders".parse().unwrap()
}

fn schema() -> SchemaRef {
    let time = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    Arc::new(Schema::new(vec![
        Field::new("Key", DataType::Int64, true),
        Field::new("order", DataType::Int64, true),
        Field::new("_op", DataType::Utf8, true),
        Field::new("value", DataType::Int64, true),
        Field::new("_ingested_at", time, true),
        Field::new("_batch", DataType::Utf8, true),
        Field::new("_source", DataType::Struct(source_fields().into()), true),
    ]))
}

fn source_fields() -> Vec<Field> {
    vec![Field::new("file", DataType::Utf8, true), Field::new("row", DataType::Int64, true)]
}

fn at(batch: usize) -> Instant {
    Instant::from_micros(1_700_000_000_000_000 + batch as i64)
}

impl Fixture {
    fn new(mode: Mode, order: bool) -> Fixture {
        let clock = Arc::new(FixedClock::new(at(0)));
        let lake = Lake::with_store("memory:///".parse().unwrap(), Arc::new(InMemory::new()), clock);
        let rule = LatestRule {
            mode,
            key: vec!["Key".to_string()],
            order: order.then(|| "order".to_string()),
            op: Some("_op".to_string()),
        };
        let session = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(2));
        Fixture { lake, session, rule, landed: Vec::new() }
    }

    async fn land(&mut self, rows: &[Row]) {
        let batch = self.landed.len();
        let first = self.landed.iter().map(Vec::len).sum::<usize>() as i64;
        let count = rows.len();
        let numbers = || Int64Array::from_iter_values((0..count as i64).map(|row| first + row));
        let source: Vec<ArrayRef> =
            vec![Arc::new(StringArray::from(vec!["a.csv"; count])), Arc::new(numbers())];
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Int64Array::from_iter(rows.iter().map(|row| row.0))),
            Arc::new(Int64Array::from_iter(rows.iter().map(|row| row.1))),
            Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.2))),
            Arc::new(numbers()),
            Arc::new(
                TimestampMicrosecondArray::from(vec![at(batch).as_micros(); count]).with_timezone("UTC"),
            ),
            Arc::new(StringArray::from(vec![format!("b{batch}"); count])),
            Arc::new(StructArray::new(source_fields().into(), source, None)),
        ];
        let rows_of = RecordBatch::try_new(schema(), columns).unwrap();
        let mut writer = TableWriter::new(&self.lake, &raw(), schema(), WriteOptions::default()).unwrap();
        if count > 0 {
            writer.write(rows_of).await.unwrap();
        }
        let append = Append {
            table: raw(),
            schema: schema(),
            files: writer.finish().await.unwrap().files,
            transaction: Some(("land".to_string(), batch as i64 + 1)),
            base: self.lake.head(&raw()).await.unwrap(),
            note: CommitNote {
                batch: Some(format!("b{batch}")),
                watermark: Some(at(batch)),
                ..CommitNote::default()
            },
        };
        self.lake.append(append).await.unwrap();
        self.landed.push(rows.to_vec());
    }

    async fn fold(&self) {
        self.lake.fold_latest(&raw(), &self.rule, &self.session.state()).await.unwrap();
    }

    /// Key and value of the rows of latest, sorted.
    async fn latest(&self, until: Option<Instant>) -> Vec<(Option<i64>, i64)> {
        let state = self.session.state();
        let provider = self.lake.latest_provider(&raw(), &self.rule, until, &state).await.unwrap();
        assert_eq!(provider.schema().fields().len(), schema().fields().len());
        let batches = self.session.read_table(provider).unwrap().collect().await.unwrap();
        let mut rows: Vec<(Option<i64>, i64)> = batches
            .iter()
            .flat_map(|batch| {
                let keys = batch.column_by_name("Key").unwrap().as_primitive::<Int64Type>().clone();
                let values = batch.column_by_name("value").unwrap().as_primitive::<Int64Type>().clone();
                (0..batch.num_rows())
                    .map(move |row| (keys.is_valid(row).then(|| keys.value(row)), values.value(row)))
            })
            .collect();
        rows.sort_unstable();
        rows
    }

    /// The same from all batches up to number `last`, by the definition.
    fn model(&self, last: usize) -> Vec<(Option<i64>, i64)> {
        let mut newest: BTreeMap<Option<i64>, (Option<i64>, i64, &str)> = BTreeMap::new();
        let mut value = 0;
        for (number, batch) in self.landed.iter().enumerate().take(last + 1) {
            for (key, order, op) in batch {
                value += 1;
                if self.rule.mode == Mode::Snapshot && number < last {
                    continue;
                }
                let order = order.filter(|_| self.rule.order.is_some());
                let known = newest.get(key);
                if known.is_none_or(|(known, _, _)| order >= *known) {
                    newest.insert(*key, (order, value - 1, op));
                }
            }
        }
        let deletes = self.rule.mode == Mode::Changes;
        newest
            .into_iter()
            .filter(|(_, (_, _, op))| !deletes || !matches!(op.to_lowercase().as_str(), "d" | "delete"))
            .map(|(key, (_, value, _))| (key, value))
            .collect()
    }

    async fn check(&self, context: &str) {
        let last = self.landed.len() - 1;
        assert_eq!(self.latest(None).await, self.model(last), "{context}: now");
        for batch in 0..=last {
            let expected = self.model(batch);
            assert_eq!(self.latest(Some(at(batch))).await, expected, "{context}: as of batch {batch}");
        }
        let before = Instant::from_micros(at(0).as_micros() - 1);
        assert!(self.latest(Some(before)).await.is_empty(), "{context}: before the first batch");
    }
}

fn rows() -> impl Strategy<Value = Vec<Row>> {
    let key = prop_oneof![1 => Just(None), 8 => (0..12i64).prop_map(Some)];
    let order = prop_oneof![1 => Just(None), 5 => (0..8i64).prop_map(Some)];
    let op = prop_oneof![3 => Just("u"), 1 => Just("i"), 1 => Just("D"), 1 => Just("delete")];
    prop::collection::vec((key, order, op), 0..8)
}

fn run(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn latest_is_what_the_rule_says(
        batches in prop::collection::vec((rows(), any::<bool>()), 1..5),
        mode in prop::sample::select(vec![Mode::Append, Mode::Upsert, Mode::Changes, Mode::Snapshot]),
        order in any::<bool>(),
    ) {
        run(async move {
            let mut fixture = Fixture::new(mode, order);
            for (rows, fold) in &batches {
                fixture.land(rows).await;
                if *fold {
                    fixture.fold().await;
                    let last = fixture.landed.len() - 1;
                    assert_eq!(fixture.latest(None).await, fixture.model(last), "after a fold");
                }
            }
            fixture.check("tail merged on read").await;
            fixture.fold().await;
            fixture.check("all folded").await;
            let version = fixture.lake.head_version(&raw().latest()).await.unwrap();
            fixture.fold().await;
            assert_eq!(fixture.lake.head_version(&raw().latest()).await.unwrap(), version, "folded twice");
        });
    }
}

#[tokio::test]
async fn a_late_row_does_not_bring_a_deleted_key_back() {
    let mut fixture = Fixture::new(Mode::Changes, true);
    for row in [(Some(1), Some(1), "i"), (Some(1), Some(5), "D"), (Some(1), Some(3), "u")] {
        fixture.land(&[row]).await;
        fixture.fold().await;
    }
    assert!(fixture.latest(None).await.is_empty());
    fixture.land(&[(Some(1), Some(6), "i")]).await;
    fixture.fold().await;
    assert_eq!(fixture.latest(None).await, [(Some(1), 3)]);
    fixture.check("deleted and back").await;
}

#[tokio::test]
async fn another_rule_builds_anew_from_raw() {
    let mut fixture = Fixture::new(Mode::Upsert, false);
    fixture.land(&[(Some(1), Some(9), "u"), (Some(2), Some(1), "u")]).await;
    fixture.fold().await;
    fixture.land(&[(Some(1), Some(2), "u")]).await;
    fixture.fold().await;
    assert_eq!(fixture.latest(None).await, [(Some(1), 2), (Some(2), 1)]);
    fixture.rule.order = Some("order".to_string());
    fixture.check("rule changed, not folded").await;
    fixture.fold().await;
    assert_eq!(fixture.latest(None).await, [(Some(1), 0), (Some(2), 1)]);
    fixture.check("rule changed, folded").await;
}

#[tokio::test]
async fn a_rule_that_the_table_cannot_carry_out_is_refused() {
    let mut fixture = Fixture::new(Mode::Upsert, false);
    fixture.land(&[(Some(1), None, "u")]).await;
    fixture.rule.key = vec!["key".to_string()];
    let state = fixture.session.state();
    let error = fixture.lake.fold_latest(&raw(), &fixture.rule, &state).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Project);
    assert_eq!(error.hint_text(), Some("did you mean `Key`?"));
    fixture.rule.key.clear();
    assert!(fixture.lake.fold_latest(&raw(), &fixture.rule, &state).await.is_err());
}

#[tokio::test]
async fn a_batch_rewrites_only_the_buckets_that_it_touches() {
    let mut fixture = Fixture::new(Mode::Upsert, false);
    let all: Vec<Row> = (0..40).map(|key| (Some(key), None, "u")).collect();
    fixture.land(&all).await;
    fixture.fold().await;
    let before = fixture.lake.head(&raw().latest()).await.unwrap().unwrap();
    assert!(before.files.len() > 8, "{} files", before.files.len());
    fixture.land(&[(Some(7), None, "u")]).await;
    fixture.fold().await;
    let after = fixture.lake.head(&raw().latest()).await.unwrap().unwrap();
    let kept = after.files.iter().filter(|file| before.files.contains(file)).count();
    assert_eq!((kept, after.files.len()), (before.files.len() - 1, before.files.len()));
    fixture.check("one bucket rewritten").await;
}

#[test]
fn buckets_are_stable_and_spread() {
    let keys: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from_iter((0..4096).map(Some))),
        Arc::new(StringArray::from_iter((0..4096).map(|row| (row % 3 > 0).then(|| row.to_string())))),
    ];
    let buckets = bucket::buckets(&keys, 8).unwrap();
    let mut sizes = [0; 8];
    buckets.values().iter().for_each(|bucket| sizes[*bucket as usize] += 1);
    assert!(sizes.iter().all(|size| (400..630).contains(size)), "{sizes:?}");
    // Stored tables are cut by these: they may never change.
    assert_eq!(buckets.values()[..8], [5, 5, 7, 3, 1, 4, 1, 3]);
    assert_eq!(bucket::count_for(bucket::ROWS * 2, 1), 1);
    assert_eq!(bucket::count_for(bucket::ROWS * 4 + 1, 1), 8);
    assert_eq!(bucket::count_for(10, 8), 8);
}
