//! The clients: what they sent, what they were told, and what follows from it. Knows nothing of how the
//! server keeps its promises.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;
use domain::admit::Admitted;
use domain::event::{EventId, IdScheme};
use domain::invariant::Invariant;
use domain::payload::PayloadHash;
use domain::record::{ReceiptTimes, RecordView};
use domain::tenant::TenantScope;
use domain::time::{MICROS_PER_SECOND, Timestamp};
use ports::ledger::Sighting;
use ports::testing::ledger::records::{EventSpec, admitted_at, at, event, request_key, scope};

use crate::action::{EventPlan, Request, Shape};
use crate::violation::{Violation, hold};

/// The tenants. One name begins with another, and all use the same event ids.
pub(crate) const TENANTS: [&str; 3] = ["acme", "acm", "zeta"];
/// The customers, without those who are none.
pub(crate) const CUSTOMERS: [&str; 3] = ["a", "a ", "ä"];

/// How many letters come to one with a key.
const KEYED_EVERY: u64 = 3;

/// An event as its client keeps it, to send it again.
#[derive(Debug, Clone)]
pub(crate) struct Sent {
    id: String,
    spec: EventSpec,
}

/// A request as its client keeps it until it is answered.
#[derive(Debug, Clone)]
pub(crate) struct Letter {
    pub(crate) tenant: usize,
    pub(crate) events: Vec<Sent>,
    /// The key that it may be repeated with.
    key: Option<String>,
}

impl Letter {
    pub(crate) fn scope(&self) -> TenantScope {
        scope(TENANTS[self.tenant])
    }

    pub(crate) fn ids(&self) -> Vec<&str> {
        self.events.iter().map(|sent| sent.id.as_str()).collect()
    }

    /// The record for the journal without those events that are counted already; `None` when that
    /// leaves nothing.
    pub(crate) fn admit(&self, times: ReceiptTimes, seen: &[Option<Sighting>]) -> Option<Admitted> {
        let known = |index: usize| seen.get(index).is_some_and(Option::is_some);
        let fresh = self.events.iter().enumerate().filter(|(index, _)| !known(*index));
        let specs: Vec<EventSpec> = fresh.map(|(_, sent)| sent.spec.clone()).collect();
        let key = self.key.as_deref().map(|key| request_key(key, key.len() as u64));
        (!specs.is_empty()).then(|| admitted_at(key, &self.scope(), times, &specs))
    }

    /// What the ledger knows the letter by, if it has a key.
    pub(crate) fn request_id(&self) -> Option<EventId<'_>> {
        self.key.as_deref().map(|text| EventId { scheme: IdScheme::Request, text })
    }
}

/// What all clients together know.
#[derive(Debug, Default)]
pub(crate) struct Client {
    /// Every event ever sent, per tenant, in order.
    sent: [Vec<Sent>; TENANTS.len()],
    /// Requests without an answer.
    unanswered: VecDeque<Letter>,
    /// Every record that ever went to the journal.
    records: BTreeSet<Bytes>,
    /// The payloads that went to the journal under each id, per tenant.
    payloads: [BTreeMap<String, BTreeSet<PayloadHash>>; TENANTS.len()],
    /// How many letters were written.
    letters: u64,
    /// The keys of letters, per tenant.
    keys: [Vec<String>; TENANTS.len()],
    /// Letters with a key that were answered, to be sent again.
    answered: Vec<Letter>,
    /// Ids that were answered `accepted` or `duplicate`, per tenant.
    promised: [BTreeSet<String>; TENANTS.len()],
}

impl Client {
    /// Writes the letter of a request that is sent at `now`.
    pub(crate) fn write(&mut self, request: &Request, now: Timestamp) -> Letter {
        let tenant = request.tenant % TENANTS.len();
        let events = request.events.iter().map(|plan| self.event(tenant, plan, now)).collect();
        let keys = &mut self.keys[tenant];
        self.letters += 1;
        let key = self.letters.is_multiple_of(KEYED_EVERY).then(|| format!("k{}", self.letters));
        keys.extend(key.clone());
        Letter { tenant, events, key }
    }

    fn event(&mut self, tenant: usize, plan: &EventPlan, now: Timestamp) -> Sent {
        let sent = &mut self.sent[tenant];
        let number = sent.len();
        let earlier = |nth: usize| sent.get(nth % number.max(1)).cloned();
        let write = |id: String, shape: &Shape| Sent { spec: spec(&id, shape, now), id };
        let other = Shape { variety: number as u64, ..Shape::default() };
        let event = match plan {
            EventPlan::New(shape) => write(format!("e{number}"), shape),
            EventPlan::Again(nth) => earlier(*nth).unwrap_or_else(|| write("e0".to_owned(), &other)),
            EventPlan::Changed(nth) => write(earlier(*nth).map_or_else(|| "e0".to_owned(), |sent| sent.id), &other),
        };
        sent.push(event.clone());
        event
    }

    /// A record goes to the journal.
    pub(crate) fn attempts(&mut self, letter: &Letter, record: &Admitted) {
        self.records.insert(record.payload().clone());
        let Ok(view) = RecordView::parse(record.payload()) else { return };
        for body in view.bodies().flatten() {
            let Ok((event, identity)) = body.event_with_identity() else { continue };
            let payloads = self.payloads[letter.tenant].entry(event.id.to_owned()).or_default();
            payloads.insert(identity.payload);
        }
    }

    /// The answer says that each event is counted or will be.
    pub(crate) fn answered(&mut self, letter: &Letter) {
        self.promised[letter.tenant].extend(letter.events.iter().map(|sent| sent.id.clone()));
        if letter.key.is_some() {
            self.answered.push(letter.clone());
        }
    }

    /// The letters with a key that were answered.
    pub(crate) fn answered_with_key(&self) -> &[Letter] {
        &self.answered
    }

    /// Every key that a tenant has used.
    pub(crate) fn keys(&self, tenant: usize) -> Vec<EventId<'_>> {
        self.keys[tenant].iter().map(|text| EventId { scheme: IdScheme::Request, text }).collect()
    }

    /// The answer says nothing, or never came.
    pub(crate) fn refused(&mut self, letter: Letter) {
        self.unanswered.push_back(letter);
    }

    /// The letter that has waited longest.
    pub(crate) fn take_unanswered(&mut self) -> Option<Letter> {
        self.unanswered.pop_front()
    }

    /// Whether a letter waits for its answer.
    pub(crate) fn is_waiting(&self) -> bool {
        !self.unanswered.is_empty()
    }

    /// Whether such a record was ever sent.
    pub(crate) fn has_sent(&self, record: &Bytes) -> bool {
        self.records.contains(record)
    }

    /// Every id that a tenant has sent, once.
    pub(crate) fn ids(&self, tenant: usize) -> Vec<&str> {
        let ids: BTreeSet<&str> = self.sent[tenant].iter().map(|sent| sent.id.as_str()).collect();
        ids.into_iter().collect()
    }

    /// Holds what is counted for a tenant against what its clients know: the payload hash of each of
    /// `ids` that is counted, and how many events are.
    pub(crate) fn check(
        &self,
        tenant: usize,
        ids: &[&str],
        seen: &[Option<Sighting>],
        calls: u64,
    ) -> Result<(), Violation> {
        let name = TENANTS[tenant];
        let counted: BTreeMap<&str, PayloadHash> =
            ids.iter().zip(seen).filter_map(|(id, seen)| Some((*id, seen.as_ref()?.payload))).collect();
        let lost = self.promised[tenant].iter().find(|id| !counted.contains_key(id.as_str()));
        hold(Invariant::NoAcknowledgedLoss, lost.is_none(), || format!("{name} has lost {lost:?}"))?;
        hold(Invariant::NoDoubleCount, calls == counted.len() as u64, || {
            format!("{name} has {calls} events under {} ids", counted.len())
        })?;
        let sent = |id: &str, payload| self.payloads[tenant].get(id).is_some_and(|sent| sent.contains(payload));
        let phantom = counted.iter().find(|(id, payload)| !sent(id, payload));
        hold(Invariant::NoPhantom, phantom.is_none(), || format!("{name} has {phantom:?}, which was not sent so"))
    }

    /// Once every letter is answered, everything ever sent is promised.
    pub(crate) fn check_answered(&self) -> Result<(), Violation> {
        for (tenant, sent) in self.sent.iter().enumerate() {
            let open = sent.iter().find(|sent| !self.promised[tenant].contains(&sent.id));
            hold(Invariant::SelfRecovery, open.is_none(), || {
                format!("{} never got an answer about {open:?}", TENANTS[tenant])
            })?;
        }
        Ok(())
    }
}

/// An event under `id`, shaped by its numbers.
fn spec(id: &str, shape: &Shape, now: Timestamp) -> EventSpec {
    const KINDS: [&str; 2] = ["api_call", "page_view"];
    const ENDPOINTS: [&str; 3] = ["/chat", "/embed", "/ä"];
    const MODELS: [&str; 2] = ["large", "small"];
    const USERS: [&str; 3] = ["u1", "u2", "u3"];
    let start = at(0).micros();
    let seconds = (now.micros() - start).div_euclid(MICROS_PER_SECOND) - shape.age_sec.unwrap_or(0);
    let mut spec = event(id, seconds);
    if shape.age_sec.is_none() {
        spec = spec.untimed();
    }
    if let Some(customer) = shape.customer {
        spec = spec.customer(CUSTOMERS[usize::from(customer) % CUSTOMERS.len()]);
    }
    let mut digits = shape.variety;
    let mut draw = |sides: u64| {
        let side = digits % sides;
        digits /= sides;
        side
    };
    spec = pick(spec, draw(3), &KINDS, EventSpec::kind);
    spec = pick(spec, draw(4), &ENDPOINTS, EventSpec::endpoint);
    spec = pick(spec, draw(3), &MODELS, EventSpec::model);
    spec = pick(spec, draw(4), &USERS, EventSpec::user);
    spec = pick(spec, draw(3), &["p", "q"], EventSpec::project);
    if draw(2) == 0 {
        spec = spec.tokens(draw(1_000), draw(100));
    }
    if draw(2) == 0 {
        spec = spec.latency_ms(draw(3_000));
    }
    if draw(3) == 0 { spec.properties(&format!("{{\"n\":{}}}", draw(1_000))) } else { spec }
}

/// Sets a field to one of `names`, or leaves it out when the number is beyond them.
fn pick(spec: EventSpec, number: u64, names: &[&str], set: impl FnOnce(EventSpec, &str) -> EventSpec) -> EventSpec {
    let name = usize::try_from(number).ok().and_then(|number| names.get(number));
    match name {
        Some(name) => set(spec, name),
        None => spec,
    }
}
