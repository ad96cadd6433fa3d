//! What a run would do: `--dry-run`.

use std::collections::{BTreeMap, BTreeSet};

use laguna_base::{Result, TableName};
use laguna_model::PlanNode;
use laguna_model::plan::Facts;

use crate::node::State;
use crate::run::RunOptions;
use crate::{Context, land};

/// What a plan needs to know of the lake, gathered before it is made.
struct Gathered {
    state: State,
    arrivals: BTreeMap<TableName, String>,
    contents: BTreeMap<TableName, String>,
    held: BTreeSet<String>,
}

impl Facts for Gathered {
    fn arrivals(&self, dataset: &TableName) -> Option<String> {
        self.arrivals.get(dataset).cloned()
    }

    fn released(&self, model: &TableName) -> Option<laguna_model::plan::Released> {
        self.state.released(model)
    }

    fn content(&self, table: &TableName) -> Option<String> {
        self.contents.get(table).cloned()
    }

    fn is_held(&self, fingerprint: &str) -> bool {
        self.held.contains(fingerprint)
    }
}

/// Says what a run would do, without doing it.
pub async fn plan(context: &Context, options: &RunOptions) -> Result<Vec<PlanNode>> {
    let (project, lake) = (&context.project, context.lake());
    let parent = lake.release().await?;
    let mut state = State::new(parent.as_ref());
    let selected = laguna_model::select(project, &options.select, &options.exclude, &state)?;
    let mut arrivals = BTreeMap::new();
    let mut contents = BTreeMap::new();
    for name in &selected {
        if let Some(dataset) = project.datasets.get(name) {
            let pending = land::pending(context, dataset).await?;
            if let Some(what) = pending.describe() {
                arrivals.insert(name.clone(), what);
            }
        } else if let Some(model) = project.models.get(name) {
            contents.extend(state.contents(lake, project, model).await?);
        }
    }
    let held = parent.map(|parent| parent.held_fingerprints).unwrap_or_default();
    let facts = Gathered { state, arrivals, contents, held };
    let mut planned = laguna_model::plan(project, &selected, &facts, options.full);
    for node in &mut planned {
        if let Some(model) = project.models.get(&node.name)
            && !model.volatile.is_empty()
        {
            node.reason +=
                &format!("; calls {}, which is no reason to build again", model.volatile.join(", "));
        }
    }
    Ok(planned)
}
