//! Errors as HTTP answers: `application/problem+json` (RFC 9457) with the code, kind and hint of the command line.

use axum::Json;
use axum::http::{HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use laguna_base::{Error, ErrorKind};
use schemars::JsonSchema;
use serde::Serialize;

/// What a client may send to say who it is.
const CHALLENGE: &str = "Bearer realm=\"laguna\", Basic realm=\"laguna\", charset=\"UTF-8\"";

/// The media type of every error.
pub const MEDIA_TYPE: &str = "application/problem+json";

/// An error on its way to a client.
#[derive(Debug)]
pub struct Problem {
    status: StatusCode,
    error: Error,
}

impl Problem {
    /// An error with another status than that of its kind.
    pub fn new(status: StatusCode, error: Error) -> Problem {
        Problem { status, error }
    }

    /// A request that is not understood.
    pub fn bad_request(message: impl Into<String>, hint: impl Into<String>) -> Problem {
        Error::project(message).hint(hint).into()
    }

    /// The status of the answer.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The error.
    pub fn error(&self) -> &Error {
        &self.error
    }

    /// What the path names is not there: a table, a release that the statement behind the path did not find.
    pub fn of_path(error: Error) -> Problem {
        match error.code() {
            "42P01" | "3F000" => Problem::new(StatusCode::NOT_FOUND, error),
            _ => error.into(),
        }
    }

    /// The answer's body.
    pub fn body(&self) -> Body<'_> {
        let error = &self.error;
        Body {
            kind_of_problem: "about:blank",
            title: self.status.canonical_reason().unwrap_or("Error"),
            status: self.status.as_u16(),
            detail: error.message(),
            code: error.code(),
            kind: error.kind().as_str(),
            hint: error.hint_text(),
            location: error.location().map(|place| Place {
                file: &place.file,
                line: place.line,
                column: place.column,
            }),
        }
    }
}

/// An error as a client sees it.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Problem")]
pub struct Body<'a> {
    /// Always `about:blank`: `code` and `kind` tell errors apart.
    #[serde(rename = "type")]
    kind_of_problem: &'a str,
    /// The phrase of the status.
    title: &'a str,
    /// The status.
    status: u16,
    /// What is wrong, in one sentence.
    detail: &'a str,
    /// SQLSTATE.
    code: &'a str,
    /// The word by which programs tell what they can do about it.
    kind: &'a str,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<&'a str>,
    /// Where in the statement.
    #[serde(skip_serializing_if = "Option::is_none")]
    location: Option<Place<'a>>,
}

/// A place in a text; lines and columns count from 1, 0 where they are not known.
#[derive(Debug, Serialize, JsonSchema)]
struct Place<'a> {
    file: &'a str,
    line: usize,
    column: usize,
}

impl From<Error> for Problem {
    fn from(error: Error) -> Problem {
        let status = match error.code() {
            // Who asks is not known: another login can help, unlike with all else that is denied. Who guesses too much has to
            // wait instead.
            "28000" | "28P01" if error.kind() == ErrorKind::Denied => StatusCode::UNAUTHORIZED,
            // The same statement reaches its limit of time or rows again: 429 would have clients repeat it.
            "54000" | "57014" if error.kind() == ErrorKind::Exhausted => StatusCode::UNPROCESSABLE_ENTITY,
            "0A000" if error.kind() == ErrorKind::Project => StatusCode::BAD_REQUEST,
            _ => {
                StatusCode::from_u16(error.kind().http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
            }
        };
        Problem { status, error }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        if self.status.is_server_error() {
            tracing::warn!(error = ?self.error, "a request failed");
        }
        let mut response = (self.status, Json(self.body())).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(CHALLENGE));
        }
        if self.status == StatusCode::SERVICE_UNAVAILABLE || self.status == StatusCode::TOO_MANY_REQUESTS {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

/// A path that is none of ours.
pub(super) fn no_such_path(uri: &Uri) -> Problem {
    let error = Error::project(format!("there is nothing at `{}`", uri.path()))
        .hint("/v1/openapi.json lists every path");
    Problem::new(StatusCode::NOT_FOUND, error)
}

/// A path of ours, asked in a way that it does not answer to.
pub(super) async fn wrong_method(method: Method, uri: Uri) -> Problem {
    let error = Error::project(format!("`{}` does not answer to {method}", uri.path()))
        .hint("the header `Allow` says to what it answers");
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, error)
}
