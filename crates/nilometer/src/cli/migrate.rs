//! The commands on the schema in PostgreSQL.

use clap::{Args, Subcommand};

#[derive(Debug, Subcommand)]
pub(crate) enum MigrateCommand {
    /// Make the three logins of a database, or give them new passwords
    ///
    /// Prints three settings, to be kept as what they are: secret. Servers with the passwords from before cannot connect
    /// any more.
    Logins {
        /// Address of the database with the login of a superuser
        #[arg(long, env = "NILOMETER_POSTGRES_ADMIN_URL", hide_env_values = true, value_name = "URL")]
        admin_url: Option<String>,
    },
    /// Print how far the schema is
    ///
    /// Exits with 1 when steps are missing.
    Status(OwnerArgs),
    /// Make the steps that are missing, and the partitions of the next 28 days
    ///
    /// All or nothing, and of several at once one alone. Again without effect. In profile dev, with the login of a
    /// superuser in NILOMETER_POSTGRES_URL and no other, it makes the three logins first, with passwords derived from the
    /// superuser's.
    Up {
        #[command(flatten)]
        owner: OwnerArgs,
        /// Divide a new ledger into so many buckets, each of which one process writes: 1 to 64, for ever [default: 8]
        #[arg(long, value_name = "N")]
        buckets: Option<u16>,
    },
}

/// What `maintain` works on.
#[derive(Debug, Args)]
pub(crate) struct MaintainArgs {
    /// Maintain the ledger in PostgreSQL; the one in a folder is maintained by its server
    #[arg(long, required = true)]
    pub(crate) postgres: bool,
    #[command(flatten)]
    pub(crate) owner: OwnerArgs,
}

/// The login that owns the schema.
#[derive(Debug, Args)]
pub(crate) struct OwnerArgs {
    /// Address of the database with the login of its owner [default: that of the server's settings]
    #[arg(long, env = "NILOMETER_POSTGRES_OWNER_URL", hide_env_values = true, value_name = "URL")]
    pub(crate) owner_url: Option<String>,
}
