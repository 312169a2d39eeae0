//! Sums over events. Every aggregate is a commutative monoid over integers: `merge` is associative
//! and commutative and `default` changes nothing, so order, batching and replay cannot matter (I3).
//! Sums saturate at `i64::MAX`, which keeps them a monoid; there are no float sums.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::event::{EventView, Usage};
use crate::time::Timestamp;

/// Calls and tokens of one slice of a breakdown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Slice {
    /// Events.
    pub calls: u64,
    /// All tokens.
    pub tokens: u64,
}

impl Slice {
    /// The slice of one event.
    pub fn of(usage: &Usage<'_>) -> Self {
        Self { calls: 1, tokens: usage.tokens.unwrap_or(0) }
    }

    /// Adds `other`.
    pub fn merge(&mut self, other: &Self) {
        self.calls = add(self.calls, other.calls);
        self.tokens = add(self.tokens, other.tokens);
    }
}

/// The sums of a set of events.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// Events.
    pub calls: u64,
    /// All tokens.
    pub tokens: u64,
    /// Tokens read.
    pub input_tokens: u64,
    /// Tokens written.
    pub output_tokens: u64,
    /// The part of the input tokens that a cache answered.
    pub cache_read_tokens: u64,
    /// The part of the input tokens that was put into a cache.
    pub cache_write_tokens: u64,
    /// The part of the output tokens that is reasoning.
    pub reasoning_tokens: u64,
    /// Sum of the latencies, in microseconds.
    pub latency_us: u64,
    /// Events that carried a latency.
    pub latency_calls: u64,
    /// Events that arrived after their window's grace had ended.
    pub late: u64,
}

impl Totals {
    /// What files and tables name the sums, in the order of [`Totals::sums`].
    pub const NAMES: [&str; 10] = [
        "calls",
        "tokens",
        "input_tokens",
        "output_tokens",
        "latency_us",
        "latency_calls",
        "late",
        "cache_read_tokens",
        "cache_write_tokens",
        "reasoning_tokens",
    ];

    /// Each of the sums, in the order of [`Totals::NAMES`].
    pub fn sums(&self) -> [u64; 10] {
        [
            self.calls,
            self.tokens,
            self.input_tokens,
            self.output_tokens,
            self.latency_us,
            self.latency_calls,
            self.late,
            self.cache_read_tokens,
            self.cache_write_tokens,
            self.reasoning_tokens,
        ]
    }

    /// The totals with these sums, in the order of [`Totals::NAMES`].
    pub fn from_sums(sums: [u64; 10]) -> Self {
        let [calls, tokens, input_tokens, output_tokens, latency_us, latency_calls, late, parts @ ..] = sums;
        let [cache_read_tokens, cache_write_tokens, reasoning_tokens] = parts;
        Self {
            calls,
            tokens,
            input_tokens,
            output_tokens,
            cache_read_tokens,
            cache_write_tokens,
            reasoning_tokens,
            latency_us,
            latency_calls,
            late,
        }
    }

    /// The totals of one event.
    pub fn of(usage: &Usage<'_>, late: bool) -> Self {
        Self {
            calls: 1,
            tokens: usage.tokens.unwrap_or(0),
            input_tokens: usage.input_tokens.unwrap_or(0),
            output_tokens: usage.output_tokens.unwrap_or(0),
            cache_read_tokens: usage.cache_read_tokens.unwrap_or(0),
            cache_write_tokens: usage.cache_write_tokens.unwrap_or(0),
            reasoning_tokens: usage.reasoning_tokens.unwrap_or(0),
            latency_us: usage.latency_us.unwrap_or(0),
            latency_calls: u64::from(usage.latency_us.is_some()),
            late: u64::from(late),
        }
    }

    /// Adds `other`.
    pub fn merge(&mut self, other: &Self) {
        self.calls = add(self.calls, other.calls);
        self.tokens = add(self.tokens, other.tokens);
        self.input_tokens = add(self.input_tokens, other.input_tokens);
        self.output_tokens = add(self.output_tokens, other.output_tokens);
        self.cache_read_tokens = add(self.cache_read_tokens, other.cache_read_tokens);
        self.cache_write_tokens = add(self.cache_write_tokens, other.cache_write_tokens);
        self.reasoning_tokens = add(self.reasoning_tokens, other.reasoning_tokens);
        self.latency_us = add(self.latency_us, other.latency_us);
        self.latency_calls = add(self.latency_calls, other.latency_calls);
        self.late = add(self.late, other.late);
    }

    /// The tokens by class.
    pub fn token_classes(&self) -> TokenClasses {
        // Of no event the parts are more than the whole, so no sum is below that of its parts; sums at their
        // end are.
        let cached = add(self.cache_read_tokens, self.cache_write_tokens);
        TokenClasses {
            input: self.input_tokens.saturating_sub(cached),
            cache_read: self.cache_read_tokens,
            cache_write: self.cache_write_tokens,
            output: self.output_tokens.saturating_sub(self.reasoning_tokens),
            reasoning: self.reasoning_tokens,
        }
    }

    /// Mean latency in milliseconds, rounded to three decimals; `None` without a latency.
    pub fn avg_latency_ms(&self) -> Option<f64> {
        if self.latency_calls == 0 {
            return None;
        }
        let mean_us = (self.latency_us + self.latency_calls / 2) / self.latency_calls;
        #[expect(clippy::cast_precision_loss, reason = "a latency of at most 1e12 us is exact in f64")]
        Some(mean_us as f64 / 1_000.0)
    }
}

/// The sums of a set of events, and when their requests were received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SumNumbers {
    /// The sums.
    pub totals: Totals,
    /// When the first of them was received.
    pub first_received: Timestamp,
    /// When the last of them was received.
    pub last_received: Timestamp,
}

impl Default for SumNumbers {
    /// The sum of nothing; neutral in `merge`.
    fn default() -> Self {
        Self { totals: Totals::default(), first_received: Timestamp::MAX, last_received: Timestamp::MIN }
    }
}

impl SumNumbers {
    /// Adds `other`.
    pub fn merge(&mut self, other: &Self) {
        self.totals.merge(&other.totals);
        self.first_received = self.first_received.min(other.first_received);
        self.last_received = self.last_received.max(other.last_received);
    }
}

/// Tokens in five classes of which none holds tokens of another. Together they are the input and the output
/// tokens; tokens of events that tell neither are in no class.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TokenClasses {
    /// Tokens read that have nothing to do with a cache.
    pub input: u64,
    /// Tokens read that a cache answered.
    pub cache_read: u64,
    /// Tokens read that were put into a cache.
    pub cache_write: u64,
    /// Tokens written that are no reasoning.
    pub output: u64,
    /// Tokens written that are reasoning.
    pub reasoning: u64,
}

/// Sums with their breakdowns. An event without an endpoint or model is in no slice of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Aggregate {
    /// The sums.
    pub totals: Totals,
    /// By endpoint.
    pub by_endpoint: BTreeMap<String, Slice>,
    /// By model.
    pub by_model: BTreeMap<String, Slice>,
}

impl Aggregate {
    /// Adds one event.
    pub fn fold(&mut self, event: &EventView<'_>, late: bool) {
        self.totals.merge(&Totals::of(&event.usage, late));
        let slice = Slice::of(&event.usage);
        if let Some(endpoint) = event.endpoint {
            merge_slice(&mut self.by_endpoint, endpoint, &slice);
        }
        if let Some(model) = event.usage.model {
            merge_slice(&mut self.by_model, model, &slice);
        }
    }

    /// Adds `other`.
    pub fn merge(&mut self, other: &Self) {
        self.totals.merge(&other.totals);
        for (name, slice) in &other.by_endpoint {
            merge_slice(&mut self.by_endpoint, name, slice);
        }
        for (name, slice) in &other.by_model {
            merge_slice(&mut self.by_model, name, slice);
        }
    }
}

/// Adds `slice` under `name`.
pub fn merge_slice(slices: &mut BTreeMap<String, Slice>, name: &str, slice: &Slice) {
    match slices.get_mut(name) {
        Some(known) => known.merge(slice),
        None => {
            slices.insert(name.to_owned(), *slice);
        }
    }
}

const SUM_MAX: u64 = i64::MAX as u64;

fn add(left: u64, right: u64) -> u64 {
    left.saturating_add(right).min(SUM_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn totals() -> impl Strategy<Value = Totals> {
        let number = prop_oneof![0_u64..1_000, Just(SUM_MAX), Just(SUM_MAX - 1)];
        proptest::array::uniform10(number).prop_map(Totals::from_sums)
    }

    fn aggregate() -> impl Strategy<Value = Aggregate> {
        let slices = || {
            let slice = (0_u64..100, 0_u64..100).prop_map(|(calls, tokens)| Slice { calls, tokens });
            proptest::collection::btree_map("[a-c]", slice, 0..3)
        };
        (totals(), slices(), slices()).prop_map(|(totals, by_endpoint, by_model)| Aggregate {
            totals,
            by_endpoint,
            by_model,
        })
    }

    fn merged(mut left: Aggregate, right: &Aggregate) -> Aggregate {
        left.merge(right);
        left
    }

    #[test]
    fn sums_stand_in_the_order_of_their_names() {
        let sums = [11, 12, 13, 14, 15, 16, 17, 18, 19, 20];
        let totals = Totals::from_sums(sums);
        assert_eq!(totals.sums(), sums);
        let fields = format!("{totals:?}");
        for (name, sum) in Totals::NAMES.iter().zip(sums) {
            assert!(fields.contains(&format!(" {name}: {sum}")), "{name} is not {sum} of {fields}");
        }
    }

    proptest! {
        #[test]
        fn merge_is_a_commutative_monoid(a in aggregate(), b in aggregate(), c in aggregate()) {
            prop_assert_eq!(merged(a.clone(), &b), merged(b.clone(), &a));
            prop_assert_eq!(merged(merged(a.clone(), &b), &c), merged(a.clone(), &merged(b.clone(), &c)));
            prop_assert_eq!(merged(a.clone(), &Aggregate::default()), a);
        }
    }

    /// Tokens of one event as admission leaves them: input and output, and parts of them.
    fn usage() -> impl Strategy<Value = Usage<'static>> {
        let number = || proptest::option::of(0_u64..1_000);
        (number(), number(), [number(), number(), number()], number()).prop_map(|(input, output, parts, others)| {
            let part = |part: Option<u64>, whole: Option<u64>| part.zip(whole).map(|(part, whole)| part.min(whole));
            let cache_read_tokens = part(parts[0], input);
            let left = input.map(|input| input - cache_read_tokens.unwrap_or(0));
            let told = input.or(output).map(|_| input.unwrap_or(0) + output.unwrap_or(0));
            Usage {
                tokens: told.or(others),
                input_tokens: input,
                output_tokens: output,
                cache_read_tokens,
                cache_write_tokens: part(parts[1], left),
                reasoning_tokens: part(parts[2], output),
                ..Usage::default()
            }
        })
    }

    proptest! {
        #[test]
        fn i3_classes_are_disjoint_and_miss_only_tokens_of_neither_side(
            events in proptest::collection::vec(usage(), 0..20),
        ) {
            let (mut sums, mut expected, mut untold) = (Totals::default(), TokenClasses::default(), 0);
            for usage in &events {
                sums.merge(&Totals::of(usage, false));
                let number = |number: Option<u64>| number.unwrap_or(0);
                let (read, write) = (number(usage.cache_read_tokens), number(usage.cache_write_tokens));
                expected.input += number(usage.input_tokens) - read - write;
                expected.cache_read += read;
                expected.cache_write += write;
                expected.output += number(usage.output_tokens) - number(usage.reasoning_tokens);
                expected.reasoning += number(usage.reasoning_tokens);
                if usage.input_tokens.or(usage.output_tokens).is_none() {
                    untold += number(usage.tokens);
                }
            }
            let classes = sums.token_classes();
            prop_assert_eq!(classes, expected);
            let TokenClasses { input, cache_read, cache_write, output, reasoning } = classes;
            prop_assert_eq!(input + cache_read + cache_write + output + reasoning, sums.tokens - untold);
        }
    }

    #[test]
    fn the_mean_rounds_to_a_microsecond() {
        let totals = Totals { latency_us: 490_000, latency_calls: 2, ..Totals::default() };
        assert_eq!(totals.avg_latency_ms(), Some(245.0));
        let thirds = Totals { latency_us: 100, latency_calls: 3, ..Totals::default() };
        assert_eq!(thirds.avg_latency_ms(), Some(0.033));
        assert_eq!(Totals::default().avg_latency_ms(), None);
    }
}
