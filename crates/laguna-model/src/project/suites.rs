//! Suites of Great Expectations that a table's checks name: `- suite: checks/carrier_delays.json`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use laguna_base::settings::TableSettings;
use laguna_base::{Clock, Error, Result, SystemClock, suggest};
use laguna_check::CheckSpec;
use laguna_check::great_expectations::read_suite;
use serde_json::Value;

/// Where suites are read from, and those that were.
pub(super) struct Suites {
    /// The project's folder; `None` when its files were given.
    dir: Option<PathBuf>,
    files: BTreeMap<String, Vec<u8>>,
    read: Mutex<BTreeMap<String, Vec<u8>>>,
}

impl Suites {
    /// Those of the project in `dir`.
    pub(super) fn in_folder(dir: &Path) -> Suites {
        Suites { dir: Some(dir.to_path_buf()), files: BTreeMap::new(), read: Mutex::default() }
    }

    /// Those among the files of a project that is not on disk.
    pub(super) fn among(files: &BTreeMap<String, Vec<u8>>) -> Suites {
        let json = files.iter().filter(|(path, _)| path.ends_with(".json"));
        let files = json.map(|(path, bytes)| (path.clone(), bytes.clone())).collect();
        Suites { dir: None, files, read: Mutex::default() }
    }

    /// The files that were read: they are part of the project's code.
    pub(super) fn into_read(self) -> BTreeMap<String, Vec<u8>> {
        self.read.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    fn text(&self, path: &str) -> Result<String> {
        let clean = path.trim_start_matches("./");
        if Path::new(clean).is_absolute()
            || clean.split('/').any(|part| part == "..")
            || !clean.ends_with(".json")
        {
            return Err(Error::project(format!("`{path}` is no suite of this project"))
                .hint("a suite is a JSON file in the project's folder, such as checks/orders.json"));
        }
        let bytes = match &self.dir {
            Some(dir) => std::fs::read(dir.join(clean)).ok(),
            None => self.files.get(clean).cloned(),
        };
        let bytes = bytes.ok_or_else(|| {
            Error::project(format!("there is no suite `{path}`"))
                .hint("the path starts at the project's folder: suite: checks/orders.json")
        })?;
        let text = String::from_utf8(bytes.clone())
            .map_err(|error| Error::project(format!("the suite `{path}` is not UTF-8")).caused_by(error))?;
        self.read.lock().unwrap_or_else(PoisonError::into_inner).insert(clean.to_string(), bytes);
        Ok(text)
    }
}

/// `settings` without the entries that name suites, and the checks of these suites.
pub(super) fn take(
    settings: &TableSettings,
    file: &str,
    suites: &Suites,
    errors: &mut Vec<Error>,
) -> (TableSettings, Vec<CheckSpec>) {
    let mut plain = settings.clone();
    let mut checks = Vec::new();
    plain.checks.retain(|placed| {
        let Value::Object(entry) = &placed.value.0 else { return true };
        let Some(path) = entry.get("suite") else { return true };
        let at = |error: Error| error.at(file, placed.line, placed.column);
        if let Some(unknown) = entry.keys().find(|key| !["suite", "parameters"].contains(&key.as_str())) {
            let hint = suggest::hint(unknown, ["suite", "parameters"].iter());
            errors.push(at(Error::project(format!("`{unknown}` cannot stand beside `suite`")).hint(hint)));
            return false;
        }
        match one(path, entry.get("parameters"), suites) {
            Ok(found) => checks.extend(found),
            Err(error) => errors.push(at(error)),
        }
        false
    });
    for (name, column) in &mut plain.columns {
        column.checks.retain(|placed| {
            let is_suite = placed.value.0.get("suite").is_some();
            if is_suite {
                let error =
                    Error::project(format!("a suite is about a table, not about the column `{name}`"));
                errors.push(
                    error.at(file, placed.line, placed.column).hint("put it under `checks:` of the table"),
                );
            }
            !is_suite
        });
    }
    (plain, checks)
}

fn one(path: &Value, parameters: Option<&Value>, suites: &Suites) -> Result<Vec<CheckSpec>> {
    let Value::String(path) = path else {
        return Err(Error::project("`suite` must be the path of a file").hint("suite: checks/orders.json"));
    };
    let parameters: BTreeMap<String, Value> = match parameters {
        None | Some(Value::Null) => BTreeMap::new(),
        Some(Value::Object(map)) => map.iter().map(|(name, value)| (name.clone(), value.clone())).collect(),
        Some(_) => return Err(Error::project("`parameters` must be a map of names to values")),
    };
    // A suite that speaks of now is another one each time.
    Ok(read_suite(&suites.text(path)?, path, &parameters, SystemClock.now())?.checks)
}
