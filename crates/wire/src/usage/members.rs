//! The members of a usage object, by name, borrowed from its text. Keeps those that some shape reads and
//! lets the others go, so that a usage object that lies flat among properties costs no more than its own
//! members. A member that is given twice is one when both say the same; otherwise it is unreadable:
//! nobody can tell which one is meant.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::count::count;
use crate::json::{self, JsonKind};

/// What some shape reads, besides the members that [`is_creation`] knows.
const READ: [&str; 41] = [
    "input_tokens",
    "output_tokens",
    "cache_read_tokens",
    "prompt_tokens",
    "prompt_tokens_details",
    "prompt_cache_hit_tokens",
    "completion_tokens",
    "completion_tokens_details",
    "total_tokens",
    "input_tokens_details",
    "input_token_details",
    "output_tokens_details",
    "output_token_details",
    "cache_read_input_tokens",
    "iterations",
    "promptTokenCount",
    "prompt_token_count",
    "toolUsePromptTokenCount",
    "tool_use_prompt_token_count",
    "cachedContentTokenCount",
    "cached_content_token_count",
    "candidatesTokenCount",
    "candidates_token_count",
    "responseTokenCount",
    "response_token_count",
    "thoughtsTokenCount",
    "thoughts_token_count",
    "total_input_tokens",
    "total_tool_use_tokens",
    "total_cached_tokens",
    "total_output_tokens",
    "total_thought_tokens",
    "cached_input_tokens",
    "$ai_provider",
    "$ai_cache_reporting_exclusive",
    "$ai_input_tokens",
    "$ai_cache_read_input_tokens",
    "$ai_cache_creation_input_tokens",
    "$ai_output_tokens",
    "$ai_reasoning_tokens",
    "$ai_total_tokens",
];

/// What every attribute of a span that counts tokens begins with.
const SPAN_USAGE: &str = "gen_ai.usage.";

/// Whether a member of this name tells that the object around it is itself a usage object. No other
/// meaning of these names is known; `input_tokens` and `total_tokens` are not among them.
pub(crate) fn is_telling(name: &str) -> bool {
    matches!(
        name,
        "prompt_tokens" | "completion_tokens" | "promptTokenCount" | "prompt_token_count" | "cache_read_input_tokens"
    ) || is_creation(name)
}

/// Whether a member of this name counts what was written into a cache, in one of the forms of
/// Anthropic: `cache_creation`, `cache_creation_input_tokens`, or one of these by its lifetime.
pub(super) fn is_creation(name: &str) -> bool {
    name.strip_prefix("cache_creation").is_some_and(|rest| rest.is_empty() || rest.ends_with("tokens"))
}

/// The path of a member that should be a count or an object and is not.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unreadable(pub(super) String);

/// Members of a usage object.
#[derive(Debug, Default)]
pub(crate) struct Members<'a> {
    members: Vec<(Cow<'a, str>, &'a str)>,
    /// Where the object lies in the usage object, with a dot at its end; empty for that itself.
    path: String,
}

impl<'a> Members<'a> {
    /// Takes the value of a member, the text of a JSON value; whether some shape reads such a member.
    pub(crate) fn offer(&mut self, name: &str, value: &'a str) -> bool {
        if let Some(known) = READ.iter().find(|known| **known == name) {
            self.members.push((Cow::Borrowed(known), value));
        } else if is_creation(name) || name.starts_with(SPAN_USAGE) {
            self.members.push((Cow::Owned(name.to_owned()), value));
        } else {
            return false;
        }
        true
    }

    /// Takes all that the object `text` has; `None` when it is no JSON object.
    pub(super) fn of(text: &'a str) -> Option<Self> {
        let JsonKind::Object(object) = JsonKind::of(text) else { return None };
        let mut found = Self::default();
        for (name, value) in json::members(object) {
            found.offer(&name, value);
        }
        Some(found)
    }

    /// Whether no member is in `other` too with another value.
    pub(crate) fn agrees_with(&self, other: &Self) -> bool {
        let mut both = self.members.iter().flat_map(|(name, value)| {
            other.members.iter().filter(move |(known, _)| known == name).map(move |(_, other)| (value, other))
        });
        both.all(|(value, other)| value == other || !says_something(value) || !says_something(other))
    }

    /// These members and those of `other`.
    pub(crate) fn with(mut self, other: Self) -> Self {
        self.members.extend(other.members);
        self
    }

    /// Replaces what a later object says anew.
    pub(super) fn follow(&mut self, later: Self) {
        let is_said = |name: &str| later.has(name);
        self.members.retain(|(name, _)| !is_said(name));
        self.members.extend(later.members);
    }

    /// Whether the member is there and says something: `null` and an empty text do not.
    pub(super) fn has(&self, name: &str) -> bool {
        self.members.iter().any(|(known, value)| known == name && says_something(value))
    }

    pub(super) fn has_any(&self, names: &[&str]) -> bool {
        names.iter().any(|name| self.has(name))
    }

    /// Whether one of the members that [`is_creation`] knows is there.
    pub(super) fn has_creation(&self) -> bool {
        self.members.iter().any(|(name, value)| is_creation(name) && says_something(value))
    }

    /// The value of a member, if it is there and says something.
    pub(super) fn get(&self, name: &str) -> Result<Option<JsonKind<'a>>, Unreadable> {
        let mut same = self.members.iter().filter(|(known, value)| known == name && says_something(value));
        let Some((_, value)) = same.next() else { return Ok(None) };
        match same.all(|(_, other)| other == value) {
            true => Ok(Some(JsonKind::of(value))),
            false => Err(self.unreadable(name)),
        }
    }

    /// The text of a member, if it is one.
    pub(super) fn text(&self, name: &str) -> Option<Cow<'a, str>> {
        match self.get(name) {
            Ok(Some(JsonKind::Text(string))) => json::unescape(string),
            _ => None,
        }
    }

    /// The truth value of a member, if it is there.
    pub(super) fn truth(&self, name: &str) -> Result<Option<bool>, Unreadable> {
        match self.get(name)? {
            None => Ok(None),
            Some(JsonKind::Bool) => {
                Ok(Some(self.members.iter().any(|(known, value)| known == name && *value == "true")))
            }
            Some(_) => Err(self.unreadable(name)),
        }
    }

    /// The count of the first of these members that is there.
    pub(super) fn count(&self, names: &[&str]) -> Result<Option<u64>, Unreadable> {
        for name in names {
            if let Some(value) = self.get(name)? {
                return count(value).map_err(|()| self.unreadable(name));
            }
        }
        Ok(None)
    }

    /// The members of the object in the first of these members that is there; none when none is.
    pub(super) fn object(&self, names: &[&str]) -> Result<Self, Unreadable> {
        for name in names {
            match self.get(name)? {
                None => {}
                Some(JsonKind::Object(text)) => return Ok(self.inner(text, name)),
                Some(_) => return Err(self.unreadable(name)),
            }
        }
        Ok(Self::default())
    }

    /// All members of the object `text`, which lies under `name` here.
    pub(super) fn inner(&self, text: &'a str, name: &str) -> Self {
        Self { members: json::members(text).collect(), path: format!("{}{name}.", self.path) }
    }

    /// The sum of all members whose names are `wanted`, each of which must be a count; `None` without any.
    pub(super) fn sum(&self, wanted: impl Fn(&str) -> bool) -> Result<Option<u64>, Unreadable> {
        let mut values = BTreeMap::new();
        for (name, value) in self.members.iter().filter(|(name, value)| wanted(name) && says_something(value)) {
            if values.insert(name, value).is_some_and(|other| other != value) {
                return Err(self.unreadable(name));
            }
        }
        let mut sum = None;
        for (name, value) in values {
            let number = count(JsonKind::of(value)).map_err(|()| self.unreadable(name))?.unwrap_or(0);
            sum = Some(number.saturating_add(sum.unwrap_or(0)));
        }
        Ok(sum)
    }

    /// The name of a member as an answer shows it, with the objects around it.
    pub(super) fn unreadable(&self, name: &str) -> Unreadable {
        Unreadable(format!("{}{name}", self.path))
    }
}

fn says_something(value: &str) -> bool {
    match JsonKind::of(value) {
        JsonKind::Null => false,
        JsonKind::Text(string) => json::unescape(string).is_none_or(|text| !text.is_empty()),
        _ => true,
    }
}
