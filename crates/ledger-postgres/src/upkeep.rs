//! Folds the sets of users that came with batches into those of their days, so that a day is read as few rows. A set
//! belongs to its day wherever it stands, so readers need not know.

use std::collections::BTreeMap;

use domain::limits::{LEDGER_DELTAS_FOLDED_MAX, LEDGER_DELTAS_MAX};
use domain::users::UserSet;
use parking_lot::RwLock;
use postgres::Failure;
use sqlx::Row as _;
use sqlx::postgres::{PgConnection, PgPool};

use crate::apply::Writer;
use crate::state::State;
use crate::sums::{self, UserDayKey, UserDays};
use crate::transaction::OwnTransaction;

/// Users of a chunk, as a power of two.
pub(crate) const CHUNK_BITS: u32 = 16;

/// Folds what there is, up to a limit.
pub(crate) async fn fold_user_days(writer: &mut Writer, pool: &PgPool, state: &RwLock<State>) -> Result<(), Failure> {
    writer.unsettle();
    let mut transaction = OwnTransaction::begin(pool).await?;
    let on = transaction.on();
    writer.enter(on).await?;
    let (pages, taken) = take(on, writer.bucket.no).await?;
    sums::add::<UserDays>(on, pages).await?;
    transaction.commit().await?;
    writer.deltas = if taken < LEDGER_DELTAS_FOLDED_MAX.unsigned_abs() { 0 } else { LEDGER_DELTAS_MAX };
    let progress = writer.progress;
    writer.settled_at(progress, state);
    Ok(())
}

/// Takes deltas away, and returns what they add to which rows, and how many they were.
async fn take(on: &mut PgConnection, bucket: i16) -> Result<(BTreeMap<UserDayKey, UserSet>, u64), Failure> {
    let sql = "DELETE FROM user_day_deltas WHERE ctid = ANY (ARRAY(SELECT ctid FROM user_day_deltas WHERE bucket = $1 \
               LIMIT $2)) RETURNING tenant_no, audience, name, day, bits";
    let rows = sqlx::query(sql).bind(bucket).bind(LEDGER_DELTAS_FOLDED_MAX).fetch_all(on).await?;
    let mut pages: BTreeMap<UserDayKey, UserSet> = BTreeMap::new();
    for row in &rows {
        let (tenant, audience, day): (i32, i16, i32) = (row.try_get(0)?, row.try_get(1)?, row.try_get(3)?);
        let (name, bits): (&str, &[u8]) = (row.try_get(2)?, row.try_get(4)?);
        let users = UserSet::from_bytes(bits).map_err(|why| Failure::Client(sqlx::Error::Decode(why.into())))?;
        for user in users.iter() {
            let chunk = (user.0 >> CHUNK_BITS).cast_signed();
            pages.entry((tenant, audience, name.to_owned(), day, chunk)).or_default().insert(user);
        }
    }
    Ok((pages, rows.len() as u64))
}
