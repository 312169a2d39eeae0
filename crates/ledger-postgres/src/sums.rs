//! Sums that are kept in tables.

mod table;
mod totals;
mod breakdowns;
mod windows;
mod customers;
mod rollups;
mod received;
mod user_days;

pub(crate) use customers::{CustomerSum, Customers};
pub(crate) use received::Received;
pub(crate) use rollups::{Grain, Rollups};
pub(crate) use table::{SumTable, add, values};
pub(crate) use user_days::{UserDayKey, UserDays};
pub(crate) use windows::Windows;
