//! The room from outside: whole runs, in this process, over stores that fail.

mod clock;
mod fault_store;
mod faults;
mod project;
