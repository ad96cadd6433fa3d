//! A running `laguna serve`, and the lake that tests of its doors read.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use crate::browser::{Answer, http};
use crate::kit::Project;
use crate::servers::skip;

/// A running server, ended with this value.
pub struct Serving {
    /// The process.
    pub process: Child,
    doors: serde_json::Value,
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Serving {
    /// Serves `project` through `doors`, each on a free port; the others are closed.
    pub fn start(project: &Project, doors: &[&str]) -> Serving {
        let mut args = vec!["serve", "--json"];
        for (door, option) in [("postgres", "--postgres"), ("flight", "--flight"), ("http", "--http")] {
            args.extend([option, if doors.contains(&door) { "127.0.0.1:0" } else { "false" }]);
        }
        let mut command = project.command(&args);
        let mut process = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let told: serde_json::Value =
            serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
        Serving { process, doors: told["doors"].clone() }
    }

    /// Where a door listens, as `127.0.0.1:4711`.
    pub fn address(&self, door: &str) -> &str {
        self.doors[door].as_str().unwrap()
    }

    /// The port of a door.
    pub fn port(&self, door: &str) -> u16 {
        self.address(door).rsplit(':').next().unwrap().parse().unwrap()
    }

    /// Where the HTTP door shows `path`.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address("http"))
    }

    /// What the HTTP door answers to a GET.
    pub fn get(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        http(self.address("http"), "GET", path, headers, "").unwrap()
    }
}

/// A certificate for this machine that signs itself, and its key.
pub struct Certificate(tempfile::TempDir);

impl Certificate {
    /// A new one; `None`, said aloud for `test`, where there is no openssl.
    pub fn new(test: &str) -> Option<Certificate> {
        let made = Certificate(tempfile::tempdir().unwrap());
        let output = Command::new("openssl")
            .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"])
            .args(["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"])
            .args(["-keyout", &made.file("key.pem"), "-out", &made.file("cert.pem")])
            .output();
        if output.is_ok_and(|output| output.status.success()) {
            return Some(made);
        }
        skip(test, "openssl is not installed");
        None
    }

    fn file(&self, name: &str) -> String {
        self.0.path().join(name).to_string_lossy().into_owned()
    }

    /// Where clients read whom to trust.
    pub fn cert(&self) -> String {
        self.file("cert.pem")
    }

    /// Lines of `laguna.yml` for a server that encrypts, and for `ana`, whose password is `secret`.
    pub fn settings(&self) -> String {
        format!(
            "serve: {{tls: {{cert: {}, key: {}}}}}\nusers: {{ana: {{role: admin, password: secret}}}}\n",
            self.file("cert.pem"),
            self.file("key.pem")
        )
    }
}

const ORDERS: &str = "SELECT CAST(id AS BIGINT) AS id, customer, CAST(amount AS DECIMAL(12, 2)) AS amount,
  CAST(qty AS INT) AS qty, TIMESTAMP '2026-01-01 10:00:00' AS created_at, DATE '2026-01-01' AS day, id > 1 AS ok,
  named_struct('a', id, 'b', 'x') AS payload, ARRAY['a', 'b c', customer] AS tags FROM raw.x\n";

/// A lake with `enhanced.orders` (three rows) and the view `enhanced.v_orders`; `more` is added to `laguna.yml`.
pub fn orders(more: &str) -> Project {
    let project = Project::empty()
        .write("laguna.yml", &format!("name: test\nlake: ./lake\n{more}"))
        .write("raw/x.yml", "source: {files: \"data/*.csv\"}\n")
        .write("data/1.csv", "id,customer,amount,qty\n1,c1,1.50,2\n2,c2,20.25,3\n3,,3.00,\n")
        .write("enhanced/orders.sql", ORDERS)
        .write(
            "enhanced/orders.yml",
            "description: Orders of customers\ncolumns: {id: {description: Number of the order}}\n",
        )
        .write("enhanced/v_orders.sql", "SELECT id, amount FROM enhanced.orders\n")
        .write("enhanced/v_orders.yml", "materialize: view\n");
    project.ok(&["run"]);
    project
}
