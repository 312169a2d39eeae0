//! What the body of a write may hold as JSON: described here, read by the pipeline. The names that are described are
//! one for each field; the others that are read are told in words.

use domain::limits::{ENDPOINT_BYTES_MAX, LATENCY_US_MAX, TOKENS_MAX};
use serde_json::{Value, json};
use utoipa::openapi::schema::{
    AdditionalProperties, AnyOfBuilder, ArrayBuilder, KnownFormat, ObjectBuilder, Schema, SchemaFormat, Type,
};
use utoipa::openapi::{Object, Ref, RefOr};
use utoipa::{PartialSchema, ToSchema};

/// Characters of a name: each may take four of its 256 bytes.
const NAME_CHARS_MAX: usize = 64;
/// Characters of an endpoint: each may take four of its bytes.
const ENDPOINT_CHARS_MAX: usize = ENDPOINT_BYTES_MAX / 4;
/// Characters that a name may not hold are left out.
const NO_CONTROL: &str = r"^[^\u0000-\u001F\u007F-\u009F]+$";
/// The earliest time that is taken when nothing else is set, and where milliseconds begin, in seconds.
const SECONDS: (i64, i64) = (315_619_200, 99_999_999_999);

/// One event.
pub(super) struct EventIn;

impl PartialSchema for EventIn {
    fn schema() -> RefOr<Schema> {
        let measures = "An object of anything, kept as it is; of it the measures below are read too, and a provider's \
            usage. Or metadata, data, payload.";
        let free = ObjectBuilder::new()
            .schema_type(Type::Object)
            .additional_properties(Some(AdditionalProperties::FreeForm(true)))
            .description(Some(measures));
        let event = ObjectBuilder::new()
            .schema_type(Type::Object)
            .property(
                "id",
                identifier("Unique per tenant; assigned when absent. Or event_id, eventId, idempotency_key.", "e1"),
            )
            .property("time", time())
            .property("type", text("What happened. Or event_type, eventType, event.", NAME_CHARS_MAX, "login"))
            .property(
                "customer",
                identifier("Who is charged. Or customer_id, customerId, account_id, accountId, subject.", "acme"),
            )
            .property("user", identifier("Who acted. Or user_id, userId.", "u1"))
            .property(
                "endpoint",
                text("The API endpoint. Or apiEndpoint, api_endpoint.", ENDPOINT_CHARS_MAX, "/v1/chat"),
            )
            .property("project", identifier("The project. Or project_id, projectId.", "p1"))
            .property("properties", free)
            .property("tokens", count("All tokens; input and output when absent."))
            .property("inputTokens", count("Tokens read. Or input_tokens."))
            .property("outputTokens", count("Tokens written. Or output_tokens."))
            .property("cacheReadTokens", count("The part of the input that a cache answered. Or cache_read_tokens."))
            .property("cacheWriteTokens", count("The part of the input put into a cache. Or cache_write_tokens."))
            .property("reasoningTokens", count("The part of the output that is reasoning. Or reasoning_tokens."))
            .property("latencyMs", latency())
            .property("model", text("The model that answered.", NAME_CHARS_MAX, "m1"))
            .description(Some(
                "At least one field. Names are read without case, `_`, `-` and spaces; the tenant is that of the key. \
                 What looks like a mistake is told in `warnings`.",
            ))
            .examples([example()]);
        let names = ["id", "time", "type", "customer", "user", "endpoint", "project", "properties"];
        let one = names.map(|name| Schema::Object(ObjectBuilder::new().required(name).build()));
        let named = one.into_iter().fold(AnyOfBuilder::new(), AnyOfBuilder::item).build();
        RefOr::T(utoipa::openapi::schema::AllOfBuilder::new().item(event.build()).item(Schema::AnyOf(named)).into())
    }
}

impl ToSchema for EventIn {}

/// One CloudEvent in structured mode.
pub(super) struct CloudEventIn;

impl PartialSchema for CloudEventIn {
    fn schema() -> RefOr<Schema> {
        let version = ObjectBuilder::new().schema_type(Type::String).enum_values(Some(["1.0"]));
        let data = ObjectBuilder::new()
            .schema_type(Type::Object)
            .additional_properties(Some(AdditionalProperties::FreeForm(true)))
            .description(Some(
                "The properties. What the envelope lacks of customer, user, endpoint and project is looked for in it.",
            ));
        let source = "With the id the identity of the event.";
        let event = ObjectBuilder::new()
            .schema_type(Type::Object)
            .property("specversion", version)
            .property("id", text("Unique per source.", NAME_CHARS_MAX, "1"))
            .property("source", text(source, ENDPOINT_CHARS_MAX, "/gateway/eu"))
            .property("type", text("What happened.", NAME_CHARS_MAX, "call"))
            .property("subject", text("Who is charged.", NAME_CHARS_MAX, "acme"))
            .property("time", time())
            .property("data", data);
        let required = ["specversion", "id", "source", "type"];
        RefOr::T(required.into_iter().fold(event, ObjectBuilder::required).build().into())
    }
}

impl ToSchema for CloudEventIn {}

/// One event, an array of events, or an object with an array `events`.
pub(super) struct EventsIn;

impl PartialSchema for EventsIn {
    fn schema() -> RefOr<Schema> {
        let event = || Ref::from_schema_name(EventIn::name());
        let events = ArrayBuilder::new().items(event()).min_items(Some(1)).build();
        let envelope = ObjectBuilder::new()
            .schema_type(Type::Object)
            .property("events", events.clone())
            .required("events")
            .additional_properties(Some(AdditionalProperties::FreeForm(false)));
        RefOr::T(AnyOfBuilder::new().item(event()).item(events).item(envelope.build()).into())
    }
}

impl ToSchema for EventsIn {}

fn example() -> Value {
    json!({"id": "e1", "time": "2026-03-01T10:00:00Z", "customer": "acme", "user": "u1", "endpoint": "/v1/chat",
        "inputTokens": 500, "outputTokens": 1000, "properties": {"plan": "pro"}})
}

fn text(help: &str, chars_max: usize, example: &str) -> Object {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .min_length(Some(1))
        .max_length(Some(chars_max))
        .pattern(Some(NO_CONTROL))
        .description(Some(help))
        .examples([json!(example)])
        .build()
}

/// A text, or an integer in its place.
fn identifier(help: &str, example: &str) -> Schema {
    let digits =
        ObjectBuilder::new().schema_type(Type::Integer).format(Some(SchemaFormat::KnownFormat(KnownFormat::Int64)));
    let either = AnyOfBuilder::new().item(text(help, NAME_CHARS_MAX, example)).item(digits.build());
    Schema::AnyOf(either.description(Some(help)).build())
}

fn time() -> Schema {
    let help = "When it happened; the receive time when absent. Not before `min_time` and at most 120 s ahead. \
        RFC 3339, or an epoch number whose size tells the unit. Or timestamp, ts, occurred_at, event_time.";
    let written = ObjectBuilder::new()
        .schema_type(Type::String)
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)))
        .examples([json!("2026-03-01T10:00:00Z")]);
    let epoch = [(1, "seconds"), (1_000, "milliseconds"), (1_000_000, "microseconds"), (1_000_000_000, "nanoseconds")];
    let epoch = epoch.map(|(per_second, unit)| {
        let (first, last) = (SECONDS.0.max(100_000_000) * per_second, SECONDS.1.saturating_mul(per_second));
        ObjectBuilder::new()
            .schema_type(Type::Integer)
            .minimum(Some(first))
            .maximum(Some(last))
            .description(Some(unit))
            .build()
    });
    let either = epoch.into_iter().fold(AnyOfBuilder::new().item(written.build()), AnyOfBuilder::item);
    Schema::AnyOf(either.description(Some(help)).build())
}

fn count(help: &str) -> Object {
    let whole =
        ObjectBuilder::new().schema_type(Type::Integer).format(Some(SchemaFormat::KnownFormat(KnownFormat::Int64)));
    whole.minimum(Some(0)).maximum(Some(i64::try_from(TOKENS_MAX).unwrap_or(i64::MAX))).description(Some(help)).build()
}

fn latency() -> Object {
    let most = i64::try_from(LATENCY_US_MAX / 1_000).unwrap_or(i64::MAX);
    let help = "How long the call took, in milliseconds. Or latency_ms.";
    ObjectBuilder::new().schema_type(Type::Number).minimum(Some(0)).maximum(Some(most)).description(Some(help)).build()
}
