//! The OpenAPI document and the pages that show it.

mod events_in;

use std::collections::{BTreeMap, BTreeSet};

use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::response::{Response, ResponseBuilder};
use utoipa::openapi::schema::{ArrayBuilder, Schema};
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{ContentBuilder, Ref, RefOr, Required};
use utoipa::{IntoResponses, Modify, OpenApi, PartialSchema, ToSchema};
use utoipa_axum::router::UtoipaMethodRouter;
use utoipa_swagger_ui::{Config, SwaggerUi};

use crate::problem::{ProblemBody, ProblemKind};
use events_in::{CloudEventIn, EventIn, EventsIn};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Nilometer",
        description = "Usage metering and event analytics from one durable stream.\n\n\
            Every answer carries `X-Request-Id`. Every refusal is an `application/problem+json` document \
            (RFC 9457), which names the part of the request that it is about in `field`. Instants are RFC 3339; \
            ranges include `from` and exclude `to`. In `from` and `to` a calendar date (YYYY-MM-DD), and a time \
            without an offset, are of the zone `tz`, or of the tenant's own; a date as `to` takes in that whole day. \
            Times of events without an offset are UTC. Write a `+` in a query string as `%2B`. Lists are paged: give `next_cursor` back as `cursor`.\n\n\
            `x-permission` says what a route needs. A key acts in its workspace; a person names one in the header \
            `Nilometer-Workspace`, unless there is only one.\n\n\
            What can be changed has a version, which is its `ETag`. A change with `If-Match` counts only if it is still \
            of that version, else it is answered 412.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    components(schemas(ProblemBody, CloudEventIn, EventIn, EventsIn)),
    modifiers(&Credentials),
    security(("bearer" = []), ("api_key" = []), ("cookie" = []), ()),
    tags(
        (name = "ingest", description = "Events in"),
        (name = "events", description = "Raw events out"),
        (name = "usage", description = "Windows, customers (also called accounts) and live counters"),
        (name = "statistics", description = "Active users, event types, retention and series"),
        (name = "settings", description = "What a tenant decides for itself"),
        (name = "workspaces", description = "The workspace of the request: projects, members, keys, audit log"),
        (name = "people", description = "Logging in and out, passwords"),
        (name = "server", description = "For the operator: workspaces, people, the keys of tokens"),
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
        let cookie = ApiKey::Cookie(ApiKeyValue::new("__Host-nm"));
        components.add_security_scheme("cookie", SecurityScheme::ApiKey(cookie));
        let signature = ApiKey::Header(ApiKeyValue::new("Nilometer-Signature"));
        components.add_security_scheme("signature", SecurityScheme::ApiKey(signature));
    }
}

/// What the document says beside its routes.
pub(crate) fn base() -> utoipa::openapi::OpenApi {
    Base::openapi()
}

/// Serves the document at `/openapi.json` and its pages at `/docs`, from inside the program.
pub(crate) fn ui(document: utoipa::openapi::OpenApi) -> SwaggerUi {
    // The pages would ask a public service whether the document is valid.
    // The pages lie one level below the document, whatever path both lie below for the browser.
    let config = Config::new(["../openapi.json"]).validator_url("none");
    SwaggerUi::new("/docs").config(config).url("/openapi.json", document)
}

/// Describes the body of the routes that take events.
pub(crate) fn with_events<S>(mut routes: UtoipaMethodRouter<S>) -> UtoipaMethodRouter<S> {
    let content = |schema: RefOr<Schema>| ContentBuilder::new().schema(Some(schema)).build();
    let events = || content(Ref::from_schema_name(EventsIn::name()).into());
    let cloud_event = || Ref::from_schema_name(CloudEventIn::name());
    let cloud_events = Schema::from(ArrayBuilder::new().items(cloud_event()).min_items(Some(1)).build());
    let body = RequestBodyBuilder::new()
        .content("application/json", events())
        .content("application/x-ndjson", content(String::schema()))
        .content("application/cloudevents+json", content(cloud_event().into()))
        .content("application/cloudevents-batch+json", content(RefOr::T(cloud_events)))
        .required(Some(Required::True))
        .build();
    for operation in routes.1.paths.values_mut().filter_map(|path| path.post.as_mut()) {
        operation.request_body = Some(RefOr::T(body.clone()));
    }
    routes
}

/// What any route of a tenant may be refused for. Memory for its answer may be short, too.
const ANY: &[ProblemKind] = &[
    ProblemKind::InvalidParameter,
    ProblemKind::WorkspaceRequired,
    ProblemKind::Unauthorized,
    ProblemKind::Forbidden,
    // A workspace that the caller does not know of.
    ProblemKind::NotFound,
    ProblemKind::Misdirected,
    ProblemKind::RateLimited,
    ProblemKind::Internal,
    ProblemKind::Overloaded,
    ProblemKind::Unavailable,
];
/// What any route may be refused for: what a proxy says of it, its host, the page that it is made for.
const OPEN: &[ProblemKind] =
    &[ProblemKind::Malformed, ProblemKind::Forbidden, ProblemKind::Misdirected, ProblemKind::RateLimited];
/// What a question about stored data may be refused for.
const QUESTION: &[ProblemKind] = &[ProblemKind::QueryTimeout];
/// What a question about one thing may be refused for.
const LOOKUP: &[ProblemKind] = &[ProblemKind::NotFound];
/// What a question over a range of time may be refused for.
const RANGE: &[ProblemKind] = &[ProblemKind::Gone, ProblemKind::QueryTooLarge];
/// What a request with a body may be refused for.
const BODY: &[ProblemKind] = &[
    ProblemKind::Malformed,
    ProblemKind::BodyTimeout,
    ProblemKind::TooLarge,
    ProblemKind::UnsupportedMediaType,
    ProblemKind::UnsupportedEncoding,
];
/// What a request that stores something may be refused for.
const STORE: &[ProblemKind] = &[ProblemKind::DiskFull];
/// What taking events is refused for beside these: they are all rejected, or cannot be stamped.
const EVENTS: &[ProblemKind] = &[ProblemKind::AllRejected, ProblemKind::ClockUnsure];
/// What a request with a key may be refused for.
const KEYED: &[ProblemKind] = &[ProblemKind::RequestRunning, ProblemKind::KeyReused];
/// What signing in may be refused for.
const SIGN_IN: &[ProblemKind] = &[ProblemKind::TooManyRequests];
/// What a change of the register may be refused for.
const CHANGE: &[ProblemKind] = &[
    ProblemKind::NotFound,
    ProblemKind::AlreadyCreated,
    ProblemKind::AlreadyExists,
    ProblemKind::KeyReused,
    ProblemKind::Conflict,
    ProblemKind::PreconditionFailed,
    ProblemKind::OutOfRange,
];
/// What a change of settings or of a reference table may be refused for.
const VERSION: &[ProblemKind] = &[ProblemKind::Conflict, ProblemKind::PreconditionFailed];

/// Declares types that give routes their refusals in the document, each from the lists above.
macro_rules! refusals {
    ($($(#[$doc:meta])* $name:ident: [$($list:expr),+];)+) => {$(
        $(#[$doc])*
        pub(crate) struct $name;

        impl IntoResponses for $name {
            fn responses() -> BTreeMap<String, RefOr<Response>> {
                describe(&[$($list),+])
            }
        }
    )+};
}

refusals! {
    /// How a request that needs no key may be refused.
    OpenRefusals: [OPEN];
    /// How a write of events may be refused.
    IngestRefusals: [ANY, BODY, STORE, EVENTS, KEYED];
    /// How a question that memory answers may be refused.
    TenantRefusals: [ANY];
    /// How a listing may be refused.
    ListRefusals: [ANY, QUESTION];
    /// How a question about one thing may be refused.
    OneRefusals: [ANY, QUESTION, LOOKUP];
    /// How a question over a range of time may be refused.
    RangeRefusals: [ANY, QUESTION, RANGE];
    /// How a question about one thing over a range of time may be refused.
    OneRangeRefusals: [ANY, QUESTION, LOOKUP, RANGE];
    /// How a structured query may be refused.
    QueryRefusals: [ANY, BODY, QUESTION, RANGE, &[ProblemKind::EncryptedPath]];
    /// How a change of settings may be refused.
    SettingsRefusals: [ANY, BODY, STORE, VERSION, &[ProblemKind::Gone]];
    /// How a change of a customer may be refused.
    CustomerRefusals: [ANY, BODY, STORE, QUESTION, CHANGE];
    /// How an erasure may be refused. One that is not durable in time goes on: it is in the list when it is.
    ErasureRefusals: [ANY, BODY, STORE, QUESTION, CHANGE];
    /// How signing in may be refused.
    AuthRefusals: [ANY, BODY, STORE, SIGN_IN, CHANGE];
    /// How a change of the register may be refused.
    ChangeRefusals: [ANY, BODY, STORE, CHANGE];
    /// How a change of what is encrypted may be refused.
    EncryptionRefusals: [ANY, BODY, STORE, CHANGE, &[ProblemKind::NotEncryptable]];
    /// How a change of a reference table may be refused.
    TableRefusals: [ANY, BODY, STORE, VERSION];
}

/// One response for each status of `lists`, with the titles of its kinds of problem.
fn describe(lists: &[&[ProblemKind]]) -> BTreeMap<String, RefOr<Response>> {
    let kinds: BTreeSet<ProblemKind> = lists.iter().copied().flatten().copied().collect();
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
