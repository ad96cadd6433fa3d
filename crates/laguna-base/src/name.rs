//! Names of tiers, tables and columns, and what may stand in them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// A schema of the lake's catalog; the folder of its tables carries the same name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Tier {
    /// Everything collected, append-only.
    Raw,
    /// The newest row of each key of a raw table.
    Latest,
    /// Cleaned with SQL.
    Sanitized,
    /// Ready to share, gated by checks.
    Enhanced,
    /// Rows set aside; table `raw_flights` holds those of `raw.flights`.
    Quarantine,
    /// What Laguna knows about itself.
    System,
}

impl Tier {
    /// Every tier, in the order in which people list them.
    pub const ALL: [Tier; 6] =
        [Tier::Raw, Tier::Latest, Tier::Sanitized, Tier::Enhanced, Tier::Quarantine, Tier::System];

    /// The word used as SQL schema and folder.
    pub fn as_str(self) -> &'static str {
        match self {
            Tier::Raw => "raw",
            Tier::Latest => "latest",
            Tier::Sanitized => "sanitized",
            Tier::Enhanced => "enhanced",
            Tier::Quarantine => "quarantine",
            Tier::System => "system",
        }
    }

    /// Whether tables of this tier are models, which are versioned and released together.
    pub fn is_model(self) -> bool {
        matches!(self, Tier::Sanitized | Tier::Enhanced)
    }
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Tier {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        Tier::ALL.into_iter().find(|tier| tier.as_str() == text).ok_or_else(|| {
            Error::project(format!("`{text}` is not a tier"))
                .hint(format!("one of {}", Tier::ALL.map(|tier| tier.as_str()).join(", ")))
        })
    }
}

/// `tier.table`, as `sanitized.flights`. Ordered and serialised as that text.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TableName {
    /// Schema of the table.
    pub tier: Tier,
    /// Name within the tier: lower-case letters, digits and underscores, not starting with a digit.
    pub table: String,
}

impl TableName {
    /// A name whose table part is checked.
    pub fn new(tier: Tier, table: impl Into<String>) -> Result<Self> {
        let table = table.into();
        let mut characters = table.chars();
        let head = characters.next().is_some_and(|c| c.is_ascii_lowercase() || c == '_');
        if !head || !characters.all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_') {
            return Err(Error::project(format!("`{table}` cannot be the name of a table"))
                .hint("use lower-case letters, digits and underscores, and don't start with a digit"));
        }
        if table.len() > 200 {
            return Err(Error::project(format!(
                "the table name `{}…` is longer than 200 characters",
                &table[..40]
            )));
        }
        Ok(TableName { tier, table })
    }

    /// The table that keeps the rows set aside from this one: `quarantine.raw_flights`.
    pub fn quarantine(&self) -> TableName {
        TableName { tier: Tier::Quarantine, table: format!("{}_{}", self.tier, self.table) }
    }

    /// The keyed view of a raw table: `latest.flights`.
    pub fn latest(&self) -> TableName {
        TableName { tier: Tier::Latest, table: self.table.clone() }
    }

    /// Folder below the lake's root: `sanitized/flights`.
    pub fn path(&self) -> String {
        format!("{}/{}", self.tier, self.table)
    }
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.tier, self.table)
    }
}

impl FromStr for TableName {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        let (tier, table) = text.split_once('.').ok_or_else(|| {
            Error::project(format!("`{text}` lacks its tier")).hint("write it as sanitized.flights")
        })?;
        TableName::new(tier.parse()?, table)
    }
}

impl Serialize for TableName {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for TableName {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(|error: Error| serde::de::Error::custom(error))
    }
}

/// Columns that Laguna adds to raw tables; a source may not bring its own.
pub const RESERVED_COLUMNS: [&str; 3] = ["_ingested_at", "_batch", "_source"];

/// Column names as Delta accepts them: ` ,;{}()`, newline, tab and `=` become `_`, an empty name becomes
/// `column_<n>`, and a name that repeats an earlier one (without regard to case) gets the suffix `_2`, `_3`, ….
///
/// Returns one name for each of `names`, in order.
pub fn column_names<S: AsRef<str>>(names: &[S]) -> Vec<String> {
    let mut taken = std::collections::HashSet::new();
    for reserved in RESERVED_COLUMNS {
        taken.insert(reserved.to_string());
    }
    names
        .iter()
        .enumerate()
        .map(|(index, name)| {
            let name = name.as_ref().trim();
            let mut clean: String =
                name.chars().map(|c| if " ,;{}()\n\r\t=".contains(c) { '_' } else { c }).collect();
            if clean.is_empty() {
                clean = format!("column_{}", index + 1);
            }
            let mut unique = clean.clone();
            let mut suffix = 2;
            while !taken.insert(unique.to_lowercase()) {
                unique = format!("{clean}_{suffix}");
                suffix += 1;
            }
            unique
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_parse_print_and_refuse() {
        let name: TableName = "sanitized.flights".parse().unwrap();
        assert_eq!(name.to_string(), "sanitized.flights");
        assert_eq!(name.path(), "sanitized/flights");
        assert_eq!(name.quarantine().to_string(), "quarantine.sanitized_flights");
        for wrong in ["flights", "gold.flights", "raw.Flights", "raw.1st", "raw.", "raw.a/b", "raw.a.b"] {
            assert!(wrong.parse::<TableName>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn columns_are_made_safe_and_unique() {
        assert_eq!(
            column_names(&["Order Id", "order_id", "a=b", "", "_batch", "é"]),
            ["Order_Id", "order_id_2", "a_b", "column_4", "_batch_2", "é"]
        );
    }
}
