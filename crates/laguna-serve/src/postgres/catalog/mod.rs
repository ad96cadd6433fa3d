//! `pg_catalog` and `information_schema`: the relations that clients of PostgreSQL 15 ask for, with its columns. Those that
//! tell of the lake show what the caller may read; those about what Laguna has not (indexes, constraints, …) are empty.
//!
//! `relations.txt` lists relations with oid, kind and columns, `types.txt` the types, both as PostgreSQL 15 shows them.

mod functions;
mod rows;

use std::sync::{Arc, OnceLock};

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use async_trait::async_trait;
use datafusion::catalog::{MemTable, Session, TableProvider};
use datafusion::common::Result as EngineResult;
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_plan::ExecutionPlan;
use laguna_model::Project;
use laguna_query::{Listing, Schemas, World};
use tokio::sync::watch;

/// Who owns everything.
pub(super) const OWNER: &str = "laguna";
pub(super) const OWNER_OID: u32 = 10;
/// Who asks, to itself.
pub(super) const CALLER_OID: u32 = 16_384;
/// The one database; clients may name any.
pub(super) const DATABASE: &str = "laguna";
pub(super) const DATABASE_OID: u32 = 5;

/// Relations that have rows.
const FILLED: [&str; 32] = [
    "pg_class",
    "pg_attribute",
    "pg_namespace",
    "pg_type",
    "pg_database",
    "pg_roles",
    "pg_authid",
    "pg_user",
    "pg_settings",
    "pg_tables",
    "pg_views",
    "pg_am",
    "pg_description",
    "pg_proc",
    "pg_tablespace",
    "pg_language",
    "tables",
    "columns",
    "schemata",
    "views",
    "enabled_roles",
    "applicable_roles",
    "information_schema_catalog_name",
    "character_sets",
    "table_privileges",
    "column_privileges",
    "role_table_grants",
    "role_column_grants",
    "pg_collation",
    "pg_get_keywords",
    "pg_stat_activity",
    "pg_timezone_names",
];

/// One relation of the system.
pub(super) struct Relation {
    pub(super) schema: &'static str,
    pub(super) name: &'static str,
    pub(super) oid: u32,
    pub(super) kind: &'static str,
    /// Names and types.
    pub(super) columns: Vec<(&'static str, &'static str)>,
}

/// One type.
pub(super) struct Type {
    pub(super) oid: u32,
    pub(super) name: &'static str,
    /// All that `types.txt` says of it, oid and name first.
    pub(super) words: Vec<&'static str>,
}

/// The relations of the system, read once.
pub(super) fn relations() -> &'static [Relation] {
    static RELATIONS: OnceLock<Vec<Relation>> = OnceLock::new();
    RELATIONS.get_or_init(|| {
        let lines = include_str!("relations.txt").lines();
        lines
            .filter_map(|line| {
                let mut words = line.split(' ');
                let (schema, name) = words.next()?.split_once('.')?;
                let (oid, kind) = (words.next()?.parse().ok()?, words.next()?);
                let columns = words.filter_map(|word| word.split_once(':')).collect();
                Some(Relation { schema, name, oid, kind, columns })
            })
            .collect()
    })
}

/// The types, read once.
pub(super) fn types() -> &'static [Type] {
    static TYPES: OnceLock<Vec<Type>> = OnceLock::new();
    TYPES.get_or_init(|| {
        let lines = include_str!("types.txt").lines();
        lines
            .filter_map(|line| {
                let words: Vec<&str> = line.split(' ').collect();
                Some(Type { oid: words.first()?.parse().ok()?, name: words.get(1)?, words })
            })
            .collect()
    })
}

/// Whether it is a relation of the system that never has rows. Those of `information_schema` are named with it: elsewhere
/// their names (`domains`, `triggers`) may be those of anybody's tables.
pub(super) fn is_empty(schema: Option<&str>, name: &str) -> bool {
    let known =
        |relation: &Relation| relation.name == name && relation.schema == schema.unwrap_or("pg_catalog");
    !FILLED.contains(&name) && relations().iter().any(known)
}

/// Whether a column of the system is true or false. Some have names that anybody's columns may have (`active`, `ssl`).
pub(super) fn is_flag(column: &str) -> bool {
    const OWN: [&str; 19] = [
        "att", "con", "ind", "rel", "rol", "typ", "use", "pro", "lan", "dat", "tg", "pub", "sub", "agg",
        "opc", "opr", "pol", "coll", "st",
    ];
    let name = column.rsplit('.').next().unwrap_or_default().trim_matches('"').to_lowercase();
    OWN.iter().any(|prefix| name.starts_with(prefix))
        && name != "relocatable"
        && relations()
            .iter()
            .flat_map(|relation| &relation.columns)
            .any(|(known, of)| *known == name && *of == "bool")
}

/// Oid of a relation of `pg_catalog`.
pub(super) fn system_oid(name: &str) -> Option<u32> {
    relations()
        .iter()
        .find(|relation| relation.schema == "pg_catalog" && relation.name == name)
        .map(|r| r.oid)
}

/// Oid of a table of the lake: a hash of its name, so that it is the same in every session and after every start.
pub(super) fn table_oid(schema: &str, table: &str) -> u32 {
    hash(&format!("{schema}.{table}"))
}

/// Oid of a schema.
pub(super) fn schema_oid(schema: &str) -> u32 {
    match schema {
        "pg_catalog" => 11,
        "information_schema" => 13_000,
        schema => hash(schema),
    }
}

/// FNV-1a, above the oids of the system and below 2^31, which some clients take for the end.
fn hash(text: &str) -> u32 {
    let hash =
        text.bytes().fold(0x811c_9dc5u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    20_000 + hash % (0x7fff_ffff - 20_000)
}

/// Oid of a type by its name in PostgreSQL or SQL.
pub(super) fn type_oid(name: &str) -> Option<u32> {
    let name = name.trim().to_lowercase();
    let name = name.strip_prefix("pg_catalog.").unwrap_or(&name);
    let internal =
        functions::SQL_NAMES.iter().find(|(_, sql)| *sql == name).map_or(name, |(internal, _)| internal);
    let internal = match internal.strip_suffix("[]") {
        Some(item) => format!("_{item}"),
        None => internal.to_string(),
    };
    types().iter().find(|known| known.name == internal).map(|known| known.oid)
}

/// A type's name in SQL by its oid.
pub(super) fn sql_name(oid: u32) -> String {
    type_name(oid).map_or("unknown", functions::sql_name).to_string()
}

/// A type's name by its oid.
pub(super) fn type_name(oid: u32) -> Option<&'static str> {
    types().iter().find(|known| known.oid == oid).map(|known| known.name)
}

/// The Arrow type of a column of the system.
fn arrow(name: &str) -> DataType {
    let list = |item: DataType| DataType::List(Arc::new(Field::new("item", item, true)));
    match name {
        "oid" | "xid" => DataType::UInt32,
        "bool" => DataType::Boolean,
        "int2" => DataType::Int16,
        "int4" => DataType::Int32,
        "int8" => DataType::Int64,
        "float4" => DataType::Float32,
        "float8" => DataType::Float64,
        "timestamptz" => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        "bytea" => DataType::Binary,
        "int2vector" | "_int2" => list(DataType::Int16),
        "oidvector" | "_oid" => list(DataType::UInt32),
        "_float4" => list(DataType::Float32),
        name if name.starts_with('_') => list(DataType::Utf8),
        _ => DataType::Utf8,
    }
}

/// The system's schemas.
#[derive(Debug)]
struct Catalog {
    project: watch::Receiver<Arc<Project>>,
}

/// What is around the lake for clients of PostgreSQL.
pub(super) fn world(project: watch::Receiver<Arc<Project>>) -> Arc<World> {
    let mut all = functions::all();
    all.extend(super::meaning::functions());
    let planners = vec![super::meaning::planner()];
    World::new(Arc::new(Catalog { project }), all, Arc::new(functions::Types), planners)
}

impl Schemas for Catalog {
    fn has(&self, schema: &str) -> bool {
        matches!(schema, "pg_catalog" | "information_schema")
    }

    fn table(&self, schema: &str, table: &str, listing: &Listing) -> Option<Arc<dyn TableProvider>> {
        let relation = match table {
            "pg_get_keywords" => &KEYWORDS,
            _ => relations().iter().find(|relation| relation.schema == schema && relation.name == table)?,
        };
        let fields: Vec<Field> =
            relation.columns.iter().map(|(name, of)| Field::new(*name, arrow(of), true)).collect();
        Some(Arc::new(SystemTable {
            relation,
            schema: Arc::new(Schema::new(fields)),
            listing: listing.clone(),
            project: self.project.clone(),
        }))
    }
}

static KEYWORDS: std::sync::LazyLock<Relation> = std::sync::LazyLock::new(|| Relation {
    schema: "pg_catalog",
    name: "pg_get_keywords",
    oid: 0,
    kind: "v",
    columns: vec![
        ("word", "text"),
        ("catcode", "text"),
        ("barelabel", "bool"),
        ("catdesc", "text"),
        ("baredesc", "text"),
    ],
});

/// A relation whose rows are made when it is scanned.
struct SystemTable {
    relation: &'static Relation,
    schema: SchemaRef,
    listing: Listing,
    project: watch::Receiver<Arc<Project>>,
}

impl std::fmt::Debug for SystemTable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SystemTable").field("name", &self.relation.name).finish_non_exhaustive()
    }
}

#[async_trait]
impl TableProvider for SystemTable {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::View
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        limit: Option<usize>,
    ) -> EngineResult<Arc<dyn ExecutionPlan>> {
        let project = self.project.borrow().clone();
        let batches = rows::of(self.relation, &self.schema, &self.listing, &project).await?;
        let table = MemTable::try_new(self.schema.clone(), vec![batches])?;
        table.scan(state, projection, &[], limit).await
    }
}
