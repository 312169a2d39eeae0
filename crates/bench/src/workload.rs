//! What the load consists of: usage events in the metering document's form, spread over customers,
//! users, endpoints, models and time. Bytes are assembled from prepared names, never through a
//! serialiser, because the generator shares the machine with the server it measures.

use std::sync::Arc;

use domain::time::{MICROS_PER_DAY, Timestamp};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::text::{InstantTexts, push_decimal, push_event_id};

/// Names that the first endpoints and models carry; further ones are numbered.
const ENDPOINTS: [&str; 4] = ["/api/completion", "/api/embedding", "/api/chat", "/api/rerank"];
const MODELS: [&str; 4] = ["gpt-4", "gpt-3.5-turbo", "claude-sonnet", "llama-70b"];
/// The most tokens an event reads, and the most it writes.
const TOKENS_MAX: u32 = 2_048;
/// The highest latency of an event, in milliseconds.
const LATENCY_MS_MAX: u32 = 1_000;
/// How many of its last events a connection can send a second time.
const RECENT_EVENTS: u64 = 256;
/// Longest run that event times are prepared for, in days.
const RUN_DAYS_MAX: i64 = 2;
/// Low bits of an event's number that count within one stream.
const SEQUENCE_BITS: u32 = 40;

/// How events are spread; shares are from 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Mix {
    /// Distinct customers.
    pub(super) customers: u32,
    /// Share of the events that belongs to the first customer; the others share the rest evenly.
    pub(super) whale: Option<f64>,
    /// Distinct users.
    pub(super) users: u32,
    /// Distinct endpoints.
    pub(super) endpoints: u32,
    /// Distinct models.
    pub(super) models: u32,
    /// Event times lie this many days before now, evenly; 0 means now.
    pub(super) history_days: u32,
    /// Share of the events that repeats an earlier event, byte for byte.
    pub(super) duplicates: f64,
    /// Whether events carry two more properties, an address and a telephone number.
    pub(super) personal: bool,
    /// Makes the same choices again.
    pub(super) seed: u64,
}

impl Mix {
    /// What the options default to.
    pub(super) const STANDARD: Self = Self {
        customers: 1_000,
        whale: None,
        users: 10_000,
        endpoints: 8,
        models: 4,
        history_days: 0,
        duplicates: 0.0,
        personal: false,
        seed: 1,
    };
}

/// A mix with its names written out, for one run.
#[derive(Debug)]
pub(super) struct Workload {
    run: u32,
    mix: Mix,
    customers: Vec<String>,
    endpoints: Vec<String>,
    models: Vec<String>,
    instants: InstantTexts,
}

impl Workload {
    /// The load of run `run` that begins at `now`.
    pub(super) fn new(run: u32, mix: Mix, now: Timestamp) -> Self {
        let mix = Mix {
            customers: mix.customers.max(1),
            users: mix.users.max(1),
            endpoints: mix.endpoints.max(1),
            models: mix.models.max(1),
            ..mix
        };
        let first = now.plus_micros(-i64::from(mix.history_days) * MICROS_PER_DAY);
        Self {
            run,
            mix,
            customers: (0..mix.customers).map(|number| format!("{}{number:06}", customer_prefix(run))).collect(),
            endpoints: names(&ENDPOINTS, mix.endpoints, "/api/resource-"),
            models: names(&MODELS, mix.models, "model-"),
            instants: InstantTexts::new(first, now.plus_micros(RUN_DAYS_MAX * MICROS_PER_DAY)),
        }
    }

    /// The customers, by number.
    pub(super) fn customers(&self) -> &[String] {
        &self.customers
    }

    /// What all customers of this run begin with, and no others.
    pub(super) fn customer_prefix(&self) -> String {
        customer_prefix(self.run)
    }
}

/// Writes the events of one connection.
#[derive(Debug)]
pub(super) struct EventWriter {
    workload: Arc<Workload>,
    random: StdRng,
    next: u64,
    recent: Vec<Vec<u8>>,
    fresh: Vec<u32>,
}

impl EventWriter {
    /// The writer of stream `stream`; each of a run's connections has its own.
    pub(super) fn new(workload: Arc<Workload>, stream: u16) -> Self {
        let seed = workload.mix.seed ^ (u64::from(stream) << 32);
        let next = u64::from(stream) << SEQUENCE_BITS;
        Self { workload, random: StdRng::seed_from_u64(seed), next, recent: Vec::new(), fresh: Vec::new() }
    }

    /// Appends the body of a request of `events` events: one object, or an array.
    pub(super) fn write_body(&mut self, out: &mut Vec<u8>, events: u64, now: Timestamp) {
        self.fresh.clear();
        if events == 1 {
            self.write_event(out, now);
            return;
        }
        out.push(b'[');
        for index in 0..events {
            if index > 0 {
                out.push(b',');
            }
            self.write_event(out, now);
        }
        out.push(b']');
    }

    /// The customers, by number, of those events in the last body that were no repetitions.
    pub(super) fn fresh(&self) -> &[u32] {
        &self.fresh
    }

    /// The id of the last event of the last body that was no repetition.
    pub(super) fn last_id(&self) -> Option<String> {
        let number = self.next.checked_sub(1).filter(|_| !self.fresh.is_empty())?;
        let mut id = Vec::with_capacity(36);
        push_event_id(&mut id, self.workload.run, number);
        String::from_utf8(id).ok()
    }

    fn write_event(&mut self, out: &mut Vec<u8>, now: Timestamp) {
        let duplicates = self.workload.mix.duplicates;
        if duplicates > 0.0 && !self.recent.is_empty() && self.chance(duplicates) {
            let index = self.below(u32::try_from(self.recent.len()).unwrap_or(u32::MAX));
            out.extend_from_slice(&self.recent[to_index(index)]);
            return;
        }
        let start = out.len();
        self.write_fresh(out, now);
        if duplicates > 0.0 {
            let slot = usize::try_from(self.next % RECENT_EVENTS).unwrap_or(0);
            match self.recent.get_mut(slot) {
                Some(kept) => out[start..].clone_into(kept),
                None => self.recent.push(out[start..].to_vec()),
            }
        }
    }

    fn write_fresh(&mut self, out: &mut Vec<u8>, now: Timestamp) {
        let mix = self.workload.mix;
        let customer = self.pick_customer();
        let instant = self.pick_instant(now);
        let user = self.below(mix.users);
        let endpoint = to_index(self.below(mix.endpoints));
        let model = to_index(self.below(mix.models));
        let input = u64::from(self.below(TOKENS_MAX));
        let output = u64::from(self.below(TOKENS_MAX));
        let latency = u64::from(self.below(LATENCY_MS_MAX));
        let workload = &*self.workload;
        out.extend_from_slice(b"{\"eventId\":\"");
        push_event_id(out, workload.run, self.next);
        out.extend_from_slice(b"\",\"timestamp\":\"");
        workload.instants.push(out, instant);
        out.extend_from_slice(b"\",\"customerId\":\"");
        out.extend_from_slice(workload.customers[to_index(customer)].as_bytes());
        out.extend_from_slice(b"\",\"userId\":\"user-");
        push_decimal(out, u64::from(user));
        out.extend_from_slice(b"\",\"apiEndpoint\":\"");
        out.extend_from_slice(workload.endpoints[endpoint].as_bytes());
        out.extend_from_slice(b"\",\"metadata\":{\"tokens\":");
        push_decimal(out, input + output);
        out.extend_from_slice(b",\"model\":\"");
        out.extend_from_slice(workload.models[model].as_bytes());
        out.extend_from_slice(b"\",\"latencyMs\":");
        push_decimal(out, latency);
        out.extend_from_slice(b",\"inputTokens\":");
        push_decimal(out, input);
        out.extend_from_slice(b",\"outputTokens\":");
        push_decimal(out, output);
        if mix.personal {
            out.extend_from_slice(b",\"email\":\"user-");
            push_decimal(out, u64::from(user));
            out.extend_from_slice(b"@example.org\",\"phone\":\"+41 44 ");
            push_decimal(out, 1_000_000 + u64::from(user));
            out.push(b'"');
        }
        out.extend_from_slice(b"}}");
        self.next += 1;
        self.fresh.push(customer);
    }

    fn pick_customer(&mut self) -> u32 {
        let customers = self.workload.mix.customers;
        let whale = self.workload.mix.whale;
        match whale {
            Some(share) if customers == 1 || self.chance(share) => 0,
            Some(_) => 1 + self.below(customers - 1),
            None => self.below(customers),
        }
    }

    fn pick_instant(&mut self, now: Timestamp) -> Timestamp {
        if self.workload.mix.history_days == 0 {
            return now;
        }
        let span_ms = u64::from(self.workload.mix.history_days) * 86_400_000;
        let back_ms = (u128::from(self.random.next_u64()) * u128::from(span_ms)) >> 64;
        now.plus_micros(-i64::try_from(back_ms).unwrap_or(0) * 1_000)
    }

    /// A number from 0 up to but without `limit`, by multiplication (Lemire, 2019, without the
    /// correction of a bias far below what a benchmark can see).
    fn below(&mut self, limit: u32) -> u32 {
        let scaled = u64::from(self.random.next_u32()) * u64::from(limit);
        u32::try_from(scaled >> 32).unwrap_or(0)
    }

    fn chance(&mut self, share: f64) -> bool {
        f64::from(self.random.next_u32()) < share * (f64::from(u32::MAX) + 1.0)
    }
}

fn customer_prefix(run: u32) -> String {
    format!("bench-{run:08x}-")
}

fn names(known: &[&str], count: u32, prefix: &str) -> Vec<String> {
    let known = known.iter().map(|name| (*name).to_owned());
    known.chain((0..count).map(|number| format!("{prefix}{number}"))).take(to_index(count)).collect()
}

fn to_index(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests;
