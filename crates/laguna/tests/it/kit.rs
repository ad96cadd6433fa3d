//! A project in a temporary folder, and the binary run on it.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// What a run of the binary left.
#[derive(Debug)]
pub struct Output {
    /// Exit code; -1 when a signal ended it.
    pub code: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Output {
    /// The lines of standard output as JSON objects.
    pub fn json_lines(&self) -> Vec<serde_json::Value> {
        let parse = |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        self.stdout.lines().map(parse).collect()
    }
}

/// A project folder that is removed with the value.
pub struct Project {
    /// The folder that holds the project; its root is the project.
    pub dir: tempfile::TempDir,
}

impl Project {
    /// A project that holds `laguna.yml` and nothing else.
    pub fn empty() -> Project {
        let project = Project { dir: tempfile::tempdir().unwrap() };
        project.write("laguna.yml", "name: test\nlake: ./lake\n")
    }

    /// A copy of a folder of the repository.
    pub fn copy_of(folder: &str) -> Project {
        let project = Project { dir: tempfile::tempdir().unwrap() };
        copy(&repository().join(folder), project.dir.path());
        project
    }

    /// The folder of the project.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Writes a file of the project.
    pub fn write(self, path: &str, text: &str) -> Project {
        self.put(path, text.as_bytes());
        self
    }

    /// Writes a file of the project, which stays borrowed.
    pub fn put(&self, path: &str, bytes: &[u8]) {
        let path = self.dir.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }

    /// The binary, set up to run in the project and not to see the caller's settings.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_laguna"));
        command.args(args).current_dir(self.dir.path()).env("NO_COLOR", "1").env("HOME", self.dir.path());
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("LAGUNA_"))
        {
            command.env_remove(name);
        }
        command.env_remove("RUST_LOG").stdin(Stdio::null());
        command
    }

    /// Runs the binary in the project.
    pub fn laguna(&self, args: &[&str]) -> Output {
        finish(self.command(args))
    }

    /// Runs the binary with text on standard input.
    pub fn laguna_with(&self, args: &[&str], input: &str) -> Output {
        let mut command = self.command(args);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        output(child.wait_with_output().unwrap())
    }

    /// Standard output of a command that must succeed.
    #[track_caller]
    pub fn ok(&self, args: &[&str]) -> String {
        let output = self.laguna(args);
        assert_eq!(output.code, 0, "laguna {args:?}\n{}\n{}", output.stdout, output.stderr);
        output.stdout
    }

    /// Standard error of a command that must fail with a code.
    #[track_caller]
    pub fn fails(&self, code: i32, args: &[&str]) -> String {
        let output = self.laguna(args);
        assert_eq!(output.code, code, "laguna {args:?}\n{}\n{}", output.stdout, output.stderr);
        output.stderr
    }

    /// The rows of a query.
    #[track_caller]
    pub fn rows(&self, sql: &str) -> Vec<serde_json::Value> {
        serde_json::from_str(&self.ok(&["query", "-o", "json", sql])).unwrap()
    }
}

/// The root of the repository.
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

fn finish(mut command: Command) -> Output {
    output(command.output().unwrap())
}

fn output(output: std::process::Output) -> Output {
    let Some(code) = output.status.code() else {
        panic!("laguna died: {}\n{}", output.status, String::from_utf8_lossy(&output.stderr));
    };
    Output {
        code,
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Copies a folder, leaving a lake inside it behind.
pub fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        match path.is_dir() {
            true if path.file_name().is_some_and(|name| name == "lake") => {}
            true => copy(&path, &target),
            false => drop(std::fs::copy(&path, &target).unwrap()),
        }
    }
}

/// Two days pass for the files of the lake.
pub fn age(folder: &Path) {
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

/// Rounds of a test that tries many moments: `LAGUNA_KILL_ROUNDS`, else `default`.
pub fn rounds(default: u64) -> u64 {
    std::env::var("LAGUNA_KILL_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(default).max(1)
}

/// Numbers without a pattern (xorshift64, Marsaglia 2003) that a printed seed repeats.
pub struct Random {
    /// Where it began; `LAGUNA_KILL_SEED` sets it.
    pub seed: u64,
    state: u64,
}

impl Random {
    /// Begins at `LAGUNA_KILL_SEED`, else at the time.
    pub fn new() -> Random {
        let given = std::env::var("LAGUNA_KILL_SEED").ok().and_then(|text| text.parse().ok());
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64;
        let seed = given.unwrap_or(now);
        Random { seed, state: seed | 1 }
    }

    /// A number from 0 to `below - 1`.
    pub fn below(&mut self, below: u64) -> u64 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        self.state % below.max(1)
    }
}
