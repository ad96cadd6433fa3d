//! A statement's answer as a response: bytes as they are made, at the pace of whoever reads them.
//!
//! The status waits for the first rows, and for a small answer's end, so that what fails early is an error with its own
//! status. What fails later breaks the transfer: no client can take half an answer for a whole one. When the client
//! leaves, the statement ends.

use std::pin::pin;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use futures::{Stream, StreamExt, TryStreamExt, stream};
use laguna_base::{Error, Result};
use laguna_query::output::{self, Format};
use serde_json::{Map, Value};

use super::{NAME, Problem, State, negotiate};
use crate::{Answer, Ask};

/// The header that says which release was read.
pub(super) const RELEASE: HeaderName = HeaderName::from_static("laguna-release");

/// Bytes of an answer that are made before its status is sent, and how long more of them are waited for.
const ENOUGH: usize = 64 << 10;
const PATIENCE: Duration = Duration::from_millis(100);

/// The rows of `answer` in `format`; `file` is what a browser saves them as.
pub(super) async fn stream(answer: Answer, format: Format, file: Option<&str>) -> Result<Response, Problem> {
    let release = answer.release;
    let mut chunks = output::encode(answer.rows, format);
    let (first, ended) = first(&mut chunks).await?;
    let body = match ended {
        true => Body::from(first),
        false => Body::from_stream(stream::iter([Ok(first)]).chain(chunks.or_else(broken))),
    };
    let mut response = body.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(negotiate::content_type(format)));
    headers.insert(header::VARY, HeaderValue::from_static("accept"));
    if let Some(release) = release {
        headers.insert(RELEASE, HeaderValue::from(release));
    }
    if let Some(file) = file {
        headers.insert(header::CONTENT_DISPOSITION, attachment(file)?);
    }
    Ok(response)
}

/// What is sent with the status, and whether that is the whole answer.
async fn first(chunks: &mut (impl Stream<Item = Result<Vec<u8>>> + Unpin)) -> Result<(Vec<u8>, bool)> {
    let Some(mut all) = chunks.try_next().await? else { return Ok((Vec::new(), true)) };
    let mut patience = pin!(tokio::time::sleep(PATIENCE));
    while all.len() < ENOUGH {
        tokio::select! {
            biased;
            next = chunks.try_next() => match next? {
                Some(chunk) => all.extend_from_slice(&chunk),
                None => return Ok((all, true)),
            },
            () = &mut patience => break,
        }
    }
    Ok((all, false))
}

/// Ends a transfer that has begun. What was written before goes out first: the client learns that there was an answer.
async fn broken(error: Error) -> Result<Vec<u8>> {
    tracing::info!(%error, "an answer broke off");
    tokio::time::sleep(Duration::from_millis(5)).await;
    Err(error)
}

/// A name for a file, quoted (RFC 6266); only plain characters, so that no client reads a path or a header in it.
fn attachment(file: &str) -> Result<HeaderValue, Problem> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._- ".contains(c);
    if file.is_empty() || file.len() > 128 || file.starts_with('.') || !file.chars().all(plain) {
        return Err(Problem::bad_request(
            "the name of the download is not plain",
            "use letters, digits, `.`, `_`, `-`",
        ));
    }
    HeaderValue::try_from(format!("attachment; filename=\"{file}\""))
        .map_err(|error| Error::internal("a header cannot be written").caused_by(error).into())
}

/// The rows of a small answer as JSON objects, and the release that was read.
pub(super) async fn objects(core: &State, ask: Ask) -> Result<(Vec<Map<String, Value>>, Option<u64>)> {
    let answer = core.desk.answer(ask).await?;
    let release = answer.release;
    let bytes = output::encode(answer.rows, Format::Json).try_concat().await?;
    Ok((parse(&bytes)?, release))
}

/// The objects of a JSON array that was just written.
pub(super) fn parse(bytes: &[u8]) -> Result<Vec<Map<String, Value>>> {
    serde_json::from_slice(bytes).map_err(|error| Error::internal("an answer is no JSON").caused_by(error))
}

/// A statement of `caller` about the lake as it is now, as this door asks it.
pub(super) fn ask(caller: &super::Who, sql: impl Into<String>) -> Ask {
    Ask::new(caller.0.clone(), NAME, sql)
}
