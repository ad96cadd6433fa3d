//! The checks, one file each. A new one is a file here and a line in [`ALL`].

use crate::kind::CheckKind;

mod aggregate;
mod between;
mod columns;
mod dates;
mod distinct;
mod distinct_sets;
mod foreign_key;
mod in_set;
mod json;
mod kl_divergence;
mod lengths;
mod like;
mod most_common;
mod multicolumn;
mod null;
mod order;
mod other_tables;
mod outliers;
mod pairs;
mod quantiles;
mod regex;
mod row_count;
mod sql;
mod types;
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
    regex::MATCH_LIST,
    regex::NO_MATCH_LIST,
    like::LIKE,
    like::NOT_LIKE,
    like::LIKE_LIST,
    like::NOT_LIKE_LIST,
    lengths::BETWEEN,
    lengths::EQUAL,
    types::OF_TYPE,
    types::IN_TYPES,
    dates::STRFTIME,
    dates::PARSEABLE,
    json::PARSEABLE,
    json::SCHEMA,
    order::INCREASING,
    order::DECREASING,
    outliers::Z_SCORE,
    outliers::OUTLIERS,
    pairs::EQUAL,
    pairs::GREATER,
    pairs::IN_SET,
    multicolumn::SUM,
    multicolumn::EQUAL,
    multicolumn::UNIQUE,
    foreign_key::FOREIGN_KEY,
    sql::SQL,
    other_tables::SAME_ROWS,
    row_count::BETWEEN,
    row_count::EQUAL,
    other_tables::ROW_COUNT,
    columns::EXISTS,
    types::COLUMN_TYPE,
    columns::COUNT_BETWEEN,
    columns::COUNT_EQUAL,
    columns::ORDERED_LIST,
    columns::SET,
    aggregate::MIN_VALUE,
    aggregate::MAX_VALUE,
    aggregate::MEAN,
    quantiles::MEDIAN,
    aggregate::SUM,
    aggregate::STDEV,
    quantiles::QUANTILES,
    aggregate::NON_NULL_SHARE,
    distinct::COUNT,
    distinct::SHARE,
    distinct_sets::IN_SET,
    distinct_sets::CONTAIN_SET,
    distinct_sets::EQUAL_SET,
    most_common::MOST_COMMON,
    kl_divergence::KL_DIVERGENCE,
];
