//! Erasures as JSON. The name of what is erased is not in it.

use domain::erasure::{ErasedSoFar, Erasure};
use domain::time::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

/// What no erasure ever reaches, so that every report says it.
const NOT_REACHED: [&str; 5] = [
    "backups and copies of the data folder that were made before",
    "log files, which hold ids of requests and addresses",
    "blocks of the disk that deleted files have freed, until they are written again",
    "what clients, exports and brokers have kept",
    "entries of the audit log from before they had details, and values of properties in queries that it tells of",
];

/// An erasure and its report.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Erasure)]
pub(crate) struct ErasureBody {
    /// The erasure's id.
    id: String,
    /// What is erased: `user`, `customer` or `workspace`.
    kind: &'static str,
    /// `running`, or `done` when nothing of it is left in the data folder.
    status: &'static str,
    /// Whether later events of the same user or customer are refused.
    block: bool,
    /// When it was asked for: events that were accepted before are covered.
    #[schema(value_type = String, format = DateTime)]
    requested: Timestamp,
    /// Who asked, by internal id.
    requested_by: String,
    /// When the store and the catalog held nothing of it any more; null until it is `done`.
    #[schema(value_type = Option<String>, format = DateTime)]
    finished: Option<Timestamp>,
    /// The zone whose days of active users are as they were; empty when it was changed in the middle.
    timezone: String,
    /// What has gone.
    gone: GoneBody,
    /// What is not reached.
    not_reached: Vec<String>,
}

/// What an erasure has removed.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Erased)]
struct GoneBody {
    /// Raw events.
    events: u64,
    /// Segments of the store that were written anew without them.
    segments: u64,
    /// Names of users that no event is left of.
    users: u64,
    /// Dead letters that were emptied.
    dead_letters: u64,
    /// Whether the journal's files hold none of the records any more.
    journal: bool,
}

impl ErasureBody {
    /// The erasure, whose records the journal may still hold, and where else the store may.
    pub(crate) fn new(erasure: Erasure, is_in_journal: bool, remains: Vec<String>) -> Self {
        let is_done = erasure.finished_at.is_some() && !is_in_journal;
        let Erasure { id, kind, blocks, requested_at, by, zone, gone, finished_at, .. } = erasure;
        let ErasedSoFar { events, segments, users, dead_letters } = gone;
        Self {
            id,
            kind: kind.as_str(),
            status: if is_done { "done" } else { "running" },
            block: blocks,
            requested: requested_at,
            requested_by: by,
            finished: finished_at.filter(|_| is_done),
            timezone: zone,
            gone: GoneBody { events, segments, users, dead_letters, journal: !is_in_journal },
            not_reached: NOT_REACHED.map(str::to_owned).into_iter().chain(remains).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use domain::erasure::SubjectKind;
    use domain::position::Seq;

    use super::*;

    /// Found in November 2026: it was told as finished while the journal held it, and who stopped the server then left it
    /// there until the next start.
    #[test]
    fn an_erasure_is_finished_when_it_is_done() {
        let at = Timestamp::from_micros(7);
        let told = |finished_at, is_in_journal| {
            let erasure = Erasure {
                id: "e".to_owned(),
                kind: SubjectKind::User,
                blocks: false,
                through: Seq(1),
                requested_at: at,
                by: "dev".to_owned(),
                zone: "UTC".to_owned(),
                gone: ErasedSoFar::default(),
                finished_at,
            };
            let body = ErasureBody::new(erasure, is_in_journal, Vec::new());
            (body.status, body.finished, body.gone.journal)
        };
        assert_eq!(told(None, true), ("running", None, false));
        assert_eq!(told(None, false), ("running", None, true));
        assert_eq!(told(Some(at), true), ("running", None, false));
        assert_eq!(told(Some(at), false), ("done", Some(at), true));
    }
}
