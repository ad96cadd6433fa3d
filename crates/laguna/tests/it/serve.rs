//! `laguna serve` as a whole: schedules, reloading, stopping, and readers that never see half a release.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::kit::{Project, rounds};
use crate::servers::skip;

/// A running server.
struct Serving {
    process: Child,
    postgres: String,
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Serving {
    fn start(project: &Project) -> Serving {
        let doors = ["serve", "--json", "--http", "false", "--postgres", "127.0.0.1:0", "--flight", "false"];
        let mut process =
            project.command(&doors).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let told: serde_json::Value =
            serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
        Serving { process, postgres: told["doors"]["postgres"].as_str().unwrap().to_string() }
    }

    fn psql(&self, statement: &str) -> Command {
        let mut command = Command::new("psql");
        let port = self.postgres.rsplit(':').next().unwrap();
        let connection = format!("host=127.0.0.1 port={port} user=reader dbname=lake");
        command.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", &connection, "-c", statement]);
        command
    }

    /// The answer of one statement; `None` where there is no psql.
    fn answer(&self, statement: &str) -> Option<String> {
        let output = self.psql(statement).output().ok()?;
        let text = String::from_utf8_lossy(&output.stdout).trim().to_string();
        assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
        Some(text)
    }

    /// Asks until the answer is `wanted`.
    fn wait_for(&self, statement: &str, wanted: &str) {
        let start = Instant::now();
        let mut last = String::new();
        while start.elapsed() < Duration::from_secs(60) {
            last = self.answer(statement).unwrap_or_default();
            if last == wanted {
                return;
            }
            std::thread::sleep(Duration::from_millis(200));
        }
        panic!("{statement} answers {last}, not {wanted}");
    }
}

fn has_psql(test: &str) -> bool {
    let there = Command::new("psql").arg("--version").output().is_ok();
    if !there {
        skip(test, "there is no psql");
    }
    there
}

/// Two tables that every release changes together.
fn twins(settings: &str) -> Project {
    Project::empty()
        .write("laguna.yml", &format!("name: twins\n{settings}"))
        .write("raw/numbers.yml", "source: {files: \"data/*.csv\"}\n")
        .write("data/1.csv", "n\n1\n")
        .write("sanitized/one.sql", "SELECT count(*) AS n FROM raw.numbers\n")
        .write("enhanced/two.sql", "SELECT n FROM sanitized.one\n")
}

#[test]
fn schedules_run_and_changed_files_are_followed() {
    if !has_psql("schedules of laguna serve") {
        return;
    }
    let project = twins("schedule: \"*/2 * * * * *\"\n");
    project.ok(&["run"]);
    let serving = Serving::start(&project);
    assert_eq!(serving.answer("SELECT n FROM enhanced.two").unwrap(), "1");
    project.put("data/2.csv", b"n\n2\n");
    serving.wait_for("SELECT n FROM enhanced.two", "2");
    // What is wrong changes nothing, what is mended does.
    project.put("enhanced/two.sql", b"SELECT broken FROM nowhere\n");
    project.put("data/3.csv", b"n\n3\n");
    serving.wait_for("SELECT n FROM sanitized.one", "3");
    project.put("enhanced/two.sql", b"SELECT n * 10 AS n FROM sanitized.one\n");
    serving.wait_for("SELECT n FROM enhanced.two", "30");
}

#[test]
fn readers_see_whole_releases_and_never_old_answers() {
    if !has_psql("readers of laguna serve during releases") {
        return;
    }
    let project = twins("");
    project.ok(&["run"]);
    let serving = Serving::start(&project);
    let whole = "SELECT (SELECT n FROM sanitized.one) || ' ' || (SELECT n FROM enhanced.two)";
    let script: String = format!("{whole};\n").repeat(200_000);
    let script_file = project.path().join("loop.sql");
    std::fs::write(&script_file, script).unwrap();
    let mut reader = serving.psql("SELECT 1");
    let mut reader = reader.arg("-f").arg(&script_file).stdout(Stdio::piped()).spawn().unwrap();
    let lines = reader.stdout.take().unwrap();
    let seen = std::thread::spawn(move || {
        let mut seen = Vec::new();
        for line in BufReader::new(lines).lines().map_while(Result::ok) {
            if seen.last() != Some(&line) {
                seen.push(line);
            }
        }
        seen
    });
    let releases = rounds(12);
    let mut newest = 1;
    for number in 2..=releases + 1 {
        project.put(&format!("data/{number}.csv"), format!("n\n{number}\n").as_bytes());
        project.ok(&["run"]);
        newest += 1;
        // A release is seen at once, by a statement that was answered from what was kept before.
        assert_eq!(serving.answer(whole).unwrap(), format!("{number} {number}"));
        if number % 5 == 0 {
            project.ok(&["rollback", "--to", &(newest - 1).to_string()]);
            newest += 1;
            let before = number - 1;
            assert_eq!(serving.answer(whole).unwrap(), format!("{before} {before}"));
        }
    }
    let _ = reader.kill();
    let _ = reader.wait();
    let seen = seen.join().unwrap();
    assert!(seen.len() > 3, "the reader saw {seen:?}");
    for line in seen.iter().skip(1) {
        let (one, two) = line.split_once(' ').unwrap_or_else(|| panic!("{line}"));
        assert_eq!(one, two, "half a release was seen");
    }
}

#[cfg(unix)]
#[test]
fn a_server_that_stops_lets_statements_end() {
    if !has_psql("stopping laguna serve") {
        return;
    }
    let project = twins("");
    project.ok(&["run"]);
    let mut serving = Serving::start(&project);
    let slow = "SELECT count(*) FROM generate_series(1, 4000) a CROSS JOIN generate_series(1, 4000) b";
    let asked = serving.psql(slow).stdout(Stdio::piped()).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(300));
    let id = serving.process.id().to_string();
    Command::new("kill").args(["-TERM", &id]).status().unwrap();
    let answer = asked.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&answer.stdout).trim(), "16000000");
    let status = serving.process.wait().unwrap();
    let mut told = String::new();
    serving.process.stderr.take().unwrap().read_to_string(&mut told).unwrap();
    assert!(status.success(), "{status}: {told}");
}

#[test]
fn without_users_only_this_machine_may_come_in() {
    let project = twins("serve: {postgres: \"0.0.0.0:0\", http: false, flight: false}\n");
    let told = project.fails(2, &["serve"]);
    assert!(told.contains("there are no users"), "{told}");
}
