//! `roles:` of `laguna.yml` resolved: who may read what, with words checked and templates rendered.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use laguna_base::settings::{RoleSettings, parse_duration};
use laguna_base::{Error, Result, TableName, Tier, suggest};
use laguna_query::Access;

use super::{PROJECT_FILE, Role, node_of};

/// The role that `settings` write. `render` fills in templates of conditions.
pub(super) fn resolve(
    name: &str,
    settings: &RoleSettings,
    mut render: impl FnMut(&str) -> Result<String>,
) -> Result<Role> {
    let mut settings = settings.clone();
    for condition in settings.rows.values_mut() {
        *condition = render(condition)?;
    }
    let access = Access::from_settings(name, &settings)?;
    let timeout: Option<Duration> = match &settings.timeout {
        None => None,
        Some(text) => Some(parse_duration(text).filter(|timeout| !timeout.is_zero()).ok_or_else(|| {
            Error::project(format!("`{text}` is not a duration")).hint("write it as 60s or 5m")
        })?),
    };
    for (key, zero) in
        [("max_rows", settings.max_rows == Some(0)), ("concurrency", settings.concurrency == Some(0))]
    {
        if zero {
            return Err(
                Error::project(format!("`{key}` must be at least 1")).hint("leave it out for no limit")
            );
        }
    }
    Ok(Role { access, timeout, max_rows: settings.max_rows, concurrency: settings.concurrency, settings })
}

/// Looks for tables that no file of the project makes. A word close to one that is made is an error: a rule for the
/// wrong table keeps nothing back. Others are warnings, because a lake keeps tables whose files are gone.
pub(super) fn check_tables(
    roles: &BTreeMap<String, Role>,
    made: &BTreeSet<TableName>,
    place: impl Fn(&str) -> (usize, usize),
    errors: &mut Vec<Error>,
    warnings: &mut Vec<Error>,
) {
    for (role, Role { settings, .. }) in roles {
        let read = settings.read.iter().filter(|word| word.contains('.'));
        let named: BTreeSet<&String> = read.chain(settings.mask.keys()).chain(settings.rows.keys()).collect();
        for word in named {
            let Ok(table) = word.trim().parse::<TableName>() else { continue };
            if table.tier == Tier::System || node_of(&table).is_some_and(|node| made.contains(&node)) {
                continue;
            }
            let (line, column) = match place(word) {
                (0, 0) => place(role),
                found => found,
            };
            let error = Error::project(format!("the role `{role}` names `{word}`, which no file makes")).at(
                PROJECT_FILE,
                line,
                column,
            );
            let known: Vec<String> = made.iter().map(TableName::to_string).collect();
            match suggest::nearest(word, &known) {
                Some(near) => errors.push(error.hint(format!("did you mean `{near}`?"))),
                None => warnings.push(error.hint("it holds for a table that is still in the lake")),
            }
        }
    }
}
