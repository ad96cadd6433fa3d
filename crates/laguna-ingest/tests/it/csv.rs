//! CSV as it is found in the wild.

use laguna_base::settings::dataset::{OnBadRow, OnNewColumn};
use laguna_ingest::{ORIGINAL_NAME, ReadOptions};
use proptest::prelude::*;

use crate::support::{csv, land, options, with_known};

const INSTANT: &str = "Timestamp(µs, \"UTC\")";

#[test]
fn types_hold_all_values_and_doubt_makes_text() {
    let landed = csv("b,i,d,day,t,zip,phone,big,mixed,words,empty\n\
        true,1,1.5,2026-01-31,2026-01-31T10:00:00Z,01234,+31201234567,99999999999999999999,1,x,\n\
        FALSE,-20,2,2026-02-01,2026-02-01 11:30,94107,+31,1,2026-01-01,NA,NA\n");
    assert_eq!(
        landed.types(),
        [
            "b Boolean",
            "i Int64",
            "d Float64",
            "day Date32",
            &format!("t {INSTANT}"),
            "zip Utf8",
            "phone Utf8",
            "big Utf8",
            "mixed Utf8",
            "words Utf8"
        ]
    );
    assert_eq!(landed.rows()[1], "false|-20|2.0|2026-02-01|2026-02-01T11:30:00Z|94107|+31|1|2026-01-01|∅");
    assert_eq!(landed.opened, 1);
}

#[test]
fn integers_beside_decimals_must_be_exact() {
    assert_eq!(csv("x,y\n9007199254740992,1\n0.5,2\n").types()[0], "x Float64");
    assert_eq!(csv("x,y\n9007199254740993,1\n0.5,2\n").types()[0], "x Utf8");
    assert_eq!(csv("x,y\n9007199254740993,1\n,2\n").types()[0], "x Int64");
}

#[test]
fn a_late_surprise_changes_the_type_of_all_rows() {
    let mut text = String::from("id,v,late\n");
    for id in 0..300_000 {
        text += &format!("{id},{id},\n");
    }
    text += "300000,1.5,yes\n300001,n/a,\n";
    let landed = csv(&text);
    assert_eq!(landed.types(), ["id Int64", "v Utf8", "late Utf8"]);
    assert_eq!(landed.opened, 2);
    assert_eq!(landed.batch.num_rows(), 300_002);
    assert_eq!(landed.rows()[7], "7|7|∅");
    assert_eq!(landed.rows()[300_000], "300000|1.5|yes");
    assert_eq!(landed.places.last(), Some(&(0, 300_002)));
}

#[test]
fn quotes_line_breaks_and_nulls() {
    let landed = csv(
        "\u{feff}a,\"b \"\"x\"\"\",n\r\n\"1,5\",\"line\r\nbreak\",\"7\"\r\nq\"uo\"te,\"\",\r\nNA,\"NA\",8\r\n\r\n,z,\"\"",
    );
    assert_eq!(landed.schema.field(1).name(), "b_\"x\"");
    assert_eq!(landed.schema.field(1).metadata()[ORIGINAL_NAME], "b \"x\"");
    assert_eq!(landed.rows(), ["1,5|line\r\nbreak|7", "q\"uo\"te||∅", "∅|NA|8", "∅|z|∅"]);
    assert_eq!(landed.places, [(0, 1), (0, 2), (0, 3), (0, 5)]);
    assert_eq!(landed.types()[2], "n Int64");
    assert!(landed.rejected.is_empty());
}

#[test]
fn rows_that_make_no_sense_are_set_aside_and_the_rest_lands() {
    let text = b"a,b\n1,x\n2\n3,y,z\n4,\"open\n5,\xff\n6,\"ok\"\n7,\"x\"y\n8,nul\0\n9,\"never";
    let landed = land(&[("a.csv", text)], options()).unwrap();
    assert_eq!(landed.rows(), ["1|x", "6|ok", "8|nul\0"]);
    let aside: Vec<_> = landed.rejected.iter().map(|r| (r.row, r.raw.as_str())).collect();
    assert_eq!(
        aside,
        [(2, "2"), (3, "3,y,z"), (4, "4,\"open"), (5, "5,\u{fffd}"), (7, "7,\"x\"y"), (9, "9,\"never")]
    );
    assert_eq!(landed.places, [(0, 1), (0, 6), (0, 8)]);
    assert_eq!(landed.outcome.files[0].rejected, 6);
    let fail = ReadOptions { on_bad_row: OnBadRow::Fail, ..options() };
    let error = land(&[("a.csv", text)], fail).err().unwrap();
    assert!(error.message().starts_with("row 2 of `a.csv` cannot be read"), "{error:?}");
}

#[test]
fn later_batches_must_fit() {
    let first = csv("id,v,name\n1,0.5,a\n");
    let text = b"name,id,v\nb,2,3\nc,x,4\nd,5,y\ne,6.0,1\nf,007,1\n1,7,2";
    let landed = land(&[("b.csv", text)], with_known(&first)).unwrap();
    assert_eq!(landed.rows(), ["2|3.0|b", "7|2.0|1"]);
    assert_eq!(
        landed.reasons(),
        [
            "2: column `id`: `x` is not a bigint",
            "3: column `v`: `y` is not a double",
            "4: column `id`: `6.0` is not a bigint",
            "5: column `id`: `007` is not a bigint"
        ]
    );
    assert_eq!(landed.rejected[0].json.as_deref(), Some(r#"{"name":"c","id":"x","v":"4"}"#));
}

#[test]
fn columns_come_and_go() {
    let first = csv("id,a\n1,x\n");
    let files: &[(&str, &[u8])] = &[("1.csv", b"ID,c\n2,2026-01-01\n"), ("2.csv", b"d,a,id\n,y,3\n")];
    let landed = land(files, with_known(&first)).unwrap();
    assert_eq!(landed.types(), ["id Int64", "a Utf8", "c Date32"]);
    assert_eq!(landed.rows(), ["2|∅|2026-01-01", "3|y|∅"]);
    assert_eq!(landed.outcome.notes, ["column `c` is new (date)"]);
    let ignored =
        land(files, ReadOptions { on_new_column: OnNewColumn::Ignore, ..with_known(&first) }).unwrap();
    assert_eq!(ignored.rows(), ["2|∅", "3|y"]);
    let rejected = land(files, ReadOptions { on_new_column: OnNewColumn::Reject, ..with_known(&first) });
    assert!(rejected.err().unwrap().message().contains("`1.csv` has a new column `c`"));
}

#[test]
fn declared_types_win_and_read_more_spellings() {
    let mut declared = options();
    for (name, word) in
        [("zip", "text"), ("n", "bigint"), ("p", "decimal(9,2)"), ("ok", "boolean"), ("x", "double")]
    {
        declared.declared.insert(name.into(), laguna_ingest::parse_type(word).unwrap());
    }
    let text = b"zip,n,p,ok,x\n1, 007 ,1.50,yes,nan\n2,+8,2.005,0,1\n";
    let landed = land(&[("a.csv", text)], declared.clone()).unwrap();
    assert_eq!(landed.rows(), ["1|7|1.50|true|NaN"]);
    assert_eq!(landed.reasons(), ["2: column `p`: `2.005` is not a decimal(9,2)"]);
    declared.declared.insert("zipp".into(), laguna_ingest::parse_type("text").unwrap());
    let error = land(&[("a.csv", text)], declared).err().unwrap();
    assert_eq!(error.hint_text(), Some("did you mean `zip`?"));
}

#[test]
fn empty_files_and_headers_alone_land_nothing() {
    for text in ["", "\n", "\u{feff}", "a,b", "a,b\r\n"] {
        let landed = csv(text);
        assert_eq!((landed.places.len(), landed.rejected.len()), (0, 0), "{text:?}");
    }
    let landed = land(&[("1.csv", b""), ("2.csv", b"a\n1\n\n2\n")], options()).unwrap();
    assert_eq!(landed.rows(), ["1", "∅", "2"]);
    assert_eq!(landed.outcome.files[0].hash, laguna_base::hash::of(""));
}

#[test]
fn dialects() {
    let mut semicolon = options();
    semicolon.source.csv.delimiter = Some(";".into());
    semicolon.source.csv.quote = Some("'".into());
    semicolon.source.csv.nulls = Some(vec!["-".into(), "-999".into()]);
    semicolon.source.csv.encoding = Some("windows-1252".into());
    let landed = land(&[("a.csv", b"a;b\n'x;y';-\n-999;5\n\"caf\xe9\";-999\n")], semicolon).unwrap();
    assert_eq!(landed.rows(), ["x;y|∅", "∅|5", "\"café\"|∅"]);
    let mut bare = options();
    bare.source.csv.header = Some(false);
    let landed = land(&[("a.tsv", b"1\tx\r2\ty\r")], bare).unwrap();
    assert_eq!(landed.types(), ["column_1 Int64", "column_2 Utf8"]);
    assert_eq!(landed.places, [(0, 1), (0, 2)]);
    let mut wrong = options();
    wrong.source.csv.delimiter = Some("||".into());
    assert!(land(&[("a.csv", b"a\n")], wrong).is_err());
}

#[test]
fn a_row_beyond_every_limit_is_set_aside() {
    let mut text = b"a,b\n1,x\n2,".to_vec();
    text.extend(std::iter::repeat_n(b'y', 17 << 20));
    text.extend_from_slice(b"\n3,z\n");
    let landed = land(&[("a.csv", &text)], options()).unwrap();
    assert_eq!(landed.places, [(0, 1), (0, 3)]);
    assert_eq!(landed.rows(), ["1|x", "3|z"]);
    assert_eq!(landed.reasons(), ["2: the row is longer than 16 MiB"]);
    assert_eq!(landed.rejected[0].raw.len(), 64 << 10);
}

#[test]
fn memory_follows_the_blocks_not_the_file() {
    let row = format!("{},some words\n", "7".repeat(50));
    let text = format!("a,b\n{}", row.repeat((100 << 20) / row.len()));
    let landed = csv(&text);
    assert_eq!(landed.places.len(), (100 << 20) / row.len());
    assert!(landed.outcome.peak_bytes > 0 && landed.outcome.peak_bytes < 40 << 20);
}

fn quoted(text: &Option<String>, quote: bool) -> String {
    match text {
        None => String::new(),
        Some(text) if quote || text.is_empty() || text.contains([',', '"', '\n', '\r']) || text == "NA" => {
            format!("\"{}\"", text.replace('"', "\"\""))
        }
        Some(text) => text.clone(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn what_was_written_is_read(
        rows in prop::collection::vec(
            (any::<Option<i64>>(), any::<Option<i32>>(), prop::option::of("(z|[a-zé\",\n\r ]{0,12}|NA)"), any::<[bool; 3]>()),
            1..60,
        ),
        crlf: bool,
        last: bool,
    ) {
        let end = if crlf { "\r\n" } else { "\n" };
        let mut lines = vec!["i,f,t".to_string(), "1,0.5,\"z\"".to_string()];
        let mut expected = vec!["1|0.5|z".to_string()];
        for (int, half, text, quotes) in &rows {
            let half = half.map(|half| f64::from(half) / 2.0);
            let show = |text: Option<String>| text.unwrap_or_else(|| "∅".into());
            expected.push(format!("{}|{}|{}", show(int.map(|i| i.to_string())), show(half.map(|h| format!("{h:?}"))), show(text.clone())));
            lines.push(format!(
                "{},{},{}",
                quoted(&int.map(|i| i.to_string()), quotes[0]),
                quoted(&half.map(|h| h.to_string()), quotes[1]),
                quoted(text, quotes[2])
            ));
        }
        let text = lines.join(end) + if last { end } else { "" };
        let landed = csv(&text);
        prop_assert_eq!(landed.rows(), expected, "{}", text);
        prop_assert!(landed.rejected.is_empty());
        let numbers: Vec<_> = (1..=rows.len() as i64 + 1).map(|row| (0, row)).collect();
        prop_assert_eq!(&landed.places, &numbers);
    }

    #[test]
    fn no_line_is_lost_whatever_the_bytes(lines in prop::collection::vec("[a1,\"\r]{1,9}", 0..40)) {
        let text = format!("a,b\nx,y\n{}\n", lines.join("\n"));
        let landed = csv(&text);
        // Every byte of a line is in a row or set aside: numbers are distinct, without gaps but for blank lines.
        let mut numbers: Vec<u64> = landed.places.iter().map(|(_, row)| *row as u64).collect();
        numbers.extend(landed.rejected.iter().map(|r| r.row));
        numbers.sort_unstable();
        let before = numbers.len();
        numbers.dedup();
        prop_assert_eq!(before, numbers.len());
        let blank = lines.iter().filter(|line| *line == "\r").count() as u64;
        let last = numbers.last().copied().unwrap_or(0);
        prop_assert!(last - numbers.len() as u64 <= blank, "{:?}", text);
    }
}
