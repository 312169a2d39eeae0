//! What erasures change.

use domain::admit::Dimension;
use domain::calendar::{Day, DayRange};
use domain::erasure::{ErasedSoFar, Erasure, SubjectKind};
use domain::position::Seq;
use domain::quota::Amounts;
use domain::time::TimeRange;
use domain::users::UserNumber;

use super::super::samples::{Place, at, counted, identity, kept, letter, name, rollup, scope, tenant};
use crate::PortError;
use crate::manifest::{Activity, ActivityFilter, Commit, DeadLetter, Manifest, NewUsers, ReceivedSum, StoredErasure};

/// Checks what [`Manifest`] promises of erasures.
pub(super) async fn conform<P: Place<dyn Manifest>>(new_place: &impl Fn() -> P) -> Result<(), PortError> {
    erasures_are_replaced_by_id_and_keep_their_order(&new_place()).await?;
    a_users_name_goes_and_the_number_stays(&new_place()).await?;
    erased_activity_adds_up_and_is_one_tenants(&new_place()).await?;
    a_dead_letter_is_emptied(&new_place()).await?;
    of_an_erased_customer_nothing_is_counted_apart(&new_place()).await?;
    of_an_erased_tenant_only_its_erasures_are_left(&new_place()).await
}

fn erasure(of: &str, id: &str, subject: Option<&str>) -> StoredErasure {
    let erasure = Erasure {
        id: id.to_owned(),
        kind: SubjectKind::Customer,
        blocks: subject.is_some(),
        through: Seq(7),
        requested_at: at(-3),
        by: "user:a".to_owned(),
        zone: "UTC".to_owned(),
        gone: ErasedSoFar { events: 1, segments: 2, users: 3, dead_letters: 4 },
        finished_at: subject.is_none().then(|| at(9)),
    };
    StoredErasure { tenant: tenant(of), subject: subject.map(str::to_owned), subject_hash: u128::MAX - 5, erasure }
}

fn active(of: &str, filter: ActivityFilter, day: i32, users: &[u32]) -> Activity {
    let users = users.iter().map(|user| UserNumber(*user)).collect();
    Activity { tenant: tenant(of), filter, day: Day::from_number(day), users }
}

async fn erasures_are_replaced_by_id_and_keep_their_order(place: &impl Place<dyn Manifest>) -> Result<(), PortError> {
    let store = place.open().await?;
    store.load(&identity()).await?;
    let first = vec![erasure("b", "z", Some("c")), erasure("a", "y", Some("c"))];
    store.commit(&Commit { erasures: first.clone(), ..Commit::default() }).await?;
    assert_eq!(store.load(&identity()).await?.erasures, first);
    let done = erasure("b", "z", None);
    let more = erasure("a", "x", None);
    store.commit(&Commit { erasures: vec![more.clone(), done.clone()], ..Commit::default() }).await?;
    drop(store);
    let store = place.open().await?;
    assert_eq!(store.load(&identity()).await?.erasures, [done, first[1].clone(), more]);
    Ok(())
}

async fn a_users_name_goes_and_the_number_stays(place: &impl Place<dyn Manifest>) -> Result<(), PortError> {
    let store = place.open().await?;
    store.load(&identity()).await?;
    let names: Vec<_> = (0..2_500).map(|number| format!("u{number}")).collect();
    let users = |of: &str| NewUsers { tenant: tenant(of), first: 0, names: names.clone() };
    store.commit(&Commit { users: vec![users("a"), users("b")], ..Commit::default() }).await?;
    let numbers: Vec<_> = [0, 1_024, 2_499, 9_999].map(UserNumber).into();
    store.commit(&Commit { erased_users: vec![(tenant("a"), numbers.clone())], ..Commit::default() }).await?;
    let mut expected = names.clone();
    for number in [0, 1_024, 2_499] {
        expected[number].clear();
    }
    let more = NewUsers { tenant: tenant("a"), first: 2_500, names: vec!["u0".to_owned()] };
    store.commit(&Commit { users: vec![more], ..Commit::default() }).await?;
    expected.push("u0".to_owned());
    let found = store.load(&identity()).await?.users;
    assert!(found == [(tenant("a"), expected), (tenant("b"), names)], "I5: of one tenant alone");
    let asked = [1, 1_024, 2_500].map(UserNumber);
    let told = store.user_names(&scope("a"), &asked).await?;
    assert_eq!(told, ["u1", "", "u0"].map(|name| Some(name.to_owned())));
    Ok(())
}

async fn erased_activity_adds_up_and_is_one_tenants(place: &impl Place<dyn Manifest>) -> Result<(), PortError> {
    let store = place.open().await?;
    store.load(&identity()).await?;
    let project = || ActivityFilter::Project("p".to_owned());
    let first = vec![active("a", project(), 3, &[1]), active("a", ActivityFilter::All, 3, &[1, 2])];
    let more = vec![
        active("a", ActivityFilter::All, 3, &[5]),
        active("a", ActivityFilter::All, -1, &[0]),
        active("b", ActivityFilter::All, 3, &[9]),
        active("a", ActivityFilter::Type("k".to_owned()), 3, &[7]),
    ];
    for erased_activity in [first, more] {
        store.commit(&Commit { erased_activity, ..Commit::default() }).await?;
    }
    let expected = [
        active("a", ActivityFilter::All, -1, &[0]),
        active("a", ActivityFilter::All, 3, &[1, 2, 5]),
        active("a", project(), 3, &[1]),
        active("a", ActivityFilter::Type("k".to_owned()), 3, &[7]),
    ];
    assert_eq!(store.erased_activity(&scope("a")).await?, expected);
    assert_eq!(store.activity(&scope("a"), &ActivityFilter::All, DayRange::ALL).await?.1, [], "a list of its own");
    Ok(())
}

async fn a_dead_letter_is_emptied(place: &impl Place<dyn Manifest>) -> Result<(), PortError> {
    let store = place.open().await?;
    store.load(&identity()).await?;
    for letter in [letter(3, Some("a")), letter(4, None), letter(5, Some("b")), letter(6, Some("a"))] {
        store.store_dead_letter(&letter).await?;
    }
    store.commit(&Commit { emptied_letters: vec![Seq(3), Seq(99)], ..Commit::default() }).await?;
    let emptied = DeadLetter { payload: Vec::new(), reason: String::new(), ..letter(3, Some("a")) };
    let expected = [emptied, letter(4, None), letter(6, Some("a"))];
    assert_eq!(store.dead_letters(&scope("a")).await?, expected, "its own, and those that are nobody's");
    Ok(())
}

async fn of_an_erased_tenant_only_its_erasures_are_left(place: &impl Place<dyn Manifest>) -> Result<(), PortError> {
    let store = place.open().await?;
    store.load(&identity()).await?;
    let of = |id: &str| Commit {
        rollups: vec![rollup(id, "p", "k", 0, &counted(3))],
        names: vec![name(id, Dimension::Type, "k")],
        users: vec![NewUsers { tenant: tenant(id), first: 0, names: vec!["u".to_owned()] }],
        activity: vec![active(id, ActivityFilter::All, 1, &[0])],
        erased_activity: vec![active(id, ActivityFilter::All, 2, &[0])],
        erasures: vec![erasure(id, id, Some("c"))],
        tenant_retention: vec![kept(id, 5)],
        received: vec![received(id, ""), received(id, "c")],
        metered: vec![(tenant(id), "c".to_owned())],
        ..Commit::default()
    };
    for (id, seq) in [("a", 3), ("b", 4)] {
        store.commit(&of(id)).await?;
        store.store_dead_letter(&letter(seq, Some(id))).await?;
    }
    store.commit(&Commit { erased_tenants: vec![tenant("a")], ..Commit::default() }).await?;
    store.scrub().await?;
    let state = store.load(&identity()).await?;
    assert_eq!(state.erasures, [erasure("a", "a", Some("c")), erasure("b", "b", Some("c"))]);
    assert_eq!((state.names, state.dead_letters), (vec![name("b", Dimension::Type, "k")], 1));
    assert_eq!(state.users, [(tenant("b"), vec!["u".to_owned()])]);
    assert_eq!(state.tenant_retention, [kept("b", 5)]);
    assert_eq!(state.metered, [(tenant("b"), "c".to_owned())]);
    for (id, rows) in [("a", 0), ("b", 1)] {
        let scope = scope(id);
        assert_eq!(store.rollups(&scope, TimeRange::ALL).await?.1.len(), rows, "{id}");
        assert_eq!(store.type_sums(&scope, TimeRange::ALL, None).await?.1.len(), rows, "{id}");
        assert_eq!(store.activity(&scope, &ActivityFilter::All, DayRange::ALL).await?.1.len(), rows, "{id}");
        assert_eq!(store.erased_activity(&scope).await?.len(), rows, "{id}");
        assert_eq!(store.received(&scope, TimeRange::ALL).await?.1.len(), 2 * rows, "{id}");
    }
    Ok(())
}

fn received(of: &str, customer: &str) -> ReceivedSum {
    let amounts = Amounts { events: 1, tokens: 2, calls: 3 };
    ReceivedSum { tenant: tenant(of), customer: customer.to_owned(), start: at(0), amounts }
}

async fn of_an_erased_customer_nothing_is_counted_apart(place: &impl Place<dyn Manifest>) -> Result<(), PortError> {
    let store = place.open().await?;
    store.load(&identity()).await?;
    let all: Vec<_> = ["a", "b"].iter().flat_map(|of| ["", "c", "d"].map(|customer| received(of, customer))).collect();
    let metered: Vec<_> =
        ["a", "b"].iter().flat_map(|of| ["c", "d"].map(|customer| (tenant(of), customer.to_owned()))).collect();
    store.commit(&Commit { received: all.clone(), metered: metered.clone(), ..Commit::default() }).await?;
    let erased_customers = vec![(tenant("a"), "c".to_owned()), (tenant("a"), "none".to_owned())];
    store.commit(&Commit { erased_customers, ..Commit::default() }).await?;
    drop(store);
    let store = place.open().await?;
    assert_eq!(store.load(&identity()).await?.metered, metered[1..]);
    let left = [all[0].clone(), all[2].clone()];
    assert_eq!(store.received(&scope("a"), TimeRange::ALL).await?.1, left, "the tenant's own sum stays");
    assert_eq!(store.received(&scope("b"), TimeRange::ALL).await?.1, all[3..], "I5: of one tenant alone");
    Ok(())
}
