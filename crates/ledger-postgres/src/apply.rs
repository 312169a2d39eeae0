//! The one writer of a bucket. A batch is one transaction that reads top to bottom: fence → tenants → dedup → users → fold
//! → events → sums → cursor → commit. Whatever goes wrong, what is kept in memory is forgotten and read again; whether a
//! commit without an answer counts, the cursor tells.

use domain::limits::LEDGER_DELTAS_MAX;
use domain::position::Seq;
use domain::window::WindowRule;
use hashbrown::HashMap;
use parking_lot::RwLock;
use ports::ErrorKind;
use ports::ledger::{Applied, Outcome};
use postgres::Failure;
use sqlx::postgres::{PgConnection, PgPool};

use crate::batch::Record;
use crate::bucket::{Bucket, Progress};
use crate::decide::{Decided, RecordHashes, decide};
use crate::fold::{Folded, FreshEvent, fold};
use crate::rows::{add_events, add_receipts, uuid};
use crate::state::{KnownTenant, Name, State, load_names, load_zones};
use crate::sums::{Customers, Received, Rollups, Windows};
use crate::tenants::{NewTenants, Tenants};
use crate::transaction::OwnTransaction;
use crate::users::{EventUser, KnownUsers};
use crate::{ids, sums};

/// Writes one bucket.
#[derive(Debug)]
pub(crate) struct Writer {
    pub(crate) bucket: Bucket,
    pub(crate) rule: WindowRule,
    /// Secret of new tenants.
    pub(crate) key: [u8; 16],
    pub(crate) progress: Progress,
    pub(crate) tenants: Tenants,
    pub(crate) users: KnownUsers,
    /// Sets of users that are not folded into their days yet, about.
    pub(crate) deltas: u64,
    /// Whether all of this is as the database has it.
    is_settled: bool,
    /// What was last sent to be committed, and what came of its records.
    in_doubt: Option<Sent>,
}

/// A batch that may or may not count.
#[derive(Debug)]
struct Sent {
    to: Progress,
    applied: Vec<Applied>,
}

/// What a batch has added, besides its progress.
#[derive(Debug)]
struct Added {
    outcomes: Vec<Vec<Outcome>>,
    names: Vec<Name>,
}

impl Writer {
    pub(crate) fn new(bucket: Bucket, progress: Progress, rule: WindowRule, key: [u8; 16]) -> Self {
        let (tenants, users) = (Tenants::default(), KnownUsers::default());
        Self {
            bucket,
            rule,
            key,
            progress,
            tenants,
            users,
            deltas: LEDGER_DELTAS_MAX,
            is_settled: true,
            in_doubt: None,
        }
    }

    /// Sees to it that what is known here is what the database has.
    pub(crate) async fn settle(&mut self, pool: &PgPool, state: &RwLock<State>) -> Result<(), Failure> {
        if self.is_settled {
            return Ok(());
        }
        (self.tenants, self.users) = (Tenants::default(), KnownUsers::default());
        let mut transaction = OwnTransaction::begin(pool).await?;
        let progress = self.bucket.fence(transaction.on()).await?;
        let names = load_names(transaction.on()).await?;
        let zones = load_zones(transaction.on()).await?;
        transaction.end().await?;
        self.progress = progress;
        let mut state = state.write();
        (state.progress, state.names, state.zones) = (progress, names, zones);
        self.is_settled = true;
        Ok(())
    }

    /// Says that a change is begun: until it is known to count, what is known here may not be what the database has.
    pub(crate) fn unsettle(&mut self) {
        self.is_settled = false;
        self.in_doubt = None;
    }

    /// Says that a change counts, and where the bucket stands since.
    pub(crate) fn settled_at(&mut self, progress: Progress, state: &RwLock<State>) {
        self.progress = progress;
        state.write().progress = progress;
        self.is_settled = true;
    }

    /// What came of records that an earlier call has applied, as far as known, in their order.
    pub(crate) fn recall(&self, replayed: &[Seq]) -> Vec<Applied> {
        let sent = self.in_doubt.as_ref().filter(|sent| sent.to.cursor == self.progress.cursor);
        let recall = |seq: &Seq| {
            let known = sent.and_then(|sent| sent.applied.iter().find(|applied| applied.seq == *seq));
            known.cloned().unwrap_or(Applied { seq: *seq, outcomes: Vec::new() })
        };
        replayed.iter().map(recall).collect()
    }

    /// Applies records behind the cursor, all of them or none.
    pub(crate) async fn apply(
        &mut self,
        pool: &PgPool,
        state: &RwLock<State>,
        records: &[Record<'_>],
    ) -> Result<Vec<Applied>, Failure> {
        // Also when this future is dropped.
        self.unsettle();
        let failure = match self.transact(pool, records).await {
            Ok(added) => {
                self.is_settled = true;
                self.publish(state, records, added.names);
                return Ok(self.in_doubt.as_ref().map(|sent| sent.applied.clone()).unwrap_or_default());
            }
            Err(failure) => failure,
        };
        let Some(to) = self.in_doubt.as_ref().map(|sent| sent.to.cursor) else { return Err(failure) };
        // The commit was sent and not answered.
        self.settle(pool, state).await?;
        if self.progress.cursor < to {
            return Err(failure);
        }
        Ok(self.recall(&records.iter().map(|record| record.seq).collect::<Vec<_>>()))
    }

    async fn transact(&mut self, pool: &PgPool, records: &[Record<'_>]) -> Result<Added, Failure> {
        let Some(last) = records.last() else { return Ok(Added { outcomes: Vec::new(), names: Vec::new() }) };
        let (no, rule) = (self.bucket.no, self.rule);
        let mut transaction = OwnTransaction::begin(pool).await?;
        let on = transaction.on();
        self.enter(on).await?;
        let new = NewTenants { bucket: no, key: &self.key };
        self.tenants.resolve(on, records.iter().map(|record| &record.tenant), new).await?;

        let hashes = self.hash(records)?;
        let known = ids::known(on, no, hashes.iter().flat_map(RecordHashes::all)).await?;
        let decided = decide(records, &hashes, known);
        ids::add(on, no, records, &self.tenants, &decided.new).await?;

        let fresh = self.number(on, records, &decided).await?;
        let folded = fold(&fresh, &self.tenants, rule)?;
        add_events(on, no, &fresh, &self.tenants, rule).await?;
        self.deltas += self.users.add_days(on, no, &folded).await?;
        let names = self.users.add_names(on, &folded).await?;
        let Folded { windows, customers, rollups, received, .. } = folded;
        sums::add::<Windows>(on, windows).await?;
        sums::add::<Customers>(on, customers).await?;
        sums::add::<Rollups>(on, rollups).await?;
        sums::add::<Received>(on, received).await?;
        add_receipts(on, records, &decided.outcomes, &self.tenants).await?;

        let to = Progress {
            cursor: last.seq,
            events: self.progress.events + fresh.len() as u64,
            holds_former_ids: self.progress.holds_former_ids || decided.has_former_ids,
            ..self.progress
        };
        self.bucket.advance(on, self.progress.cursor, &to, uuid(last.id)).await?;
        let added = Added { outcomes: decided.outcomes, names: self.named(records, &names)? };
        self.commit(transaction, to, records, &added.outcomes).await?;
        Ok(added)
    }

    /// Begins a transaction on the bucket: it is ours, and stands where it is believed to.
    pub(crate) async fn enter(&self, on: &mut PgConnection) -> Result<(), Failure> {
        let found = self.bucket.fence(on).await?.cursor;
        if found == self.progress.cursor {
            return Ok(());
        }
        let reason = format!("the bucket stands at record {found} and not at {}", self.progress.cursor);
        Err(Failure::Refused { kind: ErrorKind::Unavailable, reason })
    }

    async fn commit(
        &mut self,
        transaction: OwnTransaction,
        to: Progress,
        records: &[Record<'_>],
        outcomes: &[Vec<Outcome>],
    ) -> Result<(), Failure> {
        before_commit()?;
        let applied = records.iter().zip(outcomes);
        let applied = applied.map(|(record, outcomes)| Applied { seq: record.seq, outcomes: outcomes.clone() });
        self.in_doubt = Some(Sent { to, applied: applied.collect() });
        transaction.commit().await?;
        after_commit()?;
        self.progress = to;
        Ok(())
    }

    fn hash(&self, records: &[Record<'_>]) -> Result<Vec<RecordHashes>, Failure> {
        records.iter().map(|record| Ok(RecordHashes::of(record, &self.tenants.get(&record.tenant)?.hasher))).collect()
    }

    /// The events that count, with the numbers of their users.
    async fn number<'b>(
        &mut self,
        on: &mut PgConnection,
        records: &'b [Record<'b>],
        decided: &Decided,
    ) -> Result<Vec<FreshEvent<'b>>, Failure> {
        let mut fresh: Vec<_> = decided
            .new
            .iter()
            .filter_map(|id| Some(FreshEvent { record: &records[id.record], index: id.event?, user: None }))
            .collect();
        let mut users = Vec::new();
        for event in &fresh {
            let tenant = &event.record.tenant;
            if let Some(name) = event.event().user {
                users.push(EventUser { tenant, hash: self.tenants.get(tenant)?.hasher.hash(name), name });
            }
        }
        let mut numbers = self.users.number(on, &mut self.tenants, &users).await?.into_iter();
        for event in fresh.iter_mut().filter(|event| event.event().user.is_some()) {
            event.user = numbers.next();
        }
        Ok(fresh)
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
        state.progress = self.progress;
        state.names.extend(names);
        for tenant in records.iter().map(|record| &record.tenant) {
            if let (false, Ok(known)) = (state.tenants.contains_key(tenant), self.tenants.get(tenant)) {
                state.tenants.insert(tenant.clone(), KnownTenant { no: known.no, hasher: known.hasher.clone() });
            }
        }
    }
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
