//! The register. Who changes it locks the row that counts commits first, until the commit: revisions are in the order of
//! commits, so that who asks for what is newer than one misses nothing, and no two changes of the register ever wait for
//! each other. Reads go through functions, since every process holds the records of all tenants.

use std::collections::BTreeMap;

use async_trait::async_trait;
use domain::access::ids::KeyId;
use domain::access::record::{CustomerProfile, Record};
use domain::access::removal::Removal;
use domain::erasure::Subject;
use domain::tenant::{TenantId, TenantScope};
use domain::time::Timestamp;
use futures::TryStreamExt;
use ports::PortError;
use ports::register::{Register, RegisterCommit, Revision};
use sea_orm::sea_query::{Expr, ExprTrait};
use sea_orm::{DatabaseTransaction, DeleteMany, EntityTrait, FromQueryResult, QueryFilter, QuerySelect, Value};
use sqlite::{Failure, unsigned};

use super::across::{since, tenant_of, tenants_of};
use super::audit;
use super::scoped::{Scope, Scoped};
use super::store::{PostgresCatalog, failed};
use crate::entities::row::Row;
use crate::entities::{
    api_key, creation, invitation, password_reset, register_revision, session, signing_secret, token_key,
};
use crate::register::{
    Changed, FORGET, erase_in_servers_log, forget, forget_subject, load_all, next_revision, read_profiles,
    remove_all_of, removed, removed_creation, rows_after, store, stored_revision, touched,
};

#[async_trait]
impl Register for PostgresCatalog {
    async fn load(&self, after: Revision, take: &mut (dyn FnMut(Record) + Send)) -> Result<Revision, PortError> {
        let loaded = async {
            let mut snapshot = Scoped::snapshot(&self.pool).await?;
            let stored = stored_revision(snapshot.enter(Scope::Server).await?).await?;
            let revision = Revision(unsigned("revision", stored)?);
            if after == Revision(0) || after != revision {
                load_all(&mut Streams { snapshot: snapshot.functions(), after: rows_after(after), take }).await?;
            }
            snapshot.end().await;
            Ok(revision)
        };
        loaded.await.map_err(|failure| failed("read the register in", failure))
    }

    async fn commit(&self, commit: &RegisterCommit) -> Result<Revision, PortError> {
        const CHANGE: &str = "change the register in";
        let mut change = self.begin().await.map_err(|failure| failed(CHANGE, failure))?;
        let outcome = changed(&mut change, commit).await;
        Self::finish(CHANGE, change, outcome).await
    }

    async fn touch_keys(&self, used: &[(KeyId, Timestamp)]) -> Result<(), PortError> {
        const NOTE: &str = "note the use of keys in";
        if used.is_empty() {
            return Ok(());
        }
        let mut change = self.begin().await.map_err(|failure| failed(NOTE, failure))?;
        let outcome = touch(&mut change, used).await;
        Self::finish(NOTE, change, outcome).await
    }

    async fn forget(&self, scope: &TenantScope, subject: &Subject, id: &str) -> Result<(), PortError> {
        let mut change = self.begin().await.map_err(|failure| failed(FORGET, failure))?;
        let outcome = forgotten(&mut change, scope.tenant(), subject, id).await;
        Self::finish(FORGET, change, outcome).await
    }

    async fn forget_workspace(&self, scope: &TenantScope) -> Result<(), PortError> {
        let mut change = self.begin().await.map_err(|failure| failed(FORGET, failure))?;
        let outcome = workspace_forgotten(&mut change, scope.tenant()).await;
        Self::finish(FORGET, change, outcome).await
    }

    async fn scrub(&self) -> Result<(), PortError> {
        Ok(())
    }

    fn poisoned(&self) -> Option<String> {
        None
    }

    async fn customer_profiles(
        &self,
        scope: &TenantScope,
        customers: &[String],
    ) -> Result<Vec<CustomerProfile>, PortError> {
        let read = async {
            let mut snapshot = Scoped::snapshot(&self.pool).await?;
            let transaction = snapshot.enter(Scope::Tenant(scope.tenant())).await?;
            let profiles = read_profiles(transaction, scope, customers).await?;
            snapshot.end().await;
            Ok(profiles)
        };
        read.await.map_err(|failure| failed("read the profiles of customers in", failure))
    }
}

async fn changed(change: &mut Scoped, commit: &RegisterCommit) -> Result<Revision, Failure> {
    lock(change).await?;
    let revision = next_revision(change.enter(Scope::Server).await?).await?;
    for removal in &commit.removals {
        remove(change, removal).await?;
    }
    for record in &commit.records {
        if let Record::Creation(new) = record
            && let Some(tenant) = tenant_of::<creation::Entity>(change, new.key_hash.to_vec().into()).await?
        {
            forget(new).exec(change.enter(Scope::of(tenant.as_ref())).await?).await?;
        }
        store(change.enter(scope_of(record)).await?, record, revision).await?;
    }
    audit::append(change, &commit.audit).await?;
    unsigned("revision", revision).map(Revision)
}

async fn forgotten(change: &mut Scoped, tenant: &TenantId, subject: &Subject, id: &str) -> Result<(), Failure> {
    // Profiles are of the register: who stores one has this lock before that of a chain, as has who removes one.
    lock(change).await?;
    forget_subject(audit::lock(change, Scope::Tenant(tenant)).await?, tenant, subject, id).await
}

async fn workspace_forgotten(change: &mut Scoped, tenant: &TenantId) -> Result<(), Failure> {
    lock(change).await?;
    if remove_all_of(audit::lock(change, Scope::Tenant(tenant)).await?, tenant).await? > 0 {
        erase_in_servers_log(audit::lock(change, Scope::Server).await?, tenant).await?;
    }
    Ok(())
}

/// Waits until no other change of the register is under way.
pub(super) async fn lock(change: &mut Scoped) -> Result<(), Failure> {
    let row = register_revision::Entity::find_by_id(register_revision::Model::ID).lock_exclusive();
    register_revision::Model::read(row.one(change.enter(Scope::Server).await?).await?)?;
    Ok(())
}

/// Whose a record is.
fn scope_of(record: &Record) -> Scope<'_> {
    match record {
        Record::Workspace(it) => Scope::Tenant(&it.id),
        Record::Project(it) => Scope::Tenant(&it.workspace),
        Record::Membership(it) => Scope::Tenant(&it.workspace),
        Record::ApiKey(it) => Scope::of(it.workspace.as_ref()),
        Record::SigningSecret(it) => Scope::Tenant(&it.workspace),
        Record::Invitation(it) => Scope::Tenant(&it.workspace),
        Record::Encryption(it) => Scope::Tenant(&it.workspace),
        Record::DataKey(it) => Scope::Tenant(&it.workspace),
        Record::Creation(it) => Scope::of(it.workspace.as_ref()),
        Record::Customer(it) => Scope::Tenant(&it.workspace),
        Record::User(_) | Record::PasswordReset(_) | Record::Session(_) | Record::TokenKey(_) => Scope::Server,
    }
}

async fn remove(change: &mut Scoped, removal: &Removal) -> Result<(), Failure> {
    match removal {
        Removal::ApiKey(id, version) => {
            let Some(tenant) = tenants_of(change, &[*id]).await?.remove(id.as_str()) else { return Ok(()) };
            let rows = removed::<api_key::Entity>("id", id.as_str(), *version)?;
            remove_of(change, Scope::of(tenant.as_ref()), rows).await
        }
        Removal::SigningSecret(id, version) => {
            let rows = removed::<signing_secret::Entity>("id", id.as_str(), *version)?;
            remove_named(change, id.as_str().into(), rows).await
        }
        Removal::Invitation(id, version) => {
            let rows = removed::<invitation::Entity>("id", id.as_str(), *version)?;
            remove_named(change, id.as_str().into(), rows).await
        }
        Removal::Creation(hash, expires) => {
            remove_named(change, hash.to_vec().into(), removed_creation(hash, *expires)).await
        }
        Removal::PasswordReset(user, version) => {
            let rows = removed::<password_reset::Entity>("user_id", user.as_str(), *version)?;
            rows.exec(change.enter(Scope::Server).await?).await.map(drop).map_err(Into::into)
        }
        Removal::Session(id, version) => {
            let rows = removed::<session::Entity>("id", id.as_str(), *version)?;
            rows.exec(change.enter(Scope::Server).await?).await.map(drop).map_err(Into::into)
        }
        Removal::TokenKey(kid, version) => {
            let rows = removed::<token_key::Entity>("kid", kid, *version)?;
            rows.exec(change.enter(Scope::Server).await?).await.map(drop).map_err(Into::into)
        }
    }
}

/// Removes what is found by its name alone, of whomever it is.
async fn remove_named<E: EntityTrait>(change: &mut Scoped, name: Value, rows: DeleteMany<E>) -> Result<(), Failure> {
    match tenant_of::<E>(change, name).await? {
        Some(tenant) => remove_of(change, Scope::of(tenant.as_ref()), rows).await,
        None => Ok(()),
    }
}

async fn remove_of<E: EntityTrait>(change: &mut Scoped, scope: Scope<'_>, rows: DeleteMany<E>) -> Result<(), Failure> {
    rows.filter(Expr::col("tenant").eq(scope.text())).exec(change.enter(scope).await?).await?;
    Ok(())
}

async fn touch(change: &mut Scoped, used: &[(KeyId, Timestamp)]) -> Result<(), Failure> {
    lock(change).await?;
    let keys: Vec<_> = used.iter().map(|(key, _)| *key).collect();
    let mut of_tenants: BTreeMap<Option<TenantId>, Vec<(KeyId, Timestamp)>> = BTreeMap::new();
    let tenants = tenants_of(change, &keys).await?;
    for (key, used) in used {
        if let Some(tenant) = tenants.get(key.as_str()) {
            of_tenants.entry(tenant.clone()).or_default().push((*key, *used));
        }
    }
    for (tenant, used) in of_tenants {
        let scope = Scope::of(tenant.as_ref());
        let transaction = change.enter(scope).await?;
        for (key, used) in used {
            touched(key, used).filter(Expr::col("tenant").eq(scope.text())).exec(transaction).await?;
        }
    }
    Ok(())
}

/// Changed rows, as they come.
struct Streams<'a> {
    snapshot: &'a DatabaseTransaction,
    after: i64,
    take: &'a mut (dyn FnMut(Record) + Send),
}

impl Changed for Streams<'_> {
    async fn table<R: Row + FromQueryResult>(&mut self) -> Result<(), Failure> {
        let mut rows = R::Entity::find().from_raw_sql(since::<R::Entity>(self.after)).stream(self.snapshot).await?;
        while let Some(row) = rows.try_next().await? {
            (self.take)(row.read()?);
        }
        Ok(())
    }
}
