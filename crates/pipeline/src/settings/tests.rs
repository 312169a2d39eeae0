//! What a change does when it works and when it does not.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use domain::calendar::Day;
use domain::users::UserSet;
use ports::active_users::{ActiveUsersQuery, VersionedZone};
use ports::testing::clock::ManualClock;
use ports::testing::ledger::MemoryLedger;
use ports::testing::ledger::records::scope;
use ports::testing::manifest::{FaultPoint, MemoryManifest};

use super::*;
use crate::stop::Stop;
use domain::time::Timestamp;
use domain::window::WindowRule;

fn settings(catalog: &Arc<MemoryManifest>, stored: Vec<(TenantId, TenantSettings)>) -> (Settings, Stop) {
    let ledger = Arc::new(MemoryLedger::new(WindowRule::default()));
    over(catalog, ledger, stored)
}

fn over(
    catalog: &Arc<MemoryManifest>,
    active_users: Arc<dyn ActiveUsers>,
    stored: Vec<(TenantId, TenantSettings)>,
) -> (Settings, Stop) {
    let clock = Arc::new(ManualClock::new(Timestamp::from_micros(0)));
    let stop = Stop::new();
    (Settings::new(catalog.clone(), active_users, clock, stored, stop.signal()), stop)
}

fn change(max_lateness_sec: u32) -> SettingsChange {
    SettingsChange { max_lateness_sec: Some(Some(max_lateness_sec)), ..SettingsChange::default() }
}

#[tokio::test]
async fn what_holds_is_stored_and_holds_again_after_a_restart() {
    let catalog = Arc::new(MemoryManifest::new());
    let (before, _stop) = settings(&catalog, Vec::new());
    before.change(&scope("a"), &change(120)).await.unwrap();
    let week = SettingsChange { week_start: Some(WeekStart::Sunday), ..SettingsChange::default() };
    before.change(&scope("a"), &week).await.unwrap();
    let expected = TenantSettings { week_start: WeekStart::Sunday, max_lateness_sec: Some(120) };
    assert_eq!(before.of(&scope("a")).settings, expected);
    assert_eq!(before.of(&scope("b")), Current::default(), "I5");
    let (after, _stop) = settings(&catalog, catalog.reopen().settings().await.unwrap());
    assert_eq!(after.of(&scope("a")).settings, expected);
}

#[tokio::test]
async fn what_cannot_be_stored_does_not_hold() {
    let catalog = Arc::new(MemoryManifest::new());
    let (settings, _stop) = settings(&catalog, Vec::new());
    settings.change(&scope("a"), &change(120)).await.unwrap();
    let held = settings.of(&scope("a"));
    catalog.fail_next(FaultPoint::DiskFull);
    assert_eq!(settings.change(&scope("a"), &change(7)).await.unwrap_err().kind(), ErrorKind::Full);
    assert_eq!(settings.of(&scope("a")), held);
    settings.change(&scope("a"), &change(7)).await.unwrap();
}

#[tokio::test]
async fn every_change_starts_a_generation_and_nothing_else_does() {
    let catalog = Arc::new(MemoryManifest::new());
    let (settings, _stop) = settings(&catalog, Vec::new());
    let generation = || settings.of(&scope("a")).generation;
    let zone = |name: &str| SettingsChange { zone: Zone::parse(name).ok(), ..SettingsChange::default() };
    for (change, expected) in [
        (SettingsChange::default(), 0),
        (change(120), 1),
        (change(120), 1),
        (zone("UTC"), 1),
        (zone("Asia/Tokyo"), 2),
        (zone("Asia/Tokyo"), 2),
    ] {
        settings.change(&scope("a"), &change).await.unwrap();
        assert_eq!(generation(), expected, "{change:?}");
    }
    assert_eq!(settings.calendar(&scope("a")).zone.name(), "Asia/Tokyo");
}

#[test]
fn a_tenants_lateness_goes_before_the_servers() {
    let catalog = Arc::new(MemoryManifest::new());
    let late = |max_lateness_sec| TenantSettings { max_lateness_sec, ..TenantSettings::default() };
    let tenants = [("own", Some(120)), ("any", Some(0)), ("none", None)];
    let stored = tenants.map(|(tenant, seconds)| (scope(tenant).tenant().clone(), late(seconds))).to_vec();
    let (settings, _stop) = settings(&catalog, stored);
    let server = Limits { lateness_us_max: Some(60_000_000), ..Limits::default() };
    for (tenant, expected) in [("own", Some(120_000_000)), ("any", None), ("none", Some(60_000_000))] {
        assert_eq!(settings.limits(&scope(tenant), &server).lateness_us_max, expected, "{tenant}");
    }
}

/// Recounts that never end.
#[derive(Debug)]
struct Endless;

#[async_trait]
impl ActiveUsers for Endless {
    async fn active_users(&self, _: &TenantScope, _: &ActiveUsersQuery) -> Result<BTreeMap<Day, UserSet>, PortError> {
        std::future::pending().await
    }

    fn applied_zone(&self, _: &TenantScope) -> VersionedZone {
        VersionedZone::default()
    }

    async fn recount(&self, _: &TenantScope, _: &VersionedZone) -> Result<(), PortError> {
        std::future::pending().await
    }
}

#[tokio::test]
async fn i9_a_change_of_zone_does_not_hold_up_the_end_of_the_server() {
    let (settings, stop) = over(&Arc::new(MemoryManifest::new()), Arc::new(Endless), Vec::new());
    let zone = SettingsChange { zone: Zone::parse("Asia/Tokyo").ok(), ..SettingsChange::default() };
    let a = scope("a");
    let mut changing = std::pin::pin!(settings.change(&a, &zone));
    let begun = tokio::time::timeout(Duration::ZERO, &mut changing).await;
    assert!(begun.is_err(), "the recount is under way");
    stop.drain();
    assert_eq!(changing.await.unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(settings.of(&a).generation, 0);
}
