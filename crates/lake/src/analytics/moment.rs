//! What the manifest answers and what is not in it yet, of one moment. The manifest names the last record
//! it counts, so nobody has to be held off while it is read.

use domain::position::Seq;

use crate::lake::Core;
use crate::memtable::Memtable;
use crate::state::Snapshot;

/// See the module.
#[derive(Debug)]
pub(crate) struct Moment<T> {
    pub(crate) snapshot: Snapshot,
    /// What was found in each memtable that the manifest's answer does not count.
    pub(crate) uncounted: Vec<T>,
    /// What was found in the memtable that the answer counts already, but no segment of the snapshot.
    pub(crate) between: Option<T>,
}

impl Core {
    /// Looks into the memtables at the moment of an answer of the manifest that counts all records up to
    /// `counted`. `None` when that moment has passed, because a flush has ended since: ask again.
    pub(crate) fn moment<T>(&self, counted: Seq, look: impl Fn(&Memtable) -> T) -> Option<Moment<T>> {
        let (snapshot, active) = {
            let state = self.state.read();
            if state.cursor > counted {
                return None;
            }
            (state.snapshot(), look(&state.active))
        };
        let (mut uncounted, mut between) = (vec![active], None);
        if let Some(frozen) = &snapshot.frozen {
            let found = look(frozen);
            if frozen.span().is_some_and(|(_, last)| last <= counted) {
                between = Some(found);
            } else {
                uncounted.push(found);
            }
        }
        Some(Moment { snapshot, uncounted, between })
    }
}
