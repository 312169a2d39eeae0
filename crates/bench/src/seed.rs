//! Makes events that look like those of a product: one whale among the customers, few users who do
//! much and many who do little, quiet nights and weekends, events that come late and events that come
//! twice. The same seed and end give the same events, byte for byte.

mod choice;
mod generator;

pub(crate) use choice::Choice;
pub use generator::{Generator, SeedPlan};
