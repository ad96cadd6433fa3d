//! The front door of Laguna.

fn main() {}
