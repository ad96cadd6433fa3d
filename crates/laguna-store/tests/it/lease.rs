//! Leases: one holder, who is named; taken over when silent; a holder that slept writes nothing more.

use std::sync::Arc;
use std::time::Duration;

use laguna_base::ErrorKind;
use laguna_store::{Lake, Release};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};

use crate::support::*;

#[tokio::test]
async fn a_lease_has_one_holder_and_says_who() {
    let folder = tempfile::tempdir().unwrap();
    for (lake, other) in [(local(folder.path()).await, local(folder.path()).await), {
        let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        (over(store.clone()), over(store))
    }] {
        let held = lake.lease("run", "run-1", false).await.unwrap();
        let error = other.lease("run", "run-2", false).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict);
        assert!(error.message().contains("run-1"), "{error}");
        let another = other.lease("raw.flights", "run-2", false).await.unwrap();
        let waiting = tokio::spawn(async move { other.lease("run", "run-2", true).await.map(|_| ()) });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(held);
        waiting.await.unwrap().unwrap();
        drop(another);
        assert_eq!(lake.lease("../x", "run", false).await.unwrap_err().kind(), ErrorKind::Internal);
    }
}

/// Two handles on one lake in memory, as two processes would have them.
fn two() -> (Arc<dyn ObjectStore>, Lake, Lake) {
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let timeout = Duration::from_millis(300);
    let handle = || over(store.clone()).with_lease_timeout(timeout);
    (store.clone(), handle(), handle())
}

/// What a holder in another place, which never shows up again, leaves behind.
async fn abandon(store: &Arc<dyn ObjectStore>, epoch: u64) {
    let holder = r#"{"id":"x","holder":"run-0","owner":"1@elsewhere","since":"yesterday"}"#;
    let path = Path::from(format!("_laguna/leases/run/{epoch:020}.json"));
    store.put(&path, holder.into()).await.unwrap();
}

#[tokio::test]
async fn a_silent_holder_is_replaced_after_the_timeout_only() {
    let (store, lake, _) = two();
    abandon(&store, 7).await;
    let error = lake.lease("run", "run-1", false).await.unwrap_err();
    assert!(error.message().contains("run-0 (process 1 on elsewhere"), "{error}");
    tokio::time::sleep(Duration::from_millis(400)).await;
    let held = lake.lease("run", "run-1", false).await.unwrap();
    assert!(store.head(&Path::from(format!("_laguna/leases/run/{:020}.json", 8))).await.is_ok());
    held.release().await;
    // What was given back is free at once.
    lake.lease("run", "run-2", false).await.unwrap().release().await;
}

#[tokio::test]
async fn a_holder_that_renews_is_never_replaced() {
    let (_, lake, other) = two();
    let held = lake.lease("run", "run-1", false).await.unwrap();
    tokio::time::sleep(Duration::from_millis(900)).await;
    other.lease("run", "run-2", false).await.unwrap_err();
    held.release().await;
    other.lease("run", "run-2", false).await.unwrap();
}

#[tokio::test]
async fn one_of_many_takes_an_abandoned_lease() {
    let (store, lake, _) = two();
    abandon(&store, 1).await;
    tokio::time::sleep(Duration::from_millis(400)).await;
    let tries = (0..12).map(|run| {
        let lake = over(store.clone()).with_lease_timeout(Duration::from_secs(5));
        tokio::spawn(async move { lake.lease("run", &format!("run-{run}"), false).await.ok() })
    });
    let held = futures::future::join_all(tries).await;
    assert!(held.iter().filter(|lease| lease.as_ref().unwrap().is_some()).count() <= 1);
    drop(held);
    drop(lake);
}

#[tokio::test]
async fn a_holder_that_slept_through_its_lease_commits_and_releases_nothing() {
    let (store, lake, other) = two();
    let table = name("enhanced.t");
    let held = lake.lease("run", "run-1", false).await.unwrap();
    let files = write(&lake, &table, &[batch(&[(1, None)])], &[]).await.files;
    lake.commit(&staged(&table, "run-1", &schema(), files.clone())).await.unwrap();
    // Its successor, as the store shows it: no sign of life came for too long.
    abandon(&store, 2).await;
    let error = lake.commit(&staged(&table, "run-1b", &schema(), files.clone())).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert!(error.message().contains("taken over"), "{error}");
    let release = serde_json::json!({
        "number": 1, "time": "2026-11-22T06:00:00Z", "run": "run-1", "instant": "2026-11-22T06:00:00Z",
        "reason": "run", "engine": "laguna", "code": null, "git_commit": null, "tables": {}, "raw": {},
    });
    let release: Release = serde_json::from_value(release).unwrap();
    assert_eq!(lake.publish(release, None).await.unwrap_err().kind(), ErrorKind::Conflict);
    assert_eq!(
        lake.append(append(&name("raw.t"), files, None, 1)).await.unwrap_err().kind(),
        ErrorKind::Conflict
    );
    drop(held);

    // The successor's commits carry its epoch: who has not seen the new lease is stopped by the table itself.
    tokio::time::sleep(Duration::from_millis(400)).await;
    let held = other.lease("run", "run-3", false).await.unwrap();
    let files = write(&other, &table, &[batch(&[(2, None)])], &[]).await.files;
    other.commit(&staged(&table, "run-3", &schema(), files)).await.unwrap();
    let head = other.head(&table).await.unwrap().unwrap();
    assert_eq!(head.transactions.get("laguna/lease/run"), Some(&3));
    assert_eq!(ids(&other, &head).await, [2]);
    held.release().await;
}

#[tokio::test]
async fn a_holder_whose_successors_came_and_went_is_refused() {
    let (store, lake, _) = two();
    let table = name("enhanced.t");
    let held = lake.lease("run", "run-1", false).await.unwrap();
    let files = write(&lake, &table, &[batch(&[(1, None)])], &[]).await.files;
    // The next epochs were taken, given back, and cleaned away.
    abandon(&store, 5).await;
    let error = lake.commit(&staged(&table, "run-1", &schema(), files)).await.unwrap_err();
    assert!(error.message().contains("taken over"), "{error}");
    drop(held);
}
