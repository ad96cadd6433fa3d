//! A table's page: what it is, its columns, its releases, its checks over time, its tasks. What takes longer (profile,
//! sample, lineage) comes as parts afterwards.

use std::collections::{BTreeMap, BTreeSet};

use askama::Template;
use axum::extract::Path;
use axum::response::Response;
use laguna_base::{Result, TableName, Tier};
use laguna_query::Moment;
use laguna_store::Release;

use super::draw::{self, Mark, Svg};
use super::home::{class_of, severity_class, state_of};
use super::ledger::{self, Check, Series};
use super::page::{Broken, Frame, Reader, html};
use super::profile::ColumnView;
use super::sight::{About, Sight};
use super::text::{When, difference, duration, full, quoted, short, whole};

/// Releases that are looked through for those that brought a version.
const RELEASES: usize = 200;
/// Versions that are shown.
const VERSIONS: usize = 20;
/// Verdicts of a check that are shown.
const VERDICTS: usize = 40;
/// Tasks that are shown.
const TASKS: usize = 10;

#[derive(Template)]
#[template(path = "table.html")]
struct TablePage {
    frame: Frame,
    name: TableName,
    about: About,
    /// Whether there is something to read yet.
    built: bool,
    /// Columns or rows are kept from the reader.
    restricted: bool,
    rows: Option<String>,
    changed: Option<When>,
    version: Option<u64>,
    held: Option<String>,
    state: Option<(&'static str, String)>,
    columns: Vec<ColumnView>,
    profiled: Option<String>,
    versions: Vec<Version>,
    checks: Vec<CheckView>,
    tasks: Vec<TaskView>,
    metrics: Vec<MetricView>,
    files: Vec<FileView>,
    related: Vec<(&'static str, TableName)>,
    /// Its SQL as released, where the reader reads all that it names.
    sql: Option<String>,
    /// A statement to begin with.
    query: String,
}

/// A version that a release brought.
struct Version {
    release: u64,
    when: When,
    run: String,
    version: Option<u64>,
    rows: Option<String>,
    /// Rows more or less than before.
    change: Option<String>,
    /// What else is different.
    notes: Vec<String>,
}

/// One check over time.
struct CheckView {
    label: String,
    class: &'static str,
    severity: String,
    message: String,
    examples: Option<String>,
    strip: Svg,
    when: Option<When>,
    run: String,
}

struct TaskView {
    run: String,
    outcome: String,
    class: &'static str,
    when: Option<When>,
    took: String,
    rows: String,
    reason: String,
}

struct MetricView {
    name: String,
    value: String,
    line: Svg,
}

/// A file that landed.
struct FileView {
    path: String,
    rows: String,
    aside: String,
    when: Option<When>,
}

/// The table of an address, where it exists for the reader.
pub(super) fn named(sight: &Sight, tier: &str, table: &str) -> Result<TableName, Broken> {
    let name = tier.parse::<Tier>().and_then(|tier| TableName::new(tier, table)).ok();
    name.filter(|name| sight.may_read(name))
        .ok_or_else(|| Broken::not_found(format!("there is no table `{tier}.{table}`")))
}

/// The name of a table in SQL.
pub(super) fn sql_name(name: &TableName) -> String {
    format!("{}.{}", name.tier, quoted(&name.table))
}

/// Answers `/tables/{tier}/{table}`.
pub(super) async fn page(
    Reader(sight): Reader,
    Path((tier, table)): Path<(String, String)>,
) -> Result<Response, Broken> {
    let name = named(&sight, &tier, &table)?;
    let select = format!("SELECT * FROM {}", sql_name(&name));
    let prepared = sight.core.desk.prepare(&sight.caller, &select, &Moment::Now).await;
    let in_project = sight.project.models.contains_key(&name) || sight.project.datasets.contains_key(&name);
    let schema = match prepared {
        Ok(prepared) => Some(prepared.schema),
        Err(error) if error.kind() == laguna_base::ErrorKind::Project => {
            if !in_project {
                return Err(Broken::not_found(format!("there is no table `{name}`")));
            }
            None
        }
        Err(error) => return Err(error.into()),
    };
    let whole_table = sight.is_whole(&name);
    let releases = match whole_table {
        true => sight.lake().releases(Some(RELEASES)).await?,
        false => Vec::new(),
    };
    let newest = sight.release().await?;
    let (checks, tasks, metrics) = match whole_table {
        true => tokio::try_join!(
            ledger::checks_of(&sight, &name),
            ledger::tasks_of(&sight, &name, TASKS),
            ledger::metrics_of(&sight, &name, VERDICTS)
        )?,
        false => Default::default(),
    };
    let fresh = freshness(&sight, &name).await?;
    let released = newest.as_ref().and_then(|release| release.tables.get(&name)).filter(|_| whole_table);
    let columns: Vec<ColumnView> = schema
        .iter()
        .flat_map(|schema| schema.fields())
        .map(|field| ColumnView::new(&sight, &name, field))
        .collect();
    let about = sight.about(&name);
    let newest_checks: Vec<&Check> = match checks.first() {
        Some(first) => checks.iter().take_while(|check| check.run == first.run).collect(),
        None => Vec::new(),
    };
    let page = TablePage {
        frame: Frame::new(&sight, name.to_string(), "tables", newest.as_ref()),
        built: schema.is_some(),
        restricted: !whole_table,
        rows: fresh.1.filter(|_| whole_table).map(whole),
        changed: fresh.0.filter(|_| whole_table),
        version: released.and_then(|table| table.version),
        held: released
            .and_then(|table| table.held.clone())
            .map(|why| if sight.is_unlimited() { why } else { String::new() }),
        state: state_of(newest_checks.iter().copied()),
        sql: released
            .filter(|table| {
                let reads = table.inputs.keys().all(|input| sight.is_whole(input));
                reads && !table.sql.is_empty()
            })
            .map(|table| table.sql.trim().to_string()),
        query: starter(&name, &columns),
        columns,
        profiled: None,
        versions: versions(&sight, &name, &releases),
        checks: over_time(&sight, &checks),
        tasks: tasks
            .iter()
            .map(|task| TaskView {
                run: task.run.clone(),
                outcome: task.outcome.clone(),
                class: class_of(&task.outcome),
                when: task.started.map(|at| sight.when(at)),
                took: duration(task.seconds),
                rows: task.rows_out.map(whole).unwrap_or_default(),
                reason: task.reason.clone(),
            })
            .collect(),
        metrics: metrics.iter().filter(|series| series.values.len() > 1).map(metric).collect(),
        files: if whole_table && name.tier == Tier::Raw { files(&sight, &name).await? } else { Vec::new() },
        related: related(&sight, &name).await?,
        about,
        name,
    };
    html(&page)
}

/// A statement that shows something of a table.
fn starter(name: &TableName, columns: &[ColumnView]) -> String {
    let plain = |name: &str| name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    let names: Vec<String> = columns
        .iter()
        .take(12)
        .map(|column| if plain(&column.name) { column.name.clone() } else { quoted(&column.name) })
        .collect();
    let list = if names.is_empty() { "*".to_string() } else { names.join(", ") };
    format!("SELECT {list}\nFROM {name}\nLIMIT 100")
}

/// When a table last changed, and its rows.
async fn freshness(sight: &Sight, name: &TableName) -> Result<(Option<When>, Option<i64>)> {
    let sql = format!("SELECT changed_at, \"rows\" FROM system.freshness WHERE \"table\" = '{name}'");
    let rows = sight.everything(&sql).await?;
    let changed = rows.times("changed_at").into_iter().flatten().next();
    Ok((changed.map(|at| sight.when(at)), rows.integers("rows").into_iter().flatten().next()))
}

/// The releases that brought a version of the table, newest first, each with what is different to the one before.
fn versions(sight: &Sight, name: &TableName, releases: &[Release]) -> Vec<Version> {
    let brought: Vec<_> = releases
        .iter()
        .filter_map(|release| Some((release, release.tables.get(name)?)))
        .filter(|(release, table)| table.since == release.number)
        .collect();
    let columns = |schema: &str| -> BTreeMap<String, String> {
        let schema = laguna_store::types::schema_from_json(schema).ok();
        let fields = schema.iter().flat_map(|schema| schema.fields().iter());
        fields.map(|field| (field.name().clone(), super::text::type_name(field.data_type()))).collect()
    };
    let mut all = Vec::new();
    for (index, (release, table)) in brought.iter().enumerate().take(VERSIONS) {
        let before = brought.get(index + 1).map(|(_, before)| *before);
        let mut notes = Vec::new();
        if let Some(before) = before {
            let (old, new) = (columns(&before.schema), columns(&table.schema));
            let (was, is): (BTreeSet<_>, BTreeSet<_>) = (old.keys().collect(), new.keys().collect());
            notes.extend(is.difference(&was).map(|column| format!("column {column} added")));
            notes.extend(was.difference(&is).map(|column| format!("column {column} removed")));
            notes.extend(
                new.iter()
                    .filter_map(|(column, now)| {
                        Some((column, old.get(column).filter(|then| *then != now)?, now))
                    })
                    .map(|(column, then, now)| format!("{column}: {then} → {now}")),
            );
            if before.sql_hash != table.sql_hash {
                notes.push("SQL changed".to_string());
            }
            if table.content.is_some() && table.content == before.content {
                notes.push("same rows".to_string());
            }
        } else if releases.len() < RELEASES {
            notes.push("first version".to_string());
        }
        if release.reason != "run" && sight.is_unlimited() {
            notes.push(release.reason.clone());
        }
        all.push(Version {
            release: release.number,
            when: sight.when(release.time),
            run: release.run.clone(),
            version: table.version,
            rows: table.rows.map(|rows| whole(rows as i64)),
            change: before.and_then(|before| Some(difference(table.rows?, before.rows?))),
            notes,
        });
    }
    all
}

/// Verdicts by check; the check whose newest verdict is worst stands first.
fn over_time(sight: &Sight, checks: &[Check]) -> Vec<CheckView> {
    let Some(newest) = checks.first().map(|check| check.run.clone()) else { return Vec::new() };
    let mut by_label: BTreeMap<&str, Vec<&Check>> = BTreeMap::new();
    for check in checks {
        by_label.entry(&check.label).or_default().push(check);
    }
    let mut all: Vec<CheckView> = by_label
        .into_iter()
        // A check that the newest version was not judged by is no check of the table any more.
        .filter(|(_, verdicts)| verdicts[0].run == newest)
        .map(|(label, verdicts)| {
            let last = verdicts[0];
            let marks: Vec<Mark> = verdicts
                .iter()
                .take(VERDICTS)
                .rev()
                .map(|verdict| Mark {
                    class: severity_class(verdict),
                    title: format!(
                        "{}: {}",
                        verdict.time.map(full).unwrap_or_default(),
                        match verdict.message.is_empty() {
                            true =>
                                if verdict.success {
                                    "passed"
                                } else {
                                    "failed"
                                },
                            false => verdict.message.as_str(),
                        }
                    ),
                    href: format!("/runs/{}", verdict.run),
                })
                .collect();
            CheckView {
                label: label.to_string(),
                class: severity_class(last),
                severity: last.severity.clone(),
                message: last.message.clone(),
                examples: last.examples.clone().filter(|_| !last.success),
                strip: draw::strip(&marks),
                when: last.time.map(|at| sight.when(at)),
                run: last.run.clone(),
            }
        })
        .collect();
    all.sort_by_key(|check| match check.class {
        "bad" => 0,
        "warn" => 1,
        _ => 2,
    });
    all
}

fn metric(series: &Series) -> MetricView {
    let values: Vec<f64> = series.values.iter().map(|(value, ..)| *value).collect();
    let name = series.metric.replace('_', " ");
    let value = values.last().copied().unwrap_or_default();
    MetricView {
        value: match series.metric.as_str() {
            "bytes" | "bytes_read" if value >= 0.0 => laguna_base::human::bytes(value as u64),
            "seconds" => duration(value),
            _ => short(value),
        },
        line: draw::spark(&values, &name),
        name,
    }
}

/// The newest files of a raw table.
async fn files(sight: &Sight, name: &TableName) -> Result<Vec<FileView>> {
    let sql = format!(
        "SELECT path, \"rows\", quarantined, landed_at FROM system.files WHERE dataset = '{}' ORDER BY landed_at DESC, path DESC LIMIT 20",
        name.table
    );
    let rows = sight.everything(&sql).await?;
    let (paths, counts, aside, times) =
        (rows.texts("path"), rows.integers("rows"), rows.integers("quarantined"), rows.times("landed_at"));
    Ok((0..rows.len())
        .map(|row| FileView {
            path: paths[row].clone().unwrap_or_default(),
            rows: counts[row].map(whole).unwrap_or_default(),
            aside: aside[row].filter(|count| *count > 0).map(whole).unwrap_or_default(),
            when: times[row].map(|at| sight.when(at)),
        })
        .collect())
}

/// Tables that show the same rows in another way: the newest of each key, those set aside, the table they belong to.
async fn related(sight: &Sight, name: &TableName) -> Result<Vec<(&'static str, TableName)>> {
    let mut all = Vec::new();
    let of = |tier, table: &str| TableName { tier, table: table.to_string() };
    match name.tier {
        Tier::Raw => {
            if sight.project.datasets.get(name).is_some_and(|dataset| dataset.has_latest()) {
                all.push(("newest row of each key", name.latest()));
            }
            all.push(("rows set aside", name.quarantine()));
        }
        Tier::Latest => all.push(("all rows as they came", of(Tier::Raw, &name.table))),
        Tier::Sanitized | Tier::Enhanced => all.push(("rows set aside", name.quarantine())),
        Tier::Quarantine => {
            all.extend(laguna_model::project::node_of(name).map(|table| ("table they belong to", table)));
        }
        Tier::System => {}
    }
    let mut kept = Vec::new();
    for (what, table) in all.into_iter().filter(|(_, table)| sight.may_read(table)) {
        // A quarantine that never held a row is nothing to look at.
        if table.tier != Tier::Quarantine || sight.lake().head_version(&table).await?.is_some() {
            kept.push((what, table));
        }
    }
    Ok(kept)
}
