//! How much events come to, by measure. Sums stop at `i64::MAX`, as all sums do.

use super::Measure;
use crate::event::EventView;

/// The largest sum.
const SUM_MAX: u64 = i64::MAX.unsigned_abs();

/// Amounts of every measure.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Amounts {
    /// Events.
    pub events: u64,
    /// Their tokens.
    pub tokens: u64,
    /// Events that name an endpoint or a model.
    pub calls: u64,
}

impl Amounts {
    /// What one event comes to.
    pub fn of(event: &EventView<'_>) -> Self {
        Self::of_parts(event.usage.tokens, event.endpoint.is_some() || event.usage.model.is_some())
    }

    /// What one event comes to, by its tokens and by whether it names an endpoint or a model.
    pub fn of_parts(tokens: Option<u64>, is_call: bool) -> Self {
        Self { events: 1, tokens: tokens.unwrap_or(0).min(SUM_MAX), calls: u64::from(is_call) }
    }

    /// The amount of one measure.
    pub const fn get(&self, measure: Measure) -> u64 {
        match measure {
            Measure::Events => self.events,
            Measure::Tokens => self.tokens,
            Measure::Calls => self.calls,
        }
    }

    /// Adds `other`.
    pub fn add(&mut self, other: &Self) {
        self.each(other, |sum, value| sum.saturating_add(value).min(SUM_MAX));
    }

    /// Takes back what was added.
    pub fn take_back(&mut self, other: &Self) {
        self.each(other, u64::saturating_sub);
    }

    fn each(&mut self, other: &Self, combine: impl Fn(u64, u64) -> u64) {
        self.events = combine(self.events, other.events);
        self.tokens = combine(self.tokens, other.tokens);
        self.calls = combine(self.calls, other.calls);
    }
}
