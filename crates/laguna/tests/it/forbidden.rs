//! Every door and everything that a role may not see: whichever way it asks, no answer, error, catalog or plan tells it.

use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::json;

use crate::browser::http;
use crate::flight;
use crate::kit::Project;
use crate::logins::basic;
use crate::servers::skip;
use crate::serving::Serving;

/// What the clerk must never meet: masked values, values of hidden rows, the rule that hides them, names of tables and of
/// columns it has no right to, and what lies in files of the machine.
const SECRETS: [&str; 8] =
    ["@mail.example", "Hidden", "Atlantis", "payroll", "salary", "987654", "root:x:0", "secret-of-"];

/// Asked by the clerk, who reads `sanitized.people` without `email` and without those of Atlantis, and `enhanced.ages`.
const STATEMENTS: [&str; 72] = [
    // Masked columns.
    "SELECT * FROM sanitized.people",
    "SELECT email FROM sanitized.people",
    "SELECT email AS id FROM sanitized.people",
    "SELECT p.email FROM sanitized.people AS p",
    "SELECT CASE WHEN email IS NOT NULL THEN email ELSE 'none' END FROM sanitized.people",
    "SELECT coalesce(email, 'none') || name FROM sanitized.people",
    "SELECT min(email), max(email), count(email), count(DISTINCT email) FROM sanitized.people",
    "SELECT array_agg(email), string_agg(email, ',') FROM sanitized.people",
    "SELECT a.email FROM sanitized.people a JOIN sanitized.people b ON a.email = b.email",
    "SELECT name FROM sanitized.people WHERE email LIKE '%@mail%'",
    "SELECT name FROM sanitized.people ORDER BY email DESC NULLS LAST",
    "SELECT CAST(email AS INT) FROM sanitized.people",
    "SELECT 1 / length(email) FROM sanitized.people",
    "SELECT md5(email) FROM sanitized.people WHERE email IS NOT NULL",
    "SELECT first_value(email) OVER (ORDER BY id) FROM sanitized.people",
    "SELECT (SELECT max(email) FROM sanitized.people)",
    "SELECT x.email FROM (SELECT email FROM sanitized.people) x",
    "WITH x AS (SELECT * FROM sanitized.people) SELECT email FROM x",
    "SELECT email FROM sanitized.people UNION SELECT email FROM sanitized.people",
    "SELECT people FROM sanitized.people",
    "SELECT people.* FROM sanitized.people",
    "SELECT email FROM latest.people",
    "SELECT email FROM sanitized.people FOR VERSION AS OF 0",
    "SELECT email FROM sanitized.people FOR TIMESTAMP AS OF '2999-01-01'",
    "SELECT email FROM staged.sanitized_people",
    "VALUES ((SELECT max(email) FROM sanitized.people))",
    // Hidden rows.
    "SELECT name, country FROM sanitized.people",
    "SELECT name FROM sanitized.people WHERE country = 'Atl' || 'antis'",
    "SELECT name FROM sanitized.people WHERE id = 3",
    "SELECT name FROM sanitized.people WHERE 10 / (id - 3) > 0",
    "SELECT CAST(name AS INT) FROM sanitized.people",
    "SELECT name FROM sanitized.people WHERE CAST(code AS INT) > 0",
    "SELECT max(name), max(country) FROM sanitized.people",
    "SELECT name FROM sanitized.people WHERE true OR country <> ''",
    "SELECT p.name FROM sanitized.people p RIGHT JOIN generate_series(1, 9) AS g(n) ON p.id = g.n",
    // Plans and statistics.
    "EXPLAIN SELECT * FROM sanitized.people",
    "EXPLAIN VERBOSE SELECT count(email) FROM sanitized.people",
    "EXPLAIN ANALYZE SELECT name FROM sanitized.people WHERE id = 3",
    "EXPLAIN ANALYZE VERBOSE SELECT count(*) FROM sanitized.people",
    "EXPLAIN SELECT * FROM enhanced.ages",
    "EXPLAIN SELECT * FROM sanitized.pay_rolls",
    "SELECT * FROM pg_stats",
    "SELECT * FROM pg_catalog.pg_class",
    "SELECT * FROM pg_catalog.pg_attribute",
    "SELECT * FROM pg_catalog.pg_description",
    "SELECT * FROM pg_catalog.pg_stat_user_tables",
    "SELECT * FROM pg_catalog.pg_views",
    "SELECT * FROM pg_catalog.pg_roles",
    "SELECT * FROM pg_catalog.pg_user",
    "SELECT * FROM pg_catalog.pg_settings",
    "SELECT * FROM pg_stat_activity",
    "SELECT * FROM information_schema.tables",
    "SELECT * FROM information_schema.columns",
    "SELECT * FROM information_schema.views",
    "SELECT * FROM information_schema.df_settings",
    "SHOW TABLES",
    "SHOW ALL",
    // Records of what runs and people do.
    "SELECT * FROM system.queries",
    "SELECT * FROM system.runs",
    "SELECT * FROM system.tasks",
    "SELECT * FROM system.checks",
    "SELECT * FROM system.freshness",
    // Files, functions, settings, and what would make one somebody else.
    "SELECT * FROM '/etc/passwd'",
    "SELECT * FROM read_csv('/etc/passwd')",
    "SELECT pg_read_file('/etc/passwd')",
    "CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '/etc/passwd'",
    "COPY sanitized.people FROM '/etc/passwd'",
    "COPY (SELECT 1) TO '/tmp/x.csv'",
    "COPY (SELECT * FROM sanitized.people) TO STDOUT",
    "SET ROLE admin",
    "SET SESSION AUTHORIZATION ana",
    "SET datafusion.catalog.information_schema = true",
];

/// Tables and columns that must not seem to be there, wherever a statement can name one.
const HIDDEN: [&str; 6] = [
    "SELECT * FROM sanitized.payroll",
    "SELECT salary FROM sanitized.payroll WHERE false",
    "SELECT nonsense FROM sanitized.payroll",
    "SELECT * FROM raw.people",
    "SELECT * FROM quarantine.sanitized_people",
    "EXPLAIN SELECT count(*) FROM sanitized.payroll",
];

fn lake() -> Project {
    let people = "id,name,email,country,code\n1,Ana,ana@mail.example,Spain,1\n2,Ben,ben@mail.example,Malta,2\n\
                  3,Hidden Eve,eve@mail.example,Atlantis,Hidden x\n";
    let project = Project::empty()
        .write(
            "laguna.yml",
            "name: forbidden\nlake: ./lake\n\
             roles:\n  clerk: {read: [sanitized.people, enhanced.ages], mask: {sanitized.people: [email]}, \
             rows: {sanitized.people: \"country <> 'Atlantis'\"}}\n\
             users:\n  ana: {role: admin, password: secret-of-ana}\n  cor: {role: clerk, password: secret-of-cor}\n",
        )
        .write("raw/people.yml", "source: {files: \"data/people*.csv\"}\n")
        .write("data/people.csv", people)
        .write("sanitized/people.sql", "SELECT id, name, email, country, code FROM raw.people\n")
        .write("sanitized/people.yml", "description: Whom we know\n")
        .write("sanitized/payroll.sql", "SELECT id, 987654 + id AS salary FROM raw.people\n")
        .write("sanitized/payroll.yml", "description: A salary each\n")
        .write("enhanced/ages.sql", "SELECT count(*) AS people FROM sanitized.payroll\n")
        .write("enhanced/ages.yml", "materialize: view\n");
    project.ok(&["run"]);
    project
}

/// What a door says to each statement.
type Said = Vec<(String, String)>;

/// Each statement in a session of its own, by the simple protocol.
fn by_psql(serving: &Serving, user: &str, statements: &[&str]) -> Said {
    let connection = format!("host=127.0.0.1 port={} user={user} dbname=lake", serving.port("postgres"));
    let say = |statement: &&str| {
        let mut command = Command::new("psql");
        command.args(["-X", "-v", "VERBOSITY=verbose", "-v", "SHOW_CONTEXT=always", &connection]);
        command.args(["-c", statement]).env("PGPASSWORD", format!("secret-of-{user}"));
        let output = command.output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        (statement.to_string(), String::from_utf8_lossy(&text).to_string())
    };
    statements.iter().map(say).collect()
}

/// In one session: prepared, through cursors, copied, and described.
fn by_psql_in_other_ways(serving: &Serving, user: &str, statements: &[&str]) -> Said {
    let mut script = String::from("\\set ON_ERROR_STOP 0\n\\pset pager off\n");
    for (number, statement) in statements.iter().enumerate() {
        script += &format!("PREPARE p{number} AS {statement};\nEXECUTE p{number};\n");
        script += &format!("BEGIN;\nDECLARE c CURSOR FOR {statement};\nFETCH ALL FROM c;\nROLLBACK;\n");
        script += &format!(
            "COPY ({statement}) TO STDOUT;\nCOPY ({statement}) TO STDOUT WITH (FORMAT csv, HEADER);\n"
        );
        script += &format!("{statement} \\gdesc\n");
    }
    script +=
        "\\d\n\\dt *.*\n\\dv *.*\n\\d+ sanitized.*\n\\d *.*\n\\dn+\n\\du+\n\\l+\n\\dp *.*\n\\dd\n\\df *.*\n";
    let connection = format!("host=127.0.0.1 port={} user={user} dbname=lake", serving.port("postgres"));
    let mut command = Command::new("psql");
    command.args(["-X", &connection]).env("PGPASSWORD", format!("secret-of-{user}"));
    let mut process =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = process.stdin.take().unwrap();
    let writing = std::thread::spawn(move || stdin.write_all(script.as_bytes()));
    let output = process.wait_with_output().unwrap();
    writing.join().unwrap().unwrap();
    let text = [output.stdout, output.stderr].concat();
    // What is repeated of the statements themselves is not told by the lake.
    let mut text = String::from_utf8_lossy(&text).to_string();
    for own in ["'Atl' || 'antis'", "'%@mail%'"] {
        text = text.replace(own, "");
    }
    vec![("psql in other ways".to_string(), text)]
}

fn by_http(serving: &Serving, user: &str, statements: &[&str], path: &str, accept: &str) -> Said {
    let right = basic(user, &format!("secret-of-{user}"));
    let headers =
        [("Authorization", right.as_str()), ("Content-Type", "application/json"), ("Accept", accept)];
    let say = |statement: &&str| {
        let body = json!({ "sql": statement }).to_string();
        let answer = http(serving.address("http"), "POST", path, &headers, &body).unwrap();
        (statement.to_string(), answer.body)
    };
    statements.iter().map(say).collect()
}

/// Tables read by address, with what a reader can ask of them.
fn by_address(serving: &Serving, user: &str) -> Said {
    let right = basic(user, &format!("secret-of-{user}"));
    let mut paths = Vec::new();
    for table in ["sanitized/people", "latest/people", "enhanced/ages", "system/queries", "system/runs"] {
        for part in
            ["", "/rows", "/rows?email=not.is.null", "/rows?order=email.desc", "/rows?select=email,name"]
        {
            paths.push(format!("/v1/tables/{table}{part}"));
        }
        paths.push(format!("/v1/lineage/{table}"));
        paths.extend(["", "/profile", "/sample", "/lineage"].map(|part| format!("/tables/{table}{part}")));
    }
    paths.extend(
        ["/v1/tables", "/v1/releases", "/v1/releases/1", "/v1/runs", "/v1/checks", "/v1/openapi.json", "/"]
            .map(str::to_string),
    );
    paths.extend(
        ["/runs", "/releases", "/sql", "/sql/names", "/search?q=sal", "/metrics"].map(str::to_string),
    );
    let say = |path: String| {
        let answer = serving.get(&path, &[("Authorization", &right)]);
        (path, answer.body)
    };
    paths.into_iter().map(say).collect()
}

fn by_flight(serving: &Serving, user: &str, statements: &[&str]) -> Option<Said> {
    let mut command = flight::client(serving.address("flight"), "grpc", "say")?;
    command.args([user, &format!("secret-of-{user}")]).args(statements);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let said: Vec<String> = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(said.len(), statements.len() + 1);
    let asked = statements.iter().map(|statement| statement.to_string()).chain(["catalogs".to_string()]);
    Some(asked.zip(said).collect())
}

/// The doors, each asked by `user`.
fn doors(serving: &Serving, user: &str, statements: &[&str]) -> Vec<(&'static str, Said)> {
    let mut doors = vec![
        ("psql", by_psql(serving, user, statements)),
        ("psql in other ways", by_psql_in_other_ways(serving, user, statements)),
        ("HTTP", by_http(serving, user, statements, "/v1/sql", "application/json")),
        ("HTTP, CSV", by_http(serving, user, statements, "/v1/sql", "text/csv")),
        ("SQL page", by_http(serving, user, statements, "/sql/run", "application/json")),
        ("addresses", by_address(serving, user)),
    ];
    doors.extend(by_flight(serving, user, statements).map(|said| ("Flight SQL", said)));
    doors
}

#[test]
fn no_door_tells_a_role_what_it_may_not_see() {
    if Command::new("psql").arg("--version").output().is_err() {
        return skip("what roles may not see", "there is no psql");
    }
    let project = lake();
    let serving = Serving::start(&project, &["postgres", "flight", "http"]);
    // Who may see everything is told: these statements, and this search for secrets, do find them.
    for (door, said) in doors(&serving, "ana", &STATEMENTS) {
        for secret in &SECRETS[..5] {
            assert!(said.iter().any(|(_, text)| text.contains(secret)), "{door} never tells ana of {secret}");
        }
    }
    for (door, said) in doors(&serving, "cor", &STATEMENTS) {
        let mut answered = 0;
        for (asked, text) in said {
            for secret in SECRETS {
                assert!(
                    asked.contains(secret) || !text.contains(secret),
                    "{door}: {asked} tells of {secret}:\n{text}"
                );
            }
            answered += usize::from(text.contains("Ana"));
        }
        assert!(answered > 0, "{door} tells cor nothing at all");
    }
    // What is hidden is answered as what is not there.
    for statement in HIDDEN {
        let hidden = ["sanitized.payroll", "raw.people", "quarantine.sanitized_people"];
        let name = hidden.into_iter().find(|name| statement.contains(name)).unwrap();
        let absent = statement.replace(name, &name.replace('p', "q"));
        let both = [statement, &absent];
        let mut doors = vec![
            ("psql", by_psql(&serving, "cor", &both)),
            ("HTTP", by_http(&serving, "cor", &both, "/v1/sql", "application/json")),
            ("SQL page", by_http(&serving, "cor", &both, "/sql/run", "application/json")),
        ];
        doors.extend(by_flight(&serving, "cor", &both).map(|said| ("Flight SQL", said)));
        for (door, said) in doors {
            let told = |text: &str| text.replace(&name.replace('p', "q"), name);
            // A table of the same name in another schema is offered for either.
            if name == "sanitized.payroll" {
                assert_eq!(told(&said[0].1), told(&said[1].1), "{door}: {statement}");
            }
            assert!(said[0].1.contains("there is no table"), "{door}: {statement}\n{}", said[0].1);
        }
    }
    // Counts are those of the rows that may be seen.
    let count = "SELECT count(*) AS n, count(email) AS e FROM sanitized.people";
    assert!(by_psql(&serving, "cor", &[count])[0].1.contains("2 | 0"));
    assert!(by_http(&serving, "cor", &[count], "/v1/sql", "text/csv")[0].1.contains("n,e\n2,0\n"));
}
