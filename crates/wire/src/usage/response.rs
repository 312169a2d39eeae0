//! What a whole response of a provider says beside its answer: the usage object, the model and the id.
//! Looks at the members of the response alone, nothing deeper.

use std::borrow::Cow;

use crate::json::{self, JsonKind};

/// Where a usage object stands, in the order in which they are looked for.
const USAGE: [&str; 3] = ["usage", "usageMetadata", "usage_metadata"];
const MODEL: [&str; 3] = ["model", "modelVersion", "model_version"];
const ID: [&str; 3] = ["id", "responseId", "response_id"];

/// A whole response of a provider, as far as it concerns usage.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Response<'a> {
    /// The members that may hold the usage object, in the order in which they are looked at, whatever theirs is.
    pub(crate) usage: Vec<(&'static str, &'a str)>,
    /// The model that answered.
    pub(crate) model: Option<Cow<'a, str>>,
    /// The provider's id of the response.
    pub(crate) id: Option<Cow<'a, str>>,
}

/// Reads `object`, the text of a JSON object. A member that has not the type it should have is not the
/// one that is looked for; of two with one name the last is taken, as readers of JSON do.
pub(crate) fn response(object: &str) -> Response<'_> {
    let (mut usage, mut model, mut id) = (Vec::new(), [None; MODEL.len()], [None; ID.len()]);
    for (name, value) in json::members(object) {
        if let Some(at) = USAGE.iter().position(|known| *known == name) {
            usage.push((at, value));
        }
        match JsonKind::of(value) {
            JsonKind::Text(text) if text.len() > "\"\"".len() => {
                keep(&mut model, &MODEL, &name, text);
                keep(&mut id, &ID, &name, text);
            }
            _ => {}
        }
    }
    usage.sort_unstable();
    let usage = usage.into_iter().filter_map(|(at, value)| Some((*USAGE.get(at)?, value))).collect();
    let text = |found: [Option<_>; 3]| found.into_iter().flatten().find_map(json::unescape);
    Response { usage, model: text(model), id: text(id) }
}

fn keep<'a>(slots: &mut [Option<&'a str>; 3], names: &[&str; 3], name: &str, value: &'a str) {
    if let Some(slot) = names.iter().position(|known| *known == name).and_then(|at| slots.get_mut(at)) {
        *slot = Some(value);
    }
}
