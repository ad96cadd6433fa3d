//! `/v1/lineage/{schema}/{table}`: what a table is made of, and what is made of it.

use std::collections::{BTreeMap, BTreeSet};

use axum::Json;
use axum::extract::State as Shared;
use laguna_base::TableName;
use laguna_query::Moment;
use schemars::JsonSchema;
use serde::Serialize;

use super::tables::{columns, named};
use super::{Answers, Route, shape};
use crate::http::extract::Named;
use crate::http::{Problem, State, Who};
use crate::pages::lineage::Edges;
use crate::pages::sight::Sight;

pub(super) fn route() -> Route {
    Route {
        summary: "What a table is made of and what is made of it, as far as the reader may know.",
        named: super::tables::NAMED,
        ..Route::get("getLineage", "/v1/lineage/{schema}/{table}", Answers::Json(shape::<Lineage>), lineage)
    }
}

/// The graph around a table.
#[derive(Debug, Serialize, JsonSchema)]
struct Lineage {
    /// The table.
    table: String,
    /// All tables that it is made of, with the steps that lie between.
    upstream: Vec<Step>,
    /// All tables that are made of it.
    downstream: Vec<Step>,
    /// Which of these tables reads which.
    edges: Vec<Edge>,
}

/// A table of the graph.
#[derive(Debug, Serialize, JsonSchema)]
struct Step {
    /// The table.
    table: String,
    /// Edges to it on the shortest way.
    distance: usize,
}

/// One table is made of another.
#[derive(Debug, Serialize, JsonSchema, PartialEq, Eq, PartialOrd, Ord)]
struct Edge {
    /// What is read.
    from: String,
    /// What is made of it.
    to: String,
}

async fn lineage(
    Shared(core): Shared<State>,
    who: Who,
    Named((schema, table)): Named<(String, String)>,
) -> Result<Json<Lineage>, Problem> {
    let name = named(&who, &schema, &table)?;
    columns(&core, &who, &name, &Moment::Now).await?;
    let sight = Sight::new(core, who.0);
    let release = sight.release().await?;
    let graph = Edges::new(&sight, release.as_ref());
    let (up, down) = (reach(&graph.up, &name), reach(&graph.down, &name));
    let mut edges = BTreeSet::new();
    for (side, from_start, to_start) in [(&graph.up, &up, true), (&graph.down, &down, false)] {
        for table in from_start.keys().chain([&name]) {
            for other in side.get(table).into_iter().flatten() {
                let (from, to) = if to_start { (other, table) } else { (table, other) };
                edges.insert(Edge { from: from.to_string(), to: to.to_string() });
            }
        }
    }
    Ok(Json(Lineage {
        table: name.to_string(),
        upstream: steps(&up),
        downstream: steps(&down),
        edges: edges.into_iter().collect(),
    }))
}

/// Every table that can be reached from `start`, with its distance.
fn reach(side: &BTreeMap<TableName, BTreeSet<TableName>>, start: &TableName) -> BTreeMap<TableName, usize> {
    let mut found = BTreeMap::new();
    let mut ring = vec![start.clone()];
    let mut distance = 0;
    while !ring.is_empty() {
        distance += 1;
        let next: BTreeSet<&TableName> = ring.iter().filter_map(|table| side.get(table)).flatten().collect();
        let next: Vec<TableName> = next
            .into_iter()
            .filter(|table| *table != start && !found.contains_key(*table))
            .cloned()
            .collect();
        found.extend(next.iter().map(|table| (table.clone(), distance)));
        ring = next;
    }
    found
}

fn steps(reached: &BTreeMap<TableName, usize>) -> Vec<Step> {
    let mut steps: Vec<Step> = reached
        .iter()
        .map(|(table, distance)| Step { table: table.to_string(), distance: *distance })
        .collect();
    steps.sort_by(|a, b| (a.distance, &a.table).cmp(&(b.distance, &b.table)));
    steps
}
