//! What the worker, the ledger's threads and the closer do.

use domain::invariant::Invariant;
use domain::time::MICROS_PER_DAY;
use futures::FutureExt;
use ports::PortError;
use ports::clock::Clock;
use ports::journal::Entry;
use ports::ledger::Batch;

use super::{Fate, Simulation};
use crate::subject::Subject;
use crate::violation::{Violation, hold};

impl<S: Subject> Simulation<S> {
    /// One round of the worker: next → apply → ack → trim, with at most `records` applied.
    pub(super) async fn work(&mut self, records: usize) -> Result<Fate, Violation> {
        if self.receive().await? == Fate::Ends {
            return Ok(Fate::Ends);
        }
        let Some(process) = &mut self.process else { return Ok(Fate::Lives) };
        let (journal, ledger) = (process.subject.journal(), process.subject.ledger());
        let entries: Vec<Entry> = process.inbox.iter().take(records).cloned().collect();
        let (mut before, cursor) = (ledger.applied(), ledger.cursor());
        let Batch { applied, failed } = ledger.apply(&entries).await;
        for (entry, applied) in entries.iter().zip(&applied) {
            self.truth.applied(before, entry, applied).await?;
            self.trace.tally.count("applied record");
            before = entry.seq;
        }
        process.inbox.drain(..applied.len());
        journal.ack(before);
        self.truth.cursor_is(ledger.cursor())?;
        if ledger.cursor() > cursor {
            self.trace.tally.count("flush");
        }
        let trimmed = journal.trim(ledger.cursor()).await;
        self.trace.note(format!("      applied {before}, cursor {}", ledger.cursor()));
        if let Err(error) = trimmed {
            self.failed("trim", &error)?;
        }
        match failed {
            Some(error) => self.failed("apply", &error),
            None => self.close_if_due().await,
        }
    }

    /// Gets the next records if none are in hand.
    async fn receive(&mut self) -> Result<Fate, Violation> {
        let process = self.living().await?;
        if !process.inbox.is_empty() {
            return Ok(Fate::Lives);
        }
        let (idle, next) = (process.is_idle(), process.subject.journal().next().now_or_never());
        match next {
            None => {
                hold(Invariant::SelfRecovery, idle, || "the journal withholds durable records".to_owned())?;
            }
            Some(Err(error)) => return self.failed("next", &error),
            Some(Ok(entries)) => {
                for entry in &entries {
                    self.truth.handed_out(entry, &self.client)?;
                }
                self.living().await?.inbox.extend(entries);
            }
        }
        Ok(Fate::Lives)
    }

    pub(super) async fn maintain(&mut self) -> Result<Fate, Violation> {
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

    pub(super) async fn flush(&mut self) -> Result<Fate, Violation> {
        let flushed = self.living().await?.subject.ledger().flush().await;
        self.durable_now("flush", flushed.map(|_| ()))
    }

    fn durable_now(&mut self, what: &str, done: Result<(), PortError>) -> Result<Fate, Violation> {
        if let Some(process) = &self.process {
            self.truth.cursor_is(process.subject.ledger().cursor())?;
        }
        done.map_or_else(|error| self.failed(what, &error), |()| Ok(Fate::Lives))
    }

    pub(super) async fn plan_closing(&mut self) -> Result<Fate, Violation> {
        let now = self.world.clock.now();
        self.living().await?.plan_closing(now);
        self.close_if_due().await
    }

    async fn close_if_due(&mut self) -> Result<Fate, Violation> {
        let Some(process) = &mut self.process else { return Ok(Fate::Lives) };
        let Some(low) = process.due_closing() else { return Ok(Fate::Lives) };
        let closed = process.subject.ledger().close_through(low).await;
        self.truth.closed(low, &closed).await;
        match closed {
            Ok(()) => {
                process.closing = None;
                self.trace.tally.count("closing");
                self.trace.note(format!("      closed through {low}"));
                Ok(Fate::Lives)
            }
            // The closer tries again; the worker will notice if only a restart helps.
            Err(error) => self.failed("close", &error).map(|_| Fate::Lives),
        }
    }
}
