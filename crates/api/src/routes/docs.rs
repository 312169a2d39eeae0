//! The OpenAPI document and the pages that show it.

use std::collections::BTreeMap;

use utoipa::openapi::response::{Response, ResponseBuilder};
use utoipa::openapi::schema::{AnyOfBuilder, ArrayBuilder, ObjectBuilder, Schema, SchemaType};
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{ContentBuilder, Ref, RefOr};
use utoipa::{IntoResponses, Modify, OpenApi, PartialSchema, ToSchema};
use utoipa_swagger_ui::SwaggerUi;

use crate::problem::{Kind, ProblemBody};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Nilometer",
        description = "Usage metering and event analytics from one durable stream.\n\n\
            Every answer carries `X-Request-Id`. Every refusal is an `application/problem+json` document \
            (RFC 9457), which names the part of the request in the way in `field`. Instants are RFC 3339, in UTC \
            when they have no offset; ranges include `from` and exclude `to`, and a calendar date \
            as `to` takes in that whole day. A date is a day in UTC for events and windows, and a day of the zone \
            for statistics. Lists are paged: give `next_cursor` back as `cursor`.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    components(schemas(ProblemBody)),
    modifiers(&Credentials),
    security(("bearer" = []), ("api_key" = []), ()),
    tags(
        (name = "ingest", description = "Events in"),
        (name = "events", description = "Raw events out"),
        (name = "usage", description = "Windows, customers (also called accounts) and live counters"),
        (name = "statistics", description = "Active users, event types, retention and series"),
        (name = "settings", description = "What a tenant decides for itself"),
        (name = "live", description = "The last seconds, enriched with what is known of users, and streams of them"),
        (name = "operations", description = "Probes and metrics; need no key"),
    )
)]
struct Base;

struct Credentials;

impl Modify for Credentials {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let components = document.components.get_or_insert_default();
        let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
        components.add_security_scheme("bearer", SecurityScheme::Http(bearer));
        let header = ApiKey::Header(ApiKeyValue::new("X-API-Key"));
        components.add_security_scheme("api_key", SecurityScheme::ApiKey(header));
    }
}

/// What the document says beside its routes.
pub(crate) fn base() -> utoipa::openapi::OpenApi {
    Base::openapi()
}

/// Serves the document at `/openapi.json` and its pages at `/docs`, from inside the program.
pub(crate) fn ui(document: utoipa::openapi::OpenApi) -> SwaggerUi {
    SwaggerUi::new("/docs").url("/openapi.json", document)
}

/// What a write may hold as JSON: described here, read by the pipeline.
pub(crate) struct EventsIn;

/// The fields of an event, each with the other names it may have.
const FIELDS: [(&str, &str); 9] = [
    ("id", "Unique per tenant; assigned when absent. Or event_id, eventId, idempotency_key, idempotencyKey."),
    ("time", "RFC 3339 or an epoch number; now when absent. Or timestamp, ts, occurred_at, event_time."),
    ("type", "What happened. Or event_type, eventType, event."),
    ("customer", "Who is charged. Or customer_id, customerId, account_id, accountId, subject."),
    ("user", "Who acted. Or user_id, userId."),
    ("endpoint", "The API endpoint. Or apiEndpoint, api_endpoint."),
    ("project", "The project. Or project_id, projectId."),
    ("tenant", "The tenant of the API key, or absent. Or tenant_id, tenantId, workspace_id."),
    (
        "properties",
        "An object of anything, of which tokens, inputTokens, outputTokens, latencyMs and model are measured. \
         Or metadata, data, payload.",
    ),
];

impl PartialSchema for EventsIn {
    fn schema() -> RefOr<Schema> {
        let field = |help| ObjectBuilder::new().schema_type(SchemaType::AnyValue).description(Some(help));
        let event = FIELDS.iter().fold(ObjectBuilder::new(), |event, (name, help)| event.property(*name, field(*help)));
        let event = event.build();
        let events = ArrayBuilder::new().items(event.clone()).build();
        let envelope = ObjectBuilder::new().property("events", events.clone()).required("events").build();
        RefOr::T(AnyOfBuilder::new().item(event).item(events).item(envelope).into())
    }
}

impl ToSchema for EventsIn {}

/// How a write may be refused.
pub(crate) struct WriteRefusals;

impl IntoResponses for WriteRefusals {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        refusals(&[
            Kind::Malformed,
            Kind::InvalidParameter,
            Kind::Unauthorized,
            Kind::BodyTimeout,
            Kind::TooLarge,
            Kind::UnsupportedMediaType,
            Kind::UnsupportedEncoding,
            Kind::AllRejected,
            Kind::Overloaded,
            Kind::Unavailable,
            Kind::DiskFull,
        ])
    }
}

/// How a listing may be refused.
pub(crate) struct ListRefusals;

impl IntoResponses for ListRefusals {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        refusals(&[
            Kind::InvalidParameter,
            Kind::Unauthorized,
            Kind::Internal,
            Kind::Overloaded,
            Kind::Unavailable,
            Kind::QueryTimeout,
        ])
    }
}

/// How a structured query may be refused.
pub(crate) struct QueryRefusals;

impl IntoResponses for QueryRefusals {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        refusals(&[
            Kind::Malformed,
            Kind::InvalidParameter,
            Kind::Unauthorized,
            Kind::BodyTimeout,
            Kind::Gone,
            Kind::TooLarge,
            Kind::UnsupportedMediaType,
            Kind::UnsupportedEncoding,
            Kind::QueryTooLarge,
            Kind::Internal,
            Kind::Overloaded,
            Kind::Unavailable,
            Kind::QueryTimeout,
        ])
    }
}

/// How a question about one thing may be refused.
pub(crate) struct OneRefusals;

impl IntoResponses for OneRefusals {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        refusals(&[
            Kind::InvalidParameter,
            Kind::Unauthorized,
            Kind::NotFound,
            Kind::Internal,
            Kind::Unavailable,
            Kind::QueryTimeout,
        ])
    }
}

/// How a question over a range of time may be refused.
pub(crate) struct QuestionRefusals;

impl IntoResponses for QuestionRefusals {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        refusals(&[
            Kind::InvalidParameter,
            Kind::Unauthorized,
            Kind::Gone,
            Kind::QueryTooLarge,
            Kind::Internal,
            Kind::Unavailable,
            Kind::QueryTimeout,
        ])
    }
}

/// How a change of settings may be refused.
pub(crate) struct ChangeRefusals;

impl IntoResponses for ChangeRefusals {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        refusals(&[
            Kind::Malformed,
            Kind::InvalidParameter,
            Kind::Unauthorized,
            Kind::BodyTimeout,
            Kind::Gone,
            Kind::TooLarge,
            Kind::UnsupportedMediaType,
            Kind::UnsupportedEncoding,
            Kind::Internal,
            Kind::Overloaded,
            Kind::Unavailable,
            Kind::DiskFull,
        ])
    }
}

/// How a reference table, or a change to it, may be refused.
pub(crate) struct TableRefusals;

impl IntoResponses for TableRefusals {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        refusals(&[
            Kind::Malformed,
            Kind::InvalidParameter,
            Kind::Unauthorized,
            Kind::BodyTimeout,
            Kind::Conflict,
            Kind::PreconditionFailed,
            Kind::TooLarge,
            Kind::UnsupportedMediaType,
            Kind::UnsupportedEncoding,
            Kind::Internal,
            Kind::Overloaded,
            Kind::Unavailable,
            Kind::DiskFull,
        ])
    }
}

fn refusals(kinds: &[Kind]) -> BTreeMap<String, RefOr<Response>> {
    let mut titles: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for kind in kinds {
        titles.entry(kind.status().as_str().to_owned()).or_default().push(kind.title());
    }
    let schema = || Some(Ref::from_schema_name("Problem"));
    let described = titles.into_iter().map(|(status, titles)| {
        let content = ContentBuilder::new().schema(schema()).build();
        let response = ResponseBuilder::new().description(titles.join(", or: "));
        (status, RefOr::T(response.content("application/problem+json", content).build()))
    });
    described.collect()
}
