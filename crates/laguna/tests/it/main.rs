//! End-to-end tests of the command line.

mod building;
mod front;
mod house;
mod kill;
mod kit;
mod landing;
mod maintain;
mod reference;
