//! The one mapping from Arrow types to what Delta tables at reader version 1 hold (DECISIONS 12).

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray, MapArray, RecordBatch, StructArray, new_null_array};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Field, FieldRef, Fields, Schema, SchemaRef, TimeUnit};
use laguna_base::{Error, Result, TableName, suggest};
use serde_json::{Map, Value, json};

/// The schema under which rows of `schema` are stored: views and dictionaries become plain, timestamps become UTC
/// microseconds, unsigned 8-32 bits widen, UInt64 becomes decimal(20,0), LargeUtf8 becomes Utf8. Columns of type
/// Null are left out. Decimal256, Time, Interval, Duration: an error that names the column and suggests a cast.
pub fn normalize(schema: &SchemaRef) -> Result<SchemaRef> {
    let mut seen = HashSet::new();
    let mut fields = Vec::with_capacity(schema.fields().len());
    for field in schema.fields() {
        check_name(field.name())?;
        if !seen.insert(field.name().to_lowercase()) {
            return Err(Error::project(format!("two columns are called `{}`", field.name()))
                .hint("names must differ by more than case: rename one with AS"));
        }
        if plain(field.data_type()) != &DataType::Null {
            fields.push(normalize_field(field, field.name())?);
        }
    }
    Ok(Arc::new(Schema::new(fields)))
}

/// Casts `batch` to `schema` (as [`normalize`] gave it) by column name; no value is silently changed: what does not
/// fit is an error that names the column. Columns that the batch lacks are null.
pub fn normalize_batch(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    if batch.schema_ref().fields() == schema.fields() {
        return RecordBatch::try_new(schema.clone(), batch.columns().to_vec()).map_err(|error| {
            Error::internal("a batch does not fit the schema of its table").caused_by(error)
        });
    }
    let given = batch.schema_ref();
    for field in given.fields() {
        if schema.index_of(field.name()).is_err() && plain(field.data_type()) != &DataType::Null {
            let names = schema.fields().iter().map(|field| field.name()).collect::<Vec<_>>();
            return Err(Error::failed(format!("the table has no column `{}`", field.name()))
                .hint(suggest::hint(field.name(), names.iter().copied())));
        }
    }
    let columns = schema
        .fields()
        .iter()
        .map(|field| match given.index_of(field.name()) {
            Ok(index) => convert(batch.column(index), field.data_type(), field.name()),
            Err(_) => Ok(new_null_array(field.data_type(), batch.num_rows())),
        })
        .collect::<Result<Vec<_>>>()?;
    let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(schema.clone(), columns, &options)
        .map_err(|error| Error::internal("a batch does not fit the schema of its table").caused_by(error))
}

/// A schema as JSON (Delta's schema string), for releases and manifests.
pub fn schema_to_json(schema: &SchemaRef) -> Result<String> {
    Ok(struct_to_json(schema.fields())?.to_string())
}

/// The inverse of [`schema_to_json`].
pub fn schema_from_json(text: &str) -> Result<SchemaRef> {
    let damaged = || Error::stored("the schema of a table is damaged");
    let value: Value = serde_json::from_str(text).map_err(|error| damaged().caused_by(error))?;
    match type_from_json(&value)? {
        DataType::Struct(fields) => Ok(Arc::new(Schema::new(fields))),
        _ => Err(damaged()),
    }
}

/// `known` with the columns that only `new` has, also inside structs; a column of another type is an error.
pub(crate) fn merge(table: &TableName, known: &SchemaRef, new: &SchemaRef) -> Result<SchemaRef> {
    Ok(Arc::new(Schema::new(merge_fields(table, known.fields(), new.fields(), "")?)))
}

fn merge_fields(table: &TableName, known: &Fields, new: &Fields, path: &str) -> Result<Fields> {
    let mut fields = known.to_vec();
    for field in new {
        let column = format!("{path}{}", field.name());
        let at = fields.iter().position(|known| known.name().eq_ignore_ascii_case(field.name()));
        match at {
            None => fields.push(Arc::new(field.as_ref().clone().with_nullable(true))),
            Some(at) if fields[at].name() != field.name() => {
                return Err(Error::failed(format!(
                    "the column `{column}` of {table} differs from `{}` only by case",
                    fields[at].name()
                )));
            }
            Some(at) => {
                let merged = merge_types(table, fields[at].data_type(), field.data_type(), &column)?;
                fields[at] = Arc::new(fields[at].as_ref().clone().with_data_type(merged));
            }
        }
    }
    Ok(fields.into())
}

fn merge_types(table: &TableName, known: &DataType, new: &DataType, column: &str) -> Result<DataType> {
    match (known, new) {
        (known, new) if known == new => Ok(known.clone()),
        (DataType::Struct(a), DataType::Struct(b)) => {
            Ok(DataType::Struct(merge_fields(table, a, b, &format!("{column}."))?))
        }
        (DataType::List(a), DataType::List(b)) => {
            let item = merge_types(table, a.data_type(), b.data_type(), &format!("{column}.element"))?;
            Ok(DataType::List(Arc::new(a.as_ref().clone().with_data_type(item))))
        }
        _ => {
            Err(Error::failed(format!("the column `{column}` of {table} is {known} and cannot become {new}"))
                .hint("declare its type under `columns:`, or cast it"))
        }
    }
}

fn check_name(name: &str) -> Result<()> {
    let refused = |c: char| " ,;{}()\n\r\t=".contains(c);
    if name.is_empty() {
        return Err(Error::project("a column has no name").hint("name it with AS"));
    }
    if name.contains(refused) {
        // Words that need no quotes in SQL: `count(*)` becomes `count`.
        let words: Vec<String> = name
            .to_lowercase()
            .split(|c: char| !c.is_alphanumeric())
            .filter(|word| !word.is_empty())
            .map(str::to_string)
            .collect();
        let clean = match words.join("_") {
            clean if clean.starts_with(|c: char| c.is_alphabetic()) => clean,
            clean => format!("column_{clean}").trim_end_matches('_').to_string(),
        };
        return Err(Error::project(format!("`{name}` cannot be the name of a column"))
            .hint(format!("Delta refuses spaces and ,;{{}}()= in names: write AS {clean}")));
    }
    Ok(())
}

/// The type behind dictionary and run-end encoding.
fn plain(data_type: &DataType) -> &DataType {
    match data_type {
        DataType::Dictionary(_, value) => plain(value),
        DataType::RunEndEncoded(_, values) => plain(values.data_type()),
        other => other,
    }
}

fn normalize_field(field: &Field, path: &str) -> Result<FieldRef> {
    let data_type = normalize_type(field.data_type(), path)?;
    let metadata: HashMap<String, String> = field
        .metadata()
        .iter()
        .filter(|(key, _)| !key.starts_with("PARQUET:") && !key.starts_with("ARROW:"))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    Ok(Arc::new(Field::new(field.name(), data_type, true).with_metadata(metadata)))
}

fn normalize_type(data_type: &DataType, path: &str) -> Result<DataType> {
    use DataType::*;
    Ok(match data_type {
        Boolean | Int8 | Int16 | Int32 | Int64 | Float32 | Float64 | Utf8 | Binary | Date32 => {
            data_type.clone()
        }
        UInt8 => Int16,
        UInt16 => Int32,
        UInt32 => Int64,
        UInt64 => Decimal128(20, 0),
        Float16 => Float32,
        Decimal32(precision, scale) | Decimal64(precision, scale) | Decimal128(precision, scale) => {
            if *scale < 0 || *scale as u8 > *precision {
                let wanted = (i16::from(*precision) - i16::from(*scale).min(0)).clamp(1, 38);
                return Err(refused(data_type, path, &format!("decimal({wanted}, {})", (*scale).max(0))));
            }
            Decimal128(*precision, *scale)
        }
        Timestamp(_, _) => utc_micros(),
        Date64 => Date32,
        LargeUtf8 | Utf8View => Utf8,
        LargeBinary | BinaryView | FixedSizeBinary(_) => Binary,
        Dictionary(_, value) => normalize_type(value, path)?,
        RunEndEncoded(_, values) => normalize_type(values.data_type(), path)?,
        List(item) | LargeList(item) | FixedSizeList(item, _) | ListView(item) | LargeListView(item) => {
            List(list_item(normalize_type(item.data_type(), &format!("{path}.element"))?))
        }
        Struct(fields) => {
            if fields.is_empty() {
                return Err(refused(data_type, path, "varchar"));
            }
            Struct(
                fields
                    .iter()
                    .map(|field| normalize_field(field, &format!("{path}.{}", field.name())))
                    .collect::<Result<Fields>>()?,
            )
        }
        Map(entries, _) => match entries.data_type() {
            Struct(fields) if fields.len() == 2 => map_type(
                normalize_type(fields[0].data_type(), &format!("{path}.key"))?,
                normalize_type(fields[1].data_type(), &format!("{path}.value"))?,
            ),
            _ => return Err(refused(data_type, path, "varchar")),
        },
        Null => return Err(refused(data_type, path, "varchar")),
        Decimal256(_, _) => return Err(refused(data_type, path, "decimal(38, 10)")),
        Time32(_) | Time64(_) => return Err(refused(data_type, path, "varchar")),
        Duration(_) => return Err(refused(data_type, path, "bigint")),
        Interval(_) => return Err(refused(data_type, path, "varchar")),
        _ => return Err(refused(data_type, path, "varchar")),
    })
}

fn refused(data_type: &DataType, path: &str, instead: &str) -> Error {
    Error::project(format!("the column `{path}` has the type {data_type}, which a Delta table cannot hold"))
        .hint(format!("cast it: CAST({path} AS {instead})"))
}

fn utc_micros() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

fn list_item(data_type: DataType) -> FieldRef {
    Arc::new(Field::new("element", data_type, true))
}

fn map_type(key: DataType, value: DataType) -> DataType {
    let entries = Fields::from(vec![Field::new("key", key, false), Field::new("value", value, true)]);
    DataType::Map(Arc::new(Field::new("key_value", DataType::Struct(entries), false)), false)
}

fn convert(array: &ArrayRef, to: &DataType, column: &str) -> Result<ArrayRef> {
    use DataType::*;
    let from = array.data_type();
    if from == to {
        return Ok(array.clone());
    }
    let unfit = |error: arrow::error::ArrowError| {
        Error::failed(format!("a value of column `{column}` does not fit {to}")).caused_by(error)
    };
    match (plain(from), to) {
        (Null, _) => Ok(new_null_array(to, array.len())),
        (List(_), List(item)) => {
            let lists = array.as_list::<i32>();
            let values = convert(lists.values(), item.data_type(), column)?;
            let list =
                ListArray::try_new(item.clone(), lists.offsets().clone(), values, lists.nulls().cloned());
            Ok(Arc::new(list.map_err(unfit)?))
        }
        (LargeList(item) | FixedSizeList(item, _) | ListView(item) | LargeListView(item), List(_)) => {
            let list = cast_with_options(array, &List(item.clone()), &strict()).map_err(unfit)?;
            convert(&list, to, column)
        }
        (Struct(_), Struct(fields)) => {
            let given = array.as_struct();
            let columns = fields
                .iter()
                .map(|field| match given.column_by_name(field.name()) {
                    Some(child) => convert(child, field.data_type(), &format!("{column}.{}", field.name())),
                    None => Ok(new_null_array(field.data_type(), array.len())),
                })
                .collect::<Result<Vec<_>>>()?;
            if let Some(extra) =
                given.fields().iter().find(|field| !fields.iter().any(|known| known.name() == field.name()))
            {
                return Err(Error::failed(format!("the column `{column}` has no field `{}`", extra.name())));
            }
            let made = StructArray::try_new_with_length(
                fields.clone(),
                columns,
                given.nulls().cloned(),
                given.len(),
            );
            Ok(Arc::new(made.map_err(unfit)?))
        }
        (Map(_, _), Map(entries, sorted)) => {
            let maps = array.as_map();
            let Struct(fields) = entries.data_type() else {
                return Err(Error::internal(format!("the map `{column}` has no entries")));
            };
            let columns = vec![
                convert(maps.keys(), fields[0].data_type(), column)?,
                convert(maps.values(), fields[1].data_type(), column)?,
            ];
            let pairs = StructArray::try_new(fields.clone(), columns, None).map_err(unfit)?;
            let made = MapArray::try_new(
                entries.clone(),
                maps.offsets().clone(),
                pairs,
                maps.nulls().cloned(),
                *sorted,
            );
            Ok(Arc::new(made.map_err(unfit)?))
        }
        (plain_from, _) => match fit(plain_from, to) {
            Fit::Exact => cast_with_options(array, to, &strict()).map_err(unfit),
            Fit::Checked => {
                let cast = cast_with_options(array, to, &strict()).map_err(unfit)?;
                let back = cast_with_options(&cast, from, &strict()).map_err(unfit)?;
                if back.as_ref() != array.as_ref() {
                    return Err(Error::failed(format!("a value of column `{column}` would change as {to}"))
                        .hint("round or cast it explicitly"));
                }
                Ok(cast)
            }
            Fit::No => Err(Error::failed(format!("the column `{column}` is {to} and cannot take {from}"))
                .hint("cast it explicitly")),
        },
    }
}

fn strict() -> CastOptions<'static> {
    CastOptions { safe: false, ..CastOptions::default() }
}

/// Whether a cast keeps the value.
enum Fit {
    /// Always, or Arrow reports the overflow.
    Exact,
    /// Only for some values: the way back must give the same.
    Checked,
    No,
}

fn fit(from: &DataType, to: &DataType) -> Fit {
    use DataType::*;
    let text = |t: &DataType| matches!(t, Utf8 | LargeUtf8 | Utf8View);
    let bytes = |t: &DataType| matches!(t, Binary | LargeBinary | BinaryView | FixedSizeBinary(_));
    let decimal =
        |t: &DataType| matches!(t, Decimal32(_, _) | Decimal64(_, _) | Decimal128(_, _) | Decimal256(_, _));
    if from == to || (text(from) && text(to)) || (bytes(from) && bytes(to)) {
        return Fit::Exact;
    }
    match (from, to) {
        (Timestamp(_, _), Timestamp(_, _)) | (Date64, Date32) => Fit::Exact,
        (from, to) if from.is_integer() && to.is_integer() => Fit::Exact,
        (Float16, Float32 | Float64) | (Float32, Float64) => Fit::Exact,
        (from, to) if from.is_numeric() && to.is_numeric() => {
            if decimal(from) && decimal(to) && scale(to) >= scale(from) { Fit::Exact } else { Fit::Checked }
        }
        _ => Fit::No,
    }
}

fn scale(data_type: &DataType) -> i8 {
    match data_type {
        DataType::Decimal32(_, scale)
        | DataType::Decimal64(_, scale)
        | DataType::Decimal128(_, scale)
        | DataType::Decimal256(_, scale) => *scale,
        _ => 0,
    }
}

fn struct_to_json(fields: &Fields) -> Result<Value> {
    let fields = fields
        .iter()
        .map(|field| {
            let mut keys: Vec<&String> = field.metadata().keys().collect();
            keys.sort();
            let metadata: Map<String, Value> = keys
                .into_iter()
                .map(|key| (key.clone(), Value::from(field.metadata()[key].as_str())))
                .collect();
            Ok(json!({
                "name": field.name(),
                "type": type_to_json(field.data_type(), field.name())?,
                "nullable": field.is_nullable(),
                "metadata": metadata,
            }))
        })
        .collect::<Result<Vec<_>>>()?;
    Ok(json!({"type": "struct", "fields": fields}))
}

fn type_to_json(data_type: &DataType, column: &str) -> Result<Value> {
    use DataType::*;
    Ok(match data_type {
        Boolean => json!("boolean"),
        Int8 => json!("byte"),
        Int16 => json!("short"),
        Int32 => json!("integer"),
        Int64 => json!("long"),
        Float32 => json!("float"),
        Float64 => json!("double"),
        Utf8 => json!("string"),
        Binary => json!("binary"),
        Date32 => json!("date"),
        Timestamp(TimeUnit::Microsecond, Some(_)) => json!("timestamp"),
        Timestamp(TimeUnit::Microsecond, None) => json!("timestamp_ntz"),
        Decimal128(precision, scale) => json!(format!("decimal({precision},{scale})")),
        List(item) => json!({
            "type": "array",
            "elementType": type_to_json(item.data_type(), column)?,
            "containsNull": item.is_nullable(),
        }),
        Map(entries, _) => match entries.data_type() {
            Struct(fields) if fields.len() == 2 => json!({
                "type": "map",
                "keyType": type_to_json(fields[0].data_type(), column)?,
                "valueType": type_to_json(fields[1].data_type(), column)?,
                "valueContainsNull": fields[1].is_nullable(),
            }),
            _ => return Err(Error::internal(format!("the map `{column}` has no entries"))),
        },
        Struct(fields) => struct_to_json(fields)?,
        other => {
            return Err(Error::internal(format!(
                "the column `{column}` has the type {other}, which is not normalised"
            )));
        }
    })
}

fn type_from_json(value: &Value) -> Result<DataType> {
    let unknown = || Error::stored(format!("a table has a column of type {value}, which is not known here"));
    if let Some(name) = value.as_str() {
        return Ok(match name {
            "boolean" => DataType::Boolean,
            "byte" => DataType::Int8,
            "short" => DataType::Int16,
            "integer" => DataType::Int32,
            "long" => DataType::Int64,
            "float" => DataType::Float32,
            "double" => DataType::Float64,
            "string" => DataType::Utf8,
            "binary" => DataType::Binary,
            "date" => DataType::Date32,
            "timestamp" => utc_micros(),
            "timestamp_ntz" => DataType::Timestamp(TimeUnit::Microsecond, None),
            "decimal" => DataType::Decimal128(10, 0),
            _ => {
                let inner = name.strip_prefix("decimal(").and_then(|rest| rest.strip_suffix(')'));
                let (precision, scale) = inner.and_then(|inner| inner.split_once(',')).ok_or_else(unknown)?;
                let precision: u8 = precision.trim().parse().map_err(|_| unknown())?;
                let scale: i8 = scale.trim().parse().map_err(|_| unknown())?;
                if !(1..=38).contains(&precision) || scale < 0 || scale as u8 > precision {
                    return Err(unknown());
                }
                DataType::Decimal128(precision, scale)
            }
        });
    }
    match value["type"].as_str() {
        Some("struct") => {
            let fields = value["fields"].as_array().ok_or_else(unknown)?;
            Ok(DataType::Struct(fields.iter().map(field_from_json).collect::<Result<Fields>>()?))
        }
        Some("array") => {
            let contains_null = value["containsNull"].as_bool().unwrap_or(true);
            let item = Field::new("element", type_from_json(&value["elementType"])?, contains_null);
            Ok(DataType::List(Arc::new(item)))
        }
        Some("map") => {
            let contains_null = value["valueContainsNull"].as_bool().unwrap_or(true);
            let entries = Fields::from(vec![
                Field::new("key", type_from_json(&value["keyType"])?, false),
                Field::new("value", type_from_json(&value["valueType"])?, contains_null),
            ]);
            Ok(DataType::Map(Arc::new(Field::new("key_value", DataType::Struct(entries), false)), false))
        }
        _ => Err(unknown()),
    }
}

fn field_from_json(value: &Value) -> Result<FieldRef> {
    let name =
        value["name"].as_str().ok_or_else(|| Error::stored("a column in a table's schema has no name"))?;
    let metadata: HashMap<String, String> = value["metadata"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(key, value)| (key.clone(), value.as_str().map_or_else(|| value.to_string(), str::to_string)))
        .collect();
    let nullable = value["nullable"].as_bool().unwrap_or(true);
    Ok(Arc::new(Field::new(name, type_from_json(&value["type"])?, nullable).with_metadata(metadata)))
}
