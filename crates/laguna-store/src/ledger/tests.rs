//! Runs from their start to the system tables, also across crashes.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::AsArray;
use datafusion::prelude::SessionContext;
use laguna_base::Instant;
use laguna_base::clock::FixedClock;
use object_store::ObjectStoreExt;
use object_store::memory::InMemory;
use object_store::path::Path;

use super::{RunRecord, TaskRecord, owner, record_batches, schemas};
use crate::Lake;

fn lake() -> (Lake, Arc<FixedClock>, Arc<InMemory>) {
    let clock = Arc::new(FixedClock::new(Instant::from_micros(1_000_000_000)));
    let objects = Arc::new(InMemory::new());
    (Lake::with_store("memory:///".parse().unwrap(), objects.clone(), clock.clone()), clock, objects)
}

fn run(id: &str, outcome: &str) -> RunRecord {
    let started = Instant::from_micros(1_000_000_000);
    let verdict = serde_json::json!({
        "check": "unique", "column": "id", "success": false, "unexpected_count": 2, "element_count": 10,
        "unexpected_percent": 20.0, "kwargs": {"column": "id"}, "message": "2 of 10 values repeat",
    });
    RunRecord {
        id: id.to_string(),
        command: "run".to_string(),
        select: vec!["+x".to_string(), "tag:daily".to_string()],
        started,
        heartbeat: started,
        finished: (outcome != "running").then(|| started.plus_micros(2_500_000)),
        outcome: outcome.to_string(),
        owner: owner(),
        release: Some(3),
        code: None,
        tasks: vec![TaskRecord {
            node: "enhanced.x".to_string(),
            outcome: "built".to_string(),
            reason: "its SQL changed".to_string(),
            started,
            seconds: 0.5,
            attempts: 1,
            rows_in: None,
            rows_out: Some(10),
            bytes_out: Some(100),
            quarantined: 0,
            version: Some(4),
            checks: vec![verdict],
            metrics: BTreeMap::from([("row_count".to_string(), 10.0), ("mean".to_string(), f64::NAN)]),
        }],
        error: None,
    }
}

/// Ids and outcomes in `system.runs`, and the rows of all four tables.
async fn stored(lake: &Lake) -> (Vec<String>, Vec<u64>) {
    let mut counts = Vec::new();
    let mut runs = Vec::new();
    for (table, _) in schemas() {
        let head = lake.head(&table).await.unwrap().unwrap();
        counts.push(head.rows());
        if table.table == "runs" {
            let context = SessionContext::new();
            let url = crate::scan::object_store_url();
            context.register_object_store(url.as_ref(), lake.objects().clone());
            context.register_table("runs", lake.provider(Arc::new(head)).unwrap()).unwrap();
            let sql = "SELECT run || ' ' || outcome FROM runs ORDER BY 1";
            for batch in context.sql(sql).await.unwrap().collect().await.unwrap() {
                let texts = arrow::compute::cast(batch.column(0), &arrow::datatypes::DataType::Utf8).unwrap();
                runs.extend(texts.as_string::<i32>().iter().map(|text| text.unwrap().to_string()));
            }
        }
    }
    (runs, counts)
}

#[tokio::test]
async fn ended_runs_are_folded_once_and_running_ones_stay() {
    let (lake, _, _) = lake();
    lake.fold_runs().await.unwrap();
    assert!(lake.tables(laguna_base::Tier::System).await.unwrap().is_empty());
    for (id, outcome) in [("b", "done"), ("a", "failed"), ("c", "running")] {
        lake.save_run(&run(id, outcome)).await.unwrap();
    }
    let open: Vec<String> = lake.open_runs().await.unwrap().into_iter().map(|run| run.id).collect();
    assert_eq!(open, ["a", "b", "c"]);
    lake.fold_runs().await.unwrap();
    lake.fold_runs().await.unwrap();
    assert_eq!(stored(&lake).await, (vec!["a failed".to_string(), "b done".to_string()], vec![2, 2, 2, 2]));
    let open = lake.open_runs().await.unwrap();
    assert_eq!((open.len(), open[0].outcome.as_str()), (1, "running"));
    // A run that ended before its first task.
    let mut early = run("c", "interrupted");
    early.tasks.clear();
    lake.save_run(&early).await.unwrap();
    lake.fold_runs().await.unwrap();
    assert_eq!(stored(&lake).await.1, [3, 2, 2, 2]);
    assert!(lake.open_runs().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_first_run_without_tasks_makes_empty_tables() {
    let (lake, _, _) = lake();
    let mut first = run("a", "failed");
    first.tasks.clear();
    lake.save_run(&first).await.unwrap();
    lake.fold_runs().await.unwrap();
    assert_eq!(stored(&lake).await, (vec!["a failed".to_string()], vec![1, 0, 0, 0]));
    lake.save_run(&run("b", "done")).await.unwrap();
    lake.fold_runs().await.unwrap();
    assert_eq!(stored(&lake).await.1, [2, 1, 1, 1]);
}

#[tokio::test]
async fn a_fold_that_was_killed_is_finished_with_the_same_runs() {
    let (lake, _, objects) = lake();
    lake.save_run(&run("a", "done")).await.unwrap();
    let record = objects.get(&Path::from("_laguna/runs/a.json")).await.unwrap().bytes().await.unwrap();
    lake.fold_runs().await.unwrap();
    // As if it was killed after its appends, before it deleted anything; then another run ended.
    objects.put(&Path::from("_laguna/runs/a.json"), record.into()).await.unwrap();
    let plan = r#"{"runs": ["a"]}"#;
    objects.put(&Path::from("_laguna/runs/fold-00000001.json"), plan.into()).await.unwrap();
    lake.save_run(&run("b", "done")).await.unwrap();
    lake.fold_runs().await.unwrap();
    assert_eq!(stored(&lake).await, (vec!["a done".to_string(), "b done".to_string()], vec![2, 2, 2, 2]));
    assert!(lake.open_runs().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_run_without_a_living_owner_was_killed() {
    let (lake, clock, objects) = lake();
    let mut dead = run("dead", "running");
    dead.owner = owner().replace('/', "/9");
    let mut far = run("far", "running");
    far.owner = "1@elsewhere".to_string();
    for run in [&dead, &far, &run("mine", "running")] {
        lake.save_run(run).await.unwrap();
    }
    objects.put(&Path::from("_laguna/runs/damaged.json"), "{".into()).await.unwrap();
    let outcomes = async || -> Vec<String> {
        let open = lake.open_runs().await.unwrap();
        open.into_iter().map(|run| format!("{} {}", run.id, run.outcome)).collect()
    };
    assert_eq!(outcomes().await, ["dead killed", "far running", "mine running"]);
    clock.set(far.heartbeat.plus_micros(61_000_000));
    assert_eq!(outcomes().await, ["dead killed", "far killed", "mine running"]);
}

#[test]
fn rows_fit_their_tables() {
    let batches = record_batches(&[run("a", "done")]).unwrap();
    for ((table, schema), (same, batch)) in schemas().into_iter().zip(&batches) {
        assert_eq!((&table, &schema), (same, &batch.schema()));
    }
    let checks = &batches[2].1;
    assert_eq!(checks.column_by_name("kwargs").unwrap().as_string::<i32>().value(0), r#"{"column":"id"}"#);
    assert!(record_batches(&[]).unwrap().iter().all(|(_, batch)| batch.num_rows() == 0));
}
