//! Logging in with a form: a password or a token becomes a cookie that names a login of this process.

use askama::Template;
use axum::Extension;
use axum::extract::{Form, FromRequestParts, Query, State as Shared};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{Html, IntoResponse, Redirect, Response};
use laguna_base::{Error, Result};
use serde::Deserialize;

use super::page::{Broken, Frame};
use crate::http::caller::Peer;
use crate::http::session::{self, Sessions};
use crate::http::{Problem, State};

#[derive(Deserialize)]
pub(super) struct Onwards {
    #[serde(default)]
    next: String,
}

/// What the form sends.
#[derive(Deserialize)]
pub(super) struct Login {
    #[serde(default)]
    user: String,
    #[serde(default)]
    password: String,
    #[serde(default)]
    token: String,
    #[serde(default)]
    next: String,
}

#[derive(Template)]
#[template(path = "login.html")]
struct LoginPage {
    frame: Frame,
    next: String,
    user: String,
    refused: Option<String>,
}

/// Answers `GET /login`. Where there are no users, nobody has to.
pub(super) async fn form(Shared(core): Shared<State>, Query(onwards): Query<Onwards>) -> Response {
    if core.identities.anonymous().is_some() {
        return Redirect::to(local(&onwards.next)).into_response();
    }
    shown(onwards.next, String::new(), None)
}

fn shown(next: String, user: String, refused: Option<String>) -> Response {
    let status = if refused.is_some() { StatusCode::UNAUTHORIZED } else { StatusCode::OK };
    // Who has not logged in is not told the project's name.
    let page = LoginPage { frame: Frame::bare("Log in", "login", "Laguna".to_string()), next, user, refused };
    match page.render() {
        Ok(text) => (status, Html(text)).into_response(),
        Err(error) => {
            Broken::from(Error::internal("a page cannot be written").caused_by(error)).into_response()
        }
    }
}

/// Answers `POST /login`.
pub(super) async fn login(
    Shared(core): Shared<State>,
    peer: Option<Extension<Peer>>,
    Extension(sessions): Extension<Sessions>,
    _: SameSite,
    headers: HeaderMap,
    Form(login): Form<Login>,
) -> Result<Response, Problem> {
    let from = peer.map_or(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), |Extension(peer)| peer.0);
    let known = match login.token.trim() {
        "" => core.identities.password(login.user.trim(), &login.password, from).await,
        token => core.identities.token(token, from).await,
    };
    let caller = match known {
        Ok(caller) => caller,
        Err(error) => {
            let mut said = error.message().to_string();
            if let Some(hint) = error.hint_text() {
                said = format!("{said}: {hint}");
            }
            return Ok(shown(login.next, login.user, Some(said)));
        }
    };
    // A login replaces the one that the browser had.
    if let Some(old) = session::token(&headers) {
        sessions.close(old);
    }
    let token = sessions.open(caller)?;
    let cookie = session::set_cookie(Some(&token), core.tls.is_some())?;
    Ok(([(header::SET_COOKIE, cookie)], Redirect::to(local(&login.next))).into_response())
}

/// Answers `POST /logout`.
pub(super) async fn logout(
    Shared(core): Shared<State>,
    Extension(sessions): Extension<Sessions>,
    _: SameSite,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    if let Some(token) = session::token(&headers) {
        sessions.close(token);
    }
    let cookie = session::set_cookie(None, core.tls.is_some())?;
    Ok(([(header::SET_COOKIE, cookie)], Redirect::to("/login")).into_response())
}

/// `next` where it is a path of this server, else the home page: nobody is sent elsewhere after a login.
fn local(next: &str) -> &str {
    let harmless = |character: char| character.is_ascii_graphic() && character != '\\';
    let inside = next.starts_with('/') && !next.starts_with("//") && next.chars().all(harmless);
    if inside { next } else { "/" }
}

/// Refuses what another site's page has sent: the cookie is not enough to change or ask something. Programs send no
/// `Origin`.
pub(super) struct SameSite;

impl FromRequestParts<State> for SameSite {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &State) -> Result<SameSite, Problem> {
        let text =
            |name: header::HeaderName| parts.headers.get(name).map(|value| value.to_str().unwrap_or("?"));
        // HTTP/2 has the host in the address.
        let host = text(header::HOST).or_else(|| parts.uri.authority().map(|host| host.as_str()));
        match same_site(text(header::ORIGIN), host) {
            true => Ok(SameSite),
            false => {
                let error = Error::denied("another site's page must not ask")
                    .hint("open the page of the lake itself");
                Err(error.into())
            }
        }
    }
}

fn same_site(origin: Option<&str>, host: Option<&str>) -> bool {
    let Some(origin) = origin else { return true };
    origin.split_once("://").is_some_and(|(_, site)| host.is_some_and(|host| site.eq_ignore_ascii_case(host)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_leads_nowhere_else() {
        for next in ["/", "/tables/raw/a?b=c", "/sql#x"] {
            assert_eq!(local(next), next);
        }
        for next in [
            "",
            "//evil.example",
            "https://evil.example",
            "/\\evil.example",
            "javascript:alert(1)",
            "/a\nb",
            "/ä",
        ] {
            assert_eq!(local(next), "/", "{next:?}");
        }
    }

    #[test]
    fn only_the_same_site_may_send_forms() {
        let host = Some("lake.example:8080");
        for origin in [None, Some("http://lake.example:8080"), Some("https://lake.example:8080")] {
            assert!(same_site(origin, host), "{origin:?}");
        }
        for origin in [Some("null"), Some("http://lake.example"), Some("http://evil.example:8080")] {
            assert!(!same_site(origin, host), "{origin:?}");
        }
        assert!(!same_site(Some("http://lake.example"), None));
    }
}
