//! Logins as the doors see them.
