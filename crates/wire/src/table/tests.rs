//! A row means what the same event means in JSON.

#![expect(clippy::unwrap_used, reason = "a failed test may panic")]

use domain::event::Candidate;

use super::*;

fn columns(names: &[&str]) -> Columns {
    Columns::of(names.iter().copied(), &[]).unwrap()
}

fn read<'a>(columns: &'a Columns, cells: &[&'a str], scratch: &'a mut String) -> Item<'a> {
    let cell = |text: &&'a str| if text.is_empty() { Cell::Absent } else { Cell::Text(text) };
    columns.read(cells.iter().map(cell), scratch, &Limits::default())
}

fn code(item: Item<'_>) -> (&'static str, Option<String>) {
    item.map_or_else(|(_, why)| (why.code.as_str(), why.field), |_| ("taken", None))
}

/// The candidate as the same members give it in JSON.
fn same_as(item: Item<'_>, json: &str) {
    let wanted = crate::line(1, json.as_bytes(), &Limits::default()).unwrap().unwrap();
    let found = Candidate { warnings: Vec::new(), ..item.unwrap() };
    let wanted = Candidate { warnings: Vec::new(), ..wanted };
    assert_eq!(found, wanted, "{json}");
}

#[test]
fn names_of_columns_are_known_in_any_case_and_spelling() {
    let columns = columns(&["\u{feff}Event_ID", "OCCURRED_AT", " eventType ", "Account Id", "USERID", "api-endpoint"]);
    let mut scratch = String::new();
    same_as(
        read(&columns, &["e1", "2026-01-01T00:00:00Z", "login", "acme", "u1", "/x"], &mut scratch),
        r#"{"id":"e1","time":"2026-01-01T00:00:00Z","type":"login","customer":"acme","user":"u1","endpoint":"/x"}"#,
    );
}

#[test]
fn columns_that_are_no_field_become_properties_beside_the_others() {
    let columns = columns(&["id", "properties", "plan", "seats", "trial", "zip", "received_at", ""]);
    for (properties, json) in [
        ("", r#"{"plan":"pro \"x\"","seats":-1.5,"trial":true,"zip":"01234"}"#),
        ("{ }", r#"{ "plan":"pro \"x\"","seats":-1.5,"trial":true,"zip":"01234"}"#),
        (r#" {"a":{}} "#, r#"{"a":{},"plan":"pro \"x\"","seats":-1.5,"trial":true,"zip":"01234"}"#),
    ] {
        let mut scratch = String::new();
        let row = ["e", properties, "pro \"x\"", "-1.5", "true", "01234", "2026-01-01", "7"];
        same_as(read(&columns, &row, &mut scratch), &format!(r#"{{"id":"e","properties":{json}}}"#));
    }
    let mut scratch = String::new();
    same_as(read(&columns, &["e", "", "", "", "", "", "", ""], &mut scratch), r#"{"id":"e"}"#);
}

#[test]
fn measures_are_read_from_their_columns_and_from_the_properties_first() {
    let columns = columns(&["id", "tokens", "Latency_MS", "model", "metadata"]);
    let mut scratch = String::new();
    same_as(
        read(&columns, &["e", "5", "1.5", "m", r#"{"tokens":7}"#], &mut scratch),
        r#"{"id":"e","tokens":5,"latency_ms":1.5,"model":"m","metadata":{"tokens":7}}"#,
    );
}

#[test]
fn columns_of_a_provider_are_read_as_its_usage_in_json_is() {
    let names =
        ["id", "customer", "input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens"];
    let columns = columns(&names);
    let mut scratch = String::new();
    let item = read(&columns, &["e", "c", "100", "50", "50", "10"], &mut scratch);
    let found = item.unwrap();
    let tokens = found.provider.unwrap();
    assert_eq!((tokens.input, tokens.output, tokens.cache_read), (Some(160), Some(50), Some(50)));
    assert_eq!((found.usage.input_tokens, found.warnings), (None, Vec::new()));
}

#[test]
fn i9_what_is_wrong_with_a_row_names_the_column() {
    let columns = columns(&["id", "eventId", "Data", "plan"]);
    let deep = format!("{{\"a\":{}{}}}", "[".repeat(100), "]".repeat(100));
    for (row, wanted) in [
        (vec!["a", "", "", ""], ("taken", None)),
        (vec!["a", "a", "", ""], ("taken", None)),
        (vec!["a", "b", "", ""], ("conflicting_fields", Some("eventId"))),
        (vec!["a", "", "{", ""], ("invalid_json", Some("Data"))),
        (vec!["a", "", "{}x", ""], ("invalid_json", Some("Data"))),
        (vec!["a", "", r#"{"tokens":"x",}"#, ""], ("invalid_json", Some("Data"))),
        (vec!["a", "", r#"{"a":"\ud800"}"#, ""], ("invalid_json", Some("Data"))),
        (vec!["a", "", " {\"a\":[1]} ", ""], ("taken", None)),
        (vec!["a", "", "[1]", ""], ("invalid_type", Some("Data"))),
        (vec!["a", "", "7", "x"], ("invalid_json", Some("Data"))),
        (vec!["a", "", deep.as_str(), ""], ("too_deep", Some("Data"))),
        (vec!["a", "", &deep[1..], ""], ("invalid_json", Some("Data"))),
        (vec!["a", "", &deep[..deep.len() - 1], ""], ("invalid_json", Some("Data"))),
        (vec!["a", "", r#"{"plan":1}"#, "x"], ("conflicting_fields", Some("plan"))),
        (vec!["a", "", r#"{"tokens":true}"#, ""], ("invalid_type", Some("Data.tokens"))),
        (vec!["a", ""], ("invalid_row", None)),
        (vec!["a", "", "", "", ""], ("invalid_row", None)),
        (vec!["", "", "", ""], ("invalid_row", None)),
    ] {
        let mut scratch = String::new();
        let found = code(read(&columns, &row, &mut scratch));
        assert_eq!((found.0, found.1.as_deref()), wanted, "{row:?}");
    }
}

#[test]
fn a_mapping_decides_over_names() {
    let mapping = [("time".to_owned(), "event_time".to_owned()), ("customer".to_owned(), "Org".to_owned())];
    let columns = Columns::of(["timestamp", "event_time", "org", "id"], &mapping).unwrap();
    let mut scratch = String::new();
    same_as(
        read(&columns, &["5", "2026-01-01", "acme", "e"], &mut scratch),
        r#"{"id":"e","time":"2026-01-01","customer":"acme","properties":{"timestamp":5}}"#,
    );
    let of = |names: &[&str], field: &str, column: &str| {
        Columns::of(names.iter().copied(), &[(field.to_owned(), column.to_owned())]).unwrap_err()
    };
    assert!(matches!(of(&["id"], "time", "when"), ColumnsError::NoColumn { .. }));
    assert!(matches!(of(&["id"], "colour", "id"), ColumnsError::UnknownField(_)));
    assert!(matches!(Columns::of(["a", "b"], &[]), Err(ColumnsError::NoField(_))));
    assert!(matches!(Columns::of(["id", "id"], &[]), Err(ColumnsError::Twice(_))));
    assert!(matches!(Columns::of(vec!["x"; 5_000], &[]), Err(ColumnsError::TooMany)));
}

#[test]
fn i2_a_column_of_an_export_says_what_the_id_means() {
    let columns = columns(&["event_id", "customer", "id_scheme"]);
    let mut scratch = [(); 4].map(|()| String::new());
    let [first, second, third, fourth] = &mut scratch;
    same_as(
        read(&columns, &["ce:a#1", "c", "cloudevent"], first),
        r#"{"id":"ce:a#1","customer":"c","id_scheme":"cloudevent"}"#,
    );
    same_as(read(&columns, &["ce:a#1", "c", ""], second), r#"{"id":"ce:a#1","customer":"c"}"#);
    let wanted = ("invalid_value", Some("id_scheme".to_owned()));
    assert_eq!(code(read(&columns, &["ce:a#1", "c", "other"], third)), wanted);
    assert_eq!(code(read(&columns, &["a", "c", "cloudevent"], fourth)), wanted);
}

#[test]
fn what_a_column_is_for_and_which_ones_look_like_a_time_is_told() {
    let columns = columns(&["id", "metadata", "plan", "received_at", "created_at", "Order Date", "response_time"]);
    let uses: Vec<_> = (0..8).map(|index| columns.use_of(index)).collect();
    let property = ColumnUse::Property;
    let wanted = [ColumnUse::Field, ColumnUse::Properties, property, ColumnUse::Nothing, property, property, property];
    assert_eq!((&uses[..7], uses[7]), (&wanted[..], ColumnUse::Nothing));
    assert!(!columns.has_time());
    assert_eq!(columns.time_like().collect::<Vec<_>>(), ["received_at", "created_at", "Order Date"]);
    assert_eq!((columns.name(4), columns.name(9)), ("created_at", ""));
    let mapping = [("time".to_owned(), "created_at".to_owned())];
    let mapped = Columns::of(["id", "created_at"], &mapping).unwrap();
    assert!(mapped.has_time() && mapped.time_like().next().is_none());
}
