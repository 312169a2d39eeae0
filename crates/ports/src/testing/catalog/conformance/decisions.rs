//! What every catalog does.

use std::collections::BTreeMap;

use domain::access::audit::Cause;
use domain::access::record::Workspace;
use domain::calendar::{WeekStart, Zone};
use domain::quota::{
    CarriedPeriods, Measure, QUARTER_US, QUOTA_LIMIT_MAX, QuotaKey, QuotaPeriod, QuotaTerms, VersionedQuota,
};
use domain::time::{TimeRange, Timestamp};

use super::samples::draft;
use crate::active_users::VersionedZone;
use crate::catalog::{Catalog, TenantSettings};
use crate::testing::manifest::{Place, at, scope, tenant};
use crate::{ErrorKind, PortError};

/// Checks every promise of [`Catalog`].
///
/// # Errors
/// When the store fails where it must not.
pub async fn catalog_conformance<P: Place<dyn Catalog>>(new_place: impl Fn() -> P) -> Result<(), PortError> {
    tenants_are_created_once(&new_place()).await?;
    settings_are_of_one_tenant_and_the_last_stay(&new_place()).await?;
    a_wanted_zone_is_replaced_by_a_later_one_only(&new_place()).await?;
    a_quota_is_followed_by_its_next_version_only(&new_place()).await
}

async fn tenants_are_created_once(place: &impl Place<dyn Catalog>) -> Result<(), PortError> {
    let store = place.open().await?;
    assert_eq!(store.tenants().await?, []);
    store.ensure_tenants(&[], at(1), &Cause::server()).await?;
    store.ensure_tenants(&[tenant("b"), tenant("a"), tenant("b")], at(1), &Cause::server()).await?;
    store.ensure_tenants(&[tenant("ä"), tenant("a")], at(2), &Cause::server()).await?;
    drop(store);
    let known = |id: &str, created| Workspace::new(tenant(id), id, at(created));
    assert_eq!(place.open().await?.tenants().await?, [known("a", 1), known("b", 1), known("ä", 2)]);
    Ok(())
}

async fn settings_are_of_one_tenant_and_the_last_stay(place: &impl Place<dyn Catalog>) -> Result<(), PortError> {
    let mut store = place.open().await?;
    assert_eq!(store.settings().await?, []);
    let of =
        |week_start, max_lateness_sec| TenantSettings { week_start, max_lateness_sec, ..TenantSettings::default() };
    let from = |min_time| TenantSettings { min_time: Some(min_time), ..TenantSettings::default() };
    // Tenants decide before and without being registered; the default is a decision as well.
    let steps = [
        ("b", TenantSettings::default()),
        ("a", of(WeekStart::Sunday, Some(0))),
        ("ä", of(WeekStart::Saturday, Some(u32::MAX))),
        ("a", of(WeekStart::Saturday, Some(1))),
        ("b", of(WeekStart::Monday, Some(86_400))),
        ("b", of(WeekStart::Sunday, None)),
        ("a", from(Timestamp::MIN)),
        ("b", from(at(0))),
        ("a", TenantSettings::default()),
    ];
    let mut expected = BTreeMap::new();
    for (now, (id, settings)) in (1..).zip(steps) {
        store.store_settings(&scope(id), &settings, &draft(id, now)).await?;
        expected.insert(tenant(id), settings);
        assert_eq!(store.settings().await?, expected.clone().into_iter().collect::<Vec<_>>());
        drop(store);
        store = place.open().await?;
        assert_eq!(store.settings().await?, expected.clone().into_iter().collect::<Vec<_>>(), "opened again");
    }
    assert_eq!(store.tenants().await?, [], "settings register no tenant");
    Ok(())
}

async fn a_wanted_zone_is_replaced_by_a_later_one_only(place: &impl Place<dyn Catalog>) -> Result<(), PortError> {
    let mut store = place.open().await?;
    assert_eq!(store.wanted_zones().await?, []);
    let of = |name: &str, version| Zone::parse(name).map(|zone| VersionedZone { zone, version }).unwrap_or_default();
    let (mut expected, mut carried) = (BTreeMap::new(), BTreeMap::new());
    for (number, (id, wanted, refused)) in (0..).zip([
        ("a", VersionedZone::default(), true),
        ("a", of("Europe/Berlin", 3), false),
        ("ä", of("Asia/Kathmandu", 1 << 40), false),
        ("a", of("Asia/Tokyo", 3), true),
        ("a", of("Asia/Tokyo", 2), true),
        ("a", of("Asia/Tokyo", 4), false),
        ("a", of("Asia/Tokyo", 9), false),
        ("b", of("UTC", 1), false),
    ]) {
        let told = store.store_wanted_zone(&scope(id), &wanted, &periods(number), &draft(id, 1)).await;
        let told = told.err().map(|error| error.kind());
        assert_eq!(told, refused.then_some(ErrorKind::Conflict), "{wanted:?}");
        if !refused {
            expected.insert(tenant(id), wanted);
            carried.insert(tenant(id), periods(number));
        }
        drop(store);
        store = place.open().await?;
        assert_eq!(store.wanted_zones().await?, expected.clone().into_iter().collect::<Vec<_>>());
        assert_eq!(store.carried_periods().await?, carried.clone().into_iter().collect::<Vec<_>>());
    }
    assert_eq!(store.settings().await?, [], "a zone is no other decision");
    store.store_settings(&scope("a"), &TenantSettings::default(), &draft("a", 2)).await?;
    assert_eq!(store.wanted_zones().await?, expected.into_iter().collect::<Vec<_>>());
    Ok(())
}

/// Periods that are told apart by a number.
pub(super) fn periods(number: i64) -> CarriedPeriods {
    let quarter = |at: i64| Timestamp::from_micros(at * QUARTER_US);
    let range = |length| TimeRange::new(quarter(number), quarter(number + length)).unwrap_or(TimeRange::ALL);
    CarriedPeriods { day: range(96), month: range(96 * 30) }
}

async fn a_quota_is_followed_by_its_next_version_only(place: &impl Place<dyn Catalog>) -> Result<(), PortError> {
    let mut store = place.open().await?;
    assert_eq!(store.quotas().await?, []);
    let quota = |customer: Option<&str>, measure, period, terms, version| {
        let key = QuotaKey { customer: customer.map(str::to_owned), measure, period };
        VersionedQuota { key, terms, version }
    };
    let (events, tokens, day, month) = (Measure::Events, Measure::Tokens, QuotaPeriod::Day, QuotaPeriod::Month);
    let terms = |limit, is_hard| Some(QuotaTerms { limit, is_hard });
    let mut expected = BTreeMap::new();
    for (id, stored, refused) in [
        ("a", quota(None, events, month, terms(5, true), 2), true),
        ("a", quota(None, events, month, terms(5, true), 1), false),
        ("a", quota(None, events, month, terms(5, true), 1), true),
        ("a", quota(None, events, day, terms(0, true), 1), false),
        ("a", quota(None, tokens, day, terms(QUOTA_LIMIT_MAX, false), 1), false),
        ("ä", quota(None, events, month, terms(7, false), 1), false),
        ("a", quota(Some("ä"), events, month, terms(7, true), 1), false),
        ("a", quota(Some("c"), events, month, None, 1), false),
        ("a", quota(None, events, month, None, 2), false),
        ("a", quota(None, events, month, terms(6, false), 3), false),
        ("a", quota(None, events, month, terms(6, false), 5), true),
    ] {
        let told = store.store_quota(&scope(id), &stored, &draft(id, 1)).await.err().map(|error| error.kind());
        assert_eq!(told, refused.then_some(ErrorKind::Conflict), "{stored:?}");
        if !refused {
            expected.insert((tenant(id), stored.key.clone()), stored);
        }
        drop(store);
        store = place.open().await?;
        let expected: Vec<_> = expected.iter().map(|((of, _), quota)| (of.clone(), quota.clone())).collect();
        assert_eq!(store.quotas().await?, expected);
    }
    let wrong = store.store_quota(&scope("b"), &quota(None, events, day, None, 1), &draft("a", 1)).await;
    assert_eq!(wrong.err().map(|error| error.kind()), Some(ErrorKind::Unacceptable));
    assert!(store.quotas().await?.iter().all(|(of, _)| *of != tenant("b")), "both count, or nothing");
    Ok(())
}
