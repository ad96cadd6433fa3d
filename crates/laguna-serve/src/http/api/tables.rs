//! `/v1/tables`: what there is to read, and one table with its columns.

use std::collections::BTreeMap;

use arrow::datatypes::SchemaRef;
use axum::Json;
use axum::extract::State as Shared;
use axum::http::StatusCode;
use datafusion::scalar::ScalarValue;
use laguna_base::{Error, Result, TableName, Tier};
use laguna_query::Moment;
use laguna_store::snapshot::ColumnRange;
use laguna_store::{Release, Snapshot};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Answers, Route, shape};
use crate::http::extract::{Named, Params};
use crate::http::{Problem, State, Who, values};
use crate::pages::sight::Sight;
use crate::pages::text::quoted;

/// Names of a path that lead to a table.
pub(super) const NAMED: &[(&str, &str)] = &[
    ("schema", "The tier: raw, latest, sanitized, enhanced, quarantine or system."),
    ("table", "The table."),
];

/// Tables of a page where nothing else is asked.
const LIMIT: usize = 100;

/// Files of a table whose statistics are read at most.
const FILES: usize = 2000;

/// Tables of a page at most.
const MOST: usize = 1000;

pub(super) fn list() -> Route {
    Route {
        summary: "Tables that the reader may read, by name.",
        parameters: Some(shape::<Asked>),
        ..Route::get("listTables", "/v1/tables", Answers::Json(shape::<Tables>), tables)
    }
}

pub(super) fn one() -> Route {
    Route {
        summary: "One table with its columns.",
        named: NAMED,
        ..Route::get("getTable", "/v1/tables/{schema}/{table}", Answers::Json(shape::<Whole>), table)
    }
}

/// Which tables are listed.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Asked {
    /// Only tables of this schema.
    schema: Option<String>,
    /// Only tables with this tag.
    tag: Option<String>,
    /// Tables of a page; default 100.
    #[schemars(range(min = 1, max = 1000))]
    limit: Option<usize>,
    /// `next` of the page before.
    after: Option<String>,
}

/// A page of tables.
#[derive(Debug, Serialize, JsonSchema)]
struct Tables {
    /// The tables.
    tables: Vec<Table>,
    /// What `after` takes for the next page; null on the last.
    next: Option<String>,
}

/// A table. Numbers are null where the reader may not know them, because columns or rows are kept from him.
#[derive(Debug, Serialize, JsonSchema)]
struct Table {
    /// Its schema, which is the tier.
    schema: String,
    /// Its name in the schema.
    table: String,
    /// How it is kept: `view`, `table`, `incremental table`; of raw tables what a batch means: `append`, `upsert`, `snapshot`,
    /// `changes`. Empty for what the project does not make.
    kind: String,
    /// What it is.
    description: Option<String>,
    /// Who answers for it.
    owner: Option<String>,
    /// Its tags.
    tags: Vec<String>,
    /// The file of the project that makes it.
    file: Option<String>,
    /// Its rows.
    rows: Option<i64>,
    /// The Delta version that is read; null for views.
    version: Option<u64>,
    /// The release that brought the version.
    since: Option<u64>,
    /// When it last changed.
    changed_at: Option<String>,
    /// Seconds since then.
    age_seconds: Option<i64>,
    /// Why it is kept back at an old version; null when it is current.
    held: Option<String>,
    /// Columns or rows are kept from the reader.
    restricted: bool,
}

/// A table with its columns.
#[derive(Debug, Serialize, JsonSchema)]
struct Whole {
    #[serde(flatten)]
    table: Table,
    /// The release that is read.
    release: Option<u64>,
    /// Its columns.
    columns: Vec<Column>,
}

/// A column.
#[derive(Debug, Serialize, JsonSchema)]
struct Column {
    /// Its name.
    name: String,
    /// Its type in SQL.
    #[serde(rename = "type")]
    type_name: String,
    /// Whether it may hold null.
    nullable: bool,
    /// What it is.
    description: Option<String>,
    /// Its tags.
    tags: Vec<String>,
    /// What the files say of its values; null where nothing is known or the reader may not know.
    statistics: Option<Statistics>,
}

/// Bounds of a column's values, as text. Long texts are cut, so bounds may lie further out than the values.
#[derive(Debug, Serialize, JsonSchema)]
struct Statistics {
    /// Nulls.
    nulls: Option<u64>,
    /// Not above any value.
    min: Option<String>,
    /// Not below any value.
    max: Option<String>,
}

async fn tables(
    Shared(core): Shared<State>,
    who: Who,
    Params(asked): Params<Asked>,
) -> Result<Json<Tables>, Problem> {
    let limit = asked.limit.unwrap_or(LIMIT);
    if !(1..=MOST).contains(&limit) {
        return Err(Problem::bad_request(
            format!("`limit` is {limit}"),
            format!("a page holds 1 to {MOST} tables"),
        ));
    }
    let sight = Sight::new(core, who.0);
    let found =
        sight.own("SELECT table_schema, table_name, table_type FROM information_schema.tables").await?;
    let names = found.texts("table_schema").into_iter().zip(found.texts("table_name"));
    let mut names: Vec<TableName> = names
        .filter_map(|(schema, table)| TableName::new(schema?.parse().ok()?, table?).ok())
        .filter(|name| sight.may_read(name))
        .filter(|name| asked.schema.as_ref().is_none_or(|schema| name.tier.as_str() == schema))
        .filter(|name| asked.tag.as_ref().is_none_or(|tag| sight.about(name).tags.contains(tag)))
        .collect();
    names.sort_by_key(ToString::to_string);
    names.dedup();
    if let Some(after) = &asked.after {
        names.retain(|name| name.to_string() > *after);
    }
    let more = names.len() > limit;
    names.truncate(limit);
    let known = Known::new(&sight).await?;
    let next = names.last().filter(|_| more).map(ToString::to_string);
    let tables = names.iter().map(|name| known.table(&sight, name)).collect();
    Ok(Json(Tables { tables, next }))
}

async fn table(
    Shared(core): Shared<State>,
    who: Who,
    Named((schema, table)): Named<(String, String)>,
) -> Result<Json<Whole>, Problem> {
    let name = named(&who, &schema, &table)?;
    let columns = columns(&core, &who, &name, &Moment::Now).await?;
    let sight = Sight::new(core, who.0);
    let known = Known::new(&sight).await?;
    let snapshot = known.snapshot(&sight, &name).await?;
    let ranges = snapshot.map(|snapshot| ranges(&snapshot)).unwrap_or_default();
    let columns = columns.fields().iter().map(|field| {
        let (description, tags) = sight.about_column(&name, field.name());
        let text = |value: &ScalarValue| values::to_text(value).ok().flatten();
        Column {
            name: field.name().clone(),
            type_name: values::name(field.data_type()),
            nullable: field.is_nullable(),
            description,
            tags,
            statistics: ranges.get(field.name()).map(|range| Statistics {
                nulls: range.nulls,
                min: range.min.as_ref().and_then(text),
                max: range.max.as_ref().and_then(text),
            }),
        }
    });
    Ok(Json(Whole {
        table: known.table(&sight, &name),
        release: known.release.as_ref().map(|release| release.number),
        columns: columns.collect(),
    }))
}

/// What the files of a table say of its columns together; nothing of a column of which one file says nothing.
fn ranges(snapshot: &Snapshot) -> BTreeMap<String, ColumnRange> {
    let mut files = snapshot.files.iter().filter(|file| file.rows > 0).take(FILES + 1);
    let Some(first) = files.next() else { return BTreeMap::new() };
    let mut all = first.ranges(&snapshot.schema);
    let mut seen = 1;
    for file in files {
        seen += 1;
        let other = file.ranges(&snapshot.schema);
        all.retain(|name, _| other.contains_key(name));
        for (name, range) in other {
            if let Some(known) = all.get_mut(&name) {
                known.nulls = known.nulls.zip(range.nulls).map(|(a, b)| a + b);
                known.min = known.min.take().zip(range.min).map(|(a, b)| if b < a { b } else { a });
                known.max = known.max.take().zip(range.max).map(|(a, b)| if b > a { b } else { a });
            }
        }
    }
    // Nobody waits for a table of very many files.
    if seen > FILES { BTreeMap::new() } else { all }
}

/// The table that a path names, where the reader may know of it.
pub(super) fn named(who: &Who, schema: &str, table: &str) -> Result<TableName, Problem> {
    let name = schema.parse::<Tier>().and_then(|tier| TableName::new(tier, table)).ok();
    name.filter(|name| who.0.access.may_read(name)).ok_or_else(|| missing(&format!("{schema}.{table}")))
}

/// The columns of a table as the reader sees them; the problem that there is none.
pub(super) async fn columns(
    core: &State,
    who: &Who,
    table: &TableName,
    moment: &Moment,
) -> Result<SchemaRef, Problem> {
    match core.desk.prepare(&who.0, &format!("SELECT * FROM {}", sql_name(table)), moment).await {
        Ok(prepared) => Ok(prepared.schema),
        // The planner's hints are about statements: here a path is wrong.
        Err(error) if error.code() == "42P01" => Err(missing(&table.to_string())),
        Err(error) => Err(error.into()),
    }
}

/// Columns of which no two rows that the reader sees have the same values; none where that is not known.
pub(super) fn keys(core: &State, who: &Who, table: &TableName) -> Vec<String> {
    // A masked column is null in every row.
    if who.0.access.is_restricted(table) {
        return Vec::new();
    }
    let project = core.project.borrow();
    if let Some(model) = project.models.get(table) {
        return model.key().to_vec();
    }
    let raw = TableName { tier: Tier::Raw, table: table.table.clone() };
    let dataset = (table.tier == Tier::Latest).then(|| project.datasets.get(&raw)).flatten();
    dataset.map(|dataset| dataset.settings.key.0.clone()).unwrap_or_default()
}

fn missing(name: &str) -> Problem {
    let error = Error::project(format!("there is no table `{name}`"))
        .sqlstate("42P01")
        .hint("/v1/tables lists the tables that there are");
    Problem::new(StatusCode::NOT_FOUND, error)
}

/// The name of a table in SQL.
pub(super) fn sql_name(name: &TableName) -> String {
    format!("{}.{}", quoted(name.tier.as_str()), quoted(&name.table))
}

/// What the lake tells of all tables.
struct Known {
    release: Option<Release>,
    fresh: BTreeMap<String, Fresh>,
}

/// Rows of a table, the time of its last change and the age of that in seconds.
type Fresh = (Option<i64>, Option<String>, Option<i64>);

impl Known {
    async fn new(sight: &Sight) -> Result<Known> {
        let rows =
            sight.everything("SELECT \"table\", rows, changed_at, age_seconds FROM system.freshness").await?;
        let changed = rows.times("changed_at").into_iter().map(|time| time.map(|time| time.to_string()));
        let numbers = rows.integers("rows").into_iter().zip(changed).zip(rows.integers("age_seconds"));
        let fresh = rows.texts("table").into_iter().zip(numbers);
        let fresh = fresh.filter_map(|(table, ((rows, changed), age))| Some((table?, (rows, changed, age))));
        Ok(Known { fresh: fresh.collect(), release: sight.release().await? })
    }

    fn table(&self, sight: &Sight, name: &TableName) -> Table {
        let about = sight.about(name);
        let whole = sight.is_whole(name);
        let released = self.release.as_ref().and_then(|release| release.tables.get(name)).filter(|_| whole);
        let fresh = self.fresh.get(&name.to_string()).filter(|_| whole).cloned();
        let (rows, changed_at, age_seconds) = fresh.unwrap_or_default();
        Table {
            schema: name.tier.to_string(),
            table: name.table.clone(),
            kind: about.kind.to_string(),
            description: about.description,
            owner: about.owner,
            tags: about.tags,
            file: about.file,
            rows,
            version: released.and_then(|table| table.version),
            since: released.map(|table| table.since),
            changed_at,
            age_seconds,
            // The words can name tables that the reader may not know.
            held: released.and_then(|table| table.held.clone()).filter(|_| sight.is_unlimited()),
            restricted: !whole,
        }
    }

    /// The files behind a table that the reader reads whole; `None` where its rows are not those of its files.
    async fn snapshot(&self, sight: &Sight, name: &TableName) -> Result<Option<Snapshot>> {
        if !sight.is_whole(name) {
            return Ok(None);
        }
        match name.tier {
            Tier::Raw => sight.lake().head(name).await,
            Tier::Sanitized | Tier::Enhanced => {
                let released = self.release.as_ref().and_then(|release| release.tables.get(name));
                match released.and_then(|table| table.version) {
                    Some(version) => sight.lake().snapshot(name, version).await.map(Some),
                    None => Ok(None),
                }
            }
            _ => Ok(None),
        }
    }
}
