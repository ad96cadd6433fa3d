//! Behaviour of scan.
