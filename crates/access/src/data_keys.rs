//! The cipher of one workspace over single values of its events: AES-256-GCM-SIV (RFC 8452) under a key of the
//! workspace, which the master key wraps. Keeps every version of the key that was not destroyed.
//!
//! ```text
//! text   version of the key in decimal | "." | base64url of nonce (12 bytes), ciphertext, tag (16 bytes)
//! nonce  the first bytes of a keyed hash (BLAKE3) over what the value is bound to and the value
//! bound  format u8 = 1 | version u32 | len u64, workspace | "b" | id scheme u8 | len u64, event id | location
//!                                                         | "d" | path
//! ```
//!
//! So the same value at the same place gives the same text under one version, and nothing else does. Should two nonces
//! ever be the same, GCM-SIV reveals only whether the two values are.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use aes_gcm_siv::KeyInit;
use aes_gcm_siv::aead::{Aead, AeadInPlace, Payload};
use domain::access::record::DataKeyRecord;
use domain::encryption::{Binding, FieldCipher, NoDataKey};
use domain::event::EventId;
use domain::tenant::TenantId;
use zeroize::Zeroizing;

use crate::master_key::{Aes256GcmSiv, MasterKey, WrapError};
use crate::text::{decimal, from_base64url_any, push_base64url};

/// What data keys are wrapped for.
const PURPOSE: &str = "data key";
const FORMAT: u8 = 1;
const NONCE_BYTES: usize = 12;
const TAG_BYTES: usize = 16;
/// Bytes of a length in what is hashed.
const LENGTH_BYTES: usize = 8;
/// Bytes of a data key.
pub(crate) const DATA_KEY_BYTES: usize = 32;

/// Encrypts a new data key for its row.
pub(crate) fn wrap(
    master: &MasterKey,
    workspace: &TenantId,
    number: u32,
    key: &[u8; DATA_KEY_BYTES],
    nonce: [u8; NONCE_BYTES],
) -> Result<Vec<u8>, WrapError> {
    master.wrap(PURPOSE, &row(workspace, number), key, nonce)
}

/// Opens a data key.
pub(crate) fn unwrap(master: &MasterKey, record: &DataKeyRecord) -> Result<Zeroizing<[u8; DATA_KEY_BYTES]>, WrapError> {
    let opened = master.unwrap(PURPOSE, &row(&record.workspace, record.number), &record.wrapped)?;
    opened.as_slice().try_into().map(Zeroizing::new).map_err(|_| WrapError::Sealed)
}

fn row(workspace: &TenantId, number: u32) -> String {
    format!("{workspace}/{number}")
}

/// The keys of one workspace, opened.
pub(crate) struct WorkspaceCipher {
    workspace: TenantId,
    versions: BTreeMap<u32, Arc<Version>>,
    /// Whether the newest version could be opened; new values are encrypted with no older one.
    encrypts: bool,
}

/// What one version of the key is used for.
struct Version {
    /// What it was opened from.
    wrapped: Arc<[u8]>,
    /// Its number as it stands before what it has encrypted.
    name: String,
    cipher: Aes256GcmSiv,
    of_nonces: Zeroizing<[u8; 32]>,
    of_hashes: Zeroizing<[u8; 32]>,
}

impl Version {
    fn new(number: u32, wrapped: Arc<[u8]>, key: &[u8; DATA_KEY_BYTES]) -> Self {
        let derive = |context: &str| Zeroizing::new(blake3::derive_key(context, key));
        let of_values = derive("nilometer access 2026 encryption of properties");
        Self {
            wrapped,
            name: number.to_string(),
            cipher: Aes256GcmSiv::new(&(*of_values).into()),
            of_nonces: derive("nilometer access 2026 nonces of properties"),
            of_hashes: derive("nilometer access 2026 hashes of payloads"),
        }
    }
}

impl fmt::Debug for WorkspaceCipher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WorkspaceCipher").field("workspace", &self.workspace).finish_non_exhaustive()
    }
}

impl WorkspaceCipher {
    /// The cipher over these versions of the key, and those of them that do not open. Destroyed ones are left out; what is
    /// open in `known` is not opened again.
    pub(crate) fn open<'r>(
        master: &MasterKey,
        workspace: &TenantId,
        keys: impl Iterator<Item = &'r DataKeyRecord>,
        known: Option<&Self>,
    ) -> (Self, Vec<(u32, WrapError)>) {
        let mut cipher = Self { workspace: workspace.clone(), versions: BTreeMap::new(), encrypts: false };
        let mut failed = Vec::new();
        let is_of = |record: &DataKeyRecord, version: &&Arc<Version>| version.wrapped == record.wrapped;
        for record in keys.filter(|record| record.destroyed.is_none()) {
            let known = known.filter(|known| known.workspace == *workspace);
            let known = known.and_then(|known| known.versions.get(&record.number)).filter(|known| is_of(record, known));
            let opened = match known {
                Some(version) => Ok(Arc::clone(version)),
                None => unwrap(master, record)
                    .map(|key| Arc::new(Version::new(record.number, Arc::clone(&record.wrapped), &key))),
            };
            cipher.encrypts = opened.is_ok();
            match opened {
                Ok(version) => drop(cipher.versions.insert(record.number, version)),
                Err(why) => failed.push((record.number, why)),
            }
        }
        (cipher, failed)
    }

    /// What a value is bound to, behind the bytes that are in `bound`.
    fn bind(&self, number: u32, binding: Binding<'_>, bound: &mut Vec<u8>) {
        let workspace = self.workspace.as_str().as_bytes();
        bound.push(FORMAT);
        bound.extend_from_slice(&number.to_le_bytes());
        bound.extend_from_slice(&(workspace.len() as u64).to_le_bytes());
        bound.extend_from_slice(workspace);
        match binding {
            Binding::Event(EventId { scheme, text }, location) => {
                bound.extend_from_slice(&[b'b', scheme.code()]);
                bound.extend_from_slice(&(text.len() as u64).to_le_bytes());
                bound.extend_from_slice(text.as_bytes());
                bound.extend_from_slice(location);
            }
            Binding::Path(path) => {
                bound.push(b'd');
                bound.extend_from_slice(path.as_bytes());
            }
        }
    }
}

impl FieldCipher for WorkspaceCipher {
    fn encrypt(&self, binding: Binding<'_>, plain: &str, out: &mut String) -> Result<(), NoDataKey> {
        let (number, version) = self.versions.last_key_value().filter(|_| self.encrypts).ok_or(NoDataKey)?;
        // The length keeps what it is bound to apart from the value.
        let mut hashed = Vec::with_capacity(LENGTH_BYTES + 128 + plain.len());
        hashed.extend_from_slice(&[0; LENGTH_BYTES]);
        self.bind(*number, binding, &mut hashed);
        let bound = LENGTH_BYTES..hashed.len();
        hashed[..LENGTH_BYTES].copy_from_slice(&(bound.len() as u64).to_le_bytes());
        hashed.extend_from_slice(plain.as_bytes());
        let hash = blake3::keyed_hash(&version.of_nonces, &hashed);
        let nonce = *hash.as_bytes().first_chunk::<NONCE_BYTES>().ok_or(NoDataKey)?;
        let mut sealed = Vec::with_capacity(NONCE_BYTES + plain.len() + TAG_BYTES);
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(plain.as_bytes());
        let (cipher, plain) = (&version.cipher, &mut sealed[NONCE_BYTES..]);
        let tag = cipher.encrypt_in_place_detached(&nonce.into(), &hashed[bound], plain).map_err(|_| NoDataKey)?;
        sealed.extend_from_slice(&tag);
        out.push_str(&version.name);
        out.push('.');
        push_base64url(&sealed, out);
        Ok(())
    }

    fn decrypt(&self, binding: Binding<'_>, text: &str) -> Option<String> {
        let (number, text) = text.split_once('.')?;
        let number = u32::try_from(decimal(number)?).ok()?;
        let version = self.versions.get(&number)?;
        let bytes = from_base64url_any(text)?;
        let (nonce, encrypted) = bytes.split_first_chunk::<NONCE_BYTES>()?;
        let mut bound = Vec::with_capacity(128);
        self.bind(number, binding, &mut bound);
        let opened = version.cipher.decrypt(&(*nonce).into(), Payload { msg: encrypted, aad: &bound }).ok()?;
        String::from_utf8(opened).ok()
    }

    fn keyed(&self, hash: u64) -> u64 {
        // Of the first version for ever: a retry after a rotation has to have the hash that it had before.
        let Some((_, first)) = self.versions.first_key_value() else { return hash };
        let hashed = blake3::keyed_hash(&first.of_hashes, &hash.to_le_bytes());
        hashed.as_bytes().first_chunk::<8>().map_or(hash, |first| u64::from_le_bytes(*first))
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests fail loudly")]

    use domain::access::record::Versioned;
    use domain::event::IdScheme;
    use domain::time::Timestamp;
    use proptest::prelude::*;

    use super::*;

    const MASTER: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

    fn workspace(name: &str) -> TenantId {
        TenantId::parse(name).unwrap()
    }

    fn record(of: &str, number: u32, key: u8) -> DataKeyRecord {
        let master = MasterKey::parse(MASTER).unwrap();
        let wrapped = wrap(&master, &workspace(of), number, &[key; 32], [3; 12]).unwrap();
        let versioned = Versioned::new(Timestamp::MIN);
        DataKeyRecord { workspace: workspace(of), number, wrapped: wrapped.into(), destroyed: None, versioned }
    }

    fn cipher(of: &str, keys: &[DataKeyRecord]) -> WorkspaceCipher {
        let (cipher, failed) =
            WorkspaceCipher::open(&MasterKey::parse(MASTER).unwrap(), &workspace(of), keys.iter(), None);
        assert!(failed.is_empty(), "{failed:?}");
        cipher
    }

    /// What `cipher` makes of a value.
    fn encrypted(cipher: &WorkspaceCipher, binding: Binding<'_>, plain: &str) -> Result<String, NoDataKey> {
        let mut text = String::new();
        cipher.encrypt(binding, plain, &mut text).map(|()| text)
    }

    fn event<'a>(id: &'a str, location: &'a [u8]) -> Binding<'a> {
        Binding::Event(EventId { scheme: IdScheme::Native, text: id }, location)
    }

    #[test]
    fn old_versions_stay_readable_and_the_newest_encrypts() {
        let (first, second) = (record("a", 1, 7), record("a", 2, 8));
        let before = cipher("a", std::slice::from_ref(&first));
        let text = encrypted(&before, Binding::Path("p"), "\"x\"").unwrap();
        let after = cipher("a", &[first.clone(), second.clone()]);
        assert_eq!(after.decrypt(Binding::Path("p"), &text).as_deref(), Some("\"x\""));
        let newer = encrypted(&after, Binding::Path("p"), "\"x\"").unwrap();
        assert!(text.starts_with("1.") && newer.starts_with("2."), "{newer}");
        assert_eq!(before.decrypt(Binding::Path("p"), &newer), None);
        assert_eq!(before.keyed(5), after.keyed(5), "a retry after a rotation is still one");
        assert_ne!(before.keyed(5), cipher("a", std::slice::from_ref(&second)).keyed(5));
        let destroyed = DataKeyRecord { destroyed: Some(Timestamp::MIN), wrapped: Vec::new().into(), ..first };
        let without = cipher("a", &[destroyed]);
        assert_eq!(without.decrypt(Binding::Path("p"), &text), None);
        assert_eq!(encrypted(&without, Binding::Path("p"), "1"), Err(NoDataKey));
    }

    #[test]
    fn a_key_of_another_master_key_or_row_is_told_and_never_encrypts() {
        let other = MasterKey::parse(&MASTER.replace("1f", "1e")).unwrap();
        let keys = [record("a", 1, 7), record("a", 2, 8)];
        let (cipher, failed) = WorkspaceCipher::open(&other, &workspace("a"), keys.iter(), None);
        assert_eq!(failed, [(1, WrapError::Sealed), (2, WrapError::Sealed)]);
        assert_eq!(encrypted(&cipher, Binding::Path("p"), "1"), Err(NoDataKey));
        // The newest is one that was moved here from another row: the older one is not used in its place.
        let moved = DataKeyRecord { number: 2, ..record("a", 3, 8) };
        let keys = [record("a", 1, 7), moved];
        let (cipher, failed) =
            WorkspaceCipher::open(&MasterKey::parse(MASTER).unwrap(), &workspace("a"), keys.iter(), None);
        assert_eq!(failed, [(2, WrapError::Sealed)]);
        assert_eq!(encrypted(&cipher, Binding::Path("p"), "1"), Err(NoDataKey));
    }

    /// All versions were opened again at each change, of which a workspace has many in its life.
    #[test]
    fn what_is_open_is_not_opened_again() {
        let other = MasterKey::parse(&MASTER.replace("1f", "1e")).unwrap();
        let keys = [record("a", 1, 7), record("a", 2, 8)];
        let known = cipher("a", &keys);
        let more = [keys[0].clone(), keys[1].clone(), record("a", 3, 9)];
        let (after, failed) = WorkspaceCipher::open(&other, &workspace("a"), more.iter(), Some(&known));
        assert_eq!(failed, [(3, WrapError::Sealed)], "the first two need no master key any more");
        let text = encrypted(&known, Binding::Path("p"), "1").unwrap();
        assert_eq!(after.decrypt(Binding::Path("p"), &text).as_deref(), Some("1"));
        assert_eq!(known.keyed(5), after.keyed(5));
        assert_eq!(encrypted(&after, Binding::Path("p"), "1"), Err(NoDataKey), "the newest does not open");
        // The same number with another key in it is another version.
        let replaced = [record("a", 1, 9), record("a", 2, 8)];
        let (after, failed) = WorkspaceCipher::open(&other, &workspace("a"), replaced.iter(), Some(&known));
        assert_eq!(failed, [(1, WrapError::Sealed)]);
        assert!(encrypted(&after, Binding::Path("p"), "1").is_ok());
        let (_, failed) = WorkspaceCipher::open(&other, &workspace("b"), keys.iter(), Some(&known));
        assert_eq!(failed.len(), 2, "I5: what is open of another workspace");
    }

    /// What is on disk stays readable. The values were computed by other implementations of BLAKE3 and AES-GCM-SIV.
    #[test]
    fn what_was_written_once_still_opens() {
        let cipher = cipher("a", &[record("a", 1, 7)]);
        assert_eq!(encrypted(&cipher, event("e", b".x"), "\"secret\"").unwrap(), BOUND);
        assert_eq!(encrypted(&cipher, Binding::Path("x"), "\"secret\"").unwrap(), DETERMINISTIC);
        assert_eq!(cipher.decrypt(event("e", b".x"), BOUND).as_deref(), Some("\"secret\""));
        assert_eq!(cipher.keyed(1), KEYED);
    }

    const BOUND: &str = "1.uOy_AFNuzHgTxhJMudstEHmcuLWJHrjrWg5Zty4mi4Vhpw_c";
    const DETERMINISTIC: &str = "1.NXN6dhFaKXJ4-U0K5SKbD31Wosp03p6EDKkcMlTkVgur6K4M";
    const KEYED: u64 = 9_479_630_578_492_153_983;

    proptest! {
        #[test]
        fn a_retry_gives_the_same_bytes_and_a_swap_fails(
            plain in "\\PC{0,80}",
            id in "[a-c]{1,3}", other_id in "[a-c]{1,3}",
            location in "[.#a]{1,3}", other_location in "[.#a]{1,3}",
        ) {
            let (one, two) = (cipher("a", &[record("a", 1, 7)]), cipher("a", &[record("a", 1, 7)]));
            let binding = event(&id, location.as_bytes());
            let text = encrypted(&one, binding, &plain).unwrap();
            prop_assert_eq!(&text, &encrypted(&two, binding, &plain).unwrap());
            prop_assert_eq!(two.decrypt(binding, &text), Some(plain.clone()));
            let other = event(&other_id, other_location.as_bytes());
            if other != binding {
                prop_assert_eq!(one.decrypt(other, &text), None);
                prop_assert_ne!(encrypted(&one, other, &plain).unwrap(), text.clone());
            }
            prop_assert_eq!(one.decrypt(Binding::Path(&id), &text), None);
            prop_assert_eq!(cipher("b", &[record("b", 1, 7)]).decrypt(binding, &text), None);
            let of_cloud_event = Binding::Event(EventId { scheme: IdScheme::CloudEvent, text: &id }, location.as_bytes());
            prop_assert_eq!(one.decrypt(of_cloud_event, &text), None);
        }

        #[test]
        fn what_is_cut_or_changed_fails(plain in "\\PC{0,20}", at in any::<prop::sample::Index>()) {
            let cipher = cipher("a", &[record("a", 1, 7)]);
            let text = encrypted(&cipher, Binding::Path("p"), &plain).unwrap();
            let at = at.index(text.len());
            prop_assert_eq!(cipher.decrypt(Binding::Path("p"), &text[..at]), None);
            let mut bytes = text.clone().into_bytes();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(bytes).unwrap();
            prop_assert_eq!(cipher.decrypt(Binding::Path("p"), &changed), None, "{}", changed);
        }
    }
}
