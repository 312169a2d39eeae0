//! The one owner of transactions. Who is in a scope sees the rows of one tenant, or those of the server, and nothing else:
//! row-level security compares each row with what is set here, for this transaction alone. A transaction in no scope
//! sees no rows at all.

use domain::tenant::TenantId;
use sea_orm::{
    AccessMode, ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbBackend, IsolationLevel, Statement,
    TransactionTrait,
};
use sqlite::Failure;

/// Whose rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope<'a> {
    /// What is of no tenant: people, their logins, keys of the operator and of tokens, the server's log.
    Server,
    /// A tenant's.
    Tenant(&'a TenantId),
}

impl<'a> Scope<'a> {
    /// A workspace's, or the server's if there is none.
    pub(super) fn of(workspace: Option<&'a TenantId>) -> Self {
        workspace.map_or(Self::Server, Self::Tenant)
    }

    /// As rows have it: the server's rows have an empty text, and no tenant's id is one.
    pub(super) fn text(self) -> &'a str {
        match self {
            Self::Server => "",
            Self::Tenant(tenant) => tenant.as_str(),
        }
    }
}

/// A transaction. Dropped, it never happened.
#[derive(Debug)]
pub(super) struct Scoped {
    transaction: DatabaseTransaction,
    entered: Option<String>,
}

impl Scoped {
    /// Begins a change.
    pub(super) async fn begin(pool: &DatabaseConnection) -> Result<Self, Failure> {
        Ok(Self { transaction: pool.begin().await?, entered: None })
    }

    /// Begins to read: everything is of one moment.
    pub(super) async fn snapshot(pool: &DatabaseConnection) -> Result<Self, Failure> {
        let (isolation, access) = (Some(IsolationLevel::RepeatableRead), Some(AccessMode::ReadOnly));
        Ok(Self { transaction: pool.begin_with_config(isolation, access).await?, entered: None })
    }

    /// Goes into a scope, out of the one before.
    pub(super) async fn enter(&mut self, scope: Scope<'_>) -> Result<&DatabaseTransaction, Failure> {
        const ENTER: &str = "SELECT set_config('nilometer.tenant', $1, true), set_config('nilometer.server', $2, true)";
        if self.entered.as_deref() != Some(scope.text()) {
            // Not known while it is under way.
            self.entered = None;
            let server = if scope == Scope::Server { "on" } else { "off" };
            let values = [scope.text().into(), server.into()];
            self.transaction.execute_raw(Statement::from_sql_and_values(DbBackend::Postgres, ENTER, values)).await?;
            self.entered = Some(scope.text().to_owned());
        }
        Ok(&self.transaction)
    }

    /// Where the functions are called that read of all tenants; they need no scope.
    pub(super) fn functions(&self) -> &DatabaseTransaction {
        &self.transaction
    }

    /// Makes the change count. Durable on return; after an error that is no refusal nobody knows whether it counts.
    pub(super) async fn commit(self) -> Result<(), Failure> {
        Ok(self.transaction.commit().await?)
    }

    /// Ends it without a change.
    pub(super) async fn end(self) {
        // A connection that cannot say so is lost, and the server takes the change back by itself.
        let _ = self.transaction.rollback().await;
    }
}
