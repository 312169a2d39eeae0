//! Exact counts of distinct values: of each value a 128-bit keyed hash is kept until the end. The
//! engine's own function takes some 40 KB for each group and reports less than that, so that many groups
//! would take far more than a query may.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Decimal128Array, Int64Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Decimal128Type, Int64Type};
use datafusion_common::Result as QueryResult;
use datafusion_expr::{Signature, Volatility};
use hashbrown::HashSet;
use siphasher::sip128::{Hasher128, SipHasher13};

use super::gathering::Gather;

/// Memory that one value takes in a set, in bytes: itself, its control byte and free slots.
const VALUE_BYTES: usize = 20;

/// Counts distinct texts, whole numbers or instants.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Unique;

impl Gather for Unique {
    type Item = Decimal128Type;
    type Kept = HashSet<i128>;

    const ITEM: DataType = DataType::Decimal128(38, 0);
    const ANSWER: DataType = DataType::Int64;

    fn name(&self) -> &str {
        "unique"
    }

    fn signature() -> Signature {
        Signature::any(1, Volatility::Immutable)
    }

    /// What stands for each value: a hash of a text, a whole number itself.
    fn read(values: &ArrayRef) -> QueryResult<Decimal128Array> {
        let hash = |text: Option<&str>| {
            text.map(|text| {
                let mut hasher = SipHasher13::new();
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
