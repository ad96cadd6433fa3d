//! Who gets into `laguna serve`, by which secret and through which door, and what is recorded of it in `system.queries`.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::browser::http;
use crate::kit::Project;
use crate::servers::skip;
use crate::serving::{Certificate, Serving, orders};

/// A server with two doors.
struct Lake(Serving);

impl Lake {
    fn start(project: &Project) -> Lake {
        Lake(Serving::start(project, &["postgres", "http"]))
    }

    /// What psql says to one statement of `user`.
    fn psql(&self, user: &str, secret: &str, statement: &str) -> (String, String) {
        let port = self.0.port("postgres").to_string();
        let mut command = Command::new("psql");
        command
            .args(["-X", "-q", "-A", "-t", "-v", "VERBOSITY=verbose"])
            .args(["-h", "127.0.0.1", "-p", &port, "-U", user, "-d", "lake", "-c", statement])
            .env("PGPASSWORD", secret);
        let Output { stdout, stderr, .. } = command.output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).trim().to_string();
        (text(stdout), text(stderr))
    }

    fn status(&self, authorization: &str) -> u16 {
        http(self.0.address("http"), "GET", "/", &[("Authorization", authorization)], "").unwrap().status
    }

    fn refused(&self, door: &str) -> u64 {
        let text = http(self.0.address("http"), "GET", "/metrics", &[], "").unwrap().body;
        let name = format!("laguna_logins_refused_total{{door=\"{door}\"}} ");
        text.lines().find_map(|line| line.strip_prefix(&name)).map_or(0, |count| count.parse().unwrap())
    }
}

fn has_psql(test: &str) -> bool {
    let there = Command::new("psql").arg("--version").output().is_ok();
    if !there {
        skip(test, "there is no psql");
    }
    there
}

fn project(users: &str) -> Project {
    let project = Project::empty()
        .write("laguna.yml", &format!("name: logins\nlake: ./lake\n{users}"))
        .write("raw/numbers.yml", "source: {files: \"data/*.csv\"}\n")
        .write("data/1.csv", "n\n1\n")
        .write("sanitized/one.sql", "SELECT count(*) AS n FROM raw.numbers\n")
        .write("enhanced/two.sql", "SELECT n FROM sanitized.one\n");
    project.ok(&["run"]);
    project
}

pub fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

/// What `laguna serve --hash-password` makes of a secret.
fn hash(secret: &str) -> String {
    let output = Project::empty().laguna_with(&["serve", "--hash-password"], &format!("{secret}\n"));
    assert_eq!(output.code, 0, "{}", output.stderr);
    let hash = output.stdout.trim().to_string();
    assert!(hash.starts_with("$argon2id$v=19$") && !hash.contains(secret), "{hash}");
    hash
}

#[test]
fn each_door_lets_in_by_passwords_hashes_and_tokens_and_nobody_else() {
    if !has_psql("logins of laguna serve") {
        return;
    }
    let (password, token) = (hash("battery staple"), hash("tok-of-cy-1234"));
    let project = project(&format!(
        "users:\n  ana: {{role: admin, password: \"correct horse\"}}\n  bo: {{role: admin, password: \"{password}\"}}\n  \
         cy: {{role: admin, token: \"{token}\"}}\n  di: {{role: admin, token: tok-of-di-1234}}\n"
    ));
    let serving = Lake::start(&project);
    let who = "select current_user";
    let passwords = [("ana", "correct horse"), ("bo", "battery staple")];
    let tokens = [("cy", "tok-of-cy-1234"), ("di", "tok-of-di-1234")];
    for (user, secret) in passwords.into_iter().chain(tokens) {
        assert_eq!(serving.psql(user, secret, who), (user.to_string(), String::new()), "{user}");
        assert_eq!(serving.status(&basic(user, secret)), 200, "{user}");
        let form = format!("user={user}&password={}&next=/", secret.replace(' ', "+"));
        let kind = [("Content-Type", "application/x-www-form-urlencoded")];
        let answer = http(serving.0.address("http"), "POST", "/login", &kind, &form).unwrap();
        assert_eq!(answer.status, 303, "{user}: {}", answer.body);
        let cookie = answer.header("set-cookie").split(';').next().unwrap().to_string();
        let page = http(serving.0.address("http"), "GET", "/", &[("Cookie", &cookie)], "").unwrap();
        assert_eq!(page.status, 200, "{user}");
    }
    for (user, secret) in tokens {
        assert_eq!(serving.psql("token", secret, who), (user.to_string(), String::new()), "{user}");
        assert_eq!(serving.status(&format!("Bearer {secret}")), 200, "{user}");
    }
    assert_eq!((serving.refused("postgres"), serving.refused("http")), (0, 0));

    // A hash is not the password, the token of another user not one's own, and nobody is told which names there are.
    let wrong = [
        ("ana", "wrong"),
        ("ana", "tok-of-di-1234"),
        ("bo", password.as_str()),
        ("cy", token.as_str()),
        ("eve", "correct horse"),
        ("token", "correct horse"),
    ];
    for (user, secret) in wrong {
        let (out, told) = serving.psql(user, secret, who);
        assert!(out.is_empty() && told.contains("the login was refused"), "{user}: {out} {told}");
        assert_eq!(serving.status(&basic(user, secret)), 401, "{user}");
    }
    assert_eq!(serving.status("Bearer wrong"), 401);
    assert_eq!(serving.status("Basic %%%"), 401);
    let form = http(
        serving.0.address("http"),
        "POST",
        "/login",
        &[("Content-Type", "application/x-www-form-urlencoded")],
        "user=ana&password=x",
    );
    assert_eq!(form.unwrap().status, 401);
    let refused = wrong.len() as u64;
    assert_eq!((serving.refused("postgres"), serving.refused("http")), (refused, refused + 3));
}

#[test]
fn who_guesses_waits_and_the_others_do_not() {
    let project = project(
        "users:\n  ana: {role: admin, password: secret-of-ana}\n  bo: {role: admin, password: secret-of-bo}\n",
    );
    let serving = Lake::start(&project);
    let guesses: Vec<u16> =
        (0..40).map(|number| serving.status(&basic("ana", &format!("guess {number}")))).collect();
    assert!(guesses.iter().all(|status| matches!(status, 401 | 429)), "{guesses:?}");
    assert!(guesses.ends_with(&[429]), "{guesses:?}");
    // Not even the right password is told to be right.
    assert_eq!(serving.status(&basic("ana", "secret-of-ana")), 429);
    assert_eq!(serving.status(&basic("bo", "secret-of-bo")), 200);
    assert_eq!(serving.refused("http"), 41);
}

/// What is recorded of the Postgres door, in the order in which it came.
fn recorded(project: &Project) -> Vec<Value> {
    project.rows(
        "SELECT user_name, role, sql, outcome, message, release, rows, cached FROM system.queries \
         WHERE door = 'postgres' ORDER BY started, server, number",
    )
}

/// Waits until `count` statements and logins of the Postgres door are recorded.
fn wait_for(project: &Project, count: usize) -> Vec<Value> {
    let start = Instant::now();
    loop {
        let rows = recorded(project);
        if rows.len() >= count || start.elapsed() > Duration::from_secs(60) {
            assert_eq!(rows.len(), count, "{rows:#?}");
            return rows;
        }
        std::thread::sleep(Duration::from_millis(300));
    }
}

/// Files below `folder` that hold `text`, as it is.
fn files_with(folder: &Path, text: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found.extend(files_with(&path, text)),
            false => {
                let bytes = std::fs::read(&path).unwrap();
                if bytes.windows(text.len()).any(|window| window == text.as_bytes()) {
                    found.push(path);
                }
            }
        }
    }
    found
}

#[test]
fn statements_and_refused_logins_are_recorded_once_whatever_happens() {
    if !has_psql("the record of statements") {
        return;
    }
    let project = project(
        "roles:\n  analyst: {read: [enhanced]}\nusers:\n  ana: {role: admin, password: secret-of-ana}\n  cor: {role: analyst, password: secret-of-cor}\n",
    );
    let mut serving = Lake::start(&project);
    let ask = |serving: &Lake, number: usize| {
        let sql = format!("SELECT n + {number} FROM enhanced.two");
        assert_eq!(serving.psql("ana", "secret-of-ana", &sql).0, (number + 1).to_string());
    };
    (0..3).for_each(|number| ask(&serving, number));
    // An answer that was kept is one too.
    ask(&serving, 2);
    assert!(serving.psql("cor", "secret-of-cor", "SELECT n FROM sanitized.one").1.contains("there is no"));
    serving.psql("ana", "a-guess-of-somebody", "SELECT 1");
    let before = wait_for(&project, 6);
    let column = |rows: &[Value], name: &str| rows.iter().map(|row| row[name].clone()).collect::<Vec<_>>();
    assert_eq!(column(&before, "user_name"), ["ana", "ana", "ana", "ana", "cor", "ana"]);
    assert_eq!(column(&before, "role"), ["admin", "admin", "admin", "admin", "analyst", ""]);
    assert_eq!(column(&before, "outcome"), ["ok", "ok", "ok", "ok", "project", "denied"]);
    assert_eq!(column(&before, "cached"), [false, false, false, true, false, false]);
    assert_eq!(column(&before, "rows"), [1, 1, 1, 1, 0, 0]);
    assert_eq!(column(&before[..4], "release"), [1, 1, 1, 1]);
    for (row, text) in before.iter().zip(["+ 0", "+ 1", "+ 2", "+ 2", "sanitized.one"]) {
        assert!(row["sql"].as_str().unwrap().contains(text), "{row}");
    }
    assert_eq!(
        (before[5]["sql"].as_str(), before[5]["message"].as_str()),
        (Some(""), Some("the login was refused"))
    );
    let folder = project.path().join("lake/_laguna/queries");
    assert!(!files_with(&folder, "enhanced.two").is_empty());
    for secret in ["secret-of-ana", "secret-of-cor", "a-guess-of-somebody"] {
        assert_eq!(files_with(&folder, secret), Vec::<PathBuf>::new());
    }

    // What was written stays, though the server is killed.
    serving.0.process.kill().unwrap();
    serving.0.process.wait().unwrap();
    assert_eq!(recorded(&project), before);
    let mut serving = Lake::start(&project);
    ask(&serving, 3);
    let again = wait_for(&project, 7);
    assert_eq!(again[..6], before);

    // A run folds it while the server goes on.
    project.put("data/2.csv", b"n\n2\n");
    project.ok(&["run"]);
    assert_eq!(recorded(&project), again);
    assert_eq!(serving.psql("ana", "secret-of-ana", "SELECT n + 40 FROM enhanced.two").0, "42");
    // One who reads everything sees the record, one with less not even its name.
    let count = "SELECT count(*) FROM system.queries WHERE door = 'postgres' AND sql LIKE '%enhanced.two%'";
    assert!(serving.psql("cor", "secret-of-cor", count).1.contains("there is no"));
    wait_for(&project, 9);
    assert_eq!(serving.psql("ana", "secret-of-ana", &count.replace("count(*)", "count(*) AS folded")).0, "7");
    // What waits is written when the server is told to stop.
    #[cfg(unix)]
    {
        Command::new("kill").args(["-TERM", &serving.0.process.id().to_string()]).status().unwrap();
        assert!(serving.0.process.wait().unwrap().success());
        assert_eq!(recorded(&project).len(), 10);
    }
    drop(serving);
    let last = recorded(&project);
    project.ok(&["maintain"]);
    assert_eq!(recorded(&project), last);
    let left = std::fs::read_dir(folder).map_or(0, Iterator::count);
    assert_eq!(left, 0, "objects that are folded already");
}

#[test]
fn the_sql_page_takes_what_it_shows_and_no_more() {
    let project = project("");
    let mut serving = Lake::start(&project);
    let body = serde_json::json!({"sql": "SELECT a.value FROM generate_series(1, 1000000) a CROSS JOIN generate_series(1, 1000000) b"});
    let headers = [("Content-Type", "application/json")];
    let answer = http(serving.0.address("http"), "POST", "/sql/run", &headers, &body.to_string()).unwrap();
    let shown: Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!((shown["rows"].as_array().unwrap().len(), &shown["more"]), (1000, &Value::Bool(true)));
    Command::new("kill").args(["-TERM", &serving.0.process.id().to_string()]).status().unwrap();
    assert!(serving.0.process.wait().unwrap().success());
    let rows = project.rows("SELECT outcome, rows FROM system.queries WHERE sql LIKE '%CROSS JOIN%'");
    assert_eq!(rows, [serde_json::json!({"outcome": "ok", "rows": 1001})]);
}

#[test]
fn nothing_is_recorded_where_nobody_wants_it() {
    let project = project("serve: {audit: false}\n");
    let serving = Lake::start(&project);
    assert_eq!(http(serving.0.address("http"), "GET", "/", &[], "").unwrap().status, 200);
    drop(serving);
    assert!(!project.path().join("lake/_laguna/queries").exists());
}

/// A message of PostgreSQL's protocol.
fn message(kind: &[u8], body: &[u8]) -> Vec<u8> {
    [kind, &(body.len() as u32 + 4).to_be_bytes(), body].concat()
}

/// The kinds of the messages that the server sends until it is ready.
fn answers(stream: &mut TcpStream) -> String {
    let mut kinds = String::new();
    while !kinds.ends_with('Z') {
        let mut head = [0; 5];
        stream.read_exact(&mut head).unwrap();
        kinds.push(head[0] as char);
        let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
        stream.read_exact(&mut vec![0; length - 4]).unwrap();
    }
    kinds
}

#[test]
fn who_only_has_a_hidden_table_described_is_recorded() {
    let project = project("");
    let serving = Lake::start(&project);
    let mut stream = TcpStream::connect(serving.0.address("postgres")).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let hello = [&196_608u32.to_be_bytes()[..], b"user\0x\0\0"].concat();
    stream.write_all(&message(b"", &hello)).unwrap();
    assert!(answers(&mut stream).starts_with('R'));
    for (sql, expected) in [("SELECT n FROM enhanced.two", 'T'), ("SELECT n FROM enhanced.hidden", 'E')] {
        let parse = [b"\0", sql.as_bytes(), b"\0\0\0"].concat();
        let all = [message(b"P", &parse), message(b"D", b"S\0"), message(b"S", b"")].concat();
        stream.write_all(&all).unwrap();
        let told = answers(&mut stream);
        assert!(told.contains(expected), "{sql}: {told}");
    }
    let rows = wait_for(&project, 1);
    assert!(rows[0]["sql"].as_str().unwrap().contains("hidden"), "{rows:?}");
    assert_eq!(
        (rows[0]["user_name"].as_str(), rows[0]["outcome"].as_str()),
        (Some("anonymous"), Some("project"))
    );
}

/// What `openssl` reads from the HTTP door over TLS, and whether it trusts whom it speaks with.
fn over_tls(certificate: &Certificate, address: &str, request: &str) -> (String, bool) {
    let mut command = Command::new("openssl");
    command
        .args(["s_client", "-connect", address, "-servername", "localhost", "-CAfile", &certificate.cert()])
        .args(["-verify_return_error", "-verify_hostname", "localhost", "-quiet", "-ign_eof"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let mut client = command.spawn().unwrap();
    let _ = client.stdin.take().unwrap().write_all(request.as_bytes());
    let output = client.wait_with_output().unwrap();
    (String::from_utf8_lossy(&output.stdout).into_owned(), output.status.success())
}

#[test]
fn http_is_encrypted_when_there_is_a_certificate() {
    let Some(certificate) = Certificate::new("TLS of the HTTP door") else { return };
    let project = orders(&certificate.settings());
    let serving = Serving::start(&project, &["http"]);
    let address = serving.address("http");
    let head = "HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n";
    let (answer, trusted) = over_tls(&certificate, address, &format!("GET /health {head}\r\n"));
    assert!(answer.starts_with("HTTP/1.1 200 ") && trusted, "{answer}");
    let statement = r#"{"sql": "SELECT count(*) AS n FROM enhanced.orders"}"#;
    let secret = STANDARD.encode("ana:secret");
    let request = format!(
        "POST /v1/sql {head}Authorization: Basic {secret}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{statement}",
        statement.len()
    );
    let (answer, _) = over_tls(&certificate, address, &request);
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains('3'), "{answer}");
    // What a login leaves in the browser never goes out in the clear.
    let form = "user=ana&password=secret";
    let request = format!(
        "POST /login {head}Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{form}",
        form.len()
    );
    let (answer, _) = over_tls(&certificate, address, &request);
    let cookie =
        answer.lines().find(|line| line.to_lowercase().starts_with("set-cookie:")).unwrap_or_default();
    assert!(cookie.contains("; Secure") && cookie.contains("; HttpOnly"), "{answer}");
    // In the clear nothing is said.
    assert!(http(address, "GET", "/health", &[], "").is_err());
}
