//! PostgreSQL with its own defaults: a fresh cluster in UTF-8, superuser `postgres`, passwords over TCP (SCRAM). Adds
//! nothing to the settings but where it listens, and shared memory in files of its folder, which nothing outlives.

use std::path::{Path, PathBuf};

use parking_lot::Mutex;
use rustix::process::Signal;

use crate::account::Account;
use crate::error::{Error, or_skip};
use crate::ports;
use crate::programs::{Wanted, versions};
use crate::random;
use crate::run::{Run, Seat};
use crate::server::{Server, output};
use crate::watcher::Farewell;

/// What is looked for.
const WANTED: Wanted = Wanted {
    programs: &["postgres", "initdb", "psql"],
    package: "postgresql",
    places: || versions(Path::new("/usr/lib/postgresql")),
};

/// What it logs when it takes connections, as a standby only those that read.
const READY: &str = "database system is ready to accept";

/// A PostgreSQL of a test's own, which it may kill. Ends, with all that it holds, when it is dropped.
#[derive(Debug)]
pub struct Postgres {
    server: Server,
    access: Access,
}

impl Postgres {
    /// Starts one with these settings besides the defaults, as lines of `postgresql.conf`.
    pub fn launch(settings: &[(&str, &str)]) -> Result<Option<Self>, Error> {
        or_skip(Self::make(settings, None))
    }

    /// Makes an empty database.
    pub fn database(&self) -> Result<Database, Error> {
        self.access.make_database(false)
    }

    /// Starts another one that follows this one as it is now, and answers those that read. It has the same databases and
    /// passwords, on a port of its own.
    pub fn follow(&self) -> Result<Self, Error> {
        let server = Server::prepare(Farewell::Quit, None)?;
        let access = Access { socket: server.place.folder.clone(), port: 0, ..self.access.clone() };
        let mut standby = Self { server, access };
        let place = &standby.server.place;
        let mut copy = standby.server.command(&standby.access.programs.join("pg_basebackup"));
        copy.arg("--pgdata").arg(place.path("data")).arg("--host").arg(&self.access.socket);
        copy.arg(format!("--port={}", self.access.port)).args(["--username=postgres", "--write-recovery-conf"]);
        copy.args(["--wal-method=stream", "--checkpoint=fast", "--no-sync"]);
        output(copy, "pg_basebackup failed")?;
        standby.set("unix_socket_directories", &place.folder.display().to_string())?;
        ports::with_free_port(|port| {
            standby.access.port = port;
            standby.start()
        })?;
        Ok(standby)
    }

    /// The port that it listens on.
    pub fn port(&self) -> u16 {
        self.access.port
    }

    /// Kills the postmaster and all its children with SIGKILL at one moment; returns when none of them is left.
    pub fn kill(&mut self) -> Result<(), Error> {
        self.server.kill()
    }

    /// Stops it as an operator does ("fast"): sessions are ended, what is committed is on disk.
    pub fn stop(&mut self) -> Result<(), Error> {
        self.server.stop(Signal::INT)
    }

    /// Starts it again on the same data and port, after [`Postgres::kill`] or [`Postgres::stop`]; returns when
    /// recovery is over.
    pub fn start(&mut self) -> Result<(), Error> {
        let mut command = self.server.command(&self.access.programs.join("postgres"));
        command.arg("-D").arg(self.server.place.path("data")).arg("-p").arg(self.access.port.to_string());
        self.server.start(command, READY)
    }

    /// Adds a setting to `postgresql.conf`, which counts from the next start on.
    pub fn set(&self, name: &str, value: &str) -> Result<(), Error> {
        let line = format!("{name} = '{}'\n", value.replace('\'', "''"));
        self.server.place.add("data/postgresql.conf", &line).map(drop)
    }

    /// The number of the postmaster's process, while it runs.
    pub fn postmaster(&self) -> Option<i32> {
        self.server.process().map(|process| process.pid)
    }

    /// Its folder: `data` below is the cluster.
    pub fn folder(&self) -> &Path {
        &self.server.place.folder
    }

    /// What it logged since it was last started.
    pub fn log(&self) -> String {
        self.server.log()
    }

    fn make(settings: &[(&str, &str)], seat: Option<&Seat<'_>>) -> Result<Self, Error> {
        let programs = WANTED.folder()?;
        let server = Server::prepare(Farewell::Quit, seat)?;
        let password = format!("{}{}", random::word(), random::word());
        let access = Access { programs, socket: server.place.folder.clone(), port: 0, password };
        let mut postgres = Self { server, access };
        postgres.make_cluster()?;
        for (name, value) in settings {
            postgres.set(name, value)?;
        }
        ports::with_free_port(|port| {
            postgres.access.port = port;
            postgres.start()
        })?;
        Ok(postgres)
    }

    fn make_cluster(&self) -> Result<(), Error> {
        let place = &self.server.place;
        let password = place.add("password", &self.access.password)?;
        let mut initdb = self.server.command(&self.access.programs.join("initdb"));
        initdb.arg("--pgdata").arg(place.path("data")).arg("--pwfile").arg(password);
        initdb.args(["--username=postgres", "--encoding=UTF8", "--locale=C.UTF-8"]);
        initdb.args(["--auth-local=trust", "--auth-host=scram-sha-256", "--no-sync"]);
        output(initdb, "initdb failed")?;
        self.set("listen_addresses", "127.0.0.1")?;
        self.set("unix_socket_directories", &place.folder.display().to_string())?;
        self.set("dynamic_shared_memory_type", "mmap")
    }
}

/// An empty database of a test's own on the PostgreSQL that all tests of the binary share, which none of them may
/// stop. Roles are of the server: tests that make some give them names of their own.
pub fn database() -> Result<Option<Database>, Error> {
    or_skip(shared().and_then(|access| access.make_database(true)))
}

/// One database. Can be used as long as its server runs.
#[derive(Debug)]
pub struct Database {
    access: Access,
    name: String,
    url: String,
    is_shared: bool,
}

impl Database {
    /// How clients reach it, as superuser with a password over TCP: `postgres://postgres:…@127.0.0.1:…/…`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The folder of the server's socket, over which nobody needs a password.
    pub fn socket(&self) -> &Path {
        &self.access.socket
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Runs SQL as superuser by psql, through the same address as [`Database::url`]: fields are parted by `|`, rows by
    /// the end of the line. Several statements are one transaction.
    pub fn sql(&self, sql: &str) -> Result<String, Error> {
        self.access.psql("127.0.0.1", &self.name, sql)
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        if self.is_shared {
            // What a test leaves would fill the disk before the server ends; nothing depends on it.
            let _ = self.access.administer(&format!(r#"DROP DATABASE IF EXISTS "{}" WITH (FORCE)"#, self.name));
        }
    }
}

/// How a server is reached.
#[derive(Debug, Clone)]
struct Access {
    programs: PathBuf,
    socket: PathBuf,
    port: u16,
    password: String,
}

impl Access {
    fn make_database(&self, is_shared: bool) -> Result<Database, Error> {
        let name = format!("test_{}", random::word());
        // Nobody is ever connected to this template, so that tests can copy it at the same time.
        self.administer(&format!("CREATE DATABASE {name} TEMPLATE template0"))?;
        let url = format!("postgres://postgres:{}@127.0.0.1:{}/{name}", self.password, self.port);
        Ok(Database { access: self.clone(), name, url, is_shared })
    }

    fn administer(&self, sql: &str) -> Result<String, Error> {
        self.psql(&self.socket.display().to_string(), "postgres", sql)
    }

    fn psql(&self, host: &str, database: &str, sql: &str) -> Result<String, Error> {
        let mut psql = Account::unprivileged()?.command(&self.programs.join("psql"), Path::new("/"));
        psql.env("PGHOST", host).env("PGPORT", self.port.to_string()).env("PGDATABASE", database);
        psql.env("PGUSER", "postgres").env("PGPASSWORD", &self.password);
        psql.args(["--no-psqlrc", "--no-align", "--tuples-only", "--quiet", "--set=ON_ERROR_STOP=1"]);
        psql.args(["--command", sql]);
        output(psql, "psql failed")
    }

    fn to_ticket(&self) -> String {
        format!("{}\n{}\n{}\n{}", self.programs.display(), self.socket.display(), self.port, self.password)
    }

    fn of_ticket(ticket: &str) -> Option<Self> {
        let mut lines = ticket.lines();
        let (programs, socket) = (lines.next()?.into(), lines.next()?.into());
        let (port, password) = (lines.next()?.parse().ok()?, lines.next()?.to_owned());
        Some(Self { programs, socket, port, password })
    }
}

/// The server of this binary; it is started when there is none.
fn shared() -> Result<Access, Error> {
    static OF_PROCESS: Mutex<Option<Postgres>> = Mutex::new(None);
    let mut of_process = OF_PROCESS.lock();
    if let Some(postgres) = &*of_process {
        return Ok(postgres.access.clone());
    }
    let Some(run) = Run::current() else {
        let postgres = Postgres::make(&[], None)?;
        return Ok(of_process.insert(postgres).access.clone());
    };
    let ticket = run.ticket("postgres", |seat| {
        let postgres = Postgres::make(&[], Some(seat))?;
        Ok((postgres.server.place.folder.clone(), postgres.access.to_ticket()))
    })?;
    Access::of_ticket(&ticket)
        .ok_or_else(|| Error::Refused { what: "a ticket cannot be read".to_owned(), said: ticket })
}
