//! What is written is read again, and columns of foreign types are read as what they mean.

#![expect(clippy::unwrap_used, reason = "a failed test may panic")]

use std::path::Path;

use arrow::array::{
    BinaryArray, Date32Array, DictionaryArray, Int32Array, LargeStringArray, TimestampNanosecondArray,
    TimestampSecondArray, UInt64Array,
};
use arrow::datatypes::Int32Type;
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
    let folder = tempfile::tempdir().unwrap();
    let blob: ArrayRef = Arc::new(BinaryArray::from(vec![&b"x"[..]]));
    let opened = ParquetTable::open(file_of(&write(vec![("blob", blob)]), folder.path()), 0);
    assert!(opened.unwrap_err().to_string().contains("blob"));
}

#[test]
fn exported_events_are_read_back() {
    let event = StoredEvent {
        position: Position::new(Seq(1), 0).into(),
        id: "e".into(),
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
    writer.push(&[event.clone(), event]).unwrap();
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
    assert_eq!(table.columns()[14..], ["cache_read_tokens", "cache_write_tokens", "reasoning_tokens"]);
    assert_eq!(row[14..], [Cell::Number("5".into()), Cell::Absent, Cell::Number("0".into())]);
}
