//! Sums that are kept in tables.

mod table;
mod totals;
mod breakdowns;
mod windows;
mod customers;
mod rollups;
mod received;
mod user_days;
mod erased_user_days;
mod residuals;

pub(crate) use customers::{CustomerSum, Customers};
pub(crate) use erased_user_days::ErasedUserDays;
pub(crate) use received::Received;
pub(crate) use residuals::{Cell, add_residuals};
pub(crate) use rollups::{Grain, Rollups};
pub(crate) use table::{SumTable, add, insert, values};
pub(crate) use user_days::{UserDayKey, UserDays};
pub(crate) use windows::Windows;
