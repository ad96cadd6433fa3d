//! Rules of the house: the graph of the crates, a first line that says what a file is for, one version of the engine.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::kit::repository;

/// The rooms; each may depend on those before it.
const ROOMS: [&str; 10] = [
    "laguna-base",
    "laguna-ingest",
    "laguna-store",
    "laguna-sql",
    "laguna-query",
    "laguna-check",
    "laguna-model",
    "laguna-serve",
    "laguna-run",
    "laguna",
];

/// The first quoted text of a line, as in `name = "laguna"`.
fn quoted(line: &str) -> &str {
    line.split('"').nth(1).unwrap_or_default()
}

#[test]
fn crates_depend_upwards_only() {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(repository().join("crates")).unwrap() {
        let folder = entry.unwrap().path();
        let manifest = std::fs::read_to_string(folder.join("Cargo.toml")).unwrap();
        let name = manifest.lines().find(|line| line.starts_with("name = ")).map(quoted).unwrap().to_string();
        assert_eq!(name, folder.file_name().unwrap().to_string_lossy(), "a folder is called as its crate");
        let place = ROOMS.iter().position(|room| *room == name);
        let place = place.unwrap_or_else(|| panic!("{name} has no place in the list of rooms"));
        let mut dependencies = false;
        for line in manifest.lines() {
            if line.starts_with('[') {
                dependencies = matches!(line, "[dependencies]" | "[build-dependencies]");
                assert!(!line.starts_with("[dependencies."), "{name}: write dependencies as one line each");
                continue;
            }
            let word = line.split(['.', ' ', '=']).next().unwrap_or_default();
            if dependencies && word.starts_with("laguna") {
                let other = ROOMS.iter().position(|room| *room == word);
                assert!(other.is_some_and(|other| other < place), "{name} must not depend on {word}");
            }
        }
        found.push(name);
    }
    found.sort();
    let mut rooms = ROOMS.to_vec();
    rooms.sort_unstable();
    assert_eq!(found, rooms);
}

fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn every_file_says_what_it_is_for() {
    let mut files = Vec::new();
    rust_files(&repository().join("crates"), &mut files);
    assert!(files.len() > 100);
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(text.starts_with("//! "), "{} starts without `//!`", file.display());
    }
}

#[test]
fn one_version_of_the_engine() {
    let lock = std::fs::read_to_string(repository().join("Cargo.lock")).unwrap();
    let mut versions: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let mut lines = lock.lines();
    while let Some(line) = lines.next() {
        if line.starts_with("name = ") {
            versions.entry(quoted(line)).or_default().push(lines.next().map(quoted).unwrap_or_default());
        }
    }
    for name in ["arrow", "datafusion", "object_store", "parquet"] {
        assert_eq!(versions.get(name).map(Vec::len), Some(1), "{name}: {:?}", versions.get(name));
    }
}
