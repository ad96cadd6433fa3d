//! Names, shorthands, and errors that say where and what instead.

use arrow::datatypes::{DataType, Field, Schema};
use laguna_check::{CheckSpec, Severity, Suite, all};
use std::sync::Arc;

use crate::support::specs;

#[test]
fn short_and_long_names_mean_the_same() {
    let all = specs(
        "columns:\n  carrier: {checks: [not_null, {accepted_values: [AA, B6]}, {regex: '^[A-Z]'}]}\nchecks:\n\
         - unique: [carrier, day]\n- unique: day\n- not_null: [a, b]\n- between: [0, 1]\n  severity: warning\n",
    );
    let error = all.unwrap_err();
    assert_eq!(error.message(), "`between` lacks `column`");
    assert_eq!(error.location().unwrap().line, 7);
    let all = specs(
        "columns:\n  carrier: {checks: [not_null, {accepted_values: [AA, B6]}]}\nchecks:\n- unique: [carrier, day]\n\
         - unique: day\n- not_null: [a, b]\n- {between: {column: delay, min: 0}, severity: warning, mostly: 0.9}\n\
         - {relationships: {column: carrier, to: sanitized.airlines, field: code}}\n\
         - {sql: 'SELECT * FROM this JOIN raw.x USING (a) WHERE b > 0;', name: joined}\n",
    )
    .unwrap();
    let names: Vec<String> = all.iter().map(|spec| format!("{} {}", spec.name(), spec.label())).collect();
    assert_eq!(
        names,
        [
            "expect_column_values_to_not_be_null not_null(carrier)",
            "expect_column_values_to_be_in_set accepted_values(carrier)",
            "expect_compound_columns_to_be_unique unique_combination(carrier, day)",
            "expect_column_values_to_be_unique unique(day)",
            "expect_column_values_to_not_be_null not_null(a)",
            "expect_column_values_to_not_be_null not_null(b)",
            "expect_column_values_to_be_between between(delay)",
            "foreign_key foreign_key(carrier)",
            "unexpected_rows_expectation joined",
        ]
    );
    assert_eq!(all[6].severity(), Severity::Warning);
    assert_eq!(all[7].references()[0].to_string(), "sanitized.airlines");
    assert_eq!(all[8].references()[0].to_string(), "raw.x");
}

#[test]
fn wrong_entries_say_what_and_where() {
    let cases = [
        ("- not_nul: a", "there is no check `not_nul`", "did you mean `not_null`?"),
        (
            "- {between: {column: a, min_valu: 0}}",
            "`between` has no argument `min_valu`",
            "did you mean `min_value`?",
        ),
        ("- {between: {column: a}}", "neither `min_value` nor `max_value` is given", ""),
        (
            "- {between: {column: a, min_value: 3, max_value: 2}}",
            "`min_value` is larger than `max_value`",
            "",
        ),
        ("- {not_null: a, severty: warning}", "unknown key `severty`", "did you mean `severity`?"),
        ("- {not_null: a, severity: warnin}", "`warnin` is not a severity", "did you mean `warning`?"),
        ("- {not_null: a, mostly: 2}", "`mostly` must be a number from 0 to 1, not 2", ""),
        (
            "- {row_count: {min_value: quack}}",
            "`min_value` of `row_count` must be a whole number, not the text `quack`",
            "",
        ),
        (
            "- {regex: {column: a, regex: '(x'}}",
            "`(x` is not a regular expression that can be used",
            "unterminated",
        ),
        (
            "- {between: {column: a, min_value: quack}}",
            "`min_value` of `between` must be a number or an ISO date such as 2024-01-31T12:00:00, not the text `quack`",
            "",
        ),
        (
            "- {not_null: {column: a, row_condition: 'b >'}}",
            "the row condition `b >` is not understood: expected a value",
            "comparisons",
        ),
        (
            "- {not_null: {column: a, row_condition: 'col(\"b\") > 1 and c', condition_parser: great_expectations}}",
            "the row condition `col(\"b\") > 1 and c` is not understood: expected its end",
            "",
        ),
        (
            "- {not_null: {column: a, row_condition: b, condition_parser: pandsa}}",
            "`pandsa` is not valid for `condition_parser`",
            "did you mean `pandas`?",
        ),
        (
            "- {min: {column: a, min_value: {$PARAMETER: low}}}",
            "no value is given for the parameter `low`",
            "",
        ),
        (
            "- {row_count: {row_condition: {type: comparison, column: {name: a}, operator: '==', parameter: null}}}",
            "a row condition cannot compare with null",
            "nullity",
        ),
        ("- {sql: 'DELETE FROM this'}", "the SQL of a check must be a SELECT", ""),
        (
            "- {sql: 'SELECT * FRM this'}",
            "the SQL of the check cannot be parsed: Expected: end of statement, found: this at Line: 1, Column: 14",
            "",
        ),
        ("- {sql: 'SELECT * FROM gold.x'}", "`gold` is not a tier", "raw"),
        (
            "- {foreign_key: {columns: [a, b], to: raw.x, fields: [a]}}",
            "`foreign_key` compares 2 columns with 1 fields",
            "",
        ),
        (
            "- {foreign_key: {column: a, to: airlines}}",
            "`to` of `foreign_key` must be a table such as sanitized.airlines: `airlines` lacks its tier",
            "",
        ),
    ];
    for (entry, message, hint) in cases {
        let error = specs(&format!("checks:\n{entry}\n")).unwrap_err();
        assert_eq!(error.message(), message, "{entry}");
        assert!(error.hint_text().unwrap_or_default().contains(hint), "{entry}: {:?}", error.hint_text());
        assert_eq!(error.location().unwrap().line, 2, "{entry}");
    }
    let several = specs("columns: {a: {checks: [{not_null: b}, row_count]}}\nchecks: [x_y_z]\n").unwrap_err();
    assert_eq!(several.others().len(), 2);
}

#[test]
fn every_kind_has_unique_names_and_an_example_that_parses() {
    let mut seen = std::collections::HashSet::new();
    for kind in all() {
        let names: std::collections::BTreeSet<&str> = kind.names().collect();
        for name in names {
            assert!(seen.insert(name), "{name} twice");
        }
        let found = specs(&format!("checks:\n- {}\n", kind.example))
            .unwrap_or_else(|e| panic!("{}: {e:?}", kind.short));
        assert_eq!(found.len(), 1);
        assert!(kind.doc.ends_with('.'), "{}", kind.short);
    }
    let schema = laguna_check::json_schema();
    assert!(schema["oneOf"].as_array().unwrap().len() > all().len());
}

#[test]
fn columns_and_types_that_do_not_fit_are_errors_at_their_place() {
    let schema = Arc::new(Schema::new(vec![
        Field::new("carrier", DataType::Utf8, true),
        Field::new("delay", DataType::Int32, true),
    ]));
    let compile = |text: &str| Suite::compile(&specs(text).unwrap(), &schema).err().unwrap();
    let error = compile("checks:\n- not_null: carier\n");
    assert_eq!(error.to_string(), "enhanced/t.yml:2:3: there is no column `carier`");
    assert_eq!(error.hint_text(), Some("did you mean `carrier`?"));
    let error = compile("checks:\n- {between: {column: carrier, min_value: 0}}\n");
    assert!(error.message().contains("cannot be compared with the bound 0"), "{error}");
    let error = compile("checks:\n- {sql: 'SELECT * FROM this WHERE dely > 0'}\n");
    assert_eq!(
        (error.message(), error.hint_text()),
        ("there is no column `dely`", Some("did you mean `delay`?"))
    );
    assert!(CheckSpec::new("nonsense", &serde_json::json!({})).is_err());
}
