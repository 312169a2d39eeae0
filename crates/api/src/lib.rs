//! The HTTP face of the pipeline: who asks, what for, and how the answer looks on the wire.
//! Holds no decision about events and no durable state; errors become HTTP in `problem` alone.

mod router;
mod state;
mod serve;
mod observe;
mod extract;
mod cursor;
mod request_tenant;
mod response_budget;
mod cache;
mod problem;
mod ask;
mod routes;
mod shape;

pub use cache::CacheTimes;
pub use router::{document, router};
pub use serve::serve;
pub use shape::EventBody;
pub use state::ApiState;
