//! What readers see, and the moments at which everything is held against the promises.

use domain::event::EventId;
use domain::invariant::Invariant;
use ports::PortError;
use ports::clock::Clock;
use ports::testing::ledger::records::scope;
use rand::RngExt;

use super::{ProcessFate, Simulation};
use crate::answers::{self, Answers, same};
use crate::client::TENANTS;
use crate::process::Process;
use crate::subject::Subject;
use crate::violation::{Violation, hold};

/// Rounds after which everything that can be applied is.
const ROUNDS_MAX: u32 = 1_000;

impl<S: Subject> Simulation<S> {
    /// A reader looks at all windows. In trouble it may get an error, but never a wrong answer.
    pub(super) async fn read(&mut self) -> Result<ProcessFate, Violation> {
        if !self.living().await?.is_ready() {
            return Ok(ProcessFate::Lives);
        }
        for tenant in TENANTS {
            let Some(process) = &self.process else { return Ok(ProcessFate::Lives) };
            let scope = scope(tenant);
            let windows = match answers::windows(process.subject.reports(), &scope).await {
                Ok(windows) => windows,
                // A reader's failure ends no process.
                Err(error) => return self.failed("read", &error).map(|_| ProcessFate::Lives),
            };
            self.history.observe(tenant, &windows)?;
            let expected = answers::windows(self.truth.oracle(), &scope).await.map_err(|why| unanswered(&why))?;
            same("window", &windows, &expected)?;
        }
        self.trace.tally.count("read");
        Ok(ProcessFate::Lives)
    }

    /// Ends all trouble, lets the worker catch up, and checks everything.
    pub(super) async fn check(&mut self) -> Result<(), Violation> {
        self.catch_up().await?;
        let now = self.world.clock.now();
        for (index, tenant) in TENANTS.into_iter().enumerate() {
            let (scope, ids, keys) = (scope(tenant), self.client.ids(index), self.client.keys(index));
            let Some(Process { subject, .. }) = &self.process else { continue };
            let (ledger, reports, analytics) = (subject.ledger(), subject.reports(), subject.analytics());
            let found = Answers::of(ledger, reports, analytics, &scope, now, (&ids, &keys)).await;
            let found = found.map_err(|why| unanswered(&why))?;
            let oracle = self.truth.oracle();
            let expected = Answers::of(oracle, oracle, oracle, &scope, now, (&ids, &keys)).await;
            let expected = expected.map_err(|why| unanswered(&why))?;
            self.history.observe(tenant, &found.windows)?;
            self.client.check(index, &ids, &found.seen, found.calls())?;
            found.check(&expected, self.retention_floor)?;
        }
        self.repeat_answered().await?;
        self.trace.tally.count("check");
        if self.world.is_calm() && self.dice.random_bool(0.3) { self.audit().await } else { Ok(()) }
    }

    /// Every answered request with a key, sent again, is found to be a repetition of which nothing is taken;
    /// or nothing of it was counted, because all of its events stand in other records.
    async fn repeat_answered(&self) -> Result<(), Violation> {
        let Some(Process { subject, .. }) = &self.process else { return Ok(()) };
        let ledger = subject.ledger();
        for letter in self.client.answered_with_key() {
            let ids: Vec<_> = letter.ids().into_iter().map(EventId::native).chain(letter.request_id()).collect();
            let mut found = ledger.seen_exactly(&letter.scope(), &ids).await.map_err(|why| unanswered(&why))?;
            let (request, lost) = (found.pop().flatten(), found.iter().any(Option::is_none));
            hold(Invariant::NoAcknowledgedLoss, !lost, || format!("{letter:?} has lost an event: {found:?}"))?;
            let own = |seq| found.iter().flatten().any(|event| event.seq == seq);
            hold(Invariant::NoPhantom, request.is_none_or(|request| own(request.seq)), || {
                format!("{letter:?} is known by {request:?}, which counted none of its events: {found:?}")
            })?;
        }
        Ok(())
    }

    /// The ledger's own audit finds nothing.
    async fn audit(&mut self) -> Result<(), Violation> {
        let differences = self.living().await?.subject.verify().await.map_err(|why| unanswered(&why))?;
        hold(Invariant::OneTruth, differences.is_empty(), || differences.join("; "))
    }

    /// A process that has seen trouble either ends or works itself out of it.
    async fn catch_up(&mut self) -> Result<(), Violation> {
        let troubled_starts = std::mem::replace(&mut self.rules.troubled_starts, false);
        self.world.heal();
        if !self.world.is_healed() || (!self.world.is_calm() && self.dice.random()) {
            self.kill();
        }
        let mut rounds = 0;
        while !self.living().await?.is_idle() {
            let fate = self.work(usize::MAX).await?;
            self.end_if_over(fate);
            rounds += 1;
            hold(Invariant::SelfRecovery, rounds < ROUNDS_MAX, || "the worker never catches up".to_owned())?;
        }
        self.rules.troubled_starts = troubled_starts;
        self.living().await?;
        let Some(Process { subject, .. }) = &self.process else { return Ok(()) };
        self.truth.caught_up(subject.ledger().applied(), subject.journal()).await
    }

    /// After the story: every client gets its answer, an orderly end leaves nothing to replay, and
    /// everything is checked once more.
    pub(super) async fn come_to_rest(&mut self) -> Result<(), Violation> {
        self.rules.troubled_starts = false;
        self.trace.note("      the story ends");
        self.check().await?;
        let mut rounds = 0;
        while self.client.is_waiting() {
            let fate = self.retry().await?;
            self.end_if_over(fate);
            self.catch_up().await?;
            rounds += 1;
            hold(Invariant::SelfRecovery, rounds < ROUNDS_MAX, || "a client never gets an answer".to_owned())?;
        }
        self.client.check_answered()?;
        self.restart().await?;
        self.check().await?;
        self.audit().await
    }
}

fn unanswered(error: &PortError) -> Violation {
    Violation::of(Invariant::SelfRecovery, format!("no answer, though all is well: {}", super::chain(error)))
}
