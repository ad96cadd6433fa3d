//! The one pass: streams of batches go through the checks' accumulators into Parquet files.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::{
    ArrayRef, AsArray, BooleanArray, RecordBatch, StringArray, StructArray, TimestampMicrosecondArray,
    UInt32Array,
};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::{StreamExt, TryStreamExt};
use laguna_base::settings::table::{Materialize, OnFail};
use laguna_base::{Error, Instant, Result};
use laguna_check::{Collector, Suite};
use laguna_store::states::State;
use laguna_store::writer::Written;
use laguna_store::{DataFile, Staged, TableWriter, WriteOptions, types};

use super::{BuildContext, by_file, quoted, write_options};
use crate::project::Model;

/// What the pass gave.
pub(super) struct Pass {
    pub written: Written,
    pub collector: Collector,
    pub quarantined: Vec<DataFile>,
    /// Files with what the checks have accumulated of their rows, where that is known file by file.
    pub fresh: Vec<(DataFile, State)>,
}

/// Feeds `streams` to the checks and to files, side by side, one writer and one task a stream.
pub(super) async fn write(
    model: &Arc<Model>,
    context: &BuildContext,
    suite: &Arc<Suite>,
    schema: SchemaRef,
    streams: Vec<SendableRecordBatchStream>,
) -> Result<Pass> {
    let total = Arc::new(AtomicU64::new(0));
    let streams = if suite.needs_order() { one_after_the_other(streams) } else { streams };
    let parts = streams.into_iter().map(|stream| {
        let part = Part {
            model: model.clone(),
            context: context.clone(),
            suite: suite.clone(),
            schema: schema.clone(),
            total: total.clone(),
        };
        part.run(stream)
    });
    let mut pass = Pass {
        written: Written::default(),
        collector: suite.collector(),
        quarantined: Vec::new(),
        fresh: Vec::new(),
    };
    for (written, mut collector, aside) in concurrently(parts).await? {
        if matches!(model.settings.materialize, Materialize::Incremental(_)) {
            pass.fresh.extend(by_file::of_written(suite, &written, &mut collector));
        }
        pass.written.rows += written.rows;
        pass.written.content.merge(&written.content);
        pass.written.files.extend(written.files);
        pass.collector.merge(collector);
        pass.quarantined.extend(aside);
    }
    Ok(pass)
}

/// One stream of all, for checks that compare a row with the one before it.
fn one_after_the_other(streams: Vec<SendableRecordBatchStream>) -> Vec<SendableRecordBatchStream> {
    let Some(schema) = streams.first().map(|stream| stream.schema()) else { return streams };
    let rows = futures::stream::iter(streams).flatten();
    vec![Box::pin(RecordBatchStreamAdapter::new(schema, rows))]
}

/// One stream's share of the pass.
struct Part {
    model: Arc<Model>,
    context: BuildContext,
    suite: Arc<Suite>,
    schema: SchemaRef,
    total: Arc<AtomicU64>,
}

impl Part {
    async fn run(self, mut stream: SendableRecordBatchStream) -> Result<(Written, Collector, Vec<DataFile>)> {
        let mut collector = self.suite.collector();
        let lake = self.context.engine.lake().clone();
        let mut writer =
            TableWriter::new(&lake, &self.model.name, self.schema.clone(), write_options(&self.model))?;
        let mut aside = None;
        let fed = self.feed(&mut stream, &mut collector, &mut writer, &mut aside).await;
        match fed {
            Ok(()) => {
                let aside = match aside {
                    Some(aside) => aside.finish().await?.files,
                    None => Vec::new(),
                };
                Ok((writer.finish().await?, collector, aside))
            }
            Err(error) => {
                writer.abort().await;
                if let Some(aside) = aside {
                    aside.abort().await;
                }
                Err(error)
            }
        }
    }

    async fn feed(
        &self,
        stream: &mut SendableRecordBatchStream,
        collector: &mut Collector,
        writer: &mut TableWriter,
        aside: &mut Option<TableWriter>,
    ) -> Result<()> {
        let set_aside = self.model.on_fail() == OnFail::Quarantine;
        while let Some(batch) = stream.next().await {
            let batch = batch.map_err(laguna_query::translate)?;
            let mut batch = types::normalize_batch(&batch, &self.schema)?;
            let failing = collector.update(&batch)?;
            if let (true, Some(failing)) = (set_aside, failing) {
                self.quarantine(&batch, &failing, aside).await?;
                let good = arrow::compute::is_null(&failing).map_err(engine)?;
                batch = filter_record_batch(&batch, &good).map_err(engine)?;
            }
            let rows = batch.num_rows() as u64;
            let before = self.total.fetch_add(rows, Ordering::Relaxed);
            (self.context.progress)(before + rows);
            writer.write(batch).await?;
        }
        Ok(())
    }

    async fn quarantine(
        &self,
        batch: &RecordBatch,
        failing: &UInt32Array,
        aside: &mut Option<TableWriter>,
    ) -> Result<()> {
        let rejected = quarantine_rows(&self.context, &self.suite, batch, failing)?;
        let writer = match aside {
            Some(writer) => writer,
            aside => aside.insert(TableWriter::new(
                self.context.engine.lake(),
                &self.model.name.quarantine(),
                quarantine_schema(),
                WriteOptions::default(),
            )?),
        };
        writer.write(rejected).await
    }
}

/// Writes `streams` to files of the model's table, side by side.
pub(super) async fn copy(
    model: &Arc<Model>,
    context: &BuildContext,
    schema: SchemaRef,
    streams: Vec<SendableRecordBatchStream>,
) -> Result<Written> {
    let parts = streams.into_iter().map(|mut stream| {
        let lake = context.engine.lake();
        let writer = TableWriter::new(lake, &model.name, schema.clone(), write_options(model));
        let schema = schema.clone();
        async move {
            let mut writer = writer?;
            while let Some(batch) = stream.try_next().await.map_err(laguna_query::translate)? {
                writer.write(types::normalize_batch(&batch, &schema)?).await?;
            }
            writer.finish().await
        }
    });
    let mut copied = Written::default();
    for written in concurrently(parts).await? {
        copied.rows += written.rows;
        copied.content.merge(&written.content);
        copied.files.extend(written.files);
    }
    Ok(copied)
}

/// Feeds `streams` to the checks only. `progress` is told how many rows have passed.
pub(super) async fn observe(
    suite: &Suite,
    schema: &SchemaRef,
    streams: Vec<SendableRecordBatchStream>,
    progress: &Arc<dyn Fn(u64) + Send + Sync>,
) -> Result<Collector> {
    let total = Arc::new(AtomicU64::new(0));
    let parts = streams.into_iter().map(|mut stream| {
        let (suite, schema, progress, total) =
            (suite.clone(), schema.clone(), progress.clone(), total.clone());
        async move {
            let mut collector = suite.collector();
            while let Some(batch) = stream.next().await {
                let batch = batch.map_err(laguna_query::translate)?;
                collector.update(&widen(&batch, &schema)?)?;
                let rows = batch.num_rows() as u64;
                let before = total.fetch_add(rows, Ordering::Relaxed);
                progress(before + rows);
            }
            Ok(collector)
        }
    });
    let mut merged = suite.collector();
    for collector in concurrently(parts).await? {
        merged.merge(collector);
    }
    Ok(merged)
}

/// `batch` with the columns of `schema`; those that it lacks are null: callers leave out only what no check reads.
pub(super) fn widen(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    if batch.num_columns() == schema.fields().len() {
        return types::normalize_batch(batch, schema);
    }
    let columns = schema
        .fields()
        .iter()
        .map(|field| match batch.column_by_name(field.name()) {
            Some(column) => arrow::compute::cast(column, field.data_type()).map_err(engine),
            None => Ok(arrow::array::new_null_array(field.data_type(), batch.num_rows())),
        })
        .collect::<Result<Vec<_>>>()?;
    RecordBatch::try_new(schema.clone(), columns).map_err(engine)
}

/// Runs the parts of one pass as tasks, so that they use all cores; gives their results in the order of the parts. The
/// first error stops the others.
pub(super) async fn concurrently<T: Send + 'static>(
    parts: impl Iterator<Item = impl Future<Output = Result<T>> + Send + 'static>,
) -> Result<Vec<T>> {
    let numbered = parts.enumerate().map(|(number, part)| async move { Ok((number, part.await?)) });
    let mut tasks: tokio::task::JoinSet<Result<(usize, T)>> = numbered.collect();
    let mut results = Vec::new();
    while let Some(result) = tasks.join_next().await {
        results.push(result.map_err(|error| Error::internal("a task of the pass died").caused_by(error))??);
    }
    results.sort_unstable_by_key(|(number, _)| *number);
    Ok(results.into_iter().map(|(_, result)| result).collect())
}

/// Columns of every quarantine table (DECISIONS: one schema for all).
pub fn quarantine_schema() -> SchemaRef {
    let source = DataType::Struct(
        vec![Field::new("file", DataType::Utf8, true), Field::new("row", DataType::Int64, true)].into(),
    );
    Arc::new(Schema::new(vec![
        Field::new("_quarantined_at", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), true),
        Field::new("_run", DataType::Utf8, true),
        Field::new("_rule", DataType::Utf8, true),
        Field::new("_reason", DataType::Utf8, true),
        Field::new("_source", source, true),
        Field::new("raw", DataType::Utf8, true),
        Field::new("row", DataType::Utf8, true),
    ]))
}

/// One row set aside.
#[derive(Debug, Clone, Default)]
pub struct QuarantinedRow {
    /// Name of the rule that refused it.
    pub rule: String,
    /// Why.
    pub reason: String,
    /// File and row number, for rows of a source.
    pub source: Option<(String, i64)>,
    /// The text as found.
    pub raw: Option<String>,
    /// The row as JSON.
    pub row: Option<String>,
}

/// Rows set aside as a batch of [`quarantine_schema`].
pub fn quarantine_batch(at: Instant, run: &str, rows: &[QuarantinedRow]) -> Result<RecordBatch> {
    let text = |get: &dyn Fn(&QuarantinedRow) -> Option<String>| -> ArrayRef {
        Arc::new(rows.iter().map(get).collect::<StringArray>())
    };
    let schema = quarantine_schema();
    let DataType::Struct(fields) = schema.field(4).data_type().clone() else {
        return Err(Error::internal("the quarantine schema has no source"));
    };
    let files: ArrayRef = text(&|row| row.source.as_ref().map(|(file, _)| file.clone()));
    let numbers: ArrayRef = Arc::new(
        rows.iter()
            .map(|row| row.source.as_ref().map(|(_, number)| *number))
            .collect::<arrow::array::Int64Array>(),
    );
    let present = rows.iter().map(|row| row.source.is_some()).collect::<Vec<bool>>();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(TimestampMicrosecondArray::from(vec![at.as_micros(); rows.len()]).with_timezone("UTC")),
        Arc::new(StringArray::from(vec![run; rows.len()])),
        text(&|row| Some(row.rule.clone())),
        text(&|row| Some(row.reason.clone())),
        Arc::new(StructArray::new(fields, vec![files, numbers], Some(present.into()))),
        text(&|row| row.raw.clone()),
        text(&|row| row.row.clone()),
    ];
    RecordBatch::try_new(schema, columns).map_err(engine)
}

fn quarantine_rows(
    context: &BuildContext,
    suite: &Suite,
    batch: &RecordBatch,
    failing: &UInt32Array,
) -> Result<RecordBatch> {
    let mask: BooleanArray = arrow::compute::is_not_null(failing).map_err(engine)?;
    let rows = json_rows(&filter_record_batch(batch, &mask).map_err(engine)?)?;
    let labels: Vec<String> = suite.checks().map(|check| check.label()).collect();
    let labels =
        failing.iter().flatten().map(|index| labels.get(index as usize).cloned().unwrap_or_default());
    let rows: Vec<QuarantinedRow> = labels
        .zip(rows)
        .map(|(label, row)| QuarantinedRow {
            reason: format!("the row fails {label}"),
            rule: label,
            row: Some(row),
            ..QuarantinedRow::default()
        })
        .collect();
    quarantine_batch(context.engine.lake().clock().now(), &context.run, &rows)
}

/// Each row of `batch` as a JSON object.
pub fn json_rows(batch: &RecordBatch) -> Result<Vec<String>> {
    let mut buffer = Vec::new();
    let mut writer = arrow::json::WriterBuilder::new()
        .with_explicit_nulls(true)
        .build::<_, arrow::json::writer::LineDelimited>(&mut buffer);
    writer.write(batch).map_err(engine)?;
    writer.finish().map_err(engine)?;
    drop(writer);
    let text =
        String::from_utf8(buffer).map_err(|error| Error::internal("JSON is not UTF-8").caused_by(error))?;
    Ok(text.lines().map(str::to_string).collect())
}

/// Sets aside the rows of a staged version that `failing` selects (the table's columns and `_check`, the index of the
/// check), and writes the staged files again without them.
pub(super) async fn set_aside(
    model: &Arc<Model>,
    context: &BuildContext,
    suite: &Arc<Suite>,
    staged: &mut Staged,
    failing: &str,
) -> Result<Vec<DataFile>> {
    let lake = context.engine.lake();
    let session = context.engine.session(context.tables.clone(), context.instant);
    let mut fresh = staged.clone();
    fresh.base = None;
    fresh.removes.clear();
    let fresh = Arc::new(lake.staged_snapshot(&fresh).await?);
    let schema = fresh.schema.clone();
    // The rows are judged within the whole table, and taken out of the files of this build.
    session.register_this(lake.provider(Arc::new(lake.staged_snapshot(staged).await?))?);
    session.register("fresh", lake.provider(fresh)?);

    let mut aside =
        TableWriter::new(lake, &model.name.quarantine(), quarantine_schema(), WriteOptions::default())?;
    let mut bad = session.execute(failing).await?.stream;
    while let Some(batch) = bad.try_next().await.map_err(laguna_query::translate)? {
        let checks = batch.column_by_name("_check").cloned();
        let checks = checks.and_then(|checks| arrow::compute::cast(&checks, &DataType::Int64).ok());
        let columns: Vec<usize> = (0..schema.fields().len()).collect();
        let plain = batch.project(&columns).map_err(engine)?;
        let rows = json_rows(&types::normalize_batch(&plain, &schema)?)?;
        let rows: Vec<QuarantinedRow> = rows
            .into_iter()
            .enumerate()
            .map(|(row, json)| {
                let check = checks
                    .as_ref()
                    .map(|checks| checks.as_primitive::<arrow::datatypes::Int64Type>().value(row));
                let label = check
                    .and_then(|check| suite.checks().nth(usize::try_from(check).ok()?))
                    .map(|check| check.label())
                    .unwrap_or_default();
                QuarantinedRow {
                    reason: format!("the row fails {label}"),
                    rule: label,
                    row: Some(json),
                    ..QuarantinedRow::default()
                }
            })
            .collect();
        aside.write(quarantine_batch(lake.clock().now(), &context.run, &rows)?).await?;
    }
    // Equal rows fail alike, so rows are matched by all their values.
    let columns: Vec<String> = schema.fields().iter().map(|field| quoted(field.name())).collect();
    let on: Vec<String> =
        columns.iter().map(|column| format!("(good.{column} IS NOT DISTINCT FROM bad.{column})")).collect();
    let good = format!(
        "SELECT {} FROM fresh AS good WHERE NOT EXISTS (SELECT 1 FROM (\n{failing}\n) AS bad WHERE {})",
        columns.join(", "),
        on.join(" AND ")
    );
    let good = session.partitions(&good, &model.settings.sort).await?;
    let written = copy(model, context, schema, good.streams).await?;
    let before: u64 = staged.adds.iter().map(|file| file.rows).sum();
    staged.rows = staged.rows + written.rows - before;
    staged.content = match staged.base {
        None => Some(written.content),
        Some(_) => None,
    };
    staged.adds = written.files;
    Ok(aside.finish().await?.files)
}

fn engine(error: arrow::error::ArrowError) -> Error {
    laguna_query::translate(error.into())
}
