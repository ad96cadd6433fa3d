//! The rows of the system's relations.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use arrow::array::{
    ArrayRef, BooleanArray, Float32Array, Int16Array, Int32Array, RecordBatch, StringArray, UInt32Array,
    new_null_array,
};
use arrow::datatypes::{DataType, Field, SchemaRef};
use chrono::{Offset, TimeZone};
use chrono_tz::{OffsetComponents, OffsetName};
use datafusion::common::Result as EngineResult;
use futures::future::join_all;
use laguna_base::{TableName, Tier};
use laguna_model::Project;
use laguna_query::Listing;

use super::super::{types as wire, variables::Variables};
use super::{
    CALLER_OID, DATABASE, DATABASE_OID, OWNER, OWNER_OID, Relation, relations, schema_oid, table_oid, types,
};

/// A value of a row; what is not given is null.
#[derive(Debug, Clone)]
enum Value {
    Text(String),
    Number(i64),
    Bool(bool),
}

impl From<&str> for Value {
    fn from(text: &str) -> Value {
        Value::Text(text.to_string())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Value {
        Value::Text(text)
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Value {
        Value::Bool(value)
    }
}

macro_rules! number {
    ($($type:ty)*) => {$(
        impl From<$type> for Value {
            fn from(value: $type) -> Value {
                Value::Number(value as i64)
            }
        }
    )*};
}
number!(i16 i32 i64 u32 usize);

type Row = HashMap<&'static str, Value>;

macro_rules! row {
    ($($name:ident: $value:expr),* $(,)?) => {
        Row::from([$((stringify!($name), Value::from($value))),*])
    };
}

/// All rows of `relation`.
pub(super) async fn of(
    relation: &Relation,
    schema: &SchemaRef,
    listing: &Listing,
    project: &Project,
) -> EngineResult<Vec<RecordBatch>> {
    let rows = match (relation.schema, relation.name) {
        ("pg_catalog", "pg_class") => classes(listing).await?,
        ("pg_catalog", "pg_attribute") => attributes(listing).await?,
        ("pg_catalog", "pg_namespace") => schemas().into_iter().map(namespace).collect(),
        ("pg_catalog", "pg_type") => types().iter().map(type_row).collect(),
        ("pg_catalog", "pg_proc") => procedures(),
        ("pg_catalog", "pg_database") => vec![database()],
        ("pg_catalog", "pg_roles" | "pg_authid") => users(listing).map(role).collect(),
        ("pg_catalog", "pg_user") => users(listing).map(user).collect(),
        ("pg_catalog", "pg_settings") => settings(),
        ("pg_catalog", "pg_am") => {
            vec![row! {oid: 2u32, amname: "heap", amhandler: "heap_tableam_handler", amtype: "t"}]
        }
        ("pg_catalog", "pg_tablespace") => {
            vec![row! {oid: 1663u32, spcname: "pg_default", spcowner: OWNER_OID}]
        }
        ("pg_catalog", "pg_language") => {
            vec![row! {oid: 14u32, lanname: "sql", lanowner: OWNER_OID, lanispl: false, lanpltrusted: true}]
        }
        ("pg_catalog", "pg_collation") => collations(),
        ("pg_catalog", "pg_timezone_names") => zones(),
        ("pg_catalog", "pg_description") => descriptions(listing, project).await?,
        ("pg_catalog", "pg_tables") => relations_of(listing, false).await?,
        ("pg_catalog", "pg_views") => relations_of(listing, true).await?,
        ("information_schema", "tables") => info_tables(listing).await?,
        ("information_schema", "columns") => info_columns(listing).await?,
        ("information_schema", "views") => info_views(listing).await?,
        ("information_schema", "schemata") => schemas().into_iter().map(schemata).collect(),
        ("information_schema", "table_privileges" | "role_table_grants") => privileges(listing).await?,
        ("information_schema", "column_privileges" | "role_column_grants") => {
            column_privileges(listing).await?
        }
        ("information_schema", "enabled_roles") => vec![row! {role_name: listing.user()}],
        ("information_schema", "information_schema_catalog_name") => vec![row! {catalog_name: DATABASE}],
        ("information_schema", "character_sets") => vec![row! {character_set_name: "UTF8",
        character_repertoire: "UCS", form_of_use: "UTF8", default_collate_catalog: DATABASE}],
        _ => Vec::new(),
    };
    Ok(fixed(relation, schema)?.into_iter().chain([batch(schema, &rows)?]).collect())
}

fn batch(schema: &SchemaRef, rows: &[Row]) -> EngineResult<RecordBatch> {
    let columns = schema.fields().iter().map(|field| column(field, rows)).collect();
    Ok(RecordBatch::try_new(schema.clone(), columns)?)
}

/// Rows that are the same for everybody, made once where there are many: the columns of the system's own relations.
fn fixed(relation: &Relation, schema: &SchemaRef) -> EngineResult<Option<RecordBatch>> {
    static ATTRIBUTES: OnceLock<RecordBatch> = OnceLock::new();
    static COLUMNS: OnceLock<RecordBatch> = OnceLock::new();
    let (kept, rows): (_, fn() -> Vec<Row>) = match (relation.schema, relation.name) {
        ("pg_catalog", "pg_attribute") => (&ATTRIBUTES, system_attributes),
        ("information_schema", "columns") => (&COLUMNS, system_columns),
        _ => return Ok(None),
    };
    if let Some(kept) = kept.get() {
        return Ok(Some(kept.clone()));
    }
    let made = batch(schema, &rows())?;
    Ok(Some(kept.get_or_init(|| made).clone()))
}

fn column(field: &Field, rows: &[Row]) -> ArrayRef {
    let values = || rows.iter().map(|row| row.get(field.name().as_str()));
    let number = |value: Option<&Value>| match value {
        Some(Value::Number(number)) => Some(*number),
        _ => None,
    };
    match field.data_type() {
        DataType::Utf8 => {
            let text = |value: Option<&Value>| match value? {
                Value::Text(text) => Some(text.clone()),
                Value::Number(number) => Some(number.to_string()),
                Value::Bool(value) => Some(value.to_string()),
            };
            Arc::new(values().map(text).collect::<StringArray>())
        }
        DataType::Boolean => {
            let flag = |value: Option<&Value>| match value {
                Some(Value::Bool(value)) => Some(*value),
                _ => None,
            };
            Arc::new(values().map(flag).collect::<BooleanArray>())
        }
        DataType::UInt32 => {
            Arc::new(values().map(|value| number(value).map(|n| n as u32)).collect::<UInt32Array>())
        }
        DataType::Int16 => {
            Arc::new(values().map(|value| number(value).map(|n| n as i16)).collect::<Int16Array>())
        }
        DataType::Int32 => {
            Arc::new(values().map(|value| number(value).map(|n| n as i32)).collect::<Int32Array>())
        }
        DataType::Float32 => {
            Arc::new(values().map(|value| number(value).map(|n| n as f32)).collect::<Float32Array>())
        }
        other => new_null_array(other, rows.len()),
    }
}

/// Schemas of the lake and of the system.
fn schemas() -> Vec<&'static str> {
    Tier::ALL.iter().map(|tier| tier.as_str()).chain(["pg_catalog", "information_schema"]).collect()
}

async fn tables(listing: &Listing) -> EngineResult<Vec<(TableName, bool)>> {
    let tiers = join_all(Tier::ALL.iter().map(|tier| listing.tables(*tier))).await;
    let mut all = Vec::new();
    for tables in tiers {
        all.extend(tables?);
    }
    Ok(all)
}

/// Tables of the lake with their columns.
async fn columns(listing: &Listing) -> EngineResult<Vec<(TableName, SchemaRef)>> {
    let tables = tables(listing).await?;
    let opened = join_all(tables.iter().map(|(name, _)| listing.columns(name))).await;
    Ok(tables.into_iter().zip(opened).filter_map(|((name, _), columns)| Some((name, columns?))).collect())
}

fn class(oid: u32, name: &str, schema: &str, kind: &str, columns: usize) -> Row {
    row! {
        oid: oid, relname: name, relnamespace: schema_oid(schema),
        reltype: type_of_rows(schema, name), reloftype: 0u32, relowner: OWNER_OID,
        relam: if kind == "r" { 2u32 } else { 0 }, relfilenode: 0u32, reltablespace: 0u32, relpages: 0i32,
        reltuples: -1i32, relallvisible: 0i32, reltoastrelid: 0u32, relhasindex: false, relisshared: false,
        relpersistence: "p", relkind: kind, relnatts: columns, relchecks: 0i16, relhasrules: false,
        relhastriggers: false, relhassubclass: false, relrowsecurity: false, relforcerowsecurity: false,
        relispopulated: true, relreplident: "d", relispartition: false, relrewrite: 0u32, relfrozenxid: 0u32,
        relminmxid: 0u32,
    }
}

/// The type of a relation's rows, of which clients ask only whether there is one.
fn type_of_rows(schema: &str, name: &str) -> u32 {
    table_oid(schema, &format!("{name}.rows"))
}

async fn classes(listing: &Listing) -> EngineResult<Vec<Row>> {
    let system = relations().iter().map(|r| class(r.oid, r.name, r.schema, r.kind, r.columns.len()));
    let lake = tables(listing).await?.into_iter().map(|(name, is_view)| {
        let schema = name.tier.as_str();
        class(table_oid(schema, &name.table), &name.table, schema, if is_view { "v" } else { "r" }, 0)
    });
    Ok(system.chain(lake).collect())
}

fn attribute(relation: u32, number: usize, name: &str, of: u32, modifier: i32, nullable: bool) -> Row {
    let known = types().iter().find(|known| known.oid == of);
    let word = |index: usize| known.and_then(|known| known.words.get(index)).copied().unwrap_or_default();
    row! {
        attrelid: relation, attname: name, atttypid: of, attstattarget: -1i32,
        attlen: word(2).parse::<i64>().unwrap_or(-1), attnum: number, attndims: i32::from(word(5) == "A"),
        attcacheoff: -1i32, atttypmod: modifier, attbyval: word(3) == "t", attalign: word(15), attstorage: word(16),
        attcompression: "", attnotnull: !nullable, atthasdef: false, atthasmissing: false, attidentity: "",
        attgenerated: "", attisdropped: false, attislocal: true, attinhcount: 0i32,
        attcollation: word(17).parse::<i64>().unwrap_or(0),
    }
}

/// The columns of the system's relations: relation, number, name, and oid of the type.
fn system_fields() -> impl Iterator<Item = (&'static Relation, usize, &'static str, u32)> {
    relations().iter().flat_map(|relation| {
        relation.columns.iter().enumerate().map(move |(index, (name, of))| {
            let oid = types().iter().find(|known| known.name == *of).map_or(wire::TEXT, |known| known.oid);
            (relation, index + 1, *name, oid)
        })
    })
}

fn system_attributes() -> Vec<Row> {
    system_fields()
        .map(|(relation, number, name, of)| attribute(relation.oid, number, name, of, -1, true))
        .collect()
}

fn system_columns() -> Vec<Row> {
    system_fields()
        .map(|(relation, number, name, of)| {
            info_column(relation.schema, relation.name, number, name, of, -1, true)
        })
        .collect()
}

async fn attributes(listing: &Listing) -> EngineResult<Vec<Row>> {
    let mut rows = Vec::new();
    for (name, schema) in columns(listing).await? {
        let relation = table_oid(name.tier.as_str(), &name.table);
        for (index, field) in schema.fields().iter().enumerate() {
            let of = wire::oid(field.data_type());
            rows.push(attribute(
                relation,
                index + 1,
                field.name(),
                of,
                wire::modifier(field),
                field.is_nullable(),
            ));
        }
    }
    Ok(rows)
}

fn namespace(schema: &str) -> Row {
    row! {oid: schema_oid(schema), nspname: schema, nspowner: OWNER_OID}
}

fn type_row(known: &super::Type) -> Row {
    let word = |index: usize| known.words.get(index).copied().unwrap_or_default();
    let number = |index: usize| word(index).parse::<i64>().unwrap_or(0);
    let flag = |index: usize| word(index) == "t";
    let mut row = row! {
        oid: known.oid, typname: known.name, typnamespace: 11u32, typowner: OWNER_OID, typlen: number(2),
        typbyval: flag(3), typtype: word(4), typcategory: word(5), typispreferred: flag(6), typisdefined: true,
        typdelim: ",", typrelid: 0u32, typsubscript: "-", typelem: number(7), typarray: number(8), typinput: word(9),
        typreceive: word(12), typmodin: "-", typmodout: "-", typanalyze: "-", typalign: word(15), typstorage: word(16),
        typnotnull: false, typbasetype: 0u32, typtypmod: -1i32, typndims: 0i32, typcollation: number(17),
    };
    let other = |name: &str, from: &str, to: &str| {
        name.strip_suffix(from).map_or_else(|| name.to_string(), |stem| format!("{stem}{to}"))
    };
    row.insert("typoutput", other(word(9), "in", "out").into());
    row.insert("typsend", other(word(12), "recv", "send").into());
    row
}

/// The functions that read and write the types.
fn procedures() -> Vec<Row> {
    let mut rows = Vec::new();
    let mut seen = Vec::new();
    for known in types() {
        for (name, oid) in [(9, 10), (12, 13)] {
            let word = |index: usize| known.words.get(index).copied().unwrap_or_default();
            let Ok(oid) = word(oid).parse::<u32>() else { continue };
            if oid == 0 || seen.contains(&oid) {
                continue;
            }
            seen.push(oid);
            rows.push(row! {oid: oid, proname: word(name), pronamespace: 11u32, proowner: OWNER_OID, prolang: 12u32,
                procost: 1i32, prorows: 0i32, provariadic: 0u32, prosupport: "-", prokind: "f", prosecdef: false,
                proleakproof: false, proisstrict: true, proretset: false, provolatile: "i", proparallel: "s",
                pronargs: 1i16, pronargdefaults: 0i16, prorettype: known.oid, prosrc: word(name)});
        }
    }
    rows
}

fn database() -> Row {
    row! {oid: DATABASE_OID, datname: DATABASE, datdba: OWNER_OID, encoding: 6i32, datlocprovider: "c", datistemplate: false,
    datallowconn: true, datconnlimit: -1i32, datfrozenxid: 0u32, datminmxid: 0u32, dattablespace: 1663u32,
    datcollate: "C", datctype: "C"}
}

/// Who is known here: the owner of all, and who asks.
fn users(listing: &Listing) -> impl Iterator<Item = (&str, u32)> {
    let caller = Some((listing.user(), CALLER_OID)).filter(|(name, _)| *name != OWNER);
    std::iter::once((OWNER, OWNER_OID)).chain(caller)
}

fn role((name, oid): (&str, u32)) -> Row {
    row! {rolname: name, rolsuper: false, rolinherit: true, rolcreaterole: false, rolcreatedb: false,
    rolcanlogin: oid != OWNER_OID, rolreplication: false, rolconnlimit: -1i32, rolpassword: "********",
    rolbypassrls: false, oid: oid}
}

fn user((name, oid): (&str, u32)) -> Row {
    row! {usename: name, usesysid: oid, usecreatedb: false, usesuper: false, userepl: false, usebypassrls: false,
    passwd: "********"}
}

/// Time zones as they are now.
fn zones() -> Vec<Row> {
    let now = chrono::Utc::now().naive_utc();
    let row = |zone: &chrono_tz::Tz| {
        let offset = zone.offset_from_utc_datetime(&now);
        let seconds = offset.fix().local_minus_utc();
        let (sign, seconds) = if seconds < 0 { ("-", -seconds) } else { ("", seconds) };
        row! {name: zone.name(), abbrev: offset.abbreviation().unwrap_or_default(),
        utc_offset: format!("{sign}{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60),
        is_dst: !offset.dst_offset().is_zero()}
    };
    chrono_tz::TZ_VARIANTS.iter().map(row).collect()
}

fn collations() -> Vec<Row> {
    let row = |(oid, name, provider, locale): (u32, &str, &str, Option<&str>)| {
        let mut row = row! {oid: oid, collname: name, collnamespace: 11u32, collowner: OWNER_OID, collprovider: provider,
        collisdeterministic: true, collencoding: -1i32};
        if let Some(locale) = locale {
            row.extend([("collcollate", Value::from(locale)), ("collctype", Value::from(locale))]);
        }
        row
    };
    [(100, "default", "d", None), (950, "C", "c", Some("C")), (951, "POSIX", "c", Some("POSIX"))]
        .map(row)
        .to_vec()
}

fn settings() -> Vec<Row> {
    let variables = Variables::new(OWNER);
    let all = variables.all().into_iter();
    all.map(|(name, value, _)| {
        row! {name: name, setting: value.clone(), category: "Laguna", short_desc: "", context: "user", vartype: "string",
            source: "default", boot_val: value.clone(), reset_val: value, pending_restart: false}
    })
    .collect()
}

async fn descriptions(listing: &Listing, project: &Project) -> EngineResult<Vec<Row>> {
    let mut rows = Vec::new();
    let mut row = |relation: u32, column: usize, text: &str| {
        if !text.is_empty() {
            rows.push(row! {objoid: relation, classoid: 1259u32, objsubid: column, description: text});
        }
    };
    for (name, schema) in columns(listing).await? {
        let relation = table_oid(name.tier.as_str(), &name.table);
        let Some((table, columns)) = described(project, &name) else { continue };
        row(relation, 0, &table);
        for (index, field) in schema.fields().iter().enumerate() {
            if let Some(text) = columns.get(field.name()) {
                row(relation, index + 1, text);
            }
        }
    }
    Ok(rows)
}

/// What the project says about a table and its columns.
fn described(project: &Project, name: &TableName) -> Option<(String, HashMap<String, String>)> {
    let model = project.models.get(name)?;
    let columns = model.settings.columns.iter();
    let columns =
        columns.filter_map(|(column, settings)| Some((column.clone(), settings.description.clone()?)));
    Some((model.settings.description.clone().unwrap_or_default(), columns.collect()))
}

async fn relations_of(listing: &Listing, views: bool) -> EngineResult<Vec<Row>> {
    let system = relations().iter().filter(|relation| (relation.kind == "v") == views);
    let system = system.map(|relation| (relation.schema, relation.name.to_string()));
    let lake = tables(listing).await?.into_iter().filter(|(_, is_view)| *is_view == views);
    let lake = lake.map(|(name, _)| (name.tier.as_str(), name.table));
    let row = |(schema, name): (&str, String)| match views {
        true => row! {schemaname: schema, viewname: name, viewowner: OWNER},
        false => {
            row! {schemaname: schema, tablename: name, tableowner: OWNER, hasindexes: false, hasrules: false,
            hastriggers: false, rowsecurity: false}
        }
    };
    Ok(system.chain(lake).map(row).collect())
}

async fn info_tables(listing: &Listing) -> EngineResult<Vec<Row>> {
    let row = |schema: &str, name: &str, is_view: bool| {
        row! {table_catalog: DATABASE, table_schema: schema, table_name: name,
        table_type: if is_view { "VIEW" } else { "BASE TABLE" }, is_insertable_into: "NO", is_typed: "NO"}
    };
    let system = relations().iter().map(|relation| row(relation.schema, relation.name, relation.kind == "v"));
    let lake = tables(listing).await?;
    let lake = lake.iter().map(|(name, is_view)| row(name.tier.as_str(), &name.table, *is_view));
    Ok(system.chain(lake).collect())
}

async fn info_views(listing: &Listing) -> EngineResult<Vec<Row>> {
    let views = tables(listing).await?.into_iter().filter(|(_, is_view)| *is_view);
    let row = |(name, _): (TableName, bool)| {
        row! {table_catalog: DATABASE, table_schema: name.tier.as_str(), table_name: name.table, check_option: "NONE",
        is_updatable: "NO", is_insertable_into: "NO", is_trigger_updatable: "NO", is_trigger_deletable: "NO",
        is_trigger_insertable_into: "NO"}
    };
    Ok(views.map(row).collect())
}

async fn privileges(listing: &Listing) -> EngineResult<Vec<Row>> {
    let row = |(name, _): (TableName, bool)| {
        row! {grantor: OWNER, grantee: listing.user(), table_catalog: DATABASE, table_schema: name.tier.as_str(),
        table_name: name.table, privilege_type: "SELECT", is_grantable: "NO", with_hierarchy: "YES"}
    };
    Ok(tables(listing).await?.into_iter().map(row).collect())
}

async fn column_privileges(listing: &Listing) -> EngineResult<Vec<Row>> {
    let mut rows = Vec::new();
    for (name, schema) in columns(listing).await? {
        rows.extend(schema.fields().iter().map(|field| {
            row! {grantor: OWNER, grantee: listing.user(), table_catalog: DATABASE, table_schema: name.tier.as_str(),
            table_name: name.table.as_str(), column_name: field.name().as_str(), privilege_type: "SELECT",
            is_grantable: "NO"}
        }));
    }
    Ok(rows)
}

fn schemata(schema: &str) -> Row {
    row! {catalog_name: DATABASE, schema_name: schema, schema_owner: OWNER}
}

async fn info_columns(listing: &Listing) -> EngineResult<Vec<Row>> {
    let mut rows = Vec::new();
    for (name, schema) in columns(listing).await? {
        rows.extend(schema.fields().iter().enumerate().map(|(index, field)| {
            info_column(
                name.tier.as_str(),
                &name.table,
                index + 1,
                field.name(),
                wire::oid(field.data_type()),
                wire::modifier(field),
                field.is_nullable(),
            )
        }));
    }
    Ok(rows)
}

fn info_column(
    schema: &str,
    table: &str,
    number: usize,
    name: &str,
    oid: u32,
    modifier: i32,
    nullable: bool,
) -> Row {
    let known = types().iter().find(|known| known.oid == oid).map_or("text", |known| known.name);
    let shown = match known.starts_with('_') {
        true => "ARRAY".to_string(),
        false => super::functions::sql_name(known).to_string(),
    };
    let mut row = row! {table_catalog: DATABASE, table_schema: schema, table_name: table, column_name: name,
    ordinal_position: number, is_nullable: if nullable { "YES" } else { "NO" }, data_type: shown,
    udt_catalog: DATABASE, udt_schema: "pg_catalog", udt_name: known, dtd_identifier: number.to_string(),
    is_self_referencing: "NO", is_identity: "NO", identity_cycle: "NO", is_generated: "NEVER", is_updatable: "NO"};
    let precision: Option<(i32, i32, i32)> = match oid {
        wire::INT2 => Some((16, 2, 0)),
        wire::INT4 => Some((32, 2, 0)),
        wire::INT8 => Some((64, 2, 0)),
        wire::NUMERIC if modifier > 4 => Some(((modifier - 4) >> 16, 10, (modifier - 4) & 0xffff)),
        _ => None,
    };
    let bits = match oid {
        wire::FLOAT4 => Some(24i32),
        wire::FLOAT8 => Some(53),
        _ => None,
    };
    if let Some(bits) = bits {
        row.insert("numeric_precision", bits.into());
        row.insert("numeric_precision_radix", 2i32.into());
    }
    if oid == wire::DATE {
        row.insert("datetime_precision", 0i32.into());
    }
    if let Some((precision, radix, scale)) = precision {
        row.insert("numeric_precision", precision.into());
        row.insert("numeric_precision_radix", radix.into());
        row.insert("numeric_scale", scale.into());
    }
    if matches!(oid, wire::TIME | wire::TIMESTAMP | wire::TIMESTAMPTZ) {
        row.insert("datetime_precision", 6i32.into());
    }
    row
}
