//! Which data folder.

use std::path::PathBuf;

use clap::Args;

use crate::config::{ConfigError, data_folder};

/// Which data folder.
#[derive(Debug, Args)]
pub(crate) struct FolderArgs {
    /// Folder that holds all state [default: ./nilometer-data]
    #[arg(long, env = "NILOMETER_DATA", value_name = "DIR")]
    data: Option<PathBuf>,
}

impl FolderArgs {
    /// The folder.
    pub(crate) fn data(&self) -> Result<PathBuf, ConfigError> {
        data_folder(self.data.clone())
    }
}
