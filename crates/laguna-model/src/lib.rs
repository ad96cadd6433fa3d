//! What is derived? The project's files become models, their graph, and a plan of what must run and why.
//!
//! Loading, rendering, selecting and planning are pure: they touch no lake. Only [`project`] reads files, and only
//! [`build`] executes: one model from its SQL to a staged version with verdicts.

pub mod build;
pub mod deps;
pub mod fingerprint;
pub mod graph;
pub mod plan;
pub mod project;
pub mod render;
pub mod schema;
pub mod select;

pub use fingerprint::Fingerprint;
pub use graph::Graph;
pub use plan::{Action, PlanNode, plan};
pub use project::{CodeArchive, Dataset, LoadOptions, Maintain, Model, Place, Project, Role, Service};
pub use schema::json_schemas;
pub use select::{ModelState, StateLookup, select};
