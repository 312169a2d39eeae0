//! A reference table made ready for reading: every distinct combination of attributes is one number,
//! so that enriching a window is one pass over the slots, however many attributes there are.

use std::collections::BTreeMap;
use std::sync::Arc;

use domain::reference::{Attributes, ReferenceTable};
use hashbrown::HashMap;

/// The combination of users that the table does not hold.
pub(crate) const UNKNOWN: u32 = 0;
/// The value code of an attribute that a user does not have.
const ABSENT: u32 = 0;

/// One generation of a reference table.
#[derive(Debug)]
pub(crate) struct Lens {
    table: Arc<ReferenceTable>,
    /// In order of name.
    attributes: Vec<Attribute>,
    /// The value codes of a combination, by attribute → its number.
    numbers: HashMap<Box<[u32]>, u32>,
    /// The inverse; the first stands for [`UNKNOWN`].
    combinations: Vec<Box<[u32]>>,
}

#[derive(Debug, Default)]
struct Attribute {
    name: String,
    codes: HashMap<String, u32>,
    /// By code; the first stands for [`ABSENT`].
    values: Vec<String>,
}

impl Lens {
    /// What there is before the first table.
    pub(crate) fn empty() -> Self {
        Self::build(Arc::default())
    }

    /// Reads the whole table once.
    pub(crate) fn build(table: Arc<ReferenceTable>) -> Self {
        let mut columns: HashMap<&str, Attribute> = HashMap::new();
        for (name, value) in table.users.values().flatten() {
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
        let mut lens = Self { table: Arc::clone(&table), attributes, numbers: HashMap::new(), combinations: vec![] };
        lens.combinations.push(Box::default());
        let mut codes = Vec::new();
        for attributes in table.users.values() {
            lens.codes(attributes, &mut codes);
            if !lens.numbers.contains_key(&*codes) {
                let number = u32::try_from(lens.combinations.len()).unwrap_or(UNKNOWN);
                lens.numbers.insert(codes.as_slice().into(), number);
                lens.combinations.push(codes.as_slice().into());
            }
        }
        lens
    }

    fn codes(&self, of: &Attributes, codes: &mut Vec<u32>) {
        codes.clear();
        codes.resize(self.attributes.len(), ABSENT);
        for (name, value) in of {
            let at = self.attributes.binary_search_by(|attribute| attribute.name.as_str().cmp(name));
            if let Ok(at) = at {
                codes[at] = self.attributes[at].codes.get(value).copied().unwrap_or(ABSENT);
            }
        }
    }

    /// The combination of a user's attributes.
    pub(crate) fn combination(&self, user: &str) -> u32 {
        let Some(attributes) = self.table.users.get(user) else { return UNKNOWN };
        let mut codes = Vec::new();
        self.codes(attributes, &mut codes);
        self.numbers.get(&*codes).copied().unwrap_or(UNKNOWN)
    }

    /// All users of the table with their combinations.
    pub(crate) fn users(&self) -> impl Iterator<Item = (&str, u32)> {
        let mut codes = Vec::new();
        self.table.users.iter().map(move |(user, attributes)| {
            self.codes(attributes, &mut codes);
            (user.as_str(), self.numbers.get(&*codes).copied().unwrap_or(UNKNOWN))
        })
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
