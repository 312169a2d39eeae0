//! The real binary as a process: started with settings, crash points or under another program,
//! watched through its log, killed on drop. Never waits for ever.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use rustix::process::{Pid, Signal, kill_process};

use super::http::Client;
use super::wait;

/// Longest wait for a server to listen, to be ready, or to end.
pub(crate) const WAIT_MAX: Duration = Duration::from_secs(90);

/// How to start a server.
#[derive(Clone)]
pub(crate) struct Launch {
    words: Vec<String>,
    variables: Vec<(String, String)>,
}

impl Launch {
    /// On the folder `data` and a free port.
    pub(crate) fn on(data: &Path) -> Self {
        let serve = ["serve", "--listen", "127.0.0.1:0", "--data", data.to_str().unwrap()];
        let words = std::iter::once(env!("CARGO_BIN_EXE_nilometer")).chain(serve).map(str::to_owned).collect();
        Self { words, variables: Vec::new() }
    }

    /// With a setting, by its name in the file of settings.
    pub(crate) fn set(mut self, name: &str, value: impl ToString) -> Self {
        self.variables.push((format!("NILOMETER_{}", name.to_ascii_uppercase()), value.to_string()));
        self
    }

    /// With another word on its command line.
    #[cfg(feature = "cluster")]
    pub(crate) fn word(mut self, word: &str) -> Self {
        self.words.push(word.to_owned());
        self
    }

    /// So that little data makes many flushes and merges.
    pub(crate) fn restless(self) -> Self {
        self.set("flush_rows", 400).set("flush_age_ms", 150).set("journal_segment_bytes", 1 << 20)
    }

    /// So that nothing is flushed: the journal alone holds it.
    pub(crate) fn unflushed(self) -> Self {
        self.set("flush_rows", 100_000_000).set("flush_age_ms", 86_400_000)
    }

    /// With crash points, as in `FAILPOINTS`.
    #[cfg(feature = "failpoints")]
    pub(crate) fn failpoints(mut self, actions: &str) -> Self {
        self.variables.push(("FAILPOINTS".to_owned(), actions.to_owned()));
        self
    }

    /// As the command of another program, which must become it, so that both have one process id.
    pub(crate) fn under(mut self, program: &[&str]) -> Self {
        self.words.splice(0..0, program.iter().map(|word| (*word).to_owned()));
        self
    }

    /// Starts it and waits for nothing.
    pub(crate) fn spawn(&self) -> Server {
        let mut command = Command::new(&self.words[0]);
        command.args(&self.words[1..]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("NILOMETER_") || name == "FAILPOINTS") {
            command.env_remove(name);
        }
        let mut child = command.envs(self.variables.iter().map(|(name, value)| (name, value))).spawn().unwrap();
        let log = Arc::new(Log::default());
        let (errors, copy) = (child.stderr.take().unwrap(), Arc::clone(&log));
        std::thread::spawn(move || copy.follow(errors));
        Server { child: Mutex::new(child), log }
    }

    /// Starts it and waits until it listens.
    pub(crate) fn start(&self) -> Server {
        let server = self.spawn();
        server.address();
        server
    }

    /// Starts it and waits until everything that was durable is visible.
    pub(crate) fn start_ready(&self) -> Server {
        let server = self.start();
        server.wait_ready();
        server
    }

    /// Starts what must refuse to serve; returns the code it exits with and what it says.
    pub(crate) fn refused(&self) -> (i32, String) {
        let server = self.spawn();
        match server.log.wait_for_address(WAIT_MAX) {
            Err(true) => {}
            other => panic!("it should have refused to start, and did not ({other:?}):\n{}", server.log()),
        }
        (server.wait().code().unwrap_or(-1), server.log())
    }
}

/// A started server; killed on drop.
pub(crate) struct Server {
    child: Mutex<Child>,
    log: Arc<Log>,
}

impl Server {
    /// Where it listens; waits until it does.
    pub(crate) fn address(&self) -> SocketAddr {
        match self.log.wait_for_address(WAIT_MAX) {
            Ok(address) => address,
            Err(_) => panic!("the server did not start:\n{}", self.log()),
        }
    }

    /// Where it listens, if it does so in time and does not end before.
    pub(crate) fn try_address(&self, within: Duration) -> Option<SocketAddr> {
        self.log.wait_for_address(within).ok()
    }

    pub(crate) fn client(&self) -> Client {
        Client::new(self.address())
    }

    /// Waits until everything that was durable at the start is visible.
    pub(crate) fn wait_ready(&self) {
        let mut client = self.client();
        let mut last = String::new();
        let ready = wait::until(WAIT_MAX, || match client.get("/readyz") {
            Ok(answer) => {
                last = answer.text().to_owned();
                answer.status == 200
            }
            Err(why) => {
                last = why.to_string();
                false
            }
        });
        assert!(ready, "the server did not become ready: {last}\n{}", self.log());
    }

    /// Waits until everything that is durable is visible.
    pub(crate) fn wait_drained(&self) {
        let mut client = self.client();
        let drained = wait::until(WAIT_MAX, || self.metric(&mut client, "backlog_records") == 0.0);
        assert!(drained, "records are still not applied:\n{}", self.log());
    }

    /// A figure among the metrics, by its whole name and labels; 0 when there is none yet.
    pub(crate) fn metric(&self, client: &mut Client, name: &str) -> f64 {
        let answer = client.get("/metrics").unwrap_or_else(|why| panic!("{why}:\n{}", self.log()));
        let mut values = answer.text().lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        values.next().map_or(0.0, |value| value.parse().unwrap())
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.pid()).unwrap()).unwrap();
        // It may have ended by itself.
        let _ = kill_process(pid, signal);
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.lock().id()
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.child.lock().try_wait().unwrap().is_some()
    }

    /// Waits for its end, however it comes.
    pub(crate) fn wait(&self) -> ExitStatus {
        self.wait_at_most(WAIT_MAX).unwrap_or_else(|| panic!("the server did not end:\n{}", self.log()))
    }

    /// Waits for its end, if that comes in time.
    pub(crate) fn wait_at_most(&self, within: Duration) -> Option<ExitStatus> {
        let ended = wait::until(within, || self.has_ended());
        ended.then(|| {
            self.log.wait_for_end();
            self.child.lock().wait().unwrap()
        })
    }

    /// Ends it as a crash would.
    pub(crate) fn kill(&self) {
        self.signal(Signal::KILL);
        self.wait();
    }

    /// Ends it as an operator would.
    pub(crate) fn stop(&self) {
        self.signal(Signal::TERM);
        let status = self.wait();
        assert_eq!(status.code(), Some(0), "it did not stop tidily:\n{}", self.log());
    }

    /// Everything it logged so far.
    pub(crate) fn log(&self) -> String {
        self.log.state.lock().lines.join("\n")
    }

    /// The most memory it ever had, in megabytes.
    pub(crate) fn memory_mb_max(&self) -> u64 {
        let status = super::files::read_text(Path::new(&format!("/proc/{}/status", self.pid())));
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1_024
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let mut child = self.child.lock();
        let _ = child.kill();
        let _ = child.wait();
    }
}

/// What a server writes to its standard error.
#[derive(Default)]
struct Log {
    state: Mutex<LogState>,
    changed: Condvar,
}

#[derive(Default)]
struct LogState {
    lines: Vec<String>,
    address: Option<SocketAddr>,
    ended: bool,
}

impl Log {
    fn follow(&self, errors: ChildStderr) {
        #[expect(clippy::disallowed_methods, reason = "our own server's log")]
        let lines = BufReader::new(errors).lines();
        for line in lines.map_while(Result::ok) {
            let url = line.split_once("listening on ").and_then(|(_, url)| url.split_once("://"));
            let address = url.map(|(_, rest)| rest.split([' ', '"']).next());
            let mut state = self.state.lock();
            state.address = state.address.or_else(|| address.flatten()?.parse().ok());
            state.lines.push(line);
            self.changed.notify_all();
        }
        self.state.lock().ended = true;
        self.changed.notify_all();
    }

    /// Waits until the server listens. `Err` says whether it ended instead.
    fn wait_for_address(&self, within: Duration) -> Result<SocketAddr, bool> {
        let mut state = self.state.lock();
        self.changed.wait_while_for(&mut state, |state| state.address.is_none() && !state.ended, within);
        state.address.ok_or(state.ended)
    }

    fn wait_for_end(&self) {
        self.changed.wait_while_for(&mut self.state.lock(), |state| !state.ended, WAIT_MAX);
    }
}
