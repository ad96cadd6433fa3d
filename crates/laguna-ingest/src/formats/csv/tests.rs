//! Cutting and indexing agree, wherever the text is cut.

use proptest::prelude::*;

use super::index::Index;
use super::{Dialect, split};

fn dialect() -> Dialect {
    // A short limit, so that quotes that never close are met in short texts.
    Dialect { delimiter: b',', quote: b'"', newline: b'\n', max_row: 24 }
}

/// Text of each row and of each row set aside, as a file read in parts of `size` bytes gives them.
fn rows(text: &[u8], size: usize) -> Vec<(u64, String)> {
    let mut rows = Vec::new();
    let (mut buffer, mut taken, mut line) = (Vec::new(), 0, 0);
    loop {
        let next = (taken + size).min(text.len());
        buffer.extend_from_slice(&text[taken..next]);
        taken = next;
        let ended = taken == text.len();
        let cut = split::cut(&buffer, dialect(), ended);
        let index = Index::new(&buffer[..cut.end], dialect(), 2);
        let shown = |start: usize, end: usize| String::from_utf8_lossy(&buffer[start..end]).into_owned();
        for row in 0..index.rows() {
            let (start, end) = index.row(row, 2);
            rows.push((line + u64::from(index.lines[row]), shown(start, end)));
        }
        for (at, start, end, _) in &index.bad {
            rows.push((line + u64::from(*at), shown(*start as usize, *end as usize)));
        }
        line += cut.rows;
        buffer.drain(..cut.end);
        if ended {
            assert!(buffer.is_empty());
            rows.sort();
            return rows;
        }
    }
}

proptest! {
    #[test]
    fn the_size_of_blocks_does_not_show(text in "([a,\"\n\r]|aaaaaaaa){0,80}", size in 1usize..40) {
        let text = format!("{text}\n");
        prop_assert_eq!(rows(text.as_bytes(), size), rows(text.as_bytes(), 1 << 20));
    }

    #[test]
    fn quoted_text_is_one_field(fields in prop::collection::vec("[a,\"\n\r]{0,6}", 2..12)) {
        let quoted: Vec<_> = fields.iter().map(|f| format!("\"{}\"", f.replace('"', "\"\""))).collect();
        let record = quoted.join(",") + "\n";
        let wide = Dialect { max_row: 1 << 20, ..dialect() };
        prop_assert_eq!(split::record(record.as_bytes(), wide, false), Some(record.len()));
        prop_assert_eq!(split::fields(record.as_bytes(), wide), Some(fields));
    }
}
