//! Plans over one small project whose lake is three maps.

use std::path::Path;

use super::*;
use crate::LoadOptions;

#[derive(Default, Clone)]
struct Lake {
    arrivals: BTreeMap<TableName, String>,
    released: BTreeMap<TableName, Released>,
    contents: BTreeMap<TableName, String>,
    held: BTreeSet<String>,
}

impl Facts for Lake {
    fn arrivals(&self, dataset: &TableName) -> Option<String> {
        self.arrivals.get(dataset).cloned()
    }
    fn released(&self, model: &TableName) -> Option<Released> {
        self.released.get(model).cloned()
    }
    fn content(&self, table: &TableName) -> Option<String> {
        self.contents.get(table).cloned()
    }
    fn is_held(&self, fingerprint: &str) -> bool {
        self.held.contains(fingerprint)
    }
}

fn project(clean: &str, settings: &str) -> Project {
    let files = [
        ("laguna.yml", ""),
        ("raw/a.yml", "source: {files: a.csv}"),
        ("sanitized/a.sql", clean),
        ("enhanced/b.sql", "SELECT * FROM sanitized.a"),
        ("enhanced/b.yml", settings),
        ("enhanced/v.sql", "SELECT * FROM sanitized.a"),
        ("enhanced/v.yml", "materialize: view"),
    ];
    let files = files.iter().map(|(file, text)| (file.to_string(), text.as_bytes().to_vec())).collect();
    Project::load_files(Path::new("/t"), files, &LoadOptions::default()).unwrap()
}

fn lines(project: &Project, lake: &Lake, full: bool) -> Vec<String> {
    let all = project.graph.order().iter().cloned().collect();
    plan(project, &all, lake, full)
        .iter()
        .map(|node| format!("{} {}: {}", node.action.as_str(), node.name, node.reason))
        .collect()
}

const CLEAN: &str = "SELECT * FROM raw.a";

/// A lake in which everything of `project` is built and released.
fn built(project: &Project) -> Lake {
    let mut lake = Lake::default();
    for name in project.graph.order() {
        lake.contents.insert(name.clone(), "v1".to_string());
    }
    for (name, model) in &project.models {
        let inputs = contents_of(model, |table| lake.content(table));
        let fingerprint = Fingerprint::of(model, &inputs).to_string();
        lake.released.insert(name.clone(), Released { fingerprint, inputs });
    }
    lake
}

#[test]
fn a_first_run_builds_and_a_second_does_nothing() {
    let project = project(CLEAN, "");
    let empty = Lake {
        arrivals: BTreeMap::from([("raw.a".parse().unwrap(), "1 new file".to_string())]),
        ..Lake::default()
    };
    assert_eq!(
        lines(&project, &empty, false),
        [
            "land raw.a: 1 new file",
            "build sanitized.a: first build",
            "build enhanced.b: first build",
            "view enhanced.v: first build"
        ]
    );
    let lake = built(&project);
    let nothing: Vec<String> = lines(&project, &lake, false);
    assert_eq!(nothing[0], "skip raw.a: nothing new at the source");
    assert!(
        nothing[1..].iter().all(|line| line.starts_with("skip") && line.ends_with(": nothing changed")),
        "{nothing:?}"
    );
    assert!(lines(&project, &lake, true)[1..].iter().all(|line| line.ends_with(": --full")));
}

#[test]
fn each_change_is_named_and_followed_downstream() {
    let before = project(CLEAN, "");
    let lake = built(&before);
    let changed = lines(&project("SELECT 1 FROM raw.a", "sort: [x]"), &lake, false);
    assert_eq!(
        changed[1..],
        [
            "build sanitized.a: its SQL changed",
            "build enhanced.b: its settings changed",
            "skip enhanced.v: nothing changed"
        ]
    );
    let mut arriving = lake.clone();
    arriving.arrivals.insert("raw.a".parse().unwrap(), "2 new files".to_string());
    assert_eq!(
        lines(&before, &arriving, false),
        [
            "land raw.a: 2 new files",
            "build sanitized.a: new rows in raw.a",
            "build enhanced.b: upstream sanitized.a is rebuilt",
            "skip enhanced.v: nothing changed"
        ]
    );
    let mut elsewhere = lake.clone();
    elsewhere.contents.insert("sanitized.a".parse().unwrap(), "v2".to_string());
    assert_eq!(lines(&before, &elsewhere, false)[2], "build enhanced.b: sanitized.a changed");
}

#[test]
fn what_a_rollback_holds_is_not_built_again_until_it_changes() {
    let before = project(CLEAN, "");
    let mut lake = built(&before);
    let name: TableName = "enhanced.b".parse().unwrap();
    let bad = project(CLEAN, "sort: [x]");
    let model = &bad.models[&name];
    lake.held.insert(Fingerprint::of(model, &contents_of(model, |table| lake.content(table))).to_string());
    assert!(lines(&bad, &lake, false)[2].starts_with("held enhanced.b: a rollback"));
    assert!(lines(&project(CLEAN, "sort: [y]"), &lake, false)[2].starts_with("build enhanced.b"));
    // What is released is never held, whatever a rollback says.
    let released = lake.released[&name].fingerprint.clone();
    lake.held.insert(released);
    assert!(lines(&before, &lake, false)[2].starts_with("skip enhanced.b"));
}
