//! The command that takes a folder into a database.

use std::path::PathBuf;

use clap::Args;

/// What is moved where.
#[derive(Debug, Args)]
pub(crate) struct MoveArgs {
    /// Folder that holds all state; its server must be stopped
    #[arg(long, value_name = "DIR")]
    pub(crate) from: PathBuf,
    /// Address of the database with the login of the application
    #[arg(long, env = "NILOMETER_POSTGRES_URL", hide_env_values = true, value_name = "URL")]
    pub(crate) to: Option<String>,
    /// Address of the database with the login of the worker
    #[arg(long, env = "NILOMETER_POSTGRES_WORKER_URL", hide_env_values = true, value_name = "URL")]
    pub(crate) worker_url: Option<String>,
}
