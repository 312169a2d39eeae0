//! The one writer of the buckets that this process has. A batch is one transaction that reads top to bottom: fences →
//! tenants → dedup → users → fold → events → sums → cursors → commit. Whatever goes wrong, what is kept in memory is
//! forgotten and read again; whether a commit without an answer counts, the cursors tell.

use std::collections::BTreeMap;

use domain::limits::LEDGER_BATCH_RECORDS_MAX;
use domain::position::Seq;
use domain::tenant::TenantId;
use domain::window::WindowRule;
use hashbrown::HashMap;
use parking_lot::RwLock;
use ports::ErrorKind;
use ports::journal::Delivery;
use ports::ledger::Applied;
use postgres::Failure;
use sqlx::postgres::{PgConnection, PgPool};

use crate::attempts::Attempts;
use crate::batch::{Batch, Place, Record};
use crate::bucket::{Buckets, Progress};
use crate::copy::Rows;
use crate::decide::{Decided, NewId, RecordHashes};
use crate::deltas::{DeltaCounts, count_deltas};
use crate::fold::{Folded, FreshEvent, fold};
use crate::ids::{self, Deciding};
use crate::leaves::Leaves;
use crate::rows::{add_receipts, event_rows, events_table, uuid};
use crate::seen::SeenKeys;
use crate::state::{KnownTenant, Name, State, load_names, load_zones};
use crate::stored_erasures::load_erasures;
use crate::sums::{self, Customers, Received, Rollups, Windows};
use crate::tenants::{NewTenants, Tenants};
use crate::transaction::OwnTransaction;
use crate::users::{EventUser, KnownUsers, Numbered};

/// Writes the buckets of this process.
#[derive(Debug)]
pub(crate) struct Writer {
    pub(crate) buckets: Buckets,
    pub(crate) rule: WindowRule,
    /// Secret of new tenants.
    pub(crate) key: [u8; 16],
    /// Up to which record of the journal all have been applied; none before the first one of a journal that is new to
    /// the buckets. Stays before the first record of a bucket that is another process's.
    through: Option<Seq>,
    pub(crate) tenants: Tenants,
    pub(crate) users: KnownUsers,
    /// Rows of sets of users that are not folded into their days yet.
    pub(crate) deltas: DeltaCounts,
    pub(crate) seen: SeenKeys,
    pub(crate) leaves: Leaves,
    pub(crate) attempts: Attempts,
    /// Whether all of this is as the database has it.
    is_settled: bool,
    /// What was last sent to be committed, and what came of its records.
    in_doubt: Option<Sent>,
}

/// A batch that may or may not count.
#[derive(Debug)]
struct Sent {
    /// Its last record.
    to: Seq,
    applied: Vec<Applied>,
}

/// What a batch has added that is kept in memory, besides its progress.
#[derive(Debug)]
struct Added {
    names: Vec<Name>,
}

impl Writer {
    pub(crate) fn new(
        buckets: Buckets,
        rule: WindowRule,
        key: [u8; 16],
        attempts: Attempts,
        deltas: DeltaCounts,
    ) -> Self {
        let (tenants, users, through) = (Tenants::default(), KnownUsers::default(), buckets.cursor());
        Self {
            buckets,
            rule,
            key,
            through,
            tenants,
            users,
            deltas,
            seen: SeenKeys::default(),
            leaves: Leaves::default(),
            attempts,
            is_settled: true,
            in_doubt: None,
        }
    }

    /// Up to which record of the journal all have been applied.
    pub(crate) fn through(&self) -> Seq {
        self.through.unwrap_or(Seq::ZERO)
    }

    /// How far the buckets have come together. What of the journal is to be kept follows the cursor: records that were
    /// passed because their bucket had them already leave it where it is until the next batch.
    pub(crate) fn progress(&self) -> Progress {
        self.buckets.together(self.through().min(self.buckets.cursor().unwrap_or(Seq::ZERO)))
    }

    fn show(&self, state: &mut State) {
        (state.progress, state.applied) = (self.progress(), self.through());
    }

    /// The number of the next record, where the journal's beginning is known.
    pub(crate) fn next(&self) -> Option<Seq> {
        self.through.map(Seq::next)
    }

    /// Sees to it that what is known here is what the database has.
    pub(crate) async fn settle(&mut self, pool: &PgPool, state: &RwLock<State>) -> Result<(), Failure> {
        while !self.is_settled {
            (self.tenants, self.users) = (Tenants::default(), KnownUsers::default());
            (self.seen, self.leaves) = (SeenKeys::default(), Leaves::default());
            let mut transaction = OwnTransaction::begin(pool).await?;
            if let Err(failure) = self.buckets.fence(transaction.on()).await {
                if failure.kind() == ErrorKind::Closed && !self.buckets.is_empty() {
                    continue;
                }
                return Err(failure);
            }
            let names = load_names(transaction.on()).await?;
            let zones = load_zones(transaction.on()).await?;
            let erasures = load_erasures(transaction.on()).await?;
            self.deltas = count_deltas(transaction.on(), &self.buckets.numbers()).await?;
            transaction.end().await?;
            if !self.buckets.is_one_lost() {
                self.through = self.through.max(self.buckets.cursor());
            }
            self.is_settled = true;
            let mut state = state.write();
            self.show(&mut state);
            (state.names, state.zones) = (names, zones);
            state.follow_erasures(erasures);
        }
        Ok(())
    }

    /// Says that a change is begun: until it is known to count, what is known here may not be what the database has.
    pub(crate) fn unsettle(&mut self) {
        self.is_settled = false;
        self.in_doubt = None;
    }

    /// Says that a change counts.
    pub(crate) fn settled(&mut self, state: &RwLock<State>) {
        self.show(&mut state.write());
        self.is_settled = true;
    }

    /// Says that a change counts which has passed the next record.
    pub(crate) fn passed(&mut self, seq: Seq, state: &RwLock<State>) {
        self.through = self.through.max(Some(seq));
        self.settled(state);
    }

    /// What of `rest` is the next transaction.
    pub(crate) fn next_batch<'d>(&self, rest: &'d [Delivery]) -> Batch<'d> {
        let place = |tenant: Option<&TenantId>| {
            let no = tenant.map_or(0, |tenant| self.buckets.of(tenant));
            Some(Place { bucket: no, cursor: self.buckets.cursor_of(no)? })
        };
        let records_max = if self.attempts.suspects > 0 { 1 } else { LEDGER_BATCH_RECORDS_MAX };
        let is_suspect = |id| self.attempts.has(id);
        Batch::take(rest, self.through, self.buckets.number(), &place, &is_suspect, records_max)
    }

    /// What came of records that an earlier call has applied, as far as known, in their order. They are passed.
    pub(crate) fn recall(&mut self, replayed: &[Seq]) -> Vec<Applied> {
        let sent = self.in_doubt.as_ref().filter(|sent| self.buckets.cursor() >= Some(sent.to));
        let recall = |seq: &Seq| {
            let known = sent.and_then(|sent| sent.applied.iter().find(|applied| applied.seq == *seq));
            known.cloned().unwrap_or(Applied { seq: *seq, outcomes: Vec::new() })
        };
        let recalled = replayed.iter().map(recall).collect();
        self.through = self.through.max(replayed.last().copied());
        recalled
    }

    /// Applies records behind the cursors, all of them or none. `through` is up to where all have been applied then.
    pub(crate) async fn apply(
        &mut self,
        pool: &PgPool,
        state: &RwLock<State>,
        records: &[Record<'_>],
        through: Option<Seq>,
    ) -> Result<Vec<Applied>, Failure> {
        let Some(to) = records.last().map(|last| last.seq) else { return Ok(Vec::new()) };
        // Also when this future is dropped.
        self.unsettle();
        let failure = match self.transact(pool, records).await {
            Ok(added) => {
                self.is_settled = true;
                self.through = self.through.max(through);
                self.attempts.forget(records);
                self.publish(state, records, added.names);
                return Ok(self.in_doubt.as_ref().map(|sent| sent.applied.clone()).unwrap_or_default());
            }
            Err(failure) => failure,
        };
        if self.in_doubt.is_none() {
            return Err(failure);
        }
        // The commit was sent and not answered.
        self.settle(pool, state).await?;
        if self.buckets.cursor() < Some(to) {
            return Err(failure);
        }
        self.through = self.through.max(through);
        self.attempts.forget(records);
        self.show(&mut state.write());
        Ok(self.in_doubt.as_ref().map(|sent| sent.applied.clone()).unwrap_or_default())
    }

    async fn transact(&mut self, pool: &PgPool, records: &[Record<'_>]) -> Result<Added, Failure> {
        let rule = self.rule;
        let mut transaction = OwnTransaction::begin(pool).await?;
        let on = transaction.on();
        self.enter(on).await?;
        at_records(records)?;
        let new = NewTenants { buckets: self.buckets.count, key: &self.key };
        self.tenants.resolve(on, records.iter().map(|record| &record.tenant), new).await?;

        let all: Vec<_> = records.iter().flat_map(FreshEvent::all_of).collect();
        self.users.load(on, &self.tenants, &users_of(&all, &self.tenants)?).await?;
        let hashes = self.hash(records)?;
        let deciding = Deciding { records, hashes: &hashes, tenants: &self.tenants };
        let prepare = |decided: &Decided| prepare(rule, records, decided, &self.tenants, &self.users);
        let (decided, prepared) = ids::add_new(on, deciding, &mut self.seen.ids, prepare).await?;
        let Prepared { fresh, numbered, rows } = prepared;
        self.users.store(on, &mut self.tenants, &numbered).await?;
        let copying = rows.begin(on, &events_table()).await?;
        // While the server works on the events.
        let folded = fold(&fresh, &self.tenants, rule)?;
        copying.end().await?;
        for tenant in self.users.add_days(on, &self.tenants, &folded).await? {
            *self.deltas.entry(tenant).or_default() += 1;
        }
        let names = self.users.add_names(on, &folded).await?;
        let Folded { windows, customers, rollups, received, .. } = folded;
        let (seen, leaves) = (&mut self.seen, &mut self.leaves);
        sums::add::<Windows>(on, leaves, &mut seen.windows, windows).await?;
        sums::add::<Customers>(on, leaves, &mut seen.customers, customers).await?;
        sums::add::<Rollups>(on, leaves, &mut seen.rollups, rollups).await?;
        sums::add::<Received>(on, leaves, &mut seen.received, received).await?;
        add_receipts(on, records, &decided.outcomes, &self.tenants).await?;
        self.attempts.delete(on, records.iter().map(|record| (record.bucket, record.id))).await?;

        let mut events = BTreeMap::new();
        for fresh in &fresh {
            *events.entry(fresh.record.bucket).or_insert(0_u64) += 1;
        }
        self.commit(transaction, records, &decided, &events).await?;
        Ok(Added { names: self.named(records, &names)? })
    }

    /// Begins a transaction on the buckets: they are ours, and stand where they are believed to.
    pub(crate) async fn enter(&mut self, on: &mut PgConnection) -> Result<(), Failure> {
        if self.buckets.fence(on).await? {
            return Ok(());
        }
        let reason = "a bucket does not stand where it was left".to_owned();
        Err(Failure::Refused { kind: ErrorKind::Unavailable, reason })
    }

    /// Moves the cursors and makes it all count. `events` are those that are fresh, by bucket.
    async fn commit(
        &mut self,
        mut transaction: OwnTransaction,
        records: &[Record<'_>],
        decided: &Decided,
        events: &BTreeMap<i16, u64>,
    ) -> Result<(), Failure> {
        let Some(last) = records.last() else { return Ok(()) };
        let mut to = self.buckets.moved(last.seq, last.number);
        for (no, at) in &mut to {
            let fresh = events.get(no).copied().unwrap_or(0);
            at.events += fresh;
            at.holds_former_ids |= decided.has_former_ids && fresh > 0;
        }
        self.buckets.advance(transaction.on(), &to, uuid(last.id)).await?;
        before_commit()?;
        let applied = records.iter().zip(&decided.outcomes);
        let applied = applied.map(|(record, outcomes)| Applied { seq: record.seq, outcomes: outcomes.clone() });
        self.in_doubt = Some(Sent { to: last.seq, applied: applied.collect() });
        transaction.commit().await?;
        after_commit()?;
        self.buckets.advanced(&to);
        Ok(())
    }

    /// Sees to it that a tenant has a number, in a transaction behind the fence.
    pub(crate) async fn resolve(&mut self, on: &mut PgConnection, tenant: &TenantId) -> Result<i32, Failure> {
        let new = NewTenants { buckets: self.buckets.count, key: &self.key };
        self.tenants.resolve(on, std::iter::once(tenant), new).await?;
        self.tenants.no(tenant)
    }

    fn hash(&self, records: &[Record<'_>]) -> Result<Vec<RecordHashes>, Failure> {
        records.iter().map(|record| Ok(RecordHashes::of(record, &self.tenants.get(&record.tenant)?.hasher))).collect()
    }

    fn named(
        &self,
        records: &[Record<'_>],
        names: &[(i32, domain::admit::Dimension, &str)],
    ) -> Result<Vec<Name>, Failure> {
        if names.is_empty() {
            return Ok(Vec::new());
        }
        let mut tenants = HashMap::new();
        for record in records {
            tenants.insert(self.tenants.no(&record.tenant)?, &record.tenant);
        }
        let name = |(no, dimension, name): &(i32, _, &str)| {
            Some(((*tenants.get(no)?).clone(), *dimension, (*name).to_owned()))
        };
        Ok(names.iter().filter_map(name).collect())
    }

    /// Makes what has been committed visible to those who ask this process.
    fn publish(&self, state: &RwLock<State>, records: &[Record<'_>], names: Vec<Name>) {
        let mut state = state.write();
        self.show(&mut state);
        state.names.extend(names);
        for tenant in records.iter().map(|record| &record.tenant) {
            if let (false, Ok(known)) = (state.tenants.contains_key(tenant), self.tenants.get(tenant)) {
                state.tenants.insert(tenant.clone(), KnownTenant { no: known.no, hasher: known.hasher.clone() });
            }
        }
    }
}

/// What a batch adds, before any of it is written.
#[derive(Debug)]
struct Prepared<'b> {
    /// The events that count.
    fresh: Vec<FreshEvent<'b>>,
    /// The numbers of their users.
    numbered: Numbered<'b>,
    /// Their rows.
    rows: Rows,
}

/// Prepares the events of a batch that count, all of whose users have been loaded.
fn prepare<'b>(
    rule: WindowRule,
    records: &'b [Record<'b>],
    decided: &Decided,
    tenants: &Tenants,
    users: &KnownUsers,
) -> Result<Prepared<'b>, Failure> {
    let event = |id: &NewId| Some(FreshEvent { record: &records[id.record], index: id.event?, user: None });
    let mut fresh: Vec<_> = decided.new.iter().filter_map(event).collect();
    let numbered = users.number(tenants, &users_of(&fresh, tenants)?)?;
    let mut numbers = numbered.numbers.iter();
    for event in fresh.iter_mut().filter(|event| event.event().user.is_some()) {
        event.user = numbers.next().copied();
    }
    let rows = event_rows(&fresh, |tenant| tenants.no(tenant), rule)?;
    Ok(Prepared { fresh, numbered, rows })
}

/// The users of events, of those that have one.
fn users_of<'b>(events: &[FreshEvent<'b>], tenants: &Tenants) -> Result<Vec<EventUser<'b>>, Failure> {
    let mut users = Vec::with_capacity(events.len());
    for event in events {
        let tenant = &event.record.tenant;
        if let Some(name) = event.event().user {
            users.push(EventUser { tenant, hash: tenants.get(tenant)?.hasher.hash(name), name });
        }
    }
    Ok(users)
}

/// Where tests end the process in the middle of a batch that has the record of the number that they name.
fn at_records(records: &[Record<'_>]) -> Result<(), Failure> {
    fail::fail_point!("ledger_postgres::at_record", |seq| {
        if records.iter().any(|record| Some(record.seq.to_string()) == seq) {
            std::process::abort();
        }
        Ok(())
    });
    Ok(())
}

/// Where tests stop or fail a batch of which nothing counts yet.
fn before_commit() -> Result<(), Failure> {
    fail::fail_point!("ledger_postgres::before_commit", |_| Err(injected("before the commit")));
    Ok(())
}

/// Where tests stop or fail a batch that counts already.
fn after_commit() -> Result<(), Failure> {
    fail::fail_point!("ledger_postgres::after_commit", |_| Err(injected("after the commit")));
    Ok(())
}

fn injected(place: &str) -> Failure {
    Failure::Refused { kind: ErrorKind::Unavailable, reason: format!("injected {place}") }
}
