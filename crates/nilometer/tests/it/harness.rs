//! Runs the binary as an operator would, and talks to it as a client would.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::thread::JoinHandle;

use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::HeaderMap;
use hyper_util::rt::TokioIo;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::net::TcpStream;

/// The binary with `args`, and none of this process's own settings.
pub(crate) fn nilometer(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nilometer"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("NILOMETER_")) {
        command.env_remove(name);
    }
    command.args(args).stdin(Stdio::null());
    command
}

/// Runs a command to its end.
pub(crate) fn run(args: &[&str]) -> Output {
    nilometer(args).output().unwrap()
}

pub(crate) fn stdout(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).unwrap()
}

pub(crate) fn stderr(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).unwrap()
}

/// A running server; killed when dropped.
pub(crate) struct Server {
    child: Child,
    address: String,
    log: Option<JoinHandle<Vec<String>>>,
}

impl Server {
    /// Starts one on `data` and a free port.
    pub(crate) fn start(data: &Path) -> Self {
        Self::with(data, &[])
    }

    pub(crate) fn with(data: &Path, args: &[&str]) -> Self {
        let mut command = nilometer(&["serve", "--listen", "127.0.0.1:0", "--data", data.to_str().unwrap()]);
        command.args(args);
        Self::run(command)
    }

    /// Starts what `command` says.
    pub(crate) fn run(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        #[expect(clippy::disallowed_methods, reason = "our own server's log")]
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
        let mut before = Vec::new();
        let address = loop {
            let Some(line) = lines.next() else { panic!("the server did not start:\n{}", before.join("\n")) };
            let url = line.split_once("listening on ").and_then(|(_, url)| url.split_once("://"));
            let address = url.map(|(_, rest)| rest.to_owned());
            before.push(line);
            if let Some(rest) = address {
                break rest.split([' ', '"', '/']).next().unwrap().to_owned();
            }
        };
        let log = std::thread::spawn(move || before.into_iter().chain(lines).collect());
        Self { child, address, log: Some(log) }
    }

    /// Where it listens.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// Waits for its end; returns how it ended and everything it logged.
    pub(crate) fn wait(mut self) -> (ExitStatus, Vec<String>) {
        let status = self.child.wait().unwrap();
        (status, self.log.take().unwrap().join().unwrap())
    }

    /// Stops it as an operator would.
    pub(crate) fn stop(self) -> Vec<String> {
        self.signal(Signal::TERM);
        let (status, log) = self.wait();
        assert_eq!(status.code(), Some(0), "{}", log.join("\n"));
        log
    }

    /// Ends it as a crash would.
    pub(crate) fn kill(self) {
        self.signal(Signal::KILL);
        self.wait();
    }

    pub(crate) fn get(&self, path: &str) -> (u16, Value) {
        self.send("GET", path, &[], String::new())
    }

    pub(crate) fn post(&self, path: &str, body: impl Into<String>) -> (u16, Value) {
        self.send("POST", path, &[("content-type", "application/json")], body.into())
    }

    /// The status of the answer to a head that is sent as it is.
    pub(crate) fn status(&self, head: &str) -> u16 {
        let mut stream = std::net::TcpStream::connect(&self.address).unwrap();
        stream.write_all(head.as_bytes()).unwrap();
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).unwrap();
        std::str::from_utf8(&answer[9..]).unwrap().parse().unwrap()
    }

    pub(crate) fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: String) -> (u16, Value) {
        let (status, _, body) = self.exchange(method, path, headers, body);
        (status, body)
    }

    /// Sends a request; the status, the fields and the body of the answer.
    pub(crate) fn exchange(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: String,
    ) -> (u16, HeaderMap, Value) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let stream = TcpStream::connect(&self.address).await.unwrap();
            let (mut client, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
            tokio::spawn(connection);
            let mut request = Request::builder().method(method).uri(path).header("host", "localhost");
            for (name, value) in headers {
                request = request.header(*name, *value);
            }
            let request = request.body(Full::new(Bytes::from(body))).unwrap();
            let (head, body) = client.send_request(request).await.unwrap().into_parts();
            let body = body.collect().await.unwrap().to_bytes();
            // An answer without a body is null.
            let body = if body.is_empty() { Value::Null } else { serde_json::from_slice(&body).unwrap() };
            (head.status.as_u16(), head.headers, body)
        })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
