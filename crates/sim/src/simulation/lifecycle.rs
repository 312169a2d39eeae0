//! How processes begin and end.

use domain::invariant::Invariant;
use rand::RngExt;
use vfs::testing::{EIO, Fault};

use super::{Ending, ProcessFate, Simulation};
use crate::process::Process;
use crate::subject::Subject;
use crate::violation::{Violation, hold};
use crate::world::Trouble;

/// Starts that may fail in a row before trouble ends.
const FAILED_STARTS_MAX: u32 = 4;
/// Disk calls of a start within which its own trouble strikes.
const START_STEPS: u64 = 80;

impl<S: Subject> Simulation<S> {
    /// The living process; starts one if there is none, however often that takes.
    pub(super) async fn living(&mut self) -> Result<&mut Process<S>, Violation> {
        let mut failures = 0;
        while self.process.is_none() {
            if failures == FAILED_STARTS_MAX {
                self.world.heal();
                self.kill();
            } else if self.rules.troubled_starts && self.dice.random_bool(0.25) {
                let fault = if self.dice.random_bool(0.7) { Fault::Crash } else { Fault::Error(EIO) };
                self.world.cause(Trouble::Step { after: self.dice.random_range(0..START_STEPS), fault });
            }
            failures += 1;
            self.start().await?;
        }
        // The loop has ended because there is one.
        self.process.as_mut().ok_or_else(|| Violation::of(Invariant::SelfRecovery, "no process"))
    }

    async fn start(&mut self) -> Result<(), Violation> {
        match S::open(&self.world, &self.options).await {
            Ok(subject) => {
                let (applied, durable) = (subject.ledger().applied(), subject.journal().last_durable());
                self.trace.note(format!("      started: applied {applied}, durable {durable}"));
                self.truth.reopened(subject.ledger(), durable).await?;
                self.process = Some(Process::begin(subject));
            }
            Err(error) => {
                self.trace.tally.count("failed start");
                self.failed("start", &error)?;
                self.end();
            }
        }
        Ok(())
    }

    /// Ends the process if it has to end, or has already with its machine.
    pub(super) fn end_if_over(&mut self, fate: ProcessFate) {
        if fate == ProcessFate::Ends || self.world.disk.is_down() {
            self.end();
        }
    }

    fn end(&mut self) {
        let power_loss = match self.rules.ending {
            Ending::Kill => false,
            Ending::PowerLoss => true,
            Ending::Either => self.dice.random_bool(0.6),
        };
        if power_loss { self.cut_power() } else { self.kill() }
    }

    pub(super) fn kill(&mut self) {
        self.trace.note("      killed");
        self.trace.tally.count("kill");
        self.world.kill();
        self.process = None;
    }

    pub(super) fn cut_power(&mut self) {
        self.trace.note("      power lost");
        self.trace.tally.count("power loss");
        self.world.cut_power(self.dice.random());
        self.process = None;
    }

    /// Ends the process as it should end. If that went well, nothing is left to replay.
    pub(super) async fn restart(&mut self) -> Result<(), Violation> {
        let orderly = self.shut_down().await?;
        self.trace.note(format!("      stopped, orderly: {orderly}"));
        self.world.kill();
        self.process = None;
        if orderly {
            self.trace.tally.count("orderly restart");
            let process = self.living().await?;
            hold(Invariant::SelfRecovery, process.is_ready(), || "an orderly end left work for the start".to_owned())?;
        }
        Ok(())
    }

    /// Whether everything is durable in the ledger.
    async fn shut_down(&mut self) -> Result<bool, Violation> {
        self.living().await?.subject.journal().close().await;
        loop {
            let process = self.living().await?;
            let (idle, applied) = (process.is_idle(), process.subject.ledger().applied());
            let fate = if idle { self.flush().await? } else { self.work(usize::MAX).await? };
            let subject = &self.living().await?.subject;
            if idle || fate == ProcessFate::Ends || subject.ledger().applied() == applied {
                return Ok(subject.ledger().cursor() == subject.journal().last_durable());
            }
        }
    }
}
