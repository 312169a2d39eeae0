//! What is stored and removed from time to time.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use access::control::{CreationKey, MadeKey, NewKey, NewSecret};
use access::{AccessControl, AccessParts, By};
use domain::access::audit::{AuditEntry, AuditFilter};
use domain::access::ids::{SessionId, UserId};
use domain::access::principal::Refusal;
use domain::access::record::{Record, Session, SessionKind, Versioned};
use domain::access::rights::Role;
use domain::limits::{ENDED_KEPT, KEY_USES_STORED_EVERY, REMOVED_AT_ONCE_MAX};
use domain::tenant::TenantScope;
use domain::time::Timestamp;
use ports::register::{AuditLog, Register, RegisterCommit, Revision};
use ports::testing::catalog::MemoryCatalog;
use ports::testing::clock::ManualClock;
use ports::testing::manifest::FaultPoint;

use crate::handles::{acme, by, clock, new_key, open, opens, parts};

const PASSWORD: &str = "correct horse battery";

/// A process over a store of its own.
async fn alone() -> (Arc<MemoryCatalog>, Arc<ManualClock>, Arc<AccessControl>) {
    let (store, clock) = (Arc::new(MemoryCatalog::new()), clock());
    let control = AccessControl::load(AccessParts { store: store.clone(), ..parts(&store, &clock, "07") });
    let control = control.await.unwrap();
    control.create_workspace(&by(), "acme", None, None).await.unwrap();
    (store, clock, control)
}

/// How many records of each kind there are.
async fn kinds(store: &MemoryCatalog) -> BTreeMap<&'static str, usize> {
    let mut counts = BTreeMap::new();
    let mut count = |record| {
        let kind = match record {
            Record::ApiKey(_) => "keys",
            Record::SigningSecret(_) => "secrets",
            Record::Invitation(_) => "invitations",
            Record::PasswordReset(_) => "resets",
            Record::Session(_) => "sessions",
            Record::TokenKey(_) => "token keys",
            Record::Creation(_) => "creations",
            Record::Workspace(_)
            | Record::Project(_)
            | Record::User(_)
            | Record::Membership(_)
            | Record::Encryption(_)
            | Record::DataKey(_)
            | Record::Customer(_) => {
                return;
            }
        };
        *counts.entry(kind).or_default() += 1;
    };
    store.load(Revision(0), &mut count).await.unwrap();
    counts
}

async fn removals_told(store: &MemoryCatalog) -> Vec<AuditEntry> {
    let filter = AuditFilter { action: Some("register.remove-ended".to_owned()), ..AuditFilter::default() };
    store.server_audit_entries(&filter, 1_000).await.unwrap()
}

fn by_owner() -> By {
    let mut by = by();
    by.principal.workspace = Some(TenantScope::for_operator(acme()));
    by.principal.rights.role = Some(Role::Owner);
    by
}

#[tokio::test]
async fn what_ended_long_ago_is_removed_and_told_of_once() {
    let (store, clock, control) = alone().await;
    let owner = by_owner();
    let revoked = control.create_key(&by(), Some(&acme()), new_key("revoked", None), None).await.unwrap();
    let expires = Some(control.now().plus_micros(1_000_000));
    let expired = NewKey { expires, ..new_key("expired", None) };
    let expired = control.create_key(&by(), Some(&acme()), expired, None).await.unwrap();
    let goes_on = control.create_key(&by(), Some(&acme()), new_key("goes on", None), None).await.unwrap();
    let secret = NewSecret { name: "edge".to_owned(), project: None, expires: None };
    let secret = control.create_secret(&owner, secret, None).await.unwrap();
    control.revoke_secret(&owner, secret.secret.id.as_str(), None).await.unwrap();
    control.invite(&owner, "new@example.com", Role::Viewer, None).await.unwrap();
    let ann = control.add_member(&by(), &acme(), "ann@example.com", None, Role::Owner, None).await.unwrap();
    control.reset_password(&by(), ann.reset.unwrap().token.expose(), PASSWORD).await.unwrap();
    let login = control.log_in(&by(), "ann@example.com", PASSWORD, true).await.unwrap();
    control.log_out(&by(), login.session).await.unwrap();
    control.rotate_token_key(&by()).await.unwrap();
    control.revoke_key(&by(), Some(&acme()), revoked.key.id.as_str(), None).await.unwrap();

    let all = kinds(&store).await;
    clock.advance(ENDED_KEPT.checked_sub(Duration::from_secs(1)).unwrap());
    control.remove_ended().await.unwrap();
    assert_eq!((kinds(&store).await, removals_told(&store).await), (all, vec![]), "not before its time");
    clock.advance(Duration::from_secs(4 * 24 * 3_600));
    clock.doubt_it(true);
    control.remove_ended().await.unwrap();
    assert_eq!(removals_told(&store).await, [], "nothing by a clock that is not believed");
    clock.doubt_it(false);
    control.remove_ended().await.unwrap();
    control.remove_ended().await.unwrap();
    assert_eq!(kinds(&store).await, [("keys", 1), ("token keys", 1)].into());
    let told = removals_told(&store).await;
    assert_eq!(told.len(), 1, "nothing is told when nothing is removed: {told:?}");
    assert_eq!(
        (told[0].draft.actor.as_str(), told[0].draft.before.as_deref()),
        (
            "server",
            Some(r#"{"invitations":1,"keys":2,"password_resets":1,"sessions":1,"signing_secrets":1,"token_keys":1}"#)
        )
    );

    // Here and after a restart.
    for is_restarted in [false, true] {
        let control = if is_restarted { open(&store, &clock, "07").await } else { Arc::clone(&control) };
        let of = |made: &MadeKey| opens(&control, made.text.as_ref().unwrap().expose());
        let unknown = Err(Refusal::UnknownKey);
        assert_eq!((of(&revoked), of(&expired), of(&goes_on)), (unknown, unknown, Ok(())));
        let login = control.log_in(&by(), "ann@example.com", PASSWORD, false).await.unwrap();
        control.first_tokens(&login).await.unwrap();
        let ann = control.user_of(login.session).unwrap();
        control.create_reset(&by(), ann.id).await.unwrap();
    }
}

/// A process that does not remove, and knows a reset that another has removed, makes the next one all the same.
#[tokio::test]
async fn what_another_process_has_removed_hinders_nothing() {
    let (store, clock, control) = alone().await;
    let ann = control.add_member(&by(), &acme(), "ann@example.com", None, Role::Owner, None).await.unwrap();
    let other = open(&store, &clock, "07").await;
    clock.advance(ENDED_KEPT * 2);
    control.remove_ended().await.unwrap();
    let reset = other.create_reset(&by(), ann.user.id).await.unwrap();
    control.refresh().await.unwrap();
    control.reset_password(&by(), reset.token.expose(), PASSWORD).await.unwrap();
}

#[tokio::test]
async fn what_another_process_has_removed_is_forgotten() {
    let (store, clock, control) = alone().await;
    let made = control.create_key(&by(), Some(&acme()), new_key("revoked", None), None).await.unwrap();
    let text = made.text.unwrap();
    let other = open(&store, &clock, "07").await;
    control.revoke_key(&by(), Some(&acme()), made.key.id.as_str(), None).await.unwrap();
    other.refresh().await.unwrap();
    let keeping_up = tokio::spawn(Arc::clone(&other).keep_up());
    let settle = async || {
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
    };
    settle().await;
    clock.advance(ENDED_KEPT);
    control.remove_ended().await.unwrap();
    settle().await;
    assert_eq!(opens(&other, text.expose()), Err(Refusal::RevokedKey));
    clock.advance(Duration::from_secs(24 * 3_600));
    settle().await;
    assert_eq!(opens(&other, text.expose()), Err(Refusal::UnknownKey));
    keeping_up.abort();
}

#[tokio::test]
async fn a_creation_is_forgotten_when_its_day_is_over_without_an_entry() {
    let (store, clock, control) = alone().await;
    let key = CreationKey::new("caller", Some(&acme()), "/v1/keys", "k", b"{}");
    let make = async || control.create_key(&by(), Some(&acme()), new_key("once", None), Some(key)).await.is_ok();
    assert_eq!((make().await, make().await), (true, false));
    clock.advance(Duration::from_secs(24 * 3_600 - 1));
    control.remove_ended().await.unwrap();
    assert!(!make().await);
    clock.advance(Duration::from_secs(1));
    control.remove_ended().await.unwrap();
    assert_eq!((kinds(&store).await.get("creations"), removals_told(&store).await), (None, vec![]));
    assert!(make().await);
}

#[tokio::test]
async fn i6_much_is_removed_some_at_a_time() {
    let (store, clock) = (Arc::new(MemoryCatalog::new()), clock());
    let count = 2 * REMOVED_AT_ONCE_MAX + 1;
    let user = UserId::parse("aaaaaaaaaaaa").unwrap();
    let session = |n: usize| {
        let id = SessionId::parse(&format!("{n:012}")).unwrap();
        let (kind, expires, versioned) = (SessionKind::Tokens(0), clock_now(&clock), Versioned::new(clock_now(&clock)));
        Record::Session(Session { id, user, kind, expires, ended: None, versioned })
    };
    let records = (0..count).map(session).collect();
    store.commit(&RegisterCommit { records, ..RegisterCommit::default() }).await.unwrap();
    clock.advance(ENDED_KEPT);
    let control = AccessControl::load(AccessParts { store: store.clone(), ..parts(&store, &clock, "07") });
    let control = control.await.unwrap();
    store.fail_next(FaultPoint::DiskFull);
    control.remove_ended().await.unwrap_err();
    assert_eq!(kinds(&store).await["sessions"], count, "nothing is forgotten that is not removed");
    control.remove_ended().await.unwrap();
    assert_eq!(kinds(&store).await.get("sessions"), None);
    let told = removals_told(&store).await;
    let told: Vec<_> = told.iter().filter_map(|entry| entry.draft.before.as_deref()).collect();
    assert_eq!(told, [r#"{"sessions":1}"#, r#"{"sessions":500}"#, r#"{"sessions":500}"#]);
}

fn clock_now(clock: &ManualClock) -> Timestamp {
    ports::clock::Clock::now(clock)
}

#[tokio::test]
async fn the_last_use_of_a_key_is_kept_to_the_minute_and_not_written_for_each_request() {
    let (store, clock, control) = alone().await;
    let made = control.create_key(&by(), Some(&acme()), new_key("k", None), None).await.unwrap();
    let (id, text) = (made.key.id.to_string(), made.text.unwrap());
    let text = text.expose();
    let last = |control: &AccessControl| control.key(Some(&acme()), &id).unwrap().last_used;
    assert_eq!(last(&control), None);
    let (first, calls) = (control.now(), store.calls());
    // Nobody who reads the register is held up by a use, nor holds one up.
    let reading = control.register();
    for _ in 0..100 {
        opens(&control, text).unwrap();
        clock.advance(Duration::from_millis(10));
    }
    drop(reading);
    assert_eq!((last(&control), store.calls()), (Some(first), calls));
    control.store_uses().await;
    control.store_uses().await;
    assert_eq!(store.calls(), calls + 1, "what is stored is not stored again");
    assert_eq!(last(&*open(&store, &clock, "07").await), Some(first));
    clock.advance(Duration::from_secs(60));
    opens(&control, text).unwrap();
    let second = control.now();
    assert_eq!(last(&control), Some(second));
    // A use that could not be stored is stored the next time.
    store.fail_next(FaultPoint::DiskFull);
    control.store_uses().await;
    assert_eq!((last(&control), last(&*open(&store, &clock, "07").await)), (Some(second), Some(first)));
    control.store_uses().await;
    assert_eq!(last(&*open(&store, &clock, "07").await), Some(second));
}

#[tokio::test]
async fn uses_are_stored_every_five_minutes() {
    let (store, clock, control) = alone().await;
    let made = control.create_key(&by(), Some(&acme()), new_key("k", None), None).await.unwrap();
    opens(&control, made.text.unwrap().expose()).unwrap();
    let used = control.now();
    let stored = async || {
        let mut found = None;
        store
            .load(Revision(0), &mut |record| {
                if let Record::ApiKey(key) = record {
                    found = key.last_used;
                }
            })
            .await
            .unwrap();
        found
    };
    let keeping_up = tokio::spawn(Arc::clone(&control).keep_up());
    let settle = async || {
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
    };
    settle().await;
    for _ in 0..4 {
        clock.advance(KEY_USES_STORED_EVERY / 5);
        settle().await;
        assert_eq!(stored().await, None);
    }
    clock.advance(KEY_USES_STORED_EVERY / 5);
    settle().await;
    assert_eq!(stored().await, Some(used));
    keeping_up.abort();
}
