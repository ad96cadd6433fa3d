//! Great Expectations' files: its suites are read as they are, results are written as it writes them.

mod places;
mod result;
mod strict;
mod suite;

pub use result::{Checked, ResultFormat, validation_result};
pub use suite::{SuiteFile, read_suite, write_suite};

/// The version whose files and verdicts are followed.
pub const VERSION: &str = "1.24.1";
