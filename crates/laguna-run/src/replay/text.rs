//! Rows that were set aside as files that can be read again: their text as it was found, or as it was mended.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Int64Type, SchemaRef};
use async_trait::async_trait;
use laguna_base::name::RESERVED_COLUMNS;
use laguna_base::settings::OneOrMany;
use laguna_base::settings::dataset::{OnBadRow, OnNewColumn, SourceSettings};
use laguna_base::{Error, Result};
use laguna_ingest::{InputFile, ORIGINAL_NAME, Piece, ReadOptions, Sink, discover, read};
use laguna_model::Dataset;
use serde_json::{Map, Value};

/// Longest text of a row that is kept whole when it is set aside, bytes.
const WHOLE: usize = 64 << 10;
/// Rows whose text may run into that of the next one get a file each: at most this many in one replay.
const ALONE: usize = 10_000;

/// Where a row stands among those aside, and where it came from.
#[derive(Debug, Clone)]
pub(super) struct Origin {
    pub batch: usize,
    pub row: usize,
    pub file: String,
    pub number: i64,
}

/// The files, and what each of their rows is. They are removed with the value.
pub(super) struct Texts {
    folder: PathBuf,
    files: Vec<InputFile>,
    origins: Vec<Vec<Origin>>,
    sizes: Vec<usize>,
    columns: Vec<String>,
    /// Why some row is not tried at all.
    refusal: Option<String>,
}

impl Drop for Texts {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Rows with the same columns, in one way of writing.
#[derive(Default)]
struct Group {
    text: String,
    origins: Vec<Origin>,
}

impl Texts {
    /// Writes the texts of `rows`, batches of a quarantine. `mended` are texts that take their place, by file and
    /// number; `table` are the dataset's columns so far.
    pub(super) fn write(
        rows: &[RecordBatch],
        mended: &BTreeMap<(String, i64), String>,
        dataset: &Dataset,
        table: Option<&SchemaRef>,
    ) -> Result<Texts> {
        let folder = std::env::temp_dir().join(format!("laguna-replay-{}", uuid()));
        let mut texts = Texts {
            folder,
            files: Vec::new(),
            origins: Vec::new(),
            sizes: rows.iter().map(RecordBatch::num_rows).collect(),
            columns: Vec::new(),
            refusal: None,
        };
        let headers = headers(rows);
        let fallback: Vec<String> = table.map(original_names).unwrap_or_default();
        let dialect = Dialect::of(&dataset.settings.source);
        let mut groups: BTreeMap<(String, Vec<String>, usize), Group> = BTreeMap::new();
        let mut alone = 0;
        for (batch, origin, raw, json) in each(rows) {
            let mended = mended.get(&(origin.file.clone(), origin.number));
            let origin = Origin { batch, ..origin };
            let object =
                json.as_deref().and_then(|json| serde_json::from_str::<Map<String, Value>>(json).ok());
            let end = ending(&origin.file);
            let (text, names, end) = match (mended.or(raw.as_ref()), &object) {
                (Some(text), _) if text.len() >= WHOLE => {
                    texts.refusal = Some("its text was too long to be kept whole".to_string());
                    continue;
                }
                (Some(text), _) if text.trim_start().starts_with(['{', '[']) || is_json(&end) => {
                    (one_line(text), Vec::new(), "ndjson".to_string())
                }
                (Some(text), object) if !text.trim().is_empty() => {
                    let own = object.as_ref().map(|object| object.keys().cloned().collect::<Vec<_>>());
                    let names = own
                        .or_else(|| headers.get(&origin.file).cloned())
                        .unwrap_or_else(|| fallback.clone());
                    (text.clone(), names, end)
                }
                (_, Some(object)) => {
                    let mut object = object.clone();
                    object.retain(|name, _| !RESERVED_COLUMNS.contains(&name.as_str()));
                    (Value::Object(object).to_string(), Vec::new(), "ndjson".to_string())
                }
                _ => {
                    texts.refusal = Some("its text was not kept".to_string());
                    continue;
                }
            };
            let mut key = (end, names, 0);
            if !is_json(&key.0) && dialect.may_run_on(&text) {
                alone += 1;
                if alone > ALONE {
                    texts.refusal = Some("it is tried in the next replay".to_string());
                    continue;
                }
                key.2 = alone;
            }
            let group = groups.entry(key).or_default();
            group.text.push_str(&text);
            group.text.push('\n');
            group.origins.push(origin);
        }
        texts.put(groups, &dialect)?;
        Ok(texts)
    }

    fn put(
        &mut self,
        groups: BTreeMap<(String, Vec<String>, usize), Group>,
        dialect: &Dialect,
    ) -> Result<()> {
        let broken =
            |error| Error::storage("the folder for temporary files cannot be written").caused_by(error);
        std::fs::create_dir_all(&self.folder).map_err(broken)?;
        for (at, ((end, names, _), group)) in groups.into_iter().enumerate() {
            let name = format!("{at}.{end}");
            let absolute = self.folder.join(&name);
            let mut text = group.text;
            if !names.is_empty() {
                text.insert_str(0, &dialect.header(&names, &end));
            }
            std::fs::write(&absolute, &text).map_err(broken)?;
            self.columns.extend(names);
            self.files.push(InputFile { path: name, absolute, size: text.len() as u64, modified: None });
            self.origins.push(group.origins);
        }
        Ok(())
    }

    pub(super) fn files(&self) -> &[InputFile] {
        &self.files
    }

    /// How the files are read: as the dataset's, with the header that was put in front, in UTF-8.
    pub(super) fn source(&self, source: &SourceSettings) -> SourceSettings {
        let mut source = source.clone();
        source.format = None;
        source.csv.header = Some(true);
        source.csv.encoding = None;
        source.files = OneOrMany(Vec::new());
        source
    }

    pub(super) fn has_column(&self, name: &str) -> bool {
        self.columns.iter().any(|column| column == name)
    }

    /// What the row with this number, from 1, in a file is.
    pub(super) fn origin(&self, file: usize, number: i64) -> Result<&Origin> {
        let origins = self.origins.get(file);
        let at = usize::try_from(number - 1).unwrap_or(usize::MAX);
        origins
            .and_then(|origins| origins.get(at))
            .ok_or_else(|| Error::internal("a replayed row has no origin"))
    }

    /// For each batch, no row that has landed.
    pub(super) fn none_gone(&self) -> Vec<Vec<bool>> {
        self.sizes.iter().map(|rows| vec![false; *rows]).collect()
    }

    pub(super) fn refusal(&self) -> Option<String> {
        self.refusal.clone()
    }
}

fn uuid() -> String {
    format!(
        "{}-{:x}",
        std::process::id(),
        std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .map_or(0, |since| since.as_nanos())
    )
}

/// Batch, origin, text and object of each row.
fn each(rows: &[RecordBatch]) -> impl Iterator<Item = (usize, Origin, Option<String>, Option<String>)> + '_ {
    rows.iter().enumerate().flat_map(|(at, batch)| {
        let source = batch.column(4).as_struct();
        let (files, numbers) =
            (source.column(0).as_string::<i32>(), source.column(1).as_primitive::<Int64Type>());
        let text = |column: usize, row: usize| {
            let array = batch.column(column).as_string::<i32>();
            array.is_valid(row).then(|| array.value(row).to_string())
        };
        (0..batch.num_rows()).map(move |row| {
            let known = source.is_valid(row) && files.is_valid(row);
            let file = if known { files.value(row).to_string() } else { String::new() };
            let number = if known && numbers.is_valid(row) { numbers.value(row) } else { 0 };
            (at, Origin { batch: at, row, file, number }, text(5, row), text(6, row))
        })
    })
}

/// The columns of each file, where a row of it could be told apart.
fn headers(rows: &[RecordBatch]) -> BTreeMap<String, Vec<String>> {
    let mut headers = BTreeMap::new();
    for (_, origin, raw, json) in each(rows) {
        if raw.is_some()
            && !headers.contains_key(&origin.file)
            && let Some(object) = json.and_then(|json| serde_json::from_str::<Map<String, Value>>(&json).ok())
        {
            headers.insert(origin.file, object.keys().cloned().collect());
        }
    }
    headers
}

fn original_names(table: &SchemaRef) -> Vec<String> {
    let names =
        table.fields().iter().map(|field| field.metadata().get(ORIGINAL_NAME).unwrap_or(field.name()));
    names.cloned().collect()
}

/// The extension of a text file below a compression's; `csv` for others.
fn ending(path: &str) -> String {
    let lower = path.to_lowercase();
    let name = lower
        .trim_end_matches(".gz")
        .trim_end_matches(".zst")
        .trim_end_matches(".gzip")
        .trim_end_matches(".zstd");
    let known = ["csv", "tsv", "tab", "psv", "tbl", "json", "ndjson", "jsonl"];
    let end = name.rsplit('.').next().unwrap_or_default();
    if known.contains(&end) { end.to_string() } else { "csv".to_string() }
}

fn is_json(end: &str) -> bool {
    matches!(end, "json" | "ndjson" | "jsonl")
}

/// JSON on one line; what is none, without its line breaks.
fn one_line(text: &str) -> String {
    match serde_json::from_str::<Value>(text) {
        Ok(value) => value.to_string(),
        Err(_) => text.replace(['\n', '\r'], " "),
    }
}

/// How the dataset's CSV is written.
struct Dialect {
    delimiter: Option<char>,
    quote: Option<char>,
}

impl Dialect {
    fn of(source: &SourceSettings) -> Dialect {
        let one = |text: &str| if text == "\\t" { Some('\t') } else { text.chars().next() };
        Dialect {
            delimiter: source.csv.delimiter.as_deref().and_then(one),
            quote: match source.csv.quote.as_deref() {
                Some("") => None,
                Some(text) => one(text),
                None => Some('"'),
            },
        }
    }

    /// Whether the text may be read together with what follows it.
    fn may_run_on(&self, text: &str) -> bool {
        let open = self.quote.is_some_and(|quote| text.matches(quote).count() % 2 == 1);
        open || text.contains(['\n', '\r'])
    }

    fn header(&self, names: &[String], end: &str) -> String {
        let delimiter = self.delimiter.unwrap_or(match end {
            "tsv" | "tab" => '\t',
            "psv" | "tbl" => '|',
            _ => ',',
        });
        let names = names.iter().map(|name| match self.quote {
            Some(quote) if name.contains([delimiter, quote, '\n', '\r']) || name.is_empty() => {
                format!("{quote}{}{quote}", name.replace(quote, &format!("{quote}{quote}")))
            }
            _ => name.clone(),
        });
        names.collect::<Vec<_>>().join(&delimiter.to_string()) + "\n"
    }
}

/// The texts of a file of mended rows, by file and number.
pub(super) async fn mended(path: &Path) -> Result<BTreeMap<(String, i64), String>> {
    let shown = path.display().to_string();
    let source = SourceSettings { files: OneOrMany(vec![shown.clone()]), ..SourceSettings::default() };
    let dir = std::env::current_dir()
        .map_err(|error| Error::storage("the working folder cannot be read").caused_by(error))?;
    let found = discover(&dir, &source)?;
    if !found.unmatched.is_empty() {
        return Err(Error::project(format!("there is no file {shown}")));
    }
    let wrong = |what: String| {
        Error::project(format!("{shown} {what}")).hint(
            "write it with: laguna query -o csv \"SELECT _source['file'] AS _file, _source['row'] AS _row, raw FROM quarantine.raw_x\", and mend the texts",
        )
    };
    let types = [("_file", DataType::Utf8), ("_row", DataType::Int64), ("raw", DataType::Utf8)];
    let options = ReadOptions {
        source,
        known: None,
        declared: types.into_iter().map(|(name, data_type)| (name.to_string(), data_type)).collect(),
        on_new_column: OnNewColumn::Add,
        on_bad_row: OnBadRow::Fail,
        parallel: 1,
        only: None,
        hashes: false,
        rows: None,
    };
    let open = |_: &SchemaRef, _: &[String]| Ok(vec![Collect::default()]);
    let outcome = read(&found.files, &options, open, &|_| {}).await.map_err(|error| {
        wrong(format!("cannot be read as mended rows: {}", error.message())).caused_by(error)
    })?;
    let mut texts = BTreeMap::new();
    for batch in outcome.sinks.into_iter().flat_map(|sink| sink.batches) {
        let column = |name: &str| {
            batch.column_by_name(name).cloned().ok_or_else(|| wrong(format!("has no column `{name}`")))
        };
        let (files, numbers, raw) = (column("_file")?, column("_row")?, column("raw")?);
        let (files, raw) = (files.as_string::<i32>(), raw.as_string::<i32>());
        let numbers = numbers.as_primitive::<Int64Type>();
        for row in (0..batch.num_rows()).filter(|row| raw.is_valid(*row)) {
            let key = (files.value(row).to_string(), numbers.value(row));
            texts.insert(key, raw.value(row).trim_end_matches(['\n', '\r']).to_string());
        }
    }
    Ok(texts)
}

#[derive(Default)]
struct Collect {
    batches: Vec<RecordBatch>,
}

#[async_trait]
impl Sink for Collect {
    async fn write(&mut self, piece: Piece) -> Result<()> {
        self.batches.push(piece.batch);
        Ok(())
    }

    async fn abort(self) {}
}
