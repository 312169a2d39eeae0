//! An in-memory ledger that is slow and obviously right: it keeps every counted event in one list
//! and computes each answer from that list anew. The oracle that real ledgers are compared with, by
//! the suites here. Not durable: a flush only moves the cursor.

mod answers;
mod civil;
mod active_users;
mod analytics;
mod erased;
mod erasures;
mod queries;
mod fates;
pub mod conformance;
pub mod hours;
pub mod records;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use domain::admit::Dimension;
use domain::event::{EventId, EventView, IdScheme};
use domain::payload::{HashRule, PayloadHash};
use domain::position::{EventPosition, Position, Seq};
use domain::quota::{Amounts, quarter_of};
use domain::record::{Body, EventIdentity, RecordError, RecordView};
use domain::tenant::{TenantId, TenantScope};
use domain::time::{TimeRange, Timestamp};
use domain::window::WindowRule;
use parking_lot::{Mutex, MutexGuard};

use crate::active_users::VersionedZone;
use crate::journal::Delivery;
use crate::ledger::{Applied, AppliedRecords, Ledger, LedgerStats, Outcome, Received, Sighting};
use crate::reports::StoredEvent;
use crate::{ErrorKind, PortError};

pub use active_users::set_zone;

/// A ledger in memory.
#[derive(Debug)]
pub struct MemoryLedger {
    rule: WindowRule,
    state: Mutex<State>,
    questions: AtomicU64,
}

#[derive(Debug)]
struct State {
    events: Vec<Counted>,
    /// Index in `events`.
    by_id: HashMap<(TenantId, IdScheme, String), usize>,
    /// The keys of requests of which an event was counted.
    requests: HashMap<(TenantId, String), Sighting>,
    /// What each record did, and whose it was.
    outcomes: BTreeMap<Seq, (TenantId, Vec<Outcome>)>,
    dead_letters: BTreeMap<Seq, DeadLetter>,
    applied: Seq,
    cursor: Seq,
    closed_through: Timestamp,
    zones: HashMap<TenantId, VersionedZone>,
    erasures: erased::Erased,
    metered: BTreeSet<(TenantId, String)>,
}

/// An event that was counted.
#[derive(Debug)]
struct Counted {
    tenant: TenantId,
    event: StoredEvent,
    payload: PayloadHash,
    late: bool,
    /// Only its sums are left.
    erased: bool,
}

#[derive(Debug)]
struct DeadLetter {
    /// `None` when not even that could be read.
    tenant: Option<TenantId>,
    reason: String,
}

impl MemoryLedger {
    /// An empty ledger with windows by `rule`.
    pub fn new(rule: WindowRule) -> Self {
        let state = State {
            events: Vec::new(),
            by_id: HashMap::new(),
            requests: HashMap::new(),
            outcomes: BTreeMap::new(),
            dead_letters: BTreeMap::new(),
            applied: Seq::ZERO,
            cursor: Seq::ZERO,
            closed_through: Timestamp::MIN,
            zones: HashMap::new(),
            erasures: erased::Erased::default(),
            metered: BTreeSet::new(),
        };
        Self { rule, state: Mutex::new(state), questions: AtomicU64::new(0) }
    }

    /// How often its reports, sums and queries were asked for.
    pub fn questions(&self) -> u64 {
        self.questions.load(Ordering::Relaxed)
    }

    /// What a question is answered from.
    fn ask(&self) -> MutexGuard<'_, State> {
        self.questions.fetch_add(1, Ordering::Relaxed);
        self.state.lock()
    }
}

impl State {
    fn apply(&mut self, rule: WindowRule, delivery: &Delivery) -> Result<Applied, PortError> {
        let seq = Seq::of_record(delivery.id);
        if seq <= self.applied {
            let outcomes = self.outcomes.get(&seq).map(|(_, outcomes)| outcomes.clone()).unwrap_or_default();
            return Ok(Applied { seq, outcomes });
        }
        self.check_next(seq)?;
        let unacceptable = |error| PortError::new(ErrorKind::Unacceptable, "read a journal record").because(error);
        let record = RecordView::parse(&delivery.payload).map_err(unacceptable)?;
        let bodies = record.bodies().collect::<Result<Vec<_>, _>>().map_err(unacceptable)?;
        let decoded = bodies.iter().map(Body::event_with_identity);
        let decoded = decoded.collect::<Result<Vec<_>, RecordError>>().map_err(unacceptable)?;
        let mut outcomes = Vec::new();
        for (index, (event, identity)) in decoded.iter().enumerate() {
            let index = u16::try_from(index).map_err(|_| PortError::new(ErrorKind::Unacceptable, "number events"))?;
            let position = Position::new(seq, index);
            outcomes.push(self.count(rule, &record, position, event, identity));
        }
        if let Some(request) = record.request().filter(|_| outcomes.contains(&Outcome::Fresh)) {
            let key = (record.tenant().clone(), request.text.to_owned());
            self.requests.entry(key).or_insert(Sighting { seq, payload: request.body });
        }
        self.outcomes.insert(seq, (record.tenant().clone(), outcomes.clone()));
        self.applied = seq;
        Ok(Applied { seq, outcomes })
    }

    fn count(
        &mut self,
        rule: WindowRule,
        record: &RecordView<'_>,
        position: Position,
        event: &EventView<'_>,
        identity: &EventIdentity<'_>,
    ) -> Outcome {
        let payload = identity.payload;
        let key = (record.tenant().clone(), event.id_scheme, event.id.to_owned());
        if let Some(first) = self.by_id.get(&key) {
            if self.events[*first].erased {
                return Outcome::Erased;
            }
            let differs = self.events[*first].payload.contradicts(payload);
            return if differs { Outcome::Mismatch } else { Outcome::Duplicate };
        }
        if let Some(former) = &identity.former {
            let key = (record.tenant().clone(), IdScheme::Native, former.id.to_owned());
            if let Some(first) = self.by_id.get(&key).map(|first| &self.events[*first]) {
                if first.erased && first.payload.erased().is_of_former(former.payload) {
                    return Outcome::Erased;
                }
                if !first.erased && first.payload == former.payload {
                    return Outcome::Duplicate;
                }
            }
        }
        if self.erasures.refuse(record.tenant(), event.customer, event.user) {
            return Outcome::Refused;
        }
        self.by_id.insert(key, self.events.len());
        self.events.push(Counted {
            tenant: record.tenant().clone(),
            event: stored(position, record.received_at(), event),
            payload,
            late: rule.is_late(event.time, record.times().late_from()),
            erased: false,
        });
        Outcome::Fresh
    }

    fn find(&self, tenant: &TenantId, id: &EventId<'_>) -> Option<Sighting> {
        if id.scheme == IdScheme::Request {
            return self.requests.get(&(tenant.clone(), id.text.to_owned())).copied();
        }
        let at = self.by_id.get(&(tenant.clone(), id.scheme, id.text.to_owned()))?;
        let counted = &self.events[*at];
        if counted.erased {
            return Some(Sighting { seq: Seq::ZERO, payload: counted.payload.erased() });
        }
        Some(Sighting { seq: Position::of_event(counted.event.position).seq(), payload: counted.payload })
    }

    fn check_next(&self, seq: Seq) -> Result<(), PortError> {
        let next = self.applied.next();
        if seq == next {
            return Ok(());
        }
        Err(PortError::new(ErrorKind::Conflict, format!("apply record {seq}, the next one is {next}")))
    }
}

fn stored(position: Position, received_at: Timestamp, event: &EventView<'_>) -> StoredEvent {
    let owned = |text: Option<&str>| text.map(str::to_owned);
    StoredEvent {
        position: position.into(),
        id: event.id.to_owned(),
        id_scheme: event.id_scheme,
        time: event.time,
        received_at,
        kind: event.kind.to_owned(),
        project: owned(event.project),
        customer: owned(event.customer),
        user: owned(event.user),
        endpoint: owned(event.endpoint),
        properties: owned(event.properties),
        tokens: event.usage.tokens,
        input_tokens: event.usage.input_tokens,
        output_tokens: event.usage.output_tokens,
        latency_us: event.usage.latency_us,
        model: owned(event.usage.model),
        cache_read_tokens: event.usage.cache_read_tokens,
        cache_write_tokens: event.usage.cache_write_tokens,
        reasoning_tokens: event.usage.reasoning_tokens,
    }
}

#[async_trait]
impl Ledger for MemoryLedger {
    fn cursor(&self) -> Seq {
        self.state.lock().cursor
    }

    fn applied(&self) -> Seq {
        self.state.lock().applied
    }

    async fn apply(&self, deliveries: &[Delivery]) -> AppliedRecords {
        let mut records = AppliedRecords::default();
        for delivery in deliveries {
            match self.state.lock().apply(self.rule, delivery) {
                Ok(applied) => records.applied.push(applied),
                Err(error) => {
                    records.failed = Some(error);
                    break;
                }
            }
        }
        records
    }

    async fn dead_letter(&self, delivery: &Delivery, reason: &str) -> Result<(), PortError> {
        let (seq, mut state) = (Seq::of_record(delivery.id), self.state.lock());
        if seq <= state.applied {
            return Ok(());
        }
        state.check_next(seq)?;
        let tenant = RecordView::parse(&delivery.payload).map(|record| record.tenant().clone()).ok();
        state.dead_letters.insert(seq, DeadLetter { tenant, reason: reason.to_owned() });
        state.applied = seq;
        Ok(())
    }

    async fn seen(&self, scope: &TenantScope, ids: &[EventId<'_>]) -> Vec<Option<Sighting>> {
        let state = self.state.lock();
        ids.iter().map(|id| state.find(scope.tenant(), id)).collect()
    }

    async fn seen_exactly(&self, scope: &TenantScope, ids: &[EventId<'_>]) -> Result<Vec<Option<Sighting>>, PortError> {
        Ok(self.seen(scope, ids).await)
    }

    fn holds_former_ids(&self) -> bool {
        let is_first = |counted: &Counted| counted.payload.rule == HashRule::EncodedBody;
        self.state.lock().events.iter().any(is_first)
    }

    fn applied_position(&self) -> EventPosition {
        Position::new(self.state.lock().applied, u16::MAX).into()
    }

    async fn close_through(&self, through: Timestamp) -> Result<(), PortError> {
        let mut state = self.state.lock();
        state.closed_through = state.closed_through.max(through);
        Ok(())
    }

    async fn reopen_after(&self, closed: Timestamp) -> Result<(), PortError> {
        let mut state = self.state.lock();
        state.closed_through = state.closed_through.min(closed);
        Ok(())
    }

    fn closed_through(&self) -> Timestamp {
        self.state.lock().closed_through
    }

    async fn flush(&self) -> Result<Seq, PortError> {
        let mut state = self.state.lock();
        state.cursor = state.applied;
        Ok(state.cursor)
    }

    fn names(&self) -> Vec<(TenantId, Dimension, String)> {
        let state = self.state.lock();
        let names: BTreeSet<_> = state.events.iter().flat_map(names_of).collect();
        names.into_iter().collect()
    }

    fn refuses(&self, scope: &TenantScope, customer: Option<&str>, user: Option<&str>) -> bool {
        self.state.lock().erasures.refuse(scope.tenant(), customer, user)
    }

    fn erased_through(&self) -> Seq {
        self.state.lock().erasures.through()
    }

    async fn received(&self, scope: &TenantScope, range: TimeRange) -> Result<Received, PortError> {
        let (state, mut received) = (self.state.lock(), Received::default());
        let (from, to) = (quarter_of(range.from()), quarter_of(range.to()));
        let mine = state.events.iter().filter(|counted| counted.tenant == *scope.tenant());
        for event in mine.map(|counted| &counted.event) {
            if event.received_at < from || event.received_at >= to {
                continue;
            }
            let amounts = Amounts::of_parts(event.tokens, event.endpoint.is_some() || event.model.is_some());
            received.add("", &amounts);
            let is_metered =
                |customer: &&str| state.metered.contains(&(scope.tenant().clone(), (*customer).to_owned()));
            if let Some(customer) = event.customer.as_deref().filter(is_metered) {
                received.add(customer, &amounts);
            }
        }
        Ok(received)
    }

    async fn meter_customer(&self, scope: &TenantScope, customer: &str) -> Result<(), PortError> {
        let mut state = self.state.lock();
        if state.erasures.keeps_from_metering(scope.tenant(), customer) {
            return Err(PortError::new(ErrorKind::Conflict, "count a customer apart: it is being erased"));
        }
        state.metered.insert((scope.tenant().clone(), customer.to_owned()));
        Ok(())
    }

    fn stats(&self) -> LedgerStats {
        let state = self.state.lock();
        let unflushed = state
            .events
            .iter()
            .filter(|counted| Position::of_event(counted.event.position).seq() > state.cursor)
            .count();
        LedgerStats {
            unflushed_events: unflushed as u64,
            segments: 0,
            flushed_events: (state.events.len() - unflushed) as u64,
            flushed_bytes: 0,
            dead_letters: state.dead_letters.len() as u64,
        }
    }
}

fn names_of(counted: &Counted) -> impl Iterator<Item = (TenantId, Dimension, String)> {
    let event = &counted.event;
    let names = [
        (Dimension::Type, Some(&event.kind)),
        (Dimension::Endpoint, event.endpoint.as_ref()),
        (Dimension::Model, event.model.as_ref()),
        (Dimension::Project, event.project.as_ref()),
    ];
    let tenant = &counted.tenant;
    names.into_iter().filter_map(|(dimension, name)| Some((tenant.clone(), dimension, name?.clone())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[tokio::test]
    async fn the_memory_twin_keeps_the_contract_of_a_ledger() {
        conformance::ledger_conformance(|rule| async move { Arc::new(MemoryLedger::new(rule)) }).await;
    }

    #[tokio::test]
    async fn the_memory_twin_keeps_the_contract_of_reports() {
        conformance::reports_conformance(|rule| async move { Arc::new(MemoryLedger::new(rule)) }).await;
    }

    #[tokio::test]
    async fn the_memory_twin_keeps_the_contract_of_active_users() {
        conformance::active_users_conformance(|rule| async move { Arc::new(MemoryLedger::new(rule)) }).await;
    }

    #[tokio::test]
    async fn the_memory_twin_keeps_the_contract_of_analytics() {
        conformance::analytics_conformance(|rule| async move { Arc::new(MemoryLedger::new(rule)) }).await;
    }

    /// A restart of the twin forgets nothing.
    struct Memory(Arc<MemoryLedger>);

    impl conformance::Home for Memory {
        type Ledger = MemoryLedger;

        async fn open(&self) -> Arc<MemoryLedger> {
            Arc::clone(&self.0)
        }
    }

    #[tokio::test]
    async fn the_memory_twin_tells_what_became_of_records() {
        let ledger = Arc::new(MemoryLedger::new(WindowRule::default()));
        let apply =
            async |record: &Delivery| assert!(ledger.apply(std::slice::from_ref(record)).await.failed.is_none());
        let give_up = async |record: &Delivery| assert!(ledger.dead_letter(record, "no").await.is_ok());
        crate::testing::receipts::receipts_conformance(ledger.clone(), apply, give_up).await;
    }

    #[tokio::test]
    async fn the_memory_twin_answers_questions_as_itself() {
        let home = async || Memory(Arc::new(MemoryLedger::new(WindowRule::default())));
        conformance::questions_conformance(1..=16, home).await;
    }

    #[tokio::test]
    async fn the_memory_twin_runs_queries_as_itself() {
        conformance::queries_conformance(async || Memory(Arc::new(MemoryLedger::new(WindowRule::default())))).await;
    }
}
