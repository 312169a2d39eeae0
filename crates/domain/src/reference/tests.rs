//! What a change comes to, and what is refused.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

use proptest::prelude::*;

use super::*;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros(seconds * 1_000_000)
}

fn one_attribute(name: &str, value: &str) -> Arc<Attributes> {
    Arc::new(Attributes::from([(name.to_owned(), value.to_owned())]))
}

fn users(plans: &[(&str, &str)]) -> Users {
    let user = |(user, plan): &(&str, &str)| ((*user).to_owned(), one_attribute("plan", plan));
    plans.iter().map(user).collect()
}

/// How many attributes are held, and how many different ones.
fn held(users: &Users) -> (usize, usize) {
    let addresses: HashSet<_> = users.values().map(Arc::as_ptr).collect();
    (addresses.len(), users.values().collect::<HashSet<_>>().len())
}

fn changed(decision: Result<Decision, TableRefusal>) -> ReferenceTable {
    match decision {
        Ok(Decision::Changed(table)) => table,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_replacement_needs_a_newer_time_or_the_same_content() {
    let none = ReferenceTable::default();
    let first = changed(none.replace(at(-5), users(&[("a", "free")]), None));
    assert_eq!((first.generation, first.ts), (1, at(-5)), "the first table may be of any time");
    let second = changed(first.replace(at(10), users(&[("a", "pro")]), None));
    assert_eq!(second.generation, 2);
    assert_eq!(second.replace(at(10), users(&[("a", "pro")]), None), Ok(Decision::Unchanged));
    assert_eq!(second.replace(at(10), users(&[("a", "free")]), None), Err(TableRefusal::SameTime { ts: at(10) }));
    let stale = second.replace(at(9), users(&[("a", "pro")]), None);
    assert_eq!(stale, Err(TableRefusal::Stale { ts: at(9), stored: at(10) }));
}

#[test]
fn a_change_made_for_another_generation_is_refused() {
    let table = changed(ReferenceTable::default().replace(at(1), users(&[]), Some(0)));
    let refused = TableRefusal::Generation { expected: 0, stored: 1 };
    assert_eq!(table.replace(at(2), users(&[]), Some(0)), Err(refused.clone()));
    assert_eq!(table.patch(None, at(2), Patch::new(), Some(0)), Err(refused));
    assert_eq!(changed(table.replace(at(2), users(&[("a", "b")]), Some(1))).generation, 2);
}

#[test]
fn a_patch_adds_changes_and_takes_away() {
    let table = changed(ReferenceTable::default().replace(at(1), users(&[("a", "free"), ("b", "pro")]), None));
    let patch = Patch::from([
        (
            "a".to_owned(),
            Some(Arc::new(Change::from([("plan".to_owned(), None), ("seat".to_owned(), Some("1".to_owned()))]))),
        ),
        ("b".to_owned(), None),
        ("c".to_owned(), Some(Arc::default())),
    ]);
    let next = changed(table.patch(None, at(0), patch.clone(), None));
    assert_eq!(next.users["a"], one_attribute("seat", "1"));
    assert_eq!(next.users.keys().collect::<Vec<_>>(), ["a", "c"]);
    assert!(next.ts > table.ts, "a patch without a time comes after the table, whatever the clock says");
    assert_eq!(next.patch(None, at(5), patch.clone(), None), Ok(Decision::Unchanged));
    assert!(matches!(table.patch(Some(at(0)), at(9), patch, None), Err(TableRefusal::Stale { .. })));
}

#[test]
fn i6_users_alike_share_their_attributes_however_they_came() {
    let plans =
        |from: usize| (from..from + 50).map(|n| (format!("u{n}"), one_attribute("plan", ["free", "pro"][n % 2])));
    let mut table = changed(ReferenceTable::default().replace(at(1), plans(0).collect(), None));
    assert_eq!(held(&table.users), (2, 2), "each came on its own");
    for (user, attributes) in plans(30) {
        let attributes = attributes.iter().map(|(name, value)| (name.clone(), Some(value.clone()))).collect();
        table = match table.patch(None, at(0), Patch::from([(user, Some(Arc::new(attributes)))]), None) {
            Ok(Decision::Changed(table)) => table,
            unchanged => {
                assert_eq!(unchanged, Ok(Decision::Unchanged));
                table
            }
        };
    }
    assert_eq!((table.users.len(), held(&table.users)), (80, (2, 2)));
}

#[test]
fn i6_only_so_many_combinations_fit() {
    let table = |combinations: usize| {
        let attributes = |n: usize| {
            let two = [("a", n / 1_000), ("b", n % 1_000)];
            Arc::new(two.map(|(name, value)| (name.to_owned(), value.to_string())).into_iter().collect())
        };
        let users = (0..combinations).map(|n| (format!("u{n}"), attributes(n))).collect();
        ReferenceTable::default().replace(at(1), users, None)
    };
    assert!(table(REFERENCE_COMBINATIONS_MAX).is_ok());
    assert!(matches!(table(REFERENCE_COMBINATIONS_MAX + 1), Err(TableRefusal::TooLarge { .. })));
}

#[test]
fn i6_what_is_too_long_too_many_or_misnamed_is_refused_with_its_place() {
    let none = ReferenceTable::default();
    let one = |user: &str, name: &str, value: &str| {
        none.replace(at(1), Users::from([(user.to_owned(), one_attribute(name, value))]), None)
    };
    assert!(one("u", "plan-2.x_Y", &"v".repeat(256)).is_ok());
    for (user, name, value) in [
        ("", "plan", "v"),
        (&*"u".repeat(257), "plan", "v"),
        ("u", "", "v"),
        ("u", "a b", "v"),
        ("u", "ä", "v"),
        ("u", &*"n".repeat(65), "v"),
        ("u", "plan", &*"v".repeat(257)),
    ] {
        assert!(matches!(one(user, name, value), Err(TableRefusal::Invalid { .. })), "{user} {name} {value}");
    }
    let refused = one("u-7", "plan", &"v".repeat(257)).unwrap_err();
    assert!(
        matches!(&refused, TableRefusal::Invalid { field, .. } if field == "user_metadata.u-7.plan"),
        "{refused:?}"
    );
    let values = (0..=REFERENCE_VALUES_MAX).map(|n| (format!("u{n}"), format!("v{n}")));
    let many = values.map(|(user, value)| (user, one_attribute("seat", &value))).collect();
    let refused = none.replace(at(1), many, None).unwrap_err();
    assert!(matches!(&refused, TableRefusal::TooLarge { field, .. } if field == "seat"), "{refused}");
    let values = (0..8_000).map(|n| (format!("u{n}"), one_attribute("seat", &format!("{n:0>200}"))));
    let refused = none.replace(at(1), values.collect(), None).unwrap_err();
    assert!(matches!(&refused, TableRefusal::TooLarge { field, .. } if field == "user_metadata"), "{refused}");
    let names: Attributes = (0..=REFERENCE_ATTRIBUTES_MAX).map(|n| (format!("n{n}"), String::new())).collect();
    assert!(matches!(
        none.replace(at(1), Users::from([("u".to_owned(), Arc::new(names))]), None),
        Err(TableRefusal::TooLarge { .. })
    ));
}

proptest! {
    #[test]
    fn patches_one_after_another_are_one_replacement_by_what_they_come_to(
        steps in proptest::collection::vec((0_usize..4, proptest::option::of((0_usize..3, proptest::option::of(0_u8..3)))), 0..40),
    ) {
        let mut table = ReferenceTable::default();
        let mut expected = Users::new();
        for (user, change) in steps {
            let user = format!("u{user}");
            let change = change.map(|(name, value)| (format!("n{name}"), value.map(|value| value.to_string())));
            match &change {
                None => drop(expected.remove(&user)),
                Some((name, Some(value))) => {
                    Arc::make_mut(expected.entry(user.clone()).or_default()).insert(name.clone(), value.clone());
                }
                Some((name, None)) => drop(Arc::make_mut(expected.entry(user.clone()).or_default()).remove(name)),
            }
            let patch = Patch::from([(user, change.map(|change| Arc::new(BTreeMap::from([change]))))]);
            let before = table.clone();
            match table.patch(None, at(0), patch, Some(table.generation)).unwrap() {
                Decision::Unchanged => prop_assert_eq!(&expected, &table.users),
                Decision::Changed(next) => table = next,
            }
            prop_assert_eq!(&table.users, &expected);
            let (held, different) = held(&table.users);
            prop_assert_eq!(held, different, "users alike share their attributes");
            prop_assert!(table == before || table.generation == before.generation + 1 && (before.generation == 0 || table.ts > before.ts));
        }
    }
}
