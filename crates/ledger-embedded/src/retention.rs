//! Dropping raw events that are older than the operator, or a tenant for itself, keeps. A floor moves first, durably,
//! so that no answer ever shows a part of what is being dropped; then files go whose events all lie before the floors
//! of their tenants. What is hidden in other files goes when they are merged, or written again for it. Windows, rollups
//! and ids stay. What goes, or will after a wait, is said in the log; when the floor may move is decided in
//! `domain::retention`, and never while the time is in doubt.

mod hidden;
mod tenants;

use std::sync::Arc;
use std::time::Duration;

use domain::retention::{RetentionLook, RetentionStep, RetentionWait, floor_at};
use domain::time::{MICROS_PER_HOUR, TimeRange, Timestamp};
use ports::PortError;
use ports::ledger::RetentionNotice;
use ports::manifest::{Commit, FileKind, FileMeta, SegmentMeta, TenantRetention};

use crate::core::Core;
use crate::retention_run::WAIT_STORED_EVERY;
use crate::segment::Segment;
use crate::state::Floors;

/// What became of the floors that were due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Moved {
    /// They are where they are to be.
    Done,
    /// A tenant has chosen to keep more meanwhile: the next look decides anew.
    Overtaken,
}

/// Raw events that go together.
#[derive(Debug, Default)]
struct Doomed {
    segments: u64,
    events: u64,
    first: Option<Timestamp>,
    last: Option<Timestamp>,
}

impl Doomed {
    fn of<'s>(segments: impl Iterator<Item = &'s SegmentMeta>) -> Self {
        let mut doomed = Self::default();
        for meta in segments {
            let rows = |file: &FileMeta| if file.kind == FileKind::Events { file.rows } else { 0 };
            doomed.segments += 1;
            doomed.events += meta.files.iter().map(rows).sum::<u64>();
            doomed.first = Some(doomed.first.map_or(meta.time_min, |first| first.min(meta.time_min)));
            doomed.last = doomed.last.max(Some(meta.time_max));
        }
        doomed
    }
}

impl Core {
    /// Moves the floor when that is due and drops what lies before it.
    pub(crate) async fn retain_due(&self) -> Result<(), PortError> {
        // What is not replayed yet may be older than all that is known.
        if !self.options.retains || self.state.read().applied < self.options.replay_through {
            return Ok(());
        }
        let (now, uptime) = (self.clock.now(), self.clock.monotonic());
        if self.clock.doubt().is_some() {
            return Ok(());
        }
        let (elapsed, delay) = {
            let mut run = self.retention.lock();
            let elapsed = uptime.saturating_sub(run.looked.replace(uptime).unwrap_or(uptime));
            (elapsed, if run.now { Duration::ZERO } else { self.options.retention_delay })
        };
        // Before the server's floor moves: from now on it is no longer that of a tenant with its own.
        if self.retain_tenants(now, elapsed, delay).await? == Moved::Overtaken {
            return Ok(());
        }
        let moved = match self.options.retention_days {
            Some(days) => self.retain_server(now, days, elapsed, delay).await?,
            None => self.store_wait(RetentionWait::NONE).await.map(|()| Moved::Done)?,
        };
        if moved == Moved::Overtaken {
            return Ok(());
        }
        let mut run = self.retention.lock();
        (run.now, run.is_settled) = (false, true);
        Ok(())
    }

    /// Moves the floor of everybody without one of its own, when that is due.
    async fn retain_server(
        &self,
        now: Timestamp,
        days: u32,
        elapsed: Duration,
        delay: Duration,
    ) -> Result<Moved, PortError> {
        let look = {
            let (floor, wait) = (self.state.read().floors.server, self.retention.lock().wait);
            RetentionLook { floor, wait, target: floor_at(now, days), elapsed, delay }
        };
        match look.step() {
            RetentionStep::Keep => self.store_wait(RetentionWait::NONE).await?,
            RetentionStep::Wait(wait) if self.has_between(look.floor, wait.floor) => self.wait(look, wait).await?,
            // No further than was looked: what lies beyond waits for itself.
            RetentionStep::Wait(wait) => return self.drop_before(wait.floor.floor_to(MICROS_PER_HOUR)).await,
            RetentionStep::Drop(floor) => return self.drop_before(floor).await,
        }
        Ok(Moved::Done)
    }

    /// What retention will drop after a wait, if anything. What an earlier run waited for may be kept by today's
    /// settings, so nothing is said of it before this run has decided anew.
    pub(crate) fn retention_notice(&self) -> Option<RetentionNotice> {
        let wait = {
            let run = self.retention.lock();
            run.is_settled.then_some(run.wait)?
        };
        self.notice_of(wait)
    }

    fn notice_of(&self, wait: RetentionWait) -> Option<RetentionNotice> {
        if wait.floor <= self.state.read().floors.server {
            return None;
        }
        let segments = Arc::clone(&self.state.read().segments);
        let doomed = Doomed::of(touched(&segments, wait.floor).map(|segment| segment.meta()));
        Some(RetentionNotice {
            before: wait.floor,
            segments: doomed.segments,
            events: doomed.events,
            oldest: doomed.first,
            due_in: self.options.retention_delay.saturating_sub(wait.waited),
        })
    }

    /// Whether any raw event may lie between a floor and a later one, by the bounds of segments.
    fn has_between(&self, floor: Timestamp, later: Timestamp) -> bool {
        let Some(range) = TimeRange::new(floor, later) else { return false };
        let state = self.state.read();
        let in_memory = [state.active.times(), state.frozen.as_ref().and_then(|frozen| frozen.times())];
        let mut in_segments = state.segments.iter().filter(|segment| segment.events().is_some());
        in_memory.into_iter().flatten().any(|(first, last)| range.overlaps(first, last))
            || in_segments.any(|segment| segment.overlaps(range))
    }

    async fn wait(&self, look: RetentionLook, wait: RetentionWait) -> Result<(), PortError> {
        let is_new = !look.is_waiting();
        let stored = self.retention.lock().stored;
        if is_new || wait.waited.saturating_sub(stored.waited) >= WAIT_STORED_EVERY {
            self.store_wait(wait).await?;
        } else {
            self.retention.lock().wait = wait;
        }
        let said_before = !is_new && look.elapsed > Duration::ZERO;
        if let Some(notice) = self.notice_of(wait).filter(|_| !said_before) {
            tracing::warn!(
                before = %notice.before,
                segments = notice.segments,
                events = notice.events,
                oldest = notice.oldest.map(tracing::field::display),
                due_in_sec = notice.due_in.as_secs(),
                "retention is new or shorter, or the clock is ahead: raw events will be dropped after the time given; \
                 --retention-now drops them at once, a longer retention keeps them"
            );
        }
        Ok(())
    }

    /// Makes durable how long was waited so far.
    pub(crate) async fn store_waited(&self) -> Result<(), PortError> {
        if !self.options.retains {
            return Ok(());
        }
        let (wait, tenants) = {
            let floors = Arc::clone(&self.state.read().floors);
            let run = self.retention.lock();
            (run.wait, run.tenants.unstored(&floors))
        };
        self.store_wait(wait).await?;
        self.store_tenants(&tenants).await
    }

    /// Makes durable what is waited for, unless it is already.
    async fn store_wait(&self, wait: RetentionWait) -> Result<(), PortError> {
        if self.retention.lock().stored != wait {
            self.manifest.commit(&Commit { retention_wait: Some(wait), ..Commit::default() }).await?;
        }
        let mut run = self.retention.lock();
        (run.wait, run.stored) = (wait, wait);
        Ok(())
    }

    async fn drop_before(&self, floor: Timestamp) -> Result<Moved, PortError> {
        let segments = Arc::clone(&self.state.read().segments);
        let stands = self.state.read().floors.server;
        // From hour to hour a segment that reaches over the floor loses events that no file tells of.
        let is_step = floor > stands.plus_micros(MICROS_PER_HOUR) && self.has_between(stands, floor);
        let hidden = Doomed::of(touched(&segments, floor).map(|segment| segment.meta()));
        // A tenant that has just chosen its own retention has no floor of its own yet.
        let still_may = || self.has_own_floors();
        let Some(told) = self.move_floors(Some(floor), &[], still_may).await? else { return Ok(Moved::Overtaken) };
        {
            let mut run = self.retention.lock();
            (run.wait, run.stored) = (RetentionWait::NONE, RetentionWait::NONE);
        }
        if told.events > 0 || is_step {
            tracing::warn!(
                before = %floor, segments = told.segments, events = told.events, events_at_most = hidden.events,
                first = hidden.first.map(tracing::field::display), last = told.last.map(tracing::field::display),
                "retention has dropped raw events"
            );
        }
        Ok(Moved::Done)
    }

    /// Moves floors, and drops the files whose events all lie before those of their tenants: one commit. Nothing moves
    /// when, after the files were read, a tenant has chosen to keep more.
    async fn move_floors(
        &self,
        server: Option<Timestamp>,
        tenants: &[TenantRetention],
        still_may: impl Fn() -> bool,
    ) -> Result<Option<Doomed>, PortError> {
        let _merging = self.merging.lock().await;
        let (segments, floors) = {
            let state = self.state.read();
            (Arc::clone(&state.segments), moved(&state.floors, server, tenants))
        };
        let expired = self.doomed(&segments, &floors)?;
        let forget_events: Vec<_> = expired.iter().map(|segment| segment.meta().id.clone()).collect();
        let told = Doomed::of(expired.iter().map(|segment| segment.meta()));
        let commit = Commit {
            forget_events,
            retention_floor: server,
            retention_wait: server.map(|_| RetentionWait::NONE),
            tenant_retention: tenants.to_vec(),
            ..Commit::default()
        };
        fail::fail_point!("retention::before_commit");
        if !still_may() {
            return Ok(None);
        }
        self.manifest.commit(&commit).await?;
        let mut dropped: Vec<FileMeta> = Vec::new();
        let mut reopened = Vec::new();
        for segment in expired {
            let mut meta = segment.meta().clone();
            dropped.extend(meta.files.extract_if(.., |file| file.kind == FileKind::Events));
            reopened.push(Arc::new(self.dir.open(meta, false)?));
        }
        {
            let mut state = self.state.write();
            state.floors = Arc::new(floors);
            let segments = Arc::make_mut(&mut state.segments);
            for new in reopened {
                replace(segments, new);
            }
        }
        self.delete(&dropped);
        Ok(Some(told))
    }

    /// Segments whose raw events all lie before the floors of their tenants.
    fn doomed(&self, segments: &[Arc<Segment>], floors: &Floors) -> Result<Vec<Arc<Segment>>, PortError> {
        let mut doomed = Vec::new();
        for segment in segments.iter().filter(|segment| segment.events().is_some()) {
            let last = segment.meta().time_max;
            let may_be = last < floors.server || floors.own.values().any(|floor| last < *floor);
            let is_before = |tenant| last < floors.of(tenant);
            if may_be && (floors.own.is_empty() || self.tenants_in(segment)?.iter().all(is_before)) {
                doomed.push(Arc::clone(segment));
            }
        }
        Ok(doomed)
    }
}

/// `floors` after a move, none of them back.
fn moved(floors: &Floors, server: Option<Timestamp>, tenants: &[TenantRetention]) -> Floors {
    let mut moved = floors.clone();
    moved.server = moved.server.max(server.unwrap_or(moved.server));
    for one in tenants {
        let floor = moved.own.entry(one.tenant.clone()).or_insert(one.floor);
        *floor = (*floor).max(one.floor);
    }
    moved
}

/// Segments that have raw events before `floor`, whole or in part.
fn touched(segments: &[Arc<Segment>], floor: Timestamp) -> impl Iterator<Item = &Arc<Segment>> {
    segments.iter().filter(move |segment| segment.events().is_some() && segment.meta().time_min < floor)
}

fn replace(segments: &mut [Arc<Segment>], new: Arc<Segment>) {
    if let Some(old) = segments.iter_mut().find(|segment| segment.meta().id == new.meta().id) {
        *old = new;
    }
}
