//! What was received, by receive time: what quotas are held against. Sums of quarters of an hour stand in the manifest
//! and in the memtables, of every tenant, and of the customers that somebody has asked for. What such a customer has
//! brought before it was asked for is counted from its raw events, once, while nothing is applied.

use std::collections::BTreeMap;
use std::sync::Arc;

use domain::quota::{Amounts, quarter_of};
use domain::tenant::{TenantId, TenantScope};
use domain::time::{TimeRange, Timestamp};
use parquet::errors::Result as ParquetResult;
use ports::ledger::Received;
use ports::manifest::{Commit, ReceivedSum};
use ports::{ErrorKind, PortError};

use crate::core::Core;
use crate::memtable::Memtable;
use crate::segment::columns::{Columns, count_at, text_at};
use crate::segment::{KeyRange, Segment, corrupt};

/// What is read of an event to count it.
const COLUMNS: [&str; 6] = ["tenant", "customer", "received_at", "tokens", "endpoint", "model"];

impl Core {
    /// What was received of a tenant in the quarters that begin inside `range`.
    pub(crate) async fn received(&self, scope: &TenantScope, range: TimeRange) -> Result<Received, PortError> {
        let quarters = TimeRange::new(quarter_of(range.from()), quarter_of(range.to())).unwrap_or(range);
        let look = |active: &Memtable| active.received_of(scope.tenant(), quarters);
        let found = self.read_consistently(|| self.manifest.received(scope, quarters), look).await?;
        let mut received = found.active;
        let frozen = found.snapshot.frozen.as_ref().filter(|_| !found.counts_frozen);
        if let Some(Received { all, by_customer }) = frozen.map(|frozen| look(frozen)) {
            received.add("", &all);
            by_customer.iter().for_each(|(customer, amounts)| received.add(customer, amounts));
        }
        found.stored.iter().for_each(|sum| received.add(&sum.customer, &sum.amounts));
        Ok(received)
    }

    /// Has a customer counted from now on, with all that its raw events give.
    pub(crate) async fn meter_customer(&self, scope: &TenantScope, customer: &str) -> Result<(), PortError> {
        let tenant = scope.tenant();
        let is_known = || self.state.read().metered.get(tenant).is_some_and(|known| known.contains(customer));
        if is_known() {
            return Ok(());
        }
        // Nothing is applied meanwhile; the journal keeps what comes in. Nor is an erasure begun.
        let _writer = self.writer.lock().await;
        if is_known() {
            return Ok(());
        }
        if self.is_being_erased(scope, customer) {
            return Err(PortError::new(ErrorKind::Conflict, "count a customer apart: it is being erased"));
        }
        self.flush_all().await?;
        let _flushing = self.flushing.lock().await;
        let segments = Arc::clone(&self.state.read().segments);
        let of = (tenant.clone(), customer.to_owned());
        let counting = tokio::task::spawn_blocking(move || count(&segments, &of.0, &of.1));
        let counted = counting.await.map_err(|why| PortError::new(ErrorKind::Unavailable, "count").because(why))?;
        let sum =
            |(start, amounts)| ReceivedSum { tenant: tenant.clone(), customer: customer.to_owned(), start, amounts };
        let received = counted?.into_iter().map(sum).collect();
        let metered = vec![(tenant.clone(), customer.to_owned())];
        self.manifest.commit(&Commit { received, metered, ..Commit::default() }).await?;
        let mut state = self.state.write();
        Arc::make_mut(&mut state.metered).entry(tenant.clone()).or_default().insert(customer.to_owned());
        Ok(())
    }
}

/// What the raw events of a customer give, by quarter.
fn count(
    segments: &[Arc<Segment>],
    tenant: &TenantId,
    customer: &str,
) -> Result<BTreeMap<Timestamp, Amounts>, PortError> {
    let mut sums = BTreeMap::new();
    for segment in segments {
        let counted = count_in(segment, tenant, customer, &mut sums);
        counted.map_err(|why| corrupt(&segment.meta().id, why))?;
    }
    Ok(sums)
}

fn count_in(
    segment: &Segment,
    tenant: &TenantId,
    customer: &str,
    sums: &mut BTreeMap<Timestamp, Amounts>,
) -> ParquetResult<()> {
    let Some(events) = segment.events() else { return Ok(()) };
    let tenant = tenant.as_str();
    let wanted = KeyRange { tenant, grain: None, customer: Some(customer), from_customer: None, range: TimeRange::ALL };
    for batch in events.select(&wanted, &COLUMNS)? {
        let batch = batch?;
        let columns = Columns(&batch);
        let (tenants, customers) = (columns.texts("tenant")?, columns.texts("customer")?);
        let (received, tokens) = (columns.times("received_at")?, columns.numbers("tokens")?);
        let (endpoints, models) = (columns.texts("endpoint")?, columns.texts("model")?);
        for row in 0..batch.num_rows() {
            if tenants.value(row) == tenant && customers.value(row) == customer {
                let is_call = text_at(endpoints, row).is_some() || text_at(models, row).is_some();
                let amounts = Amounts::of_parts(count_at(tokens, row), is_call);
                let quarter = quarter_of(Timestamp::from_micros(received.value(row)));
                sums.entry(quarter).or_default().add(&amounts);
            }
        }
    }
    Ok(())
}
