//! What another ledger hands over, taken in stage by stage: as it was, once, and whole however often it was interrupted.

#![expect(clippy::unwrap_used, reason = "what is handed over is made here")]

use std::collections::BTreeMap;

use domain::admit::Dimension;
use domain::aggregate::{Aggregate, Totals};
use domain::dedup::IdHasher;
use domain::event::{EventId, EventView};
use domain::payload::{HashRule, PayloadHash};
use domain::position::{Position, Seq};
use domain::quota::{Amounts, quarter_of};
use domain::record::RecordView;
use domain::rollup::{Rollup, RollupKey, hour_of};
use domain::tenant::TenantId;
use domain::time::{MICROS_PER_DAY, Timestamp};
use domain::users::{UserNumber, UserSet};
use domain::window::WindowRule;
use fail::FailScenario;
use ledger_postgres::{Intake, verify};
use ports::active_users::VersionedZone;
use ports::ledger::{Ledger, Outcome as Of};
use ports::manifest::{ActivityFilter, DeadLetter, ReceivedSum};
use ports::moving::{MoveStage, MovedDay, MovedEvent, MovedId, MovedLedger, MovedSum, MovedTenant, MovedUser};
use ports::reports::{StoredEvent, Window};
use ports::testing::ledger::records::{EventSpec, admitted, at, event, record, scope};
use ports::{ErrorKind, PortError};

use crate::Outcome;
use crate::place::Base;

const KEY: [u8; 16] = [4; 16];
const WORKSPACE: &str = "acme";

/// All that a ledger hands over.
struct Handed {
    ledger: MovedLedger,
    tenants: Vec<MovedTenant>,
    events: Vec<MovedEvent>,
    ids: Vec<MovedId>,
    windows: Vec<MovedSum>,
    customers: Vec<MovedSum>,
    rollups: Vec<Rollup>,
    received: Vec<ReceivedSum>,
    users: Vec<MovedUser>,
    days: Vec<MovedDay>,
    letters: Vec<DeadLetter>,
}

fn specs() -> Vec<EventSpec> {
    let call = |n: u32| {
        let event = event(&format!("e{n}"), i64::from(n) * 20).kind("call").customer(["a", "b"][n as usize % 2]);
        event.user(&format!("u{}", n % 3)).endpoint("/chat").model("m").tokens(n.into(), 2).project("p")
    };
    (0..30).map(call).collect()
}

/// What the events of a record add up to.
#[derive(Default)]
struct Folded {
    windows: BTreeMap<(String, Timestamp), Aggregate>,
    customers: BTreeMap<(String, Timestamp), Aggregate>,
    rollups: BTreeMap<RollupKey, Totals>,
    days: BTreeMap<(ActivityFilter, i32), UserSet>,
    amounts: Amounts,
}

fn number(event: &EventView<'_>) -> UserNumber {
    UserNumber(event.user.unwrap()[1..].parse().unwrap())
}

fn folded(tenant: &TenantId, events: &[EventView<'_>]) -> Folded {
    let mut folded = Folded::default();
    for event in events {
        let customer = event.customer.unwrap().to_owned();
        let start = WindowRule::default().start_of(event.time);
        folded.windows.entry((customer.clone(), start)).or_default().fold(event, true);
        folded.customers.entry((customer, Timestamp::default())).or_default().fold(event, true);
        let (project, kind) = (event.project.unwrap().to_owned(), event.kind.to_owned());
        let key = RollupKey { tenant: tenant.clone(), project, kind, hour: hour_of(event.time) };
        folded.rollups.entry(key).or_default().merge(&Totals::of(&event.usage, true));
        folded.amounts.add(&Amounts::of(event));
        let day = i32::try_from(event.time.micros().div_euclid(MICROS_PER_DAY)).unwrap();
        for filter in filters() {
            folded.days.entry((filter, day)).or_default().insert(number(event));
        }
    }
    folded
}

fn sums(tenant: &TenantId, received_at: Timestamp, sums: BTreeMap<(String, Timestamp), Aggregate>) -> Vec<MovedSum> {
    let sum = |((customer, start), aggregate)| MovedSum {
        tenant: tenant.clone(),
        customer,
        start,
        aggregate,
        received: (received_at, received_at),
    };
    sums.into_iter().map(sum).collect()
}

fn ledger(rule: WindowRule) -> MovedLedger {
    MovedLedger {
        key: KEY,
        rule,
        last: Seq(2),
        closed_through: at(20_000),
        floor: Timestamp::MIN,
        dead_letters: 1,
        holds_former_ids: false,
        received_after: Seq::ZERO,
        fingerprint: 7,
    }
}

/// What one record of one tenant comes to.
fn handed() -> Handed {
    let (scope, received_at, rule) = (scope(WORKSPACE), at(10_000), WindowRule::default());
    let tenant = scope.tenant().clone();
    let hasher = IdHasher::new(&KEY).of_tenant(&tenant);
    let admitted = admitted(&scope, received_at, &specs());
    let record = RecordView::parse(admitted.payload()).unwrap();
    let bodies: Vec<_> = record.bodies().map(|body| body.unwrap().event_with_identity().unwrap()).collect();
    let position = |index: usize| Position::new(Seq(1), u16::try_from(index).unwrap());
    let events = bodies.iter().enumerate().map(|(index, (event, identity))| MovedEvent {
        tenant: tenant.clone(),
        position: position(index),
        event: stored(event, position(index), received_at),
        user: Some(number(event)),
        is_late: true,
        hash: hasher.hash_id(EventId { scheme: event.id_scheme, text: event.id }),
        payload: identity.payload,
    });
    let views: Vec<_> = bodies.iter().map(|(event, _)| *event).collect();
    let Folded { windows, customers, rollups, days, amounts } = folded(&tenant, &views);
    let names =
        [(Dimension::Type, "call"), (Dimension::Endpoint, "/chat"), (Dimension::Model, "m"), (Dimension::Project, "p")];
    Handed {
        ledger: ledger(rule),
        tenants: vec![MovedTenant {
            tenant: tenant.clone(),
            retention: None,
            zone: VersionedZone::default(),
            users: 3,
            metered: Vec::new(),
            names: names.map(|(dimension, name)| (dimension, name.to_owned())).into(),
        }],
        events: events.collect(),
        ids: vec![MovedId {
            hash: hasher.hash("the key of a request"),
            payload: PayloadHash { rule: HashRule::RequestBody, hash: 5 },
            position: position(0),
            tenant: Some(tenant.clone()),
            received_at: Some(received_at),
        }],
        windows: sums(&tenant, received_at, windows),
        customers: sums(&tenant, received_at, customers),
        rollups: rollups.into_iter().map(|(key, totals)| Rollup { key, totals }).collect(),
        received: vec![ReceivedSum {
            tenant: tenant.clone(),
            customer: String::new(),
            start: quarter_of(received_at),
            amounts,
        }],
        users: (0..3)
            .map(|n| MovedUser { tenant: tenant.clone(), number: UserNumber(n), name: Some(format!("u{n}")) })
            .collect(),
        days: days
            .into_iter()
            .map(|((filter, day), users)| MovedDay { tenant: tenant.clone(), filter, day, users })
            .collect(),
        letters: vec![DeadLetter {
            seq: Seq(2),
            tenant: Some(tenant),
            reason: "no\0 reason".to_owned(),
            dead_lettered_at: received_at,
            payload: vec![1, 2],
        }],
    }
}

fn filters() -> [ActivityFilter; 3] {
    [ActivityFilter::All, ActivityFilter::Project("p".to_owned()), ActivityFilter::Type("call".to_owned())]
}

fn stored(event: &EventView<'_>, position: Position, received_at: Timestamp) -> StoredEvent {
    let text = |text: Option<&str>| text.map(str::to_owned);
    StoredEvent {
        position: position.into(),
        id: event.id.to_owned(),
        id_scheme: event.id_scheme,
        time: event.time,
        received_at,
        kind: event.kind.to_owned(),
        project: text(event.project),
        customer: text(event.customer),
        user: text(event.user),
        endpoint: text(event.endpoint),
        properties: text(event.properties),
        tokens: event.usage.tokens,
        input_tokens: event.usage.input_tokens,
        output_tokens: event.usage.output_tokens,
        latency_us: event.usage.latency_us,
        model: text(event.usage.model),
        cache_read_tokens: event.usage.cache_read_tokens,
        cache_write_tokens: event.usage.cache_write_tokens,
        reasoning_tokens: event.usage.reasoning_tokens,
    }
}

/// Rows behind those that are taken in, in pieces of seven.
fn left<'r, T>(rows: &'r [T], intake: &Intake) -> std::slice::Chunks<'r, T> {
    rows[usize::try_from(intake.taken()).unwrap_or(usize::MAX).min(rows.len())..].chunks(7)
}

/// Hands over what is left of all stages.
async fn take(intake: &mut Intake, handed: &Handed) -> Result<(), PortError> {
    while intake.stage() != MoveStage::Done {
        let stage = intake.stage();
        match stage {
            MoveStage::Events => {
                for rows in left(&handed.events, intake) {
                    intake.take_events(rows).await?;
                }
            }
            MoveStage::Ids => intake.take_ids(&handed.ids).await?,
            MoveStage::Windows => {
                for rows in left(&handed.windows, intake) {
                    intake.take_windows(rows).await?;
                }
            }
            MoveStage::Customers => {
                for rows in left(&handed.customers, intake) {
                    intake.take_customers(rows).await?;
                }
            }
            MoveStage::Rollups if intake.taken() == 0 => intake.take_rollups(&handed.rollups).await?,
            MoveStage::Received if intake.taken() == 0 => intake.take_received(&handed.received).await?,
            MoveStage::Users => {
                for rows in left(&handed.users, intake) {
                    intake.take_users(rows).await?;
                }
            }
            MoveStage::UserDays if intake.taken() == 0 => intake.take_days(&handed.days).await?,
            MoveStage::DeadLetters => {
                for rows in left(&handed.letters, intake) {
                    intake.take_dead_letters(rows).await?;
                }
            }
            _ => {}
        }
        intake.finish(stage).await?;
    }
    Ok(())
}

async fn open(base: &Base, handed: &Handed) -> Result<Intake, PortError> {
    Intake::open(&base.worker_url(), &handed.ledger, &handed.tenants).await
}

/// The rows of every table, but for what tells when they were taken in.
fn rows(base: &Base) -> Result<Vec<String>, Box<dyn std::error::Error>> {
    let tables = base.sql(
        "SELECT relname FROM pg_class WHERE relnamespace = 'nilometer_ledger'::regnamespace AND relkind IN ('r', 'p') \
         AND NOT relispartition AND relname NOT IN ('moves', 'schema_step', 'buckets') ORDER BY 1",
    )?;
    let mut all =
        vec![base.sql("SELECT record_no, events, dead_letters, closed_through FROM buckets ORDER BY bucket")?];
    for table in tables.lines() {
        all.push(format!("{table}: {}", base.sql(&format!("SELECT t::text FROM {table} t ORDER BY t::text"))?));
    }
    Ok(all)
}

async fn differences(base: &Base) -> Result<Vec<String>, PortError> {
    let mut told = Vec::new();
    verify(&base.worker_url(), &mut |difference| told.push(difference.to_string())).await?;
    Ok(told)
}

#[tokio::test]
async fn i2_i3_what_is_taken_in_is_whole_and_nothing_of_it_counts_again() -> Outcome {
    let Some(base) = Base::migrated().await? else { return Ok(()) };
    let handed = handed();
    let mut intake = open(&base, &handed).await?;
    take(&mut intake, &handed).await?;
    let tenant = handed.tenants[0].tenant.clone();
    let mut windows = Vec::new();
    loop {
        let after = windows.last().map(|last: &Window| (last.customer.as_str(), last.start));
        let page = intake.windows_after(&tenant, after, 4).await?;
        if page.is_empty() {
            break;
        }
        windows.extend(page);
    }
    let (rule, closed_through) = (handed.ledger.rule, handed.ledger.closed_through);
    let expected = handed.windows.iter().cloned();
    let expected = expected.map(|sum| Window::of(rule, closed_through, sum.customer, sum.start, sum.aggregate));
    assert_eq!(windows, expected.collect::<Vec<_>>());
    let customers = intake.customers_after(&tenant, None, 10).await?;
    assert_eq!(customers.iter().map(|one| one.id.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    intake.close().await?;
    assert_eq!(differences(&base).await?, Vec::<String>::new());

    let ledger = base.open().await?;
    assert_eq!(ledger.closed_through(), closed_through);
    let scope = scope(WORKSPACE);
    let seen = ledger.seen_exactly(&scope, &[EventId::native("e7"), EventId::native("new")]).await?;
    assert!(seen[0].is_some() && seen[1].is_none(), "{seen:?}");
    let again = [specs()[7].clone(), event("e8", 1), event("new", 1).user("u2"), event("newer", 1).user("u9")];
    let applied = ledger.apply(&[record(1, &scope, at(30_000), &again)]).await;
    assert!(applied.failed.is_none(), "{:?}", applied.failed);
    assert_eq!(applied.applied[0].outcomes, [Of::Duplicate, Of::Mismatch, Of::Fresh, Of::Fresh]);
    assert_eq!(base.sql("SELECT string_agg(user_no || name, ' ' ORDER BY user_no) FROM users")?, "0u0 1u1 2u2 3u9");
    ledger.close().await?;
    Ok(())
}

/// Each process dies in its second transaction, and the next one goes on.
#[tokio::test]
async fn i7_interrupted_anywhere_it_ends_with_the_same_rows() -> Outcome {
    let (Some(straight), Some(broken)) = (Base::migrated().await?, Base::migrated().await?) else { return Ok(()) };
    let handed = handed();
    let mut intake = open(&straight, &handed).await?;
    take(&mut intake, &handed).await?;
    intake.close().await?;

    let _alone = FailScenario::setup();
    let mut interruptions = 0;
    loop {
        fail::cfg("ledger_postgres::before_move", "1*off->return")?;
        // Dropped without being closed, as a process that dies leaves it: the lease does not keep the next one out.
        let mut intake = open(&broken, &handed).await?;
        match take(&mut intake, &handed).await {
            Ok(()) => break,
            Err(why) => assert_eq!(why.kind(), ErrorKind::Unavailable, "{why}"),
        }
        interruptions += 1;
        assert!(interruptions < 100, "it never ends");
    }
    assert!(interruptions > 8, "{interruptions} interruptions are few");
    assert_eq!(rows(&broken)?, rows(&straight)?);
    assert_eq!(differences(&broken).await?, Vec::<String>::new());
    Ok(())
}

#[tokio::test]
async fn what_is_there_is_refused_and_nothing_is_merged() -> Outcome {
    let Some(base) = Base::migrated().await? else { return Ok(()) };
    let handed = handed();
    let refused = async |handed: &Handed| {
        let why = open(&base, handed).await.err().ok_or("it was taken")?;
        assert_eq!(why.kind(), ErrorKind::Conflict, "{why}");
        Ok::<_, Box<dyn std::error::Error>>(
            std::error::Error::source(&why).map(ToString::to_string).unwrap_or_default(),
        )
    };
    let ledger = base.open().await?;
    assert!(refused(&handed).await?.contains("a server works in the database"), "its buckets are taken");
    let of_others = record(1, &scope(WORKSPACE), at(1), &[event("e1", 0)]);
    assert!(ledger.apply(&[of_others]).await.failed.is_none());
    ledger.close().await?;
    let before = rows(&base)?;
    assert!(refused(&handed).await?.contains("there is a tenant acme"), "its name is taken");
    let mut other = self::handed();
    other.ledger.rule = WindowRule::new(60, 5)?;
    assert!(refused(&other).await?.contains("the windows of the folder have 60 s"), "windows are of one length");
    assert_eq!(rows(&base)?, before);
    Ok(())
}

/// A part of one state and a part of another would be no state that ever was.
#[tokio::test]
async fn what_has_changed_since_the_move_began_is_refused() -> Outcome {
    let Some(base) = Base::migrated().await? else { return Ok(()) };
    let mut handed = handed();
    open(&base, &handed).await?.close().await?;
    handed.ledger.fingerprint += 1;
    let why = open(&base, &handed).await.err().ok_or("it was taken")?;
    let reason = std::error::Error::source(&why).map(ToString::to_string).unwrap_or_default();
    assert!(reason.contains("changed since"), "{reason}");
    Ok(())
}
