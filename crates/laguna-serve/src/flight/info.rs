//! What the server is and can: GetSqlInfo and GetXdbcTypeInfo, as FlightSql.proto numbers their answers.

use std::collections::{BTreeMap, BTreeSet};

use arrow_flight::sql::metadata::{
    SqlInfoData, SqlInfoDataBuilder, XdbcTypeInfo, XdbcTypeInfoData, XdbcTypeInfoDataBuilder,
};
use arrow_flight::sql::{
    self, Nullable, Searchable, SqlInfo, SqlSupportedCaseSensitivity, SqlSupportedResultSetConcurrency,
    SqlSupportedResultSetType, SqlSupportedTransaction, SqlSupportsConvert, SqlTransactionIsolationLevel,
    SupportedSqlGrammar, XdbcDataType, XdbcDatetimeSubcode,
};
use datafusion::execution::context::SessionState;
use datafusion::sql::sqlparser::keywords::{RESERVED_FOR_COLUMN_ALIAS, RESERVED_FOR_TABLE_ALIAS};
use laguna_base::{Error, Result};

use super::sql::IDLE;

/// Everything about the server. `state` knows the functions.
pub(super) fn sql_info(state: &SessionState) -> Result<SqlInfoData> {
    use SqlInfo::*;
    let mut info = SqlInfoDataBuilder::new();
    info.append(FlightSqlServerName, "Laguna");
    info.append(FlightSqlServerVersion, env!("CARGO_PKG_VERSION"));
    info.append(FlightSqlServerArrowVersion, arrow::ARROW_VERSION);
    let idle = i32::try_from(IDLE.as_millis()).unwrap_or(i32::MAX);
    for (name, value) in [
        (FlightSqlServerTransaction, SqlSupportedTransaction::Transaction as i32),
        (FlightSqlServerStatementTimeout, idle),
        (FlightSqlServerTransactionTimeout, idle),
        (SqlIdentifierCase, SqlSupportedCaseSensitivity::SqlCaseSensitivityLowercase as i32),
        (SqlQuotedIdentifierCase, SqlSupportedCaseSensitivity::SqlCaseSensitivityCaseInsensitive as i32),
        (SqlInfo::SqlNullOrdering, sql::SqlNullOrdering::SqlNullsSortedHigh as i32),
        (
            SqlInfo::SqlSupportedGroupBy,
            bits(&[
                sql::SqlSupportedGroupBy::SqlGroupByUnrelated as i32,
                sql::SqlSupportedGroupBy::SqlGroupByBeyondSelect as i32,
            ]),
        ),
        (
            SqlSupportedGrammar,
            bits(&[
                SupportedSqlGrammar::SqlMinimumGrammar as i32,
                SupportedSqlGrammar::SqlCoreGrammar as i32,
            ]),
        ),
        (SqlAnsi92SupportedLevel, bits(&[0])),
        (SqlInfo::SqlOuterJoinsSupportLevel, sql::SqlOuterJoinsSupportLevel::SqlFullOuterJoins as i32),
        (SqlSchemasSupportedActions, 0),
        (SqlCatalogsSupportedActions, 0),
        (SqlSupportedPositionedCommands, 0),
        (
            SqlInfo::SqlSupportedSubqueries,
            bits(&[
                sql::SqlSupportedSubqueries::SqlSubqueriesInComparisons as i32,
                sql::SqlSupportedSubqueries::SqlSubqueriesInExists as i32,
                sql::SqlSupportedSubqueries::SqlSubqueriesInIns as i32,
            ]),
        ),
        (
            SqlInfo::SqlSupportedUnions,
            bits(&[sql::SqlSupportedUnions::SqlUnion as i32, sql::SqlSupportedUnions::SqlUnionAll as i32]),
        ),
        (
            SqlSupportedTransactionsIsolationLevels,
            bits(&[SqlTransactionIsolationLevel::SqlTransactionRepeatableRead as i32]),
        ),
        (SqlSupportedResultSetTypes, bits(&[SqlSupportedResultSetType::SqlResultSetTypeForwardOnly as i32])),
        (
            SqlSupportedConcurrenciesForResultSetUnspecified,
            bits(&[SqlSupportedResultSetConcurrency::SqlResultSetConcurrencyReadOnly as i32]),
        ),
        (
            SqlSupportedConcurrenciesForResultSetForwardOnly,
            bits(&[SqlSupportedResultSetConcurrency::SqlResultSetConcurrencyReadOnly as i32]),
        ),
        (SqlSupportedConcurrenciesForResultSetScrollSensitive, 0),
        (SqlSupportedConcurrenciesForResultSetScrollInsensitive, 0),
    ] {
        info.append(name, value);
    }
    for name in [
        FlightSqlServerReadOnly,
        FlightSqlServerSql,
        FlightSqlServerCancel,
        SqlAllTablesAreSelectable,
        SqlSupportsColumnAliasing,
        SqlNullPlusNullIsNull,
        SqlSupportsTableCorrelationNames,
        SqlSupportsExpressionsInOrderBy,
        SqlSupportsOrderByUnrelated,
        SqlSupportsLikeEscapeClause,
        SqlSupportsNonNullableColumns,
        SqlCatalogAtStart,
        SqlCorrelatedSubqueriesSupported,
        SqlTransactionsSupported,
    ] {
        info.append(name, true);
    }
    for name in [
        FlightSqlServerSubstrait,
        FlightSqlServerBulkIngestion,
        FlightSqlServerIngestTransactionsSupported,
        SqlDdlCatalog,
        SqlDdlSchema,
        SqlDdlTable,
        SqlSupportsDifferentTableCorrelationNames,
        SqlSupportsIntegrityEnhancementFacility,
        SqlSelectForUpdateSupported,
        SqlStoredProceduresSupported,
        SqlMaxRowSizeIncludesBlobs,
        SqlDataDefinitionCausesTransactionCommit,
        SqlDataDefinitionsInTransactionsIgnored,
        SqlBatchUpdatesSupported,
        SqlSavepointsSupported,
        SqlNamedParametersSupported,
        SqlLocatorsUpdateCopy,
        SqlStoredFunctionsUsingCallSyntaxSupported,
    ] {
        info.append(name, false);
    }
    // Zero says that no limit is known.
    for name in [
        SqlMaxBinaryLiteralLength,
        SqlMaxCharLiteralLength,
        SqlMaxColumnNameLength,
        SqlMaxColumnsInGroupBy,
        SqlMaxColumnsInIndex,
        SqlMaxColumnsInOrderBy,
        SqlMaxColumnsInSelect,
        SqlMaxColumnsInTable,
        SqlMaxConnections,
        SqlMaxCursorNameLength,
        SqlMaxIndexLength,
        SqlDbSchemaNameLength,
        SqlMaxProcedureNameLength,
        SqlMaxCatalogNameLength,
        SqlMaxRowSize,
        SqlMaxStatementLength,
        SqlMaxStatements,
        SqlMaxTableNameLength,
        SqlMaxTablesInSelect,
        SqlMaxUsernameLength,
    ] {
        info.append(name, 0_i64);
    }
    for (name, text) in [
        (SqlIdentifierQuoteChar, "\""),
        (SqlSearchStringEscape, "\\"),
        (SqlExtraNameCharacters, ""),
        (SqlSchemaTerm, "schema"),
        (SqlProcedureTerm, "procedure"),
        (SqlCatalogTerm, "catalog"),
    ] {
        info.append(name, text);
    }
    // The protocol's text says 32 bits, Arrow's JDBC driver and server have 64.
    let repeatable = SqlTransactionIsolationLevel::SqlTransactionRepeatableRead as i64;
    info.append(SqlDefaultTransactionIsolation, repeatable);
    info.append(SqlKeywords, keywords());
    for (name, sections) in [
        (SqlNumericFunctions, &["Math Functions"][..]),
        (
            SqlStringFunctions,
            &["String Functions", "Regular Expression Functions", "Binary String Functions"],
        ),
        (SqlDatetimeFunctions, &["Time and Date Functions"]),
        (SqlSystemFunctions, &["Conditional Functions", "Hashing Functions", "Other Functions"]),
    ] {
        info.append(name, functions(state, sections));
    }
    info.append(SqlInfo::SqlSupportsConvert, conversions());
    info.build().map_err(broken)
}

fn broken(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::internal("the server cannot be described").caused_by(error)
}

/// A set of small numbers.
fn bits(numbers: &[i32]) -> i32 {
    numbers.iter().fold(0, |set, number| set | 1 << number)
}

/// Words that need quotes where they are names.
fn keywords() -> Vec<String> {
    let all = RESERVED_FOR_COLUMN_ALIAS.iter().chain(RESERVED_FOR_TABLE_ALIAS);
    let words: BTreeSet<String> = all.map(|keyword| format!("{keyword:?}")).collect();
    words.into_iter().collect()
}

/// Functions that the engine's manual has in one of `sections`.
fn functions(state: &SessionState, sections: &[&str]) -> Vec<String> {
    let known = state.scalar_functions().iter().filter(|(_, function)| {
        function.documentation().is_some_and(|manual| sections.contains(&manual.doc_section.label))
    });
    let names: BTreeSet<String> = known.map(|(name, _)| name.clone()).collect();
    names.into_iter().collect()
}

/// What CAST turns into what.
fn conversions() -> BTreeMap<i32, Vec<i32>> {
    use SqlSupportsConvert::*;
    let numbers = [
        SqlConvertBigint,
        SqlConvertDecimal,
        SqlConvertFloat,
        SqlConvertInteger,
        SqlConvertNumeric,
        SqlConvertReal,
        SqlConvertSmallint,
        SqlConvertTinyint,
    ];
    let times = [SqlConvertDate, SqlConvertTimestamp];
    let texts = [SqlConvertChar, SqlConvertVarchar, SqlConvertLongvarchar];
    let of = |groups: &[&[SqlSupportsConvert]]| -> Vec<i32> {
        groups.iter().flat_map(|group| group.iter().map(|kind| *kind as i32)).collect()
    };
    let (bit, time) = ([SqlConvertBit], [SqlConvertTime]);
    let mut all = BTreeMap::new();
    numbers.iter().for_each(|kind| drop(all.insert(*kind as i32, of(&[&numbers, &texts, &bit]))));
    times.iter().for_each(|kind| drop(all.insert(*kind as i32, of(&[&times, &texts]))));
    texts
        .iter()
        .for_each(|kind| drop(all.insert(*kind as i32, of(&[&numbers, &texts, &times, &bit, &time]))));
    all.insert(SqlConvertBit as i32, of(&[&bit, &texts, &[SqlConvertInteger]]));
    all.insert(SqlConvertTime as i32, of(&[&time, &texts]));
    all
}

/// The types of SQL, as ODBC and JDBC describe types.
pub(super) fn types() -> Result<XdbcTypeInfoData> {
    use XdbcDataType::*;
    let mut types = XdbcTypeInfoDataBuilder::new();
    // Name, type, digits or characters, fractions of a second or digits behind the point, radix.
    for (name, data_type, size, scale, radix) in [
        ("boolean", XdbcBit, 1, None, None),
        ("smallint", XdbcSmallint, 5, None, Some(10)),
        ("integer", XdbcInteger, 10, None, Some(10)),
        ("bigint", XdbcBigint, 19, None, Some(10)),
        ("real", XdbcReal, 24, None, Some(2)),
        ("double precision", XdbcDouble, 53, None, Some(2)),
        ("decimal", XdbcDecimal, 38, Some(38), Some(10)),
    ] {
        types.append(XdbcTypeInfo {
            type_name: name.to_string(),
            data_type,
            column_size: Some(size),
            create_params: (data_type == XdbcDecimal)
                .then(|| vec!["precision".to_string(), "scale".to_string()]),
            searchable: Searchable::Basic,
            unsigned_attribute: radix.map(|_| false),
            auto_increment: radix.map(|_| false),
            minimum_scale: scale.map(|_| 0),
            maximum_scale: scale,
            num_prec_radix: radix,
            ..common(name, data_type)
        });
    }
    for (name, data_type, size, scale, subcode) in [
        ("date", XdbcDate, 10, None, Some(XdbcDatetimeSubcode::XdbcSubcodeYear)),
        ("time", XdbcTime, 15, Some(6), Some(XdbcDatetimeSubcode::XdbcSubcodeTime)),
        ("timestamp", XdbcTimestamp, 26, Some(6), Some(XdbcDatetimeSubcode::XdbcSubcodeTimestamp)),
        (
            "timestamp with time zone",
            XdbcTimestamp,
            32,
            Some(6),
            Some(XdbcDatetimeSubcode::XdbcSubcodeTimestampWithTimezone),
        ),
        ("interval", XdbcInterval, 64, None, None),
    ] {
        types.append(XdbcTypeInfo {
            column_size: Some(size),
            literal_prefix: Some(format!("{} '", name.split(' ').next().unwrap_or(name))),
            literal_suffix: Some("'".to_string()),
            searchable: Searchable::Basic,
            minimum_scale: scale.map(|_| 0),
            maximum_scale: scale,
            sql_data_type: if subcode.is_some() { XdbcDatetime } else { data_type },
            datetime_subcode: subcode,
            ..common(name, data_type)
        });
    }
    for (name, data_type, prefix) in [("text", XdbcVarchar, "'"), ("bytea", XdbcVarbinary, "X'")] {
        types.append(XdbcTypeInfo {
            column_size: Some(i32::MAX),
            literal_prefix: Some(prefix.to_string()),
            literal_suffix: Some("'".to_string()),
            case_sensitive: data_type == XdbcVarchar,
            searchable: if data_type == XdbcVarchar { Searchable::Full } else { Searchable::Basic },
            ..common(name, data_type)
        });
    }
    types.build().map_err(broken)
}

fn common(name: &str, data_type: XdbcDataType) -> XdbcTypeInfo {
    XdbcTypeInfo {
        type_name: name.to_string(),
        local_type_name: Some(name.to_string()),
        data_type,
        sql_data_type: data_type,
        nullable: Nullable::NullabilityNullable,
        ..XdbcTypeInfo::default()
    }
}
