//! What a workspace admits, against a list of all that was sent; no ledger, and time goes on as the test says.

#![expect(clippy::unwrap_used, reason = "tests")]

use domain::event::{IdScheme, Usage};
use domain::quota::QuotaKey;
use proptest::prelude::*;

use super::*;

const CUSTOMERS: [&str; 3] = ["", "a", "b"];

/// An event as far as quotas look at it.
#[derive(Debug, Clone, Copy)]
struct Sent {
    customer: usize,
    tokens: u64,
    is_call: bool,
    at: Timestamp,
}

impl Sent {
    fn view(&self) -> EventView<'static> {
        let usage = Usage { tokens: Some(self.tokens), ..Usage::default() };
        EventView {
            id: "e",
            id_scheme: IdScheme::Native,
            time: self.at,
            kind: "k",
            project: None,
            customer: Some(CUSTOMERS[self.customer]).filter(|customer| !customer.is_empty()),
            user: None,
            endpoint: self.is_call.then_some("/e"),
            properties: None,
            usage,
        }
    }

    fn amount(&self, measure: Measure) -> u64 {
        match measure {
            Measure::Events => 1,
            Measure::Tokens => self.tokens,
            Measure::Calls => u64::from(self.is_call),
        }
    }
}

#[derive(Debug, Clone)]
enum Step {
    Send {
        customer: usize,
        tokens: u64,
        is_call: bool,
    },
    /// One of the events on their way does not count after all.
    Release(usize),
    /// One of them counts.
    Count(usize),
    Set(Vec<Quota>),
    Pass(i64),
}

fn quota() -> impl Strategy<Value = Quota> {
    let measure = proptest::sample::select(Measure::ALL.to_vec());
    let period = proptest::sample::select(QuotaPeriod::ALL.to_vec());
    (0..CUSTOMERS.len(), measure, period, 0_u64..12, prop::bool::weighted(0.8)).prop_map(
        |(customer, measure, period, limit, is_hard)| {
            let customer = Some(CUSTOMERS[customer].to_owned()).filter(|customer| !customer.is_empty());
            Quota { key: QuotaKey { customer, measure, period }, limit, is_hard }
        },
    )
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let sent = (0..CUSTOMERS.len(), 0_u64..4, any::<bool>());
    let step = prop_oneof![
        8 => sent.prop_map(|(customer, tokens, is_call)| Step::Send { customer, tokens, is_call }),
        2 => (0_usize..8).prop_map(Step::Release),
        4 => (0_usize..8).prop_map(Step::Count),
        1 => proptest::collection::vec(quota(), 0..5).prop_map(Step::Set),
        2 => (0_i64..40 * 3_600).prop_map(Step::Pass),
    ];
    proptest::collection::vec(step, 1..120)
}

/// What the ledger would tell of a period.
fn received(counted: &[Sent], range: TimeRange) -> Received {
    let mut received = Received::default();
    for sent in counted.iter().filter(|sent| range.contains(sent.at)) {
        let amounts = Amounts::of(&sent.view());
        received.add("", &amounts);
        if sent.customer > 0 {
            received.add(CUSTOMERS[sent.customer], &amounts);
        }
    }
    received
}

proptest! {
    /// An event passes if and only if every hard quota has room for it beside what was counted and what is on its way in the
    /// same period; so no quota is ever exceeded, and none refuses below its limit.
    #[test]
    fn i1_a_quota_admits_exactly_what_it_has_room_for(steps in steps()) {
        let (calendar, mut held) = (QuotaCalendar::default(), Held::default());
        let mut now = Timestamp::parse("2026-01-30T10:00:00Z").unwrap();
        let (mut quotas, mut counted, mut waiting): (Vec<Quota>, Vec<Sent>, Vec<Sent>) = Default::default();
        for step in steps {
            match step {
                Step::Set(set) => {
                    // As the gate has it: what is on its way is counted first.
                    counted.append(&mut waiting);
                    quotas = set;
                    quotas.sort_by(|left, right| left.key.cmp(&right.key));
                    quotas.dedup_by(|left, right| left.key == right.key);
                    held.set(quotas.iter().cloned());
                }
                Step::Pass(seconds) => now = now.plus_micros(seconds * 1_000_000),
                Step::Release(index) if index < waiting.len() => {
                    let sent = waiting.remove(index);
                    held.take_back(sent.at, CUSTOMERS[sent.customer], &Amounts::of(&sent.view()));
                }
                Step::Count(index) if index < waiting.len() => counted.push(waiting.remove(index)),
                Step::Release(_) | Step::Count(_) => {}
                Step::Send { customer, tokens, is_call } => {
                    let missing = held.missing(&Periods::at(&calendar, now));
                    if !missing.is_empty() {
                        counted.append(&mut waiting);
                    }
                    for (period, range) in missing {
                        held.load(period, range, received(&counted, range));
                    }
                    let sent = Sent { customer, tokens, is_call, at: now };
                    let used = |quota: &Quota| {
                        let range = calendar.period_at(quota.key.period, now);
                        let mine = counted.iter().chain(&waiting).filter(|other| range.contains(other.at));
                        let of = quota.key.customer.as_deref();
                        let mine = mine.filter(|other| of.is_none_or(|of| of == CUSTOMERS[other.customer]));
                        mine.map(|other| other.amount(quota.key.measure)).sum::<u64>()
                    };
                    let is_over = |quota: &&Quota| {
                        let of = quota.key.customer.as_deref();
                        let more = sent.amount(quota.key.measure);
                        of.is_none_or(|of| of == CUSTOMERS[customer]) && more > 0 && used(quota) + more > quota.limit
                    };
                    let states = held.states(&Periods::at(&calendar, now), |_| true);
                    for state in &states {
                        prop_assert_eq!(state.used, used(&state.quota), "{:?}", state);
                    }
                    prop_assert_eq!(states.len(), quotas.len());
                    let (hard, soft): (Vec<_>, Vec<_>) = quotas.iter().filter(is_over).partition(|quota| quota.is_hard);
                    let mut passed = Vec::new();
                    match held.take(&Periods::at(&calendar, now), now, &sent.view(), &mut passed) {
                        Ok(reserved) => {
                            prop_assert!(hard.is_empty(), "{:?} passes {:?}", sent, hard);
                            prop_assert_eq!(reserved.over_soft, !soft.is_empty());
                            let first = soft.iter().filter(|quota| used(quota) <= quota.limit);
                            prop_assert_eq!(passed.len(), first.count(), "each is told when it is passed");
                            waiting.push(sent);
                        }
                        Err(refusal) => {
                            prop_assert!(!hard.is_empty(), "{:?} is refused below its quotas: {}", sent, refusal);
                            prop_assert_eq!(refusal.code, RejectCode::QuotaExceeded);
                            prop_assert!(passed.is_empty(), "nothing of it is taken");
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn a_refusal_says_whose_quota_and_until_when() {
    let (calendar, mut held) = (QuotaCalendar::default(), Held::default());
    let key = QuotaKey { customer: Some("a".to_owned()), measure: Measure::Events, period: QuotaPeriod::Day };
    held.set([Quota { key, limit: 0, is_hard: true }].into_iter());
    let at = Timestamp::parse("2026-01-30T10:00:00Z").unwrap();
    let periods = Periods::at(&calendar, at);
    for (period, range) in held.missing(&periods) {
        held.load(period, range, Received::default());
    }
    let sent = |customer| Sent { customer, tokens: 0, is_call: false, at };
    let refusal = held.take(&periods, at, &sent(1).view(), &mut Vec::new()).unwrap_err();
    assert_eq!(refusal.field.as_deref(), Some("customer"));
    assert_eq!(refusal.message, r#"over the quota of customer "a": 0 events per day, until 2026-01-31T00:00:00Z"#);
    let reserved = held.take(&periods, at, &sent(2).view(), &mut Vec::new()).unwrap();
    assert!(
        reserved.scope.is_empty() && !reserved.over_soft,
        "another customer's events pass, and count for all alone"
    );
}
