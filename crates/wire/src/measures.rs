//! The measures of an event: named one by one beside the properties or in them, or said by the usage object of a
//! provider of models, which the named ones go before.

use std::borrow::Cow;

use domain::admit::{is_count, is_latency, is_model};
use domain::event::UsageText;
use domain::rejection::{RejectCode, Rejection};
use domain::warning::{Warning, WarningCode};

use crate::field::Measure;
use crate::json::JsonKind;
use crate::slot::{Named, conflict};
use crate::usage::{self, Members};
use crate::values::{filled, inside, number, text};

/// Measures under names of their own, in one object. Of a listed name only how it is written is kept: nearly every
/// event has some, and is moved.
#[derive(Debug, Default)]
pub(crate) struct Measures<'a> {
    usage: UsageText<'a>,
    /// Measures that were read from a listed name: a bit for each.
    exact: u8,
    /// Measures whose names differ, and that count only when one of them is listed.
    doubtful: u8,
    /// Which of them have a name with underscores.
    snake_case: u8,
    /// The names of the others.
    folded: Vec<(Measure, Cow<'a, str>)>,
    /// Why the event is refused unless a listed name comes: two names of this measure that are not listed differ.
    faults: Vec<(Measure, Rejection)>,
    /// Members that are measures unless the object around them is itself a usage object.
    shared: Vec<(Measure, Cow<'a, str>, JsonKind<'a>)>,
    /// Members that a usage object has.
    flat: Members<'a>,
    /// Whether some member tells that the object is a usage object.
    is_usage: bool,
}

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
            Some(true) if name.exact && !was_exact => {
                let averted = self.faults.extract_if(.., |(other, _)| *other == which);
                let fields = averted.filter_map(|(_, fault)| fault.field);
                warnings.extend(fields.map(|field| Warning::of(WarningCode::AmbiguousField, field)));
                self.named(which, name);
            }
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
                self.faults.retain(|(other, _)| *other != which);
                self.named(which, name);
            }
            Some(false) if was_exact || object.is_some() => {
                // Of two names that are not listed nobody can know which is meant.
                self.doubtful |= which.bit();
                warnings.push(Warning::of(WarningCode::AmbiguousField, path(&name.text)));
            }
            Some(false) => {
                let first = self.folded.iter().find(|(other, _)| *other == which).map_or("", |(_, name)| name);
                let refusal = conflict(first, &name.text);
                self.folded.push((which, name.text));
                self.faults.push((which, refusal));
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

    /// The members of the usage object that the object itself is, if it is one.
    pub(crate) fn flat(&mut self) -> Option<Members<'a>> {
        self.is_usage.then(|| std::mem::take(&mut self.flat))
    }

    /// The measures; and what an earlier release would have read, where that differs: it took listed names alone, and
    /// the members of a flat usage object as measures.
    /// `is_row` says that it took folded names too.
    pub(crate) fn settle(&mut self, is_row: bool) -> Result<(UsageText<'a>, Option<UsageText<'a>>), Rejection> {
        if !self.faults.is_empty() {
            return Err(self.faults.swap_remove(0).1);
        }
        let mut all = std::mem::take(&mut self.usage);
        let doubtful = self.doubtful & !self.exact;
        for which in MEASURES.into_iter().filter(|which| doubtful & which.bit() != 0) {
            *member(&mut all, which) = None;
        }
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
