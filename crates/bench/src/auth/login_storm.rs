//! Taking events while many log in, against taking them in peace: three kinds of runs in turns.

use std::time::Duration;

use anyhow::Context;
use serde::Serialize;
use tokio::time::sleep;

use super::key_load::{Kind, per_second, run};
use super::pairs::{Compared, Pairs};
use super::size::AuthSize;
use super::storm::{Answers, Attempts, RISE, Storm};
use crate::output::Output;
use crate::server::Server;

/// Rest before each run, in which passwords that still wait are compared.
const CALM: Duration = Duration::from_secs(1);
/// The kinds of runs.
const KINDS: [Option<Attempts>; 3] = [None, Some(Attempts::OneAddress), Some(Attempts::ManyAddresses)];

/// What was taken in peace and in a storm.
#[derive(Debug, Clone, Serialize)]
pub(super) struct UnderStorm {
    /// Events per second, durable and applied.
    pub(super) throughput: Compared,
    /// How the logins were answered.
    pub(super) answers: Answers,
}

/// Both storms.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Storms {
    /// How many clients log in at once.
    pub(super) clients: u16,
    /// From one address.
    pub(super) one_address: UnderStorm,
    /// From many addresses.
    pub(super) many_addresses: UnderStorm,
}

/// Takes turns between peace and both storms, half as often as pairs are measured.
pub(super) async fn measure(server: &Server, size: AuthSize, output: Output) -> anyhow::Result<Storms> {
    let mut pairs = [Pairs::default(), Pairs::default()];
    let mut answers = [Answers::default(), Answers::default()];
    let rounds = size.pairs.div_ceil(2);
    for round in 0..rounds {
        let mut found = [0.0; KINDS.len()];
        for turn in 0..KINDS.len() {
            // Each kind comes first, second and last in turns.
            let kind = (turn + usize::try_from(round)?) % KINDS.len();
            let (taken, answered) = under(server, size, KINDS[kind]).await?;
            found[kind] = taken;
            if let Some(sum) = kind.checked_sub(1).and_then(|storm| answers.get_mut(storm)) {
                sum.add(answered);
            }
        }
        let [peace, one, many] = found;
        pairs[0].add(peace, one);
        pairs[1].add(peace, many);
        output.line(format_args!("login storm: round {} of {rounds}", round + 1))?;
    }
    let under = |pairs: &Pairs, answers| {
        let throughput = pairs.compared().context("nothing was taken")?;
        anyhow::Ok(UnderStorm { throughput, answers })
    };
    let [one_address, many_addresses] = [under(&pairs[0], answers[0])?, under(&pairs[1], answers[1])?];
    Ok(Storms { clients: size.clients, one_address, many_addresses })
}

/// A run of batches in a storm or in peace: events per second, and how the logins were answered.
async fn under(server: &Server, size: AuthSize, attempts: Option<Attempts>) -> anyhow::Result<(f64, Answers)> {
    let plan = Kind::Batches.plan(size.run);
    sleep(CALM).await;
    let Some(attempts) = attempts else {
        return Ok((per_second(&run(server, &plan).await?), Answers::default()));
    };
    let storm = Storm::start(server.target(), size.clients, attempts);
    sleep(RISE).await;
    let report = run(server, &plan).await;
    let answers = storm.stop().await?;
    Ok((per_second(&report?), answers))
}
