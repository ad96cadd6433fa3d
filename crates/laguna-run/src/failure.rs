//! What is kept of a failure: one line, and how bad it was.

use laguna_base::{Error, ErrorKind};

/// The error, what to do about it, its nearest cause, and others that came with it.
pub(crate) fn in_one_line(error: &Error) -> String {
    let mut parts = vec![error.to_string()];
    parts.extend(error.hint_text().map(str::to_string));
    parts.extend(error.causes().into_iter().take(1));
    parts.extend(error.others().iter().map(|other| other.to_string()));
    parts.join("; ")
}

/// The worse of two: a failed check says less than a broken project, and that less than failing storage.
pub(crate) fn worse(known: Option<ErrorKind>, kind: ErrorKind) -> Option<ErrorKind> {
    [kind].into_iter().chain(known).max_by_key(|kind| kind.exit_code())
}
