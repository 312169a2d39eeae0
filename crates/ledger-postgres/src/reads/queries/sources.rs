//! The sources of a query, and what it does with each.

use domain::query::{AggregateOp, Filter, Query, Source};

/// The sources of a query, each once.
#[derive(Debug)]
pub(super) struct Sources<'q> {
    pub(super) all: Vec<(&'q Source, Use)>,
}

/// What a query does with a source.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Use {
    /// Its values are told apart.
    pub(super) is_told: bool,
    /// Its numbers are added up, or the ends of what it has are asked for.
    pub(super) is_measured: bool,
}

impl<'q> Sources<'q> {
    /// The sources of a query, of whose filter `left` is what the server does not decide.
    pub(super) fn of(query: &'q Query, left: &[&'q Filter]) -> Self {
        let mut sources = Self { all: Vec::new() };
        let told = Use { is_told: true, is_measured: false };
        query.group_by.iter().for_each(|source| sources.learn(source, told));
        for aggregation in &query.aggregations {
            let used = match aggregation.op {
                AggregateOp::Count => Use::default(),
                AggregateOp::Unique | AggregateOp::Percentile(_) => told,
                _ => Use { is_told: false, is_measured: true },
            };
            aggregation.source.iter().for_each(|source| sources.learn(source, used));
        }
        let mut filters = left.to_vec();
        while let Some(filter) = filters.pop() {
            match filter {
                Filter::And(all) | Filter::Or(all) => filters.extend(all),
                Filter::Test(source, _) => sources.learn(source, told),
            }
        }
        sources
    }

    fn learn(&mut self, source: &'q Source, used: Use) {
        match self.all.iter_mut().find(|(known, _)| *known == source) {
            Some((_, known)) => {
                known.is_told |= used.is_told;
                known.is_measured |= used.is_measured;
            }
            None => self.all.push((source, used)),
        }
    }

    /// Where among what was found a source stands.
    pub(super) fn place(&self, source: &Source) -> Option<usize> {
        self.all.iter().position(|(known, _)| *known == source)
    }

    /// Whether any of them is a property.
    pub(super) fn has_properties(&self) -> bool {
        self.all.iter().any(|(source, _)| matches!(source, Source::Property(_)))
    }
}
