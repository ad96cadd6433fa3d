//! Batches that come with types: to the types of the lake, and to the columns of the target.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, RecordBatch};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use laguna_base::{Error, Result};

use super::{BadRow, Parsed, Stop};
use crate::evidence::{Evidence, Findings, unify};
use crate::names::distinct;
use crate::scalar::Zone;
use crate::target::{Place, Target, row_numbers, unsupported};
use crate::types::{instant, word};

/// The columns of a file and their types in the lake.
pub fn findings(schema: &Schema, path: &str) -> Findings {
    let mut findings = Findings::default();
    for (name, field) in names(schema).iter().zip(schema.fields()) {
        let found = match normal(field.data_type(), name, path) {
            Ok(Some(data_type)) => Evidence::exactly(data_type).written_as(field.data_type().clone()),
            Ok(None) => Evidence::default(),
            // It matters only to those who want the column.
            Err(_) => Evidence::refuse(field.data_type().clone(), path),
        };
        findings.column(name).merge(found);
    }
    findings
}

pub fn names(schema: &Schema) -> Vec<String> {
    distinct(schema.fields().iter().map(|field| field.name().clone()).collect())
}

/// The lake's type of a file's type; `None` for a column that holds nothing.
fn normal(data_type: &DataType, name: &str, path: &str) -> Result<Option<DataType>> {
    use DataType::*;
    let nested = |field: &Arc<Field>| -> Result<Option<Arc<Field>>> {
        let Some(inner) = normal(field.data_type(), name, path)? else { return Ok(None) };
        Ok(Some(Arc::new(Field::new(field.name(), inner, true))))
    };
    Ok(Some(match data_type {
        Null => return Ok(None),
        Boolean | Int8 | Int16 | Int32 | Int64 | Float32 | Float64 | Date32 | Utf8 | Binary => {
            data_type.clone()
        }
        UInt8 => Int16,
        UInt16 => Int32,
        UInt32 => Int64,
        UInt64 => Decimal128(20, 0),
        Float16 => Float32,
        LargeUtf8 | Utf8View => Utf8,
        LargeBinary | BinaryView | FixedSizeBinary(_) => Binary,
        Date64 | Timestamp(..) => instant(),
        Decimal32(p, s) | Decimal64(p, s) | Decimal128(p, s) if *s >= 0 && *s <= *p as i8 => {
            Decimal128(*p, *s)
        }
        Dictionary(_, values) => return normal(values, name, path),
        RunEndEncoded(_, values) => return normal(values.data_type(), name, path),
        List(item) | LargeList(item) | ListView(item) | LargeListView(item) | FixedSizeList(item, _) => {
            let Some(item) = nested(item)? else { return Ok(None) };
            List(Arc::new(item.as_ref().clone().with_name("element")))
        }
        Struct(fields) => {
            let inner = fields.iter().filter_map(|f| nested(f).transpose()).collect::<Result<Vec<_>>>()?;
            if inner.is_empty() {
                return Ok(None);
            }
            Struct(inner.into())
        }
        Map(entries, sorted) => {
            let Struct(pair) = entries.data_type() else { return Err(unsupported(data_type, name, path)) };
            let [key, value] = pair.as_ref() else { return Err(unsupported(data_type, name, path)) };
            let (Some(key), Some(value)) = (nested(key)?, nested(value)?) else { return Ok(None) };
            let key = Arc::new(key.as_ref().clone().with_nullable(false).with_name("key"));
            let value = Arc::new(value.as_ref().clone().with_name("value"));
            Map(Arc::new(Field::new("key_value", Struct(vec![key, value].into()), false)), *sorted)
        }
        other => return Err(unsupported(other, name, path)),
    }))
}

/// A batch in the target's schema. A value that its column cannot hold exactly sets its row aside.
pub fn fit(
    batch: &RecordBatch,
    target: &Target,
    path: &str,
    zone: Zone,
    first_row: u64,
) -> Result<Parsed, Stop> {
    let rows = batch.num_rows();
    let mut columns: Vec<Option<ArrayRef>> = vec![None; target.schema.fields().len()];
    let mut faults: Vec<(usize, String)> = Vec::new();
    for (name, array) in names(&batch.schema()).iter().zip(batch.columns()) {
        match target.place(name) {
            Place::Ignored => {}
            Place::Untyped if array.logical_null_count() == rows => {}
            Place::Untyped if normal(array.data_type(), name, path)?.is_none() => {}
            Place::Untyped => return Err(Stop::Contradiction),
            Place::Column(at) => {
                let field = target.schema.field(at);
                let (fitted, misfits) = column(array, field, path, zone)?;
                for row in misfits {
                    faults.push((
                        row,
                        format!("column `{}`: a value is not a {}", field.name(), word(field.data_type())),
                    ));
                }
                columns[at] = Some(fitted);
            }
        }
    }
    faults.sort_by_key(|(row, _)| *row);
    faults.dedup_by_key(|(row, _)| *row);
    let mut bad = Vec::new();
    let mut keep = vec![true; rows];
    for (row, reason) in faults {
        keep[row] = false;
        let json = json_of(batch, row);
        bad.push(BadRow { row: first_row + row as u64, raw: json.clone().unwrap_or_default(), json, reason });
    }
    let numbers = (0..rows).filter(|row| keep[*row]).map(|row| first_row as i64 + row as i64).collect();
    let mask = (!bad.is_empty()).then(|| BooleanArray::from(keep));
    let batch = target.batch(columns, rows, mask.as_ref())?;
    Ok(Parsed { batch, rows: row_numbers(numbers), bad })
}

/// One column as `field` wants it, and the rows whose value does not fit.
fn column(array: &ArrayRef, field: &Field, path: &str, zone: Zone) -> Result<(ArrayRef, Vec<usize>), Stop> {
    let wanted = field.data_type();
    if array.data_type() == wanted {
        return Ok((array.clone(), Vec::new()));
    }
    let name = field.name();
    let mut from = array.clone();
    if let DataType::Timestamp(unit, None) = array.data_type()
        && matches!(wanted, DataType::Timestamp(..))
    {
        from = local_instants(&from, *unit, zone)?;
    }
    let natural = normal(array.data_type(), name, path)?;
    let allowed = natural
        .as_ref()
        .is_none_or(|natural| unify(natural, wanted).is_some() || exact_pair(natural, wanted));
    if !allowed {
        let natural = natural.as_ref().map(word).unwrap_or_default();
        return Err(Stop::Error(
            Error::project(format!(
                "column `{name}` of `{path}` is {natural}, the table has {}",
                word(wanted)
            ))
            .hint("a changed type is never silently cast: land these files as a dataset of their own"),
        ));
    }
    let options = CastOptions { safe: true, ..Default::default() };
    let cast = cast_with_options(&from, wanted, &options).map_err(|error| {
        Error::project(format!("column `{name}` of `{path}` cannot be read as {}", word(wanted)))
            .caused_by(error)
    })?;
    let misfits = match from.logical_null_count() == cast.logical_null_count() {
        true => Vec::new(),
        false => (0..cast.len()).filter(|row| cast.is_null(*row) && !from.is_null(*row)).collect(),
    };
    Ok((cast, misfits))
}

/// Pairs whose values are either exact or refused by a safe cast.
fn exact_pair(from: &DataType, to: &DataType) -> bool {
    use DataType::*;
    match (from, to) {
        (Int8 | Int16 | Int32, Float64) | (Int8 | Int16, Float32) => true,
        (Int8 | Int16 | Int32 | Int64, Decimal128(..)) => true,
        (_, Utf8) => !from.is_nested() && !matches!(from, Binary),
        (Date32, Timestamp(..)) => true,
        _ => false,
    }
}

/// Timestamps without zone as instants of the source's time zone.
fn local_instants(array: &ArrayRef, unit: TimeUnit, zone: Zone) -> Result<ArrayRef> {
    use arrow::array::{AsArray, PrimitiveArray};
    use arrow::datatypes::TimestampMicrosecondType as Micros;
    let defect = |error| Error::internal("timestamps cannot be read").caused_by(error);
    let micros = match unit {
        TimeUnit::Microsecond => array.clone(),
        _ => cast_with_options(
            array,
            &DataType::Timestamp(TimeUnit::Microsecond, None),
            &CastOptions::default(),
        )
        .map_err(defect)?,
    };
    let array: PrimitiveArray<Micros> = micros.as_primitive::<Micros>().unary_opt(|local| zone.to_utc(local));
    Ok(Arc::new(array.with_timezone("UTC")))
}

fn json_of(batch: &RecordBatch, row: usize) -> Option<String> {
    let mut writer = arrow::json::LineDelimitedWriter::new(Vec::new());
    writer.write(&batch.slice(row, 1)).ok()?;
    writer.finish().ok()?;
    let text = String::from_utf8(writer.into_inner()).ok()?;
    (text.len() <= crate::target::MAX_RAW).then(|| text.trim_end().to_string())
}
