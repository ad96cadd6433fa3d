//! Maintenance: what is kept stays equal, what is not needed goes, and opening a table stays cheap.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use datafusion::prelude::SessionContext;
use futures::StreamExt;
use futures::stream::BoxStream;
use laguna_base::clock::FixedClock;
use laguna_base::{Clock, TableName};
use laguna_store::maintain::{Needs, bins};
use laguna_store::release::{CheckSummary, Release, ReleasedTable};
use laguna_store::{CommitNote, Lake};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::*;
use proptest::prelude::*;

use crate::support::{append, batch, ids, name, schema, staged, write};

/// A memory store whose clock can be put forward, and that counts what is read.
#[derive(Debug, Default)]
struct Aging {
    inner: InMemory,
    days: Mutex<Vec<DateTime<Utc>>>,
    gets: AtomicUsize,
}

impl Aging {
    fn pass_a_day(&self) {
        self.days.lock().unwrap().push(Utc::now());
    }

    fn dated(&self, mut meta: ObjectMeta) -> ObjectMeta {
        let days = self.days.lock().unwrap().iter().filter(|day| **day < meta.last_modified).count();
        meta.last_modified += TimeDelta::hours(25) * days as i32;
        meta
    }
}

impl fmt::Display for Aging {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("aging")
    }
}

#[async_trait]
impl ObjectStore for Aging {
    async fn put_opts(&self, at: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        self.inner.put_opts(at, payload, opts).await
    }

    async fn put_multipart_opts(
        &self,
        at: &Path,
        opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(at, opts).await
    }

    async fn get_opts(&self, at: &Path, options: GetOptions) -> Result<GetResult> {
        self.gets.fetch_add(1, Ordering::SeqCst);
        let mut found = self.inner.get_opts(at, options).await?;
        found.meta = self.dated(found.meta);
        Ok(found)
    }

    fn delete_stream(&self, at: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(at)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let days = self.days.lock().unwrap().clone();
        let dated = Aging { days: Mutex::new(days), ..Aging::default() };
        self.inner.list(prefix).map(move |meta| Ok(dated.dated(meta?))).boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

/// A lake with one raw table and one model, and what each release must hold.
struct World {
    lake: Lake,
    store: Arc<Aging>,
    clock: Arc<FixedClock>,
    session: SessionContext,
    raw: TableName,
    model: TableName,
    landed: Vec<i64>,
    released: BTreeMap<u64, Vec<i64>>,
    runs: u64,
}

impl World {
    fn new() -> World {
        let store = Arc::new(Aging::default());
        let clock = Arc::new(FixedClock::new("2026-11-22T06:00:00Z".parse().unwrap()));
        let lake = Lake::with_store("memory:///".parse().unwrap(), store.clone(), clock.clone());
        World {
            lake,
            store,
            clock,
            session: SessionContext::new(),
            raw: name("raw.a"),
            model: name("sanitized.a"),
            landed: Vec::new(),
            released: BTreeMap::new(),
            runs: 0,
        }
    }

    fn pass(&mut self) -> String {
        self.runs += 1;
        self.clock.set(self.clock.now().plus_micros(60_000_000));
        format!("run{}", self.runs)
    }

    async fn land(&mut self) {
        let id = self.landed.len() as i64;
        let files = write(&self.lake, &self.raw, &[batch(&[(id, Some("x"))])], &[]).await.files;
        let base = self.lake.head(&self.raw).await.unwrap();
        self.lake.append(append(&self.raw, files, base, id + 1)).await.unwrap();
        let landed = self.lake.landed(&self.raw).await.unwrap();
        self.lake.save_landed(&self.raw, &landed).await.unwrap();
        self.landed.push(id);
    }

    async fn publish(&mut self, run: &str, entry: ReleasedTable, rows: Vec<i64>) {
        let parent = self.lake.release().await.unwrap();
        let next = Release {
            number: 0,
            time: self.clock.now(),
            run: run.to_string(),
            instant: self.clock.now(),
            reason: "run".to_string(),
            engine: String::new(),
            code: None,
            git_commit: None,
            tables: BTreeMap::from([(self.model.clone(), entry)]),
            raw: BTreeMap::new(),
            held_fingerprints: BTreeSet::new(),
            redacted: BTreeMap::new(),
        };
        let number = self.lake.publish(next, parent.as_ref()).await.unwrap().number;
        self.released.insert(number, rows);
    }

    /// A new state of the model in several files, committed and released.
    async fn build(&mut self, files: i64) {
        let run = self.pass();
        let first = self.runs as i64 * 100;
        let mut written = Vec::new();
        let mut content = laguna_store::content::ContentHash::default();
        for id in first..first + files {
            let one = write(&self.lake, &self.model, &[batch(&[(id, None)])], &[]).await;
            content.merge(&one.content);
            written.extend(one.files);
        }
        let mut staged = staged(&self.model, &run, &schema(), written);
        staged.content = Some(content);
        staged.note.content = Some(content);
        let version = self.lake.commit(&staged).await.unwrap();
        let entry = ReleasedTable {
            version: Some(version),
            sql: run.clone(),
            sql_hash: run.clone(),
            fingerprint: staged.note.fingerprint.clone().unwrap(),
            schema: staged.schema.clone(),
            rows: Some(staged.rows),
            content: staged.content,
            inputs: BTreeMap::new(),
            checks: CheckSummary::default(),
            since: 0,
            held: None,
        };
        self.publish(&run, entry, (first..first + files).collect()).await;
    }

    async fn rollback(&mut self, pick: usize) {
        let kept = self.lake.releases(None).await.unwrap();
        let Some(to) = kept.get(pick % kept.len().max(1)) else { return };
        let run = self.pass();
        let mut entry = to.tables[&self.model].clone();
        let note = CommitNote {
            run: Some(run.clone()),
            fingerprint: Some(entry.fingerprint.clone()),
            content: entry.content,
            ..CommitNote::default()
        };
        entry.version = Some(self.lake.restore(&self.model, entry.version.unwrap(), note).await.unwrap());
        self.publish(&run, entry, self.released[&to.number].clone()).await;
    }

    async fn compact(&mut self) {
        if let Some(head) = self.lake.head(&self.raw).await.unwrap() {
            let small = bins(&head, 1 << 20);
            if !small.is_empty() {
                self.lake.compact(&head, small, &[], 1 << 20, &self.session.state()).await.unwrap();
            }
            let landed = self.lake.landed(&self.raw).await.unwrap();
            assert!(!landed.recovered, "compaction lands nothing");
            self.lake.save_landed(&self.raw, &landed).await.unwrap();
        }
        let Some(parent) = self.lake.release().await.unwrap() else { return };
        let head = self.lake.head(&self.model).await.unwrap().unwrap();
        let mut entry = parent.tables[&self.model].clone();
        assert_eq!(entry.version, Some(head.version));
        let small = bins(&head, 1 << 20);
        if !small.is_empty() {
            let run = self.pass();
            let sort = ["id".to_string()];
            let version = self.lake.compact(&head, small, &sort, 1 << 20, &self.session.state()).await;
            entry.version = Some(version.unwrap());
            let since = entry.since;
            self.publish(&run, entry, self.released[&parent.number].clone()).await;
            let now = self.lake.release().await.unwrap().unwrap();
            assert_eq!(now.tables[&self.model].since, since, "the rows are those of that release");
        }
    }

    async fn sweep(&mut self, keep: Option<Duration>, tagged: &[u64]) -> Vec<u64> {
        let needs = Needs::gather(&self.lake).await.unwrap();
        let tagged = tagged.iter().copied().collect();
        let dropped = needs.drop_releases(&self.lake, keep, &tagged, false).await.unwrap();
        for table in [&self.raw, &self.model] {
            let would = self.lake.sweep_table(table, &needs, true).await.unwrap();
            let did = self.lake.sweep_table(table, &needs, false).await.unwrap();
            assert_eq!(would, did);
            let again = self.lake.sweep_table(table, &needs, true).await.unwrap();
            assert_eq!((again.versions, again.files), (0, 0), "{table}");
        }
        self.lake.sweep_lake(&needs, false).await.unwrap();
        dropped
    }

    /// Everything that is kept reads as it was written.
    async fn check(&self) {
        let kept = self.lake.releases(None).await.unwrap();
        for release in &kept {
            let version = release.tables[&self.model].version.unwrap();
            let found = ids(&self.lake, &self.lake.snapshot(&self.model, version).await.unwrap()).await;
            assert_eq!(found, self.released[&release.number], "release {}", release.number);
            assert_eq!(self.lake.release_number(release.number).await.unwrap(), *release);
        }
        let kept: BTreeSet<u64> = kept.iter().map(|release| release.number).collect();
        for number in self.released.keys().filter(|number| !kept.contains(number)) {
            let error = self.lake.release_number(*number).await.unwrap_err();
            assert_eq!(error.message(), format!("release {number} is no longer kept"));
        }
        if let Some(raw) = self.lake.head(&self.raw).await.unwrap() {
            assert_eq!(ids(&self.lake, &raw).await, self.landed);
            assert_eq!(self.lake.landed(&self.raw).await.unwrap().batches, self.landed.len() as i64);
        }
    }

    async fn objects(&self, folder: &str) -> usize {
        self.store.inner.list(Some(&Path::from(folder))).count().await
    }
}

#[tokio::test]
async fn files_are_joined_without_a_change_that_readers_see() {
    let mut world = World::new();
    for _ in 0..5 {
        world.land().await;
    }
    world.build(4).await;
    let before = world.lake.head(&world.raw).await.unwrap().unwrap();
    world.compact().await;
    let after = world.lake.head(&world.raw).await.unwrap().unwrap();
    assert_eq!((before.files.len(), after.files.len(), after.version), (5, 1, before.version + 1));
    assert_eq!(after.transactions, before.transactions);
    let entry = format!("raw/a/_delta_log/{:020}.json", after.version);
    let entry = world.lake.objects().get(&Path::from(entry)).await.unwrap().bytes().await.unwrap();
    let entry = String::from_utf8(entry.to_vec()).unwrap();
    assert!(!entry.contains("\"dataChange\":true"), "{entry}");
    assert_eq!(entry.matches("\"dataChange\":false").count(), 6);
    world.check().await;
    world.land().await;
    world.build(1).await;
    world.check().await;
}

#[tokio::test]
async fn what_a_release_or_a_reader_of_the_last_day_needs_stays() {
    let mut world = World::new();
    for _ in 0..3 {
        world.build(2).await;
        world.land().await;
    }
    world.compact().await;
    assert_eq!(world.sweep(None, &[]).await, [0u64; 0]);
    world.store.pass_a_day();
    let newest = *world.released.keys().next_back().unwrap();
    // Dropped now, deleted in a day.
    assert_eq!(world.sweep(Some(Duration::ZERO), &[2]).await, [1, 3]);
    assert_eq!(ids(&world.lake, &world.lake.snapshot(&world.model, 0).await.unwrap()).await.len(), 2);
    world.check().await;
    world.store.pass_a_day();
    assert_eq!(world.sweep(Some(Duration::ZERO), &[2]).await, [0u64; 0]);
    world.check().await;
    let kept: Vec<u64> = world.lake.releases(None).await.unwrap().iter().map(|kept| kept.number).collect();
    assert_eq!(kept, [newest, 2]);
    // The files of release 2 and the joined one.
    let error = world.lake.snapshot(&world.model, 0).await.unwrap_err();
    assert_eq!(error.message(), "sanitized.a has no version 0");
    assert!(error.hint_text().unwrap().contains("valid are 1, 3"), "{error:?}");
    let error = world.lake.release_as_of("2026-11-22T06:01:00Z".parse().unwrap()).await.unwrap_err();
    assert!(error.message().contains("is no longer kept"), "{error:?}");
    world.land().await;
    world.build(3).await;
    world.check().await;
}

#[tokio::test]
async fn opening_a_table_costs_the_same_however_long_its_log_is() {
    let mut world = World::new();
    let mut most = [0, 0];
    for (round, most) in most.iter_mut().enumerate() {
        for _ in 0..40 {
            world.land().await;
            let before = world.store.gets.load(Ordering::SeqCst);
            world.lake.head(&world.raw).await.unwrap();
            *most = (world.store.gets.load(Ordering::SeqCst) - before).max(*most);
        }
        if round == 0 {
            world.compact().await;
        }
    }
    assert!(most[1] <= 21 && most[1] <= most[0], "objects read: {most:?}");
    world.store.pass_a_day();
    world.land().await;
    world.compact().await;
    let before = world.objects("raw/a/_delta_log").await;
    world.sweep(None, &[]).await;
    let after = world.objects("raw/a/_delta_log").await;
    assert!(after <= 7 && before > 80, "objects in the log: {before}, then {after}");
    world.check().await;
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn whatever_happens_kept_releases_stay_equal(steps in prop::collection::vec((0u8..8, 0usize..5), 1..30)) {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let mut world = World::new();
            for (step, pick) in steps {
                match step {
                    0 => world.land().await,
                    1 | 2 => world.build(pick as i64 + 1).await,
                    3 => world.rollback(pick).await,
                    4 => world.compact().await,
                    5 => {
                        let keep = Duration::from_secs(60 * pick as u64);
                        world.sweep(Some(keep), &[pick as u64]).await;
                    }
                    6 => drop(world.sweep(None, &[]).await),
                    _ => world.store.pass_a_day(),
                }
                world.check().await;
            }
        });
    }
}
