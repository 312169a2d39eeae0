//! What every ledger has to do, whatever it keeps its data in: the contract of [`crate::ledger`] and
//! [`crate::reports`] as tests. Each case runs three times: without a flush, with one after every
//! record, and with one now and then, because a flush must not change any answer.

#![expect(clippy::expect_used, reason = "for tests, which fail loudly")]

mod analytics;
mod answers;
mod active_users;
mod counting;
mod dice;
pub mod erasing;
mod listing;
mod querying;
mod questions;
mod random;
mod received;
mod requests;
mod retention;
mod subject;
mod sums;

use std::future::Future;
use std::sync::Arc;

use domain::window::WindowRule;

use crate::analytics::Analytics;
use crate::ledger::Ledger;
use crate::reports::Reports;

pub use erasing::{erasures_conformance, random_erasures_conformance};
pub use querying::queries_conformance;
pub use questions::{Home, questions_conformance};
pub use retention::{RetentionHome, SERVER_DAYS, retention_conformance};
pub use subject::Answering;
use subject::{Flushing, Subject};

/// Runs the cases about counting. `open` gives a fresh, empty ledger with windows by the given rule.
///
/// # Panics
/// When the ledger breaks the contract.
pub async fn ledger_conformance<L, F, Fut>(open: F)
where
    L: Ledger + Reports + Analytics + 'static,
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
        requests::i2_a_key_is_found_with_the_record_that_left_it(fresh().await).await;
        requests::i4_a_key_is_no_event_and_no_events_id(fresh().await).await;
        requests::a_key_is_remembered_only_with_a_counted_event(fresh().await).await;
        counting::names_are_those_of_counted_events(fresh().await).await;
        received::i3_what_was_received_is_summed_by_receive_time(fresh().await).await;
        received::a_customer_is_counted_with_what_it_brought_before(fresh().await).await;
        counting::closing_never_goes_back(fresh().await).await;
        counting::f16_windows_that_a_clock_of_the_future_closed_are_opened_again(fresh().await).await;
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
    L: Ledger + Reports + Analytics + 'static,
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
        sums::hours_are_summed_per_project_and_type(fresh().await).await;
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
        active_users::a_later_choice_of_zone_is_never_taken_back(fresh().await).await;
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
