//! Which nodes a command means, in dbt's words: `+x`, `x+1`, `@x`, `tag:daily`, `path:enhanced`, `state:modified`.

use std::collections::BTreeSet;

use laguna_base::{Error, Result, TableName, Tier, suggest};

use crate::project::{Model, Project};

/// What a model is compared with what is released.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ModelState {
    /// It is not in the newest release.
    New,
    /// Its SQL or settings differ from the released ones.
    Modified,
    /// Its SQL and settings are the released ones.
    Same,
}

/// Answers `state:` selectors.
pub trait StateLookup {
    /// How `model` differs from the newest release.
    fn state(&self, model: &Model) -> ModelState;
}

/// Nothing is released yet: every model is new.
impl StateLookup for () {
    fn state(&self, _: &Model) -> ModelState {
        ModelState::New
    }
}

/// The nodes that `selectors` name, less those that `exclude` names. No selector means all nodes.
///
/// Words apart (by space or as several arguments) are united, words joined by a comma intersected. A selector that
/// names nothing is an error that shows the nearest name; an exclusion may name nothing.
pub fn select(
    project: &Project,
    selectors: &[String],
    exclude: &[String],
    state: &dyn StateLookup,
) -> Result<BTreeSet<TableName>> {
    let selection = Selection { project, state };
    let mut chosen: BTreeSet<TableName> = match words(selectors).next() {
        None => project.graph.order().iter().cloned().collect(),
        Some(_) => {
            let mut chosen = BTreeSet::new();
            for word in words(selectors) {
                chosen.append(&mut selection.intersection(word)?);
            }
            chosen
        }
    };
    for word in words(exclude) {
        for name in selection.intersection(word)? {
            chosen.remove(&name);
        }
    }
    Ok(chosen)
}

fn words(selectors: &[String]) -> impl Iterator<Item = &str> {
    selectors.iter().flat_map(|text| text.split_whitespace())
}

struct Selection<'a> {
    project: &'a Project,
    state: &'a dyn StateLookup,
}

/// One word taken apart: `@`, `2+`, the name, `+1`.
struct Word<'a> {
    core: &'a str,
    /// `Some(None)` is all the way up.
    up: Option<Option<usize>>,
    down: Option<Option<usize>>,
    around: bool,
}

fn take_apart(word: &str) -> Word<'_> {
    let (around, rest) = match word.strip_prefix('@') {
        Some(rest) => (true, rest),
        None => (false, word),
    };
    let digits = |text: &str| text.is_empty() || text.bytes().all(|byte| byte.is_ascii_digit());
    let (up, rest) = match rest.split_once('+') {
        Some((steps, rest)) if digits(steps) => (Some(steps.parse().ok()), rest),
        _ => (None, rest),
    };
    let (down, core) = match rest.rsplit_once('+') {
        Some((core, steps)) if digits(steps) => (Some(steps.parse().ok()), core),
        _ => (None, rest),
    };
    Word { core, up, down, around }
}

impl Selection<'_> {
    fn intersection(&self, word: &str) -> Result<BTreeSet<TableName>> {
        let mut chosen: Option<BTreeSet<TableName>> = None;
        for part in word.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let found = self.one(part)?;
            chosen = Some(match chosen {
                None => found,
                Some(chosen) => chosen.intersection(&found).cloned().collect(),
            });
        }
        Ok(chosen.unwrap_or_default())
    }

    fn one(&self, text: &str) -> Result<BTreeSet<TableName>> {
        let word = take_apart(text);
        let start = self.named(word.core, text)?;
        let graph = &self.project.graph;
        let mut found = start.clone();
        for node in &start {
            if let Some(steps) = word.up {
                found.append(&mut graph.ancestors(node, steps));
            }
            if let Some(steps) = word.down {
                found.append(&mut graph.descendants(node, steps));
            }
            if word.around {
                let below = graph.descendants(node, None);
                found.append(&mut graph.ancestors(node, None));
                for node in &below {
                    found.append(&mut graph.ancestors(node, None));
                }
                found.extend(below);
            }
        }
        Ok(found)
    }

    fn named(&self, core: &str, word: &str) -> Result<BTreeSet<TableName>> {
        let (method, value) = core.split_once(':').unwrap_or(("name", core));
        if value.is_empty() {
            return Err(Error::project(format!("the selector `{word}` names nothing"))
                .hint("write a name, tier.name, tag:word, path:folder, source:raw.name or state:modified"));
        }
        let found = match method {
            "name" => self.by_name(value),
            "tag" => self.by_tag(value),
            "path" => self.by_path(value),
            "source" => self.by_source(value),
            "state" => return self.by_state(value, word),
            other => {
                let methods = ["tag", "path", "source", "state"];
                return Err(Error::project(format!("`{other}:` is not a way to select, in `{word}`"))
                    .hint(suggest::hint(other, methods.iter())));
            }
        };
        if found.is_empty() {
            return Err(Error::project(format!("the selector `{word}` matches nothing"))
                .hint(self.hint(method, value)));
        }
        Ok(found)
    }

    fn hint(&self, method: &str, value: &str) -> String {
        let candidates: BTreeSet<String> = match method {
            "tag" => self.nodes().flat_map(|node| self.tags(node).iter().cloned()).collect(),
            "path" => self.nodes().map(|node| self.file(node).to_string()).collect(),
            "source" => self.project.datasets.keys().map(ToString::to_string).collect(),
            _ if value.contains('.') => self.nodes().map(ToString::to_string).collect(),
            _ => {
                let tiers = [Tier::Raw, Tier::Sanitized, Tier::Enhanced].map(|tier| tier.to_string());
                self.nodes().map(|node| node.table.clone()).chain(tiers).collect()
            }
        };
        suggest::hint(value, candidates.iter())
    }

    fn nodes(&self) -> impl Iterator<Item = &TableName> {
        self.project.datasets.keys().chain(self.project.models.keys())
    }

    fn tags(&self, node: &TableName) -> &[String] {
        match (self.project.datasets.get(node), self.project.models.get(node)) {
            (Some(dataset), _) => &dataset.settings.tags,
            (_, Some(model)) => &model.settings.tags,
            _ => &[],
        }
    }

    fn file(&self, node: &TableName) -> &str {
        match (self.project.datasets.get(node), self.project.models.get(node)) {
            (Some(dataset), _) => &dataset.file,
            (_, Some(model)) => &model.file,
            _ => "",
        }
    }

    fn by_name(&self, value: &str) -> BTreeSet<TableName> {
        // What the shell completes is a path: `enhanced/delays.sql` means that file.
        if value.contains('/') {
            return self.by_path(value);
        }
        // `latest.flights` is kept with its raw dataset.
        let value = value.strip_prefix("latest.").map_or(value.to_string(), |table| format!("raw.{table}"));
        let tier: Option<Tier> = value.parse().ok();
        self.nodes()
            .filter(|node| {
                tier == Some(node.tier)
                    || if value.contains('.') {
                        matches(&value, &node.to_string())
                    } else {
                        matches(&value, &node.table)
                    }
            })
            .cloned()
            .collect()
    }

    fn by_tag(&self, value: &str) -> BTreeSet<TableName> {
        self.nodes().filter(|node| self.tags(node).iter().any(|tag| matches(value, tag))).cloned().collect()
    }

    fn by_path(&self, value: &str) -> BTreeSet<TableName> {
        let value = value.trim_start_matches("./").trim_end_matches('/');
        let folder = format!("{value}/");
        self.nodes()
            .filter(|node| {
                let file = self.file(node);
                let settings =
                    self.project.models.get(*node).and_then(|model| model.settings_file.as_deref());
                file.starts_with(&folder) || matches(value, file) || settings == Some(value)
            })
            .cloned()
            .collect()
    }

    fn by_source(&self, value: &str) -> BTreeSet<TableName> {
        let value = if value.contains('.') { value.to_string() } else { format!("raw.{value}") };
        self.project.datasets.keys().filter(|node| matches(&value, &node.to_string())).cloned().collect()
    }

    /// Unlike the other ways this may well match nothing: nothing was modified.
    fn by_state(&self, value: &str, word: &str) -> Result<BTreeSet<TableName>> {
        let wanted: &[ModelState] = match value {
            "new" => &[ModelState::New],
            "modified" => &[ModelState::New, ModelState::Modified],
            "old" | "unmodified" => &[ModelState::Same],
            other => {
                return Err(Error::project(format!("`{other}` is not a state, in `{word}`"))
                    .hint(suggest::hint(other, ["modified", "new", "unmodified"].iter())));
            }
        };
        Ok(self
            .project
            .models
            .values()
            .filter(|model| wanted.contains(&self.state.state(model)))
            .map(|model| model.name.clone())
            .collect())
    }
}

/// Shell-like match of the whole text: `*` is any run of characters, `?` any one.
pub(crate) fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(c) if *c == '?' || *c == text[t] => {
                p += 1;
                t += 1;
            }
            _ => {
                let Some((star_p, star_t)) = star else { return false };
                star = Some((star_p, star_t + 1));
                p = star_p + 1;
                t = star_t + 1;
            }
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

#[cfg(test)]
mod tests;
