//! What `nilometer bench ledger` measures: the ledger in a database that servers share.

#[cfg(feature = "cluster")]
mod postgres;
#[cfg(not(feature = "cluster"))]
mod missing;

#[cfg(not(feature = "cluster"))]
pub(super) use missing::Shared;
#[cfg(feature = "cluster")]
pub(super) use postgres::Shared;
