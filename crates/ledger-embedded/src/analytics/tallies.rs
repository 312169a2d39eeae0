//! Counts by user, in pages of neighbouring numbers: as quick as an array, and no larger than what is counted
//! asks for.

use domain::users::UserNumber;

/// Users of a page.
const PAGE: usize = 256;

/// Counts of events by user.
#[derive(Debug, Default)]
pub(super) struct Tallies {
    /// By number of the page.
    pages: Vec<Option<Box<[u64; PAGE]>>>,
}

impl Tallies {
    /// Counts one more event of a user.
    pub(super) fn add(&mut self, user: UserNumber) {
        let (page, place) = (user.0 as usize / PAGE, user.0 as usize % PAGE);
        if page >= self.pages.len() {
            self.pages.resize_with(page + 1, || None);
        }
        self.pages[page].get_or_insert_with(|| Box::new([0; PAGE]))[place] += 1;
    }

    /// Users with events, and how many, in order of number.
    pub(super) fn counted(&self) -> impl Iterator<Item = (UserNumber, u64)> {
        let pages = (0_u32..).step_by(PAGE).zip(&self.pages);
        let pages = pages.filter_map(|(first, page)| Some((first, page.as_ref()?)));
        let users = pages.flat_map(|(first, page)| (first..).map(UserNumber).zip(page.iter().copied()));
        users.filter(|(_, count)| *count > 0)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_event_is_counted_once(users in proptest::collection::vec(prop_oneof![0_u32..1_000, 0_u32..3_000_000], 0..500)) {
            let (mut tallies, mut expected) = (Tallies::default(), BTreeMap::new());
            for user in users {
                tallies.add(UserNumber(user));
                *expected.entry(UserNumber(user)).or_insert(0) += 1;
            }
            prop_assert_eq!(tallies.counted().collect::<Vec<_>>(), expected.into_iter().collect::<Vec<_>>());
        }
    }
}
