//! Where an event may have the usage of a provider of models, and what counts when several places have some: the
//! order of members decides nothing, and what contradicts is told.

use std::borrow::Cow;

use domain::event::ProviderTokens;
use domain::warning::{Warning, WarningCode};

use crate::json::{self, JsonKind};
use crate::usage::{self, Members, ProviderUsage, Reading};

/// Most members of one object that are looked at as usage objects.
const USAGE_OBJECTS_MAX: usize = 16;
/// Their names, in the order in which they are looked for; one in another case comes after all of them.
const NAMES: [&str; 4] = ["usage", "usageMetadata", "usage_metadata", "response"];

/// The usage objects of an event.
#[derive(Debug, Default)]
pub(crate) struct UsageObjects<'a> {
    /// In the properties, which go first.
    inside: Places<'a>,
    beside: Places<'a>,
}

#[derive(Debug, Default)]
struct Places<'a> {
    usage: Vec<Place<'a>>,
    /// Whole responses.
    responses: Vec<Place<'a>>,
}

/// A member, in the order in which members are looked at.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place<'a> {
    rank: usize,
    name: Cow<'a, str>,
    value: &'a str,
}

/// What the providers have said.
#[derive(Debug, Default)]
pub(crate) struct ProviderSaid<'a> {
    pub(crate) tokens: Option<Box<ProviderTokens>>,
    pub(crate) model: Option<Cow<'a, str>>,
    /// The id of a response that has a usage object.
    pub(crate) id: Option<Cow<'a, str>>,
    /// What is wrong with it; that it is none is told only when the event names no tokens itself.
    pub(crate) warning: Option<Warning<'a>>,
}

/// What was read in one place.
struct Found {
    path: String,
    /// Whether it stands beside the properties.
    is_beside: bool,
    reading: Reading,
}

impl<'a> Place<'a> {
    fn of(name: Cow<'a, str>, value: &'a str) -> Self {
        Self { rank: NAMES.iter().position(|known| *known == name).unwrap_or(NAMES.len()), name, value }
    }
}

impl<'a> UsageObjects<'a> {
    /// Takes a member in which a usage object stands if it is one.
    pub(crate) fn usage(&mut self, is_inside: bool, name: Cow<'a, str>, raw: &'a str) {
        let places = if is_inside { &mut self.inside } else { &mut self.beside };
        if may_be_usage(raw) && places.usage.len() < USAGE_OBJECTS_MAX {
            places.usage.push(Place::of(name, raw));
        }
    }

    /// Takes a member in which a whole response stands if it is one.
    pub(crate) fn response(&mut self, is_inside: bool, name: Cow<'a, str>, raw: &'a str) {
        let places = if is_inside { &mut self.inside } else { &mut self.beside };
        if matches!(JsonKind::of(raw), JsonKind::Object(_)) && places.responses.len() < USAGE_OBJECTS_MAX {
            places.responses.push(Place::of(name, raw));
        }
    }

    /// Forgets what stood in properties that another name goes before.
    pub(crate) fn forget_inside(&mut self) {
        self.inside = Places::default();
    }

    /// Reads all that there is; `object` is the name of the properties. `flat` are the members of usage objects
    /// that the properties, and the event, are themselves.
    pub(crate) fn read(self, object: &str, flat: [Option<Members<'a>>; 2]) -> ProviderSaid<'a> {
        let (mut said, mut found) = (ProviderSaid::default(), Vec::new());
        for (places, prefix) in [(self.inside, Some(object)), (self.beside, None)] {
            let is_beside = prefix.is_none();
            let path = |name: &str| prefix.map_or_else(|| name.to_owned(), |object| format!("{object}.{name}"));
            for Place { name, value, .. } in sorted(places.usage) {
                found.push(Found { path: path(&name), is_beside, reading: usage::read(value, None) });
            }
            for Place { name, value, .. } in sorted(places.responses) {
                let response = usage::response(value);
                said.model = said.model.take().or(response.model);
                for (usage, text) in response.usage.into_iter().filter(|(_, value)| may_be_usage(value)) {
                    let (path, reading) = (path(&format!("{name}.{usage}")), usage::read(text, None));
                    // Responses of other services have ids too, which may be those of many events.
                    if reading != Reading::NotUsage {
                        said.id = said.id.take().or_else(|| response.id.clone());
                    }
                    found.push(Found { path, is_beside, reading });
                }
            }
        }
        let is_telling = |found: &Found| found.reading != Reading::NotUsage;
        // A telling member in which nothing stands tells nothing.
        found.extend(flat_reading(object, flat).filter(is_telling));
        said.decide(found);
        said
    }
}

/// What lies flat: in both places it is one object, of which the properties go first.
fn flat_reading(object: &str, flat: [Option<Members<'_>>; 2]) -> impl Iterator<Item = Found> {
    let found = |path: &str, is_beside, members: &Members<'_>| {
        let reading = usage::read_members(members, None);
        Some(Found { path: path.to_owned(), is_beside, reading })
    };
    let [first, second] = match flat {
        [Some(inside), Some(beside)] if inside.agrees_with(&beside) => {
            [found(object, true, &inside.with(beside)), None]
        }
        [inside, beside] => [
            inside.and_then(|inside| found(object, false, &inside)),
            beside.and_then(|beside| found("", true, &beside)),
        ],
    };
    first.into_iter().chain(second)
}

fn sorted(mut places: Vec<Place<'_>>) -> Vec<Place<'_>> {
    places.sort();
    places
}

/// Whether `raw` may be meant to be a usage object: anything but a word, a truth value or nothing.
fn may_be_usage(raw: &str) -> bool {
    match JsonKind::of(raw) {
        JsonKind::Object(_) | JsonKind::Array(_) | JsonKind::Number(_) => true,
        JsonKind::Text(text) => json::unescape(text)
            .is_some_and(|text| text.trim_start().starts_with(|c: char| c == '{' || c == '[' || c.is_ascii_digit())),
        JsonKind::Bool | JsonKind::Null => false,
    }
}

impl ProviderSaid<'_> {
    /// Takes what the first place says that says anything. Others may say it again; one that says something else is
    /// told, and when it has the same name, nobody can know which is meant.
    fn decide(&mut self, found: Vec<Found>) {
        let Some(at) = found.iter().position(|found| found.reading != Reading::NotUsage) else {
            self.warning = found.into_iter().next().map(|found| Warning::of(WarningCode::UsageNotRead, found.path));
            return;
        };
        let mut found = found.into_iter().skip(at);
        let Some(Found { path, is_beside, reading }) = found.next() else { return };
        let others = found.filter(|other| other.reading != Reading::NotUsage && other.reading != reading);
        let (same, mut other): (Vec<_>, Vec<_>) = others.partition(|other| other.path == path);
        other.retain(|other| contradicts(&reading, &other.reading));
        match reading {
            Reading::Invalid { member } => {
                let field = if path.is_empty() { member } else { format!("{path}.{member}") };
                self.warning = Some(Warning::of(WarningCode::UsageInvalid, field));
            }
            Reading::Read(_) if !same.is_empty() => self.warning = Some(Warning::of(WarningCode::UsageInvalid, path)),
            Reading::Read(usage) => {
                let ProviderUsage { input, output, cache_read, cache_write, reasoning, conflict } = usage;
                let tokens = ProviderTokens { input, output, cache_read, cache_write, reasoning, beside: is_beside };
                self.tokens = Some(Box::new(tokens));
                let contradicts = conflict.then_some(path).or(other.into_iter().next().map(|other| other.path));
                self.warning = contradicts.map(|path| Warning::of(WarningCode::UsageConflict, path));
            }
            Reading::NotUsage => {}
        }
    }
}

/// Whether two usage objects cannot both be right. One may say more than the other.
fn contradicts(first: &Reading, second: &Reading) -> bool {
    let (Reading::Read(first), Reading::Read(second)) = (first, second) else { return true };
    let counts =
        |usage: &ProviderUsage| [usage.input, usage.output, usage.cache_read, usage.cache_write, usage.reasoning];
    counts(first)
        .into_iter()
        .zip(counts(second))
        .any(|(first, second)| first.zip(second).is_some_and(|(first, second)| first != second))
}
