//! Breakdowns by endpoint and model as JSON: `{"endpoint": {name: [calls, tokens]}, "model": {…}}`; nothing if both are
//! empty.

use std::collections::BTreeMap;

use domain::aggregate::Slice;
use serde::{Deserialize, Serialize};

/// Slices by name.
pub(super) type Slices = BTreeMap<String, Slice>;

#[derive(Debug, Serialize, Deserialize)]
struct Breakdowns<K: Ord> {
    #[serde(default = "BTreeMap::new", skip_serializing_if = "BTreeMap::is_empty")]
    endpoint: BTreeMap<K, (u64, u64)>,
    #[serde(default = "BTreeMap::new", skip_serializing_if = "BTreeMap::is_empty")]
    model: BTreeMap<K, (u64, u64)>,
}

/// The text of both breakdowns.
pub(super) fn write(by_endpoint: &Slices, by_model: &Slices) -> Option<String> {
    if by_endpoint.is_empty() && by_model.is_empty() {
        return None;
    }
    fn pairs(slices: &Slices) -> BTreeMap<&str, (u64, u64)> {
        slices.iter().map(|(name, slice)| (name.as_str(), (slice.calls, slice.tokens))).collect()
    }
    // Texts and numbers can always be written.
    serde_json::to_string(&Breakdowns { endpoint: pairs(by_endpoint), model: pairs(by_model) }).ok()
}

/// What [`write`] has written.
pub(super) fn read(text: Option<&str>) -> Result<(Slices, Slices), sqlx::Error> {
    let Some(text) = text else { return Ok(Default::default()) };
    let Breakdowns::<String> { endpoint, model } =
        serde_json::from_str(text).map_err(|why| sqlx::Error::Decode(why.into()))?;
    let slices = |pairs: BTreeMap<String, (u64, u64)>| {
        pairs.into_iter().map(|(name, (calls, tokens))| (name, Slice { calls, tokens })).collect()
    };
    Ok((slices(endpoint), slices(model)))
}
