//! `/v1/sql`: any statement that reads, in the format that the client chooses.

use axum::extract::State as Shared;
use axum::http::HeaderMap;
use axum::response::Response;
use axum::routing::{MethodFilter, on};
use laguna_base::settings::parse_duration;
use laguna_base::{Error, Instant, Result};
use laguna_query::Moment;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{Answers, Route, shape};
use crate::Ask;
use crate::http::extract::{Body, Params};
use crate::http::{Problem, State, Who, answer, negotiate, values};

pub(super) fn post() -> Route {
    Route {
        method: "post",
        tag: "sql",
        summary: "Answers a statement that reads.",
        body: Some(shape::<Statement>),
        handler: on(MethodFilter::POST, by_body),
        ..Route::get("postSql", "/v1/sql", Answers::Rows(shape::<Vec<Map<String, Value>>>), by_address)
    }
}

pub(super) fn get() -> Route {
    Route {
        tag: "sql",
        summary: "Answers a statement that reads: for links and downloads.",
        parameters: Some(shape::<Link>),
        ..Route::get("getSql", "/v1/sql", Answers::Rows(shape::<Vec<Map<String, Value>>>), by_address)
    }
}

/// A statement.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Statement {
    /// One statement that reads.
    #[schemars(extend("examples" = ["SELECT count(*) AS tables FROM information_schema.tables"]))]
    sql: String,
    /// What stands for `$1`, `$2`, …: dates and times as in RFC 3339, bytes as base64, long numbers as text.
    #[serde(default)]
    params: Vec<Value>,
    /// Reads the lake as it was then: a time as in RFC 3339, or a date in the project's time zone.
    as_of: Option<String>,
    /// Reads this release.
    release: Option<u64>,
    /// How long it may run, as `10s`, where that is less than the role may.
    timeout: Option<String>,
    /// Rows that it may answer with; more are an error.
    max_rows: Option<u64>,
}

/// A statement in an address.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Link {
    /// One statement that reads.
    #[schemars(extend("examples" = ["SELECT count(*) AS tables FROM information_schema.tables"]))]
    sql: String,
    /// What stands for `$1`, `$2`, …: a JSON array.
    params: Option<String>,
    /// Reads the lake as it was then.
    as_of: Option<String>,
    /// Reads this release.
    release: Option<u64>,
    /// How long it may run, as `10s`.
    timeout: Option<String>,
    /// Rows that it may answer with; more are an error.
    max_rows: Option<u64>,
    /// `json`, `ndjson`, `csv`, `arrow` or `parquet`; wins over `Accept`.
    #[schemars(extend("enum" = ["json", "ndjson", "csv", "arrow", "parquet"]))]
    format: Option<String>,
    /// What a browser saves the answer as.
    download: Option<String>,
}

async fn by_body(
    Shared(core): Shared<State>,
    who: Who,
    headers: HeaderMap,
    Body(statement): Body<Statement>,
) -> Result<Response, Problem> {
    respond(&core, &who, &headers, statement, None, None).await
}

async fn by_address(
    Shared(core): Shared<State>,
    who: Who,
    headers: HeaderMap,
    Params(link): Params<Link>,
) -> Result<Response, Problem> {
    let params = match link.params.as_deref() {
        None | Some("") => Vec::new(),
        Some(text) => serde_json::from_str(text).map_err(|error| {
            Problem::bad_request(
                format!("`params` is wrong: {error}"),
                "write a JSON array, as params=[1,\"UA\"]",
            )
        })?,
    };
    let statement = Statement {
        sql: link.sql,
        params,
        as_of: link.as_of,
        release: link.release,
        timeout: link.timeout,
        max_rows: link.max_rows,
    };
    respond(&core, &who, &headers, statement, link.format.as_deref(), link.download.as_deref()).await
}

async fn respond(
    core: &State,
    who: &Who,
    headers: &HeaderMap,
    statement: Statement,
    format: Option<&str>,
    file: Option<&str>,
) -> Result<Response, Problem> {
    let format = negotiate::format(headers, format)?;
    let moment = moment(core, statement.as_of.as_deref(), statement.release)?;
    let timeout = match statement.timeout.as_deref() {
        None => None,
        Some(text) => Some(parse_duration(text).ok_or_else(|| {
            Problem::bad_request(format!("`timeout: {text}` is not a duration"), "write it as 500ms or 10s")
        })?),
    };
    // A text may hold `$1` too; then the plan tells that no parameter is meant.
    let params = match statement.params.is_empty() && !statement.sql.contains('$') {
        true => Vec::new(),
        false => {
            let prepared = core.desk.prepare(&who.0, &statement.sql, &moment).await?;
            values::parameters(&statement.params, &prepared.parameters)?
        }
    };
    let ask =
        Ask { params, moment, timeout, max_rows: statement.max_rows, ..answer::ask(who, statement.sql) };
    answer::stream(core.desk.answer(ask).await?, format, file).await
}

/// The state of the lake that a client asks about.
pub(super) fn moment(core: &State, as_of: Option<&str>, release: Option<u64>) -> Result<Moment> {
    match (as_of, release) {
        (Some(_), Some(_)) => {
            Err(Error::project("`as_of` and `release` exclude each other").hint("give one of them"))
        }
        (Some(text), None) => {
            let zone = core.project.borrow().timezone;
            Ok(Moment::AsOf(Instant::parse(text, zone)?))
        }
        (None, Some(number)) => Ok(Moment::Release(number)),
        (None, None) => Ok(Moment::Now),
    }
}
