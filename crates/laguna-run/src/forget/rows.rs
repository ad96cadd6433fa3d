//! A version of a table without the rows that meet the condition. Files without such a row stay as they are; of the
//! others a copy is written, and compared by content with what must remain.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch, StringArray, new_null_array,
};
use arrow::compute::{can_cast_types, cast, filter_record_batch, not};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use datafusion::datasource::MemTable;
use datafusion::execution::SendableRecordBatchStream;
use futures::TryStreamExt;
use laguna_base::{Error, Result};
use laguna_query::Session;
use laguna_store::content::ContentHash;
use laguna_store::{DataFile, Snapshot, TableWriter, WriteOptions, types};
use serde_json::{Map, Value};

use super::Work;

const FORGOTTEN: &str = "__forgotten";
const ROW: &str = "__row";

/// How it is told whether a row is to be forgotten.
pub(super) enum Judge {
    /// By the columns of the table.
    Columns,
    /// Rows set aside: by the columns in their JSON where the condition's are all there, else by whether their text
    /// holds one of the condition's values as a word.
    Texts {
        /// The columns of the raw table.
        columns: SchemaRef,
    },
}

/// What remains of a version.
pub(super) struct Kept {
    pub files: Vec<DataFile>,
    /// Rows that are gone.
    pub removed: u64,
}

impl Work<'_> {
    /// `snapshot` without the rows that are to be forgotten.
    pub(super) async fn without(&mut self, snapshot: &Snapshot, judge: &Judge) -> Result<Kept> {
        let mut kept = Kept { files: Vec::new(), removed: 0 };
        for file in &snapshot.files {
            let one = Snapshot { files: vec![file.clone()], ..snapshot.clone() };
            let mut rows = self.judged(&one, judge).await?;
            let mut gone = 0;
            while let Some((_, forgotten)) = rows.next(self).await? {
                gone += forgotten.true_count() as u64;
            }
            if gone == 0 {
                kept.files.push(file.clone());
                continue;
            }
            kept.removed += gone;
            kept.files.extend(self.copy(&one, judge, gone).await?);
        }
        Ok(kept)
    }

    /// Writes the rows of one file that remain, and reads them back.
    async fn copy(&mut self, one: &Snapshot, judge: &Judge, gone: u64) -> Result<Vec<DataFile>> {
        let lake = self.context.lake();
        let options = WriteOptions { partition: one.partition_columns.clone(), ..WriteOptions::default() };
        let mut writer = TableWriter::new(lake, &one.table, one.schema.clone(), options)?;
        let mut wanted = ContentHash::default();
        let mut rows = self.judged(one, judge).await?;
        while let Some((batch, forgotten)) = rows.next(self).await? {
            let rest = not(&forgotten).and_then(|rest| filter_record_batch(&batch, &rest)).map_err(engine)?;
            let rest = types::normalize_batch(&rest, &one.schema)?;
            wanted.update(&rest);
            writer.write(rest).await?;
        }
        let files = writer.finish().await?.files;
        self.fresh.extend(files.iter().map(|file| (one.table.clone(), file.clone())));
        let found = self.content(&Snapshot { files: files.clone(), ..one.clone() }).await?;
        if found != wanted || found.rows + gone != one.rows() {
            return Err(Error::internal(format!("a file of {} was not copied as it must be", one.table))
                .hint("nothing was changed"));
        }
        Ok(files)
    }

    /// Hash of all rows of a version.
    pub(super) async fn content(&self, snapshot: &Snapshot) -> Result<ContentHash> {
        let mut content = ContentHash::default();
        let mut rows = self.session(snapshot).await?.execute("SELECT * FROM this").await?.stream;
        while let Some(batch) = rows.try_next().await.map_err(laguna_query::translate)? {
            content.update(&types::normalize_batch(&batch, &snapshot.schema)?);
        }
        Ok(content)
    }

    async fn judged<'j>(&self, snapshot: &Snapshot, judge: &'j Judge) -> Result<Judged<'j>> {
        let session = self.session(snapshot).await?;
        let sql = match judge {
            Judge::Columns => {
                format!("SELECT *, {} AS \"{FORGOTTEN}\" FROM this", self.predicate.expression())
            }
            Judge::Texts { .. } => "SELECT * FROM this".to_string(),
        };
        let stream = session.execute(&sql).await?.stream;
        Ok(Judged { session, stream, judge })
    }
}

/// Rows with what is to become of them.
struct Judged<'j> {
    session: Session,
    stream: SendableRecordBatchStream,
    judge: &'j Judge,
}

impl Judged<'_> {
    async fn next(&mut self, work: &Work<'_>) -> Result<Option<(RecordBatch, BooleanArray)>> {
        let Some(mut batch) = self.stream.try_next().await.map_err(laguna_query::translate)? else {
            return Ok(None);
        };
        let forgotten = match self.judge {
            Judge::Columns => {
                let last = batch.num_columns() - 1;
                batch.remove_column(last).as_boolean().clone()
            }
            Judge::Texts { columns } => by_text(work, &self.session, columns, &batch).await?,
        };
        Ok(Some((batch, forgotten)))
    }
}

/// Which rows set aside are to be forgotten.
async fn by_text(
    work: &Work<'_>,
    session: &Session,
    columns: &SchemaRef,
    batch: &RecordBatch,
) -> Result<BooleanArray> {
    let texts = |name: &str| -> Result<StringArray> {
        let column = batch.column_by_name(name).map(|column| cast(column, &DataType::Utf8));
        let column = column.transpose().map_err(engine)?;
        Ok(column
            .map_or_else(|| StringArray::new_null(batch.num_rows()), |column| column.as_string().clone()))
    };
    let (raw, row, reason) = (texts("raw")?, texts("row")?, texts("_reason")?);
    let needed = work.predicate.columns(columns);
    let objects: Vec<Option<Map<String, Value>>> = row
        .iter()
        .map(|text| serde_json::from_str::<Map<String, Value>>(text?).ok())
        .map(|object| object.filter(|object| needed.iter().all(|name| object.contains_key(name))))
        .collect();
    let mut forgotten: Vec<bool> = objects
        .iter()
        .enumerate()
        .map(|(place, object)| {
            let texts =
                [&raw, &row, &reason].map(|column| column.is_valid(place).then(|| column.value(place)));
            object.is_none()
                && texts
                    .into_iter()
                    .flatten()
                    .any(|text| work.predicate.values().iter().any(|value| holds_word(text, value)))
        })
        .collect();
    for place in by_json(work, session, columns, &objects).await? {
        forgotten[place] = true;
    }
    Ok(forgotten.into())
}

/// Places of the objects that meet the condition.
async fn by_json(
    work: &Work<'_>,
    session: &Session,
    columns: &SchemaRef,
    objects: &[Option<Map<String, Value>>],
) -> Result<Vec<usize>> {
    let mut fields = vec![Arc::new(Field::new(ROW, DataType::Int64, false))];
    let places = objects.iter().enumerate().filter(|(_, object)| object.is_some());
    let mut values: Vec<ArrayRef> =
        vec![Arc::new(Int64Array::from_iter_values(places.map(|(place, _)| place as i64)))];
    for field in columns.fields() {
        let text = objects.iter().flatten().map(|object| match object.get(field.name())? {
            Value::Null => None,
            Value::String(text) => Some(text.clone()),
            other => Some(other.to_string()),
        });
        let text: ArrayRef = Arc::new(text.collect::<StringArray>());
        values.push(match can_cast_types(&DataType::Utf8, field.data_type()) {
            // What cannot be read as the column's type is null.
            true => cast(&text, field.data_type()).map_err(engine)?,
            false => new_null_array(field.data_type(), text.len()),
        });
        fields.push(Arc::new(field.as_ref().clone().with_nullable(true)));
    }
    let schema = Arc::new(Schema::new(fields));
    let batch = RecordBatch::try_new(schema.clone(), values).map_err(engine)?;
    let table = MemTable::try_new(schema, vec![vec![batch]]).map_err(laguna_query::translate)?;
    session.register_this(Arc::new(table));
    let found = session.execute(&work.predicate.select(&format!("\"{ROW}\""))).await?;
    let found = laguna_query::collect(found).await?;
    Ok(found
        .iter()
        .flat_map(|batch| batch.column(0).as_primitive::<Int64Type>().values().to_vec())
        .map(|place| place as usize)
        .collect())
}

/// Whether `text` holds `value`, with nothing before and after it that would make it part of a longer word.
fn holds_word(text: &str, value: &str) -> bool {
    if value.is_empty() {
        return false;
    }
    let (text, value) = (text.to_lowercase(), value.to_lowercase());
    text.match_indices(&value).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        let after = text[at + value.len()..].chars().next();
        !before.is_some_and(char::is_alphanumeric) && !after.is_some_and(char::is_alphanumeric)
    })
}

fn engine(error: arrow::error::ArrowError) -> Error {
    laguna_query::translate(error.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_found_as_a_word() {
        assert!(holds_word("7,a@b.c,x", "A@b.c"));
        assert!(holds_word("7,a@b.c,x", "7"));
        assert!(!holds_word("17,aa@b.c,x", "7"));
        assert!(!holds_word("17,aa@b.c,x", "a@b.c"));
        assert!(!holds_word("anything", ""));
    }
}
