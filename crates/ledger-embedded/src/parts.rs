//! What the ledger hands out whole, for another ledger to take in: raw events that retention shows, entries of ids, sums as
//! they are stored, users and their days, what was received, erasures and dead letters. Reads what is flushed, of one
//! state; changes nothing.

use std::collections::BTreeSet;
use std::hash::Hasher;
use std::sync::Arc;

use domain::admit::Dimension;
use domain::calendar::DayRange;
use domain::event::EventId;
use domain::position::Seq;
use domain::record::ReceiptTimes;
use domain::rollup::Rollup;
use domain::tenant::{TenantId, TenantScope};
use domain::time::{TimeRange, Timestamp};
use domain::users::UserNumber;
use hashbrown::HashMap;
use parquet::errors::{ParquetError, Result as ParquetResult};
use ports::manifest::{Activity, ActivityFilter, DeadLetter, Identity, ManifestState, ReceivedSum, StoredErasure};
use ports::moving::{MovedDay, MovedEvent, MovedId, MovedLedger, MovedResidual, MovedSum, MovedTenant, MovedUser};
use ports::{ErrorKind, PortError};
use siphasher::sip128::{Hasher128, SipHasher13};

use crate::core::Core;
use crate::dedup::IdRecord;
use crate::ledger::EmbeddedLedger;
use crate::merge::{Merge, ResidualStream, Run, SumStream};
use crate::segment::columns::{Columns, time_at, user_at};
use crate::segment::events::{self, EventKeys, USER_NUMBER, WATERMARK};
use crate::segment::grain::Grain;
use crate::segment::sorted::SortedRows;
use crate::segment::{Segment, corrupt};
use crate::state::Snapshot;

/// Users whose names are read at once.
const USERS_AT_ONCE: u32 = 10_000;
/// Stands for no tenant in [`RecordOwners`].
const NO_TENANT: u32 = u32::MAX;

/// The parts of a ledger at one moment.
#[derive(Debug)]
pub struct LedgerParts {
    core: Arc<Core>,
    snapshot: Snapshot,
    state: ManifestState,
}

impl EmbeddedLedger {
    /// Flushes, and hands out the parts as they are then.
    ///
    /// # Errors
    /// `Conflict` when an erasure is not finished: what it has begun is neither whole nor gone. When something cannot be
    /// read or flushed.
    pub async fn parts(&self) -> Result<LedgerParts, PortError> {
        let _writer = self.core.writer.lock().await;
        self.core.flush_all().await?;
        let state = self.core.manifest.load(&self.core.identity).await?;
        let snapshot = self.core.state.read().snapshot();
        if snapshot.erasures.unfinished().next().is_some() {
            let message = "hand out a ledger with an erasure that is not finished; start the server until it is";
            return Err(PortError::new(ErrorKind::Conflict, message));
        }
        Ok(LedgerParts { core: Arc::clone(&self.core), snapshot, state })
    }
}

impl LedgerParts {
    /// What is the ledger's as a whole.
    pub fn ledger(&self) -> MovedLedger {
        let Identity { key, rule } = self.core.identity;
        MovedLedger {
            key,
            rule,
            last: self.snapshot.cursor,
            closed_through: self.snapshot.closed_through,
            floor: self.snapshot.floors.server,
            dead_letters: self.state.dead_letters,
            holds_former_ids: self.snapshot.segments.iter().any(|segment| segment.ids().holds_former_ids()),
            received_after: self.state.received_after,
            fingerprint: self.fingerprint(),
        }
    }

    /// Differs when a record was applied, windows were closed, retention has moved, something was erased or days were
    /// counted again.
    fn fingerprint(&self) -> u128 {
        let mut hasher = SipHasher13::new_with_key(&self.core.identity.key);
        hasher.write_u64(self.snapshot.cursor.0);
        hasher.write_i64(self.snapshot.closed_through.micros());
        hasher.write_i64(self.snapshot.floors.server.micros());
        for own in &self.state.tenant_retention {
            hasher.write(own.tenant.as_str().as_bytes());
            hasher.write_i64(own.floor.micros());
        }
        for (tenant, zone) in &self.state.zones {
            hasher.write(tenant.as_str().as_bytes());
            hasher.write_u64(zone.version);
        }
        for erasure in &self.state.erasures {
            hasher.write(erasure.erasure.id.as_bytes());
        }
        hasher.write_usize(self.state.metered.len());
        hasher.finish128().as_u128()
    }

    /// All tenants that have anything here, and `more`, in order of id.
    pub fn tenants(&self, more: impl IntoIterator<Item = TenantId>) -> Vec<MovedTenant> {
        let state = &self.state;
        let mut all: BTreeSet<TenantId> = more.into_iter().collect();
        all.extend(state.names.iter().map(|name| name.tenant.clone()));
        all.extend(state.users.iter().map(|(tenant, _)| tenant.clone()));
        all.extend(state.zones.iter().map(|(tenant, _)| tenant.clone()));
        all.extend(state.metered.iter().map(|(tenant, _)| tenant.clone()));
        all.extend(state.tenant_retention.iter().map(|own| own.tenant.clone()));
        all.extend(state.erasures.iter().map(|erasure| erasure.tenant.clone()));
        all.into_iter().map(|tenant| self.tenant(tenant)).collect()
    }

    fn tenant(&self, tenant: TenantId) -> MovedTenant {
        let state = &self.state;
        let of = |known: &TenantId| *known == tenant;
        let users = state.users.iter().find(|(known, _)| of(known)).map_or(0, |(_, names)| names.len());
        let metered = state.metered.iter().filter(|(known, _)| of(known)).map(|(_, customer)| customer.clone());
        let names = state.names.iter().filter(|name| of(&name.tenant));
        let mut names: Vec<(Dimension, String)> = names.map(|name| (name.dimension, name.name.clone())).collect();
        names.sort_unstable();
        MovedTenant {
            retention: state.tenant_retention.iter().find(|own| of(&own.tenant)).cloned(),
            zone: state.zones.iter().find(|(known, _)| of(known)).map(|(_, zone)| zone.clone()).unwrap_or_default(),
            users: u32::try_from(users).unwrap_or(u32::MAX),
            metered: metered.collect(),
            names,
            tenant,
        }
    }

    /// All raw events that retention shows, in order of tenant, customer, time and position.
    ///
    /// # Errors
    /// `Corrupt` when a segment cannot be read, here and as the events are.
    pub fn events(&self) -> Result<EventParts<'_>, PortError> {
        let files = self.snapshot.segments.iter().filter_map(|segment| segment.events());
        let files = files.map(|file| file.scan(&events::COLUMNS)).collect::<ParquetResult<Vec<_>>>();
        let merge = files.and_then(Merge::open).map_err(|why| corrupt("segments", why))?;
        Ok(EventParts { parts: self, merge, run: None })
    }

    /// How many segments have entries of ids.
    pub fn id_segments(&self) -> usize {
        self.snapshot.segments.len()
    }

    /// The entries of ids of one segment, in order of hash.
    ///
    /// # Errors
    /// `Corrupt` when the segment cannot be read, here and as the entries are.
    pub fn ids(&self, segment: usize) -> Result<IdParts<'_>, PortError> {
        let Some(segment) = self.snapshot.segments.get(segment) else {
            return Ok(IdParts { owners: RecordOwners::default(), entries: Box::new(std::iter::empty()) });
        };
        let mut owners = RecordOwners::of(segment).map_err(|why| corrupt("a segment", why))?;
        for tenant in self.tenants([]) {
            let hash = self.core.hasher.of_tenant(&tenant.tenant).hash("").0;
            owners.erased.insert(u64::try_from(hash >> 64).unwrap_or_default(), tenant.tenant);
        }
        Ok(IdParts { owners, entries: Box::new(segment.ids().scan()) })
    }

    /// The windows, in order of tenant, customer and start.
    ///
    /// # Errors
    /// As [`LedgerParts::events`].
    pub fn windows(&self) -> Result<SumParts, PortError> {
        self.sums(Grain::Window)
    }

    /// The customers, in order of tenant and customer.
    ///
    /// # Errors
    /// As [`LedgerParts::events`].
    pub fn customers(&self) -> Result<SumParts, PortError> {
        self.sums(Grain::Total)
    }

    fn sums(&self, grain: Grain) -> Result<SumParts, PortError> {
        let stream = SumStream::open(&self.snapshot.segments, Some(grain));
        stream.map(SumParts).map_err(|why| corrupt("partial aggregates", why))
    }

    /// The sums of erased events, in order of tenant, customer and start.
    ///
    /// # Errors
    /// As [`LedgerParts::events`].
    pub fn residuals(&self) -> Result<ResidualParts, PortError> {
        ResidualStream::open(&self.snapshot.segments).map(ResidualParts).map_err(|why| corrupt("residuals", why))
    }

    /// A tenant's rollups of hours.
    ///
    /// # Errors
    /// When the manifest cannot be read, here and in those that follow.
    pub async fn rollups(&self, scope: &TenantScope) -> Result<Vec<Rollup>, PortError> {
        Ok(self.core.manifest.rollups(scope, TimeRange::ALL).await?.1)
    }

    /// What was received of a tenant.
    ///
    /// # Errors
    /// As [`LedgerParts::rollups`].
    pub async fn received(&self, scope: &TenantScope) -> Result<Vec<ReceivedSum>, PortError> {
        Ok(self.core.manifest.received(scope, TimeRange::ALL).await?.1)
    }

    /// A tenant's users from a number on, some of them; none at the end.
    ///
    /// # Errors
    /// As [`LedgerParts::rollups`].
    pub async fn users(&self, scope: &TenantScope, from: u32) -> Result<Vec<MovedUser>, PortError> {
        let count =
            self.state.users.iter().find(|(known, _)| known == scope.tenant()).map_or(0, |(_, names)| names.len());
        let end = from.saturating_add(USERS_AT_ONCE).min(u32::try_from(count).unwrap_or(u32::MAX));
        let numbers: Vec<_> = (from..end).map(UserNumber).collect();
        let names = self.core.manifest.user_names(scope, &numbers).await?;
        let user = |(number, name): (UserNumber, Option<String>)| {
            let name = name.filter(|name| !name.is_empty());
            MovedUser { tenant: scope.tenant().clone(), number, name }
        };
        Ok(numbers.into_iter().zip(names).map(user).collect())
    }

    /// Which sets of a tenant's days there may be.
    pub fn day_filters(&self, tenant: &TenantId) -> Vec<ActivityFilter> {
        activity_filters(&self.core, tenant)
    }

    /// Who was active on which day by the events that count in one set.
    ///
    /// # Errors
    /// As [`LedgerParts::rollups`].
    pub async fn days(&self, scope: &TenantScope, filter: &ActivityFilter) -> Result<Vec<MovedDay>, PortError> {
        let (_, days) = self.core.manifest.activity(scope, filter, DayRange::ALL).await?;
        let tenant = scope.tenant();
        let day = |(day, users): (domain::calendar::Day, _)| MovedDay {
            tenant: tenant.clone(),
            filter: filter.clone(),
            day: day.number(),
            users,
        };
        Ok(days.into_iter().map(day).collect())
    }

    /// Who was active by events that were erased.
    ///
    /// # Errors
    /// As [`LedgerParts::rollups`].
    pub async fn erased_days(&self, scope: &TenantScope) -> Result<Vec<MovedDay>, PortError> {
        let day = |Activity { tenant, filter, day, users }| MovedDay { tenant, filter, day: day.number(), users };
        Ok(self.core.manifest.erased_activity(scope).await?.into_iter().map(day).collect())
    }

    /// All erasures, in order of request.
    pub fn erasures(&self) -> &[StoredErasure] {
        &self.state.erasures
    }

    /// The dead letters of a tenant, and those of which nobody can tell whose they are, in order of number.
    ///
    /// # Errors
    /// As [`LedgerParts::rollups`].
    pub async fn dead_letters(&self, scope: &TenantScope) -> Result<Vec<DeadLetter>, PortError> {
        self.core.manifest.dead_letters(scope).await
    }
}

/// All that may be stored of a tenant's days.
pub(crate) fn activity_filters(core: &Core, tenant: &TenantId) -> Vec<ActivityFilter> {
    let names = core.names.lock();
    let named = names.iter().filter(|name| name.tenant == *tenant).filter_map(|name| match name.dimension {
        Dimension::Project => Some(ActivityFilter::Project(name.name.clone())),
        Dimension::Type => Some(ActivityFilter::Type(name.name.clone())),
        _ => None,
    });
    named.chain([ActivityFilter::All, ActivityFilter::Project(String::new())]).collect()
}

/// Raw events, one after another.
pub struct EventParts<'p> {
    parts: &'p LedgerParts,
    merge: Merge<EventKeys>,
    run: Option<Run<EventKeys>>,
}

impl EventParts<'_> {
    /// The next event; none at the end.
    ///
    /// # Errors
    /// As [`LedgerParts::events`].
    pub fn next_event(&mut self) -> Result<Option<MovedEvent>, PortError> {
        self.next().map_err(|why| corrupt("segments", why))
    }

    fn next(&mut self) -> ParquetResult<Option<MovedEvent>> {
        loop {
            let Some(run) = &mut self.run else {
                match self.merge.next_run()? {
                    Some(run) => self.run = Some(run),
                    None => return Ok(None),
                }
                continue;
            };
            let Some(row) = run.rows.next() else {
                self.run = None;
                continue;
            };
            let key = run.columns.key(row);
            let tenant = tenant_of(key.tenant)?;
            if key.time >= self.parts.snapshot.floors.of(&tenant) {
                return self.parts.event(run, row, tenant).map(Some);
            }
        }
    }
}

impl LedgerParts {
    fn event(&self, run: &Run<EventKeys>, row: usize, tenant: TenantId) -> ParquetResult<MovedEvent> {
        let (event, columns) = (events::stored(&run.batch, row)?, Columns(&run.batch));
        let received_at = event.received_at;
        let watermark = time_at(columns.times(WATERMARK)?, row).unwrap_or(received_at);
        let hash = self.core.hasher.of_tenant(&tenant).hash_id(EventId { scheme: event.id_scheme, text: &event.id });
        let position = run.columns.key(row).position;
        let seen = self.snapshot.find_id(hash)?.filter(|seen| seen.position == position);
        let unknown = || ParquetError::General(format!("the event id {:?} has no entry; verify the folder", event.id));
        Ok(MovedEvent {
            position,
            user: user_at(columns.users(USER_NUMBER)?, row),
            is_late: self.core.identity.rule.is_late(event.time, ReceiptTimes { received_at, watermark }.late_from()),
            hash,
            payload: seen.ok_or_else(unknown)?.payload,
            tenant,
            event,
        })
    }
}

fn tenant_of(text: &str) -> ParquetResult<TenantId> {
    TenantId::parse(text).map_err(|why| ParquetError::General(why.to_string()))
}

/// Whose the records of a segment are, by the raw events that are left of them, and when they were received: 16 bytes a
/// record.
#[derive(Debug, Default)]
struct RecordOwners {
    tenants: Vec<TenantId>,
    first: u64,
    records: Vec<(u32, Timestamp)>,
    /// Tenants by what ids of their erased events are marked with.
    erased: HashMap<u64, TenantId>,
}

impl RecordOwners {
    fn of(segment: &Segment) -> ParquetResult<Self> {
        let (Seq(first), Seq(last)) = (segment.meta().first_seq, segment.meta().last_seq);
        let mut owners = Self { first, ..Self::default() };
        let Some(file) = segment.events() else { return Ok(owners) };
        let count = usize::try_from(last.saturating_sub(first).saturating_add(1)).unwrap_or(0);
        owners.records = vec![(NO_TENANT, Timestamp::MIN); count];
        for batch in file.scan(&["tenant", "customer", "time", "position", "received_at"])? {
            let batch = batch?;
            let (keys, received) = (EventKeys::of(&batch)?, Columns(&batch));
            let received = received.times("received_at")?;
            for row in 0..batch.num_rows() {
                owners.add(&keys.key(row), Timestamp::from_micros(received.value(row)))?;
            }
        }
        Ok(owners)
    }

    fn add(&mut self, key: &events::EventKey<'_>, received_at: Timestamp) -> ParquetResult<()> {
        if self.tenants.last().is_none_or(|last| last.as_str() != key.tenant) {
            self.tenants.push(tenant_of(key.tenant)?);
        }
        let tenant = u32::try_from(self.tenants.len().saturating_sub(1)).unwrap_or(NO_TENANT);
        let at = key.position.seq().0.checked_sub(self.first).and_then(|at| usize::try_from(at).ok());
        if let Some(record) = at.and_then(|at| self.records.get_mut(at)) {
            *record = (tenant, received_at);
        }
        Ok(())
    }

    fn entry(&self, IdRecord { hash, seen }: IdRecord) -> MovedId {
        let at = seen.position.seq().0.checked_sub(self.first).and_then(|at| usize::try_from(at).ok());
        let owner = at.and_then(|at| self.records.get(at)).filter(|(tenant, _)| *tenant != NO_TENANT);
        let of_record = owner.and_then(|(tenant, _)| self.tenants.get(usize::try_from(*tenant).ok()?));
        let (tenant, received_at) = if seen.payload.rule.is_erased() {
            (self.erased.get(&seen.payload.hash), None)
        } else {
            (of_record, owner.map(|(_, received_at)| *received_at))
        };
        MovedId { hash, payload: seen.payload, position: seen.position, tenant: tenant.cloned(), received_at }
    }
}

/// Entries of ids, one after another.
pub struct IdParts<'p> {
    owners: RecordOwners,
    entries: Box<dyn Iterator<Item = std::io::Result<IdRecord>> + 'p>,
}

impl IdParts<'_> {
    /// The next entry; none at the end.
    ///
    /// # Errors
    /// As [`LedgerParts::ids`].
    pub fn next_id(&mut self) -> Result<Option<MovedId>, PortError> {
        let record = self.entries.next().transpose().map_err(|why| corrupt("an id run", why))?;
        Ok(record.map(|record| self.owners.entry(record)))
    }
}

/// Sums, one after another.
pub struct SumParts(SumStream);

impl SumParts {
    /// The next sum; none at the end.
    ///
    /// # Errors
    /// As [`LedgerParts::events`].
    pub fn next_sum(&mut self) -> Result<Option<MovedSum>, PortError> {
        let mut next = || -> ParquetResult<Option<MovedSum>> {
            let Some(sum) = self.0.next_sum()? else { return Ok(None) };
            let (tenant, partial) = (tenant_of(&sum.tenant)?, sum.partial);
            let received = (partial.first_received, partial.last_received);
            let (customer, start, aggregate) = (sum.customer, partial.start, partial.aggregate);
            Ok(Some(MovedSum { tenant, customer, start, aggregate, received }))
        };
        next().map_err(|why| corrupt("partial aggregates", why))
    }
}

/// Sums of erased events, one after another.
pub struct ResidualParts(ResidualStream);

impl ResidualParts {
    /// The next sum; none at the end.
    ///
    /// # Errors
    /// As [`LedgerParts::events`].
    pub fn next_residual(&mut self) -> Result<Option<MovedResidual>, PortError> {
        let mut next = || -> ParquetResult<Option<MovedResidual>> {
            let Some((cell, numbers)) = self.0.next_cell()? else { return Ok(None) };
            Ok(Some(MovedResidual {
                tenant: tenant_of(&cell.tenant)?,
                customer: cell.customer,
                start: cell.start,
                project: cell.project,
                kind: cell.kind,
                endpoint: cell.endpoint,
                model: cell.model,
                numbers,
            }))
        };
        next().map_err(|why| corrupt("residuals", why))
    }
}
