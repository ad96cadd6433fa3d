//! `laguna maintain` on a project: equal answers before and after, at every step at which it may die.

use crate::kit::{Project, age, copy, rounds};

const RUNS: usize = 6;

/// A project after several runs: small files, rows set aside, an upsert table, an incremental and a whole model.
fn project() -> Project {
    let project = Project::empty();
    project.put("laguna.yml", b"name: small\nlake: ./lake\nmaintain: {keep: all}\n");
    project.put("raw/events.yml", b"source: {files: 'events/*.csv'}\nmode: upsert\nkey: id\n");
    project.put("sanitized/events.sql", b"SELECT id, day, amount FROM raw.events");
    project.put(
        "sanitized/events.yml",
        b"materialize: {incremental: {key: id, watermark: day, lookback: 1d}}\nsort: [amount]\n",
    );
    project.put("enhanced/days.sql", b"SELECT day, sum(amount) AS amount FROM sanitized.events GROUP BY day");
    for run in 0..RUNS {
        let rows: String = (0..20)
            .map(|row| format!("{},2026-01-{:02},{}\n", run * 20 + row, run * 3 + 1, row * 7))
            .collect();
        // The first file says what the types are; later ones may break them.
        let bad = if run > 0 { format!("{},2026-01-01,many\n", 1000 + run) } else { String::new() };
        let file = format!("id,day,amount\n{rows}{bad}");
        project.put(&format!("events/{run}.csv"), file.as_bytes());
        project.ok(&["run"]);
    }
    project
}

/// What readers see: now, and in each of the first releases.
fn content(project: &Project) -> Vec<String> {
    let now = [
        "SELECT id, day, amount, _source FROM raw.events ORDER BY id",
        "SELECT id, amount FROM latest.events ORDER BY id",
        "SELECT _rule, _source FROM quarantine.raw_events ORDER BY _source.file",
        "SELECT path, rows, quarantined FROM system.files ORDER BY path",
    ];
    let mut found: Vec<String> = now.iter().map(|sql| project.ok(&["query", "-o", "csv", sql])).collect();
    for release in 1..=RUNS {
        found.extend(content_of(project, &["--release", &release.to_string()]));
    }
    found
}

/// The models, at one moment.
fn content_of(project: &Project, moment: &[&str]) -> Vec<String> {
    ["SELECT * FROM sanitized.events ORDER BY id", "SELECT * FROM enhanced.days ORDER BY day"]
        .map(|sql| project.ok(&[&["query", "-o", "csv", sql], moment].concat()))
        .into()
}

/// Files that the newest version of a table has.
fn files(project: &Project, table: &str) -> u64 {
    let lines = project.laguna(&["maintain", "--dry-run", "--json"]).json_lines();
    let line = lines.iter().find(|line| line["table"] == table).unwrap();
    line["files_before"].as_u64().unwrap()
}

#[test]
fn maintaining_joins_and_deletes_and_changes_no_answer() {
    let project = project();
    let before = content(&project);
    assert_eq!(files(&project, "raw.events"), RUNS as u64);
    let report = project.laguna(&["maintain", "--json"]).json_lines();
    let done = report.last().unwrap();
    assert_eq!((done["event"].as_str(), done["bytes_won"].as_u64()), (Some("done"), Some(0)), "{done}");
    assert_eq!(files(&project, "raw.events"), 1);
    assert_eq!(content(&project), before);
    let runs = project.rows("SELECT command, outcome FROM system.runs WHERE command = 'maintain'");
    assert_eq!(runs, [serde_json::json!({"command": "maintain", "outcome": "done"})]);
    assert!(project.laguna(&["run"]).stderr.contains("nothing to do"), "joined files are no reason to build");

    // A day later the small files of raw go; those that releases name stay.
    age(&project.path().join("lake"));
    project.ok(&["run"]);
    let would = project.laguna(&["maintain", "--dry-run", "--json"]).json_lines();
    let did = project.laguna(&["maintain", "--json"]).json_lines();
    let of = |lines: &[serde_json::Value], table: &str| {
        let line = lines.iter().find(|line| line["table"] == table).unwrap();
        (line["files_deleted"].as_u64().unwrap(), line["bytes_won"].as_u64().unwrap())
    };
    assert_eq!(of(&would, "raw.events"), of(&did, "raw.events"));
    assert_eq!(of(&did, "raw.events").0, RUNS as u64);
    assert_eq!(of(&did, "enhanced.days").0, 0);
    assert_eq!(content(&project), before);
    assert!(project.laguna(&["maintain", "enhanced"]).stderr.contains("nothing to do"));

    // Only the newest release is kept: the others are refused at once, and their files go a day later.
    let kept = b"name: small\nlake: ./lake\nmaintain: {keep: 0s, keep_releases: [2]}\n";
    project.put("laguna.yml", kept);
    project.ok(&["maintain"]);
    let error = project.fails(2, &["query", "--release", "3", "SELECT 1 FROM enhanced.days"]);
    assert!(error.contains("release 3 is no longer kept") && error.contains("kept are 2, "), "{error}");
    let error = project.fails(2, &["query", "--as-of", "2020-01-01", "SELECT 1 FROM enhanced.days"]);
    assert!(error.contains("no longer kept"), "{error}");
    age(&project.path().join("lake"));
    project.ok(&["run"]);
    // What was decided is dated by the store's clock, which a test cannot move: nothing has settled yet.
    project.ok(&["maintain"]);
    let second =
        project.ok(&["query", "--release", "2", "-o", "csv", "SELECT * FROM enhanced.days ORDER BY day"]);
    assert!(before.contains(&second));
    project.put("events/9.csv", b"id,day,amount\n5000,2026-02-01,1\n");
    project.ok(&["run"]);
    assert_eq!(project.rows("SELECT count(*) AS n FROM raw.events")[0]["n"], RUNS * 20 + 1);
    assert_eq!(project.rows("SELECT count(*) AS n FROM sanitized.events")[0]["n"], RUNS * 20 + 1);
}

#[test]
fn dying_at_any_step_of_maintenance_loses_nothing() {
    dying(b"name: small\nlake: ./lake\nmaintain: {keep: all}\n", content);
}

#[test]
fn dying_while_releases_are_dropped_loses_nothing_of_those_that_are_kept() {
    // Of the releases that go, some still answer and some say that they are gone.
    let kept = |project: &Project| {
        let mut now = content_of(project, &[]);
        now.extend(content_of(project, &["--release", "3"]));
        now
    };
    dying(b"name: small\nlake: ./lake\nmaintain: {keep: 0s, keep_releases: [3]}\n", kept);
}

/// Maintenance with `settings` dies at many steps. What `content` tells is the same after each, and after the next
/// maintenance.
fn dying(settings: &[u8], content: impl Fn(&Project) -> Vec<String>) {
    let project = project();
    let lake = project.path().join("lake");
    let aside = tempfile::tempdir().unwrap();
    project.put("laguna.yml", settings);
    project.ok(&["maintain"]);
    project.put("events/9.csv", b"id,day,amount\n900,2026-02-01,1\n");
    project.ok(&["run"]);
    let expected = content(&project);
    let saved = aside.path().join("saved");
    copy(&lake, &saved);
    let (mut step, mut died, mut ended) = (1, 0, false);
    while !ended {
        std::fs::remove_dir_all(&lake).unwrap();
        copy(&saved, &lake);
        age(&lake);
        project.ok(&["run"]);
        let mut command = project.command(&["maintain", "--quiet"]);
        let output = command.env("LAGUNA_KILL_POINT", step.to_string()).output().unwrap();
        ended = output.status.success();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(ended || said.contains("kill point"), "step {step}: {said}");
        assert_eq!(content(&project), expected, "after dying at step {step}: {said}");
        project.ok(&["maintain"]);
        assert_eq!(files(&project, "raw.events"), 1, "finished after step {step}");
        assert_eq!(content(&project), expected, "maintained after dying at step {step}: {said}");
        died += usize::from(!ended);
        step += (160 / rounds(8)).max(1);
    }
    assert!(died > 2, "maintenance has more steps than that");
}

#[test]
fn runs_join_small_files_themselves_when_they_have_become_many() {
    let project = Project::empty();
    project.put("raw/events.yml", b"source: {files: 'events/*.csv'}\n");
    project.put("sanitized/events.sql", b"SELECT id FROM raw.events");
    for run in 0..=20 {
        project.put(&format!("events/{run:02}.csv"), format!("id\n{run}\n").as_bytes());
        project.ok(&["run"]);
    }
    // The 21st commit is the one at which a run looks; the joining is one more.
    assert_eq!(files(&project, "raw.events"), 1);
    let sum = "SELECT count(*) AS n, sum(id) AS s FROM raw.events";
    assert_eq!(project.rows(sum), [serde_json::json!({"n": 21, "s": 210})]);
    assert!(project.laguna(&["run"]).stderr.contains("nothing to do"));
    project.put("events/99.csv", b"id\n99\n");
    project.ok(&["run"]);
    assert_eq!(project.rows("SELECT sum(id) AS s FROM sanitized.events"), [serde_json::json!({"s": 309})]);
}

#[test]
fn maintenance_completes_a_landing_that_no_run_has_completed() {
    let project = project();
    let before = content(&project);
    // As in a lake that was copied: the cache of what has landed no longer speaks of these objects.
    age(&project.path().join("lake"));
    let lines = project.laguna(&["maintain", "--json"]).json_lines();
    assert!(lines.iter().all(|line| line["error"].is_null()), "{lines:#?}");
    assert_eq!(content(&project), before);
    let run = project.laguna(&["run", "--json"]);
    assert!(run.stdout.contains("\"skipped\":2"), "{}{}", run.stdout, run.stderr);
    assert_eq!(content(&project), before);
}
