//! The commit point of the embedded ledger. What one [`Manifest::commit`] changes is one SQLite
//! transaction; what [`Manifest::load`] answers is of one moment.

mod activity;
mod change;
mod erasures;
mod insert;
mod received;
mod rollups;
mod state;
mod sums;
mod users;

use async_trait::async_trait;
use domain::aggregate::Totals;
use domain::calendar::{Day, DayRange};
use domain::position::Seq;
use domain::rollup::Rollup;
use domain::tenant::TenantScope;
use domain::time::TimeRange;
use domain::users::{UserNumber, UserSet};
use ports::manifest::{
    Activity, ActivityFilter, Commit, DeadLetter, HourSumsQuery, Identity, Manifest, ManifestState, ReceivedSum,
};
use ports::{ErrorKind, PortError, held};
use sea_orm::sea_query::OnConflict;
use sea_orm::{ColumnTrait, DatabaseTransaction, EntityTrait, IntoActiveModel, QueryFilter};
use sqlite::Failure;

use crate::entities::{dead_letter, meta};
use crate::sqlite_manifest::SqliteManifest;

const READ: &str = "read the manifest";
const COMMIT: &str = "commit to the manifest";

#[async_trait]
impl Manifest for SqliteManifest {
    async fn load(&self, identity: &Identity) -> Result<ManifestState, PortError> {
        if let Some(state) = self.state().await? {
            return Ok(state);
        }
        let write = self.file.begin("set up the manifest").await?;
        let outcome = fix(write.transaction(), identity).await;
        write.finish(outcome).await?;
        let state = self.state().await?;
        state.ok_or_else(|| self.file.failed(READ, Failure::corrupt("its meta row is gone")))
    }

    async fn commit(&self, commit: &Commit) -> Result<(), PortError> {
        let write = self.file.begin(COMMIT).await?;
        let outcome = change::apply(write.transaction(), commit).await.and_then(|()| before_commit());
        write.finish(outcome).await?;
        after_commit().map_err(|failure| self.file.failed_write(COMMIT, failure))
    }

    async fn rollups(&self, scope: &TenantScope, range: TimeRange) -> Result<(Seq, Vec<Rollup>), PortError> {
        let read = async {
            let snapshot = self.file.snapshot().await?;
            let answer = (state::cursor(&snapshot).await?, rollups::read(&snapshot, scope.tenant(), range).await?);
            snapshot.commit().await?;
            Ok(answer)
        };
        read.await.map_err(|failure| self.file.failed(READ, failure))
    }

    async fn hour_sums(&self, scope: &TenantScope, query: &HourSumsQuery) -> Result<(Seq, Vec<Rollup>), PortError> {
        let read = async {
            let snapshot = self.file.snapshot().await?;
            let sums = sums::by_hour(&snapshot, scope.tenant(), query).await?;
            let answer = (state::cursor(&snapshot).await?, sums);
            snapshot.commit().await?;
            Ok(answer)
        };
        read.await.map_err(|failure| self.file.failed(READ, failure))
    }

    async fn type_sums(
        &self,
        scope: &TenantScope,
        range: TimeRange,
        project: Option<&str>,
    ) -> Result<(Seq, Vec<(String, Totals)>), PortError> {
        let read = async {
            let snapshot = self.file.snapshot().await?;
            let sums = sums::by_type(&snapshot, scope.tenant(), range, project).await?;
            let answer = (state::cursor(&snapshot).await?, sums);
            snapshot.commit().await?;
            Ok(answer)
        };
        read.await.map_err(|failure| self.file.failed(READ, failure))
    }

    async fn activity(
        &self,
        scope: &TenantScope,
        filter: &ActivityFilter,
        days: DayRange,
    ) -> Result<(Seq, Vec<(Day, UserSet)>), PortError> {
        let read = async {
            let snapshot = self.file.snapshot().await?;
            let rows = activity::rows(&snapshot, scope.tenant(), filter, days).await?;
            let answer = (state::cursor(&snapshot).await?, rows);
            snapshot.commit().await?;
            Ok(answer)
        };
        let (cursor, rows) = read.await.map_err(|failure| self.file.failed(READ, failure))?;
        // Sets of a million users over many days are work for another thread.
        let held = held::current();
        let unpacking = tokio::task::spawn_blocking(move || {
            let _held = held;
            activity::unpack(rows)
        });
        let unpacked = unpacking.await;
        let unpacked = unpacked.map_err(|why| PortError::new(ErrorKind::Unavailable, READ).because(why))?;
        unpacked.map(|active| (cursor, active)).map_err(|failure| self.file.failed(READ, failure))
    }

    async fn received(&self, scope: &TenantScope, range: TimeRange) -> Result<(Seq, Vec<ReceivedSum>), PortError> {
        let read = async {
            let snapshot = self.file.snapshot().await?;
            let sums = received::read(&snapshot, scope.tenant(), range).await?;
            let answer = (state::cursor(&snapshot).await?, sums);
            snapshot.commit().await?;
            Ok(answer)
        };
        read.await.map_err(|failure| self.file.failed(READ, failure))
    }

    async fn user_names(&self, scope: &TenantScope, users: &[UserNumber]) -> Result<Vec<Option<String>>, PortError> {
        let read = async {
            let snapshot = self.file.snapshot().await?;
            let names = users::names_of(&snapshot, scope.tenant(), users).await?;
            snapshot.commit().await?;
            Ok(names)
        };
        read.await.map_err(|failure| self.file.failed(READ, failure))
    }

    async fn erased_activity(&self, scope: &TenantScope) -> Result<Vec<Activity>, PortError> {
        let activity = erasures::activity_of(self.file.readers(), scope.tenant()).await;
        activity.map_err(|failure| self.file.failed(READ, failure))
    }

    async fn dead_letters(&self, scope: &TenantScope) -> Result<Vec<DeadLetter>, PortError> {
        let letters = erasures::letters(self.file.readers(), scope.tenant()).await;
        let letters =
            letters.and_then(|rows| rows.into_iter().map(dead_letter::Model::into_letter).collect::<Result<_, _>>());
        letters.map_err(|failure| self.file.failed(READ, failure))
    }

    async fn scrub(&self) -> Result<(), PortError> {
        self.file.scrub("leave nothing of what was removed in the manifest").await
    }

    async fn store_dead_letter(&self, letter: &DeadLetter) -> Result<(), PortError> {
        let write = self.file.begin("store a dead letter in the manifest").await?;
        let outcome = keep_letter(write.transaction(), letter).await;
        write.finish(outcome).await
    }

    async fn dead_letter(&self, scope: &TenantScope, seq: Seq) -> Result<Option<DeadLetter>, PortError> {
        use dead_letter::{Column, Entity, Model};
        let Ok(seq) = i64::try_from(seq.0) else { return Ok(None) };
        let row =
            Entity::find_by_id(seq).filter(Column::Tenant.eq(scope.tenant().as_str())).one(self.file.readers()).await;
        let letter = row.map_err(Failure::from).and_then(|row| row.map(Model::into_letter).transpose());
        letter.map_err(|failure| self.file.failed(READ, failure))
    }
}

impl SqliteManifest {
    /// Everything, of one moment; `None` when the identity is not fixed yet.
    async fn state(&self) -> Result<Option<ManifestState>, PortError> {
        let read = async {
            let snapshot = self.file.snapshot().await?;
            let state = state::read(&snapshot).await?;
            snapshot.commit().await?;
            Ok(state)
        };
        read.await.map_err(|failure| self.file.failed(READ, failure))
    }
}

async fn fix(transaction: &DatabaseTransaction, identity: &Identity) -> Result<(), Failure> {
    let first_stays = OnConflict::column(meta::Column::Id).do_nothing().to_owned();
    let row = meta::Model::new(identity).into_active_model();
    meta::Entity::insert_many([row]).on_conflict(first_stays).exec_without_returning(transaction).await?;
    Ok(())
}

async fn keep_letter(transaction: &DatabaseTransaction, letter: &DeadLetter) -> Result<(), Failure> {
    let first_stays = OnConflict::column(dead_letter::Column::Seq).do_nothing().to_owned();
    let row = dead_letter::Model::new(letter)?.into_active_model();
    dead_letter::Entity::insert_many([row]).on_conflict(first_stays).exec_without_returning(transaction).await?;
    Ok(())
}

/// Where tests stop or fail a commit of which nothing counts yet.
fn before_commit() -> Result<(), Failure> {
    fail::fail_point!("manifest::before_commit", |_| Err(std::io::Error::other("injected before the commit").into()));
    Ok(())
}

/// Where tests stop or fail a commit that counts already.
fn after_commit() -> Result<(), Failure> {
    fail::fail_point!("manifest::after_commit", |_| Err(std::io::Error::other("injected after the commit").into()));
    Ok(())
}
