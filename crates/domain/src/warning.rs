//! What looks like a mistake in an event that is taken all the same. A warning changes nothing of what is
//! counted: it tells the client what was not read or is unlikely, before it is history. Only a request that
//! asks to be strict has the events refused whose warnings are marked so.

use std::borrow::Cow;

/// The machine-readable reason of a warning; its text form is part of the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum WarningCode {
    /// No time was found, though a member looks like one.
    TimeNotRead,
    /// No id was found, though a member looks like one.
    IdNotRead,
    /// Neither a customer nor a user was found.
    NoCustomerOrUser,
    /// A member looks like a count of tokens, and no tokens were found.
    TokensNotRead,
    /// What stands where a provider's usage is expected has none of the known shapes.
    UsageNotRead,
    /// A provider's usage has a member that is no count.
    UsageInvalid,
    /// Tokens contradict each other: a part is larger than its whole, a sum differs, or two places say other counts.
    UsageConflict,
    /// The time is one that clocks and programs show when they know none.
    ZeroTime,
    /// A `CloudEvent` names no source, which is half of its identity.
    MissingSource,
    /// A name that differs in case or separators from a listed one that is there too, with another value.
    AmbiguousField,
    /// A name that differs in case or separators from a listed one, with a value that the field cannot have.
    FieldNotRead,
    /// The customer or user is a word that programs write for nothing.
    PlaceholderValue,
    /// A name that is nearly that of a field which the event lacks.
    NearField,
}

impl WarningCode {
    /// All codes.
    pub const ALL: [Self; 13] = [
        Self::TimeNotRead,
        Self::IdNotRead,
        Self::NoCustomerOrUser,
        Self::TokensNotRead,
        Self::UsageNotRead,
        Self::UsageInvalid,
        Self::UsageConflict,
        Self::ZeroTime,
        Self::MissingSource,
        Self::AmbiguousField,
        Self::FieldNotRead,
        Self::PlaceholderValue,
        Self::NearField,
    ];

    /// The code as written in answers and metric labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TimeNotRead => "time_not_read",
            Self::IdNotRead => "id_not_read",
            Self::NoCustomerOrUser => "no_customer_or_user",
            Self::TokensNotRead => "tokens_not_read",
            Self::UsageNotRead => "usage_not_read",
            Self::UsageInvalid => "usage_invalid",
            Self::UsageConflict => "usage_conflict",
            Self::ZeroTime => "zero_time",
            Self::MissingSource => "missing_source",
            Self::AmbiguousField => "ambiguous_field",
            Self::FieldNotRead => "field_not_read",
            Self::PlaceholderValue => "placeholder_value",
            Self::NearField => "near_field",
        }
    }

    /// Whether a strict request refuses events with this warning.
    pub const fn is_strict(self) -> bool {
        !matches!(self, Self::NearField)
    }

    /// What it means, for people: lowercase, no full stop.
    pub const fn message(self) -> &'static str {
        match self {
            Self::TimeNotRead => "looks like a time but is not read as one: the receive time stands for it",
            Self::IdNotRead => "looks like an id but is not read as one: it does not tell a retry from another event",
            Self::NoCustomerOrUser => "neither a customer nor a user is named",
            Self::TokensNotRead => "looks like a count of tokens but is not read as one: no tokens are counted",
            Self::UsageNotRead => "is no object of a known shape of a provider's usage: no tokens are counted",
            Self::UsageInvalid => "is no count: no tokens are counted from this usage",
            Self::UsageConflict => {
                "tokens contradict each other: a part is larger than its whole, a sum differs, or two places do"
            }
            Self::ZeroTime => "is what clocks and programs show when they know no time",
            Self::MissingSource => "a CloudEvent without a source is known by its id alone",
            Self::AmbiguousField => "differs from another name of the same field and is not read",
            Self::FieldNotRead => "is named like a field, which cannot have such a value, and is not read",
            Self::PlaceholderValue => "is a word that programs write for nothing",
            Self::NearField => "is nearly the name of a field that the event lacks, and not read",
        }
    }
}

/// What looks like a mistake in one event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning<'a> {
    /// The reason for programs.
    pub code: WarningCode,
    /// The member that it is about, as the client wrote it; dotted when it stands inside another.
    pub field: Option<Cow<'a, str>>,
}

impl<'a> Warning<'a> {
    /// A warning about `field`.
    pub fn of(code: WarningCode, field: impl Into<Cow<'a, str>>) -> Self {
        Self { code, field: Some(field.into()) }
    }

    /// A warning about the event as a whole.
    pub const fn whole(code: WarningCode) -> Self {
        Self { code, field: None }
    }
}

/// Whether a customer or user of this name is one that a program wrote because it knew none.
pub fn is_placeholder(name: &str) -> bool {
    const WORDS: [&str; 10] =
        ["null", "undefined", "none", "nil", "<nil>", "nan", "n/a", "\\n", "[object object]", "(null)"];
    name.len() <= 15 && WORDS.iter().any(|word| name.eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_told_apart_by_their_text_and_near_names_are_never_strict() {
        let mut texts: Vec<_> = WarningCode::ALL.iter().map(|code| code.as_str()).collect();
        texts.sort_unstable();
        texts.dedup();
        assert_eq!(texts.len(), WarningCode::ALL.len());
        assert!(!WarningCode::NearField.is_strict());
    }

    #[test]
    fn words_for_nothing_are_no_names() {
        for word in ["NULL", "null", "undefined", "None", "NaN", "\\N", "[object Object]"] {
            assert!(is_placeholder(word), "{word}");
        }
        for name in ["acme", "nullable", "Nona", "0", "nobody"] {
            assert!(!is_placeholder(name), "{name}");
        }
    }
}
