//! `laguna maintain` on a project: equal answers before and after, at every step at which it may die.

use std::path::Path;
use std::time::{Duration, SystemTime};

use crate::kit::{Project, copy};

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

/// Two days pass for the files of the lake.
fn age(folder: &Path) {
    let then = SystemTime::now() - Duration::from_secs(48 * 3600);
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => age(&path),
            false => {
                let file = std::fs::File::options().write(true).open(&path).unwrap();
                file.set_modified(then).unwrap();
            }
        }
    }
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
        let number = release.to_string();
        for sql in ["SELECT * FROM sanitized.events ORDER BY id", "SELECT * FROM enhanced.days ORDER BY day"]
        {
            found.push(project.ok(&["query", "--release", &number, "-o", "csv", sql]));
        }
    }
    found
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
    let project = project();
    let lake = project.path().join("lake");
    let aside = tempfile::tempdir().unwrap();
    project.ok(&["maintain"]);
    project.put("events/9.csv", b"id,day,amount\n900,2026-02-01,1\n");
    project.ok(&["run"]);
    let expected = content(&project);
    let saved = aside.path().join("saved");
    copy(&lake, &saved);
    let rounds: usize =
        std::env::var("LAGUNA_KILL_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(8);
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
        step += (160 / rounds).max(1);
    }
    assert!(died > 2, "maintenance has more steps than that");
}
