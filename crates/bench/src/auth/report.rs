//! What `nilometer bench auth` found, as text and as measures with their bounds.

use std::fmt;

use anyhow::ensure;
use serde::Serialize;

use super::held::Held;
use super::key_load::KeyLoad;
use super::login_storm::{Storms, UnderStorm};
use super::pairs::Compared;
use super::storm::Answers;
use super::tokens::Tokens;
use crate::inside::PasswordCost;
use crate::measure::{Measure, Unit, table};

/// Throughput with a key against without one, in thousandths.
const KEPT_WITH_KEY: u64 = 970;
/// A check of a token against the bare verification, in thousandths.
const TOKEN_SPENT: u64 = 1_500;
/// Throughput in a storm against that in peace, in thousandths.
const KEPT_IN_STORM: u64 = 600;
/// Memory of the register, in KiB.
const REGISTER_KIB: u64 = 60 << 10;

/// What was found.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct AuthReport {
    /// Keys in the register.
    pub(super) keys: u32,
    /// Workspaces that have them.
    pub(super) workspaces: u32,
    /// Keys that requests presented in turns, all of one workspace.
    pub(super) presented: u32,
    /// Checks of tokens.
    pub(super) tokens: Tokens,
    /// Hashes of passwords, one after the other and nothing else.
    pub(super) password: PasswordCost,
    /// Memory; none where the system does not tell.
    pub(super) held: Option<Held>,
    /// From the start of the process to its readiness, in seconds: with an empty register, then with this one.
    pub(super) ready_s: [f64; 2],
    /// Batches without a key and with one.
    pub(super) batches: KeyLoad,
    /// Single events without a key and with one.
    pub(super) singles: KeyLoad,
    /// Events in peace and while many log in.
    pub(super) storm: Storms,
}

impl AuthReport {
    /// Its numbers, with the bounds of those that have one.
    pub(crate) fn measures(&self) -> Vec<Measure> {
        let keys = self.keys;
        let kept = |name: &str, bound, compared: &Compared| {
            Measure::bounded(name, Unit::RatioKept, bound, compared.kept_thousandths())
        };
        let Storms { one_address, many_addresses, .. } = &self.storm;
        let mut measures = vec![
            kept(
                &format!("ingest in batches with one of {keys} keys, of that without"),
                KEPT_WITH_KEY,
                &self.batches.throughput,
            ),
            kept(
                &format!("single events with one of {keys} keys, of those without"),
                KEPT_WITH_KEY,
                &self.singles.throughput,
            ),
            Measure::bounded(
                "token that is not remembered, of a bare verification",
                Unit::RatioSpent,
                TOKEN_SPENT,
                self.tokens.anew.spent_thousandths(),
            ),
            Measure::unjudged("token that is not remembered", Unit::Nanoseconds, whole(self.tokens.anew.second)),
            Measure::unjudged("token that is remembered", Unit::Nanoseconds, whole(self.tokens.remembered.second)),
            kept("ingest while many log in from one address", KEPT_IN_STORM, &one_address.throughput),
            kept("ingest while many log in from many addresses", KEPT_IN_STORM, &many_addresses.throughput),
            Measure::unjudged("passwords compared meanwhile", Unit::PerSecond, compared_per_s(many_addresses)),
        ];
        if let Some(held) = &self.held {
            let name = format!("resident memory for {keys} keys and {} workspaces", self.workspaces);
            measures.push(Measure::bounded(name, Unit::Kib, REGISTER_KIB, held.register_kib()));
        }
        let [empty_s, full_s] = self.ready_s;
        measures.push(Measure::unjudged("start with that register to ready", Unit::Microseconds, whole(full_s * 1e6)));
        measures.push(Measure::unjudged("start with an empty one", Unit::Microseconds, whole(empty_s * 1e6)));
        measures
    }
}

impl AuthReport {
    /// The measures whose bound is broken for certain.
    fn broken(&self) -> Vec<&'static str> {
        let Storms { one_address, many_addresses, .. } = &self.storm;
        let judged = [
            ("ingest in batches with a key", self.batches.throughput.surely_keeps_less(KEPT_WITH_KEY)),
            ("single events with a key", self.singles.throughput.surely_keeps_less(KEPT_WITH_KEY)),
            ("token that is not remembered", self.tokens.anew.surely_spends_more(TOKEN_SPENT)),
            ("ingest while many log in from one address", one_address.throughput.surely_keeps_less(KEPT_IN_STORM)),
            (
                "ingest while many log in from many addresses",
                many_addresses.throughput.surely_keeps_less(KEPT_IN_STORM),
            ),
            ("resident memory", self.held.is_some_and(|held| held.register_kib() > REGISTER_KIB)),
        ];
        judged.into_iter().filter_map(|(measure, is_broken)| is_broken.then_some(measure)).collect()
    }

    /// Refuses a report with a broken bound.
    ///
    /// # Errors
    /// When a bound is broken; the message names each such measure.
    pub(super) fn conclude(&self) -> anyhow::Result<()> {
        let broken = self.broken();
        ensure!(broken.is_empty(), "bounds are broken: {}", broken.join("; "));
        Ok(())
    }
}

fn compared_per_s(UnderStorm { answers: Answers { checked, seconds, .. }, .. }: &UnderStorm) -> u64 {
    whole(*seconds * 1e3)
        .checked_div(1_000)
        .filter(|seconds| *seconds > 0)
        .map_or(*checked, |seconds| checked / seconds)
}

/// The whole number in a value that is not negative.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the values are times, shown rounded")]
fn whole(value: f64) -> u64 {
    value as u64
}

impl fmt::Display for AuthReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { keys, workspaces, presented, tokens, password, batches, singles, storm, .. } = self;
        writeln!(f, "\nregister    {keys} keys, {workspaces} workspaces; {presented} keys of one presented in turns")?;
        for (name, KeyLoad { throughput, processor }) in [("batches", batches), ("singles", singles)] {
            let Compared { first, second, .. } = throughput;
            writeln!(f, "{name:<11} {first:.0} events/s without a key, {second:.0} with one: {throughput}")?;
            if let Some(processor) = processor {
                let Compared { first, second, .. } = processor;
                writeln!(f, "            {first:.2} us of the server an event, {second:.2} with a key: {processor}")?;
            }
        }
        let Tokens { anew, remembered } = tokens;
        writeln!(f, "tokens      bare {:.0} ns, anew {:.0} ns: {anew}", anew.first, anew.second)?;
        writeln!(f, "            remembered {:.0} ns", remembered.second)?;
        writeln!(f, "passwords   {}: {:.1} ms each, one at a time", password.parameters, password.each_ms)?;
        for (name, UnderStorm { throughput, answers }) in
            [("one address", &storm.one_address), ("many", &storm.many_addresses)]
        {
            let Compared { first, second, .. } = throughput;
            let Answers { checked, throttled, busy, seconds } = answers;
            writeln!(
                f,
                "{name:<11} {first:.0} events/s in peace, {second:.0} while {} log in: {throughput}",
                storm.clients
            )?;
            writeln!(f, "            compared {checked}, 429 {throttled}, 503 {busy} in {seconds:.1} s")?;
        }
        if let Some(Held { fresh_kib, used_kib, requests }) = &self.held {
            let [[a, b], [c, d]] = [fresh_kib, used_kib].map(|both| both.map(|kib| kib / 1_024));
            writeln!(f, "memory      fresh {a} and {b} MiB; after {requests} requests {c} and {d} MiB")?;
        }
        write!(f, "\n{}", table(&self.measures()))
    }
}
