//! Files in, rows out: through the public door only.

mod csv;
mod formats;
mod support;
