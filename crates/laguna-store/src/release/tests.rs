//! Behaviour of release.
