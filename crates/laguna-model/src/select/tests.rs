//! Selectors against one small project.

use std::collections::BTreeMap;
use std::path::Path;

use super::*;
use crate::LoadOptions;

fn project() -> Project {
    let files = [
        ("laguna.yml", "name: t"),
        ("raw/flights.yml", "source: {files: a.csv}\ntags: [daily]"),
        ("raw/planes.yml", "source: {files: b.csv}"),
        ("sanitized/flights.sql", "SELECT * FROM raw.flights"),
        ("sanitized/planes.sql", "SELECT * FROM raw.planes"),
        ("enhanced/carrier_daily.sql", "SELECT * FROM sanitized.flights"),
        ("enhanced/carrier_daily.yml", "tags: [daily, carriers]"),
        ("enhanced/fleet.sql", "SELECT * FROM sanitized.flights, sanitized.planes"),
    ];
    let files: BTreeMap<String, Vec<u8>> =
        files.iter().map(|(file, text)| (file.to_string(), text.as_bytes().to_vec())).collect();
    Project::load_files(Path::new("/t"), files, &LoadOptions::default()).unwrap()
}

struct OnlyFleetIsNew;
impl StateLookup for OnlyFleetIsNew {
    fn state(&self, model: &Model) -> ModelState {
        if model.name.table == "fleet" { ModelState::New } else { ModelState::Same }
    }
}

fn chosen(selectors: &[&str], exclude: &[&str]) -> Vec<String> {
    let own = |words: &[&str]| words.iter().map(ToString::to_string).collect::<Vec<_>>();
    select(&project(), &own(selectors), &own(exclude), &OnlyFleetIsNew)
        .unwrap()
        .iter()
        .map(ToString::to_string)
        .collect()
}

#[test]
fn words_of_dbt_mean_what_they_mean_there() {
    let cases: [(&[&str], &[&str]); 20] = [
        (&["fleet"], &["enhanced.fleet"]),
        (&["flights"], &["raw.flights", "sanitized.flights"]),
        (&["sanitized.flights"], &["sanitized.flights"]),
        (&["enhanced"], &["enhanced.carrier_daily", "enhanced.fleet"]),
        (&["enhanced.*"], &["enhanced.carrier_daily", "enhanced.fleet"]),
        (&["carrier_*"], &["enhanced.carrier_daily"]),
        (&["tag:daily"], &["raw.flights", "enhanced.carrier_daily"]),
        (&["+sanitized.planes"], &["raw.planes", "sanitized.planes"]),
        (&["sanitized.planes+"], &["sanitized.planes", "enhanced.fleet"]),
        (&["1+fleet"], &["sanitized.flights", "sanitized.planes", "enhanced.fleet"]),
        (&["raw.planes+1"], &["raw.planes", "sanitized.planes"]),
        (&["+sanitized.planes+"], &["raw.planes", "sanitized.planes", "enhanced.fleet"]),
        (
            &["@sanitized.planes"],
            &["raw.flights", "raw.planes", "sanitized.flights", "sanitized.planes", "enhanced.fleet"],
        ),
        (&["path:enhanced/"], &["enhanced.carrier_daily", "enhanced.fleet"]),
        (&["enhanced/carrier_daily.sql"], &["enhanced.carrier_daily"]),
        (&["source:raw.planes+"], &["raw.planes", "sanitized.planes", "enhanced.fleet"]),
        (&["source:planes"], &["raw.planes"]),
        (&["state:modified"], &["enhanced.fleet"]),
        (&["tag:daily,enhanced"], &["enhanced.carrier_daily"]),
        (
            &["fleet carrier_daily", "latest.planes"],
            &["raw.planes", "enhanced.carrier_daily", "enhanced.fleet"],
        ),
    ];
    for (selectors, expected) in cases {
        assert_eq!(chosen(selectors, &[]), expected, "{selectors:?}");
    }
    assert_eq!(chosen(&[], &[]).len(), 6);
    assert_eq!(chosen(&[], &["raw", "+carrier_daily"]), ["sanitized.planes", "enhanced.fleet"]);
    assert_eq!(chosen(&["tag:daily,fleet"], &[]), [] as [&str; 0]);
}

#[test]
fn what_matches_nothing_shows_the_nearest() {
    let project = project();
    for (selector, message, hint) in [
        ("fleat", "matches nothing", "did you mean `fleet`?"),
        ("enhanced.fleat", "matches nothing", "did you mean `enhanced.fleet`?"),
        ("tag:dayly", "matches nothing", "did you mean `daily`?"),
        ("tags:daily", "is not a way to select", "did you mean `tag`?"),
        ("state:modifed", "is not a state", "did you mean `modified`?"),
        ("+", "names nothing", "write a name"),
        ("tag:", "names nothing", "write a name"),
    ] {
        let error = select(&project, &[selector.to_string()], &[], &()).unwrap_err();
        assert!(error.message().contains(message), "{selector}: {error}");
        assert!(error.hint_text().unwrap_or_default().contains(hint), "{selector}: {error:?}");
    }
}

#[test]
fn globs_match_whole_texts() {
    for (pattern, text, expected) in [
        ("*", "", true),
        ("a*c", "abbc", true),
        ("a*c", "abcd", false),
        ("a?c", "abc", true),
        ("*_daily", "carrier_daily", true),
        ("abc", "ab", false),
    ] {
        assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
    }
}
