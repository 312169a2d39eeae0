//! What is stored of events, where no suite of a port looks.

use domain::calendar::{Day, Zone};
use domain::limits::LEDGER_DELTAS_MAX;
use domain::time::TimeRange;
use domain::users::UserSet;
use ports::active_users::{ActiveUsers, ActiveUsersQuery};
use ports::ledger::{Ledger, Outcome as Of};
use ports::testing::ledger::records::{at, event, record, scope};

use crate::Outcome;
use crate::place::Base;

#[tokio::test]
async fn properties_are_jsonb_and_what_it_refuses_is_kept_beside_it() -> Outcome {
    let Some(base) = Base::migrated().await? else { return Ok(()) };
    let ledger = base.open().await?;
    let long = format!(r#"{{"a": 1, "x": "{}"}}"#, "é".repeat(20_000));
    let texts = [
        r#"{"a": 1.50, "b": {"c": [null, true]}}"#.to_owned(),
        r#"{"a": "\u0000", "b": 1}"#.to_owned(),
        r#"{"a": "\ud800", "b": 1}"#.to_owned(),
        r#"{"a": 1e131000, "b": 1}"#.to_owned(),
        r#"{"a\u0000": 1, "b": 1}"#.to_owned(),
        format!(r#"{{"a": {}, "b": 1}}"#, "9".repeat(5_000)),
        long.clone(),
    ];
    let events: Vec<_> =
        texts.iter().enumerate().map(|(at, text)| event(&format!("e{at}"), 0).properties(text)).collect();
    let applied = ledger.apply(&[record(1, &scope("acme"), at(1), &events)]).await;
    assert!(applied.failed.is_none(), "{:?}", applied.failed);
    let json = |id: usize| base.sql(&format!("SELECT properties FROM usage_events WHERE id = 'e{id}'"));
    assert_eq!(json(0)?, r#"{"a": 1.50, "b": {"c": [null, true]}}"#);
    for (id, text) in texts.iter().enumerate().take(6).skip(1) {
        assert_eq!(json(id)?, r#"{"b": 1}"#, "{text}");
        let raw = format!("SELECT convert_from(properties_raw, 'UTF8') FROM usage_events WHERE id = 'e{id}'");
        assert_eq!(base.sql(&raw)?, *text);
    }
    assert_eq!(json(6)?, long);
    assert_eq!(base.sql("SELECT count(*) FROM usage_events WHERE properties_raw IS NULL")?, "2");
    Ok(())
}

#[tokio::test]
async fn users_are_numbered_as_they_come_and_active_on_their_days() -> Outcome {
    let Some(base) = Base::migrated().await? else { return Ok(()) };
    let (acme, zeta) = (scope("acme"), scope("zeta"));
    let by = |id: &str, day: i64, user: &str| event(id, day * 86_400).user(user).kind("call");
    for (seq, of, events) in [
        (1, &acme, vec![by("1", 0, "b"), by("2", 1, "a"), by("3", 0, "b")]),
        (2, &zeta, vec![by("1", 0, "a")]),
        (3, &acme, vec![by("1", 0, "never"), by("4", 1, "c").project("p"), by("5", 1, "b")]),
    ] {
        // Opened again, so that nothing is known from before.
        let ledger = base.open().await?;
        assert!(ledger.apply(&[record(seq, of, at(1), &events)]).await.failed.is_none());
        ledger.close().await?;
    }
    let names = "SELECT string_agg(user_no || name, ' ' ORDER BY user_no) FROM users JOIN tenants USING (tenant_no) \
                 WHERE tenant_id = 'acme'";
    assert_eq!(base.sql(names)?, "0b 1a 2c");
    assert_eq!(base.sql("SELECT string_agg(users::text, ' ' ORDER BY tenant_id) FROM tenants")?, "3 1");
    let of_events = "SELECT string_agg(id || user_no, ' ' ORDER BY id) FROM usage_events JOIN tenants USING (tenant_no) \
                     WHERE tenant_id = 'acme'";
    assert_eq!(base.sql(of_events)?, "10 21 30 42 50");
    let first = i32::try_from(at(0).micros() / 86_400_000_000)?;
    let ledger = base.open().await?;
    for (project, kind, day, expected) in [
        (None, None, first, "0"),
        (None, None, first + 1, "0 1 2"),
        (Some("p"), None, first + 1, "2"),
        (Some(""), None, first + 1, "0 1"),
        (None, Some("call"), first, "0"),
    ] {
        let query = ActiveUsersQuery {
            range: TimeRange::ALL,
            zone: Zone::utc(),
            project: project.map(str::to_owned),
            kind: kind.map(str::to_owned),
            named_only: false,
        };
        let days = ledger.active_users(&acme, &query).await?;
        let users: Vec<_> = days.get(&Day::from_number(day)).into_iter().flat_map(UserSet::iter).collect();
        let users: Vec<_> = users.iter().map(|user| user.0.to_string()).collect();
        assert_eq!(users.join(" "), expected, "{project:?} {kind:?} {day}");
    }
    Ok(())
}

#[tokio::test]
async fn sets_of_users_are_folded_before_a_reader_has_many_of_them_to_unite() -> Outcome {
    let Some(base) = Base::migrated().await? else { return Ok(()) };
    let ledger = base.open().await?;
    let acme = scope("acme");
    let batches = u64::from(LEDGER_DELTAS_MAX) + 8;
    for seq in 1..=batches {
        let day = i64::from(seq % 2 == 0) * 86_400;
        let events = [event(&format!("e{seq}"), day).user(&format!("u{seq}"))];
        assert!(ledger.apply(&[record(seq, &acme, at(1), &events)]).await.failed.is_none());
    }
    assert_eq!(base.sql("SELECT count(*) FROM user_day_deltas")?, "8");
    assert_eq!(base.sql("SELECT count(*) FROM user_days")?, "6", "two days of three audiences");
    let query =
        ActiveUsersQuery { range: TimeRange::ALL, zone: Zone::utc(), project: None, kind: None, named_only: false };
    let days = ledger.active_users(&acme, &query).await?;
    assert_eq!(days.values().map(UserSet::len).collect::<Vec<_>>(), [batches / 2; 2]);
    Ok(())
}

#[tokio::test]
async fn each_record_has_a_receipt_with_what_came_of_it() -> Outcome {
    let Some(base) = Base::migrated().await? else { return Ok(()) };
    let ledger = base.open().await?;
    let acme = scope("acme");
    let applied = ledger
        .apply(&[
            record(1, &acme, at(1), &[event("e1", 0), event("e2", 0)]),
            record(2, &acme, at(1), &[event("e2", 0), event("e1", 9), event("e3", 0)]),
        ])
        .await;
    assert_eq!(applied.applied[1].outcomes, [Of::Duplicate, Of::Mismatch, Of::Fresh]);
    ledger.dead_letter(&record(3, &acme, at(1), &[event("e4", 0)]), "no\0 reason").await?;
    let told = base.sql(
        "SELECT accepted, duplicates, coalesce(dead_reason, ''), encode(outcomes, 'hex') FROM receipts ORDER BY record_id",
    )?;
    assert_eq!(told, "2|0||0000\n1|2||010200\n0|0|no  reason|");
    assert_eq!(base.sql("SELECT min(cursor), max(cursor), min(record_no), max(record_no), sum(events), sum(dead_letters) FROM buckets")?, "3|3|3|3|3|1");
    Ok(())
}

/// Sums that stop at their end do so in one batch and in many.
#[tokio::test]
async fn i3_sums_stop_at_their_end() -> Outcome {
    let Some(base) = Base::migrated().await? else { return Ok(()) };
    let ledger = base.open().await?;
    let acme = scope("acme");
    assert!(ledger.apply(&[record(1, &acme, at(1), &[event("e1", 0).tokens(5, 0)])]).await.failed.is_none());
    base.sql("UPDATE aggregation_windows SET tokens = 9223372036854775800")?;
    for (seq, tokens, expected) in
        [(2, 5, "9223372036854775805"), (3, 5, "9223372036854775807"), (4, 5, "9223372036854775807")]
    {
        let events = [event(&format!("e{seq}"), 0).tokens(tokens, 0)];
        assert!(ledger.apply(&[record(seq, &acme, at(1), &events)]).await.failed.is_none());
        assert_eq!(base.sql("SELECT tokens FROM aggregation_windows")?, expected);
    }
    assert_eq!(base.sql("SELECT version, calls FROM aggregation_windows")?, "4|4");
    Ok(())
}
