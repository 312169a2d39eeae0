//! Which failed logins and refused permissions are written to the audit log: at most one a minute for each caller and
//! kind, so that nobody can fill the disk with them.

use std::collections::HashMap;
use std::time::Duration;

use parking_lot::Mutex;

/// Time between two entries of the same caller and kind.
const INTERVAL: Duration = Duration::from_secs(60);
/// Callers and kinds that are told apart; beyond that nothing is noted until the older ones are over.
const KINDS_MAX: usize = 10_000;

/// When what was noted last.
#[derive(Debug, Default)]
pub(crate) struct RefusalLog(Mutex<HashMap<String, (Duration, u64)>>);

impl RefusalLog {
    /// Whether this is to be noted, and how many before it were not.
    pub(crate) fn sample(&self, kind: String, now: Duration) -> Option<u64> {
        let mut noted = self.0.lock();
        if let Some((last, left_out)) = noted.get_mut(&kind) {
            if now.saturating_sub(*last) < INTERVAL {
                *left_out += 1;
                return None;
            }
            *last = now;
            return Some(std::mem::take(left_out));
        }
        if noted.len() >= KINDS_MAX {
            noted.retain(|_, (last, _)| now.saturating_sub(*last) < INTERVAL);
        }
        if noted.len() >= KINDS_MAX {
            return None;
        }
        noted.insert(kind, (now, 0));
        Some(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_caller_and_kind_is_noted_once_a_minute_with_what_was_left_out() {
        let log = RefusalLog::default();
        let at = |seconds| Duration::from_secs(seconds);
        assert_eq!(log.sample("a".to_owned(), at(0)), Some(0));
        assert_eq!(log.sample("b".to_owned(), at(1)), Some(0));
        assert_eq!((log.sample("a".to_owned(), at(1)), log.sample("a".to_owned(), at(59))), (None, None));
        assert_eq!(log.sample("a".to_owned(), at(60)), Some(2));
        for kind in 2..KINDS_MAX {
            assert_eq!(log.sample(kind.to_string(), at(60)), Some(0));
        }
        assert_eq!(log.sample("one too many".to_owned(), at(61)), Some(0), "'b' is over");
        assert_eq!(log.sample("another".to_owned(), at(61)), None);
    }
}
