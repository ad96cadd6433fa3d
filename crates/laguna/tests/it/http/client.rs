//! The HTTP door of a running `laguna serve`, and a client that sees every byte of its answers.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::Value;

use crate::kit::Project;
use crate::serving::Serving;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// The HTTP door of a running server.
pub struct Served {
    pub serving: Serving,
    pub address: String,
    pub project: Project,
}

/// One answer.
pub struct Reply {
    pub status: u16,
    head: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// Whether the body came to the end that its head promised.
    pub whole: bool,
}

impl Reply {
    /// A header; empty where there is none.
    pub fn header(&self, name: &str) -> &str {
        let found = self.head.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map_or("", |(_, value)| value)
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    /// The problem that it must be.
    #[track_caller]
    pub fn problem(&self, status: u16, code: &str) -> Value {
        assert_eq!(self.header("content-type"), "application/problem+json", "{}", self.text());
        let problem = self.json();
        assert_eq!((self.status, problem["code"].as_str()), (status, Some(code)), "{problem}");
        assert_eq!(problem["status"], status);
        assert!(problem["detail"].as_str().is_some_and(|text| !text.is_empty()), "{problem}");
        problem
    }
}

/// The head of a request, then its body.
pub fn request(address: &str, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> String {
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let length = if body.is_empty() { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
    format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{length}{headers}\r\n{body}")
}

impl Served {
    /// Serves `project` through the HTTP door.
    pub fn start(project: Project) -> Served {
        let serving = Serving::start(&project, &["http"]);
        Served { address: serving.address("http").to_string(), serving, project }
    }

    /// Sends bytes and leaves the connection open.
    pub fn send(&self, bytes: &str) -> TcpStream {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(bytes.as_bytes()).unwrap();
        stream
    }

    pub fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Reply {
        read(self.send(&request(&self.address, method, path, headers, body)))
    }

    pub fn get(&self, path: &str) -> Reply {
        self.ask("GET", path, &[], "")
    }

    /// The JSON at `path`.
    #[track_caller]
    pub fn json(&self, path: &str) -> Value {
        let reply = self.get(path);
        assert_eq!(reply.status, 200, "{path}: {}", reply.text());
        reply.json()
    }

    /// `POST /v1/sql`.
    pub fn sql(&self, body: &Value, accept: &str) -> Reply {
        let headers = [("Content-Type", "application/json"), ("Accept", accept)];
        self.ask("POST", "/v1/sql", &headers, &body.to_string())
    }

    /// The rows of a statement.
    #[track_caller]
    pub fn rows(&self, body: &Value) -> Value {
        let reply = self.sql(body, "application/json");
        assert_eq!(reply.status, 200, "{body}: {}", reply.text());
        reply.json()
    }

    /// A number of `/metrics`; 0 where it is not told yet.
    pub fn metric(&self, name: &str) -> f64 {
        let reply = self.get("/metrics");
        assert_eq!(reply.status, 200, "{}", reply.text());
        let line = reply.text().lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.map_or(0.0, |number| number.parse().unwrap())
    }

    /// Waits until a number of `/metrics` is `wanted`.
    #[track_caller]
    pub fn until(&self, name: &str, wanted: f64) {
        for _ in 0..600 {
            if self.metric(name) == wanted {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("{name} stays {}, and should be {wanted}", self.metric(name));
    }
}

/// Reads one answer to its end, or to where it breaks off.
pub fn read(stream: TcpStream) -> Reply {
    let mut reader = BufReader::new(stream);
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        let count = reader.read_line(&mut line).unwrap();
        match line.trim_end() {
            "" if count > 0 || !lines.is_empty() => break,
            "" => panic!("no answer"),
            text => lines.push(text.to_string()),
        }
    }
    let status = lines[0].split(' ').nth(1).and_then(|code| code.parse().ok());
    let head: Vec<(String, String)> = lines[1..]
        .iter()
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_string(), value.trim().to_string()))
        .collect();
    let mut reply = Reply { status: status.unwrap(), head, body: Vec::new(), whole: true };
    if reply.header("transfer-encoding") == "chunked" {
        reply.whole = chunks(&mut reader, &mut reply.body).is_some();
    } else if let Ok(length) = reply.header("content-length").parse() {
        reply.body.resize(length, 0);
        reader.read_exact(&mut reply.body).unwrap();
    } else {
        reader.read_to_end(&mut reply.body).unwrap();
    }
    reply
}

/// Reads chunks (RFC 9112, section 7.1); `None` when the last one never comes.
fn chunks(reader: &mut impl BufRead, body: &mut Vec<u8>) -> Option<()> {
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let length = usize::from_str_radix(line.trim(), 16).ok()?;
        let mut chunk = vec![0; length + 2];
        reader.read_exact(&mut chunk).ok()?;
        if length == 0 {
            return Some(());
        }
        body.extend_from_slice(&chunk[..length]);
    }
}
