//! Who was active on which day: sets of users, whose sum is their union.

use domain::users::UserSet;
use sqlx::Row as _;
use sqlx::postgres::PgRow;

use super::table::SumTable;
use crate::columns::Column;

/// `user_days`, by tenant, audience, its name, day and chunk.
#[derive(Debug)]
pub(crate) struct UserDays;

/// Tenant, audience, its name, day and chunk.
pub(crate) type UserDayKey = (i32, i16, String, i32, i32);

impl SumTable for UserDays {
    type Key<'b> = UserDayKey;
    type Sum = UserSet;
    const NAME: &'static str = "user_days";
    const KEYS: &'static [&'static str] = &["tenant_no", "audience", "name", "day", "chunk"];
    const VALUES: &'static [&'static str] = &["bits"];

    fn keys(keys: &[&UserDayKey]) -> Vec<Column> {
        vec![
            Column::Int(keys.iter().map(|key| key.0).collect()),
            Column::Small(keys.iter().map(|key| key.1).collect()),
            Column::Text(keys.iter().map(|key| key.2.clone()).collect()),
            Column::Int(keys.iter().map(|key| key.3).collect()),
            Column::Int(keys.iter().map(|key| key.4).collect()),
        ]
    }

    fn values(sums: &[&UserSet]) -> Vec<Column> {
        vec![Column::Bytes(sums.iter().map(|sum| sum.to_bytes()).collect())]
    }

    fn read(row: &PgRow, at: usize) -> Result<UserSet, sqlx::Error> {
        UserSet::from_bytes(row.try_get(at)?).map_err(|why| sqlx::Error::Decode(why.into()))
    }

    fn merge(sum: &mut UserSet, other: &UserSet) {
        sum.merge(other);
    }
}
