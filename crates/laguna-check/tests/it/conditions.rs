//! Which rows a condition keeps: every form, and what becomes of nulls and NaN, as in pandas.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray};
use laguna_check::{CheckSpec, Suite};
use serde_json::{Value, json};

use crate::support::run_suite;

fn rows() -> RecordBatch {
    let n: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), Some(2), None, Some(4)]));
    let x: ArrayRef = Arc::new(Float64Array::from(vec![Some(0.5), Some(f64::NAN), None, Some(-1.0)]));
    let s: ArrayRef = Arc::new(StringArray::from(vec![Some("a"), Some("it's"), None, Some("é")]));
    let b: ArrayRef = Arc::new(BooleanArray::from(vec![Some(true), Some(false), None, Some(true)]));
    let w: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), Some(1), Some(1), Some(5)]));
    RecordBatch::try_from_iter_with_nullable(
        [("n", n), ("x", x), ("s", s), ("b", b), ("two words", w)].map(|(name, array)| (name, array, true)),
    )
    .unwrap()
}

async fn kept(kwargs: Value) -> Result<u64, String> {
    let rows = rows();
    let told = |error: laguna_base::Error| error.message().to_string();
    let spec = CheckSpec::new("expect_table_row_count_to_be_between", &kwargs).map_err(told)?;
    let suite = Suite::compile(&[spec], &rows.schema()).map_err(told)?;
    let verdicts = run_suite(&suite, &rows.schema(), &[rows], &[]).await.map_err(told)?;
    Ok(verdicts[0].element_count)
}

#[tokio::test]
async fn texts_for_pandas() {
    let cases = [
        ("n > 1", 2),
        ("n != 1", 3),
        ("x < 1", 2),
        ("x != 0.5", 3),
        ("s == \"it's\"", 1),
        ("s in ['a', 'é']", 2),
        ("s not in ['a', 'é']", 2),
        ("n == [1, 4]", 2),
        ("not n > 1", 2),
        ("~(n > 1) & b", 1),
        ("b", 2),
        ("b == False", 1),
        ("1 < n <= 4", 2),
        ("n.isnull() or x.isna()", 2),
        ("x.notnull()", 2),
        ("`two words` == n", 1),
        ("n * 2 - 1 >= 3", 2),
        ("n / 4 == 0.25", 1),
        ("-n < -1", 2),
        ("n == None", 0),
        ("n != None", 4),
        ("n == 'a'", 0),
        ("s != 3", 4),
        ("(n == 1) | (s == 'é') and b", 2),
        ("n == 1 or n == 2 and n == 3", 1),
    ];
    for (text, expected) in cases {
        for parser in [Value::Null, json!("pandas")] {
            let found = kept(json!({"row_condition": text, "condition_parser": parser})).await;
            assert_eq!(found, Ok(expected), "{text}");
        }
        let object = json!({"type": "pass_through", "pass_through_filter": text});
        assert_eq!(kept(json!({"row_condition": object})).await, Ok(expected), "{text}");
    }
    for text in [
        "n >",
        "n > 'a'",
        "s > 1",
        "nn > 1",
        "n @ 1",
        "n > @limit",
        "s.str.len() > 1",
        "n",
        "1",
        "n > 1 n < 2",
        "(n > 1",
        "'a",
        "`n",
        "n and",
        "index > 1",
        "n in 3",
        "n ** 2 > 1",
        "abs(n) > 1",
        "n = 1",
        "lambda: n",
    ] {
        assert!(kept(json!({"row_condition": text})).await.is_err(), "{text}");
    }
    assert!(kept(json!({"row_condition": "(".repeat(100_000)})).await.is_err());
    assert!(kept(json!({"row_condition": "-".repeat(100_000)})).await.is_err());
}

#[tokio::test]
async fn texts_for_great_expectations() {
    for (text, expected) in [
        ("col(\"n\") > 1", 2),
        ("col(\"s\") == \"a\"", 1),
        ("col(\"n\").notNull()", 3),
        ("col(\"x\") <= -1", 1),
        ("col(\"two words\") != 1", 1),
    ] {
        let found = kept(json!({"row_condition": text, "condition_parser": "great_expectations"})).await;
        assert_eq!(found, Ok(expected), "{text}");
    }
    for text in ["n > 1", "col(n) > 1", "col(\"n\") > 1 and col(\"x\") > 1", "col(\"n\") like 1"] {
        let found = kept(json!({"row_condition": text, "condition_parser": "great_expectations"})).await;
        assert!(found.is_err(), "{text}");
    }
}

#[tokio::test]
async fn objects() {
    let compare = |name: &str, operator: &str, parameter: Value| json!({"type": "comparison", "column": {"name": name}, "operator": operator, "parameter": parameter});
    let null =
        |name: &str, is_null: bool| json!({"type": "nullity", "column": {"name": name}, "is_null": is_null});
    let any = |parts: Vec<Value>| json!({"type": "or", "conditions": parts});
    let all = |parts: Vec<Value>| json!({"type": "and", "conditions": parts});
    for (condition, expected) in [
        (compare("n", "==", json!(1)), 1),
        (compare("n", "!=", json!(1)), 3),
        (compare("n", "IN", json!([1, 4, 9])), 2),
        (compare("s", "NOT_IN", json!(["a"])), 3),
        (null("x", true), 2),
        (any(vec![null("n", true), compare("s", "==", json!("é"))]), 2),
        (all(vec![null("n", false), all(vec![compare("n", ">", json!(1)), compare("n", "<", json!(4))])]), 1),
        (any(vec![all(vec![null("n", false)]), null("s", true)]), 4),
    ] {
        assert_eq!(kept(json!({"row_condition": condition})).await, Ok(expected), "{condition}");
    }
    let many: Vec<Value> = (0..101).map(|at| compare("n", "==", json!(at))).collect();
    for wrong in [
        compare("n", "==", Value::Null),
        compare("n", "~", json!(1)),
        compare("n", "IN", json!([1, "a"])),
        compare("n", "IN", json!(1)),
        compare("q", "==", json!(1)),
        all(vec![any(vec![null("n", true)])]),
        any(vec![any(vec![null("n", true)])]),
        all(many),
        json!({"type": "nothing"}),
        json!({"type": "nullity", "column": {"name": "n"}, "is_nul": true}),
        json!(3),
    ] {
        assert!(kept(json!({"row_condition": wrong})).await.is_err(), "{wrong}");
    }
}
