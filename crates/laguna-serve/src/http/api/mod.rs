//! The routes for programs. Each is one file, or two that belong together, and one line in [`routes`]; the OpenAPI document
//! is made of the same lines.

mod checks;
mod health;
mod lineage;
mod releases;
mod rows;
mod runs;
mod sql;
mod tables;

use axum::Router;
use axum::routing::{MethodFilter, MethodRouter, get};
use schemars::{JsonSchema, Schema, SchemaGenerator};

use super::{State, openapi};

/// Every route, in the order in which they are told.
pub(super) fn routes() -> Vec<Route> {
    vec![
        sql::post(),
        sql::get(),
        tables::list(),
        tables::one(),
        rows::route(),
        lineage::route(),
        releases::list(),
        releases::one(),
        releases::diff(),
        runs::list(),
        runs::one(),
        checks::list(),
        health::health(),
        health::ready(),
        health::metrics(),
    ]
}

/// All of them, and the document that tells of them.
pub(super) fn router() -> Router<State> {
    let mut router = Router::new();
    for route in routes() {
        router = router.route(route.path, route.handler);
    }
    router.route(openapi::PATH, get(openapi::document))
}

/// A type's schema, made when the document is.
pub(super) type Shape = fn(&mut SchemaGenerator) -> Schema;

/// The schema of `T`.
pub(super) fn shape<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

/// What a route answers with when all is well.
pub(super) enum Answers {
    /// A JSON value.
    Json(Shape),
    /// Rows in each format that the client may choose; the shape is that of JSON.
    Rows(Shape),
    /// A text of this media type.
    Text(&'static str),
}

/// One route: what it does, and what the document says of it.
pub(super) struct Route {
    pub(super) method: &'static str,
    /// Names in braces are parameters.
    pub(super) path: &'static str,
    /// Its name in clients that are made from the document.
    pub(super) id: &'static str,
    /// The heading it stands under.
    pub(super) tag: &'static str,
    /// One sentence.
    pub(super) summary: &'static str,
    /// Names of the path with what they mean.
    pub(super) named: &'static [(&'static str, &'static str)],
    /// The struct whose fields are the parameters of the address.
    pub(super) parameters: Option<Shape>,
    /// The JSON body.
    pub(super) body: Option<Shape>,
    pub(super) answers: Answers,
    /// Whether who asks must be known.
    pub(super) login: bool,
    pub(super) handler: MethodRouter<State>,
}

impl Route {
    /// A route that needs a login and takes nothing; its fields say what is different.
    pub(super) fn get<H, T>(id: &'static str, path: &'static str, answers: Answers, handler: H) -> Route
    where
        H: axum::handler::Handler<T, State>,
        T: 'static,
    {
        Route {
            method: "get",
            path,
            id,
            tag: "tables",
            summary: "",
            named: &[],
            parameters: None,
            body: None,
            answers,
            login: true,
            handler: axum::routing::on(MethodFilter::GET, handler),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_route_says_what_it_is_and_has_its_own_name() {
        let mut ids = BTreeSet::new();
        for route in routes() {
            assert!(ids.insert(route.id), "{} stands there twice", route.id);
            assert!(route.summary.ends_with('.'), "{}", route.id);
            let braces = route.path.matches('{').count();
            assert_eq!(braces, route.named.len(), "{}", route.path);
            assert!(route.named.iter().all(|(name, _)| route.path.contains(&format!("{{{name}}}"))));
        }
    }
}
