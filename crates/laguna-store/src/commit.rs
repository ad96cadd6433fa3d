//! Committing to a Delta log: put-if-absent of the next entry, read back on any doubt.

use std::collections::{BTreeMap, HashSet};

use arrow::datatypes::SchemaRef;
use futures::{StreamExt, TryStreamExt};
use laguna_base::{Error, Instant, Result, TableName};
use object_store::ObjectStoreExt;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::checkpoint::INTERVAL;
use crate::forget::Target;
use crate::log::{self, Action, Add, Metadata, Protocol, Remove, State, Transaction};
use crate::snapshot::data_path;
use crate::types::{merge, schema_from_json, schema_to_json};
use crate::{DataFile, Lake, Snapshot, Staged};

/// What Laguna keeps in `commitInfo.laguna` of each of its commits.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct CommitNote {
    /// The run that committed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// Models: the fingerprint of SQL, inputs and settings.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<String>,
    /// Models: hash of the version's content.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content: Option<crate::content::ContentHash>,
    /// Raw: the batch, which is the application transaction too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batch: Option<String>,
    /// Raw: `_ingested_at` of the batch. Latest: the newest `_ingested_at` absorbed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub watermark: Option<Instant>,
    /// Raw: the files that the batch landed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<crate::landed::LandedFile>,
    /// Latest: the raw version absorbed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub absorbed: Option<u64>,
    /// Latest: path below the lake's root of the Parquet file that keeps deleted keys aside.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tombstones: Option<String>,
    /// Anything else, by name.
    #[serde(flatten)]
    pub more: BTreeMap<String, serde_json::Value>,
}

impl Lake {
    /// Commits a staged version and returns the Delta version.
    ///
    /// The result is the staged content whatever the head was: when the head is not `staged.base` (a crash or a
    /// rollback came between), adds and removes are computed from the head. A commit whose note's fingerprint (with
    /// the same run) is at the head already is not repeated. On any error of the put the log is read back: the
    /// answer is true, not hopeful. A lost race is [`laguna_base::ErrorKind::Conflict`].
    pub async fn commit(&self, staged: &Staged) -> Result<u64> {
        self.prepare_for_writing().await?;
        let mut note = staged.note.clone();
        note.run.get_or_insert_with(|| staged.run.clone());
        let head = log::replay(self, &staged.table, None).await?;
        if let Some(head) = &head
            && note.fingerprint.is_some()
            && (&head.note.fingerprint, &head.note.run) == (&note.fingerprint, &note.run)
        {
            return Ok(head.version);
        }
        let change = Change {
            operation: "WRITE",
            parameters: json!({"mode": "Overwrite", "partitionBy": json!(staged.partition_columns).to_string()}),
            schema: schema_from_json(&staged.schema)?,
            partition_columns: staged.partition_columns.clone(),
            transaction: None,
            note,
            ..Change::between(head.as_ref(), self.staged_files(staged).await?)
        };
        change.commit(self, &staged.table, head).await
    }

    /// Appends `files` to a table (created with `schema` when it does not exist; new columns of `schema` are added)
    /// in one commit that carries the application transaction `(app, version)`. When the table has that transaction
    /// already nothing is written and its head is returned: `Appended::repeated`.
    pub async fn append(&self, append: Append) -> Result<Appended> {
        self.prepare_for_writing().await?;
        let head = log::replay(self, &append.table, None).await?;
        if let (Some(head), Some((app, version))) = (&head, &append.transaction)
            && head.transactions.get(app).is_some_and(|last| last >= version)
        {
            return Ok(Appended { version: head.version, repeated: true });
        }
        if head.as_ref().map(|head| head.version) != append.base.as_ref().map(|base| base.version) {
            return Err(lost(&append.table));
        }
        let (schema, partition_columns) = match &head {
            Some(head) => {
                let known = schema_from_json(&head.metadata.schema_string)?;
                (merge(&append.table, &known, &append.schema)?, head.metadata.partition_columns.clone())
            }
            None => {
                let columns =
                    append.files.first().map(|file| file.partition_values.keys().cloned().collect());
                (append.schema.clone(), columns.unwrap_or_default())
            }
        };
        let transaction = append.transaction.clone();
        let change = Change {
            operation: "WRITE",
            parameters: json!({"mode": "Append", "partitionBy": json!(partition_columns).to_string()}),
            schema,
            partition_columns,
            adds: append.files,
            removes: Vec::new(),
            rearranges: false,
            removed_at: None,
            transaction: append.transaction,
            note: append.note,
        };
        match change.commit(self, &append.table, head).await {
            Ok(version) => Ok(Appended { version, repeated: false }),
            Err(error) if error.kind() == laguna_base::ErrorKind::Conflict => {
                // The winner may be an earlier try of ours.
                let head = log::replay(self, &append.table, None).await?;
                match (head, transaction) {
                    (Some(head), Some((app, version)))
                        if head.transactions.get(&app).is_some_and(|last| *last >= version) =>
                    {
                        Ok(Appended { version: head.version, repeated: true })
                    }
                    _ => Err(error),
                }
            }
            Err(error) => Err(error),
        }
    }

    /// Makes the head of `table` equal to its version `to` by a new commit (rollback). Returns the new version, or
    /// the head's when it is equal already.
    pub async fn restore(&self, table: &TableName, to: u64, note: CommitNote) -> Result<u64> {
        self.prepare_for_writing().await?;
        let missing = || Error::project(format!("the table {table} does not exist"));
        let wanted = log::replay(self, table, Some(to)).await?.ok_or_else(missing)?;
        let head = log::replay(self, table, None).await?.ok_or_else(missing)?;
        let schema = schema_from_json(&wanted.metadata.schema_string)?;
        let change = Change {
            operation: "RESTORE",
            parameters: json!({"version": to.to_string()}),
            schema,
            partition_columns: wanted.metadata.partition_columns.clone(),
            transaction: None,
            note,
            ..Change::between(Some(&head), wanted.files)
        };
        if change.adds.is_empty()
            && change.removes.is_empty()
            && change.metadata(table, Some(&head))?.is_none()
        {
            return Ok(head.version);
        }
        self.check_present(table, &change.adds).await?;
        change.commit(self, table, Some(head)).await
    }

    /// Commits `target` as `version` of `table`, in place of all that the head before it has. Idempotent: a commit of
    /// the same run at that version is not repeated. What is removed counts as long gone, so that checkpoints do not
    /// name it any more.
    pub(crate) async fn supersede(&self, table: &TableName, version: u64, target: &Target) -> Result<()> {
        let head = log::replay(self, table, None).await?;
        match head.as_ref().map(|head| head.version) {
            Some(head) if head + 1 == version => {}
            Some(head) if head >= version => {
                let entry = crate::landed::log_entry(self, table, version).await?;
                return match entry.is_some_and(|entry| entry.note.run == target.note.run) {
                    true => Ok(()),
                    false => Err(lost(table)),
                };
            }
            _ => return Err(lost(table)),
        }
        let change = Change {
            operation: "DELETE",
            schema: schema_from_json(&target.schema)?,
            partition_columns: target.partition_columns.clone(),
            removed_at: Some(Instant::from_micros(0)),
            note: target.note.clone(),
            ..Change::between(head.as_ref(), target.files.clone())
        };
        change.commit(self, table, head).await.map(|_| ())
    }

    /// Refuses to bring back files that are gone.
    async fn check_present(&self, table: &TableName, files: &[DataFile]) -> Result<()> {
        // Owned paths, because a stream that borrows from the files cannot move between threads.
        let paths: Vec<String> = files.iter().map(|file| file.path.clone()).collect();
        futures::stream::iter(paths)
            .map(|file| async move {
                let path = data_path(table, &file)?;
                match self.objects().head(&path).await {
                    Ok(_) => Ok(()),
                    Err(object_store::Error::NotFound { .. }) => {
                        Err(Error::stored(format!("{table} cannot be restored: its file {file} was deleted"))
                            .hint("it was cleaned up: rebuild the table with run --as-of"))
                    }
                    Err(error) => Err(self.read_error(path.as_ref(), error)),
                }
            })
            .buffer_unordered(16)
            .try_collect::<()>()
            .await
    }
}

impl Lake {
    /// Commits that `adds` hold the very rows of `removes`, which are files of version `base`: readers see no
    /// change, and the note of the commit says what the head's said. Another head is a conflict.
    pub(crate) async fn commit_rewrite(
        &self,
        table: &TableName,
        base: u64,
        adds: Vec<DataFile>,
        removes: Vec<DataFile>,
    ) -> Result<u64> {
        let head = log::replay(self, table, None).await?;
        let Some(head) = head.filter(|head| head.version == base) else { return Err(lost(table)) };
        let mut note = head.note.clone();
        // The batch landed once; this commit is none.
        (note.batch, note.files) = (None, Vec::new());
        note.more.insert(REWRITE.to_string(), true.into());
        let change = Change {
            operation: "OPTIMIZE",
            parameters: json!({}),
            schema: schema_from_json(&head.metadata.schema_string)?,
            partition_columns: head.metadata.partition_columns.clone(),
            adds,
            removes,
            rearranges: true,
            removed_at: None,
            transaction: None,
            note,
        };
        change.commit(self, table, Some(head)).await
    }
}

impl Lake {
    /// Commits that the files `removes` of version `base` go, with their rows. Another head is a conflict.
    pub(crate) async fn commit_removal(
        &self,
        table: &TableName,
        base: u64,
        removes: Vec<DataFile>,
    ) -> Result<u64> {
        let head = log::replay(self, table, None).await?;
        let Some(head) = head.filter(|head| head.version == base) else { return Err(lost(table)) };
        let change = Change {
            operation: "DELETE",
            parameters: json!({}),
            schema: schema_from_json(&head.metadata.schema_string)?,
            partition_columns: head.metadata.partition_columns.clone(),
            adds: Vec::new(),
            removes,
            rearranges: false,
            removed_at: None,
            transaction: None,
            note: CommitNote::default(),
        };
        change.commit(self, table, Some(head)).await
    }
}

/// Name in [`CommitNote::more`] of the mark of a commit that only arranges rows otherwise.
const REWRITE: &str = "rewrite";

impl CommitNote {
    /// Name in [`CommitNote::more`] of the files of rows that a batch or a build set aside.
    pub const QUARANTINE: &str = "quarantine";

    /// Name in [`CommitNote::more`] of the files of rows that a replay left aside.
    pub const REPLAY: &str = "replay";

    /// Every name under which a note keeps files until they have a commit of their own.
    pub(crate) const WAITING: [&str; 2] = [CommitNote::QUARANTINE, CommitNote::REPLAY];

    /// Whether the commit only arranges rows otherwise.
    pub fn is_rewrite(&self) -> bool {
        self.more.contains_key(REWRITE)
    }
}

/// Every table that Laguna makes has this setting: only maintenance cuts its log.
pub(crate) const KEEPS_LOG: &str = "delta.enableExpiredLogCleanup";

/// What one commit changes.
struct Change {
    operation: &'static str,
    parameters: serde_json::Value,
    schema: SchemaRef,
    partition_columns: Vec<String>,
    adds: Vec<DataFile>,
    removes: Vec<DataFile>,
    /// The rows stay the same, only their files are others.
    rearranges: bool,
    /// When the removed files went; `None` is the time of the commit.
    removed_at: Option<Instant>,
    transaction: Option<(String, i64)>,
    note: CommitNote,
}

impl Change {
    /// The adds and removes that lead from `head` to `files`; the rest is for the caller to fill in.
    fn between(head: Option<&State>, files: Vec<DataFile>) -> Change {
        let old = head.map(|head| head.files.as_slice()).unwrap_or_default();
        let wanted: HashSet<&str> = files.iter().map(|file| file.path.as_str()).collect();
        let removes = old.iter().filter(|file| !wanted.contains(file.path.as_str())).cloned().collect();
        let present: HashSet<&str> = old.iter().map(|file| file.path.as_str()).collect();
        let adds = files.iter().filter(|file| !present.contains(file.path.as_str())).cloned().collect();
        Change {
            operation: "WRITE",
            parameters: json!({}),
            schema: arrow::datatypes::Schema::empty().into(),
            partition_columns: Vec::new(),
            adds,
            removes,
            rearranges: false,
            removed_at: None,
            transaction: None,
            note: CommitNote::default(),
        }
    }

    /// The metadata to write: of a new table, or where schema or partitions change.
    fn metadata(&self, table: &TableName, head: Option<&State>) -> Result<Option<Metadata>> {
        let schema_string = schema_to_json(&self.schema)?;
        let Some(head) = head else {
            return Ok(Some(Metadata {
                id: uuid::Uuid::now_v7().to_string(),
                name: Some(table.to_string()),
                description: None,
                format: Default::default(),
                schema_string,
                partition_columns: self.partition_columns.clone(),
                configuration: [
                    ("delta.checkpointInterval", INTERVAL.to_string()),
                    (KEEPS_LOG, "false".to_string()),
                ]
                .map(|(key, value)| (key.to_string(), Some(value)))
                .into(),
                created_time: None,
            }));
        };
        let known = schema_from_json(&head.metadata.schema_string)?;
        if known == self.schema && head.metadata.partition_columns == self.partition_columns {
            return Ok(None);
        }
        Ok(Some(Metadata {
            schema_string,
            partition_columns: self.partition_columns.clone(),
            ..head.metadata.clone()
        }))
    }

    async fn commit(self, lake: &Lake, table: &TableName, head: Option<State>) -> Result<u64> {
        if let Some(head) = &head {
            log::check_writable(table, head)?;
        }
        for file in &self.adds {
            let values = file.partition_values.keys().collect::<HashSet<_>>();
            if values != self.partition_columns.iter().collect() {
                return Err(Error::internal(format!("{} is not partitioned as {table} is", file.path)));
            }
        }
        let fences = lake.check_fences().await?;
        for fence in &fences {
            let (app, epoch) = fence.transaction();
            if head.as_ref().is_some_and(|head| head.transactions.get(&app).is_some_and(|last| *last > epoch))
            {
                return Err(fence.taken_over());
            }
        }
        let now = lake.clock().now();
        let millis = now.as_micros().div_euclid(1000);
        let mut metadata = self.metadata(table, head.as_ref())?;
        let version = head.as_ref().map_or(0, |head| head.version + 1);
        let mut actions = vec![Action {
            commit_info: Some(json!({
                "timestamp": millis,
                "operation": self.operation,
                "operationParameters": self.parameters,
                "engineInfo": format!("laguna/{}", env!("CARGO_PKG_VERSION")),
                // Makes every try of every writer a different text: what is read back is ours or it is not.
                "txnId": uuid::Uuid::now_v7().to_string(),
                "laguna": self.note,
            })),
            ..Action::default()
        }];
        if head.is_none() {
            let protocol = Protocol {
                min_reader_version: 1,
                min_writer_version: 2,
                reader_features: None,
                writer_features: None,
            };
            actions.push(Action { protocol: Some(protocol), ..Action::default() });
            if let Some(metadata) = &mut metadata {
                metadata.created_time = Some(millis);
            }
        }
        actions.extend(metadata.map(|metadata| Action { meta_data: Some(metadata), ..Action::default() }));
        let known = |app: &String, epoch: i64| {
            head.as_ref().is_some_and(|head| head.transactions.get(app) == Some(&epoch))
        };
        let epochs =
            fences.iter().map(|fence| fence.transaction()).filter(|(app, epoch)| !known(app, *epoch));
        actions.extend(self.transaction.into_iter().chain(epochs).map(|(app_id, version)| {
            let txn = Transaction { app_id, version, last_updated: Some(millis) };
            Action { txn: Some(txn), ..Action::default() }
        }));
        let data_change = !self.rearranges;
        let removed_at = self.removed_at.unwrap_or(now);
        let removes = self.removes.iter().map(|file| Remove::of(file, removed_at, data_change));
        actions.extend(removes.map(|remove| Action { remove: Some(remove), ..Action::default() }));
        let adds = self.adds.iter().map(|file| Add::of(file, data_change));
        actions.extend(adds.map(|add| Action { add: Some(add), ..Action::default() }));

        let mut content = Vec::new();
        for action in &actions {
            serde_json::to_writer(&mut content, action)
                .map_err(|error| Error::internal("a commit cannot be written").caused_by(error))?;
            content.push(b'\n');
        }
        if !log::put_entry(lake, table, version, content.into()).await? {
            return Err(lost(table));
        }
        lake.checkpoint_when_due(table, version).await;
        Ok(version)
    }
}

fn lost(table: &TableName) -> Error {
    Error::conflict(format!("another writer has changed {table} meanwhile"))
        .hint("run again: it starts from the new state")
}

/// One append.
#[derive(Debug, Clone)]
pub struct Append {
    /// Which table.
    pub table: TableName,
    /// The schema of the rows; columns that the table lacks are added as nullable.
    pub schema: arrow::datatypes::SchemaRef,
    /// Files to add.
    pub files: Vec<DataFile>,
    /// Application transaction: id and version.
    pub transaction: Option<(String, i64)>,
    /// The state the batch was prepared against; another head is a conflict, which the caller resolves by
    /// preparing again. `None`: the table must not exist yet.
    pub base: Option<Snapshot>,
    /// What goes into the commit.
    pub note: CommitNote,
}

/// What an append did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appended {
    /// Version that holds the rows.
    pub version: u64,
    /// The transaction had been committed before; nothing was written.
    pub repeated: bool,
}
