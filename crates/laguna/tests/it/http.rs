//! The HTTP door as programs meet it: statements in every format, tables page by page, problems, logins, and what
//! schemathesis tries from the OpenAPI document.

mod answers;
mod client;
mod rest;

use std::io::{Read, Write};
use std::process::Command;

use serde_json::{Value, json};

use crate::kit::{Project, Random, repository};
use crate::servers::{install, run};
use client::{Served, read, request};

/// Rows of the first batch of orders.
const ORDERS: u32 = 500;

/// A lake of orders, with `more` in `laguna.yml`: raw, newest by id, a table with many equal values, and a view.
fn orders(more: &str) -> Project {
    let project = Project::empty()
        .write("laguna.yml", &format!("name: test\nlake: ./lake\n{more}"))
        .write("raw/x.yml", "source: {files: \"data/*.csv\"}\nkey: id\nmode: upsert\n")
        .write("data/1.csv", &batch(1, ORDERS))
        .write(
            "sanitized/orders.sql",
            "SELECT id, customer, CAST(amount AS DECIMAL(12, 2)) AS amount, CAST(id % 7 AS INT) AS bucket,
               TIMESTAMP '2026-01-01 10:00:00' AS made_at, DATE '2026-01-01' AS day, id > 3 AS late,
               CAST(NULL AS BIGINT) AS nothing, ARRAY['a', customer] AS tags FROM raw.x\n",
        )
        .write(
            "sanitized/orders.yml",
            "description: Orders of customers\nowner: till@example.org\ntags: [daily]\n\
             columns: {id: {description: Number of the order}}\nchecks: [{not_null: id}]\n",
        )
        .write(
            "enhanced/by_customer.sql",
            "SELECT customer, count(*) AS orders, sum(amount) AS amount FROM sanitized.orders GROUP BY customer\n",
        )
        .write("enhanced/shown.sql", "SELECT id, amount FROM sanitized.orders\n")
        .write("enhanced/shown.yml", "materialize: view\n");
    project.ok(&["run"]);
    project
}

/// A file of orders; one in ten has no customer.
fn batch(first: u32, last: u32) -> String {
    let line = |id: u32| match id % 10 {
        0 => format!("{id},,{id}.5\n"),
        _ => format!("{id},\"c{}, \"\"é\"\"\",{id}.25\n", id % 4),
    };
    format!("id,customer,amount\n{}", (first..=last).map(line).collect::<String>())
}

/// Puts a batch and runs.
fn land(project: &Project, number: u32, first: u32, last: u32) {
    project.put(&format!("data/{number}.csv"), batch(first, last).as_bytes());
    project.ok(&["run"]);
}

const ROLES: &str = "roles:
  analyst: {read: [enhanced], max_rows: 50}
  clerk: {read: [sanitized, system], mask: {sanitized.orders: customer}, rows: {sanitized.orders: \"id <= 20\"}}
users:
  adm: {role: admin, password: \"correct horse\", token: token-of-adm}
  ann: {role: analyst, token: token-of-ann}
  cor: {role: clerk, token: token-of-cor}
";

#[test]
fn who_is_not_known_is_told_how_to_log_in() {
    let served = Served::start(orders(ROLES));
    let ask = |headers: &[(&str, &str)]| {
        let all: Vec<_> = [("Content-Type", "application/json")].iter().chain(headers).copied().collect();
        served.ask("POST", "/v1/sql", &all, "{\"sql\": \"SELECT 7 AS n\"}")
    };
    for wrong in [
        &[][..],
        &[("Authorization", "Bearer nonsense")],
        &[("Authorization", "Basic YWRtOndyb25n")],
        &[("Authorization", "Basic nonsense")],
        &[("Authorization", "Digest x")],
        &[("Authorization", "")],
        &[("Cookie", "laguna_session=nonsense")],
    ] {
        let reply = ask(wrong);
        assert_eq!(reply.status, 401, "{wrong:?} {}", reply.text());
        let challenge = reply.header("www-authenticate");
        assert!(challenge.contains("Bearer realm=") && challenge.contains("Basic realm="), "{challenge}");
        assert_eq!(reply.header("content-type"), "application/problem+json");
    }
    // The paths tell nothing either, whether there is something at them or not.
    for path in
        ["/v1/tables", "/v1/tables/enhanced/none", "/v1/releases/1", "/v1/runs", "/v1/lineage/enhanced/shown"]
    {
        assert_eq!(served.get(path).status, 401, "{path}");
    }
    for open in ["/health", "/ready", "/metrics", "/v1/openapi.json"] {
        assert_eq!(served.get(open).status, 200, "{open}");
    }
    // "adm:correct horse"
    for right in ["Bearer token-of-adm", "bearer token-of-adm", "Basic YWRtOmNvcnJlY3QgaG9yc2U="] {
        assert_eq!(ask(&[("Authorization", right)]).json(), json!([{"n": 7}]), "{right}");
    }
    // The SQL page's downloads: the cookie of a login, and what the page sends.
    let form = [("Content-Type", "application/x-www-form-urlencoded")];
    let login = served.ask("POST", "/login", &form, "token=token-of-adm");
    assert_eq!(login.status, 303);
    let cookie = login.header("set-cookie").split(';').next().unwrap();
    let reply = ask(&[("Cookie", cookie), ("Accept", "text/csv"), ("Sec-Fetch-Site", "same-origin")]);
    assert_eq!((reply.status, reply.text()), (200, "n\n7\n"));
    assert_eq!(ask(&[("Cookie", cookie), ("Sec-Fetch-Site", "cross-site")]).status, 403);
    // Four of them showed something that was refused.
    assert_eq!(served.metric("laguna_logins_refused_total{door=\"http\"}"), 4.0);
}

#[test]
fn a_role_reads_what_it_may_and_learns_of_nothing_else() {
    let served = Served::start(orders(ROLES));
    let get = |token: &str, path: &str| {
        served.ask("GET", path, &[("Authorization", &format!("Bearer {token}"))], "")
    };
    // What is hidden answers as what is not there.
    for path in ["/v1/tables/SCHEMA/TABLE", "/v1/tables/SCHEMA/TABLE/rows", "/v1/lineage/SCHEMA/TABLE"] {
        let of = |schema: &str, table: &str| path.replace("SCHEMA", schema).replace("TABLE", table);
        let hidden = get("token-of-ann", &of("sanitized", "orders"));
        let absent = get("token-of-ann", &of("sanitized", "absent"));
        assert_eq!(hidden.problem(404, "42P01"), {
            let text = absent.text().replace("absent", "orders");
            assert_eq!(absent.status, 404);
            serde_json::from_str::<Value>(&text).unwrap()
        });
    }
    let names = |token: &str| -> Vec<String> {
        let tables = get(token, "/v1/tables").json();
        let all = tables["tables"].as_array().unwrap().iter();
        all.map(|table| format!("{}.{}", table["schema"], table["table"]).replace('"', "")).collect()
    };
    assert_eq!(names("token-of-ann"), ["enhanced.by_customer", "enhanced.shown"]);
    assert!(names("token-of-adm").contains(&"raw.x".to_string()));
    let lineage = get("token-of-ann", "/v1/lineage/enhanced/shown");
    assert!(!lineage.text().contains("sanitized") && !lineage.text().contains("raw"), "{}", lineage.text());
    for path in ["/v1/releases", "/v1/runs", "/v1/checks", "/v1/releases/1", "/v1/releases/1/diff/1"] {
        get("token-of-ann", path).problem(404, "42P01");
    }
    // A masked column is null, rows out of the rule are not there, in rows and in numbers about them.
    let rows = get("token-of-cor", "/v1/tables/sanitized/orders/rows?order=id.desc&limit=1000").json();
    let rows = rows["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 20);
    assert!(rows.iter().all(|row| row["customer"].is_null() && row["id"].as_i64().unwrap() <= 20));
    let about = get("token-of-cor", "/v1/tables/sanitized/orders").json();
    assert_eq!((&about["restricted"], &about["rows"]), (&json!(true), &Value::Null));
    assert!(about["columns"].as_array().unwrap().iter().all(|column| column["statistics"].is_null()));
    let masked = get("token-of-cor", "/v1/tables/sanitized/orders/rows?customer=not.is.null").json();
    assert_eq!(masked["rows"], json!([]));
    let releases = get("token-of-cor", "/v1/releases/1").text().to_string();
    assert!(!releases.contains("by_customer") && !releases.contains("raw.x"), "{releases}");
    // A limit of the role ends a statement, and pages stay below it.
    let bearer = [("Authorization", "Bearer token-of-ann"), ("Content-Type", "application/json")];
    let all = served.ask("POST", "/v1/sql", &bearer, "{\"sql\": \"SELECT id FROM enhanced.shown\"}");
    assert!(all.status == 422 || !all.whole, "{} {}", all.status, all.text());
    let (mut path, mut seen) = ("/v1/tables/enhanced/shown/rows?order=id&limit=200".to_string(), 0);
    loop {
        let page = get("token-of-ann", &path).json();
        let count = page["rows"].as_array().unwrap().len();
        assert!(count <= 50, "{count}");
        seen += count;
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/v1/tables/enhanced/shown/rows?order=id&limit=200&after={next}");
    }
    assert_eq!(seen, ORDERS as usize);
}

#[test]
fn machines_watch_the_process_and_people_get_pages() {
    let served = Served::start(orders(""));
    assert_eq!(served.get("/health").text(), "ok\n");
    assert_eq!(served.get("/ready").text(), "ready\n");
    served.rows(&json!({"sql": "SELECT 1"}));
    let metrics = served.get("/metrics");
    assert!(metrics.header("content-type").starts_with("application/openmetrics-text"));
    assert!(metrics.text().ends_with("# EOF\n"));
    // A statement is counted when it is over, which can be after its last row has come.
    served.until("laguna_statements_total{door=\"http\",outcome=\"ok\"}", 1.0);
    let html = [("Accept", "text/html,application/xhtml+xml,*/*;q=0.8")];
    let lost = served.ask("GET", "/nowhere%3Cscript%3E", &html, "");
    assert_eq!((lost.status, lost.header("content-type")), (404, "text/html; charset=utf-8"));
    assert!(lost.header("content-security-policy").starts_with("default-src 'self'"));
    assert!(!lost.text().contains("<script>"), "{}", lost.text());
    served.get("/nowhere").problem(404, "42000");
    served.ask("GET", "/v1/nowhere", &html, "").problem(404, "42000");
    // The lake goes away: the process is up, and not ready.
    std::fs::rename(served.project.path().join("lake"), served.project.path().join("away")).unwrap();
    std::fs::write(served.project.path().join("lake"), "no folder").unwrap();
    assert_eq!(served.get("/health").status, 200);
    let unready = served.get("/ready");
    assert_eq!(unready.status, 503, "{}", unready.text());
    assert_eq!(unready.header("retry-after"), "1");
}

#[cfg(unix)]
#[test]
fn a_server_that_stops_lets_answers_end() {
    let mut served = Served::start(orders(""));
    let slow = "{\"sql\": \"SELECT count(*) AS n FROM generate_series(1, 12000) a(v) CROSS JOIN generate_series(1, 12000) b(w) WHERE v <> -w\"}";
    let headers = [("Content-Type", "application/json")];
    let asked = served.send(&request(&served.address, "POST", "/v1/sql", &headers, slow));
    let idle = served.send("GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n");
    served.until("laguna_statements_running", 1.0);
    let id = served.serving.process.id().to_string();
    Command::new("kill").args(["-TERM", &id]).status().unwrap();
    let reply = read(asked);
    assert_eq!((reply.status, reply.json()), (200, json!([{"n": 144_000_000}])));
    assert!(served.serving.process.wait().unwrap().success());
    assert_eq!(read(idle).status, 200);
}

#[test]
#[expect(clippy::print_stdout, reason = "the seed repeats a failure")]
fn broken_bytes_end_their_connection_and_nothing_else() {
    let mut served = Served::start(orders(""));
    let whole = request(
        &served.address,
        "POST",
        "/v1/sql",
        &[("Content-Type", "application/json"), ("Accept", "text/csv")],
        "{\"sql\": \"SELECT id FROM enhanced.shown WHERE id = $1\", \"params\": [3]}",
    );
    let mut random = Random::new();
    println!("LAGUNA_KILL_SEED={}", random.seed);
    for round in 0..200 {
        let mut bytes = whole.clone().into_bytes();
        if round % 5 == 0 {
            bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\x12\x04\0\0\0\0\0\0\x03\0\0\0\x64".to_vec();
        }
        for _ in 0..=random.below(4) {
            let at = random.below(bytes.len() as u64) as usize;
            match random.below(4) {
                0 => bytes[at] = random.below(256) as u8,
                1 => bytes.truncate(at.max(1)),
                2 => bytes.insert(at, random.below(256) as u8),
                _ => bytes[at] ^= 1 << random.below(8),
            }
        }
        let mut stream = std::net::TcpStream::connect(&served.address).unwrap();
        stream.set_read_timeout(Some(std::time::Duration::from_millis(20))).unwrap();
        // The door may close while it is still being written to.
        let _ = stream.write_all(&bytes);
        let mut answer = [0u8; 4096];
        while matches!(stream.read(&mut answer), Ok(count) if count > 0) {}
    }
    assert!(served.serving.process.try_wait().unwrap().is_none(), "the process has ended");
    assert_eq!(served.metric("laguna_panics_total"), 0.0);
    assert_eq!(
        served.rows(&json!({"sql": "SELECT count(*) AS n FROM enhanced.shown"})),
        json!([{"n": ORDERS}])
    );
}

#[test]
fn schemathesis_finds_nothing_that_the_document_does_not_say() {
    let program = install("schemathesis", "bin/schemathesis", |folder| {
        run(Command::new("python3").args(["-m", "venv"]).arg(folder))?;
        let needs = repository().join("tests/clients/requirements-http.txt");
        run(Command::new(folder.join("bin/python"))
            .args(["-m", "pip", "install", "--quiet", "-r"])
            .arg(needs))
    });
    let Some(program) = program else { return };
    let examples = std::env::var("LAGUNA_TEST_ALL").map_or("20", |_| "150");
    // Once without users and with any name of a table, once with a login and a table that is there.
    let there = "[parameters]\nschema = \"sanitized\"\ntable = \"orders\"\nrelease = 1\nother = 1\n";
    for (more, header, config) in
        [("", "X-Nobody: 1", ""), (ROLES, "Authorization: Bearer token-of-cor", there)]
    {
        let project = orders(&format!("serve: {{timeout: 5s}}\n{more}")).write("schemathesis.toml", config);
        let mut served = Served::start(project);
        let document = format!("http://{}/v1/openapi.json", served.address);
        // A text that is a valid parameter can still be no SQL, no column and no page: that is 400, not a defect.
        let output = Command::new(&program)
            .current_dir(served.project.path())
            .args([
                "run",
                &document,
                "--header",
                header,
                "--max-examples",
                examples,
                "--request-timeout",
                "20",
            ])
            .args(["--checks", "all", "--exclude-checks", "positive_data_acceptance"])
            .args(["--suppress-health-check", "all", "--no-color"])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
        assert!(said.contains("15 selected / 15 total"), "{said}");
        assert!(served.serving.process.try_wait().unwrap().is_none(), "the process has ended");
        assert_eq!(served.metric("laguna_panics_total"), 0.0);
    }
}
