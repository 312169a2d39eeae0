//! Requests with a key that have begun and are not told by the ledger yet: on their way to the journal, or
//! in it and not applied. What the ledger has applied, it knows; so a key stands here, or there, or its request
//! has left nothing. Does no IO.
//!
//! Invariant: of the requests with one key that are not applied, at most one is on its way. It begins when
//! [`RunningRequests::begin`] returns it, and ends when it is dropped or, once journaled, when it is applied.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use domain::position::Seq;
use domain::tenant::TenantId;
use parking_lot::Mutex;

/// Whose request, and its name.
pub(crate) type RequestName = (TenantId, Arc<str>);

/// The requests of one process.
#[derive(Debug, Default)]
pub(crate) struct RunningRequests {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The record of each request, once it is durable.
    unapplied: HashMap<RequestName, Option<Seq>>,
    journaled: BTreeMap<Seq, RequestName>,
}

impl State {
    fn forget_applied(&mut self, applied: Seq) {
        while let Some(first) = self.journaled.first_entry().filter(|first| *first.key() <= applied) {
            self.unapplied.remove(&first.remove());
        }
    }
}

/// What stands in the way of a request.
#[derive(Debug)]
pub(crate) enum Begin {
    /// Nothing; it has begun.
    Begun(RunningRequest),
    /// An earlier one is on its way to the journal.
    Running,
    /// An earlier one is in the journal, in this record, and not applied yet.
    Journaled(Seq),
}

impl RunningRequests {
    /// Begins a request, when every record up to `applied` is.
    pub(crate) fn begin(self: &Arc<Self>, name: &RequestName, applied: Seq) -> Begin {
        let mut state = self.state.lock();
        state.forget_applied(applied);
        match state.unapplied.get(name) {
            Some(Some(seq)) => return Begin::Journaled(*seq),
            Some(None) => return Begin::Running,
            None => state.unapplied.insert(name.clone(), None),
        };
        drop(state);
        Begin::Begun(RunningRequest { name: name.clone(), requests: Arc::clone(self), journaled: None })
    }
}

/// A request on its way. When it is dropped without a record, its key is free again.
#[derive(Debug)]
pub(crate) struct RunningRequest {
    name: RequestName,
    requests: Arc<RunningRequests>,
    journaled: Option<Seq>,
}

impl RunningRequest {
    /// Its name.
    pub(crate) fn name(&self) -> &str {
        &self.name.1
    }

    /// It is durable as record `seq`: its key is taken until that is applied.
    pub(crate) fn journaled(mut self, seq: Seq) {
        self.journaled = Some(seq);
    }
}

impl Drop for RunningRequest {
    fn drop(&mut self) {
        let mut state = self.requests.state.lock();
        match self.journaled {
            Some(seq) => {
                state.unapplied.insert(self.name.clone(), Some(seq));
                state.journaled.insert(seq, self.name.clone());
            }
            None => {
                state.unapplied.remove(&self.name);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(key: &str) -> RequestName {
        (TenantId::default_tenant(), Arc::from(key))
    }

    fn begun(requests: &Arc<RunningRequests>, key: &str, applied: u64) -> Option<RunningRequest> {
        match requests.begin(&name(key), Seq(applied)) {
            Begin::Begun(request) => Some(request),
            Begin::Running | Begin::Journaled(_) => None,
        }
    }

    #[test]
    fn a_key_is_taken_from_its_beginning_until_its_record_is_applied() {
        let requests = Arc::new(RunningRequests::default());
        let first = begun(&requests, "k", 0);
        assert!(matches!(requests.begin(&name("k"), Seq(9)), Begin::Running));
        assert!(begun(&requests, "other", 0).is_some());
        assert!(first.is_some());
        first.into_iter().for_each(|first| first.journaled(Seq(5)));
        assert!(matches!(requests.begin(&name("k"), Seq(4)), Begin::Journaled(Seq(5))));
        assert!(begun(&requests, "k", 5).is_some(), "the ledger knows it now");
    }

    #[test]
    fn a_request_that_leaves_no_record_frees_its_key() {
        let requests = Arc::new(RunningRequests::default());
        drop(begun(&requests, "k", 0));
        assert!(begun(&requests, "k", 0).is_some());
    }

    #[test]
    fn i6_what_is_applied_is_forgotten_whatever_the_order_of_the_answers() {
        let requests = Arc::new(RunningRequests::default());
        let running: Vec<_> = (1..=50).map(|seq| (seq, begun(&requests, &format!("k{seq}"), 0))).collect();
        for (seq, request) in running.into_iter().rev() {
            request.into_iter().for_each(|request| request.journaled(Seq(seq)));
        }
        drop(begun(&requests, "new", 30));
        let state = requests.state.lock();
        assert_eq!((state.unapplied.len(), state.journaled.len()), (20, 20));
    }
}
