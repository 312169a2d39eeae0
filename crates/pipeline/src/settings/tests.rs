//! What a change does when it works and when it does not.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;
use std::sync::LazyLock;
use std::time::Duration;

use async_trait::async_trait;
use domain::access::audit::AuditDraft;
use domain::access::ids::UserId;
use domain::calendar::Day;
use domain::quota::CarriedPeriods;
use domain::users::UserSet;
use ports::active_users::{ActiveUsersQuery, VersionedZone};
use ports::register::AuditLog;
use ports::testing::catalog::MemoryCatalog;
use ports::testing::clock::ManualClock;
use ports::testing::ledger::MemoryLedger;
use ports::testing::ledger::records::scope;
use ports::testing::manifest::FaultPoint;

use super::*;
use domain::time::{TimeRange, Timestamp};
use domain::window::WindowRule;

fn somebody() -> &'static Cause {
    static SOMEBODY: LazyLock<Cause> =
        LazyLock::new(|| Cause::server().of_user(UserId::parse("annannannann").unwrap()));
    &SOMEBODY
}

/// What is written about a choice that these tests make behind the settings.
fn choice() -> AuditDraft {
    Cause::command().draft(Some(scope("a").tenant()), Timestamp::MIN, "zone.change", "settings")
}

fn kind(why: SettingsError) -> ErrorKind {
    match why {
        SettingsError::Port(why) => why.kind(),
        SettingsError::OtherVersion(_) => unreachable!("{why}"),
    }
}

fn settings(catalog: &Arc<MemoryCatalog>, stored: Vec<(TenantId, TenantSettings)>) -> Settings {
    let ledger = Arc::new(MemoryLedger::new(WindowRule::default()));
    over(catalog, ledger, stored)
}

fn over(
    catalog: &Arc<MemoryCatalog>,
    active_users: Arc<dyn ActiveUsers>,
    stored: Vec<(TenantId, TenantSettings)>,
) -> Settings {
    let clock = Arc::new(ManualClock::new(Timestamp::from_micros(0)));
    let ledger = Arc::new(MemoryLedger::new(WindowRule::default()));
    Settings::new(catalog.clone(), active_users, ledger, clock, stored)
}

fn change(max_lateness_sec: u32) -> SettingsChange {
    SettingsChange { max_lateness_sec: Some(Some(max_lateness_sec)), ..SettingsChange::default() }
}

/// The periods that no test here looks at.
fn carried() -> CarriedPeriods {
    CarriedPeriods { day: TimeRange::ALL, month: TimeRange::ALL }
}

#[tokio::test]
async fn what_holds_is_stored_and_holds_again_after_a_restart() {
    let catalog = Arc::new(MemoryCatalog::new());
    let before = settings(&catalog, Vec::new());
    before.change(&scope("a"), &change(120), somebody()).await.unwrap();
    let week = SettingsChange { week_start: Some(WeekStart::Sunday), ..SettingsChange::default() };
    before.change(&scope("a"), &week, somebody()).await.unwrap();
    let expected =
        TenantSettings { week_start: WeekStart::Sunday, max_lateness_sec: Some(120), ..TenantSettings::default() };
    assert_eq!(before.get(&scope("a")).settings, expected);
    assert_eq!(before.get(&scope("b")), VersionedSettings::default(), "I5");
    let after = settings(&catalog, catalog.reopen().settings().await.unwrap());
    assert_eq!(after.get(&scope("a")).settings, expected);
}

#[tokio::test]
async fn what_cannot_be_stored_does_not_hold() {
    let catalog = Arc::new(MemoryCatalog::new());
    let settings = settings(&catalog, Vec::new());
    settings.change(&scope("a"), &change(120), somebody()).await.unwrap();
    let held = settings.get(&scope("a"));
    catalog.fail_next(FaultPoint::DiskFull);
    assert_eq!(kind(settings.change(&scope("a"), &change(7), somebody()).await.unwrap_err()), ErrorKind::Full);
    assert_eq!(settings.get(&scope("a")), held);
    settings.change(&scope("a"), &change(7), somebody()).await.unwrap();
}

#[tokio::test]
async fn every_change_starts_a_generation_and_nothing_else_does() {
    let catalog = Arc::new(MemoryCatalog::new());
    let settings = settings(&catalog, Vec::new());
    let generation = || settings.get(&scope("a")).generation;
    let zone = |name: &str| SettingsChange { zone: Zone::parse(name).ok(), ..SettingsChange::default() };
    for (change, expected) in [
        (SettingsChange::default(), 0),
        (change(120), 1),
        (change(120), 1),
        (zone("UTC"), 1),
        (zone("Asia/Tokyo"), 2),
        (zone("Asia/Tokyo"), 2),
    ] {
        settings.change(&scope("a"), &change, somebody()).await.unwrap();
        assert_eq!(generation(), expected, "{change:?}");
    }
    assert_eq!(settings.calendar(&scope("a")).zone.name(), "Asia/Tokyo");
}

#[test]
fn a_tenants_lateness_goes_before_the_servers() {
    let catalog = Arc::new(MemoryCatalog::new());
    let late = |max_lateness_sec| TenantSettings { max_lateness_sec, ..TenantSettings::default() };
    let tenants = [("own", Some(120)), ("any", Some(0)), ("none", None)];
    let stored = tenants.map(|(tenant, seconds)| (scope(tenant).tenant().clone(), late(seconds))).to_vec();
    let settings = settings(&catalog, stored);
    let server = Limits { lateness_us_max: Some(60_000_000), ..Limits::default() };
    for (tenant, expected) in [("own", Some(120_000_000)), ("any", None), ("none", Some(60_000_000))] {
        assert_eq!(settings.limits(&scope(tenant), &server).lateness_us_max, expected, "{tenant}");
    }
}

#[tokio::test]
async fn a_tenants_earliest_time_goes_before_the_servers() {
    let settings = settings(&Arc::new(MemoryCatalog::new()), Vec::new());
    let server = Limits::default();
    let earliest = || settings.limits(&scope("a"), &server).time_min;
    let change = |min_time| SettingsChange { min_time: Some(min_time), ..SettingsChange::default() };
    assert_eq!(earliest(), server.time_min);
    settings.change(&scope("a"), &change(Some(Timestamp::MIN)), somebody()).await.unwrap();
    assert_eq!(earliest(), Timestamp::MIN);
    settings.change(&scope("a"), &change(None), somebody()).await.unwrap();
    assert_eq!(earliest(), server.time_min);
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
    let settings = over(&Arc::new(MemoryCatalog::new()), Arc::new(Endless), Vec::new());
    let zone = SettingsChange { zone: Zone::parse("Asia/Tokyo").ok(), ..SettingsChange::default() };
    let a = scope("a");
    let mut changing = std::pin::pin!(settings.change(&a, &zone, somebody()));
    let begun = tokio::time::timeout(Duration::ZERO, &mut changing).await;
    assert!(begun.is_err(), "the recount is under way");
    settings.stop();
    assert_eq!(kind(changing.await.unwrap_err()), ErrorKind::Closed);
    assert_eq!(settings.get(&a).generation, 0);
}

/// Recounts that fail in turn as told, and then succeed.
#[derive(Debug)]
struct Failing {
    failures: Mutex<Vec<ErrorKind>>,
    applied: Mutex<VersionedZone>,
    attempts: Mutex<Vec<VersionedZone>>,
}

impl Failing {
    fn with(failures: &[ErrorKind]) -> Arc<Self> {
        let failures = Mutex::new(failures.iter().rev().copied().collect());
        Arc::new(Self { failures, applied: Mutex::default(), attempts: Mutex::default() })
    }
}

#[async_trait]
impl ActiveUsers for Failing {
    async fn active_users(&self, _: &TenantScope, _: &ActiveUsersQuery) -> Result<BTreeMap<Day, UserSet>, PortError> {
        Ok(BTreeMap::new())
    }

    fn applied_zone(&self, _: &TenantScope) -> VersionedZone {
        self.applied.lock().clone()
    }

    async fn recount(&self, _: &TenantScope, wanted: &VersionedZone) -> Result<(), PortError> {
        self.attempts.lock().push(wanted.clone());
        if let Some(kind) = self.failures.lock().pop() {
            return Err(PortError::new(kind, "count users again"));
        }
        *self.applied.lock() = wanted.clone();
        Ok(())
    }
}

fn tokyo(version: u64) -> VersionedZone {
    VersionedZone { zone: Zone::parse("Asia/Tokyo").unwrap(), version }
}

fn to_tokyo() -> SettingsChange {
    SettingsChange { zone: Some(tokyo(0).zone), ..SettingsChange::default() }
}

async fn wanted(catalog: &MemoryCatalog) -> Option<VersionedZone> {
    catalog.wanted_zones().await.unwrap().into_iter().next().map(|(_, wanted)| wanted)
}

#[tokio::test]
async fn a_zone_is_wanted_before_it_is_applied_and_answers_are_of_the_applied_one() {
    let catalog = Arc::new(MemoryCatalog::new());
    let settings = over(&catalog, Arc::new(Endless), Vec::new());
    let a = scope("a");
    let change = to_tokyo();
    let mut changing = std::pin::pin!(settings.change(&a, &change, somebody()));
    assert!(tokio::time::timeout(Duration::ZERO, &mut changing).await.is_err(), "the recount is under way");
    assert_eq!(wanted(&catalog).await, Some(tokyo(1)));
    assert_eq!(settings.calendar(&a).zone, Zone::utc());
    assert_eq!((settings.pending_zone(&a), settings.pending_zone(&scope("b"))), (Some(tokyo(1).zone), None));
    settings.stop();
    assert_eq!(kind(changing.await.unwrap_err()), ErrorKind::Closed);
    assert_eq!(wanted(&catalog).await, Some(tokyo(1)), "the next start goes on with it");
}

#[tokio::test]
async fn a_zone_that_can_never_be_counted_is_no_longer_wanted() {
    let (catalog, ledger) = (Arc::new(MemoryCatalog::new()), Failing::with(&[ErrorKind::Gone]));
    let settings = over(&catalog, ledger.clone(), Vec::new());
    assert_eq!(kind(settings.change(&scope("a"), &to_tokyo(), somebody()).await.unwrap_err()), ErrorKind::Gone);
    assert_eq!(settings.pending_zone(&scope("a")), None);
    assert_eq!(wanted(&catalog).await, Some(VersionedZone { zone: Zone::utc(), version: 2 }));
    assert!(settings.resume_all().await, "nothing is left to do");
    assert_eq!(*ledger.attempts.lock(), [tokyo(1)]);
    settings.change(&scope("a"), &to_tokyo(), somebody()).await.unwrap();
    assert_eq!(*ledger.attempts.lock(), [tokyo(1), tokyo(3)], "it can be asked for again");
}

/// Who did what, and what changed, of everything in the log of tenant `a`.
async fn log(catalog: &MemoryCatalog) -> Vec<[String; 4]> {
    let entries = catalog.audit_chain(Some(scope("a").tenant()), 0, usize::MAX).await.unwrap();
    let told = |AuditDraft { actor, action, before, after, .. }: AuditDraft| {
        [actor, action, before.unwrap_or_default(), after.unwrap_or_default()]
    };
    entries.into_iter().map(|entry| told(entry.draft)).collect()
}

#[tokio::test]
async fn the_log_says_who_changed_what_and_what_the_server_gave_up() {
    let catalog = Arc::new(MemoryCatalog::new());
    let settings = over(&catalog, Failing::with(&[ErrorKind::Gone]), Vec::new());
    settings.change(&scope("a"), &change(120), somebody()).await.unwrap();
    settings.change(&scope("a"), &change(120), somebody()).await.unwrap();
    settings.change(&scope("b"), &change(7), somebody()).await.unwrap();
    settings.change(&scope("a"), &to_tokyo(), somebody()).await.unwrap_err();
    let expected = [
        ["user:annannannann", "settings.change", r#"{"max_lateness_sec":null}"#, r#"{"max_lateness_sec":120}"#],
        ["user:annannannann", "zone.change", r#"{"timezone":"UTC"}"#, r#"{"timezone":"Asia/Tokyo"}"#],
        ["server", "zone.change", r#"{"timezone":"Asia/Tokyo"}"#, r#"{"timezone":"UTC"}"#],
    ];
    assert_eq!(log(&catalog).await, expected);
    catalog.fail_next(FaultPoint::DiskFull);
    settings.change(&scope("a"), &change(7), somebody()).await.unwrap_err();
    assert_eq!(log(&catalog).await, expected, "what was not changed is not told");
}

#[tokio::test]
async fn i7_a_start_goes_on_with_a_recount_once_if_it_can_never_succeed() {
    for (failures, expected) in [(&[][..], tokyo(4).zone), (&[ErrorKind::Gone], Zone::utc())] {
        let (catalog, ledger) = (Arc::new(MemoryCatalog::new()), Failing::with(failures));
        catalog.store_wanted_zone(&scope("a"), &tokyo(4), &carried(), &choice()).await.unwrap();
        let settings = over(&catalog, ledger.clone(), Vec::new());
        assert!(settings.resume_all().await);
        assert!(settings.resume_all().await);
        assert_eq!(*ledger.attempts.lock(), [tokyo(4)]);
        assert_eq!(settings.calendar(&scope("a")).zone, expected);
        assert_eq!(wanted(&catalog).await.map(|wanted| wanted.zone), Some(expected));
        assert_eq!(settings.pending_zone(&scope("a")), None);
    }
}

#[tokio::test]
async fn i7_a_recount_that_failed_is_made_again_until_it_succeeds() {
    let (catalog, ledger) = (Arc::new(MemoryCatalog::new()), Failing::with(&[ErrorKind::Unavailable; 2]));
    let clock = Arc::new(ManualClock::new(Timestamp::from_micros(0)));
    let whole = Arc::new(MemoryLedger::new(WindowRule::default()));
    let settings = Settings::new(catalog.clone(), ledger.clone(), whole, clock.clone(), Vec::new());
    let settings = Arc::new(settings);
    let stop = Stop::new();
    let resuming = tokio::spawn(Arc::clone(&settings).resume_recounts(stop.signal()));
    tokio::task::yield_now().await;
    assert_eq!(kind(settings.change(&scope("a"), &to_tokyo(), somebody()).await.unwrap_err()), ErrorKind::Unavailable);
    assert_eq!(settings.pending_zone(&scope("a")), Some(tokyo(1).zone));
    while settings.pending_zone(&scope("a")).is_some() {
        clock.advance(Duration::from_secs(60));
        tokio::task::yield_now().await;
    }
    assert_eq!(*ledger.attempts.lock(), [tokyo(1), tokyo(1), tokyo(1)]);
    assert_eq!(settings.calendar(&scope("a")).zone, tokyo(1).zone);
    stop.drain();
    resuming.await.unwrap();
}

#[tokio::test]
async fn a_recount_holds_up_no_other_setting_and_is_not_forgotten_for_one() {
    let catalog = Arc::new(MemoryCatalog::new());
    let settings = over(&catalog, Arc::new(Endless), Vec::new());
    let (a, zone) = (scope("a"), to_tokyo());
    let mut recounting = std::pin::pin!(settings.change(&a, &zone, somebody()));
    assert!(tokio::time::timeout(Duration::ZERO, &mut recounting).await.is_err(), "the recount is under way");
    settings.change(&a, &change(120), somebody()).await.unwrap();
    assert_eq!(settings.get(&a).settings.max_lateness_sec, Some(120));
    assert_eq!(settings.pending_zone(&a), Some(tokyo(1).zone));
    let utc = SettingsChange { zone: Some(Zone::utc()), ..SettingsChange::default() };
    let mut other = std::pin::pin!(settings.change(&a, &utc, somebody()));
    assert!(tokio::time::timeout(Duration::ZERO, &mut other).await.is_err(), "one change of the zone at a time");
    settings.stop();
    assert_eq!(kind(recounting.await.unwrap_err()), ErrorKind::Closed);
    assert!(other.await.is_ok(), "it had its turn, and found that the zone it wants is the one that holds");
}

#[tokio::test]
async fn i6_changes_of_a_zone_that_wait_for_another_are_bounded_in_number() {
    let settings = over(&Arc::new(MemoryCatalog::new()), Arc::new(Endless), Vec::new());
    let (a, zone) = (scope("a"), to_tokyo());
    let mut waiting: Vec<_> =
        (0..=WAITERS_PER_TENANT_MAX).map(|_| Box::pin(settings.change(&a, &zone, somebody()))).collect();
    for change in &mut waiting {
        assert!(tokio::time::timeout(Duration::ZERO, change).await.is_err());
    }
    assert_eq!(kind(settings.change(&a, &zone, somebody()).await.unwrap_err()), ErrorKind::Overloaded);
    drop(waiting);
    let mut next = std::pin::pin!(settings.change(&a, &zone, somebody()));
    assert!(tokio::time::timeout(Duration::ZERO, &mut next).await.is_err(), "there is room again");
}

#[tokio::test]
async fn a_zone_that_is_wanted_is_given_up_for_the_one_that_holds() {
    let (catalog, ledger) = (Arc::new(MemoryCatalog::new()), Failing::with(&[ErrorKind::Unavailable]));
    let settings = over(&catalog, ledger.clone(), Vec::new());
    settings.change(&scope("a"), &to_tokyo(), somebody()).await.unwrap_err();
    let back = SettingsChange { zone: Some(Zone::utc()), ..SettingsChange::default() };
    settings.change(&scope("a"), &back, somebody()).await.unwrap();
    assert_eq!((settings.pending_zone(&scope("a")), ledger.attempts.lock().len()), (None, 1));
    assert!(settings.resume_all().await);
    assert_eq!(ledger.attempts.lock().len(), 1);
}

/// A catalog that was restored from an older backup than the manifest.
#[tokio::test]
async fn an_older_choice_gives_way_to_a_later_one_that_is_applied() {
    let catalog = Arc::new(MemoryCatalog::new());
    let ledger = Arc::new(MemoryLedger::new(WindowRule::default()));
    ledger.recount(&scope("a"), &tokyo(7)).await.unwrap();
    let berlin = VersionedZone { zone: Zone::parse("Europe/Berlin").unwrap(), version: 3 };
    catalog.store_wanted_zone(&scope("a"), &berlin, &carried(), &choice()).await.unwrap();
    let settings = over(&catalog, ledger, Vec::new());
    assert!(settings.resume_all().await);
    assert_eq!(settings.calendar(&scope("a")).zone, tokyo(7).zone);
    assert_eq!(wanted(&catalog).await, Some(tokyo(8)));
    assert_eq!(settings.pending_zone(&scope("a")), None);
}

#[tokio::test]
async fn of_changes_of_one_version_one_is_made() {
    let catalog = Arc::new(MemoryCatalog::new());
    let settings = Arc::new(settings(&catalog, Vec::new()));
    for round in 0..20 {
        let expected = Some(settings.version(&scope("a")));
        let writers = (0..8).map(|writer| {
            let settings = Arc::clone(&settings);
            let change = SettingsChange { expected, ..change(1 + 8 * round + writer) };
            tokio::spawn(async move { settings.change(&scope("a"), &change, somebody()).await.is_ok() })
        });
        let mut made = 0;
        for writer in writers.collect::<Vec<_>>() {
            made += u32::from(writer.await.unwrap());
        }
        assert_eq!(made, 1, "{round}");
    }
    assert_eq!(log(&catalog).await.len(), 20);
    let stale = SettingsChange { expected: Some(7), ..SettingsChange::default() };
    let told = settings.change(&scope("a"), &stale, somebody()).await.unwrap_err();
    assert!(matches!(told, SettingsError::OtherVersion(is) if is == settings.version(&scope("a"))), "{told}");
}

#[tokio::test]
async fn the_version_is_that_of_the_wanted_zone_and_goes_back_with_it() {
    let (catalog, ledger) = (Arc::new(MemoryCatalog::new()), Failing::with(&[ErrorKind::Unavailable, ErrorKind::Gone]));
    let settings = over(&catalog, ledger, Vec::new());
    let (a, version) = (scope("a"), || settings.version(&scope("a")));
    let (first, zone) = (version(), |expected| SettingsChange { expected: Some(expected), ..to_tokyo() });
    assert_eq!(kind(settings.change(&a, &zone(first), somebody()).await.unwrap_err()), ErrorKind::Unavailable);
    let second = version();
    assert_ne!(first, second, "it is wanted, and not applied yet");
    for other in [zone(first), SettingsChange { expected: Some(first), ..change(1) }] {
        let told = settings.change(&a, &other, somebody()).await.unwrap_err();
        assert!(matches!(told, SettingsError::OtherVersion(is) if is == second), "{told}");
    }
    assert_eq!(kind(settings.change(&a, &zone(second), somebody()).await.unwrap_err()), ErrorKind::Gone);
    assert_eq!(version(), first, "the zone that cannot be applied was taken back");
    let both = SettingsChange { expected: Some(first), ..change(7) };
    settings.change(&a, &SettingsChange { zone: to_tokyo().zone, ..both }, somebody()).await.unwrap();
    assert_eq!((settings.calendar(&a).zone, settings.get(&a).settings.max_lateness_sec), (tokyo(0).zone, Some(7)));
    let after = over(&catalog, Failing::with(&[]), catalog.settings().await.unwrap());
    assert_eq!(after.version(&scope("b")), first, "I5");
}

/// Recounts that wait until they are let go on.
#[derive(Debug, Default)]
struct Slow {
    go: Notify,
    applied: Mutex<VersionedZone>,
}

#[async_trait]
impl ActiveUsers for Slow {
    async fn active_users(&self, _: &TenantScope, _: &ActiveUsersQuery) -> Result<BTreeMap<Day, UserSet>, PortError> {
        Ok(BTreeMap::new())
    }

    fn applied_zone(&self, _: &TenantScope) -> VersionedZone {
        self.applied.lock().clone()
    }

    async fn recount(&self, _: &TenantScope, wanted: &VersionedZone) -> Result<(), PortError> {
        self.go.notified().await;
        *self.applied.lock() = wanted.clone();
        Ok(())
    }
}

#[tokio::test]
async fn what_others_set_while_a_zone_was_applied_is_not_overwritten_unseen() {
    let (catalog, ledger) = (Arc::new(MemoryCatalog::new()), Arc::new(Slow::default()));
    let settings = over(&catalog, ledger.clone(), Vec::new());
    let a = scope("a");
    let expected = Some(settings.version(&a));
    let both = SettingsChange { zone: to_tokyo().zone, expected, ..change(7) };
    let mut changing = std::pin::pin!(settings.change(&a, &both, somebody()));
    assert!(tokio::time::timeout(Duration::ZERO, &mut changing).await.is_err(), "the recount is under way");
    let other = SettingsChange { expected: Some(settings.version(&a)), ..change(8) };
    settings.change(&a, &other, somebody()).await.unwrap();
    ledger.go.notify_one();
    assert_eq!(kind(changing.await.unwrap_err()), ErrorKind::Conflict);
    assert_eq!((settings.calendar(&a).zone, settings.get(&a).settings.max_lateness_sec), (tokyo(0).zone, Some(8)));
}
