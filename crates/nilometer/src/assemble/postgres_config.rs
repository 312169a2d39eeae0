//! Where a database is, and how it is logged in to.

/// Where everything but the journal is kept. There is no such place in this build.
#[cfg(not(feature = "cluster"))]
#[derive(Debug, Clone)]
pub(crate) enum PostgresConfig {}

/// Where everything but the journal is kept: addresses with the passwords of logins.
#[cfg(feature = "cluster")]
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct PostgresConfig {
    /// It serves requests.
    pub(crate) app_url: String,
    /// It applies events.
    pub(crate) worker_url: String,
    /// It makes tables; a start brings them up to date if it is there.
    pub(crate) owner_url: Option<String>,
    /// It reads from a server that follows.
    pub(crate) replica_url: Option<String>,
    /// The superuser's, of which the three are made.
    pub(crate) admin_url: Option<String>,
    /// Whether the database goes on with a new journal although it has one.
    pub(crate) new_journal: bool,
    /// Whether a copy of the folder with the journal is taken, as far as its records are whole.
    pub(crate) recover_copy: bool,
}

#[cfg(feature = "cluster")]
impl std::fmt::Debug for PostgresConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.shown())
    }
}

#[cfg(feature = "cluster")]
impl PostgresConfig {
    /// The application's address, without its password.
    pub(crate) fn shown(&self) -> String {
        ::postgres::shown(&self.app_url).unwrap_or_default()
    }
}
