//! What there is: catalogs, schemas and tables that the caller may read. Keys are unknown to a lake, so their lists are empty.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow_flight::sql::{CommandGetCatalogs, CommandGetDbSchemas, CommandGetTableTypes, CommandGetTables};
use laguna_base::{Error, Result};
use laguna_query::{Moment, Session, collect};

use super::types;
use crate::{Caller, Desk};

/// The one catalog.
pub(super) const CATALOG: &str = "laguna";

/// Where the engine describes the lake.
const INFORMATION: &str = "information_schema";

/// Kinds of tables, as JDBC calls them.
const TABLE_TYPES: [&str; 3] = ["SYSTEM TABLE", "TABLE", "VIEW"];

fn broken(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::internal("a list cannot be written").caused_by(error)
}

pub(super) fn catalogs(query: CommandGetCatalogs) -> Result<RecordBatch> {
    let mut list = query.into_builder();
    list.append(CATALOG);
    list.build().map_err(broken)
}

pub(super) fn table_types(query: CommandGetTableTypes) -> Result<RecordBatch> {
    let mut list = query.into_builder();
    TABLE_TYPES.iter().for_each(|kind| list.append(kind));
    list.build().map_err(broken)
}

pub(super) async fn schemas(desk: &Desk, caller: &Caller, query: CommandGetDbSchemas) -> Result<RecordBatch> {
    let session = desk.session(caller, &Moment::Now).await?;
    let sql = format!("SELECT schema_name FROM {INFORMATION}.schemata");
    let mut names: BTreeSet<String> = texts(&session, &sql).await?.into_iter().flatten().collect();
    names.insert(INFORMATION.to_string());
    let mut list = query.into_builder();
    names.iter().for_each(|name| list.append(CATALOG, name));
    list.build().map_err(broken)
}

pub(super) async fn tables(desk: &Desk, caller: &Caller, query: CommandGetTables) -> Result<RecordBatch> {
    let session = desk.session(caller, &Moment::Now).await?;
    let sql = format!(
        "SELECT table_schema, table_name, table_type FROM {INFORMATION}.tables WHERE true{}{}",
        like("table_schema", query.db_schema_filter_pattern.as_deref()),
        like("table_name", query.table_name_filter_pattern.as_deref()),
    );
    let (kinds, with_columns) = (query.table_types.clone(), query.include_schema);
    let named = query.catalog.as_deref().is_none_or(|catalog| catalog == CATALOG);
    let mut list = query.into_builder();
    let found = if named { texts(&session, &sql).await? } else { Vec::new() };
    for row in found {
        let [schema, table, kind] = row.as_slice() else { continue };
        let kind = match (schema.as_str(), kind.as_str()) {
            (INFORMATION, _) => TABLE_TYPES[0],
            (_, "VIEW") => TABLE_TYPES[2],
            _ => TABLE_TYPES[1],
        };
        if !kinds.is_empty() && !kinds.iter().any(|wanted| wanted == kind) {
            continue;
        }
        let columns = match with_columns {
            false => Schema::empty(),
            true => match columns(&session, schema, table).await {
                Ok(columns) => columns,
                Err(error) => {
                    // One broken table must not spoil the list of all.
                    tracing::warn!(schema, table, %error, "a table is left out of the catalog");
                    continue;
                }
            },
        };
        list.append(CATALOG, schema, table, kind, &columns).map_err(broken)?;
    }
    list.build().map_err(broken)
}

async fn columns(session: &Session, schema: &str, table: &str) -> Result<Schema> {
    let quoted = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
    let sql = format!("SELECT * FROM {}.{}", quoted(schema), quoted(table));
    Ok(types::told(&*session.schema_of(&sql).await?))
}

/// A condition that a pattern of Flight SQL means: `%` any text, `_` any character, `\` takes their meaning away.
fn like(column: &str, pattern: Option<&str>) -> String {
    pattern.map_or(String::new(), |pattern| format!(" AND {column} LIKE '{}'", pattern.replace('\'', "''")))
}

/// The rows of a statement whose columns are texts.
async fn texts(session: &Session, sql: &str) -> Result<Vec<Vec<String>>> {
    let mut rows = Vec::new();
    for batch in collect(session.execute(sql).await?).await? {
        let columns = batch.columns().iter().map(|column| cast(column, &DataType::Utf8));
        let columns = columns.collect::<Result<Vec<_>, _>>().map_err(broken)?;
        for row in 0..batch.num_rows() {
            rows.push(
                columns.iter().map(|column| column.as_string::<i32>().value(row).to_string()).collect(),
            );
        }
    }
    Ok(rows)
}

/// An empty list of primary keys: `CommandGetPrimaryKeys`.
pub(super) fn primary_keys() -> RecordBatch {
    RecordBatch::new_empty(schema(&[
        ("catalog_name", DataType::Utf8, true),
        ("db_schema_name", DataType::Utf8, true),
        ("table_name", DataType::Utf8, false),
        ("column_name", DataType::Utf8, false),
        ("key_name", DataType::Utf8, true),
        ("key_sequence", DataType::Int32, false),
    ]))
}

/// An empty list of foreign keys: `CommandGetExportedKeys`, `CommandGetImportedKeys`, `CommandGetCrossReference`.
pub(super) fn foreign_keys() -> RecordBatch {
    RecordBatch::new_empty(schema(&[
        ("pk_catalog_name", DataType::Utf8, true),
        ("pk_db_schema_name", DataType::Utf8, true),
        ("pk_table_name", DataType::Utf8, false),
        ("pk_column_name", DataType::Utf8, false),
        ("fk_catalog_name", DataType::Utf8, true),
        ("fk_db_schema_name", DataType::Utf8, true),
        ("fk_table_name", DataType::Utf8, false),
        ("fk_column_name", DataType::Utf8, false),
        ("key_sequence", DataType::Int32, false),
        ("fk_key_name", DataType::Utf8, true),
        ("pk_key_name", DataType::Utf8, true),
        ("update_rule", DataType::UInt8, false),
        ("delete_rule", DataType::UInt8, false),
    ]))
}

fn schema(columns: &[(&str, DataType, bool)]) -> SchemaRef {
    let field =
        |(name, data_type, null): &(&str, DataType, bool)| Field::new(*name, data_type.clone(), *null);
    Arc::new(Schema::new(columns.iter().map(field).collect::<Vec<_>>()))
}
