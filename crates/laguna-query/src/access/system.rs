//! What `system.*` shows to a reader who does not read everything: only what is about tables that he reads whole, without
//! the texts and sums in which other tables may be named or counted.

use datafusion::logical_expr::{Expr, ident, lit};
use laguna_base::{TableName, Tier};

use super::Limits;

/// How one system table is kept from telling of other tables.
pub(super) struct SystemRule {
    /// Columns that name a table, as `raw.flights`.
    tables: &'static [&'static str],
    /// Columns that name a dataset, as `flights`.
    datasets: &'static [&'static str],
    /// Columns that are null: texts that can name, and sums that count, any table.
    pub(super) masks: &'static [&'static str],
}

/// By table, sorted. A table that has no line here is hidden from everyone who does not read everything: `queries`, whose
/// statements say what others look for, and where.
const RULES: [(&str, SystemRule); 9] = [
    (
        "checks",
        about(&["node"], &["label", "observed", "message", "error", "kwargs", "examples", "failing_rows"]),
    ),
    ("erasures", about(&["table", "subject"], &["predicate", "reason", "files_deleted"])),
    ("files", SystemRule { tables: &[], datasets: &["dataset"], masks: &[] }),
    ("freshness", about(&["table"], &[])),
    ("metrics", about(&["node"], &[])),
    ("release_tables", about(&["table"], &["held"])),
    ("releases", about(&[], &["reason", "tables", "changed_tables", "held_tables", "changed"])),
    ("runs", about(&[], &["command", "selection", "tasks", "error"])),
    ("tasks", about(&["node"], &["reason", "rows_in"])),
];

const fn about(tables: &'static [&'static str], masks: &'static [&'static str]) -> SystemRule {
    SystemRule { tables, datasets: &[], masks }
}

/// The rule of `system.<table>`.
pub(super) fn rule(table: &str) -> Option<&'static SystemRule> {
    RULES.iter().find_map(|(name, rule)| (*name == table).then_some(rule))
}

impl SystemRule {
    /// The conditions that rows meet which are about tables that are read whole.
    pub(super) fn conditions(&self, limits: &Limits) -> Vec<Expr> {
        let tables = self.tables.iter().map(|column| names_whole_table(column, limits));
        tables.chain(self.datasets.iter().map(|column| names_whole_dataset(column, limits))).collect()
    }
}

fn names_whole_table(column: &str, limits: &Limits) -> Expr {
    let tiers = limits.tiers.iter().map(|tier| ident(column).like(lit(format!("{tier}.%"))));
    let tables = limits.tables.iter().map(|table| ident(column).eq(lit(table.to_string())));
    let listed = tiers.chain(tables).reduce(Expr::or).unwrap_or_else(|| lit(false));
    without(column, listed, kept_back(limits).map(|table| table.to_string()))
}

fn names_whole_dataset(column: &str, limits: &Limits) -> Expr {
    let raw = limits.tables.iter().filter(|table| table.tier == Tier::Raw);
    let listed = match limits.tiers.contains(&Tier::Raw) {
        true => ident(column).is_not_null(),
        false => raw
            .map(|table| ident(column).eq(lit(table.table.clone())))
            .reduce(Expr::or)
            .unwrap_or_else(|| lit(false)),
    };
    without(
        column,
        listed,
        kept_back(limits).filter(|table| table.tier == Tier::Raw).map(|table| table.table),
    )
}

/// Tables of which columns or rows are kept back, and their quarantines.
fn kept_back(limits: &Limits) -> impl Iterator<Item = TableName> + '_ {
    limits.rules.keys().flat_map(|table| [table.clone(), table.quarantine()])
}

fn without(column: &str, listed: Expr, hidden: impl Iterator<Item = String>) -> Expr {
    let hidden: Vec<Expr> = hidden.map(lit).collect();
    match hidden.is_empty() {
        true => listed,
        false => listed.and(ident(column).in_list(hidden, true)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_system_table_has_its_rule() {
        let mut names = crate::system::NAMES.to_vec();
        names.retain(|name| *name != "queries");
        assert_eq!(RULES.map(|(name, _)| name).to_vec(), names);
    }
}
