//! The commands, one file each.

mod check;
mod completions;
mod diff;
mod forget;
mod history;
mod init;
mod maintain;
mod query;
mod replay;
mod rollback;
mod run;
mod serve;
mod validate;

pub use query::{Answering, answer};

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use laguna_base::{Error, Result, SystemClock};
use laguna_model::{LoadOptions, Place, Project};
use laguna_query::{Engine, EngineOptions};
use laguna_store::Lake;
use tokio_util::sync::CancellationToken;

use crate::cli::{Cli, Command, Global};
use crate::printer::Printer;

/// Runs the command; the number is the exit code.
pub async fn dispatch(cli: Cli, printer: &Printer, stop: CancellationToken) -> Result<u8> {
    let global = &cli.global;
    match &cli.command {
        Command::Init(args) => init::execute(args, printer),
        Command::Run(args) => run::execute(args, global, printer, stop).await,
        Command::Query(args) => query::execute(args, global, printer, stop).await,
        Command::Serve(args) => serve::execute(args, global, printer, stop).await,
        Command::History(args) => history::execute(args, global, printer).await,
        Command::Diff(args) => diff::execute(args, global, printer).await,
        Command::Rollback(args) => rollback::execute(args, global, printer).await,
        Command::Replay(args) => replay::execute(args, global, printer, stop).await,
        Command::Forget(args) => forget::execute(args, global, printer, stop).await,
        Command::Maintain(args) => maintain::execute(args, global, printer, stop).await,
        Command::Check(args) => check::execute(args, global, printer, stop).await,
        Command::Validate(args) => validate::execute(args, global, printer),
        Command::Completions(args) => completions::execute(args, printer),
    }
}

/// The folder of the project: `--project`, else the nearest one upwards that holds `laguna.yml`.
fn project_dir(global: &Global) -> Result<PathBuf> {
    let start = match &global.project {
        Some(dir) if dir.is_dir() => {
            return if dir.join("laguna.yml").exists() || dir.join("laguna.yaml").exists() {
                Ok(dir.clone())
            } else {
                Err(Error::project(format!("{} holds no laguna.yml", dir.display()))
                    .hint("name the folder of a project, or make one with: laguna init DIR"))
            };
        }
        Some(file) if file.is_file() => {
            return Err(Error::project(format!("{} is a file", file.display()))
                .hint("name the folder that holds laguna.yml: --project DIR"));
        }
        Some(dir) => {
            return Err(Error::project(format!("there is no folder {}", dir.display())).hint("see --project"));
        }
        None => std::env::current_dir()
            .map_err(|error| Error::storage("the working folder cannot be read").caused_by(error))?,
    };
    Project::find(&start)
}

fn load_options(global: &Global) -> Result<LoadOptions> {
    let mut vars = BTreeMap::new();
    for pair in &global.vars {
        let (name, value) = pair.split_once('=').ok_or_else(|| {
            Error::project(format!("`--var {pair}` has no value")).hint("write it as --var first_year=2014")
        })?;
        let value = laguna_base::settings::yaml::parse("--var", value)
            .unwrap_or_else(|_| serde_json::Value::String(value.to_string()));
        vars.insert(name.trim().to_string(), value);
    }
    Ok(LoadOptions { vars, env: Arc::new(|name| std::env::var(name).ok()) })
}

/// Loads the project, saying what it warns of.
fn load(global: &Global, printer: &Printer) -> Result<Project> {
    let project = Project::load(&project_dir(global)?, &load_options(global)?)?;
    check_sources(&project)?;
    for warning in &project.warnings {
        printer.warning(&warning.to_string());
    }
    Ok(project)
}

/// What the sources' settings say must have a meaning: the words for types, and how CSV is written.
fn check_sources(project: &Project) -> Result<()> {
    let mut errors = Vec::new();
    for dataset in project.datasets.values() {
        let at = |error: Error, key: &str| {
            let (line, column) = project.place_of_key(&dataset.file, key);
            error.at(&dataset.file, line, column)
        };
        for (column, word) in &dataset.settings.columns {
            if let Err(error) = laguna_ingest::parse_type(word) {
                errors.push(at(error, column));
            }
        }
        if let Err(error) = laguna_ingest::check_csv(&dataset.settings.source) {
            let keys = ["delimiter", "quote", "encoding"];
            let text = format!("{} {}", error.message(), error.hint_text().unwrap_or_default());
            let key = keys.into_iter().find(|key| text.contains(key)).unwrap_or("csv");
            errors.push(at(error, key));
        }
    }
    Error::many(errors).map_or(Ok(()), Err)
}

/// What the settings say of the lake, and an engine over it. Models are not read: what was released can be looked at
/// and rolled back while the project is broken.
async fn open_lake(global: &Global) -> Result<(Place, Engine)> {
    let place = Project::place(&project_dir(global)?, &load_options(global)?)?;
    let lake = Lake::open(&place.lake, &place.storage, Arc::new(SystemClock)).await?;
    let engine =
        Engine::new(lake, EngineOptions { memory: None, parallel: None })?.with_timezone(place.timezone);
    Ok((place, engine))
}

/// A path as people write it.
fn shown(path: &Path) -> String {
    path.display().to_string()
}
