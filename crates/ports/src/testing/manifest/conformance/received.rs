//! What every manifest does with what was received.

use domain::position::Seq;
use domain::quota::{Amounts, QUARTER_US};
use domain::time::{TimeRange, Timestamp};

use crate::PortError;
use crate::manifest::{Commit, Manifest, ReceivedSum};
use crate::testing::manifest::samples::{Place, SUM_MAX, identity, moved, scope, tenant};

pub(super) async fn conform<P: Place<dyn Manifest>>(new_place: &impl Fn() -> P) -> Result<(), PortError> {
    what_was_received_adds_up_and_saturates(&new_place()).await?;
    a_conflict_counts_nothing(&new_place()).await
}

fn quarter(number: i64) -> Timestamp {
    Timestamp::from_micros(number * QUARTER_US)
}

fn sum(of: &str, customer: &str, start: i64, events: u64) -> ReceivedSum {
    let amounts = Amounts { events, tokens: events.saturating_mul(3).min(SUM_MAX), calls: events / 2 };
    ReceivedSum { tenant: tenant(of), customer: customer.to_owned(), start: quarter(start), amounts }
}

async fn what_was_received_adds_up_and_saturates(place: &impl Place<dyn Manifest>) -> Result<(), PortError> {
    let store = place.open().await?;
    store.load(&identity()).await?;
    let received = vec![sum("a", "", 2, 4), sum("a", "c", 1, 2), sum("a", "", 1, 6), sum("b", "", 1, SUM_MAX)];
    let metered = vec![(tenant("b"), "x".to_owned()), (tenant("a"), "c".to_owned())];
    store.commit(&Commit { received, metered: metered.clone(), ..moved(0, 7) }).await?;
    let again = vec![sum("a", "", 1, 4), sum("a", "", 1, 4), sum("b", "", 1, SUM_MAX)];
    store.commit(&Commit { received: again, metered: metered[..1].to_vec(), ..moved(7, 9) }).await?;
    drop(store);
    let store = place.open().await?;
    let state = store.load(&identity()).await?;
    assert_eq!(state.metered, [(tenant("a"), "c".to_owned()), (tenant("b"), "x".to_owned())]);
    assert_eq!(state.received_after, Seq::ZERO, "a new store counts from the first record on");
    let all = store.received(&scope("a"), TimeRange::ALL).await?;
    assert_eq!(all, (Seq(9), vec![sum("a", "", 1, 14), sum("a", "c", 1, 2), sum("a", "", 2, 4)]));
    let first = TimeRange::new(quarter(1), quarter(2)).unwrap_or(TimeRange::ALL);
    assert_eq!(store.received(&scope("a"), first).await?.1, all.1[..2]);
    let full = Amounts { events: SUM_MAX, tokens: SUM_MAX, calls: SUM_MAX - 1 };
    let of_b = store.received(&scope("b"), TimeRange::ALL).await?.1;
    assert_eq!(of_b.iter().map(|sum| sum.amounts).collect::<Vec<_>>(), [full]);
    assert_eq!(store.received(&scope("c"), TimeRange::ALL).await?.1, []);
    Ok(())
}

async fn a_conflict_counts_nothing(place: &impl Place<dyn Manifest>) -> Result<(), PortError> {
    let store = place.open().await?;
    store.load(&identity()).await?;
    let metered = vec![(tenant("a"), "c".to_owned())];
    let refused = Commit { received: vec![sum("a", "", 1, 1)], metered, ..moved(3, 4) };
    assert!(store.commit(&refused).await.is_err());
    assert_eq!(store.received(&scope("a"), TimeRange::ALL).await?, (Seq::ZERO, vec![]));
    assert_eq!(store.load(&identity()).await?.metered, []);
    Ok(())
}
