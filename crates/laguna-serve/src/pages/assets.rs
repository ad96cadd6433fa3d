//! Styles and scripts of the pages, kept in the binary. An address holds the hash of its file, so browsers keep it for ever.

use std::sync::LazyLock;

use axum::extract::Path;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use laguna_base::Error;
use laguna_base::hash;

use crate::http::Problem;

/// One file.
struct Asset {
    name: &'static str,
    media_type: &'static str,
    bytes: &'static [u8],
}

const ASSETS: [Asset; 5] = [
    Asset {
        name: "laguna.css",
        media_type: "text/css; charset=utf-8",
        bytes: include_bytes!("../../static/laguna.css"),
    },
    Asset {
        name: "theme.js",
        media_type: "text/javascript; charset=utf-8",
        bytes: include_bytes!("../../static/theme.js"),
    },
    Asset {
        name: "laguna.js",
        media_type: "text/javascript; charset=utf-8",
        bytes: include_bytes!("../../static/laguna.js"),
    },
    Asset {
        name: "sql.js",
        media_type: "text/javascript; charset=utf-8",
        bytes: include_bytes!("../../static/sql.js"),
    },
    Asset { name: "icon.svg", media_type: "image/svg+xml", bytes: include_bytes!("../../static/icon.svg") },
];

/// Hashes of the files' bytes, in the order of [`ASSETS`].
static HASHES: LazyLock<[String; ASSETS.len()]> =
    LazyLock::new(|| ASSETS.each_ref().map(|asset| hash::of(asset.bytes).chars().take(12).collect()));

/// The address of a file. A name that there is not is a defect, and leads to an answer of 404.
pub(super) fn address(name: &str) -> String {
    match ASSETS.iter().zip(HASHES.iter()).find(|(asset, _)| asset.name == name) {
        Some((_, hash)) => format!("/static/{hash}-{name}"),
        None => format!("/static/{name}"),
    }
}

/// A file, by its name with or without the hash before it.
pub(super) async fn file(Path(file): Path<String>, headers: HeaderMap) -> Response {
    let (hash, name) = match file.split_once('-') {
        Some((hash, name)) => (Some(hash), name),
        None => (None, file.as_str()),
    };
    let known = ASSETS
        .iter()
        .zip(HASHES.iter())
        .find(|(asset, now)| asset.name == name && hash.is_none_or(|hash| hash == now.as_str()));
    let Some((asset, now)) = known else {
        let error = Error::project("there is no such file of the pages")
            .hint("reload the page: the server may be a newer one");
        return Problem::new(StatusCode::NOT_FOUND, error).into_response();
    };
    let tag = format!("\"{now}\"");
    let kept = match hash {
        Some(_) => "public, max-age=31536000, immutable",
        None => "no-cache",
    };
    let known_to_browser = headers.get(header::IF_NONE_MATCH).is_some_and(|given| {
        given
            .to_str()
            .is_ok_and(|given| given.split(',').any(|one| one.trim().trim_start_matches("W/") == tag))
    });
    let mut response = match known_to_browser {
        true => StatusCode::NOT_MODIFIED.into_response(),
        false => ([(header::CONTENT_TYPE, asset.media_type)], asset.bytes).into_response(),
    };
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(kept));
    if let Ok(tag) = HeaderValue::try_from(tag) {
        headers.insert(header::ETAG, tag);
    }
    response
}
