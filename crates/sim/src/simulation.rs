//! Plays a story: performs its actions one by one on the living process, starts the next process when one
//! has ended, and in the end lets everything come to rest and checks it.

mod lifecycle;
mod requests;
mod work;
mod checks;

use std::fmt;

use domain::invariant::Invariant;
use domain::time::Timestamp;
use domain::window::WindowRule;
use ports::clock::Clock;
use ports::{ErrorKind, PortError};
use rand::SeedableRng;
use rand::rngs::StdRng;

use crate::action::Action;
use crate::client::Client;
use crate::history::History;
use crate::process::Process;
use crate::subject::Subject;
use crate::trace::{Tally, Trace};
use crate::truth::Truth;
use crate::violation::{Violation, hold};
use crate::world::World;

/// How processes end that do not end as they should.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// They are killed: what was written is there.
    Kill,
    /// The power goes: what was not synced may be lost or torn.
    PowerLoss,
    /// One or the other.
    Either,
}

/// What holds for a whole run.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    /// Decides what the story leaves open.
    pub seed: u64,
    /// How processes end.
    pub ending: Ending,
    /// Whether starts meet trouble of their own.
    pub troubled_starts: bool,
    /// How many days the subject keeps raw events; for ever, if none.
    pub retention_days: Option<u32>,
}

/// What came of a run that kept all promises.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// A hash of all that happened; equal for every run of one story.
    pub fingerprint: u64,
    /// Disk calls that the story took, without the checks at its end.
    pub steps: u64,
    /// How often things happened.
    pub tally: Tally,
}

/// A run that broke a promise.
#[derive(Debug)]
pub struct Broken {
    /// The promise.
    pub violation: Violation,
    /// What happened before, the last things last.
    pub trace: String,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n{}", self.violation, self.trace)
    }
}

/// Whether the process lives on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ProcessFate {
    Lives,
    Ends,
}

/// A run.
#[derive(Debug)]
pub struct Simulation<S: Subject> {
    rules: Rules,
    options: S::Options,
    dice: StdRng,
    world: World,
    process: Option<Process<S>>,
    client: Client,
    truth: Truth,
    history: History,
    /// Raw events before it may be gone.
    retention_floor: Timestamp,
    trace: Trace,
}

impl<S: Subject> Simulation<S> {
    /// Plays `story` in a new world, with the subject set up by `options`, and checks it to the end.
    ///
    /// # Errors
    /// [`Broken`] at the first promise that does not hold.
    pub async fn run(
        rules: Rules,
        options: S::Options,
        story: impl IntoIterator<Item = Action>,
    ) -> Result<Report, Broken> {
        let mut run = Self {
            rules,
            options,
            dice: StdRng::seed_from_u64(rules.seed),
            world: World::default(),
            process: None,
            client: Client::default(),
            truth: Truth::new(WindowRule::default()),
            history: History::default(),
            retention_floor: Timestamp::MIN,
            trace: Trace::default(),
        };
        match run.play(story).await {
            Ok(steps) => Ok(Report { fingerprint: run.trace.fingerprint(), steps, tally: run.trace.tally }),
            Err(violation) => Err(Broken { violation, trace: run.trace.tail() }),
        }
    }

    async fn play(&mut self, story: impl IntoIterator<Item = Action>) -> Result<u64, Violation> {
        for action in story {
            self.trace.note(format!("{:>5} {} {action:?}", self.world.disk.steps(), self.world.clock.now()));
            let fate = self.perform(action).await?;
            self.end_if_over(fate);
        }
        let steps = self.world.disk.steps();
        self.come_to_rest().await?;
        Ok(steps)
    }

    async fn perform(&mut self, action: Action) -> Result<ProcessFate, Violation> {
        match action {
            Action::Cause(trouble) => self.world.cause(trouble),
            Action::Heal => self.world.heal(),
            Action::Wait(time) => self.world.clock.advance(time),
            Action::SetBack(time) => {
                let micros = i64::try_from(time.as_micros()).unwrap_or_default();
                self.world.clock.set(self.world.clock.now().plus_micros(-micros));
            }
            Action::Kill => self.kill(),
            Action::PowerLoss => self.cut_power(),
            Action::Check => self.check().await?,
            Action::Restart => self.restart().await?,
            Action::Send(request) => return self.send(&request).await,
            Action::SendTogether(requests, trouble) => return self.send_together(&requests, trouble).await,
            Action::SendOverFailingSync(request) => return self.send_over_failing_sync(&request).await,
            Action::Retry => return self.retry().await,
            Action::Work(records) => return self.work(records).await,
            Action::Maintain => return self.maintain().await,
            Action::Flush => return self.flush().await,
            Action::Close => return self.plan_closing().await,
            Action::Read => return self.read().await,
        }
        Ok(ProcessFate::Lives)
    }

    /// Judges a failure. In a calm world there is no excuse for one; when trouble is over, only a
    /// process that has to end may still fail.
    fn failed(&mut self, what: &str, error: &PortError) -> Result<ProcessFate, Violation> {
        let why = chain(error);
        self.trace.note(format!("      {what}: {:?}: {why}", error.kind()));
        self.trace.tally.count("failure");
        let ends = matches!(error.kind(), ErrorKind::Poisoned | ErrorKind::Corrupt | ErrorKind::Conflict);
        let excused = if ends { !self.world.is_calm() } else { !self.world.is_healed() };
        hold(Invariant::SelfRecovery, excused, || format!("{what}, though all is well: {why}"))?;
        Ok(if ends { ProcessFate::Ends } else { ProcessFate::Lives })
    }
}

/// An error with its causes.
fn chain(error: &PortError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(why) = cause {
        text = format!("{text}: {why}");
        cause = why.source();
    }
    text
}
