//! The dictionary of users, who was active on which day, and the zone that days are of.

use std::collections::BTreeMap;

use domain::calendar::{Day, DayRange, Zone};
use domain::position::Seq;
use domain::users::{UserNumber, UserSet};

use crate::active_users::VersionedZone;
use crate::manifest::{Activity, ActivityFilter, Commit, Manifest, NewUsers};
use crate::testing::manifest::samples::{Place, identity, moved, scope, tenant};
use crate::{ErrorKind, PortError};

/// Checks what [`Manifest`] promises of users.
pub(super) async fn conform<P: Place<dyn Manifest>>(new_place: &impl Fn() -> P) -> Result<(), PortError> {
    users_are_numbered_without_a_gap(&new_place()).await?;
    names_are_found_by_number(&new_place()).await?;
    activity_is_a_union(&new_place()).await?;
    activity_is_of_one_tenant_filter_and_range(&new_place()).await?;
    many_large_sets_fit_into_one_change(&new_place()).await?;
    a_new_zone_drops_the_days_of_the_old(&new_place()).await?;
    a_conflict_changes_none_of_it(&new_place()).await
}

async fn users_are_numbered_without_a_gap(place: &impl Place<dyn Manifest>) -> Result<(), PortError> {
    let mut store = place.open().await?;
    store.load(&identity()).await?;
    let mut known: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    // One at a time, none, up to the edges of round counts, and over many at once.
    for count in [1, 1, 0, 1_021, 1, 1, 1_023, 3_000, 5, 2_048] {
        let mut users = Vec::new();
        for id in ["a", "ä"] {
            let names = known.entry(id).or_default();
            let new = new_users(id, names.len(), count);
            names.extend(new.names.iter().cloned());
            users.push(new);
        }
        store.commit(&Commit { users, ..Commit::default() }).await?;
        drop(store);
        store = place.open().await?;
        let expected: Vec<_> = known.iter().map(|(id, names)| (tenant(id), names.clone())).collect();
        assert!(store.load(&identity()).await?.users == expected, "after {count} more");
    }
    // Twice in one change: the second follows the first. An empty list adds no user, also for a new tenant.
    let count = known.get("a").map_or(0, Vec::len);
    let users = vec![new_users("a", count, 3), new_users("b", 0, 0), new_users("a", count + 3, 2)];
    store.commit(&Commit { users, ..Commit::default() }).await?;
    let users = store.load(&identity()).await?.users;
    let counts: Vec<_> = users.iter().map(|(id, names)| (id.clone(), names.len())).collect();
    assert_eq!(counts, [(tenant("a"), count + 5), (tenant("ä"), count)]);
    Ok(())
}

async fn names_are_found_by_number(place: &impl Place<dyn Manifest>) -> Result<(), PortError> {
    let store = place.open().await?;
    store.load(&identity()).await?;
    let numbers = |numbers: &[u32]| numbers.iter().map(|number| UserNumber(*number)).collect::<Vec<_>>();
    assert_eq!(store.user_names(&scope("a"), &numbers(&[0, u32::MAX])).await?, [None, None]);
    let mut of_a = new_users("a", 0, 100_000);
    of_a.names[1_024] = "\u{0}'\"; -- %ß\u{1F600}".to_owned();
    of_a.names[1_025] = "long".repeat(64);
    let of_b = new_users("b", 0, 1);
    store.commit(&Commit { users: vec![of_a.clone(), of_b.clone()], ..Commit::default() }).await?;
    let asked = [99_999, 1_023, 1_024, 1_025, 0, 0, 100_000, 65_536, u32::MAX, 1_024];
    let expected: Vec<_> = asked.iter().map(|number| of_a.names.get(*number as usize).cloned()).collect();
    assert_eq!(store.user_names(&scope("a"), &numbers(&asked)).await?, expected);
    assert_eq!(store.user_names(&scope("a"), &[]).await?, []);
    // A number means nothing to others (I5).
    assert_eq!(store.user_names(&scope("b"), &numbers(&[1, 0])).await?, [None, Some(of_b.names[0].clone())]);
    assert_eq!(store.user_names(&scope("c"), &numbers(&[0])).await?, [None]);
    let all: Vec<_> = (0..100_000).map(UserNumber).collect();
    let found: Vec<_> = store.user_names(&scope("a"), &all).await?.into_iter().flatten().collect();
    assert!(found == of_a.names);
    Ok(())
}

async fn activity_is_a_union(place: &impl Place<dyn Manifest>) -> Result<(), PortError> {
    let mut store = place.open().await?;
    store.load(&identity()).await?;
    let mut expected = UserSet::default();
    let steps: [&[&[u32]]; 6] = [
        &[&[7]],
        &[&[7]],
        // The same key twice in one change.
        &[&[0, 9], &[u32::MAX, 9]],
        &[&[]],
        &[&[65_535, 65_536, 7]],
        &[&[1], &[]],
    ];
    for (step, seq) in steps.into_iter().zip(0..) {
        let activity = step.iter().map(|users| active("a", ActivityFilter::All, -1, users)).collect();
        step.iter().flat_map(|users| users.iter()).for_each(|user| expected.insert(UserNumber(*user)));
        store.commit(&Commit { activity, ..moved(seq, seq + 1) }).await?;
        drop(store);
        store = place.open().await?;
        let stored = store.activity(&scope("a"), &ActivityFilter::All, DayRange::ALL).await?;
        assert_eq!(stored, (Seq(seq + 1), vec![(day(-1), expected.clone())]));
    }
    Ok(())
}

async fn activity_is_of_one_tenant_filter_and_range(place: &impl Place<dyn Manifest>) -> Result<(), PortError> {
    let store = place.open().await?;
    store.load(&identity()).await?;
    assert_eq!(store.activity(&scope("a"), &ActivityFilter::All, DayRange::ALL).await?, (Seq::ZERO, vec![]));
    let filters = [
        ActivityFilter::All,
        ActivityFilter::Project(String::new()),
        ActivityFilter::Project("x".to_owned()),
        ActivityFilter::Type("x".to_owned()),
        ActivityFilter::Type("\u{0}' OR 1=1 --".to_owned()),
    ];
    let days = [Day::MIN.number(), -400, -1, 0, 1, 20_000, Day::MAX.number()];
    let mut expected = BTreeMap::new();
    let mut activity = Vec::new();
    for id in ["b", "a"] {
        for (filter, number) in filters.iter().flat_map(|of| days.iter().rev().map(move |day| (of, *day))) {
            // Everyone has their own users, so that nothing can be taken for something else.
            let user = u32::try_from(activity.len()).unwrap_or_default();
            activity.push(active(id, filter.clone(), number, &[user]));
            expected.insert((id, filter.clone(), number), user);
        }
    }
    store.commit(&Commit { activity, ..moved(0, 1) }).await?;
    let ranges = [(Day::MIN, Day::MAX), (day(-1), day(1)), (day(0), day(0)), (day(2), day(19_999)), (day(1), day(0))];
    for id in ["a", "b", "c"] {
        for (filter, (first, last)) in filters.iter().flat_map(|of| ranges.map(|range| (of, range))) {
            let asked = DayRange { first, last };
            let user = |of: &i32| Some((day(*of), *expected.get(&(id, filter.clone(), *of))?));
            let inside = days.iter().filter_map(user).filter(|(day, _)| asked.contains(*day));
            let inside = inside.map(|(day, user)| (day, [UserNumber(user)].into_iter().collect())).collect();
            let stored = store.activity(&scope(id), filter, asked).await?;
            assert_eq!(stored, (Seq(1), inside), "{id} {filter:?} {asked:?}");
        }
    }
    Ok(())
}

async fn many_large_sets_fit_into_one_change(place: &impl Place<dyn Manifest>) -> Result<(), PortError> {
    let store = place.open().await?;
    store.load(&identity()).await?;
    // 200 filters of 10,000 users, some dense and some scattered; then half of them and more again.
    let users = |of: u32, step: u32| (0..10_000).map(|user| UserNumber(of + user * step)).collect::<UserSet>();
    let large = |of: u32, step: u32| Activity {
        tenant: tenant("a"),
        filter: ActivityFilter::Type(format!("t{of}")),
        day: day(20_000),
        users: users(of, step),
    };
    store.commit(&Commit { activity: (0..200).map(|of| large(of, 1 + of % 7)).collect(), ..moved(0, 1) }).await?;
    store.commit(&Commit { activity: (100..300).map(|of| large(of, 3)).collect(), ..moved(1, 2) }).await?;
    drop(store);
    let store = place.open().await?;
    for of in [0, 63, 64, 99, 100, 150, 199, 200, 299] {
        let mut expected = if of < 200 { users(of, 1 + of % 7) } else { UserSet::default() };
        if of >= 100 {
            expected.merge(&users(of, 3));
        }
        let stored = store.activity(&scope("a"), &ActivityFilter::Type(format!("t{of}")), DayRange::ALL).await?;
        assert!(stored == (Seq(2), vec![(day(20_000), expected)]), "{of}");
    }
    Ok(())
}

async fn a_new_zone_drops_the_days_of_the_old(place: &impl Place<dyn Manifest>) -> Result<(), PortError> {
    let mut store = place.open().await?;
    store.load(&identity()).await?;
    let of_type = ActivityFilter::Type("x".to_owned());
    let activity = vec![
        active("a", ActivityFilter::All, 1, &[1]),
        active("a", of_type.clone(), 2, &[1]),
        active("b", ActivityFilter::All, 1, &[1]),
    ];
    let users = vec![new_users("a", 0, 2)];
    store.commit(&Commit { activity, users: users.clone(), ..moved(0, 1) }).await?;
    let mut zones = BTreeMap::new();
    let steps =
        [("a", "Europe/Berlin", 1), ("c", "Asia/Kathmandu", 7), ("a", "America/St_Johns", 1 << 40), ("a", "UTC", 2)];
    for (id, name, version) in steps {
        let zone = VersionedZone { zone: zone(name), version };
        zones.insert(tenant(id), zone.clone());
        let rebuilt = vec![active(id, ActivityFilter::All, 3, &[2])];
        store.commit(&Commit { zone: Some((tenant(id), zone)), activity: rebuilt, ..Commit::default() }).await?;
        drop(store);
        store = place.open().await?;
        let state = store.load(&identity()).await?;
        assert_eq!(state.zones, zones.clone().into_iter().collect::<Vec<_>>());
        assert_eq!(state.users, [(tenant("a"), users[0].names.clone())], "users keep their numbers");
        let rebuilt = (Seq(1), vec![(day(3), [UserNumber(2)].into_iter().collect())]);
        assert_eq!(store.activity(&scope(id), &ActivityFilter::All, DayRange::ALL).await?, rebuilt);
        let dropped = store.activity(&scope("a"), &of_type, DayRange::ALL).await?.1;
        assert_eq!(dropped, []);
        let theirs = store.activity(&scope("b"), &ActivityFilter::All, DayRange::ALL).await?.1;
        assert_eq!(theirs.len(), 1, "others keep their days (I5)");
    }
    Ok(())
}

async fn a_conflict_changes_none_of_it(place: &impl Place<dyn Manifest>) -> Result<(), PortError> {
    let store = place.open().await?;
    store.load(&identity()).await?;
    let first = Commit {
        users: vec![new_users("a", 0, 1_500)],
        activity: vec![active("a", ActivityFilter::All, 1, &[1])],
        zone: Some((tenant("a"), VersionedZone { zone: Zone::utc(), version: 1 })),
        ..moved(0, 1)
    };
    store.commit(&first).await?;
    let before = store.load(&identity()).await?;
    let whole = Commit {
        users: vec![new_users("b", 0, 3), new_users("a", 1_500, 600)],
        activity: vec![active("a", ActivityFilter::All, 1, &[2]), active("b", ActivityFilter::All, 1, &[2])],
        zone: Some((tenant("b"), VersionedZone { zone: zone("Europe/Berlin"), version: 1 })),
        ..moved(1, 2)
    };
    let with_users = |users| Commit { users, ..whole.clone() };
    let mismatches = [
        Commit { cursor: Some((Seq(0), Seq(2))), ..whole.clone() },
        Commit { remove: vec!["none".to_owned()], ..whole.clone() },
        with_users(vec![new_users("b", 0, 3), new_users("a", 1_499, 600)]),
        with_users(vec![new_users("b", 0, 3), new_users("a", 1_501, 600)]),
        with_users(vec![new_users("b", 0, 3), new_users("a", 0, 600)]),
        with_users(vec![new_users("b", 0, 3), new_users("b", 0, 3)]),
        with_users(vec![new_users("a", 1_500, 600), new_users("b", 1, 0)]),
    ];
    for change in mismatches {
        let refused = store.commit(&change).await.err().map(|error| error.kind());
        assert_eq!(refused, Some(ErrorKind::Conflict));
        assert!(store.load(&identity()).await? == before);
        let of_a = store.activity(&scope("a"), &ActivityFilter::All, DayRange::ALL).await?;
        assert_eq!(of_a, (Seq(1), vec![(day(1), [UserNumber(1)].into_iter().collect())]));
        assert_eq!(store.activity(&scope("b"), &ActivityFilter::All, DayRange::ALL).await?.1, []);
    }
    store.commit(&whole).await?;
    let state = store.load(&identity()).await?;
    assert_eq!(state.users.iter().map(|(_, names)| names.len()).collect::<Vec<_>>(), [2_100, 3]);
    assert_eq!(state.zones.len(), 2);
    Ok(())
}

fn day(number: i32) -> Day {
    Day::from_number(number)
}

fn zone(name: &str) -> Zone {
    Zone::parse(name).unwrap_or_else(|_| Zone::utc())
}

fn new_users(id: &str, first: usize, count: usize) -> NewUsers {
    let names = (first..first + count).map(|number| format!("{id}-user-{number}")).collect();
    NewUsers { tenant: tenant(id), first: u32::try_from(first).unwrap_or(u32::MAX), names }
}

fn active(id: &str, filter: ActivityFilter, number: i32, users: &[u32]) -> Activity {
    Activity { tenant: tenant(id), filter, day: day(number), users: users.iter().copied().map(UserNumber).collect() }
}
