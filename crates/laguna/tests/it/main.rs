//! End-to-end tests of the command line.

mod browser;
mod building;
mod check;
mod forget;
mod front;
mod house;
mod kill;
mod kit;
mod landing;
mod logins;
mod maintain;
mod pages;
mod postgres;
mod reference;
mod replay;
mod serve;
mod servers;
mod small;
mod stores;
mod trouble;
