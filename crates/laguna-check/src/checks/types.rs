//! Columns have types, under the names of pandas, of SQL and Spark, or of Arrow.

use std::sync::Arc;

use arrow::buffer::BooleanBuffer;
use arrow::datatypes::{DataType, SchemaRef, TimeUnit};
use laguna_base::Result;
use serde_json::Value;

use crate::compare::plain;
use crate::dates;
use crate::kind::{COLUMN, CheckKind, Form, Scope, TABLE, VALUES, optional, required};
use crate::plan::{Plan, RowPlan, RowTest, TableTest};
use crate::verdict::Observation;
use crate::view::View;

const NAMES: &str = "the name of a type: of pandas (int64, str, datetime64), of SQL (INTEGER, VARCHAR), of Spark (LongType), or of Arrow (Int64, Utf8)";

pub(super) const OF_TYPE: CheckKind = CheckKind {
    name: "expect_column_values_to_be_of_type",
    short: "of_type",
    aliases: &["values_of_type"],
    main: Some("type_"),
    arguments: &[COLUMN, required("type_", Form::Text, NAMES).or(&["type"])],
    doc: "The values are of a type, such as any of its family: `int64` is an `int` and an `INTEGER`.",
    example: r#"{"of_type": {"column": "delay", "type_": "int64"}}"#,
    plan: |arguments, binding| {
        let column = binding.column(arguments.required("column")?)?;
        let wanted = vec![arguments.required("type_")?.to_string()];
        Ok(plan(column.index, &dates::source_type(binding.schema.field(column.index)), Some(wanted)))
    },
    ..VALUES
};

pub(super) const IN_TYPES: CheckKind = CheckKind {
    name: "expect_column_values_to_be_in_type_list",
    short: "of_types",
    aliases: &["in_type_list"],
    main: Some("type_list"),
    arguments: &[
        COLUMN,
        optional(
            "type_list",
            Form::Texts,
            "names of types, of which one must hold; without them every type passes",
        )
        .or(&["types"]),
    ],
    doc: "The values are of one of several types.",
    example: r#"{"of_types": {"column": "delay", "type_list": ["int64", "float64"]}}"#,
    plan: |arguments, binding| {
        let column = binding.column(arguments.required("column")?)?;
        let wanted = arguments.value("type_list").map(|_| arguments.texts("type_list"));
        Ok(plan(column.index, &dates::source_type(binding.schema.field(column.index)), wanted))
    },
    ..VALUES
};

pub(super) const COLUMN_TYPE: CheckKind = CheckKind {
    name: "expect_column_type_to_be",
    short: "column_type",
    aliases: &["type_is"],
    scope: Scope::Column,
    main: Some("type_"),
    arguments: &[COLUMN, required("type_", Form::Text, NAMES).or(&["type"])],
    doc: "The column has exactly a type: `int32` is not `int64`.",
    example: r#"{"column_type": {"column": "delay", "type_": "int64"}}"#,
    plan: |arguments, binding| {
        let column = binding.column(arguments.required("column")?)?;
        let data_type = &dates::source_type(binding.schema.field(column.index));
        let wanted = arguments.required("type_")?;
        let success = is(data_type, wanted);
        Ok(Plan::Table(Arc::new(Found {
            name: column.name.to_string(),
            observed: exact_name(data_type, is_sql(wanted)),
            success,
        })))
    },
    ..TABLE
};

fn plan(column: usize, data_type: &DataType, wanted: Option<Vec<String>>) -> Plan {
    let success = wanted.as_ref().is_none_or(|wanted| wanted.iter().any(|wanted| is(data_type, wanted)));
    let sql = wanted.as_ref().is_some_and(|wanted| wanted.iter().any(|wanted| is_sql(wanted)));
    let object = |wanted: &String| matches!(wanted.as_str(), "object" | "object_" | "O");
    // As pandas has it, a text is an object, of which each value has its own type; nothing has none.
    let each = (data_type.is_string() || data_type == &DataType::Null)
        && !sql
        && wanted.as_ref().is_some_and(|wanted| !wanted.iter().any(object));
    if each {
        let names = wanted.unwrap_or_default().join(" or ");
        return RowPlan::of_values(column, OfType { success }, format!("are not {names}"));
    }
    Plan::Table(Arc::new(Found { name: String::new(), observed: family_name(data_type, sql), success }))
}

struct OfType {
    success: bool,
}

impl RowTest for OfType {
    fn failing(&self, view: &View<'_>) -> Result<Option<BooleanBuffer>> {
        Ok((!self.success).then(|| BooleanBuffer::new_set(view.rows())))
    }
}

struct Found {
    name: String,
    observed: String,
    success: bool,
}

impl TableTest for Found {
    fn judge(&self, _: &SchemaRef, _: u64) -> Observation {
        let of = if self.name.is_empty() { "the column".to_string() } else { self.name.clone() };
        Observation {
            observed: Value::from(self.observed.clone()),
            success: self.success,
            message: format!("{of} is {}", self.observed),
            ..Observation::default()
        }
    }
}

/// Whether a name is one of SQL's: those are written in capitals.
fn is_sql(name: &str) -> bool {
    name.len() > 1
        && name.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || "_ (),".contains(c))
}

/// The name without its parameters: `VARCHAR(20)` is `varchar`, `datetime64[ns]` is `datetime64`.
fn stem(name: &str) -> String {
    let end = name.find(['(', '[']).unwrap_or(name.len());
    name[..end].trim().to_ascii_lowercase()
}

/// Whether a column's type goes by a name.
fn is(data_type: &DataType, wanted: &str) -> bool {
    let data_type = plain(data_type);
    let wanted = wanted.trim();
    if wanted == data_type.to_string() || wanted == exact_name(data_type, false) {
        return true;
    }
    let sql = is_sql(wanted);
    let stem = stem(wanted);
    // Names of pandas and Arrow are written as they are; those of SQL are the same in any case.
    let names: &[&str] = match (data_type, sql) {
        (DataType::Boolean, true) => &["bool", "boolean"],
        (DataType::Boolean, false) => &["bool", "bool_", "boolean", "booleantype"],
        (DataType::Int8, true) => &["tinyint", "integer", "int"],
        (DataType::Int8, false) => &["int8", "bytetype", "byte", "tinyint"],
        (DataType::Int16, true) => &["smallint", "int2", "integer", "int"],
        (DataType::Int16, false) => &["int16", "shorttype", "short", "smallint"],
        (DataType::Int32, true) => &["integer", "int", "int4", "mediumint"],
        (DataType::Int32, false) => &["int32", "integertype", "integer", "intc"],
        (DataType::Int64, true) => &["bigint", "integer", "int", "int8", "biginteger"],
        (DataType::Int64, false) => &["int64", "int", "int_", "long", "longtype", "integer", "bigint"],
        (DataType::UInt8, _) => &["uint8"],
        (DataType::UInt16, _) => &["uint16"],
        (DataType::UInt32, _) => &["uint32"],
        (DataType::UInt64, _) => &["uint64", "uint"],
        (DataType::Float16, _) => &["float16"],
        (DataType::Float32, true) => &["real", "float", "float4"],
        (DataType::Float32, false) => &["float32", "floattype", "real"],
        (DataType::Float64, true) => {
            &["double", "double_precision", "double precision", "float", "float8", "real"]
        }
        (DataType::Float64, false) => &["float64", "float", "float_", "double", "doubletype"],
        (DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View, true) => {
            &["text", "varchar", "char", "string", "nvarchar", "clob", "character varying", "nchar"]
        }
        (DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View, false) => &[
            "str",
            "str_",
            "string_types",
            "string",
            "stringdtype",
            "stringtype",
            "object",
            "object_",
            "utf8",
            "text",
            "varchar",
        ],
        (DataType::Timestamp(_, None), true) => &["timestamp", "datetime", "timestamp without time zone"],
        (DataType::Timestamp(_, Some(_)), true) => {
            &["timestamp", "timestamptz", "timestamp with time zone", "datetime"]
        }
        (DataType::Timestamp(unit, None), false) => {
            let named =
                ["datetime64", "timestamptype", "timestampntztype", "timestamp_ntz"].contains(&stem.as_str());
            return unit_fits(wanted, *unit) && named && !wanted.contains(',');
        }
        (DataType::Timestamp(unit, Some(zone)), false) => {
            let zoned = match wanted.split_once(',') {
                Some((_, rest)) => rest.trim().trim_end_matches(']').eq_ignore_ascii_case(zone),
                None => stem != "datetime64",
            };
            return unit_fits(wanted, *unit)
                && zoned
                && matches!(
                    stem.as_str(),
                    "timestamp" | "datetime64" | "timestamptype" | "timestamptz" | "datetimetzdtype"
                );
        }
        (DataType::Date32 | DataType::Date64, true) => &["date"],
        (DataType::Date32 | DataType::Date64, false) => &["date", "datetype", "object", "object_"],
        (t, true) if t.is_decimal() => &["decimal", "numeric"],
        (t, false) if t.is_decimal() => &["decimal", "decimaltype", "object", "object_"],
        (t, _) if t.is_binary() => {
            &["bytes", "binary", "binarytype", "blob", "bytea", "varbinary", "object", "object_"]
        }
        (DataType::List(_) | DataType::LargeList(_), _) => {
            &["list", "array", "arraytype", "object", "object_"]
        }
        (DataType::Struct(_), _) => &["struct", "structtype", "dict", "object", "object_"],
        (DataType::Null, _) => &["none", "null", "object", "object_"],
        _ => &[],
    };
    // `O` is numpy's letter for objects; `Int64` with a capital is Arrow's name, and that of nullable pandas columns.
    let object = wanted == "O" && names.contains(&"object");
    let capital = !sql && wanted.starts_with(|c: char| c.is_ascii_uppercase()) && !wanted.ends_with("Type");
    let arrow =
        capital && data_type.to_string() != wanted && (data_type.is_integer() || data_type.is_floating());
    object || (!arrow && names.contains(&stem.as_str()))
}

/// Whether a name in brackets is that of the unit, if there is one.
fn unit_fits(wanted: &str, unit: TimeUnit) -> bool {
    let Some((_, rest)) = wanted.split_once('[') else { return true };
    rest.trim_end_matches(']').split(',').next().is_none_or(|given| given.trim() == unit_name(unit))
}

fn unit_name(unit: TimeUnit) -> &'static str {
    match unit {
        TimeUnit::Second => "s",
        TimeUnit::Millisecond => "ms",
        TimeUnit::Microsecond => "us",
        TimeUnit::Nanosecond => "ns",
    }
}

/// The type as pandas writes it, or as SQL does.
fn exact_name(data_type: &DataType, sql: bool) -> String {
    if sql {
        return family_name(data_type, true);
    }
    match plain(data_type) {
        DataType::Timestamp(unit, None) => format!("datetime64[{}]", unit_name(*unit)),
        DataType::Timestamp(unit, Some(zone)) => format!("datetime64[{}, {zone}]", unit_name(*unit)),
        t if t.is_string() => "str".to_string(),
        DataType::Boolean => "bool".to_string(),
        t if t.is_integer() || t.is_floating() => t.to_string().to_ascii_lowercase(),
        _ => "object".to_string(),
    }
}

/// The type's class as Great Expectations tells it.
fn family_name(data_type: &DataType, sql: bool) -> String {
    let name = match (plain(data_type), sql) {
        (DataType::Timestamp(_, None), false) => "datetime64",
        (DataType::Timestamp(_, Some(_)), false) => "Timestamp",
        (t, false) if t.is_string() => "object_",
        (DataType::Boolean, false) => "bool",
        (t, false) if t.is_integer() || t.is_floating() => return t.to_string().to_ascii_lowercase(),
        (_, false) => "object_",
        (DataType::Boolean, true) => "BOOLEAN",
        (t, true) if t.is_integer() => "INTEGER",
        (t, true) if t.is_floating() => "FLOAT",
        (t, true) if t.is_string() => "VARCHAR",
        (DataType::Timestamp(_, _), true) => "TIMESTAMP",
        (DataType::Date32 | DataType::Date64, true) => "DATE",
        (t, true) if t.is_decimal() => "DECIMAL",
        (t, true) if t.is_binary() => "BLOB",
        (_, true) => "NULL",
    };
    name.to_string()
}
