//! Laguna's errors as gRPC's status: the kind becomes the code, sentence and hint the message, and the SQLSTATE stands in
//! the metadata.

use laguna_base::{Error, ErrorKind};
use tonic::metadata::MetadataValue;
use tonic::{Code, Status};

/// Name of the metadata that holds the SQLSTATE; ADBC's drivers show it among an error's details.
pub(super) const SQLSTATE: &str = "sqlstate";

/// What a client is told of an error.
pub(super) fn status(error: Error) -> Status {
    let code = match error.code() {
        // Who is not known yet may try again with a login; who is known and may not, may not.
        state if state.starts_with("28") => Code::Unauthenticated,
        "0A000" => Code::Unimplemented,
        _ => Code::from(error.kind().grpc_code()),
    };
    if matches!(error.kind(), ErrorKind::Internal | ErrorKind::Stored) {
        tracing::error!(error = ?error, "a call failed");
    }
    let mut text = String::new();
    tell(&error, &mut text);
    for other in error.others() {
        text.push('\n');
        tell(other, &mut text);
    }
    let mut status = Status::new(code, text);
    status.metadata_mut().insert(SQLSTATE, MetadataValue::from_static(error.code()));
    status
}

/// What cannot be done here at all.
pub(super) fn unsupported(what: &str) -> Status {
    status(Error::project(format!("{what} is not supported")).sqlstate("0A000"))
}

/// What the protocol's own library could not do.
pub(super) fn broken(error: impl std::error::Error + Send + Sync + 'static) -> Status {
    status(Error::internal("an answer cannot be written").caused_by(error))
}

fn tell(error: &Error, text: &mut String) {
    text.push_str(error.message());
    if let Some(place) = error.location().filter(|place| place.line > 0) {
        text.push_str(&format!(" (line {}, column {})", place.line, place.column));
    }
    if let Some(hint) = error.hint_text() {
        text.push_str("\nhint: ");
        text.push_str(hint);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_its_code_sentence_hint_and_sqlstate() {
        for kind in ErrorKind::ALL {
            let status = status(Error::new(kind, "what happened").hint("what to do").at("sql", 2, 7));
            assert_eq!(status.code() as i32, kind.grpc_code());
            assert_eq!(status.message(), "what happened (line 2, column 7)\nhint: what to do");
            assert_eq!(status.metadata().get(SQLSTATE).unwrap(), kind.sqlstate());
        }
    }

    #[test]
    fn who_is_not_known_may_log_in() {
        let wrong = status(Error::denied("the login was refused").sqlstate("28P01"));
        assert_eq!(wrong.code(), Code::Unauthenticated);
        assert_eq!(status(Error::denied("not yours")).code(), Code::PermissionDenied);
    }
}
