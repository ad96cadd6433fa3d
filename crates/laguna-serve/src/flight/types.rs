//! Columns as clients of any age understand them: views, dictionaries and other layouts of the engine become plain ones.
//!
//! The columns that a statement is announced with are those that its batches have: every batch is made to fit them.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use laguna_base::{Error, Result};

/// The columns of an answer as they are sent. All may be null: what the engine promises about nulls differs between a plan
/// and its rows, and some clients compare.
pub(super) fn sent(schema: &Schema) -> SchemaRef {
    let field = |field: &FieldRef| {
        Field::new(field.name(), plain(field.data_type()), true).with_metadata(field.metadata().clone())
    };
    Arc::new(Schema::new(schema.fields().iter().map(field).collect::<Vec<_>>()))
}

/// The columns of a table as they are told.
pub(super) fn told(schema: &Schema) -> Schema {
    Schema::new(schema.fields().iter().map(inner).collect::<Vec<_>>())
}

/// The same values in a layout that every client reads.
fn plain(data_type: &DataType) -> DataType {
    use DataType::*;
    match data_type {
        Utf8View => Utf8,
        BinaryView => Binary,
        Dictionary(_, values) => plain(values),
        RunEndEncoded(_, values) => plain(values.data_type()),
        Decimal32(precision, scale) | Decimal64(precision, scale) => Decimal128(*precision, *scale),
        List(item) | ListView(item) => List(inner(item)),
        LargeList(item) | LargeListView(item) => LargeList(inner(item)),
        FixedSizeList(item, size) => FixedSizeList(inner(item), *size),
        Struct(fields) => Struct(fields.iter().map(inner).collect()),
        Map(entries, sorted) => Map(inner(entries), *sorted),
        other => other.clone(),
    }
}

fn inner(field: &FieldRef) -> FieldRef {
    match plain(field.data_type()) {
        same if same == *field.data_type() => field.clone(),
        plain => {
            let metadata = field.metadata().clone();
            Arc::new(Field::new(field.name(), plain, field.is_nullable()).with_metadata(metadata))
        }
    }
}

/// The batch with the columns that were announced.
pub(super) fn fit(batch: &RecordBatch, columns: &SchemaRef) -> Result<RecordBatch> {
    let differ = || Error::internal("the rows do not have the columns that the statement was announced with");
    if batch.num_columns() != columns.fields().len() {
        return Err(differ());
    }
    // A value that does not fit must not silently become null.
    let options = CastOptions { safe: false, ..Default::default() };
    let fitted = batch.columns().iter().zip(columns.fields()).map(|(column, field)| {
        match column.data_type() == field.data_type() {
            true => Ok(column.clone()),
            false => cast_with_options(column, field.data_type(), &options),
        }
    });
    let fitted: Vec<ArrayRef> =
        fitted.collect::<Result<_, _>>().map_err(|error| differ().caused_by(error))?;
    let rows = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(columns.clone(), fitted, &rows)
        .map_err(|error| differ().caused_by(error))
}

#[cfg(test)]
mod tests {
    use arrow::array::{
        AsArray, BinaryViewArray, DictionaryArray, Int32Array, ListBuilder, StringViewArray,
        StringViewBuilder, StructArray,
    };
    use arrow::datatypes::Int32Type;

    use super::*;

    #[test]
    fn layouts_of_the_engine_become_plain_ones_also_inside_others() {
        let text: ArrayRef = Arc::new(StringViewArray::from(vec![Some("a"), None]));
        let bytes: ArrayRef = Arc::new(BinaryViewArray::from(vec![Some(b"a".as_slice()), None]));
        let words: ArrayRef = Arc::new(vec!["x", "x"].into_iter().collect::<DictionaryArray<Int32Type>>());
        let mut lists = ListBuilder::new(StringViewBuilder::new());
        lists.append_value([Some("a"), None]);
        lists.append_null();
        let lists: ArrayRef = Arc::new(lists.finish());
        let view = Arc::new(Field::new("a", DataType::Utf8View, true));
        let number: ArrayRef = Arc::new(Int32Array::from(vec![1, 2]));
        let both = StructArray::from(vec![
            (view, text.clone()),
            (Arc::new(Field::new("b", DataType::Int32, false)), number),
        ]);
        let batch = RecordBatch::try_from_iter_with_nullable(vec![
            ("text", text, true),
            ("bytes", bytes, true),
            ("words", words, false),
            ("lists", lists, true),
            ("both", Arc::new(both) as ArrayRef, false),
        ])
        .unwrap();
        let columns = sent(&batch.schema());
        let fitted = fit(&batch, &columns).unwrap();
        assert_eq!(fitted.schema(), columns);
        let types: Vec<String> = columns.fields().iter().map(|field| field.data_type().to_string()).collect();
        assert!(!types.join(" ").contains("View"), "{types:?}");
        assert_eq!(types[2], "Utf8");
        assert_eq!(fitted.column(0).as_string::<i32>().value(0), "a");
        assert!(fitted.column(3).is_null(1));
    }

    #[test]
    fn rows_without_columns_are_counted() {
        let none: SchemaRef = Arc::new(Schema::empty());
        let rows = RecordBatchOptions::new().with_row_count(Some(3));
        let batch = RecordBatch::try_new_with_options(none.clone(), vec![], &rows).unwrap();
        assert_eq!(fit(&batch, &none).unwrap().num_rows(), 3);
    }
}
