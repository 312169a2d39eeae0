//! The measures of an event: named one by one beside the properties or in them, or said by the usage object of a
//! provider of models, which the named ones go before.

use std::borrow::Cow;

use domain::admit::{is_count, is_latency, is_model};
use domain::event::{ProviderTokens, UsageText};
use domain::rejection::{RejectCode, Rejection};
use domain::warning::{Warning, WarningCode};

use crate::field::Measure;
use crate::json::{self, JsonKind};
use crate::slot::{Named, conflict};
use crate::usage::{self, Members, Reading};
use crate::values::{filled, inside, number, text};

/// Measures under names of their own, in one object. Of a listed name only how it is written is kept: nearly every
/// event has some, and is moved.
#[derive(Debug, Default)]
pub(crate) struct Measures<'a> {
    usage: UsageText<'a>,
    /// Measures that were read from a listed name: a bit for each.
    exact: u8,
    /// Which of them have a name with underscores.
    snake_case: u8,
    /// The names of the others.
    folded: Vec<(Measure, Cow<'a, str>)>,
    /// Why the event is refused unless a listed name comes: two names of this measure that are not listed differ.
    fault: Option<(Measure, Box<Rejection>)>,
    /// Members that are measures unless the object around them is itself a usage object.
    shared: Vec<(Measure, Cow<'a, str>, JsonKind<'a>)>,
    /// Members that a usage object has.
    flat: Members<'a>,
    /// Whether some member tells that the object is a usage object.
    is_usage: bool,
}

/// Most members of one object that are looked at as usage objects.
const USAGE_OBJECTS_MAX: usize = 4;
/// The names that a usage object has in common with measures.
const SHARED: [&str; 2] = ["input_tokens", "output_tokens"];

impl<'a> Measures<'a> {
    /// Takes a member that is no measure and may belong to a usage object lying flat among others.
    pub(crate) fn offer(&mut self, name: &str, value: &'a str) {
        self.is_usage |= self.flat.offer(name, value) && usage::is_telling(name);
    }

    /// Takes a measure that a usage object may have under the same name. None of those tells that it is one.
    pub(crate) fn offer_measure(&mut self, which: Measure, name: &str, value: &'a str) {
        let is_shared = matches!(which, Measure::InputTokens | Measure::OutputTokens | Measure::CacheReadTokens);
        if is_shared && name.contains('_') {
            self.flat.offer(name, value);
        }
    }

    /// Takes a measure that stands beside the properties.
    pub(crate) fn put(
        &mut self,
        which: Measure,
        name: Named<'a>,
        value: JsonKind<'a>,
        warnings: &mut Vec<Warning<'a>>,
    ) -> Result<(), Rejection> {
        if SHARED.contains(&&*name.text) {
            self.shared.push((which, name.text, value));
            return Ok(());
        }
        let value = read(which, &name.text, value);
        self.take(which, None, name, value, warnings)
    }

    /// Takes a measure of a row of a table.
    pub(crate) fn put_text(
        &mut self,
        which: Measure,
        name: Named<'a>,
        text: Cow<'a, str>,
        warnings: &mut Vec<Warning<'a>>,
    ) -> Result<(), Rejection> {
        self.take(which, None, name, Ok(Some(text)), warnings)
    }

    /// Takes a measure that stands in the properties, which are named `object`.
    pub(crate) fn put_inside(
        &mut self,
        which: Measure,
        object: &str,
        name: Named<'a>,
        value: JsonKind<'a>,
        warnings: &mut Vec<Warning<'a>>,
    ) -> Result<(), Rejection> {
        if SHARED.contains(&&*name.text) {
            self.shared.push((which, name.text, value));
            return Ok(());
        }
        let value = read(which, &name.text, value).map_err(|why| inside(object, why));
        let value = if name.exact { value } else { value.and_then(|value| readable(which, object, &name.text, value)) };
        self.take(which, Some(object), name, value, warnings)
    }

    /// Takes a value; `object` is the name of the properties when it stands in them, where only a listed name can
    /// refuse the event.
    fn take(
        &mut self,
        which: Measure,
        object: Option<&str>,
        name: Named<'a>,
        value: Result<Option<Cow<'a, str>>, Rejection>,
        warnings: &mut Vec<Warning<'a>>,
    ) -> Result<(), Rejection> {
        let path = |name: &str| object.map_or_else(|| name.to_owned(), |object| format!("{object}.{name}"));
        let value = match value {
            Ok(Some(value)) => value,
            Ok(None) => return Ok(()),
            Err(refusal) if name.exact => return Err(refusal),
            Err(_) => {
                warnings.push(Warning::of(WarningCode::FieldNotRead, path(&name.text)));
                return Ok(());
            }
        };
        let was_exact = self.exact & which.bit() != 0;
        let slot = member(&mut self.usage, which);
        match slot.as_ref().map(|known| *known == value) {
            None => {
                *slot = Some(value);
                self.named(which, name);
            }
            Some(true) if name.exact && !was_exact => self.named(which, name),
            Some(true) => {}
            Some(false) if was_exact && name.exact => {
                let first = which.spelling(self.snake_case & which.bit() != 0);
                return Err(conflict(&path(first), &path(&name.text)));
            }
            Some(false) if name.exact => {
                *slot = Some(value);
                self.folded.retain(|(other, name)| {
                    let is_it = *other == which;
                    if is_it {
                        warnings.push(Warning::of(WarningCode::AmbiguousField, path(name)));
                    }
                    !is_it
                });
                self.fault = self.fault.take().filter(|(other, _)| *other != which);
                self.named(which, name);
            }
            Some(false) if was_exact || object.is_some() => {
                warnings.push(Warning::of(WarningCode::AmbiguousField, path(&name.text)));
            }
            Some(false) => {
                let first = self.folded.iter().find(|(other, _)| *other == which).map_or("", |(_, name)| name);
                let refusal = conflict(first, &name.text);
                self.folded.push((which, name.text));
                self.fault.get_or_insert_with(|| (which, Box::new(refusal)));
            }
        }
        Ok(())
    }

    /// Notes which name gave a measure.
    fn named(&mut self, which: Measure, name: Named<'a>) {
        if !name.exact {
            self.folded.push((which, name.text));
            return;
        }
        self.exact |= which.bit();
        if name.text.contains('_') {
            self.snake_case |= which.bit();
        }
    }

    /// Takes what is a measure after all, since nothing tells that it belongs to a usage object; `object` is the
    /// name of the properties when it stands in them.
    pub(crate) fn settle_shared(
        &mut self,
        object: Option<&str>,
        warnings: &mut Vec<Warning<'a>>,
    ) -> Result<(), Rejection> {
        if self.is_usage {
            return Ok(());
        }
        for (which, name, value) in std::mem::take(&mut self.shared) {
            let read = read(which, &name, value).map_err(|why| match object {
                Some(object) => inside(object, why),
                None => why,
            });
            self.take(which, object, Named { text: name, exact: true }, read, warnings)?;
        }
        Ok(())
    }

    /// The tokens of the usage object that the object itself is, if it is one.
    pub(crate) fn flat(&self) -> Option<Reading> {
        self.is_usage.then(|| usage::read_members(&self.flat, None))
    }

    /// The measures; and what an earlier release would have read, where that differs: it took listed names alone, and
    /// the members of a flat usage object as measures.
    /// `is_row` says that it took folded names too.
    pub(crate) fn settle(&mut self, is_row: bool) -> Result<(UsageText<'a>, Option<UsageText<'a>>), Rejection> {
        if let Some((_, fault)) = self.fault.take() {
            return Err(*fault);
        }
        let all = std::mem::take(&mut self.usage);
        let unread = if is_row { 0 } else { !self.exact };
        if self.shared.is_empty() && (is_row || self.folded.is_empty()) {
            return Ok((all, None));
        }
        let mut first = all.clone();
        for which in MEASURES.into_iter().filter(|which| unread & which.bit() != 0) {
            *member(&mut first, which) = None;
        }
        for (which, name, value) in std::mem::take(&mut self.shared) {
            let slot = member(&mut first, which);
            if slot.is_none() {
                *slot = read(which, &name, value).unwrap_or_default();
            }
        }
        Ok((all, Some(first)))
    }
}

/// All measures, by their index.
const MEASURES: [Measure; Measure::COUNT] = [
    Measure::Tokens,
    Measure::InputTokens,
    Measure::OutputTokens,
    Measure::LatencyMs,
    Measure::Model,
    Measure::CacheReadTokens,
    Measure::CacheWriteTokens,
    Measure::ReasoningTokens,
];

fn member<'u, 'a>(usage: &'u mut UsageText<'a>, which: Measure) -> &'u mut Option<Cow<'a, str>> {
    match which {
        Measure::Tokens => &mut usage.tokens,
        Measure::InputTokens => &mut usage.input_tokens,
        Measure::OutputTokens => &mut usage.output_tokens,
        Measure::LatencyMs => &mut usage.latency_ms,
        Measure::Model => &mut usage.model,
        Measure::CacheReadTokens => &mut usage.cache_read_tokens,
        Measure::CacheWriteTokens => &mut usage.cache_write_tokens,
        Measure::ReasoningTokens => &mut usage.reasoning_tokens,
    }
}

/// What `usage` lacks, from `other`.
pub(crate) fn complete<'a>(usage: &mut UsageText<'a>, mut other: UsageText<'a>) {
    for which in MEASURES {
        let slot = member(usage, which);
        if slot.is_none() {
            *slot = member(&mut other, which).take();
        }
    }
}

/// Whether any tokens are named but parts of others.
pub(crate) fn names_tokens(usage: &UsageText<'_>) -> bool {
    usage.tokens.is_some() || usage.input_tokens.is_some() || usage.output_tokens.is_some()
}

/// Whether a usage object may have a member of this name.
pub(crate) fn is_of_usage(name: &str) -> bool {
    // The shortest of these names has ten letters; most properties have fewer.
    name.len() >= 10 && (name.contains("oken") || name.contains("cache") || name == "iterations")
}

fn read<'a>(which: Measure, name: &str, value: JsonKind<'a>) -> Result<Option<Cow<'a, str>>, Rejection> {
    match which {
        Measure::Model => Ok(filled(text(name, value)?)),
        _ => number(name, value),
    }
}

/// Refuses what admission would refuse the event for.
fn readable<'a>(
    which: Measure,
    object: &str,
    name: &str,
    value: Option<Cow<'a, str>>,
) -> Result<Option<Cow<'a, str>>, Rejection> {
    let is_readable = value.as_deref().is_none_or(|text| match which {
        Measure::Model => is_model(text),
        Measure::LatencyMs => is_latency(text),
        _ => is_count(text),
    });
    let field = format!("{object}.{name}");
    if is_readable { Ok(value) } else { Err(Rejection::of(RejectCode::InvalidNumber, &field, "cannot be read")) }
}

/// Where a provider's usage was found, in the order in which it is looked for.
#[derive(Debug, Default)]
pub(crate) struct UsageObjects<'a> {
    inside: Places<'a>,
    beside: Places<'a>,
}

#[derive(Debug, Default)]
struct Places<'a> {
    /// What stands where a usage object may stand, each with its name.
    usage: Vec<(Cow<'a, str>, JsonKind<'a>)>,
    /// A whole response, with its name.
    response: Option<(Cow<'a, str>, &'a str)>,
}

/// What became of a provider's usage.
#[derive(Debug, Default)]
pub(crate) struct ProviderSaid<'a> {
    pub(crate) tokens: Option<Box<ProviderTokens>>,
    pub(crate) model: Option<Cow<'a, str>>,
    /// What is wrong with it; that it is none is told only when the event names no tokens itself.
    pub(crate) warning: Option<Warning<'a>>,
}

impl<'a> UsageObjects<'a> {
    /// Takes a member in which a usage object stands if it is one.
    pub(crate) fn usage(&mut self, is_inside: bool, name: Cow<'a, str>, value: JsonKind<'a>) {
        let places = if is_inside { &mut self.inside } else { &mut self.beside };
        let is_like_one = matches!(value, JsonKind::Object(_)) || is_object_in_text(value);
        if is_like_one && places.usage.len() < USAGE_OBJECTS_MAX {
            places.usage.push((name, value));
        }
    }

    /// Takes a member in which a whole response stands if it is one.
    pub(crate) fn response(&mut self, is_inside: bool, name: Cow<'a, str>, value: JsonKind<'a>) {
        let places = if is_inside { &mut self.inside } else { &mut self.beside };
        if let JsonKind::Object(text) = value {
            places.response.get_or_insert((name, text));
        }
    }

    /// Forgets what stood in properties that another name goes before.
    pub(crate) fn forget_inside(&mut self) {
        self.inside = Places::default();
    }

    /// Reads the first usage object there is; `object` is the name of the properties. `flat` are the readings of the
    /// properties and of the event as usage objects themselves.
    pub(crate) fn read(self, object: &str, flat: [Option<Reading>; 2]) -> ProviderSaid<'a> {
        let mut said = ProviderSaid::default();
        let [flat_inside, flat_beside] = flat;
        for (places, prefix) in [(self.inside, Some(object)), (self.beside, None)] {
            let path = |name: &str| prefix.map_or_else(|| name.to_owned(), |object| format!("{object}.{name}"));
            for (name, value) in places.usage {
                let reading = match value {
                    JsonKind::Object(text) => usage::read(text, None),
                    _ => Reading::NotUsage,
                };
                said.take(path(&name), prefix.is_none(), reading);
            }
            if let Some((name, text)) = places.response {
                let response = usage::response(text);
                said.model = said.model.take().or(response.model);
                if let Some((usage, text)) = response.usage {
                    said.take(path(&format!("{name}.{usage}")), prefix.is_none(), usage::read(text, None));
                }
            }
        }
        for (reading, path) in [(flat_inside, object), (flat_beside, "")] {
            // A telling member in which nothing stands tells nothing.
            if let Some(reading) = reading.filter(|reading| *reading != Reading::NotUsage) {
                said.take(path.to_owned(), path.is_empty(), reading);
            }
        }
        said
    }
}

impl<'a> ProviderSaid<'a> {
    /// Takes what the usage object at `path` says, unless another has been read.
    fn take(&mut self, path: String, beside: bool, reading: Reading) {
        if self.tokens.is_some() || self.is_invalid() {
            return;
        }
        match reading {
            Reading::NotUsage => {
                self.warning.get_or_insert_with(|| Warning::of(WarningCode::UsageNotRead, path));
            }
            Reading::Invalid { member } => {
                let field = if path.is_empty() { member } else { format!("{path}.{member}") };
                self.warning = Some(Warning::of(WarningCode::UsageInvalid, field));
            }
            Reading::Read(usage) => {
                let usage::ProviderUsage { input, output, cache_read, cache_write, reasoning, conflict } = usage;
                let tokens = ProviderTokens { input, output, cache_read, cache_write, reasoning, beside };
                self.tokens = Some(Box::new(tokens));
                self.warning = conflict.then(|| Warning::of(WarningCode::UsageConflict, path));
            }
        }
    }

    fn is_invalid(&self) -> bool {
        self.warning.as_ref().is_some_and(|warning| warning.code == WarningCode::UsageInvalid)
    }
}

/// Whether `value` is a text that holds an object instead of being one.
fn is_object_in_text(value: JsonKind<'_>) -> bool {
    matches!(value, JsonKind::Text(text) if json::unescape(text).is_some_and(|text| text.trim_start().starts_with('{')))
}
