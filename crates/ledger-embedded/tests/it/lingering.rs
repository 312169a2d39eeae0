//! A manifest that lingers after each commit and before each answer, so that readers meet every state
//! between the commit and the change in memory.

use std::sync::Arc;

use async_trait::async_trait;
use domain::aggregate::Totals;
use domain::calendar::{Day, DayRange};
use domain::position::Seq;
use domain::rollup::Rollup;
use domain::tenant::TenantScope;
use domain::time::TimeRange;
use domain::users::{UserNumber, UserSet};
use ports::PortError;
use ports::manifest::{
    Activity, ActivityFilter, Commit, DeadLetter, HourSumsQuery, Identity, Manifest, ManifestState, ReceivedSum,
};
use ports::testing::manifest::MemoryManifest;

/// How often others get their turn.
const TURNS: usize = 500;

#[derive(Debug)]
pub(crate) struct Lingering(pub(crate) Arc<MemoryManifest>);

async fn linger() {
    for _ in 0..TURNS {
        tokio::task::yield_now().await;
    }
}

#[async_trait]
impl Manifest for Lingering {
    async fn load(&self, identity: &Identity) -> Result<ManifestState, PortError> {
        self.0.load(identity).await
    }

    async fn commit(&self, change: &Commit) -> Result<(), PortError> {
        let committed = self.0.commit(change).await;
        linger().await;
        committed
    }

    async fn rollups(&self, scope: &TenantScope, range: TimeRange) -> Result<(Seq, Vec<Rollup>), PortError> {
        linger().await;
        self.0.rollups(scope, range).await
    }

    async fn hour_sums(&self, scope: &TenantScope, query: &HourSumsQuery) -> Result<(Seq, Vec<Rollup>), PortError> {
        linger().await;
        self.0.hour_sums(scope, query).await
    }

    async fn type_sums(
        &self,
        scope: &TenantScope,
        range: TimeRange,
        project: Option<&str>,
    ) -> Result<(Seq, Vec<(String, Totals)>), PortError> {
        linger().await;
        self.0.type_sums(scope, range, project).await
    }

    async fn activity(
        &self,
        scope: &TenantScope,
        filter: &ActivityFilter,
        days: DayRange,
    ) -> Result<(Seq, Vec<(Day, UserSet)>), PortError> {
        linger().await;
        self.0.activity(scope, filter, days).await
    }

    async fn received(&self, scope: &TenantScope, range: TimeRange) -> Result<(Seq, Vec<ReceivedSum>), PortError> {
        linger().await;
        self.0.received(scope, range).await
    }

    async fn user_names(&self, scope: &TenantScope, users: &[UserNumber]) -> Result<Vec<Option<String>>, PortError> {
        self.0.user_names(scope, users).await
    }

    async fn erased_activity(&self, scope: &TenantScope) -> Result<Vec<Activity>, PortError> {
        self.0.erased_activity(scope).await
    }

    async fn dead_letters(&self, scope: &TenantScope) -> Result<Vec<DeadLetter>, PortError> {
        self.0.dead_letters(scope).await
    }

    async fn scrub(&self) -> Result<(), PortError> {
        self.0.scrub().await
    }

    async fn store_dead_letter(&self, letter: &DeadLetter) -> Result<(), PortError> {
        self.0.store_dead_letter(letter).await
    }

    async fn dead_letter(&self, scope: &TenantScope, seq: Seq) -> Result<Option<DeadLetter>, PortError> {
        self.0.dead_letter(scope, seq).await
    }
}
