//! An index of a reference table: every distinct combination of attributes has one number, so that
//! enriching a window is one pass over the slots, however many attributes there are.

use std::collections::BTreeMap;
use std::sync::Arc;

use domain::reference::{Attributes, ReferenceTable};
use hashbrown::HashMap;

/// The combination of users that the table does not hold.
pub(crate) const UNKNOWN: u32 = 0;
/// The value code of an attribute that a user does not have.
const ABSENT: u32 = 0;

/// The index of one generation of a reference table.
#[derive(Debug)]
pub(crate) struct EnrichmentIndex {
    table: Arc<ReferenceTable>,
    /// The attributes in order of name.
    attributes: Vec<Attribute>,
    /// The address of attributes that users share → the number of their combination. The table keeps
    /// them where they are.
    numbers: HashMap<usize, u32>,
    /// By number of the combination, the value codes by attribute; the first stands for [`UNKNOWN`].
    combinations: Vec<Box<[u32]>>,
}

#[derive(Debug, Default)]
struct Attribute {
    name: String,
    codes: HashMap<String, u32>,
    /// Values by code; the first stands for [`ABSENT`].
    values: Vec<String>,
}

impl EnrichmentIndex {
    /// The index of no table.
    pub(crate) fn empty() -> Self {
        Self::build(Arc::default())
    }

    /// Indexes a table in one pass.
    pub(crate) fn build(table: Arc<ReferenceTable>) -> Self {
        let mut numbers = HashMap::new();
        let mut distinct: Vec<&Attributes> = Vec::new();
        for attributes in table.users.values() {
            numbers.entry(address(attributes)).or_insert_with(|| {
                distinct.push(attributes);
                // The first stands for none of them; users, and hence these, are fewer than numbers.
                u32::try_from(distinct.len()).unwrap_or(UNKNOWN)
            });
        }
        let attributes = columns(&distinct);
        let combinations = distinct.iter().map(|combination| codes(&attributes, combination));
        let combinations = std::iter::once(Box::default()).chain(combinations).collect();
        Self { attributes, numbers, combinations, table }
    }

    fn number(&self, attributes: &Arc<Attributes>) -> u32 {
        self.numbers.get(&address(attributes)).copied().unwrap_or(UNKNOWN)
    }

    /// The combination of a user's attributes.
    pub(crate) fn combination(&self, user: &str) -> u32 {
        self.table.users.get(user).map_or(UNKNOWN, |attributes| self.number(attributes))
    }

    /// All users of the table with their combinations.
    pub(crate) fn users(&self) -> impl Iterator<Item = (&str, u32)> {
        self.table.users.iter().map(|(user, attributes)| (user.as_str(), self.number(attributes)))
    }

    /// How many combinations there are, [`UNKNOWN`] included.
    pub(crate) fn combinations(&self) -> usize {
        self.combinations.len()
    }

    /// The table's generation.
    pub(crate) fn generation(&self) -> u64 {
        self.table.generation
    }

    /// Attribute → value → events, from the events of each combination. Values without events are
    /// left out, attributes are not.
    pub(crate) fn by_attribute(&self, events: &[u64]) -> BTreeMap<String, BTreeMap<String, u64>> {
        let mut sums: Vec<Vec<u64>> = self.attributes.iter().map(|attribute| vec![0; attribute.values.len()]).collect();
        for (codes, events) in self.combinations.iter().zip(events).filter(|(_, events)| **events > 0) {
            for (sums, code) in sums.iter_mut().zip(codes) {
                sums[*code as usize] += events;
            }
        }
        let named = self.attributes.iter().zip(sums).map(|(attribute, sums)| {
            let values = attribute.values.iter().zip(sums).skip(1).filter(|(_, sum)| *sum > 0);
            (attribute.name.clone(), values.map(|(value, sum)| (value.clone(), sum)).collect())
        });
        named.collect()
    }
}

fn address(attributes: &Arc<Attributes>) -> usize {
    Arc::as_ptr(attributes).addr()
}

/// All attributes with their values, in order of name.
fn columns(distinct: &[&Attributes]) -> Vec<Attribute> {
    let mut columns: HashMap<&str, Attribute> = HashMap::new();
    for (name, value) in distinct.iter().copied().flatten() {
        let column = columns.entry(name).or_insert_with(|| Attribute {
            name: name.clone(),
            values: vec![String::new()],
            codes: HashMap::new(),
        });
        if !column.codes.contains_key(value) {
            // A table holds fewer values than there are codes.
            column.codes.insert(value.clone(), u32::try_from(column.values.len()).unwrap_or(ABSENT));
            column.values.push(value.clone());
        }
    }
    let mut attributes: Vec<Attribute> = columns.into_values().collect();
    attributes.sort_unstable_by(|one, other| one.name.cmp(&other.name));
    attributes
}

fn codes(attributes: &[Attribute], of: &Attributes) -> Box<[u32]> {
    let code = |attribute: &Attribute| attribute.codes.get(of.get(&attribute.name)?).copied();
    attributes.iter().map(|attribute| code(attribute).unwrap_or(ABSENT)).collect()
}
