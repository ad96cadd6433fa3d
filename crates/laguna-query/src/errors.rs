//! The engine's errors as people read them: kind, one sentence, place in the statement, way out.

use std::fmt;

use arrow::error::ArrowError;
use datafusion::common::{Column, SchemaError};
use datafusion::error::DataFusionError;
use datafusion::parquet::errors::ParquetError;
use datafusion::sql::sqlparser::parser::ParserError;
use laguna_base::{Error, suggest};
use laguna_store::lake::is_of_storage;

mod codes;

use codes::unfit;

/// What stands for the file in the place of an error; callers that know the file use [`in_file`].
pub(crate) const LABEL: &str = "sql";

/// The same error with `file` instead of the label `sql` in its place, and in those of the others that it carries.
pub fn in_file(error: Error, file: &str) -> Error {
    in_file_at(error, file, |line, column| (line, column))
}

/// Like [`in_file`]; `place` gives the line and column in the file for those in the statement.
pub fn in_file_at(error: Error, file: &str, place: impl Fn(usize, usize) -> (usize, usize)) -> Error {
    if file == LABEL && error.location().is_none() && error.others().is_empty() {
        return error;
    }
    let all = std::iter::once(&error).chain(error.others()).map(|one| match one.location() {
        Some(found) if found.file == LABEL => {
            let (line, column) = place(found.line, found.column);
            alone(one, false).at(file, line, column)
        }
        Some(_) => alone(one, true),
        None if file == LABEL => alone(one, true),
        None => alone(one, true).at(file, 0, 0),
    });
    Error::many(all.collect()).unwrap_or(error)
}

/// An error of the engine as an error of Laguna. One that Laguna raised itself comes back as it was.
pub fn translate(error: DataFusionError) -> Error {
    match error {
        DataFusionError::External(inner) => from_box(inner),
        DataFusionError::ArrowError(inner, _) => from_arrow(*inner),
        DataFusionError::Context(_, inner) => translate(*inner),
        DataFusionError::Diagnostic(diagnostic, inner) => {
            let error = translate(*inner);
            match diagnostic.span {
                Some(span) if span.start.line > 0 => {
                    error.at(LABEL, span.start.line as usize, span.start.column as usize)
                }
                _ => error,
            }
        }
        DataFusionError::Shared(shared) => {
            std::sync::Arc::try_unwrap(shared).map_or_else(|shared| from_shared(&shared), translate)
        }
        DataFusionError::Collection(errors) => Error::many(errors.into_iter().map(translate).collect())
            .unwrap_or_else(|| Error::internal("the engine failed without saying why")),
        DataFusionError::SchemaError(inner, _) => from_schema(&inner),
        DataFusionError::SQL(inner, _) => from_parser(*inner),
        DataFusionError::Plan(text) => from_plan(&text),
        DataFusionError::NotImplemented(text) if text.to_lowercase().starts_with("unsupported sql type ") => {
            let name = text.split_whitespace().last().unwrap_or_default();
            Error::project(format!("type \"{}\" does not exist", name.trim_matches('"'))).sqlstate("42704")
        }
        DataFusionError::NotImplemented(text) => {
            Error::project(format!("not supported: {}", clean(&text))).sqlstate("0A000")
        }
        DataFusionError::Configuration(text) => Error::project(clean(&text)),
        DataFusionError::Execution(text) => from_execution(&text),
        DataFusionError::ResourcesExhausted(text) => exhausted(&text),
        DataFusionError::ObjectStore(inner) => Error::storage("the lake's storage failed").caused_by(inner),
        DataFusionError::IoError(inner) => Error::storage("reading or writing failed").caused_by(inner),
        DataFusionError::ParquetError(inner) => from_parquet(*inner),
        DataFusionError::ExecutionJoin(inner) => {
            Error::internal("a task of the query engine died").caused_by(inner)
        }
        other => Error::internal(format!("the query engine failed: {}", clean(&other.strip_backtrace()))),
    }
}

/// A copy of what another reader of the same failure holds too.
fn from_shared(error: &DataFusionError) -> Error {
    match error {
        DataFusionError::Shared(inner) => from_shared(inner),
        DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => from_shared(inner),
        DataFusionError::External(inner) => match inner.downcast_ref::<Error>() {
            Some(ours) => copy(ours, true),
            None => match inner.downcast_ref::<DataFusionError>() {
                Some(theirs) => from_shared(theirs),
                None if is_of_storage(inner.as_ref()) => {
                    Error::storage("the lake's storage failed").caused_by(Chain::of(inner.as_ref()))
                }
                None => Error::failed(clean(&inner.to_string())),
            },
        },
        DataFusionError::ArrowError(inner, _) => match inner.as_ref() {
            ArrowError::DivideByZero => from_arrow(ArrowError::DivideByZero),
            ArrowError::CastError(text) => from_arrow(ArrowError::CastError(text.clone())),
            ArrowError::ParseError(text) => from_arrow(ArrowError::ParseError(text.clone())),
            ArrowError::ArithmeticOverflow(text) => from_arrow(ArrowError::ArithmeticOverflow(text.clone())),
            ArrowError::ExternalError(inner) if inner.is::<Error>() => {
                inner.downcast_ref::<Error>().map_or_else(|| Error::internal(""), |ours| copy(ours, true))
            }
            other => Error::failed(clean(&other.to_string())),
        },
        DataFusionError::Execution(text) => from_execution(text),
        DataFusionError::ResourcesExhausted(text) => exhausted(text),
        DataFusionError::Plan(text) => from_plan(text),
        DataFusionError::ObjectStore(inner) => {
            Error::storage("the lake's storage failed").caused_by(Chain::of(inner.as_ref()))
        }
        DataFusionError::IoError(inner) => {
            Error::storage("reading or writing failed").caused_by(Chain::of(inner))
        }
        other if is_of_storage(other) => {
            Error::storage("the lake's storage failed").caused_by(Chain::of(other))
        }
        other => Error::failed(clean(&other.strip_backtrace())),
    }
}

/// The same error with each of its texts (sentence, hint, causes) as `change` gives it.
pub fn with_text(error: Error, change: impl Fn(&str) -> String) -> Error {
    let texts = |one: &Error| {
        let causes = one.causes();
        let all =
            std::iter::once(one.message()).chain(one.hint_text()).chain(causes.iter().map(String::as_str));
        all.map(|text| (text.to_string(), change(text))).any(|(before, after)| before != after)
    };
    if !std::iter::once(&error).chain(error.others()).any(texts) {
        return error;
    }
    let all = std::iter::once(&error).chain(error.others()).map(|one| {
        let mut changed = Error::new(one.kind(), change(one.message())).sqlstate(one.code());
        if let Some(hint) = one.hint_text() {
            changed = changed.hint(change(hint));
        }
        if let Some(place) = one.location() {
            changed = changed.at_location(place.clone());
        }
        match Chain::from_texts(one.causes().iter().map(|cause| change(cause)).collect()) {
            Some(chain) => changed.caused_by(chain),
            None => changed,
        }
    });
    Error::many(all.collect()).unwrap_or_else(|| Error::internal("an error lost its text"))
}

/// The same error again; its causes survive as text.
pub(crate) fn copy(error: &Error, with_place: bool) -> Error {
    let mut all = vec![alone(error, with_place)];
    all.extend(error.others().iter().map(|other| copy(other, true)));
    Error::many(all).unwrap_or_else(|| Error::new(error.kind(), error.message()))
}

/// Like [`copy`], without the others that it carries.
fn alone(error: &Error, with_place: bool) -> Error {
    let mut copied = Error::new(error.kind(), error.message()).sqlstate(error.code());
    if let Some(hint) = error.hint_text() {
        copied = copied.hint(hint);
    }
    if let (true, Some(place)) = (with_place, error.location()) {
        copied = copied.at_location(place.clone());
    }
    match Chain::from_texts(error.causes()) {
        Some(chain) => copied.caused_by(chain),
        None => copied,
    }
}

/// Messages of causes whose values are gone.
#[derive(Debug)]
struct Chain {
    message: String,
    next: Option<Box<Chain>>,
}

impl Chain {
    fn of(error: &dyn std::error::Error) -> Chain {
        Chain { message: error.to_string(), next: error.source().map(|source| Box::new(Chain::of(source))) }
    }

    fn from_texts(texts: Vec<String>) -> Option<Chain> {
        texts.into_iter().rev().fold(None, |next, message| Some(Chain { message, next: next.map(Box::new) }))
    }
}

impl fmt::Display for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Chain {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.next.as_deref().map(|next| next as _)
    }
}

/// An error of Laguna on its way through the engine.
pub fn external(error: Error) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

fn from_box(error: Box<dyn std::error::Error + Send + Sync>) -> Error {
    let error = match error.downcast::<Error>() {
        Ok(ours) => return *ours,
        Err(error) => error,
    };
    let error = match error.downcast::<DataFusionError>() {
        Ok(theirs) => return translate(*theirs),
        Err(error) => error,
    };
    let error = match error.downcast::<ArrowError>() {
        Ok(theirs) => return from_arrow(*theirs),
        Err(error) => error,
    };
    let error = match error.downcast::<ParquetError>() {
        Ok(theirs) => return from_parquet(*theirs),
        Err(error) => error,
    };
    if error.is::<object_store::Error>() || error.is::<std::io::Error>() {
        return Error::storage("the lake's storage failed").caused_by(error);
    }
    Error::failed(clean(&error.to_string()))
}

fn from_arrow(error: ArrowError) -> Error {
    match error {
        ArrowError::ExternalError(inner) => from_box(inner),
        ArrowError::DivideByZero => division_by_zero(),
        ArrowError::CastError(text) | ArrowError::ParseError(text) => unfit(Error::failed(clean(&text))),
        ArrowError::ArithmeticOverflow(text) => too_big(Error::failed(clean(&text))),
        ArrowError::IoError(_, inner) => Error::storage("reading or writing failed").caused_by(inner),
        ArrowError::MemoryError(text) => exhausted(&text),
        ArrowError::ParquetError(text) => {
            Error::stored(format!("a file of the lake cannot be read: {}", clean(&text)))
        }
        ArrowError::ComputeError(text)
        | ArrowError::InvalidArgumentError(text)
        | ArrowError::NotYetImplemented(text)
        | ArrowError::SchemaError(text) => from_execution(&text),
        other => Error::failed(clean(&other.to_string())),
    }
}

fn from_parquet(error: ParquetError) -> Error {
    match error {
        ParquetError::External(inner) => from_box(inner),
        other if is_of_storage(&other) => Error::storage("the lake's storage failed").caused_by(other),
        other => Error::stored("a Parquet file of the lake cannot be read")
            .hint("the file may be damaged or deleted by another program; `laguna history` names older releases")
            .caused_by(other),
    }
}

fn from_parser(error: ParserError) -> Error {
    let text = match error {
        ParserError::RecursionLimitExceeded => {
            return Error::project("the statement is nested too deeply")
                .sqlstate("54001")
                .hint("split it with WITH, or into several models");
        }
        ParserError::ParserError(text) | ParserError::TokenizerError(text) => text,
    };
    // The parser appends the place to its sentence.
    if let Some((sentence, place)) = text.rsplit_once(" at Line: ")
        && let Some((line, column)) = place.split_once(", Column: ")
        && let (Ok(line), Ok(column)) = (line.trim().parse(), column.trim().parse())
    {
        return Error::project(clean(sentence)).sqlstate("42601").at(LABEL, line, column);
    }
    Error::project(clean(&text)).sqlstate("42601")
}

fn from_schema(error: &SchemaError) -> Error {
    match error {
        SchemaError::FieldNotFound { field, valid_fields } => missing_column(field, valid_fields),
        SchemaError::AmbiguousReference { field } => Error::project(format!(
            "the column `{}` could be that of several tables",
            field.name
        ))
        .sqlstate("42702")
        .hint(format!(
            "write it with its table, as flights.{0}; if two results are called {0}, rename one with AS",
            field.name
        )),
        SchemaError::DuplicateQualifiedField { name, .. }
        | SchemaError::DuplicateUnqualifiedField { name } => called_alike(name),
    }
}

fn missing_column(field: &Column, valid: &[Column]) -> Error {
    let error = Error::project(format!("there is no column `{}`", field.flat_name())).sqlstate("42703");
    // With a qualifier that is known, only that table's columns are meant.
    let of_table: Vec<&Column> = valid.iter().filter(|column| column.relation == field.relation).collect();
    let scope =
        if field.relation.is_some() && !of_table.is_empty() { of_table } else { valid.iter().collect() };
    let names: Vec<&str> = scope.iter().map(|column| column.name.as_str()).collect();
    if let Some(cased) =
        names.iter().find(|name| name.eq_ignore_ascii_case(&field.name) && **name != field.name)
    {
        return error
            .hint(format!("did you mean \"{cased}\"? names with capitals are written in double quotes"));
    }
    if field.relation.is_some()
        && let Some(elsewhere) = valid.iter().find(|column| column.name == field.name)
    {
        return error.hint(format!("did you mean `{}`?", elsewhere.flat_name()));
    }
    if let Some(near) = suggest::nearest(&field.name, &names)
        && near.chars().any(char::is_uppercase)
    {
        return error
            .hint(format!("did you mean \"{near}\"? names with capitals are written in double quotes"));
    }
    if names.is_empty() {
        return error.hint("the statement reads no table; a text is written in single quotes");
    }
    error.hint(suggest::hint(&field.name, &names))
}

fn from_plan(text: &str) -> Error {
    if let Some(name) = between(text, "Invalid function '", "'") {
        return Error::project(format!("there is no function `{name}`")).sqlstate("42883");
    }
    if let Some(name) = between(text, "table '", "' not found") {
        return Error::project(format!("there is no table `{}`", name.trim_start_matches("laguna.")))
            .sqlstate("42P01")
            .hint("SHOW TABLES lists all of them");
    }
    if text.contains("require unique expression names")
        && let Some(expression) = between(text, "the expression \"", "\" at position")
    {
        let name = expression.rsplit(" AS ").next().unwrap_or(expression);
        return called_alike(name);
    }
    if text.contains("not supported: ") && (text.starts_with("DDL") || text.starts_with("DML")) {
        return read_only();
    }
    codes::of_plan(text)
}

fn from_execution(text: &str) -> Error {
    let lower = text.to_lowercase();
    let error = Error::failed(clean(text));
    if lower.contains("divide by zero") || lower.contains("division by zero") {
        return division_by_zero();
    }
    if lower.contains("regular expression did not compile") || lower.contains("regex parse error") {
        let why = text.rsplit("error: ").next().map(clean).unwrap_or_default();
        let why = why.trim_end_matches([')', '"', ' ', '~']);
        return Error::failed(format!("a regular expression does not compile: {why}"))
            .sqlstate("2201B")
            .hint("a character that means something in a pattern is written with a backslash, as \\(");
    }
    if lower.contains("overflow") {
        return too_big(error);
    }
    if let Some(known) = codes::of_run(text) {
        return known;
    }
    if ["cast", "pars", "convert", "timestamp"].iter().any(|word| lower.contains(word)) {
        return unfit(error);
    }
    error
}

fn division_by_zero() -> Error {
    Error::failed("division by zero").sqlstate("22012").hint("divide by nullif(x, 0) to get null instead")
}

fn too_big(error: Error) -> Error {
    error.sqlstate("22003").hint("cast to a wider type first, as x::bigint or x::decimal(38, 4)")
}

fn called_alike(name: &str) -> Error {
    Error::project(format!("two columns are called `{name}`")).sqlstate("42701").hint("rename one with AS")
}

fn exhausted(text: &str) -> Error {
    Error::failed("the statement needs more memory than it may use")
        .sqlstate("53200")
        .hint("give it more memory, select fewer columns or rows, or run fewer tasks at once")
        .caused_by(Chain { message: clean(text), next: None })
}

/// The refusal of everything that would write.
pub(crate) fn read_only() -> Error {
    Error::project("SQL cannot change the lake")
        .sqlstate("25006")
        .hint("a query may SELECT, EXPLAIN, DESCRIBE and SHOW; tables are made by models and `laguna run`")
}

fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    let start = text.find(before)? + before.len();
    let length = text[start..].find(after)?;
    Some(&text[start..start + length])
}

/// One line in lower case without full stop, without the engine's prefixes and back traces.
pub(crate) fn clean(text: &str) -> String {
    let mut text = text.split("\n\nbacktrace:").next().unwrap_or_default();
    text = text.split("This issue was likely caused by a bug").next().unwrap_or_default().trim();
    loop {
        let before = text;
        for prefix in [
            "Error during planning: ",
            "Execution error: ",
            "External error: ",
            "Arrow error: ",
            "Parser error: ",
            "Cast error: ",
            "Compute error: ",
            "Invalid argument error: ",
            "Internal error: ",
            "SQL error: ",
            "Schema error: ",
            "This feature is not implemented: ",
            "type_coercion\ncaused by\n",
        ] {
            text = text.strip_prefix(prefix).unwrap_or(text);
        }
        if before == text {
            break;
        }
    }
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let line = line.strip_suffix('.').unwrap_or(&line);
    let mut characters = line.chars();
    match (characters.next(), characters.clone().next()) {
        // Acronyms and quoted SQL keep their capitals.
        (Some(first), Some(second)) if first.is_uppercase() && second.is_lowercase() => {
            first.to_lowercase().chain(characters).collect()
        }
        _ => line.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use laguna_base::ErrorKind;

    use super::*;

    #[test]
    fn our_own_errors_come_back_through_every_wrapping() {
        let ours = || Error::conflict("lost").hint("again").at("a.sql", 1, 2);
        let wrapped = DataFusionError::Context("x".into(), Box::new(external(ours())));
        let arrow = DataFusionError::ArrowError(
            Box::new(ArrowError::ExternalError(Box::new(external(ours())))),
            None,
        );
        let shared = Arc::new(external(ours()));
        let _other_reader = shared.clone();
        for error in [wrapped, arrow, DataFusionError::Shared(shared)] {
            let error = translate(error);
            assert_eq!(error.kind(), ErrorKind::Conflict);
            assert_eq!(error.to_string(), "a.sql:1:2: lost");
            assert_eq!(error.hint_text(), Some("again"));
        }
    }

    #[test]
    fn kinds_follow_whose_fault_it_is() {
        let table = [
            (DataFusionError::Plan("Bad thing.".into()), ErrorKind::Project, "bad thing"),
            (
                DataFusionError::ArrowError(Box::new(ArrowError::DivideByZero), None),
                ErrorKind::Failed,
                "division by zero",
            ),
            (
                DataFusionError::ResourcesExhausted("x".into()),
                ErrorKind::Failed,
                "the statement needs more memory than it may use",
            ),
            (
                DataFusionError::IoError(std::io::Error::other("disk")),
                ErrorKind::Storage,
                "reading or writing failed",
            ),
        ];
        for (error, kind, message) in table {
            let error = translate(error);
            assert_eq!((error.kind(), error.message()), (kind, message));
        }
    }

    #[test]
    fn the_callers_file_replaces_the_label_only() {
        let error = in_file(Error::project("wrong").hint("way out").at(LABEL, 3, 4), "enhanced/x.sql");
        assert_eq!(error.to_string(), "enhanced/x.sql:3:4: wrong");
        assert_eq!(error.hint_text(), Some("way out"));
        let other = in_file(Error::project("wrong").at("b.yml", 1, 1), "enhanced/x.sql");
        assert_eq!(other.to_string(), "b.yml:1:1: wrong");
    }
}
