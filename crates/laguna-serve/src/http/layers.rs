//! What stands around every route: an id and a line in the log for each request, headers that keep browsers safe,
//! compression, and an answer even when a handler panics.

use std::any::Any;
use std::time::Instant as Stopwatch;

use axum::Router;
use axum::body::HttpBody;
use axum::extract::{Request, State as Shared};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use laguna_base::{Clock, Error, SystemClock};
use tokio_util::sync::CancellationToken;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{NotForContentType, Predicate, SizeAbove};
use tracing::Instrument;

use super::caller::Peer;
use super::session::Sessions;
use super::{Problem, State};
use crate::metrics::Metrics;

/// The header that names a request in logs; a client may choose it.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Puts everything around `routes` that is the same for all.
pub(super) fn around(routes: Router<State>, core: &State, stop: CancellationToken) -> Router<State> {
    // Parquet is compressed already, and so is what the pages bring along.
    let worth = SizeAbove::new(860)
        .and(NotForContentType::const_new("application/vnd.apache.parquet"))
        .and(NotForContentType::const_new("image/"))
        .and(NotForContentType::const_new("font/"));
    let guard = Guard { sessions: Sessions::default(), core: core.clone(), stop };
    routes
        .layer(CatchPanicLayer::custom(panicked(core.metrics.clone())))
        .layer(CompressionLayer::new().compress_when(worth))
        .layer(middleware::from_fn_with_state(guard, request))
}

/// The answer to a request whose handler panicked. It is counted, and what was wrong is for the log only.
fn panicked(metrics: Metrics) -> impl Fn(Box<dyn Any + Send>) -> Response + Clone {
    move |panic| {
        metrics.panics.inc();
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("without a word");
        tracing::error!(panic = text, "a request's handler died");
        let error = Error::internal("the request died").hint("this is a defect of Laguna; the others go on");
        Problem::from(error).into_response()
    }
}

#[derive(Clone)]
struct Guard {
    sessions: Sessions,
    core: State,
    stop: CancellationToken,
}

/// One request from its arrival to its answer's first byte.
async fn request(Shared(guard): Shared<Guard>, mut request: Request, next: Next) -> Response {
    let stopwatch = Stopwatch::now();
    let id = request_id(request.headers());
    let (method, path) = (request.method().clone(), request.uri().path().to_string());
    let from = request.extensions().get::<Peer>().map(|peer| peer.0.to_string());
    let span =
        tracing::info_span!("request", id = id.to_str().unwrap_or_default(), user = tracing::field::Empty);
    request.extensions_mut().insert(guard.sessions.clone());
    let mut response = match guard.refuses(request.headers()) {
        Some(problem) => problem.into_response(),
        None => next.run(request).instrument(span.clone()).await,
    };
    span.in_scope(|| {
        tracing::info!(
            method = method.as_str(),
            path,
            from,
            status = response.status().as_u16(),
            bytes = response.body().size_hint().exact(),
            milliseconds = stopwatch.elapsed().as_secs_f64() * 1000.0,
            "answered"
        );
    });
    let headers = response.headers_mut();
    headers.insert(REQUEST_ID, id);
    for (name, value) in DEFAULTS {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    response
}

/// Headers of every answer that does not say otherwise. Pages say what they may load.
const DEFAULTS: [(HeaderName, &str); 6] = [
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "same-origin"),
    (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
    (header::CACHE_CONTROL, "no-store"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

impl Guard {
    /// Why a request is not even looked at.
    fn refuses(&self, headers: &HeaderMap) -> Option<Problem> {
        if self.stop.is_cancelled() {
            let error =
                Error::interrupted().sqlstate("57P03").hint("the server stops: ask again in a moment");
            return Some(Problem::new(StatusCode::SERVICE_UNAVAILABLE, error));
        }
        // Another site's script could ask in the name of whoever looks at it. Following a link is fine.
        let says = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        if says("sec-fetch-site") == Some("cross-site") && says("sec-fetch-mode") != Some("navigate") {
            let error =
                Error::denied("another site's page must not ask").hint("open the page of the lake itself");
            return Some(error.into());
        }
        // Without users the address is all that protects the lake, and a site can let its own name mean this machine.
        if self.core.identities.anonymous().is_some()
            && says("host").is_some_and(|host| !is_this_machine(host))
        {
            let error = Error::denied("without users only this machine may ask, by its own name")
                .hint("ask for localhost or 127.0.0.1, or add `users:` to laguna.yml");
            return Some(Problem::new(StatusCode::MISDIRECTED_REQUEST, error));
        }
        None
    }
}

/// Whether a `Host` header names this machine in a way that no name server has a say in.
fn is_this_machine(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let name = name.trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
    name == "localhost" || name.ends_with(".localhost") || name.parse::<std::net::IpAddr>().is_ok()
}

/// The client's own id of the request where it is one, else a new one.
fn request_id(headers: &HeaderMap) -> HeaderValue {
    let given = headers.get(REQUEST_ID).filter(|id| {
        let fine = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(byte);
        (1..=64).contains(&id.len()) && id.as_bytes().iter().all(fine)
    });
    let new = || HeaderValue::try_from(SystemClock.new_id());
    given.cloned().or_else(|| new().ok()).unwrap_or(HeaderValue::from_static("-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_an_answer_and_is_counted() {
        let metrics = Metrics::default();
        async fn dies() -> &'static str {
            panic!("a secret of the code")
        }
        let mut router: Router = Router::new()
            .route("/", axum::routing::get(dies))
            .layer(CatchPanicLayer::custom(panicked(metrics.clone())));
        let request = Request::new(axum::body::Body::empty());
        let response = tonic::codegen::Service::call(&mut router, request).await.unwrap();
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(response.headers()[header::CONTENT_TYPE], super::super::problem::MEDIA_TYPE);
        let body = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
        assert!(!String::from_utf8_lossy(&body).contains("secret"));
        assert_eq!(metrics.panics.get(), 1);
    }

    #[test]
    fn only_addresses_and_localhost_are_this_machine() {
        for host in
            ["localhost", "localhost:8080", "127.0.0.1:1", "[::1]:8080", "LOCALHOST", "a.localhost:80"]
        {
            assert!(is_this_machine(host), "{host}");
        }
        for host in ["example.org", "example.org:8080", "127.0.0.1.example.org", "localhost.example.org", ""]
        {
            assert!(!is_this_machine(host), "{host}");
        }
    }

    #[test]
    fn a_request_id_that_could_forge_a_line_of_the_log_is_replaced() {
        let mut headers = HeaderMap::new();
        headers.insert(REQUEST_ID, HeaderValue::from_static("trace-1"));
        assert_eq!(request_id(&headers), "trace-1");
        headers.insert(REQUEST_ID, HeaderValue::from_static("a b"));
        assert_ne!(request_id(&headers), "a b");
    }
}
