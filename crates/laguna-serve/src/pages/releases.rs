//! Releases: the list, and one release with what it changed.

use askama::Template;
use axum::extract::Path;
use axum::response::Response;
use laguna_base::TableName;
use laguna_store::Release;
use laguna_store::release::ReleasedTable;

use super::page::{Broken, Frame, Reader, html};
use super::sight::Sight;
use super::text::{When, difference, full, whole};

/// Releases that are listed.
const MOST: usize = 100;

#[derive(Template)]
#[template(path = "releases.html")]
struct ReleasesPage {
    frame: Frame,
    releases: Vec<ReleaseLine>,
}

struct ReleaseLine {
    number: u64,
    when: When,
    run: String,
    reason: String,
    changed: Vec<TableName>,
    held: usize,
    tables: usize,
}

#[derive(Template)]
#[template(path = "release.html")]
struct ReleasePage {
    frame: Frame,
    number: u64,
    when: When,
    time: String,
    run: String,
    reason: String,
    engine: String,
    git_commit: Option<String>,
    newer: Option<u64>,
    older: Option<u64>,
    /// Tables that it brought a version of.
    changed: Vec<TableLine>,
    /// Tables as an earlier release brought them.
    kept: Vec<TableLine>,
    gone: Vec<TableName>,
}

struct TableLine {
    name: TableName,
    version: Option<u64>,
    rows: String,
    change: Option<String>,
    since: u64,
    notes: Vec<String>,
    class: &'static str,
    checks: String,
    held: Option<String>,
}

/// Why a release exists, for who may know: the words can name tables.
fn reason(sight: &Sight, release: &Release) -> String {
    match sight.is_unlimited() {
        true => release.reason.clone(),
        false => release.reason.split(' ').next().unwrap_or_default().to_string(),
    }
}

/// Answers `/releases`.
pub(super) async fn list(Reader(sight): Reader) -> Result<Response, Broken> {
    let releases = sight.lake().releases(Some(MOST)).await?;
    let lines = releases
        .iter()
        .map(|release| {
            let tables = || release.tables.iter().filter(|(name, _)| sight.is_whole(name));
            ReleaseLine {
                number: release.number,
                when: sight.when(release.time),
                run: release.run.clone(),
                reason: reason(&sight, release),
                changed: tables()
                    .filter(|(_, table)| table.since == release.number)
                    .map(|(name, _)| name.clone())
                    .collect(),
                held: tables().filter(|(_, table)| table.held.is_some()).count(),
                tables: tables().count(),
            }
        })
        .collect();
    html(&ReleasesPage {
        frame: Frame::new(&sight, "Releases", "releases", releases.first()),
        releases: lines,
    })
}

/// Answers `/releases/{release}`.
pub(super) async fn page(Reader(sight): Reader, Path(number): Path<String>) -> Result<Response, Broken> {
    let newest = sight.release().await?;
    let missing = || Broken::not_found(format!("there is no release `{number}`"));
    let wanted: u64 = number.parse().map_err(|_| missing())?;
    let release = match sight.lake().release_number(wanted).await {
        Ok(release) => release,
        Err(error) if error.kind() == laguna_base::ErrorKind::Project => {
            return Err(Broken::not_found(error.message().to_string()));
        }
        Err(error) => return Err(error.into()),
    };
    // The one before may no longer be kept: then nothing is compared.
    let before = match wanted {
        0 | 1 => None,
        _ => sight.lake().release_number(wanted - 1).await.ok(),
    };
    let (mut changed, mut kept) = (Vec::new(), Vec::new());
    for (name, table) in release.tables.iter().filter(|(name, _)| sight.is_whole(name)) {
        let old = before.as_ref().and_then(|before| before.tables.get(name));
        let line = line(&sight, name, table, old, before.is_some());
        match table.since == release.number {
            true => changed.push(line),
            false => kept.push(line),
        }
    }
    let gone = before.iter().flat_map(|before| before.tables.keys());
    let gone =
        gone.filter(|name| sight.is_whole(name) && !release.tables.contains_key(*name)).cloned().collect();
    html(&ReleasePage {
        frame: Frame::new(&sight, format!("Release {wanted}"), "releases", newest.as_ref()),
        number: release.number,
        when: sight.when(release.time),
        time: full(release.time),
        run: release.run.clone(),
        reason: reason(&sight, &release),
        engine: release.engine.clone(),
        git_commit: release.git_commit.clone(),
        newer: newest.filter(|newest| newest.number > wanted).map(|_| wanted + 1),
        older: before.map(|before| before.number),
        changed,
        kept,
        gone,
    })
}

fn line(
    sight: &Sight,
    name: &TableName,
    table: &ReleasedTable,
    old: Option<&ReleasedTable>,
    compared: bool,
) -> TableLine {
    let mut notes = Vec::new();
    match old {
        None if compared => notes.push("new".to_string()),
        Some(old) if old.sql_hash != table.sql_hash => notes.push("SQL changed".to_string()),
        _ => {}
    }
    if let Some(old) = old
        && old.schema != table.schema
    {
        notes.push("columns changed".to_string());
    }
    let checks = table.checks;
    let said = [(checks.passed, "passed"), (checks.warned, "warned"), (checks.failed, "failed")];
    let said: Vec<String> =
        said.iter().filter(|(count, _)| *count > 0).map(|(count, word)| format!("{count} {word}")).collect();
    TableLine {
        name: name.clone(),
        version: table.version,
        rows: table.rows.map(|rows| whole(rows as i64)).unwrap_or_default(),
        change: old.and_then(|old| Some(difference(table.rows?, old.rows?))),
        since: table.since,
        notes,
        class: match (checks.failed, checks.warned, checks.passed) {
            (1.., ..) => "bad",
            (_, 1.., _) => "warn",
            (.., 0) => "quiet",
            _ => "ok",
        },
        checks: said.join(", "),
        held: table
            .held
            .clone()
            .map(|why| if sight.is_unlimited() { why } else { "keeps its version".to_string() }),
    }
}
