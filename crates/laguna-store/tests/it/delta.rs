//! The log beside the reference implementation, and logs that others wrote.

use deltalake_core::DeltaTableBuilder;
use laguna_base::ErrorKind;
use laguna_store::{Lake, Snapshot};
use object_store::ObjectStoreExt;
use object_store::path::Path;
use url::Url;

use crate::support::*;

async fn reference(lake: &Lake, table: &str, version: u64) -> deltalake_core::DeltaTable {
    let url = Url::parse(&format!("memory:///{table}")).unwrap();
    DeltaTableBuilder::from_url(url.clone())
        .unwrap()
        .with_storage_backend(lake.objects().clone(), url)
        .with_version(version)
        .load()
        .await
        .unwrap()
}

pub async fn agrees(lake: &Lake, ours: &Snapshot) {
    let theirs = reference(lake, &ours.table.path(), ours.version).await;
    let state = theirs.snapshot().unwrap();
    let mut paths: Vec<String> =
        state.log_data().iter().map(|file| file.object_store_path().to_string()).collect();
    paths.sort();
    let mut expected: Vec<String> = ours.files.iter().map(|file| file.path.clone()).collect();
    expected.sort();
    assert_eq!(paths, expected, "version {}", ours.version);
    let rows: usize = state.log_data().iter().map(|file| file.num_records().unwrap()).sum();
    assert_eq!(rows as u64, ours.rows());
    assert_eq!(state.snapshot().arrow_schema().fields().len(), ours.schema.fields().len());
}

/// Sixty commits with replacements, so that checkpoints come between and old versions lie before and after them.
#[tokio::test(flavor = "multi_thread")]
async fn every_version_is_what_the_reference_reads() {
    let folder = tempfile::tempdir().unwrap();
    for lake in [memory(), local(folder.path()).await] {
        let table = name("sanitized.t");
        for run in 0..60i64 {
            let rows: Vec<_> =
                (0..3).map(|row| (run * 10 + row, Some(["a", "b b", "c/d"][row as usize]))).collect();
            let files = write(&lake, &table, &[batch(&rows)], &["city"]).await.files;
            let mut version = staged(&table, &format!("r{run:02}"), &schema(), files);
            if run % 7 != 0 {
                version.base = Some(run as u64 - 1);
            }
            lake.commit(&version).await.unwrap();
        }
        let log = Path::from("sanitized/t/_delta_log");
        for checkpoint in [20, 40] {
            let path = log.clone().join(format!("{checkpoint:020}.checkpoint.parquet"));
            lake.objects().head(&path).await.unwrap();
        }
        for version in [0, 6, 7, 19, 20, 21, 40, 55, 56, 59] {
            let snapshot = lake.snapshot(&table, version).await.unwrap();
            agrees(&lake, &snapshot).await;
            // Checkpoints keep no notes: they are found all the same.
            assert_eq!(snapshot.note.run, Some(format!("r{version:02}")));
            let since = version - version % 7;
            let expected: Vec<i64> = (since as i64..=version as i64)
                .flat_map(|run| (0..3).map(move |row| run * 10 + row))
                .collect();
            assert_eq!(ids(&lake, &snapshot).await, expected);
        }
    }
}

async fn put(lake: &Lake, version: u64, lines: &[&str]) {
    let path = Path::from(format!("raw/foreign/_delta_log/{version:020}.json"));
    lake.objects().put(&path, lines.join("\n").into()).await.unwrap();
}

const METADATA: &str = r#"{"metaData":{"id":"x","format":{"provider":"parquet","options":{}},"schemaString":"{\"type\":\"struct\",\"fields\":[{\"name\":\"id\",\"type\":\"long\",\"nullable\":false,\"metadata\":{}},{\"name\":\"city\",\"type\":\"string\",\"nullable\":true,\"metadata\":{}}]}","partitionColumns":[],"configuration":{},"createdTime":1}}"#;
const PROTOCOL: &str = r#"{"protocol":{"minReaderVersion":1,"minWriterVersion":2}}"#;

#[tokio::test]
async fn what_others_wrote_is_read_or_refused() {
    let lake = memory();
    let table = name("raw.foreign");
    let file = write(&lake, &table, &[batch(&[(1, None), (2, None)])], &[]).await.files.remove(0);
    // No statistics, unknown fields and actions, another engine's commitInfo.
    let add = format!(
        r#"{{"add":{{"path":"{}","partitionValues":{{}},"size":{},"modificationTime":1,"dataChange":true,"tags":null,"baseRowId":4}}}}"#,
        file.path, file.size
    );
    let info = r#"{"commitInfo":{"engineInfo":"other","laguna":7}}"#;
    put(&lake, 0, &[info, PROTOCOL, METADATA, r#"{"cdc":{"path":"x"}}"#, "", &add]).await;
    let head = lake.head(&table).await.unwrap().unwrap();
    assert_eq!((head.rows(), ids(&lake, &head).await), (2, vec![1, 2]));

    let vector = add.replace("\"tags\":null", r#""deletionVector":{"storageType":"u"}"#);
    let mapped =
        METADATA.replace("\"configuration\":{}", r#""configuration":{"delta.columnMapping.mode":"name"}"#);
    let newer = r#"{"protocol":{"minReaderVersion":3,"minWriterVersion":7,"readerFeatures":["variantType"],"writerFeatures":["variantType"]}}"#;
    for (line, word) in [
        (vector.as_str(), "deletion vectors"),
        (&mapped, "column mapping"),
        (newer, "variantType"),
        ("{\"add\"", "damaged"),
    ] {
        put(&lake, 1, &[line]).await;
        let error = lake.head(&table).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Stored);
        assert!(error.message().contains(word), "{error}");
        // What was before is still there.
        assert_eq!(lake.snapshot(&table, 0).await.unwrap().rows(), 2);
    }

    let constraint = r#"{"protocol":{"minReaderVersion":1,"minWriterVersion":3}}"#;
    put(&lake, 1, &[constraint]).await;
    let base = lake.head(&table).await.unwrap();
    let error = lake.append(append(&table, Vec::new(), base, 1)).await.unwrap_err();
    assert!(error.message().contains("writer version 3"), "{error}");

    put(&lake, 3, &[info]).await;
    let error = lake.head(&table).await.unwrap_err();
    assert!(error.message().contains("version 2 is missing"), "{error}");
}

#[tokio::test]
async fn a_table_says_what_delta_readers_need() {
    let lake = memory();
    let table = name("raw.t");
    lake.append(append(&table, Vec::new(), None, 1)).await.unwrap();
    let path = Path::from("raw/t/_delta_log/00000000000000000000.json");
    let text = lake.objects().get(&path).await.unwrap().bytes().await.unwrap();
    let lines: Vec<serde_json::Value> = text
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_slice(line).unwrap())
        .collect();
    let info = &lines[0]["commitInfo"];
    assert_eq!(info["timestamp"], 1_795_327_200_000u64);
    assert_eq!(info["laguna"]["batch"], "batch-1");
    assert_eq!(lines[1]["protocol"]["minReaderVersion"], 1);
    assert_eq!(lines[1]["protocol"]["minWriterVersion"], 2);
    let metadata = &lines[2]["metaData"];
    assert_eq!(metadata["configuration"]["delta.enableExpiredLogCleanup"], "false");
    assert!(metadata["configuration"]["delta.appendOnly"].is_null());
    assert_eq!(lines[3]["txn"]["appId"], "landing");
}
