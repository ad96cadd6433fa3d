//! Rows that a model's checks set aside: what the quarantine table of the model holds, and when that is committed.
//!
//! The files travel in the commit of the model first, so that a crash between the two commits loses none.

use std::sync::Arc;

use futures::TryStreamExt;
use laguna_base::{Error, Result, TableName};
use laguna_model::build::quarantine_schema;
use laguna_query::{LakeTables, Moment};
use laguna_store::{CommitNote, DataFile, Lake, Snapshot, Staged, TableWriter, WriteOptions, types};
use serde::{Deserialize, Serialize};

use crate::Context;

/// What one build set aside.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Aside {
    /// Files of the quarantine table.
    pub files: Vec<DataFile>,
    /// Whether all rows of the model were judged, so that these are all that is aside.
    pub whole: bool,
}

impl Aside {
    /// What the commit with this note set aside.
    pub fn of(note: &CommitNote) -> Option<Aside> {
        serde_json::from_value(note.more.get(CommitNote::QUARANTINE)?.clone()).ok()
    }

    /// Writes it into the note of the model's commit.
    pub fn note(&self, note: &mut CommitNote) -> Result<()> {
        if self.files.is_empty() {
            return Ok(());
        }
        let value = serde_json::to_value(self)
            .map_err(|error| Error::internal("files don't serialise").caused_by(error))?;
        note.more.insert(CommitNote::QUARANTINE.to_string(), value);
        Ok(())
    }
}

/// Brings the quarantine table of `model` to what its `version` set aside; once, however often it is called.
///
/// After a whole build it holds just these rows. After an incremental one these are added, and take the place of
/// equal rows that an earlier build set aside: rows within the lookback are judged again and again.
pub(crate) async fn commit(
    context: &Context,
    model: &TableName,
    aside: Aside,
    version: u64,
    run: &str,
) -> Result<()> {
    let lake = context.lake();
    let table = model.quarantine();
    let head = lake.head(&table).await?;
    let Aside { files, whole } = aside;
    if files.is_empty() && (!whole || head.as_ref().is_none_or(|head| head.files.is_empty())) {
        return Ok(());
    }
    // A second try finds this mark at the head and commits nothing.
    let mut staged = self::version(lake, table, files, run, format!("{model} version {version}"))?;
    if let (false, Some(head)) = (whole, head) {
        if head.note.fingerprint == staged.note.fingerprint && head.note.run == staged.note.run {
            return Ok(());
        }
        let kept = kept(context, head, &staged).await?;
        staged.adds.extend(kept);
    }
    lake.commit(&staged).await?;
    Ok(())
}

/// A version of the quarantine `table` that holds `files`, recognised by `mark` in its fingerprint.
pub(crate) fn version(
    lake: &Lake,
    table: TableName,
    files: Vec<DataFile>,
    run: &str,
    mark: String,
) -> Result<Staged> {
    Ok(Staged {
        table,
        run: run.to_string(),
        at: lake.clock().now(),
        schema: types::schema_to_json(&quarantine_schema())?,
        partition_columns: Vec::new(),
        base: None,
        rows: files.iter().map(|file| file.rows).sum(),
        adds: files,
        removes: Vec::new(),
        content: None,
        note: CommitNote { run: Some(run.to_string()), fingerprint: Some(mark), ..CommitNote::default() },
        verdicts: serde_json::Value::Null,
    })
}

/// The files of `old` that stay: all of them when none of their rows is among the fresh ones, else a copy without
/// those.
async fn kept(context: &Context, old: Snapshot, fresh: &Staged) -> Result<Vec<DataFile>> {
    let lake = context.lake();
    let files = old.files.clone();
    let tables = Arc::new(LakeTables::at(lake, Moment::Now).await?);
    let session = context.engine.session(tables, lake.clock().now());
    session.register_this(lake.provider(Arc::new(lake.staged_snapshot(fresh).await?))?);
    session.register("old", lake.provider(Arc::new(old))?);
    let among = "(SELECT 1 FROM this AS fresh WHERE fresh.\"row\" = old.\"row\")";
    let repeated = session.execute(&format!("SELECT 1 AS one FROM old WHERE EXISTS {among} LIMIT 1")).await?;
    if laguna_query::collect(repeated).await?.iter().all(|batch| batch.num_rows() == 0) {
        return Ok(files);
    }
    let schema = quarantine_schema();
    let mut writer = TableWriter::new(lake, &fresh.table, schema.clone(), WriteOptions::default())?;
    let mut rest = session.execute(&format!("SELECT * FROM old WHERE NOT EXISTS {among}")).await?.stream;
    while let Some(batch) = rest.try_next().await.map_err(laguna_query::translate)? {
        writer.write(types::normalize_batch(&batch, &schema)?).await?;
    }
    Ok(writer.finish().await?.files)
}
