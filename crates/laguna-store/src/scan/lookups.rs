//! Where in a file the rows with one value are: an index in memory of a column in which many values are, made beside the
//! second statement that looks for one. It saves decoding the whole column for a few rows.
//!
//! Files never change, so an index is right as long as it is there. It goes when nobody has asked for it for a while, so
//! that it does not outlive by long a file that was deleted to forget somebody.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arrow::array::{Array, ArrayRef, UInt32Array, make_comparator};
use arrow::compute::{SortOptions, concat, sort_to_indices};
use arrow::datatypes::DataType;
use datafusion::error::Result as DataFusionResult;
use datafusion::parquet::arrow::ProjectionMask;
use datafusion::parquet::arrow::arrow_reader::{RowSelection, RowSelector};
use datafusion::parquet::arrow::async_reader::{AsyncFileReader, ParquetRecordBatchStreamBuilder};
use datafusion::scalar::ScalarValue;
use futures::TryStreamExt;
use object_store::path::Path;

/// Bytes of all indexes of a process's lake.
const ROOM: usize = 64 << 20;
/// Bytes of one index, at most.
const LARGEST: usize = ROOM / 4;
/// How long an index is kept that nobody asks for.
const IDLE: Duration = Duration::from_secs(600);
/// Bytes of an entry without its index.
const ENTRY: usize = 256;

/// What reads a file.
pub(super) type Reader = Box<dyn AsyncFileReader>;

/// A file and the name of a column.
type Key = (Path, String);

/// The indexes of a lake.
#[derive(Debug, Default)]
pub(crate) struct Lookups {
    entries: Mutex<HashMap<Key, Entry>>,
}

#[derive(Debug)]
struct Entry {
    state: State,
    used: Instant,
}

#[derive(Debug)]
enum State {
    /// Somebody has looked for a value.
    Asked,
    /// It is being made, or cannot be.
    Absent,
    Ready(Arc<Index>),
}

impl Entry {
    fn bytes(&self) -> usize {
        match &self.state {
            State::Ready(index) => ENTRY + index.bytes(),
            _ => ENTRY,
        }
    }
}

/// The rows of a file in the order of a column.
#[derive(Debug)]
pub(crate) struct Index {
    values: ArrayRef,
    /// Numbers of the rows that are not null.
    rows: UInt32Array,
}

impl Lookups {
    /// The index of a column of the file at `path`, once there is one. The second time that somebody asks, it is made.
    pub(crate) fn index(
        self: &Arc<Self>,
        path: &Path,
        column: &str,
        reader: impl FnOnce() -> DataFusionResult<Reader>,
    ) -> Option<Arc<Index>> {
        let key = (path.clone(), column.to_string());
        let now = Instant::now();
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(entry) = entries.get_mut(&key) else {
            entries.retain(|_, entry| now.duration_since(entry.used) < IDLE);
            entries.insert(key, Entry { state: State::Asked, used: now });
            return None;
        };
        entry.used = now;
        match &entry.state {
            State::Ready(index) => return Some(index.clone()),
            State::Absent => return None,
            State::Asked => entry.state = State::Absent,
        }
        drop(entries);
        let Ok(reader) = reader() else { return None };
        let all = self.clone();
        tokio::spawn(async move {
            match make(reader, &key.1).await {
                Ok(Some(index)) => all.keep(key, index),
                Ok(None) => {}
                Err(error) => tracing::debug!(path = %key.0, column = key.1, %error, "no index is made"),
            }
        });
        None
    }

    fn keep(&self, key: Key, index: Index) {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.insert(key, Entry { state: State::Ready(Arc::new(index)), used: Instant::now() });
        let mut total: usize = entries.values().map(Entry::bytes).sum();
        while total > ROOM {
            let oldest = entries.iter().min_by_key(|(_, entry)| entry.used).map(|(key, _)| key.clone());
            let Some(gone) = oldest.and_then(|key| entries.remove(&key)) else { break };
            total -= gone.bytes();
        }
    }
}

/// Reads the column; `None` when the file has none of this name, or it takes too much room.
async fn make(reader: Reader, column: &str) -> Result<Option<Index>, BoxError> {
    let builder = ParquetRecordBatchStreamBuilder::new(reader).await?;
    let footer = builder.metadata().clone();
    let chunks = || {
        footer
            .row_groups()
            .iter()
            .flat_map(|group| group.columns())
            .filter(|c| c.column_path().parts() == [column])
    };
    let rows: i64 = footer.row_groups().iter().map(|group| group.num_rows()).sum();
    let bytes: i64 = chunks().map(|chunk| chunk.uncompressed_size()).sum();
    if chunks().count() != footer.row_groups().len() || bytes.saturating_add(12 * rows) > LARGEST as i64 {
        return Ok(None);
    }
    let mask = ProjectionMask::columns(builder.parquet_schema(), [column]);
    let batches: Vec<_> = builder.with_projection(mask).build()?.try_collect().await?;
    let index = tokio::task::spawn_blocking(move || -> Result<Option<Index>, BoxError> {
        let arrays: Vec<&dyn Array> = batches.iter().map(|batch| batch.column(0).as_ref()).collect();
        if arrays.is_empty() {
            return Ok(None);
        }
        let values = concat(&arrays)?;
        let present = values.len() - values.logical_null_count();
        let options = SortOptions { descending: false, nulls_first: false };
        let rows = sort_to_indices(&values, Some(options), None)?.slice(0, present);
        Ok(Some(Index { values, rows }).filter(|index| index.bytes() <= LARGEST))
    });
    index.await?
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;

impl Index {
    fn bytes(&self) -> usize {
        self.values.get_array_memory_size() + self.rows.get_array_memory_size()
    }

    /// The rows with one of `values`, in ascending order; `None` when the values are not of the column's type.
    pub(crate) fn rows_of(&self, values: &[&ScalarValue]) -> Option<Vec<u32>> {
        let mut found = Vec::new();
        for value in values {
            if value.is_null() {
                continue;
            }
            // Only what stays itself can be found.
            let fitted = value.cast_to(self.values.data_type()).ok()?;
            if fitted.is_null() || fitted.cast_to(&value.data_type()).ok()? != **value {
                return None;
            }
            let wanted = fitted.to_array().ok()?;
            let compare = make_comparator(&self.values, &wanted, SortOptions::default()).ok()?;
            let rows = self.rows.values();
            let start = rows.partition_point(|row| compare(*row as usize, 0).is_lt());
            found.extend(rows[start..].iter().take_while(|row| compare(**row as usize, 0).is_eq()));
        }
        found.sort_unstable();
        found.dedup();
        Some(found)
    }

    /// Rows of the file.
    fn len(&self) -> usize {
        self.values.len()
    }

    /// `rows`, in ascending order, as what a scan reads of the file.
    pub(crate) fn selection(&self, rows: &[u32]) -> RowSelection {
        let mut selectors: Vec<RowSelector> = Vec::new();
        let mut next = 0;
        for row in rows.iter().map(|row| *row as usize) {
            match selectors.last_mut() {
                Some(last) if row == next && !last.skip => last.row_count += 1,
                _ => {
                    if row > next {
                        selectors.push(RowSelector::skip(row - next));
                    }
                    selectors.push(RowSelector::select(1));
                }
            }
            next = row + 1;
        }
        if self.len() > next {
            selectors.push(RowSelector::skip(self.len() - next));
        }
        RowSelection::from(selectors)
    }
}

/// Whether values of a type are looked up: those that are equal exactly when their bytes are.
pub(crate) fn is_looked_up(data_type: &DataType) -> bool {
    data_type.is_integer()
        || data_type.is_decimal()
        || matches!(
            data_type,
            DataType::Utf8
                | DataType::Utf8View
                | DataType::Date32
                | DataType::Timestamp(..)
                | DataType::Binary
                | DataType::BinaryView
        )
}
