//! Landing one raw dataset: new files become one batch, committed once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, RecordBatch, StringArray, StructArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef, TimeUnit};
use async_trait::async_trait;
use laguna_base::name::RESERVED_COLUMNS;
use laguna_base::settings::dataset::Mode;
use laguna_base::{Error, Instant, Result, TableName, human, suggest};
use laguna_ingest::{InputFile, Piece, ReadOptions, Sink};
use laguna_model::Dataset;
use laguna_model::build::{QuarantinedRow, quarantine_batch, quarantine_schema};
use laguna_store::commit::Append;
use laguna_store::landed::{Landed, LandedFile, LandedIn};
use laguna_store::latest::{LatestRule, UNTYPED};
use laguna_store::release::RawState;
use laguna_store::{CommitNote, DataFile, Lake, Snapshot, TableWriter, WriteOptions, types};
use tokio::sync::Mutex;

use crate::{Context, replay};

/// What a dataset offers beyond what has landed.
pub(crate) struct Pending {
    /// What has landed.
    pub landed: Landed,
    /// Files to land.
    pub files: Vec<InputFile>,
    /// Files that are known, or hold the same bytes as a known one.
    pub known: Vec<LandedFile>,
    /// `latest` was last brought up to date by another rule.
    pub rule_changed: bool,
    /// Patterns that match nothing.
    pub unmatched: Vec<String>,
}

impl Pending {
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.size).sum()
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty() && self.known.is_empty() && !self.needs_recovery() && !self.rule_changed
    }

    /// What there is to do, for people; `None` when nothing is.
    pub fn describe(&self) -> Option<String> {
        match self.files.len() {
            0 if self.rule_changed => Some("another key or order: latest is built again".to_string()),
            0 if self.needs_recovery() => Some("completing an earlier batch".to_string()),
            0 if !self.known.is_empty() => Some("files with known content".to_string()),
            0 => None,
            1 => Some(format!("1 new file, {}", human::bytes(self.bytes()))),
            n => Some(format!("{n} new files, {}", human::bytes(self.bytes()))),
        }
    }

    /// Whether an earlier run died between its commit and its last step, so that this one must complete it.
    pub fn needs_recovery(&self) -> bool {
        self.landed.recovered
    }
}

/// Finds what is new. Reads a file only when its size equals that of another.
pub(crate) async fn pending(context: &Context, dataset: &Dataset) -> Result<Pending> {
    let landed = context.lake().landed(&dataset.name).await?;
    let found = laguna_ingest::discover(&context.project.dir, &dataset.settings.source)
        .map_err(|error| error.at(&dataset.file, 0, 0))?;
    let mut sizes: BTreeMap<u64, usize> = BTreeMap::new();
    let mut by_hash: BTreeMap<String, String> = BTreeMap::new();
    for known in landed.files.values() {
        *sizes.entry(known.file.size).or_default() += 1;
        by_hash.insert(known.file.hash.clone(), known.file.path.clone());
    }
    let candidates: Vec<InputFile> = found
        .files
        .into_iter()
        .filter(|file| {
            !landed.files.get(&file.path).is_some_and(|known| {
                known.file.size == file.size
                    && file.modified.is_some()
                    && known.file.modified == file.modified
            })
        })
        .collect();
    for file in &candidates {
        *sizes.entry(file.size).or_default() += 1;
    }
    let (mut files, mut same) = (Vec::new(), Vec::new());
    for file in candidates {
        if sizes.get(&file.size).is_some_and(|count| *count > 1) {
            let hash = laguna_ingest::hash_file(&file)?;
            if let Some(earlier) = by_hash.get(&hash) {
                // A file that was only touched keeps its numbers.
                let touched = landed.files.get(&file.path).filter(|_| *earlier == file.path);
                let (rows, quarantined) =
                    touched.map_or((0, 0), |known| (known.file.rows, known.file.quarantined));
                same.push(LandedFile {
                    path: file.path.clone(),
                    size: file.size,
                    modified: file.modified,
                    hash,
                    rows,
                    quarantined,
                    same_as: (*earlier != file.path).then(|| earlier.clone()),
                });
                continue;
            }
            by_hash.insert(hash, file.path.clone());
        }
        files.push(file);
    }
    // A run that died may have changed the rule or not: folding again by the same rule does nothing.
    let rule_changed = landed.version.is_some() && !landed.recovered && landed.rule != rule_text(dataset);
    Ok(Pending { landed, files, known: same, rule_changed, unmatched: found.unmatched })
}

/// What landing did.
#[derive(Debug, Clone, Default)]
pub(crate) struct LandOutcome {
    pub rows: u64,
    pub quarantined: u64,
    pub bytes: u64,
    pub files: usize,
    pub version: Option<u64>,
    pub notes: Vec<String>,
}

/// Which rows of a dataset are its latest; `None` when it has no key and is no snapshot.
pub(crate) fn latest_rule(dataset: &Dataset) -> Option<LatestRule> {
    let settings = &dataset.settings;
    if settings.key.is_empty() && settings.mode != Mode::Snapshot {
        return None;
    }
    Some(LatestRule {
        mode: settings.mode,
        key: settings.key.to_vec(),
        order: settings.order.clone().filter(|order| order != "_ingested_at"),
        op: (settings.mode == Mode::Changes)
            .then(|| settings.op.clone().unwrap_or_else(|| "_op".to_string())),
    })
}

/// The rule as it is remembered.
pub(crate) fn rule_text(dataset: &Dataset) -> Option<String> {
    latest_rule(dataset).and_then(|rule| serde_json::to_string(&rule).ok())
}

/// Lands what is pending as one batch, completes what an earlier run left, and brings `latest` up to date.
pub(crate) async fn land(
    context: &Context,
    dataset: &Dataset,
    mut pending: Pending,
    run: &str,
    progress: Arc<dyn Fn(u64) + Send + Sync>,
) -> Result<LandOutcome> {
    let lake = context.lake();
    let head = lake.head(&dataset.name).await?;
    let mut outcome =
        LandOutcome { version: head.as_ref().map(|head| head.version), ..LandOutcome::default() };
    if let (true, Some(head)) = (pending.needs_recovery(), &head) {
        complete(lake, &dataset.name, head).await?;
    }
    for same in &pending.known {
        if let Some(earlier) = &same.same_as {
            outcome
                .notes
                .push(format!("{}: {} holds the same bytes as {earlier}: skipped", dataset.name, same.path));
        }
    }
    if !pending.files.is_empty() {
        batch(context, dataset, &mut pending, head, run, progress, &mut outcome).await?;
    }
    if let Some(rule) = latest_rule(dataset)
        && pending.landed.version.is_some()
    {
        let folded = lake.fold_latest(&dataset.name, &rule, &context.engine.state()).await;
        folded.map_err(|error| placed(error, dataset))?;
    }
    for same in pending.known {
        let at = pending.landed.watermark.unwrap_or(Instant::from_micros(0));
        let batch = pending.landed.files.get(same.same_as.as_ref().unwrap_or(&same.path));
        let batch = batch.map(|landed| landed.batch.clone()).unwrap_or_default();
        pending.landed.files.insert(same.path.clone(), LandedIn { file: same, batch, at });
    }
    pending.landed.rule = rule_text(dataset);
    lake.save_landed(&dataset.name, &pending.landed).await?;
    Ok(outcome)
}

async fn batch(
    context: &Context,
    dataset: &Dataset,
    pending: &mut Pending,
    head: Option<Snapshot>,
    run: &str,
    progress: Arc<dyn Fn(u64) + Send + Sync>,
    outcome: &mut LandOutcome,
) -> Result<()> {
    let lake = context.lake();
    let number = pending.landed.batches + 1;
    let id = format!("{}-{number:06}", dataset.name.table);
    let floor = pending.landed.watermark.map_or(i64::MIN, |last| last.as_micros() + 1);
    let at = Instant::from_micros(lake.clock().now().as_micros().max(floor));
    let known = head.as_ref().map(|head| data_columns(&head.schema));
    let stamp = Arc::new(Stamp {
        at,
        batch: id.clone(),
        run: run.to_string(),
        files: pending.files.iter().map(|file| file.path.clone()).collect(),
        table: dataset.name.clone(),
        op: latest_rule(dataset).and_then(|rule| rule.op),
    });
    let aside = Arc::new(Mutex::new(None));
    let declared = dataset
        .settings
        .columns
        .iter()
        .map(|(column, word)| Ok((column.clone(), laguna_ingest::parse_type(word)?)))
        .collect::<Result<BTreeMap<_, _>>>()
        .map_err(|error| error.at(&dataset.file, 0, 0))?;
    let parallel = context.project.parallel.max(1);
    let options = ReadOptions {
        source: dataset.settings.source.clone(),
        known,
        declared,
        on_new_column: dataset.settings.on_new_column,
        on_bad_row: dataset.settings.on_bad_row,
        parallel,
        only: None,
        hashes: true,
        rows: None,
    };
    let open = |schema: &SchemaRef, untyped: &[String]| -> Result<Vec<RawSink>> {
        require_columns(dataset, schema, untyped)?;
        let full = raw_schema(schema);
        (0..parallel)
            .map(|_| {
                Ok(RawSink {
                    writer: TableWriter::new(lake, &dataset.name, full.clone(), WriteOptions::default())?,
                    schema: full.clone(),
                    stamp: stamp.clone(),
                    aside: aside.clone(),
                    lake: lake.clone(),
                    refused: BTreeMap::new(),
                    constants: None,
                })
            })
            .collect()
    };
    let read = laguna_ingest::read(&pending.files, &options, open, progress.as_ref()).await;
    let read = read.map_err(|error| placed(error, dataset))?;
    outcome.notes.extend(read.notes.iter().map(|note| format!("{}: {note}", dataset.name)));

    let mut files = Vec::new();
    let mut refused: BTreeMap<usize, u64> = BTreeMap::new();
    for sink in read.sinks {
        for (file, rows) in &sink.refused {
            *refused.entry(*file).or_default() += rows;
        }
        files.extend(sink.writer.finish().await?.files);
    }
    let quarantined = match aside.lock().await.take() {
        Some(writer) => {
            let writer: TableWriter = writer;
            writer.finish().await?.files
        }
        None => Vec::new(),
    };
    let landed: Vec<LandedFile> = pending
        .files
        .iter()
        .zip(&read.files)
        .enumerate()
        .map(|(index, (file, read))| {
            let refused = refused.get(&index).copied().unwrap_or(0);
            LandedFile {
                path: file.path.clone(),
                size: file.size,
                modified: file.modified,
                hash: read.hash.clone(),
                rows: read.rows - refused,
                quarantined: read.rejected + refused,
                same_as: None,
            }
        })
        .collect();
    outcome.files = landed.len();
    outcome.rows = landed.iter().map(|file| file.rows).sum();
    outcome.quarantined = landed.iter().map(|file| file.quarantined).sum();
    outcome.bytes = files.iter().map(|file| file.size).sum();

    let mut note = CommitNote {
        run: Some(run.to_string()),
        batch: Some(id.clone()),
        watermark: Some(at),
        files: landed.clone(),
        ..CommitNote::default()
    };
    let set_aside = serde_json::to_value(&quarantined)
        .map_err(|error| Error::internal("files don't serialise").caused_by(error))?;
    // The files of the rows set aside travel in the raw commit: a crash before their own commit loses none.
    note.more.insert(CommitNote::QUARANTINE.to_string(), set_aside);
    let untyped = untyped_columns(head.as_ref(), &read.schema, read.untyped);
    if !untyped.is_empty() {
        note.more.insert(UNTYPED.to_string(), untyped.into());
    }
    let appended = lake
        .append(Append {
            table: dataset.name.clone(),
            schema: raw_schema(&read.schema),
            files,
            transaction: Some((transaction(&dataset.name), number)),
            base: head,
            note,
        })
        .await?;
    if appended.repeated {
        // The batch of this number is another run's, of other files perhaps: what has landed must be looked up.
        return Err(Error::conflict(format!("another run has landed files in {} meanwhile", dataset.name))
            .hint("run again: it lands what is left"));
    }
    commit_quarantine(lake, &dataset.name, quarantined, number, run).await?;
    outcome.version = Some(appended.version);
    pending.landed.version = Some(appended.version);
    pending.landed.watermark = Some(at);
    pending.landed.batches = number;
    for file in landed {
        let entry = LandedIn { batch: id.clone(), at, file };
        pending.landed.files.insert(entry.file.path.clone(), entry);
    }
    Ok(())
}

/// Name of the application transaction of a raw table's batches.
pub(crate) fn transaction(table: &TableName) -> String {
    format!("laguna/{table}")
}

/// Commits what the newest raw batch set aside, or what its replay left aside, unless that was done.
pub(crate) async fn complete(lake: &Lake, raw: &TableName, head: &Snapshot) -> Result<()> {
    replay::complete(lake, raw, head).await?;
    let files = head.note.more.get(CommitNote::QUARANTINE).cloned().unwrap_or_default();
    let files: Vec<DataFile> = serde_json::from_value(files).unwrap_or_default();
    let number = head.transactions.get(&transaction(raw)).copied().unwrap_or(0);
    commit_quarantine(lake, raw, files, number, head.note.run.as_deref().unwrap_or("")).await
}

async fn commit_quarantine(
    lake: &Lake,
    raw: &TableName,
    files: Vec<DataFile>,
    number: i64,
    run: &str,
) -> Result<()> {
    if files.is_empty() {
        return Ok(());
    }
    append_quarantine(lake, raw, files, Some((transaction(raw), number)), run).await
}

/// Adds files of rows set aside to the quarantine table of `table`.
pub(crate) async fn append_quarantine(
    lake: &Lake,
    table: &TableName,
    files: Vec<DataFile>,
    transaction: Option<(String, i64)>,
    run: &str,
) -> Result<()> {
    let name = table.quarantine();
    let base = lake.head(&name).await?;
    lake.append(Append {
        table: name,
        schema: quarantine_schema(),
        files,
        transaction,
        base,
        note: CommitNote { run: Some(run.to_string()), ..CommitNote::default() },
    })
    .await?;
    Ok(())
}

/// A raw table's state for a release.
pub(crate) async fn raw_state(lake: &Lake, landed: &Landed, raw: &TableName) -> Result<Option<RawState>> {
    let Some(version) = landed.version else { return Ok(None) };
    let snapshot = lake.snapshot(raw, version).await?;
    Ok(Some(RawState {
        version,
        watermark: landed.watermark,
        schema: types::schema_to_json(&snapshot.schema)?,
    }))
}

/// The columns that the source brought.
pub(crate) fn data_columns(schema: &SchemaRef) -> SchemaRef {
    let fields: Vec<_> = schema
        .fields()
        .iter()
        .filter(|field| !RESERVED_COLUMNS.contains(&field.name().as_str()))
        .cloned()
        .collect();
    Arc::new(Schema::new(fields))
}

pub(crate) fn source_fields() -> Fields {
    vec![Field::new("file", DataType::Utf8, true), Field::new("row", DataType::Int64, true)].into()
}

/// The source's columns followed by `_ingested_at`, `_batch` and `_source`.
pub(crate) fn raw_schema(data: &SchemaRef) -> SchemaRef {
    let mut fields: Vec<_> = data.fields().iter().cloned().collect();
    let utc = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    fields.push(Arc::new(Field::new("_ingested_at", utc, true)));
    fields.push(Arc::new(Field::new("_batch", DataType::Utf8, true)));
    fields.push(Arc::new(Field::new("_source", DataType::Struct(source_fields()), true)));
    Arc::new(Schema::new(fields))
}

/// Columns that files have had so far and that still lack a value.
fn untyped_columns(head: Option<&Snapshot>, schema: &SchemaRef, new: Vec<String>) -> Vec<String> {
    let old = head.and_then(|head| head.note.more.get(UNTYPED)).cloned().unwrap_or_default();
    let old: Vec<String> = serde_json::from_value(old).unwrap_or_default();
    let all: BTreeSet<String> = old.into_iter().chain(new).collect();
    all.into_iter().filter(|name| schema.fields().find(name).is_none()).collect()
}

/// An error of the project that names no place is about the dataset's file.
fn placed(error: Error, dataset: &Dataset) -> Error {
    match error.location() {
        None if error.kind() == laguna_base::ErrorKind::Project => error.at(&dataset.file, 0, 0),
        _ => error,
    }
}

/// Key, order and op columns must be in the data; `untyped` are columns without any value.
fn require_columns(dataset: &Dataset, schema: &SchemaRef, untyped: &[String]) -> Result<()> {
    let Some(rule) = latest_rule(dataset) else { return Ok(()) };
    let typed = schema.fields().iter().map(|field| field.name().as_str());
    let names: BTreeSet<&str> = typed.chain(untyped.iter().map(String::as_str)).collect();
    if names.is_empty() {
        return Ok(());
    }
    let wanted = rule.key.iter().map(|column| ("key", column));
    let wanted = wanted.chain(rule.order.iter().map(|column| ("order", column)));
    for (what, column) in wanted.chain(rule.op.iter().map(|column| ("op", column))) {
        if !names.contains(column.as_str()) {
            return Err(Error::project(format!(
                "the {what} column `{column}` is not in the data of {}",
                dataset.name
            ))
            .at(&dataset.file, 0, 0)
            .hint(suggest::hint(column, names.iter().copied())));
        }
    }
    Ok(())
}

/// What every row of a batch carries.
struct Stamp {
    at: Instant,
    batch: String,
    run: String,
    files: Vec<String>,
    table: TableName,
    op: Option<String>,
}

/// Writes pieces to the raw table's files, and rows that could not be parsed to those of its quarantine.
struct RawSink {
    writer: TableWriter,
    schema: SchemaRef,
    stamp: Arc<Stamp>,
    aside: Arc<Mutex<Option<TableWriter>>>,
    lake: Lake,
    /// Rows refused here (unknown op), by file.
    refused: BTreeMap<usize, u64>,
    constants: Option<Constants>,
}

/// Columns with one value for all rows of a file: made once, and cut to the length of each piece.
struct Constants {
    file: usize,
    rows: usize,
    at: ArrayRef,
    batch: ArrayRef,
    path: ArrayRef,
}

#[async_trait]
impl Sink for RawSink {
    async fn write(&mut self, piece: Piece) -> Result<()> {
        let mut rejected: Vec<QuarantinedRow> = piece
            .rejected
            .into_iter()
            .map(|rejected| QuarantinedRow {
                rule: "parse".to_string(),
                reason: rejected.reason,
                source: Some((self.stamp.files[rejected.file].clone(), rejected.row as i64)),
                raw: Some(rejected.raw),
                row: rejected.json,
            })
            .collect();
        let rows = piece.batch.num_rows();
        if rows > 0 {
            let numbers: ArrayRef = Arc::new(piece.rows.to_array(rows));
            let stamped = self.stamped(&piece.batch, piece.file, numbers.clone())?;
            let stamped = self.refuse_unknown_op(stamped, piece.file, &numbers, &mut rejected)?;
            self.writer.write(stamped).await?;
        }
        if !rejected.is_empty() {
            let batch = quarantine_batch(self.stamp.at, &self.stamp.run, &rejected)?;
            let mut aside = self.aside.lock().await;
            let writer = match &mut *aside {
                Some(writer) => writer,
                aside => aside.insert(TableWriter::new(
                    &self.lake,
                    &self.stamp.table.quarantine(),
                    quarantine_schema(),
                    WriteOptions::default(),
                )?),
            };
            writer.write(batch).await?;
        }
        Ok(())
    }

    async fn abort(self) {
        self.writer.abort().await;
        if let Some(aside) = self.aside.lock().await.take() {
            aside.abort().await;
        }
    }
}

impl RawSink {
    fn stamped(&mut self, batch: &RecordBatch, file: usize, numbers: ArrayRef) -> Result<RecordBatch> {
        let rows = batch.num_rows();
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(self.schema.fields().len());
        for field in &self.schema.fields()[..self.schema.fields().len() - 3] {
            columns.push(match batch.column_by_name(field.name()) {
                Some(column) => column.clone(),
                None => arrow::array::new_null_array(field.data_type(), rows),
            });
        }
        let constants = self.constants(file, rows);
        columns.push(constants.at.slice(0, rows));
        columns.push(constants.batch.slice(0, rows));
        let source = StructArray::new(source_fields(), vec![constants.path.slice(0, rows), numbers], None);
        columns.push(Arc::new(source));
        RecordBatch::try_new(self.schema.clone(), columns)
            .map_err(|error| Error::internal("a stamped batch does not fit its table").caused_by(error))
    }

    /// The constants of a file, for at least `rows` rows.
    fn constants(&mut self, file: usize, rows: usize) -> &Constants {
        let stamp = &self.stamp;
        let old = self.constants.take().filter(|constants| constants.file == file && constants.rows >= rows);
        self.constants.insert(old.unwrap_or_else(|| {
            let at = TimestampMicrosecondArray::from_value(stamp.at.as_micros(), rows).with_timezone("UTC");
            let (batch, path) = (repeated(&stamp.batch, rows), repeated(&stamp.files[file], rows));
            Constants { file, rows, at: Arc::new(at), batch, path }
        }))
    }

    /// With `mode: changes`, a row whose op is unknown cannot be applied: it is set aside.
    fn refuse_unknown_op(
        &mut self,
        batch: RecordBatch,
        file: usize,
        numbers: &ArrayRef,
        rejected: &mut Vec<QuarantinedRow>,
    ) -> Result<RecordBatch> {
        let Some(op) = self.stamp.op.as_deref().and_then(|op| batch.column_by_name(op)) else {
            return Ok(batch);
        };
        let text = arrow::compute::cast(op, &DataType::Utf8)
            .map_err(|error| Error::failed("the op column is not text").caused_by(error))?;
        let text = text.as_string::<i32>();
        let known: arrow::array::BooleanArray =
            (0..text.len()).map(|row| Some(text.is_valid(row) && is_op(text.value(row)))).collect();
        if known.true_count() == known.len() {
            return Ok(batch);
        }
        let numbers = numbers.as_primitive::<arrow::datatypes::Int64Type>();
        let unknown = arrow::compute::not(&known).map_err(engine)?;
        let refused = arrow::compute::filter_record_batch(&batch, &unknown).map_err(engine)?;
        let json = laguna_model::build::json_rows(&refused)?;
        let rows = (0..known.len()).filter(|row| !known.value(*row));
        for (row, json) in rows.zip(json) {
            let value = if text.is_valid(row) { text.value(row) } else { "null" };
            rejected.push(QuarantinedRow {
                rule: "op".to_string(),
                reason: format!("`{value}` is not an operation: insert, update or delete"),
                source: Some((self.stamp.files[file].clone(), numbers.value(row))),
                raw: None,
                row: Some(json),
            });
            *self.refused.entry(file).or_default() += 1;
        }
        arrow::compute::filter_record_batch(&batch, &known).map_err(engine)
    }
}

/// Whether a change's operation is known.
pub(crate) fn is_op(text: &str) -> bool {
    let words = ["i", "insert", "c", "create", "r", "read", "u", "update", "upsert", "d", "delete"];
    words.contains(&text.to_ascii_lowercase().as_str())
}

fn repeated(text: &str, rows: usize) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(std::iter::repeat_n(text, rows)))
}

fn engine(error: arrow::error::ArrowError) -> Error {
    laguna_query::translate(error.into())
}
