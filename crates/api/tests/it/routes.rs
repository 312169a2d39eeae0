//! One file per route.

mod accounts;
mod analytics;
mod customers;
mod docs;
mod events;
mod health;
mod metrics;
mod query;
mod queue;
mod receipts;
mod settings;
mod stats;
mod take;
mod windows;
