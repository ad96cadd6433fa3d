//! An erasure carried out on a table, beside the reference implementation.

use futures::TryStreamExt;
use laguna_base::ErrorKind;
use laguna_store::forget::{Erasure, Receipt, Superseded, Target};
use laguna_store::release::Redaction;
use laguna_store::types::schema_to_json;
use laguna_store::{CommitNote, Lake, Snapshot};
use object_store::{ObjectStore, ObjectStoreExt};

use crate::delta::agrees;
use crate::support::*;

const TRACE: &str = "Zaphod";

/// Objects that name the trace in their path or, decoded, in their content.
async fn traces(lake: &Lake) -> Vec<String> {
    let mut found = Vec::new();
    for object in lake.objects().list(None).try_collect::<Vec<_>>().await.unwrap() {
        let path = object.location.to_string();
        let bytes = lake.objects().get(&object.location).await.unwrap().bytes().await.unwrap();
        let mut text = format!("{path} {}", String::from_utf8_lossy(&bytes));
        if path.ends_with(".parquet") {
            let reader =
                parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(bytes).unwrap();
            for batch in reader.build().unwrap() {
                text.push_str(&format!("{:?}", batch.unwrap()));
            }
        }
        if text.contains(TRACE) {
            found.push(path);
        }
    }
    found
}

fn target(snapshot: &Snapshot) -> Target {
    let files = snapshot.files.iter().filter(|file| !file.path.contains(TRACE)).cloned().collect();
    let columns = snapshot.partition_columns.clone();
    Target::new("e1", schema_to_json(&snapshot.schema).unwrap(), columns, files, CommitNote::default())
}

/// The value is a partition, so that it stands in paths, in removes and in checkpoints too.
#[tokio::test(flavor = "multi_thread")]
async fn old_versions_go_with_their_log_and_new_ones_are_what_the_reference_reads() {
    let folder = tempfile::tempdir().unwrap();
    for lake in [memory(), local(folder.path()).await] {
        let table = name("sanitized.t");
        for run in 0..22i64 {
            let rows = [(run, Some(TRACE)), (100 + run, Some("b")), (200 + run, Some("c"))];
            let files = write(&lake, &table, &[batch(&rows)], &["city"]).await.files;
            let mut version = staged(&table, &format!("r{run:02}"), &schema(), files);
            version.base = (run > 0).then(|| run as u64 - 1);
            lake.commit(&version).await.unwrap();
        }
        let blocked = write(&lake, &table, &[batch(&[(9, Some(TRACE))])], &["city"]).await.files;
        lake.save_staged(&staged(&table, "blocked", &schema(), blocked)).await.unwrap();
        assert!(traces(&lake).await.len() > 40);

        let (old, head) = (lake.snapshot(&table, 3).await.unwrap(), lake.snapshot(&table, 21).await.unwrap());
        let erasure = Erasure {
            receipt: Receipt {
                id: "e1".to_string(),
                time: "2026-11-22T06:00:00Z".parse().unwrap(),
                owner: "me".to_string(),
                table: table.clone(),
                predicate: "city = ?".to_string(),
                reason: None,
                release: None,
                files_deleted: 22,
                tables: Vec::new(),
            },
            tables: vec![Superseded {
                table: table.clone(),
                first: 22,
                targets: vec![target(&old), target(&head)],
            }],
            touched: vec![table.clone()],
            redaction: Redaction::default(),
        };
        lake.begin_erasure(&erasure).await.unwrap();
        let mut other = erasure.clone();
        other.receipt.id = "e2".to_string();
        let second = lake.begin_erasure(&other).await.unwrap_err();
        assert_eq!(second.kind(), ErrorKind::Conflict);
        assert_eq!(lake.finish_erasure().await.unwrap(), Some(erasure.receipt.clone()));
        assert_eq!(lake.finish_erasure().await.unwrap(), None);
        assert_eq!(lake.erasures().await.unwrap(), [erasure.receipt]);

        assert_eq!(traces(&lake).await, Vec::<String>::new());
        assert!(lake.staged(&table, None).await.unwrap().is_none());
        for (version, runs) in [(22, 4), (23, 22)] {
            let snapshot = lake.snapshot(&table, version).await.unwrap();
            agrees(&lake, &snapshot).await;
            assert_eq!(snapshot.note.run.as_deref(), Some("e1"));
            let expected: Vec<i64> = (100..100 + runs).chain(200..200 + runs).collect();
            assert_eq!(ids(&lake, &snapshot).await, expected);
        }
        for version in [0, 3, 20, 21] {
            let refused = lake.snapshot(&table, version).await.unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::Project, "{refused}");
            assert!(refused.hint_text().is_some_and(|hint| hint.contains("22 to 23")), "{refused:?}");
        }
        // The table goes on.
        let files = write(&lake, &table, &[batch(&[(7, Some("d"))])], &["city"]).await.files;
        assert_eq!(lake.commit(&staged(&table, "next", &schema(), files)).await.unwrap(), 24);
        agrees(&lake, &lake.snapshot(&table, 24).await.unwrap()).await;
    }
}
