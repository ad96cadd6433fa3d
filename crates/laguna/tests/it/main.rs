//! End-to-end tests of the command line.

mod browser;
mod building;
mod check;
mod flight;
mod forbidden;
mod forget;
mod front;
mod house;
mod http;
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
mod serving;
mod small;
mod states;
mod stores;
mod trouble;
