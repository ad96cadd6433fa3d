//! The room from outside: the example project as users have it.

mod states;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use laguna_base::Result;
use laguna_model::{LoadOptions, Project, select};

fn example() -> Project {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/flights");
    Project::load(&dir, &LoadOptions::default()).unwrap()
}

#[test]
fn the_example_project_loads_without_a_word() {
    let project = example();
    assert!(project.warnings.is_empty(), "{:?}", project.warnings);
    assert_eq!((project.datasets.len(), project.models.len()), (5, 10));
    assert_eq!(project.timezone.name(), "America/New_York");
    assert!(project.lake.ends_with("examples/flights/lake") && !project.lake.contains(".."));
    let weather = &project.models[&"sanitized.weather".parse().unwrap()];
    assert!(
        weather.sql.contains("wind_speed <= 150") && weather.sql.contains("round((temp - 32) * 5 / 9, 1)")
    );
    assert!(project.models.values().all(|model| !model.checks.is_empty()));
    let flights = &project.models[&"sanitized.flights".parse().unwrap()];
    assert!(flights.check_inputs.contains(&"sanitized.airlines".parse().unwrap()));
}

#[test]
fn the_example_is_built_from_the_sources_up() {
    let project = example();
    let delays = select(&project, &["+flight_delays".to_string()], &[], &()).unwrap();
    let words: Vec<String> = delays.iter().map(ToString::to_string).collect();
    assert!(
        words.contains(&"raw.weather".to_string()) && words.contains(&"enhanced.flight_delays".to_string())
    );
    assert!(!words.contains(&"enhanced.route_daily".to_string()));
    for name in project.graph.order() {
        for input in project.graph.waits_for(name) {
            let at = |wanted| project.graph.order().iter().position(|node| node == wanted);
            assert!(at(input) < at(name), "{input} before {name}");
        }
    }
    let code: Vec<&String> = project.code.files().keys().collect();
    assert!(code.iter().all(|file| !file.starts_with("data/")), "{code:?}");
}

/// A project with one dataset, one model and `roles`.
fn with_roles(roles: &str) -> Result<Project> {
    let files = [
        ("laguna.yml", format!("vars: {{land: NL}}\nroles:\n  clerk: {roles}")),
        ("raw/flights.yml", "source: {files: a.csv}".to_string()),
        ("sanitized/planes.sql", "SELECT 1 AS tail".to_string()),
    ];
    let files: BTreeMap<String, Vec<u8>> =
        files.into_iter().map(|(file, text)| (file.to_string(), text.into_bytes())).collect();
    Project::load_files(Path::new("/project"), files, &LoadOptions::default())
}

#[test]
fn roles_say_who_may_read_what() {
    let project = with_roles(
        "{read: [sanitized, raw.flights], mask: {sanitized.planes: tail}, \
         rows: {raw.flights: \"land = '{{ var('land') }}'\"}, timeout: 60s, max_rows: 10, concurrency: 2}",
    )
    .unwrap();
    assert!(project.warnings.is_empty(), "{:?}", project.warnings);
    let role = &project.roles["clerk"];
    assert_eq!(
        (role.timeout, role.max_rows, role.concurrency),
        (Some(Duration::from_secs(60)), Some(10), Some(2))
    );
    assert_eq!(role.settings.rows["raw.flights"], "land = 'NL'");
    let may = |table: &str| role.access.may_read(&table.parse().unwrap());
    assert!(may("raw.flights") && may("sanitized.planes") && !may("raw.x") && !may("enhanced.x"));
    assert!(role.access.is_restricted(&"sanitized.planes".parse().unwrap()));
    assert!(with_roles("{read: sanitized}").unwrap().roles["clerk"].timeout.is_none());
}

#[test]
fn roles_that_cannot_be_meant_are_errors() {
    for (roles, expected) in [
        ("{raed: [raw]}", "unknown key `raed`; did you mean `read`?"),
        ("{read: [enhancd]}", "laguna.yml:3:3: `enhancd` is not a tier; did you mean `enhanced`?"),
        ("{mask: {sanitised.planes: [a]}}", "`sanitised` is not a tier; did you mean `sanitized`?"),
        (
            "{mask: {sanitized.plane: [a]}}",
            "names `sanitized.plane`, which no file makes; did you mean `sanitized.planes`?",
        ),
        ("{read: [raw.flihgts]}", "names `raw.flihgts`, which no file makes; did you mean `raw.flights`?"),
        ("{mask: {sanitized.planes: []}}", "the mask of `sanitized.planes` names no column"),
        ("{rows: {raw.flights: \"a IN (SELECT 1)\"}}", "a subquery or a window cannot stand in it"),
        ("{timeout: soon}", "`soon` is not a duration"),
        ("{concurrency: 0}", "`concurrency` must be at least 1"),
    ] {
        let error = with_roles(roles).unwrap_err();
        let said = format!("{error}; {}", error.hint_text().unwrap_or_default());
        assert!(said.contains(expected), "{roles}: {said}");
    }
    // A lake keeps tables whose files are gone; their rules stay.
    let project = with_roles("{read: [sanitized], mask: {sanitized.customers: [email]}}").unwrap();
    assert!(project.warnings[0].message().contains("no file makes"), "{:?}", project.warnings);
}
