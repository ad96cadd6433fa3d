//! The words that people use for types, as in the settings of a table.

use arrow::datatypes::DataType;

/// The word for a type; of lists and records what they hold.
pub(crate) fn word(data_type: &DataType) -> String {
    use DataType::*;
    match data_type {
        Null => "without any value".to_string(),
        Dictionary(_, values) => word(values),
        RunEndEncoded(_, values) => word(values.data_type()),
        Utf8 | LargeUtf8 | Utf8View => "text".to_string(),
        Boolean => "boolean".to_string(),
        Int8 => "tinyint".to_string(),
        Int16 => "smallint".to_string(),
        Int32 => "integer".to_string(),
        Int64 => "bigint".to_string(),
        Float32 => "real".to_string(),
        Float64 => "double".to_string(),
        Date32 | Date64 => "date".to_string(),
        Timestamp(_, _) => "timestamp".to_string(),
        Decimal32(precision, scale) | Decimal64(precision, scale) | Decimal128(precision, scale) => {
            format!("decimal({precision},{scale})")
        }
        Binary | LargeBinary | BinaryView | FixedSizeBinary(_) => "binary".to_string(),
        List(item) | LargeList(item) | FixedSizeList(item, _) => {
            format!("list of {}", word(item.data_type()))
        }
        Struct(fields) => {
            let fields = fields.iter().map(|field| format!("{} {}", field.name(), word(field.data_type())));
            format!("record ({})", fields.collect::<Vec<_>>().join(", "))
        }
        Map(_, _) => "map".to_string(),
        other => other.to_string().to_lowercase(),
    }
}
