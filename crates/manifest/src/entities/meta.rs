//! The one row that says what this store is and how far it got.

use domain::position::Seq;
use domain::time::{MICROS_PER_SECOND, Timestamp};
use domain::window::WindowRule;
use ports::manifest::Identity;
use sea_orm::IntoActiveModel;
use sea_orm::entity::prelude::*;
use sqlite::{Failure, Seal, signed, unsigned};

/// The layout of the rows and of what they mean; one more with every change that old programs
/// must not touch, or whose files this program cannot complete: segments of format 1 do not know
/// the numbers of their users. Since format 3 the catalog has a file of its own; since format 4 segments may
/// be of version 3.
const FORMAT: i64 = 4;
/// The oldest format that can be brought up to [`FORMAT`].
const FORMAT_MIN: i64 = 2;
/// The only row's key.
const ID: i64 = 1;

#[derive(Debug, Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "meta")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) id: i64,
    pub(crate) format: i64,
    pub(crate) secret_key: Vec<u8>,
    pub(crate) window_sec: i64,
    pub(crate) grace_sec: i64,
    pub(crate) cursor: i64,
    pub(crate) closed_through_us: i64,
    pub(crate) retention_floor_us: i64,
    pub(crate) seal: i64,
}

#[derive(Debug, Clone, Copy, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    /// The row of a new store.
    pub(crate) fn new(identity: &Identity) -> Self {
        Self {
            id: ID,
            format: FORMAT,
            secret_key: identity.key.to_vec(),
            window_sec: identity.rule.length_us() / MICROS_PER_SECOND,
            grace_sec: identity.rule.grace_us() / MICROS_PER_SECOND,
            cursor: 0,
            closed_through_us: Timestamp::MIN.micros(),
            retention_floor_us: Timestamp::MIN.micros(),
            seal: 0,
        }
        .sealed()
    }

    /// This row with a seal that fits it.
    #[must_use]
    pub(crate) fn sealed(mut self) -> Self {
        self.seal = self.expected_seal();
        self
    }

    /// This row, if it is of this program's format and what was written.
    pub(crate) fn verified(self) -> Result<Self, Failure> {
        match self.verified_before_upgrade() {
            Ok(row) if row.format < FORMAT => Err(Failure::corrupt(format!("its format is still {}", row.format))),
            row => row,
        }
    }

    /// This row, if this program can carry it on and it is what was written.
    pub(crate) fn verified_before_upgrade(self) -> Result<Self, Failure> {
        if self.format > FORMAT {
            let newer = format!("its format is {}, this program knows up to {FORMAT}", self.format);
            return Err(Failure::unacceptable(newer));
        }
        if self.seal != self.expected_seal() {
            return Err(Failure::corrupt("the seal of its meta row is broken"));
        }
        if self.format < FORMAT_MIN {
            let older = format!(
                "it was made by an older version (its format is {}, this program needs {FORMAT_MIN} or later): export its events \
                 with that version and import them into a new folder",
                self.format
            );
            return Err(Failure::unacceptable(older));
        }
        Ok(self)
    }

    fn expected_seal(&self) -> i64 {
        let numbers = [
            self.id,
            self.format,
            self.window_sec,
            self.grace_sec,
            self.cursor,
            self.closed_through_us,
            self.retention_floor_us,
        ];
        numbers.into_iter().fold(Seal::default().bytes(&self.secret_key), Seal::int).value()
    }

    pub(crate) fn identity(&self) -> Result<Identity, Failure> {
        let key = self.secret_key.as_slice().try_into().map_err(|_| Failure::corrupt("its key is not of 16 bytes"))?;
        let seconds = |value: i64| u32::try_from(value).map_err(|_| Failure::corrupt("its windows are impossible"));
        let rule = WindowRule::new(seconds(self.window_sec)?, seconds(self.grace_sec)?);
        Ok(Identity { key, rule: rule.map_err(|error| Failure::corrupt(error.to_string()))? })
    }

    pub(crate) fn cursor(&self) -> Result<Seq, Failure> {
        unsigned("cursor", self.cursor).map(Seq)
    }

    pub(crate) fn set_cursor(&mut self, cursor: Seq) -> Result<(), Failure> {
        self.cursor = signed("cursor", cursor.0)?;
        Ok(())
    }
}

/// Says in the row that the file is of `format` now; a manifest that was never loaded has none.
pub(crate) async fn mark_format(connection: &impl ConnectionTrait, format: i64) -> Result<(), DbErr> {
    let Some(row) = Entity::find().one(connection).await? else { return Ok(()) };
    let row = row.verified_before_upgrade().map_err(|failure| DbErr::Migration(failure.to_string()))?;
    let marked = Model { format, ..row }.sealed();
    marked.into_active_model().reset_all().update(connection).await.map(drop)
}
