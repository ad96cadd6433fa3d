//! The query room through its public API: names, views, time travel, read-only, errors, over tables in memory.

mod access;
mod cases;
mod lake;
mod tables;

use std::sync::Arc;

use arrow::array::RecordBatch;
use datafusion::catalog::MemTable;
use futures::TryStreamExt;
use laguna_base::{ErrorKind, Instant};
use laguna_query::{Session, volatile_functions};

use tables::{engine, memory};

async fn rows(session: &Session, sql: &str) -> Vec<RecordBatch> {
    let result = session.execute(sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    result.stream.try_collect().await.unwrap_or_else(|error| panic!("{sql}: {error}"))
}

async fn text(session: &Session, sql: &str) -> String {
    arrow::util::pretty::pretty_format_batches(&rows(session, sql).await).unwrap().to_string()
}

fn session() -> Session {
    engine().session(Arc::new(memory()), "2026-11-22T06:00:00Z".parse().unwrap())
}

#[tokio::test]
async fn statements_that_write_or_reach_outside_are_refused() {
    let session = session();
    for sql in [
        "INSERT INTO raw.flights VALUES (1)",
        "CREATE TABLE x AS SELECT 1",
        "CREATE VIEW x AS SELECT 1",
        "CREATE EXTERNAL TABLE x STORED AS CSV LOCATION '/etc/passwd'",
        "COPY raw.flights TO '/tmp/out.parquet'",
        "COPY (SELECT 1) TO '/tmp/out.csv' STORED AS CSV",
        "EXPLAIN ANALYZE COPY (SELECT 1) TO '/tmp/out.csv' STORED AS CSV",
        "EXPLAIN INSERT INTO raw.flights VALUES (1)",
        "DROP TABLE raw.flights",
        "DELETE FROM raw.flights",
        "UPDATE raw.flights SET id = 1",
        "TRUNCATE TABLE raw.flights",
        "SET datafusion.execution.batch_size = 1",
        "RESET datafusion.execution.batch_size",
        "SELECT * INTO x FROM raw.flights",
        "WITH x AS (INSERT INTO raw.flights VALUES (1)) SELECT 1",
        "PREPARE p AS SELECT 1",
        "BEGIN",
        "SELECT * FROM '/etc/passwd'",
        "SELECT * FROM \"/etc/passwd\"",
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT 1; SELECT 2",
        "",
    ] {
        let error = session.execute(sql).await.err().unwrap_or_else(|| panic!("ran: {sql}"));
        assert_eq!(error.kind(), ErrorKind::Project, "{sql}: {error:?}");
        assert!(!error.message().contains("DataFusion"), "{sql}: {error:?}");
    }
    assert!(!std::path::Path::new("/tmp/out.parquet").exists());
}

#[tokio::test]
async fn wrong_names_are_answered_with_the_nearest_and_their_place() {
    let session = session();
    for (sql, message, hint, line, column) in [
        (
            "SELECT *\nFROM raw.fligths",
            "there is no table `raw.fligths`",
            "did you mean `raw.flights`?",
            2,
            6,
        ),
        (
            "SELECT * FROM flights",
            "the table `flights` lacks its schema",
            "did you mean `sanitized.flights`?",
            1,
            15,
        ),
        ("SELECT * FROM rav.flights", "there is no schema `rav`", "did you mean `raw`?", 1, 15),
        (
            "SELECT * FROM enhanced.flights",
            "there is no table `enhanced.flights`",
            "did you mean `sanitized.flights`?",
            1,
            15,
        ),
        ("SELECT\n  carier FROM raw.flights", "there is no column `carier`", "did you mean `carrier`?", 2, 3),
        (
            "SELECT f.carier FROM raw.flights f",
            "there is no column `f.carier`",
            "did you mean `carrier`?",
            1,
            8,
        ),
        (
            "SELECT tailnum FROM raw.flights",
            "there is no column `tailnum`",
            "did you mean \"TailNum\"? names with capitals are written in double quotes",
            1,
            8,
        ),
        ("SELECT cuont(*) FROM raw.flights", "there is no function `cuont`", "did you mean `count`?", 1, 8),
        ("SELEC 1", "", "", 1, 1),
        ("SELECT 1 FROM", "", "", 1, 14),
        (
            "SELECT a.id FROM raw.flights a JOIN raw.flights b ON id = 1",
            "the column `id` could be that of several tables",
            "write it with its table, as flights.id; if two results are called id, rename one with AS",
            1,
            10,
        ),
    ] {
        let error = session.plan(sql).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Project, "{sql}: {error:?}");
        if !message.is_empty() {
            assert_eq!((error.message(), error.hint_text()), (message, Some(hint)), "{sql}");
        }
        let place = error.location().unwrap_or_else(|| panic!("{sql}: {error:?}"));
        if !sql.contains("JOIN") {
            assert_eq!((place.line, place.column), (line, column), "{sql}: {error:?}");
        }
    }
    // All wrong tables are named at once.
    let error = session.plan("SELECT * FROM raw.a, raw.b").await.unwrap_err();
    assert_eq!(error.others().len(), 1);
}

#[tokio::test]
async fn failures_while_running_say_the_way_out() {
    let session = session();
    for (sql, message, hint) in [
        ("SELECT id / (id - id) FROM raw.flights", "division by zero", "nullif"),
        ("SELECT carrier::int FROM raw.flights", "cannot cast", "try_cast"),
    ] {
        let error = match session.execute(sql).await {
            Ok(result) => laguna_query::translate(result.stream.try_collect::<Vec<_>>().await.unwrap_err()),
            Err(error) => error,
        };
        assert_eq!(error.kind(), ErrorKind::Failed, "{sql}: {error:?}");
        assert!(error.message().contains(message), "{sql}: {error:?}");
        assert!(error.hint_text().unwrap().contains(hint), "{sql}: {error:?}");
    }
}

#[tokio::test]
async fn now_is_the_instant_of_the_session() {
    let instant: Instant = "2013-01-02T03:04:05Z".parse().unwrap();
    let session = engine().session(Arc::new(memory()), instant);
    let answer =
        text(&session, "SELECT now() = '2013-01-02T03:04:05Z'::timestamptz AS a, current_date AS d").await;
    assert!(answer.contains("| true | 2013-01-02 |"), "{answer}");
    let schema = session.schema_of("SELECT now() AS at, 1 AS one").await.unwrap();
    assert_eq!(schema.field(0).data_type().to_string(), "Timestamp(ns, \"UTC\")");
}

#[tokio::test]
async fn a_check_sees_its_table_as_this_and_views_do_not() {
    let session = session();
    let batch = rows(&session, "SELECT 7 AS departures").await.remove(0);
    let provider = Arc::new(MemTable::try_new(batch.schema(), vec![vec![batch]]).unwrap());
    session.register_this(provider);
    let answer = text(&session, "SELECT this.departures FROM this WHERE departures > 0").await;
    assert!(answer.contains("| 7 "), "{answer}");
    let error = session.plan("SELECT * FROM enhanced.reads_this").await.unwrap_err();
    assert!(error.message().contains("lacks its schema"), "{error:?}");
}

#[tokio::test]
async fn views_in_circles_end_with_an_error() {
    let error = session().plan("SELECT * FROM enhanced.circle").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Project);
    assert!(error.hint_text().unwrap().contains("materialise"), "{error:?}");
}

#[tokio::test]
async fn volatile_functions_are_found_wherever_they_hide() {
    let session = session();
    let plan = session
        .plan("WITH a AS (SELECT random() AS r) SELECT now(), r FROM a WHERE r < (SELECT max(length(uuid()::text)) FROM raw.flights)")
        .await
        .unwrap();
    assert_eq!(volatile_functions(&plan), ["random", "uuid"]);
    let plan = session.plan("SELECT now(), lower(carrier) FROM raw.flights").await.unwrap();
    assert!(volatile_functions(&plan).is_empty());
}

#[tokio::test]
async fn plans_can_be_explained() {
    let session = session();
    for sql in [
        "EXPLAIN SELECT * FROM enhanced.carriers",
        "EXPLAIN ANALYZE SELECT * FROM enhanced.carriers;",
        "SHOW TABLES",
        "SHOW FUNCTIONS",
        "SHOW ALL",
    ] {
        assert!(!rows(&session, sql).await.is_empty(), "{sql}");
    }
}

#[tokio::test]
async fn partitions_together_are_the_rows() {
    let session = session();
    let partitioned = session.partitions("SELECT * FROM raw.flights", &[]).await.unwrap();
    let mut count = 0;
    for stream in partitioned.streams {
        let batches: Vec<RecordBatch> = stream.try_collect().await.unwrap();
        count += batches.iter().map(RecordBatch::num_rows).sum::<usize>();
    }
    assert_eq!(count, 4);
    assert_eq!(partitioned.schema.fields().len(), 3);
}
