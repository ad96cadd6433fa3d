//! Behaviour of checks through the public API.

mod conditions;
mod conformance;
mod gates;
mod hostile;
mod kept;
mod parsing;
mod passes;
mod support;
mod types;
