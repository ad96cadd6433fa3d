//! Releases over a store in memory: numbers, times, races, redactions, and every way to lose the hint.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use laguna_base::clock::FixedClock;
use laguna_base::{ErrorKind, Instant, TableName};
use object_store::ObjectStoreExt;
use object_store::memory::InMemory;
use object_store::path::Path;

use super::{CheckSummary, Release, ReleasedTable};
use crate::Lake;

fn lake() -> (Lake, Arc<FixedClock>, Arc<InMemory>) {
    let clock = Arc::new(FixedClock::new(at(0)));
    let objects = Arc::new(InMemory::new());
    let url = "memory:///".parse().unwrap();
    (Lake::with_store(url, objects.clone(), clock.clone()), clock, objects)
}

fn at(seconds: i64) -> Instant {
    Instant::from_micros(1_700_000_000_000_000 + seconds * 1_000_000)
}

fn name(text: &str) -> TableName {
    text.parse().unwrap()
}

fn table(version: u64) -> ReleasedTable {
    ReleasedTable {
        version: Some(version),
        sql: format!("SELECT {version}"),
        sql_hash: format!("hash{version}"),
        fingerprint: format!("fingerprint{version}"),
        schema: "{}".to_string(),
        rows: Some(version),
        content: None,
        inputs: BTreeMap::new(),
        checks: CheckSummary::default(),
        since: 0,
        held: None,
    }
}

/// What a run that started from `parent` and made `changes` wants to publish; version 0 removes the table.
fn next(run: &str, parent: Option<&Release>, changes: &[(&str, u64)]) -> Release {
    let mut tables = parent.map_or_else(BTreeMap::new, |parent| parent.tables.clone());
    for (table_name, version) in changes {
        match version {
            0 => tables.remove(&name(table_name)),
            version => tables.insert(name(table_name), table(*version)),
        };
    }
    Release {
        number: 0,
        time: at(0),
        run: run.to_string(),
        instant: at(0),
        reason: "run".to_string(),
        engine: "test".to_string(),
        code: None,
        git_commit: None,
        tables,
        raw: BTreeMap::new(),
        held_fingerprints: BTreeSet::new(),
        redacted: BTreeMap::new(),
    }
}

#[tokio::test]
async fn a_release_names_every_table_whichever_release_brought_it() {
    let (lake, clock, objects) = lake();
    assert_eq!(lake.release().await.unwrap(), None);
    assert!(lake.releases(None).await.unwrap().is_empty());
    let mut parent: Option<Release> = None;
    let mut expected = Vec::new();
    // Past two full records, with a table that comes and goes.
    for number in 1..=45u64 {
        clock.set(at(number as i64));
        let mine = format!("enhanced.t{}", number % 7);
        let gone = if number % 5 == 0 { 0 } else { number };
        let run = format!("run{number}");
        let wanted = next(&run, parent.as_ref(), &[(&mine, number), ("sanitized.comes_and_goes", gone)]);
        let published = lake.publish(wanted, parent.as_ref()).await.unwrap();
        assert_eq!((published.number, published.time), (number, at(number as i64)));
        assert_eq!(published.tables[&name(&mine)].since, number);
        expected.push(published.clone());
        parent = Some(published);
    }
    assert_eq!(lake.release().await.unwrap().as_ref(), expected.last());
    for release in &expected {
        assert_eq!(&lake.release_number(release.number).await.unwrap(), release);
        assert_eq!(&lake.release_as_of(release.time).await.unwrap(), release);
        assert_eq!(&lake.release_as_of(release.time.plus_micros(999_999)).await.unwrap(), release);
    }
    let newest_first: Vec<u64> =
        lake.releases(Some(30)).await.unwrap().iter().map(|release| release.number).collect();
    assert_eq!(newest_first, (16..=45).rev().collect::<Vec<u64>>());
    assert_eq!(lake.releases(None).await.unwrap().len(), 45);

    let early = lake.release_as_of(at(0)).await.unwrap_err();
    assert_eq!(early.kind(), ErrorKind::Project);
    assert!(early.hint_text().unwrap().contains(&at(1).to_string()), "{early:?}");
    assert!(lake.release_number(46).await.unwrap_err().hint_text().unwrap().contains("1 to 45"));
    assert!(lake.release_number(0).await.is_err());

    // The hint may be missing, damaged, stale or about another lake: the answer is the same.
    let hint = Path::from("_laguna/releases/_latest");
    let whole = objects.get(&hint).await.unwrap().bytes().await.unwrap();
    objects.put(&hint, "{\"rel".into()).await.unwrap();
    assert_eq!(lake.release().await.unwrap().as_ref(), expected.last());
    objects.delete(&hint).await.unwrap();
    assert_eq!(lake.release().await.unwrap().as_ref(), expected.last());
    let stranger = String::from_utf8(whole.to_vec()).unwrap().replace("run45", "stranger");
    objects.put(&hint, stranger.into()).await.unwrap();
    assert_eq!(lake.release().await.unwrap().as_ref(), expected.last());
    objects.put(&hint, whole.into()).await.unwrap();
    let own = Path::from("_laguna/releases/00000045.json");
    objects.delete(&own).await.unwrap();
    assert_eq!(lake.release().await.unwrap().as_ref(), expected.get(43));
}

#[tokio::test]
async fn time_never_goes_backwards_and_unchanged_tables_keep_their_release() {
    let (lake, clock, _) = lake();
    clock.set(at(10));
    let first = lake.publish(next("a", None, &[("enhanced.x", 1), ("enhanced.y", 1)]), None).await.unwrap();
    clock.set(at(3));
    let second = lake.publish(next("b", Some(&first), &[("enhanced.y", 2)]), Some(&first)).await.unwrap();
    assert_eq!(second.time, at(10).plus_micros(1));
    assert_eq!(second.tables[&name("enhanced.x")].since, 1);
    assert_eq!(second.tables[&name("enhanced.y")].since, 2);
}

#[tokio::test]
async fn who_loses_goes_on_top_if_the_tables_are_others() {
    let (lake, _, _) = lake();
    let base = lake.publish(next("a", None, &[("enhanced.x", 1), ("enhanced.y", 1)]), None).await.unwrap();
    let winner = next("b", Some(&base), &[("enhanced.x", 2)]);
    let other = next("c", Some(&base), &[("enhanced.y", 3), ("enhanced.z", 1)]);
    let same = next("d", Some(&base), &[("enhanced.x", 4)]);
    lake.publish(winner, Some(&base)).await.unwrap();
    let merged = lake.publish(other, Some(&base)).await.unwrap();
    assert_eq!(merged.number, 3);
    let versions: Vec<_> = merged.tables.values().map(|table| table.version.unwrap()).collect();
    assert_eq!(versions, [2, 3, 1]);
    assert_eq!(lake.release().await.unwrap(), Some(merged));
    let lost = lake.publish(same, Some(&base)).await.unwrap_err();
    assert_eq!(lost.kind(), ErrorKind::Conflict);
    assert!(lost.message().contains("enhanced.x"), "{lost}");
}

#[tokio::test]
async fn a_retry_of_a_published_run_finds_its_release() {
    let (lake, _, _) = lake();
    let base = lake.publish(next("a", None, &[("enhanced.x", 1)]), None).await.unwrap();
    let mine = next("b", Some(&base), &[("enhanced.x", 2)]);
    let published = lake.publish(mine.clone(), Some(&base)).await.unwrap();
    assert_eq!(lake.publish(mine, Some(&base)).await.unwrap(), published);
    assert_eq!(lake.releases(None).await.unwrap().len(), 2);
}

#[tokio::test]
async fn many_publishers_at_once_lose_nothing() {
    let (lake, _, _) = lake();
    let publishers = (0..12).map(|number| {
        let lake = lake.clone();
        tokio::spawn(async move {
            let table = format!("enhanced.t{number}");
            lake.publish(next(&table, None, &[(&table, 1)]), None).await.unwrap().number
        })
    });
    let mut numbers: Vec<u64> =
        futures::future::join_all(publishers).await.into_iter().map(|number| number.unwrap()).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=12).collect::<Vec<u64>>());
    assert_eq!(lake.release().await.unwrap().unwrap().tables.len(), 12);
}

#[tokio::test]
async fn redacted_versions_are_replaced_wherever_a_release_is_read() {
    let (lake, clock, objects) = lake();
    let first = lake.publish(next("a", None, &[("enhanced.x", 3)]), None).await.unwrap();
    clock.set(at(5));
    let mut record: serde_json::Value = {
        let stored = objects.get(&Path::from("_laguna/releases/00000001.json")).await.unwrap();
        serde_json::from_slice(&stored.bytes().await.unwrap()).unwrap()
    };
    // A release that says that one redaction holds, as forgetting publishes it.
    for (key, value) in [("number", 2.into()), ("parent", 1.into()), ("redactions", 1.into())] {
        record[key] = value;
    }
    record["tables"] = serde_json::json!({});
    record["time"] = serde_json::json!(at(5));
    record["run"] = "forget".into();
    let redaction = r#"{"tables": {"enhanced.x": {"3": {"version": 9, "rows": 2}}}}"#;
    objects.put(&Path::from("_laguna/redactions/1.json"), redaction.into()).await.unwrap();
    assert_eq!(lake.release_number(1).await.unwrap(), first);
    objects.put(&Path::from("_laguna/releases/00000002.json"), record.to_string().into()).await.unwrap();
    for release in [
        lake.release().await.unwrap().unwrap(),
        lake.release_number(1).await.unwrap(),
        lake.release_as_of(first.time).await.unwrap(),
        lake.releases(None).await.unwrap().remove(1),
    ] {
        let table = &release.tables[&name("enhanced.x")];
        assert_eq!((table.version, table.rows), (Some(9), Some(2)), "release {}", release.number);
    }
    let newest = lake.release().await.unwrap().unwrap();
    let third = lake.publish(next("b", Some(&newest), &[("enhanced.y", 1)]), Some(&newest)).await.unwrap();
    assert_eq!(third.tables[&name("enhanced.x")].version, Some(9));
    assert_eq!(lake.release().await.unwrap(), Some(third));
}
