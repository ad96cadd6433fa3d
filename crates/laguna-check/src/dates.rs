//! Dates that stand as texts in their files: pandas reads them as texts, and checks that compare with dates read them.

use std::collections::HashMap;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, TimeUnit};
use laguna_base::{Error, Result};
use serde_json::Value;

use crate::compare;
use crate::value::whole;
use crate::view::failed;

/// Key of a field's metadata: its texts are dates.
const KEY: &str = "laguna.dates";

/// A field of texts that are dates or timestamps in ISO form. Checks that compare with dates read them as `dates`: days,
/// or else microseconds since 1970 UTC. To all other checks they are texts.
pub fn texts_of_dates(field: Field, dates: &DataType) -> Field {
    let word = if dates == &DataType::Date32 { "date" } else { "timestamp" };
    field.with_metadata(HashMap::from([(KEY.to_string(), word.to_string())]))
}

/// Key of a field's metadata: the unit of its times as their file has them, and the zone behind a comma.
const TIMES: &str = "laguna.times";

/// A field of times whose file has them in the type `source`: checks of types judge that one.
pub fn written_as(field: Field, source: &DataType) -> Field {
    let DataType::Timestamp(unit, zone) = source else { return field };
    let unit = UNITS.iter().find(|(known, _)| known == unit).map_or("us", |(_, word)| word);
    let word = zone.as_ref().map_or(unit.to_string(), |zone| format!("{unit},{zone}"));
    field.with_metadata(HashMap::from([(TIMES.to_string(), word)]))
}

const UNITS: [(TimeUnit, &str); 4] = [
    (TimeUnit::Second, "s"),
    (TimeUnit::Millisecond, "ms"),
    (TimeUnit::Microsecond, "us"),
    (TimeUnit::Nanosecond, "ns"),
];

/// The type of a field as its file has it.
pub(crate) fn source_type(field: &Field) -> DataType {
    let Some(word) = field.metadata().get(TIMES) else { return compare::plain(field.data_type()).clone() };
    let (unit, zone) = word.split_once(',').map_or((word.as_str(), None), |(unit, zone)| (unit, Some(zone)));
    let unit =
        UNITS.iter().find(|(_, known)| *known == unit).map_or(TimeUnit::Microsecond, |(unit, _)| *unit);
    DataType::Timestamp(unit, zone.map(Into::into))
}

/// What the texts of a field are read as by checks that compare with dates.
pub(crate) fn read_as(field: &Field) -> Option<DataType> {
    match field.metadata().get(KEY).map(String::as_str) {
        Some("date") => Some(DataType::Date32),
        Some("timestamp") => Some(DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))),
        _ => None,
    }
}

/// The texts of `field` as dates, if they are such; else the array as it is. A text that is no date is an error.
pub(crate) fn dated(array: &ArrayRef, field: &Field) -> Result<ArrayRef> {
    let Some(data_type) = read_as(field).filter(|_| array.data_type().is_string()) else {
        return Ok(array.clone());
    };
    let dates = cast(array, &data_type).map_err(failed)?;
    if dates.logical_null_count() == array.logical_null_count() {
        return Ok(dates);
    }
    let texts = cast(array, &DataType::Utf8).map_err(failed)?;
    for text in texts.as_string::<i32>().iter().flatten() {
        if whole(&Value::from(text), &data_type).is_none() {
            return Err(Error::project(format!(
                "`{text}` in `{}` is neither a date nor a timestamp",
                field.name()
            )));
        }
    }
    let wholes = texts.as_string::<i32>().iter();
    let wholes =
        wholes.map(|text| whole(&Value::from(text?), &data_type).and_then(|(at, _)| i64::try_from(at).ok()));
    let wholes: ArrayRef = std::sync::Arc::new(wholes.collect::<arrow::array::Int64Array>());
    match data_type {
        DataType::Date32 => cast(&cast(&wholes, &DataType::Int32).map_err(failed)?, &data_type),
        _ => cast(&wholes, &data_type),
    }
    .map_err(failed)
}
