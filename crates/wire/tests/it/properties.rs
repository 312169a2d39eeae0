//! What holds for any bytes, and for any events in any shape.

use domain::event::Candidate;
use domain::limits::Limits;
use domain::rejection::RejectCode;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde::de::IgnoredAny;
use serde_json::{Map, Value, json};
use wire::BodyError;

use crate::encodings::{gzip, zstd};
use crate::oracle::{self, NAMES};
use crate::{CLOUD, JSON, LINES, drive};

/// Names that are no listed ones; most are those of fields all the same.
const FOLDED: [&str; 12] = [
    "other",
    "",
    "Id",
    "nested\"name",
    "EventID",
    "customer id",
    "Customer",
    "User-Id",
    "Properties",
    "TOKENS",
    "Model",
    "LATENCY_MS",
];
const CONTENT_TYPES: [Option<&str>; 4] = [None, JSON, LINES, CLOUD];

/// Values from so small a set that two names often agree.
fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-2_i64..3).prop_map(Value::from),
        select(vec![i64::MIN, i64::MAX]).prop_map(Value::from),
        Just(json!(1.5)),
        select(vec!["a", "b", "1", "", "ü\"\\\n\u{1}😀"]).prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            object(inner).prop_map(Value::from),
        ]
    })
}

fn object(value: impl Strategy<Value = Value>) -> impl Strategy<Value = Map<String, Value>> {
    let name = prop_oneof![
        8 => select(NAMES[..51].to_vec()).prop_map(str::to_owned),
        1 => select(FOLDED.to_vec()).prop_map(str::to_owned),
    ];
    prop::collection::btree_map(name, value, 0..6).prop_map(|members| members.into_iter().collect())
}

/// An event whose members mostly have a right type.
fn event() -> impl Strategy<Value = Value> {
    let text = || select(vec!["a", "b", "1", "é\t"]).prop_map(Value::from);
    let number = || select(vec![0, 7, 1_500]).prop_map(Value::from);
    let fitting = select(NAMES[..51].to_vec()).prop_flat_map(move |name| {
        let value = match name {
            "properties" | "metadata" | "data" | "payload" => object(value()).prop_map(Value::from).boxed(),
            _ if name.contains("okens") || name.starts_with("latency") => number().boxed(),
            _ => text().boxed(),
        };
        (Just(name.to_owned()), value)
    });
    let members = prop::collection::vec(fitting, 0..7);
    (members, object(value()), 0..4_u8).prop_map(|(fitting, others, how)| {
        let mut event: Map<String, Value> = fitting.into_iter().collect();
        if how == 0 {
            event.extend(others);
        }
        Value::Object(event)
    })
}

fn batch() -> impl Strategy<Value = Vec<Value>> {
    prop::collection::vec(prop_oneof![12 => event(), 1 => value()], 1..8)
}

/// Bodies whose bytes are worth changing.
fn body() -> impl Strategy<Value = Vec<u8>> {
    let cloud = event().prop_map(|mut event| {
        event["specversion"] = json!("1.0");
        vec![event]
    });
    (prop_oneof![batch(), cloud], 0..4_u8).prop_map(|(events, shape)| match shape {
        0 => events.first().map(Value::to_string).unwrap_or_default().into_bytes(),
        1 => Value::from(events).to_string().into_bytes(),
        2 => json!({ "events": events }).to_string().into_bytes(),
        _ => lines(&events).into_bytes(),
    })
}

fn lines(events: &[Value]) -> String {
    events.iter().map(Value::to_string).collect::<Vec<_>>().join("\n")
}

/// `body` with bytes replaced, put in and taken out, and perhaps cut.
fn mutated() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![4 => select(b"{}[]\",:\\u\n 0e-".to_vec()), 1 => any::<u8>()];
    let edits = prop::collection::vec((any::<Index>(), byte, 0..3_u8), 1..6);
    (body(), edits, prop::option::weighted(0.2, any::<Index>())).prop_map(|(mut body, edits, cut)| {
        for (at, byte, how) in edits {
            let at = at.index(body.len() + 1);
            match how {
                0 => body.insert(at, byte),
                _ if at == body.len() => body.push(byte),
                1 => body[at] = byte,
                _ => drop(body.remove(at)),
            }
        }
        if let Some(cut) = cut {
            body.truncate(cut.index(body.len() + 1));
        }
        body
    })
}

/// The tree and the parser say the same of a body.
fn differ(body: &[u8]) -> Result<(), TestCaseError> {
    let parsed = wire::parse(JSON, body, &Limits::default());
    if parsed.is_ok() {
        prop_assert!(std::str::from_utf8(body).is_ok(), "took what is not UTF-8");
        prop_assert!(serde_json::from_slice::<IgnoredAny>(body).is_ok(), "took what is not JSON");
    }
    // A tree cannot hold all that JSON can (1e400, half pairs) nor show a name that stands twice.
    let Ok(tree) = serde_json::from_slice::<Value>(body) else { return Ok(()) };
    if sorted(tree.to_string().as_bytes()) != sorted(body) {
        return Ok(());
    }
    let wanted = match &tree {
        Value::Array(events) => events.clone(),
        Value::Object(object) => match object.get("events") {
            Some(Value::Array(events)) => events.clone(),
            Some(Value::Null) | None => vec![tree],
            Some(_) => return is_malformed(&parsed),
        },
        _ => return is_malformed(&parsed),
    };
    if wanted.is_empty() {
        return is_malformed(&parsed);
    }
    let items = parsed.map_err(|error| TestCaseError::fail(format!("refused: {error}")))?.items;
    prop_assert_eq!(items.len(), wanted.len());
    for (item, value) in items.iter().zip(&wanted).filter(|(_, value)| value.get("specversion").is_none()) {
        oracle::agrees(item, value).map_err(TestCaseError::fail)?;
    }
    Ok(())
}

fn sorted(bytes: &[u8]) -> Vec<u8> {
    let mut sorted = bytes.to_vec();
    sorted.sort_unstable();
    sorted
}

fn is_malformed<T>(parsed: &Result<T, BodyError>) -> Result<(), TestCaseError> {
    prop_assert!(matches!(parsed, Err(BodyError::Malformed { .. })), "taken, or refused for another reason");
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn an_event_reads_as_its_tree_does(events in batch()) {
        differ(Value::from(events).to_string().as_bytes())?;
    }

    #[test]
    fn a_changed_body_reads_as_its_tree_does(body in mutated()) {
        differ(&body)?;
    }

    #[test]
    fn every_shape_gives_the_same_events(events in batch(), gap in "[ \t\r]{0,3}") {
        let limits = Limits::default();
        let array = Value::from(events.clone()).to_string();
        let wanted = wire::parse(JSON, array.as_bytes(), &limits).unwrap();
        let spaced = format!("{gap}{}{gap}", serde_json::to_string_pretty(&events).unwrap());
        let envelope = format!("{{\"events\":{gap}{array}{gap}}}");
        let in_lines = format!("{gap}{}{gap}\n{gap}\n", lines(&events).replace('\n', &format!("{gap}\n{gap}")));
        prop_assert_eq!(&wire::parse(JSON, envelope.as_bytes(), &limits).unwrap(), &wanted);
        prop_assert_eq!(&wire::parse(LINES, in_lines.as_bytes(), &limits).unwrap(), &wanted);
        let pretty = wire::parse(None, spaced.as_bytes(), &limits).unwrap();
        prop_assert_eq!(pretty.items.len(), wanted.items.len());
        for (item, value) in pretty.items.iter().zip(&events) {
            oracle::agrees(item, value).map_err(TestCaseError::fail)?;
        }
        for (event, item) in events.iter().zip(&wanted.items).filter(|(event, _)| event.is_object()) {
            let alone = event.to_string();
            prop_assert_eq!(&wire::parse(JSON, alone.as_bytes(), &limits).unwrap().items[0], item);
        }
    }

    #[test]
    fn a_cloud_event_is_the_plain_event_and_what_its_data_adds(events in batch()) {
        let limits = Limits::default();
        let mut clouds = events.clone();
        for cloud in clouds.iter_mut().filter_map(Value::as_object_mut) {
            cloud.insert("specversion".into(), json!("1.0"));
        }
        let (plain, cloud) = (Value::from(events.clone()).to_string(), Value::from(clouds.clone()).to_string());
        let plain = wire::parse(JSON, plain.as_bytes(), &limits).unwrap().items;
        let parsed = wire::parse(CLOUD, cloud.as_bytes(), &limits).unwrap();
        prop_assert_eq!(&wire::parse(JSON, cloud.as_bytes(), &limits).unwrap(), &parsed);
        for ((plain, cloud), event) in plain.iter().zip(&parsed.items).zip(&clouds) {
            match (plain, cloud) {
                (Ok(plain), Ok(cloud)) => {
                    let seen = Candidate {
                        customer: plain.customer.clone().or(cloud.customer.clone()),
                        user: plain.user.clone().or(cloud.user.clone()),
                        endpoint: plain.endpoint.clone().or(cloud.endpoint.clone()),
                        project: plain.project.clone().or(cloud.project.clone()),
                        tenant: plain.tenant.clone().or(cloud.tenant.clone()),
                        warnings: Vec::new(),
                        first_reading: None,
                        ..plain.clone()
                    };
                    let told = Candidate { warnings: Vec::new(), first_reading: None, ..cloud.clone() };
                    prop_assert_eq!(seen, told);
                }
                (Err((_, why)), Ok(_)) => prop_assert_eq!(why.code, RejectCode::InvalidValue, "no name but one"),
                (Ok(_), Err((_, why))) => prop_assert_eq!(why.code, RejectCode::ConflictingFields, "in its data"),
                (Err(plain), Err(cloud)) => prop_assert_eq!(plain, cloud),
            }
            if event.is_object() {
                let alone = event.to_string();
                prop_assert_eq!(&wire::parse(CLOUD, alone.as_bytes(), &limits).unwrap().items[0], cloud);
            }
        }
    }

    #[test]
    fn any_bytes_are_answered(bytes in prop::collection::vec(any::<u8>(), 0..200), kind in select(CONTENT_TYPES.to_vec())) {
        drive::ingest(kind, None, &bytes);
        drive::ingest(kind, Some("gzip"), &gzip(&bytes));
        drive::ingest(kind, Some("zstd"), &bytes);
    }

    #[test]
    fn changed_bodies_are_answered(body in mutated(), kind in select(CONTENT_TYPES.to_vec())) {
        drive::ingest(kind, None, &body);
        drive::ingest(kind, Some("zstd"), &zstd(&body));
    }

    #[test]
    fn a_body_cut_short_is_never_taken_for_the_whole(events in batch(), at in any::<Index>()) {
        for body in [Value::from(events.clone()).to_string(), json!({ "events": events }).to_string()] {
            let cut = &body.as_bytes()[..at.index(body.len())];
            prop_assert!(wire::parse(JSON, cut, &Limits::default()).is_err());
        }
    }
}
