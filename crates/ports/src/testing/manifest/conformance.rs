//! What every manifest does, whatever it is made of. A check opens its own empty place; `Err` means that the store
//! failed where it must not, a panic that it answered wrongly.

mod erasures;
mod received;
mod sums;
mod users;

use std::time::Duration;

use domain::admit::Dimension;
use domain::aggregate::Totals;
use domain::position::Seq;
use domain::retention::RetentionWait;
use domain::time::{TimeRange, Timestamp};
use domain::window::WindowRule;

use super::samples::{
    Place, SUM_MAX, at, counted, hour, identity, kept, letter, moved, name, rollup, scope, segment, with_tenant,
};
use crate::manifest::{Commit, DeadLetter, FileKind, Identity, Manifest, ManifestState, SegmentMeta, TenantRetention};
use crate::{ErrorKind, PortError};

/// Checks every promise of [`Manifest`] that needs no fault.
///
/// # Errors
/// When the store fails where it must not.
pub async fn manifest_conformance<P: Place<dyn Manifest>>(new_place: impl Fn() -> P) -> Result<(), PortError> {
    a_new_store_is_empty_and_keeps_its_first_identity(&new_place()).await?;
    a_commit_is_found_after_reopening(&new_place()).await?;
    a_conflict_changes_nothing(&new_place()).await?;
    a_store_that_was_never_loaded_takes_no_commit(&new_place()).await?;
    segments_come_go_and_forget_their_events(&new_place()).await?;
    marks_never_go_back(&new_place()).await?;
    names_are_a_set(&new_place()).await?;
    rollups_add_up_and_saturate(&new_place()).await?;
    rollups_are_of_one_tenant_in_range_and_in_order(&new_place()).await?;
    dead_letters_are_kept_once_and_shown_to_their_tenant(&new_place()).await?;
    erasures::conform(&new_place).await?;
    received::conform(&new_place).await?;
    sums::conform(&new_place).await?;
    users::conform(&new_place).await
}

async fn a_new_store_is_empty_and_keeps_its_first_identity(place: &impl Place<dyn Manifest>) -> Result<(), PortError> {
    let empty = ManifestState {
        identity: identity(),
        segments: vec![],
        cursor: Seq::ZERO,
        closed_through: Timestamp::MIN,
        retention_floor: Timestamp::MIN,
        retention_wait: RetentionWait::NONE,
        tenant_retention: vec![],
        received_after: Seq::ZERO,
        metered: vec![],
        names: vec![],
        dead_letters: 0,
        users: vec![],
        zones: vec![],
        erasures: vec![],
    };
    let store = place.open().await?;
    assert_eq!(store.load(&identity()).await?, empty);
    let rule = WindowRule::new(60, 0).unwrap_or_default();
    let other = Identity { key: [9; 16], rule };
    assert_ne!(other.rule, identity().rule);
    assert_eq!(store.load(&other).await?, empty);
    drop(store);
    assert_eq!(place.open().await?.load(&other).await?, empty);
    Ok(())
}

async fn a_commit_is_found_after_reopening(place: &impl Place<dyn Manifest>) -> Result<(), PortError> {
    let store = place.open().await?;
    store.load(&identity()).await?;
    let change = Commit {
        cursor: Some((Seq(0), Seq(20))),
        add: vec![segment("s2", 11, 20), segment("s1", 1, 10)],
        rollups: vec![rollup("a", "p", "k", 0, &counted(3))],
        names: vec![name("a", Dimension::Model, "m"), name("a", Dimension::Type, "k")],
        closed_through: Some(at(-5)),
        retention_floor: Some(at(-7)),
        retention_wait: Some(RetentionWait { floor: at(-6), waited: Duration::from_micros(17) }),
        tenant_retention: vec![kept("b", -3), kept("a", -9)],
        ..Commit::default()
    };
    store.commit(&change).await?;
    store.store_dead_letter(&letter(12, Some("a"))).await?;
    drop(store);
    let expected = ManifestState {
        identity: identity(),
        segments: vec![segment("s1", 1, 10), segment("s2", 11, 20)],
        cursor: Seq(20),
        closed_through: at(-5),
        retention_floor: at(-7),
        retention_wait: RetentionWait { floor: at(-6), waited: Duration::from_micros(17) },
        tenant_retention: vec![kept("a", -9), kept("b", -3)],
        received_after: Seq::ZERO,
        metered: vec![],
        names: vec![name("a", Dimension::Type, "k"), name("a", Dimension::Model, "m")],
        dead_letters: 1,
        users: vec![],
        zones: vec![],
        erasures: vec![],
    };
    let store = place.open().await?;
    assert_eq!(store.load(&identity()).await?, expected);
    assert_eq!(store.rollups(&scope("a"), TimeRange::ALL).await?.1, change.rollups);
    assert_eq!(store.dead_letter(&scope("a"), Seq(12)).await?, Some(letter(12, Some("a"))));
    Ok(())
}

async fn a_conflict_changes_nothing(place: &impl Place<dyn Manifest>) -> Result<(), PortError> {
    let store = place.open().await?;
    store.load(&identity()).await?;
    store.commit(&Commit { add: vec![segment("s1", 1, 10)], ..moved(0, 10) }).await?;
    let before = store.load(&identity()).await?;
    let whole = Commit {
        add: vec![segment("s2", 11, 20)],
        rollups: vec![rollup("a", "p", "k", 0, &counted(3))],
        names: vec![name("a", Dimension::Type, "k")],
        closed_through: Some(at(5)),
        retention_floor: Some(at(5)),
        retention_wait: Some(RetentionWait { floor: at(6), waited: Duration::ZERO }),
        tenant_retention: vec![kept("a", 5)],
        ..moved(10, 20)
    };
    let mismatches = [
        Commit { cursor: Some((Seq(9), Seq(20))), ..whole.clone() },
        Commit { cursor: Some((Seq(11), Seq(20))), ..whole.clone() },
        Commit { remove: vec!["s1".into(), "s3".into()], ..whole.clone() },
        Commit { remove: vec!["s1".into(), "s1".into()], ..whole.clone() },
        Commit { forget_events: vec!["s1".into(), "s3".into()], ..whole.clone() },
        Commit { add: vec![segment("s2", 11, 20), segment("s1", 1, 10)], ..whole.clone() },
        Commit { add: vec![segment("s2", 11, 20), segment("s2", 11, 20)], ..whole.clone() },
    ];
    for change in mismatches {
        let refused = store.commit(&change).await.err().map(|error| error.kind());
        assert_eq!(refused, Some(ErrorKind::Conflict), "{change:?}");
        assert_eq!(store.load(&identity()).await?, before, "{change:?}");
        assert_eq!(store.rollups(&scope("a"), TimeRange::ALL).await?.1, [], "{change:?}");
    }
    store.commit(&whole).await
}

async fn a_store_that_was_never_loaded_takes_no_commit(place: &impl Place<dyn Manifest>) -> Result<(), PortError> {
    let store = place.open().await?;
    let refused = store.commit(&moved(0, 1)).await.err().map(|error| error.kind());
    assert_eq!(refused, Some(ErrorKind::Conflict));
    assert_eq!(store.load(&identity()).await?.cursor, Seq::ZERO);
    Ok(())
}

async fn segments_come_go_and_forget_their_events(place: &impl Place<dyn Manifest>) -> Result<(), PortError> {
    let store = place.open().await?;
    store.load(&identity()).await?;
    let flushed = vec![segment("s1", 1, 10), segment("s2", 11, 20), segment("s3", 21, 30)];
    store.commit(&Commit { add: flushed, ..moved(0, 30) }).await?;
    let merged = SegmentMeta { level: 1, ..segment("m1", 1, 20) };
    let merge = Commit { add: vec![merged.clone()], remove: vec!["s1".into(), "s2".into()], ..Commit::default() };
    store.commit(&merge).await?;
    assert_eq!(store.load(&identity()).await?.segments, [merged.clone(), segment("s3", 21, 30)]);

    // Retention: the events file goes, once; asking again changes nothing.
    for _ in 0..2 {
        store.commit(&Commit { forget_events: vec!["m1".into()], ..Commit::default() }).await?;
    }
    let mut kept = merged;
    kept.files.retain(|file| file.kind != FileKind::Events);
    assert_eq!(kept.files.len(), 2);
    drop(store);
    let state = place.open().await?.load(&identity()).await?;
    assert_eq!(state.segments, [kept, segment("s3", 21, 30)]);
    assert_eq!(state.cursor, Seq(30));
    Ok(())
}

async fn marks_never_go_back(place: &impl Place<dyn Manifest>) -> Result<(), PortError> {
    let store = place.open().await?;
    store.load(&identity()).await?;
    let marks = |seconds: i64| Commit {
        closed_through: Some(at(seconds)),
        retention_floor: Some(at(seconds - 100)),
        tenant_retention: vec![kept("a", seconds - 200)],
        ..Commit::default()
    };
    for (asked, stored) in [(50, 50), (49, 50), (50, 50), (51, 51)] {
        store.commit(&marks(asked)).await?;
        let state = store.load(&identity()).await?;
        assert_eq!((state.closed_through, state.retention_floor), (at(stored), at(stored - 100)));
        let wait = kept("a", asked - 200).wait;
        assert_eq!(state.tenant_retention, [TenantRetention { wait, ..kept("a", stored - 200) }]);
    }
    for (after, stored) in [(60, 51), (20, 20), (30, 20)] {
        store.commit(&Commit { reopen_after: Some(at(after)), ..Commit::default() }).await?;
        assert_eq!(store.load(&identity()).await?.closed_through, at(stored), "only a clock of the future is set back");
    }
    Ok(())
}

async fn names_are_a_set(place: &impl Place<dyn Manifest>) -> Result<(), PortError> {
    let store = place.open().await?;
    store.load(&identity()).await?;
    let odd = "\u{0}'\"; -- %ß\u{1F600}";
    let names = vec![
        name("a", Dimension::Type, "x"),
        name("a", Dimension::Type, "y"),
        name("a", Dimension::Endpoint, "x"),
        name("a", Dimension::Endpoint, odd),
        name("b", Dimension::Type, "x"),
    ];
    let twice = names.iter().rev().chain(&names).cloned().collect();
    store.commit(&Commit { names: twice, ..Commit::default() }).await?;
    store.commit(&Commit { names: vec![names[3].clone()], ..Commit::default() }).await?;
    let mut expected = names;
    expected.sort();
    assert_eq!(store.load(&identity()).await?.names, expected);
    Ok(())
}

async fn rollups_add_up_and_saturate(place: &impl Place<dyn Manifest>) -> Result<(), PortError> {
    let store = place.open().await?;
    store.load(&identity()).await?;
    let add = |totals: &[Totals]| Commit {
        rollups: totals.iter().map(|totals| rollup("a", "", "k", 0, totals)).collect(),
        ..Commit::default()
    };
    let mut expected = Totals::default();
    let steps = [
        vec![counted(1)],
        // The same key twice in one change counts twice.
        vec![counted(2), counted(3)],
        // Up to the edge and not over it, one field at a time and all at once.
        vec![Totals { tokens: SUM_MAX - 6, ..Totals::default() }],
        vec![Totals { latency_us: SUM_MAX, calls: SUM_MAX - 7, ..Totals::default() }],
        vec![counted(1), counted(SUM_MAX), counted(SUM_MAX)],
        // More than a sum can be counts as the largest.
        vec![counted(u64::MAX)],
        vec![counted(0)],
    ];
    for step in steps {
        store.commit(&add(&step)).await?;
        step.iter().for_each(|totals| expected.merge(totals));
        let stored = store.rollups(&scope("a"), TimeRange::ALL).await?.1;
        assert_eq!(stored, [rollup("a", "", "k", 0, &expected)]);
    }
    assert_eq!(expected, counted(SUM_MAX));
    Ok(())
}

async fn rollups_are_of_one_tenant_in_range_and_in_order(place: &impl Place<dyn Manifest>) -> Result<(), PortError> {
    let store = place.open().await?;
    store.load(&identity()).await?;
    let mut of_a = Vec::new();
    for project in ["", "P", "p"] {
        for kind in ["k", "ö"] {
            of_a.extend((-2..3).map(|hour| rollup("a", project, kind, hour, &counted(1))));
        }
    }
    // The other tenant uses the very same keys (I5).
    let of_b: Vec<_> = of_a.iter().map(|mine| with_tenant(mine, "b")).collect();
    let rollups = of_b.iter().chain(of_a.iter().rev()).cloned().collect();
    store.commit(&Commit { rollups, ..Commit::default() }).await?;
    store.commit(&Commit { rollups: of_b.clone(), ..Commit::default() }).await?;

    assert_eq!(store.rollups(&scope("a"), TimeRange::ALL).await?.1, of_a);
    assert_eq!(store.rollups(&scope("c"), TimeRange::ALL).await?.1, []);
    let range = TimeRange::new(hour(-1), hour(1)).unwrap_or(TimeRange::ALL);
    let inside: Vec<_> = of_a.iter().filter(|mine| range.contains(mine.key.hour)).cloned().collect();
    assert_eq!(inside.len(), 12);
    assert_eq!(store.rollups(&scope("a"), range).await?.1, inside);
    let within_an_hour = TimeRange::new(at(1), at(3_599)).unwrap_or(TimeRange::ALL);
    assert_eq!(store.rollups(&scope("a"), within_an_hour).await?.1, []);
    Ok(())
}

async fn dead_letters_are_kept_once_and_shown_to_their_tenant(
    place: &impl Place<dyn Manifest>,
) -> Result<(), PortError> {
    let store = place.open().await?;
    store.store_dead_letter(&letter(3, Some("a"))).await?;
    store.store_dead_letter(&DeadLetter { reason: "another".into(), ..letter(3, Some("a")) }).await?;
    store.store_dead_letter(&DeadLetter { payload: vec![], ..letter(4, None) }).await?;
    assert_eq!(store.dead_letter(&scope("a"), Seq(3)).await?, Some(letter(3, Some("a"))));
    for (whose, seq) in [("b", 3), ("a", 4), ("a", 5)] {
        assert_eq!(store.dead_letter(&scope(whose), Seq(seq)).await?, None, "{whose} {seq}");
    }
    assert_eq!(store.load(&identity()).await?.dead_letters, 2);
    Ok(())
}
