//! One suite, every store: the lake keeps its promises on a local folder, S3, Azure Blob Storage and Google Cloud
//! Storage alike.

#![expect(clippy::print_stdout, reason = "seeds and counts are the report of these tests")]

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use crate::front::check_flights;
use crate::kit::{Project, Random, rounds};
use crate::servers::{self, Store};
use crate::small::{self, content, content_at};

/// A command that takes longer hangs.
const BOUND: Duration = Duration::from_secs(120);

#[test]
fn on_a_local_folder() {
    let folder = tempfile::tempdir().unwrap();
    let lakes = Lakes { bucket: format!("file://{}", folder.path().display()), store: None };
    lakes.suite();
}

#[test]
fn on_seaweedfs() {
    let Some(store) = servers::seaweedfs() else { return };
    let lakes = Lakes::of(&store);
    lakes.suite();
    let flights = Project::copy_of("examples/flights");
    let settings = std::fs::read_to_string(flights.path().join("laguna.yml")).unwrap();
    let rest: String =
        settings.lines().filter(|line| !line.starts_with("lake:")).map(|line| format!("{line}\n")).collect();
    flights.put("laguna.yml", (rest + &lakes.settings("flights", &[])).as_bytes());
    flights.ok(&["run", "--quiet"]);
    check_flights(&flights);
}

#[test]
fn on_azurite() {
    if let Some(store) = servers::azurite() {
        Lakes::of(&store).suite();
    }
}

#[test]
fn on_minio() {
    if servers::wants_all()
        && let Some(store) = servers::minio()
    {
        Lakes::of(&store).suite();
    }
}

#[test]
fn on_google_cloud_storage() {
    if servers::wants_all()
        && let Some(store) = servers::gcs()
    {
        Lakes::of(&store).suite();
    }
}

#[test]
fn a_bad_network_loses_and_doubles_nothing() {
    // The strictest server where it is wanted.
    let store = if servers::wants_all() { servers::minio() } else { servers::seaweedfs() };
    let Some(store) = store else { return };
    let endpoint = store.storage.iter().find(|(name, _)| *name == store.endpoint).unwrap().1.clone();
    let Some(proxy) = servers::toxiproxy(endpoint.trim_start_matches("http://")) else { return };
    let lakes = Lakes::of(&store);
    let undisturbed = small::project();
    undisturbed.ok(&["run"]);
    let expected = content(&undisturbed);
    let mut random = Random::new();
    println!("LAGUNA_KILL_SEED={} on {}", random.seed, store.name);
    let (mut answered, mut refused) = (0, 0);
    for round in 0..rounds(9) {
        let direct = lakes.settings(&format!("network-{round}"), &[("lease_timeout", "2s")]);
        let through = format!("http://{}", proxy.address);
        let through = lakes
            .settings(&format!("network-{round}"), &[(store.endpoint, &through), ("lease_timeout", "2s")]);
        let project = small::project();
        let settings =
            |storage: &str| format!("name: small\nretries: {{attempts: 2, backoff: 10ms}}\n{storage}");
        project.put("laguna.yml", settings(&through).as_bytes());
        let (bytes, milliseconds) = (200 + random.below(20_000), random.below(300));
        // Upstream a request is cut: it may have come to an end or not. Downstream an answer is lost.
        let toxic = match round % 6 {
            0 => format!(r#"{{"type": "latency", "attributes": {{"latency": 20, "jitter": {}}}}}"#, milliseconds / 4),
            1 => format!(r#"{{"type": "reset_peer", "toxicity": 0.5, "attributes": {{"timeout": {milliseconds}}}}}"#),
            2 => format!(r#"{{"type": "limit_data", "stream": "upstream", "attributes": {{"bytes": {bytes}}}}}"#),
            3 => format!(r#"{{"type": "limit_data", "stream": "downstream", "attributes": {{"bytes": {bytes}}}}}"#),
            4 => r#"{"type": "slicer", "attributes": {"average_size": 100, "size_variation": 90, "delay": 100}}"#.to_string(),
            // Connections stay open and nothing comes.
            _ => format!(r#"{{"type": "timeout", "toxicity": 0.3, "attributes": {{"timeout": {}}}}}"#, milliseconds + 1),
        };
        proxy.disturb(&toxic);
        let (code, said) = Running::start(&project, &["run"]).end();
        proxy.calm();
        project.put("laguna.yml", settings(&direct).as_bytes());
        match code {
            0 => {
                answered += 1;
                assert_eq!(content(&project), expected, "round {round}, {toxic}: {said}");
            }
            // A node that failed, or storage that did not answer in time.
            1 | 3 => refused += 1,
            _ => panic!("round {round}, {toxic}: {code}: {said}"),
        }
        // The lease of a run that could not give it back runs out.
        project.ok(&["run", "--wait"]);
        assert_eq!(content(&project), expected, "round {round}, {toxic}");
        assert!(project.laguna(&["run"]).stderr.contains("nothing to do"), "round {round}, {toxic}");
    }
    println!("{answered} runs came through, {refused} ended with an error");
    assert!(answered > 0);
}

/// Where the lakes of one suite lie.
struct Lakes<'a> {
    bucket: String,
    store: Option<&'a Store>,
}

impl<'a> Lakes<'a> {
    fn of(store: &'a Store) -> Lakes<'a> {
        Lakes { bucket: store.bucket.clone(), store: Some(store) }
    }

    fn suite(&self) {
        let local = small::project();
        local.ok(&["run"]);
        let first = content(&local);
        small::second_files(&local);
        local.ok(&["run"]);
        let second = content(&local);
        assert_ne!(first, second);

        self.a_lake_lives(&first, &second);
        self.a_killed_run_is_made_good(&first);
        self.of_two_runs_one_waits(&first);
        self.a_run_that_slept_through_its_lease_writes_nothing(&first);
        self.what_is_wrong_is_said();
    }

    /// The lines `lake:` and `storage:` of a project.
    fn settings(&self, lake: &str, changes: &[(&str, &str)]) -> String {
        let mut options: Vec<(&str, String)> =
            self.store.map(|store| store.storage.clone()).unwrap_or_default();
        for (name, value) in changes {
            options.retain(|(other, _)| other != name);
            options.push((name, value.to_string()));
        }
        let options: String = options.iter().map(|(name, value)| format!("  {name}: '{value}'\n")).collect();
        format!("lake: {}/{lake}\nstorage:\n{options}  retry_timeout: 10s\n", self.bucket)
    }

    /// The small project with its lake in the store.
    fn project(&self, lake: &str, changes: &[(&str, &str)]) -> Project {
        let project = small::project();
        let retries = "retries: {attempts: 2, backoff: 10ms}";
        project.put(
            "laguna.yml",
            format!("name: small\n{retries}\n{}", self.settings(lake, changes)).as_bytes(),
        );
        project
    }

    /// Two runs, a run with nothing to do, the past, a rollback; credentials from the environment.
    fn a_lake_lives(&self, first: &small::Content, second: &small::Content) {
        let project = self.project("life", &[]);
        project.ok(&["run"]);
        assert_eq!(content(&project), *first);
        assert!(project.laguna(&["run"]).stderr.contains("nothing to do"));
        small::second_files(&project);
        project.ok(&["run"]);
        assert_eq!(content(&project), *second);

        let history: Vec<serde_json::Value> =
            serde_json::from_str(&project.ok(&["history", "-o", "json"])).unwrap();
        assert_eq!(history.len(), 2, "{history:?}");
        let time = history[1]["time"].as_str().unwrap();
        for moment in [["--release", "1"], ["--as-of", time]] {
            // Which files have landed is told as it is now.
            let (mut then, mut told) = (content_at(&project, &moment), first.clone());
            then.remove("files");
            told.remove("files");
            assert_eq!(then, told, "{moment:?}");
        }
        assert!(project.ok(&["diff", "1", "2"]).contains("sanitized.events"));
        project.ok(&["rollback", "--to", "1"]);
        let back = content(&project);
        for table in ["sanitized.events", "sanitized.days", "sanitized.people", "enhanced.total"] {
            assert_eq!(back[table], first[table], "{table}");
        }
        assert_eq!(back["raw.events"], second["raw.events"]);

        if let Some(store) = self.store {
            let lake = format!("name: small\nlake: {}/life\n", self.bucket);
            project.put("laguna.yml", lake.as_bytes());
            let mut query = project.command(&["query", "-o", "json", "SELECT count(*) AS n FROM raw.events"]);
            let output = query.envs(store.environment.iter().cloned()).output().unwrap();
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(String::from_utf8_lossy(&output.stdout).contains("90"), "{said}");
        }
    }

    /// Killed when it has begun, and after one and two of its tasks.
    fn a_killed_run_is_made_good(&self, first: &small::Content) {
        for tasks in 0..3 {
            let project = self.project(&format!("killed-{tasks}"), &[]);
            let mut run = Running::start(&project, &["run", "--json"]);
            run.wait_for("\"event\":\"started\"");
            for _ in 0..tasks {
                run.wait_for("\"event\":\"task_finished\"");
            }
            run.child.kill().unwrap();
            run.child.wait().unwrap();
            project.ok(&["run"]);
            assert_eq!(content(&project), *first, "{tasks} tasks");
        }
    }

    fn of_two_runs_one_waits(&self, first: &small::Content) {
        let project = self.project("two", &[]);
        let mut one = Running::start(&project, &["run", "--json"]);
        one.wait_for("\"event\":\"started\"");
        one.signal("STOP");
        let refused = project.fails(3, &["run"]);
        assert!(refused.contains(&format!("(process {} on ", one.child.id())), "{refused}");
        let other = Running::start(&project, &["run", "--json", "--wait"]);
        one.signal("CONT");
        for run in [one, other] {
            let (code, said) = run.end();
            assert_eq!(code, 0, "{said}");
        }
        assert_eq!(content(&project), *first);
        assert!(project.laguna(&["run"]).stderr.contains("nothing to do"));
    }

    /// A lock on a folder cannot be taken over: this is about stores.
    fn a_run_that_slept_through_its_lease_writes_nothing(&self, first: &small::Content) {
        if self.store.is_none() {
            return;
        }
        let project = self.project("slept", &[("lease_timeout", "2s")]);
        let mut sleeper = Running::start(&project, &["run", "--json"]);
        sleeper.wait_for("\"event\":\"started\"");
        sleeper.signal("STOP");
        project.ok(&["run", "--wait"]);
        sleeper.signal("CONT");
        let (code, said) = sleeper.end();
        assert!(code == 3 && said.contains("taken over"), "{code}: {said}");
        assert_eq!(content(&project), *first);
        let history: Vec<serde_json::Value> =
            serde_json::from_str(&project.ok(&["history", "-o", "json"])).unwrap();
        assert_eq!(history.len(), 1, "{history:?}");
    }

    fn what_is_wrong_is_said(&self) {
        let Some(store) = self.store else { return };
        let fails = |settings: String, expected: &str| {
            let project = small::project();
            project.put("laguna.yml", format!("name: small\n{settings}").as_bytes());
            let run = Running::start(&project, &["run"]);
            let (code, said) = run.end();
            assert!(code == 3 && said.contains(expected), "{}: {code}, not `{expected}`: {said}", store.name);
        };
        if let Some(secret) = store.secret {
            // The nonsense is in Base64, as Azure's keys are.
            fails(self.settings("wrong", &[(secret, "bm9uc2Vuc2U=")]), "refuses these credentials");
        }
        let missing = Lakes { bucket: store.missing.clone(), store: self.store };
        fails(missing.settings("lake", &[]), "exist?");
        let nobody = [(store.endpoint, "http://127.0.0.1:9"), ("retry_timeout", "2s")];
        let settings = self.settings("lake", &nobody).replace("  retry_timeout: 10s\n", "");
        fails(settings, "answer?");
    }
}

/// A run of the binary whose output is read as it comes.
struct Running {
    child: Child,
    stdout: BufReader<ChildStdout>,
}

impl Running {
    fn start(project: &Project, args: &[&str]) -> Running {
        let mut command = project.command(args);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        Running { child, stdout }
    }

    /// Reads on until a line holds `text`.
    #[track_caller]
    fn wait_for(&mut self, text: &str) {
        loop {
            let mut line = String::new();
            if self.stdout.read_line(&mut line).unwrap() == 0 {
                let mut said = String::new();
                self.child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
                panic!("it ended without {text}: {said}");
            }
            if line.contains(text) {
                return;
            }
        }
    }

    fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args([&format!("-{name}"), &id]).status().unwrap().success());
    }

    /// Its exit code and all that it said since.
    fn end(mut self) -> (i32, String) {
        let mut stderr = self.child.stderr.take().unwrap();
        let mut stdout = self.stdout;
        let said =
            [std::thread::spawn(move || read(&mut stdout)), std::thread::spawn(move || read(&mut stderr))];
        let started = Instant::now();
        let code = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status.code().unwrap_or(-1);
            }
            if started.elapsed() > BOUND {
                self.child.kill().unwrap();
            }
            std::thread::sleep(Duration::from_millis(20));
        };
        (code, said.map(|text| text.join().unwrap()).concat())
    }
}

fn read(from: &mut impl Read) -> String {
    let mut text = String::new();
    let _ = from.read_to_string(&mut text);
    text
}
