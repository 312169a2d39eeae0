//! What every ledger has to do, whatever it keeps its data in: the contract of [`crate::ledger`] and
//! [`crate::reports`] as tests. Each case runs three times: without a flush, with one after every
//! record, and with one now and then, because a flush must not change any answer.

#![expect(clippy::expect_used, reason = "for tests, which fail loudly")]

mod analytics;
mod answers;
mod active_users;
mod counting;
mod dice;
mod listing;
mod querying;
mod questions;
mod random;
mod sums;

use std::future::Future;
use std::sync::Arc;

use domain::position::Seq;
use domain::tenant::TenantScope;
use domain::time::Timestamp;
use domain::window::WindowRule;

use super::records::{EventSpec, record};
use crate::active_users::ActiveUsers;
use crate::analytics::Analytics;
use crate::journal::Delivery;
use crate::ledger::{Applied, Ledger, Outcome};
use crate::reports::Reports;

pub use querying::queries_conformance;
pub use questions::{Home, questions_conformance};

/// A ledger that also answers statistics.
pub trait Answering: Ledger + Reports + ActiveUsers + Analytics + 'static {}

impl<L: Ledger + Reports + ActiveUsers + Analytics + 'static> Answering for L {}

/// Runs the cases about counting. `open` gives a fresh, empty ledger with windows by the given rule.
///
/// # Panics
/// When the ledger breaks the contract.
pub async fn ledger_conformance<L, F, Fut>(open: F)
where
    L: Ledger + Reports + 'static,
    F: Fn(WindowRule) -> Fut,
    Fut: Future<Output = Arc<L>>,
{
    for flushing in Flushing::ALL {
        let fresh = || async { Subject::new(open(WindowRule::default()).await, flushing) };
        counting::i2_an_id_is_counted_once(fresh().await).await;
        counting::i2_a_record_may_hold_its_own_duplicates(fresh().await).await;
        counting::i5_an_id_belongs_to_its_tenant(fresh().await).await;
        counting::i2_replay_changes_nothing(fresh().await).await;
        counting::records_are_applied_in_order(fresh().await).await;
        counting::a_poison_record_is_buried_and_the_next_goes_on(fresh().await).await;
        counting::what_was_counted_is_seen(fresh().await).await;
        counting::a_flush_moves_the_cursor_and_nothing_else(fresh().await).await;
        counting::names_are_those_of_counted_events(fresh().await).await;
        counting::closing_never_goes_back(fresh().await).await;
        counting::i3_the_order_of_records_does_not_matter(fresh().await, fresh().await).await;
    }
    random::i3_random_records_give_the_oracles_answers(&open).await;
}

/// Runs the cases about answers. `open` gives a fresh, empty ledger with windows by the given rule.
///
/// # Panics
/// When the ledger breaks the contract.
pub async fn reports_conformance<L, F, Fut>(open: F)
where
    L: Ledger + Reports + 'static,
    F: Fn(WindowRule) -> Fut,
    Fut: Future<Output = Arc<L>>,
{
    for flushing in Flushing::ALL {
        let fresh = || async { Subject::new(open(WindowRule::default()).await, flushing) };
        listing::an_empty_ledger_answers_with_nothing(fresh().await).await;
        listing::an_event_comes_back_as_it_was_sent(fresh().await).await;
        listing::events_are_filtered_by_every_field(fresh().await).await;
        listing::events_are_listed_in_both_orders_page_by_page(fresh().await).await;
        listing::the_applied_position_divides_what_was_counted_from_what_comes(fresh().await).await;
        listing::customers_are_listed_by_id_page_by_page(fresh().await).await;
        sums::a_window_sums_its_events(fresh().await).await;
        sums::windows_are_filtered_and_listed_page_by_page(fresh().await).await;
        sums::i10_a_window_opens_closes_and_is_revised(fresh().await).await;
        sums::usage_is_of_the_asked_window_and_day(fresh().await).await;
        sums::rollups_are_per_project_type_and_hour(fresh().await).await;
        sums::i5_two_tenants_never_mix(fresh().await).await;
        let rule = WindowRule::new(60, 0).expect("a window rule");
        sums::windows_follow_the_rule(Subject::new(open(rule).await, flushing)).await;
    }
}

/// Runs the cases about audiences. `open` gives a fresh, empty ledger with windows by the given rule.
///
/// # Panics
/// When the ledger breaks the contract.
pub async fn active_users_conformance<L, F, Fut>(open: F)
where
    L: Answering,
    F: Fn(WindowRule) -> Fut,
    Fut: Future<Output = Arc<L>>,
{
    for flushing in Flushing::ALL {
        let fresh = || async { Subject::new(open(WindowRule::default()).await, flushing) };
        active_users::an_empty_ledger_knows_nobody(fresh().await).await;
        active_users::users_are_numbered_as_they_come(fresh().await).await;
        active_users::i5_users_belong_to_their_tenant(fresh().await).await;
        active_users::a_range_of_users_is_half_open(fresh().await).await;
        active_users::days_at_the_ends_may_be_parts(fresh().await).await;
        active_users::a_late_event_counts_on_its_own_day(fresh().await).await;
        active_users::users_are_filtered_by_project_and_type(fresh().await).await;
        active_users::a_day_is_the_date_on_the_wall(fresh().await).await;
        active_users::a_new_zone_changes_no_answer(fresh().await).await;
    }
}

/// Runs the cases about sums. `open` gives a fresh, empty ledger with windows by the given rule.
///
/// # Panics
/// When the ledger breaks the contract.
pub async fn analytics_conformance<L, F, Fut>(open: F)
where
    L: Answering,
    F: Fn(WindowRule) -> Fut,
    Fut: Future<Output = Arc<L>>,
{
    for flushing in Flushing::ALL {
        let fresh = || async { Subject::new(open(WindowRule::default()).await, flushing) };
        analytics::an_empty_ledger_sums_to_nothing(fresh().await).await;
        analytics::types_are_listed_most_first(fresh().await).await;
        analytics::a_range_of_types_is_half_open(fresh().await).await;
        analytics::a_summary_is_of_one_customer(fresh().await).await;
        analytics::the_top_users_are_those_with_most_events(fresh().await).await;
        analytics::a_summary_is_exact_at_its_edges(fresh().await).await;
        analytics::i5_sums_belong_to_their_tenant(fresh().await).await;
        analytics::a_point_sums_its_events(fresh().await).await;
        analytics::a_series_is_grouped_by_any_facets(fresh().await).await;
        analytics::a_series_is_filtered_by_every_facet(fresh().await).await;
        analytics::a_series_counts_each_user_once(fresh().await).await;
        analytics::buckets_follow_the_clocks_of_the_zone(fresh().await).await;
        analytics::a_series_is_exact_at_its_edges(fresh().await).await;
        analytics::a_series_has_no_more_points_than_allowed(fresh().await).await;
    }
}

/// When a case flushes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flushing {
    Never,
    EachRecord,
    EveryThird,
}

impl Flushing {
    const ALL: [Self; 3] = [Self::Never, Self::EachRecord, Self::EveryThird];
}

/// A ledger under test.
struct Subject<L> {
    ledger: Arc<L>,
    flushing: Flushing,
    last: u64,
}

impl<L: Ledger + Reports> Subject<L> {
    fn new(ledger: Arc<L>, flushing: Flushing) -> Self {
        Self { ledger, flushing, last: 0 }
    }

    /// Applies the next record and tells what became of its events.
    async fn take(&mut self, scope: &TenantScope, received_at: Timestamp, events: &[EventSpec]) -> Vec<Outcome> {
        let entry = record(self.last + 1, scope, received_at, events);
        let mut applied = self.apply(&[entry]).await;
        applied.pop().expect("one record").outcomes
    }

    /// Applies records that must all succeed.
    async fn apply(&mut self, entries: &[Delivery]) -> Vec<Applied> {
        let batch = self.ledger.apply(entries).await;
        assert!(batch.failed.is_none(), "{:?}", batch.failed);
        let told: Vec<Seq> = batch.applied.iter().map(|applied| applied.seq).collect();
        let given: Vec<Seq> = entries.iter().map(|entry| Seq::of_record(entry.id)).collect();
        assert_eq!(told, given, "every record is reported, in order");
        self.last = self.ledger.applied().0;
        self.flush_by_habit().await;
        batch.applied
    }

    async fn flush_by_habit(&self) {
        let flush = match self.flushing {
            Flushing::Never => false,
            Flushing::EachRecord => true,
            Flushing::EveryThird => self.last.is_multiple_of(3),
        };
        if flush {
            self.ledger.flush().await.expect("a flush");
        }
    }

    async fn close(&self, through: Timestamp) {
        self.ledger.close_through(through).await.expect("a closing");
    }
}
