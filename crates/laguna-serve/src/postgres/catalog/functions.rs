//! The functions and names of types that clients of PostgreSQL use beside the engine's.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, StringArray, UInt32Array, new_null_array};
use arrow::datatypes::{DataType, Field, FieldRef, Int64Type};
use datafusion::common::Result;
use datafusion::logical_expr::planner::TypePlanner;
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use datafusion::sql::sqlparser::ast::DataType as SqlType;

use super::super::rewrite::zone_of;
use super::{OWNER, types};

/// Types whose name in SQL is not their name in the catalog.
pub(super) const SQL_NAMES: [(&str, &str); 17] = [
    ("bool", "boolean"),
    ("int2", "smallint"),
    ("int4", "integer"),
    ("int4", "int"),
    ("int8", "bigint"),
    ("float4", "real"),
    ("float8", "double precision"),
    ("bpchar", "character"),
    ("varchar", "character varying"),
    ("time", "time without time zone"),
    ("timetz", "time with time zone"),
    ("timestamp", "timestamp without time zone"),
    ("timestamptz", "timestamp with time zone"),
    ("char", "\"char\""),
    ("numeric", "decimal"),
    ("varchar", "string"),
    ("json", "struct"),
];

/// A type's name in SQL.
pub(super) fn sql_name(name: &str) -> &str {
    let found =
        SQL_NAMES.iter().find(|(internal, _)| *internal == name && name != "numeric" && name != "json");
    found.map_or(name, |(_, sql)| sql)
}

/// What a function answers for one row; arguments as text, numbers too.
type Answer = fn(&[Option<&str>]) -> Option<String>;

/// A function whose arguments are read as text.
#[derive(Debug)]
struct Function {
    name: &'static str,
    returns: DataType,
    answer: Answer,
    signature: Signature,
}

// Names are unique.
impl PartialEq for Function {
    fn eq(&self, other: &Function) -> bool {
        self.name == other.name
    }
}

impl Eq for Function {}

impl std::hash::Hash for Function {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl ScalarUDFImpl for Function {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(self.returns.clone())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rows = args.number_rows;
        let texts: Vec<ArrayRef> = args
            .args
            .iter()
            .map(|argument| {
                let array = argument.to_array(rows)?;
                match array.data_type() {
                    DataType::Null => Ok(new_null_array(&DataType::Utf8, rows)),
                    data_type if data_type.is_nested() => Ok(new_null_array(&DataType::Utf8, rows)),
                    _ => Ok(arrow::compute::cast(&array, &DataType::Utf8)?),
                }
            })
            .collect::<Result<_>>()?;
        let answers = (0..rows).map(|row| {
            let texts: Vec<Option<&str>> = texts
                .iter()
                .map(|array| array.as_string::<i32>())
                .map(|array| (!array.is_null(row)).then(|| array.value(row)))
                .collect();
            (self.answer)(&texts)
        });
        let array: ArrayRef = match self.returns {
            DataType::Boolean => {
                Arc::new(answers.map(|answer| answer.map(|text| text == "t")).collect::<BooleanArray>())
            }
            DataType::UInt32 => Arc::new(
                answers.map(|answer| answer.and_then(|text| text.parse().ok())).collect::<UInt32Array>(),
            ),
            DataType::Int64 => {
                let numbers = answers.map(|answer| answer.and_then(|text| text.parse().ok()));
                Arc::new(numbers.collect::<arrow::array::PrimitiveArray<Int64Type>>())
            }
            _ => Arc::new(answers.collect::<StringArray>()),
        };
        Ok(ColumnarValue::Array(array))
    }
}

/// All functions.
pub(super) fn all() -> Vec<ScalarUDF> {
    let mut all = Vec::new();
    let mut add = |names: &[&'static str], returns: DataType, answer: Answer| {
        all.extend(names.iter().map(|name| {
            let signature = Signature::variadic_any(Volatility::Stable);
            let signature = match *name {
                _ if returns == DataType::Null => signature,
                _ => Signature::one_of(
                    vec![
                        datafusion::logical_expr::TypeSignature::VariadicAny,
                        datafusion::logical_expr::TypeSignature::Nullary,
                    ],
                    signature.volatility,
                ),
            };
            ScalarUDF::from(Function { name, returns: returns.clone(), answer, signature })
        }));
    };
    let (text, flag, oid) = (DataType::Utf8, DataType::Boolean, DataType::UInt32);
    add(&["format_type"], text.clone(), format_type);
    add(&["pg_get_userbyid"], text.clone(), |_| Some(OWNER.to_string()));
    add(&["pg_encoding_to_char"], text.clone(), |_| Some("UTF8".to_string()));
    add(&["pg_client_encoding"], text.clone(), |_| Some("UTF8".to_string()));
    add(
        &[
            "pg_get_expr",
            "pg_get_indexdef",
            "pg_get_constraintdef",
            "pg_get_viewdef",
            "pg_get_ruledef",
            "pg_get_triggerdef",
            "pg_get_partkeydef",
            "pg_get_statisticsobjdef_columns",
            "pg_get_function_result",
            "pg_get_function_arguments",
            "pg_get_function_identity_arguments",
            "pg_get_functiondef",
            "pg_tablespace_location",
            "pg_relation_filepath",
            "pg_last_wal_receive_lsn",
            "pg_last_wal_replay_lsn",
            "pg_last_xact_replay_timestamp",
            "pg_get_function_sqlbody",
            "oidvectortypes",
            "pg_get_function_arg_default",
            "pg_get_statisticsobjdef",
            "shobj_description",
            "json_build_object",
        ],
        text.clone(),
        |_| None,
    );
    add(
        &[
            "pg_relation_size",
            "pg_total_relation_size",
            "pg_table_size",
            "pg_database_size",
            "pg_indexes_size",
            "pg_tablespace_size",
            "pg_stat_get_numscans",
            "pg_stat_get_live_tuples",
            "pg_stat_get_dead_tuples",
            "pg_sequence_last_value",
        ],
        DataType::Int64,
        |_| None,
    );
    add(&["pg_size_pretty"], text.clone(), |arguments| {
        Some(pretty_size(arguments.first()?.as_ref()?.parse().ok()?))
    });
    add(
        &[
            "pg_type_is_visible",
            "pg_function_is_visible",
            "pg_collation_is_visible",
            "pg_opclass_is_visible",
            "pg_operator_is_visible",
        ],
        flag.clone(),
        |_| Some("t".to_string()),
    );
    add(&["pg_relation_is_publishable", "pg_relation_is_updatable", "pg_has_role"], flag.clone(), |_| {
        Some("f".to_string())
    });
    add(
        &["pg_index_column_has_property", "pg_index_has_property", "pg_indexam_has_property"],
        flag.clone(),
        |_| None,
    );
    add(
        &[
            "has_table_privilege",
            "has_schema_privilege",
            "has_database_privilege",
            "has_column_privilege",
            "has_any_column_privilege",
            "has_type_privilege",
            "has_language_privilege",
            "has_function_privilege",
            "has_sequence_privilege",
            "has_tablespace_privilege",
        ],
        flag,
        |arguments| {
            let wanted = arguments.last()?.as_ref()?.to_lowercase();
            let some =
                wanted.split(',').any(|one| matches!(one.trim(), "select" | "usage" | "connect" | "execute"));
            Some(if some { "t" } else { "f" }.to_string())
        },
    );
    add(&["pg_regnamespace"], text.clone(), |arguments| {
        let oid = arguments.first()?.as_ref()?;
        let schemas = laguna_base::Tier::ALL.iter().map(|tier| tier.as_str());
        let mut schemas = schemas.chain(["pg_catalog", "information_schema"]);
        schemas.find(|schema| super::schema_oid(schema).to_string() == **oid).map(str::to_string)
    });
    // Nothing is locked here; pools let go of what they may have held.
    add(&["pg_advisory_unlock_all"], text.clone(), |_| Some(String::new()));
    // `(schema, table)`, and a name as it is written, with the schema in which it is looked for.
    add(&["pg_relation_oid"], oid.clone(), |arguments| {
        let [Some(schema), Some(table)] = arguments else { return None };
        Some(relation_oid(schema, table).to_string())
    });
    add(&["pg_relation_named"], oid.clone(), |arguments| {
        let [Some(name), Some(path)] = arguments else { return None };
        let parts = parts_of(name);
        let oid = match parts.as_slice() {
            [.., schema, table] => relation_oid(schema, table),
            [table] if table.starts_with("pg_") => relation_oid("pg_catalog", table),
            [table] => relation_oid(path, table),
            [] => return None,
        };
        Some(oid.to_string())
    });
    add(&["pg_type_named"], oid, |arguments| {
        super::type_oid(&arguments.first()?.as_ref()?.replace('"', "")).map(|oid| oid.to_string())
    });
    add(&["quote_ident"], text.clone(), |arguments| {
        let name = arguments.first()?.as_ref()?;
        let plain = name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
            && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
        Some(if plain { name.to_string() } else { format!("\"{}\"", name.replace('"', "\"\"")) })
    });
    add(&["quote_nullable"], text.clone(), |arguments| {
        Some(
            arguments.first()?.map_or("NULL".to_string(), |value| format!("'{}'", value.replace('\'', "''"))),
        )
    });
    add(&["quote_literal"], text, |arguments| {
        Some(format!("'{}'", arguments.first()?.as_ref()?.replace('\'', "''")))
    });
    all
}

/// Oid of a relation of the lake or the system.
fn relation_oid(schema: &str, table: &str) -> u32 {
    let system = super::relations().iter().find(|known| known.schema == schema && known.name == table);
    system.map_or_else(|| super::table_oid(schema, table), |known| known.oid)
}

/// The parts of a name as it is written: in lower case where they are not in quotes.
fn parts_of(name: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut quoted = false;
    let mut letters = name.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '"' if quoted && letters.peek() == Some(&'"') => {
                letters.next();
                parts.last_mut().expect("there is a part").push('"');
            }
            '"' => quoted = !quoted,
            '.' if !quoted => parts.push(String::new()),
            letter if quoted => parts.last_mut().expect("there is a part").push(letter),
            letter => parts.last_mut().expect("there is a part").extend(letter.to_lowercase()),
        }
    }
    parts
}

/// Bytes in the largest unit of which there are ten or more.
fn pretty_size(bytes: f64) -> String {
    const UNITS: [&str; 6] = ["bytes", "kB", "MB", "GB", "TB", "PB"];
    let mut size = bytes;
    let mut unit = 0;
    while size.abs() >= 10_240.0 - if unit > 0 { 0.5 } else { 0.0 } && unit + 1 < UNITS.len() {
        size /= 1024.0;
        unit += 1;
    }
    format!("{:.0} {}", size.round(), UNITS[unit])
}

/// A type's name in SQL from its oid and modifier.
fn format_type(arguments: &[Option<&str>]) -> Option<String> {
    let oid: i64 = arguments.first()?.as_ref()?.parse().ok()?;
    let modifier: Option<i64> = arguments.get(1).copied().flatten().and_then(|text| text.parse().ok());
    if oid == 0 {
        return Some("-".to_string());
    }
    let Some(known) = types().iter().find(|known| i64::from(known.oid) == oid) else {
        return Some("???".to_string());
    };
    let (name, array) = match known.name.strip_prefix('_') {
        Some(item) => (item, "[]"),
        None => (known.name, ""),
    };
    let shown = sql_name(name);
    match modifier {
        Some(modifier) if name == "numeric" && modifier > 4 => {
            Some(format!("numeric({},{}){array}", (modifier - 4) >> 16, (modifier - 4) & 0xffff))
        }
        _ => Some(format!("{shown}{array}")),
    }
}

/// Names of types that the engine does not know.
#[derive(Debug)]
pub(super) struct Types;

impl TypePlanner for Types {
    fn plan_type_field(&self, sql_type: &SqlType) -> Result<Option<FieldRef>> {
        let written = match sql_type {
            SqlType::Float(_) => return Ok(Some(Arc::new(Field::new("", DataType::Float64, true)))),
            SqlType::Custom(..) | SqlType::Regclass | SqlType::JSON | SqlType::JSONB | SqlType::Uuid => {
                sql_type.to_string().to_lowercase()
            }
            _ => return Ok(None),
        };
        let name = written.rsplit('.').next().unwrap_or_default().trim_matches('"');
        if let Some(zone) = zone_of(written.trim_matches('"')) {
            let instant =
                DataType::Timestamp(arrow::datatypes::TimeUnit::Microsecond, Some(zone.name().into()));
            return Ok(Some(Arc::new(Field::new("", instant, true))));
        }
        let data_type = match name {
            "oid" | "xid" | "regclass" | "regtype" => DataType::UInt32,
            "int2" => DataType::Int16,
            "int4" => DataType::Int32,
            "int8" => DataType::Int64,
            "float4" => DataType::Float32,
            "float8" => DataType::Float64,
            "bool" => DataType::Boolean,
            "date" => DataType::Date32,
            "timestamp" => DataType::Timestamp(arrow::datatypes::TimeUnit::Microsecond, None),
            "timestamptz" => DataType::Timestamp(arrow::datatypes::TimeUnit::Microsecond, Some("UTC".into())),
            "bytea" => DataType::Binary,
            "text" | "name" | "varchar" | "bpchar" | "char" | "json" | "jsonb" | "uuid" | "xml"
            | "citext" | "regproc" | "unknown" | "cstring" | "character_data" | "sql_identifier"
            | "yes_or_no" => DataType::Utf8,
            "cardinal_number" => DataType::Int32,
            "time_stamp" => DataType::Timestamp(arrow::datatypes::TimeUnit::Microsecond, Some("UTC".into())),
            _ => return Ok(None),
        };
        Ok(Some(Arc::new(Field::new("", data_type, true))))
    }
}
