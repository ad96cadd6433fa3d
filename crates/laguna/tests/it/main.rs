//! End-to-end tests of the command line.

mod front;
mod house;
mod kit;
mod reference;
