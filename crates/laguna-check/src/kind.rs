//! What a check is made of: its names, its arguments, its documentation, and how it becomes a plan.

use laguna_base::Result;

use crate::arguments::Arguments;
use crate::checks;
use crate::plan::{Binding, Plan};

/// One type of check. Each is one file under `checks` and one line in its list.
pub struct CheckKind {
    /// Great Expectations' name of the type, where it has one.
    pub name: &'static str,
    /// The short name; it means the same.
    pub short: &'static str,
    /// Further names that mean the same, such as dbt's.
    pub aliases: &'static [&'static str],
    /// Where it may stand.
    pub scope: Scope,
    /// The argument that a bare value or list stands for: `{accepted_values: [AA]}`.
    pub main: Option<&'static str>,
    /// Its arguments besides `mostly`.
    pub arguments: &'static [Argument],
    /// Whether `mostly` (the share of rows that must pass, 0 to 1) is accepted.
    pub mostly: bool,
    /// Whether `row_condition` (which rows are looked at) is accepted.
    pub condition: bool,
    /// What becomes of missing values, in one sentence; empty where none is looked at.
    pub nulls: &'static str,
    /// What must be true, in one sentence.
    pub doc: &'static str,
    /// An entry for `checks:` of a table, as YAML flow text that is JSON too.
    pub example: &'static str,
    /// Refuses arguments that can never work, before any schema is known.
    pub(crate) validate: fn(&Arguments) -> Result<()>,
    /// Compiles it against a schema.
    pub(crate) plan: fn(&Arguments, &Binding) -> Result<Plan>,
}

/// Where a check may stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Under a column, or under the table with `column`.
    Column,
    /// Under the table only.
    Table,
    /// Under the table with several columns, or under a column, which is then the only one.
    Columns,
}

/// An argument of a check.
#[derive(Debug, Clone, Copy)]
pub struct Argument {
    /// Its name.
    pub name: &'static str,
    /// Further names that mean the same.
    pub aliases: &'static [&'static str],
    /// What values it takes.
    pub form: Form,
    /// Whether it must be given.
    pub required: bool,
    /// What stands for it when it is left out, as JSON; empty when there is nothing.
    pub default: &'static str,
    /// What it means, in one sentence.
    pub doc: &'static str,
}

/// The values an argument takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// The name of a column.
    Column,
    /// A list of column names, or one.
    Columns,
    /// A number, or a text that is one.
    Number,
    /// A whole number, or a text that is one.
    Integer,
    /// A number, a date, a timestamp or a text.
    Bound,
    /// True or false.
    Flag,
    /// A text.
    Text,
    /// A list of texts.
    Texts,
    /// A list of values of any type.
    Values,
    /// A list of pairs of values.
    Pairs,
    /// A map, whose form the check itself knows.
    Object,
    /// A map, true or false, or a map as text: a JSON Schema.
    Schema,
    /// True, false, or one of the words that a check knows.
    Word,
    /// The name of a table: `tier.table`, or a bare name.
    OtherTable,
    /// `tier.table`.
    Table,
}

/// All checks, in the order of the documentation.
pub fn all() -> &'static [CheckKind] {
    checks::ALL
}

impl CheckKind {
    /// Every name under which it can be written.
    pub fn names(&self) -> impl Iterator<Item = &'static str> + '_ {
        [self.name, self.short].into_iter().chain(self.aliases.iter().copied())
    }

    pub(crate) fn find(name: &str) -> Option<&'static CheckKind> {
        all().iter().find(|kind| kind.names().any(|known| known == name))
    }
}

/// An argument that must be given.
pub(crate) const fn required(name: &'static str, form: Form, doc: &'static str) -> Argument {
    Argument { name, aliases: &[], form, required: true, default: "", doc }
}

/// An argument that may be left out.
pub(crate) const fn optional(name: &'static str, form: Form, doc: &'static str) -> Argument {
    Argument { name, aliases: &[], form, required: false, default: "", doc }
}

impl Argument {
    pub(crate) const fn or(mut self, aliases: &'static [&'static str]) -> Argument {
        self.aliases = aliases;
        self
    }

    pub(crate) const fn by_default(mut self, default: &'static str) -> Argument {
        self.default = default;
        self
    }
}

pub(crate) const COLUMN: Argument = required("column", Form::Column, "the column that is looked at");
pub(crate) const MIN: Argument =
    optional("min_value", Form::Bound, "the smallest value that passes: a number or an ISO date")
        .or(&["min"]);
pub(crate) const MAX: Argument =
    optional("max_value", Form::Bound, "the largest value that passes: a number or an ISO date").or(&["max"]);
pub(crate) const LEAST: Argument =
    optional("min_value", Form::Number, "the smallest number that passes").or(&["min"]);
pub(crate) const MOST: Argument =
    optional("max_value", Form::Number, "the largest number that passes").or(&["max"]);
pub(crate) const STRICT_MIN: Argument =
    optional("strict_min", Form::Flag, "whether `min_value` itself fails").by_default("false");
pub(crate) const STRICT_MAX: Argument =
    optional("strict_max", Form::Flag, "whether `max_value` itself fails").by_default("false");

/// For kinds whose arguments need no further look.
pub(crate) fn anything(_: &Arguments) -> Result<()> {
    Ok(())
}

/// A check of the values of one column, to be filled in.
pub(crate) const VALUES: CheckKind = CheckKind {
    name: "",
    short: "",
    aliases: &[],
    scope: Scope::Column,
    main: None,
    arguments: &[COLUMN],
    mostly: true,
    condition: true,
    nulls: "Rows where the value is missing (null or NaN) are taken out first.",
    doc: "",
    example: "",
    validate: anything,
    plan: |_, _| Err(laguna_base::Error::internal("a check without a plan")),
};

/// A check of one number about a column, to be filled in.
pub(crate) const AGGREGATE: CheckKind =
    CheckKind { mostly: false, nulls: "Missing values (null or NaN) are left out.", ..VALUES };

/// A check of the table as a whole, to be filled in.
pub(crate) const TABLE: CheckKind =
    CheckKind { scope: Scope::Table, arguments: &[], mostly: false, condition: false, nulls: "", ..VALUES };
