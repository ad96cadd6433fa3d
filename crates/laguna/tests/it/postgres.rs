//! The Postgres door as clients meet it: drivers, psql, recorded statements beside PostgreSQL 15, logins, broken bytes.

#![expect(clippy::print_stdout, reason = "seeds and counts are the report of these tests")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::kit::{Project, Random, repository};
use crate::servers::{install, run, skip, wants_all};
use crate::serving::{Certificate, Serving, orders};

mod alike;

/// The door of a running `laguna serve`.
struct Served {
    serving: Serving,
    port: u16,
    project: Project,
}

fn serve(project: Project) -> Served {
    let serving = Serving::start(&project, &["postgres"]);
    Served { port: serving.port("postgres"), serving, project }
}

/// What psql says to `script`: standard output, then standard error. `None` where there is no psql.
fn psql(served: &Served, connection: &str, script: &str) -> Option<(String, String)> {
    let mut command = Command::new("psql");
    command.args(["-X", "-q", "-A", "-t", &format!("host=127.0.0.1 port={} {connection}", served.port)]);
    command
        .env("PGCONNECT_TIMEOUT", "20")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let Ok(mut child) = command.spawn() else {
        skip("psql", "it is not installed");
        return None;
    };
    // A refused login ends it before it reads.
    let _ = child.stdin.take().unwrap().write_all(script.as_bytes());
    let output = child.wait_with_output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Some((text(&output.stdout), text(&output.stderr)))
}

/// A Python with the drivers.
fn drivers() -> Option<PathBuf> {
    install("postgres-clients", "bin/python", |folder| {
        run(Command::new("python3").args(["-m", "venv"]).arg(folder))?;
        let needs = repository().join("tests/clients/requirements-postgres.txt");
        run(Command::new(folder.join("bin/python"))
            .args(["-m", "pip", "install", "--quiet", "-r"])
            .arg(needs))
    })
}

#[track_caller]
fn script(python: &Path, name: &str, args: &[String]) -> String {
    let path = repository().join("tests/clients").join(name);
    let output = Command::new(python).arg(path).args(args).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{name}\n{said}\n{}", String::from_utf8_lossy(&output.stderr));
    said
}

/// Superset takes minutes to install and to set up: it is tried by `./test --all`.
#[test]
fn superset_connects_lists_and_charts() {
    if !wants_all() {
        return;
    }
    let python = install("superset", "bin/gunicorn", |folder| {
        run(Command::new("python3").args(["-m", "venv"]).arg(folder))?;
        let needs = repository().join("tests/clients/requirements-superset.txt");
        run(Command::new(folder.join("bin/python"))
            .args(["-m", "pip", "install", "--quiet", "-r"])
            .arg(needs))
    });
    let Some(python) = python.map(|gunicorn| gunicorn.with_file_name("python")) else { return };
    let served = serve(orders(""));
    let folder = tempfile::tempdir().unwrap();
    let args = [served.port.to_string(), folder.path().display().to_string()];
    script(&python, "superset.py", &args);
}

#[test]
fn drivers_of_python_read_as_from_postgresql() {
    let Some(python) = drivers() else { return };
    let served = serve(orders(""));
    script(&python, "postgres_clients.py", &[served.port.to_string()]);
}

#[test]
fn pgjdbc_reads_as_from_postgresql() {
    if Command::new("java").arg("-version").output().is_err() {
        return skip("pgJDBC", "Java is not installed");
    }
    let jar = install("pgjdbc", "postgresql.jar", |folder| {
        std::fs::create_dir_all(folder).map_err(|error| error.to_string())?;
        let url = "https://repo1.maven.org/maven2/org/postgresql/postgresql/42.7.8/postgresql-42.7.8.jar";
        run(Command::new("curl").args(["-sSf", "-o"]).arg(folder.join("postgresql.jar")).arg(url))
    });
    let Some(jar) = jar else { return };
    let served = serve(orders(""));
    let source = repository().join("tests/clients/PostgresDoor.java");
    let mut java = Command::new("java");
    java.arg("-cp").arg(jar).arg(source).arg(served.port.to_string());
    let output = java.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn psql_describes_reads_and_copies() {
    let served = serve(orders(""));
    let lines = "\\d enhanced.orders\n\\dt enhanced.*\n\\copy (select id, customer from orders order by 1) to stdout csv\n\
                 select count(*) from orders; select 2;\n;\nselect id from nope;\ninsert into orders values (1);\n\
                 begin; declare c cursor for select id from orders order by id; fetch 2 from c; commit;\n\
                 set statement_timeout = 50; select count(*) from generate_series(1, 1000000000);\nshow search_path;\n";
    let Some((out, err)) = psql(&served, "user=ana dbname=laguna", lines) else { return };
    for expected in [
        "amount|numeric(12,2)|||",
        "created_at|timestamp with time zone|||",
        "enhanced|orders|table|laguna",
        "1,c1\n2,c2\n3,\n",
        "3\n2\n",
        "1\n2\n",
        "enhanced, sanitized, latest, raw, system",
    ] {
        assert!(out.contains(expected), "{expected}\n{out}\n{err}");
    }
    for expected in ["there is no table `nope`", "read-only transaction", "ran longer than 0.05 s"] {
        assert!(err.contains(expected), "{expected}\n{err}");
    }
    let (all, err) =
        psql(&served, "user=ana", "\\l\n\\dn\n\\d+ enhanced.orders\n\\d\n\\du\n\\dv\n\\df\n\\dT\n\\dx\n")
            .unwrap();
    assert_eq!(err, "", "{all}");
    assert!(all.contains("Number of the order"), "{all}");
}

#[test]
fn what_is_found_along_the_search_path_is_kept_and_the_catalog_is_not() {
    let project = orders("");
    let serving = Serving::start(&project, &["postgres", "http"]);
    let served = Served { port: serving.port("postgres"), serving, project };
    let kept = || {
        let text = served.serving.get("/metrics", &[]).body;
        let line = text.lines().find_map(|line| line.strip_prefix("laguna_cache_hits_total "));
        line.map_or(0, |count| count.parse::<u64>().unwrap())
    };
    for (statement, grows) in [
        ("select count(*) from orders where id > 1", 2),
        ("select sum(amount) from v_orders", 2),
        ("select count(*) from pg_class", 0),
        ("select count(*) from orders o, pg_class c", 0),
        ("select now() > '2020-01-01 00:00:00' from orders", 0),
    ] {
        let before = kept();
        for _ in 0..3 {
            if psql(&served, "user=ana", &format!("{statement};\n")).is_none() {
                return;
            }
        }
        assert_eq!(kept() - before, grows, "{statement}");
    }
}

#[test]
fn what_a_transaction_sets_for_itself_ends_with_it() {
    let served = serve(orders(""));
    let statements = "BEGIN;\nSET LOCAL TimeZone = 'Asia/Tokyo';\nSELECT timestamptz '2013-01-01 00:00Z';\nCOMMIT;\nSHOW TimeZone;\n\
        BEGIN;\nSET LOCAL statement_timeout = '5s';\nSET statement_timeout = '7s';\nCOMMIT;\nSHOW statement_timeout;\n\
        BEGIN;\nSET search_path = raw;\nROLLBACK;\nSHOW search_path;\n\
        PREPARE p (int, date) AS SELECT $1 * 2, $2 + 1;\nEXECUTE p (1 + 2, date '2013-01-30' + 1);\n";
    let Some((out, err)) = psql(&served, "user=ana", statements) else { return };
    let path = "enhanced, sanitized, latest, raw, system";
    assert_eq!(out, format!("2013-01-01 09:00:00+09\nUTC\n7s\n{path}\n6|2013-02-01\n"), "{err}");
}

#[test]
fn what_computes_without_an_end_is_stopped() {
    let served = serve(orders("serve: {concurrency: 1}\n"));
    // It finds nothing, so that nothing but its condition can be asked whether to go on.
    let series = "generate_series(1, 2000000)";
    let join = format!("SELECT count(*) FROM {series} a, {series} b WHERE a % 7 > b % 5 + 9;\n");
    let statements = format!(
        "SET statement_timeout = 300;\n{join}SELECT count(*) FROM orders;\nSELECT length(repeat(customer, 2000000000)) FROM orders;\n"
    );
    let Some((out, err)) = psql(&served, "user=ana", &statements) else { return };
    assert_eq!(out, "3\n", "{err}");
    assert!(err.contains("ran longer than 0.3 s") && err.contains("MB at once"), "{err}");
}

#[test]
fn cursors_at_rest_keep_nobody_waiting() {
    let served = serve(orders("serve: {concurrency: 1}\n"));
    let mut idle = Vec::new();
    for _ in 0..3 {
        let mut command = Command::new("psql");
        let connection = format!("host=127.0.0.1 port={} user=ana", served.port);
        command.args(["-X", "-q", "-A", "-t", &connection]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let Ok(mut child) = command.spawn() else { return skip("psql", "it is not installed") };
        let mut input = child.stdin.take().unwrap();
        let many = "SELECT n FROM generate_series(1, 10000000) AS n";
        writeln!(input, "BEGIN;\nDECLARE c CURSOR FOR {many};\nFETCH 1 FROM c;").unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        assert_eq!(line, "1\n");
        idle.push((child, input, output));
    }
    let (out, err) = psql(&served, "user=ana", "SELECT count(*) FROM orders;\n").unwrap();
    assert_eq!(out, "3\n", "{err}");
    // They go on where they stopped.
    for (mut child, mut input, mut output) in idle {
        writeln!(input, "FETCH 1 FROM c;").unwrap();
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        assert_eq!(line, "2\n");
        drop(input);
        child.wait().unwrap();
    }
}

#[test]
fn a_transaction_reads_one_release() {
    let served = serve(orders(""));
    let mut command = Command::new("psql");
    let connection = format!("host=127.0.0.1 port={} user=ana", served.port);
    command.args(["-X", "-q", "-A", "-t", &connection]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let Ok(mut child) = command.spawn() else { return skip("psql", "it is not installed") };
    let mut input = child.stdin.take().unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut count = |prefix: &str| {
        writeln!(input, "{prefix} select count(*) from enhanced.orders;").unwrap();
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        line.trim().to_string()
    };
    assert_eq!(count("begin;"), "3");
    served.project.put("data/2.csv", b"id,customer,amount,qty\n4,c4,4.00,4\n");
    served.project.ok(&["run"]);
    assert_eq!(count(""), "3");
    assert_eq!(count("commit;"), "4");
    drop(input);
    child.wait().unwrap();
}

#[test]
fn logins_prove_a_password() {
    let users = "users:\n  ana: {role: admin, password: \"correct horse\"}\n  bot: {role: admin, token: tok-123456}\n";
    let served = serve(orders(users));
    let who = "select current_user;\n";
    let Some((out, err)) = psql(&served, "user=ana password='correct horse'", who) else { return };
    assert_eq!((out.as_str(), err.as_str()), ("ana\n", ""));
    for wrong in ["user=ana password=wrong", "user=nobody password=wrong", "user=bot password=wrong"] {
        let (out, err) = psql(&served, wrong, who).unwrap();
        assert_eq!(out, "");
        assert!(err.contains("the login was refused"), "{wrong}: {err}");
    }
    assert_eq!(psql(&served, "user=bot password=tok-123456", who).unwrap().0, "bot\n");
}

/// Sessions see and end those of their own user.
#[test]
fn only_ones_own_sessions_can_be_ended() {
    let users = "users:\n  ana: {role: admin, password: secret-of-ana}\n  bo: {role: admin, password: secret-of-bo}\n";
    let served = serve(orders(users));
    let sleeping = |user: &str| {
        let connection = format!("host=127.0.0.1 port={} user={user} password=secret-of-{user}", served.port);
        let mut command = Command::new("psql");
        command.args(["-XqAt", &connection, "-c", "select pg_sleep(60)"]);
        command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn()
    };
    let Ok(ana) = sleeping("ana") else { return skip("psql", "it is not installed") };
    let said = |user: &str, script: &str| {
        psql(&served, &format!("user={user} password=secret-of-{user}"), script).unwrap().0.trim().to_string()
    };
    let others = "select pid from pg_stat_activity where pid <> pg_backend_pid()";
    let mut pid = String::new();
    for _ in 0..100 {
        pid = said("ana", others);
        if !pid.is_empty() {
            break;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    assert!(pid.parse::<i32>().is_ok(), "{pid}");
    assert_eq!(said("bo", others), "");
    assert_eq!(said("bo", &format!("select pg_terminate_backend({pid}), pg_cancel_backend({pid})")), "f|f");
    assert_eq!(said("ana", others), pid, "it goes on");
    assert_eq!(said("ana", &format!("select pg_terminate_backend({pid})")), "t");
    let ended = ana.wait_with_output().unwrap();
    let error = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert!(!ended.status.success() && error.contains("cancelled"), "{error}");
    assert_eq!(said("ana", others), "");
}

#[test]
fn tls_is_spoken_when_there_is_a_certificate() {
    let Some(certificate) = Certificate::new("TLS of the Postgres door") else { return };
    let served = serve(orders(&certificate.settings()));
    for mode in ["require", "disable"] {
        let connection = format!("user=ana password=secret sslmode={mode}");
        let Some((out, err)) = psql(&served, &connection, "\\conninfo\nselect count(*) from orders;\n")
        else {
            return;
        };
        assert!(out.ends_with("3\n"), "{mode}: {out}{err}");
        assert_eq!(out.contains("SSL connection"), mode == "require", "{out}");
    }
}

/// A client that insists on it proves the password together with the certificate that it saw.
#[test]
fn a_login_is_bound_to_the_certificate() {
    let Some(certificate) = Certificate::new("channel binding of the Postgres door") else { return };
    let served = serve(orders(&certificate.settings()));
    let login = format!("user=ana sslmode=verify-full sslrootcert={} host=localhost", certificate.cert());
    for binding in ["require", "prefer", "disable"] {
        let connection = format!("{login} password=secret channel_binding={binding}");
        let Some((out, err)) = psql(&served, &connection, "select count(*) from orders;\n") else { return };
        assert_eq!(out, "3\n", "{binding}: {err}");
    }
    let (out, err) =
        psql(&served, &format!("{login} password=wrong channel_binding=require"), "select 1;\n").unwrap();
    assert!(out.is_empty() && err.contains("the login was refused"), "{out}{err}");
}

/// A message with its length.
fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![kind];
    bytes.extend(((body.len() + 4) as u32).to_be_bytes());
    bytes.extend(body);
    bytes
}

#[test]
fn broken_bytes_end_a_connection_and_nothing_else() {
    let mut served = serve(orders(""));
    let mut random = Random::new();
    println!("seed {}", random.seed);
    let mut first = vec![0, 0, 0, 18, 0, 3, 0, 0];
    first.extend(b"user\0ana\0\0");
    let mut session = first.clone();
    session.extend(message(b'Q', b"select id, tags from orders\0"));
    session.extend(message(b'P', b"s\0select id from orders where id > $1\0\0\x01\0\0\0\x14"));
    session.extend(message(b'B', b"p\0s\0\0\x01\0\x01\0\x01\0\0\0\x08\0\0\0\0\0\0\0\x01\0\x01\0\x01"));
    session.extend(message(b'D', b"Pp\0"));
    session.extend(message(b'E', b"p\0\0\0\0\x01"));
    session.extend(message(b'C', b"Ss\0"));
    session.extend(message(b'S', b""));
    session.extend(message(b'Q', b"copy orders to stdout\0"));
    for round in 0..300 {
        let mut bytes = session.clone();
        // Most rounds get past the first message.
        let from = if round % 4 == 0 { 0 } else { first.len() };
        for _ in 0..1 + random.below(6) {
            let at = from + random.below((bytes.len() - from) as u64) as usize;
            match random.below(4) {
                0 => bytes[at] = random.below(256) as u8,
                1 => bytes.truncate(at.max(1)),
                2 => bytes.insert(at, random.below(256) as u8),
                _ => bytes[at] ^= 1 << random.below(8),
            }
            if bytes.len() <= from {
                break;
            }
        }
        let mut stream = TcpStream::connect(("127.0.0.1", served.port)).unwrap();
        stream.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        // The door may close while it is still being written to.
        let _ = stream.write_all(&bytes);
        let mut answer = [0u8; 4096];
        while matches!(stream.read(&mut answer), Ok(count) if count > 0) {}
    }
    assert!(served.serving.process.try_wait().unwrap().is_none(), "the process has ended");
    if let Some((out, err)) = psql(&served, "user=ana", "select count(*) from orders;\n") {
        assert_eq!(out, "3\n", "{err}");
    }
}
