//! `/v1/tables/{schema}/{table}/rows`: a table's rows, chosen, filtered and ordered by the address, page by page.
//!
//! All pages show one state of the lake, and their order is total, so that no row is shown twice and none is left out,
//! whatever is published meanwhile. A page begins behind the last row of the page before; nothing is counted off.

mod cursor;
mod filter;
mod page;
mod question;

use axum::extract::State as Shared;
use axum::http::{HeaderMap, Uri};
use axum::response::Response;
use laguna_base::{TableName, Tier};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value};

use super::tables::NAMED;
use super::{Answers, Route, shape};
use crate::http::extract::{Named, Params};
use crate::http::{Problem, State, Who};
use question::Asked;

pub(super) fn route() -> Route {
    Route {
        summary: "Rows of a table: chosen, filtered and ordered, page by page.",
        named: NAMED,
        parameters: Some(shape::<Asked>),
        ..Route::get("getRows", "/v1/tables/{schema}/{table}/rows", Answers::Rows(shape::<Page>), rows)
    }
}

/// A table of `system` whose rows are listed in an order of their own.
pub(super) struct Listing {
    /// The table of `system`.
    pub(super) table: &'static str,
    /// As `order` is written.
    pub(super) order: &'static str,
}

/// The route that lists a table of `system`.
pub(super) fn listing(id: &'static str, path: &'static str, listing: &'static Listing) -> Route {
    let handler = move |Shared(core): Shared<State>,
                        who: Who,
                        headers: HeaderMap,
                        uri: Uri,
                        Params(pairs): Params<Vec<(String, String)>>| async move {
        let table = TableName { tier: Tier::System, table: listing.table.to_string() };
        let mut asked = Asked::parse(pairs)?;
        asked.order.get_or_insert_with(|| listing.order.to_string());
        page::respond(&core, &who, &headers, &uri, table, asked).await
    };
    Route { parameters: Some(shape::<Asked>), ..Route::get(id, path, Answers::Rows(shape::<Page>), handler) }
}

/// A page of rows.
#[derive(Debug, Serialize, JsonSchema)]
struct Page {
    /// The rows.
    rows: Vec<Map<String, Value>>,
    /// What `after` takes for the next page; null on the last.
    next: Option<String>,
    /// The release that is read.
    release: Option<u64>,
}

async fn rows(
    Shared(core): Shared<State>,
    who: Who,
    headers: HeaderMap,
    uri: Uri,
    Named((schema, table)): Named<(String, String)>,
    Params(pairs): Params<Vec<(String, String)>>,
) -> Result<Response, Problem> {
    let asked = Asked::parse(pairs)?;
    let table = super::tables::named(&who, &schema, &table)?;
    page::respond(&core, &who, &headers, &uri, table, asked).await
}

/// Rows of a table that the reader may not read are none.
pub(super) fn unknown_is_empty(problem: Problem) -> Result<Vec<Map<String, Value>>, Problem> {
    match problem.error().code() {
        "42P01" => Ok(Vec::new()),
        _ => Err(problem),
    }
}
