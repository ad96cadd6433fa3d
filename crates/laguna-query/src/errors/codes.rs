//! SQLSTATEs of what the engine says in words.

use laguna_base::Error;

use super::{between, clean, too_big};

/// What the sentences of a plan that cannot be made say, in lower case, with PostgreSQL's code of it.
const OF_PLANS: [(&str, &str); 15] = [
    ("must appear in the group by clause", "42803"),
    ("must be in group by", "42803"),
    ("aggregate functions are not allowed", "42803"),
    ("calls cannot be nested", "42803"),
    ("limit must be", "2201W"),
    ("offset must be", "2201X"),
    ("column out of bounds", "42P10"),
    ("non-boolean predicate", "42804"),
    ("requires a boolean expression", "42804"),
    ("different number of columns", "42601"),
    ("cannot coerce arithmetic expression", "42883"),
    ("failed to match any signature", "42883"),
    ("no function matches", "42883"),
    ("arguments but received", "42883"),
    ("does not exist", "42883"),
];

/// The same of statements that fail while they run.
const OF_RUNS: [(&str, &str); 17] = [
    ("mb at once", "54000"),
    ("more than one row", "21000"),
    ("square root of a negative", "2201F"),
    ("logarithm of", "2201E"),
    ("negative count", "22011"),
    ("negative substring", "22011"),
    ("time zone \"", "22023"),
    ("syntax for type json", "22P02"),
    ("syntax for type date", "22007"),
    ("syntax for type time", "22007"),
    ("field value out of range", "22008"),
    ("field name must not be null", "22004"),
    ("regular expression", "2201B"),
    ("of a non-array", "22023"),
    ("from a non-array", "22023"),
    ("of a non-object", "22023"),
    ("is not between 0 and 1", "22003"),
];

fn code_of(table: &[(&str, &'static str)], text: &str) -> Option<&'static str> {
    let lower = text.to_lowercase();
    table.iter().find(|(words, _)| lower.contains(words)).map(|(_, code)| *code)
}

/// An error of planning.
pub(super) fn of_plan(text: &str) -> Error {
    let Some(code) = code_of(&OF_PLANS, text) else { return Error::project(clean(text)) };
    let sentence = match code {
        "42803" => match between(text, "olumn \"", "\"") {
            Some(column) => {
                format!(
                    "column \"{column}\" must appear in the GROUP BY clause or be used in an aggregate function"
                )
            }
            // What is nested in what is of the engine's words.
            None => clean(text.split(": '").next().unwrap_or(text)),
        },
        _ => clean(text),
    };
    Error::project(sentence).sqlstate(code)
}

/// An error of running, as far as its code is known.
pub(super) fn of_run(text: &str) -> Option<Error> {
    code_of(&OF_RUNS, text).map(|code| Error::failed(clean(text)).sqlstate(code))
}

/// A value that is none of its type; times and numbers have codes of their own.
pub(super) fn unfit(error: Error) -> Error {
    let lower = error.message().to_lowercase();
    if lower.contains("can't cast value") && lower.contains("int") {
        return too_big(error);
    }
    let is_time = ["timestamp", "date", "time", "interval"].iter().any(|word| lower.contains(word));
    // Written as a day, but none of the calendar.
    let out_of_range =
        is_time && between(&lower, "'", "'").or_else(|| between(&lower, "\"", "\"")).is_some_and(is_day);
    let code = match (out_of_range, is_time) {
        (true, _) => "22008",
        (_, true) => "22007",
        _ => "22P02",
    };
    error.sqlstate(code).hint("try_cast(x AS type) gives null for what does not fit")
}

fn is_day(text: &str) -> bool {
    let day = text.get(..10).unwrap_or_default();
    let digits = day.bytes().enumerate().all(|(index, byte)| match index {
        4 | 7 => byte == b'-',
        _ => byte.is_ascii_digit(),
    });
    day.len() == 10 && digits
}
