//! Encryption of single values in the properties of events: which are encrypted before anything is written, and what
//! of them a reader is shown. The cipher itself is handed in; no key is here.
//!
//! An encrypted value is a JSON string in the place of the value, whatever that was:
//!
//! ```text
//! "nmenc1.<b|d>.<what the cipher has made>"
//! b  bound to its event and its place in the properties: equal values look different, a swap is noticed
//! d  deterministic, bound to its path alone: equal values look alike within one version of the key
//! ```
//!
//! No client can write one: an event that holds a text of this form is refused. What is absent or null stays so.
//! A path stands for nested keys as well as for one key with dots in it, and arrays on the way are entered.

mod walk;
mod paths;
mod fields;

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use crate::event::EventId;
use walk::{Place, Step, rewrite};

pub use fields::{FieldEncryption, SealError};
pub use paths::{EncryptedPath, EncryptedPaths, PathStanding, PathsRefusal};

/// What the text of an encrypted value begins with.
pub const MARK: &str = "nmenc1.";
/// The mark as it stands in JSON.
const MARK_IN_JSON: &str = "\"nmenc1.";
/// What is shown of an encrypted value to who may not see it.
pub const HIDDEN: &str = "<encrypted>";
/// What is shown of an encrypted value that does not open: it was changed, moved, or its key is gone.
pub const UNREADABLE: &str = "<unreadable>";

/// What an encrypted value belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Binding<'a> {
    /// One place in the properties of one event.
    Event(EventId<'a>, &'a [u8]),
    /// A path, in all events of the workspace.
    Path(&'a str),
}

/// The cipher of one workspace, with all versions of its key.
pub trait FieldCipher: Send + Sync + fmt::Debug {
    /// Encrypts a value and appends the text to `out`, always the same under one version of the key. It holds nothing that
    /// JSON escapes.
    ///
    /// # Errors
    /// [`NoDataKey`] when the workspace has no key any more.
    fn encrypt(&self, binding: Binding<'_>, plain: &str, out: &mut String) -> Result<(), NoDataKey>;

    /// The value that [`FieldCipher::encrypt`] made `text` of for this binding, under whichever version of the key;
    /// `None` for any other text.
    fn decrypt(&self, binding: Binding<'_>, text: &str) -> Option<String>;

    /// A number that stands for a hash and tells nothing of it without the key. The same under every version.
    fn keyed(&self, hash: u64) -> u64;
}

/// The workspace has no key, or none any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the workspace has no data key")]
pub struct NoDataKey;

/// How a reader sees encrypted values: in plain text, or as [`HIDDEN`].
#[derive(Debug, Clone, Default)]
pub struct Lens(Option<Arc<dyn FieldCipher>>);

/// What is shown of an event's properties.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown<'p> {
    /// The properties, without any ciphertext.
    pub properties: Cow<'p, str>,
    /// Values that did not open.
    pub unreadable: usize,
}

impl Lens {
    /// Shows nothing of encrypted values.
    pub const HIDING: Self = Self(None);

    /// Shows them in plain text.
    pub fn of(cipher: Arc<dyn FieldCipher>) -> Self {
        Self(Some(cipher))
    }

    /// The properties of an event as the reader sees them.
    pub fn properties<'p>(&self, event: EventId<'_>, properties: &'p str) -> Shown<'p> {
        if !properties.contains(MARK_IN_JSON) {
            return Shown { properties: Cow::Borrowed(properties), unreadable: 0 };
        }
        let mut unreadable = 0;
        let rewritten = rewrite(properties, &mut |place: &Place<'_>, value| match sealed(value) {
            None => Step::Enter,
            Some(text) => Step::Replace(self.value(Some((event, place.location)), place.path, text, &mut unreadable)),
        });
        Shown { properties: rewritten.map_or(Cow::Borrowed(properties), Cow::Owned), unreadable }
    }

    /// One value as the reader sees it, as JSON: `path` is where it stands, as [`crate::property_path::PropertyPath::joined`]
    /// says it. Which event it is of is not known here, so of encrypted values only deterministic ones are read.
    pub fn value_at<'v>(&self, path: &str, value: &'v str) -> Cow<'v, str> {
        match sealed(value) {
            None => Cow::Borrowed(value),
            Some(text) => Cow::Owned(self.value(None, path, text, &mut 0)),
        }
    }

    fn value(&self, place: Option<(EventId<'_>, &[u8])>, path: &str, text: &str, unreadable: &mut usize) -> String {
        let Some(cipher) = &self.0 else { return format!("\"{HIDDEN}\"") };
        let opened = match (text.split_at_checked(2), place) {
            (Some(("b.", text)), Some((event, location))) => cipher.decrypt(Binding::Event(event, location), text),
            (Some(("b.", _)), None) => return format!("\"{HIDDEN}\""),
            (Some(("d.", text)), _) => cipher.decrypt(Binding::Path(path), text),
            _ => None,
        };
        opened.unwrap_or_else(|| {
            *unreadable += 1;
            format!("\"{UNREADABLE}\"")
        })
    }
}

/// Two are the same when they show the same by the same cipher.
impl PartialEq for Lens {
    fn eq(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (None, None) => true,
            (Some(one), Some(other)) => Arc::ptr_eq(one, other),
            _ => false,
        }
    }
}

/// What the cipher has made, behind its mode, if a JSON value is an encrypted one.
fn sealed(value: &str) -> Option<&str> {
    value.strip_prefix('"')?.strip_suffix('"')?.strip_prefix(MARK)
}

/// Whether the text of a JSON object holds an encrypted value, or what looks like one.
pub fn holds_encrypted(properties: &str) -> bool {
    if !properties.contains(MARK_IN_JSON) {
        return false;
    }
    let mut found = false;
    rewrite(properties, &mut |_: &Place<'_>, value| {
        found |= value.starts_with(MARK_IN_JSON);
        if found { Step::Keep } else { Step::Enter }
    });
    found
}

#[cfg(test)]
mod tests;
