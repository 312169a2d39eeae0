//! What may be there once only.

use domain::access::record::{ApiKey, Record};

use super::super::WholeCatalog;
use super::samples::{draft, invitation, key, records, registered, secret, since, sorted, user};
use crate::register::{RegisterCommit, Revision};
use crate::testing::manifest::Place;
use crate::{ErrorKind, PortError};

pub(super) async fn what_is_unique_is_refused_twice(place: &impl Place<dyn WholeCatalog>) -> Result<(), PortError> {
    let store = place.open().await?;
    let there = [
        Record::User(user("u1", "Ann@Example.com", 1)),
        Record::User(user("u2", "ärger@example.com", 1)),
        Record::ApiKey(registered("k1", Some("a"), 1, 1)),
        Record::ApiKey(registered("k2", None, 2, 1)),
        Record::ApiKey(key("k3", Some("a"), 1)),
        // Only of registered keys is the hash unique.
        Record::ApiKey(key("k4", Some("b"), 1)),
        Record::SigningSecret(secret("s1", "a", 1)),
        Record::Invitation(invitation("i1", "a", 9, 1)),
    ];
    store.commit(&records(&there)).await?;
    for record in [
        Record::User(user("u3", "ann@example.COM", 1)),
        Record::User(user("u3", "ÄRGER@example.com", 1)),
        Record::User(user("u2", "ANN@example.com", 2)),
        Record::ApiKey(registered("k5", Some("b"), 1, 1)),
        Record::ApiKey(registered("k5", None, 2, 1)),
        Record::ApiKey(ApiKey { revoked: None, ..registered("k2", None, 1, 2) }),
        // An id is one key's, secret's or invitation's over all workspaces, and none moves to another.
        Record::ApiKey(key("k3", Some("b"), 1)),
        Record::ApiKey(key("k3", None, 1)),
        Record::ApiKey(key("k3", Some("b"), 2)),
        Record::SigningSecret(secret("s1", "b", 1)),
        Record::SigningSecret(secret("s1", "b", 2)),
        Record::Invitation(invitation("i1", "b", 9, 1)),
        Record::Invitation(invitation("i1", "b", 9, 2)),
    ] {
        let commit =
            RegisterCommit { records: vec![record.clone()], audit: vec![draft("a", 1)], ..RegisterCommit::default() };
        let told = store.commit(&commit).await.err().map(|error| error.kind());
        assert_eq!(told, Some(ErrorKind::Conflict), "{record:?}");
    }
    assert_eq!(since(&*store, Revision(0)).await?, (sorted(there.to_vec()), Revision(1)));
    assert_eq!(store.audit_heads().await?, []);
    // One's own address and hash stay one's own; what was given up can be taken.
    let mut moved = user("u1", "other@example.com", 3);
    moved.versioned.version = 3;
    let next = [
        Record::User(user("u1", "ANN@example.com", 2)),
        Record::User(moved),
        Record::User(user("u3", "ann@example.com", 1)),
        Record::ApiKey(registered("k1", Some("a"), 3, 2)),
        Record::ApiKey(registered("k5", Some("a"), 1, 1)),
    ];
    store.commit(&records(&next)).await?;
    the_hash_of_a_revoked_key_is_free(&*store).await
}

/// The text of a registered key can be registered again, anywhere, when the key was revoked; one that holds it is one
/// at a time.
async fn the_hash_of_a_revoked_key_is_free(store: &dyn WholeCatalog) -> Result<(), PortError> {
    let put = async |key| {
        let told = store.commit(&records(&[Record::ApiKey(key)])).await;
        told.err().map(|error| error.kind())
    };
    let theirs = |begin: &str, of: &str, n: u64| registered(begin, Some(of), 9, n);
    assert_eq!(put(theirs("r1", "a", 1)).await, None);
    assert_eq!(put(theirs("r2", "b", 1)).await, Some(ErrorKind::Conflict));
    // Version 2 of a sample is revoked.
    assert_eq!(put(theirs("r1", "a", 2)).await, None);
    assert_eq!(put(theirs("r2", "b", 1)).await, None);
    assert_eq!(put(theirs("r3", "a", 1)).await, Some(ErrorKind::Conflict));
    assert_eq!(put(ApiKey { revoked: None, ..theirs("r1", "a", 3) }).await, Some(ErrorKind::Conflict));
    assert_eq!(put(theirs("r2", "b", 2)).await, None, "several may be revoked");
    assert_eq!(put(theirs("r3", "a", 1)).await, None);
    Ok(())
}
