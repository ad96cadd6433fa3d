//! Which type of PostgreSQL an Arrow type is told as.

use arrow::datatypes::{DataType, Field, TimeUnit};

pub(super) const BOOL: u32 = 16;
pub(super) const BYTEA: u32 = 17;
pub(super) const INT8: u32 = 20;
pub(super) const INT2: u32 = 21;
pub(super) const INT4: u32 = 23;
pub(super) const TEXT: u32 = 25;
pub(super) const OID: u32 = 26;
pub(super) const JSON: u32 = 114;
pub(super) const JSONB: u32 = 3802;
pub(super) const FLOAT4: u32 = 700;
pub(super) const FLOAT8: u32 = 701;
pub(super) const DATE: u32 = 1082;
pub(super) const TIME: u32 = 1083;
pub(super) const TIMESTAMP: u32 = 1114;
pub(super) const TIMESTAMPTZ: u32 = 1184;
pub(super) const INTERVAL: u32 = 1186;
pub(super) const NUMERIC: u32 = 1700;

/// Types and those of their arrays.
const ARRAYS: [(u32, u32); 17] = [
    (BOOL, 1000),
    (BYTEA, 1001),
    (INT8, 1016),
    (INT2, 1005),
    (INT4, 1007),
    (TEXT, 1009),
    (OID, 1028),
    (JSON, 199),
    (JSONB, 3807),
    (FLOAT4, 1021),
    (FLOAT8, 1022),
    (DATE, 1182),
    (TIME, 1183),
    (TIMESTAMP, 1115),
    (TIMESTAMPTZ, 1185),
    (INTERVAL, 1187),
    (NUMERIC, 1231),
];

/// Where a column of texts says that they are documents, by the oid of their type.
pub(super) const MARK: &str = "laguna.pg";

/// Oid of a column's type. Of documents also those of `jsonb` are told as `json`: their binary form is their text.
pub(super) fn oid_of(field: &Field) -> u32 {
    if field.metadata().contains_key(MARK) { JSON } else { oid(field.data_type()) }
}

/// Oid of the type. What has no equal in PostgreSQL (structs, maps, lists of lists) is json. The lake stores no
/// unsigned numbers; those of 32 bits are the catalog's oids.
pub(super) fn oid(data_type: &DataType) -> u32 {
    match data_type {
        DataType::Boolean => BOOL,
        DataType::Int8 | DataType::Int16 | DataType::UInt8 => INT2,
        DataType::Int32 | DataType::UInt16 => INT4,
        // Row numbers and ranks of the engine.
        DataType::Int64 | DataType::UInt64 => INT8,
        DataType::UInt32 => OID,
        DataType::Decimal32(..)
        | DataType::Decimal64(..)
        | DataType::Decimal128(..)
        | DataType::Decimal256(..) => NUMERIC,
        DataType::Float16 | DataType::Float32 => FLOAT4,
        DataType::Float64 => FLOAT8,
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
            BYTEA
        }
        DataType::Date32 => DATE,
        DataType::Date64 | DataType::Timestamp(_, None) => TIMESTAMP,
        DataType::Timestamp(_, Some(_)) => TIMESTAMPTZ,
        DataType::Time32(_) | DataType::Time64(_) => TIME,
        DataType::Interval(_) | DataType::Duration(_) => INTERVAL,
        DataType::Dictionary(_, values) => oid(values),
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            match is_nested(item.data_type()) {
                true => JSON,
                false => array_of(oid(item.data_type())),
            }
        }
        nested if is_nested(nested) => JSON,
        _ => TEXT,
    }
}

fn is_nested(data_type: &DataType) -> bool {
    data_type.is_nested() && !matches!(data_type, DataType::Dictionary(..))
}

pub(super) fn array_of(element: u32) -> u32 {
    ARRAYS.iter().find(|(of, _)| *of == element).map_or(1009, |(_, array)| *array)
}

/// The element's type of an array type.
pub(super) fn element_of(array: u32) -> Option<u32> {
    ARRAYS.iter().find(|(_, of)| *of == array).map(|(element, _)| *element)
}

/// Bytes of a value; -1 where they vary.
pub(super) fn size(oid: u32) -> i16 {
    match oid {
        BOOL => 1,
        INT2 => 2,
        INT4 | OID | FLOAT4 | DATE => 4,
        INT8 | FLOAT8 | TIME | TIMESTAMP | TIMESTAMPTZ => 8,
        INTERVAL => 16,
        _ => -1,
    }
}

/// What further says of the type: precision and scale of a decimal; -1 when nothing does.
pub(super) fn modifier(field: &Field) -> i32 {
    match field.data_type() {
        DataType::Decimal32(precision, scale)
        | DataType::Decimal64(precision, scale)
        | DataType::Decimal128(precision, scale)
        | DataType::Decimal256(precision, scale)
            // The widest is what is computed, of which nothing further was said.
            if *scale >= 0 && *precision < 38 =>
        {
            ((i32::from(*precision) << 16) | i32::from(*scale)) + 4
        }
        _ => -1,
    }
}

/// The Arrow type in which a parameter of this type is handed on; `None`: the statement must say.
pub(super) fn arrow(oid: u32) -> Option<DataType> {
    Some(match oid {
        BOOL => DataType::Boolean,
        BYTEA => DataType::Binary,
        INT2 => DataType::Int16,
        INT4 => DataType::Int32,
        INT8 => DataType::Int64,
        OID => DataType::UInt32,
        FLOAT4 => DataType::Float32,
        FLOAT8 => DataType::Float64,
        NUMERIC => DataType::Decimal128(38, 10),
        DATE => DataType::Date32,
        TIME => DataType::Time64(TimeUnit::Nanosecond),
        TIMESTAMP => DataType::Timestamp(TimeUnit::Microsecond, None),
        TIMESTAMPTZ => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        INTERVAL => DataType::Interval(arrow::datatypes::IntervalUnit::MonthDayNano),
        TEXT | 18 | 19 | 1042 | 1043 | JSON | JSONB | 2950 => DataType::Utf8,
        _ => {
            let element = arrow(element_of(oid).or((oid == 1015).then_some(TEXT))?)?;
            DataType::List(std::sync::Arc::new(Field::new("item", element, true)))
        }
    })
}
