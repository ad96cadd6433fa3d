//! Absorbing the raw tail: only the buckets whose keys it touches are written again.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray, RecordBatch, UInt32Array};
use arrow::compute::{filter_record_batch, not};
use arrow::datatypes::SchemaRef;
use datafusion::error::DataFusionError;
use datafusion::execution::context::SessionState;
use datafusion::logical_expr::{LogicalPlan, LogicalPlanBuilder, ident};
use datafusion::physical_plan::execute_stream;
use futures::TryStreamExt;
use laguna_base::settings::dataset::Mode;
use laguna_base::{Error, Instant, Result};

use super::resolve::{self, DELETED, Only, Previous, Span};
use super::state::{self, Buckets, State};
use super::tombstone::{self, Tombstones};
use super::{LatestRule, as_raw, bucket};
use crate::content::ContentHash;
use crate::lake::is_of_storage;
use crate::types::{normalize_batch, schema_to_json};
use crate::{DataFile, Lake, Snapshot, Staged, TableWriter, WriteOptions};

/// Buckets that are written side by side: each holds a row group in memory.
const TOGETHER: usize = 8;

/// Makes the latest table of `raw` hold the newest row of each key, by one commit on `head`.
pub(super) async fn fold(
    lake: &Lake,
    raw: Arc<Snapshot>,
    rule: &LatestRule,
    head: Option<Snapshot>,
    session: &SessionState,
) -> Result<()> {
    if let Some(staged) = stage(lake, raw, rule, head, session).await? {
        lake.commit(&staged).await?;
    }
    Ok(())
}

/// The version that [`fold`] commits; `None` when `head` is it already, or nothing has arrived. Without a `head` it is
/// made of raw rows alone.
pub(super) async fn stage(
    lake: &Lake,
    raw: Arc<Snapshot>,
    rule: &LatestRule,
    head: Option<Snapshot>,
    session: &SessionState,
) -> Result<Option<Staged>> {
    let Some(until) = state::watermark_until(lake, &raw, None).await? else { return Ok(None) };
    let old = head.as_ref().and_then(|head| Some((head, State::of(&head.note, rule, &raw)?)));
    if old.as_ref().is_some_and(|(_, state)| state.absorbed == raw.version || state.watermark >= until) {
        return Ok(None);
    }
    let within = rule.within(&raw.schema);
    let mut fold = Fold {
        lake,
        raw: &raw,
        rule: &within,
        session,
        until,
        adds: Vec::new(),
        buckets: Buckets::default(),
        content: ContentHash::default(),
    };
    let (base, removes, tombstones) = if rule.mode == Mode::Snapshot {
        fold.buckets.count = 1;
        let plan = resolve::snapshot(lake, &raw, &within, until)?;
        fold.write(plan, &[0], None).await?;
        (None, Vec::new(), None)
    } else {
        fold.keyed(old).await?
    };
    let kept: u64 = match (&head, base) {
        (Some(head), Some(_)) => head.rows() - removes.iter().map(|file: &DataFile| file.rows).sum::<u64>(),
        _ => 0,
    };
    let rows = kept + fold.adds.iter().map(|file| file.rows).sum::<u64>();
    let state = State { watermark: until, absorbed: raw.version, tombstones, buckets: fold.buckets };
    Ok(Some(Staged {
        table: raw.table.latest(),
        run: lake.clock().new_id(),
        at: lake.clock().now(),
        schema: schema_to_json(&raw.schema)?,
        partition_columns: Vec::new(),
        base,
        adds: fold.adds,
        removes,
        rows,
        content: base.is_none().then_some(fold.content),
        note: state.note(rule, &raw),
        verdicts: serde_json::Value::Null,
    }))
}

struct Fold<'a> {
    lake: &'a Lake,
    raw: &'a Arc<Snapshot>,
    rule: &'a LatestRule,
    session: &'a SessionState,
    until: Instant,
    adds: Vec<DataFile>,
    buckets: Buckets,
    content: ContentHash,
}

/// Base version, files of it that go, and the path of the new tombstones.
type Change = (Option<u64>, Vec<DataFile>, Option<String>);

impl Fold<'_> {
    async fn keyed(&mut self, old: Option<(&Snapshot, State)>) -> Result<Change> {
        let span = Span { after: old.as_ref().map(|(_, state)| state.watermark), until: self.until };
        let coming = resolve::rows_in(self.raw, span);
        let before = old.as_ref().map_or(0, |(head, _)| head.rows());
        let now = old.as_ref().map_or(1, |(_, state)| state.buckets.count);
        let count = if self.rule.key.is_empty() { 1 } else { bucket::count_for(before + coming, now) };
        self.buckets.count = count;

        // Files whose bucket is known and still right can stay; all others are cut anew.
        let placed = |file: &DataFile| {
            let (_, state) = old.as_ref()?;
            state.buckets.files.get(&file.path).filter(|_| state.buckets.count == count).copied()
        };
        let whole =
            old.as_ref().is_some_and(|(head, _)| head.files.iter().any(|file| placed(file).is_none()));
        let touched =
            if whole || count == 1 { (0..count).collect() } else { self.touched(span, count).await? };

        let mut known = match &old {
            Some((_, state)) => {
                tombstone::read(self.lake, state.tombstones.as_deref(), &self.raw.schema).await?
            }
            None => None,
        };
        let keeps_deleted = self.rule.op_column().is_some() && self.rule.order_column().is_some();
        let mut deleted = keeps_deleted.then(|| Tombstones::new(&self.raw.schema));
        let mut removes = Vec::new();
        if let (Some(deleted), Some(known)) = (&mut deleted, &known) {
            *deleted = self.tombstones_in(known, count, |bucket| !touched.contains(&bucket))?;
        }
        if known.as_ref().is_some_and(|known| known.rows() == 0) {
            known = None;
        }

        for group in touched.chunks(if whole { touched.len().max(1) } else { TOGETHER }) {
            let previous = match &old {
                Some((head, _)) => {
                    let files: Vec<DataFile> = head
                        .files
                        .iter()
                        .filter(|file| placed(file).is_none_or(|bucket| group.contains(&bucket)))
                        .cloned()
                        .collect();
                    removes.extend(files.iter().cloned());
                    let rows = Arc::new(Snapshot { files, ..as_raw(head, self.raw) });
                    let deleted = match &known {
                        Some(known) => {
                            Some(self.tombstones_in(known, count, |bucket| group.contains(&bucket))?)
                        }
                        None => None,
                    };
                    Some(Previous { rows, deleted })
                }
                None => None,
            };
            let only = (group.len() < count as usize).then(|| Only {
                bucket_of: bucket::function(self.rule, &crate::scan::read_schema(&self.raw.schema), count),
                buckets: group.to_vec(),
            });
            let plan = resolve::winners(self.lake, self.raw, self.rule, previous, span, only)?;
            self.write(plan, group, deleted.as_mut()).await?;
        }
        let Some((head, state)) = &old else {
            return Ok((None, Vec::new(), self.keep(deleted).await?));
        };
        for file in &head.files {
            if let Some(bucket) = placed(file)
                && !touched.contains(&bucket)
            {
                self.buckets.files.insert(file.path.clone(), bucket);
            }
        }
        let unchanged = touched.is_empty();
        let tombstones = if unchanged { state.tombstones.clone() } else { self.keep(deleted).await? };
        Ok((Some(head.version), removes, tombstones))
    }

    async fn keep(&self, deleted: Option<Tombstones>) -> Result<Option<String>> {
        match deleted {
            Some(deleted) => deleted.write(self.lake, self.raw, self.rule).await,
            None => Ok(None),
        }
    }

    /// The tombstones of some buckets.
    fn tombstones_in(
        &self,
        all: &Tombstones,
        count: u32,
        wanted: impl Fn(u32) -> bool,
    ) -> Result<Tombstones> {
        let mut some = all.clone();
        some.retain(|batch| {
            let buckets = self.buckets_of(batch, count)?;
            Ok(buckets.values().iter().map(|bucket| Some(wanted(*bucket))).collect::<BooleanArray>())
        })?;
        Ok(some)
    }

    fn buckets_of(&self, batch: &RecordBatch, count: u32) -> Result<UInt32Array> {
        let keys: Vec<ArrayRef> =
            self.rule.key.iter().filter_map(|key| batch.column_by_name(key)).cloned().collect();
        if keys.is_empty() {
            return Ok(UInt32Array::from(vec![0; batch.num_rows()]));
        }
        bucket::buckets(&keys, count).map_err(|error| self.failed(error))
    }

    /// The buckets that new rows fall into.
    async fn touched(&self, span: Span, count: u32) -> Result<Vec<u32>> {
        let keys = self.rule.key.iter().map(ident);
        let tail = resolve::tail(self.lake, self.raw, span)?;
        let plan = LogicalPlanBuilder::from(tail).project(keys).and_then(LogicalPlanBuilder::build);
        let mut stream = self.execute(plan.map_err(|error| self.failed(error))?).await?;
        let mut seen = vec![false; count as usize];
        while let Some(batch) = stream.try_next().await.map_err(|error| self.failed(error))? {
            for bucket in self.buckets_of(&batch, count)?.values() {
                seen[*bucket as usize] = true;
            }
        }
        Ok((0..count).filter(|bucket| seen[*bucket as usize]).collect())
    }

    /// Runs `plan` and writes its living rows by bucket; its deleted rows go to `deleted`.
    async fn write(
        &mut self,
        plan: LogicalPlan,
        group: &[u32],
        mut deleted: Option<&mut Tombstones>,
    ) -> Result<()> {
        let mut writers: BTreeMap<u32, TableWriter> = BTreeMap::new();
        let written = self.write_rows(plan, group, &mut deleted, &mut writers).await;
        if let Err(error) = written {
            for writer in writers.into_values() {
                writer.abort().await;
            }
            return Err(error);
        }
        for (bucket, writer) in writers {
            let written = writer.finish().await?;
            self.content.merge(&written.content);
            for file in written.files {
                self.buckets.files.insert(file.path.clone(), bucket);
                self.adds.push(file);
            }
        }
        Ok(())
    }

    async fn write_rows(
        &self,
        plan: LogicalPlan,
        group: &[u32],
        deleted: &mut Option<&mut Tombstones>,
        writers: &mut BTreeMap<u32, TableWriter>,
    ) -> Result<()> {
        let mut stream = self.execute(plan).await?;
        while let Some(batch) = stream.try_next().await.map_err(|error| self.failed(error))? {
            let (living, gone) = self.split(&batch)?;
            if let (Some(deleted), Some(gone)) = (deleted.as_deref_mut(), gone)
                && gone.num_rows() > 0
            {
                deleted.add(&gone)?;
            }
            if living.num_rows() == 0 {
                continue;
            }
            if let [only] = group {
                self.write_to(*only, &living, writers).await?;
                continue;
            }
            let buckets = self.buckets_of(&living, self.buckets.count)?;
            for bucket in group {
                let mine: BooleanArray = buckets.values().iter().map(|own| Some(own == bucket)).collect();
                if mine.true_count() > 0 {
                    let rows = filter_record_batch(&living, &mine).map_err(|error| self.failed(error))?;
                    self.write_to(*bucket, &rows, writers).await?;
                }
            }
        }
        Ok(())
    }

    async fn write_to(
        &self,
        bucket: u32,
        rows: &RecordBatch,
        writers: &mut BTreeMap<u32, TableWriter>,
    ) -> Result<()> {
        let schema: &SchemaRef = &self.raw.schema;
        let rows = normalize_batch(rows, schema)?;
        let writer = match writers.entry(bucket) {
            std::collections::btree_map::Entry::Occupied(entry) => entry.into_mut(),
            std::collections::btree_map::Entry::Vacant(entry) => entry.insert(TableWriter::new(
                self.lake,
                &self.raw.table.latest(),
                schema.clone(),
                WriteOptions::default(),
            )?),
        };
        writer.write(rows).await
    }

    /// The living rows without their mark, and the deleted ones.
    fn split(&self, batch: &RecordBatch) -> Result<(RecordBatch, Option<RecordBatch>)> {
        let Ok(mark) = batch.schema().index_of(DELETED) else { return Ok((batch.clone(), None)) };
        let gone = batch.column(mark).as_boolean().clone();
        let mut rows = batch.clone();
        rows.remove_column(mark);
        if gone.true_count() == 0 {
            return Ok((rows, None));
        }
        let alive = not(&gone).and_then(|alive| filter_record_batch(&rows, &alive));
        let dead = filter_record_batch(&rows, &gone);
        Ok((alive.map_err(|error| self.failed(error))?, Some(dead.map_err(|error| self.failed(error))?)))
    }

    async fn execute(
        &self,
        plan: LogicalPlan,
    ) -> Result<datafusion::physical_plan::SendableRecordBatchStream> {
        let plan = self.session.create_physical_plan(&plan).await.map_err(|error| self.failed(error))?;
        execute_stream(plan, self.session.task_ctx()).map_err(|error| self.failed(error))
    }

    fn failed(&self, error: impl Into<DataFusionError>) -> Error {
        let table = self.raw.table.latest();
        let (what, error) = (format!("{table} cannot be brought up to date"), error.into());
        match is_of_storage(&error) {
            true => Error::storage(what).caused_by(error),
            false => Error::failed(what).caused_by(error),
        }
    }
}
