//! What an erasure leaves outside of segments: names of users that no event is left of, dead letters, and of a whole
//! tenant everything.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use domain::erasure::SubjectKind;
use domain::position::Seq;
use domain::tenant::{TenantId, TenantScope};
use domain::time::TimeRange;
use domain::users::{UserNumber, UserSet};
use parquet::errors::ParquetError;
use ports::PortError;
use ports::manifest::{ActivityFilter, Commit, StoredErasure};

use crate::core::Core;
use crate::segment::columns::{Columns, user_at};
use crate::segment::events::USER_NUMBER;
use crate::segment::{Segment, corrupt, key_range};
use crate::users::ForgottenUser;

/// Users whose names are looked up at once.
const NAMES_AT_ONCE: usize = 4_096;

impl Core {
    /// Removes what is left of the erasures whose segments are all written anew, but the names of their subjects.
    pub(super) async fn erase_leftovers(&self, mut pending: Vec<StoredErasure>) -> Result<(), PortError> {
        let mut candidates = BTreeMap::new();
        for scope in scopes(&pending, SubjectKind::Customer) {
            let nameless = self.orphan_candidates(&scope).await?;
            candidates.insert(scope.tenant().clone(), (scope, nameless));
        }
        let before = Arc::clone(&self.state.read().segments);
        for (scope, users) in candidates.values_mut() {
            take_out_users(&before, scope, users, Seq::ZERO)?;
        }
        let mut commit = Commit::default();
        self.empty_letters(&mut pending, &mut commit).await?;

        // What came meanwhile may be of a user who would lose the name.
        let _writer = self.writer.lock().await;
        if let Some(kind) = *self.broken.lock() {
            return Err(PortError::new(kind, "erase: the ledger needs a restart"));
        }
        let seen = before.last().map_or(Seq::ZERO, |last| last.meta().last_seq);
        self.flush_all().await?;
        let segments = Arc::clone(&self.state.read().segments);
        let mut forgotten: BTreeMap<TenantId, Vec<ForgottenUser>> = BTreeMap::new();
        for (tenant, (scope, users)) in &mut candidates {
            take_out_users(&segments, scope, users, seen)?;
            let numbers: Vec<_> = users.iter().collect();
            if let Some(stored) = pending
                .iter_mut()
                .find(|stored| stored.tenant == *tenant && stored.erasure.kind == SubjectKind::Customer)
            {
                stored.erasure.gone.users += numbers.len() as u64;
            }
            forgotten.insert(tenant.clone(), self.hashes_of(scope, &numbers).await?);
            commit.erased_users.push((tenant.clone(), numbers));
        }
        for scope in scopes(&pending, SubjectKind::Workspace) {
            forgotten.insert(scope.tenant().clone(), self.all_users(&scope).await?);
            commit.erased_tenants.push(scope.tenant().clone());
        }
        commit.erasures = pending.clone();
        // Files that do not count may hold what is erased, until the next start else.
        let _merging = self.merging.lock().await;
        let _flushing = self.flushing.lock().await;
        let counting = Arc::clone(&self.state.read().segments);
        self.dir.remove_unknown(&counting)?;
        fail::fail_point!("erase::before_leftovers");
        self.commit_erasure(&commit).await?;
        fail::fail_point!("erase::after_leftovers");
        self.forget(&pending, forgotten, &commit.erased_tenants);
        Ok(())
    }

    fn forget(&self, done: &[StoredErasure], forgotten: BTreeMap<TenantId, Vec<ForgottenUser>>, tenants: &[TenantId]) {
        let mut state = self.state.write();
        for (tenant, users) in forgotten {
            state.users.forget(&tenant, &users);
        }
        for tenant in tenants {
            state.users.forget_tenant(tenant);
            Arc::make_mut(&mut state.zones).remove(tenant);
            Arc::make_mut(&mut state.metered).remove(tenant);
            Arc::make_mut(&mut state.floors).own.remove(tenant);
        }
        let erasures = Arc::make_mut(&mut state.erasures);
        done.iter().for_each(|stored| erasures.put(stored));
        erasures.note_removed(done.iter().map(|stored| stored.erasure.id.clone()));
        drop(state);
        let mut retention = self.retention.lock();
        tenants.iter().for_each(|tenant| retention.tenants.forget(tenant));
        drop(retention);
        self.names.lock().retain(|name| !tenants.contains(&name.tenant));
    }

    /// The users of erased events that still have a name.
    async fn orphan_candidates(&self, scope: &TenantScope) -> Result<UserSet, PortError> {
        let mut users = UserSet::default();
        for active in self.manifest.erased_activity(scope).await? {
            if active.filter == ActivityFilter::All {
                users.merge(&active.users);
            }
        }
        users.remove(&self.state.read().users.nameless(scope.tenant()));
        Ok(users)
    }

    /// The users of these numbers that have a name, as they are known in memory.
    async fn hashes_of(&self, scope: &TenantScope, numbers: &[UserNumber]) -> Result<Vec<ForgottenUser>, PortError> {
        let hasher = self.hasher.of_tenant(scope.tenant());
        let mut found = Vec::new();
        for some in numbers.chunks(NAMES_AT_ONCE) {
            let names = self.manifest.user_names(scope, some).await?;
            let named = names.into_iter().flatten().zip(some).filter(|(name, _)| !name.is_empty());
            found.extend(named.map(|(name, number)| (hasher.hash(&name), *number)));
        }
        Ok(found)
    }

    async fn all_users(&self, scope: &TenantScope) -> Result<Vec<ForgottenUser>, PortError> {
        let count = self.state.read().users.count(scope.tenant());
        self.hashes_of(scope, &(0..count).map(UserNumber).collect::<Vec<_>>()).await
    }

    /// Empties the dead letters that hold anything of a subject.
    async fn empty_letters(&self, pending: &mut [StoredErasure], commit: &mut Commit) -> Result<(), PortError> {
        let mut emptied = BTreeSet::new();
        for stored in pending {
            let scope = TenantScope::for_operator(stored.tenant.clone());
            for letter in self.manifest.dead_letters(&scope).await? {
                let is_new = !letter.payload.is_empty() && !emptied.contains(&letter.seq);
                if is_new
                    && letter.seq <= stored.erasure.through
                    && stored.is_in(letter.tenant.as_ref(), &letter.payload)
                {
                    emptied.insert(letter.seq);
                    stored.erasure.gone.dead_letters += 1;
                }
            }
        }
        commit.emptied_letters = emptied.into_iter().collect();
        Ok(())
    }
}

/// The tenants with an erasure of this kind, each once.
fn scopes(pending: &[StoredErasure], kind: SubjectKind) -> Vec<TenantScope> {
    let mut tenants: Vec<_> =
        pending.iter().filter(|stored| stored.erasure.kind == kind).map(|stored| stored.tenant.clone()).collect();
    tenants.sort();
    tenants.dedup();
    tenants.into_iter().map(TenantScope::for_operator).collect()
}

/// Takes out the users that have events in records after this one.
fn take_out_users(
    segments: &[Arc<Segment>],
    scope: &TenantScope,
    users: &mut UserSet,
    after: Seq,
) -> Result<(), PortError> {
    for segment in segments.iter().filter(|segment| segment.meta().last_seq > after) {
        if users.is_empty() {
            return Ok(());
        }
        let unreadable = |why: ParquetError| corrupt(&segment.meta().id, why);
        let Some(file) = segment.events() else { continue };
        let mut found = UserSet::default();
        let tenant = scope.tenant().as_str();
        for batch in file.select(&key_range(scope, TimeRange::ALL), &["tenant", USER_NUMBER]).map_err(unreadable)? {
            let batch = batch.map_err(unreadable)?;
            let columns = Columns(&batch);
            let tenants = columns.texts("tenant").map_err(unreadable)?;
            let numbers = columns.users(USER_NUMBER).map_err(unreadable)?;
            for row in 0..batch.num_rows() {
                if let Some(user) = user_at(numbers, row).filter(|user| users.contains(*user))
                    && tenants.value(row) == tenant
                {
                    found.insert(user);
                }
            }
        }
        users.remove(&found);
    }
    Ok(())
}
