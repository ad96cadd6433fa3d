//! Is it right? Expectations are parsed, compiled against a schema, fed by the stream that is written, and become
//! verdicts. This room never knows where rows lie: it is given batches, and gives back SQL for what needs a grouping.
//!
//! ```text
//! settings ── parse ──> CheckSpec ── Suite::compile ──> Suite ── collector() ──> Collector (one a stream, mergeable)
//!                                                         │                          │ update(batch), merge
//!                                                         ├── set_query(merged) ─────┤ SQL over `this`, at most one
//!                                                         └── finish(merged, answers) ──> Verdict ──> gate
//! ```

mod arguments;
mod checks;
mod collector;
mod compare;
mod condition;
mod dates;
mod explain;
mod failing;
mod gather;
pub mod great_expectations;
mod kept;
mod kind;
mod order;
mod parameters;
mod parse;
mod pattern;
mod plan;
mod range;
mod schema;
mod set_query;
mod spec;
mod sql;
mod suggest;
mod suite;
mod value;
mod verdict;
mod view;
mod words;

pub use collector::Collector;
pub use dates::{texts_of_dates, written_as};
pub use explain::{Answered, explain};
pub use failing::{FailingRow, RowFinder, row_values};
pub use kind::{Argument, CheckKind, Form, Scope, all};
pub use parameters::with_parameters;
pub use parse::parse;
pub use schema::json_schema;
pub use set_query::{SetPart, SetQuery};
pub use spec::{CheckSpec, Severity};
pub use suggest::{Profile, Suggestion, suite_of, yaml_of};
pub use suite::{Keep, Suite};
pub use verdict::{Gate, Verdict, VerdictKind, gate};
