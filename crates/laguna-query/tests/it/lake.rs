//! A real lake in memory, read at several moments: releases, raw rows up to an instant, latest, staged, system tables.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use futures::TryStreamExt;
use laguna_base::clock::FixedClock;
use laguna_base::settings::dataset::Mode;
use laguna_base::{Error, Instant, TableName};
use laguna_query::{Engine, EngineOptions, LakeTables, Moment};
use laguna_store::commit::Append;
use laguna_store::latest::LatestRule;
use laguna_store::ledger::RunRecord;
use laguna_store::release::{RawState, Release, ReleasedTable};
use laguna_store::types::schema_to_json;
use laguna_store::writer::Written;
use laguna_store::{CommitNote, Lake, Staged, TableWriter, WriteOptions};
use object_store::memory::InMemory;

pub(super) fn at(second: i64) -> Instant {
    Instant::from_micros(1_700_000_000_000_000 + second * 1_000_000)
}

fn name(text: &str) -> TableName {
    text.parse().unwrap()
}

pub(super) struct Fixture {
    pub(super) lake: Lake,
    clock: Arc<FixedClock>,
    pub(super) engine: Engine,
    rule: LatestRule,
}

/// Second 10: two raw rows, released at 20 as `sanitized.flights` and the view `enhanced.names`. Second 30: an update
/// of key 1 with a new column, released at 40 with another SQL of the view.
pub(super) async fn fixture() -> Fixture {
    let clock = Arc::new(FixedClock::new(at(0)));
    let lake = Lake::with_store("memory:///".parse().unwrap(), Arc::new(InMemory::new()), clock.clone());
    let engine =
        Engine::new(lake.clone(), EngineOptions { memory: Some(64 << 20), parallel: Some(2) }).unwrap();
    let rule = LatestRule { mode: Mode::Upsert, key: vec!["id".into()], order: None, op: None };
    let fixture = Fixture { lake, clock, engine, rule };
    fixture.land(10, &[(1, "AA"), (2, "B6")], false).await;
    fixture.release(20, &[(1, "AA"), (2, "B6")], "SELECT carrier FROM sanitized.flights").await;
    fixture.land(30, &[(1, "ZZ")], true).await;
    fixture.release(40, &[(1, "ZZ")], "SELECT carrier AS renamed FROM sanitized.flights").await;
    fixture.clock.set(at(50));
    fixture
}

impl Fixture {
    async fn write(&self, table: &TableName, batch: &RecordBatch) -> Written {
        let mut writer =
            TableWriter::new(&self.lake, table, batch.schema(), WriteOptions::default()).unwrap();
        writer.write(batch.clone()).await.unwrap();
        writer.finish().await.unwrap()
    }

    async fn land(&self, second: i64, rows: &[(i64, &str)], new_column: bool) {
        self.clock.set(at(second));
        let table = name("raw.flights");
        let arrival = TimestampMicrosecondArray::from(vec![at(second).as_micros(); rows.len()]);
        let mut columns: Vec<(&str, ArrayRef)> = vec![
            ("id", Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.0)))),
            ("carrier", Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.1)))),
            ("_ingested_at", Arc::new(arrival.with_timezone("UTC"))),
        ];
        if new_column {
            columns.push(("tail", Arc::new(StringArray::from(vec!["N1"; rows.len()]))));
        }
        let columns = columns.into_iter().map(|(name, column)| (name, column, true));
        let batch = RecordBatch::try_from_iter_with_nullable(columns).unwrap();
        let written = self.write(&table, &batch).await;
        let append = Append {
            table: table.clone(),
            schema: batch.schema(),
            files: written.files,
            transaction: None,
            base: self.lake.head(&table).await.unwrap(),
            note: CommitNote { watermark: Some(at(second)), ..CommitNote::default() },
        };
        self.lake.append(append).await.unwrap();
        self.lake.fold_latest(&table, &self.rule, &self.engine.state()).await.unwrap();
    }

    pub(super) async fn stage(&self, run: &str, rows: &[(i64, &str)]) -> Staged {
        let table = name("sanitized.flights");
        let batch = RecordBatch::try_from_iter_with_nullable(vec![
            ("id", Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.0))) as ArrayRef, true),
            (
                "carrier",
                Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.1))) as ArrayRef,
                true,
            ),
        ])
        .unwrap();
        let written = self.write(&table, &batch).await;
        Staged {
            table,
            run: run.to_string(),
            at: at(0),
            schema: schema_to_json(&batch.schema()).unwrap(),
            partition_columns: Vec::new(),
            base: None,
            adds: written.files,
            removes: Vec::new(),
            rows: written.rows,
            content: Some(written.content),
            note: CommitNote {
                run: Some(run.to_string()),
                fingerprint: Some(run.to_string()),
                ..CommitNote::default()
            },
            verdicts: serde_json::Value::Null,
        }
    }

    async fn release(&self, second: i64, rows: &[(i64, &str)], view: &str) {
        self.clock.set(at(second));
        let run = format!("run-{second}");
        let staged = self.stage(&run, rows).await;
        let version = self.lake.commit(&staged).await.unwrap();
        let table = |version: Option<u64>, sql: &str| ReleasedTable {
            version,
            sql: sql.to_string(),
            sql_hash: sql.to_string(),
            fingerprint: run.clone(),
            schema: staged.schema.clone(),
            rows: version.map(|_| rows.len() as u64),
            content: None,
            inputs: BTreeMap::new(),
            checks: Default::default(),
            since: 0,
            held: None,
        };
        let raw = self.lake.head(&name("raw.flights")).await.unwrap().unwrap();
        let parent = self.lake.release().await.unwrap();
        let next = Release {
            number: 0,
            time: at(second),
            run: run.clone(),
            instant: at(second),
            reason: "run".into(),
            engine: "test".into(),
            code: None,
            git_commit: None,
            tables: BTreeMap::from([
                (name("sanitized.flights"), table(Some(version), "SELECT …")),
                (name("enhanced.names"), table(None, view)),
            ]),
            raw: BTreeMap::from([(
                raw.table.clone(),
                RawState {
                    version: raw.version,
                    watermark: raw.note.watermark,
                    schema: schema_to_json(&raw.schema).unwrap(),
                },
            )]),
            held_fingerprints: Default::default(),
            redacted: Default::default(),
        };
        self.lake.publish(next, parent.as_ref()).await.unwrap();
    }

    async fn query(&self, moment: Moment, sql: &str) -> Result<String, Error> {
        let tables = LakeTables::at(&self.lake, moment).await?;
        let session = self.engine.session(Arc::new(tables), at(60));
        let result = session.execute(sql).await?;
        let mut out = Vec::new();
        let format = laguna_query::output::Format::Csv;
        laguna_query::output::write(result.stream, format, &mut out, &Default::default()).await?;
        Ok(String::from_utf8(out).unwrap())
    }

    async fn lines(&self, moment: Moment, sql: &str) -> String {
        let text = self.query(moment, sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
        text.trim_end().replace('\n', " / ")
    }
}

#[tokio::test]
async fn every_moment_shows_one_state() {
    let lake = fixture().await;
    let raw = "SELECT * FROM raw.flights ORDER BY id, carrier";
    let model = "SELECT * FROM sanitized.flights ORDER BY id";
    let latest = "SELECT id, carrier FROM latest.flights ORDER BY id";
    let view = "SELECT * FROM enhanced.names ORDER BY 1";
    for moment in [Moment::Now, Moment::AsOf(at(45)), Moment::Release(2)] {
        assert_eq!(
            lake.lines(moment.clone(), raw).await,
            "id,carrier,_ingested_at,tail / 1,AA,2023-11-14T22:13:30Z, / 1,ZZ,2023-11-14T22:13:50Z,N1 / 2,B6,2023-11-14T22:13:30Z,",
            "{moment:?}"
        );
        assert_eq!(lake.lines(moment.clone(), model).await, "id,carrier / 1,ZZ", "{moment:?}");
        assert_eq!(lake.lines(moment.clone(), latest).await, "id,carrier / 1,ZZ / 2,B6", "{moment:?}");
        assert_eq!(lake.lines(moment, view).await, "renamed / ZZ");
    }
    for moment in [Moment::AsOf(at(20)), Moment::AsOf(at(29)), Moment::Release(1)] {
        assert_eq!(
            lake.lines(moment.clone(), raw).await,
            "id,carrier,_ingested_at / 1,AA,2023-11-14T22:13:30Z / 2,B6,2023-11-14T22:13:30Z",
            "{moment:?}"
        );
        assert_eq!(lake.lines(moment.clone(), model).await, "id,carrier / 1,AA / 2,B6", "{moment:?}");
        assert_eq!(lake.lines(moment.clone(), latest).await, "id,carrier / 1,AA / 2,B6", "{moment:?}");
        assert_eq!(lake.lines(moment, view).await, "carrier / AA / B6");
    }
    // Between landing and release: the rows are there, the release is the old one.
    let between = Moment::AsOf(at(35));
    assert_eq!(lake.lines(between.clone(), "SELECT count(*) FROM raw.flights").await, "count(*) / 3");
    assert_eq!(lake.lines(between, model).await, "id,carrier / 1,AA / 2,B6");
}

#[tokio::test]
async fn one_statement_can_read_two_moments() {
    let lake = fixture().await;
    let then = at(29);
    for (sql, expected) in [
        (
            format!(
                "SELECT n.id, n.carrier, o.carrier AS before FROM sanitized.flights n \
                 JOIN sanitized.flights o FOR TIMESTAMP AS OF '{then}' ON n.id = o.id"
            ),
            "id,carrier,before / 1,ZZ,AA",
        ),
        (
            format!("SELECT * FROM enhanced.names FOR TIMESTAMP AS OF '{then}' ORDER BY 1"),
            "carrier / AA / B6",
        ),
        (format!("SELECT count(*) AS n FROM raw.flights FOR TIMESTAMP AS OF '{then}'"), "n / 2"),
        (format!("SELECT count(*) AS n FROM raw.flights FOR TIMESTAMP AS OF '{}'", at(12)), "n / 2"),
        (format!("SELECT count(*) AS n FROM raw.flights FOR TIMESTAMP AS OF '{}'", at(5)), "n / 0"),
        (
            format!("SELECT carrier FROM latest.flights FOR TIMESTAMP AS OF '{then}' WHERE id = 1"),
            "carrier / AA",
        ),
        ("SELECT count(*) AS n FROM sanitized.flights FOR VERSION AS OF 0".to_string(), "n / 2"),
    ] {
        assert_eq!(lake.lines(Moment::Now, &sql).await, expected, "{sql}");
    }
}

#[tokio::test]
async fn moments_that_never_were_are_named() {
    let lake = fixture().await;
    let model = "SELECT * FROM sanitized.flights";
    for (moment, sql, hint) in [
        (Moment::AsOf(at(1)), model.to_string(), at(20).to_string()),
        (Moment::Release(9), model.to_string(), "releases 1 to 2".to_string()),
        (Moment::Run("nothing".into()), model.to_string(), "staged".to_string()),
        (Moment::Now, format!("{model} FOR TIMESTAMP AS OF '{}'", at(1)), at(20).to_string()),
        (Moment::Now, format!("{model} FOR TIMESTAMP AS OF '2999-01-01'"), at(50).to_string()),
        (Moment::Now, format!("{model} FOR VERSION AS OF 99"), "0 to 1".to_string()),
        (Moment::Now, "SELECT * FROM enhanced.names FOR VERSION AS OF 0".into(), "TIMESTAMP".into()),
        (Moment::Now, "SELECT * FROM system.runs FOR VERSION AS OF 0".into(), "filter".into()),
    ] {
        let error = lake.query(moment, &sql).await.unwrap_err();
        assert_eq!(error.kind(), laguna_base::ErrorKind::Project, "{sql}: {error:?}");
        let said = format!("{error} {}", error.hint_text().unwrap_or_default());
        assert!(said.contains(&hint), "{sql}: {error:?}");
    }
}

#[tokio::test]
async fn staged_tables_can_be_inspected_before_they_are_released() {
    let lake = fixture().await;
    let staged = lake.stage("run-50", &[(7, "DL")]).await;
    lake.lake.save_staged(&staged).await.unwrap();
    let sql = "SELECT carrier FROM staged.sanitized_flights";
    assert_eq!(lake.lines(Moment::Now, sql).await, "carrier / DL");
    let run = Moment::Run("run-50".into());
    assert_eq!(lake.lines(run.clone(), "SELECT * FROM sanitized.flights").await, "id,carrier / 7,DL");
    assert_eq!(lake.lines(run, "SELECT * FROM enhanced.names").await, "renamed / DL");
    assert_eq!(lake.lines(Moment::Now, "SELECT * FROM sanitized.flights").await, "id,carrier / 1,ZZ");
}

#[tokio::test]
async fn system_tables_tell_of_runs_releases_and_freshness() {
    let lake = fixture().await;
    for (sql, expected) in [
        ("SELECT count(*) AS n FROM system.runs", "n / 0"),
        ("SELECT count(*) AS n FROM system.checks", "n / 0"),
        (
            "SELECT release, run, tables, changed FROM system.releases ORDER BY 1 DESC LIMIT 1",
            "release,run,tables,changed / 2,run-40,2,\"sanitized.flights, enhanced.names\"",
        ),
        (
            "SELECT release, \"table\", version FROM system.release_tables ORDER BY 1, 2 LIMIT 2",
            "release,table,version / 1,enhanced.names, / 1,sanitized.flights,0",
        ),
        (
            "SELECT \"table\", age_seconds, rows FROM system.freshness ORDER BY 1",
            "table,age_seconds,rows / enhanced.names,10, / raw.flights,20,3 / sanitized.flights,10,1",
        ),
        ("SELECT count(*) AS n FROM quarantine.raw_flights", "n / 0"),
        ("SELECT count(*) AS n FROM system.files", "n / 0"),
    ] {
        assert_eq!(lake.lines(Moment::Now, sql).await, expected, "{sql}");
    }
    assert!(lake.query(Moment::Now, "SELECT * FROM quarantine.raw_nothing").await.is_err());
    for table in ["runs", "tasks", "checks", "metrics", "releases", "release_tables", "freshness", "files"] {
        lake.lines(Moment::AsOf(at(20)), &format!("SELECT * FROM system.{table}")).await;
    }
}

#[tokio::test]
async fn a_run_is_seen_once_before_and_after_it_is_folded() {
    let lake = fixture().await;
    let record = |id: &str, finished: bool| RunRecord {
        id: id.to_string(),
        command: "run".into(),
        select: Vec::new(),
        started: at(50),
        heartbeat: at(50),
        finished: finished.then_some(at(50)),
        outcome: if finished { "done" } else { "running" }.into(),
        owner: "1@elsewhere".into(),
        release: Some(2),
        code: None,
        tasks: Vec::new(),
        error: None,
    };
    lake.lake.save_run(&record("a", true)).await.unwrap();
    let sql = "SELECT run, outcome FROM system.runs ORDER BY 1";
    assert_eq!(lake.lines(Moment::Now, sql).await, "run,outcome / a,done");
    lake.lake.fold_runs().await.unwrap();
    lake.lake.save_run(&record("b", false)).await.unwrap();
    assert_eq!(lake.lines(Moment::Now, sql).await, "run,outcome / a,done / b,running");
    // A crash left the record of a run that is folded already.
    lake.lake.save_run(&record("a", true)).await.unwrap();
    assert_eq!(lake.lines(Moment::Now, sql).await, "run,outcome / a,done / b,running");
}

#[tokio::test]
async fn a_lake_without_anything_says_so() {
    let clock = Arc::new(FixedClock::new(at(0)));
    let lake = Lake::with_store("memory:///".parse().unwrap(), Arc::new(InMemory::new()), clock);
    let engine = Engine::new(lake.clone(), EngineOptions::default()).unwrap();
    let tables = LakeTables::at(&lake, Moment::Now).await.unwrap();
    assert!(tables.release().is_none());
    let session = engine.session(Arc::new(tables), at(0));
    let error = session.plan("SELECT * FROM enhanced.x").await.unwrap_err();
    assert_eq!(error.hint_text(), Some("the schema `enhanced` is empty; `laguna run` fills it"));
    let result = session.execute("SELECT count(*) FROM information_schema.tables").await.unwrap();
    assert!(!result.stream.try_collect::<Vec<_>>().await.unwrap().is_empty());
}
