//! Who was active by events that were erased: as the days of all users, in a table of their own.

use domain::users::UserSet;
use sqlx::postgres::PgRow;

use super::table::SumTable;
use super::user_days::{UserDayKey, UserDays};
use crate::columns::Column;

/// `erased_user_days`, by tenant, audience, its name, day and chunk.
#[derive(Debug)]
pub(crate) struct ErasedUserDays;

impl SumTable for ErasedUserDays {
    type Key<'b> = UserDayKey;
    type Sum = UserSet;
    const NAME: &'static str = "erased_user_days";
    const KEYS: &'static [&'static str] = UserDays::KEYS;
    const VALUES: &'static [&'static str] = UserDays::VALUES;

    fn keys(keys: &[&UserDayKey]) -> Vec<Column> {
        UserDays::keys(keys)
    }

    fn values(sums: &[&UserSet]) -> Vec<Column> {
        UserDays::values(sums)
    }

    fn read(row: &PgRow, at: usize) -> Result<UserSet, sqlx::Error> {
        UserDays::read(row, at)
    }

    fn merge(sum: &mut UserSet, other: &UserSet) {
        UserDays::merge(sum, other);
    }
}
