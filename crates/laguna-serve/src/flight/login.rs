//! Who calls: Flight's handshake gives out a token that later calls bring along; tokens of users and of the OpenID provider
//! are taken as they are.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use arrow_flight::{BasicAuth, HandshakeRequest, HandshakeResponse};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures::{Stream, stream};
use laguna_base::{Error, Result};
use prost::Message;
use tonic::metadata::{MetadataMap, MetadataValue};
use tonic::{Request, Response, Status, Streaming};

use super::status::status;
use crate::http::caller::Peer;
use crate::http::session::Sessions;
use crate::{Caller, Core};

/// The header in which Flight's older handshake expects its token back.
const OLD_TOKEN: &str = "auth-token-bin";

/// How long a client may take to say who it is.
const PATIENCE: Duration = Duration::from_secs(30);

/// Logins of clients.
pub(super) struct Login {
    core: Arc<Core>,
    sessions: Sessions,
}

impl Login {
    pub(super) fn new(core: Arc<Core>) -> Login {
        Login { core, sessions: Sessions::default() }
    }

    /// Who makes a call.
    pub(super) async fn caller<T>(&self, request: &Request<T>) -> Result<Arc<Caller>> {
        if let Some(anonymous) = self.core.identities.anonymous() {
            return Ok(anonymous);
        }
        let header = authorization(request.metadata());
        let header = header.or_else(|| {
            let token = request.metadata().get_bin(OLD_TOKEN)?.to_bytes().ok()?;
            Some(format!("Bearer {}", String::from_utf8_lossy(&token)))
        });
        if let Some((scheme, token)) = header.as_deref().and_then(|header| header.split_once(' '))
            && scheme.eq_ignore_ascii_case("bearer")
            && let Some(caller) = self.sessions.caller(token.trim())
        {
            return Ok(caller);
        }
        self.core.identities.authorization(header.as_deref(), peer(request)).await
    }

    /// Answers a handshake with a token for the calls to come: in the metadata for `authorization: Basic`, in the payload
    /// for clients that send name and password as a message.
    pub(super) async fn handshake(
        &self,
        request: Request<Streaming<HandshakeRequest>>,
    ) -> Result<Response<impl Stream<Item = Result<HandshakeResponse, Status>> + Send + 'static>, Status>
    {
        let from = peer(&request);
        let mut header = authorization(request.metadata());
        if header.is_none() && self.core.identities.anonymous().is_none() {
            let mut messages = request.into_inner();
            let message = tokio::time::timeout(PATIENCE, messages.message()).await;
            let message = message.map_err(|_| Status::deadline_exceeded("who asks is not said"))??;
            header = message.and_then(|message| basic(&message.payload));
        }
        let caller = self.core.identities.authorization(header.as_deref(), from).await.map_err(status)?;
        let token = self.sessions.open(caller).map_err(status)?;
        let answer = HandshakeResponse { protocol_version: 0, payload: token.clone().into() };
        let mut response = Response::new(stream::iter([Ok(answer)]));
        let bearer = MetadataValue::try_from(format!("Bearer {token}"))
            .map_err(|error| status(Error::internal("a token cannot be written").caused_by(error)))?;
        response.metadata_mut().insert("authorization", bearer);
        Ok(response)
    }
}

/// Where a call comes from.
fn peer<T>(request: &Request<T>) -> IpAddr {
    request.extensions().get::<Peer>().map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), |peer| peer.0)
}

/// What is no text is no login: it is refused like a wrong one.
fn authorization(metadata: &MetadataMap) -> Option<String> {
    let header = metadata.get("authorization")?.to_str().unwrap_or("?").trim();
    match header.split_once(' ') {
        Some((scheme, value)) if scheme.eq_ignore_ascii_case("basic") => Some(padded(value.trim())),
        _ => Some(header.to_string()),
    }
}

/// `Basic` with its padding, which Arrow's client in Go, and so ADBC's driver, leaves out.
fn padded(value: &str) -> String {
    let bare = value.trim_end_matches('=');
    format!("Basic {bare}{}", "=".repeat((4 - bare.len() % 4) % 4))
}

/// Name and password of Flight's `BasicAuth` message, as the header that HTTP has for them.
fn basic(payload: &[u8]) -> Option<String> {
    let basic = BasicAuth::decode(payload).ok().filter(|basic| !basic.username.is_empty())?;
    Some(format!("Basic {}", STANDARD.encode(format!("{}:{}", basic.username, basic.password))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_is_read_with_and_without_its_padding() {
        let known =
            [("YTpi", "YTpi"), ("YTpiYw", "YTpiYw=="), ("YTpiYw==", "YTpiYw=="), ("YTpiY2Q", "YTpiY2Q=")];
        for (sent, expected) in known {
            assert_eq!(padded(sent), format!("Basic {expected}"));
        }
    }
}
