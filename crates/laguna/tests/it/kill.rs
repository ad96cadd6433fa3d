//! Processes that die: at every step of writing, and at random moments. After one clean run the lake must equal an
//! undisturbed one, and a reader that loops meanwhile must never see half a release.
//!
//! `LAGUNA_KILL_ROUNDS` sets the number of rounds of each kind, `LAGUNA_KILL_SEED` repeats a series.

#![expect(
    clippy::print_stdout,
    reason = "counts, seeds and where processes died are the report of these tests"
)]

use std::collections::BTreeMap;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::kit::{Project, copy};
use crate::small::{content, project, second_files};

fn rounds() -> u64 {
    std::env::var("LAGUNA_KILL_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(12)
}

fn run(project: &Project) -> Command {
    let mut command = project.command(&["run", "--quiet"]);
    command.stdout(Stdio::null()).stderr(Stdio::piped());
    command
}

/// A project in the state before its second run, times of its files included, so that nothing lands twice.
fn before_second_run() -> Project {
    let project = project();
    project.ok(&["run"]);
    second_files(&project);
    project
}

#[test]
fn dying_at_every_step_of_a_run_loses_and_doubles_nothing() {
    let undisturbed = before_second_run();
    undisturbed.ok(&["run"]);
    let expected = content(&undisturbed);
    assert_eq!(expected["quarantine"].len(), 1);
    assert_eq!(expected["raw.events"].len(), 90);

    let mut killed_at = BTreeMap::new();
    let mut step = 1;
    let mut last = None;
    // Which steps there are is known only by trying; in few rounds they are tried with gaps.
    let gap = (90 / rounds().max(1)).max(1);
    for _ in 0..400 {
        let project = before_second_run();
        let output = run(&project).env("LAGUNA_KILL_POINT", step.to_string()).output().unwrap();
        if output.status.success() {
            last = Some(step);
            break;
        }
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let place =
            said.lines().find_map(|line| line.split_once(": ").filter(|_| line.starts_with("kill point")));
        let (_, place) = place.unwrap_or_else(|| panic!("step {step} ended otherwise: {said}"));
        let kind: String = place.chars().take_while(|c| !c.is_ascii_digit()).collect();
        *killed_at.entry(kind).or_insert(0) += 1;
        project.ok(&["run"]);
        assert_eq!(content(&project), expected, "after dying at step {step}: {place}");
        step += gap;
    }
    println!("steps tried with gap {gap} up to {last:?}; died {killed_at:#?}");
    assert!(last.is_some_and(|last| last > 20), "a run has more steps than that");
}

#[test]
fn dying_at_random_moments_loses_nothing_and_readers_see_whole_releases() {
    let seed =
        std::env::var("LAGUNA_KILL_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or_else(|| {
            std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos() as u64
        });
    println!("LAGUNA_KILL_SEED={seed}");
    let mut state = seed | 1;
    let mut random = move |below: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % below.max(1)
    };

    let undisturbed = before_second_run();
    let started = Instant::now();
    undisturbed.ok(&["run"]);
    let whole = started.elapsed();
    let expected = content(&undisturbed);

    let project = before_second_run();
    // Outside the project, whose folder is archived as its code.
    let aside = tempfile::tempdir().unwrap();
    let saved = aside.path().join("saved");
    copy(&project.dir.path().join("lake"), &saved);
    let stop = Arc::new(AtomicBool::new(false));
    let looks = Arc::new(AtomicU64::new(0));
    let reader = {
        // Each is released with the other: they agree, in every state.
        let sql = "SELECT (SELECT count(*) FROM sanitized.events) AS a, (SELECT sum(events) FROM sanitized.days) AS b, (SELECT max(events) FROM enhanced.total) AS c";
        let mut query = project.command(&["query", "-o", "ndjson", sql]);
        let (stop, looks) = (stop.clone(), looks.clone());
        std::thread::spawn(move || {
            while !stop.load(Ordering::SeqCst) {
                let output = query.output().unwrap();
                let text = String::from_utf8_lossy(&output.stdout).into_owned();
                // While a round puts the saved lake back there may be none for a moment.
                if output.status.success() {
                    let row: serde_json::Value = serde_json::from_str(text.trim()).unwrap();
                    assert!(row["a"] == row["b"] && row["b"] == row["c"], "half a release was seen: {row}");
                    looks.fetch_add(1, Ordering::SeqCst);
                }
            }
        })
    };
    let mut moments = [0u32; 10];
    let mut died = 0;
    for round in 0..rounds() {
        let after = Duration::from_micros(random(whole.as_micros() as u64 * 11 / 10));
        let mut child = run(&project).spawn().unwrap();
        std::thread::sleep(after);
        let ended = child.try_wait().unwrap().is_some();
        child.kill().unwrap();
        child.wait().unwrap();
        if !ended {
            died += 1;
            moments[((after.as_micros() * 10 / whole.as_micros().max(1)) as usize).min(9)] += 1;
        }
        project.ok(&["run"]);
        assert_eq!(content(&project), expected, "round {round}, killed after {after:?}, seed {seed}");
        // Back to the state before, without a moment in which a reader could see a mixture.
        let (lake, old) = (project.dir.path().join("lake"), aside.path().join("old"));
        let fresh = aside.path().join("fresh");
        copy(&saved, &fresh);
        std::fs::rename(&lake, &old).unwrap();
        std::fs::rename(&fresh, &lake).unwrap();
        std::fs::remove_dir_all(&old).unwrap();
    }
    stop.store(true, Ordering::SeqCst);
    reader.join().expect("the reader saw only whole releases");
    println!(
        "{died} of {} died, by tenth of a run: {moments:?}; the reader looked {looks:?} times",
        rounds()
    );
    assert!(looks.load(Ordering::SeqCst) > 0);
}
