//! Names files of other formats by their first bytes, so that the error says what to do about them.

/// Bytes at which a file of the kind begins, and what is said of it.
const KINDS: [(&[u8], &str); 16] = [
    (b"\x1F\x8B", "is gzip within another compression; take one of them off"),
    (b"\x28\xB5\x2F\xFD", "is zstd within another compression; take one of them off"),
    (b"BZh", "is compressed with bzip2; only gzip and zstd are undone (try: bzcat FILE | nilometer import -)"),
    (b"\xFD7zXZ\0", "is compressed with xz; only gzip and zstd are undone (try: xzcat FILE | nilometer import -)"),
    (b"\x04\x22\x4D\x18", "is compressed with lz4; only gzip and zstd are undone (try: lz4cat)"),
    (b"\xFF\x06\0\0sNaPpY", "is compressed with snappy; only gzip and zstd are undone"),
    (b"7z\xBC\xAF\x27\x1C", "is a 7z archive; unpack it"),
    (b"Rar!\x1A\x07", "is a RAR archive; unpack it"),
    (b"\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1", "is a workbook of Excel (xls); save it as CSV (UTF-8)"),
    (b"Obj\x01", "is Avro; only CSV, NDJSON and Parquet are read"),
    (b"ORC", "is ORC; only CSV, NDJSON and Parquet are read"),
    (b"ARROW1\0\0", "is Arrow; only CSV, NDJSON and Parquet are read"),
    (b"FEA1\0", "is Feather; only CSV, NDJSON and Parquet are read"),
    (b"PARE", "is encrypted Parquet, which is not read"),
    (b"SQLite format 3\0", "is a database of SQLite; export its tables as CSV"),
    (b"PGDMP", "is a dump of PostgreSQL; export its tables as CSV"),
];
/// Where a tar archive says that it is one.
const TAR: (usize, &[u8]) = (257, b"ustar");
/// Bytes that are looked at to tell text from other content, and text of one byte a character from wider one.
const FRONT_BYTES: usize = 64;

/// What is said of a file that begins with `head` and is of no format that is read; `None` when it may be one.
pub(super) fn refusal(head: &[u8]) -> Option<&'static str> {
    if head.starts_with(b"PK\x03\x04") || head.starts_with(b"PK\x05\x06") {
        let holds = |name: &[u8]| head.windows(name.len()).take(1 << 16).any(|bytes| bytes == name);
        let is_workbook = holds(b"xl/") || (holds(b"[Content_Types].xml") && !holds(b"word/"));
        return Some(match is_workbook {
            true => "is a workbook of Excel (xlsx); save it as CSV (UTF-8)",
            false => "is a zip archive; unpack it (try: unzip -p FILE | nilometer import -)",
        });
    }
    if head.get(TAR.0..).is_some_and(|rest| rest.starts_with(TAR.1)) {
        return Some("is a tar archive; unpack it (try: tar -xOf FILE | nilometer import -)");
    }
    if is_wide(head) {
        return Some("is UTF-16 or UTF-32; only UTF-8 is read (try: iconv -f UTF-16 -t UTF-8)");
    }
    let start = head.trim_ascii_start();
    if start.starts_with(b"%PDF-") {
        return Some("is a PDF; only CSV, NDJSON and Parquet are read");
    }
    let is_page = ["<!doctype html", "<html", "<?xml"]
        .iter()
        .any(|tag| start.get(..tag.len()).is_some_and(|text| text.eq_ignore_ascii_case(tag.as_bytes())));
    if is_page {
        return Some("is HTML or XML (the page of an error?); only CSV, NDJSON and Parquet are read");
    }
    // A header may begin with the letters of some.
    let front = &head[..head.len().min(FRONT_BYTES)];
    let is_text = !front.iter().any(|byte| byte.is_ascii_control() && !byte.is_ascii_whitespace());
    KINDS.iter().find(|(magic, _)| !is_text && head.starts_with(magic)).map(|(_, refusal)| *refusal)
}

/// Whether the text has a mark of characters of several bytes, or every second byte of it is zero.
fn is_wide(head: &[u8]) -> bool {
    let front = &head[..head.len().min(FRONT_BYTES)];
    let zeros = |first: usize| front.len() > 3 && front.iter().skip(first).step_by(2).all(|byte| *byte == 0);
    matches!(head, [0xFF, 0xFE, ..] | [0xFE, 0xFF, ..] | [0, 0, 0xFE, 0xFF, ..]) || zeros(0) || zeros(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_of_no_other_format() {
        for text in
            ["id,time\n", "{\"id\":1}", "BZh,time\n", "", "ORC,time\n", "PARENT\t1", "a", "PK,time", "\u{feff}id,time"]
        {
            assert_eq!(refusal(text.as_bytes()), None, "{text}");
        }
        let wide = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>();
        for text in ["\u{feff}id,time", "id,time"] {
            assert!(refusal(&wide(text)).is_some_and(|why| why.contains("UTF-16")), "{text}");
        }
    }
}
