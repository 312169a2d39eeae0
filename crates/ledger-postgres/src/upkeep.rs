//! Folds the sets of users that came with batches into those of their days, so that a tenant's days are read as few rows.
//! A set belongs to its day wherever it stands, so readers need not know.

use std::collections::BTreeMap;

use domain::limits::{LEDGER_DELTAS_FOLDED_MAX, LEDGER_DELTAS_MAX};
use domain::users::UserSet;
use parking_lot::RwLock;
use postgres::Failure;
use sqlx::Row as _;
use sqlx::postgres::{PgConnection, PgPool};

use crate::apply::Writer;
use crate::deltas::DeltaCounts;
use crate::state::State;
use crate::sums::{self, UserDayKey, UserDays};
use crate::transaction::OwnTransaction;

/// Users of a chunk, as a power of two.
pub(crate) const CHUNK_BITS: u32 = 16;

/// Folds the sets of the tenants that have many of them, up to a limit.
pub(crate) async fn fold_user_days(writer: &mut Writer, pool: &PgPool, state: &RwLock<State>) -> Result<(), Failure> {
    let due = |(tenant, count): (&i32, &u32)| (*count >= LEDGER_DELTAS_MAX).then_some(*tenant);
    let mut due: Vec<i32> = writer.deltas.iter().filter_map(due).collect();
    if due.is_empty() {
        return Ok(());
    }
    due.sort_unstable();
    writer.unsettle();
    let mut transaction = OwnTransaction::begin(pool).await?;
    let on = transaction.on();
    writer.enter(on).await?;
    let (pages, taken) = take(on, &due).await?;
    sums::add::<UserDays>(on, &mut writer.leaves, &mut writer.seen.user_days, pages).await?;
    transaction.commit().await?;
    let is_all = taken.values().sum::<u32>() < LEDGER_DELTAS_FOLDED_MAX;
    for tenant in due {
        let counted = writer.deltas.remove(&tenant).unwrap_or(0);
        if !is_all {
            writer.deltas.insert(tenant, counted.saturating_sub(taken.get(&tenant).copied().unwrap_or(0)));
        }
    }
    writer.settled(state);
    Ok(())
}

/// Takes rows of new sets away, and returns what they add to which rows, and how many there were of each tenant.
async fn take(on: &mut PgConnection, tenants: &[i32]) -> Result<(BTreeMap<UserDayKey, UserSet>, DeltaCounts), Failure> {
    let sql = "DELETE FROM user_day_deltas WHERE ctid = ANY (ARRAY(SELECT ctid FROM user_day_deltas \
               WHERE tenant_no = ANY ($1) LIMIT $2)) RETURNING tenant_no, days, audiences, names, bits";
    let query = sqlx::query(sql).bind(tenants).bind(i64::from(LEDGER_DELTAS_FOLDED_MAX));
    let (mut pages, mut taken) = (BTreeMap::<UserDayKey, UserSet>::new(), DeltaCounts::new());
    for row in &query.fetch_all(on).await? {
        let tenant: i32 = row.try_get(0)?;
        let (days, audiences): (Vec<i32>, Vec<i16>) = (row.try_get(1)?, row.try_get(2)?);
        let (names, bits): (Vec<String>, Vec<Vec<u8>>) = (row.try_get(3)?, row.try_get(4)?);
        *taken.entry(tenant).or_default() += 1;
        for (((day, audience), name), bits) in days.into_iter().zip(audiences).zip(names).zip(bits) {
            let users = UserSet::from_bytes(&bits).map_err(|why| Failure::Client(sqlx::Error::Decode(why.into())))?;
            for user in users.iter() {
                let chunk = (user.0 >> CHUNK_BITS).cast_signed();
                pages.entry((tenant, audience, name.clone(), day, chunk)).or_default().insert(user);
            }
        }
    }
    Ok((pages, taken))
}
