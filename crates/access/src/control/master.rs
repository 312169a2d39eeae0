//! What of a register is of no use without the master key that it was made with, and the way out when that key is lost.

use domain::access::audit::Cause;
use domain::access::record::{ApiKey, KeyOrigin, Record, Session, SessionKind, SigningSecret, TokenKeyRecord};
use domain::time::{MICROS_PER_SECOND, Timestamp};
use ports::PortError;
use ports::register::{RegisterCommit, Revision};

use super::Store;

/// The tokens of a key that was retired so long ago have ended, in seconds.
pub(super) const RETIRED_S: i64 = 3_600;

/// Whether anything in the register is of no use without its master key.
///
/// # Errors
/// When the store cannot be read.
pub async fn needs_master(store: &dyn Store) -> Result<bool, PortError> {
    let mut needs = false;
    store.load(Revision::default(), &mut |record| needs |= ended(record, Timestamp::MIN).is_some()).await?;
    Ok(needs)
}

/// Ends everything that is of no use without the master key, and says how much that was: signing secrets and keys that
/// were made elsewhere are revoked, sessions that are held by tokens end, keys of access tokens are retired.
///
/// # Errors
/// When the store cannot be read or written.
pub async fn forget_master(store: &dyn Store, now: Timestamp) -> Result<usize, PortError> {
    let mut records = Vec::new();
    store.load(Revision::default(), &mut |record| records.extend(ended(record, now))).await?;
    let (count, cause) = (records.len(), Cause::command());
    let mut audit = vec![cause.draft(None, now, "master-key.replace", "server")];
    audit.extend(records.iter().filter_map(|record| match record {
        Record::ApiKey(key) => Some(cause.draft(key.workspace.as_ref(), now, "key.revoke", format!("key:{}", key.id))),
        Record::SigningSecret(secret) => {
            Some(cause.draft(Some(&secret.workspace), now, "secret.revoke", format!("secret:{}", secret.id)))
        }
        _ => None,
    }));
    store.commit(&RegisterCommit { records, audit, ..RegisterCommit::default() }).await?;
    Ok(count)
}

/// A record after its end, if it needs the master key and has not ended.
fn ended(record: Record, now: Timestamp) -> Option<Record> {
    match record {
        Record::ApiKey(key) if key.origin == KeyOrigin::Registered && key.revoked.is_none() => {
            Some(Record::ApiKey(ApiKey { revoked: Some(now), versioned: key.versioned.next(now), ..key }))
        }
        Record::SigningSecret(secret) if secret.revoked.is_none() => {
            let versioned = secret.versioned.next(now);
            Some(Record::SigningSecret(SigningSecret { revoked: Some(now), versioned, ..secret }))
        }
        Record::Session(session) if matches!(session.kind, SessionKind::Tokens(_)) && session.ended.is_none() => {
            Some(Record::Session(Session { ended: Some(now), versioned: session.versioned.next(now), ..session }))
        }
        Record::TokenKey(key) if !key.wrapped.is_empty() => {
            // Nothing opens it any more; its tokens are not taken from now on.
            let retired = Some(Timestamp::from_micros(now.micros().saturating_sub(2 * RETIRED_S * MICROS_PER_SECOND)));
            let versioned = key.versioned.next(now);
            Some(Record::TokenKey(TokenKeyRecord { retired, wrapped: Vec::new().into(), versioned, ..key }))
        }
        _ => None,
    }
}
