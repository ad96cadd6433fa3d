//! Cutting and indexing CSV agree whatever the block size.
