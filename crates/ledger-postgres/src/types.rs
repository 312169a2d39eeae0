//! Values as PostgreSQL's binary protocol has them: instants and hashes; and kinds as numbers.

use domain::erasure::SubjectKind;
use domain::time::Timestamp;
use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::postgres::types::Oid;
use sqlx::postgres::{PgArgumentBuffer, PgHasArrayType, PgTypeInfo, PgValueRef};
use sqlx::{Decode, Encode, Postgres, Type};

/// PostgreSQL counts microseconds from 2000-01-01, which is so long after 1970-01-01.
const EPOCH_US: i64 = 946_684_800_000_000;
/// The types' numbers, which never change.
const TIMESTAMPTZ: Oid = Oid(1184);
const TIMESTAMPTZ_ARRAY: Oid = Oid(1185);
/// `int2`.
pub(crate) const INT2: Oid = Oid(21);
/// `int4`.
pub(crate) const INT4: Oid = Oid(23);
/// `text`.
pub(crate) const TEXT: Oid = Oid(25);
/// `bytea`.
pub(crate) const BYTEA: Oid = Oid(17);
const UUID: Oid = Oid(2950);
const UUID_ARRAY: Oid = Oid(2951);

/// A `timestamptz`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Instant(pub(crate) Timestamp);

impl Instant {
    /// As the server has it.
    pub(crate) fn to_bytes(self) -> [u8; 8] {
        (self.0.micros() - EPOCH_US).to_be_bytes()
    }
}

impl Type<Postgres> for Instant {
    fn type_info() -> PgTypeInfo {
        PgTypeInfo::with_oid(TIMESTAMPTZ)
    }
}

impl PgHasArrayType for Instant {
    fn array_type_info() -> PgTypeInfo {
        PgTypeInfo::with_oid(TIMESTAMPTZ_ARRAY)
    }
}

impl Encode<'_, Postgres> for Instant {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        buffer.extend_from_slice(&self.to_bytes());
        Ok(IsNull::No)
    }
}

impl Decode<'_, Postgres> for Instant {
    /// What is outside of all instants, as `-infinity`, is the earliest or the latest of them.
    fn decode(value: PgValueRef<'_>) -> Result<Self, BoxDynError> {
        let micros = i64::from_be_bytes(value.as_bytes()?.try_into()?);
        Ok(Self(Timestamp::from_micros(micros.saturating_add(EPOCH_US))))
    }
}

/// A `uuid`: any 128 bits, in order of the number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Uuid(pub(crate) u128);

impl Type<Postgres> for Uuid {
    fn type_info() -> PgTypeInfo {
        PgTypeInfo::with_oid(UUID)
    }
}

impl PgHasArrayType for Uuid {
    fn array_type_info() -> PgTypeInfo {
        PgTypeInfo::with_oid(UUID_ARRAY)
    }
}

impl Encode<'_, Postgres> for Uuid {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        buffer.extend_from_slice(&self.0.to_be_bytes());
        Ok(IsNull::No)
    }
}

impl Decode<'_, Postgres> for Uuid {
    fn decode(value: PgValueRef<'_>) -> Result<Self, BoxDynError> {
        Ok(Self(u128::from_be_bytes(value.as_bytes()?.try_into()?)))
    }
}

/// An unsigned number that fits; what does not stops at the end, as sums do.
pub(crate) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// What [`signed`] has written.
pub(crate) fn unsigned(number: i64) -> u64 {
    number.max(0).unsigned_abs()
}

/// The number of a kind in `erasures.kind`.
pub(crate) const fn erasure_code(kind: SubjectKind) -> i16 {
    match kind {
        SubjectKind::User => 0,
        SubjectKind::Customer => 1,
        SubjectKind::Workspace => 2,
    }
}

/// The kind with this number.
pub(crate) fn erasure_kind(number: i16) -> Result<SubjectKind, sqlx::Error> {
    let kind = SubjectKind::ALL.into_iter().find(|kind| erasure_code(*kind) == number);
    kind.ok_or_else(|| sqlx::Error::Decode("an erasure of no known kind".into()))
}
