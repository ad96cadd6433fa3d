//! What addresses become.

use datafusion::scalar::ScalarValue;

use super::*;

fn schema() -> Schema {
    Schema::new(vec![
        Field::new("id", DataType::Int64, true),
        Field::new("odd.\"name", DataType::Utf8, true),
        Field::new("tags", DataType::new_list(DataType::Utf8, true), true),
    ])
}

fn question(pairs: &[(&str, &str)], unique: &[&str]) -> Result<Question> {
    let unique: Vec<String> = unique.iter().map(ToString::to_string).collect();
    let pairs = pairs.iter().map(|(name, value)| (name.to_string(), value.to_string()));
    Question::new("enhanced.t".parse()?, &schema(), &unique, &Asked::parse(pairs.collect())?)
}

#[test]
fn an_address_becomes_a_statement_with_parameters() {
    let pairs = [
        ("select", "id"),
        ("order", "\"odd.\"\"name\".desc"),
        ("id", "gt.3"),
        ("filter", "\"odd.\"\"name\".is.null"),
    ];
    let (sql, params) = question(&pairs, &["id"]).unwrap().sql(&State::Version(4), None, 11).unwrap();
    assert_eq!(
        sql,
        "SELECT \"id\", \"odd.\"\"name\" FROM \"enhanced\".\"t\" FOR VERSION AS OF 4 WHERE \"id\" > $1 \
         AND \"odd.\"\"name\" IS NULL ORDER BY \"odd.\"\"name\" DESC NULLS FIRST, \"id\" ASC NULLS LAST LIMIT 11"
    );
    assert_eq!(params, [ScalarValue::from(3i64)]);
}

#[test]
fn a_page_begins_behind_the_last_row_of_the_page_before() {
    let cursor = |keys: [Option<&str>; 2]| Cursor {
        state: State::Now,
        keys: keys.iter().map(|key| key.map(str::to_string)).collect(),
        shown: 2,
        question: String::new(),
    };
    let condition = |pairs: &[(&str, &str)], keys| {
        let (sql, params) = question(pairs, &[]).unwrap().sql(&State::Now, Some(&cursor(keys)), 5).unwrap();
        let from = sql.split(" WHERE ").nth(1).unwrap().split(" ORDER BY ").next().unwrap().to_string();
        assert!(sql.ends_with(" LIMIT 5 OFFSET 2"), "{sql}");
        (from.replace("\"odd.\"\"name\"", "o").replace("\"id\"", "id"), params.len())
    };
    assert_eq!(
        condition(&[], [Some("1"), Some("x")]),
        ("((id > $2 OR id IS NULL) OR (id = $2 AND ((o > $1 OR o IS NULL) OR o = $1)))".to_string(), 2)
    );
    assert_eq!(
        condition(&[("order", "id.desc")], [None, None]),
        ("(id IS NOT NULL OR (id IS NULL AND o IS NULL))".to_string(), 0)
    );
    assert_eq!(
        condition(&[("order", "id.desc.nullslast")], [Some("1"), None]),
        ("((id < $1 OR id IS NULL) OR (id = $1 AND o IS NULL))".to_string(), 1)
    );
}

#[test]
fn wrong_addresses_say_what_is_wrong() {
    for (pairs, message) in [
        (vec![("limit", "0")], "`limit` is 0"),
        (vec![("limit", "x")], "`limit=x` is not a whole number"),
        (vec![("limit", "1"), ("limit", "2")], "`limit` is given twice"),
        (vec![("selct", "id")], "`enhanced.t` has no column `selct`"),
        (vec![("select", "id,,")], "`id,,` is no list of columns"),
        (vec![("order", "tags")], "`tags` has no order"),
        (vec![("order", "id.up")], "`up` is no order"),
        (vec![("tags", "eq.1")], "`tags` cannot be compared"),
        (vec![("id", "eq.x")], "`x` is not a value of type bigint"),
        (vec![("filter", "\"id.eq.1")], "a quote is missing in `\"id.eq.1`"),
    ] {
        let error = question(&pairs, &[]).map(|_| ()).unwrap_err();
        assert_eq!(error.message(), message);
    }
    let error = question(&[("selct", "id")], &[]).map(|_| ()).unwrap_err();
    assert_eq!(error.hint_text(), Some("did you mean `select`?"));
}
