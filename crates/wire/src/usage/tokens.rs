//! What a usage object says in the end: two totals with their subsets, however its shape counts them.
//! Here the rules are that hold for all shapes: when reasoning lies outside of the output, and what
//! becomes of a subset that is larger than its total.

use domain::limits::TOKENS_MAX;

use super::members::Unreadable;

/// The tokens of one call. What the provider does not say is `None`. The subsets fit: the input is at
/// least what was read from and written into the cache, the output at least the reasoning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct ProviderUsage {
    /// All that was read, cached or not.
    pub(crate) input: Option<u64>,
    /// All that was written, reasoning or not.
    pub(crate) output: Option<u64>,
    /// The part of the input that a cache answered.
    pub(crate) cache_read: Option<u64>,
    /// The part of the input that was put into a cache.
    pub(crate) cache_write: Option<u64>,
    /// The part of the output that is reasoning.
    pub(crate) reasoning: Option<u64>,
    /// Whether a subset was larger than what was left of its total, or the provider's sum larger than all that it
    /// names. The subset was cut; a span's total was raised instead.
    pub(crate) conflict: bool,
}

/// What became of an object that may be a usage object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reading {
    /// It has none of the shapes.
    NotUsage,
    /// It has one, but what it says is unreadable.
    Invalid {
        /// The dotted path of a member that is no count, no object, or there twice with two values, or
        /// whose total is beyond the limit.
        member: String,
    },
    /// What it says.
    Read(ProviderUsage),
}

impl From<Result<ProviderUsage, Unreadable>> for Reading {
    fn from(read: Result<ProviderUsage, Unreadable>) -> Self {
        match read {
            // It was told by a member in which nothing stands.
            Ok(ProviderUsage { input: None, output: None, .. }) => Self::NotUsage,
            Ok(usage) => Self::Read(usage),
            Err(Unreadable(member)) => Self::Invalid { member },
        }
    }
}

/// What an object says, before its numbers are held against each other.
#[derive(Debug, Default)]
pub(super) struct Said {
    /// With what the shape counts beside it.
    pub(super) input: Option<u64>,
    pub(super) cache_read: Option<u64>,
    pub(super) cache_write: Option<u64>,
    pub(super) output: Option<u64>,
    pub(super) reasoning: Option<u64>,
    /// The provider's own sum, where it can tell whether reasoning lies outside of the output.
    pub(super) total: Option<u64>,
}

impl Said {
    /// Adds reasoning that lies outside of the output, and cuts subsets that do not fit: the total stands,
    /// and what was read from the cache goes before what was written into it.
    ///
    /// # Errors
    /// The first of `names`, of the members that count the input and the output, whose total is beyond
    /// the limit.
    pub(super) fn settle(self, names: [&str; 2]) -> Result<ProviderUsage, Unreadable> {
        let Self { input, cache_read, cache_write, mut output, reasoning, total } = self;
        let inside = input.unwrap_or(0).saturating_add(output.unwrap_or(0));
        let outside = inside.saturating_add(reasoning.unwrap_or(0));
        if total == Some(outside) && outside != inside {
            output = added([output, reasoning]);
        }
        // What the provider counts in sum and nowhere else is not counted here.
        let mut conflict = total.is_some_and(|total| total > outside);
        let (mut input_left, mut output_left) = (input.unwrap_or(0), output.unwrap_or(0));
        let cache_read = cut(cache_read, &mut input_left, &mut conflict);
        let cache_write = cut(cache_write, &mut input_left, &mut conflict);
        let reasoning = cut(reasoning, &mut output_left, &mut conflict);
        ProviderUsage { input, output, cache_read, cache_write, reasoning, conflict }.bounded(names)
    }
}

impl ProviderUsage {
    /// The tokens of two calls that were charged together.
    pub(super) fn plus(self, other: Self, names: [&str; 2]) -> Result<Self, Unreadable> {
        let sum = Self {
            input: added([self.input, other.input]),
            output: added([self.output, other.output]),
            cache_read: added([self.cache_read, other.cache_read]),
            cache_write: added([self.cache_write, other.cache_write]),
            reasoning: added([self.reasoning, other.reasoning]),
            conflict: self.conflict || other.conflict,
        };
        sum.bounded(names)
    }

    fn bounded(self, [input, output]: [&str; 2]) -> Result<Self, Unreadable> {
        let beyond = |total: Option<u64>| total.is_some_and(|total| total > TOKENS_MAX);
        match (beyond(self.input), beyond(self.output)) {
            (true, _) => Err(Unreadable(input.to_owned())),
            (_, true) => Err(Unreadable(output.to_owned())),
            _ => Ok(self),
        }
    }
}

/// The sum of what is there; `None` when nothing is. What does not fit is beyond every limit.
pub(super) fn added<const N: usize>(parts: [Option<u64>; N]) -> Option<u64> {
    parts.into_iter().flatten().reduce(u64::saturating_add)
}

fn cut(subset: Option<u64>, left: &mut u64, conflict: &mut bool) -> Option<u64> {
    let said = subset?;
    let kept = said.min(*left);
    *left -= kept;
    *conflict |= kept < said;
    Some(kept)
}
