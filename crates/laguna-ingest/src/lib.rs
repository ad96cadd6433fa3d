//! What came in? Files become Arrow record batches: fast, exact, streaming, with bad rows set aside.
//!
//! The way through: [`discover`] lists the files, [`read`] samples them, fixes the schema, and feeds the rows to several
//! [`Sink`]s side by side. Memory is bounded by the blocks in flight, whatever the size of the files.
//!
//! This room never writes to the lake and knows no engine.
//!
//! # How text becomes types
//!
//! A column gets the narrowest type that holds **all** its values in all files of the first batch, and text when in
//! doubt: `true`/`false` (any case) are boolean; digits with an optional minus are bigint, but leading zeros, a plus
//! sign (telephone numbers) or more than 64 bits make text; decimals and exponents are double, and integers beside them
//! must be exact (at most 2^53); `2026-11-22` is a date; `2026-11-22T06:00[:00[.000000]][Z|+01:00]` with `T` or a space
//! is an instant, read in the source's time zone when it carries none. A local time that clocks skipped is read with
//! the offset before the change, one that they repeat is the earlier. An unquoted empty field, `NA`, `NULL` and `null`
//! are null (`csv.nulls` replaces the words); a quoted empty field is the empty text in a text column and null in any
//! other. A column without any value has no type yet and is left out until it has one.
//!
//! Later batches must fit: a row with a value that its column's type cannot hold is set aside, whole, with the reason.
//! Types that are declared accept more spellings (leading zeros, plus signs, spaces around, `yes`/`no`, `1`/`0`).

pub mod discover;
mod evidence;
mod formats;
mod input;
mod names;
mod read;
mod scalar;
mod settings;
mod target;
pub mod types;

pub use discover::{Discovered, InputFile, discover, hash_file};
pub use names::ORIGINAL_NAME;
pub use read::{
    FileOutcome, Layout, Outcome, Piece, ReadOptions, Rejected, RowNumbers, Sink, read, read_laid_out,
};
pub use settings::check_csv;
pub use target::Laid;
pub use types::parse_type;
