//! Users, their days, erasures and dead letters, as rows.

use std::collections::BTreeMap;

use domain::dedup::IdHasher;
use domain::position::RecordId;
use domain::users::UserSet;
use ports::PortError;
use ports::manifest::{ActivityFilter, DeadLetter, StoredErasure};
use ports::moving::{MoveStage, MovedDay, MovedUser};
use postgres::Failure;
use sqlx::postgres::PgConnection;

use super::taking::{Intake, ROWS_AT_ONCE};
use crate::copy::Rows;
use crate::fold::{AUDIENCE_ALL, AUDIENCE_PROJECT, AUDIENCE_TYPE};
use crate::rows::uuid;
use crate::sums::{SumTable, UserDayKey, UserDays};
use crate::types::{Uuid, erasure_code, signed};
use crate::upkeep::CHUNK_BITS;

impl Intake {
    /// Takes in users.
    ///
    /// # Errors
    /// As [`Intake::take_events`].
    pub async fn take_users(&mut self, users: &[MovedUser]) -> Result<(), PortError> {
        let taken = async {
            let hasher = IdHasher::new(&self.ledger.key);
            let mut rows = Rows::new(4, 0);
            for user in users {
                rows.row().i32(self.of(&user.tenant)?.no).i32(user.number.0.cast_signed());
                match &user.name {
                    Some(name) => rows.uuid(Uuid(hasher.of_tenant(&user.tenant).hash(name).0)).text(name),
                    None => rows.null().null(),
                };
            }
            let mut transaction = self.begin(MoveStage::Users).await?;
            rows.copy(transaction.on(), "users (tenant_no, user_no, name_hash, name)").await?;
            self.end(transaction, users.len() as u64).await
        };
        taken.await.map_err(|failure: Failure| failure.during("move users into PostgreSQL"))
    }

    /// Takes in who was active on days, of one set of a tenant's days.
    ///
    /// # Errors
    /// As [`Intake::take_events`].
    pub async fn take_days(&mut self, days: &[MovedDay]) -> Result<(), PortError> {
        let taken = self.take_days_of(MoveStage::UserDays, days).await;
        taken.map_err(|failure| failure.during("move days of users into PostgreSQL"))
    }

    /// Takes in who was active on days by events that were erased, of one tenant.
    ///
    /// # Errors
    /// As [`Intake::take_events`].
    pub async fn take_erased_days(&mut self, days: &[MovedDay]) -> Result<(), PortError> {
        let taken = self.take_days_of(MoveStage::ErasedUserDays, days).await;
        taken.map_err(|failure| failure.during("move days of erased users into PostgreSQL"))
    }

    async fn take_days_of(&mut self, stage: MoveStage, days: &[MovedDay]) -> Result<(), Failure> {
        let table = if stage == MoveStage::UserDays { UserDays::NAME } else { "erased_user_days" };
        let mut transaction = self.begin(stage).await?;
        for days in days.chunks(ROWS_AT_ONCE) {
            let mut pages: BTreeMap<UserDayKey, UserSet> = BTreeMap::new();
            for day in days {
                let (no, (audience, name)) = (self.of(&day.tenant)?.no, audience(&day.filter));
                for user in day.users.iter() {
                    let chunk = (user.0 >> CHUNK_BITS).cast_signed();
                    pages.entry((no, audience, name.to_owned(), day.day, chunk)).or_default().insert(user);
                }
            }
            add_pages(transaction.on(), table, &pages).await?;
        }
        self.end(transaction, 1).await
    }

    /// Takes in all erasures, in order of request.
    ///
    /// # Errors
    /// As [`Intake::take_events`].
    pub async fn take_erasures(&mut self, erasures: &[StoredErasure]) -> Result<(), PortError> {
        let taken = async {
            let mut rows = Rows::new(15, 0);
            for StoredErasure { tenant, subject, subject_hash, erasure } in erasures {
                rows.row()
                    .text(&erasure.id)
                    .i32(self.of(tenant)?.no)
                    .i64(signed(self.shift.saturating_add(erasure.through.0)))
                    .instant(erasure.requested_at);
                for finished in [erasure.finished_at; 2] {
                    match finished {
                        Some(finished) => rows.instant(finished),
                        None => rows.null(),
                    };
                }
                rows.i64(signed(erasure.gone.events)).i64(signed(erasure.gone.users));
                rows.i64(signed(erasure.gone.dead_letters)).i16(erasure_code(erasure.kind)).boolean(erasure.blocks);
                rows.uuid(Uuid(*subject_hash)).text_or_null(subject.as_deref()).text(&erasure.by).text(&erasure.zone);
            }
            let mut transaction = self.begin(MoveStage::Erasures).await?;
            let columns = "id, tenant_no, through, requested_at, nameless_at, finished_at, events, users, dead_letters, \
                           kind, blocks, subject_hash, subject, asked_by, zone";
            rows.copy(transaction.on(), &format!("erasures ({columns})")).await?;
            self.end(transaction, 1).await
        };
        taken.await.map_err(|failure: Failure| failure.during("move erasures into PostgreSQL"))
    }

    /// Takes in dead letters.
    ///
    /// # Errors
    /// As [`Intake::take_events`].
    pub async fn take_dead_letters(&mut self, letters: &[DeadLetter]) -> Result<(), PortError> {
        let taken = async {
            let (mut rows, mut buckets) = (Rows::new(7, 0), Vec::new());
            for letter in letters {
                let owner = letter.tenant.as_ref().map(|tenant| self.of(tenant)).transpose()?;
                let bucket = owner.map_or(0, |owner| owner.bucket);
                buckets.push(bucket);
                rows.row()
                    .i16(bucket)
                    .i64(signed(self.shift.saturating_add(letter.seq.0)))
                    .uuid(uuid(RecordId::from(letter.seq)))
                    .instant(letter.dead_lettered_at)
                    .i32_or_null(owner.map(|owner| owner.no))
                    // No column takes U+0000.
                    .text(&letter.reason.replace('\0', " "))
                    .bytes(Some(&letter.payload));
            }
            let mut transaction = self.begin(MoveStage::DeadLetters).await?;
            let on = transaction.on();
            let columns = "bucket, record_no, record_id, dead_lettered_at, tenant_no, reason, payload";
            rows.copy(on, &format!("dead_letters ({columns})")).await?;
            let sql = "UPDATE buckets b SET dead_letters = dead_letters + k.count FROM (SELECT bucket, count(*) \
                       FROM unnest($1::int2[]) bucket GROUP BY bucket) k WHERE b.bucket = k.bucket";
            sqlx::query(sql).bind(buckets).execute(on).await?;
            self.end(transaction, letters.len() as u64).await
        };
        taken.await.map_err(|failure: Failure| failure.during("move dead letters into PostgreSQL"))
    }
}

fn audience(filter: &ActivityFilter) -> (i16, &str) {
    match filter {
        ActivityFilter::All => (AUDIENCE_ALL, ""),
        ActivityFilter::Project(project) => (AUDIENCE_PROJECT, project),
        ActivityFilter::Type(kind) => (AUDIENCE_TYPE, kind),
    }
}

async fn add_pages(on: &mut PgConnection, table: &str, pages: &BTreeMap<UserDayKey, UserSet>) -> Result<(), Failure> {
    let mut rows = Rows::new(7, 0);
    for ((no, audience, name, day, chunk), users) in pages {
        rows.row().i32(*no).i16(*audience).text(name).i32(*day).i32(*chunk).i32(1).bytes(Some(&users.to_bytes()));
    }
    rows.copy(on, &format!("{table} (tenant_no, audience, name, day, chunk, version, bits)")).await
}
