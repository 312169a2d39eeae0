//! The roles of a process, startable apart: one takes events, one applies them, one keeps the live
//! view. Each names the ports that it uses; what roles of one process share is in
//! [`RoleContext`].

mod context;
mod ingest;
mod live;
mod worker;

pub(crate) use context::RoleContext;
pub use ingest::IngestRole;
pub use live::LiveRole;
pub(crate) use live::RunningLive;
pub(crate) use worker::RunningWorker;
pub use worker::WorkerRole;
