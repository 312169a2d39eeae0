//! Rows are those of the crate `csv`, however the bytes are split, and no bytes make the reader panic.

#![expect(clippy::unwrap_used, reason = "a failed test may panic")]

use proptest::prelude::*;

use super::*;

/// What is cut off, a row or `None` for one that was too long.
fn cut_all(bytes: &[u8], piece: usize, row_bytes_max: usize, delimiter: u8) -> Vec<Option<Vec<Vec<u8>>>> {
    let mut reader = CsvReader::new(delimiter, row_bytes_max);
    let (mut start, mut end, mut rows) = (0, 0, Vec::new());
    loop {
        let last = end == bytes.len();
        match reader.cut(&bytes[start..end], last) {
            Cut::Row(read, row) => {
                let mut from = 0;
                let field = |end: &usize| row.fields[std::mem::replace(&mut from, *end)..*end].to_vec();
                rows.push(Some(row.ends.iter().map(field).collect()));
                start += read;
            }
            Cut::Overlong(read) => {
                rows.push(None);
                start += read;
            }
            Cut::More(read) => {
                start += read;
                assert!(end - start <= row_bytes_max, "I6: kept {} bytes of a row", end - start);
                end = (end + piece).min(bytes.len());
            }
            Cut::End => return rows,
        }
    }
}

fn oracle(bytes: &[u8], delimiter: u8) -> Vec<Option<Vec<Vec<u8>>>> {
    let mut reader =
        ::csv::ReaderBuilder::new().has_headers(false).flexible(true).delimiter(delimiter).from_reader(bytes);
    reader.byte_records().map(|row| Some(row.unwrap().iter().map(<[u8]>::to_vec).collect())).collect()
}

proptest! {
    #[test]
    fn any_split_of_any_bytes_gives_the_rows_of_the_crate_csv(
        bytes in "[ab,;\"\r\n]{0,60}", piece in 1_usize..9, semicolon: bool
    ) {
        let delimiter = if semicolon { b';' } else { b',' };
        prop_assert_eq!(cut_all(bytes.as_bytes(), piece, 1_000, delimiter), oracle(bytes.as_bytes(), delimiter));
    }

    #[test]
    fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), piece in 1_usize..50) {
        for row in cut_all(&bytes, piece, 20, b',').into_iter().flatten() {
            prop_assert!(row.concat().len() <= 20);
        }
    }
}

#[test]
fn i6_a_row_over_its_limit_is_skipped_and_the_next_one_is_read() {
    let long = "x".repeat(5_000);
    let text = format!("a,b\n1,{long}\n\"{long}\n{long}\",2\n3,4\n");
    for piece in [1, 7, 1_000, 100_000] {
        let rows = cut_all(text.as_bytes(), piece, 100, b',');
        assert_eq!(rows.len(), 4);
        assert_eq!((rows[1].is_none(), rows[2].is_none()), (true, true));
        assert_eq!(rows[3], Some(vec![b"3".to_vec(), b"4".to_vec()]));
    }
    let wide = ",".repeat(3_000) + "\n1,2\n";
    assert_eq!(cut_all(wide.as_bytes(), 100, 10_000, b',').len(), 2);
}

#[test]
fn a_quote_that_is_never_closed_is_told_with_the_lines_it_swallowed() {
    for (text, swallowed) in [
        ("a,\"b\nc,d\n", Some(2)),
        ("a,\"b", Some(0)),
        ("\"", Some(0)),
        ("\"x\ny\",\"b\"\"\nc", Some(1)),
        ("\"x\ny\",\"b\"", None),
        ("a,b", None),
        ("a,b\n", None),
        ("a,5\" pipe", None),
    ] {
        for piece in [1, 3, 100] {
            let mut reader = CsvReader::new(b',', 1_000);
            let mut end = piece.min(text.len());
            loop {
                match reader.cut(&text.as_bytes()[..end], end == text.len()) {
                    Cut::Row(_, row) => break assert_eq!(row.swallowed_lines(), swallowed, "{text:?}"),
                    Cut::More(_) => end = (end + piece).min(text.len()),
                    other => unreachable!("{text:?}: {other:?}"),
                }
            }
        }
    }
}

#[test]
fn the_separator_is_the_one_that_stands_most_often_outside_of_quotes() {
    for (line, delimiter) in
        [("a,b;c,d", b','), ("a;b;c", b';'), ("a\tb", b'\t'), ("\"a,b,c\";d", b';'), ("alone", b','), ("", b',')]
    {
        assert_eq!(likely_delimiters(line.as_bytes()).first(), Some(&delimiter), "{line}");
    }
    assert_eq!(likely_delimiters(b"a|b;c"), [b';', b',', b'\t', b'|']);
}

#[test]
fn the_line_before_the_header_that_names_the_separator_is_told_from_a_header() {
    for (head, found) in [
        ("sep=;\na;b\n", Some((b';', 6))),
        ("sep=;\r\na;b", Some((b';', 7))),
        ("SEP=|\ra|b", Some((b'|', 6))),
        ("\u{feff}sep=,\r\na,b", Some((b',', 10))),
        ("\"sep=;\"\na;b", Some((b';', 8))),
        ("sep=\t\na\tb", Some((b'\t', 6))),
        ("sep=;", None),
        ("sep=\n", None),
        ("sep=;;\n", None),
        ("sep=a\n", None),
        ("sep=\"\n", None),
        ("separator\n", None),
        ("a;b\nsep=;\n", None),
        ("", None),
    ] {
        assert_eq!(separator_line(head.as_bytes()), found, "{head:?}");
    }
}

#[test]
fn a_quote_escaped_by_a_backslash_is_told_from_what_csv_allows() {
    for row in [
        r#"1,"{\"a\":1}",x"#,
        r#""\"hi\" she said",2"#,
        r#"1,"say \"hi\"""#,
        "1,\"say \\\"\",\"x\"\n",
        "\n\n1,\"a\nb \\\"c\\\"\"\n",
    ] {
        assert!(has_escaped_quote(row.as_bytes(), b','), "{row}");
        assert!(has_escaped_quote(row.replace(',', ";").as_bytes(), b';'), "{row}");
    }
    for row in [
        r#"1,"C:\dir\",x"#,
        r#"1,"C:\dir\""#,
        r#"1,5\" pipe,x"#,
        r#"1,"{""a"":""x\""y""}",x"#,
        r#"1,"{""a"":""\\""}""#,
        r#"1,"plain" junk,x"#,
        r#"1,a\,b"#,
        "",
        "\"",
        "\"\\\"\r\n",
    ] {
        assert!(!has_escaped_quote(row.as_bytes(), b','), "{row}");
    }
}

#[test]
fn a_row_over_its_limit_that_ends_with_the_input_within_quotes_is_told() {
    for (text, open) in [("1,2\n\"{}", true), ("1,2\n\"{}\n", true), ("1,2\n\"{}\"", false), ("1,2\n{}", false)] {
        let text = text.replace("{}", &"x".repeat(500));
        for piece in [7, 10_000] {
            let mut reader = CsvReader::new(b',', 100);
            let (mut start, mut end, mut found) = (0, 0, Vec::new());
            loop {
                match reader.cut(&text.as_bytes()[start..end], end == text.len()) {
                    Cut::Row(read, _) => start += read,
                    Cut::Overlong(read) => {
                        start += read;
                        found.push(reader.ends_in_quotes());
                    }
                    Cut::More(read) => {
                        start += read;
                        end = (end + piece).min(text.len());
                    }
                    Cut::End => break,
                }
            }
            assert_eq!(found, [open], "{piece}");
        }
    }
}

#[test]
fn a_guard_before_a_formula_is_taken_off_and_nothing_else() {
    for (text, bare) in [
        ("'=1", "=1"),
        ("''=1", "'=1"),
        ("'-1", "-1"),
        ("'@x", "@x"),
        ("'plain", "'plain"),
        ("'", "'"),
        ("''", "''"),
        ("=1", "=1"),
        ("x'=", "x'="),
    ] {
        assert_eq!(without_guard(text), bare, "{text}");
    }
}
