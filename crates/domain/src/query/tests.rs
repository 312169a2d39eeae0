//! Drafts that become queries, and those that do not.

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

use super::*;
use crate::limits::{QUERY_FILTER_DEPTH_MAX, QUERY_PATH_SEGMENTS_MAX, QUERY_ROWS_DEFAULT};

fn unchecked() -> UncheckedQuery {
    UncheckedQuery {
        range: TimeRange::ALL,
        bucket: None,
        aggregations: vec![UncheckedAggregation { op: "count".to_owned(), ..UncheckedAggregation::default() }],
        group_by: Vec::new(),
        filter: None,
        order_by: Vec::new(),
        limit: None,
    }
}

fn aggregation(op: &str, field: &str) -> UncheckedAggregation {
    UncheckedAggregation { op: op.to_owned(), field: Some(field.to_owned()), name: None }
}

fn test(field: &str, op: &str, value: Option<Literal>) -> UncheckedFilter {
    UncheckedFilter { field: Some(field.to_owned()), op: Some(op.to_owned()), value, ..UncheckedFilter::default() }
}

fn place_of(unchecked: UncheckedQuery) -> String {
    unchecked.check().unwrap_err().place
}

#[test]
fn columns_are_bucket_groups_and_aggregations() {
    let query = UncheckedQuery {
        bucket: Some((Interval::Hour, Calendar::utc())),
        group_by: vec!["type".to_owned(), "properties.a.b".to_owned()],
        aggregations: vec![unchecked().aggregations.remove(0), aggregation("p95", "latency_ms")],
        order_by: vec![UncheckedOrder { column: "p95_latency_ms".to_owned(), direction: Some("desc".to_owned()) }],
        ..unchecked()
    };
    let query = query.check().unwrap();
    assert_eq!(query.columns(), ["time", "type", "properties.a.b", "count", "p95_latency_ms"]);
    assert_eq!(query.order_by, [OrderBy { column: 4, descending: true }]);
    assert_eq!((query.key_columns(), query.limit), (3, QUERY_ROWS_DEFAULT));
}

#[test]
fn values_are_read_as_their_source_asks() {
    let condition = |filter| match (UncheckedQuery { filter: Some(filter), ..unchecked() }).check().unwrap().filter {
        Some(Filter::Test(_, condition)) => condition,
        other => panic!("{other:?}"),
    };
    let texts = |texts: &[&str]| Values::Texts(texts.iter().map(|text| (*text).to_owned()).collect());
    let truth = Literal::List(vec![Literal::Bool(true), Literal::Text("x".to_owned())]);
    assert_eq!(condition(test("properties.a", "in", Some(truth))), Condition::In(texts(&["true", "x"])));
    let half = Number::parse("2.5").unwrap();
    let number = condition(test("tokens", "ne", Some(Literal::Number(half))));
    assert_eq!(number, Condition::NotIn(Values::Numbers(vec![half])));
    let long = Number::parse("0.12345678901234567890123456789").unwrap();
    let long = test("properties.a", "gt", Some(Literal::Number(long)));
    assert_eq!(place_of(UncheckedQuery { filter: Some(long), ..unchecked() }), "filter.value");
    let time = condition(test("time", "lt", Some(Literal::Text("1970-01-01T00:00:01Z".to_owned()))));
    assert_eq!(time, Condition::Compare(Comparison::Lt, Bound::Time(Timestamp::from_micros(1_000_000))));
    assert_eq!(condition(test("user", "exists", None)), Condition::Exists(true));
}

#[test]
fn i6_filters_and_paths_are_bounded() {
    let mut deep = test("type", "exists", None);
    for _ in 1..QUERY_FILTER_DEPTH_MAX {
        deep = UncheckedFilter { and: Some(vec![deep]), ..UncheckedFilter::default() };
    }
    assert!(UncheckedQuery { filter: Some(deep.clone()), ..unchecked() }.check().is_ok());
    deep = UncheckedFilter { or: Some(vec![deep]), ..UncheckedFilter::default() };
    assert_eq!(
        place_of(UncheckedQuery { filter: Some(deep), ..unchecked() }),
        "filter.or[0].and[0].and[0].and[0].and[0].and[0].and[0].and[0]"
    );
    let wide = UncheckedFilter { or: Some(vec![test("type", "exists", None); 64]), ..UncheckedFilter::default() };
    assert_eq!(place_of(UncheckedQuery { filter: Some(wide), ..unchecked() }), "filter.or[63]");
    let path = |segments: usize| format!("properties.{}", vec!["a"; segments].join("."));
    assert!(Source::parse(&path(QUERY_PATH_SEGMENTS_MAX)).is_ok());
    for bad in [path(QUERY_PATH_SEGMENTS_MAX + 1), path(100), format!("properties.{}", "a".repeat(513))] {
        assert!(Source::parse(&bad).is_err(), "{bad}");
    }
    for bad in ["", "properties", "properties.", "properties..a", "properties.a.", "Type", "tenant", "1;--"] {
        assert!(Source::parse(bad).is_err(), "{bad}");
    }
}
