//! What every audit log does.

use domain::access::audit::{
    AuditDetail, AuditDraft, AuditEntry, AuditFilter, AuditHead, Cause, ERASURE_ACTION, WORKSPACE_ERASURE_ACTION,
    erasure_target,
};
use domain::access::erased_details::{ErasedDetails, GoneDetails};
use domain::access::record::Record;
use domain::erasure::Subject;
use domain::limits::PAGE_BYTES_MAX;
use domain::reference::ReferenceTable;
use std::sync::Arc;

use super::super::WholeCatalog;
use super::decisions::periods;
use super::samples::{draft, key, project, since};
use crate::active_users::VersionedZone;
use crate::catalog::TenantSettings;
use crate::register::{RegisterCommit, Revision};
use crate::testing::manifest::{FaultPoint, Place, at, scope, tenant};
use crate::{ErrorKind, PortError};

/// Checks every promise of [`crate::register::AuditLog`], and that every change brings its entry.
///
/// # Errors
/// When the store fails where it must not.
pub async fn audit_conformance<P: Place<dyn WholeCatalog>>(new_place: impl Fn() -> P) -> Result<(), PortError> {
    chains_are_apart_and_begin_with_one(&new_place()).await?;
    entries_are_kept_as_they_are(&new_place()).await?;
    filters_have_to_fit_and_pages_follow_each_other(&new_place()).await?;
    a_page_ends_when_it_is_long_enough(&new_place()).await?;
    every_decision_brings_its_entry(&new_place()).await?;
    what_is_erased_goes_and_the_chain_holds(&new_place()).await?;
    an_entry_about_an_erasure_tells_who_has_asked_until_that_user_is_erased(&new_place()).await?;
    of_a_workspace_that_is_erased_no_detail_is_left(&new_place()).await?;
    a_refused_decision_brings_none(&new_place()).await
}

/// Checks that a change and its entry count together or not at all, whatever fails, and that nothing is written after
/// a write that failed. `fail_next` lets the next write to the store that was opened last fail.
///
/// # Errors
/// When the store fails where it must not.
pub async fn audit_fault_conformance<P: Place<dyn WholeCatalog>>(
    new_place: impl Fn() -> P,
    points: &[FaultPoint],
    fail_next: impl Fn(&P, FaultPoint),
) -> Result<(), PortError> {
    for point in points {
        for change in 0..4 {
            let place = new_place();
            let store = place.open().await?;
            changed(&*store, change, 1).await?;
            let before = state(&*store).await?;
            assert_eq!(store.poisoned(), None);
            fail_next(&place, *point);
            let told = changed(&*store, change, 2).await.err().map(|error| error.kind());
            let poisons = *point != FaultPoint::DiskFull;
            assert_eq!(store.poisoned().is_some(), poisons, "{point:?}");
            assert_eq!(told, Some(if poisons { ErrorKind::Poisoned } else { ErrorKind::Full }), "{point:?}");
            if poisons {
                for other in 0..4 {
                    let told = changed(&*store, other, 9).await.err().map(|error| error.kind());
                    assert_eq!(told, Some(ErrorKind::Poisoned), "{point:?}, then {other}");
                }
            }
            drop(store);
            let store = place.open().await?;
            let stayed = state(&*store).await? == before;
            assert_eq!(stayed, *point != FaultPoint::AfterCommit, "{point:?} {change}");
            let entries = store.audit_entries(&scope("a"), &AuditFilter::default(), 9).await?.len();
            assert_eq!(entries, if stayed { 1 } else { 2 }, "{point:?} {change}: the entry comes with the change");
            is_whole(&*store).await?;
            changed(&*store, change, if stayed { 2 } else { 3 }).await?;
        }
    }
    Ok(())
}

/// Makes the `n`th change of a kind.
async fn changed(store: &dyn WholeCatalog, kind: usize, n: u64) -> Result<(), PortError> {
    let (a, audit) = (scope("a"), draft("a", 1));
    match kind {
        0 => store
            .commit(&RegisterCommit {
                records: vec![project("a", "Web", n)],
                audit: vec![audit],
                ..RegisterCommit::default()
            })
            .await
            .map(drop),
        1 => {
            let max_lateness_sec = u32::try_from(n).ok();
            store.store_settings(&a, &TenantSettings { max_lateness_sec, ..TenantSettings::default() }, &audit).await
        }
        2 => {
            store
                .store_wanted_zone(&a, &VersionedZone { version: n, ..VersionedZone::default() }, &periods(0), &audit)
                .await
        }
        _ => store.store_reference(&a, &table(n), &audit).await,
    }
}

fn table(generation: u64) -> Arc<ReferenceTable> {
    Arc::new(ReferenceTable { generation, ..ReferenceTable::default() })
}

/// Everything but the log, as text.
async fn state(store: &dyn WholeCatalog) -> Result<String, PortError> {
    let (settings, zones) = (store.settings().await?, store.wanted_zones().await?);
    let tables = store.reference_tables().await?;
    Ok(format!("{:?} {settings:?} {zones:?} {tables:?}", since(store, Revision(0)).await?))
}

/// Follows every chain from its first entry to its head, which tells of all details that are gone.
async fn is_whole(store: &dyn WholeCatalog) -> Result<(), PortError> {
    for (workspace, head) in store.audit_heads().await? {
        let (mut at, mut gone) = (AuditHead::default(), GoneDetails::default());
        for entry in store.audit_chain(workspace.as_ref(), 0, usize::MAX).await? {
            assert!(entry.follows(at), "{entry:?}");
            gone.add(&entry);
            at = entry.head();
        }
        assert_eq!(at, head, "{workspace:?}");
        assert_eq!(gone.others().count(), 0, "{workspace:?}");
    }
    Ok(())
}

fn logged(audit: Vec<AuditDraft>) -> RegisterCommit {
    RegisterCommit { audit, ..RegisterCommit::default() }
}

fn of_server(seconds: i64) -> AuditDraft {
    Cause::command().draft(None, at(seconds), "server.test", "server")
}

async fn chains_are_apart_and_begin_with_one(place: &impl Place<dyn WholeCatalog>) -> Result<(), PortError> {
    let store = place.open().await?;
    assert_eq!(store.audit_heads().await?, []);
    store.commit(&logged(vec![draft("b", 1), of_server(1), draft("a", 1), draft("b", 2)])).await?;
    drop(store);
    let store = place.open().await?;
    store.commit(&logged(vec![of_server(2), draft("b", 3)])).await?;
    is_whole(&*store).await?;
    let heads: Vec<_> = store.audit_heads().await?.into_iter().map(|(chain, head)| (chain, head.seq)).collect();
    assert_eq!(heads, [(None, 2), (Some(tenant("a")), 1), (Some(tenant("b")), 3)]);
    let chain = |after, limit| store.audit_chain(None, after, limit);
    assert_eq!(
        chain(0, 9).await?.iter().map(|entry| entry.draft.clone()).collect::<Vec<_>>(),
        [of_server(1), of_server(2)]
    );
    assert_eq!(chain(0, 1).await?, chain(0, 9).await?[..1]);
    assert_eq!(chain(1, 9).await?, chain(0, 9).await?[1..]);
    assert_eq!(chain(2, 9).await?, []);
    assert_eq!(store.audit_chain(Some(&tenant("none")), 0, 9).await?, []);
    Ok(())
}

async fn entries_are_kept_as_they_are(place: &impl Place<dyn WholeCatalog>) -> Result<(), PortError> {
    let store = place.open().await?;
    let full = AuditDraft {
        before: Some("{\"a\":\"ß\"}".to_owned()),
        after: Some(String::new()),
        address: Some("2001:db8::1".to_owned()),
        request_id: Some("r-1".to_owned()),
        ..draft("a", -5)
    };
    let bare = draft("a", 1);
    store.commit(&logged(vec![full.clone(), bare.clone()])).await?;
    drop(store);
    let store = place.open().await?;
    let all = AuditFilter::default();
    let kept = store.audit_entries(&scope("a"), &all, 9).await?;
    assert_eq!(kept.iter().map(|entry| entry.draft.clone()).collect::<Vec<_>>(), [bare, full]);
    let [second, first] = &kept[..] else { unreachable!("two entries") };
    assert!(first.follows(AuditHead::default()) && second.follows(first.head()));
    assert_ne!(first.detail, second.detail, "each has a salt of its own");
    let second = second.clone();
    assert_eq!(store.audit_entries(&scope("a"), &all, 1).await?, [second]);
    assert_eq!(store.audit_entries(&scope("a"), &all, 0).await?, []);
    assert_eq!(store.audit_entries(&scope("b"), &all, 9).await?, []);
    assert_eq!(store.server_audit_entries(&all, 9).await?, []);
    Ok(())
}

async fn filters_have_to_fit_and_pages_follow_each_other(
    place: &impl Place<dyn WholeCatalog>,
) -> Result<(), PortError> {
    let store = place.open().await?;
    let pick = |of: &[&str], n: i64| of[usize::try_from(n).unwrap_or(0) % of.len()].to_owned();
    let made = (0..90).map(|n| AuditDraft {
        actor: pick(&["user:a", "user:b", "key:k"], n),
        action: pick(&["key.create", "key.revoke"], n),
        target: pick(&["key:1", "key:2", "customer:ä", "account:b@c", "key:5"], n),
        // Times go back now and then.
        ..draft(&pick(&["a", "b"], n / 3), n - n % 4 * 3)
    });
    let server = (0..30).map(of_server);
    store.commit(&logged(made.chain(server).collect())).await?;
    let whole = store.audit_chain(Some(&tenant("a")), 0, usize::MAX).await?;
    let is = |text: &str| Some(text.to_owned());
    let none = AuditFilter::default();
    let filters = [
        none.clone(),
        AuditFilter { actor: is("user:b"), ..none.clone() },
        AuditFilter { action: is("key.revoke"), ..none.clone() },
        AuditFilter { target: is("customer:ä"), ..none.clone() },
        AuditFilter { target: is("customer"), ..none.clone() },
        AuditFilter { target: is("account:b@c"), actor: is("user:a"), ..none.clone() },
        AuditFilter { target: is("account:c"), ..none.clone() },
        AuditFilter { actor: is("user:a"), action: is("key.create"), target: is("key:1"), ..none.clone() },
        AuditFilter { from: Some(at(10)), ..none.clone() },
        AuditFilter { to: Some(at(10)), ..none.clone() },
        AuditFilter { from: Some(at(10)), to: Some(at(40)), actor: is("key:k"), ..none.clone() },
        AuditFilter { before: Some(10), ..none.clone() },
        AuditFilter { before: Some(u64::MAX), target: is("key:2"), ..none.clone() },
        AuditFilter { before: Some(0), ..none.clone() },
        AuditFilter { actor: is("user"), ..none.clone() },
        AuditFilter { actor: is("USER:A"), ..none },
    ];
    for filter in filters {
        let fitting: Vec<_> = whole.iter().rev().filter(|entry| filter.takes(entry)).cloned().collect();
        assert_eq!(store.audit_entries(&scope("a"), &filter, usize::MAX).await?, fitting, "{filter:?}");
        let (mut paged, mut page) = (Vec::new(), filter.clone());
        loop {
            let next = store.audit_entries(&scope("a"), &page, 4).await?;
            let Some(last) = next.last() else { break };
            page.before = Some(last.seq);
            paged.extend(next);
        }
        assert_eq!(paged, fitting, "{filter:?}");
    }
    let late = AuditFilter { from: Some(at(28)), ..AuditFilter::default() };
    let of_server: Vec<_> = store.server_audit_entries(&late, 9).await?.iter().map(|entry| entry.seq).collect();
    assert_eq!(of_server, [30, 29]);
    Ok(())
}

async fn a_page_ends_when_it_is_long_enough(place: &impl Place<dyn WholeCatalog>) -> Result<(), PortError> {
    let store = place.open().await?;
    // Nine of them are longer than a page, eight of them are not.
    let long = |draft: AuditDraft| AuditDraft { after: Some("x".repeat(PAGE_BYTES_MAX / 8 - 99)), ..draft };
    let drafts = (0..12).flat_map(|n| [long(draft("a", n)), long(of_server(n))]);
    store.commit(&logged(drafts.collect())).await?;
    let seqs = |entries: Vec<AuditEntry>| entries.iter().map(|entry| entry.seq).collect::<Vec<_>>();
    let mut filter = AuditFilter::default();
    let whole: Vec<u64> = (4..=12).rev().collect();
    assert_eq!(seqs(store.audit_entries(&scope("a"), &filter, 100).await?), whole);
    assert_eq!(seqs(store.server_audit_entries(&filter, 100).await?), whole);
    assert_eq!(seqs(store.audit_entries(&scope("a"), &filter, 2).await?), [12, 11]);
    filter.before = Some(4);
    assert_eq!(seqs(store.audit_entries(&scope("a"), &filter, 100).await?), [3, 2, 1]);
    assert_eq!(seqs(store.server_audit_entries(&filter, 100).await?), [3, 2, 1]);
    Ok(())
}

async fn every_decision_brings_its_entry(place: &impl Place<dyn WholeCatalog>) -> Result<(), PortError> {
    let store = place.open().await?;
    let of = |action: &str| AuditDraft { action: action.to_owned(), ..draft("a", 1) };
    store.store_settings(&scope("a"), &TenantSettings::default(), &of("settings")).await?;
    store
        .store_wanted_zone(
            &scope("a"),
            &VersionedZone { version: 1, ..VersionedZone::default() },
            &periods(0),
            &of("zone"),
        )
        .await?;
    store.store_reference(&scope("a"), &table(1), &of("table")).await?;
    let keys = RegisterCommit {
        records: vec![Record::ApiKey(key("k", None, 1))],
        audit: vec![of("key"), of_server(1)],
        ..RegisterCommit::default()
    };
    store.commit(&keys).await?;
    is_whole(&*store).await?;
    let actions: Vec<_> = store.audit_chain(Some(&tenant("a")), 0, 9).await?;
    let actions: Vec<_> = actions.iter().map(|entry| entry.draft.action.as_str()).collect();
    assert_eq!(actions, ["settings", "zone", "table", "key"]);
    assert_eq!(since(&*store, Revision(0)).await?.1, Revision(1), "what a tenant decides is no record");
    Ok(())
}

fn erasure(of: &str, id: &str) -> AuditDraft {
    let (action, target) = (ERASURE_ACTION.to_owned(), erasure_target(id));
    AuditDraft { action, target, after: Some("{}".to_owned()), ..draft(of, 9) }
}

/// The entry which says that these details have gone by an erasure that was asked for at `seconds`.
fn erased(of: &str, seconds: i64, by: u64, gone: &[u64]) -> (AuditDraft, Option<u64>) {
    let mut erased = ErasedDetails::default();
    gone.iter().for_each(|seq| erased.add(*seq));
    (erased.draft(Some(&tenant(of)), at(seconds), by), Some(by))
}

/// What each entry of a log tells, and by which its detail was erased.
async fn told(store: &dyn WholeCatalog, of: Option<&str>) -> Result<Vec<(AuditDraft, Option<u64>)>, PortError> {
    let chain = store.audit_chain(of.map(tenant).as_ref(), 0, usize::MAX).await?;
    let by = |entry: &AuditEntry| match entry.detail {
        AuditDetail::Erased { by, .. } => Some(by),
        AuditDetail::InChain | AuditDetail::Apart(_) | AuditDetail::Missing { .. } => None,
    };
    Ok(chain.iter().map(|entry| (entry.draft.clone(), by(entry))).collect())
}

async fn what_is_erased_goes_and_the_chain_holds(place: &impl Place<dyn WholeCatalog>) -> Result<(), PortError> {
    let store = place.open().await?;
    let on = |of: &str, target: &str, after: &str| {
        let target = target.to_owned();
        AuditDraft { target, after: Some(after.to_owned()), address: Some("::1".to_owned()), ..draft(of, 1) }
    };
    let kept = [on("a", "customer:d", "{}"), on("a", "key:1", r#"{"user":"d"}"#)];
    let gone = [on("a", "customer:c", "{}"), on("a", "GET /v1/events", r#"{"customer":"c"}"#)];
    let other = on("b", "customer:c", "{}");
    let audit = kept.iter().chain(&gone).chain([&other]).cloned().collect();
    store.commit(&logged(audit)).await?;
    let (of_c, of_d) = (erasure("a", "1"), erasure("a", "2"));
    let (c, d) = (Subject::Customer("c".to_owned()), Subject::User("d".to_owned()));
    store.commit(&logged(vec![of_c.clone()])).await?;
    store.forget(&scope("a"), &c, "1").await?;
    store.scrub().await?;
    drop(store);
    let store = place.open().await?;
    is_whole(&*store).await?;
    let bare = |target: &str| {
        let target = target.to_owned();
        AuditDraft { target, after: None, address: None, ..gone[0].clone() }
    };
    let expected = [
        (kept[0].clone(), None),
        (kept[1].clone(), None),
        (bare("customer"), Some(5)),
        (bare("GET /v1/events"), Some(5)),
        (of_c, None),
        erased("a", 9, 5, &[3, 4]),
    ];
    assert_eq!(told(&*store, Some("a")).await?, expected);
    assert_eq!(told(&*store, Some("b")).await?, [(other, None)], "I5: of one workspace alone");
    // What comes later is new, and goes with the next erasure alone; what is gone keeps what it was erased by.
    store.commit(&logged(vec![gone[0].clone()])).await?;
    assert_eq!(told(&*store, Some("a")).await?[6], (gone[0].clone(), None));
    store.commit(&logged(vec![of_d])).await?;
    store.forget(&scope("a"), &d, "2").await?;
    is_whole(&*store).await?;
    let by: Vec<_> = told(&*store, Some("a")).await?.into_iter().map(|(_, by)| by).collect();
    let [by_c, by_d] = [Some(5), Some(8)];
    assert_eq!(by, [None, by_d, by_c, by_c, None, by_c, None, None, by_d]);
    // What has come since goes by the erasure that it is of. Found in November 2026: by the last one of the log, whomever
    // that was about.
    store.commit(&logged(vec![gone[0].clone()])).await?;
    store.forget(&scope("a"), &c, "1").await?;
    is_whole(&*store).await?;
    let by: Vec<_> = told(&*store, Some("a")).await?.into_iter().map(|(_, by)| by).collect();
    assert_eq!(by, [None, by_d, by_c, by_c, None, by_c, by_c, None, by_d, by_c, by_c]);
    assert_eq!(told(&*store, Some("a")).await?[10], erased("a", 9, 5, &[3, 4, 7, 10]), "of all that has gone by it");
    store.commit(&logged(vec![gone[0].clone()])).await?;
    for (of, id) in [("a", "3"), ("b", "1")] {
        store.forget(&scope(of), &c, id).await?;
    }
    assert_eq!(told(&*store, Some("a")).await?[11].1, None, "without its entry details stay");
    assert_eq!(told(&*store, Some("b")).await?[0].1, None, "I5: another workspace's is none");
    let find = |target: &str| AuditFilter { target: Some(target.to_owned()), ..AuditFilter::default() };
    let seqs = |entries: Vec<AuditEntry>| entries.iter().map(|entry| entry.seq).collect::<Vec<_>>();
    assert_eq!(seqs(store.audit_entries(&scope("a"), &find("customer:c"), 9).await?), [12]);
    assert_eq!(seqs(store.audit_entries(&scope("a"), &find("customer"), 9).await?), [12, 10, 7, 3, 1]);
    store.commit(&logged(vec![erasure("a", "4")])).await?;
    store.forget(&scope("a"), &Subject::Workspace, "4").await?;
    assert_eq!(told(&*store, Some("a")).await?[0].1, None, "of a whole workspace nothing goes yet");
    Ok(())
}

/// Found in November 2026: what an external login is called stood in entries about erasures, of which no detail went.
async fn an_entry_about_an_erasure_tells_who_has_asked_until_that_user_is_erased(
    place: &impl Place<dyn WholeCatalog>,
) -> Result<(), PortError> {
    let store = place.open().await?;
    let by = |id: &str, user: &str| {
        let after = format!(r#"{{"kind":"user","external_login":{{"user":"{user}"}}}}"#);
        AuditDraft { after: Some(after), ..erasure("a", id) }
    };
    store.commit(&logged(vec![by("1", "c"), by("2", "d"), by("3", "c")])).await?;
    store.forget(&scope("a"), &Subject::User("c".to_owned()), "3").await?;
    is_whole(&*store).await?;
    let bare = |id: &str| AuditDraft { after: None, ..erasure("a", id) };
    let expected = [(bare("1"), Some(3)), (by("2", "d"), None), (bare("3"), Some(3)), erased("a", 9, 3, &[1, 3])];
    assert_eq!(told(&*store, Some("a")).await?, expected);
    Ok(())
}

async fn of_a_workspace_that_is_erased_no_detail_is_left(
    place: &impl Place<dyn WholeCatalog>,
) -> Result<(), PortError> {
    let store = place.open().await?;
    let full = |draft: AuditDraft, target: &str| {
        let (target, text) = (target.to_owned(), Some(r#"{"holder":"x"}"#.to_owned()));
        AuditDraft { target, before: text.clone(), after: text, request_id: Some("r".to_owned()), ..draft }
    };
    let others = [full(of_server(1), "workspace:b"), full(draft("b", 1), "workspace:a")];
    let told_of = AuditDraft { after: Some(r#"{"holder":"a"}"#.to_owned()), ..of_server(2) };
    let mut audit = vec![full(draft("a", 1), "key:1"), full(of_server(1), "workspace:a"), told_of];
    audit.extend(others.iter().cloned());
    store.commit(&logged(audit)).await?;
    store.forget_workspace(&scope("a")).await?;
    assert!(told(&*store, Some("a")).await?[0].1.is_none(), "without an erasure nothing is erased");
    store.commit(&logged(vec![erasure("a", "1")])).await?;
    store.forget(&scope("a"), &Subject::Workspace, "1").await?;
    let of_workspace = AuditDraft { action: WORKSPACE_ERASURE_ACTION.to_owned(), ..of_server(3) };
    // Found in November 2026: the entry about another workspace's erasure was taken, when it came later.
    let of_other = AuditDraft { target: "workspace:b".to_owned(), ..of_workspace.clone() };
    store.commit(&logged(vec![draft("a", 3), full(of_workspace, "workspace:a"), of_other.clone()])).await?;
    for _ in 0..2 {
        store.forget_workspace(&scope("a")).await?;
        is_whole(&*store).await?;
        let own = told(&*store, Some("a")).await?;
        assert_eq!(own.iter().map(|(_, by)| *by).collect::<Vec<_>>(), [Some(2); 4]);
        assert!(own.iter().all(|(draft, _)| draft.after.is_none() && draft.request_id.is_none()), "{own:?}");
        let server = told(&*store, None).await?;
        let by: Vec<_> = server.iter().map(|(_, by)| *by).collect();
        assert_eq!(by, [Some(4), Some(4), None, Some(4), None, Some(4)], "what tells of it, and of nobody else");
        assert_eq!([&server[2].0, &server[4].0], [&others[0], &of_other]);
        assert_eq!(told(&*store, Some("b")).await?, [(others[1].clone(), None)], "I5: of one workspace alone");
    }
    Ok(())
}

async fn a_refused_decision_brings_none(place: &impl Place<dyn WholeCatalog>) -> Result<(), PortError> {
    let store = place.open().await?;
    let (a, empty) = (scope("a"), state(&*store).await?);
    for wrong in [draft("b", 1), of_server(1)] {
        let zone = VersionedZone { version: 1, ..VersionedZone::default() };
        let told = [
            store.store_settings(&a, &TenantSettings::default(), &wrong).await,
            store.store_wanted_zone(&a, &zone, &periods(0), &wrong).await,
            store.store_reference(&a, &table(1), &wrong).await,
        ];
        let told = told.map(|told| told.err().map(|error| error.kind()));
        assert_eq!(told, [Some(ErrorKind::Unacceptable); 3], "the entry is for another log");
    }
    let told = [
        store.store_wanted_zone(&a, &VersionedZone::default(), &periods(0), &draft("a", 1)).await,
        store.store_reference(&a, &table(2), &draft("a", 1)).await,
    ];
    assert_eq!(told.map(|told| told.err().map(|error| error.kind())), [Some(ErrorKind::Conflict); 2]);
    assert_eq!(state(&*store).await?, empty);
    assert_eq!(store.audit_heads().await?, []);
    Ok(())
}
