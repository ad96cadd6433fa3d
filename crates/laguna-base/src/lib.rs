//! What things are called, what time it is, and which kinds of error there are.
//!
//! Every other room stands on this one. It does no input or output and knows no engine.

pub mod clock;
pub mod error;
pub mod hash;
pub mod human;
pub mod name;
pub mod settings;
pub mod suggest;
pub mod template;

pub use clock::{Clock, Instant, SystemClock};
pub use error::{Error, ErrorKind, Location, Result};
pub use name::{TableName, Tier};
