//! Dropping raw events that are older than the operator keeps. The floor moves first, durably, so that
//! no answer ever shows a part of what is being dropped; then files whose events all lie before it
//! go. Windows, rollups and ids stay.

use std::sync::Arc;

use domain::time::{MICROS_PER_DAY, MICROS_PER_HOUR, Timestamp};
use ports::PortError;
use ports::manifest::{Commit, FileKind, FileMeta};

use crate::core::Core;
use crate::segment::Segment;

/// The floor for `now`: the start of the hour that lies `days` before it.
fn floor(now: Timestamp, days: u32) -> Timestamp {
    now.plus_micros(-i64::from(days) * MICROS_PER_DAY).floor_to(MICROS_PER_HOUR)
}

impl Core {
    /// Moves the floor when an hour has passed and drops what lies before it.
    pub(crate) async fn retain_due(&self) -> Result<(), PortError> {
        let Some(days) = self.options.retention_days else { return Ok(()) };
        let floor = floor(self.clock.now(), days);
        if floor <= self.state.read().retention_floor {
            return Ok(());
        }
        let _merging = self.merging.lock().await;
        let segments = Arc::clone(&self.state.read().segments);
        let expired: Vec<_> =
            segments.iter().filter(|segment| segment.events().is_some() && segment.meta().time_max < floor).collect();
        let forget_events: Vec<_> = expired.iter().map(|segment| segment.meta().id.clone()).collect();
        self.manifest.commit(&Commit { forget_events, retention_floor: Some(floor), ..Commit::default() }).await?;
        let mut dropped: Vec<FileMeta> = Vec::new();
        let mut reopened = Vec::new();
        for segment in expired {
            let mut meta = segment.meta().clone();
            dropped.extend(meta.files.extract_if(.., |file| file.kind == FileKind::Events));
            reopened.push(Arc::new(self.dir.open(meta, false)?));
        }
        {
            let mut state = self.state.write();
            state.retention_floor = floor;
            let segments = Arc::make_mut(&mut state.segments);
            for new in reopened {
                replace(segments, new);
            }
        }
        self.delete(&dropped);
        Ok(())
    }
}

fn replace(segments: &mut [Arc<Segment>], new: Arc<Segment>) {
    if let Some(old) = segments.iter_mut().find(|segment| segment.meta().id == new.meta().id) {
        *old = new;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_floor_is_a_whole_hour() {
        let now = Timestamp::from_micros(10 * MICROS_PER_DAY + 5 * MICROS_PER_HOUR + 17);
        assert_eq!(floor(now, 3), Timestamp::from_micros(7 * MICROS_PER_DAY + 5 * MICROS_PER_HOUR));
    }
}
