//! Variables of a session: those that clients set and ask for, with PostgreSQL's names and forms.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono_tz::Tz;
use laguna_base::{Error, Result, suggest};

use super::meaning;
use super::meaning::written::Order;

/// Where unqualified names are looked for when nothing else is said: the most refined first.
pub(super) const SEARCH_PATH: &str = "enhanced, sanitized, latest, raw, system";
/// The PostgreSQL that clients may expect.
pub(super) const VERSION: &str = "15.10";

/// Name, value at the start, what may be done: `t` told to the client when it changes, `f` fixed.
const KNOWN: [(&str, &str, &str); 71] = [
    ("application_name", "", "t"),
    ("array_nulls", "on", ""),
    ("backslash_quote", "safe_encoding", ""),
    ("bytea_output", "hex", ""),
    ("check_function_bodies", "on", ""),
    ("client_encoding", "UTF8", "t"),
    ("client_min_messages", "notice", ""),
    ("constraint_exclusion", "partition", ""),
    ("cursor_tuple_fraction", "0.1", ""),
    ("DateStyle", "ISO, MDY", "t"),
    ("default_tablespace", "", ""),
    ("default_transaction_deferrable", "off", ""),
    ("default_transaction_isolation", "repeatable read", ""),
    ("default_transaction_read_only", "on", "t"),
    ("effective_cache_size", "4GB", ""),
    ("effective_io_concurrency", "1", ""),
    ("enable_bitmapscan", "on", ""),
    ("enable_hashagg", "on", ""),
    ("enable_hashjoin", "on", ""),
    ("enable_indexonlyscan", "on", ""),
    ("enable_indexscan", "on", ""),
    ("enable_material", "on", ""),
    ("enable_mergejoin", "on", ""),
    ("enable_nestloop", "on", ""),
    ("enable_seqscan", "on", ""),
    ("enable_sort", "on", ""),
    ("escape_string_warning", "on", ""),
    ("extra_float_digits", "1", ""),
    ("from_collapse_limit", "8", ""),
    ("geqo", "on", ""),
    ("gin_fuzzy_search_limit", "0", ""),
    ("idle_in_transaction_session_timeout", "0", ""),
    ("idle_session_timeout", "0", ""),
    ("in_hot_standby", "off", "tf"),
    ("integer_datetimes", "on", "tf"),
    ("IntervalStyle", "postgres", "t"),
    ("is_superuser", "off", "tf"),
    ("jit", "off", ""),
    ("join_collapse_limit", "8", ""),
    ("lc_collate", "C", "f"),
    ("lc_ctype", "C", "f"),
    ("lc_messages", "C", ""),
    ("lc_monetary", "C", ""),
    ("lc_numeric", "C", ""),
    ("lc_time", "C", ""),
    ("lock_timeout", "0", ""),
    ("maintenance_work_mem", "64MB", ""),
    ("max_identifier_length", "63", "f"),
    ("max_index_keys", "32", "f"),
    ("max_parallel_workers_per_gather", "2", ""),
    ("plan_cache_mode", "auto", ""),
    ("quote_all_identifiers", "off", ""),
    ("random_page_cost", "4", ""),
    ("role", "none", ""),
    ("row_security", "on", ""),
    ("search_path", SEARCH_PATH, ""),
    ("server_encoding", "UTF8", "tf"),
    ("server_version", VERSION, "tf"),
    ("server_version_num", "150010", "f"),
    ("session_authorization", "", "tf"),
    ("seq_page_cost", "1", ""),
    ("standard_conforming_strings", "on", "t"),
    ("statement_timeout", "0", ""),
    ("synchronize_seqscans", "on", ""),
    ("temp_buffers", "8MB", ""),
    ("TimeZone", "UTC", "t"),
    ("transaction_isolation", "repeatable read", ""),
    ("transaction_read_only", "on", ""),
    ("transform_null_equals", "off", ""),
    ("work_mem", "4MB", ""),
    ("xmloption", "content", ""),
];

/// How a session wants values to be written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Look {
    /// Where times with a zone are shown.
    pub(super) zone: Tz,
    /// Whether intervals are written as ISO 8601 has them.
    pub(super) iso_intervals: bool,
}

/// The variables of one session.
#[derive(Debug, Clone)]
pub(super) struct Variables {
    /// What a client set in its first message or later, by lower-case name.
    set: BTreeMap<String, String>,
    /// What RESET goes back to.
    start: BTreeMap<String, String>,
    user: String,
}

impl Variables {
    pub(super) fn new(user: &str) -> Variables {
        Variables { set: BTreeMap::new(), start: BTreeMap::new(), user: user.to_string() }
    }

    /// What is now is what RESET goes back to.
    pub(super) fn begin(&mut self) {
        self.start = self.set.clone();
    }

    pub(super) fn get(&self, name: &str) -> Result<String> {
        let name = alias(name);
        if let Some(value) = self.set.get(&name) {
            return Ok(value.clone());
        }
        if name == "session_authorization" {
            return Ok(self.user.clone());
        }
        known(&name).map(|(_, value, _)| value.to_string()).ok_or_else(|| unknown(&name))
    }

    /// Sets a variable; the name and value to tell the client, if it wants to know.
    pub(super) fn set(&mut self, name: &str, value: &str) -> Result<Option<(&'static str, String)>> {
        let name = alias(name);
        let Some((shown, _, flags)) = known(&name) else {
            if !name.contains('.') {
                return Err(unknown(&name));
            }
            self.set.insert(name, value.to_string());
            return Ok(None);
        };
        if flags.contains('f') {
            let error = Error::project(format!("parameter \"{shown}\" cannot be changed"));
            return Err(error.sqlstate("55P02"));
        }
        let value = checked(shown, value)?;
        self.set.insert(name, value.clone());
        Ok(flags.contains('t').then_some((*shown, value)))
    }

    /// Back to the value of the start; what to tell the client.
    pub(super) fn reset(&mut self, name: &str) -> Result<Option<(&'static str, String)>> {
        let name = alias(name);
        match self.start.get(&name).cloned() {
            Some(value) => self.set(&name, &value),
            None => {
                self.set.remove(&name);
                let value = self.get(&name)?;
                Ok(known(&name)
                    .filter(|(_, _, flags)| flags.contains('t'))
                    .map(|(shown, _, _)| (*shown, value)))
            }
        }
    }

    /// The name under which a variable is kept, and what it was set to.
    pub(super) fn stored(&self, name: &str) -> (String, Option<String>) {
        let name = alias(name);
        let value = self.set.get(&name).cloned();
        (name, value)
    }

    /// Back to a value of [`Variables::stored`].
    pub(super) fn put_back(&mut self, name: &str, value: Option<String>) {
        match value {
            Some(value) => drop(self.set.insert(name.to_string(), value)),
            None => drop(self.set.remove(name)),
        }
    }

    pub(super) fn reset_all(&mut self) {
        self.set = self.start.clone();
    }

    /// Names, values, and whether they are told to the client at the start.
    pub(super) fn all(&self) -> Vec<(&'static str, String, bool)> {
        let value = |name: &str| self.get(name).unwrap_or_default();
        KNOWN.iter().map(|(name, _, flags)| (*name, value(name), flags.contains('t'))).collect()
    }

    pub(super) fn zone(&self) -> Tz {
        self.get("timezone").ok().and_then(|zone| zone.parse().ok()).unwrap_or(Tz::UTC)
    }

    /// What comes first in days that are written with numbers only.
    pub(super) fn order(&self) -> Order {
        self.get("datestyle").map(|style| Order::of(&style)).unwrap_or_default()
    }

    /// How values are written.
    pub(super) fn look(&self) -> Look {
        let iso_intervals = self.get("intervalstyle").is_ok_and(|style| style == "iso_8601");
        Look { zone: self.zone(), iso_intervals }
    }

    pub(super) fn timeout(&self) -> Option<Duration> {
        let millis = milliseconds(&self.get("statement_timeout").ok()?)?;
        (millis > 0).then(|| Duration::from_millis(millis))
    }

    /// The schemas of the search path; `pg_catalog` is before them unless it is named.
    pub(super) fn path(&self) -> Vec<String> {
        let text = self.get("search_path").unwrap_or_default();
        let names = text.split(',').map(|name| name.trim().trim_matches('"').to_string());
        let mut path: Vec<String> = names.filter(|name| !name.is_empty() && name != "$user").collect();
        if !path.iter().any(|name| name == "pg_catalog") {
            path.insert(0, "pg_catalog".to_string());
        }
        path
    }

    /// The first schema of the path that there is.
    pub(super) fn schema(&self) -> Option<String> {
        let is_tier = |name: &String| name.parse::<laguna_base::Tier>().is_ok();
        self.path().into_iter().find(is_tier)
    }
}

fn known(name: &str) -> Option<&'static (&'static str, &'static str, &'static str)> {
    KNOWN.iter().find(|(known, _, _)| known.eq_ignore_ascii_case(name))
}

/// What a variable is called where it is shown.
pub(super) fn shown(name: &str) -> &str {
    known(&alias(name)).map_or(name, |(shown, _, _)| *shown)
}

fn alias(name: &str) -> String {
    let name = name.to_lowercase();
    match name.as_str() {
        "time zone" => "timezone".to_string(),
        "names" => "client_encoding".to_string(),
        "transaction isolation level" => "transaction_isolation".to_string(),
        "session authorization" => "session_authorization".to_string(),
        _ => name,
    }
}

fn unknown(name: &str) -> Error {
    let names: Vec<&str> = KNOWN.iter().map(|(name, _, _)| *name).collect();
    Error::project(format!("unrecognized configuration parameter \"{name}\""))
        .sqlstate("42704")
        .hint(suggest::hint(name, &names))
}

/// Whole hours of `INTERVAL '+02:00' HOUR TO MINUTE`, whose words come with commas.
fn offset(written: &str) -> Option<i32> {
    let mut words = written.split([',', ' ']).filter(|word| !word.is_empty());
    if !words.next()?.eq_ignore_ascii_case("interval") {
        return None;
    }
    let (hours, minutes) = words.next()?.trim_matches('\'').split_once(':')?;
    let whole = minutes.trim_matches(['0', ':']).is_empty();
    hours.parse().ok().filter(|_| whole)
}

/// The value in the form in which it is shown; values that would change what is answered in ways that are not followed
/// are refused.
fn checked(name: &str, value: &str) -> Result<String> {
    let invalid = |hint: &str| {
        Error::project(format!("invalid value for parameter \"{name}\": \"{value}\""))
            .sqlstate("22023")
            .hint(hint.to_string())
    };
    Ok(match name {
        "client_encoding" => {
            let plain: String = value.chars().filter(char::is_ascii_alphanumeric).collect();
            match plain.to_uppercase().as_str() {
                "UTF8" | "UNICODE" | "SQLASCII" => "UTF8".to_string(),
                _ => return Err(invalid("text is always UTF8 here")),
            }
        }
        "TimeZone" => {
            let plain = value.trim_matches('\'');
            let hours = plain.parse::<i32>().ok().or_else(|| offset(plain));
            let offset = hours.map(|hours| format!("Etc/GMT{:+}", -hours));
            let name = match plain.to_uppercase().as_str() {
                "UTC" | "GMT" | "Z" | "ZULU" | "DEFAULT" | "LOCAL" | "0" => "UTC".to_string(),
                _ => offset.unwrap_or_else(|| plain.to_string()),
            };
            meaning::zone(&name)
                .ok_or_else(|| invalid("write it as Europe/Berlin or UTC"))?
                .name()
                .to_string()
        }
        "DateStyle" => {
            let upper = value.to_uppercase();
            let order = ["DMY", "YMD", "MDY"].into_iter().find(|order| upper.contains(order));
            match ["GERMAN", "SQL", "POSTGRES"].iter().any(|style| upper.contains(style)) {
                true => return Err(invalid("dates are always written in the ISO style here")),
                false => format!("ISO, {}", order.unwrap_or("MDY")),
            }
        }
        "IntervalStyle" => match value.to_lowercase().as_str() {
            style @ ("postgres" | "iso_8601") => style.to_string(),
            _ => return Err(invalid("intervals are written in the styles `postgres` and `iso_8601` here")),
        },
        "bytea_output" if !value.eq_ignore_ascii_case("hex") => {
            return Err(invalid("bytes are always written as hex here"));
        }
        "standard_conforming_strings" if !is_on(value) => {
            return Err(invalid("a backslash has no meaning in a text here"));
        }
        "statement_timeout" => {
            milliseconds(value).ok_or_else(|| invalid("write it in milliseconds, or as '5s' or '2min'"))?;
            value.to_string()
        }
        _ => value.to_string(),
    })
}

fn is_on(value: &str) -> bool {
    ["on", "true", "yes", "1"].iter().any(|on| on.eq_ignore_ascii_case(value))
}

/// A time as PostgreSQL's settings have it; without a unit milliseconds.
fn milliseconds(text: &str) -> Option<u64> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number: u64 = text[..end].parse().ok()?;
    let unit = match text[end..].trim() {
        "" | "ms" => 1,
        "s" => 1000,
        "min" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    number.checked_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_checked_and_come_back() {
        let mut variables = Variables::new("ana");
        assert_eq!(variables.set("TIMEZONE", "europe/berlin").unwrap().unwrap().1, "Europe/Berlin");
        assert_eq!(variables.zone(), Tz::Europe__Berlin);
        assert_eq!(variables.set("statement_timeout", "2s").unwrap(), None);
        assert_eq!(variables.timeout(), Some(Duration::from_secs(2)));
        assert_eq!(variables.set("nothing", "1").unwrap_err().code(), "42704");
        assert_eq!(variables.set("server_version", "1").unwrap_err().code(), "55P02");
        assert_eq!(variables.set("client_encoding", "latin1").unwrap_err().code(), "22023");
        variables.set("my.own", "x").unwrap();
        assert_eq!(variables.get("MY.OWN").unwrap(), "x");
        variables.reset_all();
        assert_eq!(variables.zone(), Tz::UTC);
        assert_eq!(variables.path()[0], "pg_catalog");
    }
}
