//! What the log says of the files of a snapshot, in the forms in which DataFusion asks for it.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, OnceLock};

use arrow::array::{ArrayRef, BooleanArray, UInt64Array};
use arrow::datatypes::{DataType, Field, SchemaRef, TimeUnit};
use datafusion::common::pruning::PruningStatistics;
use datafusion::common::stats::Precision;
use datafusion::common::{Column, ColumnStatistics, Statistics};
use datafusion::error::Result as DataFusionResult;
use datafusion::scalar::ScalarValue;

use crate::snapshot::ColumnRange;
use crate::{DataFile, Snapshot};

/// Value of a partition column in one file; `None` and the empty text are null.
pub(super) fn partition_value(file: &DataFile, field: &Field) -> DataFusionResult<ScalarValue> {
    match file.partition_values.get(field.name()) {
        Some(Some(text)) if !text.is_empty() => {
            ScalarValue::Utf8(Some(text.clone())).cast_to(field.data_type())
        }
        _ => ScalarValue::try_from(field.data_type()),
    }
}

/// Ranges of the columns in all files, each parsed from the log when it is first asked for.
#[derive(Debug)]
pub(super) struct FileStatistics {
    snapshot: Arc<Snapshot>,
    schema: SchemaRef,
    /// By column: a range for each file.
    ranges: HashMap<String, OnceLock<Vec<ColumnRange>>>,
}

impl FileStatistics {
    pub(super) fn new(snapshot: Arc<Snapshot>, schema: SchemaRef) -> FileStatistics {
        let ranges = schema.fields().iter().map(|field| (field.name().clone(), OnceLock::new())).collect();
        FileStatistics { snapshot, schema, ranges }
    }

    /// The range of a column in each file; nothing when there is no such column.
    fn ranges(&self, column: &str) -> &[ColumnRange] {
        let (Some(ranges), Some((_, field))) =
            (self.ranges.get(column), self.snapshot.schema.fields().find(column))
        else {
            return &[];
        };
        let is_partition = self.snapshot.partition_columns.iter().any(|name| name == column);
        ranges.get_or_init(|| {
            let of = |file| match is_partition {
                true => self.of_partition(file, column),
                false => file.range(field),
            };
            self.snapshot.files.iter().map(of).collect()
        })
    }

    fn of_partition(&self, file: &DataFile, column: &str) -> ColumnRange {
        let value =
            self.schema.fields().find(column).and_then(|(_, field)| partition_value(file, field).ok());
        let Some(value) = value else { return ColumnRange::default() };
        let nulls = if value.is_null() { file.rows } else { 0 };
        let value = (!value.is_null()).then_some(value);
        ColumnRange { min: value.clone(), max: value, nulls: Some(nulls) }
    }

    /// Statistics of `files` together, for the columns of `schema` at the places in `wanted`; row counts are exact.
    pub(super) fn merged(&self, files: &[usize], schema: &SchemaRef, wanted: &[usize]) -> Statistics {
        let of = |file: &usize| &self.snapshot.files[*file];
        let mut statistics = Statistics::new_unknown(schema);
        statistics.num_rows = Precision::Exact(files.iter().map(|file| of(file).rows as usize).sum());
        statistics.total_byte_size =
            Precision::Inexact(files.iter().map(|file| of(file).size as usize).sum());
        for place in wanted {
            let field = schema.field(*place);
            if !field.data_type().is_nested() {
                statistics.column_statistics[*place] = self.column(files, field);
            }
        }
        statistics
    }

    fn column(&self, files: &[usize], field: &Field) -> ColumnStatistics {
        let mut nulls = Some(0);
        let mut bounds: Option<(ScalarValue, ScalarValue)> = None;
        let mut known = true;
        let mut exact = true;
        let ranges = self.ranges(field.name());
        for file in files {
            let range = ranges.get(*file);
            let file_nulls = range.and_then(|range| range.nulls);
            nulls = nulls.zip(file_nulls).map(|(sum, more)| sum + more);
            if file_nulls == Some(self.snapshot.files[*file].rows) {
                continue;
            }
            let Some((min, max)) = range.and_then(|range| typed(range, field.data_type())) else {
                known = false;
                continue;
            };
            let partition = self.snapshot.partition_columns.contains(field.name());
            exact &= partition || (is_exact(&min) && is_exact(&max));
            bounds = Some(match bounds.take() {
                None => (min, max),
                Some((low, high)) => (if min < low { min } else { low }, if max > high { max } else { high }),
            });
        }
        let mut statistics = ColumnStatistics::new_unknown();
        if let Some(nulls) = nulls {
            statistics.null_count = Precision::Exact(nulls as usize);
        }
        if let (true, Some((min, max))) = (known, bounds) {
            let precision = |value| if exact { Precision::Exact(value) } else { Precision::Inexact(value) };
            statistics.min_value = precision(min);
            statistics.max_value = precision(max);
        }
        statistics
    }

    /// One value a file, null where it is not known.
    fn bounds(
        &self,
        column: &Column,
        pick: impl Fn((ScalarValue, ScalarValue)) -> ScalarValue,
    ) -> Option<ArrayRef> {
        let (_, field) = self.schema.fields().find(&column.name)?;
        let unknown = ScalarValue::try_from(field.data_type()).ok()?;
        let values: Vec<ScalarValue> = self
            .ranges(&column.name)
            .iter()
            .map(|range| typed(range, field.data_type()).map_or_else(|| unknown.clone(), &pick))
            .collect();
        if values.is_empty() {
            return None;
        }
        ScalarValue::iter_to_array(values).ok()
    }
}

impl PruningStatistics for FileStatistics {
    fn min_values(&self, column: &Column) -> Option<ArrayRef> {
        self.bounds(column, |(min, _)| min)
    }

    fn max_values(&self, column: &Column) -> Option<ArrayRef> {
        self.bounds(column, |(_, max)| widened(max))
    }

    fn num_containers(&self) -> usize {
        self.snapshot.files.len()
    }

    fn null_counts(&self, column: &Column) -> Option<ArrayRef> {
        let ranges = self.ranges(&column.name);
        let counts = ranges.iter().map(|range| range.nulls);
        (!ranges.is_empty()).then(|| Arc::new(UInt64Array::from_iter(counts)) as ArrayRef)
    }

    fn row_counts(&self) -> Option<ArrayRef> {
        Some(Arc::new(UInt64Array::from_iter_values(self.snapshot.files.iter().map(|file| file.rows))))
    }

    fn contained(&self, _column: &Column, _values: &HashSet<ScalarValue>) -> Option<BooleanArray> {
        None
    }
}

/// Both bounds in the type in which the column is read.
fn typed(range: &ColumnRange, data_type: &DataType) -> Option<(ScalarValue, ScalarValue)> {
    let cast = |value: &ScalarValue| {
        if value.data_type() == *data_type { Some(value.clone()) } else { value.cast_to(data_type).ok() }
    };
    let (min, max) = (cast(range.min.as_ref()?)?, cast(range.max.as_ref()?)?);
    (!min.is_null() && !max.is_null()).then_some((min, max))
}

/// Some writers cut timestamps in the log to milliseconds, which makes the largest too small by up to 999 µs.
fn widened(max: ScalarValue) -> ScalarValue {
    match max {
        ScalarValue::TimestampMicrosecond(Some(value), zone) if value % 1000 == 0 => {
            ScalarValue::TimestampMicrosecond(Some(value.saturating_add(999)), zone)
        }
        other => other,
    }
}

/// Whether a bound from the log is the value itself: text may be cut, decimals and floats pass through JSON numbers
/// (and NaN is left out), and a timestamp on a whole millisecond may have been cut to it.
fn is_exact(bound: &ScalarValue) -> bool {
    match bound {
        ScalarValue::TimestampMicrosecond(Some(value), _) => value % 1000 != 0,
        other => {
            let data_type = other.data_type();
            data_type.is_integer()
                || matches!(
                    data_type,
                    DataType::Boolean | DataType::Date32 | DataType::Timestamp(TimeUnit::Second, _)
                )
        }
    }
}
