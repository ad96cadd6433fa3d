//! What the rewrite of time travel changes, and that it changes nothing else.

use proptest::prelude::*;

use super::*;

/// Blanks are only there to keep columns in place.
fn squeezed(sql: &str) -> String {
    rewrite(sql).unwrap().split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn phrases_become_pinned_names() {
    for (sql, expected) in [
        ("SELECT * FROM raw.f FOR VERSION AS OF 3", r#"SELECT * FROM raw."f@v=3" AS "f""#),
        ("SELECT * FROM raw.f FOR VERSION AS OF 3 AS x", r#"SELECT * FROM raw."f@v=3" AS x"#),
        ("SELECT * FROM raw.f FOR VERSION AS OF 3 x", r#"SELECT * FROM raw."f@v=3" x"#),
        ("SELECT * FROM raw.f x FOR VERSION AS OF 3", r#"SELECT * FROM raw."f@v=3" x"#),
        ("SELECT * FROM raw.f AS x for version as of 3;", r#"SELECT * FROM raw."f@v=3" AS x ;"#),
        ("SELECT * FROM raw.f VERSION AS OF 3", r#"SELECT * FROM raw."f@v=3" AS "f""#),
        (
            "SELECT * FROM RAW.F FOR TIMESTAMP AS OF '1970-01-01T00:00:01Z' WHERE a",
            r#"SELECT * FROM RAW."f@t=1000000" AS "f" WHERE a"#,
        ),
        (
            "SELECT * FROM laguna.raw.f FOR SYSTEM_TIME AS OF TIMESTAMP '1970-01-02'",
            r#"SELECT * FROM laguna.raw."f@t=86400000000" AS "f""#,
        ),
        (
            "WITH a AS (SELECT * FROM raw.f FOR VERSION AS OF 1) SELECT * FROM a JOIN raw.\"f\" FOR VERSION AS OF 2 ON true",
            r#"WITH a AS (SELECT * FROM raw."f@v=1" AS "f" ) SELECT * FROM a JOIN raw."f@v=2" AS "f" ON true"#,
        ),
        (
            "SELECT * FROM raw.f /* é */ FOR -- x\n VERSION AS OF 3",
            r#"SELECT * FROM raw."f@v=3" AS "f" /* é */"#,
        ),
    ] {
        assert_eq!(squeezed(sql), expected, "{sql}");
    }
}

#[test]
fn places_after_a_phrase_stay_where_they_were() {
    let sql = "SELECT *\nFROM raw.flights FOR TIMESTAMP AS OF '2026-11-22T06:00:00Z' WHERE x\nAND y";
    let rewritten = rewrite(sql).unwrap();
    assert_eq!(rewritten.lines().count(), 3);
    let column = |text: &str| text.lines().nth(1).unwrap().find("WHERE").unwrap();
    assert_eq!(column(&rewritten), column(sql));
}

#[test]
fn dates_are_read_in_the_zone_of_the_project() {
    let zone: Tz = "America/New_York".parse().unwrap();
    let rewritten = rewrite_in("SELECT * FROM raw.f FOR TIMESTAMP AS OF '1970-01-01'", zone).unwrap();
    assert!(rewritten.contains("f@t=18000000000"), "{rewritten}");
}

#[test]
fn wrong_phrases_are_refused_with_their_place() {
    for (sql, line, column) in [
        ("SELECT * FROM raw.f FOR VERSION AS OF 'x'", 1, 39),
        ("SELECT * FROM raw.f\nFOR TIMESTAMP AS OF now()", 2, 21),
        ("SELECT * FROM raw.f FOR TIMESTAMP AS OF 'yesterday'", 1, 41),
        ("SELECT * FROM f FOR VERSION AS OF 3", 1, 17),
        ("SELECT * FROM (SELECT 1) FOR VERSION AS OF 3", 1, 26),
        ("SELECT * FROM raw.f FOR VERSION AS OF", 1, 36),
    ] {
        let error = rewrite(sql).unwrap_err();
        let place = error.location().unwrap();
        assert_eq!((place.line, place.column), (line, column), "{sql}: {error}");
        assert!(error.hint_text().is_some());
    }
}

#[test]
fn text_without_the_phrase_is_untouched() {
    for sql in [
        "SELECT 'raw.f FOR VERSION AS OF 3'",
        "SELECT 1 -- raw.f FOR VERSION AS OF 3\n",
        "SELECT 1 /* raw.f FOR TIMESTAMP AS OF '2020-01-01' */",
        "SELECT version AS of FROM raw.f",
        "SELECT $$ raw.f FOR VERSION AS OF 3 $$",
        "SELECT \"raw.f FOR VERSION AS OF 3\"",
        "SELECT 'unterminated FOR VERSION AS OF",
    ] {
        assert_eq!(rewrite(sql).unwrap(), sql);
    }
}

#[test]
fn pins_come_back_from_names() {
    for pin in [Pin::Version(7), Pin::Timestamp(Instant::from_micros(-5))] {
        let name = pinned_name("flights", pin);
        assert_eq!(split_pin(&name), Some(("flights", pin)));
        assert_eq!(base_name(&name), "flights");
    }
    assert_eq!(base_name("flights"), "flights");
    assert_eq!(base_name("a@b"), "a@b");
}

proptest! {
    #[test]
    fn any_text_survives(parts in prop::collection::vec(prop_oneof![
        Just(" ".to_string()), Just("\n".to_string()), Just("version as of".to_string()), Just("'".to_string()),
        Just("--".to_string()), Just("/*".to_string()), Just("*/".to_string()), Just("\"".to_string()),
        Just("FOR TIMESTAMP AS OF".to_string()), Just("raw.f".to_string()), Just("é\u{1F600}".to_string()),
        Just("\r\n".to_string()), Just("3".to_string()), "[a-z;(),.=]{0,6}",
    ], 0..12)) {
        let sql = parts.concat();
        // It may refuse, but never panics, and is idempotent.
        if let Ok(once) = rewrite(&sql) {
            prop_assert_eq!(rewrite(&once).unwrap_or_else(|_| once.clone()), once);
        }
    }

    #[test]
    fn what_surrounds_a_phrase_is_kept(before in "[a-z0-9 é\n]{0,20}", text in "[^'\\\\]{0,20}", version in 0u64..1000) {
        let comment = text.replace("*/", "").replace("/*", "").replace('*', "");
        let sql = format!("SELECT '{text}' /* {comment} */ FROM raw.{} FOR VERSION AS OF {version} x -- {}", "t", before.replace('\n', ""));
        let rewritten = rewrite(&sql).unwrap();
        let (head, tail) = (format!("SELECT '{text}' /* {comment} */ FROM raw."), format!(" x -- {}", before.replace('\n', "")));
        prop_assert!(rewritten.starts_with(&head));
        prop_assert!(rewritten.ends_with(&tail));
        prop_assert_eq!(rewritten[head.len()..rewritten.len() - tail.len()].trim_end(), format!("\"t@v={version}\""));
    }
}
