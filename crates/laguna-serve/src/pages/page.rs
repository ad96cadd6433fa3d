//! What all pages share: who reads, the frame around the content, and errors as pages.

use askama::Template;
use axum::extract::{FromRequestParts, OptionalFromRequestParts};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{Html, IntoResponse, Redirect, Response};
use laguna_base::{Error, ErrorKind};
use laguna_store::Release;
use url::form_urlencoded;

use super::assets;
use super::sight::Sight;
use super::text::When;
use crate::http::{Problem, State, Who};

/// The reader of a page with what he may see. Who is not known is sent to the login page, and back after it.
pub(super) struct Reader(pub(super) Sight);

impl FromRequestParts<State> for Reader {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, core: &State) -> Result<Reader, Response> {
        match <Who as OptionalFromRequestParts<State>>::from_request_parts(parts, core).await {
            Ok(Some(Who(caller))) => Ok(Reader(Sight::new(core.clone(), caller))),
            // A script has asked: it must be told, not shown a page.
            Ok(None) if parts.headers.contains_key("x-laguna-part") => {
                Err((StatusCode::UNAUTHORIZED, "log in again").into_response())
            }
            Ok(None) => {
                let here = parts.uri.path_and_query().map_or("/", |path| path.as_str());
                Err(Redirect::to(&login_address(here)).into_response())
            }
            Err(problem) => Err(problem.into_response()),
        }
    }
}

/// The login page that leads on to `next`.
fn login_address(next: &str) -> String {
    match next {
        "/" => "/login".to_string(),
        _ => format!(
            "/login?{}",
            form_urlencoded::Serializer::new(String::new()).append_pair("next", next).finish()
        ),
    }
}

/// What stands around every page.
pub(super) struct Frame {
    /// Title of the page.
    pub(super) title: String,
    /// The part of the navigation that the page belongs to.
    pub(super) section: &'static str,
    /// The project's name.
    pub(super) project: String,
    /// Who has logged in; `None` where there are no users.
    pub(super) user: Option<String>,
    /// The newest release.
    pub(super) release: Option<(u64, When)>,
    /// What stands in the search box.
    pub(super) search: String,
    pub(super) css: String,
    pub(super) theme_js: String,
    pub(super) js: String,
    pub(super) icon: String,
}

impl Frame {
    /// The frame of a page that a reader sees.
    pub(super) fn new(
        sight: &Sight,
        title: impl Into<String>,
        section: &'static str,
        release: Option<&Release>,
    ) -> Frame {
        let known = sight.core.identities.anonymous().is_none().then(|| sight.caller.user.clone());
        let release = release.map(|release| (release.number, sight.when(release.time)));
        Frame { user: known, release, ..Frame::bare(title, section, sight.project.name.clone()) }
    }

    /// The frame of a page for nobody in particular.
    pub(super) fn bare(title: impl Into<String>, section: &'static str, project: String) -> Frame {
        Frame {
            title: title.into(),
            section,
            project,
            user: None,
            release: None,
            search: String::new(),
            css: assets::address("laguna.css"),
            theme_js: assets::address("theme.js"),
            js: assets::address("laguna.js"),
            icon: assets::address("icon.svg"),
        }
    }
}

/// A rendered template as an answer.
pub(super) fn html(template: &impl Template) -> Result<Response, Broken> {
    match template.render() {
        Ok(text) => Ok(Html(text).into_response()),
        Err(error) => Err(Broken::from(Error::internal("a page cannot be written").caused_by(error))),
    }
}

/// An error on its way to a reader, as a page that tells it.
#[derive(Debug)]
pub(super) struct Broken(Problem);

impl Broken {
    /// What the address names is not there, or is not for this reader: which of both is not told.
    pub(super) fn not_found(what: impl Into<String>) -> Broken {
        let error = Error::project(what).hint("search for it above, or start at the home page");
        Broken(Problem::new(StatusCode::NOT_FOUND, error))
    }
}

impl From<Error> for Broken {
    fn from(error: Error) -> Broken {
        Broken(error.into())
    }
}

/// An error as a page.
#[derive(Template)]
#[template(path = "broken.html")]
struct BrokenPage<'a> {
    frame: Frame,
    status: u16,
    message: &'a str,
    hint: Option<&'a str>,
    /// The server's own fault, not the reader's.
    ours: bool,
}

impl IntoResponse for Broken {
    fn into_response(self) -> Response {
        let (status, error) = (self.0.status(), self.0.error());
        if status.is_server_error() {
            tracing::warn!(?error, "a page failed");
        }
        let page = BrokenPage {
            frame: Frame::bare(status.canonical_reason().unwrap_or("Error"), "", "Laguna".to_string()),
            status: status.as_u16(),
            message: error.message(),
            hint: error.hint_text(),
            ours: error.kind() == ErrorKind::Internal,
        };
        match page.render() {
            Ok(text) => (status, Html(text)).into_response(),
            Err(_) => self.0.into_response(),
        }
    }
}

/// One part of a page, which a script puts into it: an error stands where the part would.
#[derive(Template)]
#[template(path = "part_error.html")]
struct PartError<'a> {
    message: &'a str,
    hint: Option<&'a str>,
}

/// The answer of a part: its error is content too, so that the rest of the page stays.
pub(super) fn part(outcome: Result<Response, Error>) -> Response {
    let error = match outcome {
        Ok(response) => return response,
        Err(error) => error,
    };
    let problem = Problem::from(error);
    let error = problem.error();
    match (PartError { message: error.message(), hint: error.hint_text() }).render() {
        Ok(text) => (problem.status(), Html(text)).into_response(),
        Err(_) => problem.into_response(),
    }
}

/// A rendered template as a part.
pub(super) fn html_part(template: &impl Template) -> Result<Response, Error> {
    let text = template
        .render()
        .map_err(|error| Error::internal("a part of a page cannot be written").caused_by(error))?;
    Ok(Html(text).into_response())
}
