//! The columns that rows must fit: fixed before reading, from the table so far, what is declared and what was found.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions, new_null_array};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use laguna_base::settings::dataset::OnNewColumn;
use laguna_base::{Error, Result, suggest};

use crate::evidence::Findings;
use crate::names::{Names, named_field};
use crate::read::{ReadOptions, RowNumbers};
use crate::scalar::{self, Zone};
use crate::types::word;

/// Longest raw text that is kept of a row set aside, bytes.
pub const MAX_RAW: usize = 64 << 10;

/// How a column of the target takes values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trust {
    /// One spelling a value; false for declared types.
    pub strict: bool,
    /// The type was inferred in this call: a value that does not fit proves it wrong.
    pub inferred: bool,
}

/// Where a column of a file goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// To this column of the schema.
    Column(usize),
    /// Nowhere: the dataset ignores it.
    Ignored,
    /// It has had no value so far: the first one changes the schema.
    Untyped,
}

/// A column as the files have it.
#[derive(Debug, Clone)]
pub struct Laid {
    /// Its name there.
    pub name: String,
    /// Its place in the schema; none without a value.
    pub place: Option<usize>,
    /// Its type there, where the format knows types.
    pub source: Option<DataType>,
}

/// The schema of one pass over the files.
#[derive(Debug)]
pub struct Target {
    pub schema: SchemaRef,
    pub trust: Vec<Trust>,
    pub zone: Zone,
    pub on_new: OnNewColumn,
    names: Names,
    places: Vec<Place>,
    /// Columns that have had no value so far, by the name that they will have.
    pub untyped: Vec<String>,
    /// All columns in the order of the files.
    pub laid: Vec<Laid>,
    /// Whether names that nobody has seen yet go nowhere.
    ignore_unseen: bool,
    /// All values were looked at: nothing can prove a type wrong any more.
    pub settled: bool,
}

impl Target {
    /// Decides the schema. `files` are the columns of each file, with their paths; `findings` what is known of them all.
    /// Notes are for people: renamed and ignored columns.
    pub fn plan(
        options: &ReadOptions,
        zone: Zone,
        files: &[(String, Vec<String>)],
        findings: &Findings,
        settled: bool,
        notes: &mut Vec<String>,
    ) -> Result<Target> {
        let known = options.known.clone().unwrap_or_else(|| Arc::new(Schema::empty()));
        let mut names = Names::of(&known);
        for (_, columns) in files {
            names.enrol(columns);
        }
        names.enrol(findings.names());
        let mut evidence = vec![crate::evidence::Evidence::default(); names.clean.len()];
        for original in findings.names() {
            if let (Some(at), Some(found)) = (names.find(original), findings.get(original)) {
                evidence[at].merge(found.clone());
            }
        }
        let declared = declared(&options.declared, &names)?;
        let is_new = options.known.is_some();
        let mut fields: Vec<Arc<Field>> = Vec::new();
        let mut trust = Vec::new();
        let mut places = Vec::new();
        let mut untyped = Vec::new();
        let mut laid = Vec::new();
        for (at, evidence) in evidence.iter().enumerate() {
            let name = &names.clean[at];
            let as_laid =
                |place| Laid { name: names.original[at].clone(), place, source: evidence.source().cloned() };
            if at < known.fields().len() {
                let field = &known.fields()[at];
                if let Some(wanted) = declared[at].as_ref().filter(|wanted| *wanted != field.data_type()) {
                    return Err(Error::project(format!(
                        "column `{name}` is {} in the table and declared {}",
                        word(field.data_type()),
                        word(wanted)
                    ))
                    .hint("a column keeps its type; declare the type it has, or land the files as a new dataset"));
                }
                let mut field = field.as_ref().clone();
                if let (DataType::Struct(_) | DataType::List(_), Some(found), OnNewColumn::Add) =
                    (field.data_type(), evidence.data_type(), options.on_new_column)
                    && let Some(both) = crate::evidence::unify(field.data_type(), &found)
                    && both != *field.data_type()
                    && is_nested_addition(field.data_type(), &both)
                {
                    notes.push(format!("column `{name}` has new fields"));
                    field = field.with_data_type(both);
                }
                laid.push(as_laid(Some(fields.len())));
                fields.push(Arc::new(field));
                trust.push(Trust { strict: declared[at].is_none(), inferred: false });
                places.push(Place::Column(fields.len() - 1));
                continue;
            }
            let wanted = options
                .only
                .as_ref()
                .is_none_or(|only| only.contains(name) || only.contains(&names.original[at]));
            if let Some((data_type, path)) = evidence.refused() {
                if wanted {
                    return Err(unsupported(data_type, name, path));
                }
                laid.push(as_laid(None));
                places.push(Place::Ignored);
                continue;
            }
            if let Some((one, two)) = evidence.conflict() {
                return Err(Error::project(format!(
                    "files disagree about the type of column `{name}`: {} and {}",
                    word(&one),
                    word(&two)
                ))
                .hint("land them as two datasets and join them with SQL"));
            }
            let data_type = declared[at].clone().or_else(|| evidence.data_type());
            let place = match (data_type, options.on_new_column) {
                (_, OnNewColumn::Ignore) if is_new => {
                    notes.push(format!("column `{name}` is new and ignored"));
                    Place::Ignored
                }
                (None, _) => {
                    laid.push(as_laid(None));
                    untyped.push(name.clone());
                    Place::Untyped
                }
                (Some(data_type), OnNewColumn::Reject) if is_new => {
                    let original = &names.original[at];
                    let file = files.iter().find(|(_, columns)| {
                        columns.iter().any(|c| c == original || names.find(c) == Some(at))
                    });
                    let file = file.map_or("a file", |(path, _)| path.as_str());
                    return Err(Error::project(format!(
                        "`{file}` has a new column `{original}` ({})",
                        word(&data_type)
                    ))
                    .hint("set `on_new_column: add` to take it or `ignore` to leave it out"));
                }
                (Some(data_type), _) => {
                    if *name != names.original[at] {
                        notes.push(format!("column `{}` is kept as `{name}`", names.original[at]));
                    }
                    if is_new {
                        notes.push(format!("column `{name}` is new ({})", word(&data_type)));
                    }
                    laid.push(as_laid(Some(fields.len())));
                    fields.push(Arc::new(named_field(name, &names.original[at], data_type)));
                    let is_declared = declared[at].is_some();
                    trust.push(Trust { strict: !is_declared, inferred: !is_declared });
                    if wanted { Place::Column(fields.len() - 1) } else { Place::Ignored }
                }
            };
            places.push(place);
        }
        let schema = Arc::new(Schema::new_with_metadata(fields, known.metadata().clone()));
        Ok(Target {
            schema,
            trust,
            zone,
            on_new: options.on_new_column,
            names,
            places,
            untyped,
            laid,
            ignore_unseen: is_new && options.on_new_column == OnNewColumn::Ignore,
            settled,
        })
    }

    /// Where the column that a file calls `original` goes.
    pub fn place(&self, original: &str) -> Place {
        match self.names.find(original) {
            Some(at) => self.places[at],
            None if self.ignore_unseen => Place::Ignored,
            None => Place::Untyped,
        }
    }

    /// A batch of the schema; columns that the file lacks are null, rows marked as bad are left out.
    pub fn batch(
        &self,
        mut columns: Vec<Option<ArrayRef>>,
        rows: usize,
        keep: Option<&BooleanArray>,
    ) -> Result<RecordBatch> {
        columns.resize(self.schema.fields().len(), None);
        let columns = columns
            .into_iter()
            .zip(self.schema.fields())
            .map(|(column, field)| column.unwrap_or_else(|| new_null_array(field.data_type(), rows)))
            .collect();
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let defect = |error| Error::internal("columns of a batch do not fit together").caused_by(error);
        let batch =
            RecordBatch::try_new_with_options(self.schema.clone(), columns, &options).map_err(defect)?;
        match keep {
            None => Ok(batch),
            Some(keep) if batch.num_columns() == 0 => {
                let options = RecordBatchOptions::new().with_row_count(Some(keep.true_count()));
                RecordBatch::try_new_with_options(self.schema.clone(), vec![], &options).map_err(defect)
            }
            Some(keep) => filter_record_batch(&batch, keep).map_err(defect),
        }
    }
}

/// Row numbers of the rows that are kept, as short as they can be said.
pub fn row_numbers(numbers: Vec<i64>) -> RowNumbers {
    match (numbers.first(), numbers.last()) {
        (Some(first), Some(last)) if last - first + 1 == numbers.len() as i64 => {
            RowNumbers::From(*first as u64)
        }
        (None, _) => RowNumbers::From(1),
        _ => RowNumbers::Each(numbers.into()),
    }
}

/// Lossy text of a row, at most [`MAX_RAW`] bytes.
pub fn raw_text(bytes: &[u8]) -> String {
    let mut text = String::from_utf8_lossy(&bytes[..bytes.len().min(MAX_RAW)]).into_owned();
    while text.len() > MAX_RAW {
        text.pop();
    }
    text
}

/// The error about a column whose type the lake cannot hold.
pub fn unsupported(data_type: &DataType, name: &str, path: &str) -> Error {
    Error::project(format!(
        "column `{name}` of `{path}` has the type {data_type}, which the lake's tables cannot hold"
    ))
    .hint("write it as text, bigint or decimal where the file is made")
}

/// Only fields were added; no type that the table has was changed.
fn is_nested_addition(table: &DataType, both: &DataType) -> bool {
    match (table, both) {
        (DataType::Struct(old), DataType::Struct(new)) => old
            .iter()
            .zip(new)
            .all(|(o, n)| o.name() == n.name() && is_nested_addition(o.data_type(), n.data_type())),
        (DataType::List(old), DataType::List(new)) => is_nested_addition(old.data_type(), new.data_type()),
        _ => table == both,
    }
}

fn declared(wanted: &BTreeMap<String, DataType>, names: &Names) -> Result<Vec<Option<DataType>>> {
    let mut declared = vec![None; names.clean.len()];
    for (name, data_type) in wanted {
        let at = names
            .find(name)
            .or_else(|| names.clean.iter().position(|clean| clean == name))
            .or_else(|| names.clean.iter().position(|clean| clean.eq_ignore_ascii_case(name)));
        match at {
            Some(at) => declared[at] = Some(data_type.clone()),
            // Without any column (empty files) nobody can tell.
            None if names.clean.is_empty() => {}
            None => {
                return Err(Error::project(format!("`columns` declares `{name}`, which no file has"))
                    .hint(suggest::hint(name, &names.clean)));
            }
        }
    }
    Ok(declared)
}

/// Words that mean null.
#[derive(Debug)]
pub struct NullWords {
    words: Vec<Vec<u8>>,
    lengths: u64,
    /// Whether a word may be read as a value, in the grammar of inferred types and in that of declared ones.
    strict: bool,
    loose: bool,
}

impl NullWords {
    /// The words of `csv.nulls`, else the usual ones.
    pub fn new(words: Option<&[String]>) -> Self {
        let words: Vec<Vec<u8>> = match words {
            Some(words) => words.iter().map(|word| word.clone().into_bytes()).collect(),
            None => ["NA", "NULL", "null"].map(|word| word.as_bytes().to_vec()).to_vec(),
        };
        let lengths = words.iter().filter(|w| w.len() < 64).fold(1, |lengths, w| lengths | 1 << w.len());
        let like_values = |strict: bool| words.iter().any(|word| like_value(word, strict));
        let (strict, loose) = (like_values(true), like_values(false));
        NullWords { words, lengths, strict, loose }
    }

    /// Whether a word may be read as a value, so that it must be looked for first.
    pub fn come_first(&self, strict: bool) -> bool {
        if strict { self.strict } else { self.loose }
    }

    /// Whether an unquoted field means null.
    #[inline]
    pub fn holds(&self, field: &[u8]) -> bool {
        if field.is_empty() {
            return true;
        }
        if field.len() < 64 && self.lengths >> field.len() & 1 == 0 {
            return false;
        }
        self.words.iter().any(|word| word == field)
    }
}

/// Whether a word may be read as a value of some type besides text.
fn like_value(word: &[u8], strict: bool) -> bool {
    let zone = Zone::new(chrono_tz::Tz::UTC);
    scalar::int(word, strict).is_some()
        || scalar::double(word, strict).is_some()
        || scalar::boolean(word, strict).is_some()
        || scalar::decimal(word, 38, 9).is_some()
        || scalar::date(word).is_some()
        || scalar::timestamp(word, zone, strict).is_some()
}
