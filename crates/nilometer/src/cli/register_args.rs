//! The flags that say where the register is.

use std::path::PathBuf;

use clap::Args;

/// Where the register is that a command works on.
#[derive(Debug, Args)]
pub(crate) struct RegisterArgs {
    /// Folder that holds all state; its server must be stopped [env: NILOMETER_DATA] [default: ./nilometer-data]
    #[arg(long, value_name = "DIR", conflicts_with = "url")]
    pub(crate) data: Option<PathBuf>,
    /// File of settings of the folder, in TOML [env: NILOMETER_CONFIG]
    #[arg(long, value_name = "FILE", conflicts_with = "url")]
    pub(crate) config: Option<PathBuf>,
    /// A running server instead of a folder, by http:// or https://
    #[arg(long, value_name = "URL")]
    pub(crate) url: Option<String>,
    /// File with a key of the operator for the running server; none is needed for one in profile dev on this machine
    #[arg(long, value_name = "FILE", requires = "url")]
    pub(crate) key_file: Option<PathBuf>,
    /// Certificates of the authorities that the running server's own may come from, in PEM [default: the system's]
    #[arg(long, value_name = "FILE", requires = "url")]
    pub(crate) ca: Option<PathBuf>,
}
