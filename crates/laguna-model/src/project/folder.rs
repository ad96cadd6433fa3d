//! Reading a project's files from disk: its own folders first, then whatever else belongs to its code.

use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use laguna_base::{Error, Result};

use super::{PROJECT_FILE, Project};

/// Folders that are read whole.
const FOLDERS: [&str; 4] = ["raw", "sanitized", "enhanced", "macros"];

/// What belongs to the code elsewhere in the project, by extension.
const CODE_EXTENSIONS: [&str; 9] = ["sql", "yml", "yaml", "json", "md", "txt", "toml", "py", "j2"];

/// Folders that tools fill; they are no part of anybody's code.
const TOOL_FOLDERS: [&str; 6] =
    ["_delta_log", "node_modules", "target", "venv", "__pycache__", "site-packages"];

/// Files outside the project's own folders are code only up to this size, in bytes.
const LARGEST: u64 = 1 << 20;

/// A model or settings file above this size, in bytes, is a mistake.
const LARGEST_MODEL: u64 = 32 << 20;

/// How deep folders are followed.
const DEPTH: usize = 16;

pub(super) fn find(start: &Path) -> Result<PathBuf> {
    let start = absolute(start)?;
    for dir in start.ancestors() {
        if dir.join(PROJECT_FILE).is_file() {
            return Ok(dir.to_path_buf());
        }
    }
    Err(no_project(&start))
}

fn no_project(dir: &Path) -> Error {
    if dir.join("laguna.yaml").is_file() {
        return Error::project(format!("the project file must be called {PROJECT_FILE}"))
            .at(dir.join("laguna.yaml").display().to_string(), 0, 0)
            .hint("rename laguna.yaml to laguna.yml");
    }
    Error::project(format!("there is no {PROJECT_FILE} in {} or above it", dir.display()))
        .hint("make a project with `laguna init DIR`, or name its folder with --project DIR")
}

/// `path` from the root, without `.` and `..`; symbolic links stay.
pub(super) fn absolute(path: &Path) -> Result<PathBuf> {
    let path = std::path::absolute(path)
        .map_err(|error| Error::storage("the current folder cannot be read").caused_by(error))?;
    Ok(without_dots(&path))
}

/// `path` without `.` and `..`, by its text alone.
pub(super) fn without_dots(path: &Path) -> PathBuf {
    let mut clean = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => drop(clean.pop()),
            other => clean.push(other),
        }
    }
    clean
}

/// `laguna.yml` alone.
pub(super) fn read_settings(dir: &Path) -> Result<BTreeMap<String, Vec<u8>>> {
    if !dir.join(PROJECT_FILE).is_file() {
        return Err(no_project(dir));
    }
    read(dir, &[PROJECT_FILE.to_string()])
}

/// `laguna.yml` and every file of the project's own folders, by relative path.
pub(super) fn read_project(dir: &Path) -> Result<BTreeMap<String, Vec<u8>>> {
    if !dir.is_dir() {
        return Err(Error::project(format!("the folder {} does not exist", dir.display()))
            .hint("make a project with `laguna init DIR`"));
    }
    if !dir.join(PROJECT_FILE).is_file() {
        return Err(no_project(dir));
    }
    let mut paths = vec![PROJECT_FILE.to_string()];
    for folder in FOLDERS {
        let keep = |path: &str, size: u64| is_code(path) && size <= LARGEST_MODEL;
        walk(dir, folder, DEPTH, &|_| true, &keep, &mut paths)?;
    }
    read(dir, &paths)
}

/// A number that changes when a file of the project's own folders, or one of `others`, comes, goes or is written.
pub(super) fn stamp<'a>(dir: &Path, others: impl Iterator<Item = &'a String>) -> u64 {
    let mut paths = vec![PROJECT_FILE.to_string()];
    for folder in FOLDERS {
        // A folder that cannot be read counts as an empty one: loading will say what is wrong.
        let _ = walk(dir, folder, DEPTH, &|_| true, &|path, _| is_code(path), &mut paths);
    }
    paths.extend(others.cloned());
    paths.sort();
    paths.dedup();
    let mut hasher = std::hash::DefaultHasher::new();
    for path in paths {
        let about = std::fs::metadata(dir.join(&path)).ok();
        let about = about.map(|about| (about.len(), about.modified().ok()));
        (path, about).hash(&mut hasher);
    }
    hasher.finish()
}

/// `files` and the other files of the project's code: small texts outside the lake, the data and hidden folders.
pub(super) fn read_rest(
    project: &Project,
    mut files: BTreeMap<String, Vec<u8>>,
) -> Result<BTreeMap<String, Vec<u8>>> {
    let dir = &project.dir;
    let lake = project.lake.strip_prefix("file://").unwrap_or(&project.lake);
    let lake = Path::new(lake).strip_prefix(dir).ok().map(slashed);
    let data: Vec<String> = project
        .datasets
        .values()
        .flat_map(|dataset| dataset.settings.source.files.iter())
        .map(|pattern| pattern.trim_start_matches("./").to_string())
        .collect();
    let data_folders: Vec<&str> = data.iter().filter_map(|pattern| fixed_folder(pattern)).collect();
    let enter = |path: &str| {
        !FOLDERS.contains(&path)
            && lake.as_deref() != Some(path)
            && !data_folders.contains(&path)
            && !path.rsplit('/').next().is_some_and(|name| TOOL_FOLDERS.contains(&name))
            // Another project, or a lake that the settings named before.
            && !dir.join(path).join(PROJECT_FILE).is_file()
            && !dir.join(path).join("_laguna").is_dir()
    };
    let keep = |path: &str, size: u64| {
        is_code(path)
            && size <= LARGEST
            && path != PROJECT_FILE
            && !data.iter().any(|pattern| is_data(pattern, path))
    };
    let mut paths = Vec::new();
    walk(dir, "", DEPTH, &enter, &keep, &mut paths)?;
    files.append(&mut read(dir, &paths)?);
    Ok(files)
}

/// The folder of a glob before its first wildcard: `data/flights/*.csv` is in `data/flights`.
fn fixed_folder(pattern: &str) -> Option<&str> {
    let fixed = &pattern[..pattern.find(['*', '?', '[', '{']).unwrap_or(pattern.len())];
    fixed.rsplit_once('/').map(|(folder, _)| folder)
}

/// Whether the source pattern `pattern` takes in the file `path`; `**` crosses folders.
fn is_data(pattern: &str, path: &str) -> bool {
    let depth = |text: &str| text.matches('/').count();
    (pattern.contains("**") || depth(pattern) == depth(path)) && crate::select::matches(pattern, path)
}

fn is_code(path: &str) -> bool {
    path.rsplit_once('.').is_some_and(|(_, extension)| {
        CODE_EXTENSIONS.iter().any(|known| known.eq_ignore_ascii_case(extension))
    })
}

fn slashed(path: &Path) -> String {
    path.components().map(|part| part.as_os_str().to_string_lossy()).collect::<Vec<_>>().join("/")
}

/// Collects the files below `folder` that `keep` (path, bytes) wants; hidden ones and links to folders are passed by.
fn walk(
    dir: &Path,
    folder: &str,
    depth: usize,
    enter: &dyn Fn(&str) -> bool,
    keep: &dyn Fn(&str, u64) -> bool,
    paths: &mut Vec<String>,
) -> Result<()> {
    let at = dir.join(folder);
    let entries = match std::fs::read_dir(&at) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::NotADirectory => return Ok(()),
        // A folder that is none of ours may be closed to us; one of ours may not.
        Err(_) if !FOLDERS.iter().any(|own| folder.starts_with(own)) && !folder.is_empty() => return Ok(()),
        Err(error) => return Err(unreadable(folder, error)),
    };
    for entry in entries {
        let entry = entry.map_err(|error| unreadable(folder, error))?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        if name.starts_with('.') {
            continue;
        }
        let path = if folder.is_empty() { name } else { format!("{folder}/{name}") };
        let Ok(kind) = entry.file_type() else { continue };
        if kind.is_dir() {
            if depth > 0 && enter(&path) {
                walk(dir, &path, depth - 1, enter, keep, paths)?;
            }
        } else if is_code(&path)
            && let Ok(metadata) = std::fs::metadata(entry.path())
            && metadata.is_file()
            && keep(&path, metadata.len())
        {
            paths.push(path);
        }
    }
    Ok(())
}

fn unreadable(path: &str, error: std::io::Error) -> Error {
    Error::project("this cannot be read").at(path, 0, 0).caused_by(error)
}

fn read(dir: &Path, paths: &[String]) -> Result<BTreeMap<String, Vec<u8>>> {
    let read = in_parallel(paths, |path| match std::fs::read(dir.join(path)) {
        Ok(bytes) => Ok((path.clone(), bytes)),
        Err(error) => Err(unreadable(path, error)),
    });
    let mut files = BTreeMap::new();
    let mut errors = Vec::new();
    for result in read {
        match result {
            Ok((path, bytes)) => drop(files.insert(path, bytes)),
            Err(error) => errors.push(error),
        }
    }
    Error::many(errors).map_or(Ok(files), Err)
}

/// `work` on every item, by as many threads as there are cores; the results stand in the order of the items.
pub(super) fn in_parallel<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = cores.min(8).min(items.len() / 16);
    if threads < 2 {
        return items.iter().map(work).collect();
    }
    let next = AtomicUsize::new(0);
    let mut results: Vec<(usize, R)> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|_| {
                scope.spawn(|| {
                    let mut mine = Vec::new();
                    loop {
                        let index = next.fetch_add(1, Ordering::Relaxed);
                        let Some(item) = items.get(index) else { return mine };
                        mine.push((index, work(item)));
                    }
                })
            })
            .collect();
        workers
            .into_iter()
            .flat_map(|worker| worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    });
    results.sort_unstable_by_key(|(index, _)| *index);
    results.into_iter().map(|(_, result)| result).collect()
}
