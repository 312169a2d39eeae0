//! Exact counts of distinct values: of each text a 128-bit hash is kept until the end, keyed with the
//! folder's secret, so that no client can send texts that are counted as one. The engine's own function
//! takes some 40 KB for each group and reports less than that, so that many groups would take far more
//! than a query may.

use std::fmt;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Decimal128Array, Int64Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Decimal128Type, Int64Type};
use datafusion_common::Result as QueryResult;
use hashbrown::HashSet;
use siphasher::sip128::{Hasher128, SipHasher13};

use super::holistic::Holistic;

/// Memory that one value takes in a set, in bytes: itself, its control byte and free slots.
const VALUE_BYTES: usize = 20;

/// Counts distinct texts, whole numbers or instants.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct Unique {
    key: [u8; 16],
}

impl Unique {
    /// Tells texts apart by a hash with this secret.
    pub(super) fn new(key: [u8; 16]) -> Self {
        Self { key }
    }
}

impl fmt::Debug for Unique {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unique").finish_non_exhaustive()
    }
}

impl Holistic for Unique {
    type Item = Decimal128Type;
    type State = HashSet<i128>;

    const ITEM: DataType = DataType::Decimal128(38, 0);
    const ANSWER: DataType = DataType::Int64;

    fn name(&self) -> &str {
        "unique"
    }

    /// What stands for each value: a hash of a text, a whole number itself.
    fn read(&self, values: &ArrayRef) -> QueryResult<Decimal128Array> {
        let keyed = SipHasher13::new_with_key(&self.key);
        let hash = |text: Option<&str>| {
            text.map(|text| {
                let mut hasher = keyed;
                std::hash::Hasher::write(&mut hasher, text.as_bytes());
                i128::from_ne_bytes(hasher.finish128().as_u128().to_ne_bytes())
            })
        };
        Ok(match values.data_type() {
            DataType::Utf8View => values.as_string_view().iter().map(hash).collect(),
            DataType::Utf8 => values.as_string::<i32>().iter().map(hash).collect(),
            DataType::Int64 | DataType::Timestamp(..) | DataType::UInt32 => {
                let whole = cast(values, &DataType::Int64)?;
                whole.as_primitive::<Int64Type>().iter().map(|value| value.map(i128::from)).collect()
            }
            _ => {
                let texts = cast(values, &DataType::Utf8View)?;
                texts.as_string_view().iter().map(hash).collect()
            }
        })
    }

    fn add(kept: &mut HashSet<i128>, items: impl IntoIterator<Item = i128>) {
        for item in items {
            kept.insert(item);
        }
    }

    fn len(kept: &HashSet<i128>) -> usize {
        kept.len()
    }

    fn bytes(kept: &HashSet<i128>) -> usize {
        kept.capacity() * VALUE_BYTES
    }

    fn answer(&self, groups: &mut [HashSet<i128>]) -> ArrayRef {
        let counts = groups.iter().map(|set| i64::try_from(set.len()).unwrap_or(i64::MAX));
        Arc::new(Int64Array::from_iter_values(counts))
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use arrow::array::StringViewArray;

    use super::*;

    #[test]
    fn what_stands_for_a_text_depends_on_the_folders_secret() {
        let texts: ArrayRef = Arc::new(StringViewArray::from(vec!["", "a", "b"]));
        let items = |key: u8| Unique::new([key; 16]).read(&texts).unwrap().values().to_vec();
        assert_eq!(items(1), items(1));
        for (one, other) in items(1).iter().zip(items(2)) {
            assert_ne!(*one, other);
        }
        let unkeyed = |text: &str| {
            let mut hasher = SipHasher13::new();
            std::hash::Hasher::write(&mut hasher, text.as_bytes());
            i128::from_ne_bytes(hasher.finish128().as_u128().to_ne_bytes())
        };
        assert!(["", "a", "b"].map(unkeyed).iter().all(|item| !items(1).contains(item)), "anyone can compute these");
    }
}
