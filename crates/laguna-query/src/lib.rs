//! What does SQL say? The one session builder: names, latest views, as-of, time travel, read-only, output formats.
//!
//! Every statement (model, check, command line, later every door) runs in a [`Session`] of one [`Engine`]. This room
//! never writes to the lake.

pub mod access;
pub mod engine;
pub mod session;
pub mod surroundings;
pub mod tables;

mod absent;
mod catalog;
mod functions;
mod groups;
mod guard;
mod kept;
mod lake_tables;
mod lineage;
mod repeat;
mod sets;
mod stop;
mod system;
mod using;
mod zones;

pub mod errors;
pub mod output;
pub mod predicate;
pub mod script;
pub mod timetravel;

pub use access::{Access, RoleRules};
pub use engine::{Engine, EngineOptions};
pub use errors::{in_file, in_file_at, translate, with_text};
pub use lake_tables::{LakeTables, Moment, Reads};
pub use lineage::{Lineage, Origin, lineage};
pub use predicate::Predicate;
pub use script::{Statement, split_statements};
pub use session::{Partitioned, QueryResult, Session, collect, volatile_functions};
pub use stop::Stop;
pub use surroundings::{Listing, Schemas, Surroundings, World};
pub use tables::{Pin, Resolved, Tables, arrived_by};
pub use timetravel::base_name;
