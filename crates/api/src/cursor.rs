//! Paging cursors: opaque to clients, and sealed. A cursor is good for the tenant, the listing, the filters, the
//! order and the time zone it was made for, and for nothing else: with another question it would skip rows
//! without a word. The key comes from the data folder, so that a cursor outlives a restart.

use std::fmt::{self, Write};

use blake3::Hash;
use domain::calendar::Zone;
use domain::tenant::TenantScope;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::problem::Problem;

/// Grows when a place is written otherwise: cursors of before are refused.
const CURSOR_FORMAT: u32 = 2;
/// Keeps the key apart from everything else that is made from the folder's secret.
const KEY_CONTEXT: &str = "nilometer 2026-11 paging cursors";
/// Longest cursor, in characters; the longest name and a position fit.
const CURSOR_CHARS_MAX: usize = 4_096;
/// The seal in front of the place, in bytes.
const SEAL_BYTES: usize = blake3::OUT_LEN;

/// Seals the cursors of one data folder.
#[derive(Clone)]
pub(crate) struct CursorKey([u8; blake3::KEY_LEN]);

impl fmt::Debug for CursorKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CursorKey")
    }
}

impl CursorKey {
    /// The key of the folder with this secret.
    pub(crate) fn of_folder(secret: &[u8]) -> Self {
        Self(blake3::derive_key(KEY_CONTEXT, secret))
    }

    /// The cursors of one question: `asked` is everything that decides on the rows of the listing and on
    /// their order.
    pub(crate) fn cursors(
        &self,
        scope: &TenantScope,
        listing: &str,
        zone: &Zone,
        asked: &impl Serialize,
    ) -> Result<Cursors, Problem> {
        self.bound(scope.tenant().as_str(), listing, zone.name(), asked)
    }

    /// The cursors of a question whose answer no zone changes, in a workspace or, without one, of the operator.
    pub(crate) fn cursors_of_list(
        &self,
        scope: Option<&TenantScope>,
        listing: &str,
        asked: &impl Serialize,
    ) -> Result<Cursors, Problem> {
        // No workspace and no zone has an empty name.
        self.bound(scope.map_or("", |scope| scope.tenant().as_str()), listing, "", asked)
    }

    fn bound(&self, tenant: &str, listing: &str, zone: &str, asked: &impl Serialize) -> Result<Cursors, Problem> {
        let bound = (CURSOR_FORMAT, tenant, listing, zone, asked);
        let bound = serde_json::to_vec(&bound).map_err(|why| Problem::internal(why.to_string()))?;
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        hasher.update(&(bound.len() as u64).to_le_bytes());
        hasher.update(&bound);
        Ok(Cursors(hasher))
    }
}

/// Makes and reads the cursors of one question.
#[derive(Debug)]
pub(crate) struct Cursors(blake3::Hasher);

impl Cursors {
    /// The cursor that stands after `place`.
    pub(crate) fn after<T: Serialize>(&self, place: &T) -> Option<String> {
        let place = serde_json::to_vec(place).ok()?;
        let seal = self.seal(&place);
        let mut cursor = String::with_capacity((SEAL_BYTES + place.len()) * 2);
        for byte in seal.as_bytes().iter().chain(&place) {
            let _ = write!(cursor, "{byte:02x}");
        }
        Some(cursor)
    }

    /// The place that a client's cursor stands for.
    pub(crate) fn read<T: DeserializeOwned>(&self, cursor: Option<&str>) -> Result<Option<T>, Problem> {
        let Some(cursor) = cursor else { return Ok(None) };
        let bytes = decode(cursor).unwrap_or_default();
        let place = bytes.split_first_chunk::<SEAL_BYTES>().and_then(|(seal, place)| {
            let is_sealed = Hash::from_bytes(*seal) == self.seal(place);
            is_sealed.then(|| serde_json::from_slice(place).ok()).flatten()
        });
        let detail = "'cursor' is not the next_cursor of an earlier page of this listing, asked for with the same \
                      filters and order since the time zone was last changed; begin without one";
        place.map(Some).ok_or_else(|| Problem::parameter("cursor", detail))
    }

    fn seal(&self, place: &[u8]) -> Hash {
        self.0.clone().update(place).finalize()
    }
}

fn decode(cursor: &str) -> Option<Vec<u8>> {
    if cursor.len() > CURSOR_CHARS_MAX {
        return None;
    }
    let digits: Option<Vec<u8>> = cursor.chars().map(|digit| digit.to_digit(16)?.try_into().ok()).collect();
    let (pairs, rest) = digits.as_ref()?.as_chunks::<2>();
    rest.is_empty().then(|| pairs.iter().map(|[high, low]| high << 4 | low).collect())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use domain::tenant::TenantId;
    use proptest::prelude::*;

    use super::*;

    fn cursors(secret: u8, tenant: &str, listing: &str, zone: &str, asked: &str) -> Cursors {
        let scope = TenantScope::for_operator(TenantId::parse(tenant).unwrap());
        CursorKey::of_folder(&[secret; 16]).cursors(&scope, listing, &Zone::parse(zone).unwrap(), &asked).unwrap()
    }

    proptest! {
        #[test]
        fn a_cursor_comes_back_as_it_went_and_to_its_own_question_alone(place in ".{0,64}", start in any::<i64>()) {
            let own = || cursors(1, "a", "windows", "UTC", "customer");
            let cursor = own().after(&(&place, start)).unwrap();
            let back: Option<(String, i64)> = own().read(Some(&cursor)).unwrap();
            prop_assert_eq!(back, Some((place, start)));
            for other in [
                cursors(2, "a", "windows", "UTC", "customer"),
                cursors(1, "b", "windows", "UTC", "customer"),
                cursors(1, "a", "events", "UTC", "customer"),
                cursors(1, "a", "windows", "Asia/Tokyo", "customer"),
                cursors(1, "a", "windows", "UTC", "other"),
            ] {
                prop_assert!(other.read::<(String, i64)>(Some(&cursor)).is_err());
            }
        }

        #[test]
        fn garbage_is_refused(cursor in ".{0,64}", at in any::<prop::sample::Index>()) {
            let own = cursors(1, "a", "events", "UTC", "");
            prop_assert!(own.read::<(i64, u64)>(Some(&cursor)).is_err());
            let mut good = own.after(&(1, 2)).unwrap().into_bytes();
            let at = at.index(good.len());
            good[at] = if good[at] == b'0' { b'1' } else { b'0' };
            let changed = String::from_utf8(good).unwrap();
            prop_assert!(own.read::<(i64, u64)>(Some(&changed)).is_err());
        }
    }
}
