//! Counts events by type before they reach the shared counters: one lookup there per type of a
//! batch instead of one per event.

use hashbrown::HashMap;

/// Events by type.
#[derive(Debug, Default)]
pub(crate) struct Tally<'a> {
    /// The type of the latest events, which most often is that of the next.
    latest: Option<(&'a str, u64)>,
    earlier: HashMap<&'a str, u64>,
}

impl<'a> Tally<'a> {
    /// Counts one event.
    pub(crate) fn add(&mut self, kind: &'a str) {
        match &mut self.latest {
            Some((latest, count)) if *latest == kind => *count += 1,
            _ => {
                if let Some((kind, count)) = self.latest.replace((kind, 1)) {
                    *self.earlier.entry(kind).or_default() += count;
                }
            }
        }
    }

    /// The counts; a type may come up twice.
    pub(crate) fn counts(&self) -> impl Iterator<Item = (&'a str, u64)> {
        self.latest.into_iter().chain(self.earlier.iter().map(|(kind, count)| (*kind, *count)))
    }
}
