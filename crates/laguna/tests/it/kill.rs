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
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::kit::{Project, Random, copy, rounds};
use crate::small::{self, content, project, second_files};

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
    let gap = (90 / rounds(12)).max(1);
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
    let mut random = Random::new();
    let seed = random.seed;
    println!("LAGUNA_KILL_SEED={seed}");

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
    let reader = Reader::start(&project);
    let mut moments = [0u32; 10];
    let mut died = 0;
    for round in 0..rounds(12) {
        let after = Duration::from_micros(random.below(whole.as_micros() as u64 * 11 / 10));
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
    let looks = reader.stop();
    println!(
        "{died} of {} died, by tenth of a run: {moments:?}; the reader looked {looks} times",
        rounds(12)
    );
    assert!(looks > 0);
}

/// Looks at tables that are released with each other, over and over, and ends the test when they do not agree.
struct Reader {
    stop: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<u64>,
}

impl Reader {
    fn start(project: &Project) -> Reader {
        let sql = "SELECT (SELECT count(*) FROM sanitized.events) AS a, (SELECT sum(events) FROM sanitized.days) AS b, (SELECT max(events) FROM enhanced.total) AS c";
        let mut query = project.command(&["query", "-o", "ndjson", sql]);
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || {
            let mut looks = 0;
            while !stopped.load(Ordering::SeqCst) {
                let output = query.output().unwrap();
                let text = String::from_utf8_lossy(&output.stdout).into_owned();
                // While a round puts the saved lake back there may be none for a moment, and a file that is being
                // forgotten may go while it is read.
                if output.status.success() {
                    let row: serde_json::Value = serde_json::from_str(text.trim()).unwrap();
                    assert!(row["a"] == row["b"] && row["b"] == row["c"], "half a release was seen: {row}");
                    looks += 1;
                }
            }
            looks
        });
        Reader { stop, thread }
    }

    /// How often it looked.
    fn stop(self) -> u64 {
        self.stop.store(true, Ordering::SeqCst);
        self.thread.join().expect("the reader saw only whole releases")
    }
}

#[test]
fn two_writers_of_every_kind_that_die_at_random_leave_what_one_run_completes() {
    let mut random = Random::new();
    println!("LAGUNA_KILL_SEED={}", random.seed);
    let project = project();
    let started = Instant::now();
    project.ok(&["run"]);
    let whole = started.elapsed();
    let reader = Reader::start(&project);
    let (mut died, mut forgotten) = (BTreeMap::<String, u32>::new(), Vec::new());
    for round in 0..rounds(10) {
        let rows: String = (0..5)
            .map(|row| format!("{},{},2026-01-0{},{row}\n", 1000 + round * 10 + row, row % 3, row + 1))
            .collect();
        project
            .put(&format!("events/{}.csv", 10 + round), format!("id,person,day,amount\n{rows}").as_bytes());
        let forget = format!("id = {}", 1 + round);
        let writers: [&[&str]; 5] = [
            &["run", "--wait"],
            &["run", "--wait", "--full"],
            &["maintain", "--wait"],
            &["forget", "--wait", "--table", "raw.events", "--where", &forget],
            &["rollback", "--to", "1", "--wait"],
        ];
        let mut children = Vec::new();
        for _ in 0..2 {
            let args = writers[random.below(writers.len() as u64) as usize];
            let mut command = project.command(args);
            command.stdout(Stdio::null()).stderr(Stdio::null());
            children.push((args, command.spawn().unwrap()));
        }
        if children.iter().any(|(args, _)| args[0] == "forget") {
            forgotten.push(forget.clone());
        }
        for (args, child) in &mut children {
            std::thread::sleep(Duration::from_micros(random.below(whole.as_micros() as u64)));
            if child.try_wait().unwrap().is_none() {
                child.kill().unwrap();
                *died.entry(args[0].to_string()).or_default() += 1;
            }
            child.wait().unwrap();
        }
    }
    // What had begun is begun again and comes to its end.
    for forget in &forgotten {
        project.ok(&["forget", "--table", "raw.events", "--where", forget]);
    }
    second_files(&project);
    project.ok(&["run"]);
    project.ok(&["maintain"]);
    let looks = reader.stop();
    println!("died {died:?}; {} erasures; the reader looked {looks} times", forgotten.len());

    let undisturbed = small::project();
    // The first files say what the types are.
    undisturbed.ok(&["run"]);
    copy(&project.dir.path().join("events"), &undisturbed.dir.path().join("events"));
    copy(&project.dir.path().join("people"), &undisturbed.dir.path().join("people"));
    undisturbed.ok(&["run"]);
    for forget in &forgotten {
        undisturbed.ok(&["forget", "--table", "raw.events", "--where", forget]);
    }
    assert_eq!(content(&project), content(&undisturbed));
    assert!(looks > 0);
}
