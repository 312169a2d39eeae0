//! What one workspace holds of its quotas: how much is used in the periods under way. Does no IO; the time is an
//! argument.
//!
//! Used is what the ledger has counted, and what is reserved for events on their way to it. Both are one number here: a
//! reservation adds to it, its event becomes a count by staying, and what turns out not to count is taken back. So at no
//! moment is an event in it twice, or not at all.

use std::sync::Arc;

use domain::event::EventView;
use domain::position::Seq;
use domain::quota::{Amounts, Measure, Quota, QuotaCalendar, QuotaPeriod, QuotaTerms};
use domain::rejection::{RejectCode, Rejection};
use domain::time::{TimeRange, Timestamp};
use hashbrown::HashMap;
use ports::ledger::Received;

use super::on_way::OnWay;

/// Periods of one kind that are remembered: the one under way, and the one before it for requests that were stamped
/// just before its end.
const PERIODS_KEPT: usize = 2;

/// How much is used in a period.
#[derive(Debug)]
struct Used {
    /// By the workspace as a whole.
    all: Amounts,
    /// By those customers that have a quota and have used anything.
    by_customer: HashMap<String, Amounts>,
}

impl Used {
    /// What is used in a scope: a customer, or the empty one, which stands for the workspace as a whole.
    fn of(&self, scope: &str) -> Amounts {
        if scope.is_empty() { self.all } else { self.by_customer.get(scope).copied().unwrap_or_default() }
    }

    fn of_mut(&mut self, scope: &str) -> &mut Amounts {
        if scope.is_empty() { &mut self.all } else { self.by_customer.entry_ref(scope).or_default() }
    }
}

/// A quota of one scope.
#[derive(Debug, Clone, Copy)]
struct Terms {
    measure: Measure,
    period: QuotaPeriod,
    terms: QuotaTerms,
}

/// The periods that an instant lies in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Periods {
    day: TimeRange,
    month: TimeRange,
}

impl Periods {
    /// The periods at `at`.
    pub(super) fn at(calendar: &QuotaCalendar, at: Timestamp) -> Self {
        let [day, month] = [QuotaPeriod::Day, QuotaPeriod::Month].map(|period| calendar.period_at(period, at));
        Self { day, month }
    }

    const fn of(&self, period: QuotaPeriod) -> TimeRange {
        match period {
            QuotaPeriod::Day => self.day,
            QuotaPeriod::Month => self.month,
        }
    }
}

/// A period of which it is known what is used.
#[derive(Debug)]
struct LoadedPeriod {
    period: QuotaPeriod,
    range: TimeRange,
    used: Used,
}

/// The quotas of a workspace, and what is used of them.
#[derive(Debug, Default)]
pub(super) struct Held {
    /// The quotas of the workspace as a whole.
    of_all: Vec<Terms>,
    /// The quotas of those customers that have any.
    of_customers: HashMap<String, Vec<Terms>>,
    /// In the order in which they were loaded.
    periods: Vec<LoadedPeriod>,
    /// The periods that were asked for last, and by which calendar.
    latest: Option<(Arc<QuotaCalendar>, Periods)>,
    /// The events that are reserved and not applied yet.
    pub(super) on_way: OnWay,
    /// The last record that is durable with events of the workspace.
    pub(super) journaled: Seq,
}

/// A soft quota that is passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct OverSoft {
    pub(super) is_customers: bool,
    pub(super) measure: Measure,
    pub(super) period: QuotaPeriod,
    pub(super) limit: u64,
    /// When the period ends.
    pub(super) until: Timestamp,
}

/// What one event has reserved.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reserved<'e> {
    /// The narrowest scope that it counts in: its customer if that has a quota, else the empty one.
    pub(super) scope: &'e str,
    pub(super) amounts: Amounts,
    /// Whether it goes over a soft limit.
    pub(super) over_soft: bool,
}

/// Where a quota stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuotaState {
    /// The quota.
    pub quota: Quota,
    /// The period under way.
    pub range: TimeRange,
    /// What is used of it, events on their way to the ledger included.
    pub used: u64,
}

impl QuotaState {
    /// How much is left.
    pub fn left(&self) -> u64 {
        self.quota.limit.saturating_sub(self.used)
    }
}

impl Held {
    /// Whether there is any quota.
    pub(super) fn is_limited(&self) -> bool {
        !self.of_all.is_empty() || !self.of_customers.is_empty()
    }

    /// Takes other quotas. What is used is loaded again: other customers may count now.
    pub(super) fn set(&mut self, quotas: impl Iterator<Item = Quota>) {
        self.of_all.clear();
        self.of_customers.clear();
        self.periods.clear();
        for Quota { key, limit, is_hard } in quotas {
            let terms = Terms { measure: key.measure, period: key.period, terms: QuotaTerms { limit, is_hard } };
            match key.customer {
                None => self.of_all.push(terms),
                Some(customer) => self.of_customers.entry(customer).or_default().push(terms),
            }
        }
    }

    /// The periods at `at`, remembered as long as time goes on in them.
    pub(super) fn periods(&mut self, calendar: &Arc<QuotaCalendar>, at: Timestamp) -> Periods {
        let is_same = |(of, periods): &&(Arc<QuotaCalendar>, Periods)| {
            Arc::ptr_eq(of, calendar) && periods.day.contains(at) && periods.month.contains(at)
        };
        if let Some((_, periods)) = self.latest.as_ref().filter(is_same) {
            return *periods;
        }
        let periods = Periods::at(calendar, at);
        self.latest = Some((Arc::clone(calendar), periods));
        periods
    }

    /// The periods among `periods` of which it is not known what is used, though a quota is held against them.
    pub(super) fn missing(&self, periods: &Periods) -> Vec<(QuotaPeriod, TimeRange)> {
        let all = || self.of_all.iter().chain(self.of_customers.values().flatten());
        let is_wanted = |period: &QuotaPeriod| all().any(|terms| terms.period == *period);
        let wanted = QuotaPeriod::ALL.into_iter().filter(is_wanted);
        let wanted = wanted.map(|period| (period, periods.of(period)));
        wanted.filter(|(period, range)| self.find(*period, *range).is_none()).collect()
    }

    fn find(&self, period: QuotaPeriod, range: TimeRange) -> Option<usize> {
        self.periods.iter().position(|loaded| loaded.period == period && loaded.range == range)
    }

    /// Learns what the ledger has counted in a period, when nothing of the workspace is on its way.
    pub(super) fn load(&mut self, period: QuotaPeriod, range: TimeRange, received: Received) {
        let Received { all, by_customer } = received;
        let limited = by_customer.into_iter().filter(|(customer, _)| self.of_customers.contains_key(customer));
        let used = Used { all, by_customer: limited.collect() };
        self.periods.push(LoadedPeriod { period, range, used });
        let of_kind = |loaded: &LoadedPeriod| loaded.period == period;
        if self.periods.iter().filter(|loaded| of_kind(loaded)).count() > PERIODS_KEPT
            && let Some(oldest) = self.periods.iter().position(of_kind)
        {
            self.periods.remove(oldest);
        }
    }

    /// Reserves what an event received at `at` uses, unless that would go over a hard limit. `passed` gets the soft ones
    /// that were not passed before.
    pub(super) fn take<'e>(
        &mut self,
        periods: &Periods,
        at: Timestamp,
        event: &EventView<'e>,
        passed: &mut Vec<OverSoft>,
    ) -> Result<Reserved<'e>, Rejection> {
        let (amounts, scope) = (Amounts::of(event), self.scope_of(event.customer.unwrap_or("")));
        let (mut over_soft, passed_before) = (false, passed.len());
        let [day, month] = QuotaPeriod::ALL.map(|period| self.find(period, periods.of(period)));
        for of in scopes(scope) {
            for quota in self.quotas_of(of) {
                let Terms { measure, period, terms: QuotaTerms { limit, is_hard } } = *quota;
                let loaded = match period {
                    QuotaPeriod::Day => day,
                    QuotaPeriod::Month => month,
                };
                let used = loaded.map_or(0, |at| self.periods[at].used.of(of).get(measure));
                let more = amounts.get(measure);
                if more == 0 || used.saturating_add(more) <= limit {
                    continue;
                }
                let range = periods.of(period);
                if is_hard {
                    passed.truncate(passed_before);
                    return Err(refusal(of, quota, range));
                }
                over_soft = true;
                if used <= limit {
                    let is_customers = !of.is_empty();
                    passed.push(OverSoft { is_customers, measure, period, limit, until: range.to() });
                }
            }
        }
        self.change(at, scope, &amounts, Amounts::add);
        Ok(Reserved { scope, amounts, over_soft })
    }

    /// Takes back what events of a customer received at `at` have reserved.
    pub(super) fn take_back(&mut self, at: Timestamp, customer: &str, amounts: &Amounts) {
        self.change(at, self.scope_of(customer), amounts, Amounts::take_back);
    }

    fn change(&mut self, at: Timestamp, scope: &str, amounts: &Amounts, change: fn(&mut Amounts, &Amounts)) {
        for loaded in self.periods.iter_mut().filter(|loaded| loaded.range.contains(at)) {
            scopes(scope).for_each(|of| change(loaded.used.of_mut(of), amounts));
        }
    }

    /// The quotas of a scope.
    fn quotas_of(&self, scope: &str) -> &[Terms] {
        if scope.is_empty() {
            &self.of_all
        } else {
            self.of_customers.get(scope).map(Vec::as_slice).unwrap_or_default()
        }
    }

    /// The narrowest scope that an event of a customer counts in: the customer if it has a quota, else the empty one.
    fn scope_of<'c>(&self, customer: &'c str) -> &'c str {
        if self.of_customers.contains_key(customer) { customer } else { "" }
    }

    /// Where the quotas of the workspace and of those customers that `wanted` names stand.
    pub(super) fn states(&self, periods: &Periods, wanted: impl Fn(&str) -> bool) -> Vec<QuotaState> {
        let mut customers: Vec<_> = self.of_customers.keys().map(String::as_str).filter(|name| wanted(name)).collect();
        customers.sort_unstable();
        let mut states = Vec::new();
        for scope in std::iter::once("").chain(customers) {
            for Terms { measure, period, terms } in self.quotas_of(scope) {
                let range = periods.of(*period);
                let used = self.find(*period, range).map(|at| self.periods[at].used.of(scope));
                let customer = Some(scope).filter(|scope| !scope.is_empty()).map(str::to_owned);
                let key = domain::quota::QuotaKey { customer, measure: *measure, period: *period };
                let quota = Quota { key, limit: terms.limit, is_hard: terms.is_hard };
                states.push(QuotaState { quota, range, used: used.map_or(0, |used| used.get(*measure)) });
            }
        }
        states
    }
}

/// The scopes that count what counts in the narrowest one.
fn scopes(narrowest: &str) -> impl Iterator<Item = &str> {
    ["", narrowest].into_iter().take(if narrowest.is_empty() { 1 } else { 2 })
}

fn refusal(customer: &str, quota: &Terms, range: TimeRange) -> Rejection {
    let (field, whose) = match customer {
        "" => (None, "the workspace".to_owned()),
        customer => (Some("customer"), format!("customer {customer:?}")),
    };
    let Terms { measure, period, terms } = quota;
    let message = format!(
        "over the quota of {whose}: {} {} per {}, until {}",
        terms.limit,
        measure.as_str(),
        period.as_str(),
        range.to()
    );
    match field {
        Some(field) => Rejection::of(RejectCode::QuotaExceeded, field, message),
        None => Rejection::whole(RejectCode::QuotaExceeded, message),
    }
}

#[cfg(test)]
mod tests;
