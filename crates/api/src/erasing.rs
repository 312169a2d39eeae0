//! What an erasure has the catalog forget. The store of events takes an erasure up and makes it in the background, and
//! requests go on meanwhile: so the catalog forgets when the erasure is durable, before it is answered, and once more
//! when nothing of it is left in the store but the name of its subject. Only then the store forgets that too, so wherever
//! a server is stopped, the next one knows whom the catalog has to forget. Nothing is forgotten for an erasure that is
//! refused.
//!
//! The last forgetting is made in rounds, for all erasures that have come so far, since each has the files of both stores
//! written anew, and who changes anything waits for that.

use std::sync::Arc;
use std::time::Duration;

use access::{AccessError, By};
use domain::access::audit::Cause;
use domain::erasure::{Erasure, ErasureRequest, Subject};
use domain::quota::VersionedQuota;
use domain::tenant::TenantScope;
use pipeline::TableChange;
use ports::erasures::{ErasureStage, UnfinishedErasure};
use ports::{ErrorKind, PortError};

use crate::problem::{Problem, ProblemKind};
use crate::state::ApiState;

/// Time between two looks at how far erasures are.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// Longest time between two looks, while the catalog cannot forget.
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// How many times as long as a round took nothing is written anew after it.
const REST: u32 = 4;

/// Makes an erasure durable, and has the catalog forget. Not to be dropped half way: run it as a task of its own.
pub(crate) async fn erase(
    api: &Arc<ApiState>,
    scope: &TenantScope,
    request: &ErasureRequest,
    by: &By,
) -> Result<Erasure, Problem> {
    let is_new = !is_known(api, scope, &request.id);
    if is_new {
        // Details of the log go by an entry. One about an erasure that is refused tells of nobody.
        api.access.note_erasure(by, &request.id, &request.subject).await?;
    }
    let asked = api.erasures.erase(scope, request).await;
    let erasure = asked.map_err(|why| refused(why, is_known(api, scope, &request.id)))?;
    // Whatever comes of the first time.
    forget_by_and_by(api);
    if is_new || request.subject == Subject::Workspace {
        forget(api, scope, &request.id, &request.subject, &by.cause).await?;
    }
    Ok(erasure)
}

/// Sees to what the catalog has to forget still, for as long as the server runs.
pub fn forget_by_and_by(api: &Arc<ApiState>) {
    let Some(turn) = api.forgetting.begin() else { return };
    let api = Arc::downgrade(api);
    tokio::spawn(async move {
        let (mut round_began, mut rests_until, mut pause) = (None, Duration::ZERO, LOOK_EVERY);
        while let Some(api) = api.upgrade() {
            let unfinished = api.erasures.unfinished();
            if unfinished.is_empty() {
                drop(turn);
                // One may have come just before.
                if !api.erasures.unfinished().is_empty() {
                    forget_by_and_by(&api);
                }
                return;
            }
            if unfinished.iter().all(|one| one.stage != ErasureStage::Confirmed) {
                let now = api.pipeline.clock().monotonic();
                if let Some(began) = round_began.take() {
                    rests_until = now + REST * now.saturating_sub(began);
                }
                let removed: Vec<_> = unfinished.into_iter().filter(|one| one.stage == ErasureStage::Removed).collect();
                if !removed.is_empty() && now >= rests_until {
                    round_began = Some(now);
                    pause = pause_after(pause, forget_all(&api, removed).await);
                }
            }
            drop(api);
            tokio::time::sleep(pause).await;
        }
    });
}

/// The time to the next look: each one after which something is left, as on a full disk, comes later.
fn pause_after(pause: Duration, is_all_forgotten: bool) -> Duration {
    if is_all_forgotten { LOOK_EVERY } else { (pause * 2).min(PAUSE_MAX) }
}

/// Has the catalog forget all of these, and tells the store of events of which it has. Says whether that are all.
async fn forget_all(api: &ApiState, removed: Vec<UnfinishedErasure>) -> bool {
    let (mut forgotten, mut is_all) = (Vec::new(), true);
    for UnfinishedErasure { scope, id, subject, .. } in removed {
        let Some(subject) = subject else { continue };
        match forget(api, &scope, &id, &subject, &Cause::server()).await {
            Ok(()) => forgotten.push(id),
            Err(why) => {
                is_all = false;
                tell(&id, &why);
            }
        }
    }
    if forgotten.is_empty() {
        return is_all;
    }
    match api.access.scrub().await {
        Ok(()) => api.erasures.confirm(&forgotten),
        Err(why) => {
            is_all = false;
            tell(&forgotten.join(" "), &why.into());
        }
    }
    is_all
}

fn tell(erasures: &str, why: &Problem) {
    tracing::warn!(erasures, ?why, "the catalog may still hold some of what is erased; trying again");
}

/// Leaves nothing of a subject in the catalog, and in memory what the catalog holds.
async fn forget(
    api: &ApiState,
    scope: &TenantScope,
    id: &str,
    subject: &Subject,
    cause: &Cause,
) -> Result<(), Problem> {
    if let Subject::User(user) = subject {
        let change = TableChange::Forget { user: user.clone() };
        api.pipeline.reference_tables()?.change(scope, change, cause, None, ()).await?;
        return Ok(api.access.forget_subject(scope, id, subject).await?);
    }
    loop {
        match subject {
            Subject::Workspace => api.access.forget_workspace(cause, scope).await?,
            Subject::User(_) | Subject::Customer(_) => api.access.forget_subject(scope, id, subject).await?,
        }
        let quotas = api.settings.quotas();
        quotas.take_stored(scope).await?;
        let is_its = |quota: &VersionedQuota| match subject {
            Subject::Customer(customer) => quota.key.customer.as_ref() == Some(customer),
            Subject::User(_) | Subject::Workspace => true,
        };
        // One that was being set meanwhile is there still; those that come after the erasure are refused.
        if !quotas.list(scope).iter().any(is_its) {
            return Ok(());
        }
    }
}

fn is_known(api: &ApiState, scope: &TenantScope, id: &str) -> bool {
    api.erasures.erasures(scope).iter().any(|known| known.id == id)
}

/// Refuses the erasure of the workspace that requests without a credential act in: nobody could act in it again, and
/// in profile `dev` nobody on the server.
pub(crate) fn check_workspace(api: &ApiState, scope: &TenantScope) -> Result<(), Problem> {
    if api.access.anonymous().is_some_and(|anonymous| anonymous.tenant() == scope.tenant()) {
        let why = "requests without a key act in this workspace in profile dev; all would be refused after its erasure. \
                   Start in profile prod, or use another workspace";
        return Err(AccessError::State(why).into());
    }
    Ok(())
}

fn refused(why: PortError, is_known: bool) -> Problem {
    if is_known && why.kind() == ErrorKind::Conflict {
        return Problem::new(ProblemKind::KeyReused, AccessError::KeyReused.to_string()).at("Idempotency-Key");
    }
    why.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Found in November 2026: on a full disk it was tried five times a second, each time with changes of the catalog and a
    /// line in the log.
    #[test]
    fn a_catalog_that_cannot_forget_is_asked_more_and_more_seldom_until_it_can() {
        let mut pause = LOOK_EVERY;
        for _ in 0..20 {
            let next = pause_after(pause, false);
            assert!(next > pause || next == PAUSE_MAX, "{pause:?} {next:?}");
            pause = next;
        }
        assert_eq!((pause, pause_after(pause, true)), (PAUSE_MAX, LOOK_EVERY));
    }
}
