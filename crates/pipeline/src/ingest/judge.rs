//! Decides on each event of a request: rejected, duplicate as far as known now, or to be journaled. Two
//! steps without IO, between which the ledger is asked what it has seen: [`check`] and [`decide`].

use std::borrow::Cow;
use std::collections::HashMap;

use domain::admit::{Admission, Admitted, Checked};
use domain::event::EventId;
use domain::limits::EVENT_ID_BYTES_MAX;
use domain::payload::{HashRule, PayloadHash};
use domain::rejection::{RejectCode, Rejection};
use domain::tenant::TenantScope;
use ports::ledger::{Ledger, Outcome, Sighting};
use wire::Item;

use super::answer::{EventResult, IngestAnswer, IngestError, NOT_TAKEN, PAYLOAD_MISMATCH, Status, WarningSum};
use super::encrypting::each;
use super::warning_sums::WarningSums;
use crate::names::CardinalityCheck;
use crate::quotas::{Reservation, Reserving, Taken};
use crate::stage::{Durable, Visible};
use crate::telemetry::{Metrics, Tally};

/// The verdict on each event of a request, in the order of the body. An `accepted` among them is
/// only meant until there is a [`Durable`] to answer with.
#[derive(Debug)]
pub(super) struct Verdicts {
    results: Vec<EventResult>,
    warnings: Vec<WarningSum>,
    /// Events that go over a soft quota.
    over_soft_quota: u64,
}

/// Checks every event against what the tenant may send; `names` holds its names to the cardinality limits, and
/// `new_id` makes an id for the event at an index of the body that has none. `examined` is shown each event that may be
/// taken.
///
/// # Errors
/// That of `examined`, at which the rest is not looked at.
pub(super) fn check<'c, 'n>(
    items: &'c [Item<'c>],
    admission: &Admission<'_>,
    names: impl FnOnce() -> CardinalityCheck<'n>,
    new_id: impl Fn(usize) -> String,
    mut examined: impl FnMut(&mut Checked<'c>) -> Result<(), IngestError>,
) -> Result<Vec<CheckedEvent<'c>>, IngestError> {
    let mut checks = Vec::with_capacity(items.len());
    each(items, |index, item| {
        let mut check = examine(item, admission, || new_id(index));
        let longer = check.as_ref().map_or(0, Checked::encryption_bytes);
        if let Ok(checked) = &mut check {
            examined(checked)?;
        }
        checks.push(check);
        Ok(longer)
    })?;
    // Locked only now: all requests of the tenant wait for them, and encrypting takes long.
    let mut names = names();
    for (check, item) in checks.iter_mut().zip(items) {
        let Ok(checked) = check else { continue };
        let admitted = admission.admit_names(checked, &mut names);
        names.decided(admitted.is_ok());
        if let Err(why) = admitted {
            *check = Err((sent_id(item), Cow::Owned(why)));
        }
    }
    Ok(checks)
}

/// Why an erasure refuses an event.
const REFUSED: &str = "its user or customer was erased and is not to come again";

/// Whether an erasure refuses each event, unless its id is known.
pub(super) fn refused_subjects(checks: &[CheckedEvent<'_>], ledger: &dyn Ledger, scope: &TenantScope) -> Vec<bool> {
    let is_refused = |check: &CheckedEvent<'_>| {
        let event = check.as_ref().ok().map(Checked::view);
        event.is_some_and(|event| ledger.refuses(scope, event.customer, event.user))
    };
    checks.iter().map(is_refused).collect()
}

/// The ids that the ledger is asked about: those of events that may be taken, in order; behind them, when the
/// ledger has ids of a release that knew `CloudEvent`s by their ids alone, those too.
pub(super) fn ids<'c>(taken: impl Iterator<Item = &'c Checked<'c>> + Clone, former_ids: bool) -> Vec<EventId<'c>> {
    let former = taken.clone().filter(|_| former_ids).filter_map(Checked::former_id);
    taken.map(Checked::event_id).chain(former).collect()
}

/// What was decided, for good.
pub(super) struct Decided {
    pub(super) verdicts: Verdicts,
    /// The record of the events to be journaled; `None` if there are none.
    pub(super) admitted: Option<Admitted>,
    /// What they reserve.
    pub(super) quota: Reservation,
}

/// What was decided on the events of one request, unless a refusal turns out to be of an event that counts.
pub(super) struct Decision<'c> {
    pub(super) verdicts: Verdicts,
    /// The record of those to be journaled; `None` if there are none.
    pub(super) admitted: Option<Admitted>,
    /// What they reserve.
    pub(super) taken: Taken,
    /// Those that an erasure refuses or that would go over a hard quota.
    pub(super) refused: Vec<&'c Checked<'c>>,
}

impl Decision<'_> {
    /// Counts what was decided.
    pub(super) fn count(&self, metrics: &Metrics) {
        // What was rejected for another reason has been counted when it was checked.
        let [erased, quota] = [RejectCode::Erased, RejectCode::QuotaExceeded].map(RejectCode::as_str);
        for result in &self.verdicts.results {
            match (result.status, result.code) {
                (Status::Duplicate | Status::Rejected, Some(code)) if code == erased => metrics.failed(code, 1),
                (Status::Rejected, Some(code)) if code == quota => metrics.failed(code, 1),
                (Status::Duplicate, code) => metrics.duplicate(code.is_some()),
                (Status::Accepted | Status::Rejected, _) => {}
            }
        }
        self.verdicts.warnings.iter().for_each(|sum| metrics.warned(sum.code, sum.count));
        metrics.over_soft_quota(self.verdicts.over_soft_quota);
    }
}

/// What an event is that may be taken.
enum Ruling {
    New,
    /// Counted before, or earlier in the request, with this payload.
    Known(PayloadHash),
    /// An erasure refuses it, or it would go over a quota.
    Refused(Rejection),
}

/// An event and its ruling, or why it may not be taken.
type Ruled<'c> = Result<(&'c Checked<'c>, Ruling), &'c (Option<Cow<'c, str>>, Cow<'c, Rejection>)>;

/// Rules on every event. What is known is a duplicate whatever erasures and quotas say; what is new is refused, as
/// `refused` says, or by `quota`, or else reserved there. Of an id that comes twice the first stands. Apart from the rest
/// of the decision, since `quota` keeps the other requests of the workspace waiting.
fn rule<'c>(
    checks: &'c [CheckedEvent<'c>],
    refused: &[bool],
    mut sightings: EarlierSightings,
    mut quota: Reserving<'_>,
) -> (Vec<Ruled<'c>>, Taken) {
    let mut firsts: HashMap<EventId<'_>, &Checked<'_>> = HashMap::with_capacity(checks.len());
    let rulings = checks.iter().zip(refused).map(|(checked, is_refused)| {
        let checked = checked.as_ref()?;
        let known = sightings.next_of(checked).map(|sighting| sighting.payload);
        let first = known.or_else(|| firsts.get(&checked.event_id()).map(|first| first.payload_hash()));
        if let Some(first) = first {
            return Ok((checked, Ruling::Known(first)));
        }
        if *is_refused {
            return Ok((checked, Ruling::Refused(Rejection::whole(RejectCode::Erased, REFUSED))));
        }
        if let Err(rejection) = quota.take(&checked.view(), &checked.event_id()) {
            return Ok((checked, Ruling::Refused(rejection)));
        }
        firsts.insert(checked.event_id(), checked);
        Ok((checked, Ruling::New))
    });
    (rulings.collect(), quota.finish())
}

/// Decides on every event. `refused` are the [`refused_subjects`], and `sightings` says which of the [`ids`] were counted
/// before.
pub(super) fn decide<'c>(
    checks: &'c [CheckedEvent<'c>],
    refused: &[bool],
    sightings: Vec<Option<Sighting>>,
    mut admission: Admission<'_>,
    quota: Reserving<'_>,
) -> Decision<'c> {
    let sightings = EarlierSightings::of(checks.iter().flatten().count(), sightings);
    let (rulings, taken) = rule(checks, refused, sightings, quota);
    let mut results = Vec::with_capacity(checks.len());
    let (mut warnings, mut refused) = (WarningSums::default(), Vec::new());
    for (index, ruled) in rulings.into_iter().enumerate() {
        let (checked, ruling) = match ruled {
            Ok(ruled) => ruled,
            Err((id, rejection)) => {
                results.push(rejected(id.as_deref(), rejection));
                continue;
            }
        };
        let mut result = EventResult::accepted(checked.shown_id());
        match ruling {
            Ruling::Known(first) if first.rule.is_erased() => result.turn_erased(),
            Ruling::Known(first) => result.turn_duplicate(first != checked.payload_hash_by(first.rule)),
            Ruling::New => admission.push(checked),
            Ruling::Refused(rejection) => {
                refused.push(checked);
                results.push(rejected(Some(checked.shown_id()), &rejection));
                continue;
            }
        }
        result.warnings = checked.warnings().iter().map(|warning| warning.code).collect();
        warnings.add(index, checked.warnings());
        results.push(result);
    }
    let verdicts = Verdicts { results, warnings: warnings.into_sums(), over_soft_quota: taken.over_soft() };
    Decision { verdicts, admitted: admission.finish(), taken, refused }
}

/// What the ledger says of the [`ids`], event by event.
pub(super) struct EarlierSightings {
    own: std::vec::IntoIter<Option<Sighting>>,
    former: std::vec::IntoIter<Option<Sighting>>,
}

impl EarlierSightings {
    /// The sightings of the ids of `count` events, and behind them of former ids.
    pub(super) fn of(count: usize, mut sightings: Vec<Option<Sighting>>) -> Self {
        let former = sightings.split_off(count.min(sightings.len()));
        Self { own: sightings.into_iter(), former: former.into_iter() }
    }

    /// The sighting of the next event. An earlier release that took a `CloudEvent` of this id took this one, if the
    /// payload was the same; with another payload it is another event.
    pub(super) fn next_of(&mut self, checked: &Checked<'_>) -> Option<Sighting> {
        let own = self.own.next().flatten();
        if checked.former_id().is_none() {
            return own;
        }
        let former = self.former.next().flatten().filter(|former| {
            let first = checked.payload_hash_by(HashRule::EncodedBody);
            first.rule == HashRule::EncodedBody && former.payload.is_of_former(first)
        });
        own.or(former)
    }
}

/// An event that may be taken, or why not and under which id.
pub(super) type CheckedEvent<'c> = Result<Checked<'c>, (Option<Cow<'c, str>>, Cow<'c, Rejection>)>;

fn examine<'c>(item: &'c Item<'c>, admission: &Admission<'_>, new_id: impl FnOnce() -> String) -> CheckedEvent<'c> {
    let candidate = match item {
        Ok(candidate) => candidate,
        Err((id, rejection)) => return Err((id.as_deref().map(Cow::Borrowed), Cow::Borrowed(rejection))),
    };
    admission.examine(candidate, new_id).map_err(|rejection| (sent_id(item), Cow::Owned(rejection)))
}

/// The id that the client wrote.
fn sent_id<'c>(item: &'c Item<'c>) -> Option<Cow<'c, str>> {
    let id = match item {
        Ok(candidate) => candidate.id.as_deref(),
        Err((id, _)) => id.as_deref(),
    };
    id.map(Cow::Borrowed)
}

/// Counts the events of a request, and those that are refused.
pub(super) fn count(checks: &[CheckedEvent<'_>], metrics: &Metrics) {
    let mut received = Tally::default();
    let mut rejected = 0;
    for checked in checks {
        match checked {
            Ok(checked) => received.add(checked.view().kind),
            Err((_, rejection)) => {
                rejected += 1;
                metrics.failed(rejection.code.as_str(), 1);
            }
        }
    }
    metrics.received(&received, rejected);
}

/// The id is given back unless it is longer than any id may be.
fn rejected(id: Option<&str>, rejection: &Rejection) -> EventResult {
    EventResult {
        event_id: id.filter(|id| id.len() <= EVENT_ID_BYTES_MAX).map(str::to_owned),
        status: Status::Rejected,
        code: Some(rejection.code.as_str()),
        field: rejection.field.clone(),
        message: Some(rejection.message.clone()),
        warnings: Vec::new(),
    }
}

impl EventResult {
    pub(super) fn accepted(id: &str) -> Self {
        Self {
            event_id: Some(id.to_owned()),
            status: Status::Accepted,
            code: None,
            field: None,
            message: None,
            warnings: Vec::new(),
        }
    }

    pub(super) fn duplicate(id: &str, mismatch: bool) -> Self {
        let mut result = Self::accepted(id);
        result.turn_duplicate(mismatch);
        result
    }

    /// An event that was counted and has been erased since.
    pub(super) fn erased(id: &str) -> Self {
        let mut result = Self::accepted(id);
        result.turn_erased();
        result
    }

    /// An event of a repeated request that the first one did not take: refused again, or not taken for a reason
    /// that no longer stands.
    pub(super) fn not_taken(checked: &CheckedEvent<'_>) -> Self {
        match checked {
            Err((id, rejection)) => rejected(id.as_deref(), rejection),
            Ok(checked) => Self {
                event_id: Some(checked.shown_id().to_owned()),
                status: Status::Rejected,
                code: Some(NOT_TAKEN),
                field: None,
                message: Some(
                    "the first request with this key did not take it, and a repetition takes nothing".to_owned(),
                ),
                warnings: Vec::new(),
            },
        }
    }

    /// What was counted under the id has been erased since.
    fn turn_erased(&mut self) {
        self.status = Status::Duplicate;
        self.code = Some(RejectCode::Erased.as_str());
        self.message = Some("the event counted under this id has been erased".to_owned());
    }

    /// An erasure refuses it.
    fn turn_refused(&mut self) {
        self.status = Status::Rejected;
        self.code = Some(RejectCode::Erased.as_str());
        self.message = Some(REFUSED.to_owned());
    }

    fn turn_duplicate(&mut self, mismatch: bool) {
        self.status = Status::Duplicate;
        if mismatch {
            self.code = Some(PAYLOAD_MISMATCH);
            self.message = Some("the event counted first under this id has another payload".to_owned());
        }
    }
}

impl Verdicts {
    /// The verdicts on a request that comes again.
    pub(super) const fn new(results: Vec<EventResult>, warnings: Vec<WarningSum>) -> Self {
        Self { results, warnings, over_soft_quota: 0 }
    }

    /// Replaces what was known when the request came in by what the ledger decided, unless that has been
    /// forgotten: then the verdicts stay as they are.
    pub(super) fn settle(&mut self, visible: &Visible) {
        let outcomes = match visible {
            Visible::PerEvent(outcomes) => outcomes,
            Visible::AllCounted | Visible::Forgotten => return,
        };
        let journaled = self.results.iter_mut().filter(|result| result.status == Status::Accepted);
        for (result, outcome) in journaled.zip(outcomes.iter()) {
            match outcome {
                Outcome::Fresh => {}
                Outcome::Duplicate => result.turn_duplicate(false),
                Outcome::Mismatch => result.turn_duplicate(true),
                Outcome::Erased => result.turn_erased(),
                Outcome::Refused => result.turn_refused(),
            }
        }
    }

    /// The answer when the events to be journaled are durable.
    pub(super) fn journaled(self, _proof: Durable, receipt: String, applied: bool) -> IngestAnswer {
        self.answer(Some(receipt), applied)
    }

    /// The answer when there was nothing to be journaled: every duplicate is visible already.
    pub(super) fn without_record(self, wait: bool) -> IngestAnswer {
        debug_assert!(self.results.iter().all(|result| result.status != Status::Accepted));
        self.answer(None, wait)
    }

    fn answer(self, receipt: Option<String>, applied: bool) -> IngestAnswer {
        let count = |status| self.results.iter().filter(|result| result.status == status).count() as u64;
        IngestAnswer {
            accepted: count(Status::Accepted),
            duplicates: count(Status::Duplicate),
            rejected: count(Status::Rejected),
            receipt,
            applied,
            results: self.results,
            warnings: self.warnings,
            over_soft_quota: self.over_soft_quota,
            quotas: None,
        }
    }
}
