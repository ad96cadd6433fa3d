//! `/v1/releases`: what was published, one release with its tables, and what is different between two.

use axum::Json;
use axum::extract::State as Shared;
use axum::http::StatusCode;
use datafusion::scalar::ScalarValue;
use laguna_base::{Error, Result};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value};

use super::rows::{self, Listing};
use super::{Answers, Route, shape};
use crate::Ask;
use crate::http::extract::Named;
use crate::http::{Problem, State, Who, answer};

/// `system.releases`, the newest first.
const RELEASES: Listing = Listing { table: "releases", order: "release.desc" };

pub(super) fn list() -> Route {
    Route {
        tag: "releases",
        summary: "Releases, the newest first: rows of `system.releases`.",
        ..rows::listing("listReleases", "/v1/releases", &RELEASES)
    }
}

pub(super) fn one() -> Route {
    Route {
        tag: "releases",
        summary: "One release with its tables.",
        named: &[("release", "Number of a release.")],
        ..Route::get("getRelease", "/v1/releases/{release}", Answers::Json(shape::<Release>), release)
    }
}

pub(super) fn diff() -> Route {
    Route {
        tag: "releases",
        summary: "Tables that are different in two releases.",
        named: &[
            ("release", "Number of a release."),
            ("other", "Number of the release it is compared with."),
        ],
        ..Route::get(
            "diffReleases",
            "/v1/releases/{release}/diff/{other}",
            Answers::Json(shape::<Diff>),
            compare,
        )
    }
}

/// A release.
#[derive(Debug, Serialize, JsonSchema)]
struct Release {
    /// Its row of `system.releases`.
    release: Map<String, Value>,
    /// Its rows of `system.release_tables`.
    tables: Vec<Map<String, Value>>,
}

/// What is different in another release.
#[derive(Debug, Serialize, JsonSchema)]
struct Diff {
    /// The release that is compared.
    from: u64,
    /// The release that it is compared with.
    to: u64,
    /// Tables that are not the same: `change` is `added`, `removed`, `rows` or `sql`; then versions, rows and SQL hashes of
    /// both.
    tables: Vec<Map<String, Value>>,
}

async fn release(
    Shared(core): Shared<State>,
    who: Who,
    Named(number): Named<u64>,
) -> Result<Json<Release>, Problem> {
    let release = exists(&core, &who, number).await?;
    let tables = "SELECT * FROM system.release_tables WHERE release = $1 ORDER BY \"table\"";
    Ok(Json(Release {
        release,
        // A role may read releases without their tables.
        tables: rows(&core, &who, tables, &[number]).await.or_else(rows::unknown_is_empty)?,
    }))
}

async fn compare(
    Shared(core): Shared<State>,
    who: Who,
    Named((from, to)): Named<(u64, u64)>,
) -> Result<Json<Diff>, Problem> {
    exists(&core, &who, from).await?;
    exists(&core, &who, to).await?;
    // Versions are compared by their content where it is known: compaction gives the same rows a new version.
    let sql = "SELECT coalesce(a.\"table\", b.\"table\") AS \"table\", \
         CASE WHEN a.\"table\" IS NULL THEN 'added' WHEN b.\"table\" IS NULL THEN 'removed' \
              WHEN a.sql_hash <> b.sql_hash THEN 'sql' ELSE 'rows' END AS change, \
         a.version AS from_version, b.version AS to_version, a.rows AS from_rows, b.rows AS to_rows, \
         a.sql_hash AS from_sql_hash, b.sql_hash AS to_sql_hash \
         FROM (SELECT * FROM system.release_tables WHERE release = $1) AS a \
         FULL JOIN (SELECT * FROM system.release_tables WHERE release = $2) AS b ON a.\"table\" = b.\"table\" \
         WHERE a.\"table\" IS NULL OR b.\"table\" IS NULL OR a.sql_hash <> b.sql_hash \
            OR coalesce(a.content, a.version::text) IS DISTINCT FROM coalesce(b.content, b.version::text) \
         ORDER BY 1";
    Ok(Json(Diff { from, to, tables: rows(&core, &who, sql, &[from, to]).await? }))
}

/// The row of a release, or the problem that there is none.
async fn exists(core: &State, who: &Who, number: u64) -> Result<Map<String, Value>, Problem> {
    let found = rows(core, who, "SELECT * FROM system.releases WHERE release = $1", &[number]).await?;
    found.into_iter().next().ok_or_else(|| {
        let error = Error::project(format!("there is no release {number}")).hint("/v1/releases lists them");
        Problem::new(StatusCode::NOT_FOUND, error)
    })
}

async fn rows(
    core: &State,
    who: &Who,
    sql: &str,
    numbers: &[u64],
) -> Result<Vec<Map<String, Value>>, Problem> {
    // A number beyond what SQL can say is no release either.
    let number = |number: &u64| ScalarValue::from(i64::try_from(*number).unwrap_or(-1));
    let ask = Ask { params: numbers.iter().map(number).collect(), ..answer::ask(who, sql) };
    answer::objects(core, ask).await.map(|(rows, _)| rows).map_err(Problem::of_path)
}
