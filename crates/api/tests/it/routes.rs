//! One file per route.

mod accounts;
mod analytics;
mod customers;
mod docs;
mod events;
mod health;
mod home;
mod idempotency;
mod live;
mod metrics;
mod query;
mod quotas;
mod queue;
mod receipts;
mod settings;
mod stats;
mod reference;
mod stream;
mod take;
mod times;
mod windows;
