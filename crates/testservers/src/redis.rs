//! Redis with a password, which keeps what its settings say: nothing on disk unless a test asks for it.

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
    Wanted { programs: &["redis-server"], package: "redis-server", places: || vec!["/usr/bin".into()] };

/// What it logs when it takes connections.
const READY: &str = "Ready to accept connections";

/// A Redis of a test's own, which it may kill; it starts in milliseconds. Ends when it is dropped.
#[derive(Debug)]
pub struct Redis {
    server: Server,
    program: PathBuf,
    settings: Vec<(String, String)>,
    port: u16,
    password: String,
}

impl Redis {
    /// Starts one with these settings besides the defaults and `save ""`.
    pub fn launch(settings: &[(&str, &str)]) -> Result<Option<Self>, Error> {
        or_skip(Self::make(settings))
    }

    /// How clients reach it: `redis://:…@127.0.0.1:…/`.
    pub fn url(&self) -> String {
        format!("redis://:{}@127.0.0.1:{}/", self.password, self.port)
    }

    /// Kills it with SIGKILL; what was not on disk is gone.
    pub fn kill(&mut self) -> Result<(), Error> {
        self.server.kill()
    }

    /// Stops it as an operator does.
    pub fn stop(&mut self) -> Result<(), Error> {
        self.server.stop(Signal::TERM)
    }

    /// Starts it again in the same folder and on the same port.
    pub fn start(&mut self) -> Result<(), Error> {
        let mut command = self.server.command(&self.program);
        command.arg("./settings").arg("--port").arg(self.port.to_string());
        for (name, value) in &self.settings {
            command.arg(format!("--{name}")).arg(value);
        }
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

    fn make(settings: &[(&str, &str)]) -> Result<Self, Error> {
        let program = WANTED.folder()?.join("redis-server");
        let server = Server::prepare(Farewell::Kill, None)?;
        let password = random::word();
        server.place.add("settings", &format!("bind 127.0.0.1\nsave \"\"\nrequirepass {password}\n"))?;
        let settings = settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let mut redis = Self { server, program, settings, port: 0, password };
        ports::with_free_port(|port| {
            redis.port = port;
            redis.start()
        })?;
        Ok(redis)
    }
}
