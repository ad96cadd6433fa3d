//! A small project with every kind of table, runs of it in this process, and all that its lake says.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use laguna_base::{Clock, Result, SystemClock, TableName, Tier};
use laguna_model::{LoadOptions, Project};
use laguna_query::output::{self, Format, Layout};
use laguna_query::{Engine, EngineOptions, LakeTables, Moment, Tables};
use laguna_run::events::Silent;
use laguna_run::run::{RunOptions, RunReport, run};
use laguna_run::{Context, history};
use laguna_store::Lake;
use object_store::ObjectStore;
use tokio_util::sync::CancellationToken;

/// Columns that tell when and by which run a row came.
const OF_THE_RUN: [&str; 3] = ["_ingested_at", "_quarantined_at", "_run"];

/// Writes the project and its first files.
pub fn write(dir: &Path) {
    for (path, text) in [
        ("laguna.yml", "name: small\nparallel: 1\nretries: {attempts: 2, backoff: 1ms, max_backoff: 1ms}\n"),
        ("raw/events.yml", "source: {files: 'events/*.csv'}\n"),
        ("raw/people.yml", "source: {files: 'people/*.ndjson'}\nmode: upsert\nkey: id\norder: seen\n"),
        ("sanitized/events.sql", "SELECT id, person, day, amount FROM raw.events"),
        (
            "sanitized/events.yml",
            "on_fail: quarantine\ncolumns: {amount: {checks: [{between: {min_value: 0}}]}}\n",
        ),
        (
            "sanitized/days.sql",
            "SELECT day, count(*) AS events, sum(amount) AS amount FROM sanitized.events GROUP BY day",
        ),
        (
            "sanitized/days.yml",
            "materialize: {incremental: {key: day, watermark: day, lookback: 30d}}\nchecks: [{unique: day}]\n",
        ),
        (
            "enhanced/total.sql",
            "SELECT count(*) AS events, sum(e.amount) AS amount, count(p.name) AS named \
             FROM sanitized.events AS e LEFT JOIN latest.people AS p ON p.id = e.person",
        ),
        ("enhanced/total.yml", "checks: [{between: {column: events, min_value: 1}}]\n"),
        ("enhanced/busy.sql", "SELECT day FROM sanitized.days WHERE events > 5"),
        ("enhanced/busy.yml", "materialize: view\n"),
    ] {
        put(dir, path, text);
    }
    let rows: String =
        (1..=60).map(|id| format!("{id},{},2026-01-{:02},{}\n", id % 7, id % 9 + 1, id * 3)).collect();
    put(dir, "events/1.csv", &format!("id,person,day,amount\n{rows}61,1,2026-01-02,-5\n"));
    put(
        dir,
        "people/1.ndjson",
        "{\"id\":0,\"name\":\"Ann\",\"seen\":1}\n{\"id\":1,\"name\":\"Bob\",\"seen\":1}\n",
    );
}

/// Writes the files that the second run lands: an update, a late row, a row that does not fit.
pub fn write_more(dir: &Path) {
    let rows: String =
        (62..=90).map(|id| format!("{id},{},2026-01-{:02},{}\n", id % 7, id % 5 + 7, id)).collect();
    put(
        dir,
        "events/2.csv",
        &format!("id,person,day,amount\n{rows}91,1,2026-01-09,many\n92,2,2026-01-09,-1\n"),
    );
    put(
        dir,
        "people/2.ndjson",
        "{\"id\":1,\"name\":\"Bea\",\"seen\":3}\n{\"id\":0,\"name\":\"Old\",\"seen\":0}\n{\"id\":5,\"name\":\"Eve\",\"seen\":2}\n",
    );
}

fn put(dir: &Path, path: &str, text: &str) {
    let path = dir.join(path);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

/// The project over a lake in `store`, as a new process would have it.
pub fn open(dir: &Path, store: Arc<dyn ObjectStore>, clock: Arc<dyn Clock>) -> Context {
    let lake = Lake::with_store("memory:///".parse().unwrap(), store, clock);
    over(dir, lake)
}

/// The project over `lake`.
pub fn over(dir: &Path, lake: Lake) -> Context {
    let options = EngineOptions { memory: Some(256 << 20), parallel: Some(1) };
    Context {
        project: Arc::new(Project::load(dir, &LoadOptions::default()).unwrap()),
        engine: Arc::new(Engine::new(lake, options).unwrap()),
        reporter: Arc::new(Silent),
        stop: CancellationToken::new(),
    }
}

/// One undisturbed run, which must do all that it has to; it takes over what a dead run holds.
pub async fn clean_run(dir: &Path, store: Arc<dyn ObjectStore>) -> RunReport {
    let lake = Lake::with_store("memory:///".parse().unwrap(), store, Arc::new(SystemClock))
        .with_lease_timeout(Duration::from_millis(50));
    let report = run(&over(dir, lake), &RunOptions { wait: true, ..RunOptions::default() }).await.unwrap();
    assert_eq!(report.failed, 0, "{:#?}", report.tasks);
    report
}

/// Every row of every table, table by table, sorted, without what tells of the run.
pub async fn content(context: &Context) -> BTreeMap<String, Vec<String>> {
    let tables = Arc::new(LakeTables::at(context.lake(), Moment::Now).await.unwrap());
    let mut content = BTreeMap::new();
    for tier in [Tier::Raw, Tier::Latest, Tier::Sanitized, Tier::Enhanced, Tier::Quarantine] {
        for table in tables.names(tier).await.unwrap() {
            let rows = rows(context, tables.clone(), &format!("SELECT * FROM {tier}.{table}")).await.unwrap();
            content.insert(format!("{tier}.{table}"), rows);
        }
    }
    let doubled = "SELECT run FROM system.runs GROUP BY run HAVING count(*) > 1";
    content.insert("runs twice".to_string(), rows(context, tables, doubled).await.unwrap());
    content
}

/// Every release: numbered without a gap, later than the one before, and its tables readable with as many rows as it
/// says.
pub async fn check_releases(context: &Context) {
    let lake = context.lake();
    let mut releases = lake.releases(None).await.unwrap();
    releases.reverse();
    let entries = history::history(lake, None, usize::MAX).await.unwrap();
    assert_eq!(entries.len(), releases.len());
    for (index, release) in releases.iter().enumerate() {
        assert_eq!(release.number, index as u64 + 1);
        assert!(index == 0 || releases[index - 1].time < release.time, "{releases:#?}");
        let tables = Arc::new(LakeTables::at(lake, Moment::Release(release.number)).await.unwrap());
        for (name, table) in &release.tables {
            let counted = count(context, tables.clone(), name).await;
            assert!(table.rows.is_none_or(|rows| rows == counted), "{name} in {release:#?}");
        }
    }
}

async fn count(context: &Context, tables: Arc<LakeTables>, name: &TableName) -> u64 {
    let sql = format!("SELECT count(*) AS n FROM {name}");
    let rows = rows(context, tables, &sql).await.unwrap();
    serde_json::from_str::<serde_json::Value>(&rows[0]).unwrap()["n"].as_u64().unwrap()
}

async fn rows(context: &Context, tables: Arc<LakeTables>, sql: &str) -> Result<Vec<String>> {
    let session = context.engine.session(tables, context.lake().clock().now());
    let result = session.execute(sql).await?;
    let mut text = Vec::new();
    output::write(result.stream, Format::Ndjson, &mut text, &Layout::default()).await?;
    let mut rows: Vec<String> = String::from_utf8(text)
        .unwrap()
        .lines()
        .map(|line| {
            let mut row: serde_json::Map<String, serde_json::Value> = serde_json::from_str(line).unwrap();
            row.retain(|column, _| !OF_THE_RUN.contains(&column.as_str()));
            serde_json::Value::Object(row).to_string()
        })
        .collect();
    rows.sort();
    Ok(rows)
}
