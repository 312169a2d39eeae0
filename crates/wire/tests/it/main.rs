//! What a client's bytes become: the documents' own bodies, every shape and field, every bad input,
//! every encoding, and the same answers as a plain reading of the JSON as a tree.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that meets the unexpected has failed")]

mod documents;
mod shapes;
mod fields;
mod cloud_events;
mod names;
mod usage;
mod warnings;
mod bodies;
mod encodings;
mod oracle;
mod properties;
mod corpus;
#[path = "../../fuzz/drive.rs"]
mod drive;

use domain::event::Candidate;
use domain::limits::Limits;
use domain::rejection::RejectCode;
use wire::{BodyError, Item};

const JSON: Option<&str> = Some("application/json");
const LINES: Option<&str> = Some("application/x-ndjson");
const CLOUD: Option<&str> = Some("application/cloudevents+json");

fn items<'a>(content_type: Option<&str>, body: &'a str) -> Vec<Item<'a>> {
    wire::parse(content_type, body.as_bytes(), &Limits::default()).unwrap().items
}

/// The events of a body of which none is refused.
fn events<'a>(content_type: Option<&str>, body: &'a str) -> Vec<Candidate<'a>> {
    items(content_type, body).into_iter().collect::<Result<_, _>>().unwrap()
}

/// The one event of a JSON body.
fn event(body: &str) -> Candidate<'_> {
    let mut events = events(JSON, body);
    assert_eq!(events.len(), 1, "{body}");
    events.remove(0)
}

/// Why the one event of a JSON body is refused, and because of which field.
fn refusal(body: &str) -> (RejectCode, Option<String>) {
    match items(JSON, body).as_slice() {
        [Err((_, why))] => (why.code, why.field.clone()),
        other => panic!("{body} gave {other:?}"),
    }
}

fn refused_for(body: &str, code: RejectCode, field: &str) {
    assert_eq!(refusal(body), (code, Some(field.to_owned())), "{body}");
}

fn fault(content_type: Option<&str>, body: &[u8]) -> BodyError {
    wire::parse(content_type, body, &Limits::default()).unwrap_err()
}

/// The message of a malformed body.
fn malformed(content_type: Option<&str>, body: &[u8]) -> String {
    match fault(content_type, body) {
        BodyError::Malformed { message } => message,
        other => panic!("{other:?}"),
    }
}
