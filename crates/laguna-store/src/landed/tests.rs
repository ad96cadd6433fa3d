//! What has landed, from the log alone, from the cache, and from caches that lie.

use std::sync::Arc;

use laguna_base::clock::FixedClock;
use laguna_base::{ErrorKind, Instant, TableName};
use object_store::ObjectStoreExt;
use object_store::memory::InMemory;
use object_store::path::Path;

use super::{Landed, LandedFile};
use crate::Lake;

fn lake() -> (Lake, Arc<InMemory>) {
    let objects = Arc::new(InMemory::new());
    let clock = Arc::new(FixedClock::new(Instant::from_micros(0)));
    (Lake::with_store("memory:///".parse().unwrap(), objects.clone(), clock), objects)
}

fn raw() -> TableName {
    "raw.orders".parse().unwrap()
}

fn file(path: &str, rows: u64) -> LandedFile {
    let hash = laguna_base::hash::of(format!("{path}{rows}"));
    LandedFile {
        path: path.into(),
        size: rows * 10,
        modified: None,
        hash,
        rows,
        quarantined: 0,
        same_as: None,
    }
}

fn entry(version: u64) -> Path {
    Path::from(format!("raw/orders/_delta_log/{version:020}.json"))
}

/// Commits batch `version` with its files, as the raw table's log would have it.
async fn commit(objects: &InMemory, version: u64, files: &[LandedFile]) {
    let note = serde_json::json!({
        "batch": format!("batch{version}"), "watermark": Instant::from_micros(version as i64), "files": files,
    });
    let lines = [
        serde_json::json!({"commitInfo": {"operation": "WRITE", "laguna": note}}),
        serde_json::json!({"txn": {"appId": "laguna/land", "version": version + 1}}),
        serde_json::json!({"add": {"path": "part.parquet", "stats": "{\"commitInfo\": \"txn\"}"}}),
    ];
    let text = lines.map(|line| line.to_string()).join("\n");
    objects.put(&entry(version), text.into()).await.unwrap();
}

fn seen(landed: &Landed) -> Vec<(&str, u64, &str)> {
    let files = landed.files.values();
    files.map(|landing| (landing.file.path.as_str(), landing.file.rows, landing.batch.as_str())).collect()
}

#[tokio::test]
async fn the_log_is_the_truth_and_the_cache_only_saves_reading_it() {
    let (lake, objects) = lake();
    assert_eq!(lake.landed(&raw()).await.unwrap(), Landed::default());
    commit(&objects, 0, &[file("a.csv", 1), file("b.csv", 2)]).await;
    // A commit of another engine, and one without an end of line.
    objects.put(&entry(1), "{\"commitInfo\":{\"operation\":\"OPTIMIZE\"}}\n\n".into()).await.unwrap();
    commit(&objects, 2, &[file("a.csv", 3)]).await;
    let landed = lake.landed(&raw()).await.unwrap();
    assert_eq!(seen(&landed), [("a.csv", 3, "batch2"), ("b.csv", 2, "batch0")]);
    assert_eq!((landed.version, landed.batches), (Some(2), 3));
    assert_eq!(landed.watermark, Some(Instant::from_micros(2)));

    assert!(landed.recovered, "no cache was there");
    lake.save_landed(&raw(), &landed).await.unwrap();
    let cached = lake.landed(&raw()).await.unwrap();
    assert!(!cached.recovered, "the cache is current");
    assert_eq!(Landed { recovered: true, ..cached }, landed);
    commit(&objects, 3, &[file("c.csv", 1)]).await;
    let longer = lake.landed(&raw()).await.unwrap();
    assert_eq!((longer.version, longer.files.len(), longer.recovered), (Some(3), 3, true));

    let cache = Path::from("_laguna/landed/orders.json");
    objects.put(&cache, "{\"entry\": \"x\", \"landed\"".into()).await.unwrap();
    assert_eq!(lake.landed(&raw()).await.unwrap(), longer);
    objects.delete(&cache).await.unwrap();
    assert_eq!(lake.landed(&raw()).await.unwrap(), longer);
}

#[tokio::test]
async fn a_cache_of_a_table_that_is_gone_is_not_believed() {
    let (lake, objects) = lake();
    commit(&objects, 0, &[file("a.csv", 1)]).await;
    commit(&objects, 1, &[file("b.csv", 1)]).await;
    let landed = lake.landed(&raw()).await.unwrap();
    lake.save_landed(&raw(), &landed).await.unwrap();
    for version in 0..2 {
        objects.delete(&entry(version)).await.unwrap();
    }
    assert_eq!(lake.landed(&raw()).await.unwrap(), Landed::default());
    // Made anew by hand, as long as the old one.
    commit(&objects, 0, &[file("x.csv", 1)]).await;
    commit(&objects, 1, &[file("y.csv", 1)]).await;
    let anew = lake.landed(&raw()).await.unwrap();
    assert_eq!(seen(&anew), [("x.csv", 1, "batch0"), ("y.csv", 1, "batch1")]);
}

#[tokio::test]
async fn a_log_that_was_cut_needs_the_cache() {
    let (lake, objects) = lake();
    for version in 0..4 {
        commit(&objects, version, &[file(&format!("{version}.csv"), 1)]).await;
    }
    let landed = lake.landed(&raw()).await.unwrap();
    lake.save_landed(&raw(), &landed).await.unwrap();
    for version in 0..3 {
        objects.delete(&entry(version)).await.unwrap();
    }
    let cached = lake.landed(&raw()).await.unwrap();
    assert_eq!(Landed { recovered: true, ..cached }, landed);
    objects.delete(&Path::from("_laguna/landed/orders.json")).await.unwrap();
    assert_eq!(lake.landed(&raw()).await.unwrap_err().kind(), ErrorKind::Stored);
}
