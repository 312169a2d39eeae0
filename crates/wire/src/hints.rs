//! What an event has that looks like something it lacks: kept while its members are read, told when they all
//! have been, and only of what is not there.

use std::borrow::Cow;

use domain::event::Candidate;
use domain::warning::{Warning, WarningCode};

use crate::field::{Field, Measure};
use crate::json::JsonKind;
use crate::names::{self, Hint};
use crate::time_name::is_time_like;

/// Most members of an event that are told to be near the names of fields.
const NEAR_MAX: usize = 16;

/// What a value could be, as far as hints ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// A number.
    Number,
    /// A text that begins as a date or a number does.
    Dated,
    /// Any other text that is not empty.
    Text,
    /// An object.
    Object,
    /// Anything else.
    Other,
}

impl Shape {
    /// The shape of a JSON value.
    pub(crate) fn of(value: JsonKind<'_>) -> Self {
        match value {
            JsonKind::Number(_) => Self::Number,
            JsonKind::Text(text) => Self::of_text(text.get(1..text.len().saturating_sub(1)).unwrap_or_default()),
            JsonKind::Object(_) => Self::Object,
            JsonKind::Null | JsonKind::Bool | JsonKind::Array(_) => Self::Other,
        }
    }

    /// The shape of a text.
    pub(crate) fn of_text(text: &str) -> Self {
        match text.as_bytes().first() {
            None => Self::Other,
            Some(b'0'..=b'9') => Self::Dated,
            Some(_) => Self::Text,
        }
    }

    const fn is_name(self) -> bool {
        matches!(self, Self::Number | Self::Dated | Self::Text)
    }

    /// Whether a member `name` with such a value may be meant to be tokens: a count, also in a text, or an object of
    /// counts.
    fn may_be_tokens(self, name: &str) -> bool {
        match self {
            Self::Number => names::counts_tokens(name),
            Self::Dated => names::counts_tokens(name) && !is_time_like(name),
            Self::Object => names::holds_tokens(name),
            Self::Text | Self::Other => false,
        }
    }

    /// Whether a field can be meant that takes such values.
    fn fits(self, field: Field) -> bool {
        match field {
            Field::Id | Field::Customer | Field::User | Field::Project | Field::Tenant => self.is_name(),
            Field::Time => matches!(self, Self::Number | Self::Dated),
            Field::Kind | Field::Endpoint | Field::Measure(Measure::Model) => matches!(self, Self::Dated | Self::Text),
            Field::Properties => self == Self::Object,
            Field::Measure(_) => self == Self::Number,
            Field::Source | Field::Stamp | Field::IdScheme | Field::SpecVersion | Field::BinaryData => false,
        }
    }
}

/// A member that looks like something.
#[derive(Debug)]
struct Member<'a> {
    /// Whether it stands in the properties.
    inside: bool,
    name: Cow<'a, str>,
}

/// The first member of each kind.
#[derive(Debug, Default)]
pub(crate) struct Hints<'a> {
    time: Option<Member<'a>>,
    id: Option<Member<'a>>,
    who: Option<Member<'a>>,
    tokens: Option<Member<'a>>,
    /// Members of the event's own object that are nearly named like a field.
    near: Vec<(Cow<'a, str>, Field)>,
}

impl<'a> Hints<'a> {
    /// Takes a member of the event's own object, or of a table, that is no field.
    pub(crate) fn beside(&mut self, name: Cow<'a, str>, hint: Option<Hint>, value: Shape) {
        match hint {
            Some(hint) => self.keep(name, hint, false, value),
            None if self.tokens.is_none() && value.may_be_tokens(&name) => {
                self.tokens = Some(Member { inside: false, name });
            }
            None if self.time.is_none() && value.fits(Field::Time) && is_time_like(&name) => {
                self.keep(name, Hint::Time, false, value);
            }
            None => {
                let near = names::near(&name).filter(|field| value.fits(*field));
                if let Some(field) = near.filter(|_| self.near.len() < NEAR_MAX) {
                    self.near.push((name, field));
                }
            }
        }
    }

    /// Takes a member of the properties that is no measure; `hints` are made with the first that is kept.
    pub(crate) fn inside(
        hints: &mut Option<Box<Self>>,
        name: Cow<'a, str>,
        meaning: Option<names::Meaning>,
        value: Shape,
    ) {
        let hint = match meaning {
            Some(names::Meaning::Hint(Hint::Time)) | Some(names::Meaning::Field { field: Field::Time, .. }) => {
                Hint::Time
            }
            // Properties are full of the ids of other things.
            Some(names::Meaning::Hint(Hint::Id)) if name.starts_with('$') => Hint::Id,
            Some(names::Meaning::Field { field: Field::Id, .. }) if name != "id" => Hint::Id,
            Some(names::Meaning::Field { field: Field::Customer | Field::User, .. }) => Hint::Who,
            Some(names::Meaning::Hint(Hint::Who)) if name.starts_with('$') => Hint::Who,
            None if value.may_be_tokens(&name) => {
                hints.get_or_insert_default().tokens.get_or_insert(Member { inside: true, name });
                return;
            }
            _ => return,
        };
        hints.get_or_insert_default().keep(name, hint, true, value);
    }

    /// Forgets what stood in properties that another name goes before.
    pub(crate) fn forget_inside(&mut self) {
        let Self { time, id, who, tokens, near: _ } = self;
        for member in [time, id, who, tokens] {
            member.take_if(|member| member.inside);
        }
    }

    fn keep(&mut self, name: Cow<'a, str>, hint: Hint, inside: bool, value: Shape) {
        let slot = match hint {
            Hint::Time if value.fits(Field::Time) => &mut self.time,
            Hint::Id if value.is_name() => &mut self.id,
            Hint::Who if value.is_name() => &mut self.who,
            _ => return,
        };
        if slot.is_none() {
            *slot = Some(Member { inside, name });
        }
    }

    /// Tells what `candidate` lacks; `object` is the name of its properties, and `lacks_usage` says that nothing
    /// was told of its tokens yet.
    pub(crate) fn tell(self, candidate: &mut Candidate<'a>, object: &str, lacks_usage: bool) {
        let Self { time, id, who, tokens, near } = self;
        let usage = &candidate.usage;
        let counts = [&usage.tokens, &usage.input_tokens, &usage.output_tokens];
        let no_tokens = candidate.provider.is_none() && counts.iter().all(|count| count.is_none());
        let lacks = [
            (WarningCode::TimeNotRead, time, candidate.time.is_none()),
            (WarningCode::IdNotRead, id, candidate.id.is_none()),
            (WarningCode::NoCustomerOrUser, who, candidate.customer.is_none() && candidate.user.is_none()),
            (WarningCode::TokensNotRead, tokens, no_tokens && lacks_usage),
        ];
        for (code, member, lacks) in lacks {
            if let Some(Member { inside, name }) = member.filter(|_| lacks) {
                let field = if inside { Cow::Owned(format!("{object}.{name}")) } else { name };
                candidate.warnings.push(Warning::of(code, field));
            }
        }
        for (name, field) in near {
            if lacks_field(candidate, field, no_tokens) {
                candidate.warnings.push(Warning::of(WarningCode::NearField, name));
            }
        }
    }
}

fn lacks_field(candidate: &Candidate<'_>, field: Field, no_tokens: bool) -> bool {
    let usage = &candidate.usage;
    match field {
        Field::Id => candidate.id.is_none(),
        Field::Time => candidate.time.is_none(),
        Field::Kind => candidate.kind.is_none(),
        Field::Customer => candidate.customer.is_none(),
        Field::User => candidate.user.is_none(),
        Field::Endpoint => candidate.endpoint.is_none(),
        Field::Project => candidate.project.is_none(),
        Field::Tenant => candidate.tenant.is_none(),
        Field::Properties => candidate.properties.is_none(),
        Field::Measure(Measure::Model) => usage.model.is_none(),
        Field::Measure(Measure::LatencyMs) => usage.latency_ms.is_none(),
        Field::Measure(_) => no_tokens,
        Field::Source | Field::Stamp | Field::IdScheme | Field::SpecVersion | Field::BinaryData => false,
    }
}
