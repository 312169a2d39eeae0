//! What the worker, the ledger's threads and the closer do. The worker's attempts and the closings are
//! the product's own steps; here they are taken one at a time, and looked at.

use domain::invariant::Invariant;
use domain::position::Seq;
use domain::time::MICROS_PER_DAY;
use futures::FutureExt;
use pipeline::applying::{ApplyObserver, Attempt};
use ports::PortError;
use ports::clock::Clock;
use ports::journal::{Delivery, OrderedJournal};
use ports::ledger::Applied;

use super::{ProcessFate, Simulation};
use crate::process::Process;
use crate::subject::Subject;
use crate::trace::Tally;
use crate::truth::Truth;
use crate::violation::{Violation, hold};

impl<S: Subject> Simulation<S> {
    /// One round of the worker: next → apply → ack → trim, with at most `records` applied.
    pub(super) async fn work(&mut self, records: usize) -> Result<ProcessFate, Violation> {
        if self.receive().await? == ProcessFate::Ends {
            return Ok(ProcessFate::Ends);
        }
        let Some(process) = &mut self.process else { return Ok(ProcessFate::Lives) };
        process.take_up(records);
        let Process { subject, applier, .. } = process;
        let (journal, ledger) = (subject.journal(), subject.ledger());
        let (before, cursor) = (ledger.applied(), ledger.cursor());
        let (truth, tally) = (&mut self.truth, &mut self.trace.tally);
        let mut watcher = Watcher { journal, truth, tally, before, broken: None };
        let attempt = applier.attempt(journal, ledger, &mut watcher).await;
        let Watcher { before, broken, .. } = watcher;
        broken.map_or(Ok(()), Err)?;
        self.truth.cursor_is(ledger.cursor())?;
        if ledger.cursor() > cursor {
            self.trace.tally.count("flush");
        }
        let trimmed = journal.trim(ledger.cursor()).await;
        self.trace.note(format!("      applied {before}, cursor {}", ledger.cursor()));
        if let Err(error) = trimmed {
            self.failed("trim", &error)?;
        }
        match attempt {
            Err(error) | Ok(Attempt::Retry { error, .. }) => self.failed("apply", &error),
            Ok(Attempt::Done) => self.close_if_due().await,
        }
    }

    /// Gets the next records if none are in hand.
    async fn receive(&mut self) -> Result<ProcessFate, Violation> {
        let process = self.living().await?;
        if !process.inbox.is_empty() || !process.applier.is_empty() {
            return Ok(ProcessFate::Lives);
        }
        let (idle, next) = (process.is_idle(), process.subject.journal().next().now_or_never());
        match next {
            None => {
                hold(Invariant::SelfRecovery, idle, || "the journal withholds durable records".to_owned())?;
            }
            Some(Err(error)) => return self.failed("next", &error),
            Some(Ok(deliveries)) => {
                for delivery in &deliveries {
                    let seq = self.living().await?.subject.journal().seq(delivery.id);
                    self.truth.handed_out(seq, delivery, &self.client)?;
                }
                self.living().await?.inbox.extend(deliveries);
            }
        }
        Ok(ProcessFate::Lives)
    }

    pub(super) async fn maintain(&mut self) -> Result<ProcessFate, Violation> {
        if let Some(days) = self.rules.retention_days {
            let kept_since = self.world.clock.now().plus_micros(-i64::from(days) * MICROS_PER_DAY);
            self.retention_floor = self.retention_floor.max(kept_since);
        }
        let subject = &self.living().await?.subject;
        let segments = subject.ledger().stats().segments;
        let done = subject.maintain().await;
        if subject.ledger().stats().segments < segments {
            self.trace.tally.count("merge");
        }
        self.durable_now("maintain", done)
    }

    pub(super) async fn flush(&mut self) -> Result<ProcessFate, Violation> {
        let flushed = self.living().await?.subject.ledger().flush().await;
        self.durable_now("flush", flushed.map(|_| ()))
    }

    fn durable_now(&mut self, what: &str, done: Result<(), PortError>) -> Result<ProcessFate, Violation> {
        if let Some(process) = &self.process {
            self.truth.cursor_is(process.subject.ledger().cursor())?;
        }
        done.map_or_else(|error| self.failed(what, &error), |()| Ok(ProcessFate::Lives))
    }

    pub(super) async fn plan_closing(&mut self) -> Result<ProcessFate, Violation> {
        let now = self.world.clock.now();
        self.living().await?.plan_closing(now);
        self.close_if_due().await
    }

    async fn close_if_due(&mut self) -> Result<ProcessFate, Violation> {
        let Some(process) = &mut self.process else { return Ok(ProcessFate::Lives) };
        let ledger = process.subject.ledger();
        let Some(low) = process.closing.due(ledger.applied()) else { return Ok(ProcessFate::Lives) };
        let closed = ledger.close_through(low).await;
        process.closing.ended(closed.as_ref().err().map(PortError::kind));
        self.truth.closed(low, &closed).await;
        match closed {
            Ok(()) => {
                self.trace.tally.count("closing");
                self.trace.note(format!("      closed through {low}"));
                Ok(ProcessFate::Lives)
            }
            // The closer tries again; the worker will notice if only a restart helps.
            Err(error) => self.failed("close", &error).map(|_| ProcessFate::Lives),
        }
    }
}

/// Holds each record that the worker has applied against the oracle, before it is acknowledged.
struct Watcher<'p> {
    journal: &'p dyn OrderedJournal,
    truth: &'p mut Truth,
    tally: &'p mut Tally,
    /// The record that was applied before.
    before: Seq,
    /// The first promise that was not kept.
    broken: Option<Violation>,
}

impl ApplyObserver for Watcher<'_> {
    async fn applied(&mut self, deliveries: &[Delivery], applied: &[Applied]) {
        for (delivery, applied) in deliveries.iter().zip(applied) {
            let seq = self.journal.seq(delivery.id);
            let kept = self.truth.applied(self.before, seq, delivery, applied).await;
            self.broken = self.broken.take().or(kept.err());
            self.tally.count("applied record");
            self.before = seq;
        }
    }

    /// Every record that clients send here can be applied.
    async fn dead_lettered(&mut self, delivery: &Delivery, reason: &str) {
        let seq = self.journal.seq(delivery.id);
        let what = format!("record {seq} became a dead letter: {reason}");
        let lost = Violation::of(Invariant::NoAcknowledgedLoss, what);
        self.broken = self.broken.take().or(Some(lost));
        self.before = seq;
    }
}
