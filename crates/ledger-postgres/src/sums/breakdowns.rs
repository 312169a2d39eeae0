//! Breakdowns by endpoint and model as JSON: `{"endpoint": {name: [calls, tokens]}, "model": {…}}`; nothing if both are
//! empty. In place of an object stands the name alone if all that was added up is of that one, as it is in most windows.

use std::collections::BTreeMap;

use domain::aggregate::{Slice, Totals};
use serde::{Deserialize, Serialize};

/// Slices by name.
pub(super) type Slices = BTreeMap<String, Slice>;

#[derive(Debug, Serialize, Deserialize)]
struct Breakdowns {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    endpoint: Option<Breakdown>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    model: Option<Breakdown>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
enum Breakdown {
    /// Everything is of this name.
    All(String),
    /// Calls and tokens by name.
    Each(BTreeMap<String, (u64, u64)>),
}

/// The text of both breakdowns of what `totals` are of.
pub(super) fn write(by_endpoint: &Slices, by_model: &Slices, totals: &Totals) -> Option<String> {
    if by_endpoint.is_empty() && by_model.is_empty() {
        return None;
    }
    let all = all_of(totals);
    let breakdown = |slices: &Slices| -> Option<Breakdown> {
        match slices.iter().next() {
            None => None,
            Some((name, slice)) if slices.len() == 1 && *slice == all => Some(Breakdown::All(name.clone())),
            Some(_) => {
                let pair = |(name, slice): (&String, &Slice)| (name.clone(), (slice.calls, slice.tokens));
                Some(Breakdown::Each(slices.iter().map(pair).collect()))
            }
        }
    };
    // Texts and numbers can always be written.
    serde_json::to_string(&Breakdowns { endpoint: breakdown(by_endpoint), model: breakdown(by_model) }).ok()
}

/// What [`write`] has written, by endpoint and by model.
pub(super) fn read(text: Option<&str>, totals: &Totals) -> Result<(Slices, Slices), sqlx::Error> {
    let Some(text) = text else { return Ok(Default::default()) };
    let Breakdowns { endpoint, model } = serde_json::from_str(text).map_err(|why| sqlx::Error::Decode(why.into()))?;
    let slices = |breakdown: Option<Breakdown>| match breakdown {
        None => Slices::new(),
        Some(Breakdown::All(name)) => Slices::from([(name, all_of(totals))]),
        Some(Breakdown::Each(pairs)) => {
            pairs.into_iter().map(|(name, (calls, tokens))| (name, Slice { calls, tokens })).collect()
        }
    };
    Ok((slices(endpoint), slices(model)))
}

/// The slice that has everything.
fn all_of(totals: &Totals) -> Slice {
    Slice { calls: totals.calls, tokens: totals.tokens }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read() {
        let totals = Totals { calls: 3, tokens: 40, ..Totals::default() };
        let slices = |all: &[(&str, u64, u64)]| -> Slices {
            all.iter()
                .map(|(name, calls, tokens)| ((*name).to_owned(), Slice { calls: *calls, tokens: *tokens }))
                .collect()
        };
        for (endpoints, models, text) in [
            (slices(&[]), slices(&[]), None),
            (slices(&[("/a", 3, 40)]), slices(&[]), Some(r#"{"endpoint":"/a"}"#)),
            (slices(&[("", 3, 39)]), slices(&[("m", 3, 40)]), Some(r#"{"endpoint":{"":[3,39]},"model":"m"}"#)),
            (slices(&[("/a", 2, 40)]), slices(&[]), Some(r#"{"endpoint":{"/a":[2,40]}}"#)),
            (
                slices(&[("/a", 1, 10), ("/b", 2, 30)]),
                slices(&[("m", 3, 40)]),
                Some(r#"{"endpoint":{"/a":[1,10],"/b":[2,30]},"model":"m"}"#),
            ),
        ] {
            let written = write(&endpoints, &models, &totals);
            assert_eq!(written.as_deref(), text);
            assert_eq!(read(written.as_deref(), &totals).ok(), Some((endpoints, models)));
        }
    }
}
