//! What is handed over in each stage, in the order that it has each time.

use std::collections::BTreeSet;

use anyhow::bail;
use domain::limits::{LEDGER_BATCH_BYTES_MAX, LEDGER_BATCH_EVENTS_MAX};
use domain::tenant::TenantScope;
use ledger_embedded::LedgerParts;
use ledger_postgres::Intake;
use ports::PortError;
use ports::moving::{MoveStage, MovedEvent, MovedTenant};

/// Hands over what is left of the stage that is next.
pub(super) async fn move_stage(
    parts: &LedgerParts,
    tenants: &[MovedTenant],
    intake: &mut Intake,
) -> anyhow::Result<()> {
    let skip = intake.taken();
    match intake.stage() {
        MoveStage::Events => events(parts, intake).await?,
        MoveStage::Ids => ids(parts, intake).await?,
        MoveStage::Windows => {
            let mut sums = parts.windows()?;
            in_chunks(skip, || sums.next_sum(), async |rows| intake.take_windows(&rows).await).await?;
        }
        MoveStage::Customers => {
            let mut sums = parts.customers()?;
            in_chunks(skip, || sums.next_sum(), async |rows| intake.take_customers(&rows).await).await?;
        }
        MoveStage::Residuals => {
            let mut sums = parts.residuals()?;
            in_chunks(skip, || sums.next_residual(), async |rows| intake.take_residuals(&rows).await).await?;
        }
        MoveStage::Rollups => {
            for scope in scopes(tenants, skip) {
                intake.take_rollups(&parts.rollups(&scope).await?).await?;
            }
        }
        MoveStage::Received => {
            for scope in scopes(tenants, skip) {
                intake.take_received(&parts.received(&scope).await?).await?;
            }
        }
        MoveStage::Users => users(parts, tenants, intake).await?,
        MoveStage::UserDays => days(parts, tenants, intake).await?,
        MoveStage::ErasedUserDays => {
            for scope in scopes(tenants, skip) {
                intake.take_erased_days(&parts.erased_days(&scope).await?).await?;
            }
        }
        MoveStage::Erasures if skip == 0 => intake.take_erasures(parts.erasures()).await?,
        MoveStage::Erasures => {}
        MoveStage::DeadLetters => dead_letters(parts, tenants, intake).await?,
        stage @ (MoveStage::Catalog | MoveStage::Verify | MoveStage::Done) => {
            bail!("{} is no part of the ledger", stage.name())
        }
    }
    Ok(())
}

/// The tenants behind those that are done.
fn scopes(tenants: &[MovedTenant], done: u64) -> impl Iterator<Item = TenantScope> + '_ {
    let done = usize::try_from(done).unwrap_or(usize::MAX);
    tenants.iter().skip(done).map(|moved| TenantScope::for_operator(moved.tenant.clone()))
}

/// Hands rows over, some at once, behind those that are done.
async fn in_chunks<T>(
    done: u64,
    mut next: impl FnMut() -> Result<Option<T>, PortError>,
    mut take: impl AsyncFnMut(Vec<T>) -> Result<(), PortError>,
) -> Result<(), PortError> {
    for _ in 0..done {
        next()?;
    }
    let mut rows = Vec::new();
    while let Some(row) = next()? {
        rows.push(row);
        if rows.len() >= LEDGER_BATCH_EVENTS_MAX {
            take(std::mem::take(&mut rows)).await?;
        }
    }
    if rows.is_empty() { Ok(()) } else { take(rows).await }
}

async fn events(parts: &LedgerParts, intake: &mut Intake) -> Result<(), PortError> {
    let mut events = parts.events()?;
    for _ in 0..intake.taken() {
        events.next_event()?;
    }
    let (mut chunk, mut bytes) = (Vec::new(), 0);
    while let Some(event) = events.next_event()? {
        bytes += bytes_of(&event);
        chunk.push(event);
        if chunk.len() >= LEDGER_BATCH_EVENTS_MAX || bytes >= LEDGER_BATCH_BYTES_MAX {
            intake.take_events(&std::mem::take(&mut chunk)).await?;
            bytes = 0;
        }
    }
    if chunk.is_empty() { Ok(()) } else { intake.take_events(&chunk).await }
}

fn bytes_of(moved: &MovedEvent) -> usize {
    moved.event.bytes()
}

/// What is there is found again, so it does not matter which are done.
async fn ids(parts: &LedgerParts, intake: &mut Intake) -> Result<(), PortError> {
    for segment in 0..parts.id_segments() {
        let mut ids = parts.ids(segment)?;
        in_chunks(0, || ids.next_id(), async |rows| intake.take_ids(&rows).await).await?;
    }
    Ok(())
}

async fn users(parts: &LedgerParts, tenants: &[MovedTenant], intake: &mut Intake) -> Result<(), PortError> {
    let mut done = intake.taken();
    for moved in tenants {
        let mut next = u32::try_from(done.min(u64::from(moved.users))).unwrap_or(u32::MAX);
        done -= u64::from(next);
        let scope = TenantScope::for_operator(moved.tenant.clone());
        while next < moved.users {
            let users = parts.users(&scope, next).await?;
            next += u32::try_from(users.len()).unwrap_or(u32::MAX);
            intake.take_users(&users).await?;
        }
    }
    Ok(())
}

async fn days(parts: &LedgerParts, tenants: &[MovedTenant], intake: &mut Intake) -> Result<(), PortError> {
    let mut done = intake.taken();
    for scope in scopes(tenants, 0) {
        for filter in parts.day_filters(scope.tenant()) {
            if done > 0 {
                done -= 1;
            } else {
                intake.take_days(&parts.days(&scope, &filter).await?).await?;
            }
        }
    }
    Ok(())
}

/// Letters of which nobody can tell whose they are come with each tenant's, and are taken once.
async fn dead_letters(parts: &LedgerParts, tenants: &[MovedTenant], intake: &mut Intake) -> Result<(), PortError> {
    let (mut done, mut seen) = (intake.taken(), BTreeSet::new());
    for scope in scopes(tenants, 0) {
        let mut letters = parts.dead_letters(&scope).await?;
        letters.retain(|letter| seen.insert(letter.seq));
        let skipped = usize::try_from(done).unwrap_or(usize::MAX).min(letters.len());
        done -= skipped as u64;
        letters.drain(..skipped);
        if !letters.is_empty() {
            intake.take_dead_letters(&letters).await?;
        }
    }
    Ok(())
}
