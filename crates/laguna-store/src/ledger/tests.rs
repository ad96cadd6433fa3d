//! Behaviour of the ledger.
