//! Adds up what looks like a mistake in the events of one request, by reason and member. How many of them are
//! told apart is bounded; the members beyond that are added up by reason alone.

use std::collections::HashMap;

use domain::limits::WARNING_SUMS_MAX;
use domain::warning::{Warning, WarningCode};

use super::answer::WarningSum;

/// The sums so far, in the order in which they were first met.
#[derive(Debug, Default)]
pub(super) struct WarningSums {
    sums: Vec<WarningSum>,
    places: HashMap<(WarningCode, Option<String>), usize>,
}

impl WarningSums {
    /// Adds what was found in the event at `index`.
    pub(super) fn add(&mut self, index: usize, warnings: &[Warning<'_>]) {
        for warning in warnings {
            let field = warning.field.as_deref().map(str::to_owned);
            self.count(index, warning.code, field);
        }
    }

    fn count(&mut self, index: usize, code: WarningCode, field: Option<String>) {
        // The last sums are kept for reasons without a member, of which there are few.
        let is_full = self.sums.len() + WarningCode::ALL.len() >= WARNING_SUMS_MAX;
        let mut key = (code, field);
        if is_full && !self.places.contains_key(&key) {
            key.1 = None;
        }
        let place = *self.places.entry(key.clone()).or_insert(self.sums.len());
        match self.sums.get_mut(place) {
            Some(sum) => sum.count += 1,
            None => self.sums.push(WarningSum { code, field: key.1, count: 1, first: index }),
        }
    }

    /// The sums.
    pub(super) fn into_sums(self) -> Vec<WarningSum> {
        self.sums
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn i6_members_beyond_the_limit_are_added_up_by_their_reason() {
        let mut sums = WarningSums::default();
        let names: Vec<_> = (0..200).map(|n| format!("name{n}")).collect();
        for (index, name) in names.iter().enumerate() {
            sums.add(
                index,
                &[Warning::of(WarningCode::NearField, name.as_str()), Warning::whole(WarningCode::ZeroTime)],
            );
        }
        let sums = sums.into_sums();
        assert!(sums.len() <= WARNING_SUMS_MAX, "{}", sums.len());
        let of = |code| sums.iter().filter(move |sum| sum.code == code).map(|sum| sum.count).sum::<u64>();
        assert_eq!((of(WarningCode::NearField), of(WarningCode::ZeroTime)), (200, 200));
        assert_eq!(sums.first().map(|sum| (sum.field.as_deref(), sum.first)), Some((Some("name0"), 0)));
    }
}
