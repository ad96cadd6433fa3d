//! A small project with every kind of table, and all that its lake says.

use std::collections::BTreeMap;

use crate::kit::Project;

/// The rows of each table as text, sorted.
pub type Content = BTreeMap<String, Vec<String>>;

/// A small project with every kind of table: append with a bad row, upsert, a table, an incremental table, a gated
/// aggregate that must agree with what it is made of.
pub fn project() -> Project {
    let project = Project::empty();
    project.put("laguna.yml", b"name: small\n");
    project.put("raw/events.yml", b"source: {files: 'events/*.csv'}\n");
    project.put("raw/people.yml", b"source: {files: 'people/*.csv'}\nmode: upsert\nkey: id\norder: seen\n");
    project.put("sanitized/events.sql", b"SELECT id, person, day, amount FROM raw.events");
    project.put(
        "sanitized/days.sql",
        b"SELECT day, count(*) AS events, sum(amount) AS amount FROM sanitized.events GROUP BY day",
    );
    project.put(
        "sanitized/days.yml",
        b"materialize: {incremental: {key: day, watermark: day, lookback: 30d}}\nchecks: [{unique: day}]\n",
    );
    project.put("sanitized/people.sql", b"SELECT id, name FROM latest.people");
    project.put("enhanced/total.sql", b"SELECT count(*) AS events, sum(e.amount) AS amount, count(p.name) AS named FROM sanitized.events AS e LEFT JOIN sanitized.people AS p ON p.id = e.person");
    project.put("enhanced/total.yml", b"checks: [{between: {column: events, min_value: 1}}]\n");
    first_files(&project);
    project
}

fn first_files(project: &Project) {
    let rows: String =
        (1..=60).map(|id| format!("{id},{},2026-01-{:02},{}\n", id % 7, id % 9 + 1, id * 3)).collect();
    project.put("events/1.csv", format!("id,person,day,amount\n{rows}").as_bytes());
    project.put("people/1.csv", b"id,name,seen\n0,Ann,1\n1,Bob,1\n2,Cee,1\n");
}

/// What a second run lands: an update, a late row, a row that does not fit.
pub fn second_files(project: &Project) {
    let rows: String =
        (61..=90).map(|id| format!("{id},{},2026-01-{:02},{}\n", id % 7, id % 5 + 7, id)).collect();
    project.put("events/2.csv", format!("id,person,day,amount\n{rows}91,1,2026-01-09,many\n").as_bytes());
    project.put("people/2.csv", b"id,name,seen\n1,Bea,3\n2,Old,0\n5,Eve,2\n");
}

/// Everything that must be equal, as text: rows without the columns that carry the time of the run.
pub fn content(project: &Project) -> Content {
    content_at(project, &[])
}

/// The same with more arguments of `laguna query`: `--release 1`.
pub fn content_at(project: &Project, moment: &[&str]) -> Content {
    let queries = [
        ("raw.events", "SELECT id, person, day, amount, _source FROM raw.events"),
        ("raw.people", "SELECT id, name, seen, _source FROM raw.people"),
        ("latest.people", "SELECT id, name, seen FROM latest.people"),
        ("sanitized.events", "SELECT * FROM sanitized.events"),
        ("sanitized.days", "SELECT * FROM sanitized.days"),
        ("sanitized.people", "SELECT * FROM sanitized.people"),
        ("enhanced.total", "SELECT * FROM enhanced.total"),
        ("quarantine", "SELECT _rule, _reason, _source, raw FROM quarantine.raw_events"),
        ("files", "SELECT dataset, path, rows, quarantined FROM system.files"),
    ];
    // One process answers all of them; each row says which one it belongs to.
    let statements = queries.map(|(name, sql)| format!("SELECT '{name}' AS of, q.* FROM ({sql}) AS q"));
    let sql = statements.join(";\n");
    let mut content: Content = queries.iter().map(|(name, _)| (name.to_string(), Vec::new())).collect();
    for line in project.ok(&[&["query", "-o", "ndjson", &sql], moment].concat()).lines() {
        let row: serde_json::Value = serde_json::from_str(line).unwrap();
        content.get_mut(row["of"].as_str().unwrap()).unwrap().push(row.to_string());
    }
    content.values_mut().for_each(|rows| rows.sort());
    content
}
