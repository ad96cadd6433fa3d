//! The room from outside: the example project as users have it.

mod states;

use std::path::Path;

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
