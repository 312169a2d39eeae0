//! What is written is read again, and columns of foreign types are read as what they mean.

#![expect(clippy::unwrap_used, reason = "a failed test may panic")]

use std::path::Path;

use arrow::array::{
    BinaryArray, Date32Array, DictionaryArray, Int32Array, Int32Builder, LargeStringArray, ListArray, MapBuilder,
    StringBuilder, StructArray, TimestampNanosecondArray, TimestampSecondArray, UInt64Array,
};
use arrow::datatypes::Int32Type;
use domain::event::IdScheme;
use domain::position::{Position, Seq};
use vfs::{DiskVfs, Vfs};

use super::*;

fn file_of(bytes: &[u8], folder: &Path) -> Arc<dyn ReadFile> {
    let path = folder.join("t.parquet");
    let mut file = DiskVfs.create(&path).unwrap();
    file.append(bytes).unwrap();
    DiskVfs.open_read(&path).unwrap()
}

fn write(columns: Vec<(&str, ArrayRef)>) -> Vec<u8> {
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.into_inner().unwrap()
}

fn cells(columns: Vec<(&str, ArrayRef)>, first: u64) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let mut table = ParquetTable::open(file_of(&write(columns), folder.path()), first).unwrap();
    let mut rows = Vec::new();
    while let Some(batch) = table.next_rows().unwrap() {
        rows.extend(
            (0..batch.len()).flat_map(|row| batch.row(row).map(|cell| format!("{cell:?}")).collect::<Vec<_>>()),
        );
    }
    rows
}

#[test]
fn times_of_every_unit_and_zone_are_the_same_instant() {
    let at = 1_431_857_103_i64;
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("a", Arc::new(TimestampSecondArray::from(vec![at]))),
        ("b", Arc::new(TimestampNanosecondArray::from(vec![at * 1_000_000_000]).with_timezone("+02:00"))),
        ("c", Arc::new(TimestampMicrosecondArray::from(vec![at * 1_000_000]).with_timezone("UTC"))),
        ("d", Arc::new(Date32Array::from(vec![16_572]))),
    ];
    let instant = |micros| format!("{:?}", Cell::Time(Timestamp::from_micros(micros)));
    let exact = instant(at * 1_000_000);
    assert_eq!(cells(columns, 0), [exact.clone(), exact.clone(), exact, instant(16_572 * 86_400_000_000)]);
}

#[test]
fn texts_numbers_and_truth_values_are_read_from_every_type_they_come_in() {
    let dictionary: DictionaryArray<Int32Type> = vec![Some("x"), None].into_iter().collect();
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("a", Arc::new(LargeStringArray::from(vec![Some("é"), None]))),
        ("b", Arc::new(dictionary)),
        ("c", Arc::new(UInt64Array::from(vec![Some(u64::MAX), None]))),
        ("d", Arc::new(Float64Array::from(vec![Some(1.5), Some(2.0)]))),
        ("e", Arc::new(Float64Array::from(vec![f64::NAN, f64::INFINITY]))),
        ("f", Arc::new(BooleanArray::from(vec![Some(true), None]))),
        ("g", Arc::new(Int32Array::from(vec![-7, 0]))),
    ];
    let text = |text| format!("{:?}", Cell::Text(text));
    let number = |text: &'static str| format!("{:?}", Cell::Number(text.into()));
    let absent = || format!("{:?}", Cell::Absent);
    let first = [
        text("é"),
        text("x"),
        number("18446744073709551615"),
        number("1.5"),
        text("NaN"),
        format!("{:?}", Cell::Bool(true)),
        number("-7"),
    ];
    let second = [absent(), absent(), absent(), number("2"), text("inf"), absent(), number("0")];
    assert_eq!(cells(columns.clone(), 0), [first, second.clone()].concat());
    assert_eq!(cells(columns, 1), second);
}

#[test]
fn i9_what_is_no_table_of_events_is_refused_with_a_reason() {
    let folder = tempfile::tempdir().unwrap();
    let opened = ParquetTable::open(file_of(b"PAR1 and nothing else", folder.path()), 0);
    assert_eq!(opened.unwrap_err().kind(), ErrorKind::Unacceptable);
}

/// A column of each kind that is not read, beside columns that are.
fn with_foreign_columns() -> Vec<(&'static str, ArrayRef)> {
    let names = Arc::new(Field::new("name", DataType::Utf8, true));
    let object = StructArray::from(vec![(names, Arc::new(StringArray::from(vec!["x", "y"])) as ArrayRef)]);
    let list = ListArray::from_iter_primitive::<Int32Type, _, _>([Some(vec![Some(1), Some(2)]), None]);
    let mut map = MapBuilder::new(None, StringBuilder::new(), Int32Builder::new());
    for _ in 0..2 {
        map.keys().append_value("k");
        map.values().append_value(1);
        map.append(true).unwrap();
    }
    vec![
        ("object", Arc::new(object)),
        ("id", Arc::new(StringArray::from(vec!["a", "b"]))),
        ("list", Arc::new(list)),
        ("map", Arc::new(map.finish())),
        ("blob", Arc::new(BinaryArray::from(vec![&b"x"[..], b"y"]))),
        ("type", Arc::new(StringArray::from(vec!["t", "u"]))),
    ]
}

#[test]
fn columns_of_a_type_that_is_not_read_are_left_out_and_named_and_the_others_keep_their_places() {
    let folder = tempfile::tempdir().unwrap();
    let mut table = ParquetTable::open(file_of(&write(with_foreign_columns()), folder.path()), 0).unwrap();
    let left_out: Vec<_> = table.left_out().iter().map(|(index, kind)| (*index, kind.as_str())).collect();
    assert_eq!(left_out, [(0, "Struct"), (2, "List"), (3, "Map"), (4, "Binary")]);
    assert_eq!(table.columns(), ["object", "id", "list", "map", "blob", "type"]);
    let rows = table.next_rows().unwrap().unwrap();
    let absent = Cell::Absent;
    let wanted =
        |id, kind| [absent.clone(), Cell::Text(id), absent.clone(), absent.clone(), absent.clone(), Cell::Text(kind)];
    assert_eq!(rows.row(0).collect::<Vec<_>>(), wanted("a", "t"));
    assert_eq!(rows.row(1).collect::<Vec<_>>(), wanted("b", "u"));
    assert_eq!(cells(with_foreign_columns(), 1).len(), 6);
}

#[test]
fn pages_of_every_usual_compression_are_read() {
    use parquet::basic::{BrotliLevel, GzipLevel, ZstdLevel};
    for compression in [
        Compression::UNCOMPRESSED,
        Compression::SNAPPY,
        Compression::LZ4_RAW,
        Compression::GZIP(GzipLevel::default()),
        Compression::BROTLI(BrotliLevel::default()),
        Compression::ZSTD(ZstdLevel::default()),
    ] {
        let texts = StringArray::from_iter_values((0..10_000).map(|row| format!("text {}", row % 7)));
        let batch = RecordBatch::try_from_iter([("id", Arc::new(texts) as ArrayRef)]).unwrap();
        let properties = WriterProperties::builder().set_compression(compression).set_dictionary_enabled(false).build();
        let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties)).unwrap();
        writer.write(&batch).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let mut table = ParquetTable::open(file_of(&writer.into_inner().unwrap(), folder.path()), 0).unwrap();
        let mut row = 0;
        while let Some(rows) = table.next_rows().unwrap() {
            for cells in 0..rows.len() {
                assert_eq!(rows.row(cells).next(), Some(Cell::Text(&format!("text {}", row % 7))), "{compression}");
                row += 1;
            }
        }
        assert_eq!(row, 10_000, "{compression}");
    }
}

#[test]
fn exported_events_are_read_back() {
    let event = StoredEvent {
        position: Position::new(Seq(1), 0).into(),
        id: "e".into(),
        id_scheme: IdScheme::Native,
        time: Timestamp::from_micros(-1),
        received_at: Timestamp::from_micros(5),
        kind: "t".into(),
        project: None,
        customer: Some("c".into()),
        user: None,
        endpoint: None,
        properties: Some("{}".into()),
        tokens: Some(7),
        input_tokens: None,
        output_tokens: None,
        latency_us: Some(1_500),
        model: None,
        cache_read_tokens: Some(5),
        cache_write_tokens: None,
        reasoning_tokens: Some(0),
    };
    let mut writer = ParquetEvents::new(Vec::new()).unwrap();
    writer.push(&[event.clone(), StoredEvent { id_scheme: IdScheme::CloudEvent, ..event }]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut table = ParquetTable::open(file_of(&writer.finish().unwrap(), folder.path()), 0).unwrap();
    assert_eq!(table.rows(), 2);
    assert_eq!(table.columns()[..3], ["event_id", "time", "type"]);
    let rows = table.next_rows().unwrap().unwrap();
    let row: Vec<_> = rows.row(1).collect();
    assert_eq!(row[0], Cell::Text("e"));
    assert_eq!(row[1], Cell::Time(Timestamp::from_micros(-1)));
    assert_eq!((row[7].clone(), row[10].clone()), (Cell::Number("7".into()), Cell::Number("1.5".into())));
    assert_eq!((row[8].clone(), row[12].clone()), (Cell::Absent, Cell::Text("{}")));
    assert_eq!(table.columns()[14..], ["cache_read_tokens", "cache_write_tokens", "reasoning_tokens", "id_scheme"]);
    let last = [Cell::Number("5".into()), Cell::Absent, Cell::Number("0".into()), Cell::Text("cloudevent")];
    assert_eq!(row[14..], last);
    assert_eq!(rows.row(0).last(), Some(Cell::Absent), "a native id");
}
