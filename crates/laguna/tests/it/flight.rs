//! The Flight SQL door as clients meet it: ADBC's driver and Arrow's own client.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::kit::{Project, Random, repository};
use crate::servers::{install, run, skip};
use crate::serving::{Certificate, Serving, orders};

/// The door of a running `laguna serve`.
struct Served {
    serving: Serving,
    address: String,
    project: Project,
}

/// The door to a lake of orders; `more` is added to `laguna.yml`.
fn serve(more: &str) -> Served {
    let project = orders(more);
    let serving = Serving::start(&project, &["flight"]);
    Served { address: serving.address("flight").to_string(), serving, project }
}

/// A Python with the drivers.
fn drivers() -> Option<PathBuf> {
    install("flight-clients", "bin/python", |folder| {
        run(Command::new("python3").args(["-m", "venv"]).arg(folder))?;
        let needs = repository().join("tests/clients/requirements-flight.txt");
        run(Command::new(folder.join("bin/python"))
            .args(["-m", "pip", "install", "--quiet", "-r"])
            .arg(needs))
    })
}

/// One part of what the clients do; `None` where there are none.
pub fn client(address: &str, scheme: &str, part: &str) -> Option<Command> {
    let mut command = Command::new(drivers()?);
    command.arg(repository().join("tests/clients/flight_clients.py"));
    command.args([part, &format!("{scheme}://{address}")]);
    Some(command)
}

#[track_caller]
fn passes(served: &Served, scheme: &str, name: &str) {
    let Some(mut command) = client(&served.address, scheme, name) else { return };
    let output = command.output().unwrap();
    assert!(output.status.success(), "{name}\n{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn clients_of_flight_sql_read_the_lake() {
    let served = serve("");
    for name in ["results", "parameters", "catalogs", "errors", "cancelling", "protocol", "together"] {
        passes(&served, "grpc", name);
    }
}

#[test]
fn the_jdbc_driver_reads_the_lake() {
    if Command::new("java").arg("-version").output().is_err() {
        return skip("JDBC driver of Flight SQL", "Java is not installed");
    }
    let jar = install("flight-sql-jdbc", "driver.jar", |folder| {
        std::fs::create_dir_all(folder).map_err(|error| error.to_string())?;
        let url = "https://repo1.maven.org/maven2/org/apache/arrow/flight-sql-jdbc-driver/18.3.0/flight-sql-jdbc-driver-18.3.0.jar";
        run(Command::new("curl").args(["-sSf", "-o"]).arg(folder.join("driver.jar")).arg(url))
    });
    let Some(jar) = jar else { return };
    let users = "users: {ana: {role: admin, password: secret}, bot: {role: admin, token: tok-123456}}\n";
    let served = serve(users);
    let mut java = Command::new("java");
    java.arg("--add-opens=java.base/java.nio=ALL-UNNAMED").arg("-cp").arg(jar);
    java.arg(repository().join("tests/clients/FlightDoor.java")).arg(&served.address);
    let output = java.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_planned_statement_and_a_transaction_read_one_release() {
    let served = serve("");
    let Some(mut command) = client(&served.address, "grpc", "moments") else { return };
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    if line.trim() == "planned" {
        served.project.put("data/2.csv", b"id,customer,amount,qty\n4,c4,4.00,4\n");
        served.project.ok(&["run"]);
        writeln!(child.stdin.take().unwrap()).unwrap();
    }
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(line, "planned\n");
}

#[test]
fn roles_hold_and_who_has_no_login_is_told_nothing() {
    let served = serve(
        "users:
  ana: {role: admin, password: \"correct horse\"}
  bob: {role: analyst, password: battery}
  bot: {role: analyst, token: tok-123456}
roles:
  analyst:
    read: [enhanced]
    mask: {enhanced.orders: [customer]}
    rows: {enhanced.orders: \"id > 1\"}\n",
    );
    passes(&served, "grpc", "roles");
}

#[test]
fn tls_is_spoken_when_there_is_a_certificate() {
    let Some(certificate) = Certificate::new("TLS of the Flight SQL door") else { return };
    let served = serve(&certificate.settings());
    passes(&served, "grpc+tls", "tls");
}

#[cfg(unix)]
#[test]
fn a_server_that_stops_lets_answers_end() {
    let mut serving = Serving::start(&orders(""), &["flight", "http"]);
    let Some(mut command) = client(serving.address("flight"), "grpc", "ask") else { return };
    let slow = "SELECT count(*) FROM generate_series(1, 12000) a(v) CROSS JOIN generate_series(1, 12000) b(w) WHERE v <> -w";
    let asked = command.arg(slow).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    for _ in 0..600 {
        if serving.get("/metrics", &[]).body.contains("laguna_statements_running 1") {
            break;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Command::new("kill").args(["-TERM", &serving.process.id().to_string()]).status().unwrap();
    let output = asked.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(said.trim(), "[(144000000,)]", "{}", String::from_utf8_lossy(&output.stderr));
    assert!(serving.process.wait().unwrap().success());
}

#[test]
#[expect(clippy::print_stdout, reason = "the seed repeats a failure")]
fn broken_bytes_end_a_connection_and_nothing_else() {
    let mut served = serve("");
    let mut random = Random::new();
    println!("seed {}", random.seed);
    // The preface, empty settings, and the head of a call without its end.
    let mut session = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    session.extend([0, 0, 0, 4, 0, 0, 0, 0, 0]);
    let path = b"/arrow.flight.protocol.FlightService/DoGet";
    // Indexed: POST, http; literal: path, content type.
    let mut head = vec![0x83, 0x86, 0x04, path.len() as u8];
    head.extend(path);
    head.extend([0x0f, 0x10, 16]);
    head.extend(b"application/grpc");
    session.extend([0, 0, head.len() as u8, 1, 4, 0, 0, 0, 1]);
    session.extend(head);
    // A ticket whose message says that it is longer than it is.
    session.extend([0, 0, 9, 0, 1, 0, 0, 0, 1]);
    session.extend([0, 0, 0, 0, 4, 0x0a, 0x7f, 1, 2]);
    for _ in 0..300 {
        let mut bytes = session.clone();
        for _ in 0..random.below(6) {
            let at = random.below(bytes.len() as u64) as usize;
            match random.below(4) {
                0 => bytes[at] = random.below(256) as u8,
                1 => bytes.truncate(at.max(1)),
                2 => bytes.insert(at, random.below(256) as u8),
                _ => bytes[at] ^= 1 << random.below(8),
            }
        }
        let mut stream = TcpStream::connect(&served.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        // The door may close while it is still being written to.
        let _ = stream.write_all(&bytes);
        let mut answer = [0u8; 4096];
        while matches!(stream.read(&mut answer), Ok(count) if count > 0) {}
    }
    assert!(served.serving.process.try_wait().unwrap().is_none(), "the process has ended");
    passes(&served, "grpc", "protocol");
}
