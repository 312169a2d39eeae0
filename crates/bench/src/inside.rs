//! What a benchmark needs of the program that no request reaches in bearable time: a register of many keys, which
//! over HTTP would be as many transactions, and the check of a token without all that is around it. The program
//! gives it; this crate knows no adapter.

use std::future::Future;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ports::journal::Delivery;
use ports::ledger::{Applied, Ledger};
use serde::Serialize;

/// A register to be made.
#[derive(Debug, Clone, Copy)]
pub struct RegisterPlan {
    /// How many keys there are.
    pub keys: u32,
    /// How many workspaces have them; each at least one key while there are as many.
    pub workspaces: u32,
    /// How many of the keys are the first workspace's. They may send events and read.
    pub of_first: u32,
}

/// What one round of checks of access tokens took, in nanoseconds each.
#[derive(Debug, Clone, Copy)]
pub struct TokenRound {
    /// A token that is not remembered: signature, head and claims.
    pub anew_ns: f64,
    /// The verification of its Ed25519 signature alone.
    pub bare_ns: f64,
    /// A token that is remembered.
    pub remembered_ns: f64,
}

/// What a hash of a password costs.
#[derive(Debug, Clone, Serialize)]
pub struct PasswordCost {
    /// The function and its parameters, as a PHC string begins.
    pub parameters: String,
    /// How long one takes with nothing beside it, in milliseconds.
    pub each_ms: f64,
}

/// Addresses of a database with the three logins of a ledger in it.
#[derive(Clone)]
pub struct DatabaseUrls {
    /// With the login that owns the tables.
    pub owner: String,
    /// With the login that serves requests.
    pub app: String,
    /// With the login that applies events.
    pub worker: String,
}

/// What a database is asked for as one number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// Bytes of log that it has written so far.
    LogBytes,
    /// Locks of relations that a transaction of the worker has at this moment, at most.
    Locks,
    /// Connections of the worker.
    Connections,
}

/// What a table takes.
#[derive(Debug, Clone, Serialize)]
pub struct TableBytes {
    /// Its name.
    pub name: String,
    /// Bytes of its rows.
    pub rows_bytes: u64,
    /// Bytes of its indexes.
    pub indexes_bytes: u64,
}

/// A ledger in a database, and what the database is asked beside it.
pub trait SharedLedger {
    /// The ledger.
    fn ledger(&self) -> Arc<dyn Ledger>;

    /// Copies those events of records that counted into a bare table: how long that took, and how many they are.
    ///
    /// # Errors
    /// When the database fails.
    fn copy_bare(
        &mut self,
        records: &[Delivery],
        applied: &[Applied],
    ) -> impl Future<Output = anyhow::Result<(Duration, u64)>>;

    /// Asks for a number.
    ///
    /// # Errors
    /// When the database fails.
    fn ask(&mut self, what: Asked) -> impl Future<Output = anyhow::Result<u64>>;

    /// Vacuums whatever has something to be vacuumed.
    ///
    /// # Errors
    /// When the database fails.
    fn vacuum(&mut self) -> impl Future<Output = anyhow::Result<()>>;

    /// What each table takes, the largest first.
    ///
    /// # Errors
    /// When the database fails.
    fn sizes(&mut self) -> impl Future<Output = anyhow::Result<Vec<TableBytes>>>;

    /// Closes the ledger and removes the bare table.
    ///
    /// # Errors
    /// When the database fails.
    fn close(self) -> impl Future<Output = anyhow::Result<()>>;
}

/// The inside of the program.
pub trait Inside {
    /// A ledger in a database.
    type Shared: SharedLedger;

    /// Opens the ledger of a database, after making so many ids that no event has.
    ///
    /// # Errors
    /// When the program was built without it, and when the database fails.
    fn open_shared(&self, urls: &DatabaseUrls, ids: u64) -> impl Future<Output = anyhow::Result<Self::Shared>>;

    /// Makes a register in the new folder `data`, with the means of a server that is stopped. Returns the texts of
    /// the first workspace's keys, all of one length, in no order.
    ///
    /// # Errors
    /// When the folder cannot be written.
    fn make_register(&self, data: &Path, plan: RegisterPlan) -> impl Future<Output = anyhow::Result<Vec<String>>>;

    /// Checks access tokens in so many rounds, the ways taking turns within each.
    ///
    /// # Errors
    /// When a token is not taken.
    fn time_tokens(&self, rounds: u32) -> anyhow::Result<Vec<TokenRound>>;

    /// Hashes a few passwords, one after the other.
    ///
    /// # Errors
    /// When one is not hashed.
    fn time_passwords(&self) -> impl Future<Output = anyhow::Result<PasswordCost>>;
}
