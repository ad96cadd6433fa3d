//! Opening lakes, their format, their durable folder, leases.

use std::collections::BTreeMap;
use std::sync::Arc;

use laguna_base::{ErrorKind, Tier, clock::SystemClock};
use laguna_store::Lake;
use object_store::path::Path;
use object_store::{ObjectStoreExt, PutMode};

use crate::support::*;

async fn open(root: &str) -> laguna_base::Result<Lake> {
    Lake::open(root, &BTreeMap::new(), Arc::new(SystemClock)).await
}

#[tokio::test]
async fn a_lake_that_does_not_exist_reads_as_empty_and_is_not_made() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("deep/lake with space");
    let lake = local(&root).await;
    assert!(lake.head(&name("raw.flights")).await.unwrap().is_none());
    assert!(lake.tables(Tier::Raw).await.unwrap().is_empty());
    assert!(lake.staged_tables().await.unwrap().is_empty());
    assert!(!root.exists());
    lake.prepare_for_writing().await.unwrap();
    let format = std::fs::read_to_string(root.join("_laguna/format.json")).unwrap();
    assert!(format.contains("\"layout\":1"), "{format}");
    assert_eq!(std::fs::read_dir(root.join("_laguna/tmp")).unwrap().count(), 0);
    open(&format!("file://{}", folder.path().join("deep").display())).await.unwrap();
}

#[tokio::test]
async fn other_layouts_and_places_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().to_str().unwrap();
    std::fs::create_dir(folder.path().join("_laguna")).unwrap();
    let format = folder.path().join("_laguna/format.json");
    for (text, word) in [("{\"layout\":2}", "layout 2"), ("{\"layout\"", "damaged"), ("{}", "damaged")] {
        std::fs::write(&format, text).unwrap();
        let error = open(root).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Stored);
        assert!(error.message().contains(word), "{error}");
    }
    std::fs::write(&format, "{\"layout\":1,\"new_key\":true}").unwrap();
    open(root).await.unwrap();
    for wrong in ["ftp://bucket/lake", "s3:///lake", "lake", format.to_str().unwrap()] {
        assert_eq!(open(wrong).await.unwrap_err().kind(), ErrorKind::Project, "{wrong}");
    }
}

#[tokio::test]
async fn a_file_in_the_way_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let lake = local(folder.path()).await;
    lake.prepare_for_writing().await.unwrap();
    std::fs::write(folder.path().join("sanitized"), "").unwrap();
    let mut writer =
        laguna_store::TableWriter::new(&lake, &name("sanitized.t"), schema(), Default::default()).unwrap();
    writer.write(batch(&[(1, None)])).await.unwrap();
    let error = writer.finish().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Storage);
    assert!(error.message().contains("sanitized/t/part-"), "{error}");
}

#[tokio::test]
async fn puts_if_absent_refuse_and_overwrites_replace() {
    let folder = tempfile::tempdir().unwrap();
    let lake = local(folder.path()).await;
    let key = Path::from("a/b/c");
    let put = async |text: &'static str, mode: PutMode| {
        lake.objects().put_opts(&key, text.into(), mode.into()).await
    };
    put("1", PutMode::Create).await.unwrap();
    let refused = put("2", PutMode::Create).await.unwrap_err();
    assert!(matches!(refused, object_store::Error::AlreadyExists { .. }), "{refused}");
    assert_eq!(lake.objects().get(&key).await.unwrap().bytes().await.unwrap(), "1");
    put("3", PutMode::Overwrite).await.unwrap();
    assert_eq!(lake.objects().get(&key).await.unwrap().bytes().await.unwrap(), "3");
}

#[tokio::test]
async fn one_of_many_writers_wins_a_key() {
    let folder = tempfile::tempdir().unwrap();
    let lake = local(folder.path()).await;
    lake.prepare_for_writing().await.unwrap();
    let tries = (0..16).map(|writer| {
        let lake = lake.clone();
        tokio::spawn(async move {
            let text = writer.to_string();
            lake.objects().put_opts(&Path::from("x/y"), text.into(), PutMode::Create.into()).await.is_ok()
        })
    });
    let won = futures::future::join_all(tries).await.into_iter().filter(|won| *won.as_ref().unwrap()).count();
    assert_eq!(won, 1);
}

#[tokio::test]
async fn a_store_that_lies_is_refused_for_writing_and_read_all_the_same() {
    for lie in [Lie::IgnoresCondition, Lie::RefusesAndOverwrites, Lie::ChecksThenWrites] {
        let lake = over(Arc::new(Faulty::lying(lie)));
        let error = lake.prepare_for_writing().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Storage, "{lie:?}");
        assert!(error.message().contains("is not safe to write to"), "{lie:?}: {error}");
        let refused = lake.append(append(&name("raw.t"), Vec::new(), None, 1)).await.unwrap_err();
        assert_eq!(refused.message(), error.message());
        assert_eq!(lake.release().await.unwrap().map(|release| release.number), None, "{lie:?}");
    }
    over(Arc::new(Faulty::default())).prepare_for_writing().await.unwrap();
}
