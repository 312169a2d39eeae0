//! Takes in a whole catalog out of a folder, in one transaction: workspaces, people, keys and what they have decided. Rows
//! are taken as they are, but for the revision, which is the newest here, and the checksum over it. Nothing is merged: a
//! row that is here already refuses all of it.

use std::collections::BTreeMap;

use domain::access::audit::Cause;
use domain::time::Timestamp;
use futures::TryStreamExt;
use ports::catalog::Catalog;
use ports::{ErrorKind, PortError};
use postgres::Fence;
use sea_orm::{
    ActiveModelTrait, DatabaseTransaction, EntityTrait, FromQueryResult, IdenStatic, IntoActiveModel, Iterable,
    ModelTrait, QueryOrder, QuerySelect, Value,
};
use sqlite::Failure;

use super::audit;
use super::fences::TABLES;
use super::register::lock;
use super::scoped::{Scope, Scoped};
use super::store::{PostgresCatalog, failed};
use crate::entities::columns::workspace;
use crate::entities::row::{Row, key_columns, resealed};
use crate::entities::{
    app_user, audit_detail, audit_entry, audit_head, customer_profile, quota, quota_calendar, reference_table,
    tenant_settings, token_key, wanted_zone,
};
use crate::register::{Changed, load_all, next_revision, page};
use crate::sqlite_catalog::SqliteCatalog;

/// Rows of one statement.
const ROWS_AT_ONCE: usize = 100;
/// What a database that has people and logins of its own does not take: who signed in elsewhere signs in again.
const OF_LOGINS: [&str; 2] = ["token_key", "session"];
/// What happened, in the log.
const ACTION: &str = "server.move";

impl PostgresCatalog {
    /// Takes in all that a folder's catalog has, as of `now`. Its people are taken in with it. The server's own log is taken
    /// as it is where there is none yet; otherwise an entry here says with which entry that of the folder ended.
    ///
    /// # Errors
    /// `Conflict` when a workspace, a person with the same e-mail address or a key is here already; nothing has changed.
    /// Otherwise when the folder cannot be read or the server not be reached; whether it counts is unknown then, see
    /// [`PostgresCatalog::has_taken_in`].
    pub async fn take_in(&self, folder: &SqliteCatalog, now: Timestamp) -> Result<(), PortError> {
        const TAKE: &str = "move a catalog into";
        self.refuse_known(folder).await?;
        let from = folder.file.snapshot().await.map_err(|failure| failed(TAKE, failure))?;
        let mut change = self.begin().await.map_err(|failure| failed(TAKE, failure))?;
        let outcome = take_in(&mut change, &from, now).await;
        Self::finish(TAKE, change, outcome).await
    }

    /// Whether all workspaces of a folder's catalog are here, as [`PostgresCatalog::take_in`] leaves them.
    ///
    /// # Errors
    /// `Conflict` when some are here, or others of their names. Otherwise when either cannot be read.
    pub async fn has_taken_in(&self, folder: &SqliteCatalog) -> Result<bool, PortError> {
        let here: BTreeMap<_, _> =
            self.tenants().await?.into_iter().map(|one| (one.id, one.versioned.created)).collect();
        let theirs = folder.tenants().await?;
        let is_same = |one: &&domain::access::record::Workspace| here.get(&one.id) == Some(&one.versioned.created);
        let taken = theirs.iter().filter(is_same).count();
        if taken > 0 && taken == theirs.len() {
            return Ok(true);
        }
        self.refuse_known(folder).await.map(|()| false)
    }

    /// Refuses a catalog of which a workspace is here.
    ///
    /// # Errors
    /// `Conflict`, with the names. Otherwise when either cannot be read.
    pub async fn refuse_known(&self, folder: &SqliteCatalog) -> Result<(), PortError> {
        let here = self.tenants().await?;
        let theirs = folder.tenants().await?;
        let known = theirs.iter().filter(|one| here.iter().any(|known| known.id == one.id));
        let known: Vec<_> = known.map(|one| one.id.as_str()).collect();
        if known.is_empty() {
            return Ok(());
        }
        let message =
            format!("move workspace {}: the database has one of this name, and none is merged", known.join(", "));
        Err(PortError::new(ErrorKind::Conflict, message))
    }
}

async fn take_in(change: &mut Scoped, from: &DatabaseTransaction, now: Timestamp) -> Result<(), Failure> {
    lock(change).await?;
    let revision = next_revision(change.enter(Scope::Server).await?).await?;
    let is_first = is_first(change.enter(Scope::Server).await?).await?;
    let mut rows = TakenRows { from, to: change, revision, is_first };
    load_all(&mut rows).await?;
    rows.table::<customer_profile::Model>().await?;
    rows.plain::<tenant_settings::Entity>().await?;
    rows.plain::<wanted_zone::Entity>().await?;
    rows.plain::<quota::Entity>().await?;
    rows.plain::<quota_calendar::Entity>().await?;
    rows.plain::<reference_table::Entity>().await?;
    rows.plain::<audit_entry::Entity>().await?;
    rows.plain::<audit_detail::Entity>().await?;
    rows.plain::<audit_head::Entity>().await?;
    let mut draft = Cause::command().draft(None, now, ACTION, "server");
    let head = audit_head::Entity::find_by_id(Scope::Server.text()).one(from).await?;
    if let Some(head) = head.filter(|_| !is_first) {
        let hash: String = head.hash.iter().map(|byte| format!("{byte:02x}")).collect();
        draft.after = Some(format!(r#"{{"entries":{},"hash":"{hash}"}}"#, head.seq));
    }
    audit::append(change, &[draft]).await
}

/// Whether there are no people, no keys of tokens and no log of the server yet.
async fn is_first(transaction: &DatabaseTransaction) -> Result<bool, Failure> {
    Ok(app_user::Entity::find().limit(1).one(transaction).await?.is_none()
        && token_key::Entity::find().limit(1).one(transaction).await?.is_none()
        && audit_head::Entity::find_by_id(Scope::Server.text()).one(transaction).await?.is_none())
}

/// Rows on their way.
struct TakenRows<'a> {
    from: &'a DatabaseTransaction,
    to: &'a mut Scoped,
    revision: i64,
    is_first: bool,
}

impl Changed for TakenRows<'_> {
    async fn table<R: Row + FromQueryResult>(&mut self) -> Result<(), Failure> {
        if !self.is_first && OF_LOGINS.contains(&name_of::<R::Entity>()) {
            return Ok(());
        }
        let mut last: Option<R> = None;
        loop {
            let rows = page(-1, last.as_ref()).all(self.from).await?;
            let Some(row) = rows.last() else { return Ok(()) };
            last = Some(row.clone());
            let mut batch = Batch::<R::Entity>::default();
            for row in rows {
                row.check()?;
                batch.add(self.to, resealed(row, self.revision)?).await?;
            }
            batch.insert(self.to).await?;
        }
    }
}

impl TakenRows<'_> {
    /// Takes rows that have no revision.
    async fn plain<E>(&mut self) -> Result<(), Failure>
    where
        E: EntityTrait<Model: IntoActiveModel<E::ActiveModel> + FromQueryResult + Send + Sync + Unpin>,
        E::ActiveModel: ActiveModelTrait<Entity = E> + Send,
    {
        let all = key_columns::<E>().fold(E::find(), QueryOrder::order_by_asc);
        let mut rows = all.stream(self.from).await?;
        let mut batch = Batch::<E>::default();
        while let Some(row) = rows.try_next().await? {
            let is_of_server = name_of::<E>().starts_with("audit_") && scope_text::<E>(&row)?.is_empty();
            if self.is_first || !is_of_server {
                batch.add(self.to, row).await?;
            }
        }
        batch.insert(self.to).await
    }
}

/// Rows of one scope that are inserted together.
struct Batch<E: EntityTrait> {
    scope: String,
    rows: Vec<E::ActiveModel>,
}

impl<E: EntityTrait> Default for Batch<E> {
    fn default() -> Self {
        Self { scope: String::new(), rows: Vec::new() }
    }
}

impl<E> Batch<E>
where
    E: EntityTrait<Model: IntoActiveModel<E::ActiveModel>>,
    E::ActiveModel: ActiveModelTrait<Entity = E> + Send,
{
    async fn add(&mut self, to: &mut Scoped, row: E::Model) -> Result<(), Failure> {
        let scope = scope_text::<E>(&row)?;
        if scope != self.scope || self.rows.len() >= ROWS_AT_ONCE {
            self.insert(to).await?;
            self.scope = scope;
        }
        self.rows.push(row.into_active_model());
        Ok(())
    }

    async fn insert(&mut self, to: &mut Scoped) -> Result<(), Failure> {
        let rows = std::mem::take(&mut self.rows);
        if rows.is_empty() {
            return Ok(());
        }
        let tenant = workspace(&self.scope)?;
        E::insert_many(rows).exec_without_returning(to.enter(Scope::of(tenant.as_ref())).await?).await?;
        Ok(())
    }
}

fn name_of<E: EntityTrait>() -> &'static str {
    let name = E::default().table_name().to_owned();
    TABLES.iter().find(|table| table.name == name).map_or("", |table| table.name)
}

/// Whose a row is: the text of its scope.
fn scope_text<E: EntityTrait>(row: &E::Model) -> Result<String, Failure> {
    let fence = TABLES.iter().find(|table| table.name == name_of::<E>()).map(|table| table.fence);
    let column = match fence {
        Some(Fence::Tenant(column) | Fence::TenantOrServer(column)) => column,
        _ => return Ok(String::new()),
    };
    let column = E::Column::iter().find(|known| known.as_str() == column);
    match column.map(|column| row.get(column)) {
        Some(Value::String(Some(text))) => Ok(text),
        _ => Err(Failure::corrupt(format!("a row of {} is nobody's", name_of::<E>()))),
    }
}
