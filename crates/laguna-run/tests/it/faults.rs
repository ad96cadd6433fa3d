//! Every call to the store fails once, in every way: the run ends well or with an error that may pass, and one clean
//! run afterwards gives the lake that an undisturbed one has.
//!
//! Without `LAGUNA_FAULT_ALL=1` calls are tried with a stride; `LAGUNA_FAULT_SEED` repeats its beginning.

#![expect(clippy::print_stdout, reason = "counts and the seed are the report of these tests")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use laguna_base::{ErrorKind, SystemClock};
use laguna_run::run::{RunOptions, run};
use laguna_store::Lake;
use object_store::memory::InMemory;

use crate::fault_store::{Fault, FaultStore};
use crate::project;

/// Rounds of one fault when not all calls are tried.
const ROUNDS: usize = 8;

/// A run that takes longer hangs.
const BOUND: Duration = Duration::from_secs(60);

#[test]
fn a_first_run_survives_any_fault() {
    let dir = tempfile::tempdir().unwrap();
    project::write(dir.path());
    series("first run", dir.path(), |_| async { InMemory::new() });
}

#[test]
fn a_run_that_lands_more_survives_any_fault() {
    let dir = tempfile::tempdir().unwrap();
    project::write(dir.path());
    series("second run", dir.path(), |dir| async move {
        let store = Arc::new(InMemory::new());
        project::clean_run(&dir, store.clone()).await;
        project::write_more(&dir);
        store.fork()
    });
}

/// Disturbs the run on the lake that `before` prepares, once for each fault and call.
fn series<F>(name: &str, dir: &Path, before: impl FnOnce(PathBuf) -> F)
where
    F: Future<Output = InMemory> + Send + 'static,
{
    let seed = seed();
    let (dir, before) = (dir.to_path_buf(), before(dir.to_path_buf()));
    // Planning recurses deeply.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_stack_size(16 << 20)
        .enable_all()
        .build()
        .unwrap();
    let (rounds, calls) =
        runtime.block_on(async { tokio::spawn(all_rounds(dir, before, seed)).await.unwrap() });
    println!("{name}: {calls} calls undisturbed, LAGUNA_FAULT_SEED={seed}");
    for (fault, ends) in &rounds {
        println!("  {fault}: {ends:?}");
    }
    assert_eq!(rounds.len(), Fault::ALL.len());
    assert!(rounds["Slow"].keys().all(|end| *end == "succeeded"), "{rounds:#?}");
    assert!(rounds["Down"].contains_key("failed cleanly"), "{rounds:#?}");
}

fn seed() -> usize {
    let given = std::env::var("LAGUNA_FAULT_SEED").ok().and_then(|text| text.parse().ok());
    given.unwrap_or_else(|| {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        now.subsec_micros() as usize
    })
}

/// How often rounds with a fault ended in which way, and the calls of an undisturbed run.
type Ends = BTreeMap<String, BTreeMap<&'static str, u32>>;

async fn all_rounds(dir: PathBuf, before: impl Future<Output = InMemory>, seed: usize) -> (Ends, usize) {
    let before = Arc::new(before.await);
    let undisturbed = Arc::new(before.fork());
    let counting = FaultStore::counting(undisturbed.clone());
    project::clean_run(&dir, Arc::new(counting.clone())).await;
    let calls = counting.calls();
    let lake = project::open(&dir, undisturbed, Arc::new(SystemClock));
    let expected = Arc::new(project::content(&lake).await);
    assert!(expected.values().filter(|rows| !rows.is_empty()).count() >= 8, "{expected:#?}");

    let stride = match std::env::var("LAGUNA_FAULT_ALL").is_ok_and(|all| all == "1") {
        true => 1,
        false => (calls / ROUNDS).max(1),
    };
    let (mut ends, mut wrong) = (Ends::new(), Vec::new());
    for (kind, fault) in Fault::ALL.into_iter().enumerate() {
        // Each fault begins elsewhere, so that together they try more calls.
        for at in (1 + (seed + kind * stride / Fault::ALL.len()) % stride..=calls).step_by(stride) {
            let round = Round { dir: dir.clone(), store: Arc::new(before.fork()), fault, at };
            let expected = expected.clone();
            match tokio::spawn(async move { round.play(&expected).await }).await {
                Ok(end) => *ends.entry(format!("{fault:?}")).or_default().entry(end).or_default() += 1,
                Err(_) => wrong.push(format!("{fault:?} at {at}")),
            }
        }
    }
    assert!(wrong.is_empty(), "LAGUNA_FAULT_SEED={seed}, {calls} calls: {wrong:?}");
    (ends, calls)
}

/// One disturbed run, and the clean one after it.
struct Round {
    dir: PathBuf,
    store: Arc<InMemory>,
    fault: Fault,
    at: usize,
}

impl Round {
    async fn play(&self, expected: &BTreeMap<String, Vec<String>>) -> &'static str {
        let Round { dir, store, fault, at } = self;
        let faulty = FaultStore::new(store.clone(), *fault, *at);
        let lake =
            Lake::with_store("memory:///".parse().unwrap(), Arc::new(faulty.clone()), Arc::new(SystemClock))
                .with_retry_timeout(Duration::from_millis(200));
        let context = project::over(dir, lake);
        let disturbed = tokio::spawn(async move { run(&context, &RunOptions::default()).await });
        let Ok(ended) = tokio::time::timeout(BOUND, disturbed).await else {
            panic!("the run hangs with {fault:?} at {at}: {:?}", faulty.hit());
        };
        let place = format!("{fault:?} at {at}: {:?}", faulty.hit());
        let end = match ended.unwrap_or_else(|died| panic!("{place}: {died}")) {
            Ok(report) if report.failed == 0 => "succeeded",
            Ok(report) => {
                assert!(may_pass(report.worst), "{place}: {:#?}", report.tasks);
                "failed cleanly"
            }
            Err(error) => {
                assert!(may_pass(Some(error.kind())), "{place}: {error}\n{:?}", error.causes());
                "failed cleanly"
            }
        };
        project::clean_run(dir, store.clone()).await;
        let after = project::open(dir, store.clone(), Arc::new(SystemClock));
        assert_eq!(project::content(&after).await, *expected, "{place}, {end}");
        project::check_releases(&after).await;
        let again = project::clean_run(dir, store.clone()).await;
        assert_eq!((again.release, again.tasks.len()), (None, 0), "{place}, {end}: {:#?}", again.tasks);
        end
    }
}

fn may_pass(kind: Option<ErrorKind>) -> bool {
    matches!(kind, Some(ErrorKind::Storage | ErrorKind::Conflict))
}
