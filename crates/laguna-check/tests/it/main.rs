//! Behaviour of checks through the public API.

mod conformance;
mod gates;
mod parsing;
mod passes;
mod support;
