//! What handlers take from a request, with errors that are problems: parameters of the address, parts of the path, a body.

use std::time::Duration;

use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use laguna_base::Error;
use serde::de::DeserializeOwned;

use super::{Problem, State};

/// Bytes of a body at most.
const BODY: usize = 1 << 20;

/// How long a client may take to send its body.
const PATIENCE: Duration = Duration::from_secs(30);

/// The parameters of an address.
pub(super) struct Params<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequestParts<State> for Params<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &State) -> Result<Params<T>, Problem> {
        let parsed = Query::try_from_uri(&parts.uri).map_err(|error| {
            let text =
                std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string);
            Problem::bad_request(
                format!("the parameters of the address are wrong: {text}"),
                "/v1/openapi.json lists the parameters of each path",
            )
        })?;
        Ok(Params(parsed.0))
    }
}

/// What stands for the names of a path.
pub(super) struct Named<T>(pub(super) T);

impl<T: DeserializeOwned + Send> FromRequestParts<State> for Named<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, core: &State) -> Result<Named<T>, Problem> {
        match Path::<T>::from_request_parts(parts, core).await {
            Ok(Path(value)) => Ok(Named(value)),
            Err(rejection) => Err(Problem::bad_request(
                format!("the path is wrong: {}", rejection.body_text()),
                "/v1/openapi.json lists every path",
            )),
        }
    }
}

/// A JSON body.
pub(super) struct Body<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequest<State> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &State) -> Result<Body<T>, Problem> {
        let media_type = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let media_type = media_type.unwrap_or_default().split(';').next().unwrap_or_default().trim();
        // A form of another site's page can send text, but not this: what is asked here is asked on purpose.
        if !media_type.eq_ignore_ascii_case("application/json") {
            let error = Error::project("the body is not said to be JSON")
                .hint("send the header `Content-Type: application/json`");
            return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, error));
        }
        let read = axum::body::to_bytes(request.into_body(), BODY);
        let bytes = match tokio::time::timeout(PATIENCE, read).await {
            Ok(Ok(bytes)) => bytes,
            Ok(Err(error)) => {
                let long = std::error::Error::source(&error)
                    .is_some_and(|source| source.to_string().contains("length limit exceeded"));
                if !long {
                    return Err(Problem::bad_request("the body broke off", "send it again"));
                }
                let error = Error::project(format!("the body is longer than {BODY} bytes"))
                    .sqlstate("54000")
                    .hint("put large lists into a table, or ask in parts");
                return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, error));
            }
            Err(_) => {
                let error = Error::project(format!("the body took longer than {} s", PATIENCE.as_secs()));
                return Err(Problem::new(StatusCode::REQUEST_TIMEOUT, error));
            }
        };
        serde_json::from_slice(&bytes).map(Body).map_err(|error| {
            Problem::bad_request(format!("the body is wrong: {error}"), "/v1/openapi.json says what it holds")
        })
    }
}
