//! Reads Delta's statistics of one file back as ranges.

use std::collections::BTreeMap;
use std::fmt;

use arrow::datatypes::{DataType, Field, SchemaRef};
use chrono::{DateTime, NaiveDate, NaiveDateTime};
use datafusion::scalar::ScalarValue;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;

use crate::DataFile;
use crate::snapshot::ColumnRange;

/// See [`DataFile::ranges`].
pub(crate) fn ranges(file: &DataFile, schema: &SchemaRef) -> BTreeMap<String, ColumnRange> {
    let stats: Value =
        file.stats.as_deref().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    let of = |field: &Field| {
        let side = |side: &str| &stats[side][field.name()];
        partition(file, field)
            .unwrap_or_else(|| typed(field, [side("minValues"), side("maxValues"), side("nullCount")]))
    };
    let all = schema.fields().iter().map(|field| (field.name().clone(), of(field)));
    all.filter(|(_, range)| *range != ColumnRange::default()).collect()
}

/// What the log says of one column. The rest of the statistics is passed over without being kept, so that a question
/// about one column of very many files stays cheap.
pub(crate) fn range(file: &DataFile, field: &Field) -> ColumnRange {
    if let Some(range) = partition(file, field) {
        return range;
    }
    let Some(stats) = &file.stats else { return ColumnRange::default() };
    let mut reader = serde_json::Deserializer::from_str(stats);
    let [min, max, nulls] = Sides(field.name()).deserialize(&mut reader).unwrap_or_default();
    typed(field, [&min, &max, &nulls])
}

/// The range of a partition column.
fn partition(file: &DataFile, field: &Field) -> Option<ColumnRange> {
    let value = file.partition_values.get(field.name())?;
    let bound =
        value.as_ref().and_then(|text| ScalarValue::try_from_string(text.clone(), field.data_type()).ok());
    let nulls = if value.is_none() { file.rows } else { 0 };
    Some(ColumnRange { min: bound.clone(), max: bound, nulls: Some(nulls) })
}

fn typed(field: &Field, [min, max, nulls]: [&Value; 3]) -> ColumnRange {
    ColumnRange {
        min: scalar(min, field.data_type(), false),
        max: scalar(max, field.data_type(), true),
        nulls: nulls.as_u64(),
    }
}

/// Picks the smallest value, the largest value and the number of nulls of a column out of the statistics.
struct Sides<'a>(&'a str);

impl<'de> DeserializeSeed<'de> for Sides<'_> {
    type Value = [Value; 3];

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Sides<'_> {
    type Value = [Value; 3];

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("statistics of a file")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = Self::Value::default();
        while let Some(place) = map.next_key_seed(Among(&["minValues", "maxValues", "nullCount"]))? {
            match place {
                Some(place) => found[place] = map.next_value_seed(Member(self.0))?,
                None => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(found)
    }
}

/// Picks one member of an object; null when it is not there.
struct Member<'a>(&'a str);

impl<'de> DeserializeSeed<'de> for Member<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Member<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object or null")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut found = Value::Null;
        while let Some(place) = map.next_key_seed(Among(&[self.0]))? {
            match place {
                Some(_) => found = map.next_value()?,
                None => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(found)
    }
}

/// Tells which of these names a key is, without keeping it.
struct Among<'a>(&'a [&'a str]);

impl<'de> DeserializeSeed<'de> for Among<'_> {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Option<usize>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Among<'_> {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E>(self, key: &str) -> Result<Option<usize>, E> {
        Ok(self.0.iter().position(|name| *name == key))
    }
}

fn scalar(value: &Value, data_type: &DataType, up: bool) -> Option<ScalarValue> {
    Some(match data_type {
        DataType::Int8 => ScalarValue::Int8(Some(value.as_i64()?.try_into().ok()?)),
        DataType::Int16 => ScalarValue::Int16(Some(value.as_i64()?.try_into().ok()?)),
        DataType::Int32 => ScalarValue::Int32(Some(value.as_i64()?.try_into().ok()?)),
        DataType::Int64 => ScalarValue::Int64(Some(value.as_i64()?)),
        DataType::Float32 => ScalarValue::Float32(Some(value.as_f64()? as f32)),
        DataType::Float64 => ScalarValue::Float64(Some(value.as_f64()?)),
        DataType::Boolean => ScalarValue::Boolean(Some(value.as_bool()?)),
        DataType::Utf8 => ScalarValue::Utf8(Some(value.as_str()?.to_string())),
        DataType::Date32 => {
            let date = NaiveDate::parse_from_str(value.as_str()?, "%Y-%m-%d").ok()?;
            ScalarValue::Date32(Some(date.to_epoch_days()))
        }
        DataType::Timestamp(_, zone) => {
            let text = value.as_str()?;
            let moment = DateTime::parse_from_rfc3339(text)
                .map(|moment| moment.naive_utc())
                .or_else(|_| NaiveDateTime::parse_from_str(&text.replace(' ', "T"), "%Y-%m-%dT%H:%M:%S%.f"));
            // Writers cut to milliseconds: the largest value may lie anywhere within the last one.
            let micros = moment.ok()?.and_utc().timestamp_micros() + if up { 999 } else { 0 };
            ScalarValue::TimestampMicrosecond(Some(micros), zone.clone())
        }
        DataType::Decimal128(precision, scale) => {
            let unscaled = match value.as_i64() {
                Some(whole) => i128::from(whole).checked_mul(10i128.checked_pow(*scale as u32)?)?,
                None => widened(value.as_f64()?, *precision, *scale, up),
            };
            ScalarValue::Decimal128(Some(unscaled), *precision, *scale)
        }
        _ => return None,
    })
}

/// A decimal bound that went through a double: exact to 15 digits, beyond that moved outwards.
fn widened(value: f64, precision: u8, scale: i8, up: bool) -> i128 {
    let scaled = value * 10f64.powi(i32::from(scale));
    if precision <= 15 {
        return scaled.round() as i128;
    }
    let margin = scaled.abs() * 4.0 * f64::EPSILON + 1.0;
    if up { (scaled + margin).ceil() as i128 } else { (scaled - margin).floor() as i128 }
}
