//! What a run knows of its inputs: what identifies the content of each, as the run goes on.

use std::collections::BTreeMap;

use laguna_base::{Result, TableName, Tier};
use laguna_model::plan::Released;
use laguna_model::project::node_of;
use laguna_model::{Fingerprint, Model, ModelState, Project, StateLookup};
use laguna_store::landed::Landed;
use laguna_store::release::InputState;
use laguna_store::{Lake, Release, ReleasedTable};

use crate::land::latest_rule;

/// The state of all inputs as a run goes on.
#[derive(Debug)]
pub(crate) struct State {
    /// Models: as released, then as this run leaves them.
    pub entries: BTreeMap<TableName, ReleasedTable>,
    /// Raw tables: what has landed.
    pub landed: BTreeMap<TableName, Landed>,
}

impl State {
    /// The state that `parent` published.
    pub fn new(parent: Option<&Release>) -> State {
        let entries = parent.map(|parent| parent.tables.clone()).unwrap_or_default();
        State { entries, landed: BTreeMap::new() }
    }

    async fn landed(&mut self, lake: &Lake, raw: &TableName) -> Result<&Landed> {
        if !self.landed.contains_key(raw) {
            let landed = lake.landed(raw).await?;
            self.landed.insert(raw.clone(), landed);
        }
        Ok(&self.landed[raw])
    }

    /// A text that is the same exactly when the content of `table` is; `None` when it does not exist yet.
    ///
    /// Models are known by their rows, not by their version: an input that is built again with equal rows changes
    /// nothing for those who read it.
    pub async fn content(
        &mut self,
        lake: &Lake,
        project: &Project,
        table: &TableName,
    ) -> Result<Option<String>> {
        Ok(match table.tier {
            Tier::Raw => self.landed(lake, table).await?.watermark.map(|at| format!("raw {at}")),
            Tier::Latest => {
                let raw = TableName { tier: Tier::Raw, table: table.table.clone() };
                let rule = project.datasets.get(&raw).and_then(latest_rule);
                let rule = serde_json::to_string(&rule).unwrap_or_default();
                self.landed(lake, &raw).await?.watermark.map(|at| format!("raw {at} {rule}"))
            }
            Tier::Sanitized | Tier::Enhanced => match (self.entries.get(table), project.models.get(table)) {
                (None, _) => None,
                (Some(_), Some(view)) if view.is_view() => {
                    // What a view holds is what it reads.
                    let contents = Box::pin(self.contents(lake, project, view)).await?;
                    Some(format!("view {}", Fingerprint::of(view, &contents)))
                }
                (Some(entry), _) => Some(content_of(entry)),
            },
            Tier::Quarantine | Tier::System => {
                lake.head_version(table).await?.map(|version| format!("version {version}"))
            }
        })
    }

    /// The contents of everything that `model` and its checks read; what does not exist yet is left out.
    pub async fn contents(
        &mut self,
        lake: &Lake,
        project: &Project,
        model: &Model,
    ) -> Result<BTreeMap<TableName, String>> {
        let mut contents = BTreeMap::new();
        for input in inputs(model) {
            if let Some(content) = self.content(lake, project, &input).await? {
                contents.insert(input, content);
            }
        }
        Ok(contents)
    }

    /// What a model reads, for its release record.
    pub fn input_states(&self, contents: &BTreeMap<TableName, String>) -> BTreeMap<TableName, InputState> {
        let state = |input: &TableName, content: &String| {
            let landed = node_of(input).and_then(|node| self.landed.get(&node));
            let version = match input.tier {
                Tier::Raw | Tier::Latest => landed.and_then(|landed| landed.version),
                _ => self.entries.get(input).and_then(|entry| entry.version),
            };
            let watermark = landed.and_then(|landed| landed.watermark);
            InputState { version, watermark, content: Some(content.clone()) }
        };
        contents.iter().map(|(input, content)| (input.clone(), state(input, content))).collect()
    }

    /// A model as the release has it, for decisions.
    pub fn released(&self, model: &TableName) -> Option<Released> {
        let entry = self.entries.get(model)?;
        let inputs = entry.inputs.iter();
        let inputs =
            inputs.filter_map(|(input, state)| Some((input.clone(), state.content.clone()?))).collect();
        Some(Released { fingerprint: entry.fingerprint.clone(), inputs })
    }
}

/// The text that is the same exactly when the content of a released model is.
pub(crate) fn content_of(entry: &ReleasedTable) -> String {
    match (entry.version, entry.content) {
        (Some(_), Some(content)) => format!("rows {content} {}", entry.schema),
        (Some(version), None) => format!("version {version}"),
        (None, _) => format!("view {}", entry.fingerprint),
    }
}

/// For `state:modified`.
impl StateLookup for State {
    fn state(&self, model: &Model) -> ModelState {
        match self.entries.get(&model.name) {
            None => ModelState::New,
            Some(entry)
                if entry.fingerprint.parse::<Fingerprint>().is_ok_and(|print| print.is_code_of(model)) =>
            {
                ModelState::Same
            }
            Some(_) => ModelState::Modified,
        }
    }
}

/// All tables that a model or its checks read.
pub(crate) fn inputs(model: &Model) -> impl Iterator<Item = TableName> {
    let all: std::collections::BTreeSet<&TableName> =
        model.inputs.iter().chain(&model.check_inputs).collect();
    all.into_iter().filter(|input| **input != model.name).cloned().collect::<Vec<_>>().into_iter()
}
