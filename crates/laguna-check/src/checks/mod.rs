//! The checks, one file each. A new one is a file here and a line in [`ALL`].

use crate::kind::CheckKind;

mod aggregate;
mod between;
mod columns;
mod distinct;
mod foreign_key;
mod in_set;
mod lengths;
mod null;
mod regex;
mod row_count;
mod sql;
mod unique;

/// Every check, in the order of the documentation.
pub(crate) static ALL: &[CheckKind] = &[
    null::NOT_NULL,
    null::NULL,
    unique::UNIQUE,
    unique::COMPOUND,
    in_set::IN_SET,
    in_set::NOT_IN_SET,
    between::BETWEEN,
    regex::MATCH,
    regex::NO_MATCH,
    lengths::BETWEEN,
    lengths::EQUAL,
    foreign_key::FOREIGN_KEY,
    sql::SQL,
    row_count::BETWEEN,
    row_count::EQUAL,
    columns::EXISTS,
    columns::COUNT_BETWEEN,
    columns::COUNT_EQUAL,
    columns::ORDERED_LIST,
    columns::SET,
    aggregate::MIN_VALUE,
    aggregate::MAX_VALUE,
    aggregate::MEAN,
    aggregate::SUM,
    aggregate::STDEV,
    aggregate::NON_NULL_SHARE,
    distinct::COUNT,
    distinct::SHARE,
];
