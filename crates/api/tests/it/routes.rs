//! One file per route.

mod customers;
mod docs;
mod events;
mod health;
mod metrics;
mod query;
mod queue;
mod receipts;
mod take;
mod windows;
