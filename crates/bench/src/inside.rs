//! What a benchmark needs of the program that no request reaches in bearable time: a register of many keys, which
//! over HTTP would be as many transactions, and the check of a token without all that is around it. The program
//! gives it; this crate knows no adapter.

use std::future::Future;
use std::path::Path;

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

/// The inside of the program.
pub trait Inside {
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
