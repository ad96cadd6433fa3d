//! Access over a real lake: versions, moments, statistics of the log, staged and system tables.

use std::sync::Arc;

use futures::TryStreamExt;
use laguna_query::{Access, LakeTables, Moment, Session};

use super::{role, said};
use crate::lake::{at, fixture};

#[tokio::test]
async fn a_lake_counts_only_what_may_be_seen() {
    let lake = fixture().await;
    lake.lake.save_staged(&lake.stage("run-50", &[(7, "DL"), (8, "AA")]).await).await.unwrap();
    let access = role(
        &["raw", "latest", "sanitized", "enhanced", "staged", "quarantine"],
        &[("raw.flights", &["id"])],
        &[("raw.flights", "carrier <> 'ZZ'"), ("sanitized.flights", "carrier = 'AA'")],
    );
    let session = |access: Access, moment: Moment| {
        let lake = &lake;
        async move {
            let tables = LakeTables::at(&lake.lake, moment).await.unwrap();
            lake.engine.session_for(Arc::new(tables), at(60), &access)
        }
    };
    let now = session(access.clone(), Moment::Now).await;
    let release = session(access.clone(), Moment::Release(1)).await;
    let then = session(access, Moment::AsOf(at(29))).await;
    let early = format!("sanitized.flights FOR TIMESTAMP AS OF '{}'", at(29));
    for (session, table, expected) in [
        (&now, "raw.flights", "| 2 | AA | B6 |"),
        (&now, "latest.flights", "| 1 | B6 | B6 |"),
        (&now, "sanitized.flights", "| 0 |   |   |"),
        (&now, &early, "| 1 | AA | AA |"),
        (&now, "sanitized.flights FOR VERSION AS OF 0", "| 1 | AA | AA |"),
        (&now, "staged.sanitized_flights", "| 1 | AA | AA |"),
        (&release, "sanitized.flights", "| 1 | AA | AA |"),
        (&then, "raw.flights", "| 2 | AA | B6 |"),
        (&then, "latest.flights", "| 2 | AA | B6 |"),
    ] {
        let sql = format!("SELECT count(*) AS n, min(carrier) AS a, max(carrier) AS z FROM {table}");
        let text = said(session, &sql).await.unwrap();
        assert!(text.contains(expected), "{sql}: {text}");
        let text = said(session, &format!("EXPLAIN ANALYZE {sql}")).await.unwrap();
        assert!(!text.contains("parquet") && !text.contains("PlaceholderRowExec"), "{sql}: {text}");
    }
    let text = said(&now, "SELECT count(id) AS n FROM latest.flights").await.unwrap();
    assert!(text.contains("| 0 |"), "{text}");
    // The view reads the whole table.
    let text = said(&now, "SELECT count(*) AS n FROM enhanced.names").await.unwrap();
    assert!(text.contains("| 1 |"), "{text}");
    // A column that a version does not have yet is not taken for hidden.
    let masked = session(role(&["raw"], &[("raw.flights", &["tail"])], &[]), Moment::AsOf(at(29))).await;
    let text = said(&masked, "SELECT * FROM raw.flights").await.unwrap_err();
    assert!(text.contains("no column `tail`"), "{text}");
    // The newest rows are put together from raw ones, which this role knows nothing of.
    let newest = session(role(&["latest"], &[], &[]), Moment::Now).await;
    for moment in ["", " FOR TIMESTAMP AS OF '2023-11-14T22:13:55Z'"] {
        let sql = format!("SELECT * FROM latest.flights{moment}");
        assert!(said(&newest, &sql).await.unwrap().contains("ZZ"), "{sql}");
        let text = said(&newest, &format!("EXPLAIN VERBOSE {sql}")).await.unwrap();
        assert!(!text.contains("raw"), "{text}");
    }
    // A table that is read whole is planned as for everyone.
    let open = session(role(&["sanitized"], &[], &[]), Moment::Now).await;
    let text = said(&open, "EXPLAIN SELECT * FROM sanitized.flights").await.unwrap();
    assert!(text.contains("DataSourceExec") && text.contains("sanitized/flights"), "{text}");
}

#[tokio::test]
async fn system_tables_tell_of_tables_that_are_read_whole() {
    let lake = fixture().await;
    let ask = |access: Access, sql: &'static str| {
        let lake = &lake;
        async move {
            let tables = LakeTables::at(&lake.lake, Moment::Now).await.unwrap();
            said(&lake.engine.session_for(Arc::new(tables), at(60), &access), sql).await
        }
    };
    let fresh = "SELECT string_agg(\"table\", ' ' ORDER BY \"table\") AS t FROM system.freshness";
    let every = ["raw", "latest", "sanitized", "enhanced", "quarantine", "system"];
    for (access, expected) in [
        (Access::everything(), "enhanced.names raw.flights sanitized.flights"),
        (role(&every, &[], &[]), "enhanced.names raw.flights sanitized.flights"),
        (role(&["system", "sanitized", "enhanced"], &[], &[]), "enhanced.names sanitized.flights"),
        (role(&["system.freshness", "enhanced.names"], &[], &[]), "enhanced.names"),
        (role(&every, &[], &[("sanitized.flights", "id > 1")]), "enhanced.names raw.flights"),
        (role(&every, &[("latest.flights", &["id"])], &[]), "enhanced.names sanitized.flights"),
    ] {
        let text = ask(access, fresh).await.unwrap();
        assert!(text.contains(&format!("| {expected} |")), "{text}");
    }
    let ops = || role(&["system", "sanitized"], &[], &[]);
    let text = ask(ops(), "SELECT release, tables, changed FROM system.releases ORDER BY 1").await.unwrap();
    assert!(text.contains("| 2       |        |         |"), "{text}");
    for table in laguna_system() {
        let sql: &'static str = format!("SELECT * FROM system.{table}").leak();
        let text = ask(ops(), sql).await.unwrap();
        assert!(!text.contains("raw.flights") && !text.contains("enhanced.names"), "{table}: {text}");
        let text = ask(role(&["sanitized"], &[], &[]), sql).await.unwrap_err();
        assert!(text.contains("there is no table"), "{text}");
    }
    // What others ask tells of what they may read.
    let queries = "SELECT count(*) AS n FROM system.queries";
    assert!(ask(role(&every, &[], &[]), queries).await.unwrap().contains("| 0 |"));
    for access in [ops(), role(&every, &[("latest.flights", &["id"])], &[])] {
        assert!(ask(access, queries).await.unwrap_err().contains("there is no table"));
    }
}

fn laguna_system() -> [&'static str; 9] {
    ["checks", "erasures", "files", "freshness", "metrics", "release_tables", "releases", "runs", "tasks"]
}

#[tokio::test]
async fn everything_is_what_a_session_has() {
    let lake = fixture().await;
    let tables = Arc::new(LakeTables::at(&lake.lake, Moment::Now).await.unwrap());
    let plain = lake.engine.session(tables.clone(), at(60));
    let given = lake.engine.session_for(tables, at(60), &Access::everything());
    for sql in
        ["SHOW ALL", "EXPLAIN SELECT count(*) FROM raw.flights", "EXPLAIN SELECT * FROM enhanced.names"]
    {
        let rows = |session: Session| async move {
            session.execute(sql).await.unwrap().stream.try_collect::<Vec<_>>().await.unwrap()
        };
        assert_eq!(rows(plain.clone()).await, rows(given.clone()).await, "{sql}");
    }
}
