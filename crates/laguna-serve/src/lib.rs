//! Who is asking? Postgres wire, Flight SQL, HTTP and pages: doors to one lake in one process.
//!
//! A door speaks its protocol and nothing else: it learns from [`identity`] who is there and brings every statement to the
//! [`desk`], where limits, access rules, the state of the lake and the record of who asked what are the same for all.

pub mod audit;
pub mod caller;
pub mod desk;
pub mod door;
pub mod flight;
pub mod http;
pub mod identity;
pub mod metrics;
pub mod pages;
pub mod postgres;
pub mod server;
pub mod settings;
mod tls;

pub use audit::Audit;
pub use caller::{Caller, Limits};
pub use desk::{Answer, Ask, Desk, Held, Prepared};
pub use door::{Core, Door};
pub use identity::Identities;
pub use server::Server;
pub use settings::Settings;
pub use tls::Tls;

use std::sync::Arc;

/// Every door, in the order in which they are told.
pub fn doors() -> Vec<Arc<dyn Door>> {
    vec![Arc::new(postgres::Postgres), Arc::new(flight::Flight), Arc::new(http::Http)]
}
