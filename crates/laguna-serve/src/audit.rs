//! The record of who asked what: statements that ended and logins that were refused are gathered and kept in the lake, from
//! where runs fold them into `system.queries`.
//!
//! What is recorded is in the lake some seconds later. A lake that cannot be written stops nobody: what waits is bounded,
//! and what does not fit any more is counted.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use laguna_base::Result;
use laguna_store::Lake;
use laguna_store::statements::StatementRecord;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::desk::QueryRecord;
use crate::metrics::Metrics;

/// How long statements wait for others to be written with.
const WAIT: Duration = Duration::from_secs(2);

/// Bytes that are written at once, without waiting.
const FULL: usize = 1 << 20;

/// Bytes that wait at most while the lake cannot be written.
const MOST: usize = 32 << 20;

/// Longest text of a statement and of a message that is kept.
const LONGEST_SQL: usize = 64 << 10;
const LONGEST_MESSAGE: usize = 4 << 10;

/// Until the next attempt after one that failed; doubles up to a minute.
const RETRY: Duration = Duration::from_secs(2);

/// How long the last records may take when the server stops.
const FAREWELL: Duration = Duration::from_secs(5);

/// So many objects of one size become one, as long as it does not get larger than `LARGE`.
const MANY: usize = 32;
const LARGE: usize = 16 << 20;

/// Gathers what doors and desk tell, and writes it.
pub struct Audit {
    sender: mpsc::UnboundedSender<QueryRecord>,
    stop: CancellationToken,
    gathering: JoinHandle<()>,
    writing: JoinHandle<()>,
}

/// What waits to be written.
#[derive(Default)]
struct Waiting {
    records: Mutex<Records>,
    changed: Notify,
}

#[derive(Default)]
struct Records {
    /// The number of the next record.
    next: u64,
    all: Vec<StatementRecord>,
    bytes: usize,
    /// Nothing more will come.
    ended: bool,
}

impl Audit {
    /// Begins to record in `lake`.
    pub fn start(lake: Lake, metrics: Metrics) -> Audit {
        let (sender, receiver) = mpsc::unbounded_channel();
        let (waiting, stop) = (Arc::new(Waiting::default()), CancellationToken::new());
        let gathering = tokio::spawn(gather(receiver, waiting.clone(), metrics, stop.clone()));
        let writer = Writer { server: lake.clock().new_id(), lake, written: Vec::new(), has_failed: false };
        let writing = tokio::spawn(writer.run(waiting));
        Audit { sender, stop, gathering, writing }
    }

    /// Where to tell of what ended.
    pub fn sender(&self) -> mpsc::UnboundedSender<QueryRecord> {
        self.sender.clone()
    }

    /// Writes what still waits, and ends.
    pub async fn finish(self) {
        self.stop.cancel();
        let ended = async {
            let _ = self.gathering.await;
            let _ = self.writing.await;
        };
        if tokio::time::timeout(FAREWELL, ended).await.is_err() {
            tracing::warn!("the last statements could not be recorded in system.queries");
        }
    }
}

/// Takes records as they come, so that none waits for the lake.
async fn gather(
    mut receiver: mpsc::UnboundedReceiver<QueryRecord>,
    waiting: Arc<Waiting>,
    metrics: Metrics,
    stop: CancellationToken,
) {
    loop {
        let record = tokio::select! {
            biased;
            record = receiver.recv() => record,
            // What was told before is still taken: a closed channel gives it out to the last.
            () = stop.cancelled(), if !receiver.is_closed() => {
                receiver.close();
                continue;
            }
        };
        let mut records = waiting.records.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(record) = record else {
            records.ended = true;
            waiting.changed.notify_one();
            return;
        };
        // A number that is missing from the table says that a record was lost.
        records.next += 1;
        if records.bytes >= MOST {
            metrics.unrecorded.inc();
            continue;
        }
        let record = kept(record, records.next);
        records.bytes += size(&record);
        records.all.push(record);
        waiting.changed.notify_one();
    }
}

fn kept(record: QueryRecord, number: u64) -> StatementRecord {
    StatementRecord {
        number,
        started: record.started,
        user: record.user,
        role: record.role,
        door: record.door.to_string(),
        sql: shortened(record.sql, LONGEST_SQL),
        release: record.release,
        rows: record.rows,
        bytes: record.bytes,
        seconds: record.seconds,
        outcome: record.outcome.to_string(),
        message: record.message.map(|message| shortened(message, LONGEST_MESSAGE)),
        cached: record.cached,
    }
}

/// At most `longest` bytes of `text`; what is cut ends in `…`.
fn shortened(mut text: String, longest: usize) -> String {
    if text.len() > longest {
        text.truncate(text.floor_char_boundary(longest));
        text.push('…');
    }
    text
}

/// Bytes of a record as it is written, more or less.
fn size(record: &StatementRecord) -> usize {
    300 + record.sql.len() + record.user.len() + record.message.as_ref().map_or(0, String::len)
}

struct Writer {
    lake: Lake,
    server: String,
    /// Objects of this process that may be joined, oldest first.
    written: Vec<Written>,
    has_failed: bool,
}

struct Written {
    first: u64,
    last: u64,
    bytes: usize,
    /// How often it was joined.
    joined: u32,
}

impl Writer {
    async fn run(mut self, waiting: Arc<Waiting>) {
        loop {
            let ended = wait(&waiting).await;
            let records = {
                let mut records = waiting.records.lock().unwrap_or_else(PoisonError::into_inner);
                std::mem::take(&mut records.all)
            };
            let bytes = records.iter().map(size).sum();
            if !records.is_empty() {
                self.write(&records, bytes, &waiting).await;
            }
            let mut left = waiting.records.lock().unwrap_or_else(PoisonError::into_inner);
            left.bytes -= bytes;
            if ended && left.all.is_empty() {
                return;
            }
        }
    }

    /// Writes `records`, however often that takes; once the server stops one attempt has to do.
    async fn write(&mut self, records: &[StatementRecord], bytes: usize, waiting: &Waiting) {
        let mut pause = RETRY;
        while let Err(error) = self.try_write(records, bytes).await {
            let ended = waiting.records.lock().unwrap_or_else(PoisonError::into_inner).ended;
            if !self.has_failed || ended {
                let lost = records.len();
                tracing::warn!(%error, waiting = lost, "statements cannot be recorded in system.queries");
                self.has_failed = true;
            }
            if ended {
                return;
            }
            let _ = tokio::time::timeout(pause, until_ended(waiting)).await;
            pause = (pause * 2).min(Duration::from_secs(60));
        }
        self.has_failed = false;
        if let Err(error) = self.join().await {
            tracing::debug!(%error, "records of statements could not be joined");
        }
    }

    async fn try_write(&mut self, records: &[StatementRecord], bytes: usize) -> Result<()> {
        self.lake.prepare_for_writing().await?;
        self.lake.save_statements(&self.server, records).await?;
        if let (Some(first), Some(last)) = (records.first(), records.last()) {
            self.written.push(Written { first: first.number, last: last.number, bytes, joined: 0 });
        }
        Ok(())
    }

    /// Joins the newest objects once there are many of a size, so that a lake that no run folds keeps few.
    async fn join(&mut self) -> Result<()> {
        while let Some(newest) = self.written.last() {
            let joined = newest.joined;
            let alike = self.written.iter().rev().take_while(|written| written.joined == joined).count();
            let tail = self.written.len() - alike;
            let bytes = self.written[tail..].iter().map(|written| written.bytes).sum();
            if alike < MANY {
                break;
            }
            let ranges: Vec<(u64, u64)> =
                self.written[tail..].iter().map(|written| (written.first, written.last)).collect();
            // Whatever comes of it, they are not tried again.
            self.written.truncate(tail);
            if bytes > LARGE {
                break;
            }
            if let (Some((first, _)), Some((_, last))) = (ranges.first().copied(), ranges.last().copied()) {
                self.lake.join_statements(&self.server, &ranges).await?;
                self.written.push(Written { first, last, bytes, joined: joined + 1 });
            }
        }
        Ok(())
    }
}

/// Waits until there is something to write: what has come waits a little for more. Says whether nothing more will come.
async fn wait(waiting: &Waiting) -> bool {
    let state = || {
        let records = waiting.records.lock().unwrap_or_else(PoisonError::into_inner);
        (records.all.is_empty(), records.bytes >= FULL, records.ended)
    };
    loop {
        let (is_empty, is_full, ended) = state();
        if ended || is_full {
            return ended;
        }
        if !is_empty {
            break;
        }
        waiting.changed.notified().await;
    }
    let _ = tokio::time::timeout(WAIT, async {
        loop {
            let (_, is_full, ended) = state();
            if ended || is_full {
                return;
            }
            waiting.changed.notified().await;
        }
    })
    .await;
    state().2
}

async fn until_ended(waiting: &Waiting) {
    while !waiting.records.lock().unwrap_or_else(PoisonError::into_inner).ended {
        waiting.changed.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use laguna_base::Instant;
    use laguna_base::clock::FixedClock;
    use laguna_store::object_store::memory::InMemory;

    use super::*;

    fn record(sql: &str) -> QueryRecord {
        QueryRecord {
            started: Instant::from_micros(0),
            user: "ana".to_string(),
            role: "admin".to_string(),
            door: "http",
            sql: sql.to_string(),
            release: Some(3),
            rows: 1,
            bytes: 8,
            seconds: 0.1,
            outcome: "ok",
            message: None,
            cached: true,
        }
    }

    fn lake() -> Lake {
        let clock = Arc::new(FixedClock::new("2026-11-22".parse().unwrap()));
        Lake::with_store("memory:///".parse().unwrap(), Arc::new(InMemory::new()), clock)
    }

    /// How many statements SQL sees, and in how many objects those lie that are not folded.
    async fn kept_in(lake: &Lake) -> (usize, usize) {
        use futures::TryStreamExt;
        let (head, fresh) = lake.statements().await.unwrap();
        let folder = laguna_store::object_store::path::Path::from("_laguna/queries");
        let objects: Vec<_> = lake.objects().list(Some(&folder)).try_collect().await.unwrap();
        (head.map_or(0, |head| head.rows() as usize) + fresh.num_rows(), objects.len())
    }

    #[tokio::test]
    async fn what_was_told_is_in_the_lake_when_the_server_has_stopped() {
        let (lake, metrics) = (lake(), Metrics::default());
        let audit = Audit::start(lake.clone(), metrics.clone());
        let sender = audit.sender();
        for number in 0..500 {
            sender.send(record(&format!("SELECT {number}"))).unwrap();
        }
        sender.send(record(&"é".repeat(LONGEST_SQL))).unwrap();
        audit.finish().await;
        assert!(sender.send(record("too late")).is_err());
        assert_eq!(kept_in(&lake).await.0, 501);
        lake.fold_statements().await.unwrap();
        assert_eq!(kept_in(&lake).await, (501, 0));
        assert!(metrics.text().contains("laguna_statements_unrecorded_total 0"));
    }

    #[test]
    fn long_texts_are_cut_between_characters() {
        assert_eq!(shortened("SELECT 1".to_string(), 8), "SELECT 1");
        assert_eq!(shortened("ééé".to_string(), 5), "éé…");
    }

    #[tokio::test]
    async fn many_small_objects_become_few() {
        let lake = lake();
        let mut writer =
            Writer { lake: lake.clone(), server: "s".to_string(), written: Vec::new(), has_failed: false };
        let waiting = Waiting::default();
        for number in 1..=(MANY * MANY + 3) as u64 {
            let record = kept(record("SELECT 1"), number);
            let bytes = size(&record);
            writer.write(&[record], bytes, &waiting).await;
            // In the middle of it all a run folds what there is.
            if number == 500 {
                lake.fold_statements().await.unwrap();
            }
        }
        let (statements, objects) = kept_in(&lake).await;
        assert_eq!(statements, MANY * MANY + 3);
        assert!(objects < 3 * MANY, "{objects} objects");
        lake.fold_statements().await.unwrap();
        assert_eq!(kept_in(&lake).await, (MANY * MANY + 3, 0));
    }

    #[tokio::test]
    async fn a_lake_that_cannot_be_written_loses_what_does_not_fit_and_stops_nobody() {
        let folder = tempfile::tempdir().unwrap();
        // A file stands where the folder of the records would have to be made.
        std::fs::create_dir_all(folder.path().join("_laguna")).unwrap();
        std::fs::write(folder.path().join("_laguna/queries"), "").unwrap();
        let clock = Arc::new(FixedClock::new(Instant::from_micros(0)));
        let root = folder.path().display().to_string();
        let lake = Lake::open(&root, &Default::default(), clock).await.unwrap();
        let metrics = Metrics::default();
        let audit = Audit::start(lake, metrics.clone());
        let sender = audit.sender();
        let long = "x".repeat(LONGEST_SQL);
        for _ in 0..2 * MOST / LONGEST_SQL {
            sender.send(record(&long)).unwrap();
        }
        audit.finish().await;
        let text = metrics.text();
        let lost = text.lines().find_map(|line| line.strip_prefix("laguna_statements_unrecorded_total "));
        assert!(lost.unwrap().parse::<usize>().unwrap() > MOST / LONGEST_SQL / 2, "{text}");
    }
}
