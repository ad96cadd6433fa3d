//! Checks of files without a project: one pass over all of them on all cores, in bounded memory, with nothing started
//! that the suite does not need.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant as Stopwatch;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use laguna_base::settings::OneOrMany;
use laguna_base::settings::dataset::{OnBadRow, OnNewColumn, SourceSettings};
use laguna_base::{Error, ErrorKind, Result};
use laguna_check::great_expectations::SuiteFile;
use laguna_check::{CheckSpec, Collector, FailingRow, Keep, RowFinder, Suite, Verdict, explain, row_values};
use laguna_ingest::{InputFile, ORIGINAL_NAME, Piece, ReadOptions, Sink, read};
use laguna_model::build::Looked;

use super::numbering::Numbering;
use super::{Report, Telling, query};

/// Checks all files that `patterns` name, as one table, against `suite`.
pub async fn check_files(
    dir: &Path,
    patterns: &[String],
    suite: &SuiteFile,
    telling: Telling,
) -> Result<Report> {
    let stopwatch = Stopwatch::now();
    let files = Files::find(dir, patterns)?;
    let looked = files.look(&suite.checks, telling).await.map_err(in_command)?;
    Ok(Report::new(patterns.join(" "), Some(suite), looked, stopwatch))
}

/// A file that cannot be read is a wrong argument here, not a failed check.
pub(super) fn in_command(error: Error) -> Error {
    if error.kind() != ErrorKind::Failed {
        return error;
    }
    let hint = error.hint_text().map(str::to_string);
    let plain = Error::project(error.message().to_string());
    let plain = match error.location() {
        Some(place) => plain.at_location(place.clone()),
        None => plain,
    };
    let plain = match hint {
        // What helps a source of a project is no help here.
        Some(hint) if !hint.contains("on_bad_row") => plain.hint(hint),
        _ => plain,
    };
    plain.caused_by(error)
}

/// Files that are read as one table.
#[derive(Clone)]
pub(super) struct Files {
    files: Vec<InputFile>,
    source: SourceSettings,
}

/// The columns of the files: as they are read, and as the files call them.
#[derive(Clone)]
pub(super) struct Columns {
    /// As they are read.
    pub read: SchemaRef,
    /// As the files call them, with those that hold no value at all: numbers, as pandas has them.
    pub named: SchemaRef,
}

impl Columns {
    pub fn new(schema: &SchemaRef, untyped: &[String]) -> Columns {
        let named = schema.fields().iter().map(|field| {
            let name = field.metadata().get(ORIGINAL_NAME).unwrap_or(field.name());
            Field::new(name, field.data_type().clone(), true)
        });
        let empty = untyped.iter().map(|name| Field::new(name, DataType::Float64, true));
        Columns { read: schema.clone(), named: Arc::new(Schema::new(named.chain(empty).collect::<Vec<_>>())) }
    }

    /// The types that a pass settled on: in a second one no value can change them on the way.
    fn types(&self) -> BTreeMap<String, DataType> {
        self.read.fields().iter().map(|field| (field.name().clone(), field.data_type().clone())).collect()
    }

    /// A batch that was read, with the files' names.
    pub fn name(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        let rows = batch.num_rows();
        let mut columns: Vec<ArrayRef> = batch.columns().to_vec();
        for field in &self.named.fields()[columns.len()..] {
            columns.push(arrow::array::new_null_array(field.data_type(), rows));
        }
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        RecordBatch::try_new_with_options(self.named.clone(), columns, &options)
            .map_err(|error| Error::internal("a batch does not fit its columns").caused_by(error))
    }
}

impl Files {
    pub(super) fn find(dir: &Path, patterns: &[String]) -> Result<Files> {
        let source = SourceSettings { files: OneOrMany(patterns.to_vec()), ..SourceSettings::default() };
        let found = laguna_ingest::discover(dir, &source)?;
        if let Some(pattern) = found.unmatched.first() {
            return Err(Error::project(format!("no file matches `{pattern}`"))
                .hint("name files, or a pattern in quotes: 'data/*.csv'"));
        }
        Ok(Files { files: found.files, source })
    }

    pub(super) fn list(&self) -> &[InputFile] {
        &self.files
    }

    /// How the files are read. `only`: the columns whose values matter.
    pub(super) fn options(
        &self,
        only: Option<BTreeSet<String>>,
        declared: BTreeMap<String, DataType>,
        parallel: usize,
    ) -> ReadOptions {
        ReadOptions {
            source: self.source.clone(),
            known: None,
            declared,
            on_new_column: OnNewColumn::Add,
            on_bad_row: OnBadRow::Fail,
            parallel,
            only,
            hashes: false,
            rows: None,
        }
    }

    async fn look(self, checks: &[CheckSpec], telling: Telling) -> Result<Looked> {
        let only = columns_of(checks);
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        let parallel = if checks.iter().any(in_order) { 1 } else { cores };
        let keep = Keep { row_numbers: true, ..telling.keep };
        let texts = if self.files.iter().all(is_text) { texts_of(checks) } else { BTreeSet::new() };
        let mut declared = BTreeMap::new();
        let (columns, suite, mut collector, mut numbering, bytes) = loop {
            let options = self.options(only.clone(), declared.clone(), parallel);
            let mut compiled = None;
            let mut dates: Vec<String> = Vec::new();
            let open = |schema: &SchemaRef, untyped: &[String]| {
                let columns = Columns::new(schema, untyped);
                dates = dates_among(&columns.named, &texts);
                if !dates.is_empty() {
                    return Err(Error::interrupted());
                }
                let suite = Suite::compile_each(checks, &columns.named).keeping(keep).showing_rows();
                let sink = || Judge {
                    collector: suite.collector(),
                    columns: columns.clone(),
                    numbering: Numbering::default(),
                };
                let sinks = (0..parallel).map(|_| sink()).collect();
                compiled = Some((columns.clone(), suite.clone()));
                Ok(sinks)
            };
            let bytes = AtomicU64::new(0);
            let count = |read| bytes.store(read, Ordering::Relaxed);
            let done = read(&self.files, &options, open, &count).await;
            if !dates.is_empty() {
                // Checks of text look at dates as they stand in the file, as pandas reads them.
                declared.extend(dates.into_iter().map(|name| (name, DataType::Utf8)));
                continue;
            }
            let outcome = done?;
            let Some((columns, suite)) = compiled else {
                return Err(Error::internal("the files were read without a suite"));
            };
            let (mut merged, mut numbering) = (suite.collector(), Numbering::default());
            for sink in outcome.sinks {
                merged.merge(sink.collector);
                numbering.merge(sink.numbering);
            }
            break (columns, suite, merged, numbering, bytes.into_inner());
        };
        let rows = collector.rows();
        let mut again = Again { files: self, only, columns, bytes };
        let shown = suite.rows_to_show(&collector);
        if !shown.is_empty() {
            collector = again.show(collector, Numbering::places(shown)).await?;
        }
        let query = suite.set_query(&collector);
        let answers = match &query {
            Some(query) => Some(again.ask(&query.sql).await?),
            None => None,
        };
        let mut verdicts = suite.finish(collector, answers)?;
        let answered = match telling.explain {
            true => explain(checks, &again.columns.named, query.as_ref()),
            false => Vec::new(),
        };
        let mut failing = vec![Vec::new(); checks.len()];
        if let Some(finder) = RowFinder::new(checks, &verdicts, &again.columns.named, telling.rows)? {
            let known = known_rows(&finder, &verdicts);
            again.find(finder, known, checks, &mut failing).await?;
        }
        for verdict in &mut verdicts {
            match telling.in_order || telling.keep.row_numbers {
                true => numbering.close(&mut verdict.unexpected_index),
                false => verdict.unexpected_index.clear(),
            }
        }
        Ok(Looked { verdicts, answered, failing, rows, bytes: again.bytes, files: None })
    }
}

/// Reading the files once more, for what the pass left open.
struct Again {
    files: Files,
    only: Option<BTreeSet<String>>,
    columns: Columns,
    bytes: u64,
}

impl Again {
    async fn ask(&mut self, sql: &str) -> Result<Vec<RecordBatch>> {
        let options = self.files.options(self.only.clone(), self.columns.types(), 2);
        let source =
            query::Source { files: self.files.files.clone(), options, columns: self.columns.clone() };
        self.bytes += self.files.files.iter().map(|file| file.size).sum::<u64>();
        query::ask(source, sql).await
    }

    /// Shows the rows at `places` to the collector.
    async fn show(&mut self, collector: Collector, places: BTreeSet<(usize, u64)>) -> Result<Collector> {
        let mut options = self.files.options(self.only.clone(), self.columns.types(), 1);
        options.rows = Some(Arc::new(places));
        let shown = Arc::new(Mutex::new(collector));
        let open = |schema: &SchemaRef, untyped: &[String]| {
            Ok(vec![Shower { shown: shown.clone(), columns: Columns::new(schema, untyped) }])
        };
        let bytes = AtomicU64::new(0);
        let outcome =
            read(&self.files.files, &options, open, &|read| bytes.store(read, Ordering::Relaxed)).await?;
        self.bytes += bytes.into_inner();
        drop(outcome);
        let panicked = || Error::internal("a reader of files panicked");
        Arc::into_inner(shown).and_then(|shown| shown.into_inner().ok()).ok_or_else(panicked)
    }

    /// Looks for failing rows until enough are found; where all of them are `known`, in their blocks only.
    async fn find(
        &mut self,
        finder: RowFinder,
        known: Option<BTreeSet<(usize, u64)>>,
        checks: &[CheckSpec],
        failing: &mut [Vec<FailingRow>],
    ) -> Result<()> {
        let mut options = self.files.options(None, self.columns.types(), 1);
        options.rows = known.map(Arc::new);
        let found = Arc::new(Mutex::new(Found { finder, rows: Vec::new() }));
        let open = |schema: &SchemaRef, untyped: &[String]| {
            let columns = Columns::new(schema, untyped);
            Ok(vec![Finder { found: found.clone(), columns, checks: checks.to_vec() }])
        };
        let done = read(&self.files.files, &options, open, &|_| {}).await;
        match done {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        let mut found = found.lock().map_err(|_| Error::internal("a reader of files panicked"))?;
        for (check, file, row) in found.rows.drain(..) {
            let file = self.files.files.get(file).map(|file| file.path.clone());
            failing[check].push(FailingRow { file, ..row });
        }
        Ok(())
    }
}

/// Feeds what is read to the checks.
struct Judge {
    collector: Collector,
    columns: Columns,
    numbering: Numbering,
}

#[async_trait]
impl Sink for Judge {
    async fn write(&mut self, piece: Piece) -> Result<()> {
        let first = Numbering::first(&piece);
        self.numbering.add(first, &piece.batch);
        self.collector.at_row(first);
        self.collector.update(&self.columns.name(&piece.batch)?).map(drop)
    }

    async fn abort(self) {}
}

/// Shows rows again that verdicts tell of.
struct Shower {
    shown: Arc<Mutex<Collector>>,
    columns: Columns,
}

#[async_trait]
impl Sink for Shower {
    async fn write(&mut self, piece: Piece) -> Result<()> {
        let first = Numbering::first(&piece);
        let batch = self.columns.name(&piece.batch)?;
        let mut shown = self.shown.lock().map_err(|_| Error::internal("a reader of files panicked"))?;
        shown.show(&batch, first)
    }

    async fn abort(self) {}
}

struct Found {
    finder: RowFinder,
    rows: Vec<(usize, usize, FailingRow)>,
}

/// Looks for failing rows in what is read; ends the reading when it has enough.
struct Finder {
    found: Arc<Mutex<Found>>,
    columns: Columns,
    checks: Vec<CheckSpec>,
}

#[async_trait]
impl Sink for Finder {
    async fn write(&mut self, piece: Piece) -> Result<()> {
        let batch = self.columns.name(&piece.batch)?;
        let numbers = piece.rows.to_array(batch.num_rows());
        let mut found = self.found.lock().map_err(|_| Error::internal("a reader of files panicked"))?;
        let rows = found.finder.update(&batch)?;
        for (check, row) in rows {
            let shown = RowFinder::shown(&self.checks, check, &self.columns.named, &[]);
            let number = Some(numbers.value(row).unsigned_abs());
            let values = row_values(&batch, row, &shown);
            found.rows.push((check, piece.file, FailingRow { file: None, number, row: values }));
        }
        if found.finder.is_done() { Err(Error::interrupted()) } else { Ok(()) }
    }

    async fn abort(self) {}
}

/// The rows that are looked for, when the pass has met them all.
fn known_rows(finder: &RowFinder, verdicts: &[Verdict]) -> Option<BTreeSet<(usize, u64)>> {
    let mut known = Vec::new();
    for (at, rows) in finder.wanted() {
        known.extend_from_slice(verdicts[at].unexpected_index.get(..rows as usize)?);
    }
    Some(Numbering::places(known))
}

/// Whether the order of the rows matters to a check.
fn in_order(check: &CheckSpec) -> bool {
    check.name().contains("increasing") || check.name().contains("decreasing")
}

/// Whether the types of a file's columns are read off its text.
fn is_text(file: &InputFile) -> bool {
    let path = file.path.to_lowercase();
    ![".parquet", ".pq", ".avro"].iter().any(|end| path.ends_with(end))
}

/// Columns that some check looks at as text.
fn texts_of(checks: &[CheckSpec]) -> BTreeSet<String> {
    let words =
        ["regex", "like_pattern", "strftime", "dateutil", "json", "value_lengths", "of_type", "type_list"];
    let of_text = |check: &&CheckSpec| {
        let set = check.kwargs().get("value_set").and_then(|set| set.get(0).cloned());
        words.iter().any(|word| check.name().contains(word)) || set.is_some_and(|value| value.is_string())
    };
    checks.iter().filter(of_text).flat_map(CheckSpec::columns).collect()
}

fn dates_among(schema: &SchemaRef, names: &BTreeSet<String>) -> Vec<String> {
    let is_date = |field: &Field| matches!(field.data_type(), DataType::Date32 | DataType::Timestamp(..));
    let dates = schema.fields().iter().filter(|field| is_date(field) && names.contains(field.name()));
    dates.map(|field| field.name().clone()).collect()
}

/// The columns that `checks` look at; `None` when that cannot be told from their arguments.
fn columns_of(checks: &[CheckSpec]) -> Option<BTreeSet<String>> {
    let mut columns = BTreeSet::new();
    for check in checks {
        if check.name().contains("rows_query") || check.name().contains("query") || check.short() == "sql" {
            return None;
        }
        columns.extend(check.columns());
        let kwargs = check.kwargs();
        for key in ["column_A", "column_B"] {
            columns.extend(kwargs.get(key).and_then(|name| name.as_str()).map(str::to_string));
        }
        match kwargs.get("row_condition") {
            None | Some(serde_json::Value::Null) => {}
            Some(condition) => columns.extend(columns_in(condition)?),
        }
    }
    Some(columns)
}

/// The columns that a condition looks at; `None` for one that is a text.
fn columns_in(condition: &serde_json::Value) -> Option<Vec<String>> {
    if let Some(conditions) = condition.get("conditions").and_then(|list| list.as_array()) {
        return conditions.iter().map(columns_in).collect::<Option<Vec<_>>>().map(|lists| lists.concat());
    }
    Some(vec![condition.get("column")?.get("name")?.as_str()?.to_string()])
}
