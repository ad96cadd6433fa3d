//! A project folder as values: settings, datasets, models, their graph. Every problem is found and reported at once.

mod datasets;
mod folder;
mod models;
mod roles;
mod service;
mod settings;
mod suites;
mod text;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use chrono_tz::Tz;
use laguna_base::hash::Fingerprint as Parts;
use laguna_base::settings::dataset::Mode;
use laguna_base::settings::project::{ReleaseRule, Retries};
use laguna_base::settings::table::{Materialize, OnFail};
use laguna_base::settings::{DatasetSettings, RoleSettings, TableSettings};
use laguna_base::template::EnvLookup;
use laguna_base::{Error, Result, TableName, Tier, suggest};
use laguna_check::CheckSpec;
use laguna_query::Access;

use crate::graph::{Cycle, Graph};
use crate::render::{Origin, Renderer, Secrets};
pub use service::Service;
use suites::Suites;

/// The file that makes a folder a project.
pub const PROJECT_FILE: &str = "laguna.yml";

/// What loading needs besides the files.
#[derive(Clone)]
pub struct LoadOptions {
    /// Values of `--var`; they win over `vars:` of the project.
    pub vars: BTreeMap<String, serde_json::Value>,
    /// Answers `env()`.
    pub env: EnvLookup,
}

impl Default for LoadOptions {
    /// No variables, and an empty environment.
    fn default() -> Self {
        LoadOptions { vars: BTreeMap::new(), env: Arc::new(|_| None) }
    }
}

/// What maintenance keeps, and how large it makes files: `maintain:` in `laguna.yml`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Maintain {
    /// How long releases are kept; `None` drops none.
    pub keep: Option<Duration>,
    /// Releases that are kept for ever.
    pub keep_releases: BTreeSet<u64>,
    /// How long answered statements are kept; `None` drops none.
    pub queries: Option<Duration>,
    /// Bytes of a file at most.
    pub target_file_size: u64,
    /// Whether runs join small files when they have become many.
    pub after_runs: bool,
}

/// A role of `laguna.yml`.
#[derive(Debug, Clone, PartialEq)]
pub struct Role {
    /// What it may see.
    pub access: Access,
    /// How long a statement may run; `None`: as long as any.
    pub timeout: Option<Duration>,
    /// Rows that a statement may answer with.
    pub max_rows: Option<u64>,
    /// Statements at once.
    pub concurrency: Option<usize>,
    /// As typed, templates rendered.
    pub settings: RoleSettings,
}

/// A project, checked and resolved.
#[derive(Debug)]
pub struct Project {
    /// Its folder.
    pub dir: PathBuf,
    /// Its name.
    pub name: String,
    /// Root of the lake: an absolute path or a URL.
    pub lake: String,
    /// Options of the object store, rendered: may hold secrets.
    pub storage: BTreeMap<String, String>,
    /// Time zone of dates without a time.
    pub timezone: Tz,
    /// When `laguna serve` runs the project, as a cron expression in its time zone.
    pub schedule: Option<String>,
    /// Tasks at once, at least 1.
    pub parallel: usize,
    /// How often a task is tried; its durations parse.
    pub retries: Retries,
    /// What a failed table means for the others.
    pub release: ReleaseRule,
    /// What maintenance keeps.
    pub maintain: Maintain,
    /// Who may read what, by name.
    pub roles: BTreeMap<String, Role>,
    /// Raw datasets by name.
    pub datasets: BTreeMap<TableName, Dataset>,
    /// Models by name.
    pub models: BTreeMap<TableName, Model>,
    /// Who depends on whom.
    pub graph: Graph,
    /// The files that make the project what it is.
    pub code: CodeArchive,
    /// What is odd but not wrong, each with its place and a hint.
    pub warnings: Vec<Error>,
}

/// One raw dataset.
#[derive(Debug, Clone)]
pub struct Dataset {
    /// `raw.<dataset>`.
    pub name: TableName,
    /// Its file, relative to the project: `raw/flights.yml`.
    pub file: String,
    /// Its settings, templates rendered.
    pub settings: DatasetSettings,
}

impl Dataset {
    /// Whether `latest.<dataset>` exists: it needs a key, or batches that each are the whole.
    pub fn has_latest(&self) -> bool {
        !self.settings.key.is_empty() || self.settings.mode == Mode::Snapshot
    }
}

/// Where a project's lake is.
#[derive(Debug, Clone)]
pub struct Place {
    /// Absolute path or URL of its root.
    pub lake: String,
    /// Options of the object store.
    pub storage: BTreeMap<String, String>,
    /// The project's time zone.
    pub timezone: Tz,
}

/// One model.
#[derive(Debug, Clone)]
pub struct Model {
    /// `sanitized.<table>` or `enhanced.<table>`.
    pub name: TableName,
    /// Its file, relative to the project: `sanitized/flights.sql`.
    pub file: String,
    /// Its text as typed.
    pub source: String,
    /// Its SQL after rendering.
    pub sql: String,
    /// Hash of the SQL's words; comments and layout don't count.
    pub sql_hash: String,
    /// Tables that its SQL reads, as named there: `latest.flights` and `quarantine.raw_flights` stay what they are.
    pub inputs: BTreeSet<TableName>,
    /// Tables that only its checks read.
    pub check_inputs: BTreeSet<TableName>,
    /// Its settings, templates rendered.
    pub settings: TableSettings,
    /// The file of its settings, when there is one.
    pub settings_file: Option<String>,
    /// What must be true of it, those of its columns first.
    pub checks: Vec<CheckSpec>,
    /// Functions of time or chance that it calls, as `now`.
    pub volatile: Vec<String>,
    /// Where its SQL names each table first: line and column in `source`.
    pub(crate) places: BTreeMap<TableName, (usize, usize)>,
    /// Where each piece of its SQL comes from.
    pub(crate) origin: Origin,
    /// What no message and no record may repeat.
    pub(crate) secrets: Secrets,
}

impl Model {
    /// What a failed critical check does: as set, else `block` in enhanced and `warn` in sanitized.
    pub fn on_fail(&self) -> OnFail {
        self.settings.on_fail.unwrap_or(match self.name.tier {
            Tier::Enhanced => OnFail::Block,
            _ => OnFail::Warn,
        })
    }

    /// The columns that tell one of its rows from another; none for a table without a key.
    pub fn key(&self) -> &[String] {
        match &self.settings.materialize {
            Materialize::Incremental(rule) => &rule.key.0,
            _ => &[],
        }
    }

    /// Its SQL as a release keeps it: values of the environment are left out. A view has none.
    pub fn kept_sql(&self) -> String {
        if self.is_view() { self.sql.clone() } else { self.without_secrets(&self.sql) }
    }

    /// `text` with every value that `env()` has answered replaced by `***`.
    pub fn without_secrets(&self, text: &str) -> String {
        self.secrets.hide(text)
    }

    /// The place in the file of a place in its SQL; both count lines and columns from 1, zeros stay zeros.
    pub fn place(&self, line: usize, column: usize) -> (usize, usize) {
        self.origin.place(&self.sql, &self.source, line, column)
    }

    /// Whether only its SQL is kept.
    pub fn is_view(&self) -> bool {
        self.settings.materialize == Materialize::View
    }
}

/// The node that keeps the rows of `table`: `latest.x` and `quarantine.raw_x` belong to `raw.x`. `None` for tables
/// of `system`, which are no part of the project.
pub fn node_of(table: &TableName) -> Option<TableName> {
    match table.tier {
        Tier::Raw | Tier::Sanitized | Tier::Enhanced => Some(table.clone()),
        Tier::Latest => Some(TableName { tier: Tier::Raw, table: table.table.clone() }),
        Tier::Quarantine => [Tier::Raw, Tier::Sanitized, Tier::Enhanced].into_iter().find_map(|tier| {
            let table = table.table.strip_prefix(tier.as_str())?.strip_prefix('_')?;
            Some(TableName { tier, table: table.to_string() })
        }),
        Tier::System => None,
    }
}

/// The files that make up a project's code, as they are stored with each release: settings, SQL, macros, notes.
/// Data, the lake and hidden files are left out; secrets are not in it, because templates stay as typed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CodeArchive {
    files: BTreeMap<String, Vec<u8>>,
}

impl CodeArchive {
    /// The files by path relative to the project, `/` between folders.
    pub fn files(&self) -> &BTreeMap<String, Vec<u8>> {
        &self.files
    }

    /// 32 hexadecimal digits that change with any path or byte.
    pub fn hash(&self) -> String {
        let mut parts = Parts::new();
        for (path, bytes) in &self.files {
            parts.add(path);
            parts.add(bytes);
        }
        parts.finish()
    }
}

impl Project {
    /// Line and column of the key `key` in a YAML file of the project; zeros when it does not stand there.
    pub fn place_of_key(&self, file: &str, key: &str) -> (usize, usize) {
        let bytes = self.code.files.get(file).map(Vec::as_slice).unwrap_or_default();
        text::decode(file, bytes).map_or((0, 0), |text| text::place_of_key(text, key))
    }

    /// The nearest folder from `start` upwards that holds `laguna.yml`.
    pub fn find(start: &Path) -> Result<PathBuf> {
        folder::find(start)
    }

    /// Loads the project in the folder `dir`. All problems are reported together, see [`Error::others`].
    pub fn load(dir: &Path, options: &LoadOptions) -> Result<Project> {
        let dir = folder::absolute(dir)?;
        let files = folder::read_project(&dir)?;
        let mut project = assemble(&dir, &files, Suites::in_folder(&dir), options)?;
        let suites = std::mem::take(&mut project.code.files);
        project.code.files = folder::read_rest(&project, files)?;
        project.code.files.extend(suites);
        project.warnings.extend(text::misplaced(project.code.files.keys()));
        Ok(project)
    }

    /// A number that changes when a file that makes the project what it is comes, goes or is written. It does not outlive the
    /// process.
    pub fn stamp(&self) -> u64 {
        folder::stamp(&self.dir, self.code.files.keys())
    }

    /// Where the lake of the project in `dir` is: reads `laguna.yml` alone, so that a query need not load the project.
    pub fn place(dir: &Path, options: &LoadOptions) -> Result<Place> {
        let dir = folder::absolute(dir)?;
        let files = folder::read_settings(&dir)?;
        let mut errors = Vec::new();
        let resolved = settings::resolve(&dir, &files, options, &mut errors, &mut Vec::new())?;
        match Error::many(errors) {
            Some(error) => Err(error),
            None => Ok(Place { lake: resolved.lake, storage: resolved.storage, timezone: resolved.timezone }),
        }
    }

    /// Loads a project from its files by relative path, as [`CodeArchive::files`] keeps them. `dir` is the folder
    /// that relative paths in the settings start from; nothing is read from it.
    pub fn load_files(
        dir: &Path,
        files: BTreeMap<String, Vec<u8>>,
        options: &LoadOptions,
    ) -> Result<Project> {
        let mut project = assemble(dir, &files, Suites::among(&files), options)?;
        project.warnings.extend(text::misplaced(files.keys()));
        project.code.files = files;
        Ok(project)
    }
}

/// Names that files declare, whether or not what stands in the files is right: one mistake is then one error.
struct Names {
    all: BTreeSet<TableName>,
    /// Datasets that could be read.
    datasets: BTreeMap<TableName, Dataset>,
    /// Files of suites that checks name.
    suites: Suites,
}

/// `suites` gives the files that checks name beside those that are read anyway.
fn assemble(
    dir: &Path,
    files: &BTreeMap<String, Vec<u8>>,
    suites: Suites,
    options: &LoadOptions,
) -> Result<Project> {
    let mut errors = Vec::new();
    let mut warnings = Vec::new();
    let listing = text::list(files, &mut errors);
    let resolved = match settings::resolve(dir, files, options, &mut errors, &mut warnings) {
        Ok(resolved) => resolved,
        Err(error) => {
            // Without the variables nothing can be rendered, but what is no YAML at all can be said.
            errors.insert(0, error);
            errors.extend(text::malformed(&listing));
            return Err(Error::many(errors).unwrap_or_else(|| Error::internal("settings failed silently")));
        }
    };
    let all = listing.names();
    let place = |key: &str| {
        let bytes = files.get(PROJECT_FILE).map(Vec::as_slice).unwrap_or_default();
        text::decode(PROJECT_FILE, bytes).map_or((0, 0), |text| text::place_of_text(text, key))
    };
    roles::check_tables(&resolved.roles, &all, place, &mut errors, &mut warnings);
    let renderer =
        match Renderer::new(resolved.vars.clone(), options.env.clone(), &listing.macros, all.clone()) {
            Ok(renderer) => renderer,
            Err(error) => {
                errors.push(error);
                return Err(
                    Error::many(errors).unwrap_or_else(|| Error::internal("templates failed silently"))
                );
            }
        };
    let datasets = datasets::load(&listing, &renderer, &mut errors, &mut warnings);
    let names = Names { all, datasets, suites };
    let models = models::load(&listing, &names, &renderer, &mut errors, &mut warnings);
    // A model that could not be read has no edges: only whole projects are searched for cycles.
    let graph = connect(&names.datasets, &models, &mut errors, &mut warnings);
    if let Some(error) = Error::many(errors) {
        return Err(error);
    }
    Ok(Project {
        dir: dir.to_path_buf(),
        name: resolved.name,
        lake: resolved.lake,
        storage: resolved.storage,
        timezone: resolved.timezone,
        schedule: resolved.schedule,
        parallel: resolved.parallel,
        retries: resolved.retries,
        release: resolved.release,
        maintain: resolved.maintain,
        roles: resolved.roles,
        datasets: names.datasets,
        models,
        graph,
        code: CodeArchive { files: names.suites.into_read() },
        warnings,
    })
}

fn connect(
    datasets: &BTreeMap<TableName, Dataset>,
    models: &BTreeMap<TableName, Model>,
    errors: &mut Vec<Error>,
    warnings: &mut Vec<Error>,
) -> Graph {
    let nodes_of = |tables: &BTreeSet<TableName>| tables.iter().filter_map(node_of).collect::<BTreeSet<_>>();
    let mut nodes: BTreeMap<TableName, BTreeSet<TableName>> =
        datasets.keys().map(|name| (name.clone(), BTreeSet::new())).collect();
    let mut checks = BTreeMap::new();
    for (name, model) in models {
        nodes.insert(name.clone(), nodes_of(&model.inputs));
        checks.insert(name.clone(), nodes_of(&model.check_inputs));
    }
    match Graph::new(&nodes, &checks) {
        Ok(graph) => {
            for (name, input) in graph.left_out() {
                let file = models.get(name).and_then(|model| model.settings_file.clone()).unwrap_or_default();
                warnings.push(
                    Error::project(format!("a check of {name} reads {input}, which depends on {name}"))
                        .at(file, 0, 0)
                        .hint(format!("the check sees the {input} that was released before")),
                );
            }
            graph
        }
        Err(cycles) => {
            errors.extend(cycles.iter().map(|cycle| cycle_error(cycle, models)));
            Graph::default()
        }
    }
}

fn cycle_error(Cycle(path): &Cycle, models: &BTreeMap<TableName, Model>) -> Error {
    let words: Vec<String> = path.iter().map(ToString::to_string).collect();
    let files: Vec<String> = path[..path.len() - 1]
        .iter()
        .filter_map(|name| models.get(name).map(|model| model.file.clone()))
        .collect();
    let error = Error::project(format!("models depend on each other in a circle: {}", words.join(" -> ")))
        .hint(format!("take one of these reads away: {}", files.join(", ")));
    // The first model's SQL names the last one before it in the circle.
    let first = path.first().and_then(|name| models.get(name));
    let before = path.iter().rev().nth(1);
    match (first, before) {
        (Some(model), Some(before)) => {
            let (line, column) = model
                .places
                .iter()
                .find(|(table, _)| node_of(table).as_ref() == Some(before))
                .map_or((0, 0), |(_, place)| *place);
            error.at(&model.file, line, column)
        }
        _ => error,
    }
}

/// The nearest of `names` to `name`: the same table in another tier counts as nearest.
fn nearest_table(name: &str, names: &BTreeSet<TableName>) -> String {
    let table = name.rsplit('.').next().unwrap_or(name);
    let twins: Vec<String> =
        names.iter().filter(|known| known.table == table).map(ToString::to_string).collect();
    if !twins.is_empty() {
        return format!("did you mean `{}`?", twins.join("` or `"));
    }
    let known: Vec<String> = names.iter().map(ToString::to_string).collect();
    if let Some(near) = suggest::nearest(name, known.iter()) {
        return format!("did you mean `{near}`?");
    }
    let tables: Vec<&str> = names.iter().map(|known| known.table.as_str()).collect();
    if let Some(near) = suggest::nearest(table, tables.iter()) {
        let full: Vec<&String> = known.iter().filter(|known| known.ends_with(&format!(".{near}"))).collect();
        if let Some(full) = full.first() {
            return format!("did you mean `{full}`?");
        }
    }
    suggest::hint(name, known.iter())
}

#[cfg(test)]
mod tests;
