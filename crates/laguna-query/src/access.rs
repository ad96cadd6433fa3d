//! What a reader may see of the lake: which tables exist for him, which columns are null, which rows are there.
//!
//! [`Access`] is given to [`crate::Engine::session_for`] and holds below everything that a statement can say. What may
//! not be read is left out by [`tables`] before any name is looked up, so that errors, hints and catalogs know nothing
//! of it. Masks, row rules and views become a [`table::GuardedTable`], whose plan the outer one cannot look into.

pub(crate) mod rows;
pub(crate) mod tables;

mod exec;
mod system;
mod table;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use laguna_base::hash::Fingerprint;
use laguna_base::settings::RoleSettings;
use laguna_base::{Error, Result, TableName, Tier, suggest};

use crate::catalog::STAGED;
use crate::lake_tables::quarantined;

pub use exec::plans_below as physical_below;
pub(crate) use table::guarded;
pub use table::plans_below as logical_below;

/// What one reader may see. Cheap to clone; two are equal when they allow the same.
#[derive(Clone)]
pub struct Access(Option<Arc<Limits>>);

/// What a role may read, as its rules say it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RoleRules {
    /// Tiers and tables, as `enhanced` or `sanitized.flights`; `staged` for staged versions of tables it reads.
    pub read: Vec<String>,
    /// Columns that are null, by table. A table that lacks one of them is refused.
    pub mask: BTreeMap<TableName, Vec<String>>,
    /// The SQL condition that a row must meet to be there, by table.
    pub rows: BTreeMap<TableName, String>,
}

impl RoleRules {
    /// The rules that `settings` write; a word that names no tier or table is an error with the nearest one.
    pub fn from_settings(settings: &RoleSettings) -> Result<RoleRules> {
        let mut rules = RoleRules { read: settings.read.0.clone(), ..RoleRules::default() };
        for (table, columns) in &settings.mask {
            rules.mask.insert(table_word(table)?, columns.0.clone());
        }
        for (table, condition) in &settings.rows {
            rules.rows.insert(table_word(table)?, condition.clone());
        }
        Ok(rules)
    }
}

/// A role, ready to be asked.
#[derive(Debug)]
struct Limits {
    role: String,
    tiers: BTreeSet<Tier>,
    tables: BTreeSet<TableName>,
    staged: bool,
    /// By table; what is written for `raw.x` stands for `latest.x` too, and the other way round.
    rules: BTreeMap<TableName, TableRules>,
    fingerprint: u128,
}

/// What is kept back of one table.
#[derive(Debug, Clone, Default)]
pub(crate) struct TableRules {
    /// Columns that are null, in lower case.
    pub(crate) masks: BTreeSet<String>,
    /// Conditions that a row must meet, all of them.
    pub(crate) rows: BTreeSet<String>,
}

impl Access {
    /// Everything there is: what the command line has.
    pub fn everything() -> Access {
        Access(None)
    }

    /// What the role `name` may see. Errors name the word that is no tier or table, the column mask without columns,
    /// and the condition that is none; whether columns exist is known only when a table is opened.
    pub fn role(name: &str, rules: RoleRules) -> Result<Access> {
        let mut limits = Limits {
            role: name.to_string(),
            tiers: BTreeSet::new(),
            tables: BTreeSet::new(),
            staged: false,
            rules: BTreeMap::new(),
            fingerprint: 0,
        };
        for word in &rules.read {
            let word = word.trim();
            if word == STAGED {
                limits.staged = true;
            } else if word.contains('.') {
                limits.tables.insert(table_word(word)?);
            } else {
                limits.tiers.insert(tier_word(word)?);
            }
        }
        for (table, columns) in &rules.mask {
            if columns.iter().all(|column| column.trim().is_empty()) {
                return Err(Error::project(format!("the mask of `{table}` names no column"))
                    .hint(format!("write the columns that are hidden, as {table}: [email, phone]")));
            }
            for twin in twins(table) {
                let masks = &mut limits.rules.entry(twin).or_default().masks;
                masks.extend(columns.iter().map(|column| column.to_lowercase()));
            }
        }
        for (table, condition) in &rules.rows {
            rows::check_text(condition).map_err(|error| {
                let message = format!("the rule for the rows of `{table}`: {}", error.message());
                let wrong = Error::project(message);
                match error.hint_text() {
                    Some(hint) => wrong.hint(hint),
                    None => wrong,
                }
            })?;
            for twin in twins(table) {
                limits.rules.entry(twin).or_default().rows.insert(condition.clone());
            }
        }
        limits.fingerprint = limits.fingerprint();
        Ok(Access(Some(Arc::new(limits))))
    }

    /// What the role `name` of `laguna.yml` may see.
    pub fn from_settings(name: &str, settings: &RoleSettings) -> Result<Access> {
        Access::role(name, RoleRules::from_settings(settings)?)
    }

    /// Whether this is anything less than [`Access::everything`].
    pub fn is_limited(&self) -> bool {
        self.0.is_some()
    }

    /// Whether `table` exists for the reader.
    pub fn may_read(&self, table: &TableName) -> bool {
        let Some(limits) = &self.0 else { return true };
        limits.lists(table)
            && match table.tier {
                // Rows set aside are kept whole, as text that no rule of the table reaches into.
                Tier::Quarantine => quarantined(table).is_none_or(|of| !limits.rules.contains_key(&of)),
                Tier::System => limits.is_whole() || system::rule(&table.table).is_some(),
                _ => true,
            }
    }

    /// Whether `staged.<tier>_<table>` exists for the reader: `staged` is listed, and he reads the table itself.
    pub fn may_read_staged(&self, table: &TableName) -> bool {
        self.0.as_ref().is_none_or(|limits| limits.staged) && self.may_read(table)
    }

    /// Whether columns or rows of `table` are kept from the reader.
    pub fn is_restricted(&self, table: &TableName) -> bool {
        self.0.as_ref().is_some_and(|limits| {
            limits.rules.contains_key(table) || table.tier == Tier::System && !limits.is_whole()
        })
    }

    /// Equal for accesses that allow the same; part of the key of a cache of results.
    pub fn fingerprint(&self) -> u128 {
        self.0.as_ref().map_or(0, |limits| limits.fingerprint)
    }

    /// Whether anything of the schema `schema` can exist for the reader.
    pub(crate) fn may_read_some(&self, schema: &str) -> bool {
        let Some(limits) = &self.0 else { return true };
        match schema.parse::<Tier>() {
            Ok(tier) => limits.tiers.contains(&tier) || limits.tables.iter().any(|table| table.tier == tier),
            Err(_) => schema == STAGED && limits.staged,
        }
    }
}

impl Limits {
    /// Whether the role names `table` or its tier.
    fn lists(&self, table: &TableName) -> bool {
        self.tiers.contains(&table.tier) || self.tables.contains(table)
    }

    /// Whether every tier is read without any mask or rule: then the lake's notes on itself hide nothing either.
    fn is_whole(&self) -> bool {
        self.rules.is_empty() && Tier::ALL.iter().all(|tier| self.tiers.contains(tier))
    }

    fn fingerprint(&self) -> u128 {
        let mut parts = Fingerprint::new();
        let mut add = |kind: &str, text: &str| {
            parts.add(kind);
            parts.add(text);
        };
        for tier in &self.tiers {
            add("tier", tier.as_str());
        }
        for table in &self.tables {
            add("table", &table.to_string());
        }
        add("staged", if self.staged { "yes" } else { "no" });
        for (table, rules) in &self.rules {
            add("rules", &table.to_string());
            rules.masks.iter().for_each(|mask| add("mask", mask));
            rules.rows.iter().for_each(|row| add("row", row));
        }
        // The hash is 32 hexadecimal digits; zero is that of everything.
        u128::from_str_radix(&parts.finish(), 16).unwrap_or_default().max(1)
    }
}

impl PartialEq for Access {
    fn eq(&self, other: &Access) -> bool {
        self.fingerprint() == other.fingerprint()
    }
}

impl Eq for Access {}

impl Hash for Access {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.fingerprint().hash(state);
    }
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            None => f.write_str("Access(everything)"),
            Some(limits) => write!(f, "Access({})", limits.role),
        }
    }
}

/// The tables that a rule for `table` stands for: a raw table and its latest view show the same rows.
fn twins(table: &TableName) -> Vec<TableName> {
    let twin = match table.tier {
        Tier::Raw => Some(table.latest()),
        Tier::Latest => Some(TableName { tier: Tier::Raw, table: table.table.clone() }),
        _ => None,
    };
    std::iter::once(table.clone()).chain(twin).collect()
}

/// A tier, or the error that names the nearest word.
fn tier_word(word: &str) -> Result<Tier> {
    word.parse().map_err(|_| {
        let words: Vec<&str> = Tier::ALL.iter().map(|tier| tier.as_str()).chain([STAGED]).collect();
        let hint = match suggest::nearest(word, &words) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("a table is written with its tier; tiers are {}", words.join(", ")),
        };
        Error::project(format!("`{word}` is not a tier")).hint(hint)
    })
}

/// A table, or the error that names the nearest tier.
fn table_word(text: &str) -> Result<TableName> {
    let text = text.trim();
    match text.split_once('.') {
        Some((STAGED, _)) => Err(Error::project(format!("`{text}` cannot be named in a role"))
            .hint("list `staged` to show staged versions of the tables that the role reads; rules for a table hold for them too")),
        Some((tier, table)) => TableName::new(tier_word(tier)?, table),
        None => text.parse(),
    }
}
