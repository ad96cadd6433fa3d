//! The SQL page: an editor, and what its script asks for: results as rows of texts, and names to complete.

use std::collections::BTreeMap;
use std::time::Instant as Stopwatch;

use askama::Template;
use axum::Json;
use axum::extract::{Query, State as Shared};
use axum::response::Response;
use futures::StreamExt;
use laguna_base::{Instant, Result};
use laguna_query::{Moment, output, translate};
use serde::{Deserialize, Serialize};

use super::assets;
use super::login::SameSite;
use super::page::{Broken, Frame, Reader, html};
use super::search;
use super::text::{is_number, is_time, type_name};
use crate::Ask;
use crate::http::{NAME, Problem, State};

/// Rows that are shown; all of them are in the download.
const ROWS: usize = 1000;
/// Bytes of values that are shown.
const BYTES: usize = 16 << 20;
/// Releases that can be picked.
const RELEASES: usize = 50;

#[derive(Deserialize)]
pub(super) struct Opened {
    /// A statement to begin with.
    #[serde(default)]
    sql: String,
    /// A release to begin with.
    release: Option<u64>,
}

#[derive(Template)]
#[template(path = "sql.html")]
struct SqlPage {
    frame: Frame,
    script: String,
    sql: String,
    /// The chosen release where it is older than those that are listed.
    unlisted: Option<u64>,
    /// Releases with their times, and whether one is chosen.
    releases: Vec<(u64, String, bool)>,
    rows: usize,
}

/// Answers `/sql`.
pub(super) async fn page(Reader(sight): Reader, Query(opened): Query<Opened>) -> Result<Response, Broken> {
    let releases = sight.lake().releases(Some(RELEASES)).await?;
    html(&SqlPage {
        frame: Frame::new(&sight, "SQL", "sql", releases.first()),
        script: assets::address("sql.js"),
        sql: opened.sql,
        unlisted: opened.release.filter(|chosen| releases.iter().all(|release| release.number != *chosen)),
        releases: releases
            .iter()
            .map(|release| {
                let time = release.time.to_datetime().format("%Y-%m-%d %H:%M UTC").to_string();
                (release.number, time, opened.release == Some(release.number))
            })
            .collect(),
        rows: ROWS,
    })
}

/// A statement, and the state of the lake that it is about.
#[derive(Deserialize)]
pub(super) struct Statement {
    sql: String,
    /// A time as people write it, in the project's zone.
    as_of: Option<String>,
    release: Option<u64>,
}

#[derive(Serialize)]
struct ResultColumn {
    name: String,
    #[serde(rename = "type")]
    type_name: String,
    /// `number`, `time` or `text`: what a chart can do with it.
    kind: &'static str,
}

/// The first rows of a result.
#[derive(Serialize)]
pub(super) struct Shown {
    columns: Vec<ResultColumn>,
    /// Values as text; null is null.
    rows: Vec<Vec<Option<String>>>,
    /// There are more rows than these.
    more: bool,
    /// From the statement's arrival to its last row.
    seconds: f64,
    release: Option<u64>,
}

/// Answers `POST /sql/run`. When the browser leaves, the statement ends.
pub(super) async fn run(
    Shared(core): Shared<State>,
    Reader(sight): Reader,
    _: SameSite,
    Json(statement): Json<Statement>,
) -> Result<Json<Shown>, Problem> {
    let stopwatch = Stopwatch::now();
    let moment = match (
        statement.release,
        statement.as_of.as_deref().map(str::trim).filter(|text| !text.is_empty()),
    ) {
        (Some(release), _) => Moment::Release(release),
        (None, Some(text)) => Moment::AsOf(Instant::parse(text, sight.project.timezone)?),
        (None, None) => Moment::Now,
    };
    let enough = Some(ROWS as u64 + 1);
    let ask = Ask { moment, enough, ..Ask::new(sight.caller.clone(), NAME, statement.sql) };
    let mut answer = core.desk.answer(ask).await?;
    let columns = answer
        .schema
        .fields()
        .iter()
        .map(|field| ResultColumn {
            name: field.name().clone(),
            type_name: type_name(field.data_type()),
            kind: match field.data_type() {
                number if is_number(number) => "number",
                time if is_time(time) => "time",
                _ => "text",
            },
        })
        .collect();
    let (mut rows, mut bytes, mut more) = (Vec::new(), 0, false);
    while let Some(batch) = answer.rows.next().await {
        let batch = batch.map_err(translate)?;
        let values = output::texts(&batch.slice(0, batch.num_rows().min(ROWS + 1 - rows.len())))?;
        for row in 0..values.first().map_or(batch.num_rows(), Vec::len) {
            if rows.len() == ROWS || bytes > BYTES {
                more = true;
                break;
            }
            let cells: Vec<Option<String>> = values.iter().map(|column| column[row].clone()).collect();
            bytes += cells.iter().flatten().map(String::len).sum::<usize>();
            rows.push(cells);
        }
    }
    Ok(Json(Shown {
        columns,
        rows,
        more,
        seconds: stopwatch.elapsed().as_secs_f64(),
        release: answer.release,
    }))
}

/// Answers `/sql/names`: the columns of every table that the reader may read.
pub(super) async fn names(Reader(sight): Reader) -> Result<Json<BTreeMap<String, Vec<String>>>, Problem> {
    Ok(Json(search::columns(&sight).await?))
}
