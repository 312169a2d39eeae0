//! Erasures: what was asked for, and how far each is. The name of a subject stands here until it is erased.

use domain::erasure::{ErasedSoFar, Erasure, SubjectKind};
use domain::position::Seq;
use domain::time::Timestamp;
use ports::manifest::StoredErasure;
use sea_orm::entity::prelude::*;
use sqlite::{Failure, Seal, signed, tenant_id, unsigned};

#[derive(Debug, Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "erasure")]
pub(crate) struct Model {
    /// In order of request.
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) number: i64,
    #[sea_orm(unique)]
    pub(crate) id: String,
    pub(crate) tenant: String,
    pub(crate) kind: String,
    pub(crate) subject: Option<String>,
    pub(crate) subject_hash: Vec<u8>,
    pub(crate) blocks: i64,
    pub(crate) through_seq: i64,
    pub(crate) requested_at_us: i64,
    pub(crate) requested_by: String,
    pub(crate) zone: String,
    pub(crate) finished_at_us: Option<i64>,
    pub(crate) events: i64,
    pub(crate) segments: i64,
    pub(crate) users: i64,
    pub(crate) dead_letters: i64,
    pub(crate) seal: i64,
}

#[derive(Debug, Clone, Copy, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    /// The row of an erasure.
    pub(crate) fn new(number: i64, stored: &StoredErasure) -> Result<Self, Failure> {
        let Erasure { id, kind, blocks, through, requested_at, by, zone, gone, finished_at } = &stored.erasure;
        let row = Self {
            number,
            id: id.clone(),
            tenant: stored.tenant.as_str().to_owned(),
            kind: kind.as_str().to_owned(),
            subject: stored.subject.clone(),
            subject_hash: stored.subject_hash.to_be_bytes().to_vec(),
            blocks: (*blocks).into(),
            through_seq: signed("through_seq", through.0)?,
            requested_at_us: requested_at.micros(),
            requested_by: by.clone(),
            zone: zone.clone(),
            finished_at_us: finished_at.map(Timestamp::micros),
            events: signed("events", gone.events)?,
            segments: signed("segments", gone.segments)?,
            users: signed("users", gone.users)?,
            dead_letters: signed("dead_letters", gone.dead_letters)?,
            seal: 0,
        };
        Ok(Self { seal: row.expected_seal(), ..row })
    }

    /// What it says, if it is what was written.
    pub(crate) fn into_erasure(self) -> Result<StoredErasure, Failure> {
        let broken = || Failure::corrupt(format!("erasure {:?} is damaged", self.id));
        if self.seal != self.expected_seal() {
            return Err(broken());
        }
        let hash: [u8; 16] = self.subject_hash.as_slice().try_into().map_err(|_| broken())?;
        let gone = ErasedSoFar {
            events: unsigned("events", self.events)?,
            segments: unsigned("segments", self.segments)?,
            users: unsigned("users", self.users)?,
            dead_letters: unsigned("dead_letters", self.dead_letters)?,
        };
        let erasure = Erasure {
            kind: SubjectKind::parse(&self.kind).ok_or_else(broken)?,
            blocks: self.blocks != 0,
            through: unsigned("through_seq", self.through_seq).map(Seq)?,
            requested_at: Timestamp::from_micros(self.requested_at_us),
            by: self.requested_by,
            zone: self.zone,
            gone,
            finished_at: self.finished_at_us.map(Timestamp::from_micros),
            id: self.id,
        };
        let (tenant, subject_hash) = (tenant_id(&self.tenant)?, u128::from_be_bytes(hash));
        Ok(StoredErasure { tenant, subject: self.subject, subject_hash, erasure })
    }

    fn expected_seal(&self) -> i64 {
        let texts = [&self.id, &self.tenant, &self.kind, self.subject.as_ref().unwrap_or(&self.kind)];
        let seal = texts.into_iter().fold(Seal::default(), |seal, text| seal.bytes(text.as_bytes()));
        let seal = seal.bytes(&self.subject_hash).bytes(self.requested_by.as_bytes()).bytes(self.zone.as_bytes());
        let numbers = [
            self.number,
            i64::from(self.subject.is_some()),
            self.blocks,
            self.through_seq,
            self.requested_at_us,
            i64::from(self.finished_at_us.is_some()),
            self.finished_at_us.unwrap_or(0),
            self.events,
            self.segments,
            self.users,
            self.dead_letters,
        ];
        numbers.into_iter().fold(seal, Seal::int).value()
    }
}
