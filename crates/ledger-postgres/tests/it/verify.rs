//! Verification: nothing differs in what the ledger has counted, and every damage is named.

use domain::position::Seq;
use domain::users::{UserNumber, UserSet};
use ledger_postgres::verify;
use ports::journal::Delivery;
use ports::ledger::Ledger;
use ports::testing::ledger::records::{admitted_under, at, event, record, request_key, scope};
use ports::verification::VerifySummary;

use crate::Outcome;
use crate::place::Base;

/// Tables that are damaged, in an order in which they may be written again.
const TABLES: [&str; 18] = [
    "tenants",
    "buckets",
    "event_ids",
    "usage_events",
    "aggregation_windows",
    "customers",
    "rollups",
    "received",
    "metered_customers",
    "names",
    "users",
    "user_days",
    "user_day_deltas",
    "dead_letters",
    "residuals",
    "erasures",
    "erased_user_days",
    "receipts",
];

/// A ledger in which every table has rows that are compared: two tenants, a late event, a customer that is counted by
/// receive time, the key of a request, and a record that was given up.
async fn filled() -> Result<Option<Base>, Box<dyn std::error::Error>> {
    let Some(base) = Base::migrated().await? else { return Ok(None) };
    let ledger = base.open().await?;
    let (acme, zeta) = (scope("acme"), scope("zeta"));
    let call = |id: &str, seconds| event(id, seconds).kind("call").customer("a").user("u1").tokens(3, 4);
    let first = [
        call("e1", 0).endpoint("/chat").model("m").latency_ms(2),
        event("e2", 3_600).kind("view").customer("b").user("u2").project("p"),
        event("e3", 90_000).user("u1"),
    ];
    let keyed = admitted_under(Some(request_key("k", 7)), &acme, at(120), &[call("e6", 60).endpoint("/chat")]);
    let deliveries = [
        record(1, &acme, at(1), &first),
        record(2, &acme, at(100), &[call("e4", 0), call("e1", 0)]),
        record(3, &zeta, at(110), &[call("e1", 30).project("q")]),
    ];
    assert!(ledger.apply(&deliveries).await.failed.is_none());
    ledger.meter_customer(&acme, "a").await?;
    let keyed = Delivery { id: Seq(4).into(), payload: keyed.payload().clone() };
    assert!(ledger.apply(&[keyed]).await.failed.is_none());
    ledger.dead_letter(&record(5, &acme, at(1), &[event("e5", 0)]), "no reason").await?;
    ledger.close_through(at(50)).await?;
    ledger.close().await?;
    // As if some of the sets had been folded into their days.
    base.sql(
        "INSERT INTO user_days (tenant_no, day, chunk, version, audience, name, bits) \
         SELECT DISTINCT ON (1, 2, 5, 6) d.tenant_no, u.day, 0, 1, u.audience, u.name, u.bits FROM user_day_deltas d, \
         unnest(d.days, d.audiences, d.names, d.bits) u(day, audience, name, bits) ORDER BY 1, 2, 5, 6, length(u.bits) DESC",
    )?;
    Ok(Some(base))
}

async fn told(base: &Base) -> Result<(VerifySummary, Vec<String>), Box<dyn std::error::Error>> {
    let mut told = Vec::new();
    let summary = verify(&base.worker_url(), &mut |difference| told.push(difference.to_string())).await?;
    assert_eq!(summary.differences, told.len() as u64);
    Ok((summary, told))
}

/// Keeps what all tables have, to be put back.
fn keep(base: &Base) -> Outcome {
    base.sql("CREATE SCHEMA kept")?;
    for table in TABLES {
        base.sql(&format!("CREATE TABLE kept.{table} AS TABLE {table}"))?;
    }
    Ok(())
}

fn put_back(base: &Base, table: &str) -> Outcome {
    base.sql(&format!("TRUNCATE {table}; INSERT INTO {table} SELECT * FROM kept.{table}"))?;
    Ok(())
}

#[tokio::test]
async fn i3_nothing_differs_in_what_was_counted() -> Outcome {
    let Some(base) = filled().await? else { return Ok(()) };
    let (summary, differences) = told(&base).await?;
    assert!(differences.is_empty(), "{differences:#?}");
    let counts = [summary.events, summary.windows, summary.customers, summary.rollups, summary.users, summary.received];
    // Events e1 and e4 of acme are in one window, and e6 is in the same hour and of the same type.
    assert_eq!(counts, [6, 5, 4, 4, 3, 3], "{summary:?}");
    assert!(summary.user_days > 8, "{summary:?}");
    Ok(())
}

#[tokio::test]
async fn i3_an_empty_ledger_is_whole() -> Outcome {
    let Some(base) = Base::migrated().await? else { return Ok(()) };
    assert_eq!(told(&base).await?, (VerifySummary::default(), Vec::new()), "nobody has opened it");
    base.open().await?.close().await?;
    assert_eq!(told(&base).await?, (VerifySummary::default(), Vec::new()));
    Ok(())
}

/// A table, what is done to it, and the beginning of a line that tells of it.
type Damage = (&'static str, String, String);

/// The statement's part that says whose rows.
const OF_ACME: &str = "tenant_no = (SELECT tenant_no FROM tenants WHERE tenant_id = 'acme')";

/// Damages of sums and names.
fn of_sums() -> Vec<Damage> {
    let start = at(0);
    vec![
        (
            "aggregation_windows",
            "UPDATE aggregation_windows SET tokens = tokens + 1 WHERE customer = 'a' AND calls = 2".to_owned(),
            format!("I3 tenant acme customer \"a\" window {start}"),
        ),
        (
            "aggregation_windows",
            "UPDATE aggregation_windows SET aggregation_data = NULL WHERE aggregation_data IS NOT NULL AND calls = 2"
                .to_owned(),
            format!("I3 tenant acme customer \"a\" window {start}"),
        ),
        (
            "aggregation_windows",
            "DELETE FROM aggregation_windows WHERE customer = 'b'".to_owned(),
            "I3 tenant acme customer \"b\" window".to_owned(),
        ),
        (
            "aggregation_windows",
            format!("UPDATE aggregation_windows SET customer = 'zz' WHERE customer = '' AND {OF_ACME}"),
            "I4 tenant acme customer \"zz\" window".to_owned(),
        ),
        (
            "customers",
            "UPDATE customers SET last_received = last_received + interval '1 second' WHERE customer = 'b'".to_owned(),
            "I3 tenant acme customer \"b\"".to_owned(),
        ),
        (
            "customers",
            format!("DELETE FROM customers WHERE customer = '' AND {OF_ACME}"),
            "I3 tenant acme customer \"\"".to_owned(),
        ),
        (
            "rollups",
            "UPDATE rollups SET calls = calls + 1 WHERE grain = 0 AND kind = 'view'".to_owned(),
            "I3 tenant acme rollup of project \"p\" type \"view\" hour".to_owned(),
        ),
        (
            "rollups",
            "UPDATE rollups SET late = 5 WHERE grain = 1 AND kind = 'view'".to_owned(),
            "I3 tenant acme rollup of project \"p\" type \"view\" day".to_owned(),
        ),
        (
            "received",
            "UPDATE received SET tokens = tokens + 1 WHERE customer = 'a'".to_owned(),
            "I3 tenant acme customer \"a\" received in".to_owned(),
        ),
        (
            "received",
            "DELETE FROM received WHERE customer = ''".to_owned(),
            "I3 tenant acme customer \"\" received in".to_owned(),
        ),
        (
            "metered_customers",
            "DELETE FROM metered_customers".to_owned(),
            "I4 tenant acme customer \"a\" received in".to_owned(),
        ),
        (
            "names",
            "DELETE FROM names WHERE dimension = 1".to_owned(),
            "I3 tenant acme name of endpoint \"/chat\"".to_owned(),
        ),
    ]
}

/// Damages of users and of ids.
fn of_users_and_ids() -> Vec<Damage> {
    let bits = |users: &[u32]| {
        let set: UserSet = users.iter().copied().map(UserNumber).collect();
        set.to_bytes().iter().map(|byte| format!("{byte:02x}")).collect::<String>()
    };
    let day = at(0).micros() / 86_400_000_000;
    let more_days =
        format!("UPDATE user_days SET bits = '\\x{}' WHERE {OF_ACME} AND audience = 0 AND day = {day}", bits(&[0, 9]));
    let erased_day = format!(
        "INSERT INTO erased_user_days SELECT tenant_no, {day}, 0, 1, 0, '', '\\x{}' FROM tenants WHERE tenant_id = 'acme'",
        bits(&[5])
    );
    vec![
        ("users", "UPDATE users SET name = 'other' WHERE name = 'u2'".to_owned(), "I3 tenant acme user 1".to_owned()),
        ("users", "DELETE FROM users WHERE name = 'u2'".to_owned(), "I3 tenant acme user 1".to_owned()),
        (
            "tenants",
            "UPDATE tenants SET users = users + 1 WHERE tenant_id = 'acme'".to_owned(),
            "I3 tenant acme number of users".to_owned(),
        ),
        ("user_days", more_days, "I3 tenant acme users on 2026-01-01".to_owned()),
        (
            "user_day_deltas",
            "DELETE FROM user_day_deltas; UPDATE user_days SET audience = 3 WHERE audience = 1".to_owned(),
            "I3 tenant acme users of project".to_owned(),
        ),
        (
            "event_ids",
            format!("DELETE FROM event_ids WHERE position = 65536 AND {OF_ACME}"),
            "I2 tenant acme event id \"e1\" at record 1 index 0".to_owned(),
        ),
        (
            "event_ids",
            "UPDATE event_ids SET position = 99 WHERE position = 65537".to_owned(),
            "I3 tenant acme entry of an id at record 0 index 99".to_owned(),
        ),
        ("erased_user_days", erased_day, "I3 tenant acme users on 2026-01-01".to_owned()),
    ]
}

/// Damages of raw events, of counters and of what erasures have left.
fn of_events_and_erasures() -> Vec<Damage> {
    vec![
        (
            "usage_events",
            "DELETE FROM usage_events WHERE id = 'e2'".to_owned(),
            "I4 tenant acme customer \"b\" window".to_owned(),
        ),
        (
            "usage_events",
            "UPDATE usage_events SET is_late = false WHERE is_late".to_owned(),
            "I3 tenant acme customer \"a\" event of".to_owned(),
        ),
        (
            "usage_events",
            "UPDATE usage_events SET user_no = NULL WHERE id = 'e2'".to_owned(),
            "I4 tenant acme users".to_owned(),
        ),
        (
            "usage_events",
            "INSERT INTO usage_events SELECT * FROM usage_events WHERE id = 'e2'".to_owned(),
            "I3 tenant acme customer \"b\" window".to_owned(),
        ),
        (
            "buckets",
            "UPDATE buckets SET record_no = 2, cursor = 2".to_owned(),
            " number of the last record: expected at least 4, found 2".to_owned(),
        ),
        ("buckets", "UPDATE buckets SET events = events + 1".to_owned(), " events: expected ".to_owned()),
        ("dead_letters", "DELETE FROM dead_letters".to_owned(), " dead letters: expected 0, found 1".to_owned()),
        (
            "residuals",
            "INSERT INTO residuals (start, calls, first_received, last_received, tenant_no, customer, project, \
            kind, endpoint, model) SELECT time, 1, received_at, received_at, tenant_no, '\u{1}', 'p', 'view', '', '' \
            FROM usage_events WHERE id = 'e2'"
                .to_owned(),
            "I3 tenant acme rollup of project \"p\" type \"view\" hour".to_owned(),
        ),
        (
            "erasures",
            "INSERT INTO erasures (through, requested_at, events, tenant_no, kind, blocks, subject_hash, id, \
            asked_by, zone) SELECT 1, now(), 1, tenant_no, 0, false, id_hash, 'x', 'x', 'UTC' FROM event_ids \
            WHERE position = 65536"
                .to_owned(),
            "I3 tenant acme events in residuals".to_owned(),
        ),
    ]
}

#[tokio::test]
async fn i2_i3_i4_each_damage_is_named() -> Outcome {
    let Some(base) = filled().await? else { return Ok(()) };
    keep(&base)?;
    let damages = [of_sums(), of_users_and_ids(), of_events_and_erasures()].concat();
    for (table, damage, expected) in damages {
        base.sql(&damage)?;
        let (_, differences) = told(&base).await?;
        assert!(differences.iter().any(|line| line.contains(&expected)), "{damage}: {differences:#?}");
        put_back(&base, table)?;
        if damage.contains("user_days") {
            put_back(&base, "user_days")?;
        }
    }
    let (_, differences) = told(&base).await?;
    assert!(differences.is_empty(), "all is undone: {differences:#?}");
    Ok(())
}

/// Sums of what was erased, and of what retention has dropped, stay; nobody can recompute the latter.
#[tokio::test]
async fn i3_what_was_erased_or_dropped_is_no_difference() -> Outcome {
    let Some(base) = filled().await? else { return Ok(()) };
    let day = at(3_600).micros() / 86_400_000_000;
    base.sql(&format!(
        "INSERT INTO residuals (start, calls, tokens, first_received, last_received, tenant_no, customer, project, kind, \
         endpoint, model) SELECT time, 1, tokens, received_at, received_at, tenant_no, customer, project, kind, '', '' \
         FROM usage_events WHERE id = 'e2'; \
         INSERT INTO erasures (through, requested_at, events, tenant_no, kind, blocks, subject_hash, id, asked_by, zone) \
         SELECT 1, now(), 1, tenant_no, 0, false, name_hash, 'x', 'x', 'UTC' FROM users WHERE name = 'u2'; \
         INSERT INTO erased_user_days SELECT tenant_no, day, 0, 1, audience, name, '\\x{bits}' FROM user_days \
         WHERE (audience = 0 OR name IN ('p', 'view')) AND day = {day} \
         AND tenant_no = (SELECT tenant_no FROM usage_events WHERE id = 'e2'); \
         UPDATE users SET name = NULL, name_hash = NULL WHERE name = 'u2'; \
         UPDATE event_ids SET hash_rule = 5, payload_hash = 0, position = 0, time = '-infinity', \
         received_at = '-infinity' WHERE position = 65537; \
         DELETE FROM usage_events WHERE id = 'e2'",
        bits = [UserNumber(1)].into_iter().collect::<UserSet>().to_bytes().iter().map(|b| format!("{b:02x}")).collect::<String>(),
    ))?;
    let (_, differences) = told(&base).await?;
    assert!(differences.is_empty(), "{differences:#?}");
    base.sql("UPDATE tenants SET raw_floor = '2026-01-02' WHERE tenant_id = 'acme'")?;
    base.sql("DELETE FROM usage_events e USING tenants t WHERE t.tenant_no = e.tenant_no AND time < raw_floor")?;
    let (_, differences) = told(&base).await?;
    assert!(differences.is_empty(), "{differences:#?}");
    base.sql("UPDATE aggregation_windows SET calls = calls + 1 WHERE window_start >= '2026-01-02'")?;
    let (_, differences) = told(&base).await?;
    assert_eq!(differences.len(), 1, "what is not before the floor is compared: {differences:#?}");
    Ok(())
}
