//! What is made of a raw table: every released version of it is built again from inputs without the forgotten rows.
//!
//! A version is only built again when the code of then makes of the old inputs just what was released; else it is
//! filtered by the condition, where its columns allow that; else the erasure is refused before anything was changed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use laguna_base::{Error, Instant, Result, TableName, Tier};
use laguna_model::build::{self, BuildContext};
use laguna_model::{Fingerprint, LoadOptions, Model, Project};
use laguna_query::{LakeTables, Moment, Resolved, Tables};
use laguna_store::forget::{ErasedTable, Superseded, Target};
use laguna_store::latest::LatestRule;
use laguna_store::release::{InputState, Redacted, Redaction};
use laguna_store::{CommitNote, Release, ReleasedTable, Snapshot, Staged, types};

use super::rows::Judge;
use super::{Plan, Work, discard};
use crate::node::content_of;
use crate::tables::{RunTables, SharedTables};
use crate::{as_of, code};

/// A released version, and what stands for it.
#[derive(Clone)]
struct Version {
    /// The new content; of an unchanged version the old one.
    snapshot: Arc<Snapshot>,
    changed: bool,
    how: &'static str,
    /// Rows that are gone.
    removed: u64,
    /// As it was released.
    entry: ReleasedTable,
}

/// The models that follow from a raw table.
pub(super) struct Followers<'a> {
    raw: &'a TableName,
    /// When the first forgotten row arrived; `None` when only rows set aside are forgotten.
    first: Option<Instant>,
    redacted: Arc<Snapshot>,
    rule: Option<LatestRule>,
    load: &'a LoadOptions,
    /// Stored code by its hash; `None` where it cannot be read.
    projects: BTreeMap<String, Option<Arc<Project>>>,
    names: BTreeSet<TableName>,
    versions: BTreeMap<(TableName, u64), Version>,
    redaction: Redaction,
}

impl<'a> Followers<'a> {
    pub fn new(
        raw: &'a TableName,
        first: Option<Instant>,
        redacted: Arc<Snapshot>,
        rule: Option<LatestRule>,
        load: &'a LoadOptions,
    ) -> Followers<'a> {
        Followers {
            raw,
            first,
            redacted,
            rule,
            load,
            projects: BTreeMap::new(),
            names: BTreeSet::new(),
            versions: BTreeMap::new(),
            redaction: Redaction::default(),
        }
    }

    /// All that follows, in the project as it is and in any release.
    pub fn names(&self) -> BTreeSet<TableName> {
        self.names.clone()
    }

    /// Whether rows up to `watermark` hold some that are forgotten.
    pub fn is_held_at(&self, watermark: Option<Instant>) -> bool {
        self.first.is_some_and(|first| watermark.is_none_or(|watermark| watermark >= first))
    }

    /// Builds what stands for each released version. `releases` are in their order.
    pub async fn follow(&mut self, work: &mut Work<'_>, releases: &[Release]) -> Result<()> {
        let graph = &work.context.project.graph;
        for name in graph.order() {
            let Some(model) = work.context.project.models.get(name) else { continue };
            if model.inputs.iter().chain(&model.check_inputs).any(|input| self.follows(input)) {
                self.names.insert(name.clone());
            }
        }
        let mut problems = Vec::new();
        for release in releases {
            for name in order(release) {
                let entry = &release.tables[&name];
                if !entry.inputs.keys().any(|input| self.follows(input)) {
                    continue;
                }
                self.names.insert(name.clone());
                let model = self.model(work, release, &name, entry).await;
                let Some(version) = entry.version else {
                    self.know_view(release, &name, entry, model.as_deref());
                    continue;
                };
                let fingerprint = self.fingerprint(entry, model.as_deref());
                let key = (name.clone(), version);
                if self.versions.contains_key(&key) {
                    continue;
                }
                // A rollback commits an old state as a new version.
                let same = self.versions.iter().find(|((table, _), old)| {
                    *table == name
                        && old.entry.fingerprint == entry.fingerprint
                        && old.entry.content.is_some()
                        && old.entry.content == entry.content
                });
                let made = match same {
                    Some((_, same)) => Ok(same.clone()),
                    None => self.version(work, release, &name, entry, model).await?,
                };
                match made {
                    Ok(mut made) => {
                        let mut snapshot = made.snapshot.as_ref().clone();
                        snapshot.note.fingerprint = Some(fingerprint);
                        made.snapshot = Arc::new(snapshot);
                        self.know_content(&name, entry, &made)?;
                        self.versions.insert(key, made);
                    }
                    Err(reason) => {
                        let problem = format!("{name} of release {}: {reason}", release.number);
                        problems.push(problem);
                    }
                }
            }
        }
        match problems.is_empty() {
            true => Ok(()),
            false => Err(Error::failed(format!(
                "nothing was forgotten, because the rows cannot be taken out of {}",
                problems.join("; ")
            ))
            .hint("a model whose columns include those of the condition is filtered by it instead of built again")),
        }
    }

    /// Plans the new versions of each table, and says what stands for what.
    pub async fn redaction(
        &mut self,
        work: &Work<'_>,
        releases: &[Release],
        plan: &mut Plan,
    ) -> Result<Redaction> {
        let lake = work.context.lake();
        for name in &self.names {
            let Some(head) = lake.head(name).await? else { continue };
            let first = head.version + 1;
            let current = releases.last().and_then(|release| release.tables.get(name)?.version);
            let mut versions: Vec<(u64, &Version)> = self
                .versions
                .iter()
                .filter(|((table, _), _)| table == name)
                .map(|((_, number), version)| (*number, version))
                .collect();
            // What is released now becomes the head.
            versions.sort_by_key(|(number, _)| (Some(*number) == current, *number));
            if versions.is_empty() {
                // Committed by runs that never released it.
                plan.head(&head, Vec::new(), CommitNote::default(), "rows removed", 0)?;
                continue;
            }
            let mut targets = Vec::new();
            for (place, (number, version)) in versions.iter().enumerate() {
                let stands = first + place as u64;
                let snapshot = &version.snapshot;
                let redacted = Redacted {
                    version: stands,
                    rows: Some(snapshot.rows()),
                    content: snapshot.note.content,
                    changed: version.changed,
                };
                self.redaction.tables.entry(name.clone()).or_default().insert(*number, redacted);
                targets.push(Target::new(
                    &plan.id,
                    types::schema_to_json(&snapshot.schema)?,
                    snapshot.partition_columns.clone(),
                    snapshot.files.clone(),
                    snapshot.note.clone(),
                ));
                let holding = releases.iter().filter(|release| {
                    release.tables.get(name).is_some_and(|entry| entry.version == Some(*number))
                });
                plan.told.extend(holding.filter(|_| version.changed).map(|release| ErasedTable {
                    table: name.clone(),
                    release: Some(release.number),
                    how: version.how.to_string(),
                    before: Some(*number),
                    version: stands,
                    rows: version.removed,
                }));
            }
            plan.tables.push(Superseded { table: name.clone(), first, targets });
        }
        Ok(std::mem::take(&mut self.redaction))
    }

    fn follows(&self, input: &TableName) -> bool {
        laguna_model::project::node_of(input)
            .is_some_and(|node| node == *self.raw || self.names.contains(&node))
    }

    /// The code that built `entry`: the project as it is, or as it was stored.
    async fn model(
        &mut self,
        work: &Work<'_>,
        release: &Release,
        name: &TableName,
        entry: &ReleasedTable,
    ) -> Option<Arc<Model>> {
        let print: Fingerprint = entry.fingerprint.parse().ok()?;
        let fits = |project: &Project| {
            project.models.get(name).filter(|model| print.is_code_of(model)).cloned().map(Arc::new)
        };
        if let Some(model) = fits(&work.context.project) {
            return Some(model);
        }
        let hash = release.code.clone()?;
        if !self.projects.contains_key(&hash) {
            let files = code::load(work.context.lake(), &hash).await;
            let project =
                files.and_then(|files| Project::load_files(&work.context.project.dir, files, self.load));
            self.projects.insert(hash.clone(), project.ok().map(Arc::new));
        }
        fits(self.projects.get(&hash)?.as_deref()?)
    }

    /// The fingerprint of `entry` over what its inputs are from now on.
    fn fingerprint(&mut self, entry: &ReleasedTable, model: Option<&Model>) -> String {
        let old = entry.fingerprint.clone();
        let known = entry.inputs.iter();
        let before: BTreeMap<TableName, String> =
            known.filter_map(|(input, state)| Some((input.clone(), state.content.clone()?))).collect();
        let after = self.contents_now(&before);
        let Some(model) = model.filter(|_| before != after) else { return old };
        if Fingerprint::of(model, &before).to_string() != old {
            return old;
        }
        let new = Fingerprint::of(model, &after).to_string();
        self.redaction.fingerprints.insert(old, new.clone());
        new
    }

    /// What a view holds is what it reads in that release, whatever its own entry says of an earlier one.
    fn know_view(
        &mut self,
        release: &Release,
        name: &TableName,
        entry: &ReleasedTable,
        model: Option<&Model>,
    ) {
        let Some(model) = model else { return };
        let held = entry.inputs.iter().filter_map(|(input, state)| {
            let content = match release.tables.get(input) {
                Some(read) if read.version.is_some() => content_of(read),
                _ => state.content.clone()?,
            };
            Some((input.clone(), content))
        });
        let before: BTreeMap<TableName, String> = held.collect();
        let after = self.contents_now(&before);
        let content = |contents| format!("view {}", Fingerprint::of(model, contents));
        if before != after {
            let known = self.redaction.contents.entry(name.clone()).or_default();
            known.insert(content(&before), content(&after));
        }
    }

    /// What identifies the contents from now on.
    fn contents_now(&self, before: &BTreeMap<TableName, String>) -> BTreeMap<TableName, String> {
        let now = |input, content| self.redaction.contents.get(input)?.get(content).cloned();
        let each = before.iter();
        each.map(|(input, content)| (input.clone(), now(input, content).unwrap_or_else(|| content.clone())))
            .collect()
    }

    fn know_content(&mut self, name: &TableName, entry: &ReleasedTable, made: &Version) -> Result<()> {
        if !made.changed {
            return Ok(());
        }
        let new = ReleasedTable {
            content: made.snapshot.note.content,
            schema: types::schema_to_json(&made.snapshot.schema)?,
            ..entry.clone()
        };
        let contents = self.redaction.contents.entry(name.clone()).or_default();
        contents.insert(content_of(entry), content_of(&new));
        Ok(())
    }

    /// Whether what an entry read holds other rows from now on.
    fn is_changed(&self, release: &Release, input: &TableName, state: &InputState) -> bool {
        if input.tier == Tier::Quarantine {
            return self.follows(input);
        }
        if *input == *self.raw || *input == self.raw.latest() {
            return self.is_held_at(state.watermark);
        }
        match state.version {
            Some(version) => {
                self.versions.get(&(input.clone(), version)).is_some_and(|version| version.changed)
            }
            None => release.tables.get(input).is_some_and(|view| {
                view.inputs.keys().any(|input| self.is_changed(release, input, &state_in(release, input)))
            }),
        }
    }

    /// What stands for the version of `entry`; the text says why nothing can.
    async fn version(
        &mut self,
        work: &mut Work<'_>,
        release: &Release,
        name: &TableName,
        entry: &ReleasedTable,
        model: Option<Arc<Model>>,
    ) -> Result<std::result::Result<Version, String>> {
        let lake = work.context.lake().clone();
        let Some(number) = entry.version else { return Ok(Err("it is a view".to_string())) };
        let mut before = lake.snapshot(name, number).await?;
        before.note = CommitNote { content: entry.content, ..CommitNote::default() };
        before.note.more.insert("checks".to_string(), serde_json::to_value(entry.checks).unwrap_or_default());
        let version = |snapshot: Snapshot, how: &'static str, before: u64| Version {
            changed: how != "unchanged",
            how,
            removed: before.saturating_sub(snapshot.rows()),
            snapshot: Arc::new(snapshot),
            entry: entry.clone(),
        };
        if !entry.inputs.iter().any(|(input, state)| self.is_changed(release, input, state)) {
            return Ok(Ok(version(before, "unchanged", 0)));
        }
        let rows = before.rows();
        let set_aside = |input: &TableName| input.tier == Tier::Quarantine && self.follows(input);
        let reason = match model {
            None => "its code of then is not known".to_string(),
            Some(_) if reads(release, entry).keys().any(set_aside) => {
                "it reads rows that were set aside".to_string()
            }
            Some(model) => match self.rebuild(work, release, &model, entry, &before).await {
                Ok(Some(staged)) if staged.content == entry.content => {
                    discard(&lake, name, &staged.adds).await?;
                    return Ok(Ok(version(before, "unchanged", 0)));
                }
                Ok(Some(staged)) => {
                    let files = staged.adds.iter().map(|file| (name.clone(), file.clone()));
                    work.fresh.extend(files);
                    let mut note = before.note.clone();
                    note.content = staged.content;
                    let snapshot = Snapshot {
                        schema: types::schema_from_json(&staged.schema)?,
                        partition_columns: staged.partition_columns,
                        files: staged.adds,
                        note,
                        ..before
                    };
                    return Ok(Ok(version(snapshot, "rebuilt", rows)));
                }
                Ok(None) => "building it again does not give what was released".to_string(),
                Err(error) => format!("building it again fails: {error}"),
            },
        };
        let columns = work.predicate.columns(&self.redacted.schema);
        if columns.iter().any(|column| before.schema.fields().find(column).is_none())
            || work.check(&before).await.is_err()
        {
            return Ok(Err(reason));
        }
        let kept = work.without(&before, &Judge::Columns).await?;
        work.notes
            .push(format!("{name} of release {} is filtered by the condition: {reason}", release.number));
        let mut snapshot = Snapshot { files: kept.files, ..before };
        snapshot.note.content = Some(work.content(&snapshot).await?);
        Ok(Ok(version(snapshot, "filtered", rows)))
    }

    /// Builds `entry` from the old inputs, and when that gives what was released, from the new ones.
    async fn rebuild(
        &self,
        work: &Work<'_>,
        release: &Release,
        model: &Arc<Model>,
        entry: &ReleasedTable,
        before: &Snapshot,
    ) -> Result<Option<Staged>> {
        let context = work.context;
        let lake = context.lake();
        let tables = self.tables(work, release, entry, false).await?;
        let old = self.build(work, release, model, tables.clone()).await?;
        let equal = if old.content.is_some() && old.content == entry.content {
            true
        } else {
            let after = Arc::new(lake.staged_snapshot(&old).await?);
            as_of::compare(context, &tables, Arc::new(before.clone()), after).await?.different == 0
        };
        discard(lake, &model.name, &old.adds).await?;
        if !equal {
            return Ok(None);
        }
        let tables = self.tables(work, release, entry, true).await?;
        self.build(work, release, model, tables).await.map(Some)
    }

    async fn build(
        &self,
        work: &Work<'_>,
        release: &Release,
        model: &Arc<Model>,
        tables: SharedTables,
    ) -> Result<Staged> {
        let build_context = BuildContext {
            engine: work.context.engine.clone(),
            tables,
            run: work.id.as_str().into(),
            instant: release.instant,
            fingerprint: "forget".into(),
            released: None,
            progress: Arc::new(|_| {}),
        };
        let built = build::build(model, &build_context).await?;
        // What is aside is taken from the quarantine itself.
        discard(work.context.lake(), &model.name.quarantine(), &built.quarantined).await?;
        built.staged.ok_or_else(|| Error::failed("it is a view by now"))
    }

    /// What names meant when `entry` was built; with `redacted`, without the forgotten rows.
    async fn tables(
        &self,
        work: &Work<'_>,
        release: &Release,
        entry: &ReleasedTable,
        redacted: bool,
    ) -> Result<SharedTables> {
        let lake = work.context.lake();
        let then = LakeTables::at(lake, Moment::Release(release.number)).await?;
        let mut means = Vec::new();
        for (input, state) in reads(release, entry) {
            let ours = redacted && laguna_model::project::node_of(&input).as_ref() == Some(self.raw);
            let resolved = match (input.tier, then.table(&input).await?) {
                (Tier::Raw, Some(Resolved::Snapshot { snapshot, schema, .. })) => {
                    let snapshot = if ours { self.redacted.clone() } else { snapshot };
                    Resolved::Snapshot { snapshot, until: state.watermark, schema }
                }
                (Tier::Latest, Some(Resolved::Latest { raw, rule, .. })) => match (&self.rule, ours) {
                    (Some(rule), true) => {
                        let state_of = work.context.engine.state();
                        let rows = lake.latest_of(self.redacted.clone(), rule, state.watermark, &state_of);
                        Resolved::Provider(rows.await?)
                    }
                    _ => Resolved::Latest { raw, rule, at: state.watermark },
                },
                (tier, _) if tier.is_model() && state.version.is_some() => {
                    let number = state.version.unwrap_or_default();
                    let made = self.versions.get(&(input.clone(), number)).filter(|_| redacted);
                    let snapshot = match made {
                        Some(made) => made.snapshot.clone(),
                        None => Arc::new(lake.snapshot(&input, number).await?),
                    };
                    Resolved::Snapshot { snapshot, until: None, schema: None }
                }
                _ => continue,
            };
            means.push((input, resolved));
        }
        let tables = Arc::new(RunTables::new(then));
        for (input, resolved) in means {
            tables.set(&input, resolved).await;
        }
        Ok(tables)
    }
}

/// What `entry` read, itself or through views.
fn reads(release: &Release, entry: &ReleasedTable) -> BTreeMap<TableName, InputState> {
    let mut all = entry.inputs.clone();
    let mut views: Vec<&ReleasedTable> = Vec::new();
    views.extend(entry.inputs.keys().filter_map(|input| release.tables.get(input)));
    while let Some(view) = views.pop() {
        for input in view.inputs.keys().filter(|_| view.version.is_none()) {
            all.entry(input.clone()).or_insert_with(|| state_in(release, input));
            views.extend(release.tables.get(input));
        }
    }
    all
}

/// What a view reads of `input`: whatever the release has, for a view is only released by its SQL.
fn state_in(release: &Release, input: &TableName) -> InputState {
    let raw = TableName { tier: Tier::Raw, table: input.table.clone() };
    let raw = release.raw.get(&raw).filter(|_| matches!(input.tier, Tier::Raw | Tier::Latest));
    InputState {
        version: release.tables.get(input).and_then(|entry| entry.version).or(raw.map(|raw| raw.version)),
        watermark: raw.and_then(|raw| raw.watermark),
        content: None,
    }
}

/// The tables of a release, each after those that it reads.
fn order(release: &Release) -> Vec<TableName> {
    fn visit(
        release: &Release,
        name: &TableName,
        seen: &mut BTreeSet<TableName>,
        order: &mut Vec<TableName>,
    ) {
        let Some(entry) = release.tables.get(name) else { return };
        if seen.insert(name.clone()) {
            entry.inputs.keys().for_each(|input| visit(release, input, seen, order));
            order.push(name.clone());
        }
    }
    let (mut seen, mut order) = (BTreeSet::new(), Vec::new());
    release.tables.keys().for_each(|name| visit(release, name, &mut seen, &mut order));
    order
}
