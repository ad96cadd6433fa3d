//! The generated pages of `docs/reference` are those that the code generates. `LAGUNA_UPDATE=1` writes them.

use std::collections::BTreeSet;

use crate::kit::repository;

#[test]
fn the_committed_pages_are_the_generated_ones() {
    let folder = repository().join("docs/reference");
    let pages = laguna::reference::pages();
    let update = std::env::var_os("LAGUNA_UPDATE").is_some();
    if update {
        std::fs::create_dir_all(&folder).unwrap();
        for (path, text) in &pages {
            std::fs::write(folder.join(path), text).unwrap();
        }
    }
    for (path, text) in &pages {
        let committed = std::fs::read_to_string(folder.join(path)).unwrap_or_default();
        assert!(
            committed == *text,
            "docs/reference/{path} is not what the code says: run again with LAGUNA_UPDATE=1"
        );
    }
    let expected: BTreeSet<String> = pages.into_keys().collect();
    let found: BTreeSet<String> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .filter(|name| name != "README.md")
        .collect();
    assert_eq!(found, expected, "files of docs/reference that nothing generates, or the other way round");
}
