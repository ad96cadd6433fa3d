//! Commits: staged versions, appends, restores, lost races and lost answers.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use arrow::datatypes::{DataType, Field, Schema};
use laguna_base::ErrorKind;
use laguna_store::{CommitNote, Staged};
use object_store::ObjectStoreExt;

use crate::support::*;

#[tokio::test]
async fn a_staged_version_replaces_what_was_there() {
    let lake = memory();
    let table = name("enhanced.t");
    let first = write(&lake, &table, &[batch(&[(1, Some("a")), (2, None)])], &[]).await;
    assert_eq!(lake.commit(&staged(&table, "r1", &schema(), first.files)).await.unwrap(), 0);
    let second = write(&lake, &table, &[batch(&[(3, None)])], &[]).await;
    let second = staged(&table, "r2", &schema(), second.files);
    assert_eq!(lake.commit(&second).await.unwrap(), 1);
    // The same again, as after a crash between commit and release.
    assert_eq!(lake.commit(&second).await.unwrap(), 1);
    let head = lake.head(&table).await.unwrap().unwrap();
    assert_eq!((head.version, head.rows()), (1, 1));
    assert_eq!(head.note.fingerprint.as_deref(), Some("fingerprint-r2"));
    assert_eq!(head.note.run.as_deref(), Some("r2"));
    assert_eq!(ids(&lake, &head).await, [3]);
    assert_eq!(ids(&lake, &lake.snapshot(&table, 0).await.unwrap()).await, [1, 2]);
    let error = lake.snapshot(&table, 9).await.unwrap_err();
    assert!(error.hint_text().unwrap().contains("0 to 1"), "{error:?}");
    assert_eq!(lake.head_version(&table).await.unwrap(), Some(1));
    assert_eq!(lake.tables(laguna_base::Tier::Enhanced).await.unwrap(), [table]);
}

#[tokio::test]
async fn a_change_relative_to_its_base_holds_whatever_the_head_is() {
    let lake = memory();
    let table = name("sanitized.t");
    let base = write(&lake, &table, &[batch(&[(1, None)])], &[]).await.files;
    let more = write(&lake, &table, &[batch(&[(2, None)])], &[]).await.files;
    let both: Vec<_> = base.iter().chain(&more).cloned().collect();
    lake.commit(&staged(&table, "r1", &schema(), both)).await.unwrap();
    // Another version became the head, for example in a run that crashed before its release.
    let stray = write(&lake, &table, &[batch(&[(9, None)])], &[]).await.files;
    lake.commit(&staged(&table, "r2", &schema(), stray)).await.unwrap();
    let new = write(&lake, &table, &[batch(&[(3, None)])], &[]).await.files;
    let change = Staged { base: Some(0), removes: base, ..staged(&table, "r3", &schema(), new) };
    assert_eq!(ids(&lake, &lake.staged_snapshot(&change).await.unwrap()).await, [2, 3]);
    assert_eq!(lake.commit(&change).await.unwrap(), 2);
    assert_eq!(ids(&lake, &lake.head(&table).await.unwrap().unwrap()).await, [2, 3]);
}

#[tokio::test]
async fn a_batch_lands_once() {
    let lake = memory();
    let table = name("raw.t");
    let files = write(&lake, &table, &[batch(&[(1, None)])], &[]).await.files;
    let first = append(&table, files, None, 1);
    let done = lake.append(first.clone()).await.unwrap();
    assert_eq!((done.version, done.repeated), (0, false));
    let again = lake.append(first).await.unwrap();
    assert_eq!((again.version, again.repeated), (0, true));

    let base = lake.head(&table).await.unwrap();
    let files = write(&lake, &table, &[batch(&[(2, None)])], &[]).await.files;
    lake.append(append(&table, files.clone(), base.clone(), 2)).await.unwrap();
    // Prepared against a state that is not the head any more.
    let error = lake.append(append(&table, files, base, 3)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    let head = lake.head(&table).await.unwrap().unwrap();
    assert_eq!(ids(&lake, &head).await, [1, 2]);
    assert_eq!(head.transactions["landing"], 2);
    assert_eq!(head.note.batch.as_deref(), Some("batch-2"));
}

#[tokio::test]
async fn new_columns_are_added_and_changed_types_refused() {
    let lake = memory();
    let table = name("raw.t");
    lake.append(append(&table, Vec::new(), None, 1)).await.unwrap();
    let wider = |extra: Field| {
        let mut fields = schema().fields().to_vec();
        fields.insert(0, Arc::new(extra));
        Arc::new(Schema::new(fields))
    };
    let base = lake.head(&table).await.unwrap();
    let mut with_column = append(&table, Vec::new(), base, 2);
    with_column.schema = wider(Field::new("price", DataType::Float64, true));
    lake.append(with_column).await.unwrap();
    let head = lake.head(&table).await.unwrap().unwrap();
    let names: Vec<_> = head.schema.fields().iter().map(|field| field.name().as_str()).collect();
    assert_eq!(names, ["id", "city", "price"]);
    for (wrong, word) in [
        (Field::new("price", DataType::Utf8, true), "cannot become"),
        (Field::new("Price", DataType::Float64, true), "only by case"),
    ] {
        let mut change = append(&table, Vec::new(), Some(head.clone()), 3);
        change.schema = wider(wrong);
        let error = lake.append(change).await.unwrap_err();
        assert!(error.message().contains(word), "{error}");
    }
    assert_eq!(lake.head_version(&table).await.unwrap(), Some(1));
}

#[tokio::test]
async fn restore_brings_back_rows_and_schema() {
    let lake = memory();
    let table = name("enhanced.t");
    let first = write(&lake, &table, &[batch(&[(1, None)])], &[]).await.files;
    lake.commit(&staged(&table, "r1", &schema(), first.clone())).await.unwrap();
    let other = Arc::new(Schema::new(vec![Field::new("id", DataType::Int64, true)]));
    let rows = batch(&[(2, None)]).project(&[0]).unwrap().with_schema(other.clone()).unwrap();
    let second = write(&lake, &table, &[rows], &[]).await.files;
    lake.commit(&staged(&table, "r2", &other, second)).await.unwrap();
    let note = CommitNote { run: Some("rollback".into()), ..CommitNote::default() };
    assert_eq!(lake.restore(&table, 0, note.clone()).await.unwrap(), 2);
    assert_eq!(lake.restore(&table, 0, note.clone()).await.unwrap(), 2);
    let head = lake.head(&table).await.unwrap().unwrap();
    assert_eq!((head.schema.fields().len(), ids(&lake, &head).await), (2, vec![1]));

    lake.restore(&table, 1, note.clone()).await.unwrap();
    let path = laguna_store::snapshot::data_path(&table, &first[0].path).unwrap();
    lake.objects().delete(&path).await.unwrap();
    let error = lake.restore(&table, 0, note).await.unwrap_err();
    assert!(error.message().contains("was deleted"), "{error}");
}

#[tokio::test]
async fn a_failed_put_is_looked_up_before_anything_is_said() {
    for (fault, puts) in [(Fault::AnswerLost, 1), (Fault::MetItself, 1), (Fault::NotDone, 2)] {
        let store = Arc::new(Faulty::default());
        let lake = over(store.clone());
        store.fail_next(fault);
        let table = name("raw.t");
        let files = write(&lake, &table, &[batch(&[(1, None)])], &[]).await.files;
        let done = lake.append(append(&table, files, None, 1)).await.unwrap();
        assert_eq!((done.version, done.repeated), (0, false), "{fault:?}");
        assert_eq!(store.puts.load(Ordering::SeqCst), puts, "{fault:?}");
        assert_eq!(ids(&lake, &lake.head(&table).await.unwrap().unwrap()).await, [1]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn racing_batches_land_once_each() {
    let folder = tempfile::tempdir().unwrap();
    let lake = local(folder.path()).await;
    let table = name("raw.t");
    lake.append(append(&table, Vec::new(), None, 0)).await.unwrap();
    let writers = (1..=8).map(|writer: i64| {
        let (lake, table) = (lake.clone(), table.clone());
        tokio::spawn(async move {
            let files = write(&lake, &table, &[batch(&[(writer, None)])], &[]).await.files;
            loop {
                let base = lake.head(&table).await.unwrap();
                let mut mine = append(&table, files.clone(), base, 1);
                mine.transaction = Some((format!("writer-{writer}"), 1));
                match lake.append(mine).await {
                    Ok(_) => return,
                    Err(error) => assert_eq!(error.kind(), ErrorKind::Conflict, "{error:?}"),
                }
            }
        })
    });
    for writer in futures::future::join_all(writers).await {
        writer.unwrap();
    }
    let head = lake.head(&table).await.unwrap().unwrap();
    assert_eq!((head.version, ids(&lake, &head).await), (8, (1..=8).collect()));
}

#[tokio::test]
async fn sweeping_spares_what_is_committed_or_young() {
    let lake = memory();
    let table = name("enhanced.t");
    let mut versions = Vec::new();
    for run in ["r1", "r2", "r3"] {
        let files = write(&lake, &table, &[batch(&[(1, Some(run))])], &[]).await.files;
        let mut version = staged(&table, run, &schema(), files);
        version.at = if run == "r3" { "2026-11-22" } else { "2026-11-01" }.parse().unwrap();
        lake.save_staged(&version).await.unwrap();
        versions.push(version);
    }
    lake.commit(&versions[0]).await.unwrap();
    assert_eq!(lake.staged(&table, None).await.unwrap().unwrap().run, "r3");
    assert_eq!(lake.staged(&table, Some("r2")).await.unwrap().unwrap(), versions[1]);
    let won = lake.sweep_staged("2026-11-15".parse().unwrap()).await.unwrap();
    assert_eq!(won, versions[1].adds[0].size);
    assert_eq!(lake.staged_tables().await.unwrap(), [("r3".to_string(), table.clone())]);
    for (version, left) in versions.iter().zip([true, false, true]) {
        let path = laguna_store::snapshot::data_path(&table, &version.adds[0].path).unwrap();
        assert_eq!(lake.objects().head(&path).await.is_ok(), left, "{}", version.run);
    }
    lake.drop_manifest(&versions[2]).await.unwrap();
    lake.drop_manifest(&versions[2]).await.unwrap();
    assert!(lake.staged(&table, None).await.unwrap().is_none());
}
