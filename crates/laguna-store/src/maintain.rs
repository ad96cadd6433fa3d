//! Maintenance: small files become large ones, and what nobody needs any more is deleted.
//!
//! Nothing else in Laguna deletes log entries, committed files or releases. What stays is decided in one place,
//! [`needed`]; who decides when is the run room.

mod compact;
mod needed;
mod sweep;

pub use compact::bins;
pub use needed::Needs;
pub use sweep::Swept;

/// How long what was just replaced stays for those who are reading it: a day.
const READERS: chrono::TimeDelta = chrono::TimeDelta::hours(24);
