//! Landing one raw dataset: new files become one batch, committed once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef, TimeUnit};
use laguna_base::name::RESERVED_COLUMNS;
use laguna_base::settings::dataset::Mode;
use laguna_base::{Error, Instant, Result, TableName, human, suggest};
use laguna_ingest::{InputFile, ReadOptions};
use laguna_model::Dataset;
use laguna_model::build::quarantine_schema;
use laguna_store::commit::Append;
use laguna_store::landed::{Landed, LandedFile, LandedIn};
use laguna_store::latest::{LatestRule, UNTYPED};
use laguna_store::release::RawState;
use laguna_store::{CommitNote, DataFile, Lake, Snapshot, TableWriter, WriteOptions, types};
use tokio::sync::Mutex;

use crate::{Context, replay};

mod sink;

pub(crate) use sink::is_op;
use sink::{RawSink, Stamp};

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
                let writer = TableWriter::new(lake, &dataset.name, full.clone(), WriteOptions::default())?;
                Ok(RawSink::new(writer, full.clone(), stamp.clone(), aside.clone(), lake.clone()))
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
