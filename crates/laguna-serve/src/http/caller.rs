//! Who asks: from `Authorization`, or from the cookie of a browser that has logged in.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use axum::extract::{FromRequestParts, OptionalFromRequestParts};
use axum::http::header;
use axum::http::request::Parts;
use tracing::field;

use super::session::{self, Sessions};
use super::{Problem, State};
use crate::Caller;

/// Where a request comes from; every request carries it as an extension.
#[derive(Debug, Clone, Copy)]
pub struct Peer(pub IpAddr);

/// The address of whoever sent the request.
pub fn peer(parts: &Parts) -> IpAddr {
    parts.extensions.get::<Peer>().map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), |peer| peer.0)
}

/// The caller of a request: an extractor for handlers. Without a login where one is needed, the request is answered with
/// 401; `Option<Who>` leaves that to the handler.
#[derive(Debug, Clone)]
pub struct Who(pub Arc<Caller>);

impl FromRequestParts<State> for Who {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, core: &State) -> Result<Who, Problem> {
        let from = peer(parts);
        let given = parts.headers.get(header::AUTHORIZATION);
        if given.is_none()
            && core.identities.anonymous().is_none()
            && let Some(sessions) = parts.extensions.get::<Sessions>()
            && let Some(caller) = session::token(&parts.headers).and_then(|token| sessions.caller(token))
        {
            return Ok(known(caller));
        }
        // What is no text is no login: it is refused like a wrong one.
        let text = given.map(|value| value.to_str().unwrap_or("?"));
        Ok(known(core.identities.authorization(text, from).await?))
    }
}

impl OptionalFromRequestParts<State> for Who {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, core: &State) -> Result<Option<Who>, Problem> {
        match <Who as FromRequestParts<State>>::from_request_parts(parts, core).await {
            Ok(who) => Ok(Some(who)),
            Err(problem) if parts.headers.contains_key(header::AUTHORIZATION) => Err(problem),
            Err(_) => Ok(None),
        }
    }
}

fn known(caller: Arc<Caller>) -> Who {
    tracing::Span::current().record("user", field::display(&caller.user));
    Who(caller)
}
