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
use laguna_check::{
    CheckSpec, Collector, FailingRow, Keep, RowFinder, Suite, Verdict, explain, row_values, texts_of_dates,
    written_as,
};
use laguna_ingest::{InputFile, Layout, Piece, ReadOptions, Sink, read_laid_out};
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
    // What helps a source of a project is no help here, and nothing was to land.
    let (message, encoding) = match error.message().split_once("; `csv: {encoding") {
        Some((message, _)) => (message, true),
        None => (error.message(), false),
    };
    let plain = Error::project(message);
    let plain = match error.location() {
        Some(place) => plain.at_location(place.clone()),
        None => plain,
    };
    let plain = match error.hint_text().map(|hint| hint.trim_end_matches("; nothing of this batch has landed")) {
        _ if encoding => plain.hint("`laguna check FILE` reads UTF-8: convert the file, as with iconv"),
        Some(hint) if hint.contains("on_bad_row") => plain.hint(
            "`laguna check FILE` judges whole files: mend the row, or land the files in a project that sets such rows aside",
        ),
        Some(hint) => plain.hint(hint.trim_end_matches(" nothing of this batch has landed")),
        None => plain,
    };
    match error.causes() {
        causes if causes.is_empty() => plain,
        causes => plain.caused_by(causes.join(": ")),
    }
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
    /// As the files call them, in their order, with those that hold no value at all: numbers, as pandas has them.
    pub named: SchemaRef,
    /// Where each of those is read; nowhere when it holds nothing.
    places: Vec<Option<usize>>,
    dates: Dates,
}

/// Columns of dates that are read as texts, as the files call them, and what they would be else.
pub(super) type Dates = BTreeMap<String, DataType>;

impl Columns {
    pub fn new(layout: &Layout, dates: &Dates) -> Columns {
        let named = layout.columns.iter().map(|column| {
            let data_type = column.place.map_or(&DataType::Float64, |at| layout.schema.field(at).data_type());
            let field = Field::new(&column.name, data_type.clone(), true);
            match (dates.get(&column.name).filter(|_| data_type == &DataType::Utf8), &column.source) {
                (Some(dates), _) => texts_of_dates(field, dates),
                (None, Some(source)) => written_as(field, source),
                (None, None) => field,
            }
        });
        Columns {
            read: layout.schema.clone(),
            named: Arc::new(Schema::new(named.collect::<Vec<_>>())),
            places: layout.columns.iter().map(|column| column.place).collect(),
            dates: dates.clone(),
        }
    }

    /// The types that a pass settled on: in a second one no value can change them on the way.
    fn types(&self) -> BTreeMap<String, DataType> {
        self.read.fields().iter().map(|field| (field.name().clone(), field.data_type().clone())).collect()
    }

    /// A batch that was read, with the files' names.
    pub fn name(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        let rows = batch.num_rows();
        let placed = self.places.iter().zip(self.named.fields());
        let columns: Vec<ArrayRef> = placed
            .map(|(place, field)| match place {
                Some(at) => batch.column(*at).clone(),
                None => arrow::array::new_null_array(field.data_type(), rows),
            })
            .collect();
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        RecordBatch::try_new_with_options(self.named.clone(), columns, &options)
            .map_err(|error| Error::internal("a batch does not fit its columns").caused_by(error))
    }
}

/// The words that pandas reads as missing values.
const NULLS: [&str; 18] = [
    "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>", "N/A",
    "NA", "NULL", "NaN", "None", "n/a", "nan", "null",
];

impl Files {
    pub(super) fn find(dir: &Path, patterns: &[String]) -> Result<Files> {
        let mut source = SourceSettings { files: OneOrMany(patterns.to_vec()), ..SourceSettings::default() };
        source.csv.nulls = Some(NULLS.map(str::to_string).to_vec());
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
        let texts = self.files.iter().all(is_text);
        let (mut declared, mut known) = (BTreeMap::new(), Dates::new());
        let (columns, suite, mut collector, mut numbering, bytes) = loop {
            let options = self.options(only.clone(), declared.clone(), parallel);
            let mut compiled = None;
            let mut dates = Dates::new();
            let open = |layout: &Layout| {
                let columns = Columns::new(layout, &known);
                if texts {
                    dates = dates_among(&columns.named, checks);
                }
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
            let done = read_laid_out(&self.files, &options, open, &count).await;
            if !dates.is_empty() {
                // Checks of text look at dates as they stand in the file, as pandas reads them.
                declared.extend(dates.keys().map(|name| (name.clone(), DataType::Utf8)));
                known.extend(dates);
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
        let open = |layout: &Layout| {
            Ok(vec![Shower { shown: shown.clone(), columns: Columns::new(layout, &self.columns.dates) }])
        };
        let bytes = AtomicU64::new(0);
        let count = |read| bytes.store(read, Ordering::Relaxed);
        let outcome = read_laid_out(&self.files.files, &options, open, &count).await?;
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
        let open = |layout: &Layout| {
            let columns = Columns::new(layout, &self.columns.dates);
            Ok(vec![Finder { found: found.clone(), columns, checks: checks.to_vec() }])
        };
        let done = read_laid_out(&self.files.files, &options, open, &|_| {}).await;
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

/// Checks that see the same in a date and in its text, or that read texts as dates by themselves.
const DATED: [&str; 14] = [
    "expect_column_to_exist",
    "expect_column_values_to_be_between",
    "expect_column_min_to_be_between",
    "expect_column_max_to_be_between",
    "expect_column_median_to_be_between",
    "expect_column_values_to_be_increasing",
    "expect_column_values_to_be_decreasing",
    "expect_column_values_to_be_null",
    "expect_column_values_to_not_be_null",
    "expect_column_values_to_be_unique",
    "expect_compound_columns_to_be_unique",
    "expect_column_unique_value_count_to_be_between",
    "expect_column_proportion_of_unique_values_to_be_between",
    "expect_column_proportion_of_non_null_values_to_be_between",
];

/// Whether a check looks at a column as text, as pandas reads all dates of text files.
fn wants_text(check: &CheckSpec, column: &str) -> bool {
    let own = !DATED.contains(&check.name()) && check.columns().iter().any(|name| name == column);
    own || match check.kwargs().get("row_condition") {
        None | Some(serde_json::Value::Null) => false,
        Some(serde_json::Value::String(condition)) => condition.contains(column),
        Some(condition) => {
            columns_in(condition).is_none_or(|columns| columns.iter().any(|name| name == column))
        }
    }
}

/// The columns of dates that some check looks at as text.
fn dates_among(schema: &SchemaRef, checks: &[CheckSpec]) -> Dates {
    let is_date = |field: &Field| matches!(field.data_type(), DataType::Date32 | DataType::Timestamp(..));
    let dates = schema
        .fields()
        .iter()
        .filter(|field| is_date(field) && checks.iter().any(|check| wants_text(check, field.name())));
    dates.map(|field| (field.name().clone(), field.data_type().clone())).collect()
}

/// Checks that look at the names of columns only.
const NAMED: [&str; 2] = ["expect_column_to_exist", "expect_table_columns_to_match_ordered_list"];

/// The columns that `checks` look at; `None` when that cannot be told from their arguments.
fn columns_of(checks: &[CheckSpec]) -> Option<BTreeSet<String>> {
    let mut columns = BTreeSet::new();
    for check in checks {
        if check.name().contains("rows_query") || check.name().contains("query") || check.short() == "sql" {
            return None;
        }
        // Whether columns are there says nothing about their values.
        if !NAMED.contains(&check.name()) {
            columns.extend(check.columns());
        }
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
