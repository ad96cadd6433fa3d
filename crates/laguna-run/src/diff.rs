//! What changed between two releases: schema, row counts, keys.

use std::collections::BTreeSet;

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use laguna_base::settings::table::Materialize;
use laguna_base::{Error, Result, TableName};
use laguna_model::Project;
use laguna_query::{Engine, LakeTables, Moment, Session};
use laguna_store::{ReleasedTable, types};
use serde::Serialize;
use std::sync::Arc;

/// How one table differs between two releases.
#[derive(Debug, Clone, Serialize)]
pub struct TableDiff {
    /// Which.
    pub table: TableName,
    /// `added`, `removed`, `changed`, `equal`.
    pub change: &'static str,
    /// Rows before; `None` for a view or an absent table.
    pub rows_before: Option<u64>,
    /// Rows after.
    pub rows_after: Option<u64>,
    /// Columns that came, went or changed type, as `+ name type`, `- name type`, `name: old -> new`.
    pub schema: Vec<String>,
    /// Whether the SQL differs.
    pub sql_changed: bool,
    /// Columns by which rows were matched; empty when whole rows were compared.
    pub key: Vec<String>,
    /// Rows whose key is new (without a key: rows that are new).
    pub keys_added: Option<u64>,
    /// Rows whose key is gone.
    pub keys_removed: Option<u64>,
    /// Keys that stand on both sides with other values; `None` without a key.
    pub keys_changed: Option<u64>,
}

/// Compares release `from` with release `to`, for `only` these tables or all. Rows are matched by the keys that
/// `project` names; without it, whole rows are compared.
pub async fn diff(
    engine: &Engine,
    project: Option<&Project>,
    from: u64,
    to: u64,
    only: &[TableName],
) -> Result<Vec<TableDiff>> {
    let lake = engine.lake();
    let (before, after) = (lake.release_number(from).await?, lake.release_number(to).await?);
    let names: BTreeSet<&TableName> = before.tables.keys().chain(after.tables.keys()).collect();
    for name in only {
        if !names.contains(name) {
            let all: Vec<String> = names.iter().map(|name| name.to_string()).collect();
            return Err(Error::project(format!("{name} is in neither release {from} nor release {to}"))
                .hint(laguna_base::suggest::hint(&name.to_string(), all.iter())));
        }
    }
    let session = engine.session(Arc::new(LakeTables::at(lake, Moment::Now).await?), lake.clock().now());
    let mut diffs = Vec::new();
    for name in names {
        if !only.is_empty() && !only.contains(name) {
            continue;
        }
        let diff = table(project, &session, name, before.tables.get(name), after.tables.get(name)).await?;
        if diff.change != "equal" || !only.is_empty() {
            diffs.push(diff);
        }
    }
    Ok(diffs)
}

async fn table(
    project: Option<&Project>,
    session: &Session,
    name: &TableName,
    before: Option<&ReleasedTable>,
    after: Option<&ReleasedTable>,
) -> Result<TableDiff> {
    let mut diff = TableDiff {
        table: name.clone(),
        change: match (before, after) {
            (None, _) => "added",
            (_, None) => "removed",
            _ => "changed",
        },
        rows_before: before.and_then(|before| before.rows),
        rows_after: after.and_then(|after| after.rows),
        schema: Vec::new(),
        sql_changed: false,
        key: Vec::new(),
        keys_added: None,
        keys_removed: None,
        keys_changed: None,
    };
    let (Some(before), Some(after)) = (before, after) else { return Ok(diff) };
    diff.sql_changed = before.sql_hash != after.sql_hash;
    diff.schema = schema_changes(before, after)?;
    let same_rows =
        before.version == after.version || (before.content.is_some() && before.content == after.content);
    if same_rows && diff.schema.is_empty() {
        if !diff.sql_changed {
            diff.change = "equal";
        }
        (diff.keys_added, diff.keys_removed) = (Some(0), Some(0));
        return Ok(diff);
    }
    if let (Some(old), Some(new)) = (before.version, after.version) {
        compare(project, session, &mut diff, old, new, &shared(before, after)?).await?;
    }
    Ok(diff)
}

fn schema_changes(before: &ReleasedTable, after: &ReleasedTable) -> Result<Vec<String>> {
    let (old, new) = (types::schema_from_json(&before.schema)?, types::schema_from_json(&after.schema)?);
    let mut changes = Vec::new();
    for field in old.fields() {
        match new.field_with_name(field.name()) {
            Err(_) => changes.push(format!("- {} {}", field.name(), field.data_type())),
            Ok(now) if now.data_type() != field.data_type() => {
                changes.push(format!("{}: {} -> {}", field.name(), field.data_type(), now.data_type()));
            }
            Ok(_) => {}
        }
    }
    for field in new.fields() {
        if old.field_with_name(field.name()).is_err() {
            changes.push(format!("+ {} {}", field.name(), field.data_type()));
        }
    }
    Ok(changes)
}

/// Columns that both sides have.
fn shared(before: &ReleasedTable, after: &ReleasedTable) -> Result<Vec<String>> {
    let (old, new) = (types::schema_from_json(&before.schema)?, types::schema_from_json(&after.schema)?);
    Ok(new
        .fields()
        .iter()
        .filter(|field| {
            old.field_with_name(field.name()).is_ok_and(|old| old.data_type() == field.data_type())
        })
        .map(|field| field.name().clone())
        .collect())
}

/// Columns that identify a row: the incremental key, else those of a uniqueness check.
fn key(project: Option<&Project>, name: &TableName, shared: &[String]) -> Vec<String> {
    let Some(model) = project.and_then(|project| project.models.get(name)) else { return Vec::new() };
    let key = match &model.settings.materialize {
        Materialize::Incremental(rule) => rule.key.to_vec(),
        _ => model
            .checks
            .iter()
            .find(|check| {
                matches!(
                    check.name(),
                    "expect_column_values_to_be_unique" | "expect_compound_columns_to_be_unique"
                )
            })
            .map(|check| check.columns())
            .unwrap_or_default(),
    };
    if key.iter().all(|column| shared.contains(column)) { key } else { Vec::new() }
}

async fn compare(
    project: Option<&Project>,
    session: &Session,
    diff: &mut TableDiff,
    old: u64,
    new: u64,
    shared: &[String],
) -> Result<()> {
    let quoted = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
    let side = |version: u64| {
        format!("{}.{} FOR VERSION AS OF {version}", diff.table.tier, quoted(&diff.table.table))
    };
    let key = key(project, &diff.table, shared);
    let count = async |sql: String| -> Result<u64> {
        let batches = laguna_query::collect(session.execute(&sql).await?).await?;
        Ok(batches.first().map_or(0, |batch| batch.column(0).as_primitive::<Int64Type>().value(0) as u64))
    };
    let list: Vec<String> = shared.iter().map(|column| quoted(column)).collect();
    if key.is_empty() {
        let rows = list.join(", ");
        let missing = |a: u64, b: u64| {
            format!(
                "SELECT count(*) FROM (SELECT {rows} FROM {} AS a EXCEPT ALL SELECT {rows} FROM {} AS b) AS d",
                side(a),
                side(b)
            )
        };
        diff.keys_added = Some(count(missing(new, old)).await?);
        diff.keys_removed = Some(count(missing(old, new)).await?);
        return Ok(());
    }
    let on: Vec<String> =
        key.iter().map(|k| format!("(a.{0} IS NOT DISTINCT FROM b.{0})", quoted(k))).collect();
    let on = on.join(" AND ");
    let absent = |a: u64, b: u64| {
        format!(
            "SELECT count(*) FROM {} AS a WHERE NOT EXISTS (SELECT 1 FROM {} AS b WHERE {on})",
            side(a),
            side(b)
        )
    };
    diff.keys_added = Some(count(absent(new, old)).await?);
    diff.keys_removed = Some(count(absent(old, new)).await?);
    let values: Vec<String> = shared
        .iter()
        .filter(|column| !key.contains(column))
        .map(|column| format!("(a.{0} IS DISTINCT FROM b.{0})", quoted(column)))
        .collect();
    diff.keys_changed = Some(if values.is_empty() {
        0
    } else {
        let sql = format!(
            "SELECT count(*) FROM {} AS a JOIN {} AS b ON {on} WHERE {}",
            side(new),
            side(old),
            values.join(" OR ")
        );
        count(sql).await?
    });
    diff.key = key;
    Ok(())
}
