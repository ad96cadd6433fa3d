//! What a run does with each node, and why, in words that a person understands.

use std::collections::{BTreeMap, BTreeSet};

use laguna_base::TableName;
use laguna_base::settings::table::OnFail;

use crate::fingerprint::Fingerprint;
use crate::project::{Model, Project, node_of};

/// What a run does with a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// New rows are taken in.
    Land,
    /// The table is written anew, or grows.
    Build,
    /// The view's SQL is released.
    View,
    /// Its rows stay, and are judged again: only its checks changed, or what they read beside it.
    Check,
    /// Nothing changed.
    Skip,
    /// It would be built, but a rollback holds this state back.
    Held,
}

impl Action {
    /// The word for tables and `--json`.
    pub fn as_str(self) -> &'static str {
        match self {
            Action::Land => "land",
            Action::Build => "build",
            Action::View => "view",
            Action::Check => "check",
            Action::Skip => "skip",
            Action::Held => "held",
        }
    }

    /// Whether the node gets new content.
    pub fn changes(self) -> bool {
        matches!(self, Action::Land | Action::Build | Action::View)
    }
}

/// One line of a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanNode {
    /// Dataset or model.
    pub name: TableName,
    /// What is done.
    pub action: Action,
    /// Why: `its SQL changed`, `new rows in raw.flights`, `nothing changed`.
    pub reason: String,
}

/// A model as the newest release has it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Released {
    /// Its fingerprint, as [`Fingerprint`] writes it.
    pub fingerprint: String,
    /// The content of each input then, in the same texts as those of now; may be incomplete.
    pub inputs: BTreeMap<TableName, String>,
}

/// What a plan needs to know of the lake.
pub trait Facts {
    /// What is new at the source of `dataset`, as `2 new files`; `None` when nothing is.
    fn arrivals(&self, dataset: &TableName) -> Option<String>;
    /// `model` in the newest release.
    fn released(&self, model: &TableName) -> Option<Released>;
    /// A text that is the same exactly when the content of `table` is; `None` when it does not exist yet.
    fn content(&self, table: &TableName) -> Option<String>;
    /// Whether a rollback holds back the model state with this fingerprint.
    fn is_held(&self, fingerprint: &str) -> bool;
}

/// The plan for the `selected` nodes, in the order in which they can run. `full` builds every model again.
///
/// It foretells: a model whose input turns out to have the same content after all is skipped when its turn comes, by
/// [`decide`].
pub fn plan(
    project: &Project,
    selected: &BTreeSet<TableName>,
    facts: &dyn Facts,
    full: bool,
) -> Vec<PlanNode> {
    let mut changing: BTreeMap<TableName, Action> = BTreeMap::new();
    let mut nodes = Vec::new();
    for name in project.graph.order().iter().filter(|name| selected.contains(*name)) {
        let (action, reason) = match project.models.get(name) {
            None => match facts.arrivals(name) {
                Some(what) => (Action::Land, what),
                None => (Action::Skip, "nothing new at the source".to_string()),
            },
            Some(model) => foretell(model, &changing, facts, full),
        };
        if action.changes() {
            changing.insert(name.clone(), action);
        }
        nodes.push(PlanNode { name: name.clone(), action, reason });
    }
    nodes
}

fn foretell(
    model: &Model,
    changing: &BTreeMap<TableName, Action>,
    facts: &dyn Facts,
    full: bool,
) -> (Action, String) {
    let contents = contents_of(model, |table| facts.content(table));
    let released = facts.released(&model.name);
    let (action, reason) = decide(model, released.as_ref(), &contents, &|print| facts.is_held(print), full);
    if action.changes() || (model.is_view() && model.checks.is_empty()) {
        return (action, reason);
    }
    let build = if model.is_view() { Action::View } else { Action::Build };
    let moved = model.inputs.iter().chain(&model.check_inputs).find_map(|input| {
        let node = node_of(input)?;
        Some((input, changing.get(&node)?))
    });
    match moved {
        Some((input, Action::Land)) => (build, format!("new rows in {input}")),
        Some((input, _)) => (build, format!("upstream {input} is rebuilt")),
        None => (action, reason),
    }
}

/// The content of everything that `model` and its checks read; what does not exist yet is left out.
pub fn contents_of(
    model: &Model,
    content: impl Fn(&TableName) -> Option<String>,
) -> BTreeMap<TableName, String> {
    model
        .inputs
        .iter()
        .chain(&model.check_inputs)
        .filter_map(|input| Some((input.clone(), content(input)?)))
        .collect()
}

/// Whether `model` must be built now that its inputs have `contents` (see [`contents_of`]), and why.
pub fn decide(
    model: &Model,
    released: Option<&Released>,
    contents: &BTreeMap<TableName, String>,
    is_held: &dyn Fn(&str) -> bool,
    full: bool,
) -> (Action, String) {
    let now = Fingerprint::of(model, contents);
    let build = if model.is_view() { Action::View } else { Action::Build };
    if full {
        return (build, "--full".to_string());
    }
    let text = now.to_string();
    let same = released.is_some_and(|released| released.fingerprint == text);
    if !same && is_held(&text) {
        let reason = "a rollback holds this state back until its SQL, settings or inputs change".to_string();
        return (Action::Held, reason);
    }
    let Some(released) = released else { return (build, "first build".to_string()) };
    if same {
        return (Action::Skip, "nothing changed".to_string());
    }
    let Ok(before) = released.fingerprint.parse::<Fingerprint>() else {
        return (build, "it was built by another version of Laguna".to_string());
    };
    let same_rows = !model.is_view()
        && before.gives_rows_of(model)
        && model.inputs.iter().all(|input| released.inputs.get(input) == contents.get(input));
    if same_rows && before.settings != now.settings {
        return (Action::Check, "its checks changed".to_string());
    }
    if same_rows && model.on_fail() != OnFail::Quarantine {
        return (Action::Check, format!("{}, which its checks read", changed_input(released, contents)));
    }
    match (before.sql == now.sql, before.settings == now.settings) {
        (false, false) => (build, "its SQL and settings changed".to_string()),
        (false, true) => (build, "its SQL changed".to_string()),
        (true, false) => (build, "its settings changed".to_string()),
        // A view is its SQL: other rows below it change nothing that is stored, but its checks judge them.
        (true, true) if model.is_view() && model.checks.is_empty() => {
            (Action::Skip, "nothing changed".to_string())
        }
        (true, true) => (build, changed_input(released, contents)),
    }
}

fn changed_input(released: &Released, contents: &BTreeMap<TableName, String>) -> String {
    let changed = |input: &&TableName| released.inputs.get(*input) != contents.get(*input);
    let mut names: Vec<&TableName> = contents.keys().filter(changed).collect();
    names.extend(released.inputs.keys().filter(|input| !contents.contains_key(*input)));
    let Some(first) = names.first() else { return "its inputs changed".to_string() };
    let what = match first.tier {
        laguna_base::Tier::Raw | laguna_base::Tier::Latest => format!("new rows in {first}"),
        _ => format!("{first} changed"),
    };
    match names.len() {
        1 => what,
        2 => format!("{what}, and {} changed", names[1]),
        more => format!("{what}, and {} other inputs changed", more - 1),
    }
}

#[cfg(test)]
mod tests;
