//! The register: each record is a row, and a row is written only as the next version of what is there. Reads go along
//! the index by revision, page by page in one snapshot, so that no table is in memory twice.

use std::collections::BTreeSet;

use async_trait::async_trait;
use domain::access::audit::{AuditEntry, Cause, erasure_target};
use domain::access::ids::KeyId;
use domain::access::record::{Creation, CustomerProfile, PasswordReset, Record, Workspace};
use domain::access::removal::Removal;
use domain::erasure::Subject;
use domain::tenant::{TenantId, TenantScope};
use domain::time::Timestamp;
use ports::PortError;
use ports::register::{Register, RegisterCommit, Revision};
use sea_orm::sea_query::{Expr, ExprTrait, OnConflict, Query};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DatabaseTransaction, DeleteMany, EntityTrait, FromQueryResult, InsertMany,
    IntoActiveModel, QueryFilter, QueryOrder, QuerySelect, Select, UpdateMany,
};
use sqlite::{Failure, owe_scrub, signed, unsigned};

use crate::entities::row::{self, Row};
use crate::entities::{
    api_key, app_user, creation, customer_profile, data_key, encryption_rules, invitation, membership, password_reset,
    project, register_revision, session, signing_secret, tenant, token_key,
};
use crate::sqlite_catalog::SqliteCatalog;
use crate::{audit, quotas};

/// Rows that are read at once. A row takes many times the memory of what is made of it, and SQLite's allocator gives
/// little of that back.
pub(crate) const PAGE_ROWS: u64 = 250;
pub(crate) const FORGET: &str = "forget what was erased in";
/// Customers that one statement asks for.
const CUSTOMERS_AT_ONCE: usize = 500;

/// The tables whose rows are a workspace's own and go with it.
const OF_WORKSPACES: [&str; 14] = [
    "api_key",
    "creation",
    "customer_profile",
    "data_key",
    "encryption_rules",
    "invitation",
    "membership",
    "project",
    "quota",
    "quota_calendar",
    "reference_table",
    "signing_secret",
    "tenant_settings",
    "wanted_zone",
];

#[async_trait]
impl Register for SqliteCatalog {
    async fn load(&self, after: Revision, take: &mut (dyn FnMut(Record) + Send)) -> Result<Revision, PortError> {
        let loaded = async {
            let snapshot = self.file.snapshot().await?;
            let revision = Revision(unsigned("revision", stored_revision(&snapshot).await?)?);
            if after == Revision(0) || after != revision {
                load_pages(&snapshot, after, take).await?;
            }
            Ok(revision)
        };
        loaded.await.map_err(|failure| self.file.failed("read the register in", failure))
    }

    async fn commit(&self, commit: &RegisterCommit) -> Result<Revision, PortError> {
        let store = async |transaction: &DatabaseTransaction| {
            let revision = next_revision(transaction).await?;
            for removal in &commit.removals {
                remove(transaction, removal).await?;
            }
            for record in &commit.records {
                store(transaction, record, revision).await?;
            }
            audit::append(transaction, &commit.audit).await?;
            unsigned("revision", revision).map(Revision)
        };
        self.write("change the register in", store).await
    }

    async fn touch_keys(&self, used: &[(KeyId, Timestamp)]) -> Result<(), PortError> {
        let touch = async |transaction: &DatabaseTransaction| {
            for (key, used) in used {
                touched(*key, *used).exec(transaction).await?;
            }
            Ok(())
        };
        self.write("note the use of keys in", touch).await
    }

    fn poisoned(&self) -> Option<String> {
        self.file.poisoned().map(str::to_owned)
    }

    async fn forget(&self, scope: &TenantScope, subject: &Subject, id: &str) -> Result<(), PortError> {
        let forget = async |transaction: &DatabaseTransaction| {
            forget_subject(transaction, scope.tenant(), subject, id).await?;
            if *subject == Subject::Workspace { Ok(()) } else { owe_scrub(transaction).await }
        };
        self.write(FORGET, forget).await
    }

    async fn forget_workspace(&self, scope: &TenantScope) -> Result<(), PortError> {
        let forget = async |transaction: &DatabaseTransaction| {
            let removed = remove_all_of(transaction, scope.tenant()).await?;
            if removed > 0 {
                erase_in_servers_log(transaction, scope.tenant()).await?;
                owe_scrub(transaction).await?;
            }
            Ok(())
        };
        self.write(FORGET, forget).await?;
        // Owed also by one that was killed, or failed, after the rows were gone.
        if self.file.owes_scrub(FORGET).await? { self.file.scrub(FORGET).await } else { Ok(()) }
    }

    async fn scrub(&self) -> Result<(), PortError> {
        self.file.scrub(FORGET).await
    }

    async fn customer_profiles(
        &self,
        scope: &TenantScope,
        customers: &[String],
    ) -> Result<Vec<CustomerProfile>, PortError> {
        let read = async { read_profiles(&self.file.snapshot().await?, scope, customers).await };
        read.await.map_err(|failure| self.file.failed("read the profiles of customers in", failure))
    }
}

/// Removes the rows of whom the erasure of this id is about and what the log may tell of them. An entry about an erasure
/// may tell of who has asked for it.
pub(crate) async fn forget_subject(
    transaction: &DatabaseTransaction,
    tenant: &TenantId,
    subject: &Subject,
    id: &str,
) -> Result<(), Failure> {
    if let Subject::Customer(customer) = subject {
        let id = (tenant.as_str().to_owned(), customer.clone());
        customer_profile::Entity::delete_by_id(id).exec(transaction).await?;
        quotas::forget_customer(transaction, tenant, customer).await?;
    }
    if *subject != Subject::Workspace {
        let takes = |known: &AuditEntry| known.draft.may_tell_of(subject);
        audit::erase_details(transaction, Some(tenant), Some(&erasure_target(id)), takes).await?;
    }
    Ok(())
}

/// Removes all rows of a workspace but its own and those of its log, of which the details go. Returns how many went.
pub(crate) async fn remove_all_of(transaction: &DatabaseTransaction, tenant: &TenantId) -> Result<u64, Failure> {
    let mut removed = 0;
    for table in OF_WORKSPACES {
        let delete = Query::delete().from_table(table).and_where(Expr::col("tenant").eq(tenant.as_str())).to_owned();
        removed += transaction.execute(&delete).await?.rows_affected();
    }
    Ok(removed + audit::erase_details(transaction, Some(tenant), None, |_| true).await?)
}

/// Erases what the server's log tells of a workspace in detail.
pub(crate) async fn erase_in_servers_log(transaction: &DatabaseTransaction, tenant: &TenantId) -> Result<(), Failure> {
    let takes = |known: &AuditEntry| known.draft.tells_of_workspace(tenant);
    audit::erase_details(transaction, None, Some(&format!("workspace:{tenant}")), takes).await?;
    Ok(())
}

/// Adds the workspaces that are not there yet, with a revision of their own and their entries in the audit log.
pub(crate) async fn add_workspaces(
    transaction: &DatabaseTransaction,
    ids: &[TenantId],
    now: Timestamp,
    cause: &Cause,
) -> Result<(), Failure> {
    let known = tenant::Entity::find().select_only().column(tenant::Column::Id).into_tuple::<String>();
    let known: BTreeSet<_> = known.all(transaction).await?.into_iter().collect();
    let new: BTreeSet<_> = ids.iter().filter(|id| !known.contains(id.as_str())).collect();
    if new.is_empty() {
        return Ok(());
    }
    let revision = next_revision(transaction).await?;
    let mut drafts = Vec::new();
    for id in new {
        let workspace = Workspace::new(id.clone(), id.as_str(), now);
        row::store::<tenant::Model>(transaction, row::sealed(&workspace, revision)?).await?;
        drafts.extend(cause.drafts_of_new_workspace(id, now));
    }
    audit::append(transaction, &drafts).await
}

/// Stores a record as the next version of what is there.
pub(crate) async fn store(transaction: &DatabaseTransaction, record: &Record, revision: i64) -> Result<(), Failure> {
    match record {
        Record::Workspace(it) => put::<tenant::Model>(transaction, it, revision).await,
        Record::Project(it) => put::<project::Model>(transaction, it, revision).await,
        Record::User(it) => put::<app_user::Model>(transaction, it, revision).await,
        Record::Membership(it) => put::<membership::Model>(transaction, it, revision).await,
        Record::ApiKey(it) => {
            put::<api_key::Model>(transaction, it, revision).await?;
            if let Some(used) = it.last_used {
                touched(it.id, used).exec(transaction).await?;
            }
            Ok(())
        }
        Record::SigningSecret(it) => put::<signing_secret::Model>(transaction, it, revision).await,
        Record::Invitation(it) => put::<invitation::Model>(transaction, it, revision).await,
        Record::PasswordReset(it) => {
            if it.versioned.version == 1 {
                forget_reset(it).exec(transaction).await?;
            }
            put::<password_reset::Model>(transaction, it, revision).await
        }
        Record::Session(it) => put::<session::Model>(transaction, it, revision).await,
        Record::TokenKey(it) => put::<token_key::Model>(transaction, it, revision).await,
        Record::Encryption(it) => put::<encryption_rules::Model>(transaction, it, revision).await,
        Record::DataKey(it) => put::<data_key::Model>(transaction, it, revision).await,
        Record::Creation(it) => {
            forget(it).exec(transaction).await?;
            put::<creation::Model>(transaction, it, revision).await
        }
        Record::Customer(it) => put::<customer_profile::Model>(transaction, it, revision).await,
    }
}

async fn put<R: Row>(transaction: &DatabaseTransaction, record: &R::Record, revision: i64) -> Result<(), Failure> {
    row::store::<R>(transaction, row::sealed(record, revision)?).await
}

/// Makes room for a creation with the same key that had expired when the new one was made.
pub(crate) fn forget(new: &Creation) -> DeleteMany<creation::Entity> {
    let known = creation::Entity::delete_many().filter(creation::Column::KeyHash.eq(new.key_hash.to_vec()));
    known.filter(creation::Column::ExpiresUs.lte(new.created.micros()))
}

/// Makes room for a first reset of a password in place of one that had expired when the new one was made.
pub(crate) fn forget_reset(new: &PasswordReset) -> DeleteMany<password_reset::Entity> {
    let known = password_reset::Entity::delete_many().filter(password_reset::Column::UserId.eq(new.user.as_str()));
    known.filter(password_reset::Column::ExpiresUs.lte(new.versioned.created.micros()))
}

async fn remove(transaction: &DatabaseTransaction, removal: &Removal) -> Result<(), Failure> {
    match removal {
        Removal::ApiKey(id, version) => {
            removed::<api_key::Entity>("id", id.as_str(), *version)?.exec(transaction).await?;
        }
        Removal::SigningSecret(id, version) => {
            removed::<signing_secret::Entity>("id", id.as_str(), *version)?.exec(transaction).await?;
        }
        Removal::Invitation(id, version) => {
            removed::<invitation::Entity>("id", id.as_str(), *version)?.exec(transaction).await?;
        }
        Removal::PasswordReset(user, version) => {
            removed::<password_reset::Entity>("user_id", user.as_str(), *version)?.exec(transaction).await?;
        }
        Removal::Session(id, version) => {
            removed::<session::Entity>("id", id.as_str(), *version)?.exec(transaction).await?;
        }
        Removal::TokenKey(kid, version) => {
            removed::<token_key::Entity>("kid", kid, *version)?.exec(transaction).await?;
        }
        Removal::Creation(hash, expires) => {
            removed_creation(hash, *expires).exec(transaction).await?;
        }
    }
    Ok(())
}

/// Removes the row of an id that is still of this version.
pub(crate) fn removed<E: EntityTrait>(column: &'static str, id: &str, version: u64) -> Result<DeleteMany<E>, Failure> {
    let of_id = E::delete_many().filter(Expr::col(column).eq(id));
    Ok(of_id.filter(Expr::col("version").eq(signed("version", version)?)))
}

/// Removes the row of a creation that still expires at this moment.
pub(crate) fn removed_creation(key_hash: &[u8], expires: Timestamp) -> DeleteMany<creation::Entity> {
    let of_key = creation::Entity::delete_many().filter(creation::Column::KeyHash.eq(key_hash.to_vec()));
    of_key.filter(creation::Column::ExpiresUs.eq(expires.micros()))
}

/// Notes that a key was used, unless a later use is noted.
pub(crate) fn touched(key: KeyId, used: Timestamp) -> UpdateMany<api_key::Entity> {
    let at = api_key::Column::LastUsedUs;
    api_key::Entity::update_many()
        .col_expr(at, Expr::val(used.micros()))
        .filter(api_key::Column::Id.eq(key.as_str()))
        .filter(at.is_null().or(at.lt(used.micros())))
}

/// The profiles of these customers of one tenant, as far as they have any, in order of customer.
pub(crate) async fn read_profiles(
    snapshot: &DatabaseTransaction,
    scope: &TenantScope,
    customers: &[String],
) -> Result<Vec<CustomerProfile>, Failure> {
    let mut wanted: Vec<_> = customers.iter().map(String::as_str).collect();
    wanted.sort_unstable();
    wanted.dedup();
    let mut profiles = Vec::new();
    for wanted in wanted.chunks(CUSTOMERS_AT_ONCE) {
        for row in profiles_of(scope, wanted).all(snapshot).await? {
            profiles.push(row.into_profile()?);
        }
    }
    // Databases differ in the order of texts.
    profiles.sort_unstable_by(|one, other| one.customer.cmp(&other.customer));
    Ok(profiles)
}

/// The rows of the profiles of some customers of one tenant.
pub(crate) fn profiles_of(scope: &TenantScope, customers: &[&str]) -> Select<customer_profile::Entity> {
    use customer_profile::{Column, Entity};
    Entity::find()
        .filter(Column::Tenant.eq(scope.tenant().as_str()))
        .filter(Column::Customer.is_in(customers.iter().copied()))
}

/// The revision of the last commit.
pub(crate) async fn stored_revision(transaction: &DatabaseTransaction) -> Result<i64, Failure> {
    let row = register_revision::Entity::find_by_id(register_revision::Model::ID).one(transaction).await?;
    register_revision::Model::read(row)
}

/// Counts one commit more.
pub(crate) async fn next_revision(transaction: &DatabaseTransaction) -> Result<i64, Failure> {
    use register_revision::Model;
    let stored = stored_revision(transaction).await?;
    let next = stored.checked_add(1).ok_or_else(|| Failure::corrupt("the revision of the register is over 2^63"))?;
    set_revision(Model::new(next)).exec_without_returning(transaction).await?;
    Ok(next)
}

/// The statement that stores the revision.
pub(crate) fn set_revision(row: register_revision::Model) -> InsertMany<register_revision::ActiveModel> {
    use register_revision::{Column, Entity};
    let newest_stays = OnConflict::column(Column::Id).update_columns([Column::Revision, Column::Seal]).to_owned();
    Entity::insert_many([row.into_active_model()]).on_conflict(newest_stays)
}

/// Where the changed rows of a table are read.
pub(crate) trait Changed {
    /// Hands over the changed rows of one table.
    fn table<R: Row + FromQueryResult>(&mut self) -> impl Future<Output = Result<(), Failure>> + Send;
}

/// The revision behind which rows are asked for. What was there before there were revisions has revision 0, and is part
/// of everything.
pub(crate) fn rows_after(after: Revision) -> i64 {
    if after == Revision(0) { -1 } else { i64::try_from(after.0).unwrap_or(i64::MAX) }
}

/// Hands over the changed rows of all tables but that of profiles.
pub(crate) async fn load_all(changed: &mut impl Changed) -> Result<(), Failure> {
    changed.table::<tenant::Model>().await?;
    changed.table::<project::Model>().await?;
    changed.table::<app_user::Model>().await?;
    changed.table::<membership::Model>().await?;
    changed.table::<api_key::Model>().await?;
    changed.table::<signing_secret::Model>().await?;
    changed.table::<invitation::Model>().await?;
    changed.table::<password_reset::Model>().await?;
    changed.table::<session::Model>().await?;
    changed.table::<token_key::Model>().await?;
    changed.table::<encryption_rules::Model>().await?;
    changed.table::<data_key::Model>().await?;
    changed.table::<creation::Model>().await
}

/// Hands over the records that have come after a revision, page by page of one moment.
pub(crate) async fn load_pages(
    snapshot: &DatabaseTransaction,
    after: Revision,
    take: &mut (dyn FnMut(Record) + Send),
) -> Result<(), Failure> {
    load_all(&mut Pages { snapshot, after: rows_after(after), take }).await
}

/// Changed rows, page by page of one moment.
struct Pages<'a> {
    snapshot: &'a DatabaseTransaction,
    after: i64,
    take: &'a mut (dyn FnMut(Record) + Send),
}

impl Changed for Pages<'_> {
    async fn table<R: Row + FromQueryResult>(&mut self) -> Result<(), Failure> {
        let mut last: Option<R> = None;
        loop {
            let rows = page(self.after, last.as_ref()).all(self.snapshot).await?;
            let is_last = rows.len() < usize::try_from(PAGE_ROWS).unwrap_or(usize::MAX);
            last = rows.last().cloned();
            for row in rows {
                (self.take)(row.read()?);
            }
            if is_last {
                return Ok(());
            }
        }
    }
}

/// The rows that have come after a revision, behind the last one of the page before.
pub(crate) fn page<R: Row>(after: i64, last: Option<&R>) -> Select<R::Entity> {
    let order: Vec<_> = row::order_columns::<R::Entity>().collect();
    let behind = match last {
        None => Expr::col("revision").gt(after),
        Some(last) => {
            let columns = Expr::tuple(order.iter().map(|column| Expr::col(*column)));
            columns.gt(Expr::tuple(order.iter().map(|column| Expr::val(last.get(*column)))))
        }
    };
    let select = R::Entity::find().filter(behind);
    order.into_iter().fold(select, QueryOrder::order_by_asc).limit(PAGE_ROWS)
}
