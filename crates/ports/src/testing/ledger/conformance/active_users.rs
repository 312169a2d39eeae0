//! Cases about who was active when.

use domain::calendar::{Calendar, Zone};
use domain::tenant::TenantScope;
use domain::time::{TimeRange, Timestamp};
use domain::users::UserNumber;

use super::subject::{Answering, Subject};
use crate::ErrorKind;
use crate::active_users::{ActiveUsers, ActiveUsersQuery, VersionedZone};
use crate::testing::ledger::records::{EventSpec, at, event_at, instant, scope};
use crate::testing::ledger::set_zone;

/// Zones that the cases ask in: on both sides of UTC, with parts of hours, with a date line that moved.
const ZONES: [&str; 9] = [
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "America/Sao_Paulo",
    "Asia/Kathmandu",
    "Pacific/Apia",
    "Pacific/Kiritimati",
    "Pacific/Pago_Pago",
    "Australia/Lord_Howe",
];

fn zone(name: &str) -> Zone {
    Zone::parse(name).expect("a zone")
}

fn range(from: &str, to: &str) -> TimeRange {
    TimeRange::new(instant(from), instant(to)).expect("a range")
}

/// An event of `user` at the instant `time`, with an id of its own.
fn by(user: &str, time: &str) -> EventSpec {
    event_at(&format!("{user} {time}"), instant(time)).user(user)
}

fn all_in(name: &str) -> ActiveUsersQuery {
    ActiveUsersQuery { range: TimeRange::ALL, zone: zone(name), project: None, kind: None, named_only: false }
}

/// The answer as days and the numbers of users.
async fn active<L: ActiveUsers>(ledger: &L, scope: &TenantScope, query: &ActiveUsersQuery) -> Vec<(String, Vec<u32>)> {
    let days = ledger.active_users(scope, query).await.expect("active users");
    days.into_iter().map(|(day, users)| (day.to_string(), users.iter().map(|UserNumber(n)| n).collect())).collect()
}

fn days(days: &[(&str, &[u32])]) -> Vec<(String, Vec<u32>)> {
    days.iter().map(|(day, users)| ((*day).to_owned(), users.to_vec())).collect()
}

pub(super) async fn an_empty_ledger_knows_nobody<L: Answering>(subject: Subject<L>) {
    let tenant = scope("acme");
    for name in ZONES {
        assert_eq!(active(&*subject.ledger, &tenant, &all_in(name)).await, []);
    }
    assert_eq!(subject.ledger.applied_zone(&tenant).zone, Zone::utc());
    set_zone(&*subject.ledger, &tenant, &zone("Asia/Tokyo")).await.expect("a zone of a tenant without events");
    assert_eq!(subject.ledger.applied_zone(&tenant).zone, zone("Asia/Tokyo"));
}

pub(super) async fn users_are_numbered_as_they_come<L: Answering>(mut subject: Subject<L>) {
    let tenant = scope("acme");
    let anonymous = event_at("anonymous", instant("2026-01-02T12:00:00Z"));
    subject.take(&tenant, at(0), &[by("zoe", "2026-01-02T10:00:00Z"), anonymous]).await;
    subject.take(&tenant, at(1), &[by("ann", "2026-01-01T10:00:00Z"), by("zoe", "2026-01-02T11:00:00Z")]).await;
    subject.take(&tenant, at(2), &[by("bob", "2026-01-02T10:00:00Z"), by("ann", "2026-01-02T10:00:00Z")]).await;
    subject.take(&tenant, at(3), &[by("bob", "2026-01-02T10:00:00Z"), by("Ann", "2026-01-02T10:00:00Z")]).await;
    let found = active(&*subject.ledger, &tenant, &all_in("UTC")).await;
    assert_eq!(found, days(&[("2026-01-01", &[1]), ("2026-01-02", &[0, 1, 2, 3])]));
}

pub(super) async fn i5_users_belong_to_their_tenant<L: Answering>(mut subject: Subject<L>) {
    let (acme, acm) = (scope("acme"), scope("acm"));
    subject.take(&acme, at(0), &[by("ann", "2026-01-02T10:00:00Z"), by("bob", "2026-01-02T10:00:00Z")]).await;
    subject.take(&acm, at(0), &[by("bob", "2026-01-03T10:00:00Z")]).await;
    let ledger = &*subject.ledger;
    assert_eq!(active(ledger, &acme, &all_in("UTC")).await, days(&[("2026-01-02", &[0, 1])]));
    assert_eq!(active(ledger, &acm, &all_in("UTC")).await, days(&[("2026-01-03", &[0])]));
    assert_eq!(active(ledger, &scope("ac"), &all_in("UTC")).await, []);
    set_zone(ledger, &acm, &zone("Asia/Tokyo")).await.expect("a zone");
    assert_eq!((ledger.applied_zone(&acme).zone, ledger.applied_zone(&acm).zone), (Zone::utc(), zone("Asia/Tokyo")));
    assert_eq!(active(ledger, &acme, &all_in("UTC")).await, days(&[("2026-01-02", &[0, 1])]));
}

pub(super) async fn a_range_of_users_is_half_open<L: Answering>(mut subject: Subject<L>) {
    let tenant = scope("acme");
    let times = ["09:59:59.999999", "10:00:00", "10:00:00.000001", "11:59:59.999999", "12:00:00", "12:00:00.000001"];
    let batch: Vec<_> =
        (0..).zip(times).map(|(n, time)| by(&format!("u{n}"), &format!("2026-01-02T{time}Z"))).collect();
    subject.take(&tenant, at(0), &batch).await;
    for name in ZONES {
        let query = ActiveUsersQuery { range: range("2026-01-02T10:00:00Z", "2026-01-02T12:00:00Z"), ..all_in(name) };
        let found = active(&*subject.ledger, &tenant, &query).await;
        let users: Vec<u32> = found.into_iter().flat_map(|(_, users)| users).collect();
        assert_eq!(users, [1, 2, 3], "{name}");
        let nothing = range("2026-01-02T10:00:00Z", "2026-01-02T10:00:00Z");
        assert_eq!(active(&*subject.ledger, &tenant, &ActiveUsersQuery { range: nothing, ..query }).await, []);
    }
}

/// The first and last day of a range may be parts of days; those between are whole.
pub(super) async fn days_at_the_ends_may_be_parts<L: Answering>(mut subject: Subject<L>) {
    let tenant = scope("acme");
    let batch =
        ["01T23:59:59.999999", "02T00:00:00", "02T08:00:00", "03T00:00:00", "03T23:59:59.999999", "04T08:00:00"];
    let batch: Vec<_> = (0..).zip(batch).map(|(n, time)| by(&format!("u{n}"), &format!("2026-01-{time}Z"))).collect();
    subject.take(&tenant, at(0), &batch).await;
    let from_to = |from, to| ActiveUsersQuery { range: range(from, to), ..all_in("UTC") };
    for (query, expected) in [
        (from_to("2026-01-02", "2026-01-04"), days(&[("2026-01-02", &[1, 2]), ("2026-01-03", &[3, 4])])),
        (from_to("2026-01-02T08:00:00Z", "2026-01-03"), days(&[("2026-01-02", &[2])])),
        (
            from_to("2026-01-02T00:00:00.000001Z", "2026-01-04T08:00:00.000001Z"),
            days(&[("2026-01-02", &[2]), ("2026-01-03", &[3, 4]), ("2026-01-04", &[5])]),
        ),
        (from_to("2026-01-03", "2026-01-03T23:59:59.999999Z"), days(&[("2026-01-03", &[3])])),
    ] {
        assert_eq!(active(&*subject.ledger, &tenant, &query).await, expected, "{query:?}");
    }
}

pub(super) async fn a_late_event_counts_on_its_own_day<L: Answering>(mut subject: Subject<L>) {
    let tenant = scope("acme");
    subject.take(&tenant, at(0), &[by("ann", "2026-01-05T00:00:00Z")]).await;
    subject.take(&tenant, at(1), &[by("bob", "1969-12-31T23:59:59.999999Z"), by("bob", "1970-01-01T00:00:00Z")]).await;
    subject.take(&tenant, at(2), &[by("ann", "0001-01-01T00:00:00Z"), by("ann", "2026-01-04T23:59:59.999999Z")]).await;
    let expected = days(&[
        ("0001-01-01", &[0]),
        ("1969-12-31", &[1]),
        ("1970-01-01", &[1]),
        ("2026-01-04", &[0]),
        ("2026-01-05", &[0]),
    ]);
    assert_eq!(active(&*subject.ledger, &tenant, &all_in("UTC")).await, expected);
}

pub(super) async fn users_are_filtered_by_project_and_type<L: Answering>(mut subject: Subject<L>) {
    let tenant = scope("acme");
    let batch = [
        by("none", "2026-01-02T10:00:00Z").kind("call"),
        by("p", "2026-01-02T10:00:00Z").kind("call").project("p"),
        by("q", "2026-01-02T10:00:00Z").kind("view").project("q"),
        by("p", "2026-01-03T10:00:00Z").kind("view").project("q"),
    ];
    subject.take(&tenant, at(0), &batch).await;
    let text = |text: &str| Some(text.to_owned());
    let both = &[("2026-01-02", &[2][..]), ("2026-01-03", &[1][..])][..];
    for (project, kind, expected) in [
        (text(""), None, days(&[("2026-01-02", &[0])])),
        (text("p"), None, days(&[("2026-01-02", &[1])])),
        (text("q"), None, days(both)),
        (None, text("call"), days(&[("2026-01-02", &[0, 1])])),
        (None, text("view"), days(both)),
        (text("q"), text("view"), days(both)),
        (text(""), text("view"), days(&[])),
        (text("P"), None, days(&[])),
        (None, text(""), days(&[])),
        (None, text("cal"), days(&[])),
    ] {
        for name in ["UTC", "Etc/GMT+5"] {
            let query = ActiveUsersQuery { project: project.clone(), kind: kind.clone(), ..all_in(name) };
            assert_eq!(active(&*subject.ledger, &tenant, &query).await, expected, "{query:?}");
        }
    }
}

/// Instants around midnights that are hard to find, with the day that clocks show there.
const MIDNIGHTS: [(&str, &str, &str); 14] = [
    // Days of 23 and of 25 hours.
    ("Europe/Berlin", "2026-03-29T21:59:59.999999Z", "2026-03-29"),
    ("Europe/Berlin", "2026-03-29T22:00:00Z", "2026-03-30"),
    ("Europe/Berlin", "2026-10-25T22:59:59.999999Z", "2026-10-25"),
    ("Europe/Berlin", "2026-10-25T23:00:00Z", "2026-10-26"),
    ("America/New_York", "2026-03-09T03:59:59.999999Z", "2026-03-08"),
    ("America/New_York", "2026-11-02T05:00:00Z", "2026-11-02"),
    // Clocks went from 24:00 to 01:00, and back from 24:00 to 23:00.
    ("America/Sao_Paulo", "2018-11-04T02:59:59.999999Z", "2018-11-03"),
    ("America/Sao_Paulo", "2018-11-04T03:00:00Z", "2018-11-04"),
    ("America/Sao_Paulo", "2019-02-17T02:59:59.999999Z", "2019-02-16"),
    ("Asia/Kathmandu", "2026-01-01T18:15:00Z", "2026-01-02"),
    // Samoa left out 2011-12-30.
    ("Pacific/Apia", "2011-12-30T09:59:59.999999Z", "2011-12-29"),
    ("Pacific/Apia", "2011-12-30T10:00:00Z", "2011-12-31"),
    ("Pacific/Pago_Pago", "2026-01-02T10:59:59.999999Z", "2026-01-01"),
    ("Pacific/Kiritimati", "2026-01-02T10:00:00Z", "2026-01-03"),
];

pub(super) async fn a_day_is_the_date_on_the_wall<L: Answering>(mut subject: Subject<L>) {
    let tenant = scope("acme");
    for (n, (_, time, _)) in (0..).zip(MIDNIGHTS) {
        subject.take(&tenant, at(n), &[by("ann", time)]).await;
    }
    // As any zone, then as the tenant's own, which other code may answer.
    for own in [false, true] {
        for (name, time, day) in MIDNIGHTS {
            if own {
                set_zone(&*subject.ledger, &tenant, &zone(name)).await.expect("a zone");
                assert_eq!(subject.ledger.applied_zone(&tenant).zone, zone(name));
            }
            let instant = instant(time);
            let range = TimeRange::new(instant, instant.plus_micros(1)).expect("a range");
            let query = ActiveUsersQuery { range, ..all_in(name) };
            let told = active(&*subject.ledger, &tenant, &query).await;
            assert_eq!(told, days(&[(day, &[0])]), "{name} {time}");
            let calendar = Calendar { zone: zone(name), ..Calendar::utc() };
            let day = calendar.day_of(instant);
            let (from, to) = (calendar.start_of(day), calendar.start_of(day.plus(1)));
            let query = ActiveUsersQuery { range: TimeRange::new(from, to).expect("a range"), ..query };
            assert_eq!(active(&*subject.ledger, &tenant, &query).await, told, "the whole day of {name} {time}");
        }
    }
}

pub(super) async fn a_new_zone_changes_no_answer<L: Answering>(mut subject: Subject<L>) {
    let tenant = scope("acme");
    let hour = |n: i64| Timestamp::from_micros(instant("2026-03-27").micros() + n * 3_600_000_000);
    let mut expected = Vec::new();
    for (n, own) in (0_i64..).zip(ZONES) {
        let batch: Vec<_> = (0..9)
            .map(|k| event_at(&format!("{n} {k}"), hour(k * 9 + n)).user(&format!("u{}", (n + k) % 5)))
            .map(|event| if n % 2 == 0 { event.project("p") } else { event })
            .collect();
        subject.take(&tenant, at(n), &batch).await;
        expected.clear();
        for asked in ZONES {
            expected.push(active(&*subject.ledger, &tenant, &all_in(asked)).await);
        }
        set_zone(&*subject.ledger, &tenant, &zone(own)).await.expect("a zone");
        subject.flush_by_habit().await;
        for (asked, before) in ZONES.into_iter().zip(&expected) {
            assert_eq!(active(&*subject.ledger, &tenant, &all_in(asked)).await, *before, "{asked}, kept in {own}");
            let query = ActiveUsersQuery { project: Some(String::new()), ..all_in(asked) };
            let without = active(&*subject.ledger, &tenant, &query).await;
            assert_eq!(without.is_empty(), n == 0, "{asked}, kept in {own}");
        }
    }
    let utc = active(&*subject.ledger, &tenant, &all_in("UTC")).await;
    let count: usize = utc.iter().map(|(_, users)| users.len()).sum();
    assert_eq!((utc.len(), count > 12), (4, true), "{utc:?}");
}

/// Choices are applied in the order in which they were made, whatever order they come in.
pub(super) async fn a_later_choice_of_zone_is_never_taken_back<L: Answering>(mut subject: Subject<L>) {
    let tenant = scope("acme");
    subject.take(&tenant, at(0), &[by("ann", "2026-01-02T23:30:00Z")]).await;
    let ledger = &*subject.ledger;
    assert_eq!(ledger.applied_zone(&tenant), VersionedZone::default());
    let choice = |name: &str, version| VersionedZone { zone: zone(name), version };
    let chosen = choice("Europe/Berlin", 5);
    for (wanted, refused) in [
        (VersionedZone::default(), None),
        (choice("Asia/Tokyo", 0), Some(ErrorKind::Conflict)),
        (chosen.clone(), None),
        (chosen.clone(), None),
        (choice("Asia/Tokyo", 5), Some(ErrorKind::Conflict)),
        (choice("Europe/Berlin", 4), Some(ErrorKind::Conflict)),
        (choice("Asia/Tokyo", 4), Some(ErrorKind::Conflict)),
        (VersionedZone::default(), Some(ErrorKind::Conflict)),
    ] {
        let before = ledger.applied_zone(&tenant);
        assert_eq!(ledger.recount(&tenant, &wanted).await.err().map(|error| error.kind()), refused, "{wanted:?}");
        assert_eq!(ledger.applied_zone(&tenant), if refused.is_some() { before } else { wanted });
    }
    assert_eq!(ledger.applied_zone(&tenant), chosen);
    assert_eq!(active(ledger, &tenant, &all_in("Europe/Berlin")).await, days(&[("2026-01-03", &[0])]));
    ledger.recount(&tenant, &choice("UTC", 6)).await.expect("a later choice");
    assert_eq!(active(ledger, &tenant, &all_in("UTC")).await, days(&[("2026-01-02", &[0])]));
    assert_eq!(ledger.applied_zone(&scope("other")), VersionedZone::default(), "I5");
}
