//! Encrypts the values of new events at the paths of their workspace.

use std::sync::Arc;

use super::walk::{Place, Step, rewrite};
use super::{Binding, EncryptedPaths, FieldCipher, HIDDEN, Lens, MARK_IN_JSON, NoDataKey, UNREADABLE};
use crate::event::EventId;
use crate::limits::ENCRYPTED_VALUES_MAX;

/// About how much longer an encrypted value is than a third more than the value: mark, version, nonce and tag.
const SEALED_BYTES_MORE: usize = 64;

/// What a workspace encrypts, and with what.
#[derive(Debug, Clone)]
pub struct FieldEncryption {
    paths: EncryptedPaths,
    /// The paths of new events as they are compared, and whether each is deterministic.
    active: Vec<(String, bool)>,
    cipher: Arc<dyn FieldCipher>,
}

/// Why an event's properties are not encrypted. Names the path, never the value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// At this path stands what is shown in place of an encrypted value: it comes out of an answer or an export.
    #[error("'{0}' holds what is shown in place of an encrypted value; export in plain text to import again")]
    Placeholder(String),
    /// More values than may be.
    #[error("hold more than {ENCRYPTED_VALUES_MAX} values to be encrypted")]
    TooMany,
    /// They become too long.
    #[error("longer than {0} bytes once they are encrypted")]
    TooLong(usize),
    /// There is no key.
    #[error(transparent)]
    NoDataKey(#[from] NoDataKey),
}

impl FieldEncryption {
    /// The encryption of a workspace.
    pub fn new(paths: EncryptedPaths, cipher: Arc<dyn FieldCipher>) -> Self {
        let active = paths.active().map(|path| (path.path.joined(), path.is_deterministic)).collect();
        Self { paths, active, cipher }
    }

    /// Encrypts nothing, and hashes and shows as this one does.
    pub fn without_paths(&self) -> Self {
        Self { paths: self.paths.clone(), active: Vec::new(), cipher: Arc::clone(&self.cipher) }
    }

    /// The paths that are encrypted or once were.
    pub fn paths(&self) -> &EncryptedPaths {
        &self.paths
    }

    /// Whether new events are encrypted anywhere.
    pub fn is_active(&self) -> bool {
        !self.active.is_empty()
    }

    /// Shows encrypted values in plain text.
    pub fn lens(&self) -> Lens {
        Lens::of(Arc::clone(&self.cipher))
    }

    /// As [`FieldCipher::keyed`].
    pub fn keyed(&self, hash: u64) -> u64 {
        self.cipher.keyed(hash)
    }

    /// The properties of an event with the values at the paths encrypted; `None` when there are none. Encrypts no more
    /// once they are longer than `bytes_max`.
    ///
    /// # Errors
    /// [`SealError`] when the event must not be taken.
    pub fn seal(&self, event: EventId<'_>, properties: &str, bytes_max: usize) -> Result<Option<String>, SealError> {
        let (mut failed, mut values, mut bytes) = (None, 0, properties.len());
        let mut seal = |place: &Place<'_>, value: &str, is_deterministic| {
            if values == ENCRYPTED_VALUES_MAX {
                return Err(SealError::TooMany);
            }
            let Some(sealed) = self.seal_value(event, place, value, is_deterministic)? else { return Ok(Step::Keep) };
            values += 1;
            bytes = (bytes + sealed.len()).saturating_sub(value.len());
            if bytes > bytes_max { Err(SealError::TooLong(bytes_max)) } else { Ok(Step::Replace(sealed)) }
        };
        let rewritten = rewrite(properties, &mut |place: &Place<'_>, value| {
            // Nothing more of an event that is refused.
            let mode = if failed.is_some() { None } else { self.mode_at(place.path) };
            match mode {
                None => Step::Keep,
                Some(Mode::OnTheWay) => Step::Enter,
                Some(Mode::Sealed { is_deterministic }) => seal(place, value, is_deterministic).unwrap_or_else(|why| {
                    failed = Some(why);
                    Step::Keep
                }),
            }
        });
        failed.map_or(Ok(rewritten), Err)
    }

    /// A value as it is stored; none for what stays as it is.
    fn seal_value(
        &self,
        event: EventId<'_>,
        place: &Place<'_>,
        value: &str,
        is_deterministic: bool,
    ) -> Result<Option<String>, SealError> {
        if value == "null" {
            return Ok(None);
        }
        let text = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
        if matches!(text, Some(HIDDEN | UNREADABLE)) {
            return Err(SealError::Placeholder(place.path.to_owned()));
        }
        let (mode, binding) = if is_deterministic {
            ("d.", Binding::Path(place.path))
        } else {
            ("b.", Binding::Event(event, place.location))
        };
        let mut sealed = String::with_capacity(SEALED_BYTES_MORE + value.len() / 3 * 4);
        [MARK_IN_JSON, mode].into_iter().for_each(|part| sealed.push_str(part));
        self.cipher.encrypt(binding, value, &mut sealed)?;
        sealed.push('"');
        Ok(Some(sealed))
    }

    /// What is to be done with a value at `path`; nothing when no path leads there.
    fn mode_at(&self, path: &str) -> Option<Mode> {
        let mut found = None;
        for (known, is_deterministic) in &self.active {
            match known.strip_prefix(path) {
                Some("") => return Some(Mode::Sealed { is_deterministic: *is_deterministic }),
                Some(rest) if rest.starts_with('.') => found = Some(Mode::OnTheWay),
                _ => {}
            }
        }
        found
    }
}

/// What is to be done with a value.
enum Mode {
    /// The value is encrypted as a whole.
    Sealed { is_deterministic: bool },
    /// A listed path leads into the value, an object or array.
    OnTheWay,
}
