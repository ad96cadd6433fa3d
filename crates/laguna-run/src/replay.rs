//! Replay: rows that were set aside land again, once, after the rule, the settings or the row was mended.
//!
//! Rows of a dataset are parsed again as they were found (or as they were mended), by the settings of today. Those that
//! fit are a batch like any other, in one commit with its application transaction; the same commit names the files of
//! what is still aside. Then the quarantine is brought to these files. A crash between the two commits is completed by
//! whoever lands or replays next: the rows have landed, and leave the quarantine then. One replay or run of a lake works
//! at a time, by its lease; the transaction stops one that lost it.
//!
//! Rows of a model are judged again by building it whole.

mod text;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant as Stopwatch;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, RecordBatch, StringArray, StructArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Int64Type, SchemaRef};
use async_trait::async_trait;
use futures::TryStreamExt;
use laguna_base::settings::dataset::{OnBadRow, OnNewColumn};
use laguna_base::{Error, Instant, Result, TableName, Tier, suggest};
use laguna_ingest::{Piece, ReadOptions, Sink, read};
use laguna_model::Dataset;
use laguna_model::build::quarantine_schema;
use laguna_query::{LakeTables, Moment};
use laguna_store::commit::Append;
use laguna_store::ledger::{RunRecord, TaskRecord};
use laguna_store::{CommitNote, DataFile, Lake, Snapshot, TableWriter, WriteOptions, types};
use serde::{Deserialize, Serialize};

use crate::aside;
use crate::exclusive::exclusively;
use crate::land::{
    self, data_columns, is_op, latest_rule, raw_schema, rule_text, source_fields, transaction,
};
use crate::run::{RunOptions, run};
use crate::{Context, Event};

/// What is replayed.
#[derive(Debug, Clone, Default)]
pub struct ReplayOptions {
    /// Datasets and models; empty for every dataset with rows aside.
    pub tables: Vec<TableName>,
    /// A file of mended rows: `_file`, `_row` and `raw`, the row's text as it should have been.
    pub with: Option<PathBuf>,
    /// Says what would land, and changes nothing.
    pub dry_run: bool,
    /// Waits for a run of the project to end, instead of refusing.
    pub wait: bool,
}

/// What became of the rows of one table that were aside.
#[derive(Debug, Clone, Serialize)]
pub struct Replayed {
    /// The dataset or model.
    pub table: TableName,
    /// Rows that were aside.
    pub aside: u64,
    /// Rows that landed, or went back into the model.
    pub landed: u64,
    /// Rows that are still aside.
    pub left: u64,
    /// Why the first of them is.
    pub reason: Option<String>,
    /// The version that the rows came with.
    pub version: Option<u64>,
}

/// Mended texts, by file and number.
type Mended = BTreeMap<(String, i64), String>;

/// What a replay leaves aside.
#[derive(Debug, Serialize, Deserialize)]
struct Left {
    /// Version of the quarantine that was replayed.
    base: u64,
    /// Files of the rows that are still aside.
    files: Vec<DataFile>,
}

/// Lands rows that were set aside.
pub async fn replay(context: &Context, options: &ReplayOptions) -> Result<Vec<Replayed>> {
    let (datasets, models) = chosen(context, options)?;
    let mended = match &options.with {
        Some(path) => text::mended(path).await?,
        None => BTreeMap::new(),
    };
    let id = context.lake().clock().new_id();
    let work = || datasets_alone(context, &datasets, options, &mended, &id);
    let mut done = match options.dry_run {
        true => work().await,
        false => exclusively(context.lake(), &id, options.wait, |_| work()).await,
    };
    if let Ok(replayed) = &mut done {
        for name in &models {
            replayed.push(model(context, name, options).await?);
        }
    }
    done
}

/// The tables that are named, or all datasets.
fn chosen<'a>(context: &'a Context, options: &ReplayOptions) -> Result<(Vec<&'a Dataset>, Vec<TableName>)> {
    let project = &context.project;
    let one_dataset = || {
        Error::project("mended rows are those of one dataset")
            .hint("name it: laguna replay raw.flights --with mended.csv; rows of a model are mended where they come from")
    };
    if options.tables.is_empty() {
        if options.with.is_some() && project.datasets.len() != 1 {
            return Err(one_dataset());
        }
        return Ok((project.datasets.values().collect(), Vec::new()));
    }
    let (mut datasets, mut models) = (Vec::new(), Vec::new());
    for name in &options.tables {
        match (project.datasets.get(name), project.models.contains_key(name)) {
            (Some(dataset), _) => datasets.push(dataset),
            (None, true) => models.push(name.clone()),
            (None, false) => {
                let all = project.datasets.keys().chain(project.models.keys()).map(ToString::to_string);
                return Err(Error::project(format!("there is no dataset or model {name}"))
                    .hint(suggest::hint(&name.to_string(), all.collect::<Vec<_>>().iter())));
            }
        }
    }
    if options.with.is_some() && (!models.is_empty() || datasets.len() != 1) {
        return Err(one_dataset());
    }
    Ok((datasets, models))
}

async fn datasets_alone(
    context: &Context,
    datasets: &[&Dataset],
    options: &ReplayOptions,
    mended: &Mended,
    id: &str,
) -> Result<Vec<Replayed>> {
    let lake = context.lake();
    let started = lake.clock().now();
    let mut replayed = Vec::new();
    let mut tasks = Vec::new();
    for dataset in datasets {
        let stopwatch = Stopwatch::now();
        let began = lake.clock().now();
        let Some(one) = self::dataset(context, dataset, options.dry_run, mended, id).await? else { continue };
        if one.version.is_some() {
            let mut task = TaskRecord::new(&one.table, "landed", "rows that were set aside", began);
            task.seconds = stopwatch.elapsed().as_secs_f64();
            (task.rows_in, task.rows_out) = (Some(one.aside), Some(one.landed));
            (task.version, task.quarantined, task.attempts) = (one.version, one.left, 1);
            tasks.push(task);
        }
        replayed.push(one);
    }
    if !tasks.is_empty() {
        let now = lake.clock().now();
        let select: Vec<String> = options.tables.iter().map(ToString::to_string).collect();
        let record = RunRecord {
            heartbeat: now,
            finished: Some(now),
            outcome: "done".to_string(),
            tasks,
            ..RunRecord::new(id, "replay", &select, started)
        };
        // What landed has landed, whether or not it can be recorded.
        if let Err(error) = lake.save_run(&record).await {
            context
                .reporter
                .event(&Event::Note { message: format!("the replay is not in system.runs: {error}") });
        }
    }
    Ok(replayed)
}

/// Replays one dataset; `None` when nothing of it is aside.
async fn dataset(
    context: &Context,
    dataset: &Dataset,
    dry_run: bool,
    mended: &Mended,
    run: &str,
) -> Result<Option<Replayed>> {
    let lake = context.lake();
    let mut landed = lake.landed(&dataset.name).await?;
    let head = lake.head(&dataset.name).await?;
    if let (true, false, Some(head)) = (landed.recovered, dry_run, &head) {
        land::complete(lake, &dataset.name, head).await?;
    }
    let Some(quarantine) = lake.head(&dataset.name.quarantine()).await? else { return Ok(None) };
    let rows = rows_aside(context, &quarantine).await?;
    let aside: u64 = rows.iter().map(|batch| batch.num_rows() as u64).sum();
    if aside == 0 {
        return Ok(None);
    }
    let table = head.as_ref().map(|head| data_columns(&head.schema));
    let texts = text::Texts::write(&rows, mended, dataset, table.as_ref())?;
    let parsed = parse(context, dataset, table, &texts).await?;
    let fits: u64 = parsed.pieces.iter().map(|piece| piece.batch.num_rows() as u64).sum();
    let mut replayed = Replayed {
        table: dataset.name.clone(),
        aside,
        landed: fits,
        left: aside - fits.min(aside),
        reason: parsed.reason.clone(),
        version: None,
    };
    if fits == 0 || dry_run {
        return Ok(Some(replayed));
    }

    let number = landed.batches + 1;
    let floor = landed.watermark.map_or(i64::MIN, |last| last.as_micros() + 1);
    let at = Instant::from_micros(lake.clock().now().as_micros().max(floor));
    let batch = format!("{}-{number:06}", dataset.name.table);
    let schema = raw_schema(&parsed.schema);
    let mut writer = TableWriter::new(lake, &dataset.name, schema.clone(), WriteOptions::default())?;
    for piece in &parsed.pieces {
        writer.write(stamped(piece, &schema, at, &batch)?).await?;
    }
    let files = writer.finish().await?.files;
    let left = leave(lake, &dataset.name, &rows, &parsed.gone).await?;
    let left = Left { base: quarantine.version, files: left };
    let mut note = CommitNote {
        run: Some(run.to_string()),
        batch: Some(batch),
        watermark: Some(at),
        ..CommitNote::default()
    };
    let value = serde_json::to_value(&left)
        .map_err(|error| Error::internal("files don't serialise").caused_by(error))?;
    note.more.insert(CommitNote::REPLAY.to_string(), value);
    if let Some(untyped) = head.as_ref().and_then(|head| head.note.more.get(laguna_store::latest::UNTYPED)) {
        note.more.insert(laguna_store::latest::UNTYPED.to_string(), untyped.clone());
    }
    let appended = lake
        .append(Append {
            table: dataset.name.clone(),
            schema,
            files,
            transaction: Some((transaction(&dataset.name), number)),
            base: head,
            note,
        })
        .await?;
    if appended.repeated {
        return Err(Error::conflict(format!("another run has landed files in {} meanwhile", dataset.name))
            .hint("replay again: what is aside by then lands"));
    }
    settle(lake, &dataset.name, left, number, run).await?;
    if let Some(rule) = latest_rule(dataset) {
        lake.fold_latest(&dataset.name, &rule, &context.engine.state()).await?;
    }
    landed.version = Some(appended.version);
    landed.watermark = Some(at);
    landed.batches = number;
    landed.rule = rule_text(dataset);
    lake.save_landed(&dataset.name, &landed).await?;
    replayed.version = Some(appended.version);
    Ok(Some(replayed))
}

/// All rows of a quarantine.
async fn rows_aside(context: &Context, quarantine: &Snapshot) -> Result<Vec<RecordBatch>> {
    let lake = context.lake();
    let tables = Arc::new(LakeTables::at(lake, Moment::Now).await?);
    let session = context.engine.session(tables, lake.clock().now());
    session.register_this(lake.provider(Arc::new(quarantine.clone()))?);
    let mut stream = session.execute("SELECT * FROM this").await?.stream;
    let schema = quarantine_schema();
    let mut rows = Vec::new();
    while let Some(batch) = stream.try_next().await.map_err(laguna_query::translate)? {
        rows.push(types::normalize_batch(&batch, &schema)?);
    }
    Ok(rows)
}

/// Rows that fit by now, with what they are: batch and row among those aside, file and number at the source.
struct Fits {
    batch: RecordBatch,
    sources: Vec<(String, i64)>,
}

struct Parsed {
    schema: SchemaRef,
    pieces: Vec<Fits>,
    /// For each batch of the rows aside, those that are so no more.
    gone: Vec<Vec<bool>>,
    reason: Option<String>,
}

/// Keeps what is parsed: rows that were set aside are few.
#[derive(Default)]
struct Keep {
    pieces: Vec<Piece>,
}

#[async_trait]
impl Sink for Keep {
    async fn write(&mut self, piece: Piece) -> Result<()> {
        self.pieces.push(piece);
        Ok(())
    }

    async fn abort(self) {}
}

async fn parse(
    context: &Context,
    dataset: &Dataset,
    table: Option<SchemaRef>,
    texts: &text::Texts,
) -> Result<Parsed> {
    let declared = dataset.settings.columns.iter();
    let declared = declared
        .filter(|(column, _)| {
            texts.has_column(column) || table.as_ref().is_some_and(|t| t.index_of(column).is_ok())
        })
        .map(|(column, word)| Ok((column.clone(), laguna_ingest::parse_type(word)?)))
        .collect::<Result<BTreeMap<_, _>>>()
        .map_err(|error| error.at(&dataset.file, 0, 0))?;
    let options = ReadOptions {
        source: texts.source(&dataset.settings.source),
        known: table,
        declared,
        // A row whose columns nobody wants any more still lands.
        on_new_column: match dataset.settings.on_new_column {
            OnNewColumn::Reject => OnNewColumn::Ignore,
            other => other,
        },
        on_bad_row: OnBadRow::Quarantine,
        parallel: context.project.parallel.max(1),
        only: None,
        hashes: false,
        rows: None,
    };
    let op = latest_rule(dataset).and_then(|rule| rule.op);
    let open = |_: &SchemaRef, _: &[String]| Ok(vec![Keep::default()]);
    let outcome = read(texts.files(), &options, open, &|_| {}).await?;
    let mut parsed = Parsed {
        schema: outcome.schema,
        pieces: Vec::new(),
        gone: texts.none_gone(),
        reason: texts.refusal(),
    };
    for piece in outcome.sinks.into_iter().flat_map(|sink| sink.pieces) {
        if let Some(rejected) = piece.rejected.first() {
            parsed.reason.get_or_insert_with(|| rejected.reason.clone());
        }
        let rows = piece.batch.num_rows();
        let numbers = piece.rows.to_array(rows);
        let known = known_ops(&piece.batch, op.as_deref())?;
        let mut sources = Vec::with_capacity(rows);
        for (row, number) in numbers.values().iter().enumerate() {
            if !known.value(row) {
                parsed
                    .reason
                    .get_or_insert_with(|| "its operation is none of insert, update, delete".to_string());
                continue;
            }
            let origin = texts.origin(piece.file, *number)?;
            parsed.gone[origin.batch][origin.row] = true;
            sources.push((origin.file.clone(), origin.number));
        }
        let batch = arrow::compute::filter_record_batch(&piece.batch, &known)
            .map_err(|error| laguna_query::translate(error.into()))?;
        parsed.pieces.push(Fits { batch, sources });
    }
    Ok(parsed)
}

/// With `mode: changes`, whether the operation of each row can be applied.
fn known_ops(batch: &RecordBatch, op: Option<&str>) -> Result<BooleanArray> {
    let Some(op) = op.and_then(|op| batch.column_by_name(op)) else {
        return Ok(BooleanArray::from(vec![true; batch.num_rows()]));
    };
    let text = arrow::compute::cast(op, &DataType::Utf8)
        .map_err(|error| Error::failed("the op column is not text").caused_by(error))?;
    let text = text.as_string::<i32>();
    Ok((0..text.len()).map(|row| Some(text.is_valid(row) && is_op(text.value(row)))).collect())
}

fn stamped(piece: &Fits, schema: &SchemaRef, at: Instant, batch: &str) -> Result<RecordBatch> {
    let rows = piece.batch.num_rows();
    let mut columns: Vec<ArrayRef> = Vec::with_capacity(schema.fields().len());
    for field in &schema.fields()[..schema.fields().len() - 3] {
        columns.push(match piece.batch.column_by_name(field.name()) {
            Some(column) => column.clone(),
            None => arrow::array::new_null_array(field.data_type(), rows),
        });
    }
    columns.push(Arc::new(TimestampMicrosecondArray::from_value(at.as_micros(), rows).with_timezone("UTC")));
    columns.push(Arc::new(StringArray::from_iter_values(std::iter::repeat_n(batch, rows))));
    let files: ArrayRef = Arc::new(StringArray::from_iter_values(piece.sources.iter().map(|(file, _)| file)));
    let numbers: ArrayRef = Arc::new(
        piece
            .sources
            .iter()
            .map(|(_, number)| Some(*number))
            .collect::<arrow::array::PrimitiveArray<Int64Type>>(),
    );
    columns.push(Arc::new(StructArray::new(source_fields(), vec![files, numbers], None)));
    RecordBatch::try_new(schema.clone(), columns)
        .map_err(|error| Error::internal("a replayed batch does not fit its table").caused_by(error))
}

/// Writes the rows that stay aside.
async fn leave(
    lake: &Lake,
    raw: &TableName,
    rows: &[RecordBatch],
    gone: &[Vec<bool>],
) -> Result<Vec<DataFile>> {
    let mut writer = TableWriter::new(lake, &raw.quarantine(), quarantine_schema(), WriteOptions::default())?;
    for (batch, gone) in rows.iter().zip(gone) {
        let stay: BooleanArray = gone.iter().map(|gone| Some(!gone)).collect();
        let batch = arrow::compute::filter_record_batch(batch, &stay)
            .map_err(|error| laguna_query::translate(error.into()))?;
        if batch.num_rows() > 0 {
            writer.write(batch).await?;
        }
    }
    Ok(writer.finish().await?.files)
}

/// What the newest raw batch's replay left aside becomes the quarantine, unless that was done.
pub(crate) async fn complete(lake: &Lake, raw: &TableName, head: &Snapshot) -> Result<()> {
    let Some(left) = head.note.more.get(CommitNote::REPLAY) else { return Ok(()) };
    let left: Left = serde_json::from_value(left.clone()).map_err(|error| {
        Error::stored(format!("the note of a replay of {raw} cannot be understood")).caused_by(error)
    })?;
    let number = head.transactions.get(&transaction(raw)).copied().unwrap_or(0);
    settle(lake, raw, left, number, head.note.run.as_deref().unwrap_or("")).await
}

async fn settle(lake: &Lake, raw: &TableName, left: Left, number: i64, run: &str) -> Result<()> {
    let table = raw.quarantine();
    let mark = format!("replay {number}");
    let Some(head) = lake.head_version(&table).await? else { return Ok(()) };
    for version in left.base + 1..=head {
        let note = match lake.snapshot(&table, version).await {
            Ok(snapshot) => snapshot.note,
            Err(error) if error.kind().is_retryable() => return Err(error),
            // Maintenance has cut the log since: what came after the replay is long done.
            Err(_) => return Ok(()),
        };
        if note.fingerprint.as_deref() == Some(&mark) || !note.is_rewrite() {
            return Ok(());
        }
    }
    let staged = aside::version(lake, table, left.files, run, mark)?;
    lake.commit(&staged).await.map(drop)
}

/// Rows of a model are judged again with all the others: it is built whole, and released.
async fn model(context: &Context, name: &TableName, options: &ReplayOptions) -> Result<Replayed> {
    let before = count_aside(context, name).await?;
    let mut replayed =
        Replayed { table: name.clone(), aside: before, landed: 0, left: before, reason: None, version: None };
    if before == 0 || options.dry_run {
        if before > 0 {
            replayed.reason = Some("they are judged again when the model is built".to_string());
        }
        return Ok(replayed);
    }
    let asked =
        RunOptions { select: vec![name.to_string()], exclude: Vec::new(), full: true, wait: options.wait };
    let report = run(context, &asked).await?;
    let task = report.tasks.iter().find(|task| task.node == name.to_string());
    replayed.version = task.and_then(|task| task.version);
    if let Some(kind) = report.worst {
        let reason = task.map(|task| task.reason.clone()).unwrap_or_default();
        return Err(Error::new(kind, format!("{name} could not be built again: {reason}")));
    }
    replayed.left = count_aside(context, name).await?;
    replayed.landed = before.saturating_sub(replayed.left);
    Ok(replayed)
}

async fn count_aside(context: &Context, name: &TableName) -> Result<u64> {
    debug_assert!(name.tier != Tier::Raw);
    Ok(context.lake().head(&name.quarantine()).await?.map_or(0, |head| head.rows()))
}
