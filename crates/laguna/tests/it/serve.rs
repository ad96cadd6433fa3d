//! `laguna serve` as a whole: schedules, reloading, stopping, and readers that never see half a release.

use std::io::Read;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::browser::http;
use crate::flight;
use crate::kit::{Project, rounds};
use crate::servers::skip;
use crate::serving::Serving;

/// A server that is read with psql.
struct Lake(Serving);

impl Lake {
    fn start(project: &Project) -> Lake {
        Lake(Serving::start(project, &["postgres"]))
    }

    fn psql(&self, statement: &str) -> Command {
        let mut command = Command::new("psql");
        let connection = format!("host=127.0.0.1 port={} user=reader dbname=lake", self.0.port("postgres"));
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
    let serving = Lake::start(&project);
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

/// What a reader saw, in order and each once; it reads until it is ended.
struct Reader {
    what: &'static str,
    end: Box<dyn FnMut()>,
    seen: std::thread::JoinHandle<Vec<String>>,
}

impl Reader {
    /// A process that prints what the two tables hold: a line, or `lines` of them, each time.
    fn process(what: &'static str, mut command: Command, lines: usize) -> Reader {
        let mut process = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut stdout = process.stdout.take().unwrap();
        let seen = std::thread::spawn(move || {
            let (mut printed, mut seen) = (String::new(), Vec::new());
            stdout.read_to_string(&mut printed).unwrap();
            // The last line may have been cut.
            let whole = printed.rsplit_once('\n').map_or("", |(whole, _)| whole);
            let all: Vec<&str> = whole.lines().collect();
            for both in all.chunks_exact(lines).map(|lines| lines.join(" ")) {
                if seen.last() != Some(&both) {
                    seen.push(both);
                }
            }
            seen
        });
        let end = move || {
            let _ = process.kill();
            let _ = process.wait();
        };
        Reader { what, end: Box::new(end), seen }
    }

    /// A client of the HTTP door.
    fn http(address: &str) -> Reader {
        let (address, ended) = (address.to_string(), Arc::new(AtomicBool::new(false)));
        let end = ended.clone();
        let seen = std::thread::spawn(move || {
            let headers = [("Content-Type", "application/json"), ("Accept", "text/csv")];
            let body = serde_json::json!({ "sql": BOTH }).to_string();
            let mut seen = Vec::new();
            while !ended.load(Ordering::Relaxed) {
                let answer = http(&address, "POST", "/v1/sql", &headers, &body).unwrap();
                // Between the name of the column and what frames the body.
                let both = answer.body.lines().find(|line| line.contains(' ')).unwrap_or(&answer.body);
                let both = both.to_string();
                if seen.last() != Some(&both) {
                    seen.push(both);
                }
            }
            seen
        });
        Reader { what: "HTTP", end: Box::new(move || end.store(true, Ordering::Relaxed)), seen }
    }
}

/// What the two tables hold, as one row of one column.
const BOTH: &str = "SELECT (SELECT n FROM sanitized.one) || ' ' || (SELECT n FROM enhanced.two) AS both";

#[test]
fn readers_of_every_door_see_whole_releases_and_never_old_answers() {
    if !has_psql("readers of laguna serve during releases") {
        return;
    }
    let project = twins("");
    project.ok(&["run"]);
    let serving = Lake(Serving::start(&project, &["postgres", "flight", "http"]));
    // Over and over; the lines of one round say what both tables hold.
    let psql = |name: &str, round: &str| {
        let file = project.path().join(name);
        std::fs::write(&file, round.repeat(100_000)).unwrap();
        let mut command = serving.psql("SET search_path = enhanced");
        command.arg("-f").arg(file);
        command
    };
    let within = "BEGIN;\nSELECT n FROM sanitized.one;\nSELECT n FROM enhanced.two;\nCOMMIT;\n";
    let mut readers = vec![
        Reader::process("psql", psql("statements.sql", &format!("{BOTH};\n")), 1),
        Reader::process("psql in transactions", psql("transactions.sql", within), 2),
        Reader::http(serving.0.address("http")),
    ];
    let flight = flight::client(serving.0.address("flight"), "grpc", "twins");
    readers.extend(flight.map(|command| Reader::process("Flight SQL", command, 1)));
    let releases = rounds(20);
    let mut newest = 1;
    for number in 2..=releases + 1 {
        project.put(&format!("data/{number}.csv"), format!("n\n{number}\n").as_bytes());
        project.ok(&["run"]);
        newest += 1;
        // A release is seen at once, by a statement that was answered from what was kept before.
        assert_eq!(serving.answer(BOTH).unwrap(), format!("{number} {number}"));
        if number % 5 == 0 {
            project.ok(&["rollback", "--to", &(newest - 1).to_string()]);
            newest += 1;
            let before = number - 1;
            assert_eq!(serving.answer(BOTH).unwrap(), format!("{before} {before}"));
        }
    }
    for mut reader in readers {
        (reader.end)();
        let (what, seen) = (reader.what, reader.seen.join().unwrap());
        assert!(seen.len() > 3, "{what} saw {seen:?}");
        for both in seen {
            let (one, two) = both.split_once(' ').unwrap_or_else(|| panic!("{what} saw {both}"));
            assert_eq!(one, two, "{what} saw half a release");
        }
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
    let mut serving = Lake::start(&project);
    let slow = "SELECT count(*) FROM generate_series(1, 12000) a(v) CROSS JOIN generate_series(1, 12000) b(w) WHERE v <> -w";
    let asked = serving.psql(slow).stdout(Stdio::piped()).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(300));
    let id = serving.0.process.id().to_string();
    Command::new("kill").args(["-TERM", &id]).status().unwrap();
    let answer = asked.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&answer.stdout).trim(), "144000000");
    let status = serving.0.process.wait().unwrap();
    assert!(status.success(), "{status}");
}

#[test]
fn without_users_only_this_machine_may_come_in() {
    let project = twins("serve: {postgres: \"0.0.0.0:0\", http: false, flight: false}\n");
    let told = project.fails(2, &["serve"]);
    assert!(told.contains("there are no users"), "{told}");
}
