//! RabbitMQ as a node of its own: own name, cookie, port mapper (epmd) and ports. Slow to start, so tests that do not
//! kill it share one and take a virtual host each.

use std::path::{Path, PathBuf};
use std::process::Command;

use parking_lot::Mutex;

use crate::account::Account;
use crate::error::{Error, or_skip};
use crate::ports;
use crate::programs::Wanted;
use crate::random;
use crate::run::{Run, Seat};
use crate::server::{Server, output};
use crate::watcher::Farewell;

/// What is looked for: the scripts themselves, since Debian's in `/usr/sbin` become the user of the system's server.
const WANTED: Wanted = Wanted {
    programs: &["rabbitmq-server", "rabbitmqctl"],
    package: "rabbitmq-server",
    places: || vec!["/usr/lib/rabbitmq/bin".into()],
};

/// What it logs when it takes connections.
const READY: &str = "Server startup complete";

/// Brings up both processes.
const START: &str = include_str!("rabbit/start.sh");

/// A RabbitMQ of a test's own, which it may kill. Ends when it is dropped.
#[derive(Debug)]
pub struct Rabbit {
    server: Server,
    access: Access,
}

impl Rabbit {
    /// Starts one with these lines of `rabbitmq.conf` besides the defaults.
    pub fn launch(settings: &str) -> Result<Option<Self>, Error> {
        or_skip(Self::make(settings, None))
    }

    /// Makes an empty virtual host.
    pub fn vhost(&self) -> Result<Vhost, Error> {
        self.access.make_vhost()
    }

    /// Kills the node and its port mapper with SIGKILL.
    pub fn kill(&mut self) -> Result<(), Error> {
        self.server.kill()
    }

    /// Stops it as an operator does.
    pub fn stop(&mut self) -> Result<(), Error> {
        self.access.control(&["shutdown"])?;
        self.server.wait_for_end()
    }

    /// Starts it again on the same queues and port.
    pub fn start(&mut self) -> Result<(), Error> {
        let mut command = self.server.command(Path::new("/bin/sh"));
        command.args(["-c", START]).arg(self.access.programs.join("rabbitmq-server"));
        self.access.set_environment(&mut command);
        self.server.start(command, READY)
    }

    /// The number of the first of its processes, while it runs.
    pub fn process(&self) -> Option<i32> {
        self.server.process().map(|process| process.pid)
    }

    /// What it logged since it was last started.
    pub fn log(&self) -> String {
        self.server.log()
    }

    fn make(settings: &str, seat: Option<&Seat<'_>>) -> Result<Self, Error> {
        let programs = WANTED.folder()?;
        let server = Server::prepare(Farewell::Kill, seat)?;
        let password = random::word();
        let own = format!("default_user = test\ndefault_pass = {password}\nlog.console = true\nlog.file = false\n");
        server.place.add("rabbitmq.conf", &format!("{own}{settings}\n"))?;
        let access = Access { programs, folder: server.place.folder.clone(), port: 0, ports: [0; 2], password };
        let mut rabbit = Self { server, access };
        ports::with_free_port(|port| {
            rabbit.access.port = port;
            rabbit.access.ports = [ports::free()?, ports::free()?];
            rabbit.start()
        })?;
        Ok(rabbit)
    }
}

/// An empty virtual host on the RabbitMQ that all tests of the binary share, which none of them may stop.
pub fn vhost() -> Result<Option<Vhost>, Error> {
    or_skip(shared().and_then(|access| access.make_vhost()))
}

/// One virtual host.
#[derive(Debug)]
pub struct Vhost {
    url: String,
    name: String,
}

impl Vhost {
    /// How clients reach it: `amqp://test:…@127.0.0.1:…/…`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// How a node is reached.
#[derive(Debug, Clone)]
struct Access {
    programs: PathBuf,
    folder: PathBuf,
    port: u16,
    /// That of the port mapper, and that between nodes and tools.
    ports: [u16; 2],
    password: String,
}

impl Access {
    fn make_vhost(&self) -> Result<Vhost, Error> {
        let name = format!("test_{}", random::word());
        // One call: each tool starts a virtual machine of its own.
        let all = r#"<<".*">>"#;
        self.control(&["eval", &format!(
            r#"rabbit_vhost:add(<<"{name}">>, <<"test">>), rabbit_auth_backend_internal:set_permissions(<<"test">>, <<"{name}">>, {all}, {all}, {all}, <<"test">>)."#
        )])?;
        let url = format!("amqp://test:{}@127.0.0.1:{}/{name}", self.password, self.port);
        Ok(Vhost { url, name })
    }

    fn control(&self, words: &[&str]) -> Result<String, Error> {
        let mut tool = Account::unprivileged()?.command(&self.programs.join("rabbitmqctl"), &self.folder);
        self.set_environment(tool.args(words));
        output(tool, "rabbitmqctl failed")
    }

    fn set_environment(&self, command: &mut Command) {
        let [mapper, distribution] = self.ports;
        let path = |name: &str| self.folder.join(name);
        command.env("RABBITMQ_NODENAME", format!("test{}@localhost", self.port));
        command.env("RABBITMQ_NODE_IP_ADDRESS", "127.0.0.1").env("RABBITMQ_NODE_PORT", self.port.to_string());
        command.env("RABBITMQ_DIST_PORT", distribution.to_string()).env("ERL_EPMD_PORT", mapper.to_string());
        command.env("ERL_EPMD_ADDRESS", "127.0.0.1");
        command.env("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", "-kernel inet_dist_use_interface {127,0,0,1}");
        command.env("RABBITMQ_MNESIA_BASE", path("data")).env("RABBITMQ_LOG_BASE", path("data"));
        command.env("RABBITMQ_CONFIG_FILE", path("rabbitmq.conf"));
        // Debian's own settings are of the system's server.
        command.env("RABBITMQ_CONF_ENV_FILE", path("none")).env("RABBITMQ_ENABLED_PLUGINS_FILE", path("plugins"));
        // The script becomes the node, instead of a parent that translates signals.
        command.env("RUNNING_UNDER_SYSTEMD", "true");
    }

    fn to_ticket(&self) -> String {
        let [mapper, distribution] = self.ports;
        let (programs, folder) = (self.programs.display(), self.folder.display());
        format!("{programs}\n{folder}\n{}\n{mapper}\n{distribution}\n{}", self.port, self.password)
    }

    fn of_ticket(ticket: &str) -> Option<Self> {
        let mut lines = ticket.lines();
        let (programs, folder) = (lines.next()?.into(), lines.next()?.into());
        let port = lines.next()?.parse().ok()?;
        let ports = [lines.next()?.parse().ok()?, lines.next()?.parse().ok()?];
        Some(Self { programs, folder, port, ports, password: lines.next()?.to_owned() })
    }
}

/// The server of this binary; it is started when there is none.
fn shared() -> Result<Access, Error> {
    static OF_PROCESS: Mutex<Option<Rabbit>> = Mutex::new(None);
    let mut of_process = OF_PROCESS.lock();
    if let Some(rabbit) = &*of_process {
        return Ok(rabbit.access.clone());
    }
    let Some(run) = Run::current() else {
        let rabbit = Rabbit::make("", None)?;
        return Ok(of_process.insert(rabbit).access.clone());
    };
    let ticket = run.ticket("rabbit", |seat| {
        let rabbit = Rabbit::make("", Some(seat))?;
        Ok((rabbit.server.place.folder.clone(), rabbit.access.to_ticket()))
    })?;
    Access::of_ticket(&ticket)
        .ok_or_else(|| Error::Refused { what: "a ticket cannot be read".to_owned(), said: ticket })
}
