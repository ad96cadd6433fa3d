//! `laguna.yml` resolved: defaults filled in, templates rendered, words checked.

use std::collections::BTreeMap;
use std::path::Path;

use chrono_tz::Tz;
use laguna_base::settings::project::{Maintenance, ReleaseRule, Retries};
use laguna_base::settings::{ProjectSettings, parse_bytes, parse_duration, yaml};
use laguna_base::{Error, Result, suggest};
use laguna_store::lake::SCHEMES;

use super::text::{decode, place_of_key};
use super::{LoadOptions, Maintain, PROJECT_FILE, Role, folder, roles};
use crate::render::Renderer;

/// What `laguna.yml` says.
pub(super) struct Resolved {
    pub(super) name: String,
    pub(super) lake: String,
    pub(super) storage: BTreeMap<String, String>,
    pub(super) timezone: Tz,
    pub(super) schedule: Option<String>,
    pub(super) parallel: usize,
    pub(super) retries: Retries,
    pub(super) release: ReleaseRule,
    pub(super) maintain: Maintain,
    pub(super) roles: BTreeMap<String, Role>,
    pub(super) vars: BTreeMap<String, serde_json::Value>,
}

/// Resolves `laguna.yml`. A file that cannot be read at all ends the loading, because too much hangs on it; wrong
/// values are pushed to `errors`.
pub(super) fn resolve(
    dir: &Path,
    files: &BTreeMap<String, Vec<u8>>,
    options: &LoadOptions,
    errors: &mut Vec<Error>,
    warnings: &mut Vec<Error>,
) -> Result<Resolved> {
    let bytes = files.get(PROJECT_FILE).ok_or_else(|| {
        Error::project(format!("there is no {PROJECT_FILE}")).hint("make a project with `laguna init DIR`")
    })?;
    let text = decode(PROJECT_FILE, bytes)?;
    let settings: ProjectSettings = yaml::parse(PROJECT_FILE, text)?;
    let wrong = |key: &str, error: Error| {
        let (line, column) = place_of_key(text, key);
        error.at(PROJECT_FILE, line, column)
    };
    for key in settings.unused() {
        let (line, column) = place_of_key(text, key);
        warnings.push(
            Error::project(format!("`{key}` has no effect in this version"))
                .at(PROJECT_FILE, line, column)
                .hint("it is kept for later; remove it if you rely on it now"),
        );
    }

    // Variables may name the environment but not each other.
    let none = Default::default();
    let first = Renderer::new(BTreeMap::new(), options.env.clone(), &none, Default::default())?;
    let mut vars = settings.vars.clone();
    for (name, value) in &mut vars {
        if let Err(error) = first.value(value) {
            errors.push(wrong(name, error));
        }
    }
    vars.extend(options.vars.clone());
    let renderer = Renderer::new(vars.clone(), options.env.clone(), &none, Default::default())?;

    let mut rendered = |key: &str, value: &str| match renderer.text(value) {
        Ok(value) => value,
        Err(error) => {
            errors.push(wrong(key, error));
            String::new()
        }
    };
    let name = settings.name.as_deref().map(|name| rendered("name", name));
    let lake = rendered("lake", settings.lake.as_deref().unwrap_or("./lake"));
    let unrendered = lake.is_empty() && settings.lake.as_ref().is_some_and(|lake| lake.contains("{{"));
    let storage: BTreeMap<String, String> =
        settings.storage.iter().map(|(key, value)| (key.clone(), rendered(key, value))).collect();
    let timezone = settings.timezone.as_deref().map(|zone| rendered("timezone", zone));
    let schedule = settings.schedule.as_deref().map(|schedule| rendered("schedule", schedule));

    // A template that failed is an error already.
    let lake = match unrendered {
        true => String::new(),
        false => root(dir, &lake, options).unwrap_or_else(|error| {
            errors.push(wrong("lake", error));
            String::new()
        }),
    };
    let timezone = match timezone.as_deref().filter(|zone| !zone.is_empty()).map(zone) {
        None => Tz::UTC,
        Some(Ok(zone)) => zone,
        Some(Err(error)) => {
            errors.push(wrong("timezone", error));
            Tz::UTC
        }
    };
    for (key, value) in
        [("backoff", &settings.retries.backoff), ("max_backoff", &settings.retries.max_backoff)]
    {
        if parse_duration(value).is_none() {
            let error =
                Error::project(format!("`{value}` is not a duration")).hint("write it as 10s, 5m or 1h");
            errors.push(wrong(key, error));
        }
    }
    if settings.retries.attempts == 0 {
        let error = Error::project("`attempts` must be at least 1").hint("1 is no second attempt");
        errors.push(wrong("attempts", error));
    }
    if settings.parallel == Some(0) {
        let error = Error::project("`parallel` must be at least 1").hint("leave it out to use every core");
        errors.push(wrong("parallel", error));
    }
    let maintain = maintain(settings.maintain).unwrap_or_else(|(key, error)| {
        errors.push(wrong(key, error));
        Maintain::default()
    });
    let mut roles = BTreeMap::new();
    for (name, role) in &settings.roles {
        match roles::resolve(name, role, |text| renderer.text(text)) {
            Ok(role) => drop(roles.insert(name.clone(), role)),
            Err(error) => errors.push(wrong(name, error)),
        }
    }
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    Ok(Resolved {
        name: name.filter(|name| !name.is_empty()).unwrap_or_else(|| {
            dir.file_name().map_or_else(|| "lake".to_string(), |name| name.to_string_lossy().into_owned())
        }),
        lake,
        storage,
        timezone,
        schedule: schedule.filter(|schedule| !schedule.is_empty()),
        parallel: settings.parallel.unwrap_or(cores).max(1),
        retries: settings.retries,
        release: settings.release,
        maintain,
        roles,
        vars,
    })
}

/// The settings of maintenance; else the key that is wrong, and why.
fn maintain(settings: Maintenance) -> std::result::Result<Maintain, (&'static str, Error)> {
    let span = |key: &'static str, text: &str, what: &str| match text.trim() {
        "all" => Ok(None),
        text => parse_duration(text).map(Some).ok_or_else(|| {
            let error = Error::project(format!("`{text}` is not a duration"));
            (key, error.hint(format!("write how long {what} are kept as 90d, or all")))
        }),
    };
    let keep = span("keep", &settings.keep, "releases")?;
    let queries = span("queries", &settings.queries, "answered statements")?;
    let size = parse_bytes(&settings.target_file_size).filter(|size| *size > 0).ok_or_else(|| {
        let error = Error::project(format!("`{}` is not a size", settings.target_file_size));
        ("target_file_size", error.hint("write it as 128MB"))
    })?;
    Ok(Maintain {
        keep,
        queries,
        keep_releases: settings.keep_releases.into_iter().collect(),
        target_file_size: size,
        after_runs: settings.after_runs,
    })
}

/// The lake's root: a URL as it is, a path from the project's folder made absolute.
fn root(dir: &Path, lake: &str, options: &LoadOptions) -> Result<String> {
    let lake = lake.trim();
    if lake.is_empty() {
        return Err(Error::project("`lake` is empty")
            .hint("name a folder, as ./lake, or a URL, as file:///data/lake"));
    }
    if let Some((scheme, _)) = lake.split_once("://").filter(|(scheme, _)| !SCHEMES.contains(scheme)) {
        return Err(Error::project(format!("lakes on {scheme}:// are not known")).hint(
            "write ./lake, file:///folder, s3://bucket/folder, gs://bucket/folder or az://container/folder",
        ));
    }
    if lake.contains("://") {
        let trimmed = lake.trim_end_matches('/');
        return Ok(if trimmed.ends_with(':') { lake.to_string() } else { trimmed.to_string() });
    }
    let path = match lake.strip_prefix("~/") {
        Some(rest) => {
            let home = (options.env)("HOME").ok_or_else(|| {
                Error::project("`~` in `lake` needs the environment variable HOME")
                    .hint("write the path in full")
            })?;
            Path::new(&home).join(rest)
        }
        None => dir.join(lake),
    };
    let path = folder::without_dots(&path);
    if let Ok(inside) = path.strip_prefix(dir) {
        let first = inside.components().next().map(|part| part.as_os_str().to_string_lossy().into_owned());
        let own = ["raw", "sanitized", "enhanced", "macros"];
        if first.as_deref().is_none_or(|first| own.contains(&first)) {
            return Err(Error::project("the lake would lie among the project's own files")
                .hint("give it a folder of its own, as ./lake"));
        }
    }
    Ok(path.to_string_lossy().into_owned())
}

/// The IANA time zone `text`.
pub(super) fn zone(text: &str) -> Result<Tz> {
    text.parse().map_err(|_| {
        let names: Vec<&str> = chrono_tz::TZ_VARIANTS.iter().map(|zone| zone.name()).collect();
        // Only the city is often known: `Amsterdam` is Europe/Amsterdam.
        let city = names.iter().find(|name| {
            name.rsplit('/').next().is_some_and(|city| city.eq_ignore_ascii_case(&text.replace(' ', "_")))
        });
        let hint = match city.copied().or_else(|| suggest::nearest(text, names.iter())) {
            Some(near) => format!("did you mean `{near}`?"),
            None => "write a name of the IANA database, as Europe/Amsterdam".to_string(),
        };
        Error::project(format!("`{text}` is not a time zone")).hint(hint)
    })
}
