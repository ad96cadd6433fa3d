//! End-to-end tests of the command line.

mod building;
mod check;
mod forget;
mod front;
mod house;
mod kill;
mod kit;
mod landing;
mod maintain;
mod reference;
mod replay;
mod servers;
mod small;
mod states;
mod stores;
mod trouble;
