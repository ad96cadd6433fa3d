//! Behaviour of landed.
