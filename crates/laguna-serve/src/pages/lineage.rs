//! Where a table's columns come from and what is made of them, as a graph of the tables that the reader may read.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use askama::Template;
use axum::Extension;
use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use laguna_base::{Result, TableName, Tier};
use laguna_query::{Lineage, Moment, Origin};
use laguna_store::Release;
use quick_cache::sync::Cache;

use super::Memory;
use super::draw::{self, Svg};
use super::layout::{self, Node, Row};
use super::page::{self, Reader};
use super::sight::Sight;
use super::table::named;

/// Columns of a box at most.
const COLUMNS: usize = 40;
/// Tables of a graph at most, the nearest first.
const TABLES: usize = 60;
/// Lineages that are remembered.
const REMEMBERED: usize = 2000;

/// Lineages of models by the release in which they were planned: the columns of a `SELECT *` change with its inputs.
#[derive(Debug)]
pub(super) struct Lineages(Cache<(u64, TableName), Arc<Lineage>>);

impl Default for Lineages {
    fn default() -> Self {
        Lineages(Cache::new(REMEMBERED))
    }
}

#[derive(Template)]
#[template(path = "lineage.html")]
struct LineagePart {
    alone: bool,
    graph: Svg,
    /// Each column with what it is made of and what is made of it.
    columns: Vec<ColumnLineage>,
    /// Columns that decide which rows there are.
    conditions: Vec<Origin>,
    left_out: usize,
    /// Models whose SQL could not be planned now.
    unplanned: Vec<TableName>,
}

struct ColumnLineage {
    name: String,
    from: Vec<Origin>,
    to: Vec<Origin>,
}

/// Which table is made of which.
#[derive(Default)]
pub(crate) struct Edges {
    /// What a table is made of.
    pub(crate) up: BTreeMap<TableName, BTreeSet<TableName>>,
    /// What is made of a table.
    pub(crate) down: BTreeMap<TableName, BTreeSet<TableName>>,
}

impl Edges {
    /// Edges between tables that the reader may read: of released models as released, of others as the project has them.
    pub(crate) fn new(sight: &Sight, release: Option<&Release>) -> Edges {
        let mut edges = Edges::default();
        let released = release.map(|release| &release.tables);
        for (name, table) in released.into_iter().flatten() {
            edges.add(sight, name, table.inputs.keys());
        }
        for (name, model) in &sight.project.models {
            if released.is_none_or(|tables| !tables.contains_key(name)) {
                edges.add(sight, name, model.inputs.iter());
            }
        }
        for (name, dataset) in &sight.project.datasets {
            if dataset.has_latest() {
                edges.add(sight, &name.latest(), std::iter::once(name));
            }
        }
        edges
    }

    fn add<'a>(&mut self, sight: &Sight, name: &TableName, inputs: impl Iterator<Item = &'a TableName>) {
        if !sight.may_read(name) {
            return;
        }
        for input in inputs.filter(|input| sight.may_read(input) && *input != name) {
            self.up.entry(name.clone()).or_default().insert(input.clone());
            self.down.entry(input.clone()).or_default().insert(name.clone());
        }
    }

    /// All tables before and behind `start`, the nearest first, itself left out.
    fn around(&self, start: &TableName) -> Vec<TableName> {
        let mut found = Vec::new();
        for side in [&self.up, &self.down] {
            let mut seen = BTreeSet::from([start.clone()]);
            let mut queue = VecDeque::from([(start.clone(), 0)]);
            while let Some((table, distance)) = queue.pop_front() {
                for next in side.get(&table).into_iter().flatten() {
                    if seen.insert(next.clone()) {
                        found.push((distance + 1, next.clone()));
                        queue.push_back((next.clone(), distance + 1));
                    }
                }
            }
        }
        found.sort();
        found.dedup_by(|a, b| a.1 == b.1);
        found.into_iter().map(|(_, table)| table).collect()
    }
}

/// Answers `/tables/{tier}/{table}/lineage`.
pub(super) async fn part(
    Reader(sight): Reader,
    Extension(memory): Extension<Arc<Memory>>,
    Path((tier, table)): Path<(String, String)>,
) -> Response {
    let name = match named(&sight, &tier, &table) {
        Ok(name) => name,
        Err(broken) => return broken.into_response(),
    };
    page::part(lineage(&sight, &memory.lineages, &name).await)
}

async fn lineage(sight: &Sight, lineages: &Lineages, name: &TableName) -> Result<Response> {
    let release = sight.release().await?;
    let edges = Edges::new(sight, release.as_ref());
    let mut tables = edges.around(name);
    let left_out = tables.len().saturating_sub(TABLES);
    tables.truncate(TABLES);
    tables.insert(0, name.clone());
    let mut unplanned = Vec::new();
    let mut known: BTreeMap<TableName, Arc<Lineage>> = BTreeMap::new();
    for table in &tables {
        match planned(sight, lineages, release.as_ref(), table).await {
            Ok(Some(lineage)) => drop(known.insert(table.clone(), lineage)),
            Ok(None) => {}
            // Its inputs may have changed since: the tables are still told.
            Err(_) => unplanned.push(table.clone()),
        }
    }
    let shown: BTreeSet<&TableName> = tables.iter().collect();
    let mut flows: BTreeSet<(Origin, Origin)> = BTreeSet::new();
    for (table, lineage) in &known {
        for (column, origins) in &lineage.columns {
            let to = Origin { table: table.clone(), column: column.clone() };
            flows.extend(
                origins
                    .iter()
                    .filter(|from| shown.contains(&from.table))
                    .map(|from| (from.clone(), to.clone())),
            );
        }
    }
    flows.extend(same_columns(&tables, &flows));
    let own = own_columns(sight, name).await?;
    let columns = own
        .iter()
        .map(|column| {
            let here = Origin { table: name.clone(), column: column.clone() };
            ColumnLineage {
                name: column.clone(),
                from: flows.iter().filter(|(_, to)| *to == here).map(|(from, _)| from.clone()).collect(),
                to: flows.iter().filter(|(from, _)| *from == here).map(|(_, to)| to.clone()).collect(),
            }
        })
        .collect();
    let conditions = known.get(name).map(|lineage| &lineage.conditions);
    page::html_part(&LineagePart {
        alone: tables.len() == 1,
        conditions: conditions
            .into_iter()
            .flatten()
            .filter(|origin| sight.may_read(&origin.table))
            .cloned()
            .collect(),
        graph: drawn(&tables, &edges, &flows, name, &own),
        columns,
        left_out,
        unplanned,
    })
}

/// The lineage of a model's released SQL; `None` for what is no model or not released.
async fn planned(
    sight: &Sight,
    lineages: &Lineages,
    release: Option<&Release>,
    table: &TableName,
) -> Result<Option<Arc<Lineage>>> {
    let Some(release) = release else { return Ok(None) };
    let Some(released) = release.tables.get(table) else { return Ok(None) };
    let key = (release.number, table.clone());
    if let Some(known) = lineages.0.get(&key) {
        return Ok(Some(known));
    }
    // The SQL is planned as its model is: what of it is shown is for the caller to filter.
    let session = sight.core.desk.session(&sight.keeper(), &Moment::Now).await?;
    let found = Arc::new(laguna_query::lineage(&session.plan(&released.sql).await?));
    lineages.0.insert(key, found.clone());
    Ok(Some(found))
}

/// `latest.x` has the columns of `raw.x`: those that anything flows from.
fn same_columns(tables: &[TableName], flows: &BTreeSet<(Origin, Origin)>) -> Vec<(Origin, Origin)> {
    let of_raw = |origin: &Origin| {
        let raw = TableName { tier: Tier::Raw, table: origin.table.table.clone() };
        (origin.table.tier == Tier::Latest && tables.contains(&raw))
            .then(|| (Origin { table: raw, column: origin.column.clone() }, origin.clone()))
    };
    flows.iter().filter_map(|(from, _)| of_raw(from)).collect()
}

/// The columns of the table itself, as the reader sees it; none while it is not built.
async fn own_columns(sight: &Sight, name: &TableName) -> Result<Vec<String>> {
    let select = format!("SELECT * FROM {}", super::table::sql_name(name));
    match sight.core.desk.prepare(&sight.caller, &select, &Moment::Now).await {
        Ok(prepared) => Ok(prepared.schema.fields().iter().map(|field| field.name().clone()).collect()),
        Err(error) if error.kind() == laguna_base::ErrorKind::Project => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// The columns that hang together with those of the table itself, before them and behind them, each with the middle of
/// the places that those have: whoever draws them in that order crosses few lines.
fn connected(own: &[Origin], flows: &BTreeSet<(Origin, Origin)>) -> BTreeMap<Origin, f64> {
    let mut sides: [BTreeMap<&Origin, Vec<&Origin>>; 2] = Default::default();
    for (from, to) in flows {
        sides[0].entry(from).or_default().push(to);
        sides[1].entry(to).or_default().push(from);
    }
    let mut places: BTreeMap<&Origin, (usize, usize)> = BTreeMap::new();
    for (place, start) in own.iter().enumerate() {
        let mut found = BTreeSet::from([start]);
        for side in &sides {
            let mut seen = BTreeSet::from([start]);
            let mut queue = vec![start];
            while let Some(at) = queue.pop() {
                queue.extend(side.get(at).into_iter().flatten().filter(|next| seen.insert(next)));
            }
            found.extend(seen);
        }
        for origin in found {
            let (sum, count) = places.entry(origin).or_default();
            *sum += place;
            *count += 1;
        }
    }
    places.into_iter().map(|(origin, (sum, count))| (origin.clone(), sum as f64 / count as f64)).collect()
}

fn drawn(
    tables: &[TableName],
    edges: &Edges,
    flows: &BTreeSet<(Origin, Origin)>,
    name: &TableName,
    own: &[String],
) -> Svg {
    let own: Vec<Origin> =
        own.iter().map(|column| Origin { table: name.clone(), column: column.clone() }).collect();
    let kept = connected(&own, flows);
    let mut ids: BTreeMap<&Origin, usize> = BTreeMap::new();
    let mut nodes = Vec::new();
    for table in tables {
        let mut columns: Vec<&Origin> = match table == name {
            true => own.iter().collect(),
            false => kept.keys().filter(|origin| origin.table == *table).collect(),
        };
        if table != name {
            columns.sort_by(|a, b| kept[*a].total_cmp(&kept[*b]));
        }
        let hidden = columns.len().saturating_sub(COLUMNS);
        let mut rows = Vec::new();
        for origin in columns.into_iter().take(COLUMNS) {
            let id = ids.len();
            ids.insert(origin, id);
            rows.push(Row { id: Some(id), label: origin.column.clone() });
        }
        if hidden > 0 {
            rows.push(Row { id: None, label: format!("and {hidden} more") });
        }
        nodes.push(Node {
            name: table.table.clone(),
            tier: table.tier.to_string(),
            href: format!("/tables/{}/{}", table.tier, table.table),
            title: table.to_string(),
            class: if table == name { "here" } else { "" },
            rows,
        });
    }
    let index = |table: &TableName| tables.iter().position(|known| known == table);
    let mut between = BTreeSet::new();
    for (table, inputs) in &edges.up {
        let Some(to) = index(table) else { continue };
        between.extend(inputs.iter().filter_map(|input| Some((index(input)?, to))));
    }
    let joined = flows.iter().filter_map(|(from, to)| Some((*ids.get(from)?, *ids.get(to)?))).collect();
    draw::graph(&layout::place(nodes, &between, &joined), &format!("Lineage of {name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_hang_together_along_the_flow_only() {
        let origin = |text: &str| {
            let (table, column) = text.rsplit_once('.').unwrap();
            Origin { table: table.parse().unwrap(), column: column.to_string() }
        };
        let flow = |from: &str, to: &str| (origin(from), origin(to));
        let flows = BTreeSet::from([
            flow("raw.a.x", "sanitized.b.x"),
            flow("raw.a.y", "sanitized.b.y"),
            flow("sanitized.b.x", "enhanced.c.sum"),
            flow("sanitized.b.y", "enhanced.c.sum"),
            // A sibling: made of the same column, and neither before nor behind.
            flow("raw.a.x", "sanitized.sibling.x"),
        ]);
        let own = [origin("sanitized.b.x"), origin("sanitized.b.y")];
        let found: Vec<String> = connected(&own, &flows)
            .into_iter()
            .map(|(origin, place)| format!("{}.{} {place}", origin.table, origin.column))
            .collect();
        assert_eq!(
            found,
            ["raw.a.x 0", "raw.a.y 1", "sanitized.b.x 0", "sanitized.b.y 1", "enhanced.c.sum 0.5"]
        );
    }
}
