//! What machines ask that watch over the process: whether it lives, whether it can answer, and its numbers.

use axum::extract::State as Shared;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use std::time::Duration;

use axum::http::StatusCode;
use laguna_base::Error;

use super::{Problem, State};

/// How long the lake may take to say that it is there.
const PATIENCE: Duration = Duration::from_secs(5);

/// The process is up.
pub(super) async fn health() -> &'static str {
    "ok\n"
}

/// The lake can be read.
pub(super) async fn ready(Shared(core): Shared<State>) -> Result<&'static str, Problem> {
    let lake = core.desk.engine().lake().clone();
    // Whatever is wrong: nobody should send requests here.
    let unready = |error| Problem::new(StatusCode::SERVICE_UNAVAILABLE, error);
    match tokio::time::timeout(PATIENCE, lake.release()).await {
        Ok(Ok(_)) => Ok("ready\n"),
        Ok(Err(error)) => Err(unready(Error::storage("the lake cannot be read").caused_by(error))),
        Err(_) => Err(unready(Error::storage("the lake does not answer"))),
    }
}

/// Numbers of the process as OpenMetrics text. They count and name no table, user or statement.
pub(super) async fn metrics(Shared(core): Shared<State>) -> Response {
    let media_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, media_type)], core.metrics.text()).into_response()
}
