//! The nouns of metering and the pure decisions over them.
//! No IO, no async, no clock: what needs the time is handed it.

pub mod invariant;
pub mod limits;
pub mod rate;
pub mod time;
pub mod trusted_time;
pub mod tenant;
pub mod bucket;
pub mod access;
pub mod event;
pub mod dedup;
pub mod table;
pub mod rejection;
pub mod warning;
pub mod admit;
pub mod payload;
pub mod request;
pub mod record;
pub mod position;
pub mod aggregate;
pub mod window;
pub mod rollup;
pub mod retention;
pub mod erasure;
pub mod calendar;
pub mod quota;
pub mod users;
pub mod activity;
pub mod series;
pub mod reference;
pub mod property_path;
pub mod encryption;
pub mod query;
