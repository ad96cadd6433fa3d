//! The one error type of all rooms: a kind for programs, a sentence and a hint for people, a source chain for operators.

use std::fmt;

/// Result of every fallible function of Laguna.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What a program can do about an error. Kinds map once to exit codes, see [`ErrorKind::exit_code`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The command line, a project file or a statement is wrong; trying again cannot help.
    Project,
    /// A check or a task failed: the input was understood, the outcome is bad.
    Failed,
    /// Another writer won; trying again from the new state can help.
    Conflict,
    /// Storage or another system failed; trying again can help.
    Storage,
    /// What is stored is not what this binary can read (newer layout, damaged file).
    Stored,
    /// Who asks is not known, or may not do what was asked.
    Denied,
    /// A limit was reached: time, memory, rows, statements at once.
    Exhausted,
    /// The user asked to stop.
    Interrupted,
    /// A defect of Laguna itself.
    Internal,
}

impl ErrorKind {
    /// All kinds, for tests and tables.
    pub const ALL: [ErrorKind; 9] = [
        ErrorKind::Project,
        ErrorKind::Failed,
        ErrorKind::Conflict,
        ErrorKind::Storage,
        ErrorKind::Stored,
        ErrorKind::Denied,
        ErrorKind::Exhausted,
        ErrorKind::Interrupted,
        ErrorKind::Internal,
    ];

    /// Exit code of the process: 1 failed, 2 command or project wrong, 3 storage or another system, 130 interrupted.
    pub fn exit_code(self) -> u8 {
        match self {
            ErrorKind::Failed | ErrorKind::Exhausted | ErrorKind::Internal => 1,
            ErrorKind::Project => 2,
            ErrorKind::Conflict | ErrorKind::Storage | ErrorKind::Stored | ErrorKind::Denied => 3,
            ErrorKind::Interrupted => 130,
        }
    }

    /// Stable lower-case word for `--json` output.
    pub fn as_str(self) -> &'static str {
        match self {
            ErrorKind::Project => "project",
            ErrorKind::Failed => "failed",
            ErrorKind::Conflict => "conflict",
            ErrorKind::Storage => "storage",
            ErrorKind::Stored => "stored",
            ErrorKind::Denied => "denied",
            ErrorKind::Exhausted => "exhausted",
            ErrorKind::Interrupted => "interrupted",
            ErrorKind::Internal => "internal",
        }
    }

    /// Whether the same call may succeed later without any change by the user.
    pub fn is_retryable(self) -> bool {
        matches!(self, ErrorKind::Conflict | ErrorKind::Storage)
    }

    /// The SQLSTATE of an error that has none of its own (PostgreSQL's Appendix A).
    pub fn sqlstate(self) -> &'static str {
        match self {
            ErrorKind::Project => "42000",
            ErrorKind::Failed => "22000",
            ErrorKind::Conflict => "40001",
            ErrorKind::Storage => "58030",
            ErrorKind::Stored => "XX001",
            ErrorKind::Denied => "42501",
            ErrorKind::Exhausted => "53000",
            ErrorKind::Interrupted => "57014",
            ErrorKind::Internal => "XX000",
        }
    }

    /// The status of an HTTP answer (RFC 9110).
    pub fn http_status(self) -> u16 {
        match self {
            ErrorKind::Project => 400,
            ErrorKind::Failed => 422,
            ErrorKind::Conflict => 409,
            ErrorKind::Storage => 503,
            ErrorKind::Denied => 403,
            ErrorKind::Exhausted => 429,
            ErrorKind::Interrupted => 503,
            ErrorKind::Stored | ErrorKind::Internal => 500,
        }
    }

    /// The status code of a gRPC answer (google.rpc.Code).
    pub fn grpc_code(self) -> i32 {
        match self {
            ErrorKind::Project => 3,     // INVALID_ARGUMENT
            ErrorKind::Failed => 9,      // FAILED_PRECONDITION
            ErrorKind::Conflict => 10,   // ABORTED
            ErrorKind::Storage => 14,    // UNAVAILABLE
            ErrorKind::Stored => 15,     // DATA_LOSS
            ErrorKind::Denied => 7,      // PERMISSION_DENIED
            ErrorKind::Exhausted => 8,   // RESOURCE_EXHAUSTED
            ErrorKind::Interrupted => 1, // CANCELLED
            ErrorKind::Internal => 13,   // INTERNAL
        }
    }
}

/// A place in a file that a user wrote. `line` and `column` count from 1; 0 means unknown.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Location {
    /// Path as the user would type it, relative to the project folder.
    pub file: String,
    /// Line, from 1; 0 when unknown.
    pub line: usize,
    /// Column, from 1; 0 when unknown.
    pub column: usize,
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file)?;
        if self.line > 0 {
            write!(f, ":{}", self.line)?;
            if self.column > 0 {
                write!(f, ":{}", self.column)?;
            }
        }
        Ok(())
    }
}

type Source = Box<dyn std::error::Error + Send + Sync>;

/// An error with its kind, one sentence, and where known: the place, a way out and the cause.
///
/// The message is lower case without a full stop and never repeats its source.
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    message: String,
    location: Option<Location>,
    hint: Option<String>,
    sqlstate: Option<&'static str>,
    source: Option<Source>,
    others: Vec<Error>,
}

impl Error {
    /// An error of `kind` with its one-sentence message.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Error(Box::new(Inner {
            kind,
            message: message.into(),
            location: None,
            hint: None,
            sqlstate: None,
            source: None,
            others: Vec::new(),
        }))
    }

    /// Shorthand for [`ErrorKind::Project`].
    pub fn project(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Project, message)
    }

    /// Shorthand for [`ErrorKind::Failed`].
    pub fn failed(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Failed, message)
    }

    /// Shorthand for [`ErrorKind::Storage`].
    pub fn storage(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Storage, message)
    }

    /// Shorthand for [`ErrorKind::Conflict`].
    pub fn conflict(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Conflict, message)
    }

    /// Shorthand for [`ErrorKind::Stored`].
    pub fn stored(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Stored, message)
    }

    /// Shorthand for [`ErrorKind::Denied`].
    pub fn denied(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Denied, message)
    }

    /// Shorthand for [`ErrorKind::Exhausted`].
    pub fn exhausted(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Exhausted, message)
    }

    /// Shorthand for [`ErrorKind::Internal`].
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Internal, message)
    }

    /// The user asked to stop.
    pub fn interrupted() -> Self {
        Self::new(ErrorKind::Interrupted, "interrupted")
    }

    /// Joins several errors: the first speaks, the rest follow it in [`Error::others`]. `None` when there is none.
    pub fn many(errors: Vec<Error>) -> Option<Error> {
        let mut errors = errors.into_iter();
        let mut first = errors.next()?;
        for mut error in errors {
            let nested = std::mem::take(&mut error.0.others);
            first.0.others.push(error);
            first.0.others.extend(nested);
        }
        Some(first)
    }

    /// Says where, unless a more precise place is known already.
    pub fn at(mut self, file: impl Into<String>, line: usize, column: usize) -> Self {
        if self.0.location.is_none() {
            self.0.location = Some(Location { file: file.into(), line, column });
        }
        self
    }

    /// Like [`Error::at`] with a ready location.
    pub fn at_location(self, location: Location) -> Self {
        self.at(location.file, location.line, location.column)
    }

    /// Says what to do about it, unless a hint is there already.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        if self.0.hint.is_none() {
            self.0.hint = Some(hint.into());
        }
        self
    }

    /// Names the SQLSTATE that fits better than that of its kind, unless one is named already.
    pub fn sqlstate(mut self, code: &'static str) -> Self {
        if self.0.sqlstate.is_none() {
            self.0.sqlstate = Some(code);
        }
        self
    }

    /// Keeps the cause for the operator.
    pub fn caused_by(mut self, source: impl Into<Source>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// What a program can do about it.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The sentence.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// Where the user should look.
    pub fn location(&self) -> Option<&Location> {
        self.0.location.as_ref()
    }

    /// The way out.
    pub fn hint_text(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }

    /// The five characters by which SQL clients tell errors apart.
    pub fn code(&self) -> &'static str {
        self.0.sqlstate.unwrap_or_else(|| self.kind().sqlstate())
    }

    /// Further errors found together with this one.
    pub fn others(&self) -> &[Error] {
        &self.0.others
    }

    /// The messages of the causes, outermost first.
    pub fn causes(&self) -> Vec<String> {
        let mut causes = Vec::new();
        let mut next = self.0.source.as_ref().map(|s| s.as_ref() as &dyn std::error::Error);
        while let Some(error) = next {
            let text = error.to_string();
            // Libraries often repeat the source inside the message: print each part once.
            if !causes.last().is_some_and(|last: &String| last.contains(&text)) {
                causes.push(text);
            }
            next = error.source();
        }
        causes
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(location) = &self.0.location {
            write!(f, "{location}: ")?;
        }
        f.write_str(&self.0.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {self}", self.0.kind)?;
        for cause in self.causes() {
            write!(f, "\n  caused by: {cause}")?;
        }
        if let Some(hint) = &self.0.hint {
            write!(f, "\n  hint: {hint}")?;
        }
        for other in &self.0.others {
            write!(f, "\n{other:?}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_ref().map(|s| s.as_ref() as _)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_one_word_and_one_code_at_each_door() {
        let table: Vec<_> = ErrorKind::ALL
            .iter()
            .map(|k| (k.as_str(), k.exit_code(), k.sqlstate(), k.http_status(), k.grpc_code()))
            .collect();
        assert_eq!(
            table,
            [
                ("project", 2, "42000", 400, 3),
                ("failed", 1, "22000", 422, 9),
                ("conflict", 3, "40001", 409, 10),
                ("storage", 3, "58030", 503, 14),
                ("stored", 3, "XX001", 500, 15),
                ("denied", 3, "42501", 403, 7),
                ("exhausted", 1, "53000", 429, 8),
                ("interrupted", 130, "57014", 503, 1),
                ("internal", 1, "XX000", 500, 13)
            ]
        );
    }

    #[test]
    fn the_first_place_wins_and_many_are_flattened() {
        let error = Error::project("wrong").at("a.yml", 2, 3).at("b.yml", 1, 1);
        assert_eq!(error.to_string(), "a.yml:2:3: wrong");
        let joined = Error::many(vec![
            error,
            Error::many(vec![Error::project("two"), Error::project("three")]).unwrap(),
        ])
        .unwrap();
        assert_eq!(joined.others().len(), 2);
    }
}
