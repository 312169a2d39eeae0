//! One file per route.

mod customers;
mod docs;
mod events;
mod health;
mod live;
mod metrics;
mod queue;
mod receipts;
mod reference;
mod stream;
mod take;
mod windows;
