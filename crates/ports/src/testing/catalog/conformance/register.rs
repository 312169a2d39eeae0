//! What every register does.

use domain::access::audit::{AuditEntry, AuditFilter, Cause};
use domain::access::record::{PasswordReset, Record, Versioned, Workspace};
use domain::access::removal::Removal;
use domain::erasure::Subject;

use super::super::WholeCatalog;
use super::abandoned::f38_what_is_given_up_reaches_no_other_workspace;
use super::samples::{
    creation, draft, key, key_id, of_every_kind, profile, project, records, reset, since, sorted, user, workspace,
};
use super::uniqueness::what_is_unique_is_refused_twice;
use crate::register::{RegisterCommit, Revision};
use crate::testing::manifest::{Place, at, scope, tenant};
use crate::{ErrorKind, PortError};

/// Checks every promise of [`crate::register::Register`].
///
/// # Errors
/// When the store fails where it must not.
pub async fn register_conformance<P: Place<dyn WholeCatalog>>(new_place: impl Fn() -> P) -> Result<(), PortError> {
    records_of_every_kind_are_kept(&new_place()).await?;
    only_the_next_version_is_taken(&new_place()).await?;
    a_refused_commit_leaves_nothing(&new_place()).await?;
    what_has_changed_since_a_revision_is_handed_over(&new_place()).await?;
    many_records_are_handed_over_once(&new_place()).await?;
    tenants_of_the_catalog_are_workspaces(&new_place()).await?;
    tenants_of_the_catalog_are_in_the_log(&new_place()).await?;
    ids_that_differ_in_case_are_different(&new_place()).await?;
    what_is_unique_is_refused_twice(&new_place()).await?;
    the_use_of_a_key_is_noted_without_a_version(&new_place()).await?;
    what_has_ended_is_removed_as_it_was(&new_place()).await?;
    a_first_reset_takes_the_place_of_an_expired_one(&new_place()).await?;
    a_creation_is_made_once_until_it_expires(&new_place()).await?;
    f38_what_is_given_up_reaches_no_other_workspace(&new_place()).await?;
    a_profile_is_forgotten_and_may_come_again(&new_place()).await?;
    of_a_forgotten_workspace_only_its_id_is_left(&new_place()).await?;
    profiles_are_of_one_tenant(&new_place()).await
}

async fn records_of_every_kind_are_kept(place: &impl Place<dyn WholeCatalog>) -> Result<(), PortError> {
    let mut store = place.open().await?;
    assert_eq!(since(&*store, Revision(0)).await?, (Vec::new(), Revision(0)));
    for n in 1..4 {
        let all = of_every_kind(n);
        assert_eq!(store.commit(&records(&all)).await?, Revision(n));
        drop(store);
        store = place.open().await?;
        assert_eq!(since(&*store, Revision(0)).await?, (sorted(all), Revision(n)), "the last version only");
    }
    Ok(())
}

async fn only_the_next_version_is_taken(place: &impl Place<dyn WholeCatalog>) -> Result<(), PortError> {
    let store = place.open().await?;
    let refused = async |n: u64| {
        for record in of_every_kind(n) {
            let told = store.commit(&records(std::slice::from_ref(&record))).await.err().map(|error| error.kind());
            assert_eq!(told, Some(ErrorKind::Conflict), "{record:?}");
        }
    };
    refused(0).await;
    refused(2).await;
    for n in 1..4 {
        store.commit(&records(&of_every_kind(n))).await?;
        for wrong in [0, 1, n - 1, n, n + 2, 1 << 40] {
            refused(wrong).await;
        }
        assert_eq!(since(&*store, Revision(0)).await?, (sorted(of_every_kind(n)), Revision(n)));
    }
    Ok(())
}

async fn a_refused_commit_leaves_nothing(place: &impl Place<dyn WholeCatalog>) -> Result<(), PortError> {
    let store = place.open().await?;
    store.commit(&records(&[project("a", "Web", 1), Record::PasswordReset(reset(20, 1))])).await?;
    let before = since(&*store, Revision(0)).await?;
    // The last record does not fit; all before it do.
    let wrong = RegisterCommit {
        records: vec![Record::Workspace(workspace("b", 1)), project("a", "Web", 2), project("b", "Web", 2)],
        removals: vec![Removal::PasswordReset(user("u", "a@b.c", 1).id, 1)],
        audit: vec![draft("a", 1), draft("b", 1)],
    };
    let told = store.commit(&wrong).await.err().map(|error| error.kind());
    assert_eq!(told, Some(ErrorKind::Conflict));
    assert_eq!(since(&*store, Revision(0)).await?, before);
    assert_eq!(store.tenants().await?, []);
    assert_eq!(store.audit_heads().await?, []);
    assert_eq!(store.commit(&records(&[project("a", "Web", 2)])).await?, Revision(2), "and takes no revision");
    Ok(())
}

async fn what_has_changed_since_a_revision_is_handed_over(
    place: &impl Place<dyn WholeCatalog>,
) -> Result<(), PortError> {
    let store = place.open().await?;
    let one = store.commit(&records(&[project("a", "Web", 1), project("b", "Web", 1)])).await?;
    let two = store.commit(&records(&[project("a", "Web", 2), Record::User(user("u", "a@b.c", 1))])).await?;
    let three = store.commit(&records(&[project("a", "Web", 3)])).await?;
    let second = vec![project("a", "Web", 3), Record::User(user("u", "a@b.c", 1))];
    assert_eq!(since(&*store, one).await?, (sorted(second), three));
    assert_eq!(since(&*store, two).await?, (vec![project("a", "Web", 3)], three));
    assert_eq!(since(&*store, three).await?, (Vec::new(), three));
    // A commit may store one record twice, and what is handed over is the last.
    let twice = records(&[project("c", "Web", 1), project("c", "Web", 2)]);
    let four = store.commit(&twice).await?;
    assert_eq!(since(&*store, three).await?, (vec![project("c", "Web", 2)], four));
    Ok(())
}

async fn many_records_are_handed_over_once(place: &impl Place<dyn WholeCatalog>) -> Result<(), PortError> {
    let store = place.open().await?;
    let mut all = Vec::new();
    for commit in 0..4 {
        let of = [None, Some("a"), Some("b")].into_iter().cycle();
        let keys = (0..700).zip(of).map(|(n, of)| Record::ApiKey(key(&format!("{commit}k{n}k"), of, 1)));
        let keys: Vec<_> = keys.collect();
        store.commit(&records(&keys)).await?;
        all.push(keys);
    }
    for after in 0..4 {
        let changed = all.iter().skip(after).flatten().cloned().collect();
        let (found, revision) = since(&*store, Revision(after as u64)).await?;
        assert!(found == sorted(changed), "{} after {after}", found.len());
        assert_eq!(revision, Revision(4));
    }
    Ok(())
}

async fn tenants_of_the_catalog_are_workspaces(place: &impl Place<dyn WholeCatalog>) -> Result<(), PortError> {
    let store = place.open().await?;
    store.ensure_tenants(&[tenant("b"), tenant("a")], at(1), &Cause::server()).await?;
    store.ensure_tenants(&[tenant("a")], at(2), &Cause::server()).await?;
    store.ensure_tenants(&[], at(2), &Cause::server()).await?;
    let new = |id: &str, seconds| Workspace::new(tenant(id), id, at(seconds));
    let both = [new("a", 1), new("b", 1)];
    assert_eq!(since(&*store, Revision(0)).await?, (both.map(Record::Workspace).to_vec(), Revision(1)));
    let renamed = workspace("a", 2);
    store.commit(&records(&[Record::Workspace(renamed.clone())])).await?;
    store.ensure_tenants(&[tenant("a"), tenant("c")], at(3), &Cause::server()).await?;
    assert_eq!(since(&*store, Revision(2)).await?, (vec![Record::Workspace(new("c", 3))], Revision(3)));
    assert_eq!(store.tenants().await?, [renamed, new("b", 1), new("c", 3)]);
    Ok(())
}

/// Found in November 2026: a workspace that came with the configuration or an import was in no log.
async fn tenants_of_the_catalog_are_in_the_log(place: &impl Place<dyn WholeCatalog>) -> Result<(), PortError> {
    let store = place.open().await?;
    store.ensure_tenants(&[tenant("b"), tenant("a"), tenant("b")], at(1), &Cause::server()).await?;
    store.ensure_tenants(&[tenant("a")], at(2), &Cause::command()).await?;
    store.ensure_tenants(&[tenant("a"), tenant("c")], at(3), &Cause::command()).await?;
    let told = |entry: &AuditEntry| {
        let draft = &entry.draft;
        (draft.actor.clone(), draft.action.clone(), draft.target.clone(), draft.at)
    };
    let made = |actor: &str, id: &str, seconds| {
        (actor.to_owned(), "workspace.create".to_owned(), format!("workspace:{id}"), at(seconds))
    };
    let all = [made("server", "a", 1), made("server", "b", 1), made("command", "c", 3)];
    let of_server = store.audit_chain(None, 0, 10).await?;
    assert_eq!(of_server.iter().map(told).collect::<Vec<_>>(), all);
    for (id, entry) in ["a", "b", "c"].into_iter().zip(&all) {
        let own = store.audit_chain(Some(&tenant(id)), 0, 10).await?;
        assert_eq!(own.iter().map(told).collect::<Vec<_>>(), std::slice::from_ref(entry), "{id}");
    }
    Ok(())
}

async fn ids_that_differ_in_case_are_different(place: &impl Place<dyn WholeCatalog>) -> Result<(), PortError> {
    let store = place.open().await?;
    for id in ["acme", "Acme", "ACME"] {
        store.commit(&records(&[Record::Workspace(workspace(id, 1)), project(id, "Web", 1)])).await?;
    }
    let keys = [key("abc", Some("acme"), 1), key("ABC", Some("Acme"), 1)].map(Record::ApiKey);
    store.commit(&records(&keys)).await?;
    store.commit(&records(&[Record::Workspace(workspace("Acme", 2))])).await?;
    let workspaces = [workspace("ACME", 1), workspace("Acme", 2), workspace("acme", 1)];
    assert_eq!(store.tenants().await?, workspaces);
    assert_eq!(since(&*store, Revision(0)).await?.0.len(), 3 + 3 + 2);
    Ok(())
}

async fn the_use_of_a_key_is_noted_without_a_version(place: &impl Place<dyn WholeCatalog>) -> Result<(), PortError> {
    let store = place.open().await?;
    let mut keys = [key("a", Some("a"), 1), key("b", None, 1), key("c", Some("a"), 1)];
    let all = keys.clone().map(Record::ApiKey);
    let revision = store.commit(&records(&all)).await?;
    store.touch_keys(&[]).await?;
    store.touch_keys(&[(key_id("a"), at(5)), (key_id("b"), at(-5)), (key_id("none"), at(5))]).await?;
    store.touch_keys(&[(key_id("a"), at(4)), (key_id("b"), at(6)), (key_id("b"), at(3))]).await?;
    keys[0].last_used = Some(at(5));
    keys[1].last_used = Some(at(6));
    let touched = keys.clone().map(Record::ApiKey).to_vec();
    assert_eq!(since(&*store, Revision(0)).await?, (touched, revision), "no revision");
    assert_eq!(since(&*store, revision).await?, (Vec::new(), revision));
    // A change that knows of an earlier use, of none, and of a later one.
    let versioned = Versioned { version: 2, ..keys[0].versioned };
    for (index, (used, stays)) in [(Some(at(1)), at(5)), (None, at(6)), (Some(at(7)), at(7))].into_iter().enumerate() {
        keys[index].versioned = versioned;
        keys[index].last_used = used;
        store.commit(&records(&[Record::ApiKey(keys[index].clone())])).await?;
        keys[index].last_used = Some(stays);
    }
    assert_eq!(since(&*store, Revision(0)).await?.0, keys.map(Record::ApiKey));
    Ok(())
}

/// The removal of a record of [`of_every_kind`], if it is one that ends, in version `n`.
fn removal(record: &Record, n: u64) -> Option<Removal> {
    match record {
        Record::ApiKey(it) => Some(Removal::ApiKey(it.id, n)),
        Record::SigningSecret(it) => Some(Removal::SigningSecret(it.id, n)),
        Record::Invitation(it) => Some(Removal::Invitation(it.id, n)),
        Record::PasswordReset(it) => Some(Removal::PasswordReset(it.user, n)),
        Record::Session(it) => Some(Removal::Session(it.id, n)),
        Record::TokenKey(it) => Some(Removal::TokenKey(it.kid.clone(), n)),
        _ => None,
    }
}

async fn what_has_ended_is_removed_as_it_was(place: &impl Place<dyn WholeCatalog>) -> Result<(), PortError> {
    let mut store = place.open().await?;
    let remove = |removals: Vec<Removal>| RegisterCommit { removals, audit: vec![draft("a", 1)], ..Default::default() };
    let of_version = |n| of_every_kind(2).iter().filter_map(|record| removal(record, n)).collect::<Vec<_>>();
    for n in 1..3 {
        store.commit(&records(&of_every_kind(n))).await?;
    }
    let made = [creation(1, "first", 1, 10), creation(2, "other", 1, 10)].map(Record::Creation);
    store.commit(&records(&made)).await?;
    let all = sorted([of_every_kind(2), made.to_vec()].concat());
    // Of another version, or not there.
    let later = [Removal::Creation([1; 32], at(11)), Removal::Creation([3; 32], at(10))];
    let others = [of_version(1), of_version(3), of_version(u64::from(u32::MAX)), later.to_vec()].concat();
    assert_eq!(store.commit(&remove(others)).await?, Revision(4));
    assert_eq!(since(&*store, Revision(0)).await?, (all, Revision(4)));
    let removals = [of_version(2), vec![Removal::Creation([1; 32], at(10))]].concat();
    assert_eq!(removals.len(), 9);
    store.commit(&remove([removals.clone(), removals].concat())).await?;
    drop(store);
    store = place.open().await?;
    let ends = |record: &Record| removal(record, 2).is_some();
    let left: Vec<_> = of_every_kind(2).into_iter().filter(|record| !ends(record)).collect();
    let left = sorted([left, vec![Record::Creation(creation(2, "other", 1, 10))]].concat());
    assert_eq!(since(&*store, Revision(0)).await?, (left, Revision(5)));
    assert_eq!(store.audit_entries(&scope("a"), &AuditFilter::default(), 9).await?.len(), 2);
    // What is gone begins again, also in the commit that removes it.
    let again: Vec<_> = of_every_kind(1).into_iter().filter(ends).collect();
    store.commit(&records(&again)).await?;
    let removals = again.iter().filter_map(|record| removal(record, 1)).collect();
    store.commit(&RegisterCommit { records: again, removals, ..RegisterCommit::default() }).await?;
    Ok(())
}

async fn a_first_reset_takes_the_place_of_an_expired_one(
    place: &impl Place<dyn WholeCatalog>,
) -> Result<(), PortError> {
    let store = place.open().await?;
    let make = async |reset| {
        let made = store.commit(&records(&[Record::PasswordReset(reset)])).await;
        made.map_err(|error| error.kind()).map(drop)
    };
    let new = |seconds, expires| PasswordReset { versioned: Versioned::new(at(seconds)), ..reset(expires, 1) };
    assert_eq!(make(new(1, 10)).await, Ok(()));
    assert_eq!(make(new(9, 20)).await, Err(ErrorKind::Conflict), "it has not expired");
    assert_eq!(make(reset(15, 2)).await, Ok(()));
    assert_eq!(make(PasswordReset { versioned: reset(0, 2).versioned, ..new(30, 40) }).await, Err(ErrorKind::Conflict));
    assert_eq!(make(new(15, 40)).await, Ok(()));
    assert_eq!(since(&*store, Revision(0)).await?, (vec![Record::PasswordReset(new(15, 40))], Revision(3)));
    Ok(())
}

async fn a_creation_is_made_once_until_it_expires(place: &impl Place<dyn WholeCatalog>) -> Result<(), PortError> {
    let store = place.open().await?;
    let make = async |creation| {
        let made = store.commit(&records(&[Record::Creation(creation)])).await;
        made.map_err(|error| error.kind()).map(drop)
    };
    assert_eq!(make(creation(1, "first", 1, 10)).await, Ok(()));
    assert_eq!(make(creation(2, "other", 1, 10)).await, Ok(()));
    assert_eq!(make(creation(1, "first", 1, 10)).await, Err(ErrorKind::Conflict));
    assert_eq!(make(creation(1, "second", 9, 20)).await, Err(ErrorKind::Conflict));
    assert_eq!(make(creation(1, "second", 10, 20)).await, Ok(()));
    let left = [creation(1, "second", 10, 20), creation(2, "other", 1, 10)].map(Record::Creation);
    assert_eq!(since(&*store, Revision(0)).await?.0, sorted(left.to_vec()));
    Ok(())
}

async fn profiles_are_of_one_tenant(place: &impl Place<dyn WholeCatalog>) -> Result<(), PortError> {
    let store = place.open().await?;
    let all = [profile("a", "x", 1), profile("a", "ä", 1), profile("b", "x", 1), profile("b", "only", 1)];
    store.commit(&records(&all.clone().map(Record::Customer))).await?;
    store.commit(&records(&[Record::Customer(profile("a", "x", 2))])).await?;
    assert_eq!(since(&*store, Revision(0)).await?, (Vec::new(), Revision(2)), "not handed over");
    let asked = |customers: &[&str]| customers.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>();
    let found = store.customer_profiles(&scope("a"), &asked(&["ä", "x", "only", "none", "x", ""])).await?;
    assert_eq!(found, [profile("a", "x", 2), profile("a", "ä", 1)]);
    assert_eq!(store.customer_profiles(&scope("c"), &asked(&["x"])).await?, []);
    assert_eq!(store.customer_profiles(&scope("a"), &[]).await?, []);
    let many: Vec<_> = (0..3_000).map(|n| format!("c-{n}")).chain(asked(&["x"])).collect();
    assert_eq!(store.customer_profiles(&scope("b"), &many).await?, [profile("b", "x", 1)]);
    let stale = store.commit(&records(&[Record::Customer(profile("a", "x", 2))])).await;
    assert_eq!(stale.err().map(|error| error.kind()), Some(ErrorKind::Conflict));
    Ok(())
}

async fn of_a_forgotten_workspace_only_its_id_is_left(place: &impl Place<dyn WholeCatalog>) -> Result<(), PortError> {
    let store = place.open().await?;
    store.commit(&records(&of_every_kind(1))).await?;
    let others: Vec<_> = ["b", "c"].map(|of| Record::Workspace(workspace(of, 1))).into();
    let kept = [profile("b", "x", 1)].map(Record::Customer);
    for record in others.iter().chain(&kept) {
        // One of the samples may be there already.
        let _ = store.commit(&records(std::slice::from_ref(record))).await;
    }
    let before = since(&*store, Revision(0)).await?.0;
    for _ in 0..2 {
        store.forget_workspace(&scope("a")).await?;
    }
    drop(store);
    let store = place.open().await?;
    let is_left = |record: &&Record| match record {
        Record::Project(it) => it.workspace != tenant("a"),
        Record::Membership(it) => it.workspace != tenant("a"),
        Record::Creation(it) => it.workspace != Some(tenant("a")),
        Record::ApiKey(it) => it.workspace != Some(tenant("a")),
        Record::SigningSecret(it) => it.workspace != tenant("a"),
        Record::Invitation(it) => it.workspace != tenant("a"),
        Record::Encryption(it) => it.workspace != tenant("a"),
        Record::DataKey(it) => it.workspace != tenant("a"),
        _ => true,
    };
    let expected: Vec<_> = before.iter().filter(is_left).cloned().collect();
    assert!(expected.len() < before.len());
    assert_eq!(since(&*store, Revision(0)).await?.0, expected);
    assert_eq!(store.customer_profiles(&scope("b"), &["x".to_owned()]).await?, [profile("b", "x", 1)], "I5");
    Ok(())
}

async fn a_profile_is_forgotten_and_may_come_again(place: &impl Place<dyn WholeCatalog>) -> Result<(), PortError> {
    let store = place.open().await?;
    let all = [profile("a", "x", 1), profile("a", "y", 1), profile("b", "x", 1)];
    store.commit(&records(&all.clone().map(Record::Customer))).await?;
    store.forget(&scope("a"), &Subject::User("y".to_owned()), "1").await?;
    for _ in 0..2 {
        store.forget(&scope("a"), &Subject::Customer("x".to_owned()), "2").await?;
    }
    let asked = ["x", "y"].map(str::to_owned);
    assert_eq!(store.customer_profiles(&scope("a"), &asked).await?, [all[1].clone()]);
    assert_eq!(store.customer_profiles(&scope("b"), &asked).await?, [all[2].clone()], "I5: of one tenant");
    store.commit(&records(&[Record::Customer(profile("a", "x", 1))])).await?;
    drop(store);
    let store = place.open().await?;
    assert_eq!(store.customer_profiles(&scope("a"), &asked).await?, [profile("a", "x", 1), all[1].clone()]);
    Ok(())
}
