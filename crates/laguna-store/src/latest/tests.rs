//! The newest rows against a simple model.
