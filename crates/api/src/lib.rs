//! The HTTP face of the pipeline: who asks, what for, and how the answer looks on the wire.
//! Holds no decision about events and no durable state; errors become HTTP in `problem` alone.

mod router;
mod state;
mod serve;
mod gate;
mod browser;
mod cors;
mod forwarded;
mod client_address;
mod origin;
mod base_path;
mod web;
mod observe;
mod headers;
mod needs;
mod extract;
mod cursor;
mod page;
mod request_tenant;
mod response_budget;
mod cache;
mod rate_headers;
mod problem;
mod ask;
mod erasing;
mod forgetting;
mod routes;
mod shape;

pub use base_path::BasePath;
pub use cache::CacheTimes;
pub use erasing::forget_by_and_by;
pub use extract::SessionCookie;
pub use origin::{Origin, PublicUrl};
pub use router::{document, router};
pub use serve::{FileError, Serving, Tls, TlsError, serve};
pub use shape::{EventBody, shown_properties};
pub use state::{ApiParts, ApiState, MetricsReaders};
pub use web::WebOptions;
