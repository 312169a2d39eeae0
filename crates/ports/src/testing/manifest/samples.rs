//! Where a store under test is, and the values that the suites store.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use domain::admit::Dimension;
use domain::aggregate::Totals;
use domain::position::Seq;
use domain::retention::RetentionWait;
use domain::rollup::{Rollup, RollupKey};
use domain::tenant::{TenantId, TenantScope};
use domain::time::{MICROS_PER_HOUR, Timestamp};
use domain::window::WindowRule;

use crate::PortError;
use crate::manifest::{Commit, DeadLetter, FileKind, FileMeta, Identity, Name, SegmentMeta, TenantRetention};

/// The largest sum there is.
pub(in crate::testing) const SUM_MAX: u64 = i64::MAX as u64;

/// Where a store under test keeps its data; empty at first.
#[async_trait]
pub trait Place<P: ?Sized>: Send + Sync {
    /// Opens the store there, with what an earlier one has committed. The earlier one is gone.
    async fn open(&self) -> Result<Arc<P>, PortError>;
}

pub(in crate::testing) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros(seconds * 1_000_000)
}

pub(in crate::testing) fn hour(hours: i64) -> Timestamp {
    Timestamp::from_micros(hours * MICROS_PER_HOUR)
}

pub(in crate::testing) fn tenant(id: &str) -> TenantId {
    TenantId::parse(id).unwrap_or_else(|_| TenantId::default_tenant())
}

pub(in crate::testing) fn scope(id: &str) -> TenantScope {
    TenantScope::for_operator(tenant(id))
}

pub(in crate::testing) fn identity() -> Identity {
    Identity { key: *b"0123456789abcdef", rule: WindowRule::default() }
}

pub(in crate::testing) fn moved(from: u64, to: u64) -> Commit {
    Commit { cursor: Some((Seq(from), Seq(to))), ..Commit::default() }
}

pub(in crate::testing) fn segment(id: &str, first: u64, last: u64) -> SegmentMeta {
    let file = |kind: FileKind, bytes| FileMeta {
        kind,
        name: format!("{id}.{}", kind.as_str()),
        bytes,
        blake3: [u8::try_from(first).unwrap_or(u8::MAX); 32],
        rows: last - first + 1,
    };
    SegmentMeta {
        id: id.to_owned(),
        level: 0,
        first_seq: Seq(first),
        last_seq: Seq(last),
        time_min: at(-1),
        time_max: at(1_700_000_000),
        files: vec![file(FileKind::Events, 4_096), file(FileKind::Windows, 512), file(FileKind::Ids, 1 << 40)],
    }
}

pub(in crate::testing) fn name(tenant_id: &str, dimension: Dimension, name: &str) -> Name {
    Name { tenant: tenant(tenant_id), dimension, name: name.to_owned() }
}

pub(in crate::testing) fn counted(n: u64) -> Totals {
    Totals {
        calls: n,
        tokens: n,
        input_tokens: n,
        output_tokens: n,
        cache_read_tokens: n,
        cache_write_tokens: n,
        reasoning_tokens: n,
        latency_us: n,
        latency_calls: n,
        late: n,
    }
}

pub(in crate::testing) fn rollup(tenant_id: &str, project: &str, kind: &str, hours: i64, totals: &Totals) -> Rollup {
    let key = RollupKey { tenant: tenant(tenant_id), project: project.into(), kind: kind.into(), hour: hour(hours) };
    Rollup { key, totals: *totals }
}

pub(in crate::testing) fn with_tenant(rollup: &Rollup, id: &str) -> Rollup {
    Rollup { key: RollupKey { tenant: tenant(id), ..rollup.key.clone() }, totals: rollup.totals }
}

pub(in crate::testing) fn letter(seq: u64, of: Option<&str>) -> DeadLetter {
    DeadLetter {
        seq: Seq(seq),
        tenant: of.map(tenant),
        reason: "it is no record".into(),
        dead_lettered_at: at(1_700_000_000),
        payload: vec![0, 1, 255],
    }
}

/// How far retention reaches for a tenant.
pub(super) fn kept(of: &str, seconds: i64) -> TenantRetention {
    let wait = RetentionWait { floor: at(seconds + 1), waited: Duration::from_micros(23) };
    TenantRetention { tenant: tenant(of), floor: at(seconds), wait }
}
