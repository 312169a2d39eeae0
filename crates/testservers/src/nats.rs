//! NATS with JetStream in a folder of its own, for one user with a password.

use std::path::PathBuf;

use rustix::process::Signal;

use crate::error::{Error, or_skip};
use crate::ports;
use crate::programs::Wanted;
use crate::random;
use crate::server::Server;
use crate::watcher::Farewell;

/// What is looked for.
const WANTED: Wanted =
    Wanted { programs: &["nats-server"], package: "nats-server", places: || vec!["/usr/sbin".into()] };

/// What it logs when it takes connections.
const READY: &str = "Server is ready";

/// A NATS server of a test's own, which it may kill; it starts in milliseconds. Ends when it is dropped.
#[derive(Debug)]
pub struct Nats {
    server: Server,
    program: PathBuf,
    port: u16,
    password: String,
}

impl Nats {
    /// Starts one with these lines of its configuration besides the defaults and JetStream.
    pub fn launch(settings: &str) -> Result<Option<Self>, Error> {
        or_skip(Self::make(settings))
    }

    /// How clients reach it: `nats://test:…@127.0.0.1:…`.
    pub fn url(&self) -> String {
        format!("nats://test:{}@127.0.0.1:{}", self.password, self.port)
    }

    /// Kills it with SIGKILL.
    pub fn kill(&mut self) -> Result<(), Error> {
        self.server.kill()
    }

    /// Stops it as an operator does.
    pub fn stop(&mut self) -> Result<(), Error> {
        self.server.stop(Signal::TERM)
    }

    /// Starts it again on the same streams and port.
    pub fn start(&mut self) -> Result<(), Error> {
        let mut command = self.server.command(&self.program);
        command.arg("--config").arg(self.server.place.path("settings")).arg("--port").arg(self.port.to_string());
        self.server.start(command, READY)
    }

    /// The number of its process, while it runs.
    pub fn process(&self) -> Option<i32> {
        self.server.process().map(|process| process.pid)
    }

    /// What it logged since it was last started.
    pub fn log(&self) -> String {
        self.server.log()
    }

    fn make(settings: &str) -> Result<Self, Error> {
        let program = WANTED.folder()?.join("nats-server");
        let server = Server::prepare(Farewell::Kill, None)?;
        let (password, store) = (random::word(), server.place.path("store"));
        let own = format!(
            "host: 127.0.0.1\nauthorization {{ user: test, password: \"{password}\" }}\njetstream {{ store_dir: \"{}\" }}\n",
            store.display()
        );
        server.place.add("settings", &format!("{own}{settings}\n"))?;
        let mut nats = Self { server, program, port: 0, password };
        ports::with_free_port(|port| {
            nats.port = port;
            nats.start()
        })?;
        Ok(nats)
    }
}
