//! Statements from their objects to `system.queries`, each once, also across crashes.

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use datafusion::prelude::SessionContext;
use laguna_base::clock::FixedClock;
use object_store::ObjectStoreExt;
use object_store::memory::InMemory;

use super::*;

fn lake() -> (Lake, Arc<InMemory>) {
    let clock = Arc::new(FixedClock::new("2026-11-22".parse().unwrap()));
    let objects = Arc::new(InMemory::new());
    (Lake::with_store("memory:///".parse().unwrap(), objects.clone(), clock), objects)
}

fn statements(numbers: std::ops::RangeInclusive<u64>) -> Vec<StatementRecord> {
    let started: Instant = "2026-11-20T23:59:58Z".parse().unwrap();
    numbers
        .map(|number| StatementRecord {
            number,
            started: started.plus_micros(number as i64 * 1_000_000),
            user: "ana".to_string(),
            role: "admin".to_string(),
            door: "http".to_string(),
            sql: format!("SELECT {number}"),
            release: None,
            rows: 1,
            bytes: 8,
            seconds: 0.5,
            outcome: "ok".to_string(),
            message: None,
            cached: false,
        })
        .collect()
}

/// What SQL sees: folded numbers, and numbers that are not folded.
async fn numbers(lake: &Lake) -> (Vec<i64>, Vec<i64>) {
    let (head, fresh) = lake.statements().await.unwrap();
    let of = |batch: &RecordBatch| {
        batch.column_by_name("number").unwrap().as_primitive::<Int64Type>().values().to_vec()
    };
    let mut folded = Vec::new();
    if let Some(head) = head {
        let context = SessionContext::new();
        let url = crate::scan::object_store_url();
        context.register_object_store(url.as_ref(), lake.objects().clone());
        context.register_table("queries", lake.provider(Arc::new(head)).unwrap()).unwrap();
        let sql = "SELECT number FROM queries ORDER BY number";
        for batch in context.sql(sql).await.unwrap().collect().await.unwrap() {
            folded.extend(of(&batch));
        }
    }
    (folded, of(&fresh))
}

async fn objects_left(lake: &Lake) -> usize {
    list_statements(lake).await.unwrap().len()
}

#[tokio::test]
async fn statements_are_folded_once_and_the_next_ones_follow() {
    let (lake, _) = lake();
    lake.fold_statements().await.unwrap();
    assert_eq!(numbers(&lake).await, (vec![], vec![]));
    lake.save_statements("s1", &[]).await.unwrap();
    lake.save_statements("s1", &statements(1..=2)).await.unwrap();
    lake.save_statements("s1", &statements(3..=3)).await.unwrap();
    lake.save_statements("s2-x", &statements(1..=1)).await.unwrap();
    assert_eq!(numbers(&lake).await, (vec![], vec![1, 2, 3, 1]));
    lake.fold_statements().await.unwrap();
    lake.fold_statements().await.unwrap();
    assert_eq!(numbers(&lake).await, (vec![1, 1, 2, 3], vec![]));
    assert_eq!(objects_left(&lake).await, 0);
    lake.save_statements("s1", &statements(4..=5)).await.unwrap();
    assert_eq!(numbers(&lake).await, (vec![1, 1, 2, 3], vec![4, 5]));
    lake.fold_statements().await.unwrap();
    assert_eq!(numbers(&lake).await, (vec![1, 1, 2, 3, 4, 5], vec![]));
}

#[tokio::test]
async fn what_is_folded_already_is_counted_once_whatever_objects_are_left() {
    let (lake, objects) = lake();
    lake.save_statements("s1", &statements(1..=2)).await.unwrap();
    lake.save_statements("s1", &statements(3..=4)).await.unwrap();
    let path = Path::from("_laguna/queries/s1-0000000001-0000000002.json");
    let first = objects.get(&path).await.unwrap().bytes().await.unwrap();
    lake.fold_statements().await.unwrap();
    // As if the fold was killed before it deleted anything, and the server has joined what was left with what is new.
    objects.put(&path, first.into()).await.unwrap();
    lake.save_statements("s1", &statements(3..=6)).await.unwrap();
    assert_eq!(numbers(&lake).await, (vec![1, 2, 3, 4], vec![5, 6]));
    lake.fold_statements().await.unwrap();
    assert_eq!(numbers(&lake).await, (vec![1, 2, 3, 4, 5, 6], vec![]));
    assert_eq!(objects_left(&lake).await, 0);
}

#[tokio::test]
async fn objects_are_joined_unless_one_was_folded() {
    let (lake, _) = lake();
    for number in 1..=3 {
        lake.save_statements("s1", &statements(number..=number)).await.unwrap();
        // A put whose answer was lost is put again.
        lake.save_statements("s1", &statements(number..=number)).await.unwrap();
    }
    lake.join_statements("s1", &[(1, 1), (2, 2), (3, 3)]).await.unwrap();
    assert_eq!((numbers(&lake).await, objects_left(&lake).await), ((vec![], vec![1, 2, 3]), 1));
    // Killed between the put and the deletions.
    lake.save_statements("s1", &statements(2..=2)).await.unwrap();
    assert_eq!(numbers(&lake).await.1, [1, 2, 3]);
    lake.fold_statements().await.unwrap();
    lake.save_statements("s1", &statements(4..=4)).await.unwrap();
    lake.join_statements("s1", &[(1, 3), (4, 4)]).await.unwrap();
    assert_eq!((numbers(&lake).await, objects_left(&lake).await), ((vec![1, 2, 3], vec![4]), 1));
}

#[tokio::test]
async fn a_damaged_object_hides_no_other() {
    let (lake, objects) = lake();
    lake.save_statements("s1", &statements(1..=1)).await.unwrap();
    for name in ["s1-0000000002-0000000002", "s2-0000000001-0000000001", "notes", "a-b-c"] {
        objects.put(&Path::from(format!("_laguna/queries/{name}.json")), "{".into()).await.unwrap();
    }
    assert_eq!(numbers(&lake).await, (vec![], vec![1]));
    lake.fold_statements().await.unwrap();
    assert_eq!(numbers(&lake).await, (vec![1], vec![]));
}

#[tokio::test]
async fn old_days_are_dropped_whole() {
    let (lake, _) = lake();
    // The first arrived on the 20th, the others on the 21st.
    lake.save_statements("s1", &statements(1..=3)).await.unwrap();
    lake.drop_statements("2026-11-22".parse().unwrap()).await.unwrap();
    lake.fold_statements().await.unwrap();
    lake.drop_statements("2026-11-20T12:00:00Z".parse().unwrap()).await.unwrap();
    assert_eq!(numbers(&lake).await.0, [1, 2, 3]);
    lake.drop_statements("2026-11-21T12:00:00Z".parse().unwrap()).await.unwrap();
    assert_eq!(numbers(&lake).await.0, [2, 3]);
    lake.save_statements("s1", &statements(4..=4)).await.unwrap();
    lake.fold_statements().await.unwrap();
    lake.drop_statements("2026-12-01".parse().unwrap()).await.unwrap();
    assert_eq!(numbers(&lake).await, (vec![], vec![]));
}
