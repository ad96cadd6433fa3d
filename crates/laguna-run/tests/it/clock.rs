//! A clock that is set back between two runs: nothing goes backwards.

use std::sync::Arc;

use laguna_base::Instant;
use laguna_base::clock::FixedClock;
use laguna_run::run::{RunOptions, run};
use object_store::memory::InMemory;

use crate::project;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_is_set_back_moves_nothing_back() {
    let dir = tempfile::tempdir().unwrap();
    project::write(dir.path());
    let store = Arc::new(InMemory::new());
    let clock = Arc::new(FixedClock::new("2026-11-22T06:00:00Z".parse().unwrap()));
    let context = project::open(dir.path(), store.clone(), clock.clone());
    run(&context, &RunOptions::default()).await.unwrap();
    let events = "raw.events".parse().unwrap();
    let before: Option<Instant> = context.lake().landed(&events).await.unwrap().watermark;

    project::write_more(dir.path());
    clock.set("2026-11-21T06:00:00Z".parse().unwrap());
    let context = project::open(dir.path(), store, clock);
    let report = run(&context, &RunOptions::default()).await.unwrap();
    assert_eq!((report.failed, report.release), (0, Some(2)), "{:#?}", report.tasks);
    let after = context.lake().landed(&events).await.unwrap().watermark;
    assert!(before.is_some() && before < after, "{before:?} {after:?}");
    // The first release's rows are as they were: those of the second run came later.
    project::check_releases(&context).await;
    let first = context.lake().release_number(1).await.unwrap();
    assert_eq!(first.raw[&events].watermark, before);
}
