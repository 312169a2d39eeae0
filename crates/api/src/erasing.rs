//! What an erasure has the catalog forget. The store of events takes an erasure up and makes it in the background, and
//! requests go on meanwhile: so the catalog forgets before the erasure is durable, again when it is, and once more when
//! it is made; a server that is stopped in between does the last at its next start.

use std::sync::{Arc, Weak};
use std::time::Duration;

use access::{AccessError, By};
use domain::access::audit::Cause;
use domain::erasure::{Erasure, ErasureRequest, Subject};
use domain::tenant::TenantScope;
use pipeline::TableChange;
use ports::{ErrorKind, PortError};

use crate::forgetting::Turn;
use crate::problem::{Problem, ProblemKind};
use crate::state::ApiState;

/// Time between two looks at whether an erasure is made.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Makes an erasure durable, and has the catalog forget. Not to be dropped half way: run it as a task of its own.
pub(crate) async fn erase(
    api: &Arc<ApiState>,
    scope: &TenantScope,
    request: &ErasureRequest,
    by: &By,
) -> Result<Erasure, Problem> {
    let is_known = api.erasures.erasures(scope).iter().any(|known| known.id == request.id);
    let turn = api.forgetting.begin(&request.id);
    if !is_known {
        forget_row(api, scope, &request.subject, &by.cause).await?;
        api.access.forget_erased(by, &request.id, &request.subject).await?;
        api.settings.quotas().take_stored(scope).await?;
    }
    let erasure = api.erasures.erase(scope, request).await.map_err(|why| refused(why, is_known))?;
    if request.subject == Subject::Workspace {
        api.access.forget_workspace(&by.cause, scope).await?;
        api.settings.quotas().take_stored(scope).await?;
        return Ok(erasure);
    }
    let Some(turn) = turn else { return Ok(erasure) };
    let is_made = erasure.finished_at.is_some();
    if is_known && is_made {
        return Ok(erasure);
    }
    let forgotten = forget(api, scope, &request.subject, &by.cause).await;
    if !is_made || forgotten.is_err() {
        watch(api, scope.clone(), request.subject.clone(), turn);
    }
    forgotten?;
    Ok(erasure)
}

/// Goes on with erasures that were under way when the server was stopped, each by its id and with whom it is about.
pub fn resume_erasures(api: &Arc<ApiState>, unfinished: impl Iterator<Item = (TenantScope, String, Subject)>) {
    for (scope, id, subject) in unfinished.filter(|(_, _, subject)| *subject != Subject::Workspace) {
        if let Some(turn) = api.forgetting.begin(&id) {
            watch(api, scope, subject, turn);
        }
    }
}

/// Has the catalog forget once more when an erasure is made, for as long as the server runs.
fn watch(api: &Arc<ApiState>, scope: TenantScope, subject: Subject, turn: Turn) {
    let api = Arc::downgrade(api);
    tokio::spawn(async move {
        while !is_forgotten(&api, &scope, &subject, &turn.id).await {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    });
}

/// Whether nothing is left to be done, or nobody to do it.
async fn is_forgotten(api: &Weak<ApiState>, scope: &TenantScope, subject: &Subject, id: &str) -> bool {
    let Some(api) = api.upgrade() else { return true };
    let erasures = api.erasures.erasures(scope);
    if erasures.iter().any(|erasure| erasure.id == id && erasure.finished_at.is_none()) {
        return false;
    }
    match forget(&api, scope, subject, &Cause::server()).await {
        Ok(()) => true,
        Err(why) => {
            tracing::warn!(erasure = id, ?why, "the catalog may still hold some of what is erased; trying again");
            false
        }
    }
}

/// Leaves nothing of a subject in the catalog, and in memory what the catalog holds.
async fn forget(api: &ApiState, scope: &TenantScope, subject: &Subject, cause: &Cause) -> Result<(), Problem> {
    forget_row(api, scope, subject, cause).await?;
    api.access.forget_again(scope, subject).await?;
    // What was set after the catalog forgot is there, and holds.
    Ok(api.settings.quotas().take_stored(scope).await?)
}

/// Takes a user out of the reference table.
async fn forget_row(api: &ApiState, scope: &TenantScope, subject: &Subject, cause: &Cause) -> Result<(), Problem> {
    if let Subject::User(user) = subject {
        let change = TableChange::Forget { user: user.clone() };
        api.pipeline.reference_tables()?.change(scope, change, cause, None, ()).await?;
    }
    Ok(())
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
