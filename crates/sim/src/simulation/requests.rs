//! The request path: from a request to what its client is told.

use std::future::{Future, ready};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use domain::admit::Admitted;
use domain::invariant::Invariant;
use domain::position::RecordId;
use pipeline::inflight::{Appending, Stamp};
use ports::clock::Clock;
use ports::journal::{JournalHealth, OrderedJournal};
use ports::{ErrorKind, PortError};
use vfs::testing::{Call, EIO, Fault};

use super::{ProcessFate, Simulation};
use crate::action::Request;
use crate::client::Letter;
use crate::subject::Subject;
use crate::violation::{Violation, hold};
use crate::world::Trouble;

/// Time between two requests that are sent at once.
const TOGETHER: Duration = Duration::from_millis(700);

/// A request that is to go to the journal.
#[derive(Debug)]
struct AdmittedLetter {
    letter: Letter,
    admitted: Admitted,
    stamp: Stamp,
}

/// A request on its way through the journal.
#[derive(Debug)]
struct SentLetter {
    letter: Letter,
    admitted: Admitted,
    appending: Appending,
}

impl AdmittedLetter {
    /// It goes to the journal now.
    fn send(self) -> SentLetter {
        let Self { letter, admitted, stamp } = self;
        SentLetter { letter, admitted, appending: stamp.begin_append() }
    }
}

impl<S: Subject> Simulation<S> {
    pub(super) async fn send(&mut self, request: &Request) -> Result<ProcessFate, Violation> {
        let letter = self.client.write(request, self.world.clock.now());
        self.deliver(letter, request.ask_first).await
    }

    pub(super) async fn retry(&mut self) -> Result<ProcessFate, Violation> {
        match self.client.take_unanswered() {
            Some(letter) => self.deliver(letter, true).await,
            None => Ok(ProcessFate::Lives),
        }
    }

    async fn deliver(&mut self, letter: Letter, ask_first: bool) -> Result<ProcessFate, Violation> {
        let Some(taken) = self.take(letter, ask_first).await? else { return Ok(ProcessFate::Lives) };
        let sent = taken.send();
        let result = self.living().await?.subject.journal().append(&sent.admitted).await;
        self.answer(sent, result).await
    }

    /// Stamps and admits; `None` when the request is known by its key or every event is counted already, which
    /// is the answer, or when the ledger cannot tell.
    async fn take(&mut self, letter: Letter, ask_first: bool) -> Result<Option<AdmittedLetter>, Violation> {
        let now = self.world.clock.now();
        let process = self.living().await?;
        let stamp = process.in_flight.enter(now);
        let ledger = process.subject.ledger();
        let known = match letter.request_id().filter(|_| ask_first) {
            Some(key) => ledger.seen_exactly(&letter.scope(), &[key]).await.map(|found| found[0].is_some()),
            None => Ok(false),
        };
        let seen = if ask_first && matches!(known, Ok(false)) {
            ledger.seen(&letter.scope(), &ports::testing::ledger::records::ids(&letter.ids())).await
        } else {
            Vec::new()
        };
        match known {
            Ok(false) => {}
            Ok(true) => {
                self.trace.tally.count("repeated request");
                self.client.answered(&letter);
                return Ok(None);
            }
            // The request comes again; its failure ends no process.
            Err(error) => {
                self.client.refused(letter);
                return self.failed("look up a key", &error).map(|_| None);
            }
        }
        let Some(admitted) = letter.admit(stamp.times(), &seen) else {
            self.client.answered(&letter);
            return Ok(None);
        };
        self.client.attempts(&letter, &admitted);
        Ok(Some(AdmittedLetter { letter, admitted, stamp }))
    }

    async fn answer(
        &mut self,
        sent: SentLetter,
        result: Result<RecordId, PortError>,
    ) -> Result<ProcessFate, Violation> {
        let SentLetter { letter, admitted, appending } = sent;
        appending.answered(result.as_ref().err().map(PortError::kind));
        let error = match result {
            Ok(id) => {
                let seq = self.living().await?.subject.journal().seq(id);
                self.trace.note(format!("      acknowledged as {seq}"));
                self.trace.tally.count("acknowledged request");
                self.client.answered(&letter);
                self.truth.acknowledged(seq, admitted.payload())?;
                return Ok(ProcessFate::Lives);
            }
            Err(error) => error,
        };
        self.client.refused(letter);
        match error.kind() {
            ErrorKind::Overloaded => {
                self.trace.note("      overloaded");
                self.trace.tally.count("overload");
                Ok(ProcessFate::Lives)
            }
            ErrorKind::Poisoned => {
                self.trace.tally.count("poisoned request");
                self.check_poisoned(&admitted).await?;
                self.failed("append", &error)
            }
            _ => {
                self.trace.tally.count("refused request");
                self.failed("append", &error)
            }
        }
    }

    /// A poisoned journal says so, and takes nothing more.
    async fn check_poisoned(&mut self, admitted: &Admitted) -> Result<(), Violation> {
        let Some(process) = &self.process else { return Ok(()) };
        let journal = process.subject.journal();
        let health = journal.health().await;
        let poisoned = matches!(health, JournalHealth::Poisoned(_));
        hold(Invariant::HonestAck, poisoned, || format!("an append was poisoned, the journal is {health:?}"))?;
        let again = journal.append(admitted).await;
        let refused = again.as_ref().is_err_and(|error| error.kind() == ErrorKind::Poisoned);
        hold(Invariant::HonestAck, refused, || format!("a poisoned journal answered {again:?}"))
    }

    /// I8 head on: the sync fails, so the answer must not be `accepted`.
    pub(super) async fn send_over_failing_sync(&mut self, request: &Request) -> Result<ProcessFate, Violation> {
        let letter = self.client.write(request, self.world.clock.now());
        let Some(taken) = self.take(letter, false).await? else { return Ok(ProcessFate::Lives) };
        let sent = taken.send();
        self.world.heal();
        self.world.cause(Trouble::Next(Call::Sync, Fault::Error(EIO)));
        let result = self.living().await?.subject.journal().append(&sent.admitted).await;
        self.world.heal();
        let refusal = result.as_ref().err().map(PortError::kind);
        let honest = matches!(refusal, Some(ErrorKind::Poisoned | ErrorKind::Overloaded));
        hold(Invariant::HonestAck, honest, || format!("the sync failed and the append answered {result:?}"))?;
        self.answer(sent, result).await
    }

    /// The group forms while the first append waits for its sync. If that might fail before, the requests
    /// come one after the other instead.
    pub(super) async fn send_together(
        &mut self,
        requests: &[Request],
        trouble: Option<Trouble>,
    ) -> Result<ProcessFate, Violation> {
        if self.world.may_refuse() {
            return self.send_in_turn(requests).await;
        }
        let mut taken = Vec::new();
        for request in requests {
            let letter = self.client.write(request, self.world.clock.now());
            taken.extend(self.take(letter, request.ask_first).await?);
            self.world.clock.advance(TOGETHER);
        }
        let sent: Vec<SentLetter> = taken.into_iter().rev().map(AdmittedLetter::send).collect();
        let results = self.append_together(&sent, trouble).await?;
        let mut fate = ProcessFate::Lives;
        for (sent, result) in sent.into_iter().zip(results) {
            if self.answer(sent, result).await? == ProcessFate::Ends {
                fate = ProcessFate::Ends;
            }
        }
        Ok(fate)
    }

    async fn send_in_turn(&mut self, requests: &[Request]) -> Result<ProcessFate, Violation> {
        for request in requests {
            let fate = self.send(request).await?;
            self.end_if_over(fate);
            self.world.clock.advance(TOGETHER);
        }
        Ok(ProcessFate::Lives)
    }

    async fn append_together(
        &mut self,
        sent: &[SentLetter],
        trouble: Option<Trouble>,
    ) -> Result<Vec<Result<RecordId, PortError>>, Violation> {
        self.living().await?;
        let (Some(process), Some((first, rest))) = (&self.process, sent.split_first()) else {
            return Ok(Vec::new());
        };
        let journal = process.subject.journal();
        let hold = self.world.disk.hold_syncs();
        let first = Queued::append(journal, first);
        if first.is_waiting() {
            hold.reached();
        }
        if let Some(trouble) = trouble {
            self.world.cause(trouble);
        }
        let rest: Vec<_> = rest.iter().map(|sent| Queued::append(journal, sent)).collect();
        drop(hold);
        let mut results = vec![first.answer().await];
        for queued in rest {
            results.push(queued.answer().await);
        }
        Ok(results)
    }
}

type Answer<'a> = Pin<Box<dyn Future<Output = Result<RecordId, PortError>> + Send + 'a>>;

/// An append that has been queued, or answered at once.
enum Queued<'a> {
    Waiting(Answer<'a>),
    Answered(Result<RecordId, PortError>),
}

impl<'a> Queued<'a> {
    /// Polling an append once queues it.
    fn append(journal: &'a dyn OrderedJournal, sent: &'a SentLetter) -> Self {
        let mut append = journal.append(&sent.admitted);
        match append.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Pending => Self::Waiting(append),
            Poll::Ready(answer) => Self::Answered(answer),
        }
    }

    fn is_waiting(&self) -> bool {
        matches!(self, Self::Waiting(_))
    }

    async fn answer(self) -> Result<RecordId, PortError> {
        match self {
            Self::Waiting(append) => append.await,
            Self::Answered(answer) => ready(answer).await,
        }
    }
}
